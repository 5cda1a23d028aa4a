package ledger

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// batch is how many facts a consumer reads at once.
const batch = 256

// Consumer reacts to facts, in ledger order, each exactly once as far as the
// database is concerned: its offset is saved in the transaction of its effect.
type Consumer struct {
	// Name is kept with the offset; it never changes.
	Name string
	// Types are the facts it wants, "incident.*" for a family; empty means all.
	Types []string
	// Most is how many facts one transaction handles; 0 means as many as are read at
	// once. A small number lets others follow while there is a mass to do.
	Most int
	// Linger is how long it waits after a wake-up, so that what cannot wait comes first
	// and what comes in short order is handled together.
	Linger time.Duration
	// Handle has its whole effect in the transaction. An error undoes it; the
	// batch is then tried fact by fact, and a fact that still fails three times is
	// recorded as reaction.failed and passed over.
	Handle func(ctx context.Context, tx *db.Tx, facts []Fact) error
}

// ReactionFailed says that a consumer could not handle a fact and went on.
type ReactionFailed struct {
	Consumer string `json:"consumer"`
	Seq      int64  `json:"seq"`
	Type     string `json:"type"`
	Error    string `json:"error"`
}

// FactType implements Body.
func (ReactionFailed) FactType() string { return "reaction.failed" }

func (c *Consumer) wants(typ string) bool {
	if len(c.Types) == 0 {
		return true
	}
	for _, t := range c.Types {
		if t == typ {
			return true
		}
		if family, ok := strings.CutSuffix(t, "*"); ok && strings.HasPrefix(typ, family) {
			return true
		}
	}
	return false
}

// FailedReaction is a reaction that was passed over.
type FailedReaction struct {
	ReactionFailed
	// At is when it was given up, Incident the incident of the fact, if any.
	At       time.Time
	Incident string
}

// FailedReactions gives the reactions that were passed over since an instant, the
// latest first, at most 50.
func (l *Ledger) FailedReactions(ctx context.Context, since time.Time) ([]FailedReaction, error) {
	var subjects []string
	if err := l.d.Read(ctx).NewSelect().TableExpr("consumer").ColumnExpr("'consumer:' || name").Scan(ctx, &subjects); err != nil {
		return nil, db.MapError(err)
	}
	if len(subjects) == 0 {
		return nil, nil
	}
	// Ordered by an expression, lest the planner read the whole ledger backwards in
	// search of what is hardly ever there.
	var seqs []int64
	err := l.d.Read(ctx).NewSelect().TableExpr("fact AS f").ColumnExpr("f.seq").
		Where("f.subject IN (?)", bun.List(subjects)).Where("f.type = ?", ReactionFailed{}.FactType()).
		Where("f.recorded_at >= ?", kit.Micros(since)).OrderExpr("f.seq + 0 DESC").Limit(50).Scan(ctx, &seqs)
	if err != nil {
		return nil, db.MapError(err)
	}
	out := make([]FailedReaction, 0, len(seqs))
	for _, n := range seqs {
		f, err := l.Fact(ctx, n)
		if err != nil {
			return nil, err
		}
		x := FailedReaction{At: f.RecordedAt, Incident: f.Incident}
		if !f.Erased {
			if err := f.Decode(&x.ReactionFailed); err != nil {
				return nil, kit.Internal(err)
			}
		}
		out = append(out, x)
	}
	return out, nil
}

type runner struct {
	l      *Ledger
	c      Consumer
	woken  chan struct{}
	offset atomic.Int64
	failed atomic.Int64
}

