package scan

import "cmp"

// semgrep is the JSON of Semgrep.
//
// Clean needs a list of results and a list of scanned paths that is not empty;
// errors of level error make the report partial. Reports of very old versions
// name no paths: without findings they prove nothing.
//
// Identity: rule, file and the matched lines.
type semgrep struct{}

func (semgrep) name() string { return "semgrep" }

func (semgrep) sniff(h head) bool {
	return h.has("results[].check_id") || h.has("results", "errors") && !h.has("metrics") && (h.has("paths") || h.has("version") || len(h.paths) == 2)
}

func (semgrep) read(in *input, out *collector) error {
	s := in.json()
	out.tool("semgrep", "")
	listed, taken, scanned := false, 0, false
	err := s.object(func(key string) (err error) {
		switch key {
		case "version":
			var v plain
			err = s.into(&v)
			out.tool("semgrep", string(v))
		case "errors":
			_, err = each(s, func(e struct {
				Level string `json:"level"`
			},
			) error {
				if e.Level != "warn" && e.Level != "info" {
					out.partial("scan.reason.errors")
				}
				return nil
			})
		case "paths":
			var p struct {
				Scanned []plain `json:"scanned"`
			}
			err = s.into(&p)
			scanned = len(p.Scanned) > 0
		case "results":
			listed, err = each(s, func(v semgrepResult) error {
				taken++
				return v.add(out)
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
	case taken > 0 || scanned:
		out.proved()
	default:
		out.unknown("scan.reason.nothing_scanned")
	}
	return err
}

type semgrepResult struct {
	Rule  string `json:"check_id"`
	Path  string `json:"path"`
	Start struct {
		Line int `json:"line"`
		Col  int `json:"col"`
	} `json:"start"`
	Extra struct {
		Message  string `json:"message"`
		Severity string `json:"severity"`
		Lines    string `json:"lines"`
		Ignored  bool   `json:"is_ignored"`
		Metadata struct {
			CWE        words  `json:"cwe"`
			CVE        words  `json:"cve"`
			Impact     string `json:"impact"`
			Source     string `json:"source"`
			References words  `json:"references"`
		} `json:"metadata"`
	} `json:"extra"`
}

func (v *semgrepResult) add(out *collector) error {
	x := v.Extra
	f := Finding{
		Rule: v.Rule, Title: x.Message, Description: x.Message, Severity: severity(x.Severity, 0), Location: path(v.Path, ""), Line: v.Start.Line,
		CWE: cwes(x.Metadata.CWE...), CVE: cves(x.Metadata.CVE...), URL: cmp.Or(link(x.Metadata.Source), firstLink(x.Metadata.References)),
	}
	if x.Ignored {
		f.Suppressed = &Suppression{How: "in_source"}
	}
	// Without a login Semgrep writes "requires login" in place of the lines.
	lines := x.Lines
	if lines == "requires login" {
		lines = ""
	}
	m := mark{parts: []string{f.Location, withoutSecretCode(v.Rule, code(lines))}, line: v.Start.Line, col: v.Start.Col}
	return out.add(f, m)
}
