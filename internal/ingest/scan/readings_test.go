package scan

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// folders of reports that real tools made, and samples that others gathered.
var folders = []string{"scanners", "scanner-samples", "sarif-samples", "osv"}

// shared finds the captures. They stand beside the project; TOCSIN_SHARED names
// another place. The names are relative to it.
func shared(t testing.TB) (root string, files []string) {
	t.Helper()
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared")
	}
	root = filepath.Join(dir, "testdata", "real")
	for _, f := range folders {
		_ = filepath.WalkDir(filepath.Join(root, f), func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasSuffix(p, ".md") {
				rel, _ := filepath.Rel(root, p)
				files = append(files, filepath.ToSlash(rel))
			}
			return nil
		})
	}
	return root, files
}

func load(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t testing.TB, body []byte, hint Hint) Report {
	t.Helper()
	r, err := Read(bytes.NewReader(body), hint)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reading writes a report in a few lines: what it is, how many findings of which
// severity, and one finding in full.
func reading(r Report) string {
	var b strings.Builder
	muted, counts := 0, map[Severity]int{}
	for _, f := range r.Findings {
		if f.Suppressed != nil {
			muted++
		} else {
			counts[f.Severity]++
		}
	}
	fmt.Fprintf(&b, "%s %s", cmp.Or(r.Format, "-"), r.Verdict)
	if r.Partial {
		b.WriteString(" partial")
	}
	fmt.Fprintf(&b, ", %d", len(r.Findings))
	for _, s := range []Severity{Critical, High, Medium, Low, Info} {
		if counts[s] > 0 {
			fmt.Fprintf(&b, " %s %d", s, counts[s])
		}
	}
	if muted > 0 {
		fmt.Fprintf(&b, " suppressed %d", muted)
	}
	if r.Reason.Key != "" {
		fmt.Fprintf(&b, " (%s)", strings.TrimPrefix(r.Reason.Key, "scan.reason."))
	}
	fmt.Fprintf(&b, "\n\t%s %s | %s | %d scopes", r.Tool.Name, r.Tool.Version, r.Target, len(r.Scopes))
	if !r.FinishedAt.IsZero() {
		fmt.Fprintf(&b, " | %s", r.FinishedAt.Format("2006-01-02T15:04:05Z"))
	}
	if len(r.Findings) > 0 {
		f := slices.MinFunc(r.Findings, func(a, b Finding) int {
			return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Location, b.Location), cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key))
		})
		place := f.Location
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d", place, f.Line)
		}
		fmt.Fprintf(&b, "\n\t%s %s | %s %g | %s | %s %s", f.Key[:8], f.Rule, f.Severity, f.Score, place, f.Package, f.Version)
		if f.FixedIn != "" {
			fmt.Fprintf(&b, " fixed in %s", f.FixedIn)
		}
		fmt.Fprintf(&b, " | %s | %.60s", strings.Join(append(slices.Clone(f.CVE), f.CWE...), " "), f.Title)
		if f.Suppressed != nil {
			fmt.Fprintf(&b, " | %s %s", f.Suppressed.How, f.Suppressed.Reason)
		}
	}
	return b.String() + "\n"
}

// TestReadings reads every capture, and compares with what a person found in it.
func TestReadings(t *testing.T) {
	root, files := shared(t)
	if len(files) == 0 {
		t.Skip("no captures")
	}
	var got strings.Builder
	for _, f := range files {
		r, err := Read(bytes.NewReader(load(t, filepath.Join(root, f))), Hint{})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		got.WriteString(f + "\n\t" + reading(r))
	}
	golden := filepath.Join("testdata", "readings.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := gocmp.Diff(string(load(t, golden)), got.String()); diff != "" {
		t.Error(diff)
	}
}

// TestOwn reads the project's own small reports, each of one thing that matters.
func TestOwn(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "own", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	var got strings.Builder
	for _, f := range files {
		body := load(t, f)
		r := read(t, body, Hint{})
		got.WriteString(filepath.Base(f) + "\n\t" + reading(r))
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, "do-not-keep-me") {
			t.Errorf("%s: keeps a secret: %s", f, text)
		}
	}
	golden := filepath.Join("testdata", "own.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := gocmp.Diff(string(load(t, golden)), got.String()); diff != "" {
		t.Error(diff)
	}
}
