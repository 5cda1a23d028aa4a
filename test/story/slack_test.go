package story_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

const slackHouse = `
apiVersion: tocsin/v1
people:
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: responder, language: en, contact_methods: [{id: chat, kind: slack, to: U0ANA}]}
  - {id: paul, name: Paul Durand, email: paul@example.com, access: responder, language: fr, contact_methods: [{id: chat, kind: slack, to: U0PAUL}]}
channels:
  slack: {incidents: "#incidents", api_url: %q, token_file: %q, signing_secret_file: %q}
`

// TestSlackDirectMessage: a page is a direct message with two buttons. They answer for
// the member to whom it was sent, when Slack has signed the request; anything else
// changes nothing.
func TestSlackDirectMessage(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		space := fake.NewSlack(t)
		dir := t.TempDir()
		token, secret := filepath.Join(dir, "token"), filepath.Join(dir, "secret")
		for path, v := range map[string]string{token: space.Token, secret: space.Secret} {
			if err := os.WriteFile(path, []byte(v+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(fmt.Sprintf(slackHouse, space.URL, token, secret)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		waitFor := func(member string) (found fake.SlackMessage) {
			t.Helper()
			h.eventually("a direct message to "+member, func() bool {
				for _, m := range slices.Backward(space.Messages()) {
					if m.Channel == member && len(m.Buttons) > 1 {
						found = m
						return true
					}
				}
				return false
			})
			return found
		}
		do := func(req *http.Request) int {
			t.Helper()
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return resp.StatusCode
		}
		to := h.base + "/channel/slack/interactions"

		// Slack is busy, then limits: the page still comes.
		space.Refuse(fake.SlackStatus(http.StatusInternalServerError), fake.SlackError("internal_error"))
		h.declare("sev2")
		h.settle()
		h.forward(30 * time.Second)
		m := waitFor("U0ANA")
		if !strings.Contains(m.Words[0], "INC-1") || m.Buttons[0].ID != "tocsin_accept" || m.Buttons[1].ID != "tocsin_refuse" || m.Buttons[2].URL == "" {
			t.Fatalf("%+v", m)
		}

		forged := space.Press(to, "U0ANA", m.Buttons[0])
		forged.Header.Set("X-Slack-Signature", "v0="+strings.Repeat("0", 64))
		if got := do(forged); got != http.StatusForbidden {
			t.Errorf("forged: %d", got)
		}
		if got := do(space.Signed(to, "payload=%7B%7D", time.Now().Add(-10*time.Minute))); got != http.StatusForbidden {
			t.Errorf("ten minutes old: %d", got)
		}
		if got := do(space.Signed(to, "payload=nothing", time.Now())); got != http.StatusBadRequest {
			t.Errorf("no payload: %d", got)
		}
		if got := do(space.Press(to, "U0EVE", m.Buttons[0])); got != http.StatusOK {
			t.Errorf("another member: %d", got)
		}
		if n := h.factsOf("page.acknowledged") + h.factsOf("page.refused"); n != 0 {
			t.Fatalf("%d answers of nobody", n)
		}

		// She cannot; he is called at once and takes it.
		if got := do(space.Press(to, "U0ANA", m.Buttons[1])); got != http.StatusOK {
			t.Fatalf("refuse: %d", got)
		}
		h.settle()
		second := waitFor("U0PAUL")
		if got := do(space.Press(to, "U0PAUL", second.Buttons[0])); got != http.StatusOK {
			t.Fatalf("accept: %d", got)
		}
		if got := do(space.Press(to, "U0PAUL", second.Buttons[0])); got != http.StatusOK {
			t.Fatalf("accept again: %d", got)
		}
		h.settle()
		var b struct{ Person, Method string }
		h.last("page.acknowledged", &b)
		if b.Person != "paul" || b.Method != "slack" {
			t.Fatalf("%+v", b)
		}
		if n := h.factsOf("page.acknowledged"); n != 1 {
			t.Errorf("%d acknowledgements", n)
		}
		h.eventually("the outcome in the place of the buttons", func() bool {
			said := space.Said()
			return slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "INC-1") })
		})

		// Whoever left the workspace is not written to any more.
		space.Refuse(fake.SlackError("user_not_found"))
		if _, err := h.app.Notify.SendTest(app.AsSystem(t.Context()), "ana", "chat"); err != nil {
			t.Fatal(err)
		}
		h.settle()
		h.eventually("the method is disabled", func() bool {
			ms, err := h.app.Notify.Methods(app.AsSystem(t.Context()), "ana")
			return err == nil && slices.ContainsFunc(ms, func(m notify.Method) bool { return m.ID == "chat" && m.Disabled != "" })
		})
	})
}
