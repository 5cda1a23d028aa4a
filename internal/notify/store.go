package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

type bundle struct {
	id, person, subject string
	opened              time.Time
	lastN               int64
	open                bool
}

// row is a delivery as stored.
type row struct {
	ID, Message, MessageID, Bundle, Incident, Ref string
	RecipientKind, Person, Name, Language, Zone   string
	Method, Kind, To                              string
	State                                         State
	Attempt                                       int
	Admitted, Digest                              bool
	Created, Due, First, Sent, Confirmed          time.Time
	ProviderID, Error                             string
}

const deliveryColumns = `id, message, message_id, bundle, incident, ref, recipient_kind, person, name, language, timezone, method, kind, addr,
	state, attempt, admitted, digest, created_at, due_at, first_at, sent_at, confirmed_at, provider_id, error`

const pageColumns = `id, bundle, ladder, round, step, incident, ref, person, duty, state, severity, title, service, service_fr, service_en, since,
	exercise, confidential, note, alerts, opened_at, ended_at, method, ended_by, reason, next_person, next_at, silent, informs`

type scanner interface{ Scan(dest ...any) error }

func scanDelivery(r scanner) (d row, err error) {
	var created, dueAt, first, sent, confirmed int64
	err = r.Scan(&d.ID, &d.Message, &d.MessageID, &d.Bundle, &d.Incident, &d.Ref, &d.RecipientKind, &d.Person, &d.Name, &d.Language, &d.Zone,
		&d.Method, &d.Kind, &d.To, &d.State, &d.Attempt, &d.Admitted, &d.Digest, &created, &dueAt, &first, &sent, &confirmed, &d.ProviderID, &d.Error)
	d.Created, d.Due, d.First = kit.FromMicros(created), kit.FromMicros(dueAt), kit.FromMicros(first)
	d.Sent, d.Confirmed = kit.FromMicros(sent), kit.FromMicros(confirmed)
	return d, err
}

func scanPage(r scanner) (p Page, err error) {
	var since, opened, ended, next int64
	var silent string
	err = r.Scan(&p.ID, &p.Bundle, &p.Ladder, &p.Round, &p.Step, &p.Incident, &p.Ref, &p.Person.ID, &p.Duty, &p.State, &p.Severity, &p.Title,
		&p.Service, &p.ServiceName.FR, &p.ServiceName.EN, &since, &p.Exercise, &p.Confidential, &p.Text, &p.Alerts, &opened, &ended, &p.Method, &p.EndedBy, &p.EndedReason,
		&p.NextPerson.ID, &next, &silent, &p.Informs)
	if err == nil && silent != "" {
		err = json.Unmarshal([]byte(silent), &p.Silent)
	}
	p.Since, p.OpenedAt, p.AnsweredAt, p.NextAt = kit.FromMicros(since), kit.FromMicros(opened), kit.FromMicros(ended), kit.FromMicros(next)
	return p, err
}

// collect reads all rows by a scan function.
func collect[T any](rows *sql.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, db.MapError(err)
		}
		out = append(out, v)
	}
	return out, db.MapError(rows.Err())
}

func (s *Service) pages(ctx context.Context, where string, args ...any) ([]Page, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT `+pageColumns+` FROM page WHERE `+where, args...)
	return collect(rows, err, scanPage)
}

func (s *Service) deliveries(ctx context.Context, where string, args ...any) ([]row, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT `+deliveryColumns+` FROM delivery WHERE `+where, args...)
	return collect(rows, err, scanDelivery)
}

func (s *Service) delivery(ctx context.Context, id string) (row, error) {
	ds, err := s.deliveries(ctx, `id = ?`, id)
	if err != nil {
		return row{}, err
	}
	if len(ds) == 0 {
		return row{}, kit.NotFound("delivery", id)
	}
	return ds[0], nil
}

func exec(ctx context.Context, tx *db.Tx, query string, args ...any) error {
	_, err := tx.Exec(ctx, query, args...)
	return db.MapError(err)
}

