package scan

import (
	"cmp"
	"strings"
)

// openVEX is an OpenVEX document: statements on vulnerabilities of products.
//
// A document of govulncheck is the result of a scan and is whole: clean when no
// statement says affected. Other documents state some things and not others;
// nothing is fixed by their silence, and they are never clean.
//
// Identity: the vulnerability and the component without its version.
type openVEX struct{}

func (openVEX) name() string { return "openvex" }

func (openVEX) sniff(h head) bool {
	return strings.HasPrefix(h.paths["@context"], "https://openvex.dev/ns")
}

type vexProduct struct {
	ID         string `json:"@id"`
	Components []struct {
		ID string `json:"@id"`
	} `json:"subcomponents"`
}

type vexStatement struct {
	Vulnerability struct {
		ID          string   `json:"@id"`
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Aliases     []string `json:"aliases"`
	} `json:"vulnerability"`
	Products      []vexProduct `json:"products"`
	Status        string       `json:"status"`
	Justification string       `json:"justification"`
	Impact        string       `json:"impact_statement"`
	Action        string       `json:"action_statement"`
}

func (openVEX) read(in *input, out *collector) error {
	s := in.json()
	out.tool("openvex", "")
	var listed, scanner bool
	author := ""
	var statements []vexStatement
	err := s.object(func(key string) (err error) {
		switch key {
		case "tooling":
			var t plain
			err = s.into(&t)
			scanner = strings.Contains(string(t), "govulncheck")
		case "author":
			err = s.into((*plain)(&author))
		case "timestamp", "last_updated":
			var t plain
			err = s.into(&t)
			out.clock("", string(t))
		case "statements":
			listed, err = each(s, func(v vexStatement) error {
				if len(statements) >= MaxFindings {
					return tooMany()
				}
				statements = append(statements, v)
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
	if scanner {
		out.tool("govulncheck", "")
	}
	for _, v := range statements {
		if err := v.add(out, author); err != nil {
			return err
		}
	}
	switch {
	case !listed:
		out.unknown("scan.reason.shape")
	case scanner:
		out.proved()
	default:
		out.partial("scan.reason.statements")
	}
	return nil
}

func (v *vexStatement) add(out *collector, author string) error {
	if v.Status == "fixed" {
		return nil
	}
	var components []string
	for _, p := range v.Products {
		for _, c := range p.Components {
			components = append(components, c.ID)
		}
		if len(p.Components) == 0 {
			components = append(components, p.ID)
		}
	}
	for _, id := range append(components, "")[:max(1, len(components))] {
		name, version := purl(id)
		f := Finding{
			Rule: v.Vulnerability.Name, Title: v.Vulnerability.Description, Package: cmp.Or(name, id), Version: version, URL: v.Vulnerability.ID,
			CVE: cves(append(v.Vulnerability.Aliases, v.Vulnerability.Name)...), Description: cmp.Or(v.Action, v.Impact),
		}
		if v.Status == "not_affected" {
			f.Suppressed = &Suppression{How: "not_affected", Reason: cmp.Or(v.Justification, v.Impact), By: author}
		}
		if err := out.add(f, at(f.Package)); err != nil {
			return err
		}
	}
	return nil
}
