package story_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/probe"
	"tocsin/internal/app"
	"tocsin/internal/kit"
)

// TestProbe: a site stops answering. One bad answer wakes nobody; the second, ten seconds
// later, does. When it answers again the alert ends by itself, and the record knows since
// when it was down and when it was well last.
func TestProbe(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		var down atomic.Bool
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if down.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
		}))
		defer site.Close()
		ctx := app.AsSystem(t.Context())
		file := fmt.Sprintf("apiVersion: tocsin/v1\nsources:\n  - {id: shop, kind: probe, service: payments, every: 1m, probe: {url: %q}}\n", site.URL)
		if _, err := h.app.Apply(ctx, []byte(file), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		status := func() probe.Status {
			t.Helper()
			h.settle()
			l, err := h.app.Alert.Probes(ctx, "shop")
			if err != nil || len(l) != 1 {
				t.Fatalf("%+v, %v", l, err)
			}
			return l[0]
		}
		h.eventually("the first answer", func() bool { l, err := h.app.Alert.Probes(ctx, "shop"); return err == nil && len(l) == 1 })
		if s := status(); s.State != probe.Good || !s.LastGoodAt.Equal(kit.Truncate(h.clock.Now())) {
			t.Fatalf("at once: %+v", s)
		}
		good := h.clock.Now()
		down.Store(true)
		h.forward(time.Minute)
		if s := status(); s.State != probe.Suspect || !strings.Contains(s.Why, "502") {
			t.Fatalf("the first bad answer: %+v", s)
		}
		if h.factsOf("alert.opened") != 0 {
			t.Fatal("one bad answer is no alarm")
		}
		h.forward(10 * time.Second)
		if s := status(); s.State != probe.Failed || !s.LastGoodAt.Equal(kit.Truncate(good)) || !s.Since.Equal(kit.Truncate(good.Add(time.Minute))) {
			t.Fatalf("the second: %+v", s)
		}
		if p := h.page("ana"); len(p.Data.Alerts) != 1 || !strings.Contains(p.Data.Alerts[0].Title, "shop") {
			t.Fatalf("the page tells of %+v", p.Data.Alerts)
		}
		h.forward(time.Minute)
		if n := h.factsOf("probe.failed"); n != 1 {
			t.Fatalf("told %d times", n)
		}
		down.Store(false)
		h.forward(time.Minute)
		if s := status(); s.State != probe.Good {
			t.Fatalf("back: %+v", s)
		}
		var b alert.ProbeRecovered
		h.last("probe.recovered", &b)
		if !b.Since.Equal(kit.Truncate(good.Add(time.Minute))) || b.Check != probe.Answer {
			t.Errorf("recovered: %+v", b)
		}
		l, err := h.app.Alert.List(ctx, alert.Filter{Source: "shop"}, kit.Page{})
		if err != nil || len(l.Items) != 1 || l.Items[0].State != alert.StateResolved || l.Items[0].Service != "payments" || l.Items[0].Incident == "" {
			t.Fatalf("%+v, %v", l.Items, err)
		}

		// A probe that is taken away while it fails ends its alert and asks no more.
		down.Store(true)
		h.forward(time.Minute)
		h.forward(10 * time.Second)
		if s := status(); s.State != probe.Failed {
			t.Fatalf("down again: %+v", s)
		}
		if _, err := h.app.Apply(ctx, []byte(strings.Replace(file, "service: payments, ", "", 1)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		if s := status(); s.State != probe.Failed || h.factsOf("probe.recovered") != 1 {
			t.Fatalf("its service changed, and it is %+v", s)
		}
		if err := h.app.Alert.RemoveSource(ctx, "shop"); err != nil {
			t.Fatal(err)
		}
		h.settle()
		l, err = h.app.Alert.List(ctx, alert.Filter{Source: "shop", State: alert.StateOpen}, kit.Page{})
		if err != nil || len(l.Items) != 0 || h.factsOf("probe.recovered") != 2 {
			t.Fatalf("%+v, %v", l.Items, err)
		}
	})
}
