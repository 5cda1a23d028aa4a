package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"tocsin/internal/alert/quiet"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Limits of what holds alerts back.
const (
	maxMatchers = 32
	maxQuiet    = 1000
	maxReason   = 1000
)

// Silence holds the alerts back that its matchers mean, from an instant until another.
type Silence struct {
	quiet.Silence
	Reason string
	// By is the id of who made it, ByName the name as it was then.
	By, ByName string
	CreatedAt  time.Time
	// EndedAt is when it ended, by time or by hand; zero while it has not.
	EndedAt time.Time
}

// State is active, pending or expired, as Alertmanager calls it.
func (s *Silence) State(now time.Time) string {
	switch {
	case !s.EndedAt.IsZero() || !now.Before(s.Until):
		return "expired"
	case now.Before(s.From):
		return "pending"
	}
	return "active"
}

type silenceRow struct {
	bun.BaseModel `bun:"table:silence,alias:s"`

	ID        string `bun:"id,pk"`
	Matchers  string `bun:"matchers"`
	From      int64  `bun:"from_at"`
	Until     int64  `bun:"until_at"`
	Ended     int64  `bun:"ended_at"`
	Reason    string `bun:"reason"`
	By        string `bun:"by_id"`
	ByName    string `bun:"by_name"`
	Scope     string `bun:"scope"`
	CreatedAt int64  `bun:"created_at"`
}

func (r *silenceRow) silence() (Silence, error) {
	s := Silence{
		Silence: quiet.Silence{ID: r.ID, From: kit.FromMicros(r.From), Until: kit.FromMicros(r.Until), Scope: r.Scope},
		Reason:  r.Reason, By: r.By, ByName: r.ByName, CreatedAt: kit.FromMicros(r.CreatedAt), EndedAt: kit.FromMicros(r.Ended),
	}
	if err := json.Unmarshal([]byte(r.Matchers), &s.Matchers); err != nil {
		return s, kit.Internal(fmt.Errorf("matchers of silence %s: %w", r.ID, err))
	}
	for i := range s.Matchers {
		if err := s.Matchers[i].Compile(); err != nil {
			return s, kit.Internal(fmt.Errorf("matchers of silence %s: %w", r.ID, err))
		}
	}
	return s, nil
}

// silenceRows gives those that have not ended.
func (s *Service) silenceRows(ctx context.Context, now time.Time) ([]silenceRow, error) {
	var rows []silenceRow
	err := s.db.Read(ctx).NewSelect().Model(&rows).Where("s.until_at > ?", kit.Micros(now)).Where("s.ended_at = 0").Order("s.id").Scan(ctx)
	return rows, db.MapError(err)
}

func checkSilence(x *Silence, now time.Time) error {
	var f kit.Fields
	if len(x.Matchers) == 0 {
		f.Add("matchers", "error.required")
	}
	if len(x.Matchers) > maxMatchers {
		f.Add("matchers", "error.too_long", "max", maxMatchers)
	}
	empty := true
	for i := range x.Matchers {
		m := &x.Matchers[i]
		m.Name = strings.TrimSpace(m.Name)
		if m.Name == "" || len(m.Name)+len(m.Value) > MaxTitle {
			f.Add(fmt.Sprintf("matchers[%d].name", i), "error.invalid")
		}
		if err := m.Compile(); err != nil {
			f.Add(fmt.Sprintf("matchers[%d].value", i), "alert.error.matcher", "message", err.Error())
		}
		empty = empty && m.Matches("")
	}
	if empty && len(x.Matchers) > 0 && len(f) == 0 {
		f.Add("matchers", "alert.error.matches_all")
	}
	if x.Reason = strings.TrimSpace(clean(x.Reason)); x.Reason == "" {
		f.Add("reason", "error.required")
	}
	if utf8.RuneCountInString(x.Reason) > maxReason {
		f.Add("reason", "error.too_long", "max", maxReason)
	}
	if x.From.IsZero() {
		x.From = now
	}
	if x.Until.IsZero() {
		f.Add("until", "error.required")
	} else if !x.Until.After(x.From) || !x.Until.After(now) {
		f.Add("until", "alert.error.until")
	}
	return f.Err()
}

// Silence makes a silence; what it means of the open alerts is held back at once.
// From is now when it is not given.
func (s *Service) Silence(ctx context.Context, x Silence) (Silence, error) {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return x, err
	}
	x.Scope = ""
	return s.addSilence(ctx, x)
}

// SilenceOf is Silence for the source's own protocol: it touches that source's
// alerts alone. by is whom the sender names.
func (s *Service) SilenceOf(ctx context.Context, source, by string, x Silence) (Silence, error) {
	x.Scope = source
	a := *sourceActor(source)
	if by = cut(clean(strings.TrimSpace(by)), 200); by != "" {
		a.Name = by
	}
	return s.addSilence(kit.WithActor(ctx, a), x)
}

