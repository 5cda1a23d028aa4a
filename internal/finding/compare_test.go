package finding

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func reportOf(keys ...string) Report {
	r := Report{Verdict: Clean, Tool: Tool{Name: "t"}, Scopes: []Scope{{Tool: "t", Target: "a"}}, FinishedAt: now.Add(-time.Hour)}
	for _, k := range keys {
		r.Verdict = Findings
		r.Findings = append(r.Findings, Result{Key: k, Tool: "t", Target: "a"})
	}
	return r
}

func TestCompare(t *testing.T) {
	at := func(key string, state State) Known { return Known{Key: key, Tool: "t", Target: "a", State: state} }
	names := func(list []Result) (out []string) {
		for _, f := range list {
			out = append(out, f.Key)
		}
		return out
	}
	unknown := reportOf("n", "f")
	unknown.Verdict = Unknown
	partial := reportOf("n", "f")
	partial.Partial = true
	muted := reportOf("n", "o", "f")
	for i := range muted.Findings {
		muted.Findings[i].Suppressed = &Suppression{How: "ignored"}
	}
	muted.Verdict = Clean
	other := reportOf("n")
	other.Scopes[0].Target = "b"
	old := reportOf("n", "f")
	known := []Known{at("o", "open"), at("a", "accepted"), at("p", "false_positive"), at("f", "fixed")}
	seen := slices.Clone(known)
	for i := range seen {
		seen[i].SeenAt = now
	}
	for name, tt := range map[string]struct {
		known                                      []Known
		report                                     Report
		fresh, again, still, muted, fixed, unknown []string
	}{
		"whole":      {known, reportOf("n", "o", "f"), []string{"n"}, []string{"f"}, []string{"o"}, nil, []string{"a", "p"}, nil},
		"clean":      {known, reportOf(), nil, nil, nil, nil, []string{"o", "a", "p"}, nil},
		"unknown":    {known, unknown, nil, nil, nil, nil, nil, []string{"o", "a", "p"}},
		"partial":    {known, partial, []string{"n"}, []string{"f"}, nil, nil, nil, []string{"o", "a", "p"}},
		"suppressed": {known, muted, nil, nil, nil, []string{"n", "o", "f"}, []string{"a", "p"}, nil},
		"elsewhere":  {known, other, []string{"n"}, nil, nil, nil, nil, nil},
		"late":       {seen, old, []string{"n"}, nil, nil, nil, nil, []string{"o", "a", "p"}},
		"first":      {nil, reportOf("n"), []string{"n"}, nil, nil, nil, nil, nil},
	} {
		c := Compare(tt.known, tt.report, now)
		for what, pair := range map[string][2][]string{
			"new": {names(c.New), tt.fresh}, "reopened": {names(c.Reopened), tt.again}, "still": {names(c.Still), tt.still},
			"suppressed": {names(c.Suppressed), tt.muted}, "fixed": {c.Fixed, tt.fixed}, "unknown": {c.Unknown, tt.unknown},
		} {
			if !slices.Equal(pair[0], pair[1]) {
				t.Errorf("%s: %s: %v, want %v", name, what, pair[0], pair[1])
			}
		}
	}
	if c := Compare(nil, reportOf(), now); !c.At.Equal(now.Add(-time.Hour)) {
		t.Errorf("at %v", c.At)
	}
	future := reportOf()
	future.FinishedAt = now.Add(time.Hour)
	if c := Compare(nil, future, now); !c.At.Equal(now) {
		t.Errorf("a report of the future is at %v", c.At)
	}
}

// apply keeps the changes, as the owner of the findings does.
func apply(known map[string]Known, c Changes) {
	for _, list := range [][]Result{c.New, c.Reopened, c.Still} {
		for _, f := range list {
			s := known[f.Key]
			if s.State == "" || s.State == "fixed" {
				s.State = "open"
			}
			s.Key, s.Tool, s.Target, s.Location, s.SeenAt = f.Key, f.Tool, f.Target, f.Location, c.At
			known[f.Key] = s
		}
	}
	for _, k := range c.Fixed {
		s := known[k]
		s.State = "fixed"
		known[k] = s
	}
}

// TestCompareLaws: every known finding has one place; the same report twice
// changes nothing the second time; after a whole report what is open is what it
// names.
func TestCompareLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := map[string]Known{}
		clock := now
		for range rapid.IntRange(1, 8).Draw(t, "reports") {
			clock = clock.Add(time.Hour)
			named := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"1", "2", "3", "4", "5"}), 0, 5, rapid.ID).Draw(t, "named")
			r := reportOf(named...)
			r.FinishedAt = clock
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				r.Verdict = Unknown
			case 1:
				r.Partial = r.Verdict == Findings
			}
			var before []Known
			for _, s := range known {
				before = append(before, s)
			}
			c := Compare(before, r, clock)
			if n := len(c.Reopened) + len(c.Still) + len(c.Fixed) + len(c.Unknown); r.Verdict != Unknown && n > len(before) {
				t.Fatalf("%d known, %d placed", len(before), n)
			}
			if r.Verdict == Unknown && len(c.New)+len(c.Reopened)+len(c.Still)+len(c.Fixed) > 0 {
				t.Fatal("an unknown report changes something")
			}
			apply(known, c)
			var after []Known
			open := 0
			for _, s := range known {
				after = append(after, s)
				if s.State == "open" {
					open++
				}
			}
			if r.Verdict != Unknown && !r.Partial && open != len(named) {
				t.Fatalf("%d open, %d named", open, len(named))
			}
			if again := Compare(after, r, clock); len(again.New)+len(again.Reopened)+len(again.Fixed) > 0 {
				t.Fatalf("the same report again: %+v", again)
			}
		}
	})
}

func TestDue(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	l := Limits{Severity: High, Triage: 5, Fix: map[Severity]int{Critical: 7, High: 30}, Zone: paris}
	day := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		d, err := time.ParseInLocation("2006-01-02", s, paris)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, tt := range map[string]struct {
		s           Severity
		opened      time.Time
		triage, fix string
	}{
		"critical":                 {Critical, now, "2026-11-29", "2026-12-01"},
		"high":                     {High, now, "2026-11-29", "2026-12-24"},
		"below the limit":          {Medium, now, "", ""},
		"already tomorrow in zone": {Critical, time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC), "2026-11-30", "2026-12-02"},
		"over the change of clock": {Critical, time.Date(2026, 10, 22, 12, 0, 0, 0, time.UTC), "2026-10-28", "2026-10-30"},
	} {
		triage, fix := Due(tt.s, tt.opened, l)
		if !triage.Equal(day(tt.triage)) || !fix.Equal(day(tt.fix)) {
			t.Errorf("%s: %v %v", name, triage, fix)
		}
	}
	l.Severity = Low
	if triage, fix := Due(Medium, now, l); triage.IsZero() || !fix.IsZero() {
		t.Errorf("a severity without days to fix: %v %v", triage, fix)
	}
}
