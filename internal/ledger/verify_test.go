package ledger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// fill writes n facts in groups of mixed size.
func fill(t testing.TB, l *ledger.Ledger, n int) {
	t.Helper()
	for done := 0; done < n; {
		group := min(n-done, done%97+1)
		bodies := make([]ledger.Body, group)
		for i := range bodies {
			bodies[i] = noted{fmt.Sprintf("text %d", done+i)}
		}
		write(t, l, bodies...)
		done += group
	}
}

// tamper changes the database behind the ledger's back.
func tamper(t testing.TB, d *db.DB, statements ...string) {
	t.Helper()
	if d.Dialect() == db.PostgreSQL {
		statements = append(append([]string{`ALTER TABLE fact DISABLE TRIGGER ALL`}, statements...), `ALTER TABLE fact ENABLE TRIGGER ALL`)
	} else {
		statements = append([]string{`DROP TRIGGER IF EXISTS fact_no_update`, `DROP TRIGGER IF EXISTS fact_no_delete`}, statements...)
	}
	err := d.Write(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		for _, s := range statements {
			if _, err := tx.Tx.Tx.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesWhatWasChanged(t *testing.T) {
	cases := []struct {
		name       string
		statements []string
		kind       string
		seq        int64
	}{
		{"actor", []string{`UPDATE fact SET actor = 'person:mallory' WHERE seq = 377`}, "changed", 377},
		{"body", []string{`UPDATE fact_body SET body = replace(body, 'text', 'Text') WHERE seq = 5`}, "changed", 5},
		{"instant", []string{`UPDATE fact SET happened_at = happened_at + 1 WHERE seq = 600`}, "changed", 600},
		{"removed in the middle", []string{`DELETE FROM fact WHERE seq = 42`, `DELETE FROM fact_body WHERE seq = 42`}, "removed", 42},
		{"removed at the end", []string{`DELETE FROM fact WHERE seq = 700`, `DELETE FROM fact_body WHERE seq = 700`}, "removed", 700},
		{"inserted", []string{
			`INSERT INTO fact SELECT 701, id, happened_at, recorded_at, actor, type, subject, incident, digest, leaf FROM fact WHERE seq = 3`,
			`INSERT INTO fact_body SELECT 701, salt, body FROM fact_body WHERE seq = 3`,
		}, "inserted", 701},
		{"body removed without a tombstone", []string{`DELETE FROM fact_body WHERE seq = 9`}, "body_removed", 9},
		{"two facts swapped with their leaves", []string{
			`UPDATE fact_body SET seq = -1 WHERE seq = 300`, `UPDATE fact_body SET seq = 300 WHERE seq = 301`, `UPDATE fact_body SET seq = 301 WHERE seq = -1`,
			`UPDATE fact SET seq = -1 WHERE seq = 300`, `UPDATE fact SET seq = 300 WHERE seq = 301`, `UPDATE fact SET seq = 301 WHERE seq = -1`,
		}, "block", 257},
		{"head", []string{`UPDATE ledger_head SET size = 699`}, "inserted", 700},
	}
	dbtest.Each(t, nil, func(t *testing.T, first *db.DB) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				d := dbtest.OpenSQLite(t, nil)
				if first.Dialect() == db.PostgreSQL {
					d = dbtest.OpenPostgres(t, nil)
				}
				l := ledger.New(d)
				fill(t, l, 700)
				if rep, err := l.Verify(context.Background(), ledger.VerifyOptions{}); err != nil || !rep.OK() || rep.Facts != 700 {
					t.Fatalf("untouched: %+v, %v", rep, err)
				}
				tamper(t, d, c.statements...)
				rep, err := l.Verify(context.Background(), ledger.VerifyOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range rep.Problems {
					if p.Kind == c.kind && p.Seq == c.seq {
						return
					}
				}
				t.Errorf("want %s at %d, got %+v", c.kind, c.seq, rep.Problems)
			})
		}
	})
}

// TestVerifyComparesEveryStoredLevel holds a ledger that is large enough for a hash
// above the blocks, and one that is too small for the hashes it has.
func TestVerifyComparesEveryStoredLevel(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		body := make([]ledger.Body, 1<<12)
		for i := range body {
			body[i] = other{}
		}
		for range 1 << 4 {
			write(t, l, body...)
		}
		find := func(statement string) {
			t.Helper()
			tamper(t, d, statement)
			rep, err := l.Verify(context.Background(), ledger.VerifyOptions{})
			if err != nil || len(rep.Problems) != 1 || rep.Problems[0].Kind != "block" || rep.Problems[0].Seq != 1 || rep.Problems[0].To != 1<<16 {
				t.Errorf("%s: %+v, %v", statement, rep.Problems, err)
			}
		}
		if rep, err := l.Verify(context.Background(), ledger.VerifyOptions{}); err != nil || !rep.OK() || rep.Facts != 1<<16 {
			t.Fatalf("untouched: %+v, %v", rep, err)
		}
		find(`UPDATE ledger_node SET hash = (SELECT hash FROM ledger_node WHERE level = 8 AND idx = 3) WHERE level = 16`)
		find(`DELETE FROM ledger_node WHERE level = 16`)
	})
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		fill(t, l, 300)
		tamper(t, d, `INSERT INTO ledger_node (level, idx, hash) SELECT 24, 0, hash FROM ledger_node`)
		rep, err := l.Verify(context.Background(), ledger.VerifyOptions{})
		if err != nil || len(rep.Problems) != 1 || rep.Problems[0].Kind != "block" || rep.Problems[0].To != 1<<24 {
			t.Errorf("a hash too many: %+v, %v", rep.Problems, err)
		}
	})
}

