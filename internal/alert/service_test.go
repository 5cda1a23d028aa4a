package alert_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type allow struct{}

func (allow) Require(context.Context, kit.Use, ...kit.Role) error { return nil }

type deny struct{}

func (deny) Require(_ context.Context, use kit.Use, _ ...kit.Role) error {
	return kit.Forbidden(string(use), "")
}

type house struct {
	*alert.Service
	d     *db.DB
	l     *ledger.Ledger
	clock *dbtest.Clock
	ctx   context.Context
	seen  int64
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	start := clock.Now()
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		h := &house{d: d, l: ledger.New(d), clock: clock, Service: alert.New(d, allow{})}
		h.ctx = kit.WithActor(t.Context(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana", Via: kit.ViaWeb})
		if err := h.Start(h.ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Stop)
		fn(t, h)
	})
}

// facts checks the types of the facts since the last call.
func (h *house) facts(t *testing.T, want ...string) []ledger.Fact {
	t.Helper()
	all, err := h.l.Facts(h.ctx, ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	all = all[h.seen:]
	h.seen += int64(len(all))
	var got []string
	for _, f := range all {
		got = append(got, f.Type)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("facts %v, want %v", got, want)
	}
	return all
}

func (h *house) send(t *testing.T, s ...alert.Signal) []alert.Outcome {
	t.Helper()
	for i := range s {
		if s[i].Source == "" {
			s[i].Source = "prometheus"
		}
		if s[i].DedupKey == "" {
			s[i].DedupKey = "k"
		}
		if s[i].Action == "" {
			s[i].Action = alert.Trigger
		}
		if s[i].Severity == "" {
			s[i].Severity = alert.Critical
		}
	}
	out, err := h.Ingest(h.ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// runDue runs the due row of an alert as the worker would.
func (h *house) runDue(t *testing.T, id string) {
	t.Helper()
	body := []byte(fmt.Sprintf(`{"alerts":[%q,"gone"]}`, id))
	err := h.d.Write(h.ctx, func(ctx context.Context, tx *db.Tx) error {
		return h.Tasks()[0].Run(ctx, tx, due.Row{Kind: alert.KindTimeout, Key: id, Body: body})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLifeOfAnAlert(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, a := range []alert.Action{alert.Resolve, alert.Acknowledge} {
			if o := h.send(t, alert.Signal{Action: a}); !o[0].Dropped {
				t.Fatalf("%s of nothing: %+v", a, o)
			}
		}
		h.facts(t)
		first := h.send(t, alert.Signal{Title: "down", Service: "payments", Labels: map[string]string{"alertname": "Down"}})[0]
		if !first.New || first.State != alert.StateOpen {
			t.Fatalf("first: %+v", first)
		}
		f := h.facts(t, "alert.opened")[0]
		var body alert.Opened
		if err := f.Decode(&body); err != nil {
			t.Fatal(err)
		}
		if body.Then != alert.ThenIncident || body.Route != "default" || body.WindowS != 600 || body.GroupKey != `service="payments"` ||
			f.Actor.Kind != kit.ActorSource || f.Actor.ID != "prometheus" || f.Via != kit.ViaIngest {
			t.Fatalf("opened %+v by %+v", body, f.Actor)
		}
		h.clock.Advance(time.Minute)
		if o := h.send(t, alert.Signal{Title: "down"})[0]; o.New || o.Alert != first.Alert {
			t.Fatalf("repeat: %+v", o)
		}
		h.facts(t)
		h.send(t, alert.Signal{Title: "down", Severity: alert.Warning})
		h.facts(t, "alert.severity_changed")
		h.send(t, alert.Signal{Action: alert.Acknowledge}, alert.Signal{Action: alert.Acknowledge})
		h.facts(t, "alert.acknowledged")
		a, err := h.Get(h.ctx, first.Alert)
		if err != nil || a.Count != 3 || a.State != alert.StateAcknowledged || a.AcknowledgedBy != "sender" || !a.LastAt.Equal(h.clock.Now()) {
			t.Fatalf("alert %+v, %v", a, err)
		}
		h.send(t, alert.Signal{Action: alert.Resolve})
		r := h.facts(t, "alert.resolved")[0]
		var res alert.Resolved
		if err := r.Decode(&res); err != nil || res != (alert.Resolved{How: "sent", Count: 3, DurationS: 60}) {
			t.Fatalf("resolved %+v, %v", res, err)
		}
		if o := h.send(t, alert.Signal{Action: alert.Resolve})[0]; !o.Dropped {
			t.Fatalf("second resolve: %+v", o)
		}
		h.facts(t)
		if o := h.send(t, alert.Signal{Title: "again"})[0]; !o.New || o.Alert == first.Alert {
			t.Fatalf("after resolved: %+v", o)
		}
		h.facts(t, "alert.opened")
	})
}

func TestOneBatchOpensResolvesAndOpens(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		o := h.send(t, alert.Signal{}, alert.Signal{Action: alert.Resolve}, alert.Signal{}, alert.Signal{}, alert.Signal{DedupKey: "other", Source: "x"})
		if o[0].Alert != o[1].Alert || o[2].Alert == o[0].Alert || o[3].Alert != o[2].Alert || !o[2].New || o[3].New {
			t.Fatalf("outcomes %+v", o)
		}
		h.facts(t, "alert.opened", "alert.resolved", "alert.opened", "alert.opened")
		h.send(t, alert.Signal{Action: alert.Resolve}, alert.Signal{})
		h.facts(t, "alert.resolved", "alert.opened")
	})
}

func TestTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		end := h.clock.Now().Add(4 * time.Minute)
		id := h.send(t, alert.Signal{EndsAt: end})[0].Alert
		h.clock.Advance(time.Minute)
		h.send(t, alert.Signal{EndsAt: end.Add(time.Minute)})
		h.send(t, alert.Signal{EndsAt: end.Add(-2 * time.Minute), EndsByTimeout: true})
		h.facts(t, "alert.opened")
		h.clock.Set(end)
		h.runDue(t, id)
		h.facts(t)
		h.clock.Advance(time.Minute)
		h.runDue(t, id)
		h.facts(t, "alert.resolved")
		a, err := h.Get(h.ctx, id)
		if err != nil || a.How != "timeout" || a.State != alert.StateResolved {
			t.Fatalf("%+v, %v", a, err)
		}
		h.runDue(t, id)
		h.facts(t)
	})
}

