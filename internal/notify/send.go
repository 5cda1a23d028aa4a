package notify

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// claimed is the durable mark that messages are about to be sent: what each one
// names is fixed here, so that every try under one key says the same.
func (s *Service) claimed(ctx context.Context, tx *db.Tx, rows []due.Row) error {
	ids := make([]string, len(rows))
	lost := map[string]bool{}
	for i, r := range rows {
		ids[i] = r.Key
		lost[r.Key] = r.LeaseLost
	}
	ds, err := s.deliveries(ctx, `id IN (?) ORDER BY due_at, id`, bun.List(ids))
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, d := range ds {
		if d.Bundle != "" {
			wanted[d.Bundle] = true
		}
	}
	bundles, err := s.lockBundles(ctx, tx, keys(wanted))
	if err != nil {
		return err
	}
	if len(wanted) > 0 && s.d.Dialect() == db.PostgreSQL {
		// Only what is read behind the lock counts.
		if ds, err = s.deliveries(ctx, `id IN (?) ORDER BY due_at, id`, bun.List(ids)); err != nil {
			return err
		}
	}
	absorbed := map[string]bool{}
	for i := range ds {
		d := &ds[i]
		if absorbed[d.ID] {
			continue
		}
		b := bundles[d.Bundle]
		switch {
		case d.State != Pending && d.State != Sending:
		case b != nil && !b.open && d.State == Pending:
			err = s.endUnneeded(ctx, tx, d)
		case d.State == Sending && lost[d.ID]:
			err = s.doubtful(ctx, tx, d)
		case d.Attempt == 0 && !d.Admitted && b != nil:
			var gone []string
			gone, err = s.admit(ctx, tx, d, b)
			for _, id := range gone {
				absorbed[id] = true
			}
		default:
			err = s.begin(ctx, tx, d)
		}
		if err != nil {
			return err
		}
	}
	kit.CrashPoint("delivery.claiming")
	return nil
}

// begin marks a try.
func (s *Service) begin(ctx context.Context, tx *db.Tx, d *row) error {
	now := tx.Now()
	if d.Attempt == 0 && d.Bundle != "" {
		if any, err := s.cover(ctx, tx, d); err != nil {
			return err
		} else if !any {
			return exec(ctx, tx, `DELETE FROM delivery WHERE id = $1`, d.ID)
		}
	}
	d.Attempt++
	if d.First.IsZero() {
		d.First = now
	}
	d.State = Sending
	if err := exec(ctx, tx, `UPDATE delivery SET state = 'sending', attempt = $1, first_at = $2, admitted = TRUE WHERE id = $3`, d.Attempt, kit.Micros(d.First), d.ID); err != nil {
		return err
	}
	return exec(ctx, tx, `INSERT INTO delivery_attempt (delivery, n, at, state, error) VALUES ($1,$2,$3,'sending','') ON CONFLICT DO NOTHING`, d.ID, d.Attempt, kit.Micros(now))
}

// admit asks the bucket of the person's method. A message that has to wait keeps
// its row; one that has waited for a token takes along all that wait with it.
func (s *Service) admit(ctx context.Context, tx *db.Tx, d *row, b *bundle) (gone []string, err error) {
	now := tx.Now()
	bucket, err := s.bucket(ctx, tx, d)
	if err != nil {
		return nil, err
	}
	after, at, ok := bucket.Take(LimitOf(d.Kind), now)
	if err := exec(ctx, tx, `UPDATE bucket SET milli = $1, filled_at = $2, last_at = $3 WHERE person = $4 AND method = $5`,
		after.Milli, kit.Micros(after.Filled), kit.Micros(after.Last), d.Person, d.Method); err != nil {
		return nil, err
	}
	if !ok || at.After(now) {
		d.Due = at
		return nil, exec(ctx, tx, `UPDATE delivery SET due_at = $1, admitted = $2, digest = $3 WHERE id = $4`, kit.Micros(at), ok, d.Digest || !ok, d.ID)
	}
	if d.Digest {
		if gone, err = s.absorb(ctx, tx, d); err != nil {
			return nil, err
		}
	}
	return gone, s.begin(ctx, tx, d)
}