func (s *Service) addSilence(ctx context.Context, x Silence) (Silence, error) {
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := tx.Now()
		if err := checkSilence(&x, now); err != nil {
			return err
		}
		if n, err := s.db.Read(ctx).NewSelect().Table("silence").Where("ended_at = 0").Count(ctx); err != nil || n >= maxQuiet {
			if err != nil {
				return db.MapError(err)
			}
			return kit.Invalid("alert.error.too_many_silences", "max", maxQuiet)
		}
		a := kit.ActorFrom(ctx)
		x.ID, x.By, x.ByName, x.CreatedAt = kit.NewIDAt(now), a.ID, a.Name, now
		raw, err := json.Marshal(x.Matchers)
		if err != nil {
			return kit.Internal(err)
		}
		row := silenceRow{ID: x.ID, Matchers: string(raw), From: kit.Micros(x.From), Until: kit.Micros(x.Until), Reason: x.Reason, By: x.By, ByName: x.ByName, Scope: x.Scope, CreatedAt: kit.Micros(now)}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		err = ledger.Append(ctx, tx, ledger.Entry{
			Subject: ledger.Subject{Kind: "silence", ID: x.ID},
			Body:    SilenceCreated{Matchers: x.Matchers, From: x.From, Until: x.Until, Reason: x.Reason, Source: x.Scope},
		})
		if err != nil {
			return err
		}
		if x.From.After(now) {
			if err := due.At(ctx, tx, KindQuiet, "silence-from:"+x.ID, x.From, quietDue{}); err != nil {
				return err
			}
		}
		if err := due.At(ctx, tx, KindQuiet, "silence:"+x.ID, x.Until, quietDue{Silence: x.ID}); err != nil {
			return err
		}
		s.refresh(tx)
		return s.sweep(ctx, tx)
	})
	return x, err
}

// Silences gives the silences that have not ended, then the last hundred that have.
func (s *Service) Silences(ctx context.Context) ([]Silence, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	return s.silences(ctx, nil)
}

// SilencesOf gives those that touch the alerts of a source, for its own protocol:
// its own and the ones that people made.
func (s *Service) SilencesOf(ctx context.Context, source string) ([]Silence, error) {
	return s.silences(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("s.scope IN ('', ?)", source) })
}

func (s *Service) silences(ctx context.Context, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]Silence, error) {
	var rows []silenceRow
	q := s.db.Read(ctx).NewSelect().Model(&rows).OrderExpr("CASE WHEN s.ended_at = 0 THEN 0 ELSE 1 END, s.id DESC").Limit(maxQuiet + 100)
	if narrow != nil {
		q = narrow(q)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	out := make([]Silence, len(rows))
	for i := range rows {
		var err error
		if out[i], err = rows[i].silence(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Unsilence ends a silence now; twice is once. What still fires is routed like new.
func (s *Service) Unsilence(ctx context.Context, id string) error {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return err
	}
	return s.unsilence(ctx, id, "")
}

// UnsilenceOf is Unsilence for a source's own protocol, which ends its own only.
func (s *Service) UnsilenceOf(ctx context.Context, source, id string) error {
	return s.unsilence(kit.WithActor(ctx, *sourceActor(source)), id, source)
}

func (s *Service) unsilence(ctx context.Context, id, scope string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var row silenceRow
		err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("s.id = ?", id)).Scan(ctx)
		if err == nil && scope != "" && row.Scope != scope {
			return kit.NotFound("silence", id)
		}
		if err != nil {
			return db.NoRows(err, "silence", id)
		}
		if row.Ended != 0 {
			return nil
		}
		if err := s.endSilence(ctx, tx, row, "by_hand"); err != nil {
			return err
		}
		if err := due.Cancel(ctx, tx, KindQuiet, "silence:"+id); err != nil {
			return err
		}
		return s.sweep(ctx, tx)
	})
}

func (s *Service) endSilence(ctx context.Context, tx *db.Tx, row silenceRow, how string) error {
	if _, err := tx.NewUpdate().Table("silence").Set("ended_at = ?", kit.Micros(tx.Now())).Where("id = ?", row.ID).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	s.refresh(tx)
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "silence", ID: row.ID}, Body: SilenceEnded{How: how}})
}

func (s *Service) silenceDue(ctx context.Context, tx *db.Tx, id string) error {
	var row silenceRow
	if err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("s.id = ?", id)).Scan(ctx); err != nil {
		return db.NoRows(err, "silence", id)
	}
	if row.Ended != 0 {
		return nil
	}
	return s.endSilence(ctx, tx, row, "due")
}
