package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type noted struct {
	Text string `json:"text"`
}

func (noted) FactType() string { return "test.noted" }

type other struct{}

func (other) FactType() string { return "test.other" }

func actorCtx() context.Context {
	return kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana Lopez", Via: kit.ViaWeb})
}

func write(t testing.TB, l *ledger.Ledger, bodies ...ledger.Body) {
	t.Helper()
	err := l.DB().Write(actorCtx(), func(ctx context.Context, tx *db.Tx) error {
		for _, b := range bodies {
			if err := ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "incident", ID: "i1", Ref: "INC-1"}, Incident: "i1", Body: b}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFactsAreNumberedWithoutGaps(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 10 {
					err := d.Write(actorCtx(), func(ctx context.Context, tx *db.Tx) error {
						for range i%3 + 1 {
							if err := ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "x", ID: fmt.Sprint(w)}, Body: noted{fmt.Sprint(w, i)}}); err != nil {
								return err
							}
						}
						if i%4 == 3 {
							return errors.New("undo")
						}
						return nil
					})
					if (err != nil) != (i%4 == 3) {
						t.Errorf("write: %v", err)
					}
				}
			})
		}
		wg.Wait()
		facts, err := l.Facts(context.Background(), ledger.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range facts {
			if f.Seq != int64(i+1) {
				t.Fatalf("fact %d has number %d", i+1, f.Seq)
			}
		}
		size, _, err := l.Head(context.Background())
		if err != nil || size != int64(len(facts)) || size == 0 {
			t.Fatalf("head %d, facts %d, %v", size, len(facts), err)
		}
		f := facts[0]
		if f.Actor.Name != "Ana Lopez" || f.Via != kit.ViaWeb || f.Type != "test.noted" || f.V != 1 {
			t.Fatalf("fact read back as %+v", f)
		}
	})
}

func TestConsumersHandleEachFactOnce(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		var mu sync.Mutex
		seen := map[int64]int{}
		done := make(chan error, 1)
		write(t, l, noted{"before the start"})
		go func() {
			done <- l.Run(ctx, ledger.Consumer{Name: "test", Types: []string{"test.noted"}, Handle: func(ctx context.Context, tx *db.Tx, facts []ledger.Fact) error {
				for _, f := range facts {
					var n noted
					if err := f.Decode(&n); err != nil {
						return err
					}
					if n.Text == "poison" {
						return errors.New("cannot")
					}
				}
				tx.AfterCommit(func() {
					mu.Lock()
					defer mu.Unlock()
					for _, f := range facts {
						seen[f.Seq]++
					}
				})
				return nil
			}})
		}()
		for i := range 20 {
			if i == 10 {
				write(t, l, noted{"poison"}, other{})
			}
			write(t, l, noted{"x"}, other{})
		}
		if err := l.Idle(ctx); err != nil {
			t.Fatal(err)
		}
		// The failure of the poisonous fact is a fact too.
		if err := l.Idle(ctx); err != nil {
			t.Fatal(err)
		}
		failed, err := l.Facts(ctx, ledger.Filter{Types: []string{"reaction.*"}})
		if err != nil || len(failed) != 1 {
			t.Fatalf("reaction.failed: %d, %v", len(failed), err)
		}
		mu.Lock()
		if len(seen) != 21 {
			t.Errorf("handled %d facts, want 21", len(seen))
		}
		for seq, n := range seen {
			if n != 1 {
				t.Errorf("fact %d handled %d times", seq, n)
			}
		}
		mu.Unlock()
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
