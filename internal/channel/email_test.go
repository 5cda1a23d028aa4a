package channel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/internal/channel"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

func relayOf(s *fake.SMTP, tls string) channel.Relay {
	return channel.Relay{Host: s.Host, Port: s.Port, TLS: tls, From: "Tocsin <tocsin@example.com>", Roots: s.Roots}
}

func mailer(r channel.Relay) *channel.Email {
	return channel.NewEmail(clock{noon}, func(context.Context) (channel.Relay, error) { return r, nil })
}

var page = notify.Message{
	ID: "0192", To: "Ana Müller <ana@example.com>", Subject: "INC-1 · base de données\r\nBcc: eve@example.com",
	Text: "Bonjour Ana,\nla base ne répond plus. ‘€’\n.\nFin.\n", HTML: "<p>la base ne répond plus</p>",
	MessageID: "delivery-1@example.com", References: "<incident-1@example.com>",
}

func TestEmailSend(t *testing.T) {
	for _, tls := range []string{"none", "starttls", "implicit"} {
		for _, user := range []string{"", "tocsin"} {
			t.Run(tls+" "+user, func(t *testing.T) {
				server := fake.NewSMTP(t, fake.SMTPOptions{TLS: tls, User: user, Password: "sesame"})
				r := relayOf(server, tls)
				if user != "" {
					r.User, r.Password = user, "sesame"
				}
				res, err := mailer(r).Send(t.Context(), page)
				if err != nil || res.Confirmed || res.ProviderID == "" {
					t.Fatalf("got %+v, %v", res, err)
				}
				got := server.WaitN(t, time.Second, 1)[0]
				for name, pair := range map[string][2]string{
					"envelope from":  {got.From, "tocsin@example.com"},
					"envelope to":    {strings.Join(got.To, ","), "ana@example.com"},
					"from":           {got.Header.Get("From"), `"Tocsin" <tocsin@example.com>`},
					"subject":        {got.Subject, "INC-1 · base de données Bcc: eve@example.com"},
					"bcc":            {got.Header.Get("Bcc"), ""},
					"message-id":     {got.Header.Get("Message-ID"), "<delivery-1@example.com>"},
					"references":     {got.Header.Get("References"), "<incident-1@example.com>"},
					"in-reply-to":    {got.Header.Get("In-Reply-To"), "<incident-1@example.com>"},
					"auto-submitted": {got.Header.Get("Auto-Submitted"), "auto-generated"},
					"date":           {got.Header.Get("Date"), "Mon, 23 Nov 2026 12:00:00 +0000"},
					"text":           {strings.TrimSpace(strings.ReplaceAll(got.Text, "\r\n", "\n")), strings.TrimSpace(page.Text)},
					"html":           {strings.TrimSpace(got.HTML), page.HTML},
				} {
					if pair[0] != pair[1] {
						t.Errorf("%s: got %q, want %q", name, pair[0], pair[1])
					}
				}
			})
		}
	}
}

