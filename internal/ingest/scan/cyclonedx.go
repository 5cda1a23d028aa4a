package scan

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"strings"
)

// cycloneDX is a CycloneDX document, JSON or XML.
//
// A list of components alone is an inventory: nobody says that vulnerabilities
// were looked for, which is unknown. Clean needs a list of vulnerabilities, which
// may be empty, beside at least one component.
//
// Identity: the vulnerability and the component without its version. An analysis
// of not_affected, false_positive or resolved is a suppression.
type cycloneDX struct{}

func (cycloneDX) name() string { return "cyclonedx" }

func (cycloneDX) sniff(h head) bool {
	return h.paths["bomFormat"] == "CycloneDX" || h.root == "bom" && strings.Contains(h.space, "cyclonedx.org")
}

type cdxTool struct {
	Name    string `json:"name" xml:"name"`
	Version string `json:"version" xml:"version"`
}

// cdxTools is a list of tools, or since version 1.5 an object with components.
type cdxTools []cdxTool

// UnmarshalJSON implements json.Unmarshaler.
func (t *cdxTools) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var o struct {
			Components []cdxTool `json:"components"`
		}
		err := json.Unmarshal(b, &o)
		*t = o.Components
		return err
	}
	return json.Unmarshal(b, (*[]cdxTool)(t))
}

type cdxComponent struct {
	Ref        string         `json:"bom-ref" xml:"bom-ref,attr"`
	Group      string         `json:"group" xml:"group"`
	Name       string         `json:"name" xml:"name"`
	Version    string         `json:"version" xml:"version"`
	PURL       string         `json:"purl" xml:"purl"`
	Components []cdxComponent `json:"components" xml:"components>component"`
}

type cdxVuln struct {
	ID     string `json:"id" xml:"id"`
	Source struct {
		URL string `json:"url" xml:"url"`
	} `json:"source" xml:"source"`
	Ratings []struct {
		Score    float64 `json:"score" xml:"score"`
		Severity string  `json:"severity" xml:"severity"`
		Method   string  `json:"method" xml:"method"`
		Vector   string  `json:"vector" xml:"vector"`
	} `json:"ratings" xml:"ratings>rating"`
	CWEs           []plain `json:"cwes" xml:"cwes>cwe"`
	Description    string  `json:"description" xml:"description"`
	Recommendation string  `json:"recommendation" xml:"recommendation"`
	References     []struct {
		ID string `json:"id" xml:"id"`
	} `json:"references" xml:"references>reference"`
	Analysis struct {
		State         string `json:"state" xml:"state"`
		Justification string `json:"justification" xml:"justification"`
		Detail        string `json:"detail" xml:"detail"`
	} `json:"analysis" xml:"analysis"`
	Affects []struct {
		Ref string `json:"ref" xml:"ref"`
	} `json:"affects" xml:"affects>target"`
}

// cdxDocument is what both forms of a document give.
type cdxDocument struct {
	tool       cdxTool
	subject    cdxComponent
	time       string
	components map[string]cdxComponent
	count      int
	vulns      []cdxVuln
	listed     bool
}

func (d *cdxDocument) component(c cdxComponent) {
	d.count++
	if c.Ref != "" {
		d.components[c.Ref] = c
	}
	for _, sub := range c.Components {
		d.component(sub)
	}
}

func (d *cdxDocument) vuln(v cdxVuln) error {
	if len(d.vulns) >= MaxFindings {
		return tooMany()
	}
	v.Description = cut(v.Description, maxDescription, true)
	d.vulns = append(d.vulns, v)
	return nil
}

