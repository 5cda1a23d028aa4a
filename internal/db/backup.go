package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tocsin/internal/kit"
)

// Backup writes a consistent copy of the database, while it is used, as one
// SQLite file. A PostgreSQL database is read in one repeatable transaction. It
// refuses a path where something is.
func (d *DB) Backup(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil {
		return kit.Conflict("exists", "error.file_exists", "path", path)
	}
	if d.dialect == SQLite {
		// A connection of its own: the readers may not write, the writer must not wait.
		own, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: d.path}).EscapedPath()}).String()+"?_pragma=busy_timeout(10000)")
		if err != nil {
			return kit.Internal(err)
		}
		defer func() { _ = own.Close() }()
		if _, err := own.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
			_ = os.Remove(path)
			return MapError(err)
		}
		return os.Chmod(path, 0o600)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".backup-")
	if err != nil {
		return kit.Internal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	to, err := Open(ctx, Options{Dir: dir, Clock: d.clock, Log: d.log})
	if err != nil {
		return err
	}
	err = CopyInto(ctx, d, to)
	if err == nil {
		err = to.Backup(ctx, path)
	}
	if e := to.Close(); err == nil {
		err = e
	}
	return err
}

// OpenFile opens a SQLite file, such as a backup, for reading alone.
func OpenFile(ctx context.Context, path string) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, kit.NotFound("file", path)
	}
	d := &DB{clock: kit.SystemClock{}, log: discard}
	if err := d.openFile(path); err != nil {
		return nil, err
	}
	if err := d.Ping(ctx); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// seeded are the tables that hold rows in a database that nobody has used: those of
// the migrations, and what opening it made. Nobody changes those without a fact, so
// that the ledger tells of it; the copy replaces them.
var seeded = []string{"ledger_head", "source", "alert_routes", "due_clock", "instance_secret"}

// CopyInto copies every table of one database into another one, which must be
// migrated and empty, in one transaction on each side. It refuses a target that
// holds a row in any table, with kit.CodeConflict.
func CopyInto(ctx context.Context, from, to *DB) error {
	tables, err := from.tables(ctx)
	if err != nil {
		return err
	}
	there, err := to.tables(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !slices.Contains(there, t) {
			return kit.Internal(fmt.Errorf("the target has no table %s: both must have the schema of this program", t))
		}
	}
	for _, t := range there {
		if slices.Contains(seeded, t) {
			continue
		}
		var full bool
		if err := to.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+quote(t)+`)`).Scan(&full); err != nil {
			return MapError(err)
		}
		if full {
			return kit.Conflict("not_empty", "error.database_not_empty")
		}
	}
	src, err := from.read.BeginTx(ctx, &sql.TxOptions{Isolation: isolation(from), ReadOnly: from.dialect == PostgreSQL})
	if err != nil {
		return MapError(err)
	}
	defer func() { _ = src.Rollback() }()
	return to.Write(ctx, func(ctx context.Context, tx *Tx) error {
		if to.dialect == SQLite {
			if _, err := tx.ExecContext(ctx, `PRAGMA defer_foreign_keys = ON`); err != nil {
				return err
			}
		}
		for _, t := range tables {
			if err := copyTable(ctx, src.Tx, tx, t); err != nil {
				return fmt.Errorf("table %s: %w", t, err)
			}
		}
		return to.resetSequences(ctx, tx)
	})
}

