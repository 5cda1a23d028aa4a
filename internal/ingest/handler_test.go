package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/finding"
	"tocsin/internal/ingest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type allow struct{}

func (allow) Require(context.Context, kit.Use, ...kit.Role) error { return nil }

type limits struct{}

func (limits) Limits(context.Context) (finding.Limits, error) {
	return finding.Limits{Severity: finding.High}, nil
}

const (
	amKey = "k-prometheus"
	pdKey = "0123456789abcdef0123456789abcdef"
	pdTwo = "fedcba9876543210fedcba9876543210"
)

type house struct {
	t      testing.TB
	d      *db.DB
	l      *ledger.Ledger
	alerts *alert.Service
	change *change.Service
	url    string
	ctx    context.Context
	seen   int
}

func build(t testing.TB, d *db.DB, o ingest.Options) *house {
	h := &house{t: t, d: d, l: ledger.New(d), alerts: alert.New(d, allow{}), change: change.New(d, allow{})}
	h.ctx = kit.WithActor(context.Background(), kit.System(kit.ViaApply))
	for _, s := range []alert.SourceDef{
		{ID: "prometheus", Kind: "alertmanager", Service: "payments", Key: amKey},
		{ID: "pd", Kind: "pagerduty", Service: "payments", Key: pdKey},
		{ID: "pd2", Kind: "pagerduty", Key: pdTwo},
	} {
		if _, err := h.alerts.CreateSource(h.ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.alerts.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.alerts.Stop)
	o.Clock = d.Clock()
	srv := httptest.NewServer(ingest.Handler(h.alerts, h.change, finding.New(d, allow{}, limits{}), o))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	h.seen = 3
	return h
}

func each(t *testing.T, o ingest.Options, fn func(t *testing.T, h *house)) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) { fn(t, build(t, d, o)) })
}

func (h *house) send(method, path, contentType, body string, header ...string) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, strings.TrimSpace(string(b))
}

// source adds a source to the house.
func (h *house) source(d alert.SourceDef) {
	h.t.Helper()
	if _, err := h.alerts.CreateSource(h.ctx, d); err != nil {
		h.t.Fatal(err)
	}
	h.seen++
}

// count is how many facts there are.
func (h *house) count() int {
	h.t.Helper()
	all, err := h.l.Facts(h.ctx, ledger.Filter{})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(all)
}

// captures finds what real tools sent. They stand beside the project; TOCSIN_SHARED
// names another place.
func captures(t testing.TB, dir, pattern string) []string {
	t.Helper()
	root := os.Getenv("TOCSIN_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	files, err := filepath.Glob(filepath.Join(root, "testdata", "real", dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 && dbtest.Required() {
		t.Fatalf("no captures in %s", dir)
	}
	return files
}

func (h *house) facts(want ...string) {
	h.t.Helper()
	all, err := h.l.Facts(h.ctx, ledger.Filter{})
	if err != nil {
		h.t.Fatal(err)
	}
	var got []string
	for _, f := range all[h.seen:] {
		got = append(got, f.Type)
	}
	h.seen = len(all)
	if !slices.Equal(got, want) {
		h.t.Fatalf("facts %v, want %v", got, want)
	}
}

const amPath = "/in/" + amKey + "/alertmanager/api/v2/alerts"

