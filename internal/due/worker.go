package due

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

const (
	defaultLease   = 30 * time.Second
	defaultSenders = 8
	// sweep is the longest a loop waits: timers follow the monotonic clock and a
	// wake-up may be lost, so that each loop looks at least this often.
	sweep = time.Second
	// drain is how long a stopping worker lets its sends end.
	drain = 8 * time.Second
	// maxGroup is how many results share a commit.
	maxGroup = 64
	// pendingLimit is the most rows that Pending gives.
	pendingLimit = 1000
)

// batch is how many Run rows of a lane share a transaction. Slow work is kept
// short, because on SQLite it stands before every other writer.
var batch = map[Lane]int{Paging: 128, Normal: 128, Slow: 8}

// Worker does what is due. Make it with NewWorker, tell it the kinds with
// Register, then Run it. Any number of processes may run workers on one PostgreSQL
// database; on SQLite there must be one.
type Worker struct {
	d     *db.DB
	owner string

	mu    sync.Mutex
	loops []*loop
	byKey map[string]*loop
	kinds []string

	// busy counts what is in flight, generation the starts of work: together they
	// tell whether nothing happened between two looks.
	busy       atomic.Int64
	generation atomic.Int64

	// seen is how far the clock has come, Unix microseconds.
	seen      atomic.Int64
	clockBack func(ctx context.Context, tx *db.Tx, before, after time.Time) error

	// faults are the causes that were logged, and when.
	faultMu sync.Mutex
	faults  map[string]time.Time
}

// Option changes a worker.
type Option func(*Worker)

// WithOwner names the worker in its claims; the default is random.
func WithOwner(name string) Option { return func(w *Worker) { w.owner = name } }

// NewWorker makes a worker of a database.
func NewWorker(d *db.DB, opts ...Option) *Worker {
	w := &Worker{d: d, owner: kit.Secret(6), byKey: map[string]*loop{}, faults: map[string]time.Time{}}
	for _, o := range opts {
		o(w)
	}
	return w
}

// loop looks for the rows of its kinds: all Run kinds of a lane, or one Send kind.
type loop struct {
	w     *Worker
	lane  Lane
	send  bool
	kinds []string
	tasks map[string]Task

	wake  chan struct{}
	next  atomic.Int64 // until when it sleeps, microseconds
	turn  atomic.Int64 // when it last looked, Unix nanoseconds of the machine
	slots chan struct{}
	done  chan result
}

// Register tells the kinds that the worker does. Call it before Run; a kind that
// is there twice or has not exactly one of Run and Send is a mistake of the
// program and panics.
func (w *Worker) Register(tasks ...Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range tasks {
		if t.Kind == "" || (t.Run == nil) == (t.Send == nil) || w.byKey[t.Kind] != nil {
			panic(fmt.Sprintf("due task %q: registered twice, or not one of Run and Send", t.Kind))
		}
		if t.Lane == "" {
			t.Lane = Normal
		}
		if t.Lease <= 0 {
			t.Lease = defaultLease
		}
		if t.Senders <= 0 {
			t.Senders = defaultSenders
		}
		l := w.loopOf(t)
		l.kinds = append(l.kinds, t.Kind)
		l.tasks[t.Kind] = t
		w.byKey[t.Kind] = l
		w.kinds = append(w.kinds, t.Kind)
	}
}

func (w *Worker) loopOf(t Task) *loop {
	if t.Run != nil {
		for _, l := range w.loops {
			if !l.send && l.lane == t.Lane {
				return l
			}
		}
	}
	l := &loop{w: w, lane: t.Lane, send: t.Send != nil, tasks: map[string]Task{}, wake: make(chan struct{}, 1)}
	if l.send {
		l.slots = make(chan struct{}, t.Senders)
		l.done = make(chan result, t.Senders)
	}
	w.loops = append(w.loops, l)
	return l
}

