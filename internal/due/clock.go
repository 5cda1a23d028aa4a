package due

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// stepBack is how far the clock must fall behind what it showed before to count as
// put back; less is the work of time synchronisation and makes nothing late.
const stepBack = 5 * time.Second

// WithClockBack calls fn, in the transaction that moves the rows, when the clock by
// which rows are judged was put back.
func WithClockBack(fn func(ctx context.Context, tx *db.Tx, before, after time.Time) error) Option {
	return func(w *Worker) { w.clockBack = fn }
}

// followClock looks each second whether the clock was put back. On PostgreSQL it
// measures how far this machine's clock is from the database's before: one that is
// put right while the process runs must not make its leases look longer or shorter
// than those of the other nodes, and is no step of the clock they share.
func (w *Worker) followClock(ctx context.Context) {
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	w.sawClock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.d.MeasureSkew(ctx) != nil {
			// A database that is gone is told of by the loops.
			continue
		}
		now, last := w.d.LeaseNow(), kit.FromMicros(w.seen.Load())
		if last.Sub(now) > stepBack {
			if err := w.keepDistance(ctx, last, now); err != nil {
				w.fault(ctx, "rows cannot be moved after the clock was put back", "", err)
				continue
			}
		}
		w.seen.Store(now.UnixMicro())
	}
}

// sawClock notes how far the clock has come.
func (w *Worker) sawClock() {
	w.seen.Store(max(w.seen.Load(), w.d.LeaseNow().UnixMicro()))
}

// keepDistance moves what pages by as much as the clock was put back, so that it
// comes after the time that was meant. Whatever was due by the old clock's last
// instant has run, and what was put since lies before it: only rows of the old clock
// lie after. Of several nodes that see the same step the first one moves them.
func (w *Worker) keepDistance(ctx context.Context, before, after time.Time) error {
	var kinds []string
	for _, l := range w.loops {
		if l.lane == Paging {
			kinds = append(kinds, l.kinds...)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	step, near := before.Sub(after).Microseconds(), stepBack.Microseconds()
	return w.d.Write(actor(ctx), func(ctx context.Context, tx *db.Tx) error {
		res, err := tx.Exec(ctx, `UPDATE due_clock SET before_at = $1, after_at = $2
			WHERE NOT (before_at BETWEEN $3 AND $4 AND after_at BETWEEN $5 AND $6)`,
			before.UnixMicro(), after.UnixMicro(), before.UnixMicro()-near, before.UnixMicro()+near, after.UnixMicro()-near, after.UnixMicro()+near)
		if err != nil {
			return db.MapError(err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return db.MapError(err)
		}
		if _, err := tx.NewRaw(`UPDATE due SET run_at = run_at - ?, due_at = due_at - ? WHERE kind IN (?) AND run_at >= ?`,
			step, step, bun.List(kinds), before.Add(-sweep).UnixMicro()).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		w.d.Log().Warn("the clock was put back; what pages keeps its distance", "by", before.Sub(after))
		tx.AfterCommit(w.Wake)
		if w.clockBack == nil {
			return nil
		}
		return w.clockBack(ctx, tx, before, after)
	})
}
