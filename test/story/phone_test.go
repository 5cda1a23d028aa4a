package story_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

const phones = `
apiVersion: tocsin/v1
people:
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: responder, language: en, contact_methods: [{id: sms, kind: sms, to: "+33600000001"}, {id: call, kind: voice, to: "+33600000001"}]}
  - {id: paul, name: Paul Durand, email: paul@example.com, access: responder, language: fr, contact_methods: [{id: sms, kind: sms, to: "+33600000002"}]}
channels:
  sms: {kind: twilio, account: %[1]s, from: "+33700000000", token_file: %[2]s, api_url: "%[3]s"}
  voice: {kind: twilio, account: %[1]s, from: "+33700000000", token_file: %[2]s, api_url: "%[3]s"}
`

var keyIn = regexp.MustCompile(`action="([^"]+)"`)

// TestPhone: the page is an SMS of one segment, then a call. The provider's reports are
// believed when they are signed, whatever their order; a key passes it on, a reply takes
// it, and what comes late changes nothing.
func TestPhone(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		provider := fake.NewTwilio(t)
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte(provider.Token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(fmt.Sprintf(phones, provider.Account, token, provider.URL)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		waitFor := func(what string, is func(fake.PhoneMessage) bool) (found fake.PhoneMessage) {
			t.Helper()
			h.eventually(what, func() bool {
				for _, m := range provider.Messages() {
					if is(m) {
						found = m
						return true
					}
				}
				return false
			})
			return found
		}
		report := func(want int, address string, pairs ...string) string {
			t.Helper()
			form := url.Values{"AccountSid": {provider.Account}}
			for n := 0; n+1 < len(pairs); n += 2 {
				form.Set(pairs[n], pairs[n+1])
			}
			status, body := provider.Report(t, address, provider.Token, form)
			if status != want {
				t.Fatalf("%s %v: %d %s", address, pairs, status, body)
			}
			return body
		}
		id := h.declare("sev2")
		sms := waitFor("the SMS to Ana", func(m fake.PhoneMessage) bool { return !m.Call && m.To == "+33600000001" })
		if n := notify.Septets(sms.Body); n > 160 || !strings.HasPrefix(sms.Body, "SEV2 INC-1 ") || !strings.Contains(sms.Body, "Reply 1 to take, 2 to pass. "+h.base+"/a/") {
			t.Errorf("%d septets: %s", n, sms.Body)
		}
		h.settle()
		if l := provider.Messages(); len(l) != 1 {
			t.Errorf("%d messages before their time", len(l))
		}
		// Forged: another token, another address, no signature.
		if status, _ := provider.Report(t, sms.StatusCallback, "another", url.Values{"MessageStatus": {"delivered"}}); status != http.StatusForbidden {
			t.Errorf("another token: %d", status)
		}
		if res, err := http.PostForm(sms.StatusCallback, url.Values{"MessageStatus": {"delivered"}}); err != nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("no signature: %v %v", res, err)
		}
		report(http.StatusNotFound, h.base+"/channel/twilio/sms/status?d=none", "MessageStatus", "delivered")
		if h.factsOf("delivery.confirmed") != 0 {
			t.Error("a forged report was believed")
		}
		// Twice, and out of order.
		report(http.StatusOK, sms.StatusCallback, "MessageStatus", "delivered")
		report(http.StatusOK, sms.StatusCallback, "MessageStatus", "sent")
		report(http.StatusOK, sms.StatusCallback, "MessageStatus", "undelivered", "ErrorCode", "30003")
		report(http.StatusOK, sms.StatusCallback, "MessageStatus", "delivered")
		h.settle()
		if h.factsOf("delivery.confirmed") != 1 || h.factsOf("delivery.failed") != 0 {
			t.Errorf("confirmed %d, failed %d", h.factsOf("delivery.confirmed"), h.factsOf("delivery.failed"))
		}
		h.forward(2 * time.Minute)
		call := waitFor("the call to Ana", func(m fake.PhoneMessage) bool { return m.Call })
		if strings.Count(call.Twiml, "Press 1 to take it. Press 2 to pass to the next person.") != 2 || !strings.Contains(call.Twiml, "Severity two.") || !strings.Contains(call.Twiml, `language="en-GB"`) {
			t.Errorf("the call says %s", call.Twiml)
		}
		key := strings.ReplaceAll(keyIn.FindStringSubmatch(call.Twiml)[1], "&amp;", "&")
		if said := report(http.StatusOK, key, "Digits", "7"); !strings.Contains(said, "none of those") {
			t.Errorf("another key: %s", said)
		}
		if said := report(http.StatusOK, key, "Digits", "2"); !strings.Contains(said, "INC-1 goes to the next person.") {
			t.Errorf("the key: %s", said)
		}
		h.settle()
		second := waitFor("the SMS to Paul", func(m fake.PhoneMessage) bool { return m.To == "+33600000002" })
		if n := notify.Septets(second.Body); n > 160 || !strings.Contains(second.Body, "Répondez 1 je prends, 2 je passe.") {
			t.Errorf("%d septets: %s", n, second.Body)
		}
		reply := h.base + "/channel/twilio/sms/reply"
		if said := report(http.StatusOK, reply, "From", "+33600000002", "Body", "quoi ?"); !strings.Contains(said, "Répondez 1") {
			t.Errorf("another word: %s", said)
		}
		if said := report(http.StatusOK, reply, "From", "+33699999999", "Body", "1"); !strings.Contains(said, "nothing that waits") {
			t.Errorf("a stranger: %s", said)
		}
		if said := report(http.StatusOK, reply, "From", "+33600000002", "Body", " Oui. "); !strings.Contains(said, "INC-1 est à vous.") {
			t.Errorf("the reply: %s", said)
		}
		if said := report(http.StatusOK, reply, "From", "+33600000002", "Body", "1"); !strings.Contains(said, "INC-1 est à vous.") {
			t.Errorf("the reply again: %s", said)
		}
		h.settle()
		var acknowledged notify.PageAcknowledged
		h.last("page.acknowledged", &acknowledged)
		if acknowledged.Method != "sms" || count(h.types(id), "page.acknowledged") != 1 || count(h.types(id), "page.refused") != 1 {
			t.Errorf("%+v, %v", acknowledged, h.types(id))
		}
		if said := report(http.StatusOK, key, "Digits", "1"); strings.Contains(said, "is yours") {
			t.Errorf("a key after somebody else has it: %s", said)
		}
	})
}

