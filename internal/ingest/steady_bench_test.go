package ingest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ingest"
)

// steadyMap reads the JSON of BenchmarkSteady.
var steadyMap = map[string]string{"dedup_key": "body.id", "title": "body.name", "state": "body.state", "severity": "body.severity"}

// steady is message i of a mix of seven protocols: each key fires and ends in turns.
func steady(i int64) (path, body, key string) {
	k, over := i%5000, (i/5000)%2 == 1
	status, ends, action := "firing", "0001-01-01T00:00:00Z", "trigger"
	if over {
		status, ends, action = "resolved", "2026-11-23T08:30:00Z", "resolve"
	}
	switch k % 7 {
	case 0:
		end := ""
		if over {
			end = `,"endsAt":"` + ends + `"`
		}
		return amPath, fmt.Sprintf(`[{"labels":{"alertname":"Down","instance":"h%d","severity":"critical"},"startsAt":"2026-11-23T08:00:00Z"%s}]`, k, end), ""
	case 1:
		return "/in/" + amKey + "/alertmanager/webhook", fmt.Sprintf(`{"version":"4","status":%q,"alerts":[{"status":%q,"labels":{"alertname":"Slow","instance":"h%d"},"startsAt":"2026-11-23T08:00:00Z","endsAt":%q}]}`, status, status, k, ends), ""
	case 2:
		return "/v2/enqueue", fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":"k%d","payload":{"summary":"Queue %d","source":"q","severity":"error"}}`, pdKey, action, k, k), ""
	case 3:
		if over {
			return fmt.Sprintf("/v2/alerts/og-%d/close?identifierType=alias", k), `{}`, "k-steady-og"
		}
		return "/v2/alerts", fmt.Sprintf(`{"message":"Job %d","alias":"og-%d","priority":"P2"}`, k, k), "k-steady-og"
	case 4:
		return "/in/k-steady-json/json", fmt.Sprintf(`{"id":"j%d","name":"Check %d","state":%q,"severity":"warning"}`, k, k, status), ""
	case 5:
		return "/in/k-steady-ce/cloudevents", fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/shop","type":"com.example.disk.%s","subject":"d%d","data":{"summary":"Disk %d"}}`, i, status, k, k), ""
	}
	return "/in/k-steady-gr/grafana", fmt.Sprintf(`{"alerts":[{"status":%q,"labels":{"alertname":"CPU","instance":"h%d"},"startsAt":"2026-11-23T08:00:00Z","endsAt":%q,"fingerprint":"f%d"}]}`, status, k, ends, k), ""
}

// BenchmarkSteady sends 1,000 alerts a second of seven protocols, each at its time
// whether the one before was answered or not: 20 seconds, or ten minutes with
// TOCSIN_BENCH_LONG=1. Nothing may be refused, memory stays flat.
func BenchmarkSteady(b *testing.B) {
	const perSecond = 1000
	length := 20 * time.Second
	if os.Getenv("TOCSIN_BENCH_LONG") != "" {
		length = 10 * time.Minute
	}
	h := build(b, dbtest.OpenSQLite(b, nil), ingest.Options{})
	for _, s := range []alert.SourceDef{
		{ID: "steady-og", Kind: "opsgenie", Key: "k-steady-og"},
		{ID: "steady-ce", Kind: "cloudevents", Key: "k-steady-ce"},
		{ID: "steady-gr", Kind: "grafana", Key: "k-steady-gr"},
		{ID: "steady-json", Kind: "json", Key: "k-steady-json", SourceSettings: alert.SourceSettings{Map: steadyMap}},
	} {
		if _, err := h.alerts.CreateSource(h.ctx, s); err != nil {
			b.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512}}
	defer client.CloseIdleConnections()
	send := func(i int64) error {
		path, body, key := steady(i)
		req, err := http.NewRequest(http.MethodPost, h.url+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		kind := "application/json"
		if strings.HasSuffix(path, "/cloudevents") {
			kind = "application/cloudevents+json"
		}
		req.Header.Set("Content-Type", kind)
		if key != "" {
			req.Header.Set("Authorization", "GenieKey "+key)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode/100 != 2 {
			err = fmt.Errorf("%s: %d %.200s", path, resp.StatusCode, answer)
		}
		return err
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		var refused atomic.Int64
		var mu sync.Mutex
		var times []time.Duration
		var wg sync.WaitGroup
		var early float64
		start := time.Now()
		total := int64(length.Seconds() * perSecond)
		for i := range total {
			at := start.Add(time.Duration(i) * time.Second / perSecond)
			time.Sleep(time.Until(at))
			if i == total/4 {
				early = heap() - float64(cap(times)*8)
			}
			wg.Go(func() {
				if err := send(i); err != nil {
					if refused.Add(1) < 5 {
						b.Log(err)
					}
					return
				}
				mu.Lock()
				times = append(times, time.Since(at))
				mu.Unlock()
			})
		}
		wg.Wait()
		took := time.Since(start)
		late := heap() - float64(cap(times)*8)
		slices.Sort(times)
		report(b, "refused", float64(refused.Load()), 0)
		report(b, "p99-ms", float64(times[len(times)*99/100].Microseconds())/1000, 100)
		report(b, "growth-MB", (late-early)/(1<<20), 16)
		b.ReportMetric(float64(len(times))/took.Seconds(), "alerts/s")
		b.ReportMetric(late/(1<<20), "heap-MB")
	}
}
