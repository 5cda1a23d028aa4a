package story_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/app"
	"tocsin/internal/kit"
)

const watchedSources = `
apiVersion: tocsin/v1
sources:
  - {id: cron, kind: heartbeat, service: payments, every: 10m, grace: 2m, key: "k-cron"}
  - {id: quiet, kind: alertmanager, silent_after: 1h, key: "k-quiet"}
`

// TestSilentMonitor: the nightly job stops telling that it ran. That is an alarm like
// any other, and it ends with the next sign. A monitor that said nothing for its hour
// is one too.
func TestSilentMonitor(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(watchedSources), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		beat := func(path string) {
			t.Helper()
			res, err := http.Get(h.base + "/in/k-cron/heartbeat" + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Fatalf("heartbeat: %d", res.StatusCode)
			}
		}
		titles := func() (out []string) {
			l, err := h.app.Alert.List(app.AsSystem(t.Context()), alert.Filter{Source: alert.BuiltIn, State: alert.StateOpen}, kit.Page{})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range l.Items {
				out = append(out, a.Title)
			}
			slices.Sort(out)
			return out
		}
		beat("")
		h.forward(11 * time.Minute)
		if got := titles(); len(got) != 0 {
			t.Fatalf("in time, and yet %q", got)
		}
		h.forward(2 * time.Minute)
		h.eventually("the alert", func() bool { return slices.Equal(titles(), []string{"cron : aucun signe depuis 13 min"}) })
		if p := h.page("ana"); len(p.Data.Alerts) != 1 {
			t.Errorf("the page tells of %+v", p.Data)
		}
		beat("/start")
		h.settle()
		if len(titles()) != 1 {
			t.Error("a run that begins is no sign that it went well")
		}
		beat("")
		h.eventually("its end", func() bool { return len(titles()) == 0 })
		beat("/start")
		h.forward(3 * time.Minute)
		h.eventually("the run that did not end", func() bool {
			return slices.Equal(titles(), []string{"cron : une exécution a commencé et n’a pas fini à temps"})
		})
		beat("")
		h.eventually("its end", func() bool { return len(titles()) == 0 })
		for range 5 {
			h.forward(10 * time.Minute)
			beat("")
		}
		h.eventually("the silent monitor", func() bool { return slices.Equal(titles(), []string{"quiet : aucun signe n’est jamais arrivé"}) })
	})
}