func TestRoutesDecide(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		routes := []alert.Route{
			{When: `alert.severity == "info"`, Then: alert.ThenRecord},
			{ID: "quiet", When: `alert.labels["env"] != "prod"`, Then: alert.ThenSuppress, Reason: "not production"},
			{Then: alert.ThenIncident, Severity: "sev3", Group: []string{"service", "alertname", "absent"}, Window: time.Minute},
		}
		if err := h.SetRoutes(h.ctx, routes, 1); err != nil {
			t.Fatal(err)
		}
		h.facts(t, "route.changed")
		if err := h.SetRoutes(h.ctx, routes[1:], 1); kit.CodeOf(err) != kit.CodeStale {
			t.Fatalf("old version: %v", err)
		}
		if err := h.SetRoutes(h.ctx, routes, 0); err != nil {
			t.Fatal(err)
		}
		h.facts(t)
		prod := map[string]string{"env": "prod", "alertname": "A"}
		if o := h.send(t, alert.Signal{DedupKey: "i", Severity: alert.Info, Labels: prod})[0]; o.State != alert.StateOpen {
			t.Fatalf("record: %+v", o)
		}
		h.facts(t, "alert.opened")
		if o := h.send(t, alert.Signal{DedupKey: "s"})[0]; o.State != alert.StateSuppressed {
			t.Fatalf("suppress: %+v", o)
		}
		var held alert.Suppressed
		if err := h.facts(t, "alert.opened", "alert.suppressed")[1].Decode(&held); err != nil || held != (alert.Suppressed{Reason: "route", Rule: "quiet", Text: "not production"}) {
			t.Fatalf("%+v, %v", held, err)
		}
		h.send(t, alert.Signal{DedupKey: "p", Labels: prod, Service: "pay"})
		var b alert.Opened
		f := h.facts(t, "alert.opened")[0]
		if err := f.Decode(&b); err != nil || b.Route != "route-3" || b.IncidentSeverity != "sev3" || b.WindowS != 60 ||
			b.GroupKey != `service="pay" alertname="A" absent=""` {
			t.Fatalf("%+v, %v", b, err)
		}
		h.send(t, alert.Signal{DedupKey: "i", Severity: alert.Critical, Labels: prod})
		f = h.facts(t, "alert.severity_changed", "alert.opened")[1]
		if err := f.Decode(&b); err != nil || b.Then != alert.ThenIncident {
			t.Fatalf("raised: %+v, %v", b, err)
		}
	})
}

