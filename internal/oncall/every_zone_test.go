package oncall

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// everyZone lists the zones of the time database that comes with the compiler.
func everyZone(t *testing.T) []string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	var out []string
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "/") {
			out = append(out, f.Name)
		}
	}
	if len(out) < 500 {
		t.Fatalf("only %d zones", len(out))
	}
	return out
}

// transitions are the instants at which the clocks of a zone were or will be set.
func transitions(loc *time.Location, from, to time.Time) []time.Time {
	var out []time.Time
	for at := from; ; {
		_, end := at.In(loc).ZoneBounds()
		if end.IsZero() || !end.Before(to) {
			return out
		}
		out = append(out, end)
		at = end
	}
}

// TestEveryZone hands over every day through every setting of the clocks in every zone,
// zones that skipped a day or set their clocks at midnight among them: the turns follow
// each other without a gap, the person changes at each, the clocks show the time of the
// hand-over or the first instant after it, and At agrees with Intervals.
func TestEveryZone(t *testing.T) {
	first, last := time.Date(1994, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := 0
	for _, name := range everyZone(t) {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		days := append(transitions(loc, first, last), time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC), time.Date(2100, 2, 28, 12, 0, 0, 0, time.UTC))
		for _, clock := range []string{"00:00", "02:30", "09:00"} {
			def := Definition{Zone: name, Rotations: []Rotation{{People: []string{"a", "b", "c"}, Start: "1993-12-01T" + clock, Shift: "1d"}}}
			c, err := Compile(def)
			if err != nil {
				t.Fatal(err)
			}
			for _, day := range days {
				seen++
				from, to := day.Add(-50*time.Hour), day.Add(50*time.Hour)
				at := from
				for n, iv := range c.Intervals(from, to) {
					if !iv.From.Equal(at) || !iv.From.Before(iv.To) || iv.Person == "" {
						t.Fatalf("%s %s at %s: %+v does not follow %s", name, clock, day, iv, at)
					}
					if n > 0 {
						shown := iv.From.In(loc).Format("15:04")
						_, before := iv.From.Add(-time.Second).In(loc).Zone()
						_, after := iv.From.In(loc).Zone()
						if shown != clock && before == after {
							t.Fatalf("%s %s: handed over at %s", name, clock, iv.From.In(loc))
						}
					}
					for _, p := range []time.Time{iv.From, iv.From.Add(iv.To.Sub(iv.From) / 2), iv.To.Add(-time.Microsecond)} {
						if who, _ := c.At(p); who != iv.Person {
							t.Fatalf("%s %s at %s: %s, the interval says %s", name, clock, p, who, iv.Person)
						}
					}
					at = iv.To
				}
				if !at.Equal(to) {
					t.Fatalf("%s %s at %s: the turns end at %s", name, clock, day, at)
				}
			}
		}
	}
	t.Logf("%d hand-overs near a setting of the clocks", seen)
}