func (s *Service) bucket(ctx context.Context, tx *db.Tx, d *row) (Bucket, error) {
	if err := exec(ctx, tx, `INSERT INTO bucket (person, method, milli, filled_at, last_at) VALUES ($1,$2,0,0,0) ON CONFLICT DO NOTHING`, d.Person, d.Method); err != nil {
		return Bucket{}, err
	}
	var milli, filled, last int64
	err := tx.QueryRow(ctx, `SELECT milli, filled_at, last_at FROM bucket WHERE person = $1 AND method = $2`+s.forUpdate(), d.Person, d.Method).Scan(&milli, &filled, &last)
	return Bucket{Milli: milli, Filled: kit.FromMicros(filled), Last: kit.FromMicros(last)}, db.MapError(err)
}

// absorb takes what other messages of the same person and method wait to say into
// this one.
func (s *Service) absorb(ctx context.Context, tx *db.Tx, d *row) ([]string, error) {
	others, err := s.deliveries(ctx, `person = ? AND method = ? AND state = 'pending' AND attempt = 0 AND NOT admitted AND digest AND bundle <> ? AND message = 'page' ORDER BY bundle`,
		d.Person, d.Method, d.Bundle)
	if err != nil || len(others) == 0 {
		return nil, err
	}
	ids := map[string]bool{}
	for _, o := range others {
		ids[o.Bundle] = true
	}
	bundles, err := s.lockBundles(ctx, tx, keys(ids))
	if err != nil {
		return nil, err
	}
	var gone []string
	for i := range others {
		o := &others[i]
		if b := bundles[o.Bundle]; b != nil && b.open {
			if err := exec(ctx, tx, `INSERT INTO delivery_part (delivery, bundle, from_n, to_n) VALUES ($1,$2,0,0) ON CONFLICT DO NOTHING`, d.ID, b.id); err != nil {
				return nil, err
			}
		}
		if err := due.Cancel(ctx, tx, dueDelivery, o.ID); err != nil {
			return nil, err
		}
		if err := exec(ctx, tx, `DELETE FROM delivery WHERE id = $1`, o.ID); err != nil {
			return nil, err
		}
		gone = append(gone, o.ID)
	}
	return gone, nil
}

// cover fixes what a message names: all that its bundles have and the method has
// not named yet; false when that is nothing.
func (s *Service) cover(ctx context.Context, tx *db.Tx, d *row) (any bool, err error) {
	if err := exec(ctx, tx, `INSERT INTO delivery_part (delivery, bundle, from_n, to_n) VALUES ($1,$2,0,0) ON CONFLICT DO NOTHING`, d.ID, d.Bundle); err != nil {
		return false, err
	}
	if err := exec(ctx, tx, `UPDATE delivery_part SET
		from_n = COALESCE((SELECT n.upto FROM named n WHERE n.bundle = delivery_part.bundle AND n.method = $1), 0),
		to_n = (SELECT b.last_n FROM bundle b WHERE b.id = delivery_part.bundle) WHERE delivery = $2`, d.Method, d.ID); err != nil {
		return false, err
	}
	if err := exec(ctx, tx, `INSERT INTO named (bundle, method, upto) SELECT bundle, $1, to_n FROM delivery_part WHERE delivery = $2
		ON CONFLICT (bundle, method) DO UPDATE SET upto = excluded.upto`, d.Method, d.ID); err != nil {
		return false, err
	}
	var lines int64
	err = tx.QueryRow(ctx, `SELECT COALESCE(SUM(to_n - from_n), 0) FROM delivery_part WHERE delivery = $1`, d.ID).Scan(&lines)
	return lines > 0, db.MapError(err)
}

