package history

// Imported is the body of past_incident.imported. Occurred is as far as it is known.
type Imported struct {
	Source   string   `json:"source"`
	External string   `json:"external"`
	Title    string   `json:"title"`
	Occurred string   `json:"occurred"`
	Verdict  Verdict  `json:"verdict"`
	Actions  []string `json:"actions,omitempty"`
	// Document is the SHA-256 of the record as it was imported.
	Document string `json:"document"`
}

// FactType implements ledger.Body.
func (Imported) FactType() string { return "past_incident.imported" }

// Replaced is the body of past_incident.replaced: an import brought another record
// under the same id, and was told to take it.
type Replaced struct {
	Source   string `json:"source"`
	External string `json:"external"`
	From     string `json:"from"`
	To       string `json:"to"`
}

// FactType implements ledger.Body.
func (Replaced) FactType() string { return "past_incident.replaced" }

// Finished is the body of import.finished. File is the SHA-256 of what was imported.
type Finished struct {
	Source    string `json:"source"`
	Format    string `json:"format"`
	File      string `json:"file"`
	Created   int    `json:"created"`
	Skipped   int    `json:"skipped"`
	Conflicts int    `json:"conflicts"`
	Replaced  int    `json:"replaced,omitempty"`
}

// FactType implements ledger.Body.
func (Finished) FactType() string { return "import.finished" }
