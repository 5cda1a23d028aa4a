package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// readyAhead is how far ahead it is looked who may be woken.
const readyAhead = gapDays * 24 * time.Hour

// Readiness looks at what stands between an alarm and a person who wakes up: empty turns,
// people who stand alone, ways that were never proven. Who may wake people may ask.
func (a *App) Readiness(ctx context.Context) (kit.Readiness, error) {
	var out kit.Readiness
	if err := a.Identity.Require(ctx, "page.someone"); err != nil {
		return out, err
	}
	ctx = kit.WithActor(ctx, kit.System(kit.ActorFrom(ctx).Via))
	for _, check := range []func(context.Context) ([]kit.Finding, error){a.checkWorker, a.checkLate, a.checkSelfTest, a.checkDuty, a.checkMethods, a.checkRoles, a.checkLastResort, a.checkMail} {
		l, err := check(ctx)
		if err != nil {
			return out, err
		}
		out.Findings = append(out.Findings, l...)
	}
	var err error
	out.People, err = a.readyPeople(ctx)
	return out, err
}

// readyPeople gives those who may be woken, the next on duty first.
func (a *App) readyPeople(ctx context.Context) ([]kit.ReadyPerson, error) {
	now := a.db.Now()
	byID := map[string]*kit.ReadyPerson{}
	of := func(id string) *kit.ReadyPerson {
		if byID[id] == nil {
			byID[id] = &kit.ReadyPerson{ID: id}
		}
		return byID[id]
	}
	schedules, err := a.Oncall.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range schedules {
		turns, err := a.Oncall.Intervals(ctx, s.ID, now, now.Add(readyAhead))
		if err != nil {
			return nil, err
		}
		for _, x := range turns {
			if x.Person.ID == "" {
				continue
			}
			p := of(x.Person.ID)
			if !slices.Contains(p.Duties, s.ID) {
				p.Duties = append(p.Duties, s.ID)
			}
			if p.Next.IsZero() || x.From.Before(p.Next) {
				p.Next = x.From
			}
		}
	}
	roles, err := a.Identity.Appointments(ctx)
	if err != nil {
		return nil, err
	}
	for _, role := range []kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement} {
		for _, id := range roles[role] {
			of(id).Roles = append(of(id).Roles, string(role))
		}
	}
	people, err := a.Identity.People(ctx, identity.Filter{Active: true})
	if err != nil {
		return nil, err
	}
	var out []kit.ReadyPerson
	for _, who := range people {
		p := byID[who.ID]
		if p == nil {
			continue
		}
		p.Name = who.Name
		methods, err := a.Notify.Methods(ctx, who.ID)
		if err != nil {
			return nil, err
		}
		for _, m := range methods {
			p.Ways = append(p.Ways, kit.ReadyWay{Kind: m.Kind, VerifiedAt: m.VerifiedAt, TestedAt: m.TestedAt, Stale: m.Stale, Disabled: m.Disabled != ""})
		}
		out = append(out, *p)
	}
	slices.SortStableFunc(out, func(x, y kit.ReadyPerson) int {
		if x.Next.IsZero() != y.Next.IsZero() {
			if x.Next.IsZero() {
				return 1
			}
			return -1
		}
		if c := x.Next.Compare(y.Next); c != 0 {
			return c
		}
		return strings.Compare(x.Name, y.Name)
	})
	return out, nil
}

// alone says where one person bears a schedule by themselves, and where primary and
// secondary are one person: the ladder then passes over the second step.
func (a *App) alone(ctx context.Context, schedules []oncall.Schedule) ([]kit.Finding, error) {
	now := a.db.Now()
	var out []kit.Finding
	turns := map[string][]oncall.Slot{}
	for _, s := range schedules {
		l, err := a.Oncall.Intervals(ctx, s.ID, now, now.Add(readyAhead))
		if err != nil {
			return nil, err
		}
		turns[s.Duty] = append(turns[s.Duty], l...)
		who := map[string]string{}
		for _, x := range l {
			who[x.Person.ID] = x.Person.Name
		}
		delete(who, "")
		if len(who) == 1 {
			for _, name := range who {
				out = append(out, noted("oncall", kit.FindingWarn, "oncall.single", "schedule", s.ID, "name", name, "days", gapDays)...)
			}
		}
	}
	for _, p := range turns["primary"] {
		for _, s := range turns["secondary"] {
			if p.Person.ID != "" && p.Person.ID == s.Person.ID && p.From.Before(s.To) && s.From.Before(p.To) {
				from := p.From
				if s.From.After(from) {
					from = s.From
				}
				return append(out, noted("oncall", kit.FindingWarn, "oncall.both", "name", p.Person.Name, "from", from)...), nil
			}
		}
	}
	return out, nil
}
