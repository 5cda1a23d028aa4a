package web_test

import (
	"context"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/finding"
	"tocsin/internal/kit"
)

func TestSilencesAndMaintenance(t *testing.T) {
	shop := func(h *house) {
		h.ok(h.d.Write(h.ana(), func(ctx context.Context, tx *db.Tx) error {
			_, err := h.deps.Service.Apply(ctx, tx, []continuity.Definition{{ID: "shop", Name: kit.Both("Shop")}}, false)
			return err
		}))
	}
	soon := func(h time.Duration) string {
		return time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).Add(h * time.Hour).Format("2006-01-02T15:04")
	}
	const at = "/alerts/silences"
	scenarios(t, []scenario{
		{
			name: "a silence", path: at, form: []string{"matchers", "alertname=Down\ninstance=~\"db.*\"", "until", soon(48), "reason", "deploy"},
			to: at, facts: []string{"silence.created"}, shows: []string{"Silenced.", `instance=~&#34;db.*&#34;`, "deploy", "Ana Lopez", "Active"},
		},
		{name: "no condition", path: at, form: []string{"until", soon(48), "reason", "deploy"}, shows: []string{"There is a problem", `href="#f-matchers"`, "deploy"}},
		{name: "no matcher", path: at, form: []string{"matchers", "nonsense", "until", soon(48), "reason", "deploy"}, shows: []string{"nonsense", `href="#f-matchers"`}},
		{name: "all alerts", path: at, form: []string{"matchers", "a=~.*", "until", soon(48), "reason", "deploy"}, shows: []string{`href="#f-matchers"`}},
		{name: "over already", path: at, form: []string{"matchers", "a=b", "until", soon(-48), "reason", "deploy"}, shows: []string{`href="#f-until"`}},
		{
			name: "maintenance", before: shop, path: "/alerts/maintenance", form: []string{"services", "shop", "from", soon(24), "to", soon(48), "why", "move", "public", "1"},
			to: at + "#maintenance", facts: []string{"maintenance.planned"}, shows: []string{"Planned.", "Shop", "move"},
		},
		{name: "maintenance of nothing", before: shop, path: "/alerts/maintenance", form: []string{"from", soon(24), "to", soon(48), "why", "move"}, shows: []string{`href="#f-services"`, "move"}},
		{name: "maintenance without a reason", before: shop, path: "/alerts/maintenance", form: []string{"services", "shop", "from", soon(24), "to", soon(48)}, shows: []string{`href="#f-why"`, `value="shop" checked`}},
	})
	h := open(t)
	h.signIn()
	_, err := h.alert.CreateSource(h.ana(), alert.SourceDef{ID: "prometheus", Kind: "alertmanager", Key: "k-prometheus"})
	h.ok(err)
	out, err := h.alert.Ingest(h.ana(), []alert.Signal{{Source: "prometheus", DedupKey: "k", Title: "Down", Severity: alert.Critical, Action: alert.Trigger, Labels: map[string]string{"alertname": "Down"}}})
	h.ok(err)
	contains(t, h.get("/alerts/"+out[0].Alert), "/alerts/silences?matchers=alertname%3D%22Down%22%0Asource%3D%22prometheus%22#new")
	contains(t, h.get("/alerts/silences?matchers=alertname%3D%22Down%22"), "alertname=&#34;Down&#34;</textarea>")
	h.post(at, "matchers", "alertname=Down", "until", soon(48), "reason", "deploy")
	contains(t, h.get(at), "1 alert is held back now.")
	list, err := h.alert.Silences(h.ana())
	h.ok(err)
	h.post(at + "/" + list[0].ID + "/end")
	contains(t, h.get(at), "Over")
}

func TestFindings(t *testing.T) {
	report := func(h *house) {
		_, err := h.deps.Finding.Receive(h.ana(), finding.Source{ID: "scans", Service: "shop"}, finding.Report{
			Format: "sarif", Tool: finding.Tool{Name: "scanner"}, Verdict: finding.Findings, Target: "repo", Scopes: []finding.Scope{{Target: "repo"}},
			StartedAt: h.clock.Now(), FinishedAt: h.clock.Now(),
			Findings: []finding.Result{{Key: "1", Tool: "scanner", Target: "repo", Rule: "sql-injection", Title: "SQL from input", Severity: finding.Critical, Location: "shop/cart.go", Line: 12, CWE: []string{"CWE-89"}}},
		}, "00")
		h.ok(err)
	}
	const at = "/findings/FND-1"
	scenarios(t, []scenario{
		{name: "to be fixed", before: report, path: at, form: []string{"decision", "fix"}, to: at, facts: []string{"finding.decided"}, shows: []string{"The decision is recorded.", "Being fixed", "Ana Lopez", "shop/cart.go:12", "CWE-89"}},
		{name: "accepted", before: report, path: at, form: []string{"decision", "accept", "reason", "not reachable", "expires", "2027-01-31T00:00"}, to: at, facts: []string{"finding.decided"}, shows: []string{"Accepted", "not reachable"}},
		{name: "accepted for ever", before: report, path: at, form: []string{"decision", "accept", "reason", "not reachable"}, shows: []string{"There is a problem", `href="#f-expires"`, "not reachable"}},
		{name: "without a reason", before: report, path: at, form: []string{"decision", "false_positive"}, shows: []string{`href="#f-reason"`}},
	})
	h := open(t)
	h.signIn()
	contains(t, h.get("/findings"), "No finding.")
	report(h)
	contains(t, h.get("/findings?severity=critical&state=open&q=sql"), "FND-1 · SQL from input", "Critical", "Open")
	contains(t, h.get("/search?q=fnd-1"), `href="/findings/FND-1"`)
}
