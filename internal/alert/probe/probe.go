// Package probe says what a probe asks and what its answers come to. It asks nothing
// itself.
package probe

import (
	"bytes"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
)

// What is used where a check does not say, and the bounds of what it may say.
const (
	DefaultTimeout = 10 * time.Second
	DefaultConfirm = 2
	MaxTimeout     = time.Minute
	MaxConfirm     = 20
	// MinEvery is the least time between two runs.
	MinEvery = 5 * time.Second
	// again is how soon a bad result is looked at once more, before it is an alarm.
	again = 10 * time.Second
	// CertificateNotice is how long before its end a certificate is told of.
	CertificateNotice = 14 * 24 * time.Hour
)

// Aspect is what of a probe a result is about.
type Aspect string

// The aspects: the answer itself, and the certificate that it came with.
const (
	Answer      Aspect = "answer"
	Certificate Aspect = "certificate"
)

// DNSTypes are the kinds of records that can be asked for.
var DNSTypes = []string{"A", "AAAA", "CNAME", "MX", "NS", "TXT"}

// Check is what is asked: exactly one of URL, TCP, DNS and ICMP.
type Check struct {
	// URL is asked by GET over http or https.
	URL string
	// TCP is host:port to connect to.
	TCP string
	// DNS is a name, or a type of record and a name ("MX example.com"); without a type
	// its addresses.
	DNS string
	// ICMP is a host that must answer an echo request.
	ICMP string
	// Expect is a status ("204", "2xx"), or a text that the answer must hold: the body,
	// what the server says first, the records. Empty: any status below 400, any answer.
	Expect  string
	Timeout time.Duration
	// Confirm is how many bad results in a row are an alarm.
	Confirm int
}

// Kind is url, tcp, dns or icmp.
func (c Check) Kind() string {
	switch {
	case c.URL != "":
		return "url"
	case c.TCP != "":
		return "tcp"
	case c.DNS != "":
		return "dns"
	}
	return "icmp"
}

// Target is what is asked, in one line.
func (c Check) Target() string { return c.URL + c.TCP + c.DNS + c.ICMP }

// Record splits what is asked of the DNS.
func (c Check) Record() (kind, name string) {
	kind, name, ok := strings.Cut(strings.TrimSpace(c.DNS), " ")
	if !ok {
		return "", kind
	}
	return strings.ToUpper(kind), strings.TrimSpace(name)
}

// Statuses gives the least and the greatest status that are good for a URL; ok is false
// where Expect is a text of the body.
func (c Check) Statuses() (from, to int, ok bool) {
	e := strings.ToLower(c.Expect)
	if e == "" {
		return 200, 399, true
	}
	if len(e) == 3 && strings.HasSuffix(e, "xx") && e[0] >= '1' && e[0] <= '5' {
		from = int(e[0]-'0') * 100
		return from, from + 99, true
	}
	if n, err := strconv.Atoi(e); err == nil && len(e) == 3 && n >= 100 && n < 600 {
		return n, n, true
	}
	return 200, 399, false
}

