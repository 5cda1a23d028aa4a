package notify

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const (
	maxMethods = 20
	maxRules   = 40
)

// Methods lists the contact methods of a person; without any of their own, their
// e-mail address.
func (s *Service) Methods(ctx context.Context, person string) ([]Method, error) {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return nil, err
	}
	people, err := s.known(ctx, person)
	if err != nil {
		return nil, err
	}
	if _, ok := people[person]; !ok {
		return nil, kit.NotFound("person", person)
	}
	all, err := s.methodsOf(ctx, people)
	ms := all[person]
	oldest := s.d.Now().Add(-s.param(ctx, "P.channel", 30*24*time.Hour))
	for i := range ms {
		ms[i].Stale = ms[i].TestedAt.Before(oldest)
	}
	return ms, err
}

// SaveMethod adds a contact method of a person or changes the one of its id. A
// method with another address is not verified any more.
func (s *Service) SaveMethod(ctx context.Context, person string, m Method) error {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return err
	}
	var f kit.Fields
	checkMethod(&f, "method", m)
	if err := f.Err(); err != nil {
		return err
	}
	people, err := s.known(ctx, person)
	if err != nil {
		return err
	}
	if _, ok := people[person]; !ok {
		return kit.NotFound("person", person)
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		old, err := s.storedMethods(ctx, []string{person})
		if err != nil {
			return err
		}
		ms := old[person]
		if len(ms) == 0 && m.ID != "mail" {
			// The address that was used so far stays, as a method of its own.
			for _, def := range defaultMethod(people[person]) {
				if err := s.saveMethod(ctx, tx, person, def, 0, nil); err != nil {
					return err
				}
				ms = append(ms, def)
			}
		}
		i := slices.IndexFunc(ms, func(o Method) bool { return o.ID == m.ID })
		if i < 0 {
			if len(ms) >= maxMethods {
				return kit.Invalid("notify.error.too_many", "limit", maxMethods)
			}
			return s.saveMethod(ctx, tx, person, m, len(ms), nil)
		}
		return s.saveMethod(ctx, tx, person, m, i, &ms[i])
	})
}

func (s *Service) saveMethod(ctx context.Context, tx *db.Tx, person string, m Method, position int, old *Method) error {
	body := MethodFact{Method: m.ID, Kind: m.Kind, To: m.To}
	if old != nil {
		if old.Kind == m.Kind && old.To == m.To {
			return exec(ctx, tx, `UPDATE contact_method SET position = $1 WHERE person = $2 AND id = $3`, position, person, m.ID)
		}
		if err := exec(ctx, tx, `UPDATE contact_method SET kind = $1, addr = $2, position = $3, verified_at = 0, tested_at = 0, test_hash = '', disabled = '' WHERE person = $4 AND id = $5`,
			m.Kind, m.To, position, person, m.ID); err != nil {
			return err
		}
		return ledger.Append(ctx, tx, personFact(person, MethodChanged{body}))
	}
	if err := exec(ctx, tx, `INSERT INTO contact_method (person, id, kind, addr, position) VALUES ($1,$2,$3,$4,$5)`, person, m.ID, m.Kind, m.To, position); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, personFact(person, MethodAdded{body}))
}

// RemoveMethod removes a contact method and the lines of the personal rule that
// name it.
func (s *Service) RemoveMethod(ctx context.Context, person, id string) error {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return s.removeMethod(ctx, tx, person, id)
	})
}

func (s *Service) removeMethod(ctx context.Context, tx *db.Tx, person, id string) error {
	var kind, addr string
	err := tx.QueryRow(ctx, `DELETE FROM contact_method WHERE person = $1 AND id = $2 RETURNING kind, addr`, person, id).Scan(&kind, &addr)
	if err != nil {
		return db.NoRows(err, "method", id)
	}
	if err := exec(ctx, tx, `DELETE FROM personal_rule WHERE person = $1 AND method = $2`, person, id); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, personFact(person, MethodRemoved{MethodFact{Method: id, Kind: kind, To: addr}}))
}

