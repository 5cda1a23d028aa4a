package fake

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// pushLimit is how much each push service takes (RFC 8030, 7.2).
const pushLimit = 4096

// PushMessage is one message that reached the push service.
type PushMessage struct {
	At time.Time
	// Subscription is the path of the endpoint.
	Subscription   string
	TTL            time.Duration
	Urgency, Topic string
	// Subject is the contact that the sender gives of itself.
	Subject string
	// Invalid says what is wrong with the headers, the token or the encryption; nil when
	// nothing is.
	Invalid error
	// Plain is the message as the browser reads it.
	Plain []byte
	// Status is what was answered, 0 when nothing was; Taken is set when the message was
	// kept.
	Status int
	Taken  bool
}

// JSON reads the plaintext into v.
func (m PushMessage) JSON(v any) error { return json.Unmarshal(m.Plain, v) }

// Push is a push service (RFC 8030) with the browsers that subscribe to it: it knows
// their keys, so that it can tell what they would read.
type Push struct {
	// URL is where it listens, on loopback.
	URL string

	end chan struct{}

	mu       sync.Mutex
	now      func() time.Time
	browsers map[string]*browser
	next     []Answer
	always   Answer
	messages []PushMessage
	changed  chan struct{}
}

// browser holds the private half of a subscription.
type browser struct {
	key    *ecdh.PrivateKey
	auth   []byte
	sender string
	gone   bool
}

// NewPush starts a push service that takes what is valid. It ends with the test.
func NewPush(t testing.TB) *Push {
	t.Helper()
	p := &Push{end: make(chan struct{}), now: time.Now, browsers: map[string]*browser{}, always: Status(http.StatusCreated), changed: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(p.serve))
	p.URL = srv.URL
	t.Cleanup(func() {
		close(p.end)
		srv.Close()
	})
	return p
}

// SetClock gives the service the clock of a test that moves time by hand.
func (p *Push) SetClock(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

// Subscribe makes a browser and gives its subscription as toJSON of the Push API does.
// Key is the applicationServerKey that it is bound to; with an empty one any sender may
// write to it.
func (p *Push) Subscribe(t testing.TB, key string) string {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{key: private, auth: make([]byte, 16), sender: key}
	_, _ = rand.Read(b.auth)
	p.mu.Lock()
	defer p.mu.Unlock()
	path := fmt.Sprintf("/push/%d-%s", len(p.browsers)+1, rand.Text())
	p.browsers[path] = b
	raw, err := json.Marshal(map[string]any{
		"endpoint": p.URL + path, "expirationTime": nil,
		"keys": map[string]string{"p256dh": base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes()), "auth": base64.RawURLEncoding.EncodeToString(b.auth)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Unsubscribe ends every subscription: their endpoints answer 410.
func (p *Push) Unsubscribe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.browsers {
		b.gone = true
	}
}

// Answer sets what is done with the next valid messages, one each, before Always applies
// again.
func (p *Push) Answer(next ...Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, next...)
}

// Always sets what is done with every valid message from now on.
func (p *Push) Always(a Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always, p.next = a, nil
}

// Messages lists all that came, oldest first.
func (p *Push) Messages() []PushMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.messages)
}

// Held lists what devices that come back at an instant are given: what was taken and is
// neither too old nor replaced by a later message of the same topic (RFC 8030, 5.4).
func (p *Push) Held(at time.Time) []PushMessage {
	var out []PushMessage
	for _, m := range p.Messages() {
		if !m.Taken {
			continue
		}
		if m.Topic != "" {
			out = slices.DeleteFunc(out, func(o PushMessage) bool { return o.Subscription == m.Subscription && o.Topic == m.Topic })
		}
		if m.At.Add(m.TTL).After(at) {
			out = append(out, m)
		}
	}
	return out
}

// WaitN waits for n messages; it fails the test after the time within.
func (p *Push) WaitN(t testing.TB, within time.Duration, n int) []PushMessage {
	t.Helper()
	limit := time.After(within)
	for {
		p.mu.Lock()
		got, changed := slices.Clone(p.messages), p.changed
		p.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("after %s the push service has %d messages, not %d", within, len(got), n)
		}
	}
}

func (p *Push) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, pushLimit+1))
	if err != nil {
		return
	}
	p.take(r, body).give(w, r, p.end)
}

// take records a message and says what is done with it.
func (p *Push) take(r *http.Request, body []byte) Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := PushMessage{At: p.now(), Subscription: r.URL.Path, Urgency: r.Header.Get("Urgency"), Topic: r.Header.Get("Topic")}
	a := p.judge(&m, r, body)
	if m.Invalid == nil && a.Status == 0 {
		a = p.always
		if len(p.next) > 0 {
			a, p.next = p.next[0], p.next[1:]
		}
		m.Taken = a.takes()
	}
	if a.how == answers {
		m.Status = a.Status
	}
	p.messages = append(p.messages, m)
	close(p.changed)
	p.changed = make(chan struct{})
	return a
}

var topicForm = regexp.MustCompile(`^[A-Za-z0-9_-]{0,32}$`)

