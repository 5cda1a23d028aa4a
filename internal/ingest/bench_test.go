package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ingest"
	"tocsin/internal/kit"
)

type load struct {
	rate     float64
	p50, p99 time.Duration
}

// run lets n senders post for a while, each its next body as soon as it has its
// answer.
func run(b *testing.B, n int, d time.Duration, url string, body func(i int64) string) load {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	var seq atomic.Int64
	var wg sync.WaitGroup
	times := make([][]time.Duration, n)
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			for time.Since(start) < d {
				t := time.Now()
				resp, err := client.Post(url, "application/json", strings.NewReader(body(seq.Add(1))))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
				times[i] = append(times[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	all := slices.Concat(times...)
	if len(all) == 0 {
		b.Fatal("nothing was answered")
	}
	slices.Sort(all)
	return load{float64(len(all)) / took.Seconds(), all[len(all)/2], all[len(all)*99/100]}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func report(b *testing.B, name string, value, target float64) {
	b.Helper()
	b.ReportMetric(value, name)
	b.ReportMetric(target, name+"-target")
}

// BenchmarkIngest compares the durable path, from the socket to the commit and
// back, with a server that only decodes and encodes the same JSON, in turns in
// the same run. Run it with -benchtime 1x and TOCSIN_TEST_FSYNC=1.
func BenchmarkIngest(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchIngest(b, dbtest.OpenSQLite(b, nil)) })
	b.Run("postgres", func(b *testing.B) { benchIngest(b, dbtest.OpenPostgres(b, nil)) })
}

func benchIngest(b *testing.B, d *db.DB) {
	const rounds, length = 5, 2 * time.Second
	h := build(b, d, ingest.Options{Rate: 1e9, Burst: 1e9})
	routes := []alert.Route{
		{When: `alert.severity == "info"`, Then: alert.ThenRecord},
		{When: `alert.labels["env"] != "prod"`, Then: alert.ThenSuppress},
		{When: `true`, Then: alert.ThenIncident, Severity: "sev3", Group: []string{"service", "alertname"}},
	}
	if err := h.alerts.SetRoutes(h.ctx, routes, 0); err != nil {
		b.Fatal(err)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}))
	defer echo.Close()
	var total atomic.Int64
	body := func(int64) string {
		n := total.Add(1)
		return fmt.Sprintf(`[{"labels":{"alertname":"Down","env":"prod","instance":"host-%d","job":"node","severity":"critical","service":"payments"},`+
			`"annotations":{"summary":"host %d is down"},"startsAt":"2026-11-23T08:00:00Z","generatorURL":"http://prom.example.test/graph?g0.expr=up"}]`, n, n)
	}
	// The webhook is the path without an end for each alert; the API adds a due row.
	hook := func(i int64) string { return `{"alerts":` + body(i) + `}` }
	for b.Loop() {
		var ratios, one, p99, api []float64
		var lastEcho, last load
		for range rounds {
			lastEcho = run(b, 64, length, echo.URL, hook)
			last = run(b, 64, length, h.url+"/in/"+amKey+"/alertmanager/webhook", hook)
			ratios = append(ratios, last.rate/lastEcho.rate)
			p99 = append(p99, float64(last.p99.Microseconds())/1000)
			withEnd := run(b, 64, length, h.url+amPath, body)
			api = append(api, withEnd.rate/lastEcho.rate)
			e := run(b, 1, length/2, echo.URL, body)
			c := commit(b, d, length/2)
			i := run(b, 1, length/2, h.url+amPath, body)
			one = append(one, float64(i.p50)/float64(e.p50+c))
		}
		ofEcho := 0.30
		if d.Dialect() == db.PostgreSQL {
			ofEcho = 0.22
		}
		report(b, "of-echo", median(ratios), ofEcho)
		b.ReportMetric(median(api), "of-echo-with-end")
		report(b, "p99-ms", median(p99), 100)
		report(b, "one-sender", median(one), 3)
		b.ReportMetric(last.rate, "alerts/s")
		b.ReportMetric(lastEcho.rate, "echo/s")
	}
	l, err := h.alerts.Stats(h.ctx)
	if err != nil || int64(l.Open) > total.Load() || l.Open == 0 {
		b.Fatalf("%+v %v", l, err)
	}
}

// commit is the median time of a transaction that writes one row.
func commit(b *testing.B, d *db.DB, length time.Duration) time.Duration {
	b.Helper()
	ctx := kit.WithActor(context.Background(), kit.System(kit.ViaIngest))
	var times []time.Duration
	for start := time.Now(); time.Since(start) < length; {
		t := time.Now()
		err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.NextNumber(ctx, "BENCH")
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(t))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkFilled compares a database of 100,000 open alerts, or of a million with
// TOCSIN_BENCH_LONG=1, with the same one before: what comes in from 64 senders with what
// came in while it was empty, what each costs with what it cost among 10,000, and the
// first page of 100 alerts with the one among 10,000.
func BenchmarkFilled(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchFilled(b, dbtest.OpenSQLite(b, nil)) })
	b.Run("postgres", func(b *testing.B) { benchFilled(b, dbtest.OpenPostgres(b, nil)) })
}

func benchFilled(b *testing.B, d *db.DB) {
	h := build(b, d, ingest.Options{Rate: 1e9, Burst: 1e9})
	var total atomic.Int64
	hook := func(int64) string {
		return fmt.Sprintf(`{"alerts":[{"labels":{"alertname":"Down","instance":"host-%d"},"startsAt":"2026-11-23T08:00:00Z"}]}`, total.Add(1))
	}
	rate := func() float64 {
		var rates []float64
		for range 3 {
			rates = append(rates, run(b, 64, time.Second, h.url+"/in/"+amKey+"/alertmanager/webhook", hook).rate)
		}
		return median(rates)
	}
	stored, stores := 0, 100_000
	if os.Getenv("TOCSIN_BENCH_LONG") != "" {
		stores = 1_000_000
	}
	fill := func(n int) {
		for stored < n {
			batch := make([]alert.Signal, 2000)
			for i := range batch {
				batch[i] = alert.Signal{Source: "prometheus", DedupKey: fmt.Sprint("stored-", stored), Action: alert.Trigger, Title: "t", Severity: alert.Error}
				stored++
			}
			if _, err := h.alerts.Ingest(h.ctx, batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	page := func() float64 {
		var took []float64
		for range 50 {
			start := time.Now()
			l, err := h.alerts.List(h.ctx, alert.Filter{State: alert.StateOpen}, kit.Page{Limit: 100})
			if err != nil || len(l.Items) != 100 || !l.TotalIsMinimum {
				b.Fatalf("%d of %d, %v", len(l.Items), l.Total, err)
			}
			took = append(took, float64(time.Since(start)))
		}
		return median(took)
	}
	for b.Loop() {
		empty := rate()
		fill(10_000)
		few, some := page(), rate()
		fill(stores)
		many, full := page(), rate()
		report(b, "ingest-of-empty", full/empty, 0.7)
		report(b, "cost-of-few", some/full, 1.5)
		report(b, "page-of-few", many/few, 1.5)
	}
}
