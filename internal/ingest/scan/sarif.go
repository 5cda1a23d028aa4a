package scan

import (
	"cmp"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// sarif is SARIF 2.1.0 (OASIS). Results are read one at a time; what the rules
// say is put to them at the end of a run, since they may come later.
//
// Clean needs at least one run, and of every run: a list of results, which the
// standard (3.14.23) leaves out when the tool did not look; every invocation
// successful; no notification of level error. Staticcheck leaves an empty list
// out, so that its success stands for it. A run that failed makes the whole
// report unknown.
//
// Identity: fingerprints; else the file and the partialFingerprints that are
// prints; else rule, file, function, and the matched text or else the message.
type sarif struct{}

func (sarif) name() string { return "sarif" }

func (sarif) sniff(h head) bool {
	return h.has("runs") && (h.has("version") || h.has("$schema") || h.has("runs[].tool") || h.has("runs[].results"))
}

type sarifText struct {
	Text      string   `json:"text"`
	ID        string   `json:"id"`
	Arguments []string `json:"arguments"`
}

type sarifProperties struct {
	Severity plain `json:"security-severity"`
	Tags     words `json:"tags"`
	CWE      words `json:"cwe"`
	Problem  plain `json:"problem.severity"`
	Issue    plain `json:"issue_severity"`
}

type sarifReference struct {
	ID        string `json:"id"`
	Component struct {
		Name string `json:"name"`
	} `json:"toolComponent"`
	Target *sarifReference `json:"target"`
}

type sarifRule struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
	Short      sarifText            `json:"shortDescription"`
	Full       sarifText            `json:"fullDescription"`
	Messages   map[string]sarifText `json:"messageStrings"`
	URL        string               `json:"helpUri"`
	Relations  []sarifReference     `json:"relationships"`
	Properties sarifProperties      `json:"properties"`
	Deprecated []string             `json:"deprecatedIds"`
	// Of the two lists above, once for all results.
	cve, cwe []string
	settled  bool
}

type sarifComponent struct {
	Name     string      `json:"name"`
	Version  string      `json:"version"`
	Semantic string      `json:"semanticVersion"`
	Rules    []sarifRule `json:"rules"`
	// Notifications are described as rules are.
	Notifications []sarifRule `json:"notifications"`
}

type sarifNotification struct {
	Level      string `json:"level"`
	Descriptor struct {
		ID string `json:"id"`
	} `json:"descriptor"`
}

// failing tells whether a notification is an error, which its description may say
// (3.58.6).
func (n sarifNotification) failing(driver sarifComponent) bool {
	level := n.Level
	for _, r := range driver.Notifications {
		if level == "" && r.ID == n.Descriptor.ID {
			level = r.Default.Level
		}
	}
	return level == "error"
}

type sarifInvocation struct {
	Successful    *bool               `json:"executionSuccessful"`
	Execution     []sarifNotification `json:"toolExecutionNotifications"`
	Configuration []sarifNotification `json:"toolConfigurationNotifications"`
	Start         string              `json:"startTimeUtc"`
	End           string              `json:"endTimeUtc"`
	Directory     struct {
		URI string `json:"uri"`
	} `json:"workingDirectory"`
}

type sarifRegion struct {
	Line    int       `json:"startLine"`
	Column  int       `json:"startColumn"`
	Char    int       `json:"charOffset"`
	Byte    int       `json:"byteOffset"`
	Snippet sarifText `json:"snippet"`
}

type sarifResult struct {
	RuleID string `json:"ruleId"`
	Index  *int   `json:"ruleIndex"`
	Rule   struct {
		ID        string `json:"id"`
		Index     *int   `json:"index"`
		Component struct {
			Index *int `json:"index"`
		} `json:"toolComponent"`
	} `json:"rule"`
	Kind      string    `json:"kind"`
	Level     string    `json:"level"`
	Message   sarifText `json:"message"`
	Locations []struct {
		Physical struct {
			Artifact struct {
				URI   string `json:"uri"`
				Index *int   `json:"index"`
			} `json:"artifactLocation"`
			Region sarifRegion `json:"region"`
		} `json:"physicalLocation"`
		Logical []struct {
			Full string `json:"fullyQualifiedName"`
			Name string `json:"name"`
		} `json:"logicalLocations"`
	} `json:"locations"`
	Prints       map[string]plain `json:"fingerprints"`
	Partials     map[string]plain `json:"partialFingerprints"`
	Suppressions []struct {
		Kind          string `json:"kind"`
		State         string `json:"status"`
		OldState      string `json:"state"`
		Justification string `json:"justification"`
	} `json:"suppressions"`
	Baseline   string           `json:"baselineState"`
	Taxa       []sarifReference `json:"taxa"`
	Properties sarifProperties  `json:"properties"`
}

// sarifPending is a result until its run has ended. There are many: it holds no
// more than it must.
type sarifPending struct {
	rule, location, function   string
	message, messageID         string
	arguments                  []string
	level, baseline            string
	matched, prints, partials  string
	cwe                        []string
	score                      float64
	muted                      *Suppression
	line, column               int32
	index, extension, artifact int32
}

type sarifRun struct {
	driver      sarifComponent
	extensions  []sarifComponent
	results     []*sarifPending
	listed      bool
	invocations []sarifInvocation
	automation  string
	repository  string
	roots       []string
	artifacts   []string
}

