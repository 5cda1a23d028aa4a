package scan

import (
	"regexp"
	"strings"
)

// clamAV is the text of clamscan and clamdscan.
//
// Clean needs the summary to its last line (the end date, which clamscan writes
// since 0.103), at least one scanned file, no error, and as many infected files as
// were named.
//
// Identity: the signature and the file. An infected file is of severity high.
type clamAV struct{}

func (clamAV) name() string { return "clamav" }

func (clamAV) sniff(h head) bool {
	s := string(h.text)
	return h.kind == textBody && (strings.Contains(s, "- SCAN SUMMARY -") || clamFound.MatchString(s))
}

var clamFound = regexp.MustCompile(`(?m)^(.+): (\S+) FOUND\r?$`)

func (clamAV) read(in *input, out *collector) error {
	out.tool("clamav", "")
	found, values := 0, map[string]string{}
	summary := false
	err := in.lines(func(line string) error {
		if strings.Contains(line, "- SCAN SUMMARY -") {
			summary = true
		}
		if m := clamFound.FindStringSubmatch(line); m != nil && !summary {
			found++
			f := Finding{Rule: m[2], Title: m[2], Severity: High, Location: path(m[1], "")}
			return out.add(f, at(f.Location))
		}
		if k, v, ok := strings.Cut(line, ":"); ok && summary {
			values[k] = strings.TrimSpace(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	out.tool("clamav", values["Engine version"])
	out.clock(values["Start Date"], values["End Date"])
	ended := !instant(values["End Date"]).IsZero()
	files, told := values["Scanned files"]
	switch infected := plain(values["Infected files"]).int(); {
	case !summary || !ended:
		out.unknown("scan.reason.truncated")
	case told && plain(files).int() == 0:
		out.unknown("scan.reason.nothing_scanned")
	case plain(values["Total errors"]).int() > 0 || infected != found:
		out.partial("scan.reason.errors")
	default:
		out.proved()
	}
	return nil
}
