package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// SeePerson is Person for edges: any account may.
func (s *Service) SeePerson(ctx context.Context, id string) (Person, error) {
	if err := s.Require(ctx, "person.see"); err != nil {
		return Person{}, err
	}
	return s.Person(ctx, id)
}

// SeePeople is People for edges: any account may.
func (s *Service) SeePeople(ctx context.Context, f Filter) ([]Person, error) {
	if err := s.Require(ctx, "person.see"); err != nil {
		return nil, err
	}
	return s.People(ctx, f)
}

// Person gives a person by id. It asks for no right: for other modules.
func (s *Service) Person(ctx context.Context, id string) (Person, error) {
	return s.person(ctx, "id", id)
}

// PersonByEmail gives a person by address.
func (s *Service) PersonByEmail(ctx context.Context, email string) (Person, error) {
	return s.person(ctx, "email", strings.ToLower(strings.TrimSpace(email)))
}

// People lists at most 10,000 people by id.
func (s *Service) People(ctx context.Context, f Filter) ([]Person, error) {
	return s.people(ctx, `SELECT `+personColumns+` FROM person p WHERE (? = '' OR p.access = ?) AND (NOT ? OR NOT p.suspended) ORDER BY p.id LIMIT 10000`, string(f.Access), string(f.Access), f.Active)
}

func (s *Service) people(ctx context.Context, query string, args ...any) ([]Person, error) {
	type key struct{ query, args string }
	all, err := db.Memo(ctx, s.d, key{query, fmt.Sprint(args...)}, func() ([]Person, error) { return s.readPeople(ctx, query, args...) })
	return slices.Clone(all), err
}

func (s *Service) readPeople(ctx context.Context, query string, args ...any) ([]Person, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []Person
	for rows.Next() {
		p, err := scanPerson(rows)
		if err != nil {
			return nil, db.MapError(err)
		}
		out = append(out, p)
	}
	return out, db.MapError(rows.Err())
}

// Names gives the name of everybody by id.
func (s *Service) Names(ctx context.Context) (map[string]string, error) {
	all, err := s.People(ctx, Filter{})
	m := make(map[string]string, len(all))
	for _, p := range all {
		m[p.ID] = p.Name
	}
	return m, err
}

func checkPerson(p *Person) error {
	var f kit.Fields
	p.Email = strings.ToLower(strings.TrimSpace(p.Email))
	if p.Access == "" {
		p.Access = kit.AccessViewer
	}
	if !kit.IsSlug(p.ID) {
		f.Add("id", "identity.error.value")
	}
	if strings.TrimSpace(p.Name) == "" || len(p.Name) > 800 {
		f.Add("name", "identity.error.value")
	}
	if a, err := mail.ParseAddress(p.Email); err != nil || a.Address != p.Email {
		f.Add("email", "identity.error.value")
	}
	if !slices.Contains(kit.Accesses, p.Access) {
		f.Add("access", "identity.error.value")
	}
	if !slices.Contains([]string{"", "fr", "en"}, p.Language) {
		f.Add("language", "identity.error.value")
	}
	if _, err := time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
		f.Add("timezone", "identity.error.value")
	}
	return f.Err()
}

// AddPerson adds a person.
func (s *Service) AddPerson(ctx context.Context, p Person) error {
	if err := s.Require(ctx, "person.edit"); err != nil {
		return err
	}
	return s.addPerson(ctx, p)
}

func (s *Service) addPerson(ctx context.Context, p Person) error {
	if err := checkPerson(&p); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := savePerson(ctx, tx, p, true); err != nil {
			return err
		}
		return fact(ctx, tx, "person", p.ID, PersonFact{Op: "added", Access: string(p.Access)})
	})
}