func (r *runner) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Run runs the consumers, each in a loop of its own, until the context ends.
func (l *Ledger) Run(ctx context.Context, consumers ...Consumer) error {
	runners := make([]*runner, len(consumers))
	l.mu.Lock()
	for i, c := range consumers {
		runners[i] = &runner{l: l, c: c, woken: make(chan struct{}, 1)}
		runners[i].offset.Store(-1)
		l.runners[runners[i]] = struct{}{}
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		for _, r := range runners {
			delete(l.runners, r)
		}
		l.mu.Unlock()
	}()
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range runners {
		g.Go(func() error { return r.loop(ctx) })
	}
	if l.d.Dialect() == db.PostgreSQL {
		g.Go(func() error {
			return l.d.Listen(ctx, map[string]func(string){"ledger": func(string) { l.wake() }})
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (r *runner) loop(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.woken:
			if r.c.Linger > 0 {
				time.Sleep(r.c.Linger)
			}
		case <-wait.C:
			r.l.tail.grown.Add(1)
		}
		pause := time.Second
		for {
			more, err := r.turn(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, errHeld) {
				pause = 50 * time.Millisecond
				break
			}
			if err != nil {
				r.l.d.Log().Error("reaction", "consumer", r.c.Name, "error", err)
				break
			}
			if !more {
				break
			}
		}
		wait.Reset(pause)
	}
}

var errHeld = errors.New("another node has the consumer")

// turn handles the next batch; more says that there may be another at once.
func (r *runner) turn(ctx context.Context) (more bool, err error) {
	offset := r.offset.Load()
	if offset < 0 {
		if offset, err = r.load(ctx); err != nil {
			return false, err
		}
		r.offset.Store(offset)
	}
	facts, last, full, err := r.read(ctx, offset)
	if err != nil {
		return false, err
	}
	if most := r.c.Most; most > 0 && len(facts) > most {
		facts, last, full = facts[:most], facts[most-1].Seq, true
	}
	if len(facts) == 0 {
		// What does not concern the consumer costs no write: the stored offset lags.
		r.offset.Store(last)
		return full, nil
	}
	err = r.handle(ctx, facts, last)
	switch {
	case err == nil:
		r.offset.Store(last)
		return full, nil
	case errors.Is(err, errHeld):
		r.offset.Store(-1)
		return false, err
	case ctx.Err() != nil, kit.CodeOf(err) == kit.CodeBusy:
		return false, err
	}
	r.l.d.Log().Warn("reaction: trying fact by fact", "consumer", r.c.Name, "facts", len(facts), "error", err)
	for i := range facts {
		if err := r.handleOne(ctx, facts[i]); err != nil {
			return false, err
		}
		r.offset.Store(facts[i].Seq)
	}
	return true, nil
}

func (r *runner) handleOne(ctx context.Context, f Fact) error {
	var err error
	for range 3 {
		if err = r.handle(ctx, []Fact{f}, f.Seq); err == nil {
			return nil
		}
		if errors.Is(err, errHeld) || ctx.Err() != nil || kit.CodeOf(err) == kit.CodeBusy {
			return err
		}
	}
	r.failed.Add(1)
	r.l.d.Log().Error("reaction failed", "consumer", r.c.Name, "seq", f.Seq, "type", f.Type, "error", err)
	return r.write(ctx, f.Seq, func(ctx context.Context, tx *db.Tx) error {
		if done, err := r.stored(ctx, tx); err != nil || done >= f.Seq {
			return err
		}
		return Append(ctx, tx, Entry{
			Subject: Subject{Kind: "consumer", ID: r.c.Name}, Incident: f.Incident,
			Body: ReactionFailed{Consumer: r.c.Name, Seq: f.Seq, Type: f.Type, Error: err.Error()},
		})
	})
}

func (r *runner) handle(ctx context.Context, facts []Fact, last int64) error {
	return r.write(ctx, last, func(ctx context.Context, tx *db.Tx) error {
		stored, err := r.stored(ctx, tx)
		if err != nil {
			return err
		}
		fresh := facts
		for len(fresh) > 0 && fresh[0].Seq <= stored {
			fresh = fresh[1:]
		}
		if len(fresh) == 0 {
			return nil
		}
		return r.c.Handle(ctx, tx, fresh)
	})
}

// write takes the consumer's row, runs fn and moves the offset to last.
func (r *runner) write(ctx context.Context, last int64, fn func(context.Context, *db.Tx) error) error {
	ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorRule, ID: r.c.Name, Name: "Tocsin", Via: kit.ViaDue})
	return r.l.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		text := `SELECT offset_seq FROM consumer WHERE name = $1`
		if r.l.d.Dialect() == db.PostgreSQL {
			text += ` FOR UPDATE SKIP LOCKED`
		}
		var stored int64
		switch err := tx.QueryRow(ctx, text, r.c.Name).Scan(&stored); {
		case errors.Is(err, sql.ErrNoRows):
			return errHeld
		case err != nil:
			return err
		}
		tx.SetValue(offsetKey{}, stored)
		tx.Remember()
		if err := fn(ctx, tx); err != nil {
			return err
		}
		kit.CrashPoint("reaction." + r.c.Name)
		_, err := tx.Exec(ctx, `UPDATE consumer SET offset_seq = $1 WHERE name = $2 AND offset_seq < $1`, last, r.c.Name)
		return err
	})
}

