package story_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/test/fake"
)

// TestDailyTestAlarm: each day at ten an alarm goes to a test contact by the same way as
// any page. One that is answered, or that the provider took, passes; one that arrives
// nowhere is told to the last-resort contact.
func TestDailyTestAlarm(t *testing.T) {
	run := func(t *testing.T, cfg app.Config) {
		clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC))
		cfg.Data, cfg.Clock, cfg.SelfTest = t.TempDir(), clock, "paul"
		h := timed{open(t, cfg), clock}
		h.pages.SetClock(clock.Now)
		relay := fake.NewSMTP(t, fake.SMTPOptions{})
		setup := fmt.Sprintf("apiVersion: tocsin/v1\norganisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en], last_resort: {name: Veille, email: veille@example.com}}\nchannels: {smtp: {host: %s, port: %d, from: tocsin@example.com, tls: none}}\n", relay.Host, relay.Port)
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(setup), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		// The zone was not known when the server started; the row is there all the same.
		raised := func(day int) {
			t.Helper()
			h.forward(time.Date(2026, 11, day, 10, 1, 0, 0, time.UTC).Sub(clock.Now()))
		}
		// After the result is looked at and before the escalation would ask again: a clock
		// that jumps over both lets either come first.
		looked := func() {
			t.Helper()
			h.settle()
			h.forward(4*time.Minute + 30*time.Second)
		}
		passed := func() (b app.SelfTestPassed) {
			t.Helper()
			h.last("selftest.passed", &b)
			return b
		}
		raised(23)
		page := h.page("paul")
		h.press(page.Data.AckURL, "accept")
		looked()
		if n, b := h.factsOf("selftest.passed"), passed(); n != 1 || !b.Answered || b.Path != "daily" {
			t.Fatalf("%d passed, %+v", n, b)
		}
		// Nobody answers, but the provider took it; nobody else is called.
		raised(24)
		looked()
		if n, b := h.factsOf("selftest.passed"), passed(); n != 2 || b.Answered {
			t.Fatalf("%d passed, %+v", n, b)
		}
		if n := h.factsOf("page.withdrawn"); n != 1 {
			t.Errorf("%d pages withdrawn", n)
		}
		// The provider takes nothing.
		h.pages.Always(fake.Status(500))
		raised(25)
		looked()
		if n := h.factsOf("selftest.failed"); n != 1 {
			t.Fatalf("%d failed", n)
		}
		var mails []fake.Email
		h.eventually("the mail to the last-resort contact", func() bool {
			mails = relay.Emails()
			return len(mails) > 0
		})
		if last := mails[len(mails)-1]; last.To[0] != "veille@example.com" || !strings.Contains(last.Text, "Aucun fournisseur n’a accepté l’alarme d’essai") {
			t.Errorf("the mail to %v says %s", last.To, last.Text)
		}
		// Practice weighs on nobody.
		load, err := h.app.Load(app.AsSystem(t.Context()), clock.Now().AddDate(0, 0, -7), clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range load.People {
			if p.Calls != 0 {
				t.Errorf("%s has %d calls", p.Name, p.Calls)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) { run(t, app.Config{}) })
	t.Run("postgres", func(t *testing.T) { run(t, app.Config{Database: dbtest.PostgresURL(t)}) })
}