// ChangePerson replaces a person; p.Version is the one that was read, 0 takes any.
func (s *Service) ChangePerson(ctx context.Context, p Person) error {
	if err := s.Require(ctx, "person.edit"); err != nil {
		return err
	}
	if err := checkPerson(&p); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		// The admins are locked too, so that two of them cannot both leave.
		if err := lockPeople(ctx, tx, p.ID); err != nil {
			return err
		}
		old, err := s.person(ctx, "id", p.ID)
		if err != nil {
			return err
		}
		if p.Version != 0 && p.Version != old.Version {
			return kit.Errorf(kit.CodeStale, "identity.error.stale")
		}
		fields := differ(old, p)
		if len(fields) == 0 {
			return nil
		}
		return s.changePerson(ctx, tx, old, p, fields, true)
	})
}

func (s *Service) changePerson(ctx context.Context, tx *db.Tx, old, p Person, fields []string, keepAdmin bool) error {
	if keepAdmin && old.Access == kit.AccessAdmin && !old.Suspended && (p.Suspended || p.Access != kit.AccessAdmin) {
		n, err := s.People(ctx, Filter{Access: kit.AccessAdmin, Active: true})
		if err != nil {
			return err
		}
		if len(n) < 2 {
			return kit.Conflict("last_admin", "identity.error.last_admin")
		}
	}
	if err := savePerson(ctx, tx, p, false); err != nil {
		return err
	}
	op := "changed"
	if p.Suspended && !old.Suspended {
		op = "suspended"
		if err := endSessions(ctx, tx, p.ID, "suspended"); err != nil {
			return err
		}
		if err := exec(ctx, tx, `DELETE FROM login_link WHERE person=$1`, p.ID); err != nil {
			return err
		}
	}
	s.forget(tx)
	return fact(ctx, tx, "person", p.ID, PersonFact{Op: op, Access: string(p.Access), Changes: fields})
}

func lockPeople(ctx context.Context, tx *db.Tx, ids ...string) error {
	q := tx.NewSelect().Table("person").Column("id").Where("access = ?", string(kit.AccessAdmin)).OrderExpr("id")
	if len(ids) > 0 {
		q = q.WhereOr("id IN (?)", bun.List(ids))
	}
	var got []string
	return db.MapError(tx.ForUpdate(q).Scan(ctx, &got))
}

func differ(a, b Person) []string {
	var x, y map[string]json.RawMessage
	ja, _ := json.Marshal(a)
	jb, _ := json.Marshal(b)
	_ = json.Unmarshal(ja, &x)
	_ = json.Unmarshal(jb, &y)
	var out []string
	for _, k := range []string{"name", "email", "language", "timezone", "access", "slack", "suspended", "leave"} {
		if string(x[k]) != string(y[k]) {
			out = append(out, k)
		}
	}
	return out
}

// Suspend closes an account and ends its sessions.
func (s *Service) Suspend(ctx context.Context, id string) error {
	p, err := s.Person(ctx, id)
	if err != nil {
		return err
	}
	p.Suspended = true
	return s.ChangePerson(ctx, p)
}

// SetAppointments sets who holds a standing role, in order of succession.
func (s *Service) SetAppointments(ctx context.Context, role kit.Role, people []string) error {
	if err := s.Require(ctx, "person.edit"); err != nil {
		return err
	}
	if !slices.Contains([]kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement}, role) {
		return kit.InvalidField("role", "identity.error.value")
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		changed, err := s.appoint(ctx, tx, role, people)
		if err != nil || !changed {
			return err
		}
		section := "roles." + string(role)
		return fact(ctx, tx, "organisation", "organisation", SettingsApplied{Digest: digest(section + "=" + strings.Join(people, ",")), Changed: []string{section}})
	})
}

