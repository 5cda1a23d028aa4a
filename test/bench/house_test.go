// Package bench measures the whole server against its targets, as ratios or times of
// one run. Each figure stands beside its target: "page-p50-ms" beside
// "page-p50-ms-target". Run it with make bench.
package bench_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
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

const routingKey = "0123456789abcdef0123456789abcdef"

// company has one person on duty with a webhook; group says which alerts make one
// incident.
const company = `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en]}
people:
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: admin, language: en, contact_methods: [{id: hook, kind: webhook, to: %q}]}
schedules: [{id: primary, rotations: [{people: [ana], start: "2026-01-05T09:00", shift: 1w}]}]
roles: {commander: [ana], communications: [ana], management: [ana]}
services: [{id: payments, name: {fr: Paiement, en: Payments}, owner: ana}]
sources:
  - {id: pd, kind: pagerduty, service: payments, key: %q}
routes:
  - {when: 'alert.severity == "info"', then: record}
  - {when: 'true', then: incident, severity: sev2, group: [%s], window: 10m}
`

type house struct {
	b     *testing.B
	app   *app.App
	pages *fake.Webhook
}

// eachDatabase runs a benchmark on SQLite and on PostgreSQL, with the machine's disk
// in earnest: make bench sets TOCSIN_TEST_FSYNC.
func eachDatabase(b *testing.B, fn func(b *testing.B, cfg app.Config)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, app.Config{Data: b.TempDir()}) })
	b.Run("postgres", func(b *testing.B) { fn(b, app.Config{Data: b.TempDir(), Database: dbtest.PostgresURL(b)}) })
}

// open runs the server in this process.
func open(b *testing.B, cfg app.Config, group string) *house {
	b.Helper()
	h := &house{b: b, pages: fake.NewWebhook(b)}
	cfg.Listen = "127.0.0.1:0"
	cfg.OutboundAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Log = slog.New(slog.DiscardHandler)
	a, err := app.New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	h.app = a
	if _, err := a.Apply(app.AsSystem(b.Context()), fmt.Appendf(nil, company, h.pages.URL, routingKey, group), kit.ApplyOptions{}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if rep, err := a.Ledger().Verify(context.Background(), ledger.VerifyOptions{}); err != nil || !rep.OK() {
			b.Errorf("ledger: %+v, %v", rep, err)
		}
		_ = a.Close()
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(a.BaseURL() + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return h
			}
		}
		if time.Now().After(end) {
			b.Fatal("not ready")
		}
	}
}

// trigger sends an alarm and returns when it is answered, which is when it is durable.
func (h *house) trigger(key string) {
	body := fmt.Sprintf(`{"routing_key":%q,"event_action":"trigger","dedup_key":%q,"payload":{"summary":"load %s","source":"bench","severity":"critical"}}`, routingKey, key, key)
	resp, err := http.Post(h.app.BaseURL()+"/v2/enqueue", "application/json", strings.NewReader(body))
	if err != nil {
		h.b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		h.b.Errorf("trigger: %s", resp.Status)
	}
}

// named are the alerts that the pages of the receiver name, with the instant of the
// first message that does.
func (h *house) named() (alerts map[string]time.Time, messages int) {
	alerts = map[string]time.Time{}
	for _, r := range h.pages.Requests() {
		if r.Type() != "page" || !r.Taken {
			continue
		}
		messages++
		var p struct {
			Data struct {
				Alerts []struct {
					Key string `json:"dedup_key"`
				} `json:"alerts"`
			} `json:"data"`
		}
		if err := r.JSON(&p); err != nil {
			h.b.Fatal(err)
		}
		for _, a := range p.Data.Alerts {
			if _, ok := alerts[a.Key]; !ok {
				alerts[a.Key] = r.At
			}
		}
	}
	return alerts, messages
}

// await waits until the pages name n alerts.
func (h *house) await(n int, within time.Duration) (map[string]time.Time, int) {
	h.b.Helper()
	for end := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		alerts, messages := h.named()
		if len(alerts) >= n {
			return alerts, messages
		}
		if time.Now().After(end) {
			h.b.Fatalf("%d of %d alerts are named in %d messages", len(alerts), n, messages)
		}
	}
}

// long tells whether the long form was asked for.
func long() bool { return os.Getenv("TOCSIN_BENCH_LONG") != "" }

func report(b *testing.B, name string, value, target float64) {
	b.Helper()
	b.ReportMetric(value, name)
	b.ReportMetric(target, name+"-target")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func quantile(v []time.Duration, q float64) time.Duration {
	slices.Sort(v)
	return v[min(len(v)-1, int(float64(len(v))*q))]
}
