package db_test

import (
	"context"
	"errors"
	"fmt"
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

// TestCopyIntoKeepsEveryRow holds that rows of every count come over as they are,
// and that a target with a row in any table is refused.
func TestCopyIntoKeepsEveryRow(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, from *db.DB) {
		ctx := context.Background()
		const n = 600
		fill := func(d *db.DB, n int) {
			t.Helper()
			err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
				for i := range n {
					if _, err := tx.Exec(ctx, `INSERT INTO ledger_node (level, idx, hash) VALUES ($1, $2, $3)`, 8, int64(i), []byte{0, byte(i), byte(i >> 8), 0xff}); err != nil {
						return err
					}
					if _, err := tx.Exec(ctx, `INSERT INTO consumer (name, offset_seq) VALUES ($1, $2)`, fmt.Sprintf("d'é %d", i), int64(-i)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		fill(from, n)
		for name, open := range map[string]func(testing.TB, kit.Clock) *db.DB{"sqlite": dbtest.OpenSQLite, "postgres": dbtest.OpenPostgres} {
			to := open(t, nil)
			if err := db.CopyInto(ctx, from, to); err != nil {
				t.Fatalf("into %s: %v", name, err)
			}
			for i := range n {
				var hash []byte
				var offset int64
				if err := to.Read(ctx).QueryRowContext(ctx, `SELECT hash FROM ledger_node WHERE level = 8 AND idx = `+fmt.Sprint(i)).Scan(&hash); err != nil || string(hash) != string([]byte{0, byte(i), byte(i >> 8), 0xff}) {
					t.Fatalf("%s: row %d holds %x, %v", name, i, hash, err)
				}
				if err := to.Read(ctx).NewSelect().TableExpr("consumer").ColumnExpr("offset_seq").Where("name = ?", fmt.Sprintf("d'é %d", i)).Scan(ctx, &offset); err != nil || offset != int64(-i) {
					t.Fatalf("%s: row %d holds %d, %v", name, i, offset, err)
				}
			}
			used := open(t, nil)
			fill(used, 1)
			if err := db.CopyInto(ctx, from, used); kit.CodeOf(err) != kit.CodeConflict {
				t.Errorf("%s: into a database that holds a row: %v", name, err)
			}
		}
	})
}

func TestRememberedIsReadOnce(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		reads := 0
		ask := func(ctx context.Context) {
			if _, err := db.Memo(ctx, d, "key", func() (int, error) { reads++; return reads, nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, remember := range []bool{false, true} {
			reads = 0
			if err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
				for range 3 {
					if remember {
						tx.Remember()
					}
					ask(ctx)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{false: 3, true: 1}[remember]; reads != want {
				t.Errorf("remember %t: read %d times, want %d", remember, reads, want)
			}
		}
	})
}