// Appointments gives who is named for each standing role, in order of
// succession, whether or not they are present.
func (s *Service) Appointments(ctx context.Context) (map[kit.Role][]string, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT role, person FROM appointment ORDER BY role, position`)
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	m := map[kit.Role][]string{}
	for rows.Next() {
		var role kit.Role
		var person string
		if err := rows.Scan(&role, &person); err != nil {
			return nil, db.MapError(err)
		}
		m[role] = append(m[role], person)
	}
	return m, db.MapError(rows.Err())
}

func (s *Service) appoint(ctx context.Context, tx *db.Tx, role kit.Role, people []string) (bool, error) {
	if err := lockPeople(ctx, tx, people...); err != nil {
		return false, err
	}
	have, err := s.Appointments(ctx)
	if err != nil || slices.Equal(have[role], people) {
		return false, err
	}
	if err := exec(ctx, tx, `DELETE FROM appointment WHERE role=$1`, string(role)); err != nil {
		return false, err
	}
	var f kit.Fields
	for i, id := range people {
		path := fmt.Sprintf("roles.%s[%d]", role, i)
		p, err := s.Person(ctx, id)
		switch {
		case kit.CodeOf(err) == kit.CodeNotFound || err == nil && p.Suspended:
			f.Add(path, "identity.error.person", "id", id)
			continue
		case err != nil:
			return false, err
		case slices.Index(people, id) < i:
			f.Add(path, "identity.error.twice", "id", id)
			continue
		}
		if err := exec(ctx, tx, `INSERT INTO appointment (role, position, person) VALUES ($1,$2,$3)`, string(role), i, id); err != nil {
			return false, err
		}
	}
	return true, f.Err()
}

// Appointed is AppointedAt now.
func (s *Service) Appointed(ctx context.Context, role kit.Role) ([]Person, error) {
	return s.AppointedAt(ctx, role, s.d.Now())
}

// AppointedAt gives who holds a standing role in order of succession, without the
// suspended and those on leave; communications and management fall back to
// commander, commander to the admins (model.md 10).
func (s *Service) AppointedAt(ctx context.Context, role kit.Role, at time.Time) ([]Person, error) {
	all, err := s.people(ctx, `SELECT `+personColumns+` FROM appointment a JOIN person p ON p.id = a.person WHERE a.role = ? ORDER BY a.position`, string(role))
	if err != nil {
		return nil, err
	}
	if out := present(all, at); len(out) > 0 {
		return out, nil
	}
	if role != kit.RoleCommander {
		return s.AppointedAt(ctx, kit.RoleCommander, at)
	}
	if all, err = s.People(ctx, Filter{Access: kit.AccessAdmin, Active: true}); err != nil {
		return nil, err
	}
	return present(all, at), nil
}

func present(all []Person, at time.Time) []Person {
	return slices.DeleteFunc(all, func(p Person) bool {
		return p.Suspended || slices.ContainsFunc(p.Leave, func(l Leave) bool { return !at.Before(l.From) && at.Before(l.To) })
	})
}

// NeedsSetUp tells whether there is no admin yet.
func (s *Service) NeedsSetUp(ctx context.Context) (bool, error) {
	a, err := s.People(ctx, Filter{Access: kit.AccessAdmin})
	return len(a) == 0, err
}

// SetUp makes the organisation and its first admin, once.
func (s *Service) SetUp(ctx context.Context, in SetUp) (Person, error) {
	id := slugOf(in.Email)
	p := Person{ID: id, Name: in.Name, Email: in.Email, Access: kit.AccessAdmin}
	ctx = kit.WithActor(ctx, kit.System(kit.ViaWeb))
	if err := checkNewPassword(in.Password); err != nil {
		return Person{}, err
	}
	hash := hashPassword(in.Password)
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		r, err := s.row(ctx)
		if err != nil {
			return err
		}
		// Writing first takes the lock, so that two first admins are not possible.
		if err := saveRow(ctx, tx, r); err != nil {
			return err
		}
		if need, err := s.NeedsSetUp(ctx); err != nil {
			return err
		} else if !need {
			return kit.Conflict("set_up", "identity.error.set_up")
		}
		if err := s.ChangeOrganisation(ctx, Organisation{Name: in.Organisation, Country: in.Country, Timezone: in.Timezone, Languages: in.Languages}); err != nil {
			return err
		}
		if err := s.addPerson(ctx, p); err != nil {
			return err
		}
		return s.storePassword(ctx, tx, id, hash)
	})
	if err != nil {
		return Person{}, err
	}
	return s.Person(ctx, id)
}

func slugOf(email string) string {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(email)), "@")
	name = strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name), "-")
	if name == "" {
		return "admin"
	}
	return name[:min(len(name), 63)]
}