func TestErasedBodyStillVerifies(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		write(t, l, noted{"Bérénice lives at 12 rue des Lilas"})
		fill(t, l, 300)
		if err := l.Erase(actorCtx(), 1, "asked by the person"); err != nil {
			t.Fatal(err)
		}
		if err := l.Erase(actorCtx(), 1, "again"); kit.CodeOf(err) != kit.CodeConflict {
			t.Errorf("second erasure: %v", err)
		}
		rep, err := l.Verify(context.Background(), ledger.VerifyOptions{})
		if err != nil || !rep.OK() || rep.Erased != 1 {
			t.Fatalf("%+v, %v", rep, err)
		}
		f, err := l.Fact(context.Background(), 1)
		if err != nil || !f.Erased || f.Body != nil || f.Actor.Name != "" {
			t.Fatalf("erased fact reads %+v, %v", f, err)
		}
		if d.Dialect() == db.SQLite {
			for _, name := range []string{d.Path(), d.Path() + "-wal"} {
				raw, err := os.ReadFile(filepath.Clean(name))
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				if strings.Contains(string(raw), "rue des Lilas") {
					t.Errorf("the erased text is still in %s", filepath.Base(name))
				}
			}
		}
	})
}

func TestRewrittenTreeIsFoundByOutsideCheckpoints(t *testing.T) {
	d := dbtest.OpenSQLite(t, nil)
	l := ledger.New(d)
	ctx := context.Background()
	var marks []string
	for range 3 {
		fill(t, l, 100)
		c, err := l.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, c)
	}
	key, err := l.PublicKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := l.Verify(ctx, ledger.VerifyOptions{Checkpoints: marks})
	if err != nil || !rep.OK() {
		t.Fatalf("the true ledger: %+v, %v", rep, err)
	}
	// Somebody writes the whole ledger anew.
	fresh := ledger.New(dbtest.OpenSQLite(t, nil))
	fill(t, fresh, 300)
	rep, err = fresh.Verify(ctx, ledger.VerifyOptions{Checkpoints: marks, PublicKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Problems) != 1 || rep.Problems[0].Kind != "rewritten" || rep.Problems[0].Seq != 1 || rep.Problems[0].To != 100 {
		t.Fatalf("a wholly rewritten ledger: %+v", rep.Problems)
	}
}

func TestProofs(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		ctx := context.Background()
		fill(t, l, 1100)
		facts, err := l.Sealed(ctx, ledger.Filter{Limit: 2000}, 1100)
		if err != nil {
			t.Fatal(err)
		}
		size, root, err := l.Head(ctx)
		if err != nil || size != 1100 {
			t.Fatal(size, err)
		}
		for _, s := range facts {
			if err := ledger.VerifySealed(s, root); err != nil {
				t.Fatal(err)
			}
		}
		s := facts[700]
		s.Actor = "person:mallory"
		if err := ledger.VerifySealed(s, root); err == nil {
			t.Error("a changed fact verified")
		}
		rapid.Check(t, func(rt *rapid.T) {
			from := rapid.Int64Range(1, 1100).Draw(rt, "from")
			to := rapid.Int64Range(from, 1100).Draw(rt, "to")
			path, err := l.Consistency(ctx, from, to)
			if err != nil {
				rt.Fatal(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), path, naiveRoot(facts, from), naiveRoot(facts, to)); err != nil {
				rt.Fatal(err)
			}
		})
		if got := naiveRoot(facts, 1100); string(got) != string(root) {
			t.Error("the root is not that of RFC 6962")
		}
	})
}

// naiveRoot is the tree hash of RFC 6962, 2.1, written from its definition.
func naiveRoot(facts []ledger.Sealed, n int64) []byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i], _ = facts[i].Leaf()
	}
	var tree func([][]byte) []byte
	tree = func(l [][]byte) []byte {
		if len(l) == 1 {
			return l[0]
		}
		k := 1
		for k*2 < len(l) {
			k *= 2
		}
		return rfc6962.DefaultHasher.HashChildren(tree(l[:k]), tree(l[k:]))
	}
	return tree(leaves)
}
