package scan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/finding"
)

// sarifWith is a report of one tool with the results given.
func sarifWith(tool string, results ...string) []byte {
	return fmt.Appendf(nil, `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":%q}},"results":[%s]}]}`, tool, strings.Join(results, ","))
}

func result(file string, line int, message, rest string) string {
	return fmt.Sprintf(`{"ruleId":"r","message":{"text":%q},"locations":[{"physicalLocation":{"artifactLocation":{"uri":%q},"region":{"startLine":%d}}}]%s}`, message, file, line, rest)
}

func TestPrints(t *testing.T) {
	full, other := `,"fingerprints":{"x/v1":"1"}`, `,"fingerprints":{"x/v1":"2"}`
	partial := `,"partialFingerprints":{"primaryLocationLineHash":"1","primaryLocationStartColumnFingerprint":%q,"fileHash":%q,"empty/v1":""}`
	for name, tt := range map[string]struct {
		tool, a, b string
		same       bool
	}{
		"a full print goes with the finding":  {"t", result("a", 1, "x", full), result("b", 2, "y", full), true},
		"other prints":                        {"t", result("a", 1, "x", full), result("a", 1, "x", other), false},
		"a partial print stays in its file":   {"t", result("a", 1, "x", fmt.Sprintf(partial, "1", "a")), result("a", 9, "y", fmt.Sprintf(partial, "7", "b")), true},
		"the same line in another file":       {"t", result("a", 1, "x", fmt.Sprintf(partial, "1", "a")), result("b", 1, "x", fmt.Sprintf(partial, "1", "a")), false},
		"a commit and its author are none":    {"gitleaks", result("a", 1, "x", `,"partialFingerprints":{"commitSha":"1","email":"a@b","author":"A"}`), result("a", 1, "x", `,"partialFingerprints":{"commitSha":"2"}`), true},
		"numbers in a message":                {"t", result("a", 1, "at line 1, version 2.0", ""), result("a", 9, "at line 9,  version 2.1", ""), true},
		"another message":                     {"t", result("a", 1, "x", ""), result("a", 1, "y", ""), false},
		"govulncheck tells how near it is":    {"govulncheck", result("go.mod", 1, "calls", ""), result("go.mod", 1, "imports", ""), true},
		"OSV-Scanner names packages in words": {"osv-scanner", result("go.mod", 1, "Package 'a@1' is vulnerable to 'x'", ""), result("go.mod", 1, "Package 'b@1' is vulnerable to 'x'", ""), false},
		"and their versions":                  {"osv-scanner", result("go.mod", 1, "Package 'a@1' is vulnerable to 'x'", ""), result("go.mod", 1, "Package 'a@2-rc' is vulnerable to 'x', 'y'", ""), true},
	} {
		a, b := keys(read(t, sarifWith(tt.tool, tt.a), Hint{})), keys(read(t, sarifWith(tt.tool, tt.b), Hint{}))
		if slices.Equal(a, b) != tt.same {
			t.Errorf("%s: %v %v", name, a, b)
		}
	}
}

// TestRepeats: of three findings that are alike, two that stay keep their keys.
func TestRepeats(t *testing.T) {
	one := func(line int) string { return result("a", line, "x", "") }
	three := keys(read(t, sarifWith("t", one(9), one(1), one(5)), Hint{}))
	two := keys(read(t, sarifWith("t", one(8), one(3)), Hint{}))
	twice := keys(read(t, sarifWith("t", one(8), one(8)), Hint{}))
	if len(three) != 3 || len(two) != 2 || len(twice) != 1 {
		t.Fatalf("%v %v %v", three, two, twice)
	}
	for _, k := range append(two, twice...) {
		if !slices.Contains(three, k) {
			t.Errorf("%s is new", k)
		}
	}
}

func TestTwoTools(t *testing.T) {
	body := []byte(`{"version":"2.1.0","runs":[
		{"tool":{"driver":{"name":"One","version":"1"}},"results":[` + result("a", 1, "x", "") + `],"automationDetails":{"id":"js/7"}},
		{"tool":{"driver":{"name":"Two"}},"results":[` + result("a", 1, "x", "") + `]}]}`)
	r := read(t, body, Hint{})
	if len(r.Findings) != 2 || r.Findings[0].Key == r.Findings[1].Key || len(r.Scopes) != 2 || r.Scopes[0] != (Scope{Tool: "one", Target: "js"}) || r.Scopes[1] != (Scope{Tool: "two"}) {
		t.Errorf("%+v", r)
	}
	// The next report of one tool says nothing of the other.
	var known []finding.Known
	for _, f := range r.Findings {
		known = append(known, finding.Known{Key: f.Key, Tool: f.Tool, Target: f.Target, State: "open"})
	}
	next := read(t, []byte(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"One","version":"2"}},"results":[],"automationDetails":{"id":"js/8"}}]}`), Hint{})
	if c := finding.Compare(known, next, time.Now()); len(c.Fixed) != 1 || len(c.Unknown) != 0 {
		t.Errorf("%+v", c)
	}
}