func (cycloneDX) read(in *input, out *collector) error {
	d := &cdxDocument{components: map[string]cdxComponent{}}
	read := d.readJSON
	if in.head.kind == xmlBody {
		read = d.readXML
	}
	if err := read(in); err != nil {
		return err
	}
	out.tool(cmp.Or(d.tool.Name, "cyclonedx"), d.tool.Version)
	name, _ := purl(d.subject.PURL)
	out.target(cmp.Or(name, image(d.subject.Name)))
	out.clock("", d.time)
	for _, v := range d.vulns {
		if err := d.add(v, out); err != nil {
			return err
		}
	}
	switch {
	case !d.listed:
		out.unknown("scan.reason.inventory")
	case d.count == 0 && len(d.vulns) == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return nil
}

func (d *cdxDocument) readJSON(in *input) error {
	s := in.json()
	err := s.object(func(key string) (err error) {
		switch key {
		case "metadata":
			var m struct {
				Timestamp string       `json:"timestamp"`
				Component cdxComponent `json:"component"`
				Tools     cdxTools     `json:"tools"`
			}
			err = s.into(&m)
			d.time, d.subject = m.Timestamp, m.Component
			if len(m.Tools) > 0 {
				d.tool = m.Tools[0]
			}
			if m.Component.Ref != "" {
				d.components[m.Component.Ref] = m.Component
			}
		case "components":
			_, err = each(s, func(c cdxComponent) error { d.component(c); return nil })
		case "vulnerabilities":
			d.listed, err = each(s, d.vuln)
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	return err
}

func (d *cdxDocument) readXML(in *input) error {
	return in.elements(func(x *xml.Decoder, e xml.StartElement, path string) (bool, error) {
		switch path {
		case "bom/metadata":
			var m struct {
				Timestamp string       `xml:"timestamp"`
				Component cdxComponent `xml:"component"`
				Old       []cdxTool    `xml:"tools>tool"`
				New       []cdxTool    `xml:"tools>components>component"`
			}
			err := x.DecodeElement(&m, &e)
			d.time, d.subject = m.Timestamp, m.Component
			if tools := append(m.New, m.Old...); len(tools) > 0 {
				d.tool = tools[0]
			}
			return true, err
		case "bom/components/component":
			var c cdxComponent
			err := x.DecodeElement(&c, &e)
			d.component(c)
			return true, err
		case "bom/vulnerabilities":
			d.listed = true
		case "bom/vulnerabilities/vulnerability":
			var v cdxVuln
			if err := x.DecodeElement(&v, &e); err != nil {
				return true, err
			}
			return true, d.vuln(v)
		}
		return false, nil
	})
}

func (d *cdxDocument) add(v cdxVuln, out *collector) error {
	f := Finding{Rule: v.ID, Description: v.Description, URL: v.Source.URL, CVE: cves(v.ID)}
	word := ""
	for _, r := range v.Ratings {
		f.Score = max(f.Score, score(r.Score), vector(r.Vector))
		if s, ok := severities[strings.ToLower(r.Severity)]; ok && (word == "" || s.Rank() > severities[word].Rank()) {
			word = strings.ToLower(r.Severity)
		}
	}
	f.Severity = severity(word, f.Score)
	for _, c := range v.CWEs {
		f.CWE = append(f.CWE, cwes(string(c))...)
	}
	for _, r := range v.References {
		f.CVE = append(f.CVE, cves(r.ID)...)
	}
	switch v.Analysis.State {
	case "resolved", "resolved_with_pedigree", "false_positive", "not_affected":
		f.Suppressed = &Suppression{How: "not_affected", Reason: cmp.Or(v.Analysis.Justification, v.Analysis.Detail)}
	}
	refs := v.Affects
	if len(refs) == 0 {
		return out.add(f, at(""))
	}
	for _, a := range refs {
		g, c := f, d.components[a.Ref]
		name, version := purl(cmp.Or(c.PURL, a.Ref))
		g.Package, g.Version = cmp.Or(name, strings.TrimPrefix(c.Group+"/"+c.Name, "/"), a.Ref), cmp.Or(version, c.Version)
		g.Title = v.ID + " " + g.Package
		g.CVE, g.CWE = append([]string(nil), f.CVE...), append([]string(nil), f.CWE...)
		if err := out.add(g, at(g.Package)); err != nil {
			return err
		}
	}
	return nil
}
