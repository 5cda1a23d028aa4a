package alert

import (
	"context"
	"strings"

	"github.com/uptrace/bun"

	"tocsin/internal/alert/quiet"
	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// lock reads an alert for a change.
func (s *Service) lock(ctx context.Context, tx *db.Tx, id string) (*live, error) {
	q := `SELECT ` + columns + ` FROM alert WHERE id = $1`
	if tx.DB().Dialect() == db.PostgreSQL {
		q += ` FOR UPDATE`
	}
	l, err := scanLive(tx.QueryRow(ctx, q, id).Scan)
	return l, db.NoRows(err, "alert", id)
}

func appendFact(ctx context.Context, tx *db.Tx, l *live, incident string, f ledger.Body) error {
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "alert", ID: l.ID}, Incident: incident, Body: f})
}

// Acknowledge marks an open alert as seen by the actor; twice is once.
func (s *Service) Acknowledge(ctx context.Context, id string) error {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if l.State == StateResolved {
			return kit.Conflict("resolved", "alert.error.resolved")
		}
		for _, f := range l.acknowledge(kit.ActorFrom(ctx).ID, tx.Now()) {
			if err := appendFact(ctx, tx, l, l.Incident, f); err != nil {
				return err
			}
		}
		return save(ctx, tx, []*live{l})
	})
}

// Resolve ends an alert by hand; twice is once.
func (s *Service) Resolve(ctx context.Context, id string) error {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lock(ctx, tx, id)
		if err != nil || l.State == StateResolved {
			return err
		}
		f := l.resolve("by_hand", tx.Now())
		if err := save(ctx, tx, []*live{l}); err != nil {
			return err
		}
		if err := s.quiet.begin(tx.Now()).end(ctx, tx, []*live{l}); err != nil {
			return err
		}
		return appendFact(ctx, tx, l, l.Incident, f)
	})
}

// Attach puts an alert to an incident, given by its internal id. An alert is
// attached to one incident at most: it leaves the former one.
func (s *Service) Attach(ctx context.Context, id, incident string, byRule bool) error {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return err
	}
	if incident == "" {
		return kit.InvalidField("incident", "error.required")
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lock(ctx, tx, id)
		if err != nil || l.Incident == incident {
			return err
		}
		if l.Incident != "" {
			if err := appendFact(ctx, tx, l, l.Incident, Detached{Incident: l.Incident}); err != nil {
				return err
			}
		}
		if err := setIncident(ctx, tx, id, incident); err != nil {
			return err
		}
		return appendFact(ctx, tx, l, incident, Attached{Incident: incident, ByRule: byRule})
	})
}