// Rules gives the personal rule of a person; empty means the default.
func (s *Service) Rules(ctx context.Context, person string) ([]Rule, error) {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return nil, err
	}
	r, err := s.storedRules(ctx, []string{person})
	return r[person], err
}

// SetRules replaces the personal rule of a person.
func (s *Service) SetRules(ctx context.Context, person string, rules []Rule) error {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return err
	}
	people, err := s.known(ctx, person)
	if err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		ms, err := s.methodsOf(ctx, people)
		if err != nil {
			return err
		}
		var f kit.Fields
		checkRules(&f, "notify", rules, ms[person])
		if err := f.Err(); err != nil {
			return err
		}
		return s.saveRules(ctx, tx, person, rules)
	})
}

func checkRules(f *kit.Fields, path string, rules []Rule, ms []Method) {
	if len(rules) > maxRules {
		f.Add(path, "notify.error.too_many", "limit", maxRules)
		return
	}
	for i, r := range rules {
		at := path + "[" + strconv.Itoa(i) + "]"
		if r.After < 0 || r.After > 24*time.Hour {
			f.Add(at+".after", "notify.error.bad_after")
		}
		if !slices.ContainsFunc(ms, func(m Method) bool { return m.ID == r.Method }) {
			f.Add(at+".method", "notify.error.unknown_method", "method", r.Method)
		}
		for _, sev := range r.Severities {
			if !slices.Contains([]string{"sev1", "sev2", "sev3", "sev4"}, sev) {
				f.Add(at+".severities", "notify.error.bad_severity")
			}
		}
	}
}

func (s *Service) saveRules(ctx context.Context, tx *db.Tx, person string, rules []Rule) error {
	old, err := s.storedRules(ctx, []string{person})
	if err != nil {
		return err
	}
	if err := habits(ctx, tx, person, "notify", len(old[person]) > 0, old[person], len(rules) > 0, rules); err != nil {
		return err
	}
	if err := exec(ctx, tx, `DELETE FROM personal_rule WHERE person = $1`, person); err != nil {
		return err
	}
	for i, r := range rules {
		sev, err := json.Marshal(append([]string{}, r.Severities...))
		if err != nil {
			return kit.Internal(err)
		}
		if err := exec(ctx, tx, `INSERT INTO personal_rule (person, position, after_us, method, severities) VALUES ($1,$2,$3,$4,$5)`,
			person, i, r.After.Microseconds(), r.Method, string(sev)); err != nil {
			return err
		}
	}
	return nil
}

// Quiet gives the quiet hours of a person; nil when there are none.
func (s *Service) Quiet(ctx context.Context, person string) (*QuietHours, error) {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return nil, err
	}
	q, err := s.storedQuiet(ctx, []string{person})
	if err != nil {
		return nil, err
	}
	if h, ok := q[person]; ok {
		return &h, nil
	}
	return nil, nil
}

// SetQuiet sets the quiet hours of a person; nil ends them.
func (s *Service) SetQuiet(ctx context.Context, person string, q *QuietHours) error {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return err
	}
	var f kit.Fields
	checkQuiet(&f, "quiet_hours", q)
	if err := f.Err(); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.saveQuiet(ctx, tx, person, q) })
}

func checkQuiet(f *kit.Fields, path string, q *QuietHours) {
	if q == nil {
		return
	}
	if !q.valid() {
		f.Add(path, "notify.error.bad_hours")
	}
	if _, err := time.LoadLocation(q.Timezone); err != nil || q.Timezone == "Local" {
		f.Add(path+".timezone", "error.bad_zone")
	}
}

