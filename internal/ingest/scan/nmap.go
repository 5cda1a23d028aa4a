package scan

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// nmap is Nmap's XML, or its normal text (-oN).
//
// An open port is a finding of severity info: a new one is worth knowing. Scripts
// that say VULNERABLE, and lists of CVE ids that they print, are findings of their
// own. The report speaks about the hosts that were up and the ports that were
// looked at, no others.
//
// Clean needs the end mark with success, and at least one host that was up.
//
// Identity: the host's address, port and protocol; for scripts their id and the
// CVE too. Product and version of the service may change.
type nmap struct{}

func (nmap) name() string { return "nmap" }

func (nmap) sniff(h head) bool {
	return h.root == "nmaprun" || h.kind == textBody && (strings.HasPrefix(string(h.text), "# Nmap ") || strings.HasPrefix(string(h.text), "Starting Nmap "))
}

type nmapScript struct {
	ID     string `xml:"id,attr"`
	Output string `xml:"output,attr"`
}

type nmapPort struct {
	Protocol string `xml:"protocol,attr"`
	ID       string `xml:"portid,attr"`
	State    struct {
		State string `xml:"state,attr"`
	} `xml:"state"`
	Service struct {
		Name    string `xml:"name,attr"`
		Product string `xml:"product,attr"`
		Version string `xml:"version,attr"`
	} `xml:"service"`
	Scripts []nmapScript `xml:"script"`
}

type nmapHost struct {
	Status struct {
		State string `xml:"state,attr"`
	} `xml:"status"`
	Addresses []struct {
		Addr string `xml:"addr,attr"`
		Type string `xml:"addrtype,attr"`
	} `xml:"address"`
	Ports   []nmapPort   `xml:"ports>port"`
	Scripts []nmapScript `xml:"hostscript>script"`
}

func (nmap) read(in *input, out *collector) error {
	out.tool("nmap", "")
	if in.head.kind == textBody {
		return nmapText(in, out)
	}
	var ports []string
	up, done := 0, false
	var seen []nmapHost
	err := in.elements(func(d *xml.Decoder, e xml.StartElement, path string) (bool, error) {
		switch path {
		case "nmaprun":
			out.tool("nmap", attribute(e, "version"))
			out.clock(attribute(e, "startstr"), "")
		case "nmaprun/scaninfo":
			for _, s := range strings.Split(attribute(e, "services"), ",") {
				ports = append(ports, attribute(e, "protocol")+"/"+s)
			}
		case "nmaprun/host":
			var h nmapHost
			if err := d.DecodeElement(&h, &e); err != nil {
				return true, err
			}
			if h.Status.State == "up" {
				up++
			}
			if len(seen) >= MaxFindings {
				return true, tooMany()
			}
			seen = append(seen, h)
			return true, nil
		case "nmaprun/runstats/finished":
			out.clock("", attribute(e, "timestr"))
			done = attribute(e, "exit") == "success"
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, h := range seen {
		if err := h.add(out, strings.Join(ports, ",")); err != nil {
			return err
		}
	}
	return nmapProof(out, done, up)
}

func nmapProof(out *collector, done bool, up int) error {
	switch {
	case !done:
		out.unknown("scan.reason.failed")
	case up == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return nil
}

var vulnerable = regexp.MustCompile(`(?m)^\s*(?:State: )?(?:LIKELY )?VULNERABLE`)

func (h *nmapHost) add(out *collector, ports string) error {
	host := ""
	for _, a := range h.Addresses {
		if host == "" || a.Type == "ipv4" {
			host = a.Addr
		}
	}
	if h.Status.State == "up" {
		out.scope(Scope{Target: host, Ports: ports})
	}
	for _, p := range h.Ports {
		if p.State.State != "open" {
			continue
		}
		place := fmt.Sprintf("%s:%s/%s", host, p.ID, p.Protocol)
		f := Finding{
			Target: host, Rule: "open-port", Title: strings.TrimSpace(fmt.Sprintf("%s/%s %s", p.ID, p.Protocol, p.Service.Name)), Severity: Info,
			Location: place, Package: p.Service.Product, Version: p.Service.Version,
		}
		if err := out.add(f, at(p.ID, p.Protocol)); err != nil {
			return err
		}
		for _, s := range p.Scripts {
			if err := s.add(out, host, place, p.ID+"/"+p.Protocol); err != nil {
				return err
			}
		}
	}
	for _, s := range h.Scripts {
		if err := s.add(out, host, host, ""); err != nil {
			return err
		}
	}
	return nil
}

func (s *nmapScript) add(out *collector, host, place, port string) error {
	ids := cves(s.Output)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 && vulnerable.MatchString(s.Output) {
		ids = []string{""}
	}
	if strings.Contains(s.Output, "NOT VULNERABLE") && !vulnerable.MatchString(s.Output) {
		ids = nil
	}
	for _, id := range ids {
		f := Finding{Target: host, Rule: s.ID, Title: strings.TrimSpace(s.ID + " " + id), Severity: High, Location: place, CVE: cves(id)}
		if err := out.add(f, at(port, id)); err != nil {
			return err
		}
	}
	return nil
}

var (
	nmapReport = regexp.MustCompile(`^Nmap scan report for (?:.* \()?([0-9A-Fa-f.:]+)\)?$`)
	nmapLine   = regexp.MustCompile(`^(\d{1,5})/(tcp|udp|sctp)\s+(\S+)\s+(\S+)\s*(.*)$`)
	nmapBegin  = regexp.MustCompile(`^# Nmap (\S+) scan initiated (.*?) as: `)
	nmapDone   = regexp.MustCompile(`^(?:# )?Nmap done(?: at .*?)?(?: --|:) .*\((\d+) hosts? up\)`)
)

// nmapText reads the normal text. It does not say which ports were looked at, so
// that no port is taken as closed because it is missing.
func nmapText(in *input, out *collector) error {
	host, up, done := "", 0, false
	err := in.lines(func(line string) error {
		if m := nmapBegin.FindStringSubmatch(line); m != nil {
			out.tool("nmap", m[1])
			out.clock(m[2], "")
		}
		if m := nmapReport.FindStringSubmatch(line); m != nil {
			host = m[1]
			out.target(host)
		}
		if m := nmapDone.FindStringSubmatch(line); m != nil {
			done, up = true, plain(m[1]).int()
		}
		m := nmapLine.FindStringSubmatch(line)
		if m == nil || m[3] != "open" {
			return nil
		}
		f := Finding{
			Target: host, Rule: "open-port", Title: m[1] + "/" + m[2] + " " + m[4], Severity: Info, Location: host + ":" + m[1] + "/" + m[2],
			Package: strings.TrimSpace(m[5]),
		}
		return out.add(f, at(m[1], m[2]))
	})
	if err != nil {
		return err
	}
	if done && up > 0 {
		out.partial("scan.reason.ports")
	}
	return nmapProof(out, done, up)
}