// doubtful decides about a message whose sender never came back. Where it is
// urgent another method takes over at once; else, and where there is none, it is
// repeated under the same key.
func (s *Service) doubtful(ctx context.Context, tx *db.Tx, d *row) error {
	d.Error = "notify.error.in_doubt"
	if err := exec(ctx, tx, `UPDATE delivery_attempt SET state = 'in_doubt', error = $1 WHERE delivery = $2 AND n = $3`, d.Error, d.ID, d.Attempt); err != nil {
		return err
	}
	if err := ledger.Append(ctx, tx, deliveryFact(d, DeliveryInDoubt{delivered(d)})); err != nil {
		return err
	}
	if d.Bundle != "" {
		open, err := s.openFor(ctx, d)
		if err != nil {
			return err
		}
		if len(open) == 0 {
			return exec(ctx, tx, `UPDATE delivery SET state = 'in_doubt', error = $1 WHERE id = $2`, d.Error, d.ID)
		}
		if slices.ContainsFunc(open, func(p Page) bool { return Urgent(p.Severity) }) {
			other, err := s.nextMethods(ctx, tx, d, open)
			if err != nil {
				return err
			}
			if other {
				return exec(ctx, tx, `UPDATE delivery SET state = 'in_doubt', error = $1 WHERE id = $2`, d.Error, d.ID)
			}
		}
	}
	return s.begin(ctx, tx, d)
}

// partsOf is the condition for the deliveries of a bundle, digests of several
// included.
const partsOf = `(bundle = ? OR id IN (SELECT p.delivery FROM delivery_part p WHERE p.bundle = ?))`

// openFor gives the open pages that a message stands for, the gravest first.
func (s *Service) openFor(ctx context.Context, d *row) ([]Page, error) {
	open, err := s.pages(ctx, `(bundle = ? OR bundle IN (SELECT p.bundle FROM delivery_part p WHERE p.delivery = ?)) AND state = 'open' ORDER BY id`, d.Bundle, d.ID)
	slices.SortStableFunc(open, func(a, b Page) int { return rank(a.Severity) - rank(b.Severity) })
	return open, err
}

// nextMethods is nextMethod for each bundle that a message stands for; it tells
// whether every one of them has another method.
func (s *Service) nextMethods(ctx context.Context, tx *db.Tx, d *row, open []Page) (bool, error) {
	done, all := map[string]bool{}, true
	for i := range open {
		p := &open[i]
		if done[p.Bundle] {
			continue
		}
		done[p.Bundle] = true
		part := *d
		part.Bundle = p.Bundle
		other, err := s.nextMethod(ctx, tx, &part, p)
		if err != nil {
			return false, err
		}
		all = all && other
	}
	return all, nil
}

func rank(severity string) int {
	switch severity {
	case "sev1":
		return 1
	case "sev3":
		return 3
	case "sev4":
		return 4
	}
	return 2
}

// nextMethod starts the person's next method at once: one that waits for its turn,
// else one that has not yet named what this message names. It tells whether
// another method has it.
func (s *Service) nextMethod(ctx context.Context, tx *db.Tx, d *row, page *Page) (bool, error) {
	ds, err := s.deliveries(ctx, partsOf+` ORDER BY due_at, id`, d.Bundle, d.Bundle)
	if err != nil {
		return false, err
	}
	for i := range ds {
		o := &ds[i]
		if o.ID == d.ID || o.Bundle != d.Bundle || o.Method == d.Method || o.State != Pending || o.Attempt > 0 {
			continue
		}
		if o.Due.After(tx.Now()) && !o.Admitted && !o.Digest {
			return true, s.hasten(ctx, tx, o, tx.Now())
		}
		return true, nil
	}
	var to int64
	err = tx.QueryRow(ctx, `SELECT to_n FROM delivery_part WHERE delivery = $1 AND bundle = $2`, d.ID, d.Bundle).Scan(&to)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, db.MapError(err)
	}
	last := map[string]row{}
	var order []string
	for _, o := range ds {
		if _, ok := last[o.Method]; !ok {
			order = append(order, o.Method)
		}
		last[o.Method] = o
	}
	covered := false
	for _, m := range order {
		o := last[m]
		if m == d.Method || o.State == Failed || o.State == InDoubt || o.Kind == "none" {
			continue
		}
		var upto int64
		err := tx.QueryRow(ctx, `SELECT upto FROM named WHERE bundle = $1 AND method = $2`, d.Bundle, m).Scan(&upto)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, db.MapError(err)
		}
		if upto >= to {
			covered = covered || o.State == Sent || o.State == Confirmed
			continue
		}
		people, err := s.known(ctx, d.Person)
		if err != nil {
			return false, err
		}
		return true, s.newDelivery(ctx, tx, page, people[d.Person], Method{ID: m, Kind: o.Kind, To: o.To}, tx.Now())
	}
	return covered, nil
}

