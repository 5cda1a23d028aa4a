package db

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"tocsin/internal/kit"
)

// Tx is a transaction that changes the database. Its facts are collected in it
// and written as the last act before the commit.
type Tx struct {
	bun.Tx
	db     *DB
	now    time.Time
	values map[any]any
	after  []func()
}

type txKey struct{ db *DB }

func (d *DB) txFrom(ctx context.Context) *Tx {
	tx, _ := ctx.Value(txKey{d}).(*Tx)
	return tx
}

// InTx tells whether the context carries a transaction of this database.
func (d *DB) InTx(ctx context.Context) bool { return d.txFrom(ctx) != nil }

// Write runs fn in a transaction and commits it. When the context already carries
// one, fn joins it and the outer call commits; an error then must travel out, and
// undoes all. On PostgreSQL fn runs again after a serialization failure or a
// deadlock: effects outside the database belong after Write, never inside.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if tx := d.txFrom(ctx); tx != nil {
		return fn(ctx, tx)
	}
	var err error
	for try := range 5 {
		if try > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(try*try) * 5 * time.Millisecond):
			}
		}
		if err = d.writeOnce(ctx, fn); !retryable(err) {
			return d.note(MapError(err))
		}
	}
	return MapError(err)
}

// note keeps that the disk is full, until a write goes through.
func (d *DB) note(err error) error {
	var e *kit.Error
	switch {
	case err == nil && d.refused.Load() != nil:
		d.refused.Store(nil)
		d.log.Info("the database can be written again")
	case errors.As(err, &e) && e.Reason == "disk_full" && d.refused.Swap(e) == nil:
		d.log.Error("the disk is full: nothing is taken until there is room", "error", err)
	}
	return err
}

// begin begins a transaction. Connections that the server ended while they lay in the
// pool are thrown away one by one: nothing was done on them.
func (d *DB) begin(ctx context.Context) (btx bun.Tx, err error) {
	for range maxWriters + 1 {
		if btx, err = d.write.BeginTx(ctx, nil); !ended(err) {
			break
		}
	}
	return btx, err
}

