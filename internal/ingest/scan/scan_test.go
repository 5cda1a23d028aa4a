package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tocsin/internal/finding"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// bodies are all reports at hand, own and captured.
func bodies(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	own, _ := filepath.Glob(filepath.Join("testdata", "own", "*"))
	for _, f := range own {
		out[filepath.Base(f)] = load(t, f)
	}
	root, files := shared(t)
	for _, f := range files {
		if !strings.HasPrefix(f, "osv/") {
			out[f] = load(t, filepath.Join(root, f))
		}
	}
	return out
}

func keys(r Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Key)
	}
	slices.Sort(out)
	return out
}

func TestKeysAreUniqueAndStable(t *testing.T) {
	for name, body := range bodies(t) {
		a, b := read(t, body, Hint{}), read(t, body, Hint{})
		if diff := gocmp.Diff(a, b); diff != "" {
			t.Errorf("%s: two readings differ: %s", name, diff)
		}
		if k := keys(a); len(slices.Compact(k)) != len(a.Findings) {
			t.Errorf("%s: keys are not unique", name)
		}
		for _, f := range a.Findings {
			if f.Key == "" || f.Rule == "" || f.Title == "" || f.Severity.Rank() < 0 {
				t.Errorf("%s: incomplete: %+v", name, f)
			}
		}
	}
}

// TestNamedWrong reads each report as every format: another format than its own is
// never clean.
func TestNamedWrong(t *testing.T) {
	// An empty list says what it is only by its name.
	bare := map[string][]string{"empty-list.json": {"gitleaks", "nuclei"}, "empty-results.json": {"osv-scanner"}}
	for name, body := range bodies(t) {
		told := read(t, body, Hint{})
		for _, format := range Formats() {
			r, err := Read(bytes.NewReader(body), Hint{Format: format})
			if err != nil {
				t.Fatalf("%s as %s: %v", name, format, err)
			}
			right := r.Format == told.Format && told.Verdict == Clean || slices.Contains(bare[name], format)
			if (r.Verdict == Clean) != right {
				t.Errorf("%s as %s: %s, by itself %s %s", name, format, r.Verdict, told.Format, told.Verdict)
			}
			if r.Verdict == Unknown && r.Reason.Key == "" {
				t.Errorf("%s as %s: unknown without a reason", name, format)
			}
		}
	}
}

// mayPass tells whether a report that was cut may be taken as whole: when nothing
// that it says was lost.
func mayPass(cut, whole Report) bool {
	switch {
	case cut.Verdict == Clean:
		return gocmp.Equal(cut, whole)
	case cut.Verdict == Findings && !cut.Partial:
		return slices.Equal(keys(cut), keys(whole))
	}
	return true
}

// TestCutShort cuts reports at any byte: none is clean, and none that has findings
// is whole.
func TestCutShort(t *testing.T) {
	all := bodies(t)
	names := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "name")
		body := bytes.TrimSpace(all[name])
		if len(body) == 0 {
			return
		}
		n := rapid.IntRange(0, len(body)-1).Draw(t, "bytes")
		hint := Hint{}
		if rapid.Bool().Draw(t, "named") {
			hint.Format = rapid.SampledFrom(Formats()).Draw(t, "format")
		}
		whole, err := Read(bytes.NewReader(body), hint)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Read(bytes.NewReader(body[:n]), hint)
		if err != nil {
			if k := kit.AsError(err); k.Key != "scan.error.utf8" {
				t.Fatalf("%s at %d: %v", name, n, err)
			}
			return
		}
		if !mayPass(r, whole) {
			t.Fatalf("%s at %d of %d: %s, as whole", name, n, len(body), r.Verdict)
		}
	})
}

// TestCutAnywhere cuts each of the project's own reports at every byte.
func TestCutAnywhere(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("testdata", "own", "*"))
	for _, f := range files {
		body := bytes.TrimSpace(load(t, f))
		whole := read(t, body, Hint{})
		for n := range body {
			if r, err := Read(bytes.NewReader(body[:n]), Hint{}); err != nil || !mayPass(r, whole) {
				t.Errorf("%s at %d of %d: %s %v", f, n, len(body), r.Verdict, err)
				break
			}
		}
	}
}

