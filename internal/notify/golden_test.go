package notify_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

var update = flag.Bool("update", false, "write the golden messages anew")

var (
	uuid  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	token = regexp.MustCompile(`/a/[A-Za-z0-9_-]{32}`)
)

// TestGolden holds the words of the messages in both languages.
func TestGolden(t *testing.T) {
	clock := dbtest.NewClock(start)
	for _, c := range []struct {
		name, person string
		make         func(h *house)
	}{
		{"page.en", "ana", func(h *house) { h.must(h.s.OpenPages(h.ctx, incident(42))) }},
		{"page.fr", "paul", func(h *house) {
			o := incident(42)
			o.People, o.Title, o.ServiceName, o.NextPerson = []notify.Asked{{Person: "paul", Duty: "primary"}}, "taux d’erreur élevé", kit.Both("Paiement"), "ana"
			h.must(h.s.OpenPages(h.ctx, o))
		}},
		{"exercise.fr", "paul", func(h *house) {
			o := incident(42)
			o.People, o.Exercise, o.Severity, o.Text = []notify.Asked{{Person: "paul"}}, true, "", "Merci de <répondre>."
			h.must(h.s.OpenPages(h.ctx, o))
		}},
		{"confidential.en", "ana", func(h *house) {
			o := incident(42)
			o.Confidential = true
			h.must(h.s.OpenPages(h.ctx, o))
		}},
		{"management.fr", "paul", func(h *house) { h.management("paul") }},
		{"management.en", "ana", func(h *house) { h.management("ana") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, dbtest.OpenSQLite(t, clock), clock)
			c.make(h)
			h.idle()
			got := h.email.messages()
			if len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			m := got[0]
			all := "Subject: " + m.Subject + "\nMessage-ID: " + m.MessageID + "\nReferences: " + m.References + "\n\n" + m.Text + "\n" + m.HTML + "\n" + string(m.Body) + "\n"
			all = token.ReplaceAllString(uuid.ReplaceAllString(all, "UUID"), "/a/TOKEN")
			file := filepath.Join("testdata", c.name+".golden")
			if *update {
				h.must(os.MkdirAll("testdata", 0o755))
				h.must(os.WriteFile(file, []byte(all), 0o644))
			}
			want, err := os.ReadFile(file)
			h.must(err)
			if string(want) != all {
				t.Errorf("got\n%s\nwant\n%s", all, want)
			}
		})
	}
}

func (h *house) management(person string) {
	h.t.Helper()
	_, err := h.s.Notice(context.WithoutCancel(h.ctx), notify.Notice{
		Template: "management", People: []string{person}, Incident: "incident-42", Ref: "INC-42", Severity: "sev2", At: start.Add(-time.Hour),
		Args: map[string]any{"title": "payments degraded", "affected": "some customers", "doing": "rolling back", "need": "–", "commander": "Camille"},
	})
	h.must(err)
}