func TestSources(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		key, err := h.CreateSource(h.ctx, alert.SourceDef{ID: "am", Kind: "alertmanager", Service: "payments"})
		if err != nil || len(key) != 32 {
			t.Fatalf("key %q, %v", key, err)
		}
		if s, ok, _ := h.SourceByKey(h.ctx, key); !ok || s.ID != "am" || s.Service != "payments" {
			t.Fatalf("%+v %v", s, ok)
		}
		if _, ok, _ := h.SourceByKey(h.ctx, "nope"); ok {
			t.Fatal("unknown key accepted")
		}
		if err := h.ChangeSource(h.ctx, alert.SourceDef{ID: "am", Kind: "alertmanager", SeverityMap: map[string]alert.Severity{"page": alert.Critical}}, 1); err != nil {
			t.Fatal(err)
		}
		next, err := h.RotateKey(h.ctx, "am")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, _ := h.SourceByKey(h.ctx, key); ok {
			t.Fatal("the old key still works")
		}
		if s, ok, _ := h.SourceByKey(h.ctx, next); !ok || s.SeverityMap["page"] != alert.Critical {
			t.Fatalf("%+v %v", s, ok)
		}
		h.facts(t, "source.created", "source.changed", "source.key_rotated")
		h.LogPayload("am", func() alert.Payload { return alert.Payload{At: h.d.Now(), Status: 200, Body: "[]"} })
		if p, err := h.Payloads(h.ctx, "am"); err != nil || len(p) != 1 || p[0].Body != "[]" {
			t.Fatalf("%+v %v", p, err)
		}
		if o, err := h.TestEvent(h.ctx, "am"); err != nil || !o.New {
			t.Fatalf("%+v %v", o, err)
		}
		h.facts(t, "alert.opened")
		for i := range 30 {
			h.LogPayload("am", func() alert.Payload { return alert.Payload{At: h.d.Now(), Body: fmt.Sprint(i)} })
		}
		h.Stop()
		if p, err := h.Payloads(h.ctx, "am"); err != nil || len(p) != 20 || p[0].Body != "29" || p[19].Body != "10" {
			t.Fatalf("%d %+v %v", len(p), p, err)
		}
		all, err := h.Sources(h.ctx)
		if err != nil || len(all) != 2 || all[0].ID != "am" || !all[0].LastHeardAt.Equal(h.d.Now()) || all[1].ID != alert.BuiltIn {
			t.Fatalf("%+v %v", all, err)
		}
		if err := h.RemoveSource(h.ctx, "am"); err != nil {
			t.Fatal(err)
		}
		h.facts(t, "source.removed")
		if _, ok, _ := h.SourceByKey(h.ctx, next); ok {
			t.Fatal("a removed source is heard")
		}
		if _, err := h.CreateSource(h.ctx, alert.SourceDef{ID: "Bad", Kind: "x", Key: "abc"}); len(kit.AsError(err).Fields) != 3 {
			t.Fatalf("want three wrong fields: %v", err)
		}
	})
}