// shuffle puts every list of objects of a JSON text in another order.
func shuffle(v any, r *rand.Rand) {
	switch x := v.(type) {
	case []any:
		if len(x) > 0 {
			if _, ok := x[0].(map[string]any); ok {
				r.Shuffle(len(x), func(i, j int) { x[i], x[j] = x[j], x[i] })
			}
		}
		for _, e := range x {
			shuffle(e, r)
		}
	case map[string]any:
		for k, e := range x {
			// These lists are pointed into by index, and those say what comes first.
			if !slices.Contains([]string{"rules", "locations", "artifacts", "cvss", "tools", "trace", "events", "ranges", "logicalLocations", "matchDetails", "relatedVulnerabilities", "references", "resources", "runs", "extensions"}, k) {
				shuffle(e, r)
			}
		}
	}
}

// TestOrderDoesNotMatter shuffles the findings of JSON reports.
func TestOrderDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := 0
	for name, body := range bodies(t) {
		var v any
		if json.Unmarshal(body, &v) != nil {
			continue
		}
		want := read(t, body, Hint{})
		for range 3 {
			shuffle(v, r)
			mixed, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got := read(t, mixed, Hint{Format: want.Format})
			if !slices.Equal(keys(got), keys(want)) || got.Verdict != want.Verdict {
				t.Errorf("%s: another order, other keys: %d and %d, %s and %s", name, len(got.Findings), len(want.Findings), got.Verdict, want.Verdict)
				break
			}
		}
		n += len(want.Findings)
	}
	if n < 20 {
		t.Errorf("%d findings compared", n)
	}
}

var lineFields = regexp.MustCompile(`("(?:startLine|endLine|line_number|StartLine|EndLine)": )(\d+)|("line": "?)(\d+)`)

// TestLinesShift moves every finding of code down by ten lines.
func TestLinesShift(t *testing.T) {
	shift := func(body []byte) []byte {
		return lineFields.ReplaceAllFunc(body, func(m []byte) []byte {
			i := bytes.LastIndexAny(m, " \"")
			var line int
			_, _ = fmt.Sscan(string(m[i+1:]), &line)
			return fmt.Appendf(bytes.Clone(m[:i+1]), "%d", line+10)
		})
	}
	// These quote lines of code with their numbers before them.
	quoted := regexp.MustCompile(`(\\n|"code": ")(\d+)([: ])`)
	all := bodies(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		body := all[name]
		want := read(t, body, Hint{})
		if !slices.Contains([]string{"sarif", "gosec", "bandit", "semgrep", "gitleaks"}, want.Format) {
			continue
		}
		moved := shift(body)
		if want.Format == "gosec" || want.Format == "bandit" {
			moved = quoted.ReplaceAllFunc(moved, func(m []byte) []byte {
				p := quoted.FindSubmatch(m)
				var line int
				_, _ = fmt.Sscan(string(p[2]), &line)
				return fmt.Appendf(nil, "%s%d%s", p[1], line+10, p[3])
			})
		}
		got := read(t, moved, Hint{})
		if !slices.Equal(keys(got), keys(want)) {
			t.Errorf("%s: other lines, other keys", name)
		}
		lines := func(r Report) (n int) {
			for _, f := range r.Findings {
				n += f.Line
			}
			return n
		}
		if lines(want) > 0 && lines(got) == lines(want) {
			t.Errorf("%s: nothing was moved", name)
		}
	}
}

// TestVersionsChange gives the tool, the image and the package another version.
func TestVersionsChange(t *testing.T) {
	for name, change := range map[string]*strings.Replacer{
		"trivy-image.json":          strings.NewReplacer("web:1.4.2", "web:1.4.3", "3.3.0-r1", "3.3.0-r9", "0.60.0", "0.61.0", "alpine 3.20", "alpine 3.21"),
		"grype.json":                strings.NewReplacer(`"1.0"`, `"1.1"`, "0.90.0", "0.91.0"),
		"osv-scanner.json":          strings.NewReplacer("1.0.0", "1.1.0"),
		"dependency-check.json":     strings.NewReplacer("1.2.3", "1.2.4", "12.1.0", "12.2.0"),
		"cyclonedx-vulns.json":      strings.NewReplacer("1.0.0", "1.0.1", "0.60.0", "0.61.0", "web:1.4", "web:1.5"),
		"sarif-results-first.sarif": strings.NewReplacer(`"3.2"`, `"3.3"`, "run-81", "run-82", "run( input )", "run(  input  )"),
		"nmap-scripts.xml":          strings.NewReplacer("7.95", "7.96", `"1.2"`, `"1.3"`),
		"zap.json":                  strings.NewReplacer("2.16.0", "2.17.0", "/b", "/c"),
		"snyk-list.json":            strings.NewReplacer(`"1.0.0"`, `"1.0.2"`),
	} {
		body := string(load(t, filepath.Join("testdata", "own", name)))
		other := change.Replace(body)
		if other == body {
			t.Fatalf("%s: nothing changed", name)
		}
		if a, b := keys(read(t, []byte(body), Hint{})), keys(read(t, []byte(other), Hint{})); len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("%s: other versions, other keys", name)
		}
	}
}

