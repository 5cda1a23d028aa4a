package fake

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the provider signs with it
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// PhoneMessage is an SMS or a call that the provider was asked for.
type PhoneMessage struct {
	// SID is the id that the provider gave.
	SID string
	// Call tells a call from an SMS.
	Call     bool
	To, From string
	// Body is the text of an SMS, Twiml what a call says.
	Body, Twiml string
	// StatusCallback is where the provider reports to.
	StatusCallback string
}

// Twilio is a provider of SMS and calls that speaks the 2010-04-01 interface.
type Twilio struct {
	URL            string
	Account, Token string

	mu       sync.Mutex
	messages []PhoneMessage
	trouble  []int
}

// NewTwilio serves one on loopback until the test ends.
func NewTwilio(t testing.TB) *Twilio {
	t.Helper()
	f := &Twilio{Account: "ACfake", Token: "fake-auth-token"}
	srv := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	return f
}

// Refuse answers the next requests with these statuses.
func (f *Twilio) Refuse(status ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = append(f.trouble, status...)
}

// Messages gives what was taken so far.
func (f *Twilio) Messages() []PhoneMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.messages)
}

func (f *Twilio) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	say := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	if len(f.trouble) > 0 {
		status := f.trouble[0]
		f.trouble = f.trouble[1:]
		say(status, map[string]any{"code": status, "message": "trouble", "status": status})
		return
	}
	if user, pass, ok := r.BasicAuth(); !ok || user != f.Account || pass != f.Token {
		say(http.StatusUnauthorized, map[string]any{"code": 20003, "message": "Authenticate", "status": 401})
		return
	}
	call := strings.HasSuffix(r.URL.Path, "/Calls.json")
	if !strings.HasPrefix(r.URL.Path, "/2010-04-01/Accounts/"+f.Account+"/") || !call && !strings.HasSuffix(r.URL.Path, "/Messages.json") {
		say(http.StatusNotFound, map[string]any{"code": 20404, "message": "not found", "status": 404})
		return
	}
	if err := r.ParseForm(); err != nil || r.PostFormValue("To") == "" || r.PostFormValue("From") == "" {
		say(http.StatusBadRequest, map[string]any{"code": 21604, "message": "A 'To' phone number is required.", "status": 400})
		return
	}
	m := PhoneMessage{
		SID: fmt.Sprintf("SM%032d", len(f.messages)+1), Call: call, To: r.PostFormValue("To"), From: r.PostFormValue("From"), Body: r.PostFormValue("Body"),
		Twiml: r.PostFormValue("Twiml"), StatusCallback: r.PostFormValue("StatusCallback"),
	}
	f.messages = append(f.messages, m)
	say(http.StatusCreated, map[string]any{"sid": m.SID, "status": "queued"})
}

// Report asks an address as the provider does, signed with a token, and gives the status
// and the answer.
func (f *Twilio) Report(t testing.TB, address, token string, form url.Values) (int, string) {
	t.Helper()
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = io.WriteString(mac, address)
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, _ = io.WriteString(mac, name+form.Get(name))
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
