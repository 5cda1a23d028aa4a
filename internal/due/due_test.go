package due_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/due"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func write(t testing.TB, d *db.DB, fn func(ctx context.Context, tx *db.Tx) error) {
	t.Helper()
	if err := d.Write(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, d *db.DB, kind, key string, at time.Time) {
	t.Helper()
	write(t, d, func(ctx context.Context, tx *db.Tx) error {
		return due.At(ctx, tx, kind, key, at, map[string]string{"k": key})
	})
}

func run(t testing.TB, w *due.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func idle(t testing.TB, w *due.Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.Idle(ctx); err != nil {
		t.Fatalf("not idle: %v", err)
	}
}

func effects(t testing.TB, d *db.DB) map[string]int {
	t.Helper()
	rows, err := d.Read(context.Background()).QueryContext(context.Background(), `SELECT k, count(*) FROM effect GROUP BY k`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]int{}
	for rows.Next() {
		var k string
		var n int
		if err := rows.Scan(&k, &n); err != nil {
			t.Fatal(err)
		}
		out[k] = n
	}
	return out
}

func effectTable(t testing.TB, d *db.DB) {
	write(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE effect (k TEXT NOT NULL)`)
		return err
	})
}

func note(ctx context.Context, tx *db.Tx, k string) error {
	_, err := tx.Exec(ctx, `INSERT INTO effect (k) VALUES ($1)`, k)
	return err
}

func TestRunsWhenDue(t *testing.T) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		effectTable(t, d)
		w := due.NewWorker(d)
		w.Register(due.Task{Kind: "a", Lane: due.Paging, Run: func(ctx context.Context, tx *db.Tx, r due.Row) error {
			if r.Attempts != 1 || r.LeaseLost {
				return fmt.Errorf("row %+v", r)
			}
			return note(ctx, tx, r.Key)
		}})
		run(t, w)
		at := d.LeaseNow()
		put(t, d, "a", "now", at)
		put(t, d, "a", "later", at.Add(time.Hour))
		put(t, d, "a", "moved", at.Add(time.Hour))
		put(t, d, "a", "moved", at.Add(3*time.Hour))
		put(t, d, "a", "gone", at.Add(time.Hour))
		write(t, d, func(ctx context.Context, tx *db.Tx) error { return due.Cancel(ctx, tx, "a", "gone") })
		idle(t, w)
		if got := effects(t, d); len(got) != 1 || got["now"] != 1 {
			t.Fatalf("at once: %v", got)
		}
		clock.Advance(time.Hour)
		idle(t, w)
		if got := effects(t, d); len(got) != 2 || got["later"] != 1 {
			t.Fatalf("an hour later: %v", got)
		}
		left, err := w.Pending(context.Background())
		if err != nil || len(left) != 1 || left[0].Key != "moved" || !left[0].DueAt.Equal(at.Add(3*time.Hour)) {
			t.Fatalf("pending %+v, %v", left, err)
		}
		if time.Since(w.Turned()) > 3*time.Second {
			t.Fatalf("turned %v", w.Turned())
		}
	})
}

// One failing row neither disappears nor takes the others of its batch with it.
func TestFailureIsTriedAgain(t *testing.T) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		effectTable(t, d)
		var tries []int
		w := due.NewWorker(d)
		w.Register(due.Task{Kind: "a", Run: func(ctx context.Context, tx *db.Tx, r due.Row) error {
			if err := note(ctx, tx, r.Key); err != nil {
				return err
			}
			if r.Key == "5" {
				tries = append(tries, r.Attempts)
				switch r.Attempts {
				case 1:
					return errors.New("no")
				case 2:
					panic("no")
				}
			}
			return nil
		}})
		write(t, d, func(ctx context.Context, tx *db.Tx) error {
			for i := range 10 {
				if err := due.At(ctx, tx, "a", fmt.Sprint(i), d.LeaseNow(), nil); err != nil {
					return err
				}
			}
			return nil
		})
		stop := run(t, w)
		idle(t, w)
		if got := effects(t, d); len(got) != 9 || got["5"] != 0 {
			t.Fatalf("after the failure: %v", got)
		}
		clock.Advance(time.Second)
		idle(t, w)
		clock.Advance(time.Second)
		idle(t, w)
		if got := effects(t, d); got["5"] != 0 {
			t.Fatalf("second delay is two seconds: %v", got)
		}
		clock.Advance(time.Second)
		idle(t, w)
		stop()
		got := effects(t, d)
		for i := range 10 {
			if got[fmt.Sprint(i)] != 1 {
				t.Fatalf("effects %v", got)
			}
		}
		if fmt.Sprint(tries) != "[1 1 2 3]" { // in the batch, alone, and twice more
			t.Fatalf("tries %v", tries)
		}
	})
}

func TestSend(t *testing.T) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		effectTable(t, d)
		var running, most, claimed atomic.Int64
		w := due.NewWorker(d)
		w.Register(due.Task{
			Kind: "s", Lane: due.Paging, Senders: 4,
			Claimed: func(ctx context.Context, tx *db.Tx, rows []due.Row) error { claimed.Add(int64(len(rows))); return nil },
			Send: func(ctx context.Context, r due.Row) func(context.Context, *db.Tx) error {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Millisecond)
				running.Add(-1)
				return func(ctx context.Context, tx *db.Tx) error { return note(ctx, tx, r.Key) }
			},
		})
		for i := range 60 {
			put(t, d, "s", fmt.Sprint(i), d.LeaseNow())
		}
		run(t, w)
		idle(t, w)
		got := effects(t, d)
		for i := range 60 {
			if got[fmt.Sprint(i)] != 1 {
				t.Fatalf("effects %v", got)
			}
		}
		if most.Load() > 4 || claimed.Load() != 60 {
			t.Fatalf("%d at once, %d claimed", most.Load(), claimed.Load())
		}
	})
}

// What a send came to is left out when its row was moved, cancelled or put again
// meanwhile; a moved row is sent at its new instant.
func TestMovedWhileSending(t *testing.T) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		effectTable(t, d)
		in, out := make(chan string, 4), make(chan struct{})
		w := due.NewWorker(d)
		w.Register(due.Task{Kind: "s", Send: func(ctx context.Context, r due.Row) func(context.Context, *db.Tx) error {
			in <- r.Key
			<-out
			return func(ctx context.Context, tx *db.Tx) error { return note(ctx, tx, r.Key) }
		}})
		at := d.LeaseNow()
		for _, k := range []string{"moved", "cancelled", "kept"} {
			put(t, d, "s", k, at)
		}
		run(t, w)
		for range 3 {
			<-in
		}
		put(t, d, "s", "moved", at.Add(time.Minute))
		write(t, d, func(ctx context.Context, tx *db.Tx) error { return due.Cancel(ctx, tx, "s", "cancelled") })
		close(out)
		idle(t, w)
		if got := effects(t, d); len(got) != 1 || got["kept"] != 1 {
			t.Fatalf("effects %v", got)
		}
		clock.Advance(time.Minute)
		idle(t, w)
		if got := effects(t, d); len(got) != 2 || got["moved"] != 1 {
			t.Fatalf("effects %v", got)
		}
	})
}

// A claim whose holder died is taken over, and the next holder knows.
func TestLeaseLost(t *testing.T) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		put(t, d, "s", "k", d.LeaseNow())
		// The claim of a process that is no more.
		write(t, d, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE due SET owner = 'dead', attempts = 1, token = 'x', run_at = ?`, d.LeaseNow().Add(30*time.Second).UnixMicro())
			return err
		})
		rows := make(chan due.Row, 1)
		w := due.NewWorker(d)
		w.Register(due.Task{Kind: "s", Send: func(ctx context.Context, r due.Row) func(context.Context, *db.Tx) error {
			rows <- r
			return nil
		}})
		run(t, w)
		if d.Dialect() == db.PostgreSQL {
			idle(t, w)
			if len(rows) != 0 {
				t.Fatal("taken before the lease ended")
			}
			clock.Advance(30 * time.Second)
		}
		w.Wake()
		select {
		case r := <-rows:
			if !r.LeaseLost || r.Attempts != 2 {
				t.Fatalf("row %+v", r)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("never taken over")
		}
		idle(t, w)
	})
}

