package due_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/due"
)

func report(b *testing.B, name string, value, target float64) {
	b.Helper()
	b.ReportMetric(value, name)
	b.ReportMetric(target, name+"-target")
}

// cpu is what this process has used of the processor.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDue is the lateness of 300 rows at random instants of six seconds, the time
// of 5,000 rows of one instant, both among 100,000 rows that wait, and what the worker
// uses of a processor while nothing is due.
func BenchmarkDue(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchDue(b, dbtest.OpenSQLite(b, nil)) })
	b.Run("postgres", func(b *testing.B) { benchDue(b, dbtest.OpenPostgres(b, nil)) })
}

func benchDue(b *testing.B, d *db.DB) {
	var mu sync.Mutex
	var late []time.Duration
	all := make(chan struct{}, 1)
	want := 0
	w := due.NewWorker(d)
	w.Register(due.Task{Kind: "bench", Lane: due.Paging, Run: func(_ context.Context, tx *db.Tx, r due.Row) error {
		tx.AfterCommit(func() {
			mu.Lock()
			defer mu.Unlock()
			if late = append(late, d.LeaseNow().Sub(r.DueAt)); len(late) == want {
				all <- struct{}{}
			}
		})
		return nil
	}})
	puts := func(n int, at func(i int) time.Time) {
		for from := 0; from < n; from += 500 {
			write(b, d, func(ctx context.Context, tx *db.Tx) error {
				for i := from; i < min(from+500, n); i++ {
					if err := due.At(ctx, tx, "bench", strconv.Itoa(i)+fmt.Sprint("-", n), at(i), nil); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	expect := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		late, want = nil, n
	}
	await := func() []time.Duration {
		select {
		case <-all:
		case <-time.After(time.Minute):
			b.Fatal("not every row was done")
		}
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(late))
	}
	years := d.LeaseNow().AddDate(5, 0, 0)
	puts(100_000, func(i int) time.Time { return years.Add(time.Duration(i) * time.Second) })
	run(b, w)
	for b.Loop() {
		const idleFor = 5 * time.Second
		before := cpu(b)
		time.Sleep(idleFor)
		report(b, "idle-cpu-%", 100*float64(cpu(b)-before)/float64(idleFor), 1)
		expect(300)
		from := d.LeaseNow().Add(time.Second)
		puts(300, func(int) time.Time { return from.Add(rand.N(6 * time.Second)) })
		report(b, "late-p99-ms", float64(await()[297].Microseconds())/1000, 20)
		expect(5000)
		at := d.LeaseNow().Add(8 * time.Second)
		puts(5000, func(int) time.Time { return at })
		if !d.LeaseNow().Before(at) {
			b.Fatal("the rows were not there in time")
		}
		report(b, "5000-at-once-ms", float64(await()[4999].Microseconds())/1000, 1000)
	}
}
