package oncall

import (
	"context"
	"slices"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Service is the module: schedules, policies and the ladders that run.
type Service struct {
	d        *db.DB
	p        Ports
	compiled compiled
}

// New makes the module on the database of a ledger.
func New(l *ledger.Ledger, p Ports) *Service { return &Service{d: l.DB(), p: p} }

const (
	// maxRange is the longest time that a calendar covers.
	maxRange = 400 * 24 * time.Hour
	// horizon is how far an answer looks for the end of a duty and the next one.
	horizon = 92 * 24 * time.Hour
	// past is how far it looks for its beginning.
	past = 31 * 24 * time.Hour
)

// Schedules gives the schedules in use: primary and secondary first, then by id.
func (s *Service) Schedules(ctx context.Context) ([]Schedule, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	return s.schedulesAt(ctx, s.d.Now())
}

// Schedule gives one schedule as it is now.
func (s *Service) Schedule(ctx context.Context, id string) (Schedule, error) {
	list, err := s.Schedules(ctx)
	if err != nil {
		return Schedule{}, err
	}
	for _, sc := range list {
		if sc.ID == id {
			return sc, nil
		}
	}
	return Schedule{}, kit.NotFound("schedule", id)
}

// Policies gives the policies in use, by id, the built-in ones included.
func (s *Service) Policies(ctx context.Context) ([]Policy, error) {
	if err := s.p.Rights.Require(ctx, "policy.see"); err != nil {
		return nil, err
	}
	return s.policies(ctx)
}

// Policy gives one policy.
func (s *Service) Policy(ctx context.Context, id string) (Policy, error) {
	if err := s.p.Rights.Require(ctx, "policy.see"); err != nil {
		return Policy{}, err
	}
	p, _, err := s.policy(ctx, id)
	return p, err
}

// OnDuty gives who holds primary or secondary duty at an instant, never the same
// person for both; empty when nobody does, or whoever does is on leave. It asks for
// no right: for other modules.
func (s *Service) OnDuty(ctx context.Context, role kit.Role, at time.Time) (string, error) {
	if role != kit.RolePrimary && role != kit.RoleSecondary {
		return "", nil
	}
	r, err := s.rosterAt(ctx, at)
	if err != nil {
		return "", err
	}
	sc := r.find(string(role))
	if sc == nil {
		return "", nil
	}
	person, _ := r.on(sc, at)
	if person == "" {
		return "", nil
	}
	states, err := s.p.People.States(ctx, []string{person}, at)
	if err != nil {
		return "", err
	}
	if st, ok := states[person]; !ok || st.Suspended || st.OnLeave {
		return "", nil
	}
	return person, nil
}

// InDuty tells why a person cannot be retired now: the name of a schedule on which
// they are on duty, or empty. It asks for no right: for other modules.
func (s *Service) InDuty(ctx context.Context, person string) (string, error) {
	now := s.d.Now()
	r, err := s.rosterAt(ctx, now)
	if err != nil {
		return "", err
	}
	for i := range r.schedules {
		if p, _ := r.on(&r.schedules[i], now); p == person {
			return r.schedules[i].ID, nil
		}
	}
	return "", nil
}

// OnCallNow gives who is on duty now, one line per schedule.
func (s *Service) OnCallNow(ctx context.Context) ([]Duty, error) { return s.OnCallAt(ctx, s.d.Now()) }

// OnCallAt gives who is on duty at an instant, one line per schedule, primary and
// secondary first.
func (s *Service) OnCallAt(ctx context.Context, at time.Time) ([]Duty, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	at = kit.Truncate(at)
	r, err := s.rosterAt(ctx, at)
	if err != nil {
		return nil, err
	}
	out := make([]Duty, len(r.schedules))
	var ids []string
	for i := range r.schedules {
		sc := &r.schedules[i]
		out[i] = r.line(sc, at)
		if p := out[i].Person.ID; p != "" {
			ids = append(ids, p)
		}
		if n := out[i].Next; n != nil {
			ids = append(ids, n.Person.ID)
		}
	}
	states, reach, err := r.states(ctx, ids, at)
	if err != nil {
		return nil, err
	}
	for i := range out {
		d := &out[i]
		d.Person.Name = nameOf(states, d.Person.ID)
		d.Reachable = d.Person.ID != "" && r.hindered(d.Person.ID, states, reach) == ""
		if d.Next != nil {
			d.Next.Person.Name = nameOf(states, d.Next.Person.ID)
		}
	}
	return out, nil
}

// line is the duty of one schedule, with ids but no names.
func (r *roster) line(sc *onSchedule, at time.Time) Duty {
	person, why := r.on(sc, at)
	d := Duty{Role: sc.Duty, Schedule: sc.ID, Person: Person{ID: person}, Why: why, From: at.Add(-past), To: at.Add(horizon)}
	list := sc.calc.Intervals(d.From, d.To)
	for i, iv := range list {
		if at.Before(iv.From) || !at.Before(iv.To) {
			continue
		}
		d.From, d.To = iv.From, iv.To
		for _, n := range list[i+1:] {
			if n.Person != "" && n.Person != person {
				d.Next = &Next{Person: Person{ID: n.Person}, From: n.From}
				break
			}
		}
	}
	return d
}

func nameOf(states map[string]PersonState, id string) string {
	if n := states[id].Name; n != "" {
		return n
	}
	return id
}

// Intervals gives who is on duty by a schedule in [from, to), at most 400 days:
// the past as it was, the future as it stands.
func (s *Service) Intervals(ctx context.Context, id string, from, to time.Time) ([]Slot, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	from, to = kit.Truncate(from), kit.Truncate(to)
	if !from.Before(to) || to.Sub(from) > maxRange {
		return nil, kit.InvalidField("to", "oncall.error.range", "days", int(maxRange/(24*time.Hour)))
	}
	list, err := s.intervals(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	return s.slots(ctx, list)
}

// At gives who is on duty by a schedule at an instant: the interval that holds it,
// cut to a month before and three after.
func (s *Service) At(ctx context.Context, id string, at time.Time) (Slot, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return Slot{}, err
	}
	at = kit.Truncate(at)
	list, err := s.intervals(ctx, id, at.Add(-past), at.Add(horizon))
	if err != nil {
		return Slot{}, err
	}
	for i := range list {
		if !at.Before(list[i].From) && at.Before(list[i].To) {
			slots, err := s.slots(ctx, list[i:i+1])
			if err != nil {
				return Slot{}, err
			}
			return slots[0], nil
		}
	}
	return Slot{}, kit.NotFound("schedule", id)
}

func (s *Service) slots(ctx context.Context, list []Interval) ([]Slot, error) {
	var ids []string
	seen := map[string]bool{"": true}
	for _, iv := range list {
		if !seen[iv.Person] {
			seen[iv.Person] = true
			ids = append(ids, iv.Person)
		}
	}
	names := map[string]string{}
	if len(ids) > 0 {
		people, err := s.names(ctx, ids, s.d.Now())
		if err != nil {
			return nil, err
		}
		for _, p := range people {
			names[p.ID] = p.Name
		}
	}
	out := make([]Slot, len(list))
	for i, iv := range list {
		out[i] = Slot{From: iv.From, To: iv.To, Person: Person{ID: iv.Person, Name: names[iv.Person]}, Why: iv.Why}
	}
	return out, nil
}

// intervals puts the versions of a schedule behind each other, each for the time in
// which it was in force.
func (s *Service) intervals(ctx context.Context, id string, from, to time.Time) ([]Interval, error) {
	rows, gone, err := s.versions(ctx, id)
	if err != nil {
		return nil, err
	}
	over, err := s.overridesAfter(ctx, id, from, true)
	if err != nil {
		return nil, err
	}
	zone, err := s.p.People.Zone(ctx)
	if err != nil {
		return nil, err
	}
	var out []Interval
	for i := range rows {
		a, b := later(from, kit.FromMicros(rows[i].ValidFrom)), to
		if i+1 < len(rows) {
			b = earlier(b, kit.FromMicros(rows[i+1].ValidFrom))
		}
		if !gone.IsZero() {
			b = earlier(b, gone)
		}
		if !a.Before(b) {
			continue
		}
		sc, err := rows[i].schedule()
		if err != nil {
			return nil, err
		}
		calc, err := s.compiled.get(sc, zone)
		if err != nil {
			return nil, err
		}
		out = append(out, calc.with(over[id]).Intervals(a, b)...)
	}
	if !gone.IsZero() && later(from, gone).Before(to) {
		out = append(out, Interval{From: later(from, gone), To: to})
	}
	return merge(out), nil
}

// Gaps gives the times in the coming days, at most 366, in which a schedule has
// nobody, or somebody who no longer works here or is on leave.
func (s *Service) Gaps(ctx context.Context, days int) ([]Gap, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	days = min(max(days, 1), 366)
	now := s.d.Now()
	r, err := s.rosterAt(ctx, now)
	if err != nil {
		return nil, err
	}
	all := make([][]Interval, len(r.schedules))
	seen := map[string]bool{"": true}
	var ids []string
	for i := range r.schedules {
		all[i] = r.schedules[i].calc.Intervals(now, now.AddDate(0, 0, days))
		for _, iv := range all[i] {
			if !seen[iv.Person] {
				seen[iv.Person] = true
				ids = append(ids, iv.Person)
			}
		}
	}
	states := map[string]PersonState{}
	if len(ids) > 0 {
		if states, err = s.p.People.States(ctx, ids, now); err != nil {
			return nil, err
		}
	}
	var out []Gap
	for i, list := range all {
		sc := &r.schedules[i]
		for _, iv := range list {
			for _, g := range empty(iv, states) {
				g.Schedule, g.Role = sc.ID, sc.Duty
				if n := len(out) - 1; n >= 0 && out[n].To.Equal(g.From) && out[n].Schedule == g.Schedule && out[n].Reason == g.Reason && out[n].Person == g.Person {
					out[n].To = g.To
					continue
				}
				out = append(out, g)
			}
		}
	}
	return out, nil
}

// empty gives the parts of a turn in which nobody is there.
func empty(iv Interval, states map[string]PersonState) []Gap {
	st, ok := states[iv.Person]
	who := Person{ID: iv.Person, Name: st.Name}
	switch {
	case iv.Person == "":
		return []Gap{{From: iv.From, To: iv.To, Reason: GapNobody}}
	case !ok || st.Suspended:
		return []Gap{{From: iv.From, To: iv.To, Reason: GapSuspended, Person: who}}
	}
	var out []Gap
	at := iv.From
	for _, l := range slices.SortedFunc(slices.Values(st.Leave), func(a, b Span) int { return a.From.Compare(b.From) }) {
		from, to := later(at, l.From), earlier(iv.To, l.To)
		if from.Before(to) {
			out = append(out, Gap{From: from, To: to, Reason: GapLeave, Person: who})
			at = to
		}
	}
	return out
}
