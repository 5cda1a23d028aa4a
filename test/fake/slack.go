package fake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// SlackButton is a button of a message.
type SlackButton struct {
	ID    string `json:"action_id"`
	Value string `json:"value"`
	URL   string `json:"url"`
	Text  struct {
		Text string `json:"text"`
	} `json:"text"`
}

// SlackMessage is a direct message that the workspace took.
type SlackMessage struct {
	// Channel is the member it was sent to, At its time there.
	Channel, At string
	Text        string
	// Words are the texts of its blocks.
	Words   []string
	Buttons []SlackButton
}

// Slack is a workspace that speaks the Web API and sends what members press, signed.
type Slack struct {
	// URL is the address of its API, ending with a slash.
	URL           string
	Token, Secret string

	mu       sync.Mutex
	messages []SlackMessage
	said     []string
	trouble  []func(http.ResponseWriter)
}

// NewSlack serves one on loopback until the test ends.
func NewSlack(t testing.TB) *Slack {
	t.Helper()
	f := &Slack{Token: "xoxb-fake", Secret: "fake-signing-secret"}
	srv := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(srv.Close)
	f.URL = srv.URL + "/api/"
	return f
}

// Refuse answers the next requests as each of these does.
func (f *Slack) Refuse(how ...func(http.ResponseWriter)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = append(f.trouble, how...)
}

// SlackError is the answer of Slack to what it does not do.
func SlackError(word string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":false,"error":"`+word+`"}`)
	}
}

// SlackStatus is an answer with a status alone; 429 asks to wait a second.
func SlackStatus(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
	}
}

// Messages gives what was taken so far.
func (f *Slack) Messages() []SlackMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]SlackMessage(nil), f.messages...)
}

// Said gives what was put in the place of messages by their response URL.
func (f *Slack) Said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.said...)
}

func (f *Slack) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.trouble) > 0 && r.URL.Path != "/api/respond" {
		how := f.trouble[0]
		f.trouble = f.trouble[1:]
		how(w)
		return
	}
	switch r.URL.Path {
	case "/api/respond":
		var b struct {
			Text string `json:"text"`
		}
		_ = json.NewDecoder(r.Body).Decode(&b)
		f.said = append(f.said, b.Text)
	case "/api/chat.postMessage":
		if r.FormValue("token") != f.Token && r.Header.Get("Authorization") != "Bearer "+f.Token {
			SlackError("invalid_auth")(w)
			return
		}
		var blocks []struct {
			Text struct {
				Text string `json:"text"`
			} `json:"text"`
			Elements []SlackButton `json:"elements"`
		}
		if err := json.Unmarshal([]byte(r.FormValue("blocks")), &blocks); err != nil {
			SlackError("invalid_blocks")(w)
			return
		}
		m := SlackMessage{Channel: r.FormValue("channel"), Text: r.FormValue("text"), At: fmt.Sprintf("1700000000.%06d", len(f.messages)+1)}
		for _, b := range blocks {
			if len([]rune(b.Text.Text)) > 3000 || len(b.Elements) > 25 {
				SlackError("invalid_blocks")(w)
				return
			}
			if b.Text.Text != "" {
				m.Words = append(m.Words, b.Text.Text)
			}
			m.Buttons = append(m.Buttons, b.Elements...)
		}
		f.messages = append(f.messages, m)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"ok":true,"channel":"D%s","ts":%q}`, m.Channel, m.At)
	default:
		http.NotFound(w, r)
	}
}

// Press makes the request that Slack sends when a member presses a button.
func (f *Slack) Press(to, member string, b SlackButton) *http.Request {
	payload, _ := json.Marshal(map[string]any{
		"type": "block_actions", "user": map[string]string{"id": member}, "response_url": f.URL + "respond",
		"actions": []map[string]any{{"type": "button", "action_id": b.ID, "block_id": "tocsin", "value": b.Value, "action_ts": "1700000000.1"}},
	})
	body := url.Values{"payload": {string(payload)}}.Encode()
	return f.Signed(to, body, time.Now())
}

// Signed makes a request with the signature of the workspace at an instant.
func (f *Slack) Signed(to, body string, at time.Time) *http.Request {
	r, err := http.NewRequest(http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(f.Secret))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return r
}
