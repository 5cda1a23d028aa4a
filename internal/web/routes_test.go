package web_test

import (
	"net/url"
	"testing"

	"tocsin/internal/alert"
)

// Rules are tried on what came lately before they are saved, and saved whole or not at
// all.
func TestRoutes(t *testing.T) {
	const at = "/settings/routes"
	h := open(t)
	h.signIn()
	_, err := h.alert.CreateSource(h.ana(), alert.SourceDef{ID: "prometheus", Kind: "alertmanager", Key: "k-prometheus"})
	h.ok(err)
	for _, s := range []alert.Signal{
		{DedupKey: "a", Title: "Down", Severity: alert.Critical, Labels: map[string]string{"env": "prod"}},
		{DedupKey: "b", Title: "Noise", Severity: alert.Info, Labels: map[string]string{"env": "prod"}},
		{DedupKey: "c", Title: "Staging", Severity: alert.Critical, Labels: map[string]string{"env": "staging"}},
	} {
		s.Source, s.Action = "prometheus", alert.Trigger
		_, err := h.alert.Ingest(h.ana(), []alert.Signal{s})
		h.ok(err)
	}
	rules := func(do, when string) url.Values {
		return url.Values{
			"do": {do}, "version": {"1"}, "rules": {"4"},
			"when.0": {`alert.labels["env"] != "prod"`}, "then.0": {"suppress"}, "reason.0": {"not production"}, "at.0": {"2"},
			"when.1": {when}, "then.1": {"record"}, "at.1": {"1"},
			"when.2": {""}, "then.2": {"incident"}, "severity.2": {"sev3"}, "group.2": {"service, alertname"}, "window.2": {"5m"}, "at.2": {"3"},
			"then.3": {""},
		}
	}
	post := func(f url.Values, want int) string {
		t.Helper()
		res, body := h.do("POST", at, f)
		if res.StatusCode != want {
			t.Fatalf("%d, not %d: %s", res.StatusCode, want, problem(body))
		}
		return body
	}
	body := post(rules("try", `alert.severity == "info"`), 200)
	contains(t, body, "Tried on the last 3 alerts", "2 alerts would be treated otherwise", "Noise", "Staging", "Hold back and count")
	if list, version, err := h.alert.Routes(h.ana()); err != nil || version != 1 || len(list) != 0 {
		t.Fatalf("a trial was saved: %d, %+v, %v", version, list, err)
	}
	contains(t, post(rules("save", `alert.severity ==`), 422), "There is a problem", `href="#f-when.0"`, "not production")
	post(rules("save", `alert.severity == "info"`), 303)
	list, _, err := h.alert.Routes(h.ana())
	h.ok(err)
	if len(list) != 3 || list[0].Then != alert.ThenRecord || list[1].Reason != "not production" || list[2].Severity != "sev3" || len(list[2].Group) != 2 {
		t.Errorf("%+v", list)
	}
	post(rules("save", `alert.severity == "warning"`), 412)
	removed := rules("save", `alert.severity == "info"`)
	removed.Set("version", "2")
	removed.Set("remove.0", "1")
	post(removed, 303)
	if list, _, err = h.alert.Routes(h.ana()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	contains(t, h.get(at+"?try=1"), "Tried on the last 3 alerts")
}
