package fake

import (
	"crypto/ecdh"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// TestPushVectors holds the push service to the examples of the standards: what it
// accepts from a sender would be accepted elsewhere.
func TestPushVectors(t *testing.T) {
	b := func(s string) []byte {
		t.Helper()
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	// RFC 8291, appendix A.
	key, err := ecdh.P256().NewPrivateKey(b("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	auth := b("BTBZMqHH6r4Tts7J_aSIgg")
	body := b("DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN")
	if plain, err := decryptPush(body, key, auth); err != nil || string(plain) != "When I grow up, I want to be a watermelon" {
		t.Errorf("%q, %v", plain, err)
	}
	for n := range body {
		damaged := append([]byte(nil), body...)
		damaged[n] ^= 0x80
		// The record size is not covered by the encryption: a larger one changes nothing.
		if _, err := decryptPush(damaged, key, auth); err == nil && (n < 16 || n > 19) {
			t.Errorf("byte %d is damaged and it is read", n)
		}
		if _, err := decryptPush(body[:n], key, auth); err == nil {
			t.Errorf("cut to %d bytes it is read", n)
		}
	}
	// RFC 8292, 2.4.
	const token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
	const public = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
	expiry := time.Unix(1453523768, 0)
	header := "vapid t=" + token + ", k=" + public
	if got, err := checkVAPID(header, "https://push.example.net", expiry.Add(-time.Hour)); err != nil || got.subject != "mailto:push@example.com" || got.key != public {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		header, origin string
		at             time.Time
	}{
		"late":             {header, "https://push.example.net", expiry},
		"too long":         {header, "https://push.example.net", expiry.Add(-25 * time.Hour)},
		"another origin":   {header, "https://push.example.org", expiry.Add(-time.Hour)},
		"another key":      {strings.Replace(header, public, "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8", 1), "https://push.example.net", expiry.Add(-time.Hour)},
		"another token":    {strings.Replace(header, "eyJhdWQ", "eyJhdWR", 1), "https://push.example.net", expiry.Add(-time.Hour)},
		"no key":           {"vapid t=" + token, "https://push.example.net", expiry.Add(-time.Hour)},
		"no token":         {"vapid k=" + public, "https://push.example.net", expiry.Add(-time.Hour)},
		"the older scheme": {"WebPush " + token, "https://push.example.net", expiry.Add(-time.Hour)},
	} {
		if _, err := checkVAPID(c.header, c.origin, c.at); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
}
