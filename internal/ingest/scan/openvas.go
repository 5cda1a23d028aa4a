package scan

import (
	"cmp"
	"encoding/xml"
	"strings"
)

// openVAS is the XML report of OpenVAS (Greenbone).
//
// Clean needs the scan to be done, and at least one host in it: a report over no
// host says nothing. Errors of checks make it partial.
//
// Identity: the check's OID, host and port.
type openVAS struct{}

func (openVAS) name() string { return "openvas" }

func (openVAS) sniff(h head) bool {
	return h.root == "report" && (h.attrs["format_id"] != "" || h.attrs["content_type"] == "text/xml" || strings.Contains(string(h.text), "<gmp>")) ||
		h.root == "get_reports_response"
}

type openVASResult struct {
	Name string `xml:"name"`
	Host struct {
		Address string `xml:",chardata"`
	} `xml:"host"`
	Port string `xml:"port"`
	NVT  struct {
		OID  string `xml:"oid,attr"`
		Name string `xml:"name"`
		Base string `xml:"cvss_base"`
		Tags string `xml:"tags"`
		CVE  string `xml:"cve"`
		Refs []struct {
			ID   string `xml:"id,attr"`
			Type string `xml:"type,attr"`
		} `xml:"refs>ref"`
	} `xml:"nvt"`
	Threat      string `xml:"threat"`
	Severity    string `xml:"severity"`
	Description string `xml:"description"`
	Overrides   []struct {
		Threat string `xml:"new_threat"`
		Text   string `xml:"text"`
	} `xml:"overrides>override"`
}

func (openVAS) read(in *input, out *collector) error {
	out.tool("openvas", "")
	status, hosts := "", 0
	err := in.elements(func(d *xml.Decoder, e xml.StartElement, path string) (bool, error) {
		// The report that counts stands inside another one.
		i := strings.LastIndex(path, "report/")
		if i < 0 {
			return false, nil
		}
		var text string
		switch sub := path[i+len("report/"):]; sub {
		case "scan_run_status", "scan_start", "scan_end", "hosts/count", "host/ip", "task/name":
			if err := d.DecodeElement(&text, &e); err != nil {
				return true, err
			}
			switch text = strings.TrimSpace(text); sub {
			case "scan_run_status":
				status = text
			case "scan_start":
				out.clock(text, "")
			case "scan_end":
				out.clock("", text)
			case "hosts/count":
				hosts = plain(text).int()
			case "host/ip":
				out.target(text)
			}
			return true, nil
		case "errors/error":
			out.partial("scan.reason.errors")
		case "results/result":
			var r openVASResult
			if err := d.DecodeElement(&r, &e); err != nil {
				return true, err
			}
			return true, r.add(out)
		}
		return false, nil
	})
	switch {
	case err != nil:
	case status != "Done":
		out.unknown("scan.reason.failed")
	case hosts == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}

func (r *openVASResult) add(out *collector) error {
	host := strings.TrimSpace(r.Host.Address)
	f := Finding{
		Target: host, Rule: r.NVT.OID, Title: cmp.Or(strings.TrimSpace(r.Name), r.NVT.Name), Score: number(cmp.Or(r.Severity, r.NVT.Base)),
		Location: host + " " + strings.TrimSpace(r.Port), Description: r.Description, CVE: cves(r.NVT.CVE),
	}
	for _, x := range r.NVT.Refs {
		f.CVE = append(f.CVE, cves(x.ID)...)
		if x.Type == "url" {
			f.URL = cmp.Or(f.URL, link(x.ID))
		}
	}
	// The word stops at high; the score goes on.
	f.Severity = severity(r.Threat, 0)
	if f.Score > 0 {
		f.Severity = byScore(f.Score)
	}
	for _, line := range strings.Split(r.Description, "\n") {
		k, v, _ := strings.Cut(line, ":")
		switch k {
		case "Installed version":
			f.Version = strings.TrimSpace(v)
		case "Fixed version":
			f.FixedIn = strings.TrimSpace(v)
		}
	}
	if strings.EqualFold(r.Threat, "False Positive") {
		f.Severity, f.Suppressed = Info, &Suppression{How: "ignored"}
		for _, o := range r.Overrides {
			f.Suppressed.Reason = cmp.Or(f.Suppressed.Reason, o.Text)
		}
	}
	return out.add(f, at(strings.TrimSpace(r.Port)))
}