// Run works until the context ends; then it claims nothing more, lets the sends
// in flight end for at most 8 s, commits their results and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	if w.d.Dialect() == db.SQLite {
		if err := voidLeases(ctx, w.d); err != nil {
			return err
		}
	}
	defer join(w)()
	var wg sync.WaitGroup
	for _, l := range w.loops {
		l.turn.Store(time.Now().UnixNano())
		if l.send {
			wg.Go(func() { l.runSends(ctx) })
		} else {
			wg.Go(func() { l.run(ctx) })
		}
	}
	wg.Go(func() { w.followClock(ctx) })
	wg.Go(func() {
		_ = w.d.Listen(ctx, map[string]func(string){"due": func(kind string) {
			if kind == "" {
				w.Wake()
				return
			}
			w.wakeKind(kind, time.Time{})
		}})
	})
	<-ctx.Done()
	wg.Wait()
	return nil
}

// Wake makes every loop look at the clock and the rows now.
func (w *Worker) Wake() {
	for _, l := range w.loops {
		l.poke()
	}
}

func (w *Worker) wakeKind(kind string, at time.Time) {
	// A loop that looks anyway before the row is due need not be woken.
	if l := w.byKey[kind]; l != nil && (at.IsZero() || at.UnixMicro() < l.next.Load()) {
		l.poke()
	}
}

func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Turned is when the loop that has not looked for longest last looked for rows,
// by the machine's clock; the zero time before Run. A healthy worker turns at
// least each second, unless one transaction takes longer.
func (w *Worker) Turned() time.Time {
	var first int64
	for i, l := range w.loops {
		if t := l.turn.Load(); i == 0 || t < first {
			first = t
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.Unix(0, first)
}

// Pending gives the rows of the kinds, all registered ones when none is named,
// the first due first and at most 1,000.
func (w *Worker) Pending(ctx context.Context, kinds ...string) ([]Row, error) {
	if len(kinds) == 0 {
		kinds = w.kinds
	}
	return pending(ctx, w.d, kinds, pendingLimit)
}

// Idle waits until no row of the registered kinds is due and this worker has
// nothing in flight: for tests that moved the clock.
func (w *Worker) Idle(ctx context.Context) error {
	w.sawClock()
	for {
		w.Wake()
		before := w.generation.Load()
		if w.busy.Load() == 0 {
			hs, err := heads(ctx, w.d, w.kinds)
			if err != nil {
				return err
			}
			now, due := w.d.LeaseNow(), false
			for _, at := range hs {
				due = due || !at.After(now)
			}
			if !due && w.busy.Load() == 0 && w.generation.Load() == before {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// begin notes that work starts; the returned function, that it ended.
func (w *Worker) begin() (end func()) {
	w.busy.Add(1)
	w.generation.Add(1)
	return func() { w.busy.Add(-1) }
}

// look gives the kinds that have rows due, from the read side, and how long to
// sleep when there is none.
func (l *loop) look(ctx context.Context) (due []string, sleep time.Duration) {
	l.turn.Store(time.Now().UnixNano())
	l.next.Store(0)
	hs, err := heads(ctx, l.w.d, l.kinds)
	if err != nil {
		l.w.fault(ctx, "due rows cannot be read", string(l.lane), err)
		return nil, sweep
	}
	now := l.w.d.LeaseNow()
	sleep = sweep
	for _, k := range l.kinds {
		at, ok := hs[k]
		switch {
		case !ok:
		case !at.After(now):
			due = append(due, k)
		case at.Sub(now) < sleep:
			sleep = at.Sub(now)
		}
	}
	l.next.Store(now.Add(sleep).UnixMicro())
	return due, sleep
}

func (l *loop) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-l.wake:
	}
}

// backoff is the delay after the n-th failed try.
func backoff(n int) time.Duration {
	const most = 5 * time.Minute
	if n < 1 {
		n = 1
	}
	if n > 9 {
		return most
	}
	return min(time.Second<<(n-1), most)
}
