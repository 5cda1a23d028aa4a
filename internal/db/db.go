// Package db opens the database, runs its migrations and gives transactions. It
// is the only package that names a driver, and it holds the differences between
// SQLite and PostgreSQL that several modules meet.
//
// On SQLite there is one writer handle and a pool of readers; on PostgreSQL both
// are one pool. Instants are stored as integer microseconds (kit.Micros), JSON as
// text, internal ids as text.
package db

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"tocsin/internal/kit"
)

// Dialect is the kind of database.
type Dialect int

// The databases.
const (
	SQLite Dialect = iota
	PostgreSQL
)

// maxWriters is how many connections write on PostgreSQL: appends to the ledger form
// one queue, which more of them would only lengthen.
const maxWriters = 10

// Options say which database to open.
type Options struct {
	// URL is postgres://… for PostgreSQL; empty or "sqlite" for the file
	// tocsin.db in Dir.
	URL string
	// Dir is the data folder; made when it does not exist.
	Dir string
	// NoMigrate refuses an old schema instead of bringing it up to date.
	NoMigrate bool
	// ReadOnly opens a SQLite file for reading alone, without migrations.
	ReadOnly bool
	// Clock is the time; nil means the machine's.
	Clock kit.Clock
	// Log is where trouble is told; nil means slog.Default.
	Log *slog.Logger
}

// DB is an open database.
type DB struct {
	dialect Dialect
	write   *bun.DB
	read    *bun.DB
	clock   kit.Clock
	log     *slog.Logger
	url     string
	path    string

	seal  func(context.Context, *Tx) error
	stmts sync.Map // query text → *sql.Stmt of the write handle (SQLite)

	refused atomic.Pointer[kit.Error] // why the latest write failed, if for want of room

	skewMu sync.Mutex
	skew   time.Duration
}

// Open opens the database and brings its schema up to date under a lock.
func Open(ctx context.Context, o Options) (*DB, error) {
	d := &DB{clock: o.Clock, log: o.Log, url: o.URL}
	if d.clock == nil {
		d.clock = kit.SystemClock{}
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	var err error
	if IsPostgres(o.URL) {
		err = d.openPostgres(o)
	} else {
		err = d.openSQLite(o)
	}
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := d.migrate(ctx, o.NoMigrate); err != nil {
			_ = d.Close()
			return nil, err
		}
	}
	if d.dialect == PostgreSQL {
		if err := d.MeasureSkew(ctx); err != nil {
			_ = d.Close()
			return nil, err
		}
	}
	return d, nil
}

// IsPostgres tells whether a database URL names PostgreSQL.
func IsPostgres(u string) bool {
	return strings.HasPrefix(u, "postgres://") || strings.HasPrefix(u, "postgresql://")
}

