package oncall

import (
	"fmt"
	"strings"
	"time"
)

// wall is a date and time of day without a zone, kept as if it were UTC.
type wall time.Time

// parseWall reads 2026-01-05T09:00, with seconds or a space allowed, or a date
// alone (dateOnly).
func parseWall(s string) (w wall, dateOnly bool, err error) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, e := time.Parse(layout, s); e == nil {
			return wall(t), false, nil
		}
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return wall{}, false, fmt.Errorf("not a local date-time: %q", s)
	}
	return wall(t), true, nil
}

// addDays moves the date and keeps the time of day.
func (w wall) addDays(n int) wall { return wall(time.Time(w).AddDate(0, 0, n)) }

// at is the same date at minutes after midnight.
func (w wall) at(minutes int) wall {
	y, m, d := time.Time(w).Date()
	return wall(time.Date(y, m, d, 0, minutes, 0, 0, time.UTC))
}

// wallOf is what the clocks of the zone show at an instant.
func wallOf(t time.Time, loc *time.Location) wall {
	_, off := t.In(loc).Zone()
	return wall(t.UTC().Add(time.Duration(off) * time.Second))
}

// instant is the first instant at which the clocks of the zone show w or more: in
// a gap the end of the gap, in a repeated hour the first one. It grows with w, also
// where a zone skipped or repeated a whole day.
func (w wall) instant(loc *time.Location) time.Time {
	u := time.Time(w)
	t := u.Add(-36 * time.Hour)
	for {
		local := t.In(loc)
		_, off := local.Zone()
		start, end := local.ZoneBounds()
		c := u.Add(-time.Duration(off) * time.Second)
		if !start.IsZero() && c.Before(start) {
			return start.UTC()
		}
		if end.IsZero() || c.Before(end) {
			return c
		}
		t = end
	}
}

var weekdays = map[string]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday,
	"thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday,
}

// window is a part of the day, in minutes after midnight; to may pass 1440.
type window struct{ from, to int }

func parseWindow(s string) (window, error) {
	a, b, ok := strings.Cut(s, "-")
	from, err1 := parseMinutes(a)
	to, err2 := parseMinutes(b)
	if !ok || err1 != nil || err2 != nil || from >= 1440 || from == to {
		return window{}, fmt.Errorf("not a part of the day: %q", s)
	}
	if to < from {
		to += 1440
	}
	return window{from, to}, nil
}

func parseMinutes(s string) (int, error) {
	if s == "24:00" {
		return 1440, nil
	}
	t, err := time.Parse("15:04", strings.TrimSpace(s))
	if err != nil {
		return 0, err
	}
	return t.Hour()*60 + t.Minute(), nil
}

// restriction limits to weekdays and parts of the day; the zero value is always.
type restriction struct {
	days  map[time.Weekday]bool
	hours []window
}

func (r restriction) none() bool { return len(r.days) == 0 && len(r.hours) == 0 }

type span struct{ from, to time.Time }

// spans gives the windows that begin on local days near [from, to), in order.
func (r restriction) spans(loc *time.Location, from, to time.Time) []span {
	day := wallOf(from, loc).at(0).addDays(-2)
	last := wallOf(to, loc).at(0).addDays(2)
	hours := r.hours
	if len(hours) == 0 {
		hours = []window{{0, 1440}}
	}
	var out []span
	for ; !time.Time(day).After(time.Time(last)); day = day.addDays(1) {
		if len(r.days) > 0 && !r.days[time.Time(day).Weekday()] {
			continue
		}
		for _, h := range hours {
			s := span{day.at(h.from).instant(loc), day.at(h.to).instant(loc)}
			if s.from.Before(s.to) && s.from.Before(to) && from.Before(s.to) {
				out = append(out, s)
			}
		}
	}
	return out
}

func (r restriction) covers(loc *time.Location, t time.Time) bool {
	if r.none() {
		return true
	}
	for _, s := range r.spans(loc, t, t.Add(time.Microsecond)) {
		if !t.Before(s.from) && t.Before(s.to) {
			return true
		}
	}
	return false
}
