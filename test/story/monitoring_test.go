package story_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/test/fake"
)

// watched is a small HTTP service that monitoring scrapes, which a test stops and
// starts again at the same address.
type watched struct {
	t    *testing.T
	addr string
	srv  *http.Server
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, addr: freeAddr(t)}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *watched) start() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.srv = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "work_done_total 1\n")
	})}
	go func(s *http.Server) { _ = s.Serve(l) }(w.srv)
}

func (w *watched) stop() { _ = w.srv.Close() }

const prometheusFile = `
global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}
rule_files: [%q]
alerting:
  alertmanagers:
    - path_prefix: %q
      static_configs: [{targets: [%q]}]
scrape_configs:
%s`

const rulesFile = `
groups:
  - name: services
    rules:
      - alert: TargetDown
        expr: up == 0
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.service }} does not answer"}
`

// prometheus runs the real program over targets, by the name of their service, and
// lets it tell its alerts to an address.
func prometheus(t *testing.T, alerts, prefix string, targets map[string]*watched) {
	t.Helper()
	jobs := ""
	for service, w := range targets {
		jobs += fmt.Sprintf("  - job_name: %s\n    static_configs: [{targets: [%q], labels: {service: %s}}]\n", service, w.addr, service)
	}
	rules := file(t, "rules.yml", rulesFile)
	config := file(t, "prometheus.yml", fmt.Sprintf(prometheusFile, rules, prefix, alerts, jobs))
	addr := freeAddr(t)
	start(t, program(t, "prometheus"), "--config.file", config, "--web.listen-address", addr, "--storage.tsdb.path", t.TempDir(),
		"--rules.alert.resend-delay", "2s", "--log.level", "warn")
	(&remote{t: t, base: "http://" + addr}).eventually("all targets up", func() bool {
		resp, err := http.Get("http://" + addr + "/api/v1/targets?state=active")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body)
		return strings.Count(string(raw), `"health":"up"`) == len(targets)
	})
}

const alertmanagerFile = `
global: {resolve_timeout: 1m}
route:
  receiver: hook
  group_by: [alertname, service]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 4s
  routes:
    - {receiver: pager, matchers: ['service="orders"']}
receivers:
  - name: hook
    webhook_configs: [{url: "http://%[1]s/in/k-hook/alertmanager/webhook", send_resolved: true}]
  - name: pager
    pagerduty_configs: [{url: "http://%[1]s/v2/enqueue", routing_key: 0123456789abcdef0123456789abcdef, send_resolved: true}]
`

func alertmanager(t *testing.T, tocsin string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	start(t, program(t, "prometheus-alertmanager"), "--config.file", file(t, "alertmanager.yml", fmt.Sprintf(alertmanagerFile, tocsin)),
		"--web.listen-address", addr, "--storage.path", t.TempDir(), "--cluster.listen-address", "", "--log.level", "warn")
	return addr
}

// monitored is the company of this story: three services, each told of in its own
// way, and somebody on duty with a webhook and a mailbox.
const monitored = `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en]}
people:
  - id: camille
    name: Camille Roy
    email: camille@example.com
    access: admin
  - id: ana
    name: Ana Lopez
    email: ana@example.com
    access: responder
    language: en
    contact_methods: [{id: hook, kind: webhook, to: "%s/ana"}, {id: mail, kind: email, to: ana@example.com}]
    notify: [{after: 0s, method: hook}, {after: 0s, method: mail}]
schedules: [{id: primary, rotations: [{people: [ana], start: "2026-01-05T09:00", shift: 1w}]}]
roles: {commander: [camille], communications: [camille], management: [camille]}
services:
  - {id: payments, name: {fr: Paiement, en: Payments}, owner: ana}
  - {id: search, name: {fr: Recherche, en: Search}, owner: ana}
  - {id: orders, name: {fr: Commandes, en: Orders}, owner: ana}
sources:
  - {id: prometheus, kind: alertmanager, key: k-straight}
  - {id: alertmanager, kind: alertmanager, key: k-hook}
  - {id: pager, kind: pagerduty, service: orders, key: 0123456789abcdef0123456789abcdef}
routes: [{when: 'true', then: incident, severity: sev2, group: [service], window: 10m}]
channels: {smtp: {host: 127.0.0.1, port: %d, from: tocsin@example.com, tls: none}}
`

