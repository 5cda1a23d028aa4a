package report

// Received is the body of report.received. The address of the reporter is not in it.
type Received struct {
	Channel      Channel `json:"channel"`
	Kind         Kind    `json:"kind"`
	Service      string  `json:"service,omitempty"`
	Text         string  `json:"text"`
	ContactGiven bool    `json:"contact_given"`
	Language     string  `json:"language"`
	Held         string  `json:"held,omitempty"`
}

// FactType implements ledger.Body.
func (Received) FactType() string { return "report.received" }

// Triaged is the body of report.triaged. DelayS is how long after receipt it was, in
// seconds.
type Triaged struct {
	Decision Decision `json:"decision"`
	From     State    `json:"from"`
	Incident string   `json:"incident,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	ByRule   bool     `json:"by_rule,omitempty"`
	DelayS   int64    `json:"delay_s"`
}

// FactType implements ledger.Body.
func (Triaged) FactType() string { return "report.triaged" }

// Answered is the body of report.answered: a text, or the word that the incident is
// resolved. Mailed says whether the reporter left an address.
type Answered struct {
	Text     string `json:"text,omitempty"`
	Resolved bool   `json:"resolved,omitempty"`
	Mailed   bool   `json:"mailed"`
}

// FactType implements ledger.Body.
func (Answered) FactType() string { return "report.answered" }