// changed runs a statement and tells how many rows it changed.
func changed(ctx context.Context, tx *db.Tx, query string, args ...any) (int64, error) {
	r, err := tx.Exec(ctx, query, args...)
	if err != nil {
		return 0, db.MapError(err)
	}
	n, err := r.RowsAffected()
	return n, db.MapError(err)
}

// forUpdate is the lock that PostgreSQL needs; on SQLite the writer is alone.
func (s *Service) forUpdate() string {
	if s.d.Dialect() == db.PostgreSQL {
		return ` FOR UPDATE`
	}
	return ``
}

// lockBundles locks bundles in the order of their ids and gives them. Whoever adds
// alerts and whoever takes them into a message meet at this lock, so that no alert
// falls between two messages.
func (s *Service) lockBundles(ctx context.Context, tx *db.Tx, ids []string) (map[string]*bundle, error) {
	out := map[string]*bundle{}
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, person, subject, opened_at, last_n, is_open FROM bundle WHERE id IN (?) ORDER BY id`+s.forUpdate(), bun.List(ids))
	list, err := collect(rows, err, scanBundle)
	for i := range list {
		out[list[i].id] = &list[i]
	}
	return out, err
}

func scanBundle(r scanner) (b bundle, err error) {
	var at int64
	err = r.Scan(&b.id, &b.person, &b.subject, &at, &b.lastN, &b.open)
	b.opened = kit.FromMicros(at)
	return b, err
}

func insertDelivery(ctx context.Context, tx *db.Tx, d *row) error {
	return exec(ctx, tx, `INSERT INTO delivery (`+deliveryColumns+`)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25)`,
		d.ID, d.Message, d.MessageID, d.Bundle, d.Incident, d.Ref, d.RecipientKind, d.Person, d.Name, d.Language, d.Zone, d.Method, d.Kind, d.To,
		string(d.State), d.Attempt, d.Admitted, d.Digest, kit.Micros(d.Created), kit.Micros(d.Due), kit.Micros(d.First), kit.Micros(d.Sent),
		kit.Micros(d.Confirmed), d.ProviderID, d.Error)
}

func insertPage(ctx context.Context, tx *db.Tx, p *Page) (bool, error) {
	silent := ""
	if p.Silent != nil {
		raw, err := json.Marshal(p.Silent)
		if err != nil {
			return false, kit.Internal(err)
		}
		silent = string(raw)
	}
	n, err := changed(ctx, tx, `INSERT INTO page (`+pageColumns+`)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29)
		ON CONFLICT (ladder, round, step, person) DO NOTHING`,
		p.ID, p.Bundle, p.Ladder, p.Round, p.Step, p.Incident, p.Ref, p.Person.ID, p.Duty, p.State, p.Severity, p.Title, p.Service, p.ServiceName.FR, p.ServiceName.EN,
		kit.Micros(p.Since), p.Exercise, p.Confidential, p.Text, p.Alerts, kit.Micros(p.OpenedAt), kit.Micros(p.AnsweredAt), p.Method, p.EndedBy,
		p.EndedReason, p.NextPerson.ID, kit.Micros(p.NextAt), silent, p.Informs)
	return n > 0, err
}

// insertAlerts adds lines to a bundle behind b.lastN, which it moves; the first
// line of a page is the page itself, with an empty key.
// insertAlerts names alerts on a page and gives how many of them it did not name yet.
func insertAlerts(ctx context.Context, tx *db.Tx, b *bundle, page string, alerts []Alert) (fresh int64, err error) {
	const most = 200
	for part := range slices.Chunk(alerts, most) {
		var q strings.Builder
		q.WriteString(`INSERT INTO page_alert (bundle, n, page, dedup_key, title) VALUES `)
		args := make([]any, 0, 5*len(part))
		for i, a := range part {
			if i > 0 {
				q.WriteByte(',')
			}
			q.WriteString(`(?,?,?,?,?)`)
			b.lastN++
			args = append(args, b.id, b.lastN, page, a.DedupKey, a.Title)
		}
		q.WriteString(` ON CONFLICT (page, dedup_key) DO NOTHING`)
		res, err := tx.ExecContext(ctx, q.String(), args...)
		if err != nil {
			return 0, db.MapError(err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, db.MapError(err)
		}
		fresh += n
	}
	return fresh, exec(ctx, tx, `UPDATE bundle SET last_n = $1 WHERE id = $2`, b.lastN, b.id)
}

// put schedules a delivery; at is an instant of the product's clock.
func (s *Service) put(ctx context.Context, tx *db.Tx, d *row, at time.Time) error {
	kind := dueDelivery
	if d.Message != "page" {
		kind = dueNotice
	}
	return due.At(ctx, tx, kind, d.ID, s.leaseTime(at), struct{}{})
}

// storedMethods gives the methods of people as stored, without the default.
func (s *Service) storedMethods(ctx context.Context, people []string) (map[string][]Method, error) {
	type key struct{ people string }
	return db.Memo(ctx, s.d, key{strings.Join(people, " ")}, func() (map[string][]Method, error) { return s.readMethods(ctx, people) })
}

func (s *Service) readMethods(ctx context.Context, people []string) (map[string][]Method, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT person, id, kind, addr, verified_at, tested_at, disabled FROM contact_method WHERE person IN (?) ORDER BY person, position`, bun.List(people))
	type pm struct {
		person string
		m      Method
	}
	list, err := collect(rows, err, func(r scanner) (x pm, err error) {
		var verified, tested int64
		err = r.Scan(&x.person, &x.m.ID, &x.m.Kind, &x.m.To, &verified, &tested, &x.m.Disabled)
		x.m.VerifiedAt, x.m.TestedAt = kit.FromMicros(verified), kit.FromMicros(tested)
		return x, err
	})
	out := map[string][]Method{}
	for _, x := range list {
		out[x.person] = append(out[x.person], x.m)
	}
	return out, err
}

