package story_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/test/fake"
)

// TestLatePagesAreShouted: the row of the next step of an escalation is lost, as by
// somebody's hand in the database. The audit sees that what was due has not been done,
// tells the last-resort contact past all that is late, and the sign of life stays away
// until it is mended.
func TestLatePagesAreShouted(t *testing.T) {
	run := func(t *testing.T, cfg app.Config) {
		var alive atomic.Int64
		watch := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { alive.Add(1) }))
		t.Cleanup(watch.Close)
		clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC))
		cfg.Data, cfg.Clock, cfg.SignOfLife = t.TempDir(), clock, watch.URL
		h := timed{open(t, cfg), clock}
		h.pages.SetClock(clock.Now)
		relay := fake.NewSMTP(t, fake.SMTPOptions{})
		setup := fmt.Sprintf("apiVersion: tocsin/v1\norganisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en], last_resort: {name: Veille, email: veille@example.com}}\nchannels: {smtp: {host: %s, port: %d, from: tocsin@example.com, tls: none}}\n", relay.Host, relay.Port)
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(setup), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		h.declare("sev2")
		first := h.message("ana", isPage)
		h.forward(61 * time.Second)
		if alive.Load() == 0 {
			t.Error("no sign of life while all is well")
		}
		if err := h.app.DB().Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM due WHERE kind = 'ladder-step'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		// The step after five minutes does not run.
		h.forward(5 * time.Minute)
		before := alive.Load()
		if n := h.factsOf("page_audit.failed"); n != 0 {
			t.Errorf("told at the first look, %d times", n)
		}
		h.forward(15 * time.Second)
		var mails []fake.Email
		h.eventually("the mail to the last-resort contact", func() bool {
			mails = relay.Emails()
			return len(mails) > 0
		})
		last := mails[len(mails)-1]
		if last.To[0] != "veille@example.com" || !strings.Contains(last.Text, "1 escalade n’a pas avancé") {
			t.Errorf("the mail to %v says %s", last.To, last.Text)
		}
		var fact app.PageAuditFailed
		h.last("page_audit.failed", &fact)
		if fact.Found != 1 || fact.Told != 1 || fact.Late[0].What != "step" {
			t.Errorf("%+v", fact)
		}
		if alive.Load() != before {
			t.Error("a sign of life while pages are late")
		}
		h.forward(time.Minute)
		h.forward(15 * time.Second)
		if n := h.factsOf("page_audit.failed"); n != 1 {
			t.Errorf("told %d times within a quarter of an hour", n)
		}
		h.forward(15 * time.Minute)
		h.forward(15 * time.Second)
		if n := h.factsOf("page_audit.failed"); n != 2 {
			t.Errorf("told %d times after a quarter of an hour", n)
		}
		var checks struct {
			Items []struct{ Check, State string }
		}
		h.call(http.MethodGet, "/api/v1/doctor", nil, &checks)
		found := false
		for _, c := range checks.Items {
			found = found || c.Check == "late" && c.State == "fail"
		}
		if !found {
			t.Errorf("the doctor does not see it: %+v", checks.Items)
		}
		h.press(first.Data.AckURL, "accept")
		h.forward(2 * time.Minute)
		if alive.Load() == before {
			t.Error("no sign of life when all is well again")
		}
	}
	t.Run("sqlite", func(t *testing.T) { run(t, app.Config{}) })
	t.Run("postgres", func(t *testing.T) { run(t, app.Config{Database: dbtest.PostgresURL(t)}) })
}