// TestPhoneProviderFails: what the provider cannot do now is tried again and the other
// method follows at once; a number that does not exist is given up; a call that is not
// taken moves on.
func TestPhoneProviderFails(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		provider := fake.NewTwilio(t)
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte(provider.Token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(fmt.Sprintf(phones, provider.Account, token, provider.URL)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		provider.Refuse(http.StatusInternalServerError)
		h.declare("sev2")
		h.eventually("the call in place of the SMS", func() bool {
			l := provider.Messages()
			return len(l) == 1 && l[0].Call
		})
		h.forward(6 * time.Second)
		h.eventually("the SMS at the second try", func() bool { return len(provider.Messages()) == 2 })
		call := provider.Messages()[0]
		if status, _ := provider.Report(t, call.StatusCallback, provider.Token, url.Values{"CallStatus": {"no-answer"}}); status != http.StatusOK {
			t.Errorf("no answer: %d", status)
		}
		h.settle()
		if h.factsOf("delivery.failed") != 1 {
			t.Errorf("%d deliveries failed", h.factsOf("delivery.failed"))
		}
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte("apiVersion: tocsin/v1\nchannels: {sms: {kind: twilio, account: x}, voice: {kind: template, url: \"https://a.example/{to}{text}\"}}\n"), kit.ApplyOptions{}); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("half a gateway is taken: %v", err)
		}
	})
}