func TestAlertmanagerReplies(t *testing.T) {
	each(t, ingest.Options{Version: "1"}, func(t *testing.T, h *house) {
		ok := `{"labels":{"alertname":"%s"}}`
		for _, c := range []struct {
			name, path, contentType, body string
			status                        int
			reply                         string
			facts                         []string
		}{
			{"valid", amPath, "application/json", "[" + fmt.Sprintf(ok, "A") + "]", 200, "", []string{"alert.opened"}},
			{"repeat", amPath, "application/json", "[" + fmt.Sprintf(ok, "A") + "]", 200, "", nil},
			{"slash", amPath + "/", "application/json; charset=utf-8", "[" + fmt.Sprintf(ok, "B") + "]", 200, "", []string{"alert.opened"}},
			{"empty array", amPath, "application/json", "[]", 200, "", nil},
			{"object", amPath, "application/json", "{}", 400, `{"code":400,"message":"parsing alerts body`, nil},
			{"bad JSON", amPath, "application/json", "[{", 400, `{"code":400,"message":"parsing alerts body`, nil},
			{"bad time", amPath, "application/json", `[{"labels":{"a":"b"},"startsAt":"soon"}]`, 400, `{"code":400,"message":"parsing alerts body`, nil},
			{"deep", amPath, "application/json", strings.Repeat("[", 500), 400, `{"code":400,"message":"parsing alerts body`, nil},
			{"no labels", amPath, "application/json", `[{}]`, 422, `{"code":602,"message":"0.labels in body is required"}`, nil},
			{"second without labels", amPath, "application/json", `[` + fmt.Sprintf(ok, "Z") + `,{}]`, 422, `{"code":602,"message":"1.labels in body is required"}`, nil},
			{"labels empty", amPath, "application/json", `[{"labels":{}}]`, 400, `"at least one label pair required"`, nil},
			{"labels all empty", amPath, "application/json", `[{"labels":{"a":""}}]`, 400, `"at least one label pair required"`, nil},
			{"bad name", amPath, "application/json", `[{"labels":{"a-b":"c"}}]`, 400, `"invalid label set: invalid name \"a-b\""`, nil},
			{"end before start", amPath, "application/json", `[{"labels":{"a":"b"},"startsAt":"2026-11-23T08:00:00Z","endsAt":"2026-11-23T07:00:00Z"}]`, 400, `"start time must be before end time"`, nil},
			{"one bad among good", amPath, "application/json", `[` + fmt.Sprintf(ok, "C") + `,{"labels":{"a":""}},` + fmt.Sprintf(ok, "D") + `]`, 400, `"at least one label pair required"`, []string{"alert.opened", "alert.opened"}},
			{"other type", amPath, "text/plain", "[]", 415, `{"code":415,"message":`, nil},
			{"no type", amPath, "", "[]", 415, `{"code":415,"message":`, nil},
			{"other charset", amPath, "application/json; charset=latin1", "[]", 415, `{"code":415,"message":`, nil},
			{"no alertname", amPath, "application/json", `[{"labels":{"job":"x"}}]`, 200, "", []string{"alert.opened"}},
			{"wrong key", "/in/nope/alertmanager/api/v2/alerts", "application/json", "[]", 401, `{"code":401,`, nil},
			{"too large", amPath, "application/json", strings.Repeat(" ", 1<<20+1), 413, `{"code":413,`, nil},
			{"webhook", "/in/" + amKey + "/alertmanager/webhook", "application/json", `{"alerts":[{"status":"resolved","labels":{"alertname":"A"}}]}`, 200, "", []string{"alert.resolved"}},
			{"webhook resolved again", "/in/" + amKey + "/alertmanager/webhook", "application/json", `{"alerts":[{"status":"resolved","labels":{"alertname":"A"}}]}`, 200, "", nil},
			{"webhook wrong key", "/in/nope/alertmanager/webhook", "application/json", `{"alerts":[]}`, 401, `{"code":401,`, nil},
		} {
			resp, body := h.send("POST", c.path, c.contentType, c.body)
			if resp.StatusCode != c.status || !strings.HasPrefix(body, c.reply) || c.reply == "" && body != "" {
				t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
			}
			if c.status == 200 && resp.Header.Get("Content-Type") != "" {
				t.Errorf("%s: content type %s", c.name, resp.Header.Get("Content-Type"))
			}
			h.facts(c.facts...)
		}
		utf8 := `[{"labels":{"service.name":"x"}}]`
		if resp, body := h.send("POST", amPath, "application/json", utf8, "User-Agent", "Prometheus/3.1.0"); resp.StatusCode != 200 {
			t.Errorf("UTF-8 name of Prometheus 3: %d %s", resp.StatusCode, body)
		}
		base := "/in/" + amKey + "/alertmanager"
		for _, p := range []string{"/-/healthy", "/-/ready"} {
			if resp, body := h.send("GET", base+p, "", ""); resp.StatusCode != 200 || body != "OK" {
				t.Errorf("%s: %d %s", p, resp.StatusCode, body)
			}
		}
		if resp, body := h.send("GET", base+"/api/v2/status", "", ""); resp.StatusCode != 200 || !strings.Contains(body, `"versionInfo"`) {
			t.Errorf("status: %d %s", resp.StatusCode, body)
		}
		for q, want := range map[string]int{"": 5, "?active=false": 0, "?filter=alertname%3D%22B%22": 1, "?filter=alertname%3D~%22B%7CC%22": 2, "?filter=alertname!%3DB": 4, "?receiver=other": 0} {
			var list []map[string]any
			resp, body := h.send("GET", amPath+q, "", "")
			if err := json.Unmarshal([]byte(body), &list); err != nil || resp.StatusCode != 200 || len(list) != want {
				t.Errorf("GET alerts%s: %d %s", q, resp.StatusCode, body)
			}
		}
		if resp, _ := h.send("GET", amPath+"?filter=x", "", ""); resp.StatusCode != 400 {
			t.Errorf("bad matcher: %d", resp.StatusCode)
		}
		p, err := h.alerts.Payloads(h.ctx, "prometheus")
		if err != nil || len(p) == 0 || strings.Contains(fmt.Sprint(p), amKey) {
			t.Errorf("payload log %v %v", p, err)
		}
	})
}