func TestTwoNodes(t *testing.T) {
	u := dbtest.PostgresURL(t)
	open := func() *db.DB {
		d, err := db.Open(context.Background(), db.Options{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	d1, d2 := open(), open()
	effectTable(t, d1)
	var share [2]atomic.Int64
	var ws []*due.Worker
	for i, d := range []*db.DB{d1, d2} {
		w := due.NewWorker(d)
		w.Register(due.Task{Kind: "r", Run: func(ctx context.Context, tx *db.Tx, r due.Row) error {
			share[i].Add(1)
			return note(ctx, tx, "r"+r.Key)
		}}, due.Task{Kind: "s", Senders: 16, Send: func(ctx context.Context, r due.Row) func(context.Context, *db.Tx) error {
			return func(ctx context.Context, tx *db.Tx) error { return note(ctx, tx, "s"+r.Key) }
		}})
		ws = append(ws, w)
		run(t, w)
	}
	const n = 1000
	write(t, d1, func(ctx context.Context, tx *db.Tx) error {
		for i := range n {
			for _, k := range []string{"r", "s"} {
				if err := due.At(ctx, tx, k, fmt.Sprint(i), tx.Now().Add(time.Duration(i%50)*time.Millisecond), nil); err != nil {
					return err
				}
			}
		}
		return nil
	})
	time.Sleep(50 * time.Millisecond)
	for range 2 {
		for _, w := range ws {
			idle(t, w)
		}
	}
	got := effects(t, d1)
	if len(got) != 2*n {
		t.Fatalf("%d of %d effects", len(got), 2*n)
	}
	for k, c := range got {
		if c != 1 {
			t.Fatalf("%s ran %d times", k, c)
		}
	}
	t.Logf("shares %d, %d", share[0].Load(), share[1].Load())
}

// The claim must walk the index of kind and run_at, whatever else waits.
func TestQueryPlan(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		write(t, d, func(ctx context.Context, tx *db.Tx) error {
			for i := range 3000 {
				if err := due.At(ctx, tx, "k", fmt.Sprint(i), tx.Now().Add(time.Hour), nil); err != nil {
					return err
				}
			}
			return nil
		})
		explain := "EXPLAIN QUERY PLAN "
		if d.Dialect() == db.PostgreSQL {
			explain = "EXPLAIN "
			write(t, d, func(ctx context.Context, tx *db.Tx) error { _, err := tx.ExecContext(ctx, `ANALYZE due`); return err })
		}
		rows, err := d.Read(context.Background()).QueryContext(context.Background(),
			explain+`SELECT id FROM due WHERE kind = 'k' AND run_at <= ? ORDER BY run_at LIMIT 64`, d.Now().UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		plan := readPlan(t, rows)
		if !strings.Contains(plan, "due_kind_run_at") || strings.Contains(strings.ToUpper(plan), "SORT") || strings.Contains(plan, "TEMP B-TREE") {
			t.Fatalf("plan:\n%s", plan)
		}
	})
}

func readPlan(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	defer func() { _ = rows.Close() }()
	cols, _ := rows.Columns()
	var b strings.Builder
	for rows.Next() {
		vals := make([]any, len(cols))
		for i := range vals {
			vals[i] = new(any)
		}
		if err := rows.Scan(vals...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, *vals[len(vals)-1].(*any))
	}
	return b.String()
}