// send brings one message to its provider. It runs without a transaction.
func (s *Service) send(ctx context.Context, r due.Row) func(context.Context, *db.Tx) error {
	d, err := s.delivery(ctx, r.Key)
	switch {
	case kit.CodeOf(err) == kit.CodeNotFound:
		return nil
	case err != nil:
		return s.later(r.Key, err)
	case d.State == Pending:
		return s.again(d.ID)
	case d.State != Sending:
		return nil
	}
	m, err := s.render(ctx, &d)
	if err != nil {
		return s.later(r.Key, err)
	}
	sender, ok := s.p.Senders[d.Kind]
	if !ok {
		return s.failed(&d, &SendError{Permanent: true, Err: kit.Errorf(kit.CodeUnsupported, "notify.error.no_sender", "kind", d.Kind)})
	}
	kit.CrashPoint("delivery.claimed")
	res, err := sender.Send(ctx, m)
	if err == nil {
		kit.CrashPoint("delivery.sent")
		return s.sent(&d, res)
	}
	var se *SendError
	if !errors.As(err, &se) {
		se = &SendError{Err: err}
	}
	return s.failed(&d, se)
}

// again puts back the row of a message that has to wait for its bucket.
func (s *Service) again(id string) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		d, err := s.delivery(ctx, id)
		if err != nil || d.State != Pending {
			if kit.CodeOf(err) == kit.CodeNotFound {
				err = nil
			}
			return err
		}
		return s.put(ctx, tx, &d, d.Due)
	}
}

// later counts a trouble of our own as a failed try.
func (s *Service) later(id string, cause error) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		s.d.Log().Error("message cannot be made", "delivery", id, "error", cause)
		d, err := s.delivery(ctx, id)
		if err != nil {
			return err
		}
		return s.failed(&d, &SendError{Err: cause})(ctx, tx)
	}
}

func (s *Service) sent(d *row, res Result) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		now := tx.Now()
		d := *d
		d.ProviderID, d.State, d.Sent, d.Error = res.ProviderID, Sent, now, ""
		if res.Confirmed {
			d.State, d.Confirmed = Confirmed, now
		}
		n, err := changed(ctx, tx, `UPDATE delivery SET state = $1, sent_at = $2, confirmed_at = $3, provider_id = $4, error = '' WHERE id = $5 AND state = 'sending'`,
			string(d.State), kit.Micros(now), kit.Micros(d.Confirmed), d.ProviderID, d.ID)
		if err != nil || n == 0 {
			return err
		}
		if err := exec(ctx, tx, `UPDATE delivery_attempt SET state = $1 WHERE delivery = $2 AND n = $3`, string(d.State), d.ID, d.Attempt); err != nil {
			return err
		}
		if d.Message == "test" {
			if err := s.tested(ctx, tx, &d, "sent"); err != nil {
				return err
			}
		}
		kit.CrashPoint("delivery.recording")
		facts := []ledger.Entry{deliveryFact(&d, DeliverySent{delivered(&d)})}
		if res.Confirmed {
			facts = append(facts, deliveryFact(&d, DeliveryConfirmed{delivered(&d)}))
		}
		return ledger.Append(ctx, tx, facts...)
	}
}

func (s *Service) failed(d *row, se *SendError) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		d := *d
		d.Error = reason(se)
		state := Failed
		if se.Doubt {
			state = InDoubt
			if err := ledger.Append(ctx, tx, deliveryFact(&d, DeliveryInDoubt{delivered(&d)})); err != nil {
				return err
			}
		}
		if err := exec(ctx, tx, `UPDATE delivery_attempt SET state = $1, error = $2 WHERE delivery = $3 AND n = $4`, string(state), d.Error, d.ID, d.Attempt); err != nil {
			return err
		}
		if se.Gone {
			if err := s.disable(ctx, tx, &d); err != nil {
				return err
			}
		}
		var open []Page
		var err error
		if d.Bundle != "" {
			if open, err = s.openFor(ctx, &d); err != nil {
				return err
			}
			ids := map[string]bool{d.Bundle: true}
			for _, p := range open {
				ids[p.Bundle] = true
			}
			if _, err := s.lockBundles(ctx, tx, keys(ids)); err != nil {
				return err
			}
			if _, err := s.nextMethods(ctx, tx, &d, open); err != nil {
				return err
			}
		}
		ended := d.Bundle != "" && len(open) == 0
		at, more := RetryAt(d.First, d.Attempt)
		if se.Permanent || se.Gone || ended || !more {
			return s.giveUp(ctx, tx, &d, open)
		}
		if asked := tx.Now().Add(se.RetryAfter); se.RetryAfter > 0 && asked.After(at) {
			at = asked
		}
		if err := exec(ctx, tx, `UPDATE delivery SET state = 'pending', due_at = $1, error = $2 WHERE id = $3`, kit.Micros(at), d.Error, d.ID); err != nil {
			return err
		}
		return s.put(ctx, tx, &d, at)
	}
}