type incidentView struct {
	ID, Ref, Title, Phase, Status string
	Services, Proposes, Alerts    []string
	AcknowledgedAt                *string `json:"acknowledged_at"`
}

// TestMonitoring lets the real Prometheus and Alertmanager tell of three services in
// three ways, takes each alarm through its five phases, and verifies the records.
func TestMonitoring(t *testing.T) {
	program(t, "prometheus")
	program(t, "prometheus-alertmanager")
	pages, relay := fake.NewWebhook(t), fake.NewSMTP(t, fake.SMTPOptions{})
	data, addr := t.TempDir(), freeAddr(t)
	if _, stderr, code := run(t, "apply", "--data", data, "-f", file(t, "company.yaml", fmt.Sprintf(monitored, pages.URL, relay.Port))); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	srv := serve(t, addr, "--data", data)
	token, stderr, code := run(t, "token", "create", "--data", data, "--name", "story", "--role", "admin")
	if code != 0 {
		t.Fatalf("token: %d %s", code, stderr)
	}
	h := &remote{t: t, base: "http://" + addr, token: strings.TrimSpace(token)}

	services := map[string]*watched{"payments": newWatched(t), "search": newWatched(t), "orders": newWatched(t)}
	prometheus(t, addr, "/in/k-straight/alertmanager", map[string]*watched{"payments": services["payments"]})
	prometheus(t, alertmanager(t, addr), "/", map[string]*watched{"search": services["search"], "orders": services["orders"]})
	for _, w := range services {
		w.stop()
	}

	// Each alarm reaches Ana by webhook and by e-mail.
	links := map[string]string{}
	pages.Wait(t, 30*time.Second, func(all []fake.Request) bool {
		for _, r := range all {
			if r.Type() == "page" {
				p := readPage(t, r.Body)
				links[p.Data.Ref] = p.Data.AckURL
			}
		}
		return len(links) == 3
	})
	relay.Wait(t, 30*time.Second, func(all []fake.Email) bool {
		named := map[string]bool{}
		for _, e := range all {
			for ref := range links {
				if strings.Contains(e.Subject, ref) && strings.Contains(e.Text, "/a/") {
					named[ref] = true
				}
			}
		}
		return len(named) == 3
	})
	find := func() (list struct {
		Items []incidentView
		Total int
	},
	) {
		h.must(http.StatusOK, "GET", "/api/v1/incidents", nil, &list)
		return list
	}
	for ref, link := range links {
		var i incidentView
		resp, err := http.Get(link)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET of the link: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		if h.must(http.StatusOK, "GET", "/api/v1/incidents/"+ref, nil, &i); i.AcknowledgedAt != nil {
			t.Fatal("a GET acknowledged")
		}
		if resp, err = http.PostForm(link, map[string][]string{"answer": {"accept"}}); err != nil || resp.StatusCode >= 400 {
			t.Fatalf("POST of the link: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		h.eventually("assessment of "+ref, func() bool {
			h.must(http.StatusOK, "GET", "/api/v1/incidents/"+ref, nil, &i)
			return i.AcknowledgedAt != nil && i.Phase == "assessment"
		})
		if len(i.Services) != 1 || services[i.Services[0]] == nil {
			t.Fatalf("%s is about %v", ref, i.Services)
		}
		at := "/api/v1/incidents/" + ref
		h.must(http.StatusOK, "POST", at+"/assess", map[string]any{"answers": map[string]string{"who": "some", "what": "main", "data": "no", "trend": "stable", "change": "none"}}, nil)
		h.must(http.StatusOK, "POST", at+"/phase", map[string]any{"to": "containment"}, nil)
	}

	// Both programs repeat what fires: the alerts count it.
	var alerts struct {
		Items []struct {
			State, Service string
			Count          int
		}
	}
	h.eventually("counted repeats", func() bool {
		h.must(http.StatusOK, "GET", "/api/v1/alerts?state=open", nil, &alerts)
		repeated := 0
		for _, a := range alerts.Items {
			if a.Count > 1 {
				repeated++
			}
		}
		return len(alerts.Items) == 3 && repeated == 3
	})

	for _, w := range services {
		w.start()
	}
	h.eventually("three proposals that service is restored", func() bool {
		n := 0
		for _, i := range find().Items {
			for _, p := range i.Proposes {
				if p == "restored" {
					n++
				}
			}
		}
		return n == 3
	})
	for ref := range links {
		at := "/api/v1/incidents/" + ref
		h.must(http.StatusOK, "POST", at+"/phase", map[string]any{"to": "recovery", "answers": map[string]any{"stopped": "yes", "checked_by": "ana"}}, nil)
		h.must(http.StatusOK, "POST", at+"/phase", map[string]any{"to": "review", "answers": map[string]any{"normal": "yes", "checked_by": "camille"}}, nil)
		var review struct {
			State   string
			Summary struct{ EN string }
		}
		if h.must(http.StatusOK, "GET", at+"/review", nil, &review); review.State != "draft" {
			t.Fatalf("review of %s: %+v", ref, review)
		}
		h.must(http.StatusOK, "PUT", at+"/review", map[string]any{
			"summary": map[string]string{"en": "The service stopped and was started again."}, "factors": []map[string]string{{"text": "No second instance", "kind": "root", "category": "technology"}},
			"went_well": "Paged at once", "no_action_reason": "A second instance is planned already",
		}, nil)
		h.must(http.StatusOK, "POST", at+"/review/approve", nil, nil)
		h.must(http.StatusOK, "POST", at+"/phase", map[string]any{"to": "closed"}, nil)
		for format, magic := range map[string]string{"pdf": "%PDF", "docx": "PK", "md": "# ", "html": "<!", "json": "{", "zip": "PK"} {
			path := h.download(at+"/report?format="+format, format)
			raw, err := os.ReadFile(path)
			if err != nil || !strings.HasPrefix(strings.ToLower(string(raw)), strings.ToLower(magic)) {
				t.Errorf("%s of %s begins with %.20q, %v", format, ref, raw, err)
			}
			if format != "zip" {
				continue
			}
			if out, stderr, code := run(t, "verify", path); code != 0 || !strings.Contains(out, "OK") {
				t.Errorf("verify of the record: %d %s %s", code, out, stderr)
			}
		}
	}

	// Prometheus tells a resolved alert again and again: nothing opens anew.
	time.Sleep(3 * time.Second)
	if list := find(); list.Total != 3 {
		t.Errorf("%d incidents, want three: %+v", list.Total, list.Items)
	}
	h.must(http.StatusOK, "GET", "/api/v1/alerts", nil, &alerts)
	if len(alerts.Items) != 3 {
		t.Errorf("%d alerts, want three: %+v", len(alerts.Items), alerts.Items)
	}
	for _, a := range alerts.Items {
		if a.State != "resolved" {
			t.Errorf("alert %+v", a)
		}
	}
	srv.stop()
	if out, stderr, code := run(t, "verify", "--data", data); code != 0 {
		t.Errorf("verify: %d %s %s", code, out, stderr)
	}
}

// download keeps an answer as a file and gives its path.
func (h *remote) download(path, name string) string {
	h.t.Helper()
	req, err := http.NewRequest("GET", h.base+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("GET %s: %s %.200s %v", path, resp.Status, raw, err)
	}
	to := filepath.Join(h.t.TempDir(), "record."+name)
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		h.t.Fatal(err)
	}
	return to
}
