package story_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/app"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// symptoms is how many alerts a failed database brings with it.
const symptoms = 38

// TestOneCausePagesOnce: the database fails and 38 alerts of what needs it come in
// the same message, before it. One person is paged, once, for the database; when it
// is back, what still fires is told.
func TestOneCausePagesOnce(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		var b strings.Builder
		b.WriteString("services:\n  - {id: payments}\n  - {id: database}\n")
		for i := range symptoms {
			on := "database"
			if i > 0 {
				on = fmt.Sprintf("part-%d", (i-1)/2)
			}
			fmt.Fprintf(&b, "  - {id: part-%d, needs: [{service: %s, kind: hard}]}\n", i, on)
		}
		if _, err := h.app.Apply(ctx, []byte("apiVersion: tocsin/v1\n"+b.String()), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		now := h.clock.Now()
		probe := alert.Signal{Source: "prometheus", DedupKey: "db", Title: "database down", Service: "database", Severity: alert.Critical, Action: alert.Trigger}
		var list []alert.Signal
		for i := range symptoms {
			list = append(list, alert.Signal{Source: "prometheus", DedupKey: fmt.Sprint(i), Title: fmt.Sprintf("part %d fails", i), Service: fmt.Sprintf("part-%d", i), Severity: alert.Critical, Action: alert.Trigger, StartsAt: now})
		}
		if _, err := h.app.Alert.Ingest(ctx, append(list, probe)); err != nil {
			t.Fatal(err)
		}
		if p := h.page("ana"); len(p.Data.Alerts) != 1 || p.Data.Alerts[0].Title != "database down" {
			t.Fatalf("the page tells of %+v", p.Data.Alerts)
		}
		h.settle()
		count := func(typ string) int {
			f, err := h.app.Ledger().Facts(ctx, ledger.Filter{Types: []string{typ}})
			if err != nil {
				t.Fatal(err)
			}
			return len(f)
		}
		if i, p, s := count("incident.declared"), count("page.opened"), count("alert.suppressed"); i != 1 || p != 1 || s != symptoms {
			t.Fatalf("%d incidents, %d pages, %d symptoms; want 1, 1, %d", i, p, s, symptoms)
		}
		probe.Action = alert.Resolve
		if _, err := h.app.Alert.Ingest(ctx, []alert.Signal{probe}); err != nil {
			t.Fatal(err)
		}
		h.forward(2 * time.Second)
		if n := count("alert.unsuppressed"); n == 0 {
			t.Fatal("what still fires is told of once the cause is gone")
		}
	})
}

// TestStormIsOneIncident: a thousand alerts of a rule that groups by nothing are few
// incidents, and one holds all that came after them.
func TestStormIsOneIncident(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		ctx := app.AsSystem(t.Context())
		if err := h.app.Alert.SetRoutes(ctx, []alert.Route{{ID: "each", Then: alert.ThenIncident, Group: []string{"dedup_key"}}}, 0); err != nil {
			t.Fatal(err)
		}
		var list []alert.Signal
		for i := range 1000 {
			list = append(list, alert.Signal{Source: "prometheus", DedupKey: fmt.Sprint(i), Title: fmt.Sprintf("alert %d", i), Service: "payments", Severity: alert.Critical, Action: alert.Trigger})
		}
		if _, err := h.app.Alert.Ingest(ctx, list); err != nil {
			t.Fatal(err)
		}
		if err := h.app.Ledger().Idle(ctx); err != nil {
			t.Fatal(err)
		}
		all, err := h.app.Incident.List(ctx, incident.Filter{}, kit.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		most := int64(0)
		for _, i := range all.Items {
			most = max(most, i.OpenAlerts)
		}
		if all.Total != quiet.StormGroups+1 || most != 1000-quiet.StormGroups {
			t.Fatalf("%d incidents, the largest of %d alerts", all.Total, most)
		}
	})
}

// TestSilencedIsNotPaged: what a silence means pages nobody until the silence ends.
func TestSilencedIsNotPaged(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		var made struct {
			ID string `json:"id"`
		}
		h.must(http.StatusCreated, http.MethodPost, "/api/v1/silences", map[string]any{
			"matchers": []any{map[string]any{"name": "alertname", "value": "Disk.*", "isRegex": true}},
			"until":    h.clock.Now().Add(time.Hour).Format(time.RFC3339), "reason": "new disks",
		}, &made)
		ctx := app.AsSystem(context.Background())
		_, err := h.app.Alert.Ingest(ctx, []alert.Signal{{Source: "prometheus", DedupKey: "d", Title: "disk full", Service: "payments", Severity: alert.Critical, Action: alert.Trigger, Labels: map[string]string{"alertname": "DiskFull"}}})
		if err != nil {
			t.Fatal(err)
		}
		h.settle()
		if l, err := h.app.Incident.List(ctx, incident.Filter{}, kit.Page{}); err != nil || l.Total != 0 {
			t.Fatalf("%d incidents, %v", l.Total, err)
		}
		h.forward(time.Hour)
		if p := h.page("ana"); len(p.Data.Alerts) == 0 {
			t.Fatal("no page after the silence")
		}
	})
}
