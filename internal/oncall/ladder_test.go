package oncall

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func minutes(n int) Duration { return Duration(time.Duration(n) * time.Minute) }

func frozen(severity string) Frozen {
	return Frozen{Severity: severity, Rounds: 2, Gap: 5 * time.Minute, Steps: []Step{
		{Page: []string{"schedule:primary"}}, {After: minutes(5), Page: []string{"schedule:secondary"}}, {After: minutes(10), Page: []string{"role:commander"}},
	}}
}

func TestRungs(t *testing.T) {
	ends := frozen(Sev2)
	ends.Rounds, ends.Succession, ends.Everyone, ends.LastResort = 1, []string{"camille"}, true, true
	bare := frozen(Sev1)
	bare.Steps, bare.Succession = nil, []string{"camille", "denis"}
	manual := frozen(Sev4)
	manual.Manual, manual.Rounds = true, 1
	for name, c := range map[string]struct {
		f    Frozen
		want string
	}{
		"sev2":      {frozen(Sev2), "1.1@0 1.2@5 1.3@10 2.1@15 2.2@20 2.3@25"},
		"sev1":      {frozen(Sev1), "1.1@0 1.2@0 1.3@10 2.1@15 2.2@20 2.3@25"},
		"not known": {frozen(""), "1.1@0 1.2@5 1.3@10 2.1@15 2.2@20 2.3@25"},
		"sev4":      {frozen(Sev4), ""},
		"asked for": {manual, "1.1@0 1.2@5 1.3@10"},
		"ends":      {ends, "1.1@0 1.2@5 1.3@10 1.4@15succession 1.5@20everyone 1.6@25last_resort"},
		"no steps":  {bare, "2.1@0succession 2.2@5succession"},
		"practice":  {Frozen{OnlyPerson: "ana", Severity: Sev4}, "1.1@0"},
	} {
		var got []string
		for _, r := range Rungs(c.f) {
			line := fmt.Sprintf("%d.%d@%d", r.Round, r.Step, int(r.After/time.Minute))
			if r.Kind != KindStep {
				line += r.Kind
			}
			got = append(got, line)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

// Whatever happens, rungs run in order, never before their predecessors, and a
// hastened ladder is never later than it was.
func TestPositionOnlyMovesForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := frozen(rapid.SampledFrom([]string{"", Sev1, Sev2, Sev3}).Draw(t, "severity"))
		f.Rounds = rapid.IntRange(1, 9).Draw(t, "rounds")
		f.Everyone = rapid.Bool().Draw(t, "everyone")
		rungs := Rungs(f)
		now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		p := Position{Base: now}
		for i := range rungs {
			now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "s")) * time.Second)
			before, _ := p.NextAt(rungs)
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				p = p.Hasten(rungs, now)
				if at, _ := p.NextAt(rungs); at.After(now) || at.After(before) {
					t.Fatalf("rung %d hastened to %s, now %s", i, at, now)
				}
			case 1:
				p = p.Late(rungs, now)
				if at, _ := p.NextAt(rungs); at.Before(before) || now.Sub(at) > 30*time.Second {
					t.Fatalf("rung %d late at %s, now %s", i, at, now)
				}
			}
			at, ok := p.NextAt(rungs)
			if !ok {
				t.Fatal("no next rung")
			}
			p.Next++
			if next, ok := p.NextAt(rungs); ok && next.Before(at) {
				t.Fatalf("rung %d at %s before %s", i+1, next, at)
			}
		}
		if q := p.Again(rungs, now); q.Next != 0 || !q.Base.Equal(now) {
			t.Fatalf("again: %+v", q)
		}
	})
}

func TestSteps(t *testing.T) {
	steps := []Step{{When: `incident.severity == "sev1"`}, {When: `"shop" in incident.services`}, {When: `incident.nothing == 1`}, {When: `not valid (`}, {}}
	for _, c := range []struct {
		s    Start
		want []int
	}{
		{Start{Severity: "sev1"}, []int{0, 2, 3, 4}},
		{Start{Severity: "sev2", Services: []string{"shop"}}, []int{1, 2, 3, 4}},
		{Start{}, []int{2, 3, 4}},
	} {
		var want []string
		for _, i := range c.want {
			want = append(want, steps[i].When)
		}
		var got []string
		for _, st := range StepsFor(steps, c.s) {
			got = append(got, st.When)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %q, want %q", c.s, got, want)
		}
	}
	for expr, ok := range map[string]bool{`true`: true, `incident.exercise`: true, `1 + 1`: false, `incident.`: false, `other == 1`: false} {
		if _, err := compileWhen(expr); (err == nil) != ok {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func TestStartAt(t *testing.T) {
	h := &ServiceHours{Days: []string{"mon", "fri"}, Hours: []string{"09:00-18:00"}}
	for _, c := range []struct{ severity, now, want string }{
		{Sev3, "2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"},
		{Sev3, "2026-11-23T07:00:00Z", "2026-11-23T08:00:00Z"},
		{Sev3, "2026-11-23T17:00:00Z", "2026-11-27T08:00:00Z"},
		{Sev2, "2026-11-23T17:00:00Z", "2026-11-23T17:00:00Z"},
		{"", "2026-11-23T17:00:00Z", "2026-11-23T17:00:00Z"},
	} {
		got, err := StartAt(h, "Europe/Paris", c.severity, instantOf(t, c.now))
		if err != nil || !got.Equal(instantOf(t, c.want)) {
			t.Errorf("%s at %s: %s %v, want %s", c.severity, c.now, got, err, c.want)
		}
	}
	if got, err := StartAt(nil, "", Sev3, instantOf(t, "2026-11-23T17:00:00Z")); err != nil || !got.Equal(instantOf(t, "2026-11-23T17:00:00Z")) {
		t.Errorf("without hours: %s %v", got, err)
	}
}

func TestSimulateGaps(t *testing.T) {
	at := instantOf(t, "2026-11-23T03:00:00Z")
	f := frozen(Sev2)
	f.Rounds, f.LastResort = 1, true
	sim, err := Simulate(f, at, func(r Rung, _ time.Time) ([]Paged, []Skipped, error) {
		if r.Kind == KindStep && r.Step == 2 {
			return []Paged{{Person: "bob"}}, nil, nil
		}
		return nil, []Skipped{{Reason: SkipUnreachable}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sim.Steps {
		got = append(got, fmt.Sprintf("%s %d %v", s.Kind, int(s.At.Sub(at)/time.Minute), s.Gap))
	}
	if want := []string{"step 0 true", "step 0 false", "step 5 true", "last_resort 5 false"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	broken := errors.New("broken")
	if _, err := Simulate(f, at, func(Rung, time.Time) ([]Paged, []Skipped, error) { return nil, nil, broken }); !errors.Is(err, broken) {
		t.Errorf("error lost: %v", err)
	}
}

func TestPick(t *testing.T) {
	people := []Paged{{Person: "a"}, {Person: "b"}, {Person: "c"}}
	var got string
	for turn := range 2 {
		for round := 1; round <= 3; round++ {
			got += Pick(people, turn, round)[0].Person
		}
	}
	if got != "abcbca" || len(Pick(people[:1], 5, 2)) != 1 || Pick(nil, 1, 1) != nil {
		t.Errorf("picked %s", got)
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{"0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1w": 168 * time.Hour} {
		d, err := ParseDuration(in)
		if err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v %v", in, d, err)
		}
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Errorf("%s written %s", in, d)
		}
	}
	for _, in := range []string{"", "5", "m", "5 m", "-5m", "5x", "9999999999s"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q read as %s", in, d)
		}
	}
}
