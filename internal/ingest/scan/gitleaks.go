package scan

import "strings"

// gitleaks is the JSON of Gitleaks: a list, empty when nothing leaked. The secret,
// the matching text, the message and the author of the commit are never kept.
//
// A list that is closed is whole. An empty one could be of any tool: it is clean
// only when the caller names the format.
//
// Identity: rule, file and commit. Every leak is of severity high; Gitleaks tells
// none.
type gitleaks struct{}

func (gitleaks) name() string { return "gitleaks" }

func (gitleaks) sniff(h head) bool {
	return h.has("[].RuleID") && (h.has("[].Secret") || h.has("[].Match") || h.has("[].Fingerprint"))
}

func (gitleaks) read(in *input, out *collector) error {
	s := in.json()
	out.tool("gitleaks", "")
	listed, err := each(s, func(v struct {
		RuleID      string `json:"RuleID"`
		Description string `json:"Description"`
		Line        int    `json:"StartLine"`
		Column      int    `json:"StartColumn"`
		File        string `json:"File"`
		Commit      string `json:"Commit"`
	},
	) error {
		f := Finding{Rule: v.RuleID, Title: v.Description, Severity: High, Location: path(v.File, ""), Line: v.Line}
		if v.Commit != "" {
			f.Location += "@" + v.Commit[:min(len(v.Commit), 12)]
		}
		return out.add(f, mark{parts: []string{path(v.File, ""), strings.ToLower(v.Commit)}, line: v.Line, col: v.Column})
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
	case !listed:
		out.unknown("scan.reason.shape")
	default:
		out.proved()
	}
	return err
}