// Parse reads the check of an organisation file; path stands before the name of a field
// in what is wrong.
func Parse(path string, raw []byte, every time.Duration) (Check, kit.Fields) {
	var f kit.Fields
	var in struct {
		URL, TCP, DNS, ICMP, Expect string
		Timeout                     string
		Confirm                     *int
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if len(raw) == 0 {
		f.Add(path+"probe", "error.required")
	} else if err := d.Decode(&in); err != nil {
		f.Add(path+"probe", "alert.error.probe")
	}
	if every < MinEvery {
		f.Add(path+"every", "alert.error.probe_every")
	}
	if len(f) > 0 {
		return Check{}, f
	}
	c := Check{URL: strings.TrimSpace(in.URL), TCP: strings.TrimSpace(in.TCP), DNS: strings.TrimSpace(in.DNS), ICMP: strings.TrimSpace(in.ICMP), Expect: in.Expect, Timeout: DefaultTimeout, Confirm: DefaultConfirm}
	if in.Timeout != "" {
		v, err := time.ParseDuration(in.Timeout)
		if err != nil || v <= 0 || v > MaxTimeout {
			f.Add(path+"probe.timeout", "alert.error.probe_timeout")
		}
		c.Timeout = v
	}
	if in.Confirm != nil {
		if c.Confirm = *in.Confirm; c.Confirm < 1 || c.Confirm > MaxConfirm {
			f.Add(path+"probe.confirm", "alert.error.probe_confirm", "max", MaxConfirm)
		}
	}
	if len(c.Expect) > 1000 {
		f.Add(path+"probe.expect", "error.too_long", "max", 1000)
	}
	n := 0
	for _, s := range []string{c.URL, c.TCP, c.DNS, c.ICMP} {
		if s != "" {
			n++
		}
	}
	if n != 1 || len(c.Target()) > 2000 {
		f.Add(path+"probe", "alert.error.probe")
		return Check{}, f
	}
	if field := c.wrong(); field != "" {
		f.Add(path+"probe."+field, "alert.error.probe_target")
	}
	return c, f
}

// wrong names the field of a target that cannot be one.
func (c Check) wrong() string {
	switch c.Kind() {
	case "url":
		u, err := url.Parse(c.URL)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return "url"
		}
	case "tcp":
		host, port, err := net.SplitHostPort(c.TCP)
		if n, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || n < 1 || n > 65535 {
			return "tcp"
		}
	case "dns":
		kind, name := c.Record()
		if kind != "" && !slices.Contains(DNSTypes, kind) || name == "" || strings.ContainsAny(name, " /:") {
			return "dns"
		}
	case "icmp":
		if strings.ContainsAny(c.ICMP, " /") || strings.Contains(c.ICMP, ":") && net.ParseIP(c.ICMP) == nil {
			return "icmp"
		}
		if c.Expect != "" {
			return "expect"
		}
	}
	return ""
}

// Result is what one run found.
type Result struct {
	// Why says in English what is wrong; empty when the answer is good.
	Why  string
	Took time.Duration
	// CertEnds is when the certificate ends that the answer came with; zero when none did.
	CertEnds time.Time
}

// State is where an aspect of a probe stands.
type State string

// The states. Suspect is bad and not yet confirmed.
const (
	Unknown State = "unknown"
	Good    State = "good"
	Suspect State = "suspect"
	Failed  State = "failed"
)

// Status is what is known of an aspect.
type Status struct {
	Aspect Aspect
	State  State
	// Bad counts the bad results in a row.
	Bad int
	// Since is when the first of them came, LastGoodAt the last good one, At the last.
	Since, LastGoodAt, At time.Time
	Why                   string
	Took                  time.Duration
}

// Change is what a result makes of a status.
type Change string

// The changes that are told.
const (
	NoChange  Change = ""
	HasFailed Change = "failed"
	Recovered Change = "recovered"
)

// Judge takes a result of the instant now: bad ones must come confirm times in a row to
// be an alarm, one good one ends it.
func Judge(s Status, why string, took time.Duration, confirm int, now time.Time) (Status, Change) {
	was := s.State
	s.At, s.Took, s.Why = now, took, why
	if why == "" {
		s.State, s.Bad, s.Since, s.LastGoodAt = Good, 0, time.Time{}, now
		if was == Failed {
			return s, Recovered
		}
		return s, NoChange
	}
	if s.Bad++; s.Bad == 1 {
		s.Since = now
	}
	switch {
	case was == Failed:
		s.State = Failed
	case s.Bad >= confirm:
		s.State = Failed
		return s, HasFailed
	default:
		s.State = Suspect
	}
	return s, NoChange
}

// Next is when to ask again: sooner while a bad result waits to be confirmed.
func Next(answer State, every time.Duration, now time.Time) time.Time {
	if answer == Suspect {
		return now.Add(min(every, again))
	}
	return now.Add(every)
}
