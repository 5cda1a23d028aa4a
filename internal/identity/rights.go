package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tocsin/internal/kit"
)

// Rule says who may do a use case (model.md 9.1).
type Rule struct {
	// Levels are the access levels that may.
	Levels []kit.Access
	// Roles are those that may when held in the incident.
	Roles []kit.Role
	// Appointments are the standing roles that may.
	Appointments []kit.Role
	// Owners are the access levels that may for what they own (RoleOwner held).
	Owners []kit.Access
	// Scope is what a token with scopes needs; empty means no scope gives it.
	Scope string
}

// RoleOwner is "held" by the owner of the object that is edited (a service).
const RoleOwner kit.Role = "owner"

var (
	everyone   = kit.Accesses
	writers    = []kit.Access{kit.AccessCommunications, kit.AccessResponder, kit.AccessManager, kit.AccessAdmin}
	responders = []kit.Access{kit.AccessResponder, kit.AccessManager, kit.AccessAdmin}
	managers   = []kit.Access{kit.AccessManager, kit.AccessAdmin}
	admins     = []kit.Access{kit.AccessAdmin}
	command    = []kit.Role{kit.RoleCommander}
	leaders    = []kit.Role{kit.RoleCommander, kit.RoleManagement}
	// Who holds a role in an incident counts as a responder in it (model.md 3.4).
	crew     = []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications}
	speakers = []kit.Role{kit.RoleCommunications}
)

var table = map[kit.Use]Rule{
	"incident.see":           {Levels: everyone, Scope: "incidents:read"},
	"incident.declare":       {Levels: everyone, Scope: "incidents:write"},
	"incident.note":          {Levels: everyone, Scope: "incidents:write"},
	"incident.acknowledge":   {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.assess":        {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.phase":         {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.task":          {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.role":          {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.cancel":        {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.merge":         {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.reopen":        {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.change":        {Levels: responders, Roles: crew, Scope: "incidents:write"},
	"incident.confidential":  {Levels: managers, Roles: command, Appointments: command, Scope: "incidents:write"},
	"incident.close":         {Levels: managers, Roles: command, Appointments: command, Scope: "incidents:write"},
	"incident.reopen_closed": {Levels: managers, Roles: command, Appointments: command, Scope: "incidents:write"},
	"incident.handover":      {Levels: responders, Roles: append(leaders, crew...), Appointments: leaders, Scope: "incidents:write"},
	"incident.take":          {Levels: responders, Roles: append(leaders, crew...), Appointments: leaders, Scope: "incidents:write"},
	"review.write":           {Levels: writers, Roles: crew, Appointments: speakers, Scope: "incidents:write"},
	"review.approve":         {Levels: managers, Roles: command, Appointments: command, Scope: "incidents:write"},
	"action.write":           {Levels: writers, Roles: crew, Appointments: speakers, Scope: "incidents:write"},
	"alert.see":              {Levels: everyone, Scope: "alerts:read"},
	"alert.answer":           {Levels: responders, Scope: "alerts:write"},
	"source.edit":            {Levels: managers, Scope: "settings:write"},
	"route.edit":             {Levels: managers, Scope: "settings:write"},
	"schedule.see":           {Levels: everyone, Scope: "oncall:read"},
	"schedule.edit":          {Levels: managers, Scope: "oncall:write"},
	"override.own":           {Levels: responders, Scope: "oncall:write"},
	"swap.own":               {Levels: everyone, Scope: "oncall:write"},
	"policy.see":             {Levels: everyone, Scope: "oncall:read"},
	"policy.edit":            {Levels: managers, Scope: "oncall:write"},
	"page.answer":            {Levels: everyone, Scope: "oncall:write"},
	"page.someone":           {Levels: responders, Scope: "oncall:write"},
	"method.own":             {Levels: everyone, Scope: "oncall:write"},
	"service.see":            {Levels: everyone, Scope: "continuity:read"},
	"service.edit":           {Levels: managers, Owners: responders, Scope: "continuity:write"},
	"change.see":             {Levels: everyone, Scope: "changes:read"},
	"finding.see":            {Levels: everyone, Scope: "alerts:read"},
	"finding.decide":         {Levels: responders, Scope: "alerts:write"},
	"report.send":            {Levels: everyone, Scope: "alerts:write"},
	"report.see":             {Levels: writers, Scope: "alerts:read"},
	"report.triage":          {Levels: responders, Scope: "alerts:write"},
	"history.see":            {Levels: everyone, Scope: "incidents:read"},
	"history.import":         {Levels: managers, Scope: "settings:write"},
	"change.record":          {Levels: responders, Scope: "changes:write"},
	"person.see":             {Levels: everyone, Scope: "oncall:read"},
	"person.edit":            {Levels: admins, Scope: "settings:write"},
	"token.own":              {Levels: everyone, Scope: "settings:write"},
	"token.edit":             {Levels: admins, Scope: "settings:write"},
	"settings.see":           {Levels: managers, Scope: "settings:read"},
	"settings.edit":          {Levels: managers, Scope: "settings:write"},
	"settings.loosen":        {Levels: admins, Scope: "settings:write"},
	"journal.see":            {Levels: managers, Scope: "ledger:read"},
	"ledger.erase":           {Levels: admins, Scope: "ledger:write"},
	"export.make":            {Levels: managers, Scope: "ledger:read"},
	"backup.make":            {Levels: admins, Scope: "settings:write"},
}

// Table gives a copy of the rights table.
func Table() map[kit.Use]Rule { return maps.Clone(table) }

// Require is nil when the actor of the context may do the use case, holding the
// roles in the incident; else a forbidden error that names who can grant it.
func (s *Service) Require(ctx context.Context, use kit.Use, held ...kit.Role) error {
	err := Allow(kit.ActorFrom(ctx), use, held...)
	if kit.CodeOf(err) != kit.CodeForbidden {
		return err
	}
	admins, lookup := s.People(ctx, Filter{Access: kit.AccessAdmin, Active: true})
	if lookup != nil || len(admins) == 0 {
		return err
	}
	var names []string
	for _, p := range admins[:min(len(admins), 3)] {
		names = append(names, p.Name)
	}
	return kit.Forbidden(string(use), strings.Join(names, ", "))
}

// Allow is Require for a given actor.
func Allow(a kit.Actor, use kit.Use, held ...kit.Role) error {
	r, ok := table[use]
	if !ok {
		return kit.Internal(fmt.Errorf("unknown use %q", use))
	}
	if a.IsSystem() {
		return nil
	}
	in := func(have, want []kit.Role) bool {
		return slices.ContainsFunc(have, func(x kit.Role) bool { return slices.Contains(want, x) })
	}
	switch a.Kind {
	case kit.ActorPerson:
		if slices.Contains(r.Levels, a.Access) || in(held, r.Roles) || in(a.Appointments, r.Appointments) ||
			slices.Contains(held, RoleOwner) && slices.Contains(r.Owners, a.Access) {
			return nil
		}
	case kit.ActorToken:
		if slices.Contains(r.Levels, a.Access) && scoped(a.Scopes, r.Scope) {
			return nil
		}
	}
	return kit.Forbidden(string(use), "admin")
}

func scoped(have []string, want string) bool {
	if len(have) == 0 {
		return true
	}
	area, read := strings.CutSuffix(want, ":read")
	return slices.Contains(have, want) || read && slices.Contains(have, area+":write")
}