type offsetKey struct{}

func (r *runner) stored(_ context.Context, tx *db.Tx) (int64, error) {
	n, ok := tx.Value(offsetKey{}).(int64)
	if !ok {
		return 0, errHeld
	}
	return n, nil
}

// load reads the stored offset, making the row of a new consumer.
func (r *runner) load(ctx context.Context) (int64, error) {
	var n int64
	err := r.l.d.Read(ctx).NewSelect().TableExpr("consumer").ColumnExpr("offset_seq").Where("name = ?", r.c.Name).Scan(ctx, &n)
	if !errors.Is(err, sql.ErrNoRows) {
		return n, db.MapError(err)
	}
	err = r.l.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO consumer (name, offset_seq) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING`, r.c.Name)
		return err
	})
	return 0, err
}

// read reads the next batch on the read side: the facts that the consumer wants,
// the last number seen, and whether the batch was full.
func (r *runner) read(ctx context.Context, offset int64) (wanted []Fact, last int64, full bool, err error) {
	facts, err := r.l.next(ctx, max(offset, 0), batch)
	if err != nil {
		return nil, offset, false, err
	}
	last = offset
	for _, f := range facts {
		last = f.Seq
		if r.c.wants(f.Type) {
			wanted = append(wanted, f)
		}
	}
	return wanted, last, len(facts) == batch, nil
}

// Idle waits until every consumer that runs here has seen the whole ledger, or
// the context ends. Tests use it instead of sleeping.
func (l *Ledger) Idle(ctx context.Context) error {
	for {
		size, _, err := l.Head(ctx)
		if err != nil {
			return err
		}
		l.mu.Lock()
		behind := false
		for r := range l.runners {
			if r.offset.Load() < size {
				behind = true
				r.wake()
			}
		}
		l.mu.Unlock()
		if !behind {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Offsets gives how far each consumer that runs here has read.
func (l *Ledger) Offsets() map[string]int64 {
	out := map[string]int64{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.runners {
		out[r.c.Name] = max(r.offset.Load(), 0)
	}
	return out
}

// Unhandled gives the first fact that a consumer has still to handle; ok is false where
// there is none.
func (l *Ledger) Unhandled(ctx context.Context, c Consumer) (f Fact, ok bool, err error) {
	var offset int64
	err = l.d.Read(ctx).NewSelect().TableExpr("consumer").ColumnExpr("offset_seq").Where("name = ?", c.Name).Scan(ctx, &offset)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return f, false, db.MapError(err)
	}
	// The stored offset lags behind facts that do not concern the consumer.
	facts, err := l.Facts(ctx, Filter{After: max(offset, l.Offsets()[c.Name]), Types: c.Types, Limit: 1})
	if err != nil || len(facts) == 0 {
		return f, false, err
	}
	return facts[0], true, nil
}

// Failures counts by consumer the reactions that were passed over since it runs here.
func (l *Ledger) Failures() map[string]int64 {
	out := map[string]int64{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.runners {
		out[r.c.Name] = r.failed.Load()
	}
	return out
}
