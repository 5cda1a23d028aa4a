package alert_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// runQuiet runs the due rows of the kind that are due, as the worker would.
func (h *house) runQuiet(t *testing.T) {
	t.Helper()
	for {
		var rows []struct {
			ID   int64  `bun:"id"`
			Body string `bun:"body"`
		}
		err := h.d.Read(h.ctx).NewSelect().Table("due").Column("id", "body").Where("kind = ?", alert.KindQuiet).
			Where("due_at <= ?", kit.Micros(h.d.Now())).OrderExpr("due_at, id").Scan(h.ctx, &rows)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return
		}
		for _, r := range rows {
			err := h.d.Write(h.ctx, func(ctx context.Context, tx *db.Tx) error {
				if _, err := tx.Exec(ctx, `DELETE FROM due WHERE id = $1`, r.ID); err != nil {
					return err
				}
				for _, task := range h.Tasks() {
					if task.Kind == alert.KindQuiet {
						return task.Run(ctx, tx, due.Row{Kind: alert.KindQuiet, Body: []byte(r.Body)})
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (h *house) state(t *testing.T, id, state, held string) {
	t.Helper()
	a, err := h.Get(h.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.State) != state || a.Held().String() != held {
		t.Fatalf("alert %s is %s, held %q; want %s, %q", a.Title, a.State, a.Held(), state, held)
	}
}

func matcher(name, value string) quiet.Matcher {
	return quiet.Matcher{Name: name, Value: value, IsEqual: true}
}

func TestSilence(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		before := h.send(t, alert.Signal{DedupKey: "a", Title: "a", Labels: map[string]string{"team": "x"}})[0]
		other := h.send(t, alert.Signal{DedupKey: "b", Title: "b", Labels: map[string]string{"team": "y"}})[0]
		h.facts(t, "alert.opened", "alert.opened")
		x, err := h.Silence(h.ctx, alert.Silence{Silence: quiet.Silence{Matchers: []quiet.Matcher{matcher("team", "x")}, Until: h.clock.Now().Add(time.Hour)}, Reason: "work"})
		if err != nil {
			t.Fatal(err)
		}
		h.facts(t, "silence.created", "alert.suppressed")
		h.state(t, before.Alert, "suppressed", "silence:"+x.ID)
		h.state(t, other.Alert, "open", "")

		after := h.send(t, alert.Signal{DedupKey: "c", Title: "c", Labels: map[string]string{"team": "x"}})[0]
		f := h.facts(t, "alert.opened", "alert.suppressed")
		var opened alert.Opened
		if err := f[0].Decode(&opened); err != nil || opened.Then != alert.ThenSuppress {
			t.Fatalf("a silenced alert opens with %q, %v: it would page", opened.Then, err)
		}
		h.state(t, after.Alert, "suppressed", "silence:"+x.ID)
		h.send(t, alert.Signal{DedupKey: "c", Title: "c"})
		if a, _ := h.Get(h.ctx, after.Alert); a.Count != 2 {
			t.Fatalf("a silenced alert is counted: %d", a.Count)
		}
		h.send(t, alert.Signal{DedupKey: "a", Action: alert.Resolve})
		h.facts(t, "alert.resolved")

		h.clock.Advance(time.Hour)
		h.runQuiet(t)
		f = h.facts(t, "silence.ended", "alert.unsuppressed", "alert.opened")
		if err := f[2].Decode(&opened); err != nil || opened.Then != alert.ThenIncident || f[2].Subject.ID != after.Alert {
			t.Fatalf("released: %+v", opened)
		}
		h.state(t, after.Alert, "open", "")

		y, err := h.Silence(h.ctx, alert.Silence{Silence: quiet.Silence{Matchers: []quiet.Matcher{matcher("alertname", "c")}, Until: h.clock.Now().Add(time.Hour)}, Reason: "work"})
		if err != nil {
			t.Fatal(err)
		}
		h.facts(t, "silence.created", "alert.suppressed")
		for range 2 {
			if err := h.Unsilence(h.ctx, y.ID); err != nil {
				t.Fatal(err)
			}
		}
		h.facts(t, "silence.ended", "alert.unsuppressed", "alert.opened")
		all, err := h.Silences(h.ctx)
		if err != nil || len(all) != 2 || all[0].State(h.clock.Now()) != "expired" {
			t.Fatalf("%+v, %v", all, err)
		}
	})
}

func TestSilenceIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		later := h.clock.Now().Add(time.Hour)
		ok := []quiet.Matcher{matcher("a", "b")}
		for field, x := range map[string]alert.Silence{
			"reason":            {Silence: quiet.Silence{Matchers: ok, Until: later}},
			"until":             {Silence: quiet.Silence{Matchers: ok, Until: h.clock.Now()}, Reason: "r"},
			"matchers":          {Silence: quiet.Silence{Until: later}, Reason: "r"},
			"matchers[0].value": {Silence: quiet.Silence{Matchers: []quiet.Matcher{{Name: "a", Value: "(", IsRegex: true}}, Until: later}, Reason: "r"},
			"matchers[0].name":  {Silence: quiet.Silence{Matchers: []quiet.Matcher{matcher("", "x")}, Until: later}, Reason: "r"},
		} {
			_, err := h.Silence(h.ctx, x)
			if f := kit.AsError(err).Fields; len(f) == 0 || f[0].Path != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		_, err := h.Silence(h.ctx, alert.Silence{Silence: quiet.Silence{Matchers: []quiet.Matcher{{Name: "a", Value: ".*", IsRegex: true, IsEqual: true}}, Until: later}, Reason: "r"})
		if f := kit.AsError(err).Fields; len(f) == 0 || f[0].Key != "alert.error.matches_all" {
			t.Errorf("a silence of everything: %v", err)
		}
		h.facts(t)
		if _, err := alert.New(h.d, deny{}).Silence(h.ctx, alert.Silence{}); kit.CodeOf(err) != kit.CodeForbidden {
			t.Errorf("without the right: %v", err)
		}
	})
}

func TestSilenceOfASource(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		x := alert.Silence{Silence: quiet.Silence{Matchers: []quiet.Matcher{matcher("team", "x")}, Until: h.clock.Now().Add(time.Hour)}, Reason: "work"}
		x, err := h.SilenceOf(h.ctx, "prometheus", "jo", x)
		if err != nil || x.ByName != "jo" {
			t.Fatalf("%+v, %v", x, err)
		}
		labels := map[string]string{"team": "x"}
		mine := h.send(t, alert.Signal{Labels: labels})[0]
		others := h.send(t, alert.Signal{Source: "grafana", Labels: labels})[0]
		h.state(t, mine.Alert, "suppressed", "silence:"+x.ID)
		h.state(t, others.Alert, "open", "")
		if err := h.UnsilenceOf(h.ctx, "grafana", x.ID); kit.CodeOf(err) != kit.CodeNotFound {
			t.Errorf("another source ends it: %v", err)
		}
		if l, err := h.SilencesOf(h.ctx, "grafana"); err != nil || len(l) != 0 {
			t.Errorf("another source sees it: %v, %v", l, err)
		}
		if err := h.UnsilenceOf(h.ctx, "prometheus", x.ID); err != nil {
			t.Fatal(err)
		}
		h.state(t, mine.Alert, "open", "")
	})
}