// PassOver attaches the alerts of an incident that was merged to the one that goes on.
// It asks for no right: for reactions.
func (s *Service) PassOver(ctx context.Context, from, into string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := s.query(ctx, `WHERE incident = ? AND incident <> '' ORDER BY id`, from)
		if err != nil {
			return err
		}
		for _, a := range list {
			l, err := s.lock(ctx, tx, a.ID)
			if err != nil {
				return err
			}
			if l.Incident != from {
				continue
			}
			if err := setIncident(ctx, tx, a.ID, into); err != nil {
				return err
			}
			if err := appendFact(ctx, tx, l, into, Attached{Incident: into, ByRule: true}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Symptoms counts, for each of these alerts that is a cause, the alerts that are held
// back because of it.
func (s *Service) Symptoms(ctx context.Context, ids ...string) (map[string]int, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	out := map[string]int{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []struct {
		Reason string `bun:"reason"`
		N      int    `bun:"n"`
	}
	err := s.db.Read(ctx).NewSelect().Table("alert").ColumnExpr("reason, COUNT(*) AS n").Where("state = ?", StateSuppressed).
		Where("reason IN (?)", bun.List(heldBy(ids))).Group("reason").Scan(ctx, &rows)
	for _, r := range rows {
		out[quiet.Parse(r.Reason).Rule] = r.N
	}
	return out, db.MapError(err)
}

// heldBy are the reasons for which these causes hold alerts back.
func heldBy(causes []string) []string {
	out := make([]string, len(causes))
	for n, id := range causes {
		out[n] = quiet.Reason{Kind: quiet.Dependency, Rule: id}.String()
	}
	return out
}

// Detach takes an alert from its incident; one that has none stays as it is.
func (s *Service) Detach(ctx context.Context, id string) error {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lock(ctx, tx, id)
		if err != nil || l.Incident == "" {
			return err
		}
		if err := setIncident(ctx, tx, id, ""); err != nil {
			return err
		}
		return appendFact(ctx, tx, l, l.Incident, Detached{Incident: l.Incident})
	})
}

func setIncident(ctx context.Context, tx *db.Tx, id, incident string) error {
	_, err := tx.Exec(ctx, `UPDATE alert SET incident = $2 WHERE id = $1`, id, incident)
	return db.MapError(err)
}

// Get gives one alert.
func (s *Service) Get(ctx context.Context, id string) (Alert, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return Alert{}, err
	}
	rows, err := s.query(ctx, `WHERE id = ?`, id)
	if err != nil {
		return Alert{}, err
	}
	if len(rows) == 0 {
		return Alert{}, kit.NotFound("alert", id)
	}
	return rows[0], nil
}

// ForIncident gives the alerts attached to an incident (internal id), oldest
// first, at most 500.
func (s *Service) ForIncident(ctx context.Context, incident string) ([]Alert, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	if incident == "" {
		return nil, nil
	}
	return s.query(ctx, `WHERE incident = ? AND incident <> '' ORDER BY id LIMIT 500`, incident)
}

// Name is what a page says of an alert.
type Name struct{ DedupKey, Title string }

// Named gives the names of the alerts attached to an incident (internal id), oldest
// first, all that are live and the newest 1,000 of those that are over.
func (s *Service) Named(ctx context.Context, incident string) ([]Name, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil || incident == "" {
		return nil, err
	}
	var out []Name
	err := s.db.Read(ctx).NewSelect().Table("alert").Column("dedup_key", "title").
		Where("incident = ? AND incident <> ''", incident).
		Where("state <> 'resolved' OR id IN (SELECT id FROM alert WHERE incident = ? AND incident <> '' AND state = 'resolved' ORDER BY id DESC LIMIT 1000)", incident).
		Order("id").Scan(ctx, &out)
	return out, db.MapError(err)
}

// LiveOf gives the alerts of a source that are not resolved, newest first, at
// most 5,000: the edge answers the sender's own protocol with it.
func (s *Service) LiveOf(ctx context.Context, source string) ([]Alert, error) {
	return s.query(ctx, `WHERE source = ? AND state <> 'resolved' ORDER BY id DESC LIMIT 5000`, source)
}

// OfSource gives an alert of a source by its internal id, for the sender's own
// protocol; not found when it is another's.
func (s *Service) OfSource(ctx context.Context, source, id string) (Alert, error) {
	rows, err := s.query(ctx, `WHERE id = ? AND source = ?`, id, source)
	if err == nil && len(rows) == 0 {
		err = kit.NotFound("alert", id)
	}
	if err != nil {
		return Alert{}, err
	}
	return rows[0], nil
}

// LiveOfKey gives the alert of a source and key that is not resolved, for the
// sender's own protocol.
func (s *Service) LiveOfKey(ctx context.Context, source, key string) (Alert, error) {
	rows, err := s.query(ctx, `WHERE source = ? AND dedup_key = ? AND state <> 'resolved'`, source, key)
	if err == nil && len(rows) == 0 {
		err = kit.NotFound("alert", key)
	}
	if err != nil {
		return Alert{}, err
	}
	return rows[0], nil
}

func (s *Service) query(ctx context.Context, tail string, args ...any) ([]Alert, error) {
	rows, err := s.db.Read(ctx).QueryContext(ctx, `SELECT `+columns+` FROM alert `+tail, args...)
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []Alert
	for rows.Next() {
		l, err := scanLive(rows.Scan)
		if err != nil {
			return nil, db.MapError(err)
		}
		a, err := l.decoded()
		if err != nil {
			return nil, kit.Internal(err)
		}
		out = append(out, a)
	}
	return out, db.MapError(rows.Err())
}

func (f Filter) where() (string, []any) {
	var conds []string
	var args []any
	add := func(c string, a ...any) {
		conds = append(conds, c)
		args = append(args, a...)
	}
	if f.State != "" {
		add("state = ?", string(f.State))
		if f.State != StateResolved && f.Source != "" {
			add("state <> 'resolved'")
		}
	}
	if f.Source != "" {
		add("source = ?", f.Source)
	}
	if f.Service != "" {
		add("service = ?", f.Service)
	}
	if f.Incident != "" {
		add("incident = ? AND incident <> ''", f.Incident)
	}
	if f.Unattached {
		add("incident = ''")
	}
	if f.Cause != "" {
		add("state = 'suppressed' AND reason = ?", heldBy([]string{f.Cause})[0])
	}
	if f.Q != "" {
		r := strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")
		add("LOWER(title) LIKE ? ESCAPE '!'", "%"+r.Replace(strings.ToLower(f.Q))+"%")
	}
	if len(conds) == 0 {
		return "WHERE TRUE", nil
	}
	return "WHERE " + strings.Join(conds, " AND "), args
}

// List gives alerts, newest first.
func (s *Service) List(ctx context.Context, f Filter, p kit.Page) (kit.List[Alert], error) {
	var out kit.List[Alert]
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return out, err
	}
	where, args := f.where()
	var n int
	if err := s.db.Read(ctx).QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM alert `+where+` LIMIT ?) AS c`, append(args[:len(args):len(args)], kit.MaxTotal+1)...).Scan(&n); err != nil {
		return out, db.MapError(err)
	}
	if n > kit.MaxTotal {
		n, out.TotalIsMinimum = kit.MaxTotal, true
	}
	out.Total = n
	if p.Cursor != "" {
		parts, err := kit.ParseCursor(p.Cursor, 1)
		if err != nil {
			return out, err
		}
		where += " AND id < ?"
		args = append(args, parts[0])
	}
	size := p.Size()
	items, err := s.query(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, size+1)...)
	if err != nil {
		return out, err
	}
	if len(items) > size {
		items = items[:size]
		out.Next = kit.Cursor(items[size-1].ID)
	}
	out.Items = items
	return out, nil
}

// Stats counts the live alerts and tells the state of the queue.
func (s *Service) Stats(ctx context.Context) (Stats, error) {
	st := Stats{Queued: len(s.queue), Taken: s.taken.Load(), Refused: s.refused.Load()}
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return st, err
	}
	var rows []struct {
		State State `bun:"state"`
		N     int   `bun:"n"`
	}
	err := s.db.Read(ctx).NewSelect().Table("alert").ColumnExpr("state, COUNT(*) AS n").
		Where("state IN (?)", bun.List([]State{StateOpen, StateAcknowledged, StateSuppressed})).Group("state").Scan(ctx, &rows)
	for _, r := range rows {
		switch r.State {
		case StateOpen:
			st.Open = r.N
		case StateAcknowledged:
			st.Acknowledged = r.N
		case StateSuppressed:
			st.Suppressed = r.N
		}
	}
	return st, db.MapError(err)
}