func (s *Service) storedRules(ctx context.Context, people []string) (map[string][]Rule, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT person, after_us, method, severities FROM personal_rule WHERE person IN (?) ORDER BY person, position`, bun.List(people))
	type pr struct {
		person string
		r      Rule
	}
	list, err := collect(rows, err, func(r scanner) (x pr, err error) {
		var after int64
		var sev string
		if err = r.Scan(&x.person, &after, &x.r.Method, &sev); err == nil {
			err = json.Unmarshal([]byte(sev), &x.r.Severities)
		}
		x.r.After = time.Duration(after) * time.Microsecond
		return x, err
	})
	out := map[string][]Rule{}
	for _, x := range list {
		out[x.person] = append(out[x.person], x.r)
	}
	return out, err
}

func (s *Service) storedQuiet(ctx context.Context, people []string) (map[string]QuietHours, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT person, from_local, to_local, timezone FROM quiet_hours WHERE person IN (?)`, bun.List(people))
	type pq struct {
		person string
		q      QuietHours
	}
	list, err := collect(rows, err, func(r scanner) (x pq, err error) {
		err = r.Scan(&x.person, &x.q.From, &x.q.To, &x.q.Timezone)
		return x, err
	})
	out := map[string]QuietHours{}
	for _, x := range list {
		out[x.person] = x.q
	}
	return out, err
}

// defaultMethod is what a person without methods has: their address.
func defaultMethod(p Person) []Method {
	if p.Email == "" {
		return nil
	}
	return []Method{{ID: "mail", Kind: "email", To: p.Email, Default: true}}
}

func (s *Service) methodsOf(ctx context.Context, people map[string]Person) (map[string][]Method, error) {
	ids := keys(people)
	if len(ids) == 0 {
		return map[string][]Method{}, nil
	}
	out, err := s.storedMethods(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id, p := range people {
		if len(out[id]) == 0 {
			out[id] = defaultMethod(p)
		}
	}
	return out, nil
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return z
}

func internal(format string, args ...any) error { return kit.Internal(fmt.Errorf(format, args...)) }
