package oncall_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/oncall"
)

func TestApply(t *testing.T) {
	each(t, func(b *bench) {
		apply := func(prune bool, schedules []oncall.Schedule, policies ...oncall.Policy) (out []string, err error) {
			err = b.d.Write(b.ctx, func(ctx context.Context, tx *db.Tx) error {
				list, err := b.s.Apply(ctx, tx, schedules, policies, prune)
				for _, c := range list {
					out = append(out, strings.TrimSpace(c.Section+" "+c.ID+" "+c.Op+" "+c.Detail))
				}
				return err
			})
			return out, err
		}
		wantChanges := func(got []string, err error, want ...string) {
			b.t.Helper()
			b.must(err)
			if !slices.Equal(got, want) {
				b.t.Fatalf("changes %q, want %q", got, want)
			}
		}
		one := []oncall.Schedule{{ID: "primary", Rotations: week("ana", "paul"), Overrides: []oncall.LocalOverride{{Person: "lina", From: "2026-12-24T09:00", To: "2026-12-26T09:00"}}}}
		policy := oncall.Policy{ID: "default", Steps: []oncall.Step{{Page: []string{"schedule:primary"}}, {After: oncall.Duration(5 * time.Minute), Page: []string{"schedule:secondary"}}}}
		got, err := apply(false, one, policy)
		wantChanges(got, err, "schedules primary create", "policies default create")
		b.want("schedule.changed", "policy.changed")
		got, err = apply(true, one, policy)
		wantChanges(got, err)
		b.want()
		old, err := b.s.At(b.ctx, "primary", time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC))
		b.must(err)
		if old.Person.Name != "Lina" || old.Why.Kind != "override" || !old.From.Equal(time.Date(2026, 12, 24, 8, 0, 0, 0, time.UTC)) {
			b.t.Fatalf("%+v", old)
		}
		one[0].Rotations = week("bob")
		b.clock.Advance(time.Hour)
		got, err = apply(true, one)
		wantChanges(got, err, "schedules primary change rotations")
		got, err = apply(true, nil, []oncall.Policy{}...)
		wantChanges(got, err, "policies default remove")
		p, err := b.s.Policy(b.ctx, "default")
		b.must(err)
		if !p.BuiltIn {
			b.t.Fatalf("%+v", p)
		}
		// The past stays as it was.
		slots, err := b.s.Intervals(b.ctx, "primary", monday, monday.Add(2*time.Hour))
		b.must(err)
		if len(slots) != 2 || slots[0].Person.ID != "paul" && slots[0].Person.ID != "ana" || slots[1].Person.ID != "bob" || !slots[1].From.Equal(monday.Add(time.Hour)) {
			b.t.Fatalf("%+v", slots)
		}
		got, err = apply(true, []oncall.Schedule{})
		wantChanges(got, err, "schedules primary remove")
		if _, err = b.s.Schedule(b.ctx, "primary"); kit.CodeOf(err) != kit.CodeNotFound {
			b.t.Fatalf("retired: %v", err)
		}
		got, err = apply(false, one)
		wantChanges(got, err, "schedules primary create")

		_, err = apply(false, []oncall.Schedule{one[0], {ID: "two", Rotations: []oncall.Rotation{{Start: "2026-01-05", Shift: "1d"}}}})
		e := kit.AsError(err)
		if len(e.Fields) != 1 || e.Fields[0].Path != "schedules[1].rotations[0].people" {
			b.t.Fatalf("%v", err)
		}
		b.h.unreachable = map[string]bool{"paul": true}
		for path, p := range map[string]oncall.Policy{
			"policies[0].steps[0].page[0]": {ID: "x", Steps: []oncall.Step{{Page: []string{"schedule:nothing"}}}},
			"policies[0].steps[0].when":    {ID: "x", Steps: []oncall.Step{{Page: []string{"role:commander"}, When: "incident."}}},
			"policies[0].steps[1].after":   {ID: "x", Steps: []oncall.Step{{After: 60e9, Page: []string{"role:commander"}}, {Page: []string{"role:commander"}}}},
			"policies[0].steps":            {ID: "x", Steps: []oncall.Step{{Page: []string{"person:paul"}}}},
			"policies[0].repeat":           {ID: "x", Repeat: 10, Steps: []oncall.Step{{Page: []string{"role:commander"}}}},
			"policies[0].id":               {ID: "X y", Steps: []oncall.Step{{Page: []string{"role:commander"}}}},
		} {
			_, err = apply(false, nil, p)
			if e := kit.AsError(err); e == nil || len(e.Fields) != 1 || e.Fields[0].Path != path {
				b.t.Errorf("%s: %v", path, err)
			}
		}
	})
}

