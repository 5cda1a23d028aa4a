package ingest_test

import (
	"net/http"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/ingest"
)

// Every way in which a job may say that it ran, began or failed, and what is none.
func TestHeartbeat(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "cron", Kind: "heartbeat", Service: "payments", Key: "k-cron", SourceSettings: alert.SourceSettings{Every: 10 * time.Minute}})
		h.source(alert.SourceDef{ID: "og", Kind: "opsgenie", Key: "k-og"})
		live := func() (open int) {
			l, err := h.alerts.LiveOf(h.ctx, "cron")
			if err != nil {
				t.Fatal(err)
			}
			return len(l)
		}
		for _, c := range []struct {
			method, path, key string
			status, open      int
		}{
			{"GET", "/in/k-cron/heartbeat", "", 200, 0},
			{"HEAD", "/in/k-cron/heartbeat", "", 200, 0},
			{"POST", "/in/k-cron/heartbeat/", "", 200, 0},
			{"POST", "/in/k-cron/heartbeat/start", "", 200, 0},
			{"GET", "/in/k-cron/heartbeat/fail", "", 200, 1},
			{"POST", "/in/k-cron/heartbeat/fail", "", 200, 1},
			{"GET", "/in/k-cron/heartbeat/start", "", 200, 1},
			{"GET", "/in/k-cron/heartbeat", "", 200, 0},
			{"DELETE", "/in/k-cron/heartbeat", "", 405, 0},
			{"GET", "/in/k-cron/heartbeat/stop", "", 404, 0},
			{"GET", "/in/k-other/heartbeat", "", 401, 0},
			{"GET", "/in/" + amKey + "/heartbeat", "", 404, 0},
			{"GET", "/v2/heartbeats/cron/ping", "k-og", 202, 0},
			{"PUT", "/v2/heartbeats/cron/ping", "k-cron", 202, 0},
			{"POST", "/v2/heartbeats/other/ping", "k-og", 404, 0},
			{"POST", "/v2/heartbeats/other/ping", "k-cron", 404, 0},
			{"POST", "/v2/heartbeats/cron/ping", "k-wrong", 401, 0},
		} {
			var header []string
			if c.key != "" {
				header = []string{"Authorization", "GenieKey " + c.key}
			}
			resp, body := h.send(c.method, c.path, "", "", header...)
			if resp.StatusCode != c.status || live() != c.open {
				t.Errorf("%s %s: %d with %d alerts, want %d with %d: %s", c.method, c.path, resp.StatusCode, live(), c.status, c.open, body)
			}
		}
		resp, _ := h.send(http.MethodPost, "/in/k-cron/heartbeat", "text/plain", string(make([]byte, 2<<20)))
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a log of 2 MiB: %d", resp.StatusCode)
		}
	})
}
