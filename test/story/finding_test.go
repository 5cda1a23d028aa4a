package story_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tocsin/internal/app"
	"tocsin/internal/kit"
)

const leak = `{
  "version": "2.1.0",
  "runs": [{
    "tool": {"driver": {"name": "leakfinder", "rules": [{"id": "cloud-key", "properties": {"tags": ["security"], "security-severity": "9.8"}}, {"id": "style", "properties": {"security-severity": "2.0"}}]}},
    "invocations": [{"executionSuccessful": true}],
    "results": [%s]
  }]
}`

func result(rule, level, text, file string) string {
	return fmt.Sprintf(`{"ruleId": %q, "level": %q, "message": {"text": %q}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": %q}, "region": {"startLine": 7}}}]}`, rule, level, text, file)
}

// TestScanToIncident: a scan finds something critical. It is an alert and an incident at
// once, and pages; the same report again is not. What is mild waits in its list. A
// decision is taken, and the next scan, which does not find it any more, ends the alert.
func TestScanToIncident(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte("apiVersion: tocsin/v1\nsources: [{id: scans, kind: scan, service: payments, key: \"k-scans\"}]\n"), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		scan := func(want string, results ...string) {
			t.Helper()
			req, err := http.NewRequest(http.MethodPost, h.base+"/in/k-scans/scan?target=shop", strings.NewReader(fmt.Sprintf(leak, strings.Join(results, ","))))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if status := h.do(req, &got); status != http.StatusAccepted || fmt.Sprint(got["new"], got["reopened"], got["fixed"], got["unknown"]) != want {
				t.Fatalf("%d %v, want %s", status, got, want)
			}
		}
		critical := result("cloud-key", "error", "A key of the cloud stands in the source", "deploy/key.go")
		mild := result("style", "note", "A name is long", "shop/cart.go")
		scan("2 0 0 0", critical, mild)
		var list struct {
			Items []struct {
				Ref, State, Severity string
				Incident             *string
			}
			Total int
		}
		h.eventually("the incident", func() bool {
			return h.call(http.MethodGet, "/api/v1/incidents", nil, &list) == http.StatusOK && list.Total == 1
		})
		if p := h.page("ana"); len(p.Data.Alerts) != 1 || !strings.Contains(p.Data.Alerts[0].Title, "key of the cloud") {
			t.Errorf("the page tells of %+v", p.Data.Alerts)
		}
		ana := h.session("ana")
		for language, words := range map[string][]string{"en": {"A key of the cloud stands in the source", "Assessment", "Acknowledge"}, "fr": {"A key of the cloud stands in the source", "Évaluation", "Prendre en charge"}} {
			page := h.read(ana, "/incidents/INC-1", language)
			for _, w := range words {
				if !strings.Contains(page, w) {
					t.Errorf("%s: the page of the incident does not say %q", language, w)
				}
			}
		}
		for language, words := range map[string]string{"en": "Critical", "fr": "Critique"} {
			if page := h.read(ana, "/findings", language); !strings.Contains(page, words) {
				t.Errorf("%s: the list of findings does not say %q", language, words)
			}
		}
		scan("0 0 0 0", critical, mild)
		if h.call(http.MethodGet, "/api/v1/findings?severity=critical&state=open", nil, &list); list.Total != 1 {
			t.Fatalf("findings: %+v", list)
		}
		ref := list.Items[0].Ref
		if status := h.call(http.MethodPost, "/api/v1/findings/"+ref+"/decide", map[string]string{"decision": "accept", "reason": "no"}, nil); status != http.StatusUnprocessableEntity {
			t.Errorf("an acceptance without an end: %d", status)
		}
		if status := h.call(http.MethodPost, "/api/v1/findings/"+ref+"/decide", map[string]string{"decision": "fix"}, nil); status != http.StatusOK {
			t.Errorf("a decision: %d", status)
		}
		if h.call(http.MethodGet, "/api/v1/findings?state=fixing", nil, &list); list.Total != 1 {
			t.Errorf("being fixed: %+v", list)
		}
		scan("0 0 1 0", mild)
		h.eventually("the end of the alert", func() bool {
			return h.call(http.MethodGet, "/api/v1/alerts?state=resolved&source=scans", nil, &list) == http.StatusOK && list.Total == 1
		})
		if h.call(http.MethodGet, "/api/v1/incidents", nil, &list); list.Total != 1 {
			t.Errorf("%d incidents of one finding", list.Total)
		}
		scan("0 1 0 0", critical, mild)
		h.eventually("the alert again", func() bool {
			return h.call(http.MethodGet, "/api/v1/alerts?state=open&source=scans", nil, &list) == http.StatusOK && list.Total == 1
		})
	})
}
