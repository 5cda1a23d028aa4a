package kit

import "testing"

func TestSender(t *testing.T) {
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.7", nil, "192.0.2.7"},
		{"192.0.2.7", []string{"198.51.100.1"}, "192.0.2.7"},
		{"127.0.0.1", []string{"203.0.113.5, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.2", []string{"203.0.113.5", "198.51.100.9"}, "198.51.100.9"},
		{"::ffff:10.0.0.2", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"10.0.0.2", []string{"nonsense"}, "10.0.0.2"},
		{"fe80::1%eth0", nil, "fe80::/64"},
		{"pipe", nil, "pipe"},
	} {
		if got := Sender(c.remote, c.forwarded); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}
