package scan

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
)

// testSSL is the CSV of testssl.sh. OK and INFO are no findings; WARN says that a
// test could not be done, FATAL that the scan stopped.
//
// Clean needs the row scanTime, which testssl.sh writes at its end.
//
// Identity: the test; the target is the host without its address, with the port.
type testSSL struct{}

func (testSSL) name() string { return "testssl" }

func (testSSL) sniff(h head) bool {
	return h.kind == textBody && bytes.HasPrefix(h.text, []byte(`"id","fqdn/ip","port","severity","finding"`))
}

func (testSSL) read(in *input, out *collector) error {
	out.tool("testssl", "")
	ended, rows := false, 0
	err := in.rows(func(row map[string]string) error {
		rows++
		host, _, _ := strings.Cut(row["fqdn/ip"], "/")
		host += ":" + row["port"]
		out.target(host)
		switch row["severity"] {
		case "OK", "INFO", "DEBUG":
			ended = ended || row["id"] == "scanTime"
			return nil
		case "WARN":
			if row["id"] == "scanTime" {
				ended = true
			}
			out.partial("scan.reason.errors")
			return nil
		case "FATAL":
			out.unknown("scan.reason.failed")
			return nil
		}
		f := Finding{
			Target: host, Rule: row["id"], Title: row["id"] + ": " + row["finding"], Severity: severity(row["severity"], 0), Location: host,
			CVE: cves(row["cve"]), CWE: cwes(row["cwe"]),
		}
		return out.add(f, at())
	})
	switch {
	case err != nil:
	case rows == 0:
		out.unknown("scan.reason.nothing_scanned")
	case !ended:
		out.partial("scan.reason.truncated")
	default:
		out.proved()
	}
	return err
}

// table is any CSV with a header row, separated by comma, semicolon or tab. It
// needs a title (or rule) and a severity (or score). Rows have no end mark: nothing
// is fixed by their silence, and without a row they are unknown. A row whose status
// is closed is left out.
//
// Identity: id or title, location and package.
type table struct{}

func (table) name() string { return "csv" }

// columns gives each field the names that are known for it, the best first.
var columns = map[string][]string{
	"rule":        {"rule", "rule id", "rule_id", "check", "check id", "plugin id", "pluginid", "vuln_id", "vuln id", "vulnerability id", "vuln id from tool"},
	"title":       {"title", "name", "finding", "vulnerability", "summary", "issue"},
	"severity":    {"severity", "risk", "threat", "criticality"},
	"score":       {"cvss", "score", "cvss score", "cvssv3_score", "cvss v3.0 base score", "cvss base score"},
	"location":    {"location", "path", "file", "file path", "file_path", "endpoint", "endpoints", "url affected", "host", "target", "component"},
	"line":        {"line", "line number"},
	"cve":         {"cve", "cves", "cve id", "cve-id"},
	"cwe":         {"cwe", "cwes", "cwe id", "cweid", "cwe-id"},
	"url":         {"url", "link", "reference", "references", "see also"},
	"package":     {"package", "component name", "component_name", "library"},
	"version":     {"version", "component version", "component_version", "installed version"},
	"fixed":       {"fixed in", "fixed_in", "fixed version", "fixed_version"},
	"description": {"description", "details", "synopsis"},
	"status":      {"status", "state", "active"},
}

func pick(row map[string]string, field string) string {
	for _, n := range columns[field] {
		if v := strings.TrimSpace(row[n]); v != "" {
			return v
		}
	}
	return ""
}

func (table) sniff(h head) bool {
	if h.kind != textBody {
		return false
	}
	first, _, _ := strings.Cut(string(h.text), "\n")
	names, err := csvReader(strings.NewReader(first), separator(first)).Read()
	if err != nil || len(names) < 2 {
		return false
	}
	return tableHeader(names)
}

func tableHeader(names []string) bool {
	has := func(field string) bool {
		return slices.ContainsFunc(columns[field], func(n string) bool {
			return slices.ContainsFunc(names, func(s string) bool { return column(s) == n })
		})
	}
	return (has("title") || has("rule")) && (has("severity") || has("score"))
}

func (table) read(in *input, out *collector) error {
	out.tool("csv", "")
	rows := 0
	err := in.rows(func(row map[string]string) error {
		if rows++; rows == 1 {
			var names []string
			for n := range row {
				names = append(names, n)
			}
			if !tableHeader(names) {
				return errShape
			}
		}
		switch strings.ToLower(pick(row, "status")) {
		case "closed", "fixed", "resolved", "pass", "passed", "false", "mitigated":
			return nil
		}
		f := Finding{
			Rule: cmp.Or(pick(row, "rule"), pick(row, "title")), Title: pick(row, "title"), Score: number(pick(row, "score")), Location: tablePlace(pick(row, "location")),
			Line: plain(pick(row, "line")).int(), CVE: cves(pick(row, "cve"), pick(row, "rule"), pick(row, "title")), CWE: cwes(pick(row, "cwe")),
			URL: firstLink(strings.Fields(pick(row, "url"))), Package: pick(row, "package"), Version: pick(row, "version"), FixedIn: pick(row, "fixed"),
			Description: pick(row, "description"),
		}
		if f.Rule == "" {
			return errShape
		}
		f.Severity = severity(pick(row, "severity"), f.Score)
		return out.add(f, mark{parts: []string{f.Location, f.Package}, line: f.Line})
	})
	switch {
	case err != nil:
	case rows == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.partial("scan.reason.no_end")
	}
	return err
}

func tablePlace(s string) string {
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return web(s)
	}
	return path(s, "")
}

func column(s string) string {
	return strings.ToLower(strings.TrimSpace(strings.TrimPrefix(s, "\ufeff")))
}

func separator(header string) rune {
	best := ','
	for _, c := range ";\t" {
		if strings.Count(header, string(c)) > strings.Count(header, string(best)) {
			best = c
		}
	}
	return best
}

func csvReader(r io.Reader, comma rune) *csv.Reader {
	c := csv.NewReader(r)
	c.Comma, c.LazyQuotes, c.FieldsPerRecord, c.ReuseRecord = comma, false, 0, false
	return c
}

// rows calls f for each row after the header, by the names of the columns in
// lower case. Rows of another length than the header are refused.
func (in *input) rows(f func(row map[string]string) error) error {
	first, _, _ := strings.Cut(string(in.head.text), "\n")
	c := csvReader(in.r, separator(first))
	names, err := c.Read()
	if err != nil {
		return err
	}
	for i := range names {
		names[i] = column(names[i])
	}
	for {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, csv.ErrQuote) || errors.Is(err, csv.ErrFieldCount) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		row := make(map[string]string, len(names))
		for i, n := range names {
			if row[n] == "" {
				row[n] = fields[i]
			}
		}
		if err := f(row); err != nil {
			return err
		}
	}
}