func TestApply(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		defs := []alert.SourceDef{{ID: "prometheus", Kind: "alertmanager", Service: "payments", Key: "k-prometheus"}, {ID: "made", Kind: "pagerduty"}}
		apply := func(defs []alert.SourceDef, prune bool) (ops []string) {
			t.Helper()
			err := h.d.Write(h.ctx, func(ctx context.Context, tx *db.Tx) error {
				c, err := h.Apply(ctx, tx, defs, prune)
				for _, x := range c {
					ops = append(ops, x.ID+" "+x.Op)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return ops
		}
		if got := apply(defs, false); !slices.Equal(got, []string{"prometheus create", "made create"}) {
			t.Fatal(got)
		}
		if got := apply(defs, false); !slices.Equal(got, []string{"prometheus keep", "made keep"}) {
			t.Fatal(got)
		}
		defs[0].Key, defs[0].Service = "k-other", "search"
		if got := apply(defs[:1], true); !slices.Equal(got, []string{"made remove", "prometheus change"}) {
			t.Fatal(got)
		}
		h.facts(t, "source.created", "source.created", "source.removed", "source.changed", "source.key_rotated")
		if s, ok, _ := h.SourceByKey(h.ctx, "k-other"); !ok || s.Service != "search" {
			t.Fatalf("%+v %v", s, ok)
		}
	})
}

func TestAnswersOfPeople(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		id := h.send(t, alert.Signal{EndsAt: h.clock.Now().Add(time.Hour)})[0].Alert
		h.facts(t, "alert.opened")
		for range 2 {
			if err := h.Acknowledge(h.ctx, id); err != nil {
				t.Fatal(err)
			}
			if err := h.Attach(h.ctx, id, "inc", true); err != nil {
				t.Fatal(err)
			}
		}
		f := h.facts(t, "alert.acknowledged", "alert.attached")
		if f[1].Incident != "inc" || f[0].Actor.ID != "ana" {
			t.Fatalf("%+v", f)
		}
		if l, err := h.ForIncident(h.ctx, "inc"); err != nil || len(l) != 1 || l[0].ID != id || l[0].AcknowledgedBy != "ana" {
			t.Fatalf("%+v %v", l, err)
		}
		if err := h.Attach(h.ctx, id, "other", false); err != nil {
			t.Fatal(err)
		}
		if err := h.Detach(h.ctx, id); err != nil {
			t.Fatal(err)
		}
		h.facts(t, "alert.detached", "alert.attached", "alert.detached")
		for range 2 {
			if err := h.Resolve(h.ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		h.facts(t, "alert.resolved")
		if err := h.Acknowledge(h.ctx, id); kit.CodeOf(err) != kit.CodeConflict {
			t.Fatal(err)
		}
		if err := h.Resolve(h.ctx, "none"); kit.CodeOf(err) != kit.CodeNotFound {
			t.Fatal(err)
		}
		n := alert.New(h.d, deny{})
		if err := n.Resolve(h.ctx, id); kit.CodeOf(err) != kit.CodeForbidden {
			t.Fatal(err)
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for i := range 5 {
			h.clock.Advance(time.Second)
			h.send(t, alert.Signal{DedupKey: fmt.Sprint(i), Title: fmt.Sprintf("100%% full %d", i), Service: []string{"a", "b"}[i%2]})
		}
		h.send(t, alert.Signal{DedupKey: "3", Action: alert.Resolve})
		count := func(f alert.Filter, want int) {
			t.Helper()
			l, err := h.List(h.ctx, f, kit.Page{})
			if err != nil || l.Total != want || len(l.Items) != want {
				t.Fatalf("%+v: %d of %d, %v", f, len(l.Items), l.Total, err)
			}
		}
		count(alert.Filter{}, 5)
		count(alert.Filter{State: alert.StateOpen}, 4)
		count(alert.Filter{State: alert.StateResolved}, 1)
		count(alert.Filter{Service: "a"}, 3)
		count(alert.Filter{Source: "prometheus", State: alert.StateOpen}, 4)
		count(alert.Filter{Unattached: true}, 5)
		count(alert.Filter{Incident: "x"}, 0)
		count(alert.Filter{Q: "% FULL"}, 5)
		count(alert.Filter{Q: "%4"}, 0)
		p, err := h.List(h.ctx, alert.Filter{}, kit.Page{Limit: 3})
		if err != nil || p.Next == "" || p.Items[0].DedupKey != "4" {
			t.Fatalf("%+v %v", p, err)
		}
		p, err = h.List(h.ctx, alert.Filter{}, kit.Page{Limit: 3, Cursor: p.Next})
		if err != nil || p.Next != "" || len(p.Items) != 2 || p.Items[1].DedupKey != "0" {
			t.Fatalf("%+v %v", p, err)
		}
		if s, err := h.Stats(h.ctx); err != nil || s.Open != 4 {
			t.Fatalf("%+v %v", s, err)
		}
		if l, err := h.LiveOf(h.ctx, "prometheus"); err != nil || len(l) != 4 {
			t.Fatalf("%d %v", len(l), err)
		}
	})
}

func TestManySendersAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]int{}
		for i := range 32 {
			wg.Go(func() {
				for j := range 20 {
					out, err := h.Ingest(h.ctx, []alert.Signal{{Source: "s", DedupKey: fmt.Sprint((i + j) % 50), Action: alert.Trigger, Severity: alert.Error}})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					ids[out[0].Alert]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		l, err := h.List(h.ctx, alert.Filter{}, kit.Page{Limit: 100})
		if err != nil || len(ids) != 50 || l.Total != 50 {
			t.Fatalf("%d alerts answered, %d kept, %v", len(ids), l.Total, err)
		}
		var sum int64
		for _, a := range l.Items {
			if int64(ids[a.ID]) != a.Count {
				t.Errorf("alert %s counts %d of %d", a.DedupKey, a.Count, ids[a.ID])
			}
			sum += a.Count
		}
		if sum != 640 {
			t.Fatalf("%d signals counted of 640", sum)
		}
		if n, err := h.l.Count(h.ctx, ledger.Filter{}); err != nil || n != 50 {
			t.Fatalf("%d facts, %v", n, err)
		}
	})
}

func TestIngestInsideATransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		undo := errors.New("undone")
		err := h.d.Write(h.ctx, func(ctx context.Context, _ *db.Tx) error {
			if _, err := h.Ingest(ctx, []alert.Signal{{Source: alert.BuiltIn, DedupKey: "silent", Action: alert.Trigger}}); err != nil {
				return err
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		h.facts(t)
	})
}

func TestNothingIsTakenWithoutAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if _, err := h.Ingest(h.ctx, []alert.Signal{{Source: "s", DedupKey: "", Action: "jump"}}); len(kit.AsError(err).Fields) != 2 {
			t.Fatal(err)
		}
		out := h.send(t, alert.Signal{DedupKey: "nul\x00\xff", Title: "a\x00b", Labels: map[string]string{"x\x00": "\xfe"}})
		a, err := h.Get(h.ctx, out[0].Alert)
		if err != nil || a.Title != "ab" || a.DedupKey != "nul\uFFFD" || a.Labels["x"] != "\uFFFD" {
			t.Fatalf("%+v %v", a, err)
		}
		if _, err := h.d.Read(h.ctx).ExecContext(h.ctx, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		h.Stop()
		_, err = h.Ingest(h.ctx, []alert.Signal{{Source: "s", DedupKey: "k", Action: alert.Trigger}})
		if e := kit.AsError(err); e.Code != kit.CodeBusy || e.RetryAfter == 0 {
			t.Fatalf("after Stop: %v", err)
		}
	})
}
