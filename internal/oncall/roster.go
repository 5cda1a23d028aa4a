package oncall

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/internal/kit"
)

// Reasons of Skipped.
const (
	SkipNobodyOnDuty    = "nobody_on_duty"
	SkipNobodyAppointed = "nobody_appointed"
	SkipOnLeave         = "on_leave"
	SkipSuspended       = "suspended"
	SkipUnreachable     = "unreachable"
	SkipUnknown         = "unknown"
	SkipAway            = "away"
	SkipAlreadyPaged    = "already_paged"
)

// onSchedule is a schedule that can be asked.
type onSchedule struct {
	Schedule
	calc *Calculator
}

// roster is what is known of schedules and people for one question, read once.
type roster struct {
	s         *Service
	schedules []onSchedule
	appointed map[kit.Role][]string
	teams     map[string][]string
	away      []string
}

// compiled keeps the calculators of definitions without the overrides made by hand.
type compiled struct{ m sync.Map }

type compiledKey struct {
	id      string
	version int64
	zone    string
}

func (c *compiled) get(sc Schedule, zone string) (*Calculator, error) {
	if sc.Timezone != "" {
		zone = sc.Timezone
	}
	key := compiledKey{sc.ID, sc.Version, zone}
	if v, ok := c.m.Load(key); ok {
		return v.(*Calculator), nil
	}
	calc, err := compileSchedule(sc, zone)
	if err != nil {
		return nil, err
	}
	c.m.Store(key, calc)
	return calc, nil
}

// compileSchedule checks a schedule in its zone; the errors name the fields.
func compileSchedule(sc Schedule, zone string) (*Calculator, error) {
	loc, err := loadZone(zone)
	if err != nil {
		return nil, kit.InvalidField("timezone", "oncall.error.zone", "zone", zone)
	}
	def := Definition{Zone: zone, Rotations: sc.Rotations}
	var bad kit.Fields
	for i, o := range sc.Overrides {
		from, _, err1 := parseWall(o.From)
		to, dateOnly, err2 := parseWall(o.To)
		if err1 != nil || err2 != nil {
			bad.Add(index("overrides", i), "oncall.error.local_time", "value", o.From+" – "+o.To)
			continue
		}
		if dateOnly {
			to = to.addDays(1)
		}
		def.Overrides = append(def.Overrides, Override{Person: o.Person, From: from.instant(loc), To: to.instant(loc)})
	}
	calc, err := Compile(def)
	if err != nil {
		return nil, err
	}
	return calc, bad.Err()
}

func (c *Calculator) with(rows []overrideRow) *Calculator {
	if len(rows) == 0 {
		return c
	}
	out := *c
	out.overrides = slices.Clone(c.overrides)
	for i := range rows {
		if o, ok := rows[i].effective(); ok {
			out.overrides = append(out.overrides, o)
		}
	}
	return &out
}

// rosterAt reads the schedules as they are in force at an instant; it can be asked
// about that instant and later ones.
func (s *Service) rosterAt(ctx context.Context, at time.Time) (*roster, error) {
	list, err := s.schedulesAt(ctx, at)
	if err != nil {
		return nil, err
	}
	zone, err := s.p.People.Zone(ctx)
	if err != nil {
		return nil, err
	}
	over, err := s.overridesAfter(ctx, "", at, at.Before(s.d.Now()))
	if err != nil {
		return nil, err
	}
	r := &roster{s: s, appointed: map[kit.Role][]string{}, teams: map[string][]string{}}
	for _, sc := range list {
		calc, err := s.compiled.get(sc, zone)
		if err != nil {
			// A zone that is gone keeps one schedule from answering, not the others.
			s.d.Log().Error("schedule cannot be read", "schedule", sc.ID, "error", err)
			continue
		}
		r.schedules = append(r.schedules, onSchedule{sc, calc.with(over[sc.ID])})
	}
	return r, nil
}

// find gives a schedule by id; primary and secondary are also found by their duty.
func (r *roster) find(id string) *onSchedule {
	for i := range r.schedules {
		if r.schedules[i].ID == id {
			return &r.schedules[i]
		}
	}
	for i := range r.schedules {
		if r.schedules[i].Duty == id && id != "other" {
			return &r.schedules[i]
		}
	}
	return nil
}

// on gives who is on duty by a schedule. Whoever is already on primary duty is
// replaced on secondary duty by the next person of the rotation.
func (r *roster) on(sc *onSchedule, at time.Time) (string, Why) {
	person, why := sc.calc.At(at)
	if sc.Duty != "secondary" || person == "" {
		return person, why
	}
	first := r.find("primary")
	if first == nil {
		return person, why
	}
	if p, _ := first.calc.At(at); p != person {
		return person, why
	}
	if next := sc.calc.After(why, person); next != "" {
		return next, Why{Kind: "substitute", For: person}
	}
	return "", Why{}
}

