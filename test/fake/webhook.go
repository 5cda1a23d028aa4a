// Package fake stands in for the providers outside that Tocsin talks to: it records
// what it is sent, checks it, and fails in the ways that real ones do. It knows
// nothing of Tocsin's inside, so that anybody who integrates with it can use it.
package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// tolerance is how far a timestamp may be from the receiver's clock.
const tolerance = 5 * time.Minute

// Answer is what a receiver does with one request.
type Answer struct {
	// Status is the HTTP status; 0 means 204.
	Status int
	Header map[string]string
	// Body is sent back with the status.
	Body string
	// Delay is waited before answering.
	Delay time.Duration
	how   how
}

type how int

const (
	answers how = iota
	hangs
	resets
	loses
)

// OK takes the message.
func OK() Answer { return Answer{} }

// Status answers with a status; header is given as pairs of name and value.
func Status(code int, header ...string) Answer {
	a := Answer{Status: code, Header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		a.Header[header[i]] = header[i+1]
	}
	return a
}

// Hang never answers.
func Hang() Answer { return Answer{how: hangs} }

// Reset breaks the connection with a TCP reset; the message is not taken.
func Reset() Answer { return Answer{how: resets} }

// Lose takes the message and closes the connection without saying so.
func Lose() Answer { return Answer{how: loses} }

func (a Answer) takes() bool {
	return a.how == loses || a.how == answers && (a.Status == 0 || a.Status/100 == 2)
}

// Request is one request that reached the receiver.
type Request struct {
	At     time.Time
	Method string
	Path   string
	Header http.Header
	Body   []byte
	// ID is the Webhook-Id: the same on each try of one message.
	ID string
	// Timestamp is the instant that the sender claims for this try.
	Timestamp time.Time
	// Invalid says what is wrong with the Standard Webhooks headers; nil when nothing
	// is. Without secrets the signature is not checked, the other headers are.
	Invalid error
	// Taken is set when the receiver kept the message, whatever it answered.
	Taken bool
}

// JSON reads the body into v.
func (r Request) JSON(v any) error { return json.Unmarshal(r.Body, v) }

// Type is the member "type" of the body, empty when there is none.
func (r Request) Type() string {
	var b struct {
		Type string `json:"type"`
	}
	_ = r.JSON(&b)
	return b.Type
}

// Webhook is a receiver of Standard Webhooks 1.0.0.
type Webhook struct {
	// URL is where it listens, on loopback.
	URL string

	server  *httptest.Server
	secrets []string
	end     chan struct{}

	mu       sync.Mutex
	now      func() time.Time
	next     []Answer
	always   Answer
	requests []Request
	changed  chan struct{}
}

// NewWebhook starts a receiver that checks signatures against any of the secrets
// (whsec_…) and takes everything. It ends with the test.
func NewWebhook(t testing.TB, secrets ...string) *Webhook {
	t.Helper()
	w := &Webhook{secrets: secrets, end: make(chan struct{}), now: time.Now, changed: make(chan struct{})}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	w.URL = w.server.URL
	t.Cleanup(func() {
		close(w.end)
		w.server.Close()
	})
	return w
}

// SetClock gives the receiver the clock of a test that moves time by hand.
func (w *Webhook) SetClock(now func() time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// Answer sets what is done with the next requests, one each, before Always applies
// again.
func (w *Webhook) Answer(next ...Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = append(w.next, next...)
}

// Always sets what is done with every request from now on.
func (w *Webhook) Always(a Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.always, w.next = a, nil
}

// Requests lists all that came, oldest first.
func (w *Webhook) Requests() []Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

// Taken lists the requests whose message was kept, oldest first. Two with the same ID
// are a duplicate.
func (w *Webhook) Taken() []Request {
	return slices.DeleteFunc(w.Requests(), func(r Request) bool { return !r.Taken })
}

// Wait waits until want is content with what came and gives it; it fails the test
// after the time within.
func (w *Webhook) Wait(t testing.TB, within time.Duration, want func([]Request) bool) []Request {
	t.Helper()
	limit := time.After(within)
	for {
		w.mu.Lock()
		got, changed := slices.Clone(w.requests), w.changed
		w.mu.Unlock()
		if want(got) {
			return got
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("after %s the webhook receiver has %d requests, not what was waited for", within, len(got))
		}
	}
}

// WaitN waits for n requests.
func (w *Webhook) WaitN(t testing.TB, within time.Duration, n int) []Request {
	t.Helper()
	return w.Wait(t, within, func(r []Request) bool { return len(r) >= n })
}

func (w *Webhook) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 10<<20))
	if err != nil {
		return
	}
	w.record(r, body).give(rw, r, w.end)
}

// give does with a request what the answer says; end ends what hangs.
func (a Answer) give(rw http.ResponseWriter, r *http.Request, end <-chan struct{}) {
	switch a.how {
	case hangs:
		select {
		case <-end:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case loses:
		panic(http.ErrAbortHandler)
	case resets:
		if conn, _, err := http.NewResponseController(rw).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}
		return
	}
	if a.Delay > 0 {
		select {
		case <-time.After(a.Delay):
		case <-end:
		}
	}
	for k, v := range a.Header {
		rw.Header().Set(k, v)
	}
	status := a.Status
	if status == 0 {
		status = http.StatusNoContent
	}
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, a.Body)
}

func (w *Webhook) record(r *http.Request, body []byte) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.always
	if len(w.next) > 0 {
		a, w.next = w.next[0], w.next[1:]
	}
	req := Request{
		At: w.now(), Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body,
		ID: r.Header.Get(standardwebhooks.HeaderWebhookID), Taken: a.takes(),
	}
	req.Timestamp, req.Invalid = w.check(&req)
	w.requests = append(w.requests, req)
	close(w.changed)
	w.changed = make(chan struct{})
	return a
}

func (w *Webhook) check(r *Request) (time.Time, error) {
	n, err := strconv.ParseInt(r.Header.Get(standardwebhooks.HeaderWebhookTimestamp), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp: %w", err)
	}
	at := time.Unix(n, 0).UTC()
	if off := r.At.Sub(at); off > tolerance || off < -tolerance {
		return at, fmt.Errorf("the timestamp is %s off", off)
	}
	if r.ID == "" {
		return at, errors.New("no id")
	}
	if len(w.secrets) == 0 {
		return at, nil
	}
	var wrong error
	for _, s := range w.secrets {
		wh, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			return at, err
		}
		if wrong = wh.VerifyIgnoringTimestamp(r.Body, r.Header); wrong == nil {
			return at, nil
		}
	}
	return at, wrong
}
