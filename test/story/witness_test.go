package story_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/cli"
	"tocsin/internal/cli/client"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/test/fake"
)

const witnessed = `
apiVersion: tocsin/v1
people:
  - {id: witness, name: Witness, email: witness@example.com, access: responder, contact_methods: [{id: hook, kind: webhook, to: "http://%s/page"}]}
`

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestWitness: a test alarm goes the whole way and comes back. When the way out is broken,
// and when the server is gone, the witness shouts by its own ways; when it works again it
// says so.
func TestWitness(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		ctx := app.AsSystem(t.Context())
		listen := free(t)
		apply := func(address string) {
			t.Helper()
			if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf(witnessed, address)), kit.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		apply(listen)
		token, _, err := h.app.Identity.CreateToken(ctx, identity.NewToken{Name: "witness", Access: kit.AccessResponder, Scopes: []string{"oncall:write"}, Owner: "witness"})
		if err != nil {
			t.Fatal(err)
		}
		shouts, relay := fake.NewWebhook(t), fake.NewSMTP(t, fake.SMTPOptions{})
		var alive atomic.Int64
		beat := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { alive.Add(1) }))
		t.Cleanup(beat.Close)
		o := cli.Witness{
			Person: "witness", Listen: listen, Every: time.Minute, Within: 20 * time.Second, Once: true, ShoutURL: shouts.URL + "/shout", ShoutTo: []string{"boss@example.com"}, ShoutFrom: "witness@example.com",
			SMTP: fmt.Sprintf("%s:%d", relay.Host, relay.Port), SMTPTLS: "none", SignOfLife: beat.URL,
		}
		once := func(server string) (string, error) {
			t.Helper()
			api, err := client.New(server, token)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = app.Actions{}.Witness(t.Context(), o, api, "en", &out)
			return out.String(), err
		}
		if said, err := once(h.base); err != nil || !strings.Contains(said, "came back after") {
			t.Fatalf("%v\n%s", err, said)
		}
		facts := func(typ string) int { return count(h.types(""), typ) }
		if facts("selftest.passed") != 1 || alive.Load() != 1 || len(relay.Emails()) != 0 {
			t.Errorf("passed %d, signs of life %d, mails %d", facts("selftest.passed"), alive.Load(), len(relay.Emails()))
		}
		h.eventually("the escalation has ended", func() bool {
			l, err := h.app.Oncall.Ladders(ctx, "")
			return err == nil && (len(l) == 0 || l[0].State == "answered")
		})
		// The way to the witness is broken: nothing comes.
		apply(free(t))
		o.Within = 2 * time.Second
		said, err := once(h.base)
		if kit.CodeOf(err) != kit.CodeBusy || !strings.Contains(said, "DID NOT COME BACK: no page within 2") {
			t.Errorf("%v\n%s", err, said)
		}
		shouts.Wait(t, 5*time.Second, func(all []fake.Request) bool { return len(all) == 1 && all[0].Type() == "witness.failed" })
		if l := relay.Emails(); len(l) != 1 || l[0].To[0] != "boss@example.com" || !strings.Contains(l[0].Text, "assume that nobody is woken") {
			t.Errorf("mails: %+v", l)
		}
		if facts("selftest.failed") != 1 || alive.Load() != 1 {
			t.Errorf("failed %d, signs of life %d", facts("selftest.failed"), alive.Load())
		}
		// The server is gone.
		said, err = once("http://" + free(t))
		if kit.CodeOf(err) != kit.CodeBusy || !strings.Contains(said, "cannot be reached") || len(relay.Emails()) != 2 {
			t.Errorf("%v, %d mails\n%s", err, len(relay.Emails()), said)
		}
		// On a timer: it fails, shouts once, and says when it works again.
		apply(listen)
		o.Once, o.Every, o.Within = false, time.Second, 20*time.Second
		run, stop := context.WithCancel(t.Context())
		api, err := client.New(h.base, token)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- app.Actions{}.Witness(run, o, api, "fr", &bytes.Buffer{}) }()
		before := facts("selftest.passed")
		h.eventually("two more test alarms", func() bool { return facts("selftest.passed") >= before+2 })
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
