package app

import (
	"context"
	"slices"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

// sheetAhead is how far the on-call sheet looks.
const sheetAhead = 7 * 24 * time.Hour

// Sheet is who is on duty in the coming 7 days and in the standing roles, with the
// numbers and addresses by which a human reaches them. Who may wake people may
// see it.
func (a *App) Sheet(ctx context.Context) (kit.Sheet, error) {
	if err := a.Identity.Require(ctx, "page.someone"); err != nil {
		return kit.Sheet{}, err
	}
	ctx = kit.WithActor(ctx, kit.System(kit.ActorFrom(ctx).Via))
	now := a.db.Now()
	out := kit.Sheet{MadeAt: now, Duty: []kit.SheetDuty{}, Roles: []kit.SheetRole{}, People: []kit.SheetPerson{}}
	var named []string
	schedules, err := a.Oncall.Schedules(ctx)
	if err != nil {
		return out, err
	}
	for _, s := range schedules {
		slots, err := a.Oncall.Intervals(ctx, s.ID, now, now.Add(sheetAhead))
		if err != nil {
			return out, err
		}
		for _, x := range slots {
			if x.Person.ID == "" {
				continue
			}
			out.Duty = append(out.Duty, kit.SheetDuty{Schedule: s.ID, Person: x.Person.ID, From: x.From, To: x.To})
			named = append(named, x.Person.ID)
		}
	}
	roles, err := a.Identity.Appointments(ctx)
	if err != nil {
		return out, err
	}
	for _, role := range []kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement} {
		if len(roles[role]) > 0 {
			out.Roles = append(out.Roles, kit.SheetRole{Role: string(role), People: roles[role]})
			named = append(named, roles[role]...)
		}
	}
	people, err := a.Identity.People(ctx, identity.Filter{Active: true})
	if err != nil {
		return out, err
	}
	for _, p := range people {
		if !slices.Contains(named, p.ID) {
			continue
		}
		methods, err := a.Notify.Methods(ctx, p.ID)
		if err != nil {
			return out, err
		}
		s := kit.SheetPerson{ID: p.ID, Name: p.Name, Reach: []kit.SheetReach{}}
		for _, kind := range []string{"voice", "sms", "email"} {
			for _, m := range methods {
				if m.Kind == kind && m.Disabled == "" {
					s.Reach = append(s.Reach, kit.SheetReach{Kind: kind, To: m.To})
				}
			}
		}
		out.People = append(out.People, s)
	}
	return out, nil
}
