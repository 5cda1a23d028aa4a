package ingest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/internal/alert"
	"tocsin/internal/db/dbtest"
)

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

var src = alert.Source{ID: "src", Kind: "alertmanager"}

func own(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shared finds the captures that real tools sent. They stand beside the project;
// TOCSIN_SHARED names another place.
func shared(t testing.TB, pattern string) []string {
	t.Helper()
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "testdata", "real", pattern))
	return files
}

func capture(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return c.Body
}

func TestFingerprint(t *testing.T) {
	for want, labels := range map[string]map[string]string{
		"cb611762f01ec6fc": {"alertname": "A", "instance": "x"},
		"1613485f5e0c140a": {"alertname": "OK2"},
	} {
		if got := fingerprint(labels); got != want {
			t.Errorf("%v: %s, want %s", labels, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "labels")
		if fingerprint(m) != fingerprint(maps.Clone(m)) {
			t.Fatal("not stable")
		}
	})
}

func TestParseAlerts(t *testing.T) {
	got, bad := parseAlerts(own(t, "alerts.json"), src, now, false)
	if bad != nil {
		t.Fatal(bad)
	}
	l := map[string]string{"alertname": "QueueLong", "service": "orders", "severity": "page"}
	want := []alert.Signal{
		{
			Source: "src", DedupKey: fingerprint(l), Action: alert.Trigger, Title: "842 orders wait", Severity: alert.Critical, Service: "orders", Labels: l,
			Annotations: map[string]string{"summary": "842 orders wait"}, StartsAt: now.Add(-2 * time.Minute), EndsAt: now.Add(4 * time.Minute),
			Link: "http://prom.example.test/graph", Received: now,
		},
		{
			Source: "src", DedupKey: fingerprint(map[string]string{"alertname": "QueueLong", "service": "mail"}), Action: alert.Resolve, Title: "QueueLong",
			Severity: alert.Error, Service: "mail", Labels: map[string]string{"alertname": "QueueLong", "service": "mail"},
			StartsAt: now.Add(-time.Hour), EndsAt: now.Add(-time.Minute), Received: now,
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestTimesOfAlerts(t *testing.T) {
	for body, want := range map[string]struct {
		action alert.Action
		starts time.Time
		ends   time.Time
		guess  bool
	}{
		`{}`:                                     {alert.Trigger, now, now.Add(5 * time.Minute), true},
		`{"endsAt":"2026-11-23T08:00:00Z"}`:      {alert.Resolve, now.Add(-time.Hour), now.Add(-time.Hour), false},
		`{"endsAt":"2026-11-23T09:00:00Z"}`:      {alert.Resolve, now, now, false},
		`{"endsAt":"2026-11-23T10:00:00+01:00"}`: {alert.Resolve, now, now, false},
		`{"startsAt":"0001-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z"}`: {alert.Trigger, now, now.Add(5 * time.Minute), true},
		`{"startsAt":"2026-11-23T09:30:00Z"}`:                                 {alert.Trigger, now.Add(30 * time.Minute), now.Add(35 * time.Minute), true},
	} {
		got, bad := parseAlerts([]byte(`[`+strings.Replace(body, "{", `{"labels":{"a":"b"}`+map[bool]string{true: "", false: ","}[body == "{}"], 1)+`]`), src, now, false)
		if bad != nil || len(got) != 1 {
			t.Errorf("%s: %v", body, bad)
			continue
		}
		g := got[0]
		if g.Action != want.action || !g.StartsAt.Equal(want.starts) || !g.EndsAt.Equal(want.ends) || g.EndsByTimeout != want.guess {
			t.Errorf("%s: %s %v %v %v", body, g.Action, g.StartsAt, g.EndsAt, g.EndsByTimeout)
		}
	}
}

func TestParseWebhook(t *testing.T) {
	got, bad := parseWebhook(own(t, "webhook.json"), src, now)
	if bad != nil || len(got) != 2 {
		t.Fatal(got, bad)
	}
	if g := got[0]; g.DedupKey != "cb611762f01ec6fc" || g.Action != alert.Trigger || !g.EndsAt.IsZero() || g.Title != "A x" {
		t.Errorf("%+v", g)
	}
	if g := got[1]; g.DedupKey != "1613485f5e0c140a" || g.Action != alert.Resolve {
		t.Errorf("%+v", g)
	}
	for body, status := range map[string]int{`{}`: 422, `[]`: 400, `{"alerts":[{"labels":{}}]}`: 400, strings.Repeat("[", 100): 400} {
		if _, bad := parseWebhook([]byte(body), src, now); bad == nil || bad.status != status {
			t.Errorf("%s: %v", body, bad)
		}
	}
}

func TestParseEvent(t *testing.T) {
	e, err := parseEvent(own(t, "event.json"))
	if err != nil {
		t.Fatal(err)
	}
	got, bad := e.signal(src, now)
	want := alert.Signal{
		Source: "src", DedupKey: "disk-db-1", Action: alert.Trigger, Title: "Disque plein à 99 %", Severity: alert.Critical,
		Labels:      map[string]string{"source": "db-1", "component": "pg", "client": "probe", "env": "prod", "free": "1"},
		Annotations: map[string]string{"link_1": "runbook https://runbook.example.test", "details": `{"env": "prod", "free": 1, "nested": {"a": [1]}}`},
		StartsAt:    now.Add(-time.Minute), Link: "https://runbook.example.test", Received: now,
	}
	if bad != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: got\n%+v\nwant\n%+v", bad, got, want)
	}
}

func TestDetailsMayBeAnything(t *testing.T) {
	for raw, want := range map[string]map[string]string{
		``:                    {},
		`null`:                {},
		`"just text"`:         {},
		`[1,2]`:               {},
		`7`:                   {},
		`{"a":true,"b":null}`: {"a": "true"},
	} {
		labels, _ := details(json.RawMessage(raw))
		if !maps.Equal(labels, want) {
			t.Errorf("%s: %v", raw, labels)
		}
	}
}

type row struct {
	key    string
	action alert.Action
	sev    alert.Severity
	svc    string
	title  string
}

const (
	amDisk     = "610779ac8437d763"
	amEndpoint = "af78c19d383ef609"
	amTarget   = "b17d38a2cfb136ad"
	amWatchdog = "3fd3cd2ee72e6138"
)

// TestCapturedWebhooks holds what each notification of real Alertmanagers means.
func TestCapturedWebhooks(t *testing.T) {
	files := shared(t, "alertmanager/*/webhook-*.json")
	if len(files) == 0 {
		dbtest.Skip(t, "no captures of Alertmanager")
	}
	byName := map[string]row{
		"DiskWillFill": {amDisk, "", alert.Warning, "", "Filesystem / at "},
		"EndpointDown": {amEndpoint, "", alert.Critical, "", "Endpoint http://127.0.0.1:18080/ is down"},
		"TargetDown":   {amTarget, "", alert.Warning, "", "dead target 127.0.0.1:19001 down"},
		"Watchdog":     {amWatchdog, "", alert.Info, "", "Always firing dead-man switch"},
	}
	for _, f := range files {
		p := strings.Split(filepath.Base(f), "-")
		want := byName[p[2]]
		want.action = map[string]alert.Action{"firing": alert.Trigger, "resolved": alert.Resolve}[p[1]]
		got, bad := parseWebhook(capture(t, f), src, now)
		if bad != nil || len(got) != 1 {
			t.Errorf("%s: %d alerts, %v", f, len(got), bad)
			continue
		}
		g := got[0]
		if g.DedupKey != want.key || g.Action != want.action || g.Severity != want.sev || !strings.HasPrefix(g.Title, want.title) {
			t.Errorf("%s: %+v, want %+v", f, g, want)
		}
		if fp := fingerprint(g.Labels); fp != g.DedupKey {
			t.Errorf("%s: computed %s, sent %s", f, fp, g.DedupKey)
		}
	}
}

// TestCapturedPrometheus checks that every alert of a real Prometheus has the
// identity that Alertmanager gave the same alert.
func TestCapturedPrometheus(t *testing.T) {
	files := shared(t, "prometheus/post-*.json")
	if len(files) == 0 {
		dbtest.Skip(t, "no captures of Prometheus")
	}
	known := map[string]row{
		amDisk: {sev: alert.Warning, title: "Filesystem / at "}, amEndpoint: {sev: alert.Critical, title: "Endpoint http"},
		amTarget: {sev: alert.Warning, title: "dead target"}, amWatchdog: {sev: alert.Info, title: "Always firing"},
	}
	for _, f := range files {
		body := capture(t, f)
		var sent []struct {
			EndsAt time.Time         `json:"endsAt"`
			Labels map[string]string `json:"labels"`
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatal(err)
		}
		// Read at the instant before the first end, what fires still fires.
		at := sent[0].EndsAt.Add(-time.Second)
		resolved := strings.Contains(f, "resolved")
		if resolved {
			at = sent[0].EndsAt.Add(time.Minute)
		}
		got, bad := parseAlerts(body, src, at, false)
		if bad != nil || len(got) != len(sent) {
			t.Errorf("%s: %d of %d alerts, %v", f, len(got), len(sent), bad)
			continue
		}
		for i, g := range got {
			want, ok := known[g.DedupKey]
			if !ok || g.Severity != want.sev || !strings.HasPrefix(g.Title, want.title) || g.Service != sent[i].Labels["service"] {
				t.Errorf("%s: %+v", f, g)
			}
			if i == 0 && (g.Action == alert.Resolve) != resolved {
				t.Errorf("%s: %s", f, g.Action)
			}
		}
	}
}

// TestCapturedEvents reads the events of Alertmanager's PagerDuty receiver, of
// go-pagerduty and of pdjs.
func TestCapturedEvents(t *testing.T) {
	files := append(shared(t, "alertmanager/*/pagerduty-*.json"), shared(t, "pagerduty-clients/*_v2_enqueue.json")...)
	if len(files) == 0 {
		dbtest.Skip(t, "no captures of PagerDuty clients")
	}
	for _, f := range files {
		body := capture(t, f)
		var sent pdEvent
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatal(err)
		}
		e, err := parseEvent(body)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		g, bad := e.signal(src, now)
		if bad != nil || g.DedupKey != sent.DedupKey || string(g.Action) != sent.EventAction {
			t.Errorf("%s: %+v, %v", f, g, bad)
			continue
		}
		if g.Action == alert.Trigger && (g.Title != sent.Payload.Summary || g.Severity != severity(src, sent.Payload.Severity) ||
			g.Labels["source"] != sent.Payload.Source || g.Annotations["details"] == "" || g.Link == "") {
			t.Errorf("%s: %+v", f, g)
		}
		if name := filepath.Base(f); strings.HasPrefix(name, "pagerduty-") && !strings.Contains(name, string(g.Action)) {
			t.Errorf("%s: %s", f, g.Action)
		}
	}
	for _, f := range shared(t, "pagerduty-clients/*_v2_change_enqueue.json") {
		e, err := parseEvent(capture(t, f))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		c, bad := e.change(src, now)
		if bad != nil || c.Summary == "" || c.Pipeline != "ci" || c.At.Equal(now) {
			t.Errorf("%s: %+v, %v", f, c, bad)
		}
	}
}

func seed(f *testing.F, fixture string, patterns ...string) {
	f.Add(own(f, fixture))
	for _, p := range patterns {
		for _, file := range shared(f, p) {
			f.Add([]byte(capture(f, file)))
		}
	}
}

// checkSignals is what holds for whatever a parser gives.
func checkSignals(t *testing.T, list []alert.Signal) {
	for _, s := range list {
		if s.Source != "src" || s.DedupKey == "" || !s.Severity.Valid() || len(s.Labels) > alert.MaxLabels {
			t.Fatalf("%+v", s)
		}
		if s.Action == alert.Trigger && s.Title == "" {
			t.Fatalf("no title: %+v", s)
		}
	}
}

func FuzzAlerts(f *testing.F) {
	seed(f, "alerts.json", "prometheus/post-*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, bad := parseAlerts(b, src, now, true)
		checkSignals(t, got)
		if bad != nil && bad.status != 400 && bad.status != 422 {
			t.Fatal(bad)
		}
	})
}

func FuzzWebhook(f *testing.F) {
	seed(f, "webhook.json", "alertmanager/*/webhook-*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := parseWebhook(b, src, now)
		checkSignals(t, got)
	})
}

func FuzzEvent(f *testing.F) {
	seed(f, "event.json", "alertmanager/*/pagerduty-*.json", "pagerduty-clients/*enqueue.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEvent(b)
		if err != nil {
			return
		}
		if s, bad := e.signal(src, now); bad == nil {
			checkSignals(t, []alert.Signal{s})
		}
		_, _ = e.change(src, now)
	})
}
