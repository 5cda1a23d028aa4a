package due

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// run does the Run kinds of a lane. Taking the row, its effect and its removal are
// one transaction, so that no lease is needed: whoever dies has done nothing.
func (l *loop) run(ctx context.Context) {
	for ctx.Err() == nil {
		due, sleep := l.look(ctx)
		if len(due) == 0 {
			l.sleep(ctx, sleep)
			continue
		}
		progress := false
		for _, kind := range due {
			if ctx.Err() != nil {
				return
			}
			if l.runKind(ctx, l.tasks[kind]) {
				progress = true
			}
		}
		if !progress {
			// Another node has the rows, or the database fails.
			l.sleep(ctx, 50*time.Millisecond)
		}
	}
}

func (l *loop) runKind(ctx context.Context, t Task) (progress bool) {
	defer l.w.begin()()
	// A stop must not tear a transaction apart that has begun.
	ctx = actor(context.WithoutCancel(ctx))
	var rows []held
	err := l.w.d.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		rows, err = take(ctx, tx, t.Kind, l.w.d.LeaseNow(), batch[t.Lane])
		if err != nil {
			return err
		}
		for _, h := range rows {
			if err := safeRun(ctx, tx, t, h.Row); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return len(rows) > 0
	}
	if len(rows) == 0 {
		l.w.d.Log().Error("due rows cannot be taken", "kind", t.Kind, "error", err)
		return false
	}
	if len(rows) == 1 {
		return l.failed(ctx, rows[0], err)
	}
	for _, h := range rows {
		if l.runOne(ctx, t, h) {
			progress = true
		}
	}
	return progress
}

func (l *loop) runOne(ctx context.Context, t Task, h held) bool {
	err := l.w.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := takeOne(ctx, tx, h, l.w.d.LeaseNow())
		if err != nil || len(rows) == 0 {
			return err
		}
		return safeRun(ctx, tx, t, rows[0].Row)
	})
	if err == nil {
		return true
	}
	return l.failed(ctx, h, err)
}

func (l *loop) failed(ctx context.Context, h held, err error) bool {
	wait := backoff(h.Attempts)
	l.w.d.Log().Error("due row failed and is tried again", "kind", h.Kind, "key", h.Key, "attempt", h.Attempts, "again_in", wait, "error", err)
	if err := postpone(ctx, l.w.d, h, l.w.d.LeaseNow().Add(wait), false); err != nil {
		l.w.d.Log().Error("due row cannot be put back; it stays as it was", "kind", h.Kind, "key", h.Key, "error", err)
		return false
	}
	return true
}

func safeRun(ctx context.Context, tx *db.Tx, t Task, r Row) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = kit.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return t.Run(ctx, tx, r)
}

func actor(ctx context.Context) context.Context {
	return kit.WithActor(ctx, kit.System(kit.ViaDue))
}
