package scan

import (
	"cmp"
	"encoding/json"
)

// grype is the JSON of Anchore Grype.
//
// Clean needs a list of matches, the source that was scanned, and a vulnerability
// database without error.
//
// Identity: vulnerability, type and name of the package.
type grype struct{}

func (grype) name() string { return "grype" }

func (grype) sniff(h head) bool {
	return h.has("matches") && (h.has("matches[].vulnerability") || h.has("descriptor") || h.has("ignoredMatches"))
}

type grypeVuln struct {
	ID       string `json:"id"`
	URL      string `json:"dataSource"`
	Severity string `json:"severity"`
	Text     string `json:"description"`
	CVSS     []struct {
		Version string `json:"version"`
		Metrics struct {
			Base float64 `json:"baseScore"`
		} `json:"metrics"`
	} `json:"cvss"`
	Fix struct {
		Versions words  `json:"versions"`
		State    string `json:"state"`
	} `json:"fix"`
	CWEs []struct {
		CWE string `json:"cwe"`
	} `json:"cwes"`
}

// score is that of the highest CVSS version.
func (v *grypeVuln) score() (best float64) {
	version := ""
	for _, c := range v.CVSS {
		switch s := score(c.Metrics.Base); {
		case c.Version > version:
			best, version = s, c.Version
		case c.Version == version:
			best = max(best, s)
		}
	}
	return best
}

type grypeMatch struct {
	Vulnerability grypeVuln   `json:"vulnerability"`
	Related       []grypeVuln `json:"relatedVulnerabilities"`
	Artifact      struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		Type      string `json:"type"`
		PURL      string `json:"purl"`
		Locations []struct {
			Path string `json:"path"`
		} `json:"locations"`
	} `json:"artifact"`
	Rules []struct {
		Vulnerability string `json:"vulnerability"`
		Reason        string `json:"reason"`
		VEX           string `json:"vex-justification"`
		Status        string `json:"vex-status"`
	} `json:"appliedIgnoreRules"`
}

func (grype) read(in *input, out *collector) error {
	s := in.json()
	out.tool("grype", "")
	listed, source, broken := false, false, false
	take := func(m grypeMatch) error { return m.add(out) }
	err := s.object(func(key string) (err error) {
		switch key {
		case "matches":
			listed, err = each(s, take)
		case "ignoredMatches":
			_, err = each(s, func(m grypeMatch) error {
				if len(m.Rules) == 0 {
					m.Rules = append(m.Rules, struct {
						Vulnerability string `json:"vulnerability"`
						Reason        string `json:"reason"`
						VEX           string `json:"vex-justification"`
						Status        string `json:"vex-status"`
					}{})
				}
				return m.add(out)
			})
		case "source":
			var v struct {
				Type   string          `json:"type"`
				Target json.RawMessage `json:"target"`
			}
			if err = s.into(&v); err != nil {
				return err
			}
			var name string
			var object struct {
				UserInput string `json:"userInput"`
			}
			if json.Unmarshal(v.Target, &name) != nil && json.Unmarshal(v.Target, &object) == nil {
				name = object.UserInput
			}
			source = v.Type != ""
			if v.Type == "image" {
				name = image(name)
			}
			out.target(path(name, ""))
		case "descriptor":
			var d struct {
				Name      string `json:"name"`
				Version   string `json:"version"`
				Timestamp string `json:"timestamp"`
				DB        struct {
					Error  json.RawMessage `json:"error"`
					Status struct {
						Error json.RawMessage `json:"error"`
					} `json:"status"`
				} `json:"db"`
			}
			err = s.into(&d)
			out.tool(cmp.Or(d.Name, "grype"), d.Version)
			out.clock("", d.Timestamp)
			broken = filled(d.DB.Error) || filled(d.DB.Status.Error)
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
		return err
	case broken:
		out.unknown("scan.reason.failed")
	case !listed:
		out.unknown("scan.reason.shape")
	case source:
		out.proved()
	}
	return nil
}

func (m *grypeMatch) add(out *collector) error {
	v, a := m.Vulnerability, m.Artifact
	f := Finding{
		Rule: v.ID, Title: v.ID + " " + a.Name, Score: v.score(), Package: a.Name, Version: a.Version, URL: v.URL, Description: v.Text, CVE: cves(v.ID),
	}
	if v.Fix.State != "not-fixed" && len(v.Fix.Versions) > 0 {
		f.FixedIn = v.Fix.Versions[0]
	}
	if len(a.Locations) > 0 {
		f.Location = path(a.Locations[0].Path, "")
	}
	for _, r := range m.Related {
		f.CVE, f.Score, f.Description = append(f.CVE, cves(r.ID)...), cmp.Or(f.Score, r.score()), cmp.Or(f.Description, r.Text)
	}
	for _, c := range v.CWEs {
		f.CWE = append(f.CWE, cwes(c.CWE)...)
	}
	f.Severity = severity(v.Severity, f.Score)
	if len(m.Rules) > 0 {
		r := m.Rules[0]
		f.Suppressed = &Suppression{How: "ignored", Reason: cmp.Or(r.Reason, r.VEX)}
		if r.Status != "" {
			f.Suppressed.How = suppressedHow(r.Status)
		}
	}
	return out.add(f, at(a.Type, a.Name))
}
