// Package dbtest gives every store test the same body on both databases.
//
// SQLite always runs. PostgreSQL runs on the server that TOCSIN_TEST_POSTGRES
// names, or on one that the package starts itself in a temporary folder with
// initdb; where there is neither, the PostgreSQL half is skipped, unless
// TOCSIN_REQUIRE_ALL is set, which makes that a failure.
package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Clock is a clock that a test moves by hand.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock makes a clock that stands at t.
func NewClock(t time.Time) *Clock { return &Clock{t: kit.Truncate(t)} }

// Now implements kit.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Set moves the clock to t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	c.t = kit.Truncate(t)
	c.mu.Unlock()
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// Each runs the test on an empty, migrated database of each kind. A nil clock is
// the machine's.
func Each(t *testing.T, clock kit.Clock, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, OpenSQLite(t, clock)) })
	t.Run("postgres", func(t *testing.T) { fn(t, OpenPostgres(t, clock)) })
}

// OpenSQLite opens an empty SQLite database in a temporary folder.
func OpenSQLite(t testing.TB, clock kit.Clock) *db.DB {
	t.Helper()
	return open(t, db.Options{Dir: t.TempDir(), Clock: clock})
}

// OpenPostgres opens an empty PostgreSQL database, or skips the test (see the
// package's comment).
func OpenPostgres(t testing.TB, clock kit.Clock) *db.DB {
	t.Helper()
	return open(t, db.Options{URL: PostgresURL(t), Dir: t.TempDir(), Clock: clock})
}

func open(t testing.TB, o db.Options) *db.DB {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	d, err := db.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Required tells whether nothing may be skipped.
func Required() bool { return os.Getenv("TOCSIN_REQUIRE_ALL") != "" }

// Skip skips a test for want of something on the machine, or fails it where
// nothing may be skipped.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if Required() {
		t.Fatalf("TOCSIN_REQUIRE_ALL is set: "+format, args...)
	}
	t.Skipf(format, args...)
}

var (
	serverOnce sync.Once
	serverURL  string
	serverErr  error
	templateMu sync.Mutex
	template   string
	cloneSeq   int
)

// PostgresURL makes a database of its own for the test, cloned from a migrated
// template, and gives its URL.
func PostgresURL(t testing.TB) string {
	t.Helper()
	serverOnce.Do(func() { serverURL, serverErr = startServer() })
	if serverErr != nil {
		Skip(t, "no PostgreSQL: %v", serverErr)
	}
	templateMu.Lock()
	defer templateMu.Unlock()
	admin, err := sql.Open("pgx", serverURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if template == "" {
		name := fmt.Sprintf("tocsin_template_%d", os.Getpid())
		if _, err := admin.Exec("DROP DATABASE IF EXISTS " + name); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
			t.Fatal(err)
		}
		d, err := db.Open(context.Background(), db.Options{URL: withDatabase(serverURL, name), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			t.Fatalf("migrate template: %v", err)
		}
		_ = d.Close()
		template = name
	}
	cloneSeq++
	name := fmt.Sprintf("tocsin_test_%d_%d", os.Getpid(), cloneSeq)
	if _, err := admin.Exec("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a, err := sql.Open("pgx", serverURL)
		if err != nil {
			return
		}
		defer func() { _ = a.Close() }()
		_, _ = a.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
	})
	return withDatabase(serverURL, name)
}

func withDatabase(u, name string) string {
	p, _ := url.Parse(u)
	p.Path = "/" + name
	return p.String()
}

// startServer uses the server of TOCSIN_TEST_POSTGRES or starts one that ends
// with the test process.
func startServer() (string, error) {
	if u := os.Getenv("TOCSIN_TEST_POSTGRES"); u != "" {
		return u, nil
	}
	s, err := makeServer()
	if err != nil {
		return "", err
	}
	return s.URL, s.start()
}

// Server is a PostgreSQL server of a test's own, which it may stop and start.
type Server struct {
	// URL is its database postgres, empty at first.
	URL string

	t         testing.TB
	bin, data string
	port      int
	cred      *syscall.Credential
	cmd       *exec.Cmd
}

// NewServer starts a server of the test's own, or skips the test (see the package's
// comment).
func NewServer(t testing.TB) *Server {
	t.Helper()
	s, err := makeServer()
	if err == nil {
		err = s.start()
	}
	if err != nil {
		Skip(t, "no PostgreSQL: %v", err)
	}
	s.t = t
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(filepath.Dir(s.data))
	})
	return s
}

// Stop ends the server at once, breaking every connection.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Start starts the server again, at its address and with its data.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

func makeServer() (*Server, error) {
	s := &Server{bin: findBin()}
	if s.bin == "" {
		return nil, fmt.Errorf("initdb is not installed")
	}
	sweepServers()
	dir, err := os.MkdirTemp("", fmt.Sprintf("tocsin-pg-%d-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	s.data = filepath.Join(dir, "data")
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data, "-U", "tocsin", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	s.URL = fmt.Sprintf("postgres://tocsin@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	return s, nil
}

func (s *Server) start() error {
	dir := filepath.Dir(s.data)
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data, "-p", strconv.Itoa(s.port), "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "fsync="+fsync(), "-c", "full_page_writes="+fsync())
	s.cmd.Dir = dir
	// The server ends when this process does, however it ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGQUIT}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		d, err := sql.Open("pgx", s.URL)
		if err == nil {
			err = d.Ping()
			_ = d.Close()
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres did not start: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// sweepServers removes the folders of test processes that are no more: a process
// cannot remove its own, since its server ends after it.
func sweepServers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "tocsin-pg-*-*"))
	for _, d := range dirs {
		pid, err := strconv.Atoi(strings.Split(filepath.Base(d), "-")[2])
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(d)
		}
	}
}

// fsync is off in tests, which never lose power; benchmarks ask for the truth.
func fsync() string {
	if os.Getenv("TOCSIN_TEST_FSYNC") != "" {
		return "on"
	}
	return "off"
}

func findBin() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	sort.Slice(dirs, func(i, j int) bool { return version(dirs[i]) > version(dirs[j]) })
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "initdb")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(d, "postgres")); err == nil {
			return d
		}
	}
	return ""
}

func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(strings.TrimSuffix(dir, "/bin")))
	return n
}