func TestMaintenance(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		w, err := h.PlanMaintenance(h.ctx, alert.Maintenance{
			Window: quiet.Window{Services: []string{"payments"}, From: h.clock.Now().Add(time.Hour), Until: h.clock.Now().Add(2 * time.Hour)}, Reason: "new disks", Public: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		h.facts(t, "maintenance.planned")
		before := h.send(t, alert.Signal{DedupKey: "a", Service: "payments"})[0]
		h.state(t, before.Alert, "open", "")
		h.facts(t, "alert.opened")
		h.clock.Advance(time.Hour)
		h.runQuiet(t)
		h.facts(t, "maintenance.started", "alert.suppressed")
		during := h.send(t, alert.Signal{DedupKey: "b", Service: "payments"})[0]
		h.state(t, during.Alert, "suppressed", "maintenance:"+w.ID)
		h.send(t, alert.Signal{DedupKey: "a", Action: alert.Resolve})
		h.facts(t, "alert.opened", "alert.suppressed", "alert.resolved")
		h.clock.Advance(time.Hour)
		h.runQuiet(t)
		h.facts(t, "maintenance.ended", "alert.unsuppressed", "alert.opened")
		h.state(t, during.Alert, "open", "")

		now, err := h.PlanMaintenance(h.ctx, alert.Maintenance{Window: quiet.Window{Services: []string{"payments"}, Until: h.clock.Now().Add(time.Hour)}, Reason: "again"})
		if err != nil || now.State != "started" {
			t.Fatalf("%+v, %v", now, err)
		}
		h.facts(t, "maintenance.planned", "maintenance.started", "alert.suppressed")
		for range 2 {
			if err := h.EndMaintenance(h.ctx, now.ID); err != nil {
				t.Fatal(err)
			}
		}
		h.facts(t, "maintenance.ended", "alert.unsuppressed", "alert.opened")
		if l, err := h.Maintenances(h.ctx); err != nil || len(l) != 2 || l[0].State != "ended" {
			t.Fatalf("%+v, %v", l, err)
		}
	})
}

