package scan

import "cmp"

// wazuh is the answer of the indexer to a search in Wazuh's vulnerability states.
//
// It is whole when every shard answered and all hits are in it: a search gives the
// first page. An empty answer does not tell whether any machine was looked at, and
// is unknown.
//
// Identity: the agent, the package and the vulnerability.
type wazuh struct{}

func (wazuh) name() string { return "wazuh" }

func (wazuh) sniff(h head) bool {
	return h.has("hits.hits[]._source.vulnerability") || h.has("took", "timed_out", "hits")
}

func (wazuh) read(in *input, out *collector) error {
	s := in.json()
	out.tool("wazuh", "")
	taken, total, failed := 0, 0, false
	err := s.object(func(key string) (err error) {
		switch key {
		case "timed_out":
			var late bool
			err = s.into(&late)
			failed = failed || late
		case "_shards":
			var v struct {
				Failed int `json:"failed"`
			}
			err = s.into(&v)
			failed = failed || v.Failed > 0
		case "hits":
			err = s.object(func(key string) (err error) {
				switch key {
				case "total":
					var v struct {
						Value int `json:"value"`
					}
					err = s.into(&v)
					total = v.Value
				case "hits":
					_, err = each(s, func(v wazuhHit) error {
						taken++
						return v.add(out)
					})
				default:
					err = s.skip()
				}
				return err
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
	case failed:
		out.unknown("scan.reason.failed")
	case taken == 0:
		out.unknown("scan.reason.nothing_scanned")
	case taken < total:
		out.partial("scan.reason.page", "of", total, "taken", taken)
	default:
		out.proved()
	}
	return err
}

type wazuhHit struct {
	Source struct {
		Agent struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"agent"`
		Package struct {
			Name    string `json:"name"`
			Version string `json:"version"`
			Type    string `json:"type"`
		} `json:"package"`
		Vulnerability struct {
			ID          string `json:"id"`
			Description string `json:"description"`
			Severity    string `json:"severity"`
			Score       struct {
				Base float64 `json:"base"`
			} `json:"score"`
			Scanner struct {
				URL string `json:"reference"`
			} `json:"scanner"`
		} `json:"vulnerability"`
	} `json:"_source"`
}

func (h *wazuhHit) add(out *collector) error {
	v, p, agent := h.Source.Vulnerability, h.Source.Package, cmp.Or(h.Source.Agent.Name, h.Source.Agent.ID)
	if v.ID == "" {
		return errShape
	}
	out.target(agent)
	f := Finding{
		Target: agent, Rule: v.ID, Title: v.ID + " " + p.Name, Score: score(v.Score.Base), Location: agent, Package: p.Name, Version: p.Version,
		CVE: cves(v.ID), URL: v.Scanner.URL, Description: v.Description,
	}
	f.Severity = severity(v.Severity, f.Score)
	return out.add(f, at(p.Type, p.Name))
}
