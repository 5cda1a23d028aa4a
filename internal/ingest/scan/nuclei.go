package scan

import (
	"cmp"
	"errors"
	"io"
	"strings"
)

// nuclei is the output of Nuclei: JSON lines, or a list (-json-export).
//
// Lines have no end mark, so that nothing is fixed by their silence, and without a
// line they are unknown. A list that is closed is whole; an empty one is clean only
// when the caller names the format. Only hosts on which something matched are
// named, and only about those the report speaks.
//
// Identity: template, matcher, and the place that matched. Requests, responses and
// extracted texts are not kept.
type nuclei struct{}

func (nuclei) name() string { return "nuclei" }

func (nuclei) sniff(h head) bool {
	return h.has("template-id") || h.has("templateID") || h.has("[].template-id") || h.has("[].templateID")
}

type nucleiLine struct {
	ID        string `json:"template-id"`
	OldID     string `json:"templateID"`
	URL       string `json:"template-url"`
	Matcher   string `json:"matcher-name"`
	OldName   string `json:"matcher_name"`
	Extractor string `json:"extractor-name"`
	Host      string `json:"host"`
	Matched   string `json:"matched-at"`
	Old       string `json:"matched"`
	Status    *bool  `json:"matcher-status"`
	Time      string `json:"timestamp"`
	Info      struct {
		Name        string `json:"name"`
		Severity    string `json:"severity"`
		Description string `json:"description"`
		Reference   words  `json:"reference"`
		Class       struct {
			CVE   words   `json:"cve-id"`
			CWE   words   `json:"cwe-id"`
			Score float64 `json:"cvss-score"`
		} `json:"classification"`
	} `json:"info"`
}

func (nuclei) read(in *input, out *collector) error {
	s := in.json()
	out.tool("nuclei", "")
	take := func(v nucleiLine) error { return v.add(out) }
	if firstByte(in.head.text) == '[' {
		_, err := each(s, take)
		if err == nil {
			err = s.end()
		}
		if err == nil {
			out.proved()
		}
		return err
	}
	for {
		var v nucleiLine
		if err := s.into(&v); errors.Is(err, io.EOF) {
			out.partial("scan.reason.no_end")
			return nil
		} else if err != nil {
			return err
		}
		if err := take(v); err != nil {
			return err
		}
	}
}

func (v *nucleiLine) add(out *collector) error {
	id := cmp.Or(v.ID, v.OldID)
	if id == "" {
		return errShape
	}
	if v.Status != nil && !*v.Status {
		return nil
	}
	if t := instant(v.Time); t.After(out.report.FinishedAt) {
		out.report.FinishedAt = t
	}
	host := web(v.Host)
	out.target(host)
	f := Finding{
		Target: host, Rule: id, Title: v.Info.Name, Location: web(cmp.Or(v.Matched, v.Old, v.Host)), Score: score(v.Info.Class.Score), Description: v.Info.Description,
		CVE: cves(append(v.Info.Class.CVE, id)...), CWE: cwes(v.Info.Class.CWE...), URL: cmp.Or(link(v.URL), firstLink(strings.Fields(strings.Join(v.Info.Reference, " ")))),
	}
	f.Severity = severity(v.Info.Severity, f.Score)
	return out.add(f, at(cmp.Or(v.Matcher, v.OldName, v.Extractor), f.Location))
}
