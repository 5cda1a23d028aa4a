package ledger_test

import (
	"context"
	"path/filepath"
	"testing"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

func TestBackupVerifiesAndRestores(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		l := ledger.New(d)
		fill(t, l, 600)
		if err := l.Erase(actorCtx(), 7, "asked for"); err != nil {
			t.Fatal(err)
		}
		_, root, err := l.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "copy.db")
		if err := d.Backup(ctx, path); err != nil {
			t.Fatal(err)
		}
		if err := d.Backup(ctx, path); kit.CodeOf(err) != kit.CodeConflict {
			t.Errorf("overwriting a file: %v", err)
		}
		b, err := db.OpenFile(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		rep, err := ledger.New(b).Verify(ctx, ledger.VerifyOptions{})
		if err != nil || !rep.OK() || string(rep.Root) != string(root) || rep.Facts != 601 {
			t.Fatalf("the copy: %+v, %v", rep, err)
		}
		for name, into := range map[string]*db.DB{"sqlite": dbtest.OpenSQLite(t, nil), "postgres": dbtest.OpenPostgres(t, nil)} {
			if err := db.CopyInto(ctx, b, into); err != nil {
				t.Fatalf("into %s: %v", name, err)
			}
			il := ledger.New(into)
			rep, err := il.Verify(ctx, ledger.VerifyOptions{})
			if err != nil || !rep.OK() || string(rep.Root) != string(root) {
				t.Fatalf("restored into %s: %+v, %v", name, rep, err)
			}
			fill(t, il, 3)
			if err := db.CopyInto(ctx, b, into); kit.CodeOf(err) != kit.CodeConflict {
				t.Errorf("a second copy into %s: %v", name, err)
			}
		}
	})
}
