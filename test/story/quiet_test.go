package story_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/app"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/test/fake"
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
		if i, p, s := h.factsOf("incident.declared"), h.factsOf("page.opened"), h.factsOf("alert.suppressed"); i != 1 || p != 1 || s != symptoms {
			t.Fatalf("%d incidents, %d pages, %d symptoms; want 1, 1, %d", i, p, s, symptoms)
		}
		probe.Action = alert.Resolve
		if _, err := h.app.Alert.Ingest(ctx, []alert.Signal{probe}); err != nil {
			t.Fatal(err)
		}
		h.forward(2 * time.Second)
		if n := h.factsOf("alert.unsuppressed"); n == 0 {
			t.Fatal("what still fires is told of once the cause is gone")
		}
	})
}

// factsOf is how many facts of a type there are.
func (h timed) factsOf(typ string) int {
	h.t.Helper()
	f, err := h.app.Ledger().Facts(app.AsSystem(h.t.Context()), ledger.Filter{Types: []string{typ}})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(f)
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

// TestCauseAfterItsSymptoms: three services that need the database fail first, one
// after the other, and their pages leave at once. Then the database is told to be down:
// one incident is left, its service first, with one page that is still asked; what fails
// later is held back. A cause that other people are paged for stays an incident of its
// own.
func TestCauseAfterItsSymptoms(t *testing.T) {
	const org = `apiVersion: tocsin/v1
policies:
  - {id: network, steps: [{after: 0s, page: ["person:paul"]}]}
services:
  - {id: payments}
  - {id: database}
  - {id: network, policy: network}
  - {id: part-0, needs: [{service: database, kind: hard}, {service: network, kind: hard}]}
  - {id: part-1, needs: [{service: database, kind: hard}]}
  - {id: part-2, needs: [{service: part-1, kind: hard}]}
  - {id: part-3, needs: [{service: database, kind: hard}]}
`
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		if _, err := h.app.Apply(ctx, []byte(org), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		fails := func(service string) {
			t.Helper()
			_, err := h.app.Alert.Ingest(ctx, []alert.Signal{{Source: "prometheus", DedupKey: service, Title: service + " fails", Service: service, Severity: alert.Critical, Action: alert.Trigger, StartsAt: h.clock.Now()}})
			if err != nil {
				t.Fatal(err)
			}
			h.settle()
		}
		open := func() []*incident.Incident {
			t.Helper()
			all, err := h.app.Incident.List(ctx, incident.Filter{Active: true, Sort: "declared"}, kit.Page{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			return all.Items
		}
		for _, s := range []string{"part-0", "part-1", "part-2"} {
			fails(s)
			h.forward(5 * time.Second)
		}
		if n := len(open()); n != 2 {
			t.Fatalf("%d incidents before the cause: part-2 needs part-1, which is told already", n)
		}
		before := h.factsOf("page.opened")
		fails("database")
		list := open()
		if len(list) != 1 || list[0].Services[0] != "database" || len(list[0].Services) != 3 {
			t.Fatalf("open: %+v", list)
		}
		alerts, err := h.app.Alert.ForIncident(ctx, list[0].ID)
		if err != nil || len(alerts) != 3 {
			t.Fatalf("%d alerts under the cause, %v", len(alerts), err)
		}
		h.forward(5 * time.Second)
		fails("part-3")
		for _, a := range alerts {
			held, err := h.app.Alert.Symptoms(ctx, a.ID)
			if err != nil || a.DedupKey == "database" && held[a.ID] != 1 {
				t.Fatalf("symptoms of %s: %v, %v", a.DedupKey, held, err)
			}
		}
		if n := len(open()); n != 1 {
			t.Fatalf("%d incidents after the cause", n)
		}
		if n := h.factsOf("page.opened") - before; n != 0 {
			t.Fatalf("%d pages more for what was told already", n)
		}
		pages, err := h.app.Notify.Pages(ctx, notify.Filter{State: "open"})
		if err != nil {
			t.Fatal(err)
		}
		if len(pages.Items) != 1 || pages.Items[0].Incident != list[0].ID {
			t.Fatalf("open pages: %+v", pages.Items)
		}
		h.pages.Wait(t, 15*time.Second, func(all []fake.Request) bool {
			return slices.ContainsFunc(all, func(r fake.Request) bool {
				return r.Type() == "page" && bytes.Contains(r.Body, []byte("database fails"))
			})
		})
		// More of the cause joins it, and the network is other people's.
		fails("database")
		fails("network")
		if list := open(); len(list) != 2 || list[1].Title != "network fails" {
			t.Fatalf("open: %+v", list)
		}
	})
}
