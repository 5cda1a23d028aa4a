package ledger

// CheckpointSigned says that the size and root of the ledger were signed.
type CheckpointSigned struct {
	Size int64 `json:"size"`
	// Root is in hexadecimal.
	Root string `json:"root"`
}

// FactType implements Body.
func (CheckpointSigned) FactType() string { return "checkpoint.signed" }

// CheckpointSent says that a checkpoint left the database.
type CheckpointSent struct {
	Size int64 `json:"size"`
	// Where is file.
	Where string `json:"where"`
}

// FactType implements Body.
func (CheckpointSent) FactType() string { return "checkpoint.sent" }

// Verified says that the ledger was verified.
type Verified struct {
	// ToSeq is the last fact that was looked at.
	ToSeq int64 `json:"to_seq"`
	// Result is ok or problems.
	Result   string `json:"result"`
	Problems int    `json:"problems,omitempty"`
}

// FactType implements Body.
func (Verified) FactType() string { return "ledger.verified" }
