package scan

import (
	"encoding/json"
	"strconv"
)

// bandit is the JSON of Bandit.
//
// Clean needs a list of results, lines of code in the metrics, and no file that
// could not be read.
//
// Identity: test, file, the line of code. The message may quote a password and is
// cut before the quote.
type bandit struct{}

func (bandit) name() string { return "bandit" }

func (bandit) sniff(h head) bool {
	return h.has("metrics._totals") || h.has("results[].test_id") || h.has("errors", "generated_at", "metrics")
}

func (bandit) read(in *input, out *collector) error {
	s := in.json()
	out.tool("bandit", "")
	listed, lines := false, 0
	err := s.object(func(key string) (err error) {
		switch key {
		case "errors":
			var e json.RawMessage
			if err = s.into(&e); filled(e) {
				out.partial("scan.reason.errors")
			}
		case "generated_at":
			var t plain
			err = s.into(&t)
			out.clock("", string(t))
		case "metrics":
			var m struct {
				Totals struct {
					LOC plain `json:"loc"`
				} `json:"_totals"`
			}
			err = s.into(&m)
			lines = int(floor(string(m.Totals.LOC)))
		case "results":
			listed, err = each(s, func(v struct {
				Code     string `json:"code"`
				File     string `json:"filename"`
				Severity string `json:"issue_severity"`
				Text     string `json:"issue_text"`
				CWE      struct {
					ID plain `json:"id"`
				} `json:"issue_cwe"`
				Line int    `json:"line_number"`
				Col  int    `json:"col_offset"`
				URL  string `json:"more_info"`
				Test string `json:"test_id"`
				Name string `json:"test_name"`
			},
			) error {
				f := Finding{
					Rule: v.Test, Title: withoutSecret("bandit", v.Test, v.Text), Severity: severity(v.Severity, 0), Location: path(v.File, ""), Line: v.Line,
					URL: v.URL, CWE: cwes(string(v.CWE.ID)),
				}
				return out.add(f, mark{parts: []string{f.Location, withoutSecretCode(v.Test, numbered(v.Code, strconv.Itoa(v.Line)))}, line: v.Line, col: v.Col})
			})
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
	case lines == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}

// floor reads a count that may be written with a decimal part.
func floor(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
