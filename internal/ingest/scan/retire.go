package scan

import (
	"cmp"
	"encoding/json"
)

// retire is the JSON of Retire.js.
//
// Clean needs the list of files, the vulnerability repository that was used, and
// no error. Retire.js lists files in which it knew a library.
//
// Identity: the vulnerability (GitHub's id, else CVE, else the summary), the
// library and the file.
type retire struct{}

func (retire) name() string { return "retire" }

func (retire) sniff(h head) bool {
	return h.has("data", "vulnerabilityRepositories") || h.has("data[].results[].component") || h.has("version", "start", "data")
}

func (retire) read(in *input, out *collector) error {
	s := in.json()
	out.tool("retire.js", "")
	listed, repositories := false, 0
	err := s.object(func(key string) (err error) {
		switch key {
		case "version":
			var v plain
			err = s.into(&v)
			out.tool("retire.js", string(v))
		case "start":
			var t plain
			err = s.into(&t)
			out.clock(string(t), "")
		case "errors":
			var e json.RawMessage
			if err = s.into(&e); filled(e) {
				out.partial("scan.reason.errors")
			}
		case "vulnerabilityRepositories":
			var r words
			err = s.into(&r)
			repositories = len(r)
		case "data":
			listed, err = each(s, retireFile(out))
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
	case !listed:
		out.unknown("scan.reason.shape")
	case repositories > 0:
		out.proved()
	}
	return err
}

type retireData struct {
	File    string `json:"file"`
	Results []struct {
		Version         string `json:"version"`
		Component       string `json:"component"`
		Vulnerabilities []struct {
			Info        words  `json:"info"`
			Below       string `json:"below"`
			Severity    string `json:"severity"`
			CWE         words  `json:"cwe"`
			Identifiers struct {
				Summary string `json:"summary"`
				CVE     words  `json:"CVE"`
				GitHub  string `json:"githubID"`
				Issue   plain  `json:"issue"`
			} `json:"identifiers"`
		} `json:"vulnerabilities"`
	} `json:"results"`
}

func retireFile(out *collector) func(retireData) error {
	return func(d retireData) error {
		place := path(d.File, "")
		for _, r := range d.Results {
			for _, v := range r.Vulnerabilities {
				id := v.Identifiers
				f := Finding{
					Rule: cmp.Or(id.GitHub, stableID(id.CVE), id.Summary), Title: id.Summary, Severity: severity(v.Severity, 0), Location: place,
					Package: r.Component, Version: r.Version, FixedIn: v.Below, CVE: cves(id.CVE...), CWE: cwes(v.CWE...), URL: firstLink(v.Info),
				}
				if err := out.add(f, at(place, r.Component)); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