func (d *DB) writeOnce(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (err error) {
	btx, err := d.begin(ctx)
	if err != nil {
		return err
	}
	tx := &Tx{Tx: btx, db: d, now: d.Now()}
	done := false
	defer func() {
		if !done {
			_ = btx.Rollback()
		}
	}()
	inner := context.WithValue(ctx, txKey{d}, tx)
	if err = fn(inner, tx); err != nil {
		return err
	}
	if d.seal != nil {
		if err = d.seal(inner, tx); err != nil {
			return err
		}
	}
	done = true
	if err = btx.Commit(); err != nil {
		_ = btx.Rollback()
		return err
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// Snapshot runs fn on one unchanging view of the database: every Read with its
// context sees the same instant. Nothing may be written in it.
func (d *DB) Snapshot(ctx context.Context, fn func(ctx context.Context) error) error {
	if d.InTx(ctx) {
		return fn(ctx)
	}
	btx, err := d.read.BeginTx(ctx, &sql.TxOptions{Isolation: isolation(d), ReadOnly: d.dialect == PostgreSQL})
	if err != nil {
		return MapError(err)
	}
	defer func() { _ = btx.Rollback() }()
	return fn(context.WithValue(ctx, txKey{d}, &Tx{Tx: btx, db: d, now: d.Now()}))
}

// BeforeCommit sets what runs as the last act of every transaction; the ledger
// sets it once, when it is made.
func (d *DB) BeforeCommit(seal func(context.Context, *Tx) error) { d.seal = seal }

// Now is the instant of the transaction: every row and fact of it carries the same.
func (tx *Tx) Now() time.Time { return tx.now }

// NowIn is the instant of the transaction that the context carries, the present one
// where it carries none.
func (d *DB) NowIn(ctx context.Context) time.Time {
	if tx := d.txFrom(ctx); tx != nil {
		return tx.now
	}
	return d.Now()
}

// DB is the database of the transaction.
func (tx *Tx) DB() *DB { return tx.db }

// AfterCommit runs f once the transaction is durable; not after a rollback.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Value gives what a platform package keeps in the transaction under its key.
func (tx *Tx) Value(key any) any { return tx.values[key] }

// SetValue keeps a value of a platform package for the length of the transaction.
func (tx *Tx) SetValue(key, v any) {
	if tx.values == nil {
		tx.values = map[any]any{}
	}
	tx.values[key] = v
}

// Exec runs a fixed statement of a hot path, prepared once per connection. The
// text is written with $1, $2, … on both databases.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if tx.db.dialect == PostgreSQL {
		return tx.Tx.Tx.ExecContext(ctx, query, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
	}
	s, err := tx.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// Query is Exec for a statement that gives rows.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if tx.db.dialect == PostgreSQL {
		return tx.Tx.Tx.QueryContext(ctx, query, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
	}
	s, err := tx.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRow is Query for one row.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := tx.Query(ctx, query, args...)
	return &Row{rows: rows, err: err}
}

// Row is the answer of QueryRow.
type Row struct {
	rows *sql.Rows
	err  error
}

// Scan reads the row; sql.ErrNoRows when there is none.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer func() { _ = r.rows.Close() }()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}

// stmt prepares on the transaction's own connection (there is a single writer)
// and keeps the statement for the next transaction.
func (tx *Tx) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := tx.db.stmts.Load(query); ok {
		return tx.Tx.Tx.StmtContext(ctx, s.(*sql.Stmt)), nil
	}
	s, err := tx.Tx.Tx.PrepareContext(ctx, bare(query))
	if err != nil {
		return nil, err
	}
	tx.AfterCommit(func() { tx.db.keepStmt(query) })
	return s, nil
}

func (d *DB) keepStmt(query string) {
	if _, ok := d.stmts.Load(query); ok {
		return
	}
	s, err := d.write.DB.Prepare(bare(query))
	if err != nil {
		return
	}
	if _, loaded := d.stmts.LoadOrStore(query, s); loaded {
		_ = s.Close()
	}
}

var numbered = regexp.MustCompile(`\$[0-9]+`)

// bare writes question marks for the parameters of a statement that names them in
// order, each once: the driver of SQLite looks a name up for each of the others,
// which costs the square of their number.
func bare(query string) string {
	n := 0
	plain := numbered.ReplaceAllStringFunc(query, func(p string) string {
		if n++; p != "$"+strconv.Itoa(n) {
			n = -1 << 30
		}
		return "?"
	})
	if n < 0 {
		return query
	}
	return plain
}

// ForUpdate locks the selected rows until the end of the transaction. SQLite has
// one writer, which is the lock.
func (tx *Tx) ForUpdate(q *bun.SelectQuery) *bun.SelectQuery {
	if tx.db.dialect == PostgreSQL {
		return q.For("UPDATE")
	}
	return q
}

// NextNumber takes the next number of a series of references, from 1 without
// gaps: it is given back when the transaction is undone.
func (tx *Tx) NextNumber(ctx context.Context, prefix string) (int64, error) {
	var n int64
	err := tx.QueryRow(ctx, `INSERT INTO reference_counter (prefix, last) VALUES ($1, 1)
		ON CONFLICT (prefix) DO UPDATE SET last = reference_counter.last + 1 RETURNING last`, prefix).Scan(&n)
	return n, MapError(err)
}

// NextNumbers takes the next n numbers of a series at once and gives the first.
func (tx *Tx) NextNumbers(ctx context.Context, prefix string, n int) (int64, error) {
	var last int64
	err := tx.QueryRow(ctx, `INSERT INTO reference_counter (prefix, last) VALUES ($1, $2)
		ON CONFLICT (prefix) DO UPDATE SET last = reference_counter.last + excluded.last RETURNING last`, prefix, n).Scan(&last)
	return last - int64(n) + 1, MapError(err)
}

// NoRows turns sql.ErrNoRows into a not-found error of a kind and id, and maps
// every other error.
func NoRows(err error, kind, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return kit.NotFound(kind, id)
	}
	return MapError(err)
}

// Checkpoint moves the write-ahead log of SQLite into the file and truncates it,
// so that what was deleted is nowhere; nothing on PostgreSQL.
func (d *DB) Checkpoint(ctx context.Context) error {
	if d.dialect != SQLite || d.InTx(ctx) {
		return nil
	}
	_, err := d.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return MapError(err)
}
