// Package story runs the whole server: one file, one story.
package story_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// house is a running server with a small company in it.
type house struct {
	remote
	app   *app.App
	pages *fake.Webhook
}

const company = `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en]}
people:
  - {id: camille, name: Camille Roy, email: camille@example.com, access: admin, contact_methods: [{id: hook, kind: webhook, to: "%[1]s/camille"}]}
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: responder, language: en, contact_methods: [{id: hook, kind: webhook, to: "%[1]s/ana"}]}
  - {id: paul, name: Paul Durand, email: paul@example.com, access: responder, contact_methods: [{id: hook, kind: webhook, to: "%[1]s/paul"}]}
schedules:
  - {id: primary, name: {fr: Astreinte principale, en: Primary on-call}, rotations: [{people: [ana], start: "2026-01-05T09:00", shift: 1w}]}
  - {id: secondary, name: {fr: Astreinte secondaire, en: Secondary on-call}, rotations: [{people: [paul], start: "2026-01-05T09:00", shift: 1w}]}
roles: {commander: [camille], communications: [camille], management: [camille]}
policies:
  - id: default
    steps:
      - {after: 0s, page: ["schedule:primary"]}
      - {after: 5m, page: ["schedule:secondary"]}
      - {after: 10m, page: ["role:commander"]}
    repeat: 2
services:
  - {id: payments, name: {fr: Paiement, en: Payments}, owner: ana, tier: critical, policy: default, public: true}
sources:
  - {id: prometheus, kind: alertmanager, service: payments, key: "k-prometheus"}
  - {id: pd, kind: pagerduty, service: payments, key: "0123456789abcdef0123456789abcdef"}
routes:
  - {when: 'alert.severity == "info"', then: record}
  - {when: 'true', then: incident, severity: sev2, group: ["service", "alertname"], window: 10m}
`

// eachDatabase runs a story on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, open(t, app.Config{Data: t.TempDir()})) })
	t.Run("postgres", func(t *testing.T) {
		fn(t, open(t, app.Config{Data: t.TempDir(), Database: dbtest.PostgresURL(t)}))
	})
}

func open(t *testing.T, cfg app.Config) *house {
	t.Helper()
	h := &house{remote: remote{t: t}, pages: fake.NewWebhook(t)}
	cfg.Listen, cfg.SMTPListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.OutboundAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.app, h.base = a, a.BaseURL()
	ctx := app.AsSystem(context.Background())
	if _, err := a.Apply(ctx, []byte(fmt.Sprintf(company, h.pages.URL)), kit.ApplyOptions{}); err != nil {
		t.Fatalf("apply: %v", err)
	}
	if h.token, _, err = a.Identity.CreateToken(ctx, identity.NewToken{Name: "story", Access: kit.AccessAdmin}); err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		rep, err := a.Ledger().Verify(context.Background(), ledger.VerifyOptions{})
		if err != nil || !rep.OK() {
			t.Errorf("ledger: %+v, %v", rep, err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	h.ready()
	return h
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// alert sends what Prometheus sends.
func (h *house) alert(name, instance string, firing bool) {
	h.t.Helper()
	now := time.Now().UTC()
	end := now.Add(4 * time.Minute)
	if !firing {
		end = now.Add(-time.Second)
	}
	body := fmt.Sprintf(`[{"labels":{"alertname":%q,"instance":%q,"severity":"critical"},"annotations":{"summary":"%s is down"},"startsAt":%q,"endsAt":%q,"generatorURL":"http://prometheus.example/graph"}]`,
		name, instance, instance, now.Add(-time.Minute).Format(time.RFC3339Nano), end.Format(time.RFC3339Nano))
	resp, err := http.Post(h.app.BaseURL()+"/in/k-prometheus/alertmanager/api/v2/alerts", "application/json", strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("alert: %d %s", resp.StatusCode, raw)
	}
}

// types gives the types of the facts of an incident, in order.
func (h *house) types(incident string) []string {
	h.t.Helper()
	facts, err := h.app.Ledger().Facts(context.Background(), ledger.Filter{Incident: incident})
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, f := range facts {
		out = append(out, f.Type)
	}
	return out
}

// page waits for the first page to a person.
func (h *house) page(person string) page {
	h.t.Helper()
	var found page
	h.pages.Wait(h.t, 15*time.Second, func(all []fake.Request) bool {
		for _, r := range all {
			if r.Type() != "page" {
				continue
			}
			if p := readPage(h.t, r.Body); p.Data.Person == person {
				found = p
				return true
			}
		}
		return false
	})
	return found
}