// habits appends the fact of a change of what a person prefers, if it is one.
func habits(ctx context.Context, tx *db.Tx, person, path string, had bool, from any, has bool, to any) error {
	text := func(there bool, v any) (string, error) {
		if !there {
			return "", nil
		}
		raw, err := json.Marshal(v)
		return string(raw), err
	}
	was, err := text(had, from)
	if err != nil {
		return kit.Internal(err)
	}
	is, err := text(has, to)
	if err != nil {
		return kit.Internal(err)
	}
	if was == is {
		return nil
	}
	return ledger.Append(ctx, tx, personFact(person, HabitsChanged{Path: path, From: was, To: is}))
}

func (s *Service) saveQuiet(ctx context.Context, tx *db.Tx, person string, q *QuietHours) error {
	old, err := s.storedQuiet(ctx, []string{person})
	if err != nil {
		return err
	}
	was, had := old[person]
	if err := habits(ctx, tx, person, "quiet_hours", had, was, q != nil, q); err != nil {
		return err
	}
	if q == nil {
		return exec(ctx, tx, `DELETE FROM quiet_hours WHERE person = $1`, person)
	}
	return exec(ctx, tx, `INSERT INTO quiet_hours (person, from_local, to_local, timezone) VALUES ($1,$2,$3,$4)
		ON CONFLICT (person) DO UPDATE SET from_local = excluded.from_local, to_local = excluded.to_local, timezone = excluded.timezone`,
		person, q.From, q.To, q.Timezone)
}

// Reachable tells whether a person has a method that this installation can use.
func (s *Service) Reachable(ctx context.Context, person string) (bool, error) {
	m, err := s.ReachableAll(ctx, []string{person})
	return m[person], err
}

// ReachableAll is Reachable for many.
func (s *Service) ReachableAll(ctx context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(ids) == 0 {
		return out, nil
	}
	people, err := s.known(ctx, ids...)
	if err != nil {
		return nil, err
	}
	all, err := s.methodsOf(ctx, people)
	for id, ms := range all {
		out[id] = slices.ContainsFunc(ms, func(m Method) bool { return m.Disabled == "" && s.Sends(ctx, m.Kind) })
	}
	return out, err
}

// Tested tells when a way to somebody was tested last, the zero time where none ever
// was; Stale is set where that is longer ago than P.channel.
type Tested struct {
	At    time.Time
	Stale bool
}

// LastTests gives, for each of the people, the latest test of any of their methods.
// Who sees the schedules may know it.
func (s *Service) LastTests(ctx context.Context, ids []string) (map[string]Tested, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil || len(ids) == 0 {
		return nil, err
	}
	people, err := s.known(ctx, ids...)
	if err != nil {
		return nil, err
	}
	all, err := s.methodsOf(ctx, people)
	oldest := s.d.Now().Add(-s.param(ctx, "P.channel", 30*24*time.Hour))
	out := make(map[string]Tested, len(all))
	for id, ms := range all {
		var t Tested
		for _, m := range ms {
			if m.TestedAt.After(t.At) {
				t.At = m.TestedAt
			}
		}
		t.Stale = t.At.Before(oldest)
		out[id] = t
	}
	return out, err
}

// Plan gives the methods of a person in the order and at the times at which a page
// of a severity would try them.
func (s *Service) Plan(ctx context.Context, person, severity string) ([]Planned, error) {
	people, err := s.known(ctx, person)
	if err != nil {
		return nil, err
	}
	all, err := s.methodsOf(ctx, people)
	if err != nil {
		return nil, err
	}
	rules, err := s.storedRules(ctx, []string{person})
	return PlanOf(all[person], rules[person], severity), err
}

