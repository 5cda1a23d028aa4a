package identity_test

import (
	"slices"
	"testing"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

// TestRightsTable holds the rights against the table of model.md 9.1, row by row:
// v viewer, c communications, r responder, m manager, a admin; then the roles held
// in an incident and the appointments that give the right as well.
func TestRightsTable(t *testing.T) {
	crew := []kit.Role{"commander", "primary", "secondary", "communications"}
	rows := []struct {
		levels       string
		roles        []kit.Role
		appointments []kit.Role
		uses         []kit.Use
	}{
		// see incidents, alerts, services, on-call, status
		{"vcrma", nil, nil, []kit.Use{"incident.see", "alert.see", "service.see", "schedule.see", "policy.see", "change.see", "finding.see", "history.see", "person.see"}},
		// declare; note on an incident they see
		{"vcrma", nil, nil, []kit.Use{"incident.declare", "incident.note", "report.send"}},
		// answer own page; own methods, quiet hours, swap of own shift
		{"vcrma", nil, nil, []kit.Use{"page.answer", "method.own", "swap.own"}},
		// acknowledge, assess, phase, tasks, roles, cancel, merge …
		{"  rma", crew, nil, []kit.Use{
			"incident.acknowledge", "incident.assess", "incident.phase", "incident.task", "incident.role", "incident.cancel",
			"incident.merge", "incident.reopen", "incident.change",
		}},
		{"  rma", nil, nil, []kit.Use{"alert.answer", "change.record", "finding.decide", "report.triage"}},
		// what customers wrote, with their addresses
		{" crma", nil, nil, []kit.Use{"report.see"}},
		// page someone, override of a shift they hold
		{"  rma", nil, nil, []kit.Use{"page.someone", "override.own"}},
		// hand over, take command: also management
		{"  rma", append([]kit.Role{"management"}, crew...), []kit.Role{"commander", "management"}, []kit.Use{"incident.handover", "incident.take"}},
		// write review, actions
		{" crma", crew, []kit.Role{"communications"}, []kit.Use{"review.write", "action.write"}},
		// approve review; close: also commander
		{"   ma", []kit.Role{"commander"}, []kit.Role{"commander"}, []kit.Use{"review.approve", "incident.close", "incident.reopen_closed", "incident.confidential"}},
		// services: own services for responders
		{"   ma", nil, nil, []kit.Use{"service.edit"}},
		// schedules, policies, routes, sources, templates
		{"   ma", nil, nil, []kit.Use{"schedule.edit", "policy.edit", "route.edit", "source.edit", "history.import"}},
		// parameters, levels: managers tighten
		{"   ma", nil, nil, []kit.Use{"settings.see", "settings.edit"}},
		{"    a", nil, nil, []kit.Use{"settings.loosen"}},
		// exports, journal
		{"   ma", nil, nil, []kit.Use{"export.make", "journal.see"}},
		// people, tokens, backups, erase
		{"    a", nil, nil, []kit.Use{"person.edit", "token.edit", "backup.make", "ledger.erase"}},
		{"vcrma", nil, nil, []kit.Use{"token.own"}},
	}
	all := []kit.Role{"commander", "primary", "secondary", "communications", "management"}
	seen := map[kit.Use]bool{}
	for _, row := range rows {
		for _, use := range row.uses {
			seen[use] = true
			for i, level := range kit.Accesses {
				may := identity.Allow(kit.Actor{Kind: kit.ActorPerson, Access: level}, use) == nil
				if want := row.levels[i] != ' '; may != want {
					t.Errorf("%s as %s: %v, want %v", use, level, may, want)
				}
			}
			everyone := row.levels[0] != ' '
			for _, role := range all {
				may := identity.Allow(kit.Actor{Kind: kit.ActorPerson, Access: kit.AccessViewer}, use, role) == nil
				if want := everyone || slices.Contains(row.roles, role); may != want {
					t.Errorf("%s holding %s: %v, want %v", use, role, may, want)
				}
				may = identity.Allow(kit.Actor{Kind: kit.ActorPerson, Access: kit.AccessViewer, Appointments: []kit.Role{role}}, use) == nil
				if want := everyone || slices.Contains(row.appointments, role); may != want {
					t.Errorf("%s appointed %s: %v, want %v", use, role, may, want)
				}
				if a := (kit.Actor{Kind: kit.ActorToken, Access: kit.AccessViewer, Appointments: []kit.Role{role}}); !everyone && identity.Allow(a, use, role) == nil {
					t.Errorf("%s: a token holds a role", use)
				}
			}
			for _, kind := range []kit.ActorKind{"", kit.ActorSource, kit.ActorAuditor, kit.ActorReporter} {
				if identity.Allow(kit.Actor{Kind: kind, Access: kit.AccessAdmin}, use) == nil {
					t.Errorf("%s as %q is allowed", use, kind)
				}
			}
			if err := identity.Allow(kit.System(kit.ViaDue), use); err != nil {
				t.Errorf("%s as the system: %v", use, err)
			}
		}
	}
	for use := range identity.Table() {
		if !seen[use] {
			t.Errorf("%s is not in the transcription", use)
		}
	}
	for access, want := range map[kit.Access]bool{kit.AccessViewer: false, kit.AccessCommunications: false, kit.AccessResponder: true} {
		if may := identity.Allow(kit.Actor{Kind: kit.ActorPerson, Access: access}, "service.edit", identity.RoleOwner) == nil; may != want {
			t.Errorf("own service as %s: %v", access, may)
		}
	}
	if kit.CodeOf(identity.Allow(kit.Actor{Kind: kit.ActorPerson, Access: kit.AccessAdmin}, "no.such")) != kit.CodeInternal {
		t.Error("an unknown use is not an internal error")
	}
}