func TestTargetsAreApart(t *testing.T) {
	body := load(t, filepath.Join("testdata", "own", "gosec-suppressed.json"))
	a, b := read(t, body, Hint{Target: "shop"}), read(t, body, Hint{Target: "warehouse"})
	if a.Findings[0].Key == b.Findings[0].Key || a.Scopes[0].Target != "shop" || a.Findings[0].Target != "shop" {
		t.Errorf("%+v %+v", a, b)
	}
	// What the report tells goes first.
	if r := read(t, load(t, filepath.Join("testdata", "own", "trivy-clean.json")), Hint{Target: "other"}); r.Target != "shop" {
		t.Errorf("target %q", r.Target)
	}
}

func TestRefused(t *testing.T) {
	sarifOf := func(n int) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[` + strings.TrimSuffix(strings.Repeat(`{"ruleId":"a"},`, n), ",") + `]}]}`
	}
	bomb := `<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><OWASPZAPReport version="1"><site name="&b;"><alerts/></site></OWASPZAPReport>`
	for name, tt := range map[string]struct {
		body   string
		format string
		code   kit.Code
		key    string
	}{
		"bytes":         {`{"version":"2.1.0","runs":[` + strings.Repeat(" ", MaxBytes) + `]}`, "", kit.CodeTooLarge, "scan.error.too_large"},
		"findings":      {sarifOf(MaxFindings + 1), "", kit.CodeTooLarge, "scan.error.too_many"},
		"JSON pieces":   {`{"version":"2.1.0","runs":[],"x":[` + strings.Repeat("[],", maxPieces) + `0]}`, "", kit.CodeTooLarge, "scan.error.too_many_pieces"},
		"JSON members":  {`{"version":"2.1.0","runs":[],"x":[` + strings.Repeat("1,", maxCommas) + `0]}`, "", kit.CodeTooLarge, "scan.error.too_many_pieces"},
		"XML pieces":    {`<OWASPZAPReport>` + strings.Repeat("<a/>", maxPieces) + `</OWASPZAPReport>`, "", kit.CodeTooLarge, "scan.error.too_many_pieces"},
		"attributes":    {`<OWASPZAPReport><site ` + strings.Repeat(`a="" `, 300) + `/></OWASPZAPReport>`, "", kit.CodeTooLarge, "scan.error.too_many_pieces"},
		"JSON depth":    {`{"version":"2.1.0","runs":[],"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, "", kit.CodeMalformed, "scan.error.too_deep"},
		"XML depth":     {`<OWASPZAPReport>` + strings.Repeat("<a>", 300), "", kit.CodeMalformed, "scan.error.too_deep"},
		"entities":      {bomb, "zap", kit.CodeMalformed, "scan.error.entities"},
		"gzip":          {"\x1f\x8b\x08\x00", "", kit.CodeUnsupported, "scan.error.binary"},
		"zip":           {"PK\x03\x04rest", "", kit.CodeUnsupported, "scan.error.binary"},
		"binary":        {"\x7fELF\x00\x00", "", kit.CodeUnsupported, "scan.error.binary"},
		"format":        {"{}", "nessus9", kit.CodeUnsupported, "scan.error.format"},
		"latin in JSON": {"{\"version\":\"2.1.0\",\"runs\":[],\"x\":\"\xe9\"}", "", kit.CodeMalformed, "scan.error.utf8"},
		"latin in XML":  {"<OWASPZAPReport><site name=\"\xe9\"/></OWASPZAPReport>", "", kit.CodeMalformed, "scan.error.utf8"},
		"charset":       {`<?xml version="1.0" encoding="EBCDIC-FR"?><OWASPZAPReport/>`, "zap", kit.CodeUnsupported, "scan.error.charset"},
	} {
		_, err := Read(strings.NewReader(tt.body), Hint{Format: tt.format})
		var k *kit.Error
		if !errors.As(err, &k) || k.Code != tt.code || k.Key != tt.key {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := Read(strings.NewReader(sarifOf(MaxFindings)), Hint{}); err != nil || r.Verdict != Findings {
		t.Errorf("the greatest number: %v %v", r.Verdict, err)
	}
	for name, body := range map[string]string{"header": "title,severity" + strings.Repeat(",a", maxLine), "row": "title,severity\na,b" + strings.Repeat(",a", maxLine)} {
		if r := read(t, []byte(body), Hint{Format: "csv"}); r.Verdict != Unknown || r.Reason.Key != "scan.reason.shape" {
			t.Errorf("long %s: %+v", name, r)
		}
	}
	broken := errors.New("the line was cut")
	if _, err := Read(io.MultiReader(strings.NewReader(`{"version":"2.1.0","runs":[`), iotest.ErrReader(broken)), Hint{}); !errors.Is(err, broken) {
		t.Errorf("error of the sender: %v", err)
	}
}

func TestCharsets(t *testing.T) {
	body := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"é"}},"results":[]}]}`
	wide := func(order func(uint16) []byte, mark []byte) []byte {
		out := mark
		for _, u := range utf16.Encode([]rune(body)) {
			out = append(out, order(u)...)
		}
		return out
	}
	for name, b := range map[string][]byte{
		"UTF-8 with mark":         []byte("\xef\xbb\xbf" + body),
		"UTF-16 little":           wide(func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} }, []byte{0xff, 0xfe}),
		"UTF-16 big":              wide(func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} }, []byte{0xfe, 0xff}),
		"one byte after another":  []byte(body),
		"space before and after ": []byte("\r\n  " + body + "\n\n"),
	} {
		r, err := Read(iotest.OneByteReader(bytes.NewReader(b)), Hint{})
		if err != nil || r.Verdict != Clean || r.Tool.Name != "é" {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	latin := "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><OWASPZAPReport><site name=\"https://\xe9.example\"><alerts><alertitem><pluginid>1</pluginid><name>\xe9</name></alertitem></alerts></site></OWASPZAPReport>"
	if r := read(t, []byte(latin), Hint{}); len(r.Findings) != 1 || r.Findings[0].Title != "é" {
		t.Errorf("ISO 8859-1: %+v", r)
	}
	if r := read(t, []byte(body+body), Hint{}); r.Verdict != Unknown {
		t.Errorf("two reports in one: %s", r.Verdict)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("é\u0007", 60_000)
	body, err := json.Marshal(map[string]any{"version": "2.1.0", "runs": []any{map[string]any{
		"tool":    map[string]any{"driver": map[string]any{"name": long, "version": long}},
		"results": []any{map[string]any{"ruleId": long, "message": map[string]any{"text": long}, "locations": []any{map[string]any{"physicalLocation": map[string]any{"artifactLocation": map[string]any{"uri": long}}}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, body, Hint{Target: long})
	f := r.Findings[0]
	for name, tt := range map[string]struct {
		s string
		n int
	}{"tool": {r.Tool.Name, maxWord}, "rule": {f.Rule, maxWord}, "title": {f.Title, maxTitle}, "description": {f.Description, maxDescription}, "location": {f.Location, maxPlace}, "target": {f.Target, maxPlace}} {
		if n := len([]rune(tt.s)); n > tt.n || n < tt.n/4 || strings.ContainsRune(tt.s, '\u0007') {
			t.Errorf("%s: %d characters", name, n)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"file:///C:/a/b.go": "C:/a/b.go", `src\x\y.c`: "src/x/y.c", "./././a.go": "a.go", "file:///srv/a%20b.go": "/srv/a b.go",
		"/home/runner/work/shop/shop/a.go": "a.go", "/builds/g/p/a.go": "a.go", "a%zz": "a%zz", "/github/workspace/src/a": "src/a",
	} {
		if got := path(in, ""); got != want {
			t.Errorf("path %q: %q", in, got)
		}
	}
	for in, want := range map[string]string{
		"HTTPS://u:p@Shop.Example/a?z=1&b=2#c": "https://shop.example/a?b&z", "https://shop.example": "https://shop.example/", "/a?token=1": "/a",
		"shop.example:22": "shop.example:22", "u:p@shop.example": "shop.example",
	} {
		if got := web(in); got != want {
			t.Errorf("web %q: %q", in, got)
		}
	}
	for in, want := range map[string]string{
		"alpine:3.20 (alpine 3.20.1)": "alpine", "r.example:5000/a/b:1.2": "r.example:5000/a/b", "r.example:5000/a": "r.example:5000/a",
		"a@sha256:00": "a", `C:\src`: "C:/src", "a:1@sha256:00": "a",
	} {
		if got := image(in); got != want {
			t.Errorf("image %q: %q", in, got)
		}
	}
	for in, want := range map[string]string{"pkg:npm/%40a/b@1.0?x=y": "npm/@a/b 1.0", "pkg:golang/a.example%2Fb@v1": "golang/a.example/b v1", "pkg:npm/b": "npm/b ", "b": " "} {
		n, v := purl(in)
		if got := n + " " + v; got != want {
			t.Errorf("purl %q: %q", in, got)
		}
	}
	if got := cwes("CWE-0079: XSS", "external/cwe/cwe-022", "89", "-1", "0", "CWE-"); !slices.Equal(got, []string{"CWE-79", "CWE-22", "CWE-89"}) {
		t.Errorf("cwes: %v", got)
	}
	if got := cves("see cve-2026-0001, CVE-2026-12345678 and XCVE-2026-1"); !slices.Equal(got, []string{"CVE-2026-0001", "CVE-2026-12345678"}) {
		t.Errorf("cves: %v", got)
	}
	for in, want := range map[string]float64{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H": 9.8, "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L": 5.3, "AV:N/AC:L/Au:N/C:P/I:P/A:P": 7.5,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N": 9.3, "CVSS:3.1/nonsense": 0, "": 0,
	} {
		if got := vector(in); got != want {
			t.Errorf("vector %q: %v", in, got)
		}
	}
	for in, want := range map[string]string{"Wapiti 3.0.4": "wapiti", "npm audit": "npm audit", "Microsoft (R) C 19.1": "microsoft (r) c", "7": "7"} {
		if got := toolName(in); got != want {
			t.Errorf("tool %q: %q", in, got)
		}
	}
	if severity("Moderate", 9.9) != Medium || severity("?", 9.9) != Critical || severity("", 0) != High {
		t.Error("severity")
	}
}

// TestTexts finds every key of the package in both languages.
func TestTexts(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	used := regexp.MustCompile(`"(scan\.(?:error|reason)\.[a-z0-9_]+)"`)
	seen := map[string]bool{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllSubmatch(raw, -1) {
			seen[string(m[1])] = true
		}
	}
	for k := range seen {
		if !i18n.Has(k) {
			t.Errorf("no text: %s", k)
		}
	}
	for _, k := range i18n.Keys() {
		if strings.HasPrefix(k, "scan.") && !seen[k] {
			t.Errorf("not used: %s", k)
		}
	}
}

func FuzzRead(f *testing.F) {
	for name, body := range bodies(f) {
		if len(body) < 32<<10 {
			f.Add(body, uint8(len(name)))
		}
	}
	formats := append([]string{""}, Formats()...)
	f.Fuzz(func(t *testing.T, body []byte, n uint8) {
		r, err := Read(bytes.NewReader(body), Hint{Format: formats[int(n)%len(formats)]})
		if err != nil {
			var k *kit.Error
			if !errors.As(err, &k) {
				t.Fatalf("a bare error: %v", err)
			}
			return
		}
		switch {
		case !slices.Contains([]Verdict{Clean, Findings, Unknown}, r.Verdict):
			t.Fatalf("verdict %q", r.Verdict)
		case r.Verdict == Unknown && r.Reason.Key == "":
			t.Fatal("unknown without a reason")
		case r.Verdict == Clean && slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Suppressed == nil }):
			t.Fatal("clean with findings")
		case len(r.Scopes) == 0:
			t.Fatal("no scope")
		}
		k := keys(r)
		if len(slices.Compact(k)) != len(r.Findings) {
			t.Fatal("keys are not unique")
		}
		for _, f := range r.Findings {
			if f.Severity.Rank() < 0 || f.Rule == "" || f.Line < 0 || f.Score < 0 || f.Score > 10 {
				t.Fatalf("%+v", f)
			}
		}
		c := finding.Compare(nil, r, time.Unix(0, 0))
		if r.Verdict != Findings && len(c.New) > 0 {
			t.Fatal("a report without findings opens some")
		}
	})
}