func isolation(d *DB) sql.IsolationLevel {
	if d.dialect == PostgreSQL {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// tables lists the tables in an order in which foreign keys can be satisfied:
// migrations create what is referred to first.
func (d *DB) tables(ctx context.Context) ([]string, error) {
	q := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY rowid`
	if d.dialect == PostgreSQL {
		q = `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind = 'r' AND n.nspname = current_schema() AND c.relname NOT LIKE 'goose_%' ORDER BY c.oid`
	}
	rows, err := d.read.QueryContext(ctx, q)
	if err != nil {
		return nil, MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, MapError(err)
		}
		out = append(out, name)
	}
	return out, MapError(rows.Err())
}

func copyTable(ctx context.Context, from *sql.Tx, to *Tx, table string) error {
	if slices.Contains(seeded, table) {
		if _, err := to.Exec(ctx, `DELETE FROM `+quote(table)); err != nil {
			return err
		}
	}
	rows, err := from.QueryContext(ctx, `SELECT * FROM `+quote(table))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	target, err := targetTypes(ctx, to, table)
	if err != nil {
		return err
	}
	in, err := newInserter(ctx, to, table, cols)
	if err != nil {
		return err
	}
	defer in.close()
	values, into := make([]any, len(cols)), make([]any, len(cols))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			values[i] = convert(v, target[cols[i].Name()])
		}
		if err := in.add(ctx, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return in.flush(ctx)
}

// copyRows and copyBytes bound what one statement of a copy writes.
const (
	copyRows  = 256
	copyBytes = 1 << 20
)

// inserter writes the rows of a table, many in one statement.
type inserter struct {
	to    *Tx
	head  string
	cols  int
	full  *sql.Stmt // of copyRows rows, kept prepared on SQLite
	rows  int
	bytes int
	args  []any
}

func newInserter(ctx context.Context, to *Tx, table string, cols []*sql.ColumnType) (*inserter, error) {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = quote(c.Name())
	}
	in := &inserter{to: to, cols: len(cols), head: fmt.Sprintf(`INSERT INTO %s (%s) `, quote(table), strings.Join(names, ", "))}
	if to.db.dialect == PostgreSQL {
		in.head += `OVERRIDING SYSTEM VALUE `
		return in, nil
	}
	var err error
	in.full, err = to.Tx.Tx.PrepareContext(ctx, in.text(copyRows))
	return in, err
}

// text is the statement for n rows. SQLite has bare question marks: the driver looks
// a name up for each of the others, which costs the square of their number.
func (in *inserter) text(n int) string {
	var b strings.Builder
	b.WriteString(in.head + "VALUES ")
	for i := range n * in.cols {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%in.cols == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		if in.to.db.dialect == PostgreSQL {
			fmt.Fprintf(&b, "$%d", i+1)
		} else {
			b.WriteString("?")
		}
	}
	b.WriteString(")")
	return b.String()
}

func (in *inserter) add(ctx context.Context, values []any) error {
	in.args = append(in.args, values...)
	in.rows++
	for _, v := range values {
		switch x := v.(type) {
		case string:
			in.bytes += len(x)
		case []byte:
			in.bytes += len(x)
		}
	}
	if in.rows == copyRows || in.bytes >= copyBytes {
		return in.flush(ctx)
	}
	return nil
}

func (in *inserter) flush(ctx context.Context) (err error) {
	switch {
	case in.rows == 0:
		return nil
	case in.rows == copyRows && in.full != nil:
		_, err = in.full.ExecContext(ctx, in.args...)
	default:
		_, err = in.to.Tx.Tx.ExecContext(ctx, in.text(in.rows), in.args...)
	}
	in.args, in.rows, in.bytes = in.args[:0], 0, 0
	return err
}

func (in *inserter) close() {
	if in.full != nil {
		_ = in.full.Close()
	}
}

// convert brings a value to what the target's column takes.
func convert(v any, column string) any {
	column = strings.ToUpper(column)
	switch x := v.(type) {
	case []byte:
		if column == "TEXT" {
			return string(x)
		}
		// Of an empty value the drivers may give a nil slice, which would become NULL.
		return append([]byte{}, x...)
	case string:
		if column == "BYTEA" || column == "BLOB" {
			return []byte(x)
		}
	case int64:
		if column == "BOOLEAN" || column == "BOOL" {
			return x != 0
		}
	}
	return v
}

func targetTypes(ctx context.Context, tx *Tx, table string) (map[string]string, error) {
	q := `SELECT name, type FROM pragma_table_info($1)`
	if tx.db.dialect == PostgreSQL {
		q = `SELECT column_name, udt_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`
	}
	rows, err := tx.Query(ctx, q, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			return nil, err
		}
		out[name] = typ
	}
	return out, rows.Err()
}

// resetSequences lets PostgreSQL's identity columns continue after the rows that
// were copied.
func (d *DB) resetSequences(ctx context.Context, tx *Tx) error {
	if d.dialect != PostgreSQL {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES'`)
	if err != nil {
		return err
	}
	var cols [][2]string
	for rows.Next() {
		var c [2]string
		if err := rows.Scan(&c[0], &c[1]); err != nil {
			return errors.Join(err, rows.Close())
		}
		cols = append(cols, c)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, c := range cols {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`SELECT setval(pg_get_serial_sequence('%s', '%s'), greatest((SELECT coalesce(max(%s), 0) FROM %s), 1))`,
			c[0], c[1], quote(c[1]), quote(c[0]))); err != nil {
			return err
		}
	}
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
