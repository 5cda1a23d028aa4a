package channel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// vapidLife is how long a token holds; RFC 8292, 2 allows a day, and half of it leaves
// room for a clock that is wrong.
const vapidLife = 12 * time.Hour

// VAPID is the key pair by which push services know an installation (RFC 8292, 3.2).
type VAPID struct {
	key    *ecdsa.PrivateKey
	public string
}

// NewVAPID makes a key pair. Subscriptions are bound to it: it is made once.
func NewVAPID() (VAPID, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return VAPID{}, err
	}
	return vapidOf(key)
}

// ParseVAPID reads what Bytes gave.
func ParseVAPID(raw []byte) (VAPID, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return VAPID{}, fmt.Errorf("key of push messages: %w", err)
	}
	return vapidOf(key)
}

func vapidOf(key *ecdsa.PrivateKey) (VAPID, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return VAPID{}, err
	}
	return VAPID{key, base64.RawURLEncoding.EncodeToString(point)}, nil
}

// Bytes is the private key, 32 bytes, which are secret.
func (v VAPID) Bytes() ([]byte, error) { return v.key.Bytes() }

// PublicKey is the applicationServerKey that a browser subscribes with: the uncompressed
// point in base64url (RFC 8292, 3.2).
func (v VAPID) PublicKey() string { return v.public }

// authorization is the header of that name (RFC 8292, 3) for a push service.
func (v VAPID) authorization(endpoint *url.URL, subject string, now time.Time) (string, error) {
	claims := map[string]any{"aud": endpoint.Scheme + "://" + endpoint.Host, "exp": now.Add(vapidLife).Unix()}
	if subject != "" {
		claims["sub"] = subject
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, v.key, sum[:])
	if err != nil {
		return "", err
	}
	// JWS wants both numbers at their full width (RFC 7518, 3.4).
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return "vapid t=" + signed + "." + base64.RawURLEncoding.EncodeToString(signature) + ", k=" + v.public, nil
}

// PushSubject is the contact that push services are given (RFC 8292, 2.1): what is set,
// else the address of the installation, else a mailbox at its host.
func PushSubject(set, base string) string {
	if strings.HasPrefix(set, "mailto:") || strings.HasPrefix(set, "https:") {
		return set
	}
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Hostname() == "":
		return "mailto:postmaster@localhost"
	case u.Scheme == "https":
		return u.Scheme + "://" + u.Host
	}
	return "mailto:postmaster@" + u.Hostname()
}
