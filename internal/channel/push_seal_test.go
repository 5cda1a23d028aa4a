package channel

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tocsin/internal/notify"
)

// TestSealVector is the example of RFC 8291, appendix A.
func TestSealVector(t *testing.T) {
	b := func(s string) []byte {
		t.Helper()
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	to, err := notify.ParseSubscription(`{"endpoint": "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
		"keys": {"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "auth": "BTBZMqHH6r4Tts7J_aSIgg"}}`)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.P256().NewPrivateKey(b("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := sealPush([]byte("When I grow up, I want to be a watermelon"), to, key, b("DGv6ra1nlYgDCS1FRnbzlw"), 0)
	if err != nil {
		t.Fatal(err)
	}
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if s := base64.RawURLEncoding.EncodeToString(got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if _, err := sealPush(make([]byte, pushRecord), to, key, got[:16], 0); err == nil {
		t.Error("more than a record is sealed")
	}
	if _, err := encryptPush(make([]byte, pushMax+1), to); err == nil {
		t.Error("more than the padding hides is sealed")
	}
	one, err := encryptPush([]byte("a"), to)
	if err != nil {
		t.Fatal(err)
	}
	two, err := encryptPush(make([]byte, pushMax), to)
	if err != nil || len(one) != len(two) || len(one) > 4096 || string(one[:16]) == string(two[:16]) || string(one[21:86]) == string(two[21:86]) {
		t.Errorf("%d and %d bytes, %v: the length tells, or keys are used twice", len(one), len(two), err)
	}
}

// TestPayloadFits holds the bound for any message, and that one of an installation with a
// common address keeps its answers.
func TestPayloadFits(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.IntRange(0, 3000), func(n int) string { return strings.Repeat("\u2028é\x01", n) }))
	rapid.Check(t, func(t *rapid.T) {
		m := notify.Message{ID: "d", Language: "fr", Subject: text.Draw(t, "subject"), Brief: notify.Brief{
			Head: "SEV1 INC-1", What: text.Draw(t, "what"), More: text.Draw(t, "more"), Accept: text.Draw(t, "accept"), Refuse: text.Draw(t, "refuse"),
			Link: "https://" + strings.Repeat("x", rapid.IntRange(1, 4000).Draw(t, "host")) + "/a/t",
		}}
		raw := payload(m)
		var got pushPayload
		if err := json.Unmarshal(raw, &got); err != nil || len(raw) > pushMax || !utf8.Valid(raw) {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
		if len(m.Brief.Link) < 300 && (got.URL != m.Brief.Link || m.Brief.Accept != "" && got.Ack == nil) {
			t.Fatalf("the answers are lost: %s", raw)
		}
	})
}
