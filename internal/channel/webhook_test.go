package channel_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tocsin/internal/channel"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

type clock struct{ at time.Time }

func (c clock) Now() time.Time { return c.at }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestSignVector is the vector of the Standard Webhooks libraries.
func TestSignVector(t *testing.T) {
	got, err := channel.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`),
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"", "whsec_", "whsec_%%%", "whsec_c2hvcnQ="} {
		if _, err := channel.Sign("id", noon, nil, bad); err == nil {
			t.Errorf("secret %q is taken", bad)
		}
		if err := channel.CheckSecret(bad); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("secret %q: %v", bad, err)
		}
	}
	if err := channel.CheckSecret(channel.NewSecret()); err != nil {
		t.Error(err)
	}
	if _, err := channel.Sign("a.b", noon, nil, channel.NewSecret()); err == nil {
		t.Error("an id with a dot is signed")
	}
}

func sender(secrets ...string) *channel.Webhook {
	return channel.NewWebhook(channel.NewClient(loopback, channel.WithTimeout(500*time.Millisecond)), clock{noon},
		func(context.Context, string) ([]string, error) { return secrets, nil })
}

func TestWebhookSend(t *testing.T) {
	secret, old := channel.NewSecret(), channel.NewSecret()
	for name, secrets := range map[string][]string{"one": {secret}, "rotation": {old, secret}, "unsigned": nil} {
		t.Run(name, func(t *testing.T) {
			var known []string
			if secrets != nil {
				known = []string{secret}
			}
			receiver := fake.NewWebhook(t, known...)
			receiver.SetClock(func() time.Time { return noon })
			id := kit.NewID()
			body := []byte(`{"type":"page","timestamp":"2026-11-23T12:00:00Z","data":{"ref":"INC-1"}}`)
			if _, err := sender(secrets...).Send(t.Context(), notify.Message{ID: id, To: receiver.URL + "/hook?k=1", Body: body}); err != nil {
				t.Fatal(err)
			}
			got := receiver.WaitN(t, time.Second, 1)[0]
			if got.Invalid != nil || got.ID != id || string(got.Body) != string(body) || got.Type() != "page" ||
				!got.Timestamp.Equal(noon) || got.Method != "POST" || got.Path != "/hook?k=1" || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %+v", got)
			}
			if signed := got.Header.Get("Webhook-Signature") != ""; signed != (secrets != nil) {
				t.Errorf("signed: %v", signed)
			}
		})
	}
}

// TestFakeVerifies makes sure that the receiver can find a signature wrong.
func TestFakeVerifies(t *testing.T) {
	receiver := fake.NewWebhook(t, channel.NewSecret())
	receiver.SetClock(func() time.Time { return noon })
	if _, err := sender(channel.NewSecret()).Send(t.Context(), notify.Message{ID: "a", To: receiver.URL}); err != nil {
		t.Fatal(err)
	}
	receiver.SetClock(func() time.Time { return noon.Add(time.Hour) })
	if _, err := sender().Send(t.Context(), notify.Message{ID: "b", To: receiver.URL}); err != nil {
		t.Fatal(err)
	}
	for _, r := range receiver.WaitN(t, time.Second, 2) {
		if r.Invalid == nil {
			t.Errorf("%s is held valid", r.ID)
		}
	}
}

type outcome struct {
	permanent, gone bool
	after           time.Duration
	key             string
	doubt           bool
}

func outcomeOf(t *testing.T, err error) outcome {
	t.Helper()
	if err == nil {
		return outcome{}
	}
	s, ok := errors.AsType[*notify.SendError](err)
	if !ok {
		t.Fatalf("%v is no SendError", err)
	}
	k, ok := errors.AsType[*kit.Error](err)
	if !ok || !i18n.Has(k.Key) {
		t.Fatalf("%v has no message key", err)
	}
	if text := err.Error(); strings.Contains(text, "<no value>") || strings.Contains(text, "{{") || text == k.Key {
		t.Errorf("%s reads %q", k.Key, text)
	}
	return outcome{s.Permanent, s.Gone, s.RetryAfter, strings.TrimPrefix(k.Key, "channel.error."), s.Doubt}
}

func TestWebhookOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer fake.Answer
		want   outcome
	}{
		{"200", fake.Status(200), outcome{}},
		{"202", fake.Status(202), outcome{}},
		{"204", fake.OK(), outcome{}},
		{"301", fake.Status(301, "Location", "/elsewhere"), outcome{permanent: true, key: "redirect"}},
		{"307", fake.Status(307, "Location", "/elsewhere"), outcome{permanent: true, key: "redirect"}},
		{"400", fake.Status(400), outcome{permanent: true, key: "status"}},
		{"404", fake.Status(404), outcome{permanent: true, key: "status"}},
		{"408", fake.Status(408), outcome{key: "status"}},
		{"410", fake.Status(410), outcome{permanent: true, gone: true, key: "gone"}},
		{"429", fake.Status(429, "Retry-After", "7"), outcome{after: 7 * time.Second, key: "status"}},
		{"429 date", fake.Status(429, "Retry-After", noon.Add(90*time.Second).Format(http.TimeFormat)), outcome{after: 90 * time.Second, key: "status"}},
		{"429 past", fake.Status(429, "Retry-After", noon.Add(-time.Hour).Format(http.TimeFormat)), outcome{key: "status"}},
		{"429 forever", fake.Status(429, "Retry-After", "2000000000"), outcome{after: 24 * time.Hour, key: "status"}},
		{"429 nonsense", fake.Status(429, "Retry-After", "soon"), outcome{key: "status"}},
		{"500", fake.Status(500), outcome{key: "status"}},
		{"503", fake.Status(503, "Retry-After", "3"), outcome{after: 3 * time.Second, key: "status"}},
		{"hang", fake.Hang(), outcome{key: "timeout", doubt: true}},
		{"reset", fake.Reset(), outcome{key: "unreachable", doubt: true}},
		{"lose", fake.Lose(), outcome{key: "unreachable", doubt: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			receiver := fake.NewWebhook(t)
			receiver.Answer(tt.answer)
			_, err := sender().Send(t.Context(), notify.Message{ID: "x", To: receiver.URL + "/secret-token", Body: []byte("{}")})
			if got := outcomeOf(t, err); got != tt.want {
				t.Errorf("got %+v (%v), want %+v", got, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret-token") {
				t.Errorf("the error tells the address: %v", err)
			}
			if got := receiver.Requests(); len(got) != 1 {
				t.Errorf("%d requests, want 1", len(got))
			}
			if taken := len(receiver.Taken()) == 1; taken != (tt.want == outcome{} || tt.name == "lose") {
				t.Errorf("taken: %v", taken)
			}
		})
	}
}

func TestWebhookUnreachable(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := httptest.NewTLSServer(nil)
	defer secure.Close()
	for _, tt := range []struct {
		to   string
		want outcome
	}{
		{closed.URL, outcome{key: "unreachable"}},
		{secure.URL, outcome{permanent: true, key: "tls"}},
		{"http://10.0.0.1/", outcome{permanent: true, key: "not_allowed"}},
		{"http://[::1]:1/", outcome{permanent: true, key: "not_allowed"}},
		{"ftp://example.com/", outcome{permanent: true, key: "bad_url"}},
		{"http://", outcome{permanent: true, key: "bad_url"}},
		{"example.com/hook", outcome{permanent: true, key: "bad_url"}},
		{"http://a b/", outcome{permanent: true, key: "bad_url"}},
		{"", outcome{permanent: true, key: "bad_url"}},
	} {
		_, err := sender().Send(t.Context(), notify.Message{ID: "x", To: tt.to})
		if got := outcomeOf(t, err); got != tt.want {
			t.Errorf("%s: got %+v (%v), want %+v", tt.to, got, err, tt.want)
		}
	}
	receiver := fake.NewWebhook(t)
	if _, err := sender("whsec_no").Send(t.Context(), notify.Message{ID: "x", To: receiver.URL}); outcomeOf(t, err) != (outcome{permanent: true, key: "bad_secret"}) {
		t.Errorf("bad secret: %v", err)
	}
	unread := channel.NewWebhook(http.DefaultClient, clock{noon}, func(context.Context, string) ([]string, error) { return nil, errors.New("disk") })
	if _, err := unread.Send(t.Context(), notify.Message{ID: "x", To: receiver.URL}); outcomeOf(t, err) != (outcome{key: "secret_unread"}) {
		t.Errorf("secret not read: %v", err)
	}
	if n := len(receiver.Requests()); n != 0 {
		t.Errorf("%d requests were sent unsigned", n)
	}
}

// TestWebhookKeepsConnection sends many over one connection, and is not held up by an
// answer whose end never comes.
func TestWebhookKeepsConnection(t *testing.T) {
	receiver := fake.NewWebhook(t)
	receiver.Always(fake.Answer{Status: 200, Body: strings.Repeat("ok", 100)})
	s := sender()
	for range 5 {
		if _, err := s.Send(t.Context(), notify.Message{ID: "x", To: receiver.URL}); err != nil {
			t.Fatal(err)
		}
	}
	trickle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer trickle.Close()
	if _, err := s.Send(t.Context(), notify.Message{ID: "x", To: trickle.URL}); err != nil {
		t.Errorf("an answer without end: %v", err)
	}
}
