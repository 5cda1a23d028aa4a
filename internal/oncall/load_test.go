package oncall_test

import (
	"testing"
	"time"

	"tocsin/internal/holiday"
	"tocsin/internal/oncall"
)

func TestBurdens(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		x, err := time.ParseInLocation("2006-01-02T15:04", s, paris)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		name, from, to         string
		nights                 int
		duty, weekend, holiday time.Duration
	}{
		{"a week", "2026-11-23T09:00", "2026-11-30T09:00", 7, 168 * time.Hour, 48 * time.Hour, 0},
		{"a day without its night", "2026-11-23T09:00", "2026-11-23T18:00", 0, 9 * time.Hour, 0, 0},
		{"an evening is not a night", "2026-11-23T18:00", "2026-11-24T00:00", 0, 6 * time.Hour, 0, 0},
		{"the rest of the night is", "2026-11-24T00:00", "2026-11-24T07:00", 1, 7 * time.Hour, 0, 0},
		{"Christmas", "2026-12-25T00:00", "2026-12-26T00:00", 1, 24 * time.Hour, 0, 24 * time.Hour},
		{"summer time ends on a Sunday", "2026-10-25T00:00", "2026-10-26T00:00", 1, 25 * time.Hour, 25 * time.Hour, 0},
		{"summer time begins on a Sunday", "2026-03-29T00:00", "2026-03-30T00:00", 1, 23 * time.Hour, 23 * time.Hour, 0},
	} {
		iv := oncall.Interval{From: at(c.from), To: at(c.to), Person: "ana"}
		got := oncall.Burdens([]oncall.Interval{iv, {From: iv.To, To: iv.To.Add(time.Hour)}}, paris, holiday.New("FR", nil))
		b := got["ana"]
		if len(got) != 1 || b.Duty != c.duty || b.Weekend != c.weekend || b.Holiday != c.holiday || b.Nights != c.nights {
			t.Errorf("%s: %+v", c.name, b)
		}
	}
}

func TestLoadOfTwoSchedules(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.clock.Advance(7 * 24 * time.Hour)
		list, err := b.s.Load(b.ctx, monday, b.clock.Now())
		b.must(err)
		if len(list) != 2 || list[0].Person.Name != "Ana" || list[0].Duty != 168*time.Hour || list[0].Nights != 7 || list[1].Person.ID != "bob" {
			b.t.Fatalf("%+v", list)
		}
		if _, err := b.s.Load(b.ctx, monday, monday); err == nil {
			b.t.Fatal("an empty time")
		}
	})
}

func TestGapsOfLeave(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		away := oncall.Span{From: monday.AddDate(0, 0, 3), To: monday.AddDate(0, 0, 5)}
		b.h.leave = map[string][]oncall.Span{"ana": {away, {From: away.From.Add(time.Hour), To: away.To.Add(-time.Hour)}}}
		gaps, err := b.s.Gaps(b.ctx, 10)
		b.must(err)
		if len(gaps) != 1 || gaps[0].Reason != oncall.GapLeave || gaps[0].Person.Name != "Ana" || !gaps[0].From.Equal(away.From) || !gaps[0].To.Equal(away.To) {
			b.t.Fatalf("%+v", gaps)
		}
		b.must(b.s.LookAtCoverage(b.ctx))
		b.forward(0)
		b.want("coverage.gap_found")
		b.h.leave = nil
		b.must(b.s.LookAtCoverage(b.ctx))
		b.forward(0)
		b.want("coverage.gap_closed")
	})
}
