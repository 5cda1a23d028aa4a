package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Defaults of the client.
const (
	defaultTimeout  = 15 * time.Second
	defaultMaxBytes = 1 << 20
	connectTimeout  = 5 * time.Second
	maxHeaderBytes  = 64 << 10
)

// ErrTooLarge is given when reading an answer beyond its bound.
var ErrTooLarge = errors.New("the answer is too large")

// BlockedError says that a host leads to addresses only that may not be asked.
type BlockedError struct {
	Host string
	Addr netip.Addr
}

// Error implements error.
func (e *BlockedError) Error() string {
	return fmt.Sprintf("%s leads to %s, which is not allowed", e.Host, e.Addr)
}

// Resolver finds the addresses of a host; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Option changes a client.
type Option func(*guard)

// WithTimeout bounds a request from dialling to the last byte of the answer; 15 s
// when not set.
func WithTimeout(d time.Duration) Option { return func(g *guard) { g.timeout = d } }

// WithMaxBytes bounds the answer's body after decompression; 1 MiB when not set.
func WithMaxBytes(n int64) Option { return func(g *guard) { g.maxBytes = n } }

// WithResolver sets what finds the addresses of a host.
func WithResolver(r Resolver) Option { return func(g *guard) { g.resolver = r } }

// NewClient makes the client for every outgoing request that a user can aim. It
// reaches public addresses, and others only where allow names them. The check is
// made on the address that is dialled, so that a name which changes its address
// between check and use gains nothing. Redirects are not followed: the 3xx answer is
// given back. The proxy settings of the environment are ignored, since a proxy
// would resolve names unchecked.
func NewClient(allow []netip.Prefix, options ...Option) *http.Client {
	g := &guard{resolver: net.DefaultResolver, timeout: defaultTimeout, maxBytes: defaultMaxBytes}
	for _, p := range allow {
		g.allow = append(g.allow, unmapped(p))
	}
	for _, o := range options {
		o(g)
	}
	g.transport = &http.Transport{
		DialContext:            g.dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        45 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	return &http.Client{
		Transport:     g,
		Timeout:       g.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type guard struct {
	allow     []netip.Prefix
	resolver  Resolver
	timeout   time.Duration
	maxBytes  int64
	dialer    net.Dialer
	transport *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, g.maxBytes}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (g *guard) CloseIdleConnections() { g.transport.CloseIdleConnections() }

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	// One byte more than allowed tells an answer of exactly the bound from a larger one.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

// dial resolves a host once and connects to the first of its permitted addresses
// that answers.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := g.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var blocked *BlockedError
	var failed error
	for _, a := range addrs {
		a = a.Unmap()
		if !g.permits(a) {
			blocked = &BlockedError{Host: host, Addr: a}
			continue
		}
		dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)
		conn, err := g.dialer.DialContext(dialCtx, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		if failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case failed != nil:
		return nil, failed
	case blocked != nil:
		return nil, blocked
	}
	return nil, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
}

func (g *guard) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return g.resolver.LookupNetIP(ctx, "ip", host)
}

// permits tells whether an address may be dialled. An address that carries an IPv4
// address needs leave for that one too, unless it is allowed by itself and not as part
// of a range.
func (g *guard) permits(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() {
		return false
	}
	for _, p := range g.allow {
		if p.Contains(a.WithZone("")) {
			inner, carries := carried(a)
			if !carries || p.Bits() == a.BitLen() || g.permits(inner) {
				return true
			}
		}
	}
	return Public(a)
}

// reserved are the ranges of the IANA special-purpose registries (RFC 6890 and its
// updates) that are not reachable by everybody, beyond what netip knows; of IPv6 only
// what lies inside 2000::/3, the rest being refused as a whole.
var reserved = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
)

// Public tells whether an address belongs to the public Internet: not loopback,
// private, link-local, multicast, unspecified, shared (RFC 6598), nor a form that
// carries an IPv4 address by translation or tunnel (NAT64, 6to4, Teredo). An
// IPv4-mapped address is judged as the IPv4 address it is.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	if a.Is6() && !globalIPv6.Contains(a) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// carried gives the IPv4 address inside a NAT64 (RFC 6052) or 6to4 (RFC 3056) address.
func carried(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case !a.Is6():
	case nat64.Contains(a.WithZone("")):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(a.WithZone("")):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// ParseAllow reads the list of --outbound-allow: prefixes or single addresses,
// separated by commas.
func ParseAllow(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a.WithZone(""), a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a prefix such as 10.0.0.0/8", s)
		}
		out = append(out, p)
	}
	return out, nil
}
