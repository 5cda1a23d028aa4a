package scan

import (
	"cmp"
	"encoding/json"
	"strings"
)

// npmAudit is the JSON of npm audit: version 1 (npm 6) and 2 (npm 7 and later).
//
// Clean needs the list of advisories or of vulnerable packages, and at least one
// dependency in the metadata. A body with an error says that the registry did not
// answer.
//
// Identity: the advisory and the package. A package that is named only because it
// needs a vulnerable one is no finding of its own.
type npmAudit struct{}

func (npmAudit) name() string { return "npm-audit" }

func (npmAudit) sniff(h head) bool {
	return h.has("auditReportVersion") || h.has("actions", "advisories") || h.has("advisories", "metadata") || h.has("actions[].resolves") ||
		h.member("error", "summary") || h.member("error", "code") && len(h.paths) < 6
}

type npmVia struct {
	Source plain  `json:"source"`
	Name   string `json:"name"`
	Title  string `json:"title"`
	URL    string `json:"url"`
	Grave  string `json:"severity"`
	CWE    words  `json:"cwe"`
	CVSS   struct {
		Score float64 `json:"score"`
	} `json:"cvss"`
	Range string `json:"range"`
}

func (npmAudit) read(in *input, out *collector) error {
	s := in.json()
	out.tool("npm audit", "")
	listed, dependencies := false, 0
	err := s.object(func(key string) (err error) {
		switch key {
		case "error":
			var e json.RawMessage
			if err = s.into(&e); err == nil && string(e) != "null" {
				out.unknown("scan.reason.failed")
			}
		case "vulnerabilities":
			listed = true
			err = s.object(func(string) error {
				var v struct {
					Via []json.RawMessage `json:"via"`
					Fix json.RawMessage   `json:"fixAvailable"`
				}
				if err := s.into(&v); err != nil {
					return err
				}
				return npmAdvisories(out, v.Via, v.Fix)
			})
		case "advisories":
			listed = true
			err = s.object(func(string) error {
				var a npmAdvisory
				if err := s.into(&a); err != nil {
					return err
				}
				return a.add(out)
			})
		case "metadata":
			var m struct {
				Total plain           `json:"totalDependencies"`
				Deps  json.RawMessage `json:"dependencies"`
			}
			if err = s.into(&m); err != nil {
				return err
			}
			var d struct {
				Total plain `json:"total"`
			}
			_ = json.Unmarshal(m.Deps, &d)
			dependencies = cmp.Or(m.Total.int(), d.Total.int())
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
	case dependencies == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}

func npmAdvisories(out *collector, via []json.RawMessage, fix json.RawMessage) error {
	var fixed struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	_ = json.Unmarshal(fix, &fixed)
	for _, raw := range via {
		if firstByte(raw) != '{' {
			continue
		}
		var a npmVia
		if json.Unmarshal(raw, &a) != nil {
			return errShape
		}
		f := Finding{
			Rule: cmp.Or(lastPart(a.URL, "GHSA-"), string(a.Source)), Title: a.Title, Severity: severity(a.Grave, score(a.CVSS.Score)),
			Score: score(a.CVSS.Score), Package: a.Name, CWE: cwes(a.CWE...), URL: a.URL, CVE: cves(a.URL, a.Title), Description: a.Title + "\n" + a.Range,
		}
		if fixed.Version != "" {
			f.FixedIn = fixed.Name + " " + fixed.Version
		}
		if err := out.add(f, at(a.Name)); err != nil {
			return err
		}
	}
	return nil
}

type npmAdvisory struct {
	ID       plain  `json:"id"`
	Title    string `json:"title"`
	Module   string `json:"module_name"`
	CVE      words  `json:"cves"`
	Patched  string `json:"patched_versions"`
	Overview string `json:"overview"`
	Severity string `json:"severity"`
	CWE      words  `json:"cwe"`
	URL      string `json:"url"`
	Findings []struct {
		Version string `json:"version"`
	} `json:"findings"`
}

func (a *npmAdvisory) add(out *collector) error {
	f := Finding{
		Rule: string(a.ID), Title: a.Title, Severity: severity(a.Severity, 0), Package: a.Module, FixedIn: strings.TrimSpace(a.Patched),
		CVE: cves(a.CVE...), CWE: cwes(a.CWE...), URL: a.URL, Description: a.Overview,
	}
	if len(a.Findings) > 0 {
		f.Version = a.Findings[0].Version
	}
	return out.add(f, at(a.Module))
}

// lastPart is the end of an address when it begins with the prefix.
func lastPart(address, prefix string) string {
	if last := address[strings.LastIndexByte(address, '/')+1:]; strings.HasPrefix(last, prefix) {
		return last
	}
	return ""
}
