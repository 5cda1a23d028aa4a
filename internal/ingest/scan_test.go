package ingest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/ingest"
)

type counts struct {
	Format                                  string
	Findings, New, Reopened, Fixed, Unknown int
}

func (h *house) report(path, body string) counts {
	h.t.Helper()
	resp, answer := h.send("POST", path, "application/json", body)
	if resp.StatusCode != http.StatusAccepted {
		h.t.Fatalf("%s: %s %s", path, resp.Status, answer)
	}
	var c counts
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		h.t.Fatal(err)
	}
	return c
}

var goldenLine = regexp.MustCompile(`^\t(\S+) (\S+)(?: partial)?, (\d+)(?:.* suppressed (\d+))?`)

// TestRealReports posts every report that a real tool wrote, each to a source of its
// own: what is opened is what the readers find in it, and the same report again opens
// nothing.
func TestRealReports(t *testing.T) {
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	golden, err := os.ReadFile(filepath.Join("scan", "testdata", "readings.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "testdata", "real", "scanners")); err != nil {
		t.Skip("no captures")
	}
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		lines := strings.Split(string(golden), "\n")
		files := 0
		for n, file := range lines[:len(lines)-1] {
			g := goldenLine.FindStringSubmatch(lines[n+1])
			if strings.HasPrefix(file, "\t") || g == nil {
				continue
			}
			body, err := os.ReadFile(filepath.Join(dir, "testdata", "real", file))
			if err != nil {
				t.Fatal(err)
			}
			files++
			id := "scan-" + strconv.Itoa(files)
			h.source(alert.SourceDef{ID: id, Kind: "scan", Key: "k-" + id})
			all, _ := strconv.Atoi(g[3])
			muted, _ := strconv.Atoi(g[4])
			want := counts{Format: strings.TrimPrefix(g[1], "-"), Findings: all - muted}
			if want.New = want.Findings; g[2] == "unknown" {
				want.New = 0
			}
			for range 2 {
				if got := h.report("/in/k-"+id+"/scan", string(body)); got != want {
					t.Errorf("%s: %+v, want %+v", file, got, want)
				}
				want.New = 0
			}
		}
		if files < 20 {
			t.Fatalf("%d files", files)
		}
	})
}

// One finding over its life, as a scanner in a pipeline tells it.
func TestScan(t *testing.T) {
	result := func(rule string) string {
		return `{"ruleId":"` + rule + `","level":"error","message":{"text":"x"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"},"region":{"startLine":3}}}]}`
	}
	sarif := func(results ...string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"One"}},"invocations":[{"executionSuccessful":true}],"results":[` + strings.Join(results, ",") + `]}]}`
	}
	const path = "/in/k-scans/scan?target=shop"
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "scans", Kind: "scan", Service: "payments", Key: "k-scans"})
		for n, step := range []struct {
			body string
			want counts
		}{
			{sarif(result("r1"), result("r2")), counts{"sarif", 2, 2, 0, 0, 0}},
			{sarif(result("r1"), result("r2")), counts{"sarif", 2, 0, 0, 0, 0}},
			{sarif(result("r2")), counts{"sarif", 1, 0, 0, 1, 0}},
			{sarif(result("r1"), result("r2")), counts{"sarif", 2, 0, 1, 0, 0}},
			{sarif(result("r1"))[:60], counts{"sarif", 0, 0, 0, 0, 0}},
			{"hello", counts{"", 0, 0, 0, 0, 0}},
		} {
			if got := h.report(path, step.body); got != step.want {
				t.Errorf("step %d: %+v, want %+v", n, got, step.want)
			}
		}
		for name, tt := range map[string]struct {
			path, body string
			status     int
		}{
			"wrong key":      {"/in/k-none/scan", "{}", 401},
			"no such format": {path + "&format=paper", "{}", 415},
			"binary":         {path, "\x1f\x8b\x08\x00\x00", 415},
			"too deep":       {path, `{"version":"2.1.0","runs":` + strings.Repeat("[", 300), 400},
			"too large":      {path, strings.Repeat(" ", 32<<20+1), 413},
		} {
			resp, body := h.send("POST", tt.path, "application/json", tt.body)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %s %s", name, resp.Status, body)
			}
		}
		h.alerts.Stop()
		log, err := h.alerts.Payloads(h.ctx, "scans")
		if err != nil {
			t.Fatal(err)
		}
		var read []string
		for _, p := range log {
			read = append(read, p.Read...)
		}
		for _, want := range []string{"sarif findings: findings 2, new 2, reopened 0, fixed 0, unknown 0", "This is not a report of a known format.", "The format paper is not known."} {
			if !slices.Contains(read, want) {
				t.Errorf("the payload log does not say %q: %q", want, read)
			}
		}
	})
}
