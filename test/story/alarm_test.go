package story_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

type page struct {
	Type string `json:"type"`
	Data struct {
		Incident string `json:"incident"`
		Ref      string `json:"ref"`
		Severity string `json:"severity"`
		Person   string `json:"person"`
		AckURL   string `json:"ack_url"`
		Alerts   []struct {
			DedupKey string `json:"dedup_key"`
			Title    string `json:"title"`
		} `json:"alerts"`
	} `json:"data"`
}

func readPage(t *testing.T, raw []byte) page {
	t.Helper()
	var p page
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatalf("page: %v: %s", err, raw)
	}
	return p
}

// TestOneAlarm is the whole way of one alarm: a target goes down, the person on
// duty is paged and answers by the button, the target comes back.
func TestOneAlarm(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		h.alert("TargetDown", "payments-1", true)
		first := h.page("ana")
		if first.Type != "page" || first.Data.Ref != "INC-1" || first.Data.Person != "ana" || first.Data.Severity != "sev2" || len(first.Data.Alerts) != 1 {
			t.Fatalf("page: %+v", first)
		}
		// A repeat and a second alert of the same group are no second incident.
		h.alert("TargetDown", "payments-1", true)
		h.alert("TargetDown", "payments-2", true)
		var alerts struct {
			Items []struct {
				State string `json:"state"`
				Count int    `json:"count"`
			} `json:"items"`
		}
		h.eventually("two alerts", func() bool {
			h.call("GET", "/api/v1/alerts?state=open", nil, &alerts)
			return len(alerts.Items) == 2
		})
		var incident struct {
			ID, Ref, Phase, Status string
			AcknowledgedAt         *string `json:"acknowledged_at"`
		}
		resp, err := http.Get(first.Data.AckURL)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET of the link: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		h.call("GET", "/api/v1/incidents/INC-1", nil, &incident)
		if incident.AcknowledgedAt != nil {
			t.Fatal("a GET acknowledged")
		}
		resp, err = http.PostForm(first.Data.AckURL, map[string][]string{"answer": {"accept"}})
		if err != nil || resp.StatusCode >= 400 {
			t.Fatalf("POST of the link: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		h.eventually("assessment", func() bool {
			h.call("GET", "/api/v1/incidents/INC-1", nil, &incident)
			return incident.Phase == "assessment" && incident.AcknowledgedAt != nil
		})
		h.alert("TargetDown", "payments-1", false)
		h.alert("TargetDown", "payments-2", false)
		h.alert("TargetDown", "payments-2", false)
		h.eventually("all resolved", func() bool {
			h.call("GET", "/api/v1/alerts?state=open", nil, &alerts)
			return len(alerts.Items) == 0
		})
		var list struct {
			Total int `json:"total"`
		}
		h.call("GET", "/api/v1/incidents", nil, &list)
		if list.Total != 1 {
			t.Errorf("%d incidents, want one", list.Total)
		}
		h.eventually("the facts of the alarm", func() bool {
			types := h.types(incident.ID)
			for _, want := range []string{
				"incident.declared", "ladder.started", "ladder.step_run", "page.opened", "delivery.sent", "page.acknowledged",
				"ladder.answered", "incident.acknowledged", "incident.phase_changed", "alert.resolved",
			} {
				if !slices.Contains(types, want) {
					return false
				}
			}
			return true
		})
		for _, typ := range h.types("") {
			if strings.HasSuffix(typ, "reaction.failed") {
				t.Error("a reaction failed")
			}
		}
		if n := count(h.types(incident.ID), "incident.declared"); n != 1 {
			t.Errorf("declared %d times", n)
		}
	})
}

func count(list []string, s string) int {
	n := 0
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}
