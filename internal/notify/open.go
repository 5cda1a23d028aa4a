package notify

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// OpenPages opens a page for each person and puts its first messages; reactions
// call it within their transaction. A page that is there already, by person,
// ladder, round and step, is left alone.
func (s *Service) OpenPages(ctx context.Context, o Open) error {
	if err := s.p.Rights.Require(ctx, "page.someone"); err != nil {
		return err
	}
	if len(o.People) == 0 {
		return nil
	}
	ids := make([]string, len(o.People))
	for i, p := range o.People {
		ids[i] = p.Person
	}
	people, err := s.known(ctx, ids...)
	if err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		methods, err := s.methodsOf(ctx, people)
		if err != nil {
			return err
		}
		if len(people) == 0 {
			return nil
		}
		rules, err := s.storedRules(ctx, keys(people))
		if err != nil {
			return err
		}
		for _, a := range o.People {
			p, ok := people[a.Person]
			if !ok {
				continue
			}
			if err := s.openOne(ctx, tx, o, a, p, methods[p.ID], rules[p.ID]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) openOne(ctx context.Context, tx *db.Tx, o Open, a Asked, p Person, methods []Method, rules []Rule) error {
	now := tx.Now()
	b, err := s.bundleFor(ctx, tx, o, p.ID)
	if err != nil {
		return err
	}
	page := Page{
		ID: kit.NewID(), Bundle: b.id, Ladder: o.Ladder, Round: max(o.Round, 1), Step: o.Step, Incident: o.Incident, Ref: o.Ref,
		Person: Named{ID: p.ID}, Duty: a.Duty, State: PageIsOpen, Severity: o.Severity, Title: o.Title, Service: o.Service,
		ServiceName: o.ServiceName, Since: o.Since, Exercise: o.Exercise, Confidential: o.Confidential, Text: o.Text, Alerts: len(o.Alerts),
		OpenedAt: now, NextPerson: Named{ID: o.NextPerson}, NextAt: o.NextAt, Silent: o.Silent, Informs: o.Informs,
	}
	if page.Ladder == "" {
		page.Ladder = page.ID
	}
	if isNew, err := insertPage(ctx, tx, &page); err != nil || !isNew {
		return err
	}
	joined := b.lastN > 0
	lines := append([]Alert{{Title: o.Title}}, o.Alerts...)
	if _, err := insertAlerts(ctx, tx, b, page.ID, lines); err != nil {
		return err
	}
	if err := ledger.Append(ctx, tx, pageFact(&page, PageOpened{
		Person: p.ID, Ladder: page.Ladder, Step: page.Step, Attempt: page.Round, Bundle: b.id, Alerts: page.Alerts,
	})); err != nil {
		return err
	}
	start := now
	if PageWaits(o.Severity, a.Duty != "") {
		quiet, err := s.storedQuiet(ctx, []string{p.ID})
		if err != nil {
			return err
		}
		if until, ok := quiet[p.ID].Until(now, zone(p.Timezone)); ok {
			start = until
		}
	}
	plan := PlanOf(methods, rules, o.Severity)
	if len(plan) == 0 {
		return s.unreachable(ctx, tx, &page, p)
	}
	var waiting map[string]row
	if joined {
		if waiting, err = s.fresh(ctx, b.id); err != nil {
			return err
		}
	}
	for _, m := range plan {
		at := start.Add(m.After)
		if w, ok := waiting[m.Method.ID]; ok && !w.Due.After(at) {
			continue
		} else if ok {
			if err := s.hasten(ctx, tx, &w, at); err != nil {
				return err
			}
			continue
		}
		if err := s.newDelivery(ctx, tx, &page, p, m.Method, at); err != nil {
			return err
		}
	}
	return nil
}

// unreachable records that a person has no way at all to be reached.
func (s *Service) unreachable(ctx context.Context, tx *db.Tx, page *Page, p Person) error {
	d := pageDelivery(page, p, Method{ID: "none", Kind: "none"}, tx.Now())
	d.State, d.Error = Failed, "notify.error.no_method"
	if err := insertDelivery(ctx, tx, d); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, failedFact(d, page, true))
}

func pageDelivery(page *Page, p Person, m Method, at time.Time) *row {
	return &row{
		ID: kit.NewID(), Message: "page", MessageID: page.ID, Bundle: page.Bundle, Incident: page.Incident, Ref: page.Ref, RecipientKind: "person",
		Person: p.ID, Name: p.Name, Language: p.Language, Zone: p.Timezone, Method: m.ID, Kind: m.Kind, To: m.To, State: Pending, Due: at,
	}
}

func (s *Service) newDelivery(ctx context.Context, tx *db.Tx, page *Page, p Person, m Method, at time.Time) error {
	d := pageDelivery(page, p, m, at)
	d.Created = tx.Now()
	if err := insertDelivery(ctx, tx, d); err != nil {
		return err
	}
	return s.put(ctx, tx, d, at)
}

// hasten brings a delivery that has not begun forward.
func (s *Service) hasten(ctx context.Context, tx *db.Tx, d *row, at time.Time) error {
	if err := exec(ctx, tx, `UPDATE delivery SET due_at = $1 WHERE id = $2 AND state = 'pending'`, kit.Micros(at), d.ID); err != nil {
		return err
	}
	return s.put(ctx, tx, d, at)
}

// fresh gives by method the delivery of a bundle that waits and has not begun:
// what it will name is decided when it leaves.
func (s *Service) fresh(ctx context.Context, bundle string) (map[string]row, error) {
	ds, err := s.deliveries(ctx, `bundle = ? AND state = 'pending' AND attempt = 0 ORDER BY due_at, id`, bundle)
	out := map[string]row{}
	for _, d := range ds {
		if _, ok := out[d.Method]; !ok {
			out[d.Method] = d
		}
	}
	return out, err
}

// subjectOf says which pages of a person share a bundle: those of one service. A
// page without service, and one that is confidential or an exercise, stands with
// its own incident alone.
func subjectOf(o Open) string {
	switch {
	case o.Informs:
		return "informs:" + o.Incident
	case o.Incident == "":
		return "ladder:" + o.Ladder
	case o.Exercise || o.Confidential || o.Service == "":
		return "incident:" + o.Incident
	default:
		return "service:" + o.Service
	}
}

func (s *Service) bundleFor(ctx context.Context, tx *db.Tx, o Open, person string) (*bundle, error) {
	now := tx.Now()
	subject := subjectOf(o)
	b, err := scanBundle(tx.QueryRow(ctx, `SELECT id, person, subject, opened_at, last_n, is_open FROM bundle
		WHERE person = $1 AND subject = $2 AND is_open AND opened_at > $3 ORDER BY opened_at DESC LIMIT 1`+s.forUpdate(),
		person, subject, kit.Micros(now.Add(-s.param(ctx, "P.storm", 2*time.Minute)))))
	if err == nil {
		return &b, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, db.MapError(err)
	}
	b = bundle{id: kit.NewID(), person: person, subject: subject, opened: now, open: true}
	if err := exec(ctx, tx, `INSERT INTO bundle (id, person, subject, token_hash, opened_at, last_n, is_open) VALUES ($1,$2,$3,$4,$5,0,TRUE)`,
		b.id, b.person, b.subject, hash(s.token("page", b.id)), kit.Micros(now)); err != nil {
		return nil, err
	}
	return &b, due.At(ctx, tx, duePageEnd, b.id, s.leaseTime(now.Add(s.param(ctx, "P.stale", 24*time.Hour))), struct{}{})
}

// AddAlerts names further alerts to those who are paged for an incident and have
// not answered; what their pages name already is not said again. Each method that has begun gets one more message, within its limits.
func (s *Service) AddAlerts(ctx context.Context, incident string, alerts []Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		open, err := s.pages(ctx, `incident = ? AND state = 'open' ORDER BY bundle, id`, incident)
		if err != nil || len(open) == 0 {
			return err
		}
		ids, persons := map[string]bool{}, map[string]bool{}
		for _, p := range open {
			ids[p.Bundle], persons[p.Person.ID] = true, true
		}
		bundles, err := s.lockBundles(ctx, tx, keys(ids))
		if err != nil {
			return err
		}
		people, err := s.known(ctx, keys(persons)...)
		if err != nil {
			return err
		}
		for i := range open {
			p := &open[i]
			b := bundles[p.Bundle]
			if b == nil || !b.open {
				continue
			}
			fresh, err := insertAlerts(ctx, tx, b, p.ID, alerts)
			if err != nil {
				return err
			}
			if fresh == 0 {
				continue
			}
			if err := exec(ctx, tx, `UPDATE page SET alerts = (SELECT COUNT(*) FROM page_alert WHERE page = $1 AND dedup_key <> '') WHERE id = $1`, p.ID); err != nil {
				return err
			}
			if err := s.further(ctx, tx, p, people[p.Person.ID]); err != nil {
				return err
			}
		}
		return nil
	})
}

