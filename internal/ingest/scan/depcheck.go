package scan

import (
	"cmp"
	"encoding/xml"
	"strings"
)

// dependencyCheck is the report of OWASP Dependency-Check, XML or JSON.
//
// Clean needs at least one dependency, and no exception of the analysis.
//
// Identity: the vulnerability and the package without its version, else the file's
// name without its version.
type dependencyCheck struct{}

func (dependencyCheck) name() string { return "dependency-check" }

func (dependencyCheck) sniff(h head) bool {
	return h.has("reportSchema", "scanInfo") || h.root == "analysis" && strings.Contains(h.space, "dependency-check")
}

type dcVuln struct {
	Name        string `json:"name" xml:"name"`
	Severity    string `json:"severity" xml:"severity"`
	Description string `json:"description" xml:"description"`
	Notes       string `json:"notes" xml:"notes"`
	V2          struct {
		Score float64 `json:"score" xml:"score"`
	} `json:"cvssv2" xml:"cvssV2"`
	V3 struct {
		Score float64 `json:"baseScore" xml:"baseScore"`
	} `json:"cvssv3" xml:"cvssV3"`
	V4 struct {
		Score float64 `json:"baseScore" xml:"baseScore"`
	} `json:"cvssv4" xml:"cvssV4"`
	CWE        []string `json:"cwes" xml:"cwes>cwe"`
	References []struct {
		URL string `json:"url" xml:"url"`
	} `json:"references" xml:"references>reference"`
}

type dcDependency struct {
	File     string `json:"fileName" xml:"fileName"`
	Path     string `json:"filePath" xml:"filePath"`
	Packages []struct {
		ID string `json:"id" xml:"id"`
	} `json:"packages" xml:"identifiers>package"`
	Vulnerabilities []dcVuln `json:"vulnerabilities" xml:"vulnerabilities>vulnerability"`
	Suppressed      []dcVuln `json:"suppressedVulnerabilities" xml:"vulnerabilities>suppressedVulnerability"`
}

type dcProject struct {
	Name string `json:"name" xml:"name"`
	Date string `json:"reportDate" xml:"reportDate"`
}

func (dependencyCheck) read(in *input, out *collector) error {
	out.tool("dependency-check", "")
	dependencies := 0
	take := func(d dcDependency) error {
		if d.File == "" {
			return errShape
		}
		dependencies++
		return d.add(out)
	}
	project := func(p dcProject) {
		out.target(p.Name)
		out.clock("", p.Date)
	}
	var err error
	if in.head.kind == xmlBody {
		err = in.elements(func(d *xml.Decoder, e xml.StartElement, path string) (bool, error) {
			switch path {
			case "analysis/scanInfo/engineVersion":
				var v string
				err := d.DecodeElement(&v, &e)
				out.tool("dependency-check", v)
				return true, err
			case "analysis/scanInfo/analysisExceptions/analysisException", "analysis/analysisExceptions/analysisException":
				out.partial("scan.reason.errors")
			case "analysis/projectInfo":
				var p dcProject
				err := d.DecodeElement(&p, &e)
				project(p)
				return true, err
			case "analysis/dependencies/dependency":
				var v dcDependency
				if err := d.DecodeElement(&v, &e); err != nil {
					return true, err
				}
				return true, take(v)
			}
			return false, nil
		})
	} else {
		s := in.json()
		err = s.object(func(key string) (err error) {
			switch key {
			case "scanInfo":
				var v struct {
					Version    string     `json:"engineVersion"`
					Exceptions []struct{} `json:"analysisExceptions"`
				}
				err = s.into(&v)
				out.tool("dependency-check", v.Version)
				if len(v.Exceptions) > 0 {
					out.partial("scan.reason.errors")
				}
			case "projectInfo":
				var p dcProject
				err = s.into(&p)
				project(p)
			case "dependencies":
				_, err = each(s, take)
			default:
				err = s.skip()
			}
			return err
		})
		if err == nil {
			err = s.end()
		}
	}
	switch {
	case err != nil:
	case dependencies == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}

func (d *dcDependency) add(out *collector) error {
	name, version := numbers.ReplaceAllString(d.File, "#"), ""
	for _, p := range d.Packages {
		if n, v := purl(p.ID); n != "" {
			name, version = n, v
			break
		}
	}
	for i, v := range append(append([]dcVuln(nil), d.Vulnerabilities...), d.Suppressed...) {
		f := Finding{
			Rule: v.Name, Title: v.Name + " " + cmp.Or(d.File, name), Package: name, Version: version, Location: path(d.File, ""), Description: v.Description,
			Score: cmp.Or(score(v.V4.Score), score(v.V3.Score), score(v.V2.Score)), CVE: cves(v.Name), CWE: cwes(v.CWE...),
		}
		f.Severity = severity(v.Severity, f.Score)
		for _, r := range v.References {
			f.URL = cmp.Or(f.URL, link(r.URL))
		}
		if i >= len(d.Vulnerabilities) {
			f.Suppressed = &Suppression{How: "ignored", Reason: v.Notes}
		}
		if err := out.add(f, at(name)); err != nil {
			return err
		}
	}
	return nil
}
