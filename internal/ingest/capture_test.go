package ingest

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/db/dbtest"
)

// What the real forge sent: each capture is read as what it is.
func TestGitHubCaptures(t *testing.T) {
	// A letter for each capture of an event in their order: c a change, a an alert, r one
	// that is over, - nothing.
	want := map[string]string{
		"deployment": "ccc", "deployment_status": "ccc", "release": "c--", "workflow_run": "-rr", "push": "--", "ping": "---",
		"code_scanning_alert": "ara", "dependabot_alert": "rar", "repository_vulnerability_alert": "aaa", "security_advisory": "---",
	}
	for event, letters := range want {
		files := shared(t, filepath.Join("github-webhooks", event+"-?.json"))
		if len(files) == 0 {
			if dbtest.Required() {
				t.Errorf("no captures of %s", event)
			}
			continue
		}
		got := ""
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			told, err := readGitHub(event, raw, alert.Source{ID: "gh", Kind: "github"}, now)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch {
			case len(told.changes) == 1 && told.changes[0].Key != "" && told.changes[0].Summary != "" && told.changes[0].Pipeline == "Codertocat/Hello-World":
				got += "c"
			case len(told.signals) == 1 && told.signals[0].Title != "" && told.signals[0].DedupKey != "":
				got += map[alert.Action]string{alert.Trigger: "a", alert.Resolve: "r"}[told.signals[0].Action]
			case told.note != "":
				got += "-"
			default:
				t.Errorf("%s: %+v", file, told)
			}
		}
		if got != letters {
			t.Errorf("%s: %s, want %s", event, got, letters)
		}
	}
}

func TestCloudEventCaptures(t *testing.T) {
	files := shared(t, filepath.Join("cloudevents", "*.json"))
	if len(files) == 0 && dbtest.Required() {
		t.Fatal("no captures")
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Headers [][2]string
			Body    json.RawMessage
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		for _, p := range c.Headers {
			header.Set(p[0], p[1])
		}
		var e cloudEvent
		if strings.HasPrefix(header.Get("Content-Type"), "application/cloudevents") {
			e, err = parseCloudEvent(c.Body)
		} else {
			e, err = binaryCloudEvent(header, c.Body)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		s, change := e.read(alert.Source{ID: "ce"}, now)
		if s != nil || change.State != "failed" || change.VersionTo != "1.2.3" || change.Key != "/ci/prod|5f4d3082-d669-4d1c-92a0-42dcb70019bc" {
			t.Errorf("%s: %+v", file, change)
		}
	}
}

func FuzzWebhooks(f *testing.F) {
	for _, pattern := range []string{"github-webhooks/*.json", "cloudevents/*.json", "alertmanager/0.34.2/webhook-*.json"} {
		for _, file := range shared(f, pattern) {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add("deployment_status", raw)
		}
	}
	f.Add("workflow_run", []byte(`{"object_kind":"pipeline"}`))
	src := alert.Source{ID: "s"}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		if told, err := readGitHub(event, body, src, now); err == nil && len(told.changes)+len(told.signals) == 0 && told.note == "" {
			t.Errorf("taken without a word: %s %q", event, body)
		}
		if told, err := readGitLab(body, src, now); err == nil && len(told.changes)+len(told.signals) == 0 && told.note == "" {
			t.Errorf("taken without a word: %q", body)
		}
		if signals, bad := parseGrafana(body, src, now); bad == nil {
			for _, s := range signals {
				if s.DedupKey == "" {
					t.Errorf("a signal without a key: %q", body)
				}
			}
		}
		if e, err := parseCloudEvent(body); err == nil {
			if s, c := e.read(src, now); (s == nil) == (c == nil) {
				t.Errorf("neither or both: %q", body)
			}
		}
	})
}
