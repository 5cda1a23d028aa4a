package channel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/channel"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// names answers each look-up of a host with the next of its address lists, and goes
// on with the last.
type names struct {
	hosts map[string][][]string
	asked atomic.Int32
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	lists := n.hosts[host]
	if len(lists) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	i := min(int(n.asked.Add(1))-1, len(lists)-1)
	var out []netip.Addr
	for _, s := range lists[i] {
		out = append(out, netip.MustParseAddr(s))
	}
	return out, nil
}

func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"8.8.8.8", true},
		{"2606:4700::1111", true},
		{"::ffff:8.8.8.8", true},
		{"172.15.255.255", true},
		{"172.32.0.0", true},
		{"100.63.255.255", true},
		{"100.128.0.0", true},
		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"10.0.0.1", false},
		{"100.64.0.1", false},
		{"100.127.255.255", false},
		{"127.0.0.1", false},
		{"127.255.255.254", false},
		{"169.254.169.254", false},
		{"172.16.0.1", false},
		{"172.31.255.255", false},
		{"192.0.0.8", false},
		{"192.88.99.1", false},
		{"192.168.1.1", false},
		{"198.18.0.1", false},
		{"203.0.113.9", false},
		{"224.0.0.1", false},
		{"240.0.0.1", false},
		{"255.255.255.255", false},
		{"::", false},
		{"::1", false},
		{"::127.0.0.1", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:10.0.0.1", false},
		{"::ffff:0.0.0.0", false},
		{"::ffff:169.254.169.254", false},
		{"64:ff9b::7f00:1", false},
		{"64:ff9b::808:808", false},
		{"64:ff9b:1::a00:1", false},
		{"100::1", false},
		{"2001::1", false},
		{"2001:db8::1", false},
		{"2002:7f00:1::", false},
		{"2002:808:808::1", false},
		{"fc00::1", false},
		{"fd12::1", false},
		{"fe80::1", false},
		{"fe80::1%lo", false},
		{"fec0::1", false},
		{"ff02::1", false},
	} {
		if got := channel.Public(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.addr, got, tt.want)
		}
	}
}

// TestClientRefuses asks for each way to write an address that must not be reached,
// with a resolver that reads odd hosts as getaddrinfo does.
func TestClientRefuses(t *testing.T) {
	var reached atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	dns := &names{hosts: map[string][][]string{
		"2130706433":       {{"127.0.0.1"}},
		"0x7f000001":       {{"127.0.0.1"}},
		"0177.0.0.1":       {{"127.0.0.1"}},
		"127.1":            {{"127.0.0.1"}},
		"localhost":        {{"::1", "127.0.0.1"}},
		"inner.example":    {{"10.0.0.7"}},
		"metadata.example": {{"169.254.169.254"}},
		"mapped.example":   {{"::ffff:127.0.0.1"}},
	}}
	client := channel.NewClient(nil, channel.WithResolver(dns), channel.WithTimeout(3*time.Second))
	for _, host := range []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]", "10.1.2.3", "100.64.0.1", "224.0.0.1",
		"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "inner.example", "metadata.example", "mapped.example",
	} {
		resp, err := client.Get("http://" + host + ":" + port + "/")
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was reached", host)
			continue
		}
		if _, ok := errors.AsType[*channel.BlockedError](err); !ok {
			t.Errorf("%s: %v, want a refusal", host, err)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server was reached %d times", n)
	}
	for _, u := range []string{"file:///etc/passwd", "gopher://127.0.0.1/"} {
		if _, err := client.Get(u); err == nil {
			t.Errorf("%s was answered", u)
		}
	}
}

