package finding

import (
	"slices"
	"strings"
	"time"
)

// Verdict says what a report shows.
type Verdict string

// The verdicts of model.md 6.3.
const (
	Clean    Verdict = "clean"
	Findings Verdict = "findings"
	Unknown  Verdict = "unknown"
)

// Severity is how grave a finding is, in the words of P.vuln_sev; info is below
// the lowest of them.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities are from the gravest down.
var Severities = []Severity{Critical, High, Medium, Low, Info}

// Rank is higher the graver it is, from 0; -1 for a word that is not known.
func (s Severity) Rank() int { return slices.Index([]Severity{Info, Low, Medium, High, Critical}, s) }

// Reason says why a verdict is unknown or a report is partial: a key of the
// catalogues and its arguments.
type Reason struct {
	Key  string
	Args map[string]any
}

// Tool is the scanner.
type Tool struct {
	Name    string
	Version string
}

// Scope is what a report speaks about in full: absence of a finding of this tool
// and target means that it is fixed.
type Scope struct {
	Tool   string
	Target string
	// Ports limits the scope to the network ports that were looked at, as in
	// "tcp/22,tcp/8000-8100"; empty is no limit.
	Ports string
}

// Report is one report as read.
type Report struct {
	// Format is the name of its shape; empty when that is not known.
	Format     string
	Tool       Tool
	Verdict    Verdict
	Reason     Reason
	StartedAt  time.Time
	FinishedAt time.Time
	// Target is the first of the scopes' targets.
	Target string
	Scopes []Scope
	// Partial says that the report does not prove that it is whole.
	Partial bool
	// Findings of an unknown report are what could be read; they change nothing.
	Findings []Result
}

// secretTools look for nothing but leaked secrets.
var secretTools = []string{"gitleaks", "trufflehog", "detect-secrets", "ggshield", "talisman"}

// leaks tells whether a result is a leaked secret: every result of a tool that looks
// for nothing else, and what others call a hard-coded credential (CWE-798) and rate
// high.
func leaks(r *Result) bool {
	return slices.Contains(secretTools, strings.ToLower(r.Tool)) || slices.Contains(r.CWE, "CWE-798") && r.Severity.Rank() >= High.Rank()
}

// Result is one thing that a scan found.
type Result struct {
	Key      string
	Tool     string
	Target   string
	Rule     string
	Title    string
	Severity Severity
	// Score is the CVSS base score of the highest version given; 0 when not told.
	Score       float64
	Location    string
	Line        int
	Package     string
	Version     string
	FixedIn     string
	CVE         []string
	CWE         []string
	URL         string
	Description string
	// Suppressed is set when the tool itself was told to pass over the finding.
	Suppressed *Suppression
	// Baseline is what the tool says against its own earlier run: new, unchanged,
	// updated, or empty.
	Baseline string
}

// Suppression is why a tool passes over a finding, as far as it tells.
type Suppression struct {
	// How: in_source, external, not_affected, ignored, excepted.
	How    string
	Reason string
	By     string
}
