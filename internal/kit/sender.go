package kit

import (
	"net/netip"
	"strings"
)

// Sender is the network address by which a caller from outside is told from others:
// remote is the peer of the connection, forwarded the X-Forwarded-For headers, whose
// last address counts where the peer is of this machine or of a private network, as a
// proxy is. Of an IPv6 address it is the /64, which is one customer's.
func Sender(remote string, forwarded []string) string {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	a = a.Unmap()
	if (a.IsLoopback() || a.IsPrivate()) && len(forwarded) > 0 {
		list := strings.Split(forwarded[len(forwarded)-1], ",")
		if f, err := netip.ParseAddr(strings.TrimSpace(list[len(list)-1])); err == nil {
			a = f.Unmap()
		}
	}
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64)
		return p.String()
	}
	return a.String()
}