func TestStaleVersion(t *testing.T) {
	each(t, func(b *bench) {
		sc, err := b.s.SaveSchedule(b.ctx, oncall.Schedule{ID: "web", Rotations: week("ana")})
		b.must(err)
		sc.Rotations = week("bob")
		again := sc
		if sc, err = b.s.SaveSchedule(b.ctx, sc); err != nil || sc.Version != 2 {
			b.t.Fatalf("%v %v", sc, err)
		}
		again.Rotations = week("paul")
		if _, err = b.s.SaveSchedule(b.ctx, again); kit.CodeOf(err) != kit.CodeStale {
			b.t.Fatalf("%v", err)
		}
	})
}

func TestDutyAndOverrides(t *testing.T) {
	each(t, func(b *bench) {
		for _, sc := range []oncall.Schedule{
			{ID: "week", Duty: "primary", Rotations: week("ana")},
			{ID: "backup", Duty: "secondary", Rotations: week("ana", "bob")},
		} {
			_, err := b.s.SaveSchedule(b.ctx, sc)
			b.must(err)
		}
		b.facts()
		duty := func() (string, string) {
			p, err := b.s.OnDuty(b.ctx, kit.RolePrimary, b.clock.Now())
			b.must(err)
			q, err := b.s.OnDuty(b.ctx, kit.RoleSecondary, b.clock.Now())
			b.must(err)
			return p, q
		}
		for range 2 {
			if p, q := duty(); p != "ana" || q != "bob" {
				b.t.Fatalf("on duty %s, %s", p, q)
			}
			b.clock.Advance(7 * 24 * time.Hour)
		}
		now := b.clock.Now()
		b.h.denied = map[kit.Use]bool{"schedule.edit": true}
		if _, err := b.s.AddOverride(b.ctx, "week", "lina", now, now.Add(time.Hour)); kit.CodeOf(err) != kit.CodeForbidden {
			b.t.Fatalf("the shift of somebody else: %v", err)
		}
		ana := kit.WithActor(b.ctx, kit.Actor{Kind: kit.ActorPerson, ID: "ana", Via: kit.ViaWeb})
		o, err := b.s.AddOverride(ana, "week", "lina", now.Add(-time.Hour), now.Add(time.Hour))
		b.must(err)
		b.want("override.created")
		if p, _ := duty(); p != "lina" {
			b.t.Fatalf("on duty %s", p)
		}
		now2, err := b.s.OnCallNow(b.ctx)
		b.must(err)
		if d := now2[0]; len(now2) != 2 || d.Role != "primary" || d.Person.Name != "Lina" || !d.To.Equal(now.Add(time.Hour)) || d.Next == nil || d.Next.Person.Name != "Ana" || !d.Reachable || d.Why.Override != o.ID {
			b.t.Fatalf("%+v", now2)
		}
		if why, err := b.s.InDuty(b.ctx, "lina"); err != nil || why != "week" {
			b.t.Fatalf("%q %v", why, err)
		}
		list, err := b.s.Overrides(b.ctx, "week", now)
		b.must(err)
		if len(list) != 1 || list[0].By != "ana" {
			b.t.Fatalf("%+v", list)
		}
		if err := b.s.RemoveOverride(b.ctx, o.ID); kit.CodeOf(err) != kit.CodeForbidden {
			b.t.Fatalf("the override of somebody else: %v", err)
		}
		b.clock.Advance(30 * time.Minute)
		b.must(b.s.RemoveOverride(ana, o.ID))
		b.want("override.removed")
		if p, _ := duty(); p != "ana" {
			b.t.Fatalf("on duty %s", p)
		}
		slots, err := b.s.Intervals(b.ctx, "week", now.Add(-time.Hour), now.Add(time.Hour))
		b.must(err)
		var people []string
		for _, s := range slots {
			people = append(people, s.Person.ID+s.To.Sub(s.From).String())
		}
		if want := []string{"ana1h0m0s", "lina30m0s", "ana30m0s"}; !slices.Equal(people, want) {
			b.t.Fatalf("%v", people)
		}
		b.h.onLeave = map[string]bool{"ana": true}
		if p, _ := duty(); p != "" {
			b.t.Fatalf("on leave, yet on duty: %s", p)
		}
	})
}

