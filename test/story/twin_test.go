package story_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
)

// TestTwoSourcesTellOneStory: Grafana and Prometheus tell of one broken database by names
// of their own. Each pages, as neither may be lost; the page of either incident proposes
// to merge the later into the earlier, in the language of its reader, and one press does.
func TestTwoSourcesTellOneStory(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte("apiVersion: tocsin/v1\nsources: [{id: grafana, kind: grafana, service: payments, key: k-grafana}]\n"), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		h.alert("DatabaseDown", "db-1:5432", true)
		var list struct {
			Total int
			Items []struct{ Ref, ID, Why, Status string }
		}
		h.eventually("the first incident", func() bool {
			return h.call(http.MethodGet, "/api/v1/incidents", nil, &list) == http.StatusOK && list.Total == 1
		})
		res, err := http.Post(h.base+"/in/k-grafana/grafana", "application/json", strings.NewReader(`{"receiver":"tocsin","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"pg_up is 0","host":"db-1.example.org","severity":"critical"},"annotations":{"summary":"PostgreSQL cannot be reached"},"startsAt":"`+time.Now().UTC().Format(time.RFC3339)+`","fingerprint":"a1"}],"version":"1"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		h.eventually("the second incident", func() bool {
			return h.call(http.MethodGet, "/api/v1/incidents", nil, &list) == http.StatusOK && list.Total == 2
		})
		var alerts struct{ Items []struct{ ID string } }
		h.eventually("both alerts", func() bool {
			return h.call(http.MethodGet, "/api/v1/alerts?source=grafana", nil, &alerts) == http.StatusOK && len(alerts.Items) == 1
		})
		if h.call(http.MethodGet, "/api/v1/alerts/"+alerts.Items[0].ID+"/twins", nil, &list); list.Total != 1 || list.Items[0].Why != "place" {
			t.Errorf("twins: %+v", list)
		}
		ana := h.session("ana")
		for _, at := range []string{"/incidents/INC-1", "/incidents/INC-2"} {
			if body := h.read(ana, at, "en"); !strings.Contains(body, "Merge INC-2 into INC-1") || !strings.Contains(body, "same service and machine") {
				t.Errorf("%s proposes nothing", at)
			}
			if body := h.read(ana, at, "fr"); !strings.Contains(body, "Fusionner INC-2 dans INC-1") {
				t.Errorf("%s ne propose rien", at)
			}
		}
		body := h.read(ana, "/incidents/INC-1", "en")
		m := regexp.MustCompile(`action="(/incidents/INC-2/do/merge)".*?name="into" value="(INC-1)"`).FindStringSubmatch(body)
		if m == nil {
			t.Fatal("no form to merge")
		}
		req, err := http.NewRequest(http.MethodPost, h.base+m[1], strings.NewReader(url.Values{"into": {m[2]}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(ana)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if res, _ := roundTrip(t, req); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("merge: %d", res.StatusCode)
		}
		h.eventually("both alerts on one incident", func() bool {
			return h.call(http.MethodGet, "/api/v1/alerts?incident=INC-1", nil, &list) == http.StatusOK && list.Total == 2
		})
		if body := h.read(ana, "/incidents/INC-1", "en"); strings.Contains(body, "/do/merge") {
			t.Error("the proposal stays after the merge")
		}
	})
}
