package ingest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/ingest"
	"tocsin/internal/kit"
)

// posted is one message and what must come of it.
type posted struct {
	name, path, kind, body string
	header                 []string
	status                 int
	facts                  []string
}

func (h *house) posts(t *testing.T, list ...posted) {
	t.Helper()
	for _, p := range list {
		if p.kind == "" {
			p.kind = "application/json"
		}
		resp, body := h.send("POST", p.path, p.kind, p.body, p.header...)
		if resp.StatusCode != p.status {
			t.Fatalf("%s: %s %s, want %d", p.name, resp.Status, body, p.status)
		}
		if p.status >= 400 && (resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, `"detail":"`)) {
			t.Fatalf("%s: %s %s", p.name, resp.Header.Get("Content-Type"), body)
		}
		t.Log(p.name)
		h.facts(p.facts...)
	}
}

func TestCloudEvents(t *testing.T) {
	const path = "/in/k-ce/cloudevents"
	event := func(typ, data string) string {
		return `{"specversion":"1.0","id":"1","source":"/ci","subject":"disk","type":"` + typ + `","time":"2026-11-23T08:59:00Z","data":` + data + `}`
	}
	const structured = "application/cloudevents+json; charset=utf-8"
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "ce", Kind: "cloudevents", Key: "k-ce"})
		h.posts(t,
			posted{name: "alarm", path: path, kind: structured, body: event("com.example.disk.full.fired", `{"severity":"critical","title":"Disk full","service":"payments"}`), status: 202, facts: []string{"alert.opened"}},
			posted{name: "again", path: path, kind: structured, body: event("com.example.disk.full.fired", `{"severity":"critical"}`), status: 202},
			posted{name: "over", path: path, kind: structured, body: event("com.example.disk.full.resolved", `{}`), status: 202, facts: []string{"alert.resolved"}},
			posted{name: "deployment", path: path, kind: structured, body: event("com.example.deploy.started", `{"version":"1.2"}`), status: 202, facts: []string{"change.recorded"}},
			posted{name: "the same event again", path: path, kind: structured, body: event("com.example.deploy.started", `{"version":"1.2"}`), status: 202},
			posted{name: "binary", path: path, kind: "text/plain", body: "swap is low", header: []string{"Ce-Id", "2", "Ce-Source", "/host", "Ce-Specversion", "1.0", "Ce-Type", "com.example.swap", "Ce-Severity", "warning", "Ce-Subject", "caf%C3%A9"}, status: 202, facts: []string{"alert.opened"}},
			posted{name: "batch", path: path, kind: "application/cloudevents-batch+json", body: "[" + event("a.down", `{}`) + "," + event("b.deployed", `"text"`) + "]", status: 202, facts: []string{"change.finished", "alert.opened"}},
			posted{name: "one bad of a batch", path: path, kind: "application/cloudevents-batch+json", body: "[" + event("c.down", `{}`) + `,{"id":"x"}]`, status: 400},
			posted{name: "no version", path: path, kind: structured, body: `{"id":"1","source":"a","type":"b"}`, status: 400},
			posted{name: "not JSON", path: path, kind: structured, body: `{`, status: 400},
			posted{name: "deep", path: path, kind: structured, body: event("x", strings.Repeat("[", 80)+strings.Repeat("]", 80)), status: 400},
			posted{name: "avro", path: path, kind: "application/cloudevents+avro", body: `x`, status: 415},
			posted{name: "no attributes", path: path, kind: "application/json", body: `{}`, status: 400},
			posted{name: "large", path: path, kind: structured, body: strings.Repeat(" ", 1<<20+1), status: 413},
			posted{name: "wrong key", path: "/in/wrong/cloudevents", kind: structured, body: `{}`, status: 401},
		)
		resp, _ := h.send("OPTIONS", path, "", "", "WebHook-Request-Origin", "events.example")
		if resp.StatusCode != 200 || resp.Header.Get("WebHook-Allowed-Origin") != "events.example" {
			t.Fatal(resp.Status, resp.Header)
		}
		list, err := h.alerts.List(h.ctx, alert.Filter{Q: "swap"}, kit.Page{})
		if err != nil || len(list.Items) != 1 || list.Items[0].Severity != alert.Warning || list.Items[0].Labels["subject"] != "café" || list.Items[0].Annotations["details"] != "swap is low" {
			t.Fatalf("%+v %v", list.Items, err)
		}
	})
}

