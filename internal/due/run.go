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
		progress, fails := false, false
		for _, kind := range due {
			if ctx.Err() != nil {
				return
			}
			some, err := l.runKind(ctx, l.tasks[kind])
			progress, fails = progress || some, fails || err != nil
		}
		switch {
		case progress:
		case fails:
			l.sleep(ctx, faultPause)
		default:
			// Another node has the rows.
			l.sleep(ctx, 50*time.Millisecond)
		}
	}
}

// runKind does the first rows of a kind. The error is one of the database; of a row
// that fails the next try is noted, which is progress.
func (l *loop) runKind(ctx context.Context, t Task) (progress bool, fault error) {
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
		return len(rows) > 0, nil
	}
	if len(rows) == 0 {
		l.w.fault(ctx, "due rows cannot be taken", t.Kind, err)
		return false, err
	}
	if len(rows) == 1 {
		err := l.failed(ctx, rows[0], err)
		return err == nil, err
	}
	for _, h := range rows {
		if err := l.runOne(ctx, t, h); err != nil {
			fault = err
			continue
		}
		progress = true
	}
	return progress, fault
}

func (l *loop) runOne(ctx context.Context, t Task, h held) error {
	err := l.w.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := takeOne(ctx, tx, h, l.w.d.LeaseNow())
		if err != nil || len(rows) == 0 {
			return err
		}
		return safeRun(ctx, tx, t, rows[0].Row)
	})
	if err == nil {
		return nil
	}
	return l.failed(ctx, h, err)
}

// failed puts a row back for a later try. Where not even that can be written, the
// row stays as it was, and the error is the database's.
func (l *loop) failed(ctx context.Context, h held, cause error) error {
	wait := backoff(h.Attempts)
	if err := postpone(ctx, l.w.d, h, l.w.d.LeaseNow().Add(wait), false); err != nil {
		l.w.fault(ctx, "due rows cannot be put back; they stay as they were", h.Kind, err)
		return err
	}
	l.w.d.Log().Error("due row failed and is tried again", "kind", h.Kind, "key", h.Key, "attempt", h.Attempts, "again_in", wait, "error", cause)
	return nil
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
