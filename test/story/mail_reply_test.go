package story_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

const mailOnly = `
apiVersion: tocsin/v1
people:
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: responder, language: en, contact_methods: [{id: mail, kind: email, to: ana@example.com}]}
  - {id: paul, name: Paul Durand, email: paul@example.com, access: responder, language: fr, contact_methods: [{id: mail, kind: email, to: paul@example.com}]}
channels: {smtp: {host: %s, port: %d, from: tocsin@example.com, tls: none}}
`

// TestAnswerByMail: a page by e-mail says that a reply will do. NO passes it on, OK takes
// it; what a machine answers, what comes from another address and what answers nothing
// changes nothing.
func TestAnswerByMail(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		relay := fake.NewSMTP(t, fake.SMTPOptions{})
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(fmt.Sprintf(mailOnly, relay.Host, relay.Port)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		mailTo := func(address, words string) (found fake.Email) {
			t.Helper()
			h.eventually("the mail to "+address, func() bool {
				for _, m := range relay.Emails() {
					if m.To[0] == address && strings.Contains(m.Text, words) {
						found = m
						return true
					}
				}
				return false
			})
			return found
		}
		id := h.declare("sev2")
		page := mailTo("ana@example.com", "You can also reply OK or NO to this message.")
		box := strings.Trim(page.Header.Get("Reply-To"), "<>")
		if !strings.HasPrefix(box, "reply@") {
			t.Fatalf("replies go to %q", box)
		}
		reply := func(from string, to fake.Email, more, words string) int {
			t.Helper()
			headers := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: Re: %s\r\nMessage-ID: <%d@example.com>\r\nIn-Reply-To: %s\r\nReferences: %s\r\n%s", from, box, to.Subject, time.Now().UnixNano(), to.Header.Get("Message-Id"), to.Header.Get("Message-Id"), more)
			return h.mails(from, []string{box}, headers, words+"\r\n\r\nOn Monday Tocsin wrote:\r\n> OK\r\n> "+to.Subject+"\r\n")
		}
		if code := reply("ana@example.com", page, "Auto-Submitted: auto-replied\r\n", "OK, I am on holiday."); code != 250 {
			t.Errorf("an absence notice: %d", code)
		}
		if code := reply("mallory@example.com", page, "", "OK"); code != 550 {
			t.Errorf("from another address: %d", code)
		}
		if code := reply("ana@example.com", page, "", "What is this?"); code != 554 {
			t.Errorf("other words: %d", code)
		}
		stranger := page
		stranger.Header = map[string][]string{"Message-Id": {"<00000000-0000-7000-8000-000000000000@127.0.0.1>"}}
		if code := reply("ana@example.com", stranger, "", "OK"); code != 550 {
			t.Errorf("to nothing that was sent: %d", code)
		}
		h.settle()
		if n := count(h.types(id), "page.acknowledged") + count(h.types(id), "page.refused"); n != 0 {
			t.Fatalf("%d answers that nobody gave", n)
		}
		if code := reply("Ana@Example.com", page, "", "No, sorry."); code != 250 {
			t.Errorf("NO: %d", code)
		}
		second := mailTo("paul@example.com", "Vous pouvez aussi répondre OK ou NON à ce message.")
		if code := reply("paul@example.com", second, "", "Ok !"); code != 250 {
			t.Errorf("OK: %d", code)
		}
		h.settle()
		var acknowledged notify.PageAcknowledged
		h.last("page.acknowledged", &acknowledged)
		if acknowledged.Method != "email" || count(h.types(id), "page.refused") != 1 || count(h.types(id), "page.acknowledged") != 1 {
			t.Errorf("%+v, %v", acknowledged, h.types(id))
		}
		if code := reply("paul@example.com", second, "", "ok"); code != 250 {
			t.Errorf("OK again: %d", code)
		}
		if code := reply("ana@example.com", page, "", "OK"); code != 554 {
			t.Errorf("after somebody else took it: %d", code)
		}
	})
}
