package channel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/channel"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

const contact = "mailto:ops@example.com"

// pushing is a sender and a push service with one subscribed device.
func pushing(t *testing.T) (*channel.Push, *fake.Push, notify.Message) {
	t.Helper()
	keys, err := channel.NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	service := fake.NewPush(t)
	service.SetClock(func() time.Time { return noon })
	p := channel.NewPush(channel.NewClient(loopback, channel.WithTimeout(500*time.Millisecond)), clock{noon},
		func(context.Context) (channel.VAPID, error) { return keys, nil }, func(context.Context) string { return contact })
	return p, service, notify.Message{
		ID: "0195-id", To: service.Subscribe(t, keys.PublicKey()), Subject: "[SEV2] INC-42 Down – please answer", Page: true, Language: "en", Topic: "bundle",
		Brief: notify.Brief{Head: "SEV2 INC-42", What: "Payments: <down>", More: "Since 03:12.\n- Disk full", Accept: "I’ve got it", Refuse: "I can’t", Link: "https://t.example/a/x"},
	}
}

func TestPushSend(t *testing.T) {
	p, service, m := pushing(t)
	if _, err := p.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := service.WaitN(t, time.Second, 1)[0]
	if got.Invalid != nil || !got.Taken || got.TTL != time.Hour || got.Urgency != "high" || len(got.Topic) != 32 || got.Subject != contact {
		t.Fatalf("%+v", got)
	}
	if strings.Contains(got.Topic, "bundle") {
		t.Errorf("the push service reads what it is about: %s", got.Topic)
	}
	var said any
	if err := got.JSON(&said); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{
		"title": "SEV2 INC-42 · Payments: <down>", "body": "Since 03:12.\n- Disk full", "tag": got.Topic, "lang": "en", "url": "https://t.example/a/x",
		"ack": map[string]any{"url": "https://t.example/a/x", "accept": "I’ve got it", "refuse": "I can’t", "failed": "Your answer did not arrive. Press again, or open the page."},
	}, said); d != "" {
		t.Error(d)
	}
}

func TestPushNotice(t *testing.T) {
	p, service, m := pushing(t)
	m.Page, m.Topic, m.Brief = false, "", notify.Brief{What: m.Subject, More: "Text."}
	if _, err := p.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := service.WaitN(t, time.Second, 1)[0]
	if got.Invalid != nil || got.TTL != 24*time.Hour {
		t.Fatalf("%+v", got)
	}
	if want := `{"title":"[SEV2] INC-42 Down – please answer","body":"Text.","tag":"` + got.Topic + `","lang":"en"}`; string(got.Plain) != want {
		t.Errorf("got  %s\nwant %s", got.Plain, want)
	}
}

