package channel

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func chatMessage(to string) notify.Message {
	return notify.Message{
		ID: "0195-id", To: to, Subject: "[SEV2] INC-42 Down", Text: "It is down.\n\nAnswer: https://t.example/a/x\n", Page: true, Button: "Answer this page", Language: "en",
		Brief: notify.Brief{Head: "SEV2 INC-42", What: "Down", Reply: "Reply 1 to take, 2 to pass.", Link: "https://t.example/a/x", Spoken: "Severity two. Down & <out>.", Keys: "Press 1."},
	}
}

func TestChats(t *testing.T) {
	var method, uri, body string
	var header http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		method, uri, header, body = r.Method, r.URL.RequestURI(), r.Header, string(b)
		if strings.Contains(r.URL.Path, "gone") {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	chats := Chats(NewClient(loopback), kit.SystemClock{})
	text := "[SEV2] INC-42 Down\n\nIt is down.\n\nAnswer: https://t.example/a/x"
	for _, c := range []struct {
		kind, to, method, uri string
		header                map[string]string
		want                  string
	}{
		{"discord", srv.URL + "/api/webhooks/1/secret", "POST", "/api/webhooks/1/secret", nil, `{"content": ` + quote(text) + `, "allowed_mentions": {"parse": []}}`},
		{"mattermost", srv.URL + "/hooks/secret", "POST", "/hooks/secret", nil, `{"text": ` + quote(text) + `}`},
		{
			"teams", srv.URL + "/workflows/1?sig=s", "POST", "/workflows/1?sig=s", nil,
			`{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": {
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"body": [{"type": "TextBlock", "text": "[SEV2] INC-42 Down", "weight": "Bolder", "wrap": true}, {"type": "TextBlock", "text": "It is down.\n\nAnswer: https://t.example/a/x\n", "wrap": true}],
			"actions": [{"type": "Action.OpenUrl", "title": "Answer this page", "url": "https://t.example/a/x"}]}}]}`,
		},
		{
			"telegram", srv.URL + "/bot1:T/sendMessage?chat_id=-100", "POST", "/bot1:T/sendMessage", nil,
			`{"chat_id": "-100", "text": ` + quote(text) + `, "link_preview_options": {"is_disabled": true}, "reply_markup": {"inline_keyboard": [[{"text": "Answer this page", "url": "https://t.example/a/x"}]]}}`,
		},
		{
			"ntfy", "http://tk_secret@" + host + "/on-call", "POST", "/",
			map[string]string{"Authorization": "Bearer tk_secret"},
			`{"topic": "on-call", "title": "[SEV2] INC-42 Down", "message": "It is down.\n\nAnswer: https://t.example/a/x\n", "priority": 5, "tags": ["rotating_light"], "click": "https://t.example/a/x",
			"actions": [{"action": "view", "label": "Answer this page", "url": "https://t.example/a/x", "clear": true}]}`,
		},
		{
			"gotify", srv.URL + "/message?token=secret", "POST", "/message",
			map[string]string{"X-Gotify-Key": "secret"},
			`{"title": "[SEV2] INC-42 Down", "message": "It is down.\n\nAnswer: https://t.example/a/x\n", "priority": 10, "extras": {"client::notification": {"click": {"url": "https://t.example/a/x"}}}}`,
		},
		{
			"pushover", srv.URL + "/1/messages.json?token=a&user=u", "POST", "/1/messages.json", nil,
			`{"token": "a", "user": "u", "title": "[SEV2] INC-42 Down", "message": "It is down.\n\nAnswer: https://t.example/a/x\n", "priority": 1, "url": "https://t.example/a/x", "url_title": "Answer this page"}`,
		},
		{
			"matrix", srv.URL + "/_matrix/client/v3/rooms/%21r:e.org/send/m.room.message?access_token=secret", "PUT", "/_matrix/client/v3/rooms/%21r:e.org/send/m.room.message/0195-id",
			map[string]string{"Authorization": "Bearer secret"},
			`{"msgtype": "m.text", "body": ` + quote(text) + `}`,
		},
	} {
		t.Run(c.kind, func(t *testing.T) {
			if _, err := chats[c.kind].Send(t.Context(), chatMessage(c.to)); err != nil {
				t.Fatal(err)
			}
			if method != c.method || uri != c.uri {
				t.Errorf("%s %s, want %s %s", method, uri, c.method, c.uri)
			}
			for k, v := range c.header {
				if header.Get(k) != v {
					t.Errorf("%s: %q, want %q", k, header.Get(k), v)
				}
			}
			var got, want any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			_, err := chats[c.kind].Send(t.Context(), chatMessage("http://169.254.169.254/x?chat_id=1&token=1&user=1&access_token=1"))
			var se *notify.SendError
			if !errors.As(err, &se) || !se.Permanent {
				t.Errorf("an address that is not allowed: %v", err)
			}
		})
	}
	_, err := chats["mattermost"].Send(t.Context(), chatMessage(srv.URL+"/gone"))
	var se *notify.SendError
	if !errors.As(err, &se) || !se.Gone {
		t.Errorf("410: %v", err)
	}
	long := chatMessage(srv.URL + "/x")
	long.Text = strings.Repeat("word ", 1000)
	if _, err := chats["discord"].Send(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	var got struct{ Content string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || len([]rune(got.Content)) > 2000 || !strings.HasSuffix(got.Content, long.Brief.Link) {
		t.Errorf("%d characters, ends with %q", len([]rune(got.Content)), got.Content[len(got.Content)-30:])
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestGatewayByTemplate(t *testing.T) {
	var uri string
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.URL.RequestURI()
		w.WriteHeader(status)
	}))
	defer srv.Close()
	g := Gateway{Kind: KindTemplate, URL: srv.URL + "/send?to={to}&text={text}&key={token}", Token: "k&y"}
	sms := NewSMS(NewClient(loopback), kit.SystemClock{}, func(context.Context) (Gateway, error) { return g, nil }, func() string { return "https://t.example" })
	m := chatMessage("+33600000001")
	if _, err := sms.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if uri != "/send?to=%2B33600000001&text=SEV2+INC-42+Down+https%3A%2F%2Ft.example%2Fa%2Fx&key=k%26y" {
		t.Error(uri)
	}
	for code, permanent := range map[int]bool{500: false, 429: false, 400: true, 403: true} {
		status = code
		_, err := sms.Send(t.Context(), m)
		var se *notify.SendError
		if !errors.As(err, &se) || se.Permanent != permanent {
			t.Errorf("%d: %v", code, err)
		}
	}
	g = Gateway{}
	if _, err := sms.Send(t.Context(), m); err == nil {
		t.Error("sent without a gateway")
	}
}

func TestGatewayCheck(t *testing.T) {
	for name, c := range map[string]struct {
		g     Gateway
		voice bool
		paths string
	}{
		"whole":            {Gateway{Kind: "twilio", Account: "a", From: "b", Token: "c"}, true, ""},
		"nothing":          {Gateway{}, false, "channels.sms.kind"},
		"half":             {Gateway{Kind: "twilio", Account: "a"}, false, "channels.sms.from channels.sms.token_file"},
		"template":         {Gateway{Kind: "template", URL: "https://x/{to}/{text}"}, false, ""},
		"without the text": {Gateway{Kind: "template", URL: "https://x/{to}"}, false, "channels.sms.url"},
		"calls":            {Gateway{Kind: "template", URL: "https://x/{to}/{text}"}, true, "channels.sms.kind"},
	} {
		var paths []string
		if err := c.g.Check("channels.sms", c.voice); err != nil {
			for _, f := range kit.AsError(err).Fields {
				paths = append(paths, f.Path)
			}
		}
		if got := strings.Join(paths, " "); got != c.paths {
			t.Errorf("%s: %q, want %q", name, got, c.paths)
		}
	}
}

func TestTwiml(t *testing.T) {
	got := twiml(chatMessage("+33600000001"), "https://t.example/channel/twilio/voice/key?d=1&x=2")
	want := `<Response><Gather numDigits="1" timeout="10" action="https://t.example/channel/twilio/voice/key?d=1&amp;x=2"><Say language="en-GB">Severity two. Down &amp; &lt;out&gt;.</Say><Say language="en-GB">Press 1.</Say><Pause length="1"/><Say language="en-GB">Severity two. Down &amp; &lt;out&gt;.</Say><Say language="en-GB">Press 1.</Say></Gather></Response>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
