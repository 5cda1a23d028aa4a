package story_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/app"
	"tocsin/internal/kit"
)

const replaySources = `
apiVersion: tocsin/v1
sources:
  - {id: uptime, kind: json, key: "k-uptime", map: {dedup_key: body.%s, title: body.name}}
  - {id: pager, kind: pagerduty, key: "00112233445566778899aabbccddeeff"}
  - {id: amp, kind: alertmanager, key: "k-amp"}
  - {id: forge, kind: github, key: "k-forge"}
  - {id: post, kind: email, key: "k-post"}
`

// TestReplay: a message was refused because the map of its source was wrong. The map is
// mended and the message read again: nothing had to be sent once more. Messages of the
// other protocols can be read again too, but for those that say half in headers.
func TestReplay(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		ctx := app.AsSystem(t.Context())
		apply := func(field string) {
			t.Helper()
			if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf(replaySources, field)), kit.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		apply("number")
		post := func(path, body string, want int, header ...string) {
			t.Helper()
			req, err := http.NewRequest(http.MethodPost, h.base+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for i := 0; i+1 < len(header); i += 2 {
				req.Header.Set(header[i], header[i+1])
			}
			if res, answer := roundTrip(t, req); res.StatusCode != want {
				t.Fatalf("%s: %d %s", path, res.StatusCode, answer)
			}
		}
		post("/in/k-uptime/json", `{"id": "42", "name": "Shop is down"}`, 422)
		post("/in/k-amp/alertmanager/api/v2/alerts", `[{"labels":{"alertname":"Disk"}}]`, 200)
		post("/v2/enqueue", `{"routing_key":"00112233445566778899aabbccddeeff","event_action":"trigger","dedup_key":"x","payload":{"summary":"Queue","source":"q","severity":"error"}}`, 202)
		post("/in/k-forge/github", `{"zen":"x"}`, 202, "X-GitHub-Event", "ping")
		if code := h.mails("a@example.com", []string{"k-post@x"}, "From: a@example.com\r\nSubject: Mail is late\r\nMessage-ID: <1@x>\r\n", "x"); code != 250 {
			t.Fatalf("mail: %d", code)
		}
		apply("id")
		type payload struct {
			ID     string
			Status int
			Again  bool
			Read   []string
		}
		last := func(source string) payload {
			t.Helper()
			var l struct{ Items []payload }
			h.must(http.StatusOK, http.MethodGet, "/api/v1/sources/"+source+"/payloads", nil, &l)
			if len(l.Items) == 0 {
				t.Fatalf("%s shows no message", source)
			}
			return l.Items[0]
		}
		for source, want := range map[string]struct {
			status int
			title  string
			count  int64
		}{"uptime": {202, "Shop is down", 1}, "amp": {200, "Disk", 2}, "pager": {202, "Queue", 2}, "post": {250, "Mail is late", 2}} {
			p := last(source)
			if !p.Again {
				t.Errorf("%s cannot be replayed: %+v", source, p)
				continue
			}
			var got payload
			h.must(http.StatusOK, http.MethodPost, "/api/v1/sources/"+source+"/replay", map[string]string{"payload": p.ID}, &got)
			if got.Status != want.status || !strings.HasPrefix(got.Read[len(got.Read)-1], "sent again by ") {
				t.Errorf("%s: %+v", source, got)
			}
			if now := last(source); now.Status != want.status || now.ID == p.ID {
				t.Errorf("%s shows %+v", source, now)
			}
			l, err := h.app.Alert.List(ctx, alert.Filter{Source: source}, kit.Page{})
			if err != nil || len(l.Items) != 1 || l.Items[0].Title != want.title || l.Items[0].Count != want.count {
				t.Errorf("%s: %+v, %v", source, l.Items, err)
			}
		}
		p := last("forge")
		if p.Again {
			t.Errorf("half of a message of a forge stands in its headers: %+v", p)
		}
		if status := h.call(http.MethodPost, "/api/v1/sources/forge/replay", map[string]string{"payload": p.ID}, nil); status != http.StatusConflict {
			t.Errorf("the forge's: %d", status)
		}
		if status := h.call(http.MethodPost, "/api/v1/sources/amp/replay", map[string]string{"payload": "none"}, nil); status != http.StatusNotFound {
			t.Errorf("a message that is not there: %d", status)
		}
	})
}
