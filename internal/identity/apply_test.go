package identity_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

func TestParameters(t *testing.T) {
	each(t, func(b *bundle) {
		for _, d := range identity.ParameterDefs() {
			if v, err := identity.ParseParameter(d.Name, d.Default); err != nil || v != d.Default {
				b.Errorf("%s: default %q is kept as %q, %v", d.Name, d.Default, v, err)
			}
		}
		for in, want := range map[string]string{"45": "45m", "45 min": "45m", "1h30m": "1h30m", "90m": "1h30m", "5400 s": "1h30m"} {
			if v, err := identity.ParseParameter("P.mgmt", in); err != nil || v != want {
				b.Errorf("P.mgmt %q: %q, %v", in, v, err)
			}
		}
		for name, v := range map[string]string{"P.mgmt": "0", "P.ack.sev4": "5m", "P.reach": "101", "P.vuln_sev": "bad", "P.auditor": "91d", "P.bia": "36h", "P.clock": "-1s", "P.hold": "99999999999999d"} {
			if _, err := identity.ParseParameter(name, v); kit.CodeOf(err) != kit.CodeInvalid {
				b.Errorf("%s %q: %v", name, v, err)
			}
		}
		manager := as("bob", kit.AccessManager)
		b.ok(b.s.ChangeParameters(manager, map[string]string{"P.mgmt": "20 min"}, "faster"))
		var body identity.ParameterChanged
		b.ok(b.facts("parameter.changed")[0].Decode(&body))
		if body != (identity.ParameterChanged{From: "30m", To: "20m", Reason: "faster"}) {
			b.Errorf("body %+v", body)
		}
		if d, err := b.s.Parameter(admin, "P.mgmt"); err != nil || d != 20*time.Minute {
			b.Errorf("P.mgmt is %v, %v", d, err)
		}
		b.code(b.s.ChangeParameters(manager, map[string]string{"P.mgmt": "21m"}, "slower"), kit.CodeForbidden)
		b.code(b.s.ChangeParameters(manager, map[string]string{"P.reach": "80"}, "fewer"), kit.CodeForbidden)
		b.code(b.s.ChangeParameters(admin, map[string]string{"P.mgmt": "21m"}, " "), kit.CodeInvalid)
		b.ok(b.s.ChangeParameters(admin, map[string]string{"P.mgmt": "30m", "P.vuln_sev": "high"}, "as before"))
		b.ok(b.facts("parameter.changed")[0].Decode(&body))
		if !body.Loosened {
			b.Error("not marked as loosened")
		}
		if p, err := b.s.SeeParameters(manager); err != nil || len(p) != 0 || p.Number("P.bia") != 365 || p.Text("P.vuln_sev") != "high" {
			b.Errorf("parameters %v, %v", p, err)
		}
		if _, err := b.s.Parameter(admin, "P.none"); kit.CodeOf(err) != kit.CodeInternal {
			b.Errorf("unknown parameter: %v", err)
		}
	})
}

func (b *bundle) apply(ctx context.Context, in identity.Settings, prune bool) ([]string, error) {
	var out []string
	err := b.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		changes, err := b.s.Apply(ctx, tx, in, prune)
		if err != nil {
			return err
		}
		if prune && in.People != nil {
			var keep []string
			for _, p := range in.People {
				keep = append(keep, p.ID)
			}
			more, err := b.s.PrunePeople(ctx, tx, keep)
			if err != nil {
				return err
			}
			changes = append(changes, more...)
		}
		for _, c := range changes {
			out = append(out, c.Op+" "+c.Section+"."+c.ID)
		}
		return b.s.Applied(ctx, tx, "digest", changes)
	})
	return out, err
}

func person(id string, access kit.Access) identity.Person {
	return identity.Person{ID: id, Name: id, Email: id + "@example.com", Access: access}
}