// judge fills in what a message says and refuses what a push service or the browser
// would; the zero Answer is given for what is right.
func (p *Push) judge(m *PushMessage, r *http.Request, body []byte) Answer {
	refuse := func(status int, format string, args ...any) Answer {
		m.Invalid = fmt.Errorf(format, args...)
		return Status(status)
	}
	b := p.browsers[r.URL.Path]
	switch {
	case b == nil:
		return refuse(http.StatusNotFound, "no such subscription")
	case b.gone:
		return Status(http.StatusGone)
	case r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, "method %s", r.Method)
	case len(body) > pushLimit:
		return refuse(http.StatusRequestEntityTooLarge, "more than %d bytes", pushLimit)
	case !topicForm.MatchString(m.Topic):
		return refuse(http.StatusBadRequest, "topic %q", m.Topic)
	case !slices.Contains([]string{"", "very-low", "low", "normal", "high"}, m.Urgency):
		return refuse(http.StatusBadRequest, "urgency %q", m.Urgency)
	case r.Header.Get("Content-Encoding") != "aes128gcm":
		return refuse(http.StatusBadRequest, "content encoding %q", r.Header.Get("Content-Encoding"))
	}
	seconds, err := strconv.ParseUint(r.Header.Get("TTL"), 10, 31)
	if err != nil {
		return refuse(http.StatusBadRequest, "TTL: %w", err)
	}
	m.TTL = time.Duration(seconds) * time.Second
	token, err := checkVAPID(r.Header.Get("Authorization"), p.URL, m.At)
	if err != nil {
		return refuse(http.StatusForbidden, "VAPID: %w", err)
	}
	m.Subject = token.subject
	if b.sender != "" && b.sender != token.key {
		return refuse(http.StatusForbidden, "VAPID: not the key that the browser subscribed with")
	}
	// A push service cannot read the message: what cannot be decrypted it takes, and the
	// browser drops it.
	if m.Plain, err = decryptPush(body, b.key, b.auth); err != nil {
		return refuse(http.StatusCreated, "encryption: %w", err)
	}
	return Answer{}
}

type vapidToken struct{ subject, key string }

// checkVAPID verifies a header (RFC 8292, 2 and 3) for the origin that it was sent to.
func checkVAPID(header, origin string, now time.Time) (vapidToken, error) {
	rest, ok := strings.CutPrefix(header, "vapid ")
	if !ok {
		return vapidToken{}, errors.New("no such scheme")
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	point, err := base64.RawURLEncoding.DecodeString(parts["k"])
	if err != nil {
		return vapidToken{}, fmt.Errorf("k: %w", err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return vapidToken{}, fmt.Errorf("k: %w", err)
	}
	jwt := strings.Split(parts["t"], ".")
	if len(jwt) != 3 {
		return vapidToken{}, errors.New("t is no token")
	}
	var head struct{ Typ, Alg string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	if err := errors.Join(unpack(jwt[0], &head), unpack(jwt[1], &claims)); err != nil {
		return vapidToken{}, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(jwt[2])
	sum := sha256.Sum256([]byte(jwt[0] + "." + jwt[1]))
	switch {
	case head.Alg != "ES256":
		return vapidToken{}, fmt.Errorf("algorithm %q", head.Alg)
	case err != nil || len(signature) != 64:
		return vapidToken{}, errors.New("the signature is not 64 bytes")
	case !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])):
		return vapidToken{}, errors.New("the signature is wrong")
	case claims.Aud != origin:
		return vapidToken{}, fmt.Errorf("aud %q, not %q", claims.Aud, origin)
	case claims.Exp <= now.Unix():
		return vapidToken{}, errors.New("the token has expired")
	case claims.Exp > now.Add(24*time.Hour).Unix():
		return vapidToken{}, errors.New("the token holds for more than a day")
	}
	if u, err := url.Parse(claims.Sub); err != nil || u.Scheme != "mailto" && u.Scheme != "https" {
		return vapidToken{}, fmt.Errorf("sub %q", claims.Sub)
	}
	return vapidToken{claims.Sub, parts["k"]}, nil
}

func unpack(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// decryptPush reads a body of aes128gcm (RFC 8188) as a browser does (RFC 8291, 3 and 4):
// one record, and padding that is well formed.
func decryptPush(body []byte, key *ecdh.PrivateKey, auth []byte) ([]byte, error) {
	const head = 16 + 4 + 1
	if len(body) < head || len(body) < head+int(body[head-1]) {
		return nil, errors.New("the header is cut off")
	}
	salt, size, id, record := body[:16], binary.BigEndian.Uint32(body[16:20]), body[head:head+int(body[head-1])], body[head+int(body[head-1]):]
	if size < 18 || uint64(len(record)) > uint64(size) {
		return nil, fmt.Errorf("a record of %d bytes where %d are the most", len(record), size)
	}
	sender, err := ecdh.P256().NewPublicKey(id)
	if err != nil {
		return nil, err
	}
	secret, err := key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	// The two steps of HKDF are written out, as RFC 8291, 3.4 does.
	derive := func(secret, salt []byte, info string, n int) []byte {
		prk, err := hkdf.Extract(sha256.New, secret, salt)
		if err != nil {
			return nil
		}
		out, err := hkdf.Expand(sha256.New, prk, info, n)
		if err != nil {
			return nil
		}
		return out
	}
	ikm := derive(secret, auth, "WebPush: info\x00"+string(key.PublicKey().Bytes())+string(sender.Bytes()), 32)
	block, err := aes.NewCipher(derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16))
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, derive(ikm, salt, "Content-Encoding: nonce\x00", 12), record, nil)
	if err != nil {
		return nil, err
	}
	end := len(plain) - 1
	for end >= 0 && plain[end] == 0 {
		end--
	}
	if end < 0 || plain[end] != 2 {
		return nil, errors.New("the last record does not end with 2")
	}
	return plain[:end], nil
}
