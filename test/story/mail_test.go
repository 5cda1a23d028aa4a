package story_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"tocsin/internal/alert"
	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/report"
	"tocsin/test/fake"
)

// mails sends a message as a server on the way does, and gives the code of the answer.
func (h *house) mails(from string, to []string, headers, text string) int {
	h.t.Helper()
	c, err := smtp.Dial(h.app.MailAddr())
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var e *smtp.SMTPError
	err = c.SendMail(from, to, strings.NewReader(headers+"\r\n"+text+"\r\n"))
	switch {
	case err == nil:
		return 250
	case errors.As(err, &e):
		return e.Code
	}
	h.t.Fatal(err)
	return 0
}

const mailSource = `
apiVersion: tocsin/v1
sources:
  - {id: legacy, kind: email, service: payments, key: "K-mail"}
`

// TestAlarmByMail: a monitor that can do nothing but mail tells that something is wrong.
// What follows in the thread is the same alert, the same message told twice is one, and
// the message that says so ends it.
func TestAlarmByMail(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		if _, err := h.app.Apply(ctx, []byte(mailSource), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		to := []string{"K-mail@tocsin.example"}
		one := func() alert.Alert {
			t.Helper()
			h.settle()
			l, err := h.app.Alert.List(ctx, alert.Filter{Source: "legacy"}, kit.Page{})
			if err != nil || len(l.Items) != 1 {
				t.Fatalf("%d alerts, %v", len(l.Items), err)
			}
			return l.Items[0]
		}
		first := "From: monitor@example.com\r\nSubject: [CRITICAL] Card terminal is silent\r\nMessage-ID: <1@monitor>\r\nAuto-Submitted: auto-generated\r\nDate: Wed, 01 Jan 2031 00:00:00 +0000\r\n"
		if code := h.mails("monitor@example.com", to, first, "No answer for 5 minutes."); code != 250 {
			t.Fatalf("answer %d", code)
		}
		a := one()
		if a.Title != "Card terminal is silent" || a.Severity != alert.Critical || a.Service != "payments" || a.Annotations["description"] != "No answer for 5 minutes." || !a.StartsAt.Equal(kit.Truncate(h.clock.Now())) {
			t.Fatalf("read as %+v", a)
		}
		if p := h.page("ana"); len(p.Data.Alerts) != 1 || p.Data.Alerts[0].Title != a.Title {
			t.Fatalf("the page tells of %+v", p.Data.Alerts)
		}
		if code := h.mails("monitor@example.com", to, first, "No answer for 5 minutes."); code != 250 {
			t.Fatalf("the same again: %d", code)
		}
		if code := h.mails("bob@example.com", to, "From: bob@example.com\r\nSubject: Re: [CRITICAL] other words\r\nMessage-ID: <2@bob>\r\nReferences: <0@monitor> <1@monitor>\r\n", "I look.\r\n> No answer"); code != 250 {
			t.Fatalf("the answer: %d", code)
		}
		if a = one(); a.Count != 2 {
			t.Fatalf("counted %d times, want the message and its answer", a.Count)
		}
		if code := h.mails("", to, "From: mailer-daemon@example.com\r\nSubject: not delivered\r\n", "x"); code != 250 {
			t.Fatalf("a notice of delivery: %d", code)
		}
		if code := h.mails("monitor@example.com", []string{"k-mail@tocsin.example"}, "From: monitor@example.com\r\nSubject: [RESOLVED] Card terminal is silent\r\nMessage-ID: <3@monitor>\r\n", "Back."); code != 550 {
			t.Fatalf("a key in other letters: %d", code)
		}
		if code := h.mails("monitor@example.com", to, "From: monitor@example.com\r\nSubject: [RESOLVED] Card terminal is silent\r\nMessage-ID: <3@monitor>\r\n", "Back."); code != 250 {
			t.Fatalf("the end: %d", code)
		}
		if a = one(); a.State != alert.StateResolved {
			t.Fatalf("it is %s", a.State)
		}
		// A zero byte in coded words is no reason to keep the sender waiting for ever.
		if code := h.mails("b@example.com", to, "From: b@example.com\r\nSubject: =?utf-8?q?zero=00byte?=\r\nMessage-ID: <z@x>\r\n", "x\x00y"); code != 250 {
			t.Fatalf("a zero byte: %d", code)
		}
		if code := h.mails("b@example.com", []string{"report@x"}, "From: b@example.com\r\nSubject: =?utf-8?q?zero=00byte?=\r\n", "x\x00y"); code != 250 {
			t.Fatalf("a zero byte in a report: %d", code)
		}
		seen := map[string]bool{}
		list, err := h.app.Alert.Payloads(ctx, "legacy")
		if err != nil || len(list) != 6 {
			t.Fatalf("%d messages shown, %v", len(list), err)
		}
		for _, p := range list {
			seen[p.Read[0]] = true
			if strings.Contains(p.Body, "K-mail") || p.Path != "email" || p.Status != 250 {
				t.Errorf("shown: %+v", p)
			}
		}
		if !seen["The same message was taken before."] || !seen["An automatic answer, or a notice that a message was not delivered: it says nothing of an alert."] {
			t.Errorf("read as %v", seen)
		}
	})
}

