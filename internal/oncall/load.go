package oncall

import (
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/internal/holiday"
	"tocsin/internal/kit"
)

// A night is from 22:00 to 07:00, in hours of the local clock.
const (
	NightFrom = 22
	NightTo   = 7
)

// Burden is how much one person was or will be on duty.
type Burden struct {
	Person Person
	// Duty is the time on duty in all, Weekend that on Saturdays and Sundays, Holiday that
	// on public holidays.
	Duty, Weekend, Holiday time.Duration
	// Nights are those of which the person has half or more.
	Nights int
}

// Burdens counts what intervals lay on each person, by the days and nights of a zone.
func Burdens(list []Interval, loc *time.Location, days holiday.Calendar) map[string]*Burden {
	out := map[string]*Burden{}
	for _, iv := range list {
		if iv.Person == "" {
			continue
		}
		b := out[iv.Person]
		if b == nil {
			b = &Burden{Person: Person{ID: iv.Person}}
			out[iv.Person] = b
		}
		b.Duty += iv.To.Sub(iv.From)
		y, m, d := iv.From.In(loc).Date()
		// The night before the first day reaches into it.
		for n := -1; ; n++ {
			day := localDay(y, m, d+n, 0, loc)
			if !day.Before(iv.To) {
				break
			}
			next := localDay(y, m, d+n+1, 0, loc)
			of := overlap(iv, day, next)
			noon := time.Date(y, m, d+n, 12, 0, 0, 0, time.UTC)
			if w := noon.Weekday(); w == time.Saturday || w == time.Sunday {
				b.Weekend += of
			}
			if of > 0 && days.On(noon.Date()) != "" {
				b.Holiday += of
			}
			from, to := localDay(y, m, d+n, NightFrom, loc), localDay(y, m, d+n+1, NightTo, loc)
			if 2*overlap(iv, from, to) >= to.Sub(from) {
				b.Nights++
			}
		}
	}
	return out
}

func localDay(y int, m time.Month, d, hour int, loc *time.Location) time.Time {
	return wall(time.Date(y, m, d, hour, 0, 0, 0, time.UTC)).instant(loc)
}

func overlap(iv Interval, from, to time.Time) time.Duration {
	return max(0, earlier(iv.To, to).Sub(later(iv.From, from)))
}

// Load gives how much each person is on duty in [from, to), at most 400 days, by all
// schedules together; who has most nights first.
func (s *Service) Load(ctx context.Context, from, to time.Time) ([]Burden, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	from, to = kit.Truncate(from), kit.Truncate(to)
	if !from.Before(to) || to.Sub(from) > maxRange {
		return nil, kit.InvalidField("to", "oncall.error.range", "days", int(maxRange/(24*time.Hour)))
	}
	schedules, err := s.schedulesAt(ctx, s.d.Now())
	if err != nil {
		return nil, err
	}
	days, err := s.p.People.Holidays(ctx)
	if err != nil {
		return nil, err
	}
	home, err := s.p.People.Zone(ctx)
	if err != nil {
		return nil, err
	}
	sum := map[string]*Burden{}
	var ids []string
	for _, sc := range schedules {
		list, err := s.intervals(ctx, sc.ID, from, to)
		if err != nil {
			return nil, err
		}
		zone := home
		if sc.Timezone != "" {
			zone = sc.Timezone
		}
		loc, err := loadZone(zone)
		if err != nil {
			continue
		}
		for id, b := range Burdens(list, loc, days) {
			if sum[id] == nil {
				sum[id] = b
				ids = append(ids, id)
				continue
			}
			sum[id].Duty += b.Duty
			sum[id].Weekend += b.Weekend
			sum[id].Holiday += b.Holiday
			sum[id].Nights += b.Nights
		}
	}
	names, err := s.names(ctx, ids, s.d.Now())
	if err != nil {
		return nil, err
	}
	for _, p := range names {
		sum[p.ID].Person = p
	}
	out := make([]Burden, 0, len(sum))
	for _, b := range sum {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b Burden) int {
		if a.Nights != b.Nights {
			return b.Nights - a.Nights
		}
		return strings.Compare(a.Person.ID, b.Person.ID)
	})
	return out, nil
}
