package channel_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert/probe"
	"tocsin/internal/channel"
)

// TestProber asks servers of this machine by each way, and what may not be asked.
func TestProber(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/moved":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		default:
			_, _ = fmt.Fprint(w, "all is well", strings.Repeat(".", 2<<20))
		}
	}))
	defer web.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 ready\r\n"))
			_ = c.Close()
		}
	}()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	p := channel.NewProber([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})
	for _, c := range []struct {
		check probe.Check
		why   string
	}{
		{probe.Check{URL: web.URL}, ""},
		{probe.Check{URL: web.URL, Expect: "is well"}, ""},
		{probe.Check{URL: web.URL, Expect: "is ill"}, "does not hold"},
		{probe.Check{URL: web.URL, Expect: "204"}, "answered 200"},
		{probe.Check{URL: web.URL + "/broken"}, "answered 500"},
		{probe.Check{URL: web.URL + "/broken", Expect: "5xx"}, ""},
		{probe.Check{URL: web.URL + "/moved"}, ""},
		{probe.Check{URL: web.URL + "/slow", Timeout: 50 * time.Millisecond}, "no answer within 50ms"},
		{probe.Check{URL: secure.URL}, "certificate"},
		{probe.Check{URL: "http://192.168.7.7/"}, "not allowed"},
		{probe.Check{TCP: l.Addr().String()}, ""},
		{probe.Check{TCP: l.Addr().String(), Expect: "220"}, ""},
		{probe.Check{TCP: l.Addr().String(), Expect: "SSH"}, "does not hold"},
		{probe.Check{TCP: closed.Addr().String()}, "refused"},
		{probe.Check{TCP: "10.1.1.1:22"}, "not allowed"},
		{probe.Check{DNS: "localhost"}, ""},
		{probe.Check{DNS: "A localhost", Expect: "127.0.0.1"}, ""},
		{probe.Check{DNS: "A localhost", Expect: "192.0.2.1"}, "without"},
		{probe.Check{ICMP: "10.1.1.1"}, "not allowed"},
	} {
		if c.check.Timeout == 0 {
			c.check.Timeout = 10 * time.Second
		}
		got := p.Ask(t.Context(), c.check)
		if (got.Why == "") != (c.why == "") || !strings.Contains(got.Why, c.why) || got.Took <= 0 {
			t.Errorf("%+v: %+v, want %q", c.check, got, c.why)
		}
	}
	// Whether an echo may be sent is the machine's to say; that it may not is said.
	if got := p.Ask(t.Context(), probe.Check{ICMP: "127.0.0.1", Timeout: 5 * time.Second}); got.Why != "" && !strings.Contains(got.Why, "does not let Tocsin") {
		t.Errorf("echo of this machine: %+v", got)
	}
}
