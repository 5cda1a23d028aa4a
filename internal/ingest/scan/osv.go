package scan

import "strings"

// osvScanner is the JSON of OSV-Scanner. It names a source only when something
// was found in it, so that its own fields tell no more than that it ended.
//
// Clean needs a list of results. Where nothing could be scanned OSV-Scanner
// writes no report, which is an empty body and unknown. A bare {"results": []}
// could be of several tools: the caller must name the format.
//
// Identity: the lockfile, the package, and the oldest kind of id of the group.
type osvScanner struct{}

func (osvScanner) name() string { return "osv-scanner" }

func (osvScanner) sniff(h head) bool {
	return h.has("results") && (h.has("results[].packages") || h.has("experimental_config") || h.has("results[].source"))
}

type osvVuln struct {
	Schema   string   `json:"schema_version"`
	ID       string   `json:"id"`
	Aliases  []string `json:"aliases"`
	Summary  string   `json:"summary"`
	Details  string   `json:"details"`
	Severity []struct {
		Type  string `json:"type"`
		Score string `json:"score"`
	} `json:"severity"`
	Affected []struct {
		Package struct {
			Name      string `json:"name"`
			Ecosystem string `json:"ecosystem"`
		} `json:"package"`
		Ranges []osvRange `json:"ranges"`
		Own    struct {
			Imports []struct {
				GOOS   []string `json:"goos"`
				GOARCH []string `json:"goarch"`
			} `json:"imports"`
		} `json:"ecosystem_specific"`
	} `json:"affected"`
	References []struct {
		URL string `json:"url"`
	} `json:"references"`
	Own struct {
		URL      string `json:"url"`
		Severity plain  `json:"severity"`
		CWE      words  `json:"cwe_ids"`
	} `json:"database_specific"`
}

type osvRange struct {
	Type   string `json:"type"`
	Events []struct {
		Introduced string `json:"introduced"`
		Fixed      string `json:"fixed"`
		Last       string `json:"last_affected"`
	} `json:"events"`
}

// finding is what an advisory says about a package.
func (v *osvVuln) finding(name, version string) Finding {
	f := Finding{
		Rule: v.ID, Title: v.Summary, Package: name, Version: version, Description: v.Details, CVE: cves(append(v.Aliases, v.ID)...),
		CWE: cwes(v.Own.CWE...), URL: v.Own.URL,
	}
	for _, s := range v.Severity {
		f.Score = max(f.Score, vector(s.Score), number(s.Score))
	}
	f.Severity = severity(string(v.Own.Severity), f.Score)
	for _, a := range v.Affected {
		if a.Package.Name != name {
			continue
		}
		for _, r := range a.Ranges {
			for _, e := range r.Events {
				if e.Fixed != "" && r.Type != "GIT" {
					f.FixedIn = e.Fixed
				}
			}
		}
	}
	if f.URL == "" && len(v.References) > 0 {
		f.URL = v.References[0].URL
	}
	return f
}

func (osvScanner) read(in *input, out *collector) error {
	s := in.json()
	out.tool("osv-scanner", "")
	listed := false
	err := s.object(func(key string) (err error) {
		switch key {
		case "results":
		case "errors", "metrics":
			// Other tools have results too.
			return errShape
		default:
			return s.skip()
		}
		listed, err = each(s, func(r struct {
			Source struct {
				Path string `json:"path"`
			} `json:"source"`
			Packages []struct {
				Package struct {
					Name      string `json:"name"`
					Version   string `json:"version"`
					Ecosystem string `json:"ecosystem"`
				} `json:"package"`
				Vulnerabilities []osvVuln `json:"vulnerabilities"`
				Groups          []struct {
					IDs      []string `json:"ids"`
					Aliases  []string `json:"aliases"`
					Severity plain    `json:"max_severity"`
				} `json:"groups"`
			} `json:"packages"`
		},
		) error {
			if r.Packages == nil {
				return errShape
			}
			place := path(r.Source.Path, "")
			for _, p := range r.Packages {
				group := map[string]int{}
				for i, g := range p.Groups {
					for _, id := range g.IDs {
						group[id] = i + 1
					}
				}
				for _, v := range p.Vulnerabilities {
					f := v.finding(p.Package.Name, p.Package.Version)
					f.Location = place
					ids := append([]string{v.ID}, v.Aliases...)
					if i := group[v.ID]; i > 0 {
						g := p.Groups[i-1]
						ids = append(ids, g.IDs...)
						if n := number(string(g.Severity)); n > 0 {
							f.Score = n
							f.Severity = byScore(n)
						}
					}
					f.Rule = stableID(ids)
					if err := out.add(f, at(place, p.Package.Ecosystem, p.Package.Name)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		return err
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
	case !listed:
		out.unknown("scan.reason.shape")
	default:
		out.proved()
	}
	return err
}

// stableID is the name of a vulnerability that stays when databases give it more
// names: the CVE, else the least.
func stableID(ids []string) string {
	best := ""
	for _, id := range ids {
		switch cve := strings.HasPrefix(id, "CVE-"); {
		case id == "":
		case best == "", cve && !strings.HasPrefix(best, "CVE-"), cve == strings.HasPrefix(best, "CVE-") && id < best:
			best = id
		}
	}
	return best
}

// osvAdvisory is one advisory in the OSV schema. It says what is vulnerable in the
// world, not what is in use here, so that it is never a report.
type osvAdvisory struct{}

func (osvAdvisory) name() string { return "osv" }

func (osvAdvisory) sniff(h head) bool {
	return h.has("id", "affected") && (h.has("schema_version") || h.has("modified"))
}

func (osvAdvisory) read(in *input, out *collector) error {
	s := in.json()
	err := s.skip()
	if err == nil {
		err = s.end()
	}
	out.tool("osv", "")
	if err == nil {
		out.unknown("scan.reason.advisory")
	}
	return err
}
