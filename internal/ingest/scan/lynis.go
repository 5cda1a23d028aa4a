package scan

import "strings"

// lynis is the report file of Lynis (lynis-report.dat). A warning is medium, a
// suggestion low.
//
// Clean needs finish=true, which Lynis writes at its end.
//
// Identity: host, test, and the text.
type lynis struct{}

func (lynis) name() string { return "lynis" }

func (lynis) sniff(h head) bool {
	s := string(h.text)
	return h.kind == textBody && (strings.HasPrefix(s, "# Lynis Report") || strings.Contains(s, "\nlynis_version=") || strings.HasPrefix(s, "lynis_version="))
}

func (lynis) read(in *input, out *collector) error {
	out.tool("lynis", "")
	values := map[string]string{}
	err := in.lines(func(line string) error {
		k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(k, "#") {
			return nil
		}
		switch k {
		case "hostname", "lynis_version", "report_datetime_start", "report_datetime_end", "finish":
			values[k] = v
		case "warning[]", "suggestion[]":
			parts := strings.Split(v, "|")
			for len(parts) < 4 {
				parts = append(parts, "")
			}
			f := Finding{Rule: parts[0], Title: parts[1], Severity: Low}
			for _, more := range parts[2:4] {
				if more != "-" && more != "" {
					f.Description += more + "\n"
				}
			}
			if k == "warning[]" {
				f.Severity = Medium
			}
			return out.add(f, at(phrase(parts[1])))
		}
		return nil
	})
	if err != nil {
		return err
	}
	out.tool("lynis", values["lynis_version"])
	out.target(values["hostname"])
	out.clock(values["report_datetime_start"], values["report_datetime_end"])
	if values["finish"] == "true" {
		out.proved()
	} else {
		out.unknown("scan.reason.truncated")
	}
	return nil
}
