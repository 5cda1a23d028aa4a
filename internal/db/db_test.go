package db_test

import (
	"context"
	"errors"
	"testing"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
)

func TestNextNumberHasNoGaps(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		take := func(fail error) (n int64, err error) {
			err = d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
				n, err = tx.NextNumber(ctx, "INC")
				if err != nil {
					return err
				}
				return fail
			})
			return n, err
		}
		if n, err := take(nil); n != 1 || err != nil {
			t.Fatalf("first: %d, %v", n, err)
		}
		undone := errors.New("undo")
		if _, err := take(undone); !errors.Is(err, undone) && kit.CodeOf(err) != kit.CodeInternal {
			t.Fatalf("want the error of fn, got %v", err)
		}
		if n, err := take(nil); n != 2 || err != nil {
			t.Fatalf("after an undone transaction: %d, %v; want 2", n, err)
		}
	})
}

func TestWriteJoins(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		boom := kit.Conflict("boom", "error.exists")
		var after int
		err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			if _, err := tx.NextNumber(ctx, "X"); err != nil {
				return err
			}
			return d.Write(ctx, func(ctx context.Context, inner *db.Tx) error {
				inner.AfterCommit(func() { after++ })
				if inner != tx {
					t.Error("the inner call did not join the transaction")
				}
				return boom
			})
		})
		if kit.CodeOf(err) != kit.CodeConflict || after != 0 {
			t.Fatalf("err %v, after-commit ran %d times", err, after)
		}
		var n int
		if err := d.Read(ctx).NewSelect().TableExpr("reference_counter").ColumnExpr("count(*)").Scan(ctx, &n); err != nil || n != 0 {
			t.Fatalf("rows %d, %v: the inner error must undo the outer transaction", n, err)
		}
	})
}

// TestMigrationOfASmallerNumber holds that a migration runs on an installation
// which has run ones of a greater number.
func TestMigrationOfASmallerNumber(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	open := func() *db.DB {
		d, err := db.Open(ctx, db.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, q := range []string{`DROP TABLE idempotency`, `DELETE FROM goose_db_version WHERE version_id = 600`} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Open(ctx, db.Options{Dir: dir, NoMigrate: true}); err == nil {
		t.Error("opened with a migration that has not run")
	}
	d = open()
	defer func() { _ = d.Close() }()
	var n int
	if err := d.Read(ctx).QueryRowContext(ctx, `SELECT count(*) FROM idempotency`).Scan(&n); err != nil {
		t.Errorf("the migration did not run: %v", err)
	}
}