// SendTest sends a test by a method of a person; answering it verifies the method.
// It gives the id of the delivery.
func (s *Service) SendTest(ctx context.Context, person, id string) (string, error) {
	if err := s.mayActFor(ctx, person, "method.own", "person.edit"); err != nil {
		return "", err
	}
	people, err := s.known(ctx, person)
	if err != nil {
		return "", err
	}
	p, ok := people[person]
	if !ok {
		return "", kit.NotFound("person", person)
	}
	d := &row{ID: kit.NewID(), Message: "test", MessageID: id, RecipientKind: "person", Person: person, Name: p.Name, Language: p.Language, Zone: p.Timezone, State: Pending}
	return d.ID, s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		stored, err := s.storedMethods(ctx, []string{person})
		if err != nil {
			return err
		}
		ms := stored[person]
		if len(ms) == 0 {
			ms = defaultMethod(p)
			for _, m := range ms {
				if err := s.saveMethod(ctx, tx, person, m, 0, nil); err != nil {
					return err
				}
			}
		}
		i := slices.IndexFunc(ms, func(m Method) bool { return m.ID == id })
		if i < 0 {
			return kit.NotFound("method", id)
		}
		d.Method, d.Kind, d.To, d.Created, d.Due = id, ms[i].Kind, ms[i].To, tx.Now(), tx.Now()
		if err := exec(ctx, tx, `UPDATE contact_method SET test_hash = $1, disabled = '' WHERE person = $2 AND id = $3`, hash(s.token("test", d.ID)), person, id); err != nil {
			return err
		}
		if err := insertDelivery(ctx, tx, d); err != nil {
			return err
		}
		return s.put(ctx, tx, d, tx.Now())
	})
}

// tested notes what became of a test message.
func (s *Service) tested(ctx context.Context, tx *db.Tx, d *row, result string) error {
	if err := exec(ctx, tx, `UPDATE contact_method SET tested_at = $1 WHERE person = $2 AND id = $3`, kit.Micros(tx.Now()), d.Person, d.Method); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, personFact(d.Person, MethodTested{MethodFact{Method: d.Method, Kind: d.Kind, To: d.To, Result: result}}))
}

// verified notes that a test was answered.
func (s *Service) verified(ctx context.Context, tx *db.Tx, person, id string) error {
	var kind, addr string
	err := tx.QueryRow(ctx, `UPDATE contact_method SET verified_at = $1 WHERE person = $2 AND id = $3 AND verified_at < tested_at OR verified_at = 0 AND person = $2 AND id = $3
		RETURNING kind, addr`, kit.Micros(tx.Now()), person, id).Scan(&kind, &addr)
	if err = db.NoRows(err, "method", id); kit.CodeOf(err) == kit.CodeNotFound {
		return nil
	} else if err != nil {
		return err
	}
	ds, err := s.deliveries(ctx, `message = 'test' AND message_id = ? AND person = ? AND state = 'sent' ORDER BY id DESC LIMIT 1`, id, person)
	if err != nil {
		return err
	}
	for i := range ds {
		if err := s.confirm(ctx, tx, &ds[i]); err != nil {
			return err
		}
	}
	return ledger.Append(ctx, tx, personFact(person, MethodVerified{MethodFact{Method: id, Kind: kind, To: addr}}))
}

// Apply brings methods, personal rules and quiet hours to what the organisation
// file says; with prune, what it does not name is removed. People that it does not
// name keep what they have.
func (s *Service) Apply(ctx context.Context, tx *db.Tx, defs []Definition, prune bool) ([]kit.Change, error) {
	if err := s.p.Rights.Require(ctx, "settings.edit"); err != nil {
		return nil, err
	}
	var f kit.Fields
	ids := make([]string, len(defs))
	for i, d := range defs {
		ids[i] = d.Person
	}
	if len(defs) == 0 {
		return nil, nil
	}
	people, err := s.known(ctx, ids...)
	if err != nil {
		return nil, err
	}
	stored, err := s.storedMethods(ctx, ids)
	if err != nil {
		return nil, err
	}
	rules, err := s.storedRules(ctx, ids)
	if err != nil {
		return nil, err
	}
	quiet, err := s.storedQuiet(ctx, ids)
	if err != nil {
		return nil, err
	}
	var out []kit.Change
	for n, d := range defs {
		if d.Path == "" {
			d.Path = "people[" + strconv.Itoa(n) + "]"
		}
		seen := map[string]bool{}
		for i, m := range d.Methods {
			at := d.Path + ".contact_methods[" + strconv.Itoa(i) + "]"
			checkMethod(&f, at, m)
			if seen[m.ID] {
				f.Add(at+".id", "error.exists")
			}
			seen[m.ID] = true
		}
		usable := d.Methods
		if !prune {
			usable = append(slices.Clone(usable), stored[d.Person]...)
		}
		if len(usable) == 0 {
			usable = defaultMethod(people[d.Person])
		}
		checkRules(&f, d.Path+".notify", d.Notify, usable)
		checkQuiet(&f, d.Path+".quiet_hours", d.Quiet)
		if len(f) > 0 {
			continue
		}
		c, err := s.applyOne(ctx, tx, d, prune, stored[d.Person], rules[d.Person], quiet[d.Person])
		if err != nil {
			return nil, err
		}
		out = append(out, c...)
	}
	return out, f.Err()
}

