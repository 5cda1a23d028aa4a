package channel

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

const (
	secretPrefix = "whsec_"
	// maxRetryAfter bounds what a receiver may ask us to wait.
	maxRetryAfter = 24 * time.Hour
	// drainTime is how long the rest of an answer is read so that the connection can
	// be used again; the result is known before.
	drainTime = 250 * time.Millisecond
)

// Secrets gives the signing secrets of a destination, in the form of NewSecret:
// none when messages to it are not signed, two while a secret is being replaced.
type Secrets func(ctx context.Context, url string) ([]string, error)

// Webhook sends the JSON body of a message by POST, signed as Standard Webhooks
// 1.0.0 asks.
type Webhook struct {
	client  *http.Client
	clock   kit.Clock
	secrets Secrets
}

// NewWebhook makes the sender; the client is one of NewClient. Without secrets
// nothing is signed.
func NewWebhook(client *http.Client, clock kit.Clock, secrets Secrets) *Webhook {
	return &Webhook{client: client, clock: clock, secrets: secrets}
}

var _ notify.Sender = (*Webhook)(nil)

// Send implements notify.Sender. An answer of 2xx is success; 410 means that the
// address is to be disabled; 408, 421, 425, 429 and 5xx, like no answer at all, may
// be tried again with the same ID; anything else is permanent, a redirect included.
func (w *Webhook) Send(ctx context.Context, m notify.Message) (notify.Result, error) {
	u, err := url.Parse(m.To)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return notify.Result{}, permanent("channel.error.bad_url", nil)
	}
	asking, whole := traced(ctx)
	req, err := http.NewRequestWithContext(asking, http.MethodPost, m.To, bytes.NewReader(m.Body))
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_url", nil)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Tocsin")
	at := w.clock.Now()
	req.Header.Set("Webhook-Id", m.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	if w.secrets != nil {
		secrets, err := w.secrets(ctx, m.To)
		if err != nil {
			return notify.Result{}, temporary("channel.error.secret_unread", err)
		}
		if len(secrets) > 0 {
			signature, err := Sign(m.ID, at, m.Body, secrets...)
			if err != nil {
				return notify.Result{}, permanent("channel.error.bad_secret", err)
			}
			req.Header.Set("Webhook-Signature", signature)
		}
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return notify.Result{}, unreachable(u.Hostname(), err, whole())
	}
	drain(resp.Body)
	return notify.Result{}, judge(u.Hostname(), resp, w.clock.Now())
}

// judge gives the error of an answer at an instant, nil for 2xx.
func judge(host string, resp *http.Response, now time.Time) error {
	code := resp.StatusCode
	status := bounded(strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code)))
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusGone:
		e := permanent("channel.error.gone", nil, "host", host)
		e.Gone = true
		return e
	case code >= 300 && code < 400:
		return permanent("channel.error.redirect", nil, "host", host, "status", status)
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout,
		code == http.StatusTooEarly, code == http.StatusMisdirectedRequest:
		e := temporary("channel.error.status", nil, "host", host, "status", status)
		e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
		return e
	default:
		return permanent("channel.error.status", nil, "host", host, "status", status)
	}
}

// unreachable gives the error of a request that got no answer; whole tells that it was
// written to its end.
func unreachable(host string, err error, whole bool) error {
	e := noAnswer(host, err)
	e.Doubt = whole && !e.Permanent
	return e
}

func noAnswer(host string, err error) *notify.SendError {
	if b, ok := errors.AsType[*BlockedError](err); ok {
		return permanent("channel.error.not_allowed", b, "host", host, "address", b.Addr.String())
	}
	if c, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return permanent("channel.error.tls", c, "host", host, "detail", bounded(c.Err.Error()))
	}
	if isTimeout(err) {
		return temporary("channel.error.timeout", nil, "host", host)
	}
	return temporary("channel.error.unreachable", nil, "host", host, "detail", reason(err))
}

// drain reads what is left of a short answer and closes it, without waiting for one
// that trickles.
func drain(body io.ReadCloser) {
	stop := time.AfterFunc(drainTime, func() { _ = body.Close() })
	_, _ = io.CopyN(io.Discard, body, 16<<10)
	stop.Stop()
	_ = body.Close()
}

// retryAfter reads the header of that name (RFC 9110, 10.2.3): seconds or a date.
func retryAfter(h string, now time.Time) time.Duration {
	h = strings.TrimSpace(h)
	if h == "" {
		return 0
	}
	if n, err := strconv.ParseInt(h, 10, 32); err == nil {
		return within(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(h); err == nil {
		return within(at.Sub(now), maxRetryAfter)
	}
	return 0
}

// Sign gives the Webhook-Signature of a body (Standard Webhooks 1.0.0): one v1
// signature for each secret. The id must have no dot, for the dot separates what is
// signed.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	if id == "" || strings.Contains(id, ".") {
		return "", fmt.Errorf("webhook id %q cannot be signed", id)
	}
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		key, err := secretKey(s)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

// NewSecret makes a signing secret: whsec_ and 32 random bytes in base64.
func NewSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// CheckSecret says what is wrong with a signing secret as a *kit.Error.
func CheckSecret(s string) error {
	if _, err := secretKey(s); err != nil {
		return kit.Invalid("channel.error.bad_secret")
	}
	return nil
}

// secretKey gives the 24 to 64 bytes of a secret. An error never holds the secret.
func secretKey(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
	if err != nil {
		return nil, errors.New("the webhook secret is not base64")
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("the webhook secret has %d bytes, not 24 to 64", len(key))
	}
	return key, nil
}
