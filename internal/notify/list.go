package notify

import (
	"context"
	"strings"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// maxDeliveries is how many deliveries of an incident are listed.
const maxDeliveries = 2000

// Deliveries lists every page and notice of an incident, the oldest first.
func (s *Service) Deliveries(ctx context.Context, incident string) ([]Delivery, error) {
	if err := s.p.Rights.Require(ctx, "incident.see"); err != nil {
		return nil, err
	}
	if err := s.mustSee(ctx, incident); err != nil {
		return nil, err
	}
	ds, err := s.deliveries(ctx, `incident = ? ORDER BY id LIMIT ?`, incident, maxDeliveries)
	if err != nil {
		return nil, err
	}
	return s.viewDeliveries(ctx, ds)
}

// Failed lists what could not be brought to somebody, or is in doubt, while the
// page is still open, for the page Now: at most 200.
func (s *Service) Failed(ctx context.Context) ([]Delivery, error) {
	if err := s.p.Rights.Require(ctx, "incident.see"); err != nil {
		return nil, err
	}
	ds, err := s.deliveries(ctx, `state IN ('failed', 'in_doubt') AND message = 'page'
		AND EXISTS (SELECT 1 FROM bundle b WHERE b.id = delivery.bundle AND b.is_open) ORDER BY id DESC LIMIT 200`)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range ds {
		ids = append(ids, d.Incident)
	}
	hidden, err := s.hidden(ctx, ids)
	if err != nil {
		return nil, err
	}
	kept := ds[:0]
	for _, d := range ds {
		if !hidden[d.Incident] {
			kept = append(kept, d)
		}
	}
	return s.viewDeliveries(ctx, kept)
}

func (s *Service) viewDeliveries(ctx context.Context, ds []row) ([]Delivery, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	plain := s.p.Rights.Require(ctx, "settings.see") == nil
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = d.ID
	}
	type att struct {
		delivery string
		a        Attempt
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT delivery, at, state, error FROM delivery_attempt WHERE delivery IN (?) ORDER BY delivery, n`, bun.List(ids))
	list, err := collect(rows, err, func(r scanner) (x att, err error) {
		var at int64
		err = r.Scan(&x.delivery, &at, &x.a.State, &x.a.Error)
		x.a.At = kit.FromMicros(at)
		return x, err
	})
	if err != nil {
		return nil, err
	}
	tries := map[string][]Attempt{}
	for _, x := range list {
		tries[x.delivery] = append(tries[x.delivery], x.a)
	}
	out := make([]Delivery, len(ds))
	for i, d := range ds {
		out[i] = Delivery{
			ID: d.ID, Message: d.Message, MessageID: d.MessageID, Incident: d.Incident, Ref: d.Ref, RecipientKind: d.RecipientKind,
			Recipient: Named{ID: d.Person, Name: d.Name}, Method: d.Method, Kind: d.Kind, To: d.To, State: d.State, Attempts: tries[d.ID],
			Error: d.Error, CreatedAt: d.Created, DueAt: d.Due, SentAt: d.Sent, ConfirmedAt: d.Confirmed,
		}
		if !plain {
			out[i].To = mask(d.To)
		}
	}
	return out, nil
}

// mask leaves as much of an address as its owner needs to know it again.
func mask(to string) string {
	if s, err := ParseSubscription(to); err == nil {
		return "https://" + s.Endpoint.Host + "/…"
	}
	if name, host, ok := strings.Cut(to, "@"); ok && name != "" {
		return name[:1] + "…@" + host
	}
	if scheme, rest, ok := strings.Cut(to, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		return scheme + "://" + host + "/…"
	}
	if len(to) > 4 {
		return "…" + to[len(to)-2:]
	}
	return "…"
}

// Retry sends a failed or doubtful message once more, under its key. What a
// provider took is never sent again.
func (s *Service) Retry(ctx context.Context, id string) error {
	if err := s.p.Rights.Require(ctx, "page.someone"); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err := s.delivery(ctx, id)
		if err != nil {
			return err
		}
		if err := s.mustSee(ctx, d.Incident); err != nil {
			return kit.NotFound("delivery", id)
		}
		if d.State != Failed && d.State != InDoubt || d.Kind == "none" {
			return kit.Conflict("not_failed", "notify.error.not_failed")
		}
		if d.Bundle != "" {
			b, err := s.lockBundles(ctx, tx, []string{d.Bundle})
			if err != nil {
				return err
			}
			if x := b[d.Bundle]; x == nil || !x.open {
				return kit.Conflict("ended", "notify.error.ended")
			}
		}
		if err := exec(ctx, tx, `UPDATE delivery SET state = 'pending', first_at = 0, admitted = TRUE, due_at = $1 WHERE id = $2`, kit.Micros(tx.Now()), id); err != nil {
			return err
		}
		return s.put(ctx, tx, &d, tx.Now())
	})
}

// mustSee answers not found for an incident that is hidden from the actor.
func (s *Service) mustSee(ctx context.Context, incident string) error {
	hidden, err := s.hidden(ctx, []string{incident})
	if err != nil {
		return err
	}
	if hidden[incident] {
		return kit.NotFound("incident", incident)
	}
	return nil
}

// hidden gives those of the incidents that the actor may not know of.
func (s *Service) hidden(ctx context.Context, incidents []string) (map[string]bool, error) {
	out := map[string]bool{}
	a := kit.ActorFrom(ctx)
	if a.IsSystem() {
		return out, nil
	}
	want := map[string]bool{}
	for _, i := range incidents {
		if i != "" {
			want[i] = true
		}
	}
	if len(want) == 0 {
		return out, nil
	}
	if s.p.Incidents != nil {
		sees, err := s.p.Incidents.Sees(ctx, keys(want))
		for i := range want {
			if !sees[i] {
				out[i] = true
			}
		}
		return out, err
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT DISTINCT incident FROM page WHERE confidential AND incident IN (?)
		AND NOT EXISTS (SELECT 1 FROM page o WHERE o.incident = page.incident AND o.person = ?)`, bun.List(keys(want)), a.ID)
	list, err := collect(rows, err, func(r scanner) (id string, err error) { err = r.Scan(&id); return id, err })
	for _, i := range list {
		out[i] = true
	}
	return out, err
}