// further makes sure that each method which has begun has a delivery that waits and
// will name what is new.
func (s *Service) further(ctx context.Context, tx *db.Tx, p *Page, person Person) error {
	ds, err := s.deliveries(ctx, partsOf+` ORDER BY id`, p.Bundle, p.Bundle)
	if err != nil {
		return err
	}
	type seen struct {
		last  row
		fresh bool
	}
	by := map[string]seen{}
	var order []string
	for _, d := range ds {
		x, ok := by[d.Method]
		if !ok {
			order = append(order, d.Method)
		}
		by[d.Method] = seen{d, x.fresh || d.Bundle == p.Bundle && d.State == Pending && d.Attempt == 0}
	}
	for _, m := range order {
		x := by[m]
		if x.fresh || x.last.Kind == "none" || x.last.State == Failed {
			continue
		}
		if err := s.newDelivery(ctx, tx, p, person, Method{ID: m, Kind: x.last.Kind, To: x.last.To}, tx.Now()); err != nil {
			return err
		}
	}
	return nil
}

// IncidentChanged brings the open pages of an incident, and what its notices still
// show, to its present severity, title and confidentiality, so that no message
// that leaves later says what is no longer so or no longer to be told.
func (s *Service) IncidentChanged(ctx context.Context, incident, severity, title string, confidential bool) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := exec(ctx, tx, `UPDATE page SET severity = $1, title = $2 WHERE incident = $3 AND state = 'open'`, severity, title, incident); err != nil {
			return err
		}
		if err := exec(ctx, tx, `UPDATE page SET confidential = $1 WHERE incident = $2`, confidential, incident); err != nil {
			return err
		}
		return exec(ctx, tx, `UPDATE notice SET confidential = $1 WHERE incident = $2`, confidential, incident)
	})
}

