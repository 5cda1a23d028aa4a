package story_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// before is what an installation of the first schema held: made on 25 November 2026 by
// running the program of that day. INC-1 is in review; INC-2 rose from an alert, ana's
// page is open, paul is paged two hours after her, by a due row.
var before = map[string]struct{ token, ack string }{
	"sqlite":   {"toc_-Y5IINOJANF56wIdTPgMl8-VP4znwZmcYmlpTXqYesY", "uMM9QTOYl_Qdc-abNoOkrL_xbf5Qie2I"},
	"postgres": {"toc_NNtilol5NZnO0vosx1TDObvQAYNRI8e8-W46M5vdgYw", "Ja7m2Xv8EGrc0I64MrJFjZoYQBdEx-6n"},
}

func unpack(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "before", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lay puts the old installation into an empty place.
func lay(t *testing.T, name string) app.Config {
	t.Helper()
	cfg := app.Config{Data: t.TempDir(), Database: "sqlite"}
	put := func(file string, data []byte) {
		if err := os.WriteFile(filepath.Join(cfg.Data, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if name == "sqlite" {
		key, err := os.ReadFile("testdata/before/sqlite.key")
		if err != nil {
			t.Fatal(err)
		}
		put("tocsin.db", unpack(t, "sqlite.db.gz"))
		put("token.key", key)
		return cfg
	}
	cfg.Database = dbtest.PostgresURL(t)
	c, err := sql.Open("pgx", cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	c.SetMaxOpenConns(1)
	if _, err := c.Exec("DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(string(unpack(t, "postgres.sql.gz"))); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// An installation of the first schema is brought up to date at the start, and what it
// was in the middle of goes on: its record verifies, its tokens and links work, the
// page that was due then leaves.
func TestUpgrade(t *testing.T) {
	for name, old := range before {
		t.Run(name, func(t *testing.T) {
			cfg := lay(t, name)
			clock := dbtest.NewClock(time.Date(2026, 11, 25, 7, 0, 0, 0, time.UTC))
			h := &house{remote: remote{t: t, token: old.token}, pages: fake.NewWebhook(t)}
			cfg.Clock, cfg.Listen = clock, "127.0.0.1:0"
			cfg.OutboundAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			cfg.NoMigrate = true
			if a, err := app.New(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "--migrate=false") {
				if a != nil {
					_ = a.Close()
				}
				t.Fatalf("an old schema was not refused: %v", err)
			}
			cfg.NoMigrate = false
			a, err := app.New(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			h.app, h.base = a, a.BaseURL()
			system := app.AsSystem(context.Background())
			verify := func() int64 {
				t.Helper()
				rep, err := a.Ledger().Verify(context.Background(), ledger.VerifyOptions{})
				if err != nil || !rep.OK() {
					t.Fatalf("ledger: %+v, %v", rep, err)
				}
				return rep.Facts
			}
			facts := verify()
			// The receiver of that day is gone: ana and paul are reached by another.
			if _, err := a.Apply(system, []byte(strings.ReplaceAll(company[:strings.Index(company, "schedules:")], "%[1]s", h.pages.URL)), kit.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			run, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- a.Run(run) }()
			t.Cleanup(func() {
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if n := verify(); n <= facts {
					t.Errorf("%d facts, %d before", n, facts)
				}
				_ = a.Close()
			})
			h.ready()
			var i struct{ ID, Phase, Severity string }
			if status := h.call(http.MethodGet, "/api/v1/incidents/INC-1", nil, &i); status != http.StatusOK || i.Phase != "review" || i.Severity != "sev2" {
				t.Errorf("INC-1: %d %+v", status, i)
			}
			if got := h.types(i.ID); !slices.Contains(got, "review.created") || !slices.Contains(got, "task.created") {
				t.Errorf("its timeline: %v", got)
			}
			if status := h.call(http.MethodPost, "/api/v1/incidents/INC-1/notes", map[string]string{"text": "after"}, nil); status != http.StatusOK {
				t.Errorf("a note on it: %d", status)
			}
			if status := h.call(http.MethodGet, "/api/v1/incidents/INC-1/report?format=zip", nil, nil); status != http.StatusOK {
				t.Errorf("its record: %d", status)
			}
			clock.Advance(2 * time.Hour)
			h.eventually("the page of paul that was due", func() bool {
				return slices.ContainsFunc(h.pages.Requests(), func(r fake.Request) bool { return r.Path == "/paul" })
			})
			res, err := http.Post(h.base+"/a/"+old.ack, "application/x-www-form-urlencoded", strings.NewReader("answer=accept"))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			var two struct{ Phase string }
			h.eventually("INC-2 taken by the old link", func() bool {
				return h.call(http.MethodGet, "/api/v1/incidents/INC-2", nil, &two) == http.StatusOK && two.Phase == "assessment"
			})
		})
	}
}