func TestClientAllows(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	dns := &names{hosts: map[string][][]string{"both.example": {{"::1", "10.0.0.1", "::ffff:127.0.0.1"}}}}
	for _, tt := range []struct {
		allow, host string
		want        bool
	}{
		{"127.0.0.0/8", "127.0.0.1", true},
		{"127.0.0.0/8", "[::ffff:127.0.0.1]", true},
		{"127.0.0.1", "127.0.0.1", true},
		{"::ffff:127.0.0.0/104", "127.0.0.1", true},
		{"127.0.0.0/8", "both.example", true},
		{"10.0.0.0/8", "127.0.0.1", false},
		{"127.0.0.2/32", "127.0.0.1", false},
		{"10.0.0.0/8, 64:ff9b::/96", "[64:ff9b::7f00:1]", false},
		{"2002::/16", "[2002:7f00:1::]", false},
	} {
		allow, err := channel.ParseAllow(tt.allow)
		if err != nil {
			t.Fatal(err)
		}
		client := channel.NewClient(allow, channel.WithResolver(dns), channel.WithTimeout(2*time.Second))
		resp, err := client.Get("http://" + tt.host + ":" + port + "/")
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != tt.want {
			t.Errorf("%s with %s allowed: %v", tt.host, tt.allow, err)
		}
		client.CloseIdleConnections()
	}
	if _, err := channel.ParseAllow("10.0.0.0/8,nowhere"); err == nil {
		t.Error("a list that is none is read")
	}
}

// TestClientRebinding resolves to a public address first and to loopback afterwards:
// what is checked must be what is dialled.
func TestClientRebinding(t *testing.T) {
	var reached atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	// 198.51.100.1 is for documentation and answers nobody; here it counts as allowed.
	allow := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	dns := &names{hosts: map[string][][]string{"rebind.example": {{"198.51.100.1"}, {"127.0.0.1"}}}}
	client := channel.NewClient(allow, channel.WithResolver(dns), channel.WithTimeout(300*time.Millisecond))
	_, first := client.Get("http://rebind.example:" + port)
	if _, blocked := errors.AsType[*channel.BlockedError](first); first == nil || blocked {
		t.Errorf("first: %v, want no answer", first)
	}
	if n := dns.asked.Load(); n != 1 {
		t.Errorf("one request resolved the host %d times", n)
	}
	_, second := client.Get("http://rebind.example:" + port)
	if _, blocked := errors.AsType[*channel.BlockedError](second); !blocked {
		t.Errorf("second: %v, want a refusal", second)
	}
	if reached.Load() != 0 {
		t.Error("the server was reached")
	}
}

func TestClientBounds(t *testing.T) {
	var target atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/exact", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1000)) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1001)) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/target", http.StatusFound) })
	mux.HandleFunc("/target", func(http.ResponseWriter, *http.Request) { target.Add(1) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	client := channel.NewClient(loopback, channel.WithMaxBytes(1000), channel.WithTimeout(300*time.Millisecond))
	read := func(path string) (int, int, error) {
		resp, err := client.Get(srv.URL + path)
		if err != nil {
			return 0, 0, err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, len(b), err
	}
	if _, n, err := read("/exact"); n != 1000 || err != nil {
		t.Errorf("exact: %d, %v", n, err)
	}
	if _, n, err := read("/large"); n != 1000 || !errors.Is(err, channel.ErrTooLarge) {
		t.Errorf("large: %d, %v", n, err)
	}
	if _, _, err := read("/slow"); err == nil {
		t.Error("slow: no error")
	} else if u, ok := errors.AsType[*url.Error](err); !ok || !u.Timeout() {
		t.Errorf("slow: %v", err)
	}
	if status, _, err := read("/away"); status != http.StatusFound || err != nil || target.Load() != 0 {
		t.Errorf("redirect: %d, %v, followed %d times", status, err, target.Load())
	}
}

func TestClientIgnoresProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	dns := &names{hosts: map[string][][]string{"inner.example": {{"10.0.0.7"}}}}
	_, err := channel.NewClient(loopback, channel.WithResolver(dns)).Get("http://inner.example/")
	if _, ok := errors.AsType[*channel.BlockedError](err); !ok {
		t.Errorf("got %v, want a refusal", err)
	}
}

func ExamplePublic() {
	fmt.Println(channel.Public(netip.MustParseAddr("169.254.169.254")))
	// Output: false
}
