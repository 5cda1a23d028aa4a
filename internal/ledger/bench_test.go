package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ledger"
)

func eachBench(b *testing.B, fn func(b *testing.B, d *db.DB)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, dbtest.OpenSQLite(b, nil)) })
	b.Run("postgres", func(b *testing.B) { fn(b, dbtest.OpenPostgres(b, nil)) })
}

func report(b *testing.B, name string, value, target float64) {
	b.Helper()
	b.ReportMetric(value, name)
	b.ReportMetric(target, name+"-target")
}

// entries are n facts with bodies as long as people write them.
func entries(n int) []ledger.Entry {
	out := make([]ledger.Entry, n)
	for i := range out {
		out[i] = ledger.Entry{
			Subject: ledger.Subject{Kind: "incident", ID: "i1", Ref: "INC-1"}, Incident: "i1",
			Body: noted{fmt.Sprintf("line %d: the payments service answers slowly since the release of this afternoon, and the queue of the bank grows", i)},
		}
	}
	return out
}

func group(b *testing.B, d *db.DB, facts []ledger.Entry) {
	b.Helper()
	if err := d.Write(actorCtx(), func(ctx context.Context, tx *db.Tx) error { return ledger.Append(ctx, tx, facts...) }); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkVerify is the full verification of 200,000 facts, stated for a million of
// them (a million in the long form), and the inclusion proof of facts drawn from all
// of them.
func BenchmarkVerify(b *testing.B) {
	eachBench(b, func(b *testing.B, d *db.DB) {
		n, proofTarget := 200_000, 10.0
		if os.Getenv("TOCSIN_BENCH_LONG") != "" {
			n = 1_000_000
		}
		if d.Dialect() == db.PostgreSQL {
			proofTarget = 20
		}
		l := ledger.New(d)
		facts := entries(500)
		for range n / len(facts) {
			group(b, d, facts)
		}
		draw := rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			start := time.Now()
			rep, err := l.Verify(context.Background(), ledger.VerifyOptions{})
			if err != nil || !rep.OK() || rep.Facts != int64(n) {
				b.Fatalf("%+v, %v", rep, err)
			}
			report(b, "verify-s-per-million", time.Since(start).Seconds()*1e6/float64(n), 15)
			took := make([]time.Duration, 500)
			for i := range took {
				start := time.Now()
				if _, err := l.Inclusion(context.Background(), draw.Int64N(int64(n))+1, int64(n)); err != nil {
					b.Fatal(err)
				}
				took[i] = time.Since(start)
			}
			slices.Sort(took)
			report(b, "proof-p99-ms", float64(took[len(took)*99/100].Microseconds())/1000, proofTarget)
		}
	})
}

// BenchmarkAppend compares facts with numbered rows of the same size in the same
// database: 64 a transaction, and one a transaction, in turns. The rows are what sharing
// a commit costs at the least: one prepared statement each on SQLite, one statement on
// PostgreSQL.
func BenchmarkAppend(b *testing.B) {
	eachBench(b, func(b *testing.B, d *db.DB) {
		const rounds, length = 5, 500 * time.Millisecond
		ledger.New(d)
		ctx := context.Background()
		texts := slices.Repeat([]string{fmt.Sprintf("%0230d", 0)}, 64)
		var seq int64
		raw := func(n int) func() {
			return func() {
				err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
					if d.Dialect() == db.PostgreSQL {
						_, err := tx.Exec(ctx, `INSERT INTO raw SELECT $1::bigint + n, body FROM unnest($2::text[]) WITH ORDINALITY AS u(body, n)`, seq, texts[:n])
						seq += int64(n)
						return err
					}
					for range n {
						seq++
						if _, err := tx.Exec(ctx, `INSERT INTO raw VALUES (?, ?)`, seq, texts[0]); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `CREATE TABLE raw (seq BIGINT PRIMARY KEY, body TEXT NOT NULL)`)
			return err
		}); err != nil {
			b.Fatal(err)
		}
		count := func(fn func()) (n float64) {
			for start := time.Now(); time.Since(start) < length; n++ {
				fn()
			}
			return n
		}
		inGroups, alone := 0.5, 0.5
		if d.Dialect() == db.PostgreSQL {
			inGroups, alone = 0.4, 0.3
		}
		ratio := func(n int) float64 {
			rows, facts := raw(n), entries(n)
			var of []float64
			for range rounds {
				base := count(rows)
				of = append(of, count(func() { group(b, d, facts) })/base)
			}
			slices.Sort(of)
			return of[rounds/2]
		}
		for b.Loop() {
			report(b, "group-of-64-of-raw", ratio(64), inGroups)
			report(b, "single-of-raw", ratio(1), alone)
		}
	})
}
