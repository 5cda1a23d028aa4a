package notify

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"net/url"
	"strings"
)

// The sizes of what a subscription holds (RFC 8291, 2 and 3.2).
const (
	pointBytes  = 65
	secretBytes = 16
)

// Subscription is the address of a browser that takes push messages: where its push
// service hears of them (RFC 8030, 4) and what they are encrypted with (RFC 8291, 2).
type Subscription struct {
	Endpoint *url.URL
	Key      *ecdh.PublicKey
	Auth     []byte
}

// ParseSubscription reads a PushSubscription as browsers write it in JSON (Push API,
// toJSON). An error never holds what was read, which is a secret.
func ParseSubscription(s string) (Subscription, error) {
	if len(s) > maxAddress {
		return Subscription{}, errors.New("the subscription is too long")
	}
	var in struct {
		Endpoint       string
		ExpirationTime *float64
		Keys           struct{ P256dh, Auth string }
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Subscription{}, errors.New("the subscription is not the JSON of a browser")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Subscription{}, errors.New("something follows the subscription")
	}
	u, err := url.Parse(in.Endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !onLoopback(u.Hostname())) {
		return Subscription{}, errors.New("the endpoint is not an https address")
	}
	point, ok := exactly(in.Keys.P256dh, pointBytes)
	if !ok {
		return Subscription{}, errors.New("p256dh is not 65 bytes in base64url")
	}
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return Subscription{}, errors.New("p256dh is no point of P-256")
	}
	auth, ok := exactly(in.Keys.Auth, secretBytes)
	if !ok {
		return Subscription{}, errors.New("auth is not 16 bytes in base64url")
	}
	return Subscription{Endpoint: u, Key: key, Auth: auth}, nil
}

// exactly reads n bytes in base64url without padding. The length is compared first
// because the decoder would pass over line breaks.
func exactly(s string, n int) ([]byte, bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(n) {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) == n
}

func onLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Shown is the address as its owner reads it: of a subscription the push service alone.
func (m Method) Shown() string {
	if m.Kind != "push" {
		return m.To
	}
	s, err := ParseSubscription(m.To)
	if err != nil {
		return ""
	}
	return s.Endpoint.Hostname()
}
