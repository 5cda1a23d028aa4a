package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"tocsin/internal/alert/probe"
)

// Prober asks what probes ask, through the same guard as every outgoing request: private
// networks must be allowed.
type Prober struct {
	client   *http.Client
	guard    *guard
	resolver *net.Resolver
}

// NewProber makes a prober that may reach public addresses and those of allow.
func NewProber(allow []netip.Prefix) *Prober {
	c := NewClient(allow, WithTimeout(probe.MaxTimeout))
	return &Prober{client: c, guard: c.Transport.(*guard), resolver: net.DefaultResolver}
}

// Ask implements alert.Asker.
func (p *Prober) Ask(ctx context.Context, c probe.Check) probe.Result {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	start := time.Now()
	ask := map[string]func(context.Context, probe.Check) (time.Time, error){"url": p.url, "tcp": p.tcp, "dns": p.dns, "icmp": p.icmp}[c.Kind()]
	ends, err := ask(ctx, c)
	res := probe.Result{Took: time.Since(start), CertEnds: ends}
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		res.Why = fmt.Sprintf("no answer within %s", c.Timeout)
	default:
		res.Why = err.Error()
	}
	return res
}

func (p *Prober) url(ctx context.Context, c probe.Check) (ends time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return ends, err
	}
	req.Close = true
	req.Header.Set("User-Agent", "Tocsin-Probe/1")
	resp, err := p.client.Do(req)
	if u := (*url.Error)(nil); errors.As(err, &u) && !u.Timeout() {
		// The address stands beside it already.
		err = u.Err
	}
	if err != nil {
		return ends, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		ends = resp.TLS.PeerCertificates[0].NotAfter
	}
	from, to, byStatus := c.Statuses()
	if resp.StatusCode < from || resp.StatusCode > to {
		return ends, fmt.Errorf("answered %s", resp.Status)
	}
	if byStatus {
		return ends, nil
	}
	body, err := io.ReadAll(resp.Body)
	if !strings.Contains(string(body), c.Expect) {
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return ends, err
		}
		return ends, fmt.Errorf("the answer does not hold %q", c.Expect)
	}
	return ends, nil
}

func (p *Prober) tcp(ctx context.Context, c probe.Check) (none time.Time, err error) {
	conn, err := p.guard.dial(ctx, "tcp", c.TCP)
	if err != nil {
		return none, err
	}
	defer func() { _ = conn.Close() }()
	if c.Expect == "" {
		return none, nil
	}
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetReadDeadline(at)
	}
	var got []byte
	buf := make([]byte, 4<<10)
	for len(got) < 64<<10 {
		n, err := conn.Read(buf)
		if got = append(got, buf[:n]...); strings.Contains(string(got), c.Expect) {
			return none, nil
		}
		if errors.Is(err, io.EOF) || len(got) > 0 && os.IsTimeout(err) {
			break
		}
		if err != nil {
			return none, err
		}
	}
	return none, fmt.Errorf("what the server says does not hold %q", c.Expect)
}

func (p *Prober) dns(ctx context.Context, c probe.Check) (none time.Time, err error) {
	kind, name := c.Record()
	var got []string
	switch kind {
	case "", "A", "AAAA":
		network := map[string]string{"": "ip", "A": "ip4", "AAAA": "ip6"}[kind]
		var list []netip.Addr
		if list, err = p.resolver.LookupNetIP(ctx, network, name); err == nil {
			for _, a := range list {
				got = append(got, a.Unmap().String())
			}
		}
	case "CNAME":
		var s string
		s, err = p.resolver.LookupCNAME(ctx, name)
		got = append(got, s)
	case "MX":
		var list []*net.MX
		list, err = p.resolver.LookupMX(ctx, name)
		for _, m := range list {
			got = append(got, m.Host)
		}
	case "NS":
		var list []*net.NS
		list, err = p.resolver.LookupNS(ctx, name)
		for _, n := range list {
			got = append(got, n.Host)
		}
	case "TXT":
		got, err = p.resolver.LookupTXT(ctx, name)
	}
	if err != nil {
		return none, err
	}
	if c.Expect == "" && len(got) > 0 || c.Expect != "" && slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.Expect) }) {
		return none, nil
	}
	return none, fmt.Errorf("the records are %s, without %q", strings.Join(got, ", "), c.Expect)
}

// icmp asks without privileges, as Linux lets those groups that net.ipv4.ping_group_range
// names (icmp(7)).
func (p *Prober) icmp(ctx context.Context, c probe.Check) (none time.Time, err error) {
	addrs, err := p.guard.lookup(ctx, c.ICMP)
	if err != nil {
		return none, err
	}
	var to netip.Addr
	for _, a := range addrs {
		if p.guard.permits(a) {
			to = a.Unmap()
			break
		}
	}
	if !to.IsValid() {
		if len(addrs) == 0 {
			return none, &net.DNSError{Err: "no address", Name: c.ICMP, IsNotFound: true}
		}
		return none, &BlockedError{Host: c.ICMP, Addr: addrs[0]}
	}
	network, proto := "udp4", ipv4.ICMPTypeEcho.Protocol()
	message := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{Seq: 1, Data: []byte("tocsin")}}
	if to.Is6() {
		network, proto, message.Type = "udp6", ipv6.ICMPTypeEchoRequest.Protocol(), ipv6.ICMPTypeEchoRequest
	}
	conn, err := icmp.ListenPacket(network, "")
	if err != nil {
		return none, fmt.Errorf("this machine does not let Tocsin send echo requests: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	}
	raw, err := message.Marshal(nil)
	if err != nil {
		return none, err
	}
	if _, err := conn.WriteTo(raw, &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return none, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return none, err
		}
		if m, err := icmp.ParseMessage(proto, buf[:n]); err == nil && (m.Type == ipv4.ICMPTypeEchoReply || m.Type == ipv6.ICMPTypeEchoReply) {
			return none, nil
		}
	}
}
