package change

// Recorded is the body of change.recorded.
type Recorded struct {
	Service     string `json:"service,omitempty"`
	Summary     string `json:"summary"`
	VersionFrom string `json:"version_from,omitempty"`
	VersionTo   string `json:"version_to,omitempty"`
	At          string `json:"at"`
	Pipeline    string `json:"pipeline,omitempty"`
	URL         string `json:"url,omitempty"`
	Reversible  string `json:"reversible"`
	Emergency   bool   `json:"emergency"`
}

// FactType implements ledger.Body.
func (Recorded) FactType() string { return "change.recorded" }

// Finished is the body of change.finished: the change is in another state. Result is
// running, deployed or failed.
type Finished struct {
	From   string `json:"from"`
	Result string `json:"result"`
}

// FactType implements ledger.Body.
func (Finished) FactType() string { return "change.finished" }
