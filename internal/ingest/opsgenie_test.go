package ingest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/ingest"
)

const ogKey = "k-opsgenie"

func (h *house) opsgenie(method, path, body string) (*http.Response, map[string]any) {
	h.t.Helper()
	resp, text := h.send(method, path, "application/json", body, "Authorization", "GenieKey "+ogKey)
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		h.t.Fatalf("%s %s: %q", method, path, text)
	}
	if v["requestId"] == "" || v["took"] == nil {
		h.t.Fatalf("%s %s: %v", method, path, v)
	}
	return resp, v
}

func TestOpsgenie(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		h.source(alert.SourceDef{ID: "og", Kind: "opsgenie", Service: "payments", Key: ogKey})
		do := func(method, path, body string, status int) map[string]any {
			t.Helper()
			resp, v := h.opsgenie(method, path, body)
			if resp.StatusCode != status {
				t.Fatalf("%s %s: %d %v, want %d", method, path, resp.StatusCode, v, status)
			}
			return v
		}
		v := do("POST", "/v2/alerts", `{"message":"Queue long","alias":"q1","priority":"P1","details":{"env":"prod","n":7},"tags":["a","b"],"description":"842 wait","note":"seen at once","user":"lina"}`, 202)
		h.facts("alert.opened")
		if v["result"] != "Request will be processed" {
			t.Fatal(v)
		}
		res := do("GET", "/v2/alerts/requests/"+v["requestId"].(string), "", 200)["data"].(map[string]any)
		if res["isSuccess"] != true || res["alias"] != "q1" || res["action"] != "Create" {
			t.Fatal(res)
		}
		id := res["alertId"].(string)
		a, err := h.alerts.Get(h.ctx, id)
		if err != nil || a.Title != "Queue long" || a.Severity != alert.Critical || a.Service != "payments" || a.Labels["env"] != "prod" || a.Labels["n"] != "7" ||
			a.Labels["tags"] != "a,b" || a.Annotations["description"] != "842 wait" || a.Annotations["note"] != "lina: seen at once" {
			t.Fatalf("%+v, %v", a, err)
		}
		do("POST", "/v2/alerts/", `{"message":"Queue longer","alias":"q1","priority":"P1"}`, 202)
		h.facts() // a repeat is counted, not written
		do("PUT", "/v2/alerts/q1/message?identifierType=alias", `{"message":"Queue very long"}`, 202)
		do("PUT", "/v2/alerts/q1/description?identifierType=alias", `{"description":"1,000 wait"}`, 202)
		do("POST", "/v2/alerts/"+id+"/notes", `{"note":"cause known"}`, 202)
		h.facts()
		do("PUT", "/v2/alerts/"+id+"/priority?identifierType=id", `{"priority":"P2"}`, 202)
		h.facts("alert.severity_changed")
		do("POST", "/v2/alerts/"+id+"/acknowledge?identifierType=id", `{}`, 202)
		h.facts("alert.acknowledged")
		do("POST", "/v2/alerts/q1/snooze?identifierType=alias", `{"endTime":"2026-11-24T00:00:00Z"}`, 202)
		h.facts()
		if a, _ = h.alerts.Get(h.ctx, id); a.Title != "Queue very long" || a.Count != 2 || a.Severity != alert.Error || a.Annotations["description"] != "1,000 wait" || a.Annotations["note"] != "cause known" {
			t.Fatalf("%+v", a)
		}
		if one := do("GET", "/v2/alerts/q1?identifierType=alias", "", 200)["data"].(map[string]any); one["id"] != id || one["count"] != 2.0 || one["acknowledged"] != true {
			t.Fatal(one)
		}
		if list := do("GET", "/v2/alerts", "", 200)["data"].([]any); len(list) != 1 {
			t.Fatal(list)
		}
		do("POST", "/v2/alerts/q1/close?identifierType=alias", "", 202)
		h.facts("alert.resolved")
		v = do("POST", "/v2/alerts/q1/close?identifierType=alias", `{"source":"x"}`, 202)
		h.facts()
		if res = do("GET", "/v2/alerts/requests/"+v["requestId"].(string), "", 200)["data"].(map[string]any); res["isSuccess"] != false || res["status"] != "Alert does not exist" {
			t.Fatal(res)
		}

		do("POST", "/v2/alerts", `{"alias":"x"}`, 422)
		do("POST", "/v2/alerts", `{"message":"x","priority":"P9"}`, 422)
		do("POST", "/v2/alerts", `{"message":"x","alias":"`+strings.Repeat("é", 513)+`"}`, 422)
		do("POST", "/v2/alerts", `[]`, 400)
		do("POST", "/v2/alerts", strings.Repeat("[", 100), 400)
		do("POST", "/v2/alerts", `{"message":"`+strings.Repeat("x", 1<<20)+`"}`, 413)
		do("POST", "/v2/alerts/none/close", ``, 404)
		do("POST", "/v2/alerts/q1/close?identifierType=tiny", ``, 404)
		do("POST", "/v2/alerts/q1/explode?identifierType=alias", ``, 404)
		do("PUT", "/v2/alerts/q1/message?identifierType=alias", `{}`, 422)
		do("GET", "/v2/alerts/requests/none", ``, 404)
		do("GET", "/v2/alerts/none", ``, 404)
		if resp, _ := h.send("POST", "/v2/alerts", "application/json", `{"message":"x"}`, "Authorization", "GenieKey wrong"); resp.StatusCode != 401 {
			t.Fatal(resp.Status)
		}
		if resp, _ := h.send("POST", "/v2/alerts", "application/json", `{"message":"x"}`); resp.StatusCode != 401 {
			t.Fatal(resp.Status)
		}
		h.facts()
	})
}

// What Alertmanager and the vendor's own client sent: each create is an alert of
// its alias, the calls of update_alerts change its words, the close resolves it.
func TestOpsgenieCaptures(t *testing.T) {
	for _, dir := range []string{"alertmanager/0.25.0", "alertmanager/0.34.2", "pagerduty-clients"} {
		files := captures(t, dir, "opsgenie-*.json")
		if len(files) == 0 {
			continue
		}
		each(t, ingest.Options{}, func(t *testing.T, h *house) {
			h.source(alert.SourceDef{ID: "og", Kind: "opsgenie", Key: ogKey})
			opened, resolved := 0, 0
			for _, file := range files {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var c struct {
					Method, Path string
					Body         json.RawMessage
				}
				if err := json.Unmarshal(raw, &c); err != nil {
					t.Fatal(err)
				}
				before := h.count()
				resp, v := h.opsgenie(c.Method, strings.TrimPrefix(c.Path, "/opsgenie"), string(c.Body))
				if resp.StatusCode != http.StatusAccepted {
					t.Fatalf("%s: %s %v", filepath.Base(file), resp.Status, v)
				}
				switch {
				case strings.Contains(c.Path, "/close"):
					resolved += h.count() - before
				default:
					opened += h.count() - before
				}
			}
			live, err := h.alerts.LiveOf(h.ctx, "og")
			if err != nil || len(live) != opened-resolved || opened == 0 {
				t.Fatalf("%s: %d opened, %d resolved, %d live, %v", dir, opened, resolved, len(live), err)
			}
			for _, a := range live {
				if a.Title == "" || a.Severity != alert.Critical { // all were sent as P1
					t.Errorf("%+v", a)
				}
			}
		})
	}
}
