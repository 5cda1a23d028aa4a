package scan

import (
	"encoding/xml"
	"regexp"
	"strings"
)

// zap is the report of ZAP, XML or JSON.
//
// Clean needs at least one site with its list of alerts: ZAP names the sites that
// it reached.
//
// Identity: the rule and the site. The places where a rule matched are instances
// of one finding, since a crawl does not find the same pages each time.
type zap struct{}

func (zap) name() string { return "zap" }

func (zap) sniff(h head) bool {
	return h.root == "OWASPZAPReport" || h.has("@programName", "site") || h.has("@version", "site") || h.has("site[].alerts") || h.has("site[].@name")
}

type zapAlert struct {
	Plugin     string `json:"pluginid" xml:"pluginid"`
	Ref        string `json:"alertRef" xml:"alertRef"`
	Alert      string `json:"alert" xml:"alert"`
	Name       string `json:"name" xml:"name"`
	Risk       string `json:"riskcode" xml:"riskcode"`
	Confidence string `json:"confidence" xml:"confidence"`
	Text       string `json:"desc" xml:"desc"`
	Solution   string `json:"solution" xml:"solution"`
	Reference  string `json:"reference" xml:"reference"`
	CWE        string `json:"cweid" xml:"cweid"`
	Instances  []struct {
		URI    string `json:"uri" xml:"uri"`
		Method string `json:"method" xml:"method"`
	} `json:"instances" xml:"instances>instance"`
}

type zapSite struct {
	Name   string     `json:"@name"`
	Alerts []zapAlert `json:"alerts"`
}

func (zap) read(in *input, out *collector) error {
	out.tool("zap", "")
	read := zapJSON
	if in.head.kind == xmlBody {
		read = zapXML
	}
	sites, listed, err := read(in, out)
	switch {
	case err != nil:
	case sites == 0:
		out.unknown("scan.reason.nothing_scanned")
	case listed == sites:
		out.proved()
	}
	return err
}

// zapXML gives the number of sites, and of those with a list of alerts.
func zapXML(in *input, out *collector) (sites, listed int, err error) {
	site, last := "", 0
	err = in.elements(func(d *xml.Decoder, e xml.StartElement, path string) (bool, error) {
		switch path {
		case "OWASPZAPReport":
			out.tool("zap", attribute(e, "version"))
			out.clock("", attribute(e, "generated"))
		case "OWASPZAPReport/site":
			sites++
			site = web(attribute(e, "name"))
			out.target(site)
		case "OWASPZAPReport/site/alerts":
			if last != sites {
				last = sites
				listed++
			}
		case "OWASPZAPReport/site/alerts/alertitem":
			var a zapAlert
			if err := d.DecodeElement(&a, &e); err != nil {
				return true, err
			}
			return true, a.add(out, site)
		}
		return false, nil
	})
	return sites, listed, err
}

func zapJSON(in *input, out *collector) (sites, listed int, err error) {
	s := in.json()
	err = s.object(func(key string) (err error) {
		var v plain
		switch key {
		case "@version":
			err = s.into(&v)
			out.tool("zap", string(v))
		case "@generated":
			err = s.into(&v)
			out.clock("", string(v))
		case "site":
			_, err = each(s, func(site zapSite) error {
				sites++
				if site.Alerts != nil {
					listed++
				}
				name := web(site.Name)
				out.target(name)
				for _, a := range site.Alerts {
					if err := a.add(out, name); err != nil {
						return err
					}
				}
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
	return sites, listed, err
}

var tags = regexp.MustCompile(`<[^<>]{1,100}>`)

func (a *zapAlert) add(out *collector, site string) error {
	f := Finding{
		Target: site, Rule: a.Ref, Title: a.Name, Location: site, Severity: zapRisk(a.Risk), CWE: cwes(a.CWE),
		URL: firstLink(strings.Fields(tags.ReplaceAllString(a.Reference, " "))), Description: tags.ReplaceAllString(a.Text+"\n\n"+a.Solution, " "),
	}
	if f.Rule == "" {
		f.Rule = a.Plugin
	}
	if f.Title == "" {
		f.Title = a.Alert
	}
	f.CVE = cves(f.Title)
	// The place shown is the least, so that it does not depend on the order.
	for _, i := range a.Instances {
		if place := strings.TrimSpace(i.Method + " " + web(i.URI)); f.Location == site || place < f.Location {
			f.Location = place
		}
	}
	if a.Confidence == "0" {
		f.Suppressed = &Suppression{How: "ignored", Reason: "false positive"}
	}
	return out.add(f, at(a.Name))
}

func zapRisk(code string) Severity {
	switch strings.TrimSpace(code) {
	case "0":
		return Info
	case "1":
		return Low
	case "2":
		return Medium
	}
	return High
}