func (sarif) read(in *input, out *collector) error {
	s := in.json()
	version, runs := "", 0
	err := s.object(func(key string) error {
		switch key {
		case "version":
			return s.into((*plain)(&version))
		case "runs":
			_, err := s.array(func() error {
				runs++
				return readRun(s, out)
			})
			return err
		}
		return s.skip()
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
		return err
	case version != "" && version != "2.1.0":
		out.unknown("scan.reason.version", "version", version)
	case version == "":
		out.unknown("scan.reason.shape")
	case runs == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return nil
}

func readRun(s stream, out *collector) error {
	var run sarifRun
	taken := len(out.report.Findings)
	err := s.object(func(key string) (err error) {
		switch key {
		case "tool":
			var tool struct {
				Driver     sarifComponent   `json:"driver"`
				Extensions []sarifComponent `json:"extensions"`
			}
			err = s.into(&tool)
			run.driver, run.extensions = tool.Driver, tool.Extensions
		case "invocations":
			err = s.into(&run.invocations)
		case "automationDetails":
			var a struct {
				ID string `json:"id"`
			}
			err = s.into(&a)
			run.automation = a.ID
		case "versionControlProvenance":
			var v []struct {
				URI string `json:"repositoryUri"`
			}
			err = s.into(&v)
			if len(v) > 0 {
				run.repository = web(v[0].URI)
			}
		case "originalUriBaseIds":
			var bases map[string]struct {
				URI string `json:"uri"`
			}
			err = s.into(&bases)
			for _, name := range slices.Sorted(maps.Keys(bases)) {
				run.roots = append(run.roots, path(bases[name].URI, ""))
			}
		case "artifacts":
			_, err = each(s, func(a struct {
				Location struct {
					URI string `json:"uri"`
				} `json:"location"`
			},
			) error {
				run.artifacts = append(run.artifacts, cut(a.Location.URI, maxPlace, false))
				return nil
			})
		case "results":
			run.listed, err = each(s, func(r sarifResult) error {
				if taken+len(run.results) >= MaxFindings {
					return tooMany()
				}
				if p, ok := r.pending(); ok {
					run.results = append(run.results, p)
				}
				return nil
			})
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	return run.settle(out)
}

// pending reads what a result says by itself; false when it is no finding.
func (r *sarifResult) pending() (*sarifPending, bool) {
	if r.Kind == "pass" || r.Kind == "notApplicable" || r.Baseline == "absent" {
		return nil, false
	}
	p := &sarifPending{
		rule: cut(cmp.Or(r.RuleID, r.Rule.ID), maxWord, false), message: cut(r.Message.Text, maxDescription, true), messageID: r.Message.ID,
		level: r.Level, baseline: r.Baseline, score: number(string(r.Properties.Severity)),
		cwe:    append(references(r.Taxa), cwes(append(r.Properties.Tags, r.Properties.CWE...)...)...),
		prints: prints(r.Prints, nil), partials: prints(nil, r.Partials), index: -1, extension: -1, artifact: -1,
	}
	if p.message == "" {
		p.arguments = r.Message.Arguments
	}
	if r.Kind == "informational" {
		p.level = "none"
	}
	for _, i := range []*int{r.Rule.Index, r.Index} {
		p.index = index(i, p.index)
	}
	p.extension = index(r.Rule.Component.Index, -1)
	if p.baseline == "existing" {
		p.baseline = "unchanged"
	}
	if !slices.Contains([]string{"new", "unchanged", "updated"}, p.baseline) {
		p.baseline = ""
	}
	for _, s := range r.Suppressions {
		if s.State = cmp.Or(s.State, s.OldState); s.State == "rejected" || s.State == "underReview" {
			p.muted = nil
			break
		}
		p.muted = &Suppression{How: "external", Reason: cut(s.Justification, maxTitle, false)}
		if s.Kind == "inSource" {
			p.muted.How = "in_source"
		}
	}
	if len(r.Locations) > 0 {
		l := r.Locations[0]
		g := l.Physical.Region
		p.location = cut(l.Physical.Artifact.URI, maxPlace, false)
		p.line, p.column = index(&g.Line, 0), max(index(&g.Column, 0), index(&g.Char, 0), index(&g.Byte, 0))
		p.artifact = index(l.Physical.Artifact.Index, -1)
		p.matched = digest(code(g.Snippet.Text))
		if len(l.Logical) > 0 {
			p.function = cut(cmp.Or(l.Logical[0].Full, l.Logical[0].Name), maxPlace, false)
		}
	}
	return p, true
}

// index is a number that is told and can be one.
func index(n *int, other int32) int32 {
	if n == nil || *n < 0 || *n > math.MaxInt32 {
		return other
	}
	return int32(*n)
}

// printName tells partial prints from other things that tools put there:
// gitleaks puts the commit and its author.
var printName = regexp.MustCompile(`(?i)hash|print|/v\d+$`)

// moving names prints that change although the finding does not: the hash of the
// whole file, the column.
var moving = regexp.MustCompile(`(?i)file|column`)

func prints(full, partial map[string]plain) string {
	var out []string
	for k, v := range full {
		// Semgrep writes this in place of every print when nobody is logged in.
		if v != "" && v != "requires login" {
			out = append(out, k+"="+string(v))
		}
	}
	for k, v := range partial {
		if v != "" && v != "requires login" && printName.MatchString(k) && !moving.MatchString(k) {
			out = append(out, k+"="+string(v))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func references(list []sarifReference) (out []string) {
	for _, r := range list {
		if r.Target != nil {
			r = *r.Target
		}
		if strings.EqualFold(r.Component.Name, "cwe") {
			out = append(out, cwes(r.ID)...)
		} else {
			out = append(out, cwes("x "+r.ID)...)
		}
	}
	return out
}
