package channel

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

const (
	// pushMax bounds the plaintext. Every message is padded to it, so that its length
	// tells nothing; the whole body stays below the 4,096 bytes that each push service
	// takes (RFC 8030, 7.2).
	pushMax    = 3000
	pushRecord = 4096
	// pageTTL is how long a page waits for a device that is off: whoever switches it on
	// later finds others at work.
	pageTTL = time.Hour
	restTTL = 24 * time.Hour
	// topicSize is the longest topic (RFC 8030, 5.4).
	topicSize = 32
)

// VAPIDKeys gives the key pair of the installation.
type VAPIDKeys func(ctx context.Context) (VAPID, error)

// Push sends to browsers by Web Push: RFC 8030, encrypted by RFC 8291, and signed by
// RFC 8292. See docs/adr/0009-web-push.md.
type Push struct {
	client  *http.Client
	clock   kit.Clock
	keys    VAPIDKeys
	subject func(ctx context.Context) string
}

// NewPush makes the sender; subject is a mailto: or https: address at which push
// services find who runs the installation.
func NewPush(client *http.Client, clock kit.Clock, keys VAPIDKeys, subject func(ctx context.Context) string) *Push {
	return &Push{client: client, clock: clock, keys: keys, subject: subject}
}

var _ notify.Sender = (*Push)(nil)

// Send implements notify.Sender. Answers are judged as those of a webhook, and 404 and
// 410 mean that the subscription has ended (RFC 8030, 7.3). A message that is sent again
// takes the place of the one before, at the push service by its topic and on the device
// by its tag.
func (p *Push) Send(ctx context.Context, m notify.Message) (notify.Result, error) {
	to, err := notify.ParseSubscription(m.To)
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_subscription", err)
	}
	keys, err := p.keys(ctx)
	if err != nil {
		return notify.Result{}, temporary("channel.error.secret_unread", err)
	}
	body, err := encryptPush(payload(m), to)
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_subscription", err)
	}
	now := p.clock.Now()
	signed, err := keys.authorization(to.Endpoint, p.subject(ctx), now)
	if err != nil {
		return notify.Result{}, temporary("channel.error.secret_unread", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_subscription", nil)
	}
	ttl := restTTL
	if m.Page {
		ttl = pageTTL
	}
	for k, v := range map[string]string{
		"Authorization": signed, "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream",
		"TTL": strconv.Itoa(int(ttl / time.Second)), "Topic": topic(m), "Urgency": "high", "User-Agent": "Tocsin",
	} {
		req.Header.Set(k, v)
	}
	host := to.Endpoint.Hostname()
	ctx, whole := traced(req.Context())
	resp, err := p.client.Do(req.WithContext(ctx))
	if err != nil {
		return notify.Result{}, unreachable(host, err, whole())
	}
	drain(resp.Body)
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		e := permanent("channel.error.unsubscribed", nil, "host", host)
		e.Gone = true
		return notify.Result{}, e
	}
	return notify.Result{}, judge(host, resp, now)
}

// topic is what a later message replaces this one by. The push service reads it, so it
// tells nothing of what it stands for.
func topic(m notify.Message) string {
	of := m.Topic
	if of == "" {
		of = m.ID
	}
	sum := sha256.Sum256([]byte("push topic|" + of))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:topicSize]
}

// pushPayload is what sw.js reads.
type pushPayload struct {
	Title string   `json:"title"`
	Body  string   `json:"body,omitempty"`
	Tag   string   `json:"tag"`
	Lang  string   `json:"lang,omitempty"`
	URL   string   `json:"url,omitempty"`
	Ack   *pushAck `json:"ack,omitempty"`
}

// pushAck is how a notification is answered: by a POST of answer=accept or answer=refuse
// to URL, which holds the token.
type pushAck struct {
	URL    string `json:"url"`
	Accept string `json:"accept"`
	Refuse string `json:"refuse,omitempty"`
	// Failed is what is said when the answer could not be sent.
	Failed string `json:"failed"`
}

// payload writes a message for a notification in at most pushMax bytes: the body is
// shortened first, and a link that does not fit is left out, since a notification that
// rings is worth more than none.
func payload(m notify.Message) []byte {
	title := m.Subject
	if b := m.Brief; b.Head != "" && b.What != "" && b.What != m.Subject {
		title = b.Head + " · " + b.What
	}
	p := pushPayload{Title: cut(title, 120), Tag: topic(m), Lang: m.Language, URL: m.Brief.Link}
	if p.URL != "" && m.Brief.Accept != "" {
		p.Ack = &pushAck{URL: p.URL, Accept: cut(m.Brief.Accept, 60), Refuse: cut(m.Brief.Refuse, 60), Failed: i18n.T(m.Language, "channel.push.failed", nil)}
	}
	body := strings.TrimSpace(m.Brief.More)
	for room := 600; ; room /= 2 {
		p.Body = ""
		if room > 0 {
			p.Body = cut(body, room)
		}
		raw := compact(p)
		if len(raw) <= pushMax {
			return raw
		}
		if room == 0 {
			p.URL, p.Ack = "", nil
			return compact(p)
		}
	}
}

// compact is JSON without the escapes that HTML would need.
func compact(p pushPayload) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(p)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func encryptPush(plain []byte, to notify.Subscription) ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	return sealPush(plain, to, key, salt, pushMax-len(plain))
}

// sealPush encrypts a message as a single record of aes128gcm (RFC 8188, 2) with the keys
// of RFC 8291, 3.3 and 3.4. The key and the salt are for this message alone; padding is
// how many zeros follow the message.
func sealPush(plain []byte, to notify.Subscription, key *ecdh.PrivateKey, salt []byte, padding int) ([]byte, error) {
	const overhead = 1 + 16
	if padding < 0 || len(plain)+padding+overhead > pushRecord {
		return nil, errors.New("the message does not fit into a push message")
	}
	shared, err := key.ECDH(to.Key)
	if err != nil {
		return nil, err
	}
	own := key.PublicKey().Bytes()
	ikm, err := hkdf.Key(sha256.New, shared, to.Auth, "WebPush: info\x00"+string(to.Key.Bytes())+string(own), 32)
	if err != nil {
		return nil, err
	}
	cek, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint32(append([]byte(nil), salt...), pushRecord)
	out = append(append(out, byte(len(own))), own...)
	// The byte 2 ends the last record (RFC 8188, 2).
	record := append(append(append([]byte(nil), plain...), 2), make([]byte, padding)...)
	return gcm.Seal(out, nonce, record, nil), nil
}