// Page gives one page.
func (s *Service) Page(ctx context.Context, id string) (Page, error) {
	may := s.p.Rights.Require(ctx, "incident.see")
	ps, err := s.pages(ctx, `id = ?`, id)
	if err != nil {
		return Page{}, err
	}
	if may != nil {
		// Whoever may answer a page sees what the message that asks for it shows.
		if len(ps) == 0 || s.p.Rights.Require(ctx, "page.answer") != nil || s.owns(ctx, ps[0], true) != nil {
			return Page{}, may
		}
	}
	if ps, err = s.visible(ctx, ps); err != nil {
		return Page{}, err
	}
	if len(ps) == 0 {
		return Page{}, kit.NotFound("page", id)
	}
	return ps[0], nil
}

// visible leaves out what the actor may not know of and fills in names.
func (s *Service) visible(ctx context.Context, ps []Page) ([]Page, error) {
	var ids []string
	names := map[string]bool{}
	for _, p := range ps {
		ids = append(ids, p.Incident)
		names[p.Person.ID], names[p.NextPerson.ID] = true, true
	}
	hidden, err := s.hidden(ctx, ids)
	if err != nil {
		return nil, err
	}
	people := map[string]Person{}
	if len(names) > 0 {
		if people, err = s.known(ctx, keys(names)...); err != nil {
			return nil, err
		}
	}
	me := kit.ActorFrom(ctx).ID
	out := ps[:0]
	for _, p := range ps {
		if hidden[p.Incident] && p.Person.ID != me {
			continue
		}
		p.Person.Name, p.NextPerson.Name = people[p.Person.ID].Name, people[p.NextPerson.ID].Name
		out = append(out, p)
	}
	return out, nil
}

// Pages lists pages, the latest first.
func (s *Service) Pages(ctx context.Context, f Filter) (kit.List[Page], error) {
	var out kit.List[Page]
	if err := s.p.Rights.Require(ctx, "incident.see"); err != nil {
		return out, err
	}
	where, args := []string{"1 = 1"}, []any{}
	for _, c := range []struct{ column, value string }{{"state", f.State}, {"person", f.Person}, {"incident", f.Incident}, {"ladder", f.Ladder}} {
		if c.value != "" {
			where, args = append(where, c.column+" = ?"), append(args, c.value)
		}
	}
	if me := kit.ActorFrom(ctx); s.p.Incidents == nil && !me.IsSystem() {
		where, args = append(where, "(NOT confidential OR person = ?)"), append(args, me.ID)
	}
	cond := strings.Join(where, " AND ")
	if err := s.d.Read(ctx).QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM page WHERE `+cond+` LIMIT `+"10001"+`) AS c`, args...).Scan(&out.Total); err != nil {
		return out, db.MapError(err)
	}
	if out.Total > kit.MaxTotal {
		out.Total, out.TotalIsMinimum = kit.MaxTotal, true
	}
	if f.Page.Cursor != "" {
		c, err := kit.ParseCursor(f.Page.Cursor, 1)
		if err != nil {
			return out, err
		}
		cond, args = cond+" AND id < ?", append(args, c[0])
	}
	size := f.Page.Size()
	ps, err := s.pages(ctx, cond+` ORDER BY id DESC LIMIT ?`, append(args, size+1)...)
	if err != nil {
		return out, err
	}
	if len(ps) > size {
		ps = ps[:size]
		out.Next = kit.Cursor(ps[size-1].ID)
	}
	before := len(ps)
	out.Items, err = s.visible(ctx, ps)
	// What is hidden must not show in the count either.
	out.Total = max(out.Total-(before-len(out.Items)), len(out.Items))
	return out, err
}

// disable stops using an address that the provider said is gone.
func (s *Service) disable(ctx context.Context, tx *db.Tx, d *row) error {
	n, err := changed(ctx, tx, `UPDATE contact_method SET disabled = 'gone' WHERE person = $1 AND id = $2 AND addr = $3 AND disabled = ''`, d.Person, d.Method, d.To)
	if err != nil || n == 0 {
		return err
	}
	return ledger.Append(ctx, tx, personFact(d.Person, MethodChanged{MethodFact{Method: d.Method, Kind: d.Kind, To: d.To, Result: "gone"}}))
}

func personFact(person string, b ledger.Body) ledger.Entry {
	return ledger.Entry{Subject: ledger.Subject{Kind: "person", ID: person}, Body: b}
}