// TestReportByMail: a customer writes in French to the address for reports and is
// answered in French. What a machine writes is held back and not answered, so that two
// machines never talk to each other.
func TestReportByMail(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		out := fake.NewSMTP(t, fake.SMTPOptions{})
		ctx := app.AsSystem(t.Context())
		if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf("apiVersion: tocsin/v1\nchannels: {smtp: {host: %s, port: %d, from: Tocsin <tocsin@example.com>, tls: none}}\n", out.Host, out.Port)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		const letter = "From: Claire <Claire@example.com>\r\nSubject: Paiement impossible\r\nMessage-ID: <c1@example.com>\r\n"
		for range 2 {
			if code := h.mails("claire@example.com", []string{"Report@tocsin.example"}, letter, "Bonjour, je ne peux plus payer depuis ce matin.\r\n\r\nLe lun. 23 nov. 2026 à 01:00, X a écrit :\r\n> avant"); code != 250 {
				t.Fatalf("answer %d", code)
			}
		}
		h.settle()
		if m := out.WaitN(t, 15*time.Second, 1)[0]; !strings.Contains(m.Text, "Merci pour votre signalement REP-1") || m.To[0] != "claire@example.com" {
			t.Fatalf("%v reads %s", m.To, m.Text)
		}
		r, err := h.app.Report.Get(ctx, "REP-1")
		if err != nil || r.Channel != report.ByMail || r.Text != "Paiement impossible\n\nBonjour, je ne peux plus payer depuis ce matin." || r.Language != "fr" || r.Kind != report.Problem {
			t.Fatalf("%+v, %v", r, err)
		}
		for name, c := range map[string]struct {
			headers string
			code    int
		}{
			"holiday":     {"From: claire@example.com\r\nSubject: Absente\r\nAuto-Submitted: auto-replied\r\n", 250},
			"own message": {"From: tocsin@example.com\r\nSubject: Alarm\r\nAuto-Submitted: auto-generated\r\n", 554},
			"circle":      {strings.Repeat("Received: from a by b\r\n", 60) + "From: x@example.com\r\nSubject: x\r\n", 554},
		} {
			if code := h.mails("claire@example.com", []string{"report@tocsin.example"}, c.headers, "x"); code != c.code {
				t.Errorf("%s: answer %d, want %d", name, code, c.code)
			}
		}
		if code := h.mails("dan@example.com", []string{"security@tocsin.example"}, "From: dan@example.com\r\nSubject: Weak password rule\r\n", "I can sign in as anybody."); code != 250 {
			t.Fatalf("a weakness: %d", code)
		}
		h.settle()
		held, err := h.app.Report.List(ctx, report.Filter{Held: true}, kit.Page{})
		if err != nil || len(held.Items) != 1 || held.Items[0].Held != report.HeldAutomatic {
			t.Fatalf("held back: %+v, %v", held.Items, err)
		}
		weak, err := h.app.Report.List(ctx, report.Filter{Kind: report.Vulnerability}, kit.Page{})
		if err != nil || len(weak.Items) != 1 || weak.Items[0].Language != "en" {
			t.Fatalf("weaknesses: %+v, %v", weak.Items, err)
		}
		if all := out.WaitN(t, 15*time.Second, 2); len(all) != 2 {
			t.Fatalf("%d messages went out, want one to each of two people", len(all))
		}
	})
}

// TestMailRefused: addresses that do not exist, too many of them, and what is too large
// is told on the line, and nothing of it is kept.
func TestMailRefused(t *testing.T) {
	h := open(t, app.Config{Data: t.TempDir()})
	ctx := app.AsSystem(t.Context())
	if _, err := h.app.Apply(ctx, []byte(mailSource), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	before, _, err := h.app.Ledger().Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.Dial(h.app.MailAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Mail("a@example.com", nil); err != nil {
		t.Fatal(err)
	}
	code := func(err error) int {
		if e := (*smtp.SMTPError)(nil); errors.As(err, &e) {
			return e.Code
		}
		return 250
	}
	for n := range 8 {
		want := 550
		if n >= 5 {
			want = 421
		}
		if got := code(c.Rcpt(fmt.Sprintf("nobody%d@tocsin.example", n), nil)); got != want {
			t.Errorf("address %d: %d, want %d", n, got, want)
		}
	}
	many := make([]string, 10_000)
	for n := range many {
		many[n] = "K-mail@tocsin.example"
	}
	if got := h.mails("a@example.com", many, "From: a@example.com\r\nSubject: x\r\n", "x"); got != 452 {
		t.Errorf("10,000 recipients: %d", got)
	}
	if got := h.mails("a@example.com", many[:1], "From: a@example.com\r\nSubject: x\r\n", strings.Repeat("0123456789012345678901234567890123456789\r\n", 11<<20/42)); got != 552 {
		t.Errorf("11 MiB: %d", got)
	}
	if got := h.mails("a@example.com", many[:1], "Content-Type: multipart/mixed; boundary=A\r\n", strings.Repeat("--A\r\n\r\nx\r\n", 300)); got != 554 {
		t.Errorf("300 parts: %d", got)
	}
	if got := h.mails("a@example.com", []string{"report@x"}, "From: a@example.com\r\n", ""); got != 554 {
		t.Errorf("a report without a word: %d", got)
	}
	if after, _, err := h.app.Ledger().Head(ctx); err != nil || after != before {
		t.Errorf("%d facts became %d, %v", before, after, err)
	}
}

// TestSwaks: the usual tool for trying a mail server is understood.
func TestSwaks(t *testing.T) {
	h := open(t, app.Config{Data: t.TempDir()})
	if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(mailSource), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program(t, "swaks"), "--server", h.app.MailAddr(), "--from", "cron@example.com", "--to", "K-mail@tocsin.example",
		"--header", "Subject: PROBLEM: the nightly copy failed", "--body", "no space left").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("250")) {
		t.Fatalf("%v\n%s", err, out)
	}
	var list struct {
		Items []struct{ Title, Source string }
	}
	h.must(http.StatusOK, http.MethodGet, "/api/v1/alerts?source=legacy", nil, &list)
	if len(list.Items) != 1 || list.Items[0].Title != "the nightly copy failed" {
		t.Fatalf("%+v", list)
	}
}
