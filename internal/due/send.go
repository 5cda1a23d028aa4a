package due

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// result is what a send came to; bad when it panicked.
type result struct {
	held
	finish func(ctx context.Context, tx *db.Tx) error
	until  time.Time // by the machine's clock, when the lease ends
	bad    bool
}

// errGone undoes the effect of one whose row somebody else has by now.
var errGone = errors.New("the due row was moved, cancelled or taken over meanwhile")

// runSends does one Send kind: it claims as many rows as it has free senders, and
// commits the results in groups.
func (l *loop) runSends(ctx context.Context) {
	t := l.tasks[l.kinds[0]]
	// Sends outlive the stop by drain.
	sendCtx, kill := context.WithCancel(actor(context.WithoutCancel(ctx)))
	defer kill()
	var senders, commits sync.WaitGroup
	commits.Go(func() { l.commitResults(context.WithoutCancel(sendCtx)) })
	for ctx.Err() == nil {
		due, sleep := l.look(ctx)
		free := cap(l.slots) - len(l.slots)
		if len(due) == 0 || free == 0 {
			// A sender that ends pokes the loop.
			l.sleep(ctx, sleep)
			continue
		}
		rows, until, err := l.claim(sendCtx, t, free)
		if err != nil {
			l.sleep(ctx, faultPause)
			continue
		}
		if len(rows) == 0 {
			l.sleep(ctx, 50*time.Millisecond)
			continue
		}
		for _, h := range rows {
			l.slots <- struct{}{}
			senders.Go(func() { l.sendOne(sendCtx, t, h, until) })
		}
	}
	stop := time.AfterFunc(drain, kill)
	defer stop.Stop()
	senders.Wait()
	close(l.done)
	commits.Wait()
}

// claim takes up to n rows, with the Claimed hook in the same transaction. A hook
// that fails for one row must not hold up the others, hence the second way.
func (l *loop) claim(ctx context.Context, t Task, n int) ([]held, time.Time, error) {
	rows, until, err := l.claimOnce(ctx, t, n)
	if err == nil {
		return rows, until, nil
	}
	if len(rows) > 1 {
		rows, until, err = l.claimOnce(ctx, t, 1)
		if err == nil {
			return rows, until, nil
		}
	}
	if len(rows) == 1 {
		if l.delayUnclaimed(ctx, rows[0]) == nil {
			l.w.d.Log().Error("due row cannot be claimed and is tried again", "kind", t.Kind, "key", rows[0].Key, "error", err)
			return nil, until, nil
		}
	}
	l.w.fault(ctx, "due rows cannot be claimed", t.Kind, err)
	return nil, until, err
}

func (l *loop) claimOnce(ctx context.Context, t Task, n int) (rows []held, until time.Time, err error) {
	defer l.w.begin()()
	err = l.w.d.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		now := l.w.d.LeaseNow()
		until = time.Now().Add(t.Lease)
		rows, err = claim(ctx, tx, t.Kind, l.w.owner, now, now.Add(t.Lease), n)
		if err != nil || len(rows) == 0 || t.Claimed == nil {
			return err
		}
		plain := make([]Row, len(rows))
		for i, h := range rows {
			plain[i] = h.Row
		}
		return t.Claimed(ctx, tx, plain)
	})
	if err == nil {
		// Counted before begin's end, so that Idle never sees a gap.
		l.w.busy.Add(int64(len(rows)))
	}
	return rows, until, err
}

// delayUnclaimed moves a row whose claim was undone: its token is not known, but
// that it is still due is.
func (l *loop) delayUnclaimed(ctx context.Context, h held) error {
	return l.w.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := l.w.d.LeaseNow()
		_, err := tx.Exec(ctx, `UPDATE due SET run_at = $1, attempts = $2 WHERE id = $3 AND run_at <= $4`,
			now.Add(backoff(h.Attempts)).UnixMicro(), h.Attempts, h.ID, now.UnixMicro())
		return db.MapError(err)
	})
}

func (l *loop) sendOne(ctx context.Context, t Task, h held, until time.Time) {
	r := result{held: h, until: until}
	defer func() {
		if p := recover(); p != nil {
			l.w.d.Log().Error("sending panicked", "kind", h.Kind, "key", h.Key, "panic", p, "stack", string(debug.Stack()))
			r.bad = true
		}
		l.done <- r
	}()
	ctx, cancel := context.WithDeadline(ctx, until.Add(-t.Lease/10))
	defer cancel()
	r.finish = t.Send(ctx, h.Row)
}

// commitResults commits what the senders hand over, all that has gathered while
// the last commit ran in one transaction.
func (l *loop) commitResults(ctx context.Context) {
	for first := range l.done {
		group := []result{first}
	gather:
		for len(group) < maxGroup {
			select {
			case r, ok := <-l.done:
				if !ok {
					break gather
				}
				group = append(group, r)
			default:
				break gather
			}
		}
		l.commitGroup(ctx, group)
		for range group {
			<-l.slots
		}
		l.w.busy.Add(-int64(len(group)))
		l.poke()
	}
}

func (l *loop) commitGroup(ctx context.Context, group []result) {
	good := group[:0:0]
	for _, r := range group {
		if r.bad {
			l.doubt(ctx, r, errors.New("the send panicked"))
			continue
		}
		good = append(good, r)
	}
	if len(good) == 0 || l.finish(ctx, good) == nil {
		return
	}
	for _, r := range good {
		if err := l.finishPatiently(ctx, r); err != nil {
			l.doubt(ctx, r, err)
		}
	}
}

// finishPatiently outwaits a database that is busy or gone, as long as the lease
// holds: a result that is not written makes a delivery doubtful.
func (l *loop) finishPatiently(ctx context.Context, r result) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := l.finish(ctx, []result{r})
		if kit.CodeOf(err) != kit.CodeBusy || time.Now().Add(pause).After(r.until) {
			return err
		}
		time.Sleep(pause)
	}
}

// finish removes the rows and writes what came of them. Removal goes first: a
// result may put its row again, and the effect of one whose row is no longer its
// claimer's is left out.
func (l *loop) finish(ctx context.Context, group []result) error {
	return l.w.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows := make([]held, len(group))
		for i, r := range group {
			rows[i] = r.held
		}
		ours, err := release(ctx, tx, rows)
		if err != nil {
			return err
		}
		for _, r := range group {
			if !ours[r.ID] {
				l.w.d.Log().Warn("result left out", "kind", r.Kind, "key", r.Key, "error", errGone)
				continue
			}
			if r.finish == nil {
				continue
			}
			if err := safeFinish(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func safeFinish(ctx context.Context, tx *db.Tx, r result) error {
	t := Task{Run: func(ctx context.Context, tx *db.Tx, _ Row) error { return r.finish(ctx, tx) }}
	return safeRun(ctx, tx, t, r.Row)
}

// doubt puts a row back whose result could not be kept.
func (l *loop) doubt(ctx context.Context, r result, err error) {
	l.w.d.Log().Error("what a send came to is not known", "kind", r.Kind, "key", r.Key, "error", err)
	if err := postpone(ctx, l.w.d, r.held, l.w.d.LeaseNow().Add(backoff(r.Attempts)), true); err != nil {
		l.w.d.Log().Error("due row cannot be put back; its lease runs out", "kind", r.Kind, "key", r.Key, "error", err)
	}
}