func (d *DB) openSQLite(o Options) error {
	if o.URL != "" && o.URL != "sqlite" {
		return fmt.Errorf("database %q: want sqlite or postgres://…", redact(o.URL))
	}
	d.dialect = SQLite
	d.path = filepath.Join(o.Dir, "tocsin.db")
	if !o.ReadOnly {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	dsn := func(extra string) string {
		u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: d.path}).EscapedPath()}
		return u.String() + "?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)&_pragma=secure_delete(1)&_pragma=temp_store(memory)&_pragma=cache_size(-16384)" + extra
	}
	if o.ReadOnly {
		return d.openFile(d.path)
	}
	// The log is copied into the file every 8,000 pages (32 MB) instead of every 1,000:
	// pages that are written again and again in between are copied once.
	w, err := sql.Open("sqlite", dsn("&_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(8000)&_txlock=immediate"))
	if err != nil {
		return err
	}
	w.SetMaxOpenConns(1)
	w.SetConnMaxLifetime(0)
	r, err := sql.Open("sqlite", dsn("&_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	r.SetMaxOpenConns(4)
	r.SetMaxIdleConns(4)
	d.write = bun.NewDB(w, sqlitedialect.New())
	d.read = bun.NewDB(r, sqlitedialect.New())
	return nil
}

// openFile opens a SQLite file for reading alone.
func (d *DB) openFile(path string) error {
	d.dialect, d.path = SQLite, path
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	ro, err := sql.Open("sqlite", u.String()+"?mode=ro&_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		return err
	}
	ro.SetMaxOpenConns(4)
	d.write = bun.NewDB(ro, sqlitedialect.New())
	d.read = d.write
	return nil
}

var discard = slog.New(slog.DiscardHandler)

func (d *DB) openPostgres(o Options) error {
	d.dialect = PostgreSQL
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return fmt.Errorf("database URL: %w", err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "tocsin"
	}
	// A claim planned while its table was nearly empty must not keep that plan.
	cfg.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	w := stdlib.OpenDB(*cfg)
	w.SetMaxOpenConns(maxWriters)
	w.SetMaxIdleConns(maxWriters)
	r := stdlib.OpenDB(*cfg)
	r.SetMaxOpenConns(8)
	r.SetMaxIdleConns(8)
	d.write = bun.NewDB(w, pgdialect.New())
	d.read = bun.NewDB(r, pgdialect.New())
	return nil
}

// Close closes all handles.
func (d *DB) Close() error {
	d.stmts.Range(func(_, s any) bool { _ = s.(*sql.Stmt).Close(); return true })
	err := d.write.Close()
	if d.read != d.write {
		if e := d.read.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Dialect tells which database it is.
func (d *DB) Dialect() Dialect { return d.dialect }

// Path is the file of a SQLite database.
func (d *DB) Path() string { return d.path }

// URL is the address of a PostgreSQL database, with its password: never shown.
func (d *DB) URL() string { return d.url }

// Now is the time of the product's clock.
func (d *DB) Now() time.Time { return kit.Truncate(d.clock.Now()) }

// Clock is the product's clock.
func (d *DB) Clock() kit.Clock { return d.clock }

// Log is the logger.
func (d *DB) Log() *slog.Logger { return d.log }

// LeaseNow is the instant by which leases and due rows are judged: on PostgreSQL
// the product's clock corrected by the distance to the database's, so that nodes
// whose clocks differ agree.
func (d *DB) LeaseNow() time.Time {
	d.skewMu.Lock()
	defer d.skewMu.Unlock()
	return d.Now().Add(d.skew)
}

// MeasureSkew measures how far the database's clock is from the machine's. It
// does nothing on SQLite.
func (d *DB) MeasureSkew(ctx context.Context) error {
	if d.dialect != PostgreSQL {
		return nil
	}
	before := time.Now()
	var us int64
	if err := d.read.QueryRowContext(ctx, `SELECT (extract(epoch FROM clock_timestamp())*1000000)::bigint`).Scan(&us); err != nil {
		return MapError(err)
	}
	after := time.Now()
	skew := time.UnixMicro(us).Sub(before.Add(after.Sub(before) / 2))
	d.skewMu.Lock()
	defer d.skewMu.Unlock()
	// What the round trip may have hidden is no distance.
	if (skew - d.skew).Abs() >= 20*time.Millisecond+after.Sub(before)/2 {
		d.skew = skew.Truncate(time.Microsecond)
	}
	return nil
}

// Ping asks whether the database answers.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return MapError(d.read.QueryRowContext(ctx, `SELECT 1`).Scan(&one))
}

// Refused tells why the latest transaction could not be written when the cause is
// that the disk is full; nil once a write goes through again.
func (d *DB) Refused() *kit.Error { return d.refused.Load() }

// Read is where to read: the transaction that the context carries, else the read
// side, which sees what is committed.
func (d *DB) Read(ctx context.Context) bun.IDB {
	if tx := d.txFrom(ctx); tx != nil {
		return tx.Tx
	}
	return d.read
}

func redact(u string) string {
	p, err := url.Parse(u)
	if err != nil {
		return "…"
	}
	return p.Redacted()
}