// everyone lists all people of a schedule, each once.
func (sc *onSchedule) everyone(at time.Time) []string {
	var out []string
	add := func(p string) {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	p, _ := sc.calc.At(at)
	add(p)
	for _, rot := range sc.Rotations {
		for _, p := range rot.People {
			add(p)
		}
	}
	return out
}

func (r *roster) role(ctx context.Context, role kit.Role) ([]string, error) {
	if list, ok := r.appointed[role]; ok {
		return list, nil
	}
	list, err := r.s.p.Appointments.Appointed(ctx, role)
	r.appointed[role] = list
	return list, err
}

func (r *roster) team(ctx context.Context, id string) ([]string, error) {
	if list, ok := r.teams[id]; ok {
		return list, nil
	}
	list, _, err := r.s.p.People.Team(ctx, id)
	r.teams[id] = list
	return list, err
}

// candidates are the people of one target, before anybody asked whether they can
// be reached; first means that one of them is enough.
type candidates struct {
	target string
	people []Paged
	first  bool
	none   string
}

func (r *roster) candidates(ctx context.Context, f *Frozen, target string, everyone bool, at time.Time) (c candidates, err error) {
	kind, id, _ := strings.Cut(target, ":")
	c = candidates{target: target, none: SkipUnknown}
	var ids []string
	switch kind {
	case "schedule":
		c.none = SkipNobodyOnDuty
		sc := r.find(id)
		switch {
		case sc == nil:
			if id != "primary" && id != "secondary" {
				c.none = SkipUnknown
			}
		case everyone:
			ids = sc.everyone(at)
		default:
			if p, why := r.on(sc, at); p != "" {
				c.people = []Paged{{Person: p, Target: target, Why: why}}
			}
			return c, nil
		}
	case "role":
		role := kit.Role(id)
		if role == kit.RolePrimary || role == kit.RoleSecondary {
			c, err = r.candidates(ctx, f, "schedule:"+id, everyone, at)
			c.target = target
			for i := range c.people {
				c.people[i].Target = target
			}
			return c, err
		}
		c.none, c.first = SkipNobodyAppointed, !everyone
		if id == "owner" {
			if f.Owner != "" {
				ids = []string{f.Owner}
			}
		} else {
			ids, err = r.role(ctx, role)
		}
	case "person":
		ids = []string{id}
	case "team":
		ids, err = r.team(ctx, id)
	}
	for _, p := range ids {
		c.people = append(c.people, Paged{Person: p, Target: target})
	}
	return c, err
}

// resolve says whom a rung pages at an instant. Channels are apart: they are no
// person, and a rung of channels alone counts as reached.
func (r *roster) resolve(ctx context.Context, f *Frozen, rung Rung, at time.Time) (people []Paged, skipped []Skipped, channels []string, err error) {
	targets, everyone := rung.Targets, false
	if rung.Kind == KindEveryone {
		everyone = true
		for _, st := range f.Steps {
			for _, t := range st.Page {
				if !slices.Contains(targets, t) && !strings.HasPrefix(t, "channel:") {
					targets = append(slices.Clip(targets), t)
				}
			}
		}
	}
	var all []candidates
	var ids []string
	for _, t := range targets {
		if id, ok := strings.CutPrefix(t, "channel:"); ok {
			channels = append(channels, id)
			continue
		}
		c, err := r.candidates(ctx, f, t, everyone, at)
		if err != nil {
			return nil, nil, nil, err
		}
		all = append(all, c)
		for _, p := range c.people {
			if !slices.Contains(ids, p.Person) {
				ids = append(ids, p.Person)
			}
		}
	}
	states, reach, err := r.states(ctx, ids, at)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, c := range all {
		if len(c.people) == 0 {
			skipped = append(skipped, Skipped{Target: c.target, Reason: c.none})
		}
		for _, p := range c.people {
			if reason := r.hindered(p.Person, states, reach); reason != "" {
				skipped = append(skipped, Skipped{Target: c.target, Person: p.Person, Reason: reason})
				continue
			}
			if !slices.ContainsFunc(people, func(q Paged) bool { return q.Person == p.Person }) {
				people = append(people, p)
			}
			if c.first {
				break
			}
		}
	}
	if rung.RoundRobin {
		people = Pick(people, f.Turn, rung.Round)
	}
	return people, skipped, channels, nil
}

func (r *roster) states(ctx context.Context, ids []string, at time.Time) (map[string]PersonState, map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	states, err := r.s.p.People.States(ctx, ids, at)
	if err != nil {
		return nil, nil, err
	}
	reach, err := r.s.p.Reach.Reachable(ctx, ids)
	return states, reach, err
}

func (r *roster) hindered(person string, states map[string]PersonState, reach map[string]bool) string {
	st, ok := states[person]
	switch {
	case !ok:
		return SkipUnknown
	case st.Suspended:
		return SkipSuspended
	case slices.Contains(r.away, person):
		return SkipAway
	case st.OnLeave:
		return SkipOnLeave
	case !reach[person]:
		return SkipUnreachable
	}
	return ""
}
