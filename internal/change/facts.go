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
