package ledger

import (
	"context"
	"testing"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
)

type counted struct {
	N int `json:"n"`
}

func (counted) FactType() string { return "test.counted" }

// Readers at different places, some far behind, each see every fact once in order.
func TestTail(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := New(d)
		ctx := kit.WithActor(t.Context(), kit.System(kit.ViaCLI))
		add := func(n int) {
			for n > 0 {
				entries := make([]Entry, min(n, 300))
				for i := range entries {
					entries[i] = Entry{Subject: Subject{Kind: "test", ID: "x"}, Body: counted{i}}
				}
				if err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return Append(ctx, tx, entries...) }); err != nil {
					t.Fatal(err)
				}
				n -= len(entries)
			}
		}
		at := []int64{0, 0, 700, 1499}
		read := func(reader int, n int) int {
			facts, err := l.next(ctx, at[reader], n)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range facts {
				if f.Seq != at[reader]+1 {
					t.Fatalf("reader %d at %d was given %d", reader, at[reader], f.Seq)
				}
				at[reader] = f.Seq
			}
			return len(facts)
		}
		add(1500)
		for step := range 60 {
			for r := range at {
				if r != 1 || step%4 == 0 {
					read(r, 256-r)
				}
			}
			add(step % 7 * 10)
		}
		for r := range at {
			for read(r, 256) > 0 {
			}
		}
		size, _, err := l.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for r, n := range at {
			if n != size {
				t.Errorf("reader %d ended at %d of %d", r, n, size)
			}
		}
		if len(l.tail.facts) > tailSize {
			t.Errorf("the tail holds %d facts", len(l.tail.facts))
		}
		if err := l.Erase(ctx, size, "a request"); err != nil {
			t.Fatal(err)
		}
		if facts, err := l.next(ctx, size-1, 1); err != nil || len(facts) != 1 || !facts[0].Erased {
			t.Errorf("after the erasure: %+v %v", facts, err)
		}
	})
}
