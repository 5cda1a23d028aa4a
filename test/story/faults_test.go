package story_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// readyz gives the status of /readyz, 0 when nobody answers, and what it says.
func (h *remote) readyz() (int, string) {
	resp, err := http.Get(h.base + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw)
}

// trigger sends a signal and gives the status and the Retry-After of the answer.
func (h *remote) trigger(key string) (int, string) {
	h.t.Helper()
	body := fmt.Sprintf(`{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","dedup_key":%q,"payload":{"summary":"load %s","source":"test","severity":"critical"}}`, key, key)
	resp, err := http.Post(h.base+"/v2/enqueue", "application/json", strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

// named tells which of the keys stand in a page that was taken.
func named(t *testing.T, pages *fake.Webhook, keys ...string) (missing []string) {
	t.Helper()
	have := map[string]bool{}
	for _, r := range pages.Taken() {
		if r.Type() == "page" {
			for _, a := range readPage(t, r.Body).Data.Alerts {
				have[a.DedupKey] = true
			}
		}
	}
	for _, k := range keys {
		if !have[k] {
			missing = append(missing, k)
		}
	}
	return missing
}

// TestDiskFull lets the database file grow no more: senders are told to come again,
// nothing is half-written, and with room again all goes on without a restart.
func TestDiskFull(t *testing.T) {
	h := open(t, app.Config{Data: t.TempDir()})
	ctx := context.Background()
	limit := func(pages int) {
		t.Helper()
		if err := h.app.DB().Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			if pages == 0 {
				if err := tx.NewRaw(`PRAGMA page_count`).Scan(ctx, &pages); err != nil {
					return err
				}
			}
			var now int
			return tx.NewRaw(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)).Scan(ctx, &now)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if status, _ := h.trigger("before"); status != http.StatusAccepted {
		t.Fatal(status)
	}
	h.page("ana")
	limit(0)
	var answered []string
	refused := 0
	for n := 0; refused < 5; n++ {
		if n > 2000 {
			t.Fatal("the file never became full")
		}
		key := fmt.Sprintf("full-%d-%s", n, strings.Repeat("x", 200))
		switch status, retry := h.trigger(key); {
		case status == http.StatusAccepted:
			answered = append(answered, key)
		case status == http.StatusServiceUnavailable && retry != "":
			refused++
		default:
			t.Fatalf("status %d, Retry-After %q", status, retry)
		}
	}
	if status, why := h.readyz(); status != http.StatusServiceUnavailable || !strings.Contains(why, "disk is full") {
		t.Errorf("readyz: %d %s", status, why)
	}
	if status := h.call("POST", "/api/v1/incidents", map[string]any{"title": strings.Repeat("long ", 30)}, nil); status != http.StatusServiceUnavailable && status != http.StatusCreated {
		t.Errorf("declare on a full disk: %d", status)
	}
	if status := h.call("GET", "/api/v1/incidents", nil, nil); status != http.StatusOK {
		t.Errorf("reading on a full disk: %d", status)
	}
	if rep, err := h.app.Ledger().Verify(ctx, ledger.VerifyOptions{}); err != nil || !rep.OK() {
		t.Errorf("ledger: %+v, %v", rep, err)
	}
	limit(1 << 30)
	h.eventually("ready again", func() bool { status, _ := h.readyz(); return status == http.StatusOK })
	if status, _ := h.trigger("after"); status != http.StatusAccepted {
		t.Errorf("after: %d", status)
	}
	// Each signal that was answered with success is an alert, each other is none.
	h.eventually("all answered signals, and no other", func() bool {
		facts, err := h.app.Ledger().Facts(ctx, ledger.Filter{Types: []string{"alert.opened", "reaction.failed"}, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			if f.Type == "reaction.failed" {
				t.Fatalf("a reaction failed: %s", f.Body)
			}
		}
		return len(facts) == len(answered)+2
	})
	h.eventually("pages", func() bool { return len(named(t, h.pages, append(answered, "after")...)) == 0 })
}

// TestDatabaseGone stops PostgreSQL under the running program and starts it again.
func TestDatabaseGone(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a database server")
	}
	t.Parallel()
	pg := dbtest.NewServer(t)
	pages := fake.NewWebhook(t)
	place := []string{"--data", t.TempDir(), "--database", pg.URL}
	if _, stderr, code := run(t, append([]string{"apply", "-f", file(t, "company.yaml", fmt.Sprintf(company, pages.URL))}, place...)...); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	srv := serve(t, freeAddr(t), place...)
	token, stderr, code := run(t, append([]string{"token", "create", "--name", "story", "--role", "admin"}, place...)...)
	if code != 0 {
		t.Fatalf("token: %d %s", code, stderr)
	}
	h := &remote{t: t, base: "http://" + srv.addr, token: strings.TrimSpace(token)}
	if status, _ := h.trigger("before"); status != http.StatusAccepted {
		t.Fatal(status)
	}
	h.eventually("the first page", func() bool { return len(named(t, pages, "before")) == 0 })

	pg.Stop()
	if status, retry := h.trigger("meanwhile"); status != http.StatusServiceUnavailable || retry == "" {
		t.Errorf("signal without a database: %d, Retry-After %q", status, retry)
	}
	if status := h.call("GET", "/api/v1/incidents", nil, nil); status != http.StatusServiceUnavailable {
		t.Errorf("reading without a database: %d", status)
	}
	if status, why := h.readyz(); status != http.StatusServiceUnavailable || !strings.Contains(why, "database") {
		t.Errorf("readyz: %d %s", status, why)
	}
	// A key that the server does not know may be known to the database: a refusal
	// would make the sender give up.
	resp, err := http.Post(h.base+"/v2/enqueue", "application/json", strings.NewReader(
		`{"routing_key":"ffffffffffffffffffffffffffffffff","event_action":"trigger","payload":{"summary":"x","source":"x","severity":"critical"}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a key that cannot be looked up: %d", resp.StatusCode)
	}
	if status := h.call("GET", "/healthz", nil, nil); status != 0 && status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}

	pg.Start()
	h.ready()
	if status, _ := h.trigger("after"); status != http.StatusAccepted {
		t.Errorf("after: %d", status)
	}
	h.eventually("the page after", func() bool { return len(named(t, pages, "after")) == 0 })
	// With the listener connected again, nothing waits for the sweep of one second:
	// ten pages in a row by it would take ten.
	began := time.Now()
	for n := range 5 {
		key := fmt.Sprintf("again-%d", n)
		if status, _ := h.trigger(key); status != http.StatusAccepted {
			t.Errorf("%s: %d", key, status)
		}
		h.eventually(key, func() bool { return len(named(t, pages, key)) == 0 })
	}
	t.Logf("five pages in a row took %s", time.Since(began))
	srv.stop()
	if out, stderr, code := run(t, append([]string{"verify"}, place...)...); code != 0 {
		t.Errorf("verify: %d %s %s", code, out, stderr)
	}
}

// TestBesideServer runs the command line beside a server on one folder.
func TestBesideServer(t *testing.T) {
	t.Parallel()
	pages := fake.NewWebhook(t)
	data := t.TempDir()
	org := fmt.Sprintf(company, pages.URL)
	if _, stderr, code := run(t, "apply", "--data", data, "-f", file(t, "company.yaml", org)); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	srv := serve(t, freeAddr(t), "--data", data)
	h := &remote{t: t, base: "http://" + srv.addr}

	_, stderr, code := run(t, "serve", "--data", data, "--listen", freeAddr(t))
	if code != 1 || !strings.Contains(stderr, "another tocsin serves the folder") {
		t.Errorf("a second server: exit %d: %s", code, stderr)
	}
	token, stderr, code := run(t, "token", "create", "--data", data, "--name", "beside", "--role", "admin")
	if code != 0 {
		t.Fatalf("token: %d %s", code, stderr)
	}
	h.token = strings.TrimSpace(token)
	if status := h.call("GET", "/api/v1/me", nil, nil); status != http.StatusOK {
		t.Errorf("a token made beside the server: %d", status)
	}
	// A new source and a new rule are known at the first signal.
	const key = "fedcba9876543210fedcba9876543210"
	org = strings.Replace(org, "routes:\n", "  - {id: late, kind: pagerduty, service: payments, key: \""+key+"\"}\nroutes:\n  - {when: 'source.id == \"late\"', then: record}\n", 1)
	if _, stderr, code := run(t, "apply", "--data", data, "-f", file(t, "company.yaml", org)); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	resp, err := http.Post(h.base+"/v2/enqueue", "application/json", strings.NewReader(
		`{"routing_key":"`+key+`","event_action":"trigger","dedup_key":"late","payload":{"summary":"x","source":"x","severity":"critical"}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("the key of a new source: %d", resp.StatusCode)
	}
	var alerts struct{ Items []struct{ Incident *string } }
	h.must(http.StatusOK, "GET", "/api/v1/alerts?source=late", nil, &alerts)
	if len(alerts.Items) != 1 || alerts.Items[0].Incident != nil {
		t.Errorf("the new rule is not kept: %+v", alerts)
	}
	srv.stop()
}

// TestStopUnderLoad ends the process by SIGTERM while signals come: it ends well and
// in time, and has what it answered.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	pages := fake.NewWebhook(t)
	data := t.TempDir()
	if _, stderr, code := run(t, "apply", "--data", data, "-f", file(t, "company.yaml", onlyAna(pages.URL, `"service"`))); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	srv := serve(t, freeAddr(t), "--data", data)
	client := &http.Client{Timeout: 15 * time.Second}
	var answered sync.Map
	var n atomic.Int64
	var senders sync.WaitGroup
	for s := range 8 {
		senders.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("s%d-%d", s, i)
				switch event(client, srv.addr, key) {
				case http.StatusAccepted:
					answered.Store(key, true)
					n.Add(1)
				case 0:
					return
				}
			}
		})
	}
	(&remote{t: t, base: "http://" + srv.addr}).eventually("load", func() bool { return n.Load() > 200 })
	srv.stop()
	senders.Wait()
	d, err := db.OpenFile(context.Background(), filepath.Join(data, "tocsin.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	facts, err := ledger.New(d).Facts(context.Background(), ledger.Filter{Types: []string{"alert.opened"}, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string]bool{}
	for _, f := range facts {
		var b struct {
			Key string `json:"dedup_key"`
		}
		if err := f.Decode(&b); err != nil {
			t.Fatal(err)
		}
		opened[b.Key] = true
	}
	answered.Range(func(k, _ any) bool {
		if !opened[k.(string)] {
			t.Errorf("signal %s was answered and is lost", k)
		}
		return true
	})
}

// TestOldSchema refuses to serve a schema that is not up to date when it may not
// change it.
func TestOldSchema(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	a, err := app.Open(context.Background(), app.Config{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := sql.Open("sqlite", filepath.Join(data, "tocsin.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Exec(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	_, stderr, code := run(t, "serve", "--data", data, "--listen", freeAddr(t), "--migrate=false")
	if code == 0 || !strings.Contains(stderr, "schema") {
		t.Errorf("an old schema: exit %d: %s", code, stderr)
	}
}

// TestClockMoves puts the clock back and forth by an hour while an escalation runs:
// the ladder goes on after the time that was meant, or at once, never later.
func TestClockMoves(t *testing.T) {
	for name, by := range map[string]time.Duration{"back": -time.Hour, "forth": time.Hour} {
		t.Run(name, func(t *testing.T) {
			eachTimed(t, func(t *testing.T, h timed) {
				h.alert("TargetDown", "payments-1", true)
				h.page("ana")
				h.settle()
				before := h.last("page.opened", &struct{}{}).RecordedAt
				h.forward(4 * time.Minute)
				h.clock.Advance(by)
				if by < 0 {
					h.eventually("the step is recorded", func() bool {
						facts, err := h.app.Ledger().Facts(t.Context(), ledger.Filter{Types: []string{"clock_check.finished"}, Limit: 10})
						if err != nil {
							t.Fatal(err)
						}
						return len(facts) == 1
					})
				}
				h.settle()
				if paged := h.paged("paul"); paged != (by > 0) {
					t.Errorf("the second person is paged at once: %v", paged)
				}
				// A new alarm pages at once by the new clock.
				if status, _ := h.trigger("moved"); status != http.StatusAccepted {
					t.Fatal(status)
				}
				h.eventually("the page of the new alarm", func() bool { return len(named(t, h.pages, "moved")) == 0 })
				h.settle()
				if at := h.last("page.opened", &struct{}{}).RecordedAt; by < 0 && !at.Before(before) {
					t.Errorf("recorded at %s, which is not the clock's time", at)
				}
				// The escalation goes on to the second person a minute later, then to the
				// commander five minutes after.
				h.forward(time.Minute + time.Second)
				if !h.paged("paul") {
					t.Error("the second person is not paged in time")
				}
				if by < 0 && h.paged("camille") {
					t.Error("the commander is paged before the time")
				}
				h.forward(5*time.Minute + time.Second)
				if !h.paged("camille") {
					t.Error("the commander is not paged in time")
				}
				seen := map[string]int{}
				for _, r := range h.pages.Taken() {
					if seen[r.ID]++; seen[r.ID] > 1 {
						t.Errorf("message %s was sent twice", r.ID)
					}
				}
			})
		})
	}
}

// paged tells whether a page to the person went out.
func (h timed) paged(person string) bool {
	h.t.Helper()
	for _, r := range h.pages.Taken() {
		if r.Type() == "page" && readPage(h.t, r.Body).Data.Person == person {
			return true
		}
	}
	return false
}