// giveUp ends the tries of a message and says so for each page it stood for when
// nothing else is left for the person.
func (s *Service) giveUp(ctx context.Context, tx *db.Tx, d *row, open []Page) error {
	d.State = Failed
	if err := exec(ctx, tx, `UPDATE delivery SET state = 'failed', error = $1 WHERE id = $2`, d.Error, d.ID); err != nil {
		return err
	}
	if d.Message == "test" {
		if err := s.tested(ctx, tx, d, "failed"); err != nil {
			return err
		}
	}
	if d.Message == "notice" {
		if err := s.noticeElsewhere(ctx, tx, d); err != nil {
			return err
		}
	}
	var facts []ledger.Entry
	nobody := map[string]bool{}
	for i := range open {
		b := open[i].Bundle
		if _, asked := nobody[b]; !asked {
			left, err := s.deliveries(ctx, partsOf+` AND state <> 'failed' LIMIT 1`, b, b)
			if err != nil {
				return err
			}
			nobody[b] = len(left) == 0
		}
		if nobody[b] {
			facts = append(facts, failedFact(d, &open[i], true))
		}
	}
	if len(facts) > 0 {
		return ledger.Append(ctx, tx, facts...)
	}
	return ledger.Append(ctx, tx, deliveryFact(d, DeliveryFailed{delivered(d)}))
}

// reason is a failure in a short word or sentence that the timeline may show.
func reason(se *SendError) string {
	var ke *kit.Error
	if errors.As(se.Err, &ke) && ke.Key != "" {
		return ke.Key
	}
	const most = 300
	r := []rune(se.Error())
	return string(r[:min(len(r), most)])
}

// Confirmed notes that a provider said, later than its answer, that a message
// arrived.
func (s *Service) Confirmed(ctx context.Context, delivery string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err := s.delivery(ctx, delivery)
		if err != nil {
			return err
		}
		return s.confirm(ctx, tx, &d)
	})
}

// DeliveryByID gives a delivery, with the language of its recipient, to the edge that hears
// of it from a provider.
func (s *Service) DeliveryByID(ctx context.Context, delivery string) (Delivery, string, error) {
	d, err := s.delivery(ctx, delivery)
	if err != nil {
		return Delivery{}, "", err
	}
	return Delivery{ID: d.ID, Message: d.Message, MessageID: d.MessageID, Ref: d.Ref, Kind: d.Kind, To: d.To, State: d.State}, d.Language, nil
}

// Undelivered notes that a provider said, later than its answer, that a message did not
// arrive, or a call was not taken: the person's next method follows at once. What was
// confirmed or answered meanwhile stays.
func (s *Service) Undelivered(ctx context.Context, delivery string, why error) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err := s.delivery(ctx, delivery)
		if err != nil || d.State != Sent && d.State != InDoubt {
			return err
		}
		return s.failed(&d, &SendError{Permanent: true, Err: why})(ctx, tx)
	})
}

func (s *Service) confirm(ctx context.Context, tx *db.Tx, d *row) error {
	n, err := changed(ctx, tx, `UPDATE delivery SET state = 'confirmed', confirmed_at = $1, error = '' WHERE id = $2 AND state IN ('sent', 'in_doubt')`, kit.Micros(tx.Now()), d.ID)
	if err != nil || n == 0 {
		return err
	}
	d.Error = ""
	return ledger.Append(ctx, tx, deliveryFact(d, DeliveryConfirmed{delivered(d)}))
}