func TestBothWaysMakeOneAlert(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.send("POST", amPath, "application/json", `[{"labels":{"alertname":"A","instance":"x"},"endsAt":"2026-11-23T09:04:00Z"}]`)
		h.send("POST", "/in/"+amKey+"/alertmanager/webhook", "application/json",
			`{"alerts":[{"status":"firing","labels":{"alertname":"A","instance":"x"},"endsAt":"0001-01-01T00:00:00Z","fingerprint":"cb611762f01ec6fc"}]}`)
		h.facts("alert.opened")
		l, err := h.alerts.List(h.ctx, alert.Filter{}, kit.Page{})
		if err != nil || len(l.Items) != 1 || l.Items[0].Count != 2 || l.Items[0].EndsAt.IsZero() {
			t.Fatalf("%+v %v", l, err)
		}
	})
}

func TestEventReplies(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		event := func(key, action, dedup, rest string) string {
			return fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":%q%s}`, key, action, dedup, rest)
		}
		payload := `,"payload":{"summary":"disk","source":"db","severity":"critical","custom_details":"text"}`
		for _, c := range []struct {
			name, body string
			status     int
			reply      string
			facts      []string
		}{
			{"trigger", event(pdKey, "trigger", "k", payload), 202, `{"status":"success","message":"Event processed","dedup_key":"k"}`, []string{"alert.opened"}},
			{"repeat", event(pdKey, "trigger", "k", payload), 202, `{"status":"success","message":"Event processed","dedup_key":"k"}`, nil},
			{"other key resolves", event(pdTwo, "resolve", "k", ""), 202, `{"status":"success"`, nil},
			{"acknowledge", event(pdKey, "acknowledge", "k", ""), 202, `{"status":"success"`, []string{"alert.acknowledged"}},
			{"resolve", event(pdKey, "resolve", "k", ""), 202, `{"status":"success"`, []string{"alert.resolved"}},
			{"resolve nothing", event(pdKey, "resolve", "k", ""), 202, `{"status":"success"`, nil},
			{"acknowledge nothing", event(pdKey, "acknowledge", "k", ""), 202, `{"status":"success"`, nil},
			{"trigger again", event(pdKey, "trigger", "k", payload), 202, `{"status":"success"`, []string{"alert.opened"}},
			{"no dedup key", event(pdKey, "trigger", "", payload), 202, `{"status":"success","message":"Event processed","dedup_key":"`, []string{"alert.opened"}},
			{"wrong key", event(strings.Repeat("0", 32), "trigger", "k", payload), 400, `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`, nil},
			{"short key", event("abc", "trigger", "k", payload), 400, `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect`, nil},
			{"no key", `{}`, 400, `{"status":"invalid event"`, nil},
			{"no JSON", `nonsense`, 400, `{"status":"invalid event"`, nil},
			{"deep", strings.Repeat(`{"payload":`, 100), 400, `{"status":"invalid event"`, nil},
			{"no action", event(pdKey, "", "k", payload), 400, `{"status":"invalid event"`, nil},
			{"other action", event(pdKey, "close", "k", payload), 400, `{"status":"invalid event"`, nil},
			{"no payload", event(pdKey, "trigger", "k", ""), 400, `{"status":"invalid event"`, nil},
			{"resolve without key", event(pdKey, "resolve", "", ""), 400, `{"status":"invalid event"`, nil},
			{"severity", event(pdKey, "trigger", "k", `,"payload":{"summary":"s","source":"x","severity":"huge"}`), 400, `{"status":"invalid event"`, nil},
			{"long dedup key", event(pdKey, "trigger", strings.Repeat("k", 256), payload), 400, `{"status":"invalid event"`, nil},
			{"long summary", event(pdKey, "trigger", "k", `,"payload":{"summary":"`+strings.Repeat("s", 1025)+`","source":"x","severity":"info"}`), 400, `{"status":"invalid event"`, nil},
			{"too large", event(pdKey, "trigger", "k", payload) + strings.Repeat(" ", 512<<10), 413, `{"status":"invalid event"`, nil},
		} {
			resp, body := h.send("POST", "/v2/enqueue", "application/json", c.body)
			if resp.StatusCode != c.status || !strings.HasPrefix(body, c.reply) {
				t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
			}
			h.facts(c.facts...)
		}
		p, err := h.alerts.Payloads(h.ctx, "pd")
		if err != nil || len(p) == 0 || strings.Contains(fmt.Sprint(p), pdKey) {
			t.Errorf("the key stands in the payload log: %v %v", p, err)
		}
	})
}