func TestGrafana(t *testing.T) {
	const path = "/in/k-gf/grafana"
	const unified = `{"receiver":"tocsin","status":%q,"orgId":1,"version":"1","title":"x","alerts":[{"status":%q,"labels":{"alertname":"High","service":"payments","severity":"critical"},"annotations":{"summary":"Load is high"},"startsAt":"2026-11-23T08:59:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"c6eadffa33fcdf37","values":{"B":3.1},"dashboardURL":"http://g.example/d"}]}`
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "gf", Kind: "grafana", Key: "k-gf"})
		h.posts(t,
			posted{name: "fires", path: path, body: fmt.Sprintf(unified, "firing", "firing"), status: 202, facts: []string{"alert.opened"}},
			posted{name: "is over", path: path, body: fmt.Sprintf(unified, "resolved", "resolved"), status: 202, facts: []string{"alert.resolved"}},
			posted{name: "dashboard alert", path: path, body: `{"ruleId":7,"ruleName":"Load","ruleUrl":"http://g.example/r","state":"alerting","title":"[Alerting] Load","message":"high","tags":{"severity":"warning"}}`, status: 202, facts: []string{"alert.opened"}},
			posted{name: "dashboard alert over", path: path, body: `{"ruleId":7,"ruleName":"Load","state":"ok","title":"[OK] Load"}`, status: 202, facts: []string{"alert.resolved"}},
			posted{name: "nothing in it", path: path, body: `{}`, status: 422},
			posted{name: "not JSON", path: path, body: `<`, status: 400},
			posted{name: "a form", path: path, kind: "text/html", body: `{}`, status: 415},
		)
	})
}

func TestMappedJSON(t *testing.T) {
	const path = "/in/k-any/json"
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "any", Kind: "json", Key: "k-any", SourceSettings: alert.SourceSettings{Map: map[string]string{
			"dedup_key": `body.check.id`, "title": `body.check.name + " is " + body.status`, "severity": `body.?prio.orValue("warning")`, "state": `body.status`,
			"service": `body.tags[0]`, "labels": `{"host": body.host, "agent": headers["user-agent"]}`,
		}}})
		message := func(status string) string {
			return `{"check":{"id":42,"name":"Login"},"status":"` + status + `","tags":["payments"],"host":"a1"}`
		}
		h.posts(t,
			posted{name: "fires", path: path, body: message("down"), header: []string{"User-Agent", "probe/1"}, status: 202, facts: []string{"alert.opened"}},
			posted{name: "is over", path: path, body: message("up"), status: 202, facts: []string{"alert.resolved"}},
			posted{name: "no such value", path: path, body: `{"status":"down"}`, status: 422},
			posted{name: "not JSON", path: path, body: `nope`, status: 400},
			posted{name: "of another kind", path: "/in/" + amKey + "/json", body: `{}`, status: 422},
		)
		list, err := h.alerts.List(h.ctx, alert.Filter{}, kit.Page{})
		if err != nil || len(list.Items) != 1 {
			t.Fatal(list.Items, err)
		}
		a := list.Items[0]
		if a.DedupKey != "42" || a.Title != "Login is down" || a.Severity != alert.Warning || a.Service != "payments" || a.Labels["host"] != "a1" || a.Labels["agent"] != "probe/1" {
			t.Fatalf("%+v", a)
		}
		for _, m := range []map[string]string{nil, {"dedup_key": "body.x"}, {"dedup_key": "body.x", "title": "body."}, {"dedup_key": "body.x", "title": "body.y", "colour": "body.z"}} {
			_, err := h.alerts.CreateSource(h.ctx, alert.SourceDef{ID: "bad", Kind: "json", SourceSettings: alert.SourceSettings{Map: m}})
			if kit.CodeOf(err) != kit.CodeInvalid {
				t.Errorf("map %v: %v", m, err)
			}
		}
		h.facts()
	})
}

