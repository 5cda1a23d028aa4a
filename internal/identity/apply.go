package identity

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Apply brings everything of s that is not nil into the state that the
// organisation file wants, in the order in which its parts refer to each other.
// With prune, what left the file is removed, except people: those are retired by
// PrunePeople, once every other module has let go of them.
func (s *Service) Apply(ctx context.Context, tx *db.Tx, in Settings, prune bool) ([]kit.Change, error) {
	var out []kit.Change
	for _, step := range []func() ([]kit.Change, error){
		func() ([]kit.Change, error) { return s.ApplyOrganisation(ctx, tx, in.Organisation) },
		func() ([]kit.Change, error) { return s.ApplyPeople(ctx, tx, in.People) },
		func() ([]kit.Change, error) { return s.ApplyTeams(ctx, tx, in.Teams, prune) },
		func() ([]kit.Change, error) { return s.ApplyRoles(ctx, tx, in.Roles, prune) },
		func() ([]kit.Change, error) { return s.ApplyParameters(ctx, tx, in.Parameters, in.Reason, prune) },
		func() ([]kit.Change, error) { return s.ApplyLevels(ctx, tx, in.Levels, in.Reason, prune) },
		func() ([]kit.Change, error) { return s.ApplyKept(ctx, tx, in.Kept, prune) },
	} {
		changes, err := step()
		if err != nil {
			return nil, err
		}
		out = append(out, changes...)
	}
	return out, nil
}

// Applied appends the fact that an organisation file was applied; nothing when it
// changed nothing. digest is the SHA-256 of the file.
func (s *Service) Applied(ctx context.Context, tx *db.Tx, digest string, changes []kit.Change) error {
	body := SettingsApplied{Digest: digest}
	for _, c := range changes {
		name := c.Section
		if c.ID != "" {
			name += "." + c.ID
		}
		switch c.Op {
		case "create":
			body.Created = append(body.Created, name)
		case "change":
			body.Changed = append(body.Changed, name)
		case "remove":
			body.Removed = append(body.Removed, name)
		}
	}
	if len(body.Created)+len(body.Changed)+len(body.Removed) == 0 {
		return nil
	}
	return fact(ctx, tx, "organisation", "organisation", body)
}

// ApplyOrganisation sets the organisation; nil leaves it.
func (s *Service) ApplyOrganisation(ctx context.Context, tx *db.Tx, o *Organisation) ([]kit.Change, error) {
	if o == nil {
		return nil, nil
	}
	if err := s.Require(ctx, "settings.edit"); err != nil {
		return nil, err
	}
	before, err := s.Organisation(ctx)
	if err != nil {
		return nil, err
	}
	want := *o
	want.Version = 0
	changed, _, err := s.setOrganisation(ctx, tx, want)
	if err != nil || !changed {
		return nil, err
	}
	op := "change"
	if before.Name == "" {
		op = "create"
	}
	return []kit.Change{{Section: "organisation", Op: op}}, nil
}

