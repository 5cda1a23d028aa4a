package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

func TestUnhandled(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		stuck := true
		c := ledger.Consumer{Name: "test", Types: []string{"test.noted"}, Handle: func(context.Context, *db.Tx, []ledger.Fact) error {
			if stuck {
				// The database is busy: the consumer tries for ever.
				return &kit.Error{Code: kit.CodeBusy, Err: errors.New("busy")}
			}
			return nil
		}}
		look := func(want int64) {
			t.Helper()
			f, ok, err := l.Unhandled(ctx, c)
			if err != nil || ok != (want > 0) || ok && f.Seq != want {
				t.Errorf("%d %v, want %d (%v)", f.Seq, ok, want, err)
			}
		}
		look(0)
		write(t, l, other{})
		look(0)
		write(t, l, noted{"first"}, noted{"second"})
		look(2)
		done := make(chan error, 1)
		run, end := context.WithCancel(ctx)
		go func() { done <- l.Run(run, c) }()
		time.Sleep(50 * time.Millisecond)
		look(2)
		end()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		stuck = false
		run, end = context.WithCancel(ctx)
		defer end()
		go func() { done <- l.Run(run, c) }()
		for {
			if _, ok, err := l.Unhandled(ctx, c); err != nil {
				t.Fatal(err)
			} else if !ok {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		write(t, l, other{})
		look(0)
	})
}
