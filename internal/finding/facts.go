package finding

// ScanReceived is the body of scan.received. Unknown counts the known findings about
// which the report proves nothing.
type ScanReceived struct {
	Source   string  `json:"source"`
	Format   string  `json:"format"`
	Tool     string  `json:"tool,omitempty"`
	Target   string  `json:"target,omitempty"`
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why,omitempty"`
	Findings int     `json:"findings"`
	New      int     `json:"new"`
	Reopened int     `json:"reopened"`
	Fixed    int     `json:"fixed"`
	Unknown  int     `json:"unknown"`
	SHA256   string  `json:"sha256"`
}

// FactType implements ledger.Body.
func (ScanReceived) FactType() string { return "scan.received" }

// About is what the facts of a finding say of it. Due is the instant by which it is
// to be fixed, accepted or mitigated; empty when it has none.
type About struct {
	Source   string   `json:"source"`
	Service  string   `json:"service,omitempty"`
	Tool     string   `json:"tool"`
	Rule     string   `json:"rule"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Location string   `json:"location,omitempty"`
	CVE      []string `json:"cve,omitempty"`
	CWE      []string `json:"cwe,omitempty"`
	Secret   bool     `json:"secret,omitempty"`
	Due      string   `json:"due,omitempty"`
}

// Opened is the body of finding.opened.
type Opened struct{ About }

// FactType implements ledger.Body.
func (Opened) FactType() string { return "finding.opened" }

// Reopened is the body of finding.reopened: it is there again, or its acceptance has
// run out. Why is seen or expired.
type Reopened struct {
	About
	Why string `json:"why"`
}

// FactType implements ledger.Body.
func (Reopened) FactType() string { return "finding.reopened" }

// Fixed is the body of finding.fixed.
type Fixed struct{ About }

// FactType implements ledger.Body.
func (Fixed) FactType() string { return "finding.fixed" }

// Decided is the body of finding.decided. Expires is set on an acceptance.
type Decided struct {
	Decision Decision `json:"decision"`
	From     State    `json:"from"`
	Reason   string   `json:"reason"`
	Expires  string   `json:"expires,omitempty"`
	Due      string   `json:"due,omitempty"`
}

// FactType implements ledger.Body.
func (Decided) FactType() string { return "finding.decided" }