// ApplyPeople adds and changes people. The last admin may hand over to another
// one within the list, but one stays.
func (s *Service) ApplyPeople(ctx context.Context, tx *db.Tx, people []Person) ([]kit.Change, error) {
	var changes []kit.Change
	if len(people) == 0 {
		return nil, nil
	}
	if err := lockPeople(ctx, tx); err != nil {
		return nil, err
	}
	have, err := s.byID(ctx)
	if err != nil {
		return nil, err
	}
	var bad kit.Fields
	for i := range people {
		p := people[i]
		if err := checkPerson(&p); err != nil {
			for _, f := range kit.AsError(err).Fields {
				f.Path = "people[" + p.ID + "]." + f.Path
				bad = append(bad, f)
			}
			continue
		}
		old, ok := have[p.ID]
		if !ok {
			if err := s.Require(ctx, "person.edit"); err != nil {
				return nil, err
			}
			if err := s.addPerson(ctx, p); err != nil {
				return nil, err
			}
			changes = append(changes, kit.Change{Section: "people", ID: p.ID, Op: "create"})
			continue
		}
		fields := differ(old, p)
		if len(fields) == 0 {
			continue
		}
		if err := s.Require(ctx, "person.edit"); err != nil {
			return nil, err
		}
		if err := s.changePerson(ctx, tx, old, p, fields, false); err != nil {
			return nil, err
		}
		changes = append(changes, kit.Change{Section: "people", ID: p.ID, Op: "change", Detail: strings.Join(fields, ", ")})
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return changes, s.adminStays(ctx, have)
}

func (s *Service) byID(ctx context.Context) (map[string]Person, error) {
	all, err := s.People(ctx, Filter{})
	m := make(map[string]Person, len(all))
	for _, p := range all {
		m[p.ID] = p
	}
	return m, err
}

func (s *Service) adminStays(ctx context.Context, before map[string]Person) error {
	had := false
	for _, p := range before {
		had = had || p.Access == kit.AccessAdmin && !p.Suspended
	}
	if !had {
		return nil
	}
	left, err := s.People(ctx, Filter{Access: kit.AccessAdmin, Active: true})
	if err == nil && len(left) == 0 {
		err = kit.Conflict("last_admin", "identity.error.last_admin")
	}
	return err
}

// PrunePeople retires (suspends) everybody who is not kept: the last act of an
// apply with prune. Who holds a standing role, is in use elsewhere
// (Options.InUse) or is the last admin is an error.
func (s *Service) PrunePeople(ctx context.Context, tx *db.Tx, keep []string) ([]kit.Change, error) {
	if err := lockPeople(ctx, tx); err != nil {
		return nil, err
	}
	have, err := s.byID(ctx)
	if err != nil {
		return nil, err
	}
	named, err := s.Appointments(ctx)
	if err != nil {
		return nil, err
	}
	var changes []kit.Change
	var bad kit.Fields
	for _, id := range slices.Sorted(maps.Keys(have)) {
		old := have[id]
		if old.Suspended || slices.Contains(keep, id) {
			continue
		}
		if err := s.Require(ctx, "person.edit"); err != nil {
			return nil, err
		}
		path := "people[" + id + "]"
		for _, role := range slices.Sorted(maps.Keys(named)) {
			if slices.Contains(named[role], id) {
				bad.Add(path, "identity.error.appointed", "id", id, "role", "roles."+string(role))
			}
		}
		if s.o.InUse != nil {
			why, err := s.o.InUse(ctx, id)
			if err != nil {
				return nil, err
			}
			if why != "" {
				bad.Add(path, "identity.error.in_use", "id", id, "why", why)
			}
		}
		p := old
		p.Suspended = true
		if err := s.changePerson(ctx, tx, old, p, []string{"suspended"}, false); err != nil {
			return nil, err
		}
		changes = append(changes, kit.Change{Section: "people", ID: id, Op: "remove", Detail: "suspended"})
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return changes, s.adminStays(ctx, have)
}

// Teams gives every team. It asks for no right: for other modules.
func (s *Service) Teams(ctx context.Context) ([]Team, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT id, name, members FROM team ORDER BY id`)
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []Team
	for rows.Next() {
		var t Team
		var members string
		if err := rows.Scan(&t.ID, &t.Name, &members); err != nil {
			return nil, db.MapError(err)
		}
		if err := json.Unmarshal([]byte(members), &t.Members); err != nil {
			return nil, db.MapError(err)
		}
		out = append(out, t)
	}
	return out, db.MapError(rows.Err())
}

// ApplyTeams sets the teams; nil leaves them, even with prune.
func (s *Service) ApplyTeams(ctx context.Context, tx *db.Tx, teams []Team, prune bool) ([]kit.Change, error) {
	if teams == nil {
		return nil, nil
	}
	all, err := s.Teams(ctx)
	if err != nil {
		return nil, err
	}
	people, err := s.byID(ctx)
	if err != nil {
		return nil, err
	}
	have := map[string]Team{}
	for _, t := range all {
		have[t.ID] = t
	}
	var changes []kit.Change
	var bad kit.Fields
	for _, t := range teams {
		if !kit.IsSlug(t.ID) {
			bad.Add("teams["+t.ID+"].id", "identity.error.value")
		}
		for _, m := range t.Members {
			if _, ok := people[m]; !ok {
				bad.Add("teams["+t.ID+"].members", "identity.error.person", "id", m)
			}
		}
		old, ok := have[t.ID]
		delete(have, t.ID)
		if ok && old.Name == t.Name && slices.Equal(old.Members, t.Members) {
			continue
		}
		members, _ := json.Marshal(slices.Concat([]string{}, t.Members))
		if err := exec(ctx, tx, `INSERT INTO team (id, name, members) VALUES ($1,$2,$3) ON CONFLICT (id) DO UPDATE SET name=excluded.name, members=excluded.members`, t.ID, t.Name, string(members)); err != nil {
			return nil, err
		}
		op := "create"
		if ok {
			op = "change"
		}
		changes = append(changes, kit.Change{Section: "teams", ID: t.ID, Op: op})
	}
	for _, id := range slices.Sorted(maps.Keys(have)) {
		if !prune {
			break
		}
		if err := exec(ctx, tx, `DELETE FROM team WHERE id=$1`, id); err != nil {
			return nil, err
		}
		changes = append(changes, kit.Change{Section: "teams", ID: id, Op: "remove"})
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		if err := s.Require(ctx, "person.edit"); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// ApplyRoles sets the standing roles that are named; with prune the others end.
func (s *Service) ApplyRoles(ctx context.Context, tx *db.Tx, roles map[kit.Role][]string, prune bool) ([]kit.Change, error) {
	if roles == nil {
		return nil, nil
	}
	var changes []kit.Change
	for _, role := range []kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement} {
		people, ok := roles[role]
		if !ok && !prune {
			continue
		}
		changed, err := s.appoint(ctx, tx, role, people)
		if err != nil {
			return nil, err
		}
		if changed {
			if err := s.Require(ctx, "person.edit"); err != nil {
				return nil, err
			}
			changes = append(changes, kit.Change{Section: "roles", ID: string(role), Op: "change", Detail: strings.Join(people, ", ")})
		}
	}
	return changes, nil
}

// ApplyParameters sets the parameters that are named; with prune the others go
// back to their defaults. Loosening one needs settings.loosen and a reason.
func (s *Service) ApplyParameters(ctx context.Context, tx *db.Tx, values map[string]string, reason string, prune bool) ([]kit.Change, error) {
	if values == nil {
		return nil, nil
	}
	if err := s.Require(ctx, "settings.edit"); err != nil {
		return nil, err
	}
	return s.setParameters(ctx, tx, values, reason, prune)
}

// ApplyLevels sets what differs from the default response levels; with prune and
// without levels the defaults return. Loosening needs settings.loosen and a reason.
func (s *Service) ApplyLevels(ctx context.Context, tx *db.Tx, levels json.RawMessage, reason string, prune bool) ([]kit.Change, error) {
	if levels == nil {
		if !prune {
			return nil, nil
		}
		levels = json.RawMessage("{}")
	}
	if err := s.Require(ctx, "settings.edit"); err != nil {
		return nil, err
	}
	r, err := s.lockRow(ctx, tx)
	if err != nil || r.levels == string(levels) {
		return nil, err
	}
	loose := s.o.Loosens == nil || s.o.Loosens(json.RawMessage(r.levels), levels)
	if loose {
		if err := s.Require(ctx, "settings.loosen"); err != nil {
			return nil, err
		}
		if strings.TrimSpace(reason) == "" {
			return nil, kit.InvalidField("levels", "identity.error.reason")
		}
	}
	b := ParameterChanged{From: r.levels, To: string(levels), Loosened: loose, Reason: reason}
	if err := fact(ctx, tx, "parameter", "levels", b); err != nil {
		return nil, err
	}
	r.levels = string(levels)
	return []kit.Change{{Section: "levels", Op: "change"}}, saveRow(ctx, tx, r)
}

// ApplyKept keeps sections of the file whose module is not in this build, so that
// an export gives them back; with prune those that left the file go.
func (s *Service) ApplyKept(ctx context.Context, tx *db.Tx, kept map[string]json.RawMessage, prune bool) ([]kit.Change, error) {
	if kept == nil {
		return nil, nil
	}
	if err := s.Require(ctx, "settings.edit"); err != nil {
		return nil, err
	}
	r, err := s.lockRow(ctx, tx)
	if err != nil {
		return nil, err
	}
	have := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(r.kept), &have); err != nil {
		return nil, db.MapError(err)
	}
	var changes []kit.Change
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		old, ok := have[name]
		if ok && string(old) == string(kept[name]) {
			continue
		}
		op := "create"
		if ok {
			op = "change"
		}
		have[name] = kept[name]
		changes = append(changes, kit.Change{Section: name, Op: op, Detail: "kept"})
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := kept[name]; !ok && prune {
			delete(have, name)
			changes = append(changes, kit.Change{Section: name, Op: "remove"})
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(have)
	if err != nil {
		return nil, kit.Internal(err)
	}
	r.kept = string(b)
	return changes, saveRow(ctx, tx, r)
}
