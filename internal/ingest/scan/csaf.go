package scan

import "cmp"

// csaf is an advisory in CSAF 2.0: what a vendor says of products. It is no scan:
// it is never clean, and nothing is fixed by its silence. Products that it calls
// affected or under investigation are findings, known_not_affected ones are
// suppressed, fixed ones are none.
//
// Identity: the CVE or the vendor's id, and the product with its version: a vendor
// states each version by itself.
type csaf struct{}

func (csaf) name() string { return "csaf" }

func (csaf) sniff(h head) bool { return h.has("document.csaf_version") }

type csafBranch struct {
	Category string       `json:"category"`
	Name     string       `json:"name"`
	Branches []csafBranch `json:"branches"`
	Product  *csafProduct `json:"product"`
}

type csafProduct struct {
	ID     string `json:"product_id"`
	Name   string `json:"name"`
	Helper struct {
		PURL string `json:"purl"`
	} `json:"product_identification_helper"`
}

type csafVuln struct {
	CVE   string `json:"cve"`
	Title string `json:"title"`
	CWE   struct {
		ID string `json:"id"`
	} `json:"cwe"`
	IDs []struct {
		Text string `json:"text"`
	} `json:"ids"`
	Notes []struct {
		Category string `json:"category"`
		Text     string `json:"text"`
	} `json:"notes"`
	Status struct {
		Affected      []string `json:"known_affected"`
		First         []string `json:"first_affected"`
		Last          []string `json:"last_affected"`
		Investigation []string `json:"under_investigation"`
		Not           []string `json:"known_not_affected"`
	} `json:"product_status"`
	Scores []struct {
		V3 struct {
			Score    float64 `json:"baseScore"`
			Severity string  `json:"baseSeverity"`
		} `json:"cvss_v3"`
		V2 struct {
			Score float64 `json:"baseScore"`
		} `json:"cvss_v2"`
	} `json:"scores"`
	Remediations []struct {
		Category string `json:"category"`
		Details  string `json:"details"`
		URL      string `json:"url"`
	} `json:"remediations"`
	References []struct {
		URL string `json:"url"`
	} `json:"references"`
	Flags []struct {
		Label    string   `json:"label"`
		Products []string `json:"product_ids"`
	} `json:"flags"`
}

// csafName is a product by the family and the version of the tree.
type csafName struct{ family, version string }

func (csaf) read(in *input, out *collector) error {
	s := in.json()
	names := map[string]csafName{}
	var walk func(b csafBranch, family, version string)
	walk = func(b csafBranch, family, version string) {
		switch b.Category {
		case "product_name":
			family = b.Name
		case "product_version", "product_version_range":
			version = b.Name
		}
		if b.Product != nil {
			n := csafName{cmp.Or(family, b.Product.Name), version}
			if p, v := purl(b.Product.Helper.PURL); p != "" {
				n.family, n.version = p, cmp.Or(v, version)
			}
			names[b.Product.ID] = n
		}
		for _, sub := range b.Branches {
			walk(sub, family, version)
		}
	}
	var vulns []csafVuln
	err := s.object(func(key string) (err error) {
		switch key {
		case "document":
			var d struct {
				Publisher struct {
					Name string `json:"name"`
				} `json:"publisher"`
				Tracking struct {
					ID   string `json:"id"`
					Time string `json:"current_release_date"`
				} `json:"tracking"`
			}
			err = s.into(&d)
			out.tool("csaf", "")
			out.target(d.Publisher.Name)
			out.clock("", d.Tracking.Time)
		case "product_tree":
			var t struct {
				Branches  []csafBranch  `json:"branches"`
				Products  []csafProduct `json:"full_product_names"`
				Relations []struct {
					Product csafProduct `json:"full_product_name"`
				} `json:"relationships"`
			}
			err = s.into(&t)
			for _, b := range t.Branches {
				walk(b, "", "")
			}
			for _, p := range t.Products {
				walk(csafBranch{Product: &p}, "", "")
			}
			for _, r := range t.Relations {
				walk(csafBranch{Product: &r.Product}, "", "")
			}
		case "vulnerabilities":
			_, err = each(s, func(v csafVuln) error {
				vulns = append(vulns, v)
				return nil
			})
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return err
	}
	for _, v := range vulns {
		if err := v.add(out, names); err != nil {
			return err
		}
	}
	out.partial("scan.reason.advisory")
	return nil
}

func (v *csafVuln) add(out *collector, names map[string]csafName) error {
	f := Finding{Rule: v.CVE, Title: v.Title, CVE: cves(v.CVE), CWE: cwes(v.CWE.ID)}
	for _, id := range v.IDs {
		f.Rule = cmp.Or(f.Rule, id.Text)
	}
	f.Rule = cmp.Or(f.Rule, v.Title)
	for _, n := range v.Notes {
		if n.Category == "description" || n.Category == "summary" || f.Description == "" {
			f.Description = n.Text
		}
	}
	word := ""
	for _, s := range v.Scores {
		if n := cmp.Or(score(s.V3.Score), score(s.V2.Score)); n > f.Score {
			f.Score, word = n, s.V3.Severity
		}
	}
	f.Severity = severity(word, f.Score)
	for _, r := range v.Remediations {
		f.URL = cmp.Or(f.URL, link(r.URL))
	}
	for _, r := range v.References {
		f.URL = cmp.Or(f.URL, link(r.URL))
	}
	one := func(id string, muted *Suppression) error {
		g, n := f, names[id]
		g.CVE, g.CWE = append([]string(nil), f.CVE...), append([]string(nil), f.CWE...)
		g.Package, g.Version, g.Suppressed = cmp.Or(n.family, id), n.version, muted
		return out.add(g, at(g.Package, n.version))
	}
	for _, ids := range [][]string{v.Status.Affected, v.Status.First, v.Status.Last, v.Status.Investigation} {
		for _, id := range ids {
			if err := one(id, nil); err != nil {
				return err
			}
		}
	}
	for _, id := range v.Status.Not {
		muted := &Suppression{How: "not_affected"}
		for _, fl := range v.Flags {
			for _, p := range fl.Products {
				if p == id {
					muted.Reason = fl.Label
				}
			}
		}
		if err := one(id, muted); err != nil {
			return err
		}
	}
	return nil
}
