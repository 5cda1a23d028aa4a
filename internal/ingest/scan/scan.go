// Package scan reads the reports of security scanners: what was found, and
// whether the report proves that what it does not name is not there.
//
// A report is one of three things. It is findings when it names at least one that
// its tool did not suppress. It is clean when it names none and proves that the
// scan ran to its end over something. It is unknown in every other case: the
// scan failed, the report is cut short, empty, of a shape that is not known, or
// says nothing about what was scanned. An unknown report changes no finding.
//
// What a format must prove is said beside its reader. A report that names
// findings without that proof is Partial: they are new or seen again, but nothing
// is taken as fixed because it is missing.
//
// # Identity
//
// Finding.Key is the same in every run that finds the same thing. It is made of
// the tool's name without its version, the target, the rule, and the place in a
// form that survives the next commit: a path below the checkout, a URL without
// the values of its query, a package without its version, a port; never a line.
// Where a rule matches one place several times, the text that matched tells them
// apart, and what is still alike is numbered in the order of the lines. Prints
// that a SARIF report gives for this purpose are used instead.
//
// # Secrets
//
// What a scanner quotes is not kept: no code, no match, no request, no response,
// no evidence, no user or query value of a URL.
package scan

import (
	"io"

	"tocsin/internal/finding"
	"tocsin/internal/kit"
)

// Limits of one report. A report over one of those before the texts is refused whole.
const (
	MaxBytes    = 32 << 20
	MaxFindings = 50_000
	MaxDepth    = 200
	// Objects and lists of JSON, elements of XML.
	maxPieces     = 1_500_000
	maxCommas     = 3_000_000
	maxAttributes = 200
	// In bytes, of a line of text.
	maxLine = 1 << 20
	// In characters; longer texts are cut.
	maxTitle       = 200
	maxDescription = 2_000
	maxPlace       = 1_000
	maxWord        = 200
	// Numbers of one finding; more are left out.
	maxList = 50
)

// What a report says, in the words of package finding.
type (
	Verdict     = finding.Verdict
	Severity    = finding.Severity
	Reason      = finding.Reason
	Tool        = finding.Tool
	Scope       = finding.Scope
	Report      = finding.Report
	Finding     = finding.Result
	Suppression = finding.Suppression
)

// The verdicts and severities.
const (
	Clean    = finding.Clean
	Findings = finding.Findings
	Unknown  = finding.Unknown

	Critical = finding.Critical
	High     = finding.High
	Medium   = finding.Medium
	Low      = finding.Low
	Info     = finding.Info
)

// Hint is what the caller knows about a report.
type Hint struct {
	// Format is one of Formats, or empty: then the content tells.
	Format string
	// Target names what was scanned, for formats that do not tell it. Reports of one
	// tool about different things need different targets, or each would fix the
	// findings of the other.
	Target string
}

// Read reads a report of at most MaxBytes. It gives a *kit.Error when the body is
// refused: too_large (bytes or findings), malformed (nesting, characters, XML
// entities), unsupported (compressed or binary, or a format name that is not
// known). Everything else is a Report, whose verdict is unknown when in doubt.
// Errors of r itself come back as they are. The work is linear in the bytes.
func Read(r io.Reader, hint Hint) (Report, error) {
	in, err := open(r)
	if err != nil {
		return Report{}, err
	}
	out := &collector{hint: hint}
	form, err := choose(in.head, hint.Format)
	if err != nil {
		return Report{}, err
	}
	switch {
	case in.head.kind == emptyBody:
		out.unknown("scan.reason.empty")
	case form == nil:
		out.unknown("scan.reason.format")
	default:
		err = form.read(in, out)
	}
	if form != nil {
		out.report.Format = form.name()
	}
	if err = out.failed(in, err); err != nil {
		return Report{}, err
	}
	return out.finish(), nil
}

// Formats lists the names of the formats, in the order in which a body is tried.
func Formats() []string {
	var out []string
	for _, f := range readers {
		out = append(out, f.name())
	}
	return out
}

// reader reads one format.
type reader interface {
	name() string
	// sniff tells from the beginning of a body whether it is of this format.
	sniff(h head) bool
	// read gives the findings to the collector, and the proofs. An error says that the
	// body could not be read to its end.
	read(in *input, out *collector) error
}

// readers is in the order of trial: formats with a mark of their own first.
var readers = []reader{
	sarif{},
	trivy{},
	grype{},
	govulncheck{},
	openVEX{},
	cycloneDX{},
	csaf{},
	gosec{},
	bandit{},
	semgrep{},
	osvScanner{},
	snyk{},
	npmAudit{},
	retire{},
	wapiti{},
	zap{},
	nmap{},
	openVAS{},
	nikto{},
	dependencyCheck{},
	gitleaks{},
	nuclei{},
	ocsf{},
	wazuh{},
	clamAV{},
	lynis{},
	testSSL{},
	osvAdvisory{},
	table{},
}

func choose(h head, name string) (reader, error) {
	for _, f := range readers {
		if name == "" && f.sniff(h) || name == f.name() {
			return f, nil
		}
	}
	if name != "" {
		return nil, kit.Errorf(kit.CodeUnsupported, "scan.error.format", "format", cut(name, 40, false))
	}
	return nil, nil
}
