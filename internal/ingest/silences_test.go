package ingest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ingest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const amAPI = "/in/" + amKey + "/alertmanager/api/v2"

func TestSilenceReplies(t *testing.T) {
	each(t, ingest.Options{}, func(t *testing.T, h *house) {
		const times = `"startsAt":"2026-11-23T09:00:00Z","endsAt":"2026-11-23T10:00:00Z"`
		unknown := kit.NewID()
		for _, c := range []struct {
			method, path, body string
			status             int
			answer             string
		}{
			{"POST", "/silences", `{"matchers":[],` + times + `,"createdBy":"jo","comment":"c"}`, 422, `{"code":602,"message":"silence.matchers in body is required"}`},
			{"POST", "/silences", `{"matchers":[{"name":"a","value":"b","isRegex":false}],` + times + `,"createdBy":"jo"}`, 422, `{"code":602,"message":"silence.comment in body is required"}`},
			{"POST", "/silences", `{"matchers":[{"name":"a","isRegex":false}],` + times + `,"createdBy":"jo","comment":"c"}`, 422, `{"code":602,"message":"silence.matchers.0.value in body is required"}`},
			{"POST", "/silences", `{"matchers":[{"name":"a","value":".*","isRegex":true}],` + times + `,"createdBy":"jo","comment":"c"}`, 400, `"invalid silence: matchers"`},
			{"POST", "/silences", `{"id":"` + unknown + `","matchers":[{"name":"a","value":"b","isRegex":false}],` + times + `,"createdBy":"jo","comment":"c"}`, 404, ""},
			{"GET", "/silence/x", "", 422, `{"code":601,"message":"silenceID in path must be of type uuid: \"x\""}`},
			{"GET", "/silence/" + unknown, "", 404, ""},
			{"DELETE", "/silence/" + unknown, "", 404, ""},
			{"GET", "/silences", "", 200, "[]"},
		} {
			resp, body := h.send(c.method, amAPI+c.path, "application/json", c.body)
			if resp.StatusCode != c.status || strings.TrimSpace(body) != c.answer {
				t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, resp.StatusCode, body, c.status, c.answer)
			}
		}
	})
}

// TestAmtool works with the client that Alertmanager's users have.
func TestAmtool(t *testing.T) {
	tool, err := exec.LookPath("amtool")
	if err != nil {
		t.Skip("amtool is not installed")
	}
	dbtest.Each(t, kit.SystemClock{}, func(t *testing.T, d *db.DB) {
		h := build(t, d, ingest.Options{})
		run := func(args ...string) string {
			t.Helper()
			cmd := exec.Command(tool, append([]string{"--alertmanager.url=" + h.url + "/in/" + amKey + "/alertmanager"}, args...)...)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("amtool %v: %v\n%s%s", args, err, out, said.String())
			}
			t.Logf("amtool %v: %s%s", args, out, said.String())
			return strings.TrimSpace(string(out))
		}
		for _, name := range []string{"Disk", "CPU"} {
			body := fmt.Sprintf(`[{"labels":{"alertname":%q,"instance":"db-1"},"endsAt":%q}]`, name, time.Now().Add(time.Hour).Format(time.RFC3339))
			if resp, answer := h.send(http.MethodPost, amAPI+"/alerts", "application/json", body); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, answer)
			}
		}
		id := run("silence", "add", "alertname=~Dis.", "--author=jo", "--comment=new disks", "--duration=1h")
		if list := run("silence", "query", "-q"); list != id {
			t.Fatalf("the silence %q is listed as %q", id, list)
		}
		var alerts []struct {
			Labels map[string]string `json:"labels"`
			Status struct {
				State      string   `json:"state"`
				SilencedBy []string `json:"silencedBy"`
			} `json:"status"`
		}
		read := func(args ...string) {
			t.Helper()
			alerts = nil
			if err := json.Unmarshal([]byte(run(append([]string{"-o", "json", "alert", "query"}, args...)...)), &alerts); err != nil {
				t.Fatal(err)
			}
		}
		read()
		if len(alerts) != 1 || alerts[0].Labels["alertname"] != "CPU" {
			t.Fatalf("active: %+v", alerts)
		}
		read("--silenced")
		if len(alerts) != 1 || alerts[0].Status.State != "suppressed" || len(alerts[0].Status.SilencedBy) != 1 || alerts[0].Status.SilencedBy[0] != id {
			t.Fatalf("silenced: %+v", alerts)
		}
		var groups []struct {
			Alerts []any `json:"alerts"`
		}
		if _, body := h.send(http.MethodGet, amAPI+"/alerts/groups", "", ""); json.Unmarshal([]byte(body), &groups) != nil || len(groups) != 1 || len(groups[0].Alerts) != 2 {
			t.Fatalf("groups: %s", body)
		}
		next := run("silence", "update", "--duration=2h", id)
		if !strings.Contains(next, "jo") {
			t.Fatalf("update: %q", next)
		}
		if f, err := h.l.Facts(h.ctx, ledger.Filter{Types: []string{"alert.unsuppressed"}}); err != nil || len(f) != 0 {
			t.Fatalf("changing a silence lets %d alerts through, %v", len(f), err)
		}
		run("silence", "expire", strings.Fields(run("silence", "query", "-q"))[0])
		read()
		if len(alerts) != 2 {
			t.Fatalf("after the silence: %+v", alerts)
		}
	})
}