func TestGitHub(t *testing.T) {
	const secret = "s3cret"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(body string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "gh", Kind: "github", Key: "k-gh", SourceSettings: alert.SourceSettings{SecretFile: file}})
		h.source(alert.SourceDef{ID: "lost", Kind: "github", Key: "k-lost", SourceSettings: alert.SourceSettings{SecretFile: file + ".gone"}})
		h.source(alert.SourceDef{ID: "gl", Kind: "gitlab", Key: "k-gl", SourceSettings: alert.SourceSettings{SecretFile: file}})
		const path = "/in/k-gh/github"
		body := func(state string) string {
			return `{"action":"created","repository":{"name":"payments","full_name":"ex/payments"},"deployment":{"id":7,"sha":"abc","ref":"main","task":"deploy","environment":"prod","created_at":"2026-11-23T08:50:00Z"}` + state + `}`
		}
		run := func(conclusion, branch string) string {
			return `{"action":"completed","repository":{"name":"payments","full_name":"ex/payments","default_branch":"main"},"workflow_run":{"name":"CI","workflow_id":3,"head_branch":"` + branch + `","conclusion":"` + conclusion + `"}}`
		}
		signed := func(event, b string) []string {
			return []string{"X-GitHub-Event", event, "X-Hub-Signature-256", sign(b)}
		}
		post := func(name, event, b string, facts ...string) posted {
			return posted{name: name, path: path, body: b, header: signed(event, b), status: 202, facts: facts}
		}
		ok := body(`,"deployment_status":{"state":"success"}`)
		h.posts(t,
			post("deployment", "deployment", body(""), "change.recorded"),
			post("deployment again", "deployment", body("")),
			post("deployed", "deployment_status", ok, "change.finished"),
			post("a failure on a branch", "workflow_run", run("failure", "feature")),
			post("a failure", "workflow_run", run("failure", "main"), "alert.opened"),
			post("repaired", "workflow_run", run("success", "main"), "alert.resolved"),
			post("ping", "ping", `{"zen":"x"}`),
			posted{name: "unsigned", path: path, body: ok, header: []string{"X-GitHub-Event", "deployment_status"}, status: 401},
			posted{name: "signed for another body", path: path, body: ok + " ", header: signed("deployment_status", ok), status: 401},
			posted{name: "no event", path: path, body: ok, header: []string{"X-Hub-Signature-256", sign(ok)}, status: 400},
			posted{name: "secret gone", path: "/in/k-lost/github", body: ok, header: signed("deployment_status", ok), status: 503},
			posted{
				name: "GitLab deployment", path: "/in/k-gl/gitlab", header: []string{"X-Gitlab-Token", secret}, status: 202, facts: []string{"change.recorded"},
				body: `{"object_kind":"deployment","status":"running","deployment_id":9,"environment":"prod","ref":"main","project":{"path_with_namespace":"ex/payments","name":"payments","default_branch":"main"}}`,
			},
			posted{
				name: "GitLab pipeline", path: "/in/k-gl/gitlab", header: []string{"X-Gitlab-Token", secret}, status: 202, facts: []string{"alert.opened"},
				body: `{"object_kind":"pipeline","object_attributes":{"id":31,"ref":"main","status":"failed","url":"http://gitlab.example/31"},"project":{"path_with_namespace":"ex/payments","name":"payments","default_branch":"main"}}`,
			},
			posted{name: "GitLab, wrong token", path: "/in/k-gl/gitlab", header: []string{"X-Gitlab-Token", "no"}, body: `{"object_kind":"push"}`, status: 401},
		)
	})
}
