package oncall

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const (
	dueCoverage = "coverage-scan"
	// coverageKey is the key of the one row that comes back.
	coverageKey = "daily"
	// coverageDays is how far ahead empty turns are looked for.
	coverageDays = 30
)

// CoverageGapFound is the body of coverage.gap_found: within 30 days nobody is on duty in
// a schedule, or somebody who is not there any more.
type CoverageGapFound struct {
	Role string    `json:"role"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// FactType implements ledger.Body.
func (CoverageGapFound) FactType() string { return "coverage.gap_found" }

// CoverageGapClosed is the body of coverage.gap_closed: somebody is on duty now in what
// was empty. One whose time went by uncovered is not closed.
type CoverageGapClosed CoverageGapFound

// FactType implements ledger.Body.
func (CoverageGapClosed) FactType() string { return "coverage.gap_closed" }

type gapRow struct {
	bun.BaseModel `bun:"table:oncall_gap"`
	Schedule      string `bun:"schedule_id,pk"`
	From          int64  `bun:"from_at,pk"`
	To            int64  `bun:"to_at"`
	Role          string `bun:"duty"`
}

func (r *gapRow) gap() Gap {
	return Gap{Schedule: r.Schedule, Role: r.Role, From: kit.FromMicros(r.From), To: kit.FromMicros(r.To)}
}

// LookAtCoverage looks for empty turns now instead of at the next day: whoever changed
// who is on duty calls it in their transaction.
func (s *Service) LookAtCoverage(ctx context.Context) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return due.At(ctx, tx, dueCoverage, coverageKey, s.d.LeaseNow(), struct{}{})
	})
}

// OpenGaps gives the empty turns that were found and are not over, the next first.
func (s *Service) OpenGaps(ctx context.Context) ([]Gap, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	var rows []*gapRow
	err := s.d.Read(ctx).NewSelect().Model(&rows).Where("to_at > ?", kit.Micros(s.d.Now())).Order("from_at", "schedule_id").Scan(ctx)
	out := make([]Gap, len(rows))
	for n, r := range rows {
		out[n] = r.gap()
	}
	return out, db.MapError(err)
}

// scanCoverage compares the empty turns of the coming days with those that are known.
func (s *Service) scanCoverage(ctx context.Context, tx *db.Tx, _ due.Row) error {
	ctx = kit.WithActor(ctx, kit.System(kit.ViaDue))
	if err := due.At(ctx, tx, dueCoverage, coverageKey, s.d.LeaseNow().Add(24*time.Hour), struct{}{}); err != nil {
		return err
	}
	gaps, err := s.Gaps(ctx, coverageDays)
	if err != nil {
		return err
	}
	var known []*gapRow
	if err := tx.NewSelect().Model(&known).Scan(ctx); err != nil {
		return db.MapError(err)
	}
	met := map[*gapRow]bool{}
	for _, g := range gaps {
		var same *gapRow
		for _, k := range known {
			// An empty turn that runs begins now each time it is looked at.
			if k.Schedule == g.Schedule && !met[k] && k.From < kit.Micros(g.To) && kit.Micros(g.From) < k.To {
				same = k
				break
			}
		}
		if same != nil {
			met[same] = true
			if _, err := tx.NewUpdate().Model(same).Set("to_at = ?", kit.Micros(g.To)).WherePK().Exec(ctx); err != nil {
				return db.MapError(err)
			}
			continue
		}
		if _, err := tx.NewInsert().Model(&gapRow{Schedule: g.Schedule, From: kit.Micros(g.From), To: kit.Micros(g.To), Role: g.Role}).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		if err := coverageFact(ctx, tx, g.Schedule, CoverageGapFound{Role: g.Role, From: g.From, To: g.To}); err != nil {
			return err
		}
	}
	for _, k := range known {
		if met[k] {
			continue
		}
		if _, err := tx.NewDelete().Model(k).WherePK().Exec(ctx); err != nil {
			return db.MapError(err)
		}
		if k.To <= kit.Micros(tx.Now()) {
			continue
		}
		g := k.gap()
		if err := coverageFact(ctx, tx, g.Schedule, CoverageGapClosed{Role: g.Role, From: g.From, To: g.To}); err != nil {
			return err
		}
	}
	return nil
}

func coverageFact(ctx context.Context, tx *db.Tx, schedule string, b ledger.Body) error {
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "schedule", ID: schedule, Ref: schedule}, Body: b})
}
