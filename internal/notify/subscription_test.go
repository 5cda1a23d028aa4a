package notify

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// The keys of RFC 8291, appendix A.
const (
	goodPoint  = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	goodSecret = "BTBZMqHH6r4Tts7J_aSIgg"
)

func subscription(endpoint, point, secret string) string {
	raw, _ := json.Marshal(map[string]any{"endpoint": endpoint, "keys": map[string]string{"p256dh": point, "auth": secret}})
	return string(raw)
}

func TestParseSubscription(t *testing.T) {
	const at = "https://push.example/s/1"
	s, err := ParseSubscription(`{"endpoint":"https://push.example/s/1?a=b","expirationTime":null,"keys":{"p256dh":"` + goodPoint + `","auth":"` + goodSecret + `"}}`)
	if err != nil || s.Endpoint.String() != "https://push.example/s/1?a=b" || len(s.Auth) != 16 || base64.RawURLEncoding.EncodeToString(s.Key.Bytes()) != goodPoint {
		t.Fatalf("%+v, %v", s, err)
	}
	point, err := base64.RawURLEncoding.DecodeString(goodPoint)
	if err != nil {
		t.Fatal(err)
	}
	off := append([]byte(nil), point...)
	off[64] ^= 1
	compressed := append([]byte{2}, point[1:33]...)
	hybrid := append([]byte{6}, point[1:]...)
	b64 := base64.RawURLEncoding.EncodeToString
	good := subscription(at, goodPoint, goodSecret)
	for name, c := range map[string]struct {
		s  string
		ok bool
	}{
		"good":                 {good, true},
		"with an expiry":       {strings.Replace(good, "{", `{"expirationTime":1785000000000,`, 1), true},
		"white space":          {"\n" + good + "  ", true},
		"a port":               {subscription("https://push.example:8443/s", goodPoint, goodSecret), true},
		"loopback":             {subscription("http://127.0.0.1:99/s", goodPoint, goodSecret), true},
		"localhost":            {subscription("http://localhost:99/s", goodPoint, goodSecret), true},
		"loopback, IPv6":       {subscription("http://[::1]:99/s", goodPoint, goodSecret), true},
		"empty":                {"", false},
		"null":                 {"null", false},
		"a list":               {"[]", false},
		"an address":           {at, false},
		"no keys":              {`{"endpoint":"` + at + `"}`, false},
		"something follows":    {good + good, false},
		"another field":        {strings.Replace(good, "{", `{"x":1,`, 1), false},
		"cut off":              {good[:len(good)-1], false},
		"too long":             {subscription(at+strings.Repeat("x", 2048), goodPoint, goodSecret), false},
		"http":                 {subscription("http://push.example/s", goodPoint, goodSecret), false},
		"http, looks loopback": {subscription("http://localhost.example/s", goodPoint, goodSecret), false},
		"ftp":                  {subscription("ftp://push.example/s", goodPoint, goodSecret), false},
		"no host":              {subscription("https:///s", goodPoint, goodSecret), false},
		"no scheme":            {subscription("push.example/s", goodPoint, goodSecret), false},
		"a user":               {subscription("https://u:p@push.example/s", goodPoint, goodSecret), false},
		"a fragment":           {subscription(at+"#x", goodPoint, goodSecret), false},
		"a line break":         {subscription("https://push.example/\r\nX: y", goodPoint, goodSecret), false},
		"no point":             {subscription(at, "", goodSecret), false},
		"not on the curve":     {subscription(at, b64(off), goodSecret), false},
		"compressed":           {subscription(at, b64(compressed), goodSecret), false},
		"hybrid":               {subscription(at, b64(hybrid), goodSecret), false},
		"zeros":                {subscription(at, b64(make([]byte, 65)), goodSecret), false},
		"infinity":             {subscription(at, "AA", goodSecret), false},
		"padded":               {subscription(at, goodPoint+"=", goodSecret), false},
		"standard base64":      {subscription(at, strings.NewReplacer("-", "+", "_", "/").Replace(goodPoint), goodSecret), false},
		"breaks in the point":  {subscription(at, goodPoint[:85]+"\n\n", goodSecret), false},
		"short secret":         {subscription(at, goodPoint, b64(make([]byte, 15))), false},
		"long secret":          {subscription(at, goodPoint, b64(make([]byte, 17))), false},
		"loose bits":           {subscription(at, goodPoint, goodSecret[:21]+"h"), false},
	} {
		_, err := ParseSubscription(c.s)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "push.example") || strings.Contains(err.Error(), goodPoint[:10])) {
			t.Errorf("%s: the error tells the address: %v", name, err)
		}
		if goodAddress("push", c.s) != c.ok {
			t.Errorf("%s: as an address %v", name, !c.ok)
		}
	}
	if got := mask(subscription("https://push.example/@secret/1", goodPoint, goodSecret)); got != "https://push.example/…" {
		t.Errorf("masked: %s", got)
	}
	if got := (Method{Kind: "push", To: good}).Shown(); got != "push.example" {
		t.Errorf("shown: %s", got)
	}
	if got := (Method{Kind: "email", To: "a@b.example"}).Shown(); got != "a@b.example" {
		t.Errorf("shown: %s", got)
	}
}

func FuzzParseSubscription(f *testing.F) {
	f.Add(subscription("https://push.example/s/1", goodPoint, goodSecret))
	f.Add(subscription("http://[::1%25eth0]:1/", goodPoint, goodSecret))
	f.Add(`{"endpoint":"https://a","expirationTime":1e999,"keys":{"p256dh":"BA","auth":""}}`)
	f.Add(`{"keys":{"keys":{}}}`)
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseSubscription(in)
		if err != nil {
			return
		}
		if len(in) > maxAddress || len(s.Auth) != secretBytes || len(s.Key.Bytes()) != pointBytes || s.Endpoint.Hostname() == "" || s.Endpoint.User != nil {
			t.Fatalf("%q gives %+v", in, s)
		}
		if s.Endpoint.Scheme != "https" && !onLoopback(s.Endpoint.Hostname()) {
			t.Fatalf("%q leads to %s in the clear", in, s.Endpoint)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		again, err := ParseSubscription(subscription(s.Endpoint.String(), b64(s.Key.Bytes()), b64(s.Auth)))
		if err != nil && len(in) < maxAddress-500 {
			t.Fatalf("%q: what was read is not read again: %v", in, err)
		}
		if err == nil && (!again.Key.Equal(s.Key) || again.Endpoint.Host != s.Endpoint.Host) {
			t.Fatalf("%q: read again it is another", in)
		}
	})
}
