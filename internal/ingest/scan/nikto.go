package scan

import (
	"encoding/xml"
	"strings"
)

// nikto is the XML of Nikto.
//
// Clean needs, of at least one host, the statistics that Nikto writes at its end,
// with tests done.
//
// Identity: the test, method and address. Nikto tells no severity: its items are
// low, as Nikto itself calls them things to look at.
type nikto struct{}

func (nikto) name() string { return "nikto" }

func (nikto) sniff(h head) bool { return h.root == "niktoscan" }

func (nikto) read(in *input, out *collector) error {
	out.tool("nikto", "")
	hosts, ended := 0, 0
	host := ""
	err := in.elements(func(d *xml.Decoder, e xml.StartElement, p string) (bool, error) {
		switch {
		case e.Name.Local == "niktoscan" && attribute(e, "version") != "":
			out.tool("nikto", attribute(e, "version"))
		case strings.HasSuffix(p, "/scandetails"):
			hosts++
			host = web(attribute(e, "sitename"))
			out.target(host)
			out.clock(attribute(e, "starttime"), "")
		case strings.HasSuffix(p, "/scandetails/statistics"):
			out.clock("", attribute(e, "endtime"))
			if plain(attribute(e, "itemstested")).int() > 0 {
				ended++
			}
		case strings.HasSuffix(p, "/scandetails/item"):
			var v struct {
				Text string `xml:"description"`
				URI  string `xml:"uri"`
			}
			if err := d.DecodeElement(&v, &e); err != nil {
				return true, err
			}
			method := attribute(e, "method")
			place := strings.TrimSpace(method + " " + web(strings.TrimSuffix(host, "/")+strings.TrimSpace(v.URI)))
			f := Finding{Target: host, Rule: attribute(e, "id"), Title: v.Text, Description: v.Text, Severity: Low, Location: place, CVE: cves(v.Text)}
			return true, out.add(f, at(place, phrase(v.Text)))
		}
		return false, nil
	})
	switch {
	case err != nil:
	case hosts == 0:
		out.unknown("scan.reason.nothing_scanned")
	case ended < hosts:
		out.partial("scan.reason.truncated")
	default:
		out.proved()
	}
	return err
}
