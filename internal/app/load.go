package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// Load gives how on-call lay on people in [from, to): how long they were on duty, how
// often and when they were called, and how often it was needed. Calls for incidents that
// the actor may not know of are not counted.
func (a *App) Load(ctx context.Context, from, to time.Time) (kit.Load, error) {
	out := kit.Load{From: from, To: to}
	burdens, err := a.Oncall.Load(ctx, from, to)
	if err != nil {
		return out, err
	}
	calls, err := a.Notify.Calls(ctx, from, to)
	if err != nil {
		return out, err
	}
	var ids []string
	for _, c := range calls {
		ids = append(ids, c.Incidents...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	known := map[string]bool{}
	for part := range slices.Chunk(ids, 500) {
		seen, err := a.Incident.Visible(ctx, part)
		if err != nil {
			return out, err
		}
		maps.Copy(known, seen)
	}
	calls = slices.DeleteFunc(calls, func(c notify.Call) bool {
		return len(c.Incidents) > 0 && !slices.ContainsFunc(c.Incidents, func(id string) bool { return known[id] })
	})
	ctx = kit.WithActor(ctx, kit.System(kit.ActorFrom(ctx).Via))
	alarms, err := a.Incident.FalseAlarms(ctx, ids)
	if err != nil {
		return out, err
	}
	people, err := a.Identity.People(ctx, identity.Filter{})
	if err != nil {
		return out, err
	}
	home, err := ports{a}.Zone(ctx)
	if err != nil {
		return out, err
	}
	at := map[string]int{}
	add := func(id, name string) *kit.PersonLoad {
		if i, ok := at[id]; ok {
			return &out.People[i]
		}
		at[id] = len(out.People)
		p := kit.PersonLoad{ID: id, Name: name}
		for w := from; w.Before(to); w = w.AddDate(0, 0, 7) {
			p.Weeks = append(p.Weeks, kit.WeekLoad{From: w})
		}
		out.People = append(out.People, p)
		return &out.People[len(out.People)-1]
	}
	for _, b := range burdens {
		p := add(b.Person.ID, b.Person.Name)
		p.Duty, p.Weekend, p.Holiday, p.Nights = b.Duty, b.Weekend, b.Holiday, b.Nights
	}
	for _, who := range people {
		mine := slices.Collect(func(yield func(notify.Call) bool) {
			for _, c := range calls {
				if c.Person == who.ID && !yield(c) {
					return
				}
			}
		})
		if len(mine) == 0 {
			continue
		}
		loc, err := time.LoadLocation(who.Timezone)
		if err != nil || who.Timezone == "" {
			loc = home
		}
		count(add(who.ID, who.Name), mine, loc, alarms)
	}
	slices.SortStableFunc(out.People, func(a, b kit.PersonLoad) int {
		if a.Interrupted != b.Interrupted {
			return b.Interrupted - a.Interrupted
		}
		return b.Calls - a.Calls
	})
	return out, nil
}

// count adds the calls of one person.
func count(p *kit.PersonLoad, calls []notify.Call, loc *time.Location, alarms map[string]bool) {
	nights := map[string]bool{}
	for _, c := range calls {
		p.Calls++
		if c.Answered && (len(c.Incidents) == 0 || slices.ContainsFunc(c.Incidents, func(id string) bool { return !alarms[id] })) {
			p.Needed++
		}
		local := c.At.In(loc)
		night := local.Hour() >= oncall.NightFrom || local.Hour() < oncall.NightTo
		if night {
			p.NightCalls++
			nights[local.Add(-oncall.NightTo*time.Hour).Format(time.DateOnly)] = true
		}
		for i := len(p.Weeks) - 1; i >= 0; i-- {
			if !c.At.Before(p.Weeks[i].From) {
				p.Weeks[i].Calls++
				if night {
					p.Weeks[i].NightCalls++
				}
				break
			}
		}
	}
	p.Interrupted = len(nights)
}