// withNeeds gives the house a company in which web needs api and api needs db.
func withNeeds(t *testing.T, h *house) {
	t.Helper()
	h.Stop()
	h.Service = alert.New(h.d, allow{}, alert.WithNeeds(func(context.Context) (map[string][]string, error) {
		return map[string][]string{"web": {"api"}, "api": {"db"}}, nil
	}))
	if err := h.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
}

func TestSymptoms(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		withNeeds(t, h)
		// In one message the cause is taken first, wherever it stands.
		out := h.send(t, alert.Signal{DedupKey: "w", Title: "w", Service: "web"}, alert.Signal{DedupKey: "a", Title: "a", Service: "api", Severity: alert.Warning}, alert.Signal{DedupKey: "d", Title: "d", Service: "db"})
		h.state(t, out[2].Alert, "open", "")
		h.state(t, out[0].Alert, "suppressed", "dependency:"+out[2].Alert)
		h.state(t, out[1].Alert, "suppressed", "dependency:"+out[2].Alert)
		f := h.facts(t, "alert.opened", "alert.opened", "alert.suppressed", "alert.opened", "alert.suppressed")
		if f[0].Subject.ID != out[2].Alert {
			t.Fatal("the cause does not come first")
		}
		again := h.send(t, alert.Signal{DedupKey: "w2", Title: "w2", Service: "web"})[0]
		h.state(t, again.Alert, "suppressed", "dependency:"+out[2].Alert)
		h.facts(t, "alert.opened", "alert.suppressed")
		h.send(t, alert.Signal{DedupKey: "w2", Action: alert.Resolve})
		h.send(t, alert.Signal{DedupKey: "d", Action: alert.Resolve})
		h.facts(t, "alert.resolved", "alert.resolved")
		h.clock.Advance(2 * time.Second)
		h.runQuiet(t)
		// What still fires is open again: nothing that it needs has failed.
		h.state(t, out[0].Alert, "open", "")
		h.state(t, out[1].Alert, "open", "")
		h.facts(t, "alert.unsuppressed", "alert.opened", "alert.unsuppressed", "alert.opened")
	})
}

func TestFlapping(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for range quiet.FlapEnds {
			h.send(t, alert.Signal{})
			h.clock.Advance(time.Minute)
			h.send(t, alert.Signal{Action: alert.Resolve})
			h.facts(t, "alert.opened", "alert.resolved")
		}
		held := h.send(t, alert.Signal{})[0]
		h.state(t, held.Alert, "suppressed", "flapping:")
		h.facts(t, "alert.opened", "alert.suppressed")
		h.clock.Advance(quiet.FlapWindow - time.Second)
		h.runQuiet(t)
		h.state(t, held.Alert, "suppressed", "flapping:")
		h.clock.Advance(time.Second)
		h.runQuiet(t)
		h.state(t, held.Alert, "open", "")
		h.facts(t, "alert.unsuppressed", "alert.opened")
	})
}

func TestStorm(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if err := h.SetRoutes(h.ctx, []alert.Route{{ID: "each", Then: alert.ThenIncident, Group: []string{"dedup_key"}}}, 0); err != nil {
			t.Fatal(err)
		}
		var list []alert.Signal
		for i := range 100 {
			list = append(list, alert.Signal{DedupKey: fmt.Sprint(i)})
		}
		h.send(t, list...)
		groups := map[string]int{}
		facts, err := h.l.Facts(h.ctx, ledger.Filter{Types: []string{"alert.opened"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			var b alert.Opened
			if err := f.Decode(&b); err != nil {
				t.Fatal(err)
			}
			groups[b.GroupKey]++
		}
		if len(groups) != quiet.StormGroups+1 || groups[quiet.Storm] != 100-quiet.StormGroups {
			t.Fatalf("%d groups, %d in the storm", len(groups), groups[quiet.Storm])
		}
	})
}
