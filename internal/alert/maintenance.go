package alert

import (
	"context"
	"fmt"
	"slices"
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

// Maintenance is planned work on services: their alerts are held back while it lasts.
type Maintenance struct {
	quiet.Window
	Reason string
	// Public work stands on the status page.
	Public bool
	By     string
	// State is planned, started or ended.
	State string
}

type windowRow struct {
	bun.BaseModel `bun:"table:maintenance,alias:m"`

	ID       string `bun:"id,pk"`
	Services string `bun:"services"`
	From     int64  `bun:"from_at"`
	To       int64  `bun:"to_at"`
	Reason   string `bun:"reason"`
	Public   bool   `bun:"public"`
	By       string `bun:"by_id"`
	State    string `bun:"state"`
}

func (r *windowRow) window() Maintenance {
	return Maintenance{
		Window: quiet.Window{ID: r.ID, Services: strings.Fields(r.Services), From: kit.FromMicros(r.From), Until: kit.FromMicros(r.To)},
		Reason: r.Reason, Public: r.Public, By: r.By, State: r.State,
	}
}

func (r *windowRow) fact(op string) ledger.Entry {
	w := r.window()
	return ledger.Entry{
		Subject: ledger.Subject{Kind: "maintenance", ID: r.ID},
		Body:    MaintenanceFact{Op: op, Services: w.Services, From: w.From, To: w.Until, Reason: r.Reason, Public: r.Public},
	}
}

func (s *Service) windowRows(ctx context.Context, now time.Time) ([]windowRow, error) {
	var rows []windowRow
	err := s.db.Read(ctx).NewSelect().Model(&rows).Where("m.to_at > ?", kit.Micros(now)).Where("m.state <> 'ended'").Order("m.id").Scan(ctx)
	return rows, db.MapError(err)
}

func checkMaintenance(w *Maintenance, now time.Time) error {
	var f kit.Fields
	if len(w.Services) == 0 {
		f.Add("services", "error.required")
	}
	slices.Sort(w.Services)
	w.Services = slices.Compact(w.Services)
	for i, x := range w.Services {
		if !kit.IsSlug(x) {
			f.Add(fmt.Sprintf("services[%d]", i), "alert.error.slug")
		}
	}
	if w.Reason = strings.TrimSpace(clean(w.Reason)); w.Reason == "" {
		f.Add("reason", "error.required")
	}
	if utf8.RuneCountInString(w.Reason) > maxReason {
		f.Add("reason", "error.too_long", "max", maxReason)
	}
	if w.From.IsZero() {
		w.From = now
	}
	if w.Until.IsZero() {
		f.Add("to", "error.required")
	} else if !w.Until.After(w.From) || !w.Until.After(now) {
		f.Add("to", "alert.error.until")
	}
	return f.Err()
}

// PlanMaintenance plans work; one that begins now holds alerts back at once.
func (s *Service) PlanMaintenance(ctx context.Context, w Maintenance) (Maintenance, error) {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return w, err
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := checkMaintenance(&w, tx.Now()); err != nil {
			return err
		}
		row := windowRow{
			ID: kit.NewIDAt(tx.Now()), Services: strings.Join(w.Services, " "), From: kit.Micros(w.From), To: kit.Micros(w.Until),
			Reason: w.Reason, Public: w.Public, By: kit.ActorFrom(ctx).ID, State: "planned",
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		if err := ledger.Append(ctx, tx, row.fact("planned")); err != nil {
			return err
		}
		if w.From.After(tx.Now()) {
			if err := due.At(ctx, tx, KindQuiet, "maintenance-from:"+row.ID, w.From, quietDue{Maintenance: row.ID}); err != nil {
				return err
			}
		} else if err := s.moveWindow(ctx, tx, &row, "started"); err != nil {
			return err
		}
		if err := due.At(ctx, tx, KindQuiet, "maintenance:"+row.ID, w.Until, quietDue{Maintenance: row.ID}); err != nil {
			return err
		}
		w = row.window()
		s.refresh(tx)
		return s.sweep(ctx, tx)
	})
	return w, err
}

// EndMaintenance ends work now, or takes it off the plan; twice is once.
func (s *Service) EndMaintenance(ctx context.Context, id string) error {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		row, err := s.lockWindow(ctx, tx, id)
		if err != nil || row.State == "ended" {
			return err
		}
		if err := s.moveWindow(ctx, tx, &row, "ended"); err != nil {
			return err
		}
		for _, k := range []string{"maintenance-from:", "maintenance:"} {
			if err := due.Cancel(ctx, tx, KindQuiet, k+id); err != nil {
				return err
			}
		}
		return s.sweep(ctx, tx)
	})
}

func (s *Service) lockWindow(ctx context.Context, tx *db.Tx, id string) (windowRow, error) {
	var row windowRow
	err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("m.id = ?", id)).Scan(ctx)
	return row, db.NoRows(err, "maintenance", id)
}

func (s *Service) moveWindow(ctx context.Context, tx *db.Tx, row *windowRow, state string) error {
	row.State = state
	if _, err := tx.NewUpdate().Table("maintenance").Set("state = ?", state).Where("id = ?", row.ID).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	s.refresh(tx)
	return ledger.Append(ctx, tx, row.fact(state))
}

func (s *Service) windowDue(ctx context.Context, tx *db.Tx, id string) error {
	row, err := s.lockWindow(ctx, tx, id)
	if err != nil {
		return err
	}
	now := kit.Micros(tx.Now())
	if row.State == "planned" && now >= row.From {
		if err := s.moveWindow(ctx, tx, &row, "started"); err != nil {
			return err
		}
	}
	if row.State == "started" && now >= row.To {
		return s.moveWindow(ctx, tx, &row, "ended")
	}
	return nil
}

// Maintenances gives the work that has not ended, soonest first, then the last
// hundred that has.
func (s *Service) Maintenances(ctx context.Context) ([]Maintenance, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	var open, over []windowRow
	if err := s.db.Read(ctx).NewSelect().Model(&open).Where("m.state <> 'ended'").Order("m.from_at", "m.id").Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	if err := s.db.Read(ctx).NewSelect().Model(&over).Where("m.state = 'ended'").OrderExpr("m.to_at DESC, m.id").Limit(100).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	var out []Maintenance
	for _, r := range append(open, over...) {
		out = append(out, r.window())
	}
	return out, nil
}