func TestGapsAndCalendarFile(t *testing.T) {
	each(t, func(b *bench) {
		_, err := b.s.SaveSchedule(b.ctx, oncall.Schedule{ID: "primary", Name: kit.Text{EN: "Nights; days"}, Rotations: []oncall.Rotation{
			{People: []string{"ana"}, Start: "2026-01-05T00:00", Shift: "1d", Days: []string{"mon"}, Hours: []string{"08:00-18:00"}},
		}})
		b.must(err)
		gaps, err := b.s.Gaps(b.ctx, 8)
		b.must(err)
		want := []oncall.Gap{
			{Schedule: "primary", Role: "primary", From: monday.Add(7 * time.Hour), To: monday.Add(7*24*time.Hour - 3*time.Hour), Reason: oncall.GapNobody},
			{Schedule: "primary", Role: "primary", From: monday.Add(7*24*time.Hour + 7*time.Hour), To: monday.Add(8 * 24 * time.Hour), Reason: oncall.GapNobody},
		}
		if !slices.Equal(gaps, want) {
			b.t.Fatalf("%+v", gaps)
		}
		raw, err := b.s.ICS(b.ctx, "primary", "ana")
		b.must(err)
		for _, part := range []string{"BEGIN:VCALENDAR\r\n", "DTSTART:20261123T070000Z\r\n", "DTEND:20261123T170000Z\r\n", `SUMMARY:Ana – Nights\; days`} {
			if !strings.Contains(string(raw), part) {
				b.t.Errorf("no %q in\n%s", part, raw[:min(len(raw), 600)])
			}
		}
		if raw, err = b.s.ICS(b.ctx, "primary", "bob"); err != nil || strings.Contains(string(raw), "VEVENT") {
			b.t.Errorf("bob: %s %v", raw, err)
		}
	})
}

func TestSimulate(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		before, err := b.l.Facts(b.ctx, ledger.Filter{})
		b.must(err)
		run := func(q oncall.SimulateQuery) map[string]time.Duration {
			sim, err := b.s.Simulate(b.ctx, q)
			b.must(err)
			out := map[string]time.Duration{}
			for _, st := range sim.Steps {
				for _, p := range st.People {
					if _, ok := out[p.ID]; !ok {
						out[p.ID] = st.At.Sub(monday)
						if len(p.Methods) != 2 || !p.Methods[1].At.Equal(st.At.Add(2*time.Minute)) {
							b.t.Errorf("methods %+v", p)
						}
					}
				}
			}
			return out
		}
		m := time.Minute
		for _, c := range []struct {
			q    oncall.SimulateQuery
			want map[string]time.Duration
		}{
			{oncall.SimulateQuery{Severity: "sev2"}, map[string]time.Duration{"ana": 0, "bob": 5 * m, "camille": 10 * m, "denis": 35 * m}},
			{oncall.SimulateQuery{Severity: "sev1"}, map[string]time.Duration{"ana": 0, "bob": 0, "camille": 10 * m, "denis": 35 * m}},
			{oncall.SimulateQuery{Away: []string{"ana", "camille"}}, map[string]time.Duration{"bob": 0, "denis": 5 * m}},
			{oncall.SimulateQuery{Severity: "sev4"}, map[string]time.Duration{}},
		} {
			if got := run(c.q); !maps.Equal(got, c.want) {
				b.t.Errorf("%+v: %v, want %v", c.q, got, c.want)
			}
		}
		if _, err := b.s.Simulate(b.ctx, oncall.SimulateQuery{Policy: "none"}); kit.CodeOf(err) != kit.CodeNotFound {
			b.t.Errorf("unknown policy: %v", err)
		}
		after, err := b.l.Facts(b.ctx, ledger.Filter{})
		b.must(err)
		if len(after) != len(before) {
			b.t.Error("a simulation left facts")
		}
	})
}
