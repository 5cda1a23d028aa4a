package scan

import (
	"cmp"
	"encoding/json"
	"strings"
)

// gosec is the JSON of gosec.
//
// Clean needs a list of issues, at least one file in the statistics, and no error
// of the Go compiler: what does not compile is not looked at.
//
// Identity: rule, file, the line of code, the message.
type gosec struct{}

func (gosec) name() string { return "gosec" }

func (gosec) sniff(h head) bool {
	return h.has("Golang errors") || h.has("Issues", "GosecVersion") || h.has("Issues[].rule_id")
}

func (gosec) read(in *input, out *collector) error {
	s := in.json()
	out.tool("gosec", "")
	listed, files := false, 0
	err := s.object(func(key string) (err error) {
		switch key {
		case "Golang errors":
			var e json.RawMessage
			if err = s.into(&e); filled(e) {
				out.partial("scan.reason.errors")
			}
		case "GosecVersion":
			var v plain
			err = s.into(&v)
			out.tool("gosec", string(v))
		case "Stats":
			var v struct {
				Files plain `json:"files"`
			}
			err = s.into(&v)
			files = v.Files.int()
		case "Issues":
			listed, err = each(s, func(v struct {
				Severity string `json:"severity"`
				CWE      struct {
					ID string `json:"id"`
				} `json:"cwe"`
				Rule         string `json:"rule_id"`
				Details      string `json:"details"`
				File         string `json:"file"`
				Code         string `json:"code"`
				Line         plain  `json:"line"`
				Column       plain  `json:"column"`
				NoSec        bool   `json:"nosec"`
				Suppressions []struct {
					Kind          string `json:"kind"`
					Justification string `json:"justification"`
				} `json:"suppressions"`
			},
			) error {
				f := Finding{
					Rule: v.Rule, Title: v.Details, Severity: severity(v.Severity, 0), Location: path(v.File, ""), CWE: cwes(v.CWE.ID),
				}
				line, _, _ := strings.Cut(string(v.Line), "-")
				f.Line = plain(line).int()
				if v.NoSec || len(v.Suppressions) > 0 {
					f.Suppressed = &Suppression{How: "in_source"}
					for _, x := range v.Suppressions {
						f.Suppressed.Reason = cmp.Or(f.Suppressed.Reason, x.Justification)
						if x.Kind == "external" {
							f.Suppressed.How = "external"
						}
					}
				}
				return out.add(f, mark{parts: []string{f.Location, numbered(v.Code, line), phrase(v.Details)}, line: f.Line, col: v.Column.int()})
			})
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
	case !listed:
		out.unknown("scan.reason.shape")
	case files == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}

// numbered gives the line of a quoted piece of code whose lines begin with their
// numbers: "18: f()" of gosec, "18 f()" of bandit.
func numbered(quoted, line string) string {
	for _, l := range strings.Split(quoted, "\n") {
		if rest, ok := strings.CutPrefix(l, line); ok && line != "" && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " ")) {
			return code(rest[1:])
		}
	}
	return ""
}