// endStale ends what nobody answered within P.stale.
func (s *Service) endStale(ctx context.Context, tx *db.Tx, r due.Row) error {
	stale := s.param(ctx, "P.stale", 24*time.Hour)
	open, err := s.pages(ctx, `bundle = ? AND state = 'open' ORDER BY opened_at DESC, id`, r.Key)
	if err != nil || len(open) == 0 {
		return err
	}
	if end := open[0].OpenedAt.Add(stale); end.After(tx.Now()) {
		return due.At(ctx, tx, duePageEnd, r.Key, s.leaseTime(end), struct{}{})
	}
	return s.end(ctx, tx, open, PageIsUnanswered, ending{reason: "stale"})
}

type ending struct{ by, method, reason string }

// end ends open pages in one way, and with the last one of a bundle what was still
// to be sent for it.
func (s *Service) end(ctx context.Context, tx *db.Tx, pages []Page, state string, e ending) error {
	now := tx.Now()
	bundles := map[string]bool{}
	for i := range pages {
		p := &pages[i]
		n, err := changed(ctx, tx, `UPDATE page SET state = $1, ended_at = $2, method = $3, ended_by = $4, reason = $5 WHERE id = $6 AND state = 'open'`,
			state, kit.Micros(now), e.method, e.by, e.reason, p.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		bundles[p.Bundle] = true
		pe := PageEnd{Person: p.Person.ID, Ladder: p.Ladder, Step: p.Step, Round: p.Round, Method: e.method, AfterS: int64(now.Sub(p.OpenedAt) / time.Second), Informs: p.Informs}
		var body ledger.Body
		switch state {
		case PageIsAcknowledged:
			body = PageAcknowledged{pe}
		case PageIsRefused:
			body = PageRefused{pe}
		case PageIsUnanswered:
			body = PageUnanswered{pe}
		default:
			body = PageWithdrawn{pe, e.reason}
		}
		if err := ledger.Append(ctx, tx, pageFact(p, body)); err != nil {
			return err
		}
	}
	return s.closeBundles(ctx, tx, keys(bundles))
}

func (s *Service) closeBundles(ctx context.Context, tx *db.Tx, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := s.lockBundles(ctx, tx, ids); err != nil {
		return err
	}
	var closed []string
	rows, err := tx.QueryContext(ctx, `UPDATE bundle SET is_open = FALSE WHERE id IN (?) AND NOT EXISTS
		(SELECT 1 FROM page p WHERE p.bundle = bundle.id AND p.state = 'open') RETURNING id`, bun.List(ids))
	closed, err = collect(rows, err, func(r scanner) (id string, err error) { err = r.Scan(&id); return id, err })
	if err != nil || len(closed) == 0 {
		return err
	}
	for _, id := range closed {
		if err := due.Cancel(ctx, tx, duePageEnd, id); err != nil {
			return err
		}
	}
	waiting, err := s.deliveries(ctx, `bundle IN (?) AND state = 'pending' ORDER BY id`, bun.List(closed))
	if err != nil {
		return err
	}
	for i := range waiting {
		d := &waiting[i]
		if err := s.endUnneeded(ctx, tx, d); err != nil {
			return err
		}
	}
	return nil
}

// endUnneeded removes a delivery that never began, or ends its tries, unless it is
// a digest that stands for other pages which are still open.
func (s *Service) endUnneeded(ctx context.Context, tx *db.Tx, d *row) error {
	if d.Attempt > 0 {
		open, err := s.openFor(ctx, d)
		if err != nil || len(open) > 0 {
			return err
		}
	}
	if err := due.Cancel(ctx, tx, dueDelivery, d.ID); err != nil {
		return err
	}
	if d.Attempt == 0 {
		return exec(ctx, tx, `DELETE FROM delivery WHERE id = $1`, d.ID)
	}
	d.State = Failed
	if err := exec(ctx, tx, `UPDATE delivery SET state = 'failed' WHERE id = $1`, d.ID); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "delivery", ID: d.ID}, Incident: d.Incident, Body: DeliveryFailed{delivered(d)}})
}

func delivered(d *row) Delivered {
	return Delivered{
		Message: d.Message, MessageID: d.MessageID, Recipient: d.Person, Method: d.Method, Attempt: d.Attempt,
		ProviderID: d.ProviderID, Error: d.Error, IdempotencyKey: d.ID,
	}
}

func deliveryFact(d *row, body ledger.Body) ledger.Entry {
	return ledger.Entry{Subject: ledger.Subject{Kind: "delivery", ID: d.ID}, Incident: d.Incident, Body: body}
}

func failedFact(d *row, p *Page, all bool) ledger.Entry {
	body := delivered(d)
	if all {
		body.AllFailed, body.MessageID, body.Ladder, body.Step, body.Round = true, p.ID, p.Ladder, p.Step, p.Round
	}
	return ledger.Entry{Subject: ledger.Subject{Kind: "delivery", ID: d.ID}, Incident: p.Incident, Body: DeliveryFailed{body}}
}