func TestRealClient(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		c := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(h.url))
		e := &pagerduty.V2Event{RoutingKey: pdKey, DedupKey: "k", Payload: &pagerduty.V2Payload{Summary: "disk", Source: "db-1", Severity: "critical", Details: map[string]string{"free": "1%"}}}
		for _, s := range []struct{ action, fact string }{{"trigger", "alert.opened"}, {"acknowledge", "alert.acknowledged"}, {"resolve", "alert.resolved"}} {
			e.Action = s.action
			resp, err := c.ManageEventWithContext(h.ctx, e)
			if err != nil || resp.Status != "success" || resp.DedupKey != "k" {
				t.Fatalf("%s: %+v %v", s.action, resp, err)
			}
			h.facts(s.fact)
		}
		if _, err := c.CreateChangeEventWithContext(h.ctx, pagerduty.ChangeEvent{RoutingKey: pdKey, Payload: pagerduty.ChangeEventPayload{
			Summary: "Deploy 1.2.3", Source: "ci", Timestamp: "2026-11-23T08:00:00Z", CustomDetails: map[string]any{"version": "1.2.3"},
		}, Links: []pagerduty.ChangeEventLink{{Href: "https://ci.example.test/1", Text: "build"}}}); err != nil {
			t.Fatal(err)
		}
		h.facts("change.recorded")
		ch, err := h.change.Get(h.ctx, "CHG-1")
		if err != nil || ch.Service != "payments" || ch.VersionTo != "1.2.3" || ch.Pipeline != "ci" || ch.URL != "https://ci.example.test/1" || ch.At.Hour() != 8 {
			t.Fatalf("%+v %v", ch, err)
		}
		e.RoutingKey, e.Action = strings.Repeat("0", 32), "trigger"
		var ee pagerduty.APIError
		if _, err := c.ManageEventWithContext(h.ctx, e); !errors.As(err, &ee) || ee.StatusCode != 400 {
			t.Fatalf("wrong key: %v", err)
		}
		e.RoutingKey, e.Payload.Details = pdKey, strings.Repeat("x", 512<<10)
		if _, err := c.ManageEventWithContext(h.ctx, e); !errors.As(err, &ee) || ee.StatusCode != 413 {
			t.Fatalf("too large: %v", err)
		}
		h.facts()
	})
}

func TestRate(t *testing.T) {
	each(t, ingest.Options{Rate: 0.001, Burst: 2}, func(t *testing.T, h *house) {
		for i, want := range []int{200, 200, 429} {
			resp, _ := h.send("POST", amPath, "application/json", "[]")
			if resp.StatusCode != want || want == 429 && resp.Header.Get("Retry-After") == "" {
				t.Fatalf("request %d: %d %v", i, resp.StatusCode, resp.Header)
			}
		}
		// Alertmanager would never repeat a webhook after 429.
		if resp, _ := h.send("POST", "/in/"+amKey+"/alertmanager/webhook", "application/json", `{"alerts":[]}`); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("webhook: %d", resp.StatusCode)
		}
		body := fmt.Sprintf(`{"routing_key":%q,"event_action":"resolve","dedup_key":"k"}`, pdKey)
		for i, want := range []int{202, 202, 429} {
			resp, _ := h.send("POST", "/v2/enqueue", "", body)
			if resp.StatusCode != want {
				t.Fatalf("event %d: %d", i, resp.StatusCode)
			}
		}
	})
}

func TestNothingIsAcknowledgedWhenNotStored(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.alerts.Stop()
		resp, _ := h.send("POST", amPath, "application/json", `[{"labels":{"a":"b"}}]`)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("Alertmanager: %d", resp.StatusCode)
		}
		body := fmt.Sprintf(`{"routing_key":%q,"event_action":"resolve","dedup_key":"k"}`, pdKey)
		if resp, _ = h.send("POST", "/v2/enqueue", "", body); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("PagerDuty: %d", resp.StatusCode)
		}
	})
}