func (s *Service) applyOne(ctx context.Context, tx *db.Tx, d Definition, prune bool, stored []Method, rules []Rule, quiet QuietHours) ([]kit.Change, error) {
	var out []kit.Change
	note := func(section, op, detail string) {
		out = append(out, kit.Change{Section: section, ID: d.Person, Op: op, Detail: detail})
	}
	for i, m := range d.Methods {
		j := slices.IndexFunc(stored, func(o Method) bool { return o.ID == m.ID })
		var old *Method
		switch {
		case j < 0:
			note("contact_methods", "create", m.ID)
		case stored[j].Kind != m.Kind || stored[j].To != m.To:
			old = &stored[j]
			note("contact_methods", "change", m.ID)
		default:
			old = &stored[j]
		}
		if err := s.saveMethod(ctx, tx, d.Person, m, i, old); err != nil {
			return nil, err
		}
	}
	if prune {
		for _, m := range stored {
			if !slices.ContainsFunc(d.Methods, func(o Method) bool { return o.ID == m.ID }) {
				if err := s.removeMethod(ctx, tx, d.Person, m.ID); err != nil {
					return nil, err
				}
				note("contact_methods", "remove", m.ID)
			}
		}
	}
	if (len(d.Notify) > 0 || prune) && !(len(d.Notify) == 0 && len(rules) == 0) && !reflect.DeepEqual(plainRules(rules), plainRules(d.Notify)) {
		if err := s.saveRules(ctx, tx, d.Person, d.Notify); err != nil {
			return nil, err
		}
		note("notify", "change", "")
	}
	switch {
	case d.Quiet != nil && *d.Quiet != quiet, d.Quiet == nil && prune && quiet != QuietHours{}:
		if err := s.saveQuiet(ctx, tx, d.Person, d.Quiet); err != nil {
			return nil, err
		}
		note("quiet_hours", "change", "")
	}
	if len(out) == 0 {
		note("contact_methods", "keep", "")
	}
	return out, nil
}

func plainRules(rs []Rule) []Rule {
	out := slices.Clone(rs)
	for i := range out {
		if len(out[i].Severities) == 0 {
			out[i].Severities = nil
		}
	}
	return out
}

// Export gives what Apply takes, for the people named.
func (s *Service) Export(ctx context.Context, people []string) (map[string]Definition, error) {
	if err := s.p.Rights.Require(ctx, "settings.see"); err != nil {
		return nil, err
	}
	out := map[string]Definition{}
	if len(people) == 0 {
		return out, nil
	}
	ms, err := s.storedMethods(ctx, people)
	if err != nil {
		return nil, err
	}
	rules, err := s.storedRules(ctx, people)
	if err != nil {
		return nil, err
	}
	quiet, err := s.storedQuiet(ctx, people)
	for _, p := range people {
		d := Definition{Person: p, Methods: ms[p], Notify: rules[p]}
		if q, ok := quiet[p]; ok {
			d.Quiet = &q
		}
		out[p] = d
	}
	return out, err
}