func TestApply(t *testing.T) {
	each(t, func(b *bundle) {
		in := identity.Settings{
			Organisation: &identity.Organisation{Name: "New", Country: "FR", Timezone: "Europe/Paris", Languages: []string{"fr"}},
			People:       []identity.Person{person("bob", kit.AccessAdmin), person("cho", kit.AccessResponder)},
			Teams:        []identity.Team{{ID: "ops", Name: "Ops", Members: []string{"bob", "cho"}}},
			Roles:        map[kit.Role][]string{kit.RoleCommander: {"cho"}},
			Parameters:   map[string]string{"P.mgmt": "10m"},
			Levels:       json.RawMessage(`{"sev3":{"management":"notice"}}`),
			Kept:         map[string]json.RawMessage{"vendors": json.RawMessage(`[{"id":"psp"}]`)},
			Reason:       "first file",
		}
		check := func(got []string, err error, want ...string) {
			b.Helper()
			b.ok(err)
			if !slices.Equal(got, want) {
				b.Fatalf("changes %v, want %v", got, want)
			}
		}
		got, err := b.apply(admin, in, false)
		check(got, err, "change organisation.", "create people.bob", "create people.cho", "create teams.ops", "change roles.commander", "change parameters.P.mgmt", "change levels.", "create vendors.")
		b.facts("person.added", "person.added", "parameter.changed", "parameter.changed", "settings.applied")
		got, err = b.apply(admin, in, false)
		check(got, err)
		b.facts()

		_, err = b.apply(as("cho", kit.AccessResponder), in, false)
		b.code(err, kit.CodeForbidden)
		in.People[1].Name = "Cho"
		_, err = b.apply(as("mia", kit.AccessManager), in, false)
		b.code(err, kit.CodeForbidden)
		in.Teams[0].Members = []string{"bob"}
		got, err = b.apply(admin, in, true)
		check(got, err, "change people.cho", "change teams.ops", "remove people.ana")
		b.facts("person.changed", "person.suspended", "settings.applied")

		in.Parameters, in.Kept, in.Teams = map[string]string{}, map[string]json.RawMessage{}, []identity.Team{}
		got, err = b.apply(admin, in, true)
		check(got, err, "remove teams.ops", "change parameters.P.mgmt", "remove vendors.")
		b.facts("parameter.changed", "settings.applied")
	})
}

func TestPruneRefuses(t *testing.T) {
	each(t, func(b *bundle) {
		// The last admin.
		_, err := b.apply(admin, identity.Settings{People: []identity.Person{person("bob", kit.AccessManager)}}, true)
		b.code(err, kit.CodeConflict)
		_, err = b.apply(admin, identity.Settings{People: []identity.Person{person("ana", kit.AccessManager)}}, false)
		b.code(err, kit.CodeConflict)
		b.facts()
		if _, err := b.s.Person(admin, "bob"); kit.CodeOf(err) != kit.CodeNotFound {
			b.Errorf("the apply was not undone: %v", err)
		}
		// Who is named in a role, until the same file names another.
		b.add("bob", kit.AccessResponder)
		b.ok(b.s.SetAppointments(admin, kit.RoleCommander, []string{"bob"}))
		b.facts("settings.applied")
		only := identity.Settings{People: []identity.Person{{ID: "ana", Name: "Ana Lopez", Email: "ana@example.com", Access: kit.AccessAdmin}}}
		_, err = b.apply(admin, only, true)
		b.code(err, kit.CodeInvalid)
		only.Roles = map[kit.Role][]string{kit.RoleCommander: {"ana"}}
		got, err := b.apply(admin, only, true)
		b.ok(err)
		if !slices.Equal(got, []string{"change roles.commander", "remove people.bob"}) {
			b.Errorf("changes %v", got)
		}
		b.facts("person.suspended", "settings.applied")
		// Who is in use elsewhere.
		b.s = identity.New(b.d, identity.Options{InUse: func(_ context.Context, id string) (string, error) { return "on duty", nil }})
		b.add("cho", kit.AccessViewer)
		_, err = b.apply(admin, only, true)
		b.code(err, kit.CodeInvalid)
	})
}
