package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// Chat sends to a room or an app by the address that its provider gives out: the whole
// of what is needed is in it, so that one line of the organisation file or of a person
// sets it up. The requests are our own, through the one client that reaches allowed
// addresses alone; see docs/adr/0008-chat-by-url.md.
type Chat struct {
	client *http.Client
	clock  kit.Clock
	make   func(m notify.Message, u *url.URL) chatRequest
}

// chatRequest is what a provider is asked; method is POST when empty.
type chatRequest struct {
	method string
	url    *url.URL
	header map[string]string
	body   any
}

// Chats gives the senders by kind of contact method.
func Chats(client *http.Client, clock kit.Clock) map[string]notify.Sender {
	out := map[string]notify.Sender{}
	for kind, f := range map[string]func(notify.Message, *url.URL) chatRequest{
		"discord": discord, "mattermost": mattermost, "teams": teams, "telegram": telegram, "ntfy": ntfy, "gotify": gotify, "pushover": pushover, "matrix": matrix,
	} {
		out[kind] = &Chat{client, clock, f}
	}
	return out
}

var _ notify.Sender = (*Chat)(nil)

// Send implements notify.Sender. Answers are judged as those of a webhook.
func (c *Chat) Send(ctx context.Context, m notify.Message) (notify.Result, error) {
	u, err := url.Parse(m.To)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return notify.Result{}, permanent("channel.error.bad_url", nil)
	}
	ask := c.make(m, u)
	body, err := json.Marshal(ask.body)
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_url", err)
	}
	method := ask.method
	if method == "" {
		method = http.MethodPost
	}
	ask.url.User = nil
	ctx, whole := traced(ctx)
	req, err := http.NewRequestWithContext(ctx, method, ask.url.String(), bytes.NewReader(body))
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_url", nil)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Tocsin")
	for k, v := range ask.header {
		req.Header.Set(k, v)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return notify.Result{}, unreachable(u.Hostname(), err, whole())
	}
	drain(resp.Body)
	return notify.Result{}, judge(u.Hostname(), resp, c.clock.Now())
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// whole is the subject and the text, which ends with the link.
func whole(m notify.Message, most int) string {
	text := strings.TrimSpace(m.Text)
	room := most - len([]rune(m.Subject)) - 2
	if len([]rune(text)) > room {
		// The link is what must not be lost.
		text = cut(text, max(room-len([]rune(m.Brief.Link))-1, 1)) + "\n" + m.Brief.Link
	}
	return m.Subject + "\n\n" + text
}

// without takes parameters out of a copy of a URL.
func without(u *url.URL, names ...string) *url.URL {
	v := *u
	q := v.Query()
	for _, n := range names {
		q.Del(n)
	}
	v.RawQuery = q.Encode()
	return &v
}

// discord: a webhook of a channel; 2,000 characters, nobody is mentioned.
func discord(m notify.Message, u *url.URL) chatRequest {
	return chatRequest{url: u, body: map[string]any{"content": whole(m, 2000), "allowed_mentions": map[string]any{"parse": []string{}}}}
}

// mattermost: an incoming webhook.
func mattermost(m notify.Message, u *url.URL) chatRequest {
	return chatRequest{url: u, body: map[string]any{"text": whole(m, 16_000)}}
}

// teams: the address of a workflow that posts an adaptive card.
func teams(m notify.Message, u *url.URL) chatRequest {
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": []any{
			map[string]any{"type": "TextBlock", "text": m.Subject, "weight": "Bolder", "wrap": true},
			map[string]any{"type": "TextBlock", "text": cut(m.Text, 10_000), "wrap": true},
		},
	}
	if m.Brief.Link != "" {
		card["actions"] = []any{map[string]any{"type": "Action.OpenUrl", "title": m.Button, "url": m.Brief.Link}}
	}
	return chatRequest{url: u, body: map[string]any{"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}}}
}

// telegram: …/bot{token}/sendMessage?chat_id={chat}.
func telegram(m notify.Message, u *url.URL) chatRequest {
	body := map[string]any{"chat_id": u.Query().Get("chat_id"), "text": whole(m, 4000), "link_preview_options": map[string]any{"is_disabled": true}}
	// Telegram refuses buttons that lead to a host without a dot.
	if l, err := url.Parse(m.Brief.Link); err == nil && l.Scheme == "https" && strings.Contains(l.Hostname(), ".") {
		body["reply_markup"] = map[string]any{"inline_keyboard": [][]any{{map[string]any{"text": m.Button, "url": m.Brief.Link}}}}
	}
	return chatRequest{url: without(u, "chat_id"), body: body}
}

// ntfy: https://{server}/{topic}; a token or a user and password stand before the @.
func ntfy(m notify.Message, u *url.URL) chatRequest {
	root := *u
	root.Path, root.RawPath, root.RawQuery = "/", "", ""
	body := map[string]any{"topic": strings.Trim(u.Path, "/"), "title": m.Subject, "message": cut(m.Text, 4000)}
	if m.Page {
		body["priority"], body["tags"] = 5, []string{"rotating_light"}
	}
	if m.Brief.Link != "" {
		body["click"] = m.Brief.Link
		body["actions"] = []any{map[string]any{"action": "view", "label": m.Button, "url": m.Brief.Link, "clear": true}}
	}
	header := map[string]string{}
	if u.User != nil {
		if pass, ok := u.User.Password(); ok {
			r := http.Request{Header: http.Header{}}
			r.SetBasicAuth(u.User.Username(), pass)
			header["Authorization"] = r.Header.Get("Authorization")
		} else {
			header["Authorization"] = "Bearer " + u.User.Username()
		}
	}
	return chatRequest{url: &root, header: header, body: body}
}

// gotify: https://{server}/message?token={token of an application}.
func gotify(m notify.Message, u *url.URL) chatRequest {
	body := map[string]any{"title": m.Subject, "message": m.Text, "priority": 5}
	if m.Page {
		body["priority"] = 10
	}
	if m.Brief.Link != "" {
		body["extras"] = map[string]any{"client::notification": map[string]any{"click": map[string]any{"url": m.Brief.Link}}}
	}
	return chatRequest{url: without(u, "token"), header: map[string]string{"X-Gotify-Key": u.Query().Get("token")}, body: body}
}

// pushover: https://api.pushover.net/1/messages.json?token={application}&user={user}.
func pushover(m notify.Message, u *url.URL) chatRequest {
	q := u.Query()
	body := map[string]any{"token": q.Get("token"), "user": q.Get("user"), "title": cut(m.Subject, 250), "message": cut(m.Text, 1024)}
	if m.Page {
		body["priority"] = 1
	}
	if m.Brief.Link != "" {
		body["url"], body["url_title"] = m.Brief.Link, cut(m.Button, 100)
	}
	return chatRequest{url: without(u, "token", "user"), body: body}
}

// matrix: https://{server}/_matrix/client/v3/rooms/{room}/send/m.room.message?access_token={token}.
// The id of the message is that of the transaction: sent twice, it is there once.
func matrix(m notify.Message, u *url.URL) chatRequest {
	at := without(u, "access_token")
	at = at.JoinPath(m.ID)
	return chatRequest{
		method: http.MethodPut, url: at, header: map[string]string{"Authorization": "Bearer " + u.Query().Get("access_token")},
		body: map[string]any{"msgtype": "m.text", "body": whole(m, 16_000)},
	}
}