// TestPushReplaces: a device that was off is given the last message about a thing, once,
// however often it was sent, and each message that replaces none.
func TestPushReplaces(t *testing.T) {
	p, service, m := pushing(t)
	for _, c := range []struct{ id, topic string }{{"1", "a"}, {"2", ""}, {"2", ""}, {"3", "b"}, {"4", "a"}, {"5", ""}} {
		m.ID, m.Topic, m.Brief.What = c.id, c.topic, "number "+c.id
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	held := func(at time.Time) (all []string) {
		for _, x := range service.Held(at) {
			var said struct{ Title string }
			if err := x.JSON(&said); err != nil {
				t.Fatal(err)
			}
			all = append(all, strings.TrimPrefix(said.Title, "SEV2 INC-42 · number "))
		}
		return all
	}
	if d := cmp.Diff([]string{"2", "3", "4", "5"}, held(noon)); d != "" {
		t.Error(d)
	}
	if late := held(noon.Add(time.Hour)); late != nil {
		t.Errorf("a page rings an hour later: %v", late)
	}
}

func TestPushOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer fake.Answer
		want   outcome
	}{
		{"200", fake.Status(200), outcome{}},
		{"201", fake.Status(201, "Location", "https://push.example/m/1"), outcome{}},
		{"202", fake.Status(202), outcome{}},
		{"307", fake.Status(307, "Location", "/elsewhere"), outcome{permanent: true, key: "redirect"}},
		{"400", fake.Status(400), outcome{permanent: true, key: "status"}},
		{"401", fake.Status(401), outcome{permanent: true, key: "status"}},
		{"403", fake.Status(403), outcome{permanent: true, key: "status"}},
		{"404", fake.Status(404), outcome{permanent: true, gone: true, key: "unsubscribed"}},
		{"410", fake.Status(410), outcome{permanent: true, gone: true, key: "unsubscribed"}},
		{"413", fake.Status(413), outcome{permanent: true, key: "status"}},
		{"429", fake.Status(429, "Retry-After", "7"), outcome{after: 7 * time.Second, key: "status"}},
		{"500", fake.Status(500), outcome{key: "status"}},
		{"503", fake.Status(503, "Retry-After", "3"), outcome{after: 3 * time.Second, key: "status"}},
		{"hang", fake.Hang(), outcome{key: "timeout", doubt: true}},
		{"reset", fake.Reset(), outcome{key: "unreachable", doubt: true}},
		{"lose", fake.Lose(), outcome{key: "unreachable", doubt: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, service, m := pushing(t)
			service.Answer(tt.answer)
			_, err := p.Send(t.Context(), m)
			if got := outcomeOf(t, err); got != tt.want {
				t.Errorf("got %+v (%v), want %+v", got, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "/push/") {
				t.Errorf("the error tells the address: %v", err)
			}
			if got := service.Messages(); len(got) != 1 || got[0].Invalid != nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestPushSubscriptionEnds(t *testing.T) {
	p, service, m := pushing(t)
	service.Unsubscribe()
	_, err := p.Send(t.Context(), m)
	if got := outcomeOf(t, err); got != (outcome{permanent: true, gone: true, key: "unsubscribed"}) {
		t.Errorf("%+v (%v)", got, err)
	}
	other, err := channel.NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	m.To = service.Subscribe(t, other.PublicKey())
	if _, err = p.Send(t.Context(), m); outcomeOf(t, err) != (outcome{permanent: true, key: "status"}) {
		t.Errorf("subscribed with another key: %v", err)
	}
}

func TestPushUnreachable(t *testing.T) {
	p, service, m := pushing(t)
	good := m.To
	for name, c := range map[string]struct {
		to   string
		want outcome
	}{
		"private":      {strings.Replace(good, service.URL, "https://10.0.0.1", 1), outcome{permanent: true, key: "not_allowed"}},
		"metadata":     {strings.Replace(good, service.URL, "https://169.254.169.254", 1), outcome{permanent: true, key: "not_allowed"}},
		"loopback":     {strings.Replace(good, service.URL, "http://[::1]:1", 1), outcome{permanent: true, key: "not_allowed"}},
		"not https":    {strings.Replace(good, service.URL, "http://push.example", 1), outcome{permanent: true, key: "bad_subscription"}},
		"damaged":      {good[:len(good)-3], outcome{permanent: true, key: "bad_subscription"}},
		"no keys":      {`{"endpoint":"` + service.URL + `"}`, outcome{permanent: true, key: "bad_subscription"}},
		"empty":        {"", outcome{permanent: true, key: "bad_subscription"}},
		"bare address": {service.URL, outcome{permanent: true, key: "bad_subscription"}},
	} {
		m.To = c.to
		_, err := p.Send(t.Context(), m)
		if got := outcomeOf(t, err); got != c.want {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, c.want)
		}
	}
	unread := channel.NewPush(channel.NewClient(loopback), clock{noon}, func(context.Context) (channel.VAPID, error) { return channel.VAPID{}, errors.New("disk") }, func(context.Context) string { return contact })
	m.To = good
	if _, err := unread.Send(t.Context(), m); outcomeOf(t, err) != (outcome{key: "secret_unread"}) {
		t.Errorf("key not read: %v", err)
	}
	if n := len(service.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

func TestVAPID(t *testing.T) {
	v, err := channel.NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := v.Bytes()
	if err != nil || len(raw) != 32 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	again, err := channel.ParseVAPID(raw)
	if err != nil || again.PublicKey() != v.PublicKey() || len(v.PublicKey()) != 87 || v.PublicKey()[0] != 'B' {
		t.Errorf("%s, then %s, %v", v.PublicKey(), again.PublicKey(), err)
	}
	for _, bad := range [][]byte{nil, raw[:31], append(raw, 0), make([]byte, 32), []byte(strings.Repeat("\xff", 32))} {
		if _, err := channel.ParseVAPID(bad); err == nil {
			t.Errorf("%d bytes %x are taken as a key", len(bad), bad)
		}
	}
	for _, c := range []struct{ set, base, want string }{
		{"mailto:a@example.com", "https://t.example", "mailto:a@example.com"},
		{"https://example.com/contact", "", "https://example.com/contact"},
		{"a@example.com", "https://t.example:8443/x", "https://t.example:8443"},
		{"", "http://t.example:8080", "mailto:postmaster@t.example"},
		{"", "", "mailto:postmaster@localhost"},
	} {
		if got := channel.PushSubject(c.set, c.base); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