func TestEmailWithoutHTMLAndIDs(t *testing.T) {
	server := fake.NewSMTP(t, fake.SMTPOptions{})
	s := mailer(relayOf(server, "none"))
	m := notify.Message{ID: "0192", To: "ana@example.com", Subject: "s", Text: "t"}
	for range 2 {
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range server.WaitN(t, time.Second, 2) {
		if id := e.Header.Get("Message-ID"); id != "<0192@example.com>" || e.HTML != "" || strings.TrimSpace(e.Text) != "t" || e.Header.Get("References") != "" {
			t.Errorf("id %q: %s", id, e.Raw)
		}
	}
}

func TestEmailRefused(t *testing.T) {
	server := fake.NewSMTP(t, fake.SMTPOptions{})
	s := mailer(relayOf(server, "none"))
	for _, at := range []fake.Stage{fake.AtMail, fake.AtRcpt, fake.AtData} {
		for _, code := range []int{421, 450, 451, 452, 550, 552, 554} {
			t.Run(fmt.Sprint(at, code), func(t *testing.T) {
				server.Refuse(fake.Trouble{At: at, Code: code, Text: "mailbox of the test"})
				_, err := s.Send(t.Context(), page)
				if got, want := outcomeOf(t, err), (outcome{permanent: code >= 500, key: "smtp"}); got != want {
					t.Errorf("got %+v (%v), want %+v", got, err, want)
				}
				if !strings.Contains(err.Error(), "mailbox of the test") || !strings.Contains(err.Error(), fmt.Sprint(code)) {
					t.Errorf("the reply is lost: %v", err)
				}
			})
		}
	}
	if n := len(server.Emails()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
	if _, err := s.Send(t.Context(), page); err != nil {
		t.Errorf("after the trouble: %v", err)
	}
}

func TestEmailBroken(t *testing.T) {
	server := fake.NewSMTP(t, fake.SMTPOptions{})
	s := mailer(relayOf(server, "none"))
	server.Refuse(fake.Trouble{Lost: true})
	_, err := s.Send(t.Context(), page)
	if got, want := outcomeOf(t, err), (outcome{key: "unreachable", doubt: true}); got != want {
		t.Errorf("lost: got %+v (%v), want %+v", got, err, want)
	}
	if n := len(server.Emails()); n != 1 {
		t.Errorf("lost: %d messages taken, want 1", n)
	}
	server.Refuse(fake.Trouble{Hangs: true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = s.Send(ctx, page)
	if got, want := outcomeOf(t, err), (outcome{key: "timeout"}); got != want || time.Since(begun) > 3*time.Second {
		t.Errorf("hang: got %+v (%v) after %s, want %+v", got, err, time.Since(begun), want)
	}
}

func TestEmailSettings(t *testing.T) {
	plain := fake.NewSMTP(t, fake.SMTPOptions{})
	start := fake.NewSMTP(t, fake.SMTPOptions{TLS: "starttls", User: "tocsin", Password: "sesame"})
	good := relayOf(start, "")
	good.User, good.Password = "tocsin", "sesame"
	with := func(r channel.Relay, f func(*channel.Relay)) channel.Relay { f(&r); return r }
	for _, tt := range []struct {
		name  string
		relay channel.Relay
		want  outcome
	}{
		{"good", good, outcome{}},
		{"no relay", channel.Relay{}, outcome{permanent: true, key: "no_relay"}},
		{"none elsewhere", channel.Relay{Host: "192.0.2.1", TLS: "none", From: "a@example.com"}, outcome{permanent: true, key: "relay_insecure"}},
		{"none to a name", channel.Relay{Host: "mail.example.com", TLS: "none", From: "a@example.com"}, outcome{permanent: true, key: "relay_insecure"}},
		{"unknown tls", with(good, func(r *channel.Relay) { r.TLS = "ssl" }), outcome{permanent: true, key: "relay_settings"}},
		{"bad port", with(good, func(r *channel.Relay) { r.Port = 70000 }), outcome{permanent: true, key: "relay_settings"}},
		{"bad from", with(good, func(r *channel.Relay) { r.From = "nobody" }), outcome{permanent: true, key: "relay_settings"}},
		{"wrong password", with(good, func(r *channel.Relay) { r.Password = "open" }), outcome{permanent: true, key: "relay_auth"}},
		{"no sign-in offered", with(relayOf(plain, "none"), func(r *channel.Relay) { r.User = "u" }), outcome{permanent: true, key: "relay_auth"}},
		{"sign-in missing", with(good, func(r *channel.Relay) { r.User = "" }), outcome{permanent: true, key: "smtp"}},
		{"unknown authority", with(good, func(r *channel.Relay) { r.Roots = nil }), outcome{permanent: true, key: "tls"}},
		{"no starttls offered", relayOf(plain, "starttls"), outcome{permanent: true, key: "tls"}},
		{"implicit to a plain port", relayOf(plain, "implicit"), outcome{permanent: true, key: "tls"}},
		{"nobody there", channel.Relay{Host: "127.0.0.1", Port: 1, TLS: "none", From: "a@example.com"}, outcome{key: "unreachable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mailer(tt.relay).Send(t.Context(), page)
			if got := outcomeOf(t, err); got != tt.want {
				t.Errorf("got %+v (%v), want %+v", got, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), tt.relay.Password) && tt.relay.Password != "" {
				t.Errorf("the error tells the password: %v", err)
			}
			static := tt.want.key == "relay_settings" || tt.want.key == "relay_insecure"
			if err := tt.relay.Check("channels.smtp"); (err != nil) != static {
				t.Errorf("check: %v", err)
			}
		})
	}
	unread := channel.NewEmail(clock{noon}, func(context.Context) (channel.Relay, error) { return channel.Relay{}, errors.New("disk") })
	if _, err := unread.Send(t.Context(), page); outcomeOf(t, err) != (outcome{key: "relay_unread"}) {
		t.Errorf("settings not read: %v", err)
	}
	for _, to := range []string{"", "ana", "a@example.com, b@example.com", "a@example.com\r\nRCPT TO:<b@example.com>"} {
		if _, err := mailer(good).Send(t.Context(), notify.Message{ID: "x", To: to}); outcomeOf(t, err) != (outcome{permanent: true, key: "bad_email"}) {
			t.Errorf("to %q: %v", to, err)
		}
	}
}

func TestMailbox(t *testing.T) {
	b := channel.NewMailbox(clock{noon})
	send := func(id, text string) {
		t.Helper()
		if _, err := b.Send(t.Context(), notify.Message{ID: id, To: "ana@example.com", Subject: "s " + id, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	send("a", "one")
	send("b", "two")
	send("a", "three")
	list := b.Messages()
	if len(list) != 2 || list[0].ID != "a" || list[0].Text != "three" || list[1].ID != "b" || !list[0].At.Equal(noon) {
		t.Errorf("got %+v", list)
	}
	if m, err := b.Message("b"); err != nil || m.Text != "two" || m.Subject != "s b" {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := b.Message("c"); kit.CodeOf(err) != kit.CodeNotFound {
		t.Errorf("unknown: %v", err)
	}
	for i := range 600 {
		send(fmt.Sprint(i), "x")
	}
	if list := b.Messages(); len(list) != 500 || list[0].ID != "599" || list[499].ID != "100" {
		t.Errorf("%d messages, from %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
	large := strings.Repeat("x", 900_000)
	for i := range 30 {
		send(fmt.Sprint("large", i), large)
	}
	if n := len(b.Messages()); n != 18 {
		t.Errorf("%d large messages are kept, want 18", n)
	}
	if _, err := b.Send(t.Context(), notify.Message{ID: "huge", Text: large + large}); outcomeOf(t, err).permanent != true {
		t.Errorf("a huge message: %v", err)
	}
}
