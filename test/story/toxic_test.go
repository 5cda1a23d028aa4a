package story_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// toxic is a bad network in front of something: a proxy that can be told to fail.
type toxic struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	addr  string
}

// newToxic starts a good network in front of an address.
func newToxic(t *testing.T, upstream string) *toxic {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &toxic{t, p, p.Listen}
}

// poison is one way in which a network is bad. Without a type it is a port that nobody
// listens on.
type poison struct {
	Type string `json:"type"`
	// Stream is upstream for what is asked, downstream for what is answered.
	Stream     string           `json:"stream"`
	Attributes map[string]int64 `json:"attributes"`
}

func (x *toxic) add(p poison) {
	x.t.Helper()
	if p.Type == "" {
		x.proxy.Stop()
		return
	}
	raw, err := json.Marshal(p)
	if err != nil {
		x.t.Fatal(err)
	}
	if _, err := x.proxy.Toxics.AddToxicJson(strings.NewReader(string(raw))); err != nil {
		x.t.Fatal(err)
	}
}

// heal makes the network good again.
func (x *toxic) heal() {
	x.t.Helper()
	x.proxy.Toxics.ResetToxics(context.Background())
	if err := x.proxy.Start(); err != nil && err != toxiproxy.ErrProxyAlreadyStarted {
		x.t.Fatal(err)
	}
}

// tries is what the ledger says of the deliveries to one person by one method.
type tries struct {
	doubts, sent, failed int
	// attempt is that of the one that was sent.
	attempt int
	key     string
}

func (h timed) tries(person, method string) (out tries) {
	h.t.Helper()
	facts, err := h.app.Ledger().Facts(h.t.Context(), ledger.Filter{Types: []string{"delivery.in_doubt", "delivery.sent", "delivery.failed"}, Limit: 10_000})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range facts {
		var b struct {
			Message, Recipient, Method string
			Attempt                    int
			Key                        string `json:"idempotency_key"`
		}
		if err := f.Decode(&b); err != nil {
			h.t.Fatal(err)
		}
		if b.Recipient != person || b.Method != method || b.Message != "page" {
			continue
		}
		out.key = b.Key
		switch f.Type {
		case "delivery.in_doubt":
			out.doubts++
		case "delivery.sent":
			out.sent++
			out.attempt = b.Attempt
		default:
			out.failed++
		}
	}
	return out
}

// takenBy counts the pages to a person that a receiver took.
func takenBy(t *testing.T, w *fake.Webhook, person string) (n int, id string) {
	for _, r := range w.Taken() {
		if r.Type() == "page" && readPage(t, r.Body).Data.Person == person {
			n, id = n+1, r.ID
		}
	}
	return n, id
}

// pageByHand pages people about nothing that is declared.
func (h timed) pageByHand(people ...string) {
	h.t.Helper()
	h.must(http.StatusCreated, "POST", "/api/v1/pages", map[string]any{"to": people, "text": "Please come"}, nil)
}

// twoWays gives somebody a first method and a webhook as the second.
func (h timed) twoWays(more string, firsts map[string]string) {
	h.t.Helper()
	org := "apiVersion: tocsin/v1\n" + more + "people:\n"
	for person, first := range firsts {
		org += fmt.Sprintf("  - {id: %[1]s, name: %[1]s, email: %[1]s@example.com, access: responder, contact_methods: [{id: first, %[2]s}, {id: second, kind: webhook, to: %[3]q}]}\n",
			person, first, h.pages.URL+"/"+person)
	}
	if _, err := h.app.Apply(app.AsSystem(h.t.Context()), []byte(org), kit.ApplyOptions{}); err != nil {
		h.t.Fatal(err)
	}
}

// TestToxicWebhook puts a bad network before the first method of many people at once. The
// second has the page at once where the first has not, and where the answer was lost the
// timeline says so; with a good network the first has it too, and only what was in doubt
// comes twice.
func TestToxicWebhook(t *testing.T) {
	cases := map[string]struct {
		poison poison
		// falls: the second method is asked at once. Reached: the receiver takes the page
		// through the bad network. Doubt: whether it did cannot be known.
		falls, reached, doubt bool
	}{
		"refused":    {poison{}, true, false, false},
		"reset":      {poison{"reset_peer", "upstream", nil}, true, false, true},
		"cut":        {poison{"reset_peer", "downstream", nil}, true, true, true},
		"swallows":   {poison{"timeout", "upstream", nil}, true, false, true},
		"silent":     {poison{"timeout", "downstream", nil}, true, true, true},
		"half-word":  {poison{"limit_data", "downstream", map[string]int64{"bytes": 9}}, true, true, true},
		"half-body":  {poison{"limit_data", "downstream", map[string]int64{"bytes": 600}}, false, true, false},
		"half-asked": {poison{"limit_data", "upstream", map[string]int64{"bytes": 500}}, true, false, true},
		"late":       {poison{"latency", "downstream", map[string]int64{"latency": 3000}}, false, true, false},
		"parts-late": {poison{"slow_close", "downstream", map[string]int64{"delay": 5000}}, false, true, false},
		"narrow":     {poison{"bandwidth", "upstream", map[string]int64{"rate": 1}}, false, true, false},
	}
	eachTimed(t, func(t *testing.T, h timed) {
		t.Parallel()
		behind := fake.NewWebhook(t)
		behind.SetClock(h.clock.Now)
		behind.Always(fake.Answer{Status: http.StatusOK, Body: strings.Repeat("taken ", 1000)})
		proxies, firsts := map[string]*toxic{}, map[string]string{}
		var people []string
		for name, c := range cases {
			p := newToxic(t, strings.TrimPrefix(behind.URL, "http://"))
			p.add(c.poison)
			people, proxies[name], firsts[name] = append(people, name), p, fmt.Sprintf(`kind: webhook, to: "http://%s/%s"`, p.addr, name)
		}
		h.twoWays("", firsts)
		began := time.Now()
		h.pageByHand(people...)
		h.eventually("what fails at once has fallen back", func() bool {
			return !slices.ContainsFunc([]string{"refused", "reset", "cut", "half-word", "half-asked"}, func(name string) bool {
				n, _ := takenBy(t, h.pages, name)
				return n == 0
			})
		})
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the second method came after %s, behind what hangs", took)
		}
		h.settle()
		t.Logf("all tries were over after %s", time.Since(began))
		for name, c := range cases {
			first, _ := takenBy(t, behind, name)
			second, _ := takenBy(t, h.pages, name)
			f, s := h.tries(name, "first"), h.tries(name, "second")
			if (first == 1) != c.reached || first > 1 || (second == 1) != c.falls || second > 1 {
				t.Errorf("%s: taken %d times by the first method, %d by the second", name, first, second)
			}
			if (f.doubts == 1) != c.doubt || f.doubts > 1 || (f.sent == 1) == c.falls || (s.sent == 1) != c.falls || s.doubts+s.failed+f.failed > 0 {
				t.Errorf("%s: recorded of the first method %+v, of the second %+v", name, f, s)
			}
		}
		for _, p := range proxies {
			p.heal()
		}
		h.forward(6 * time.Second)
		h.forward(3 * time.Minute)
		for name, c := range cases {
			first, id := takenBy(t, behind, name)
			second, _ := takenBy(t, h.pages, name)
			f := h.tries(name, "first")
			if f.sent != 1 || f.failed != 0 || c.falls && f.attempt != 2 || id != f.key {
				t.Errorf("%s with a good network: %+v, taken as %s", name, f, id)
			}
			if twice := c.reached && c.doubt; first != 1 && !twice || first != 2 && twice || first-1 > f.doubts {
				t.Errorf("%s: taken %d times by the first method, %d in doubt", name, first, f.doubts)
			}
			if second != 1 {
				t.Errorf("%s: taken %d times by the second method", name, second)
			}
		}
		if n := h.factsOf("page.opened"); n != len(cases) {
			t.Errorf("%d pages opened for %d people", n, len(cases))
		}
		// Who has answered by the second method is left alone by the first.
		before, _ := takenBy(t, behind, "late")
		proxies["late"].add(poison{})
		h.forward(time.Second)
		asked, _ := takenBy(t, h.pages, "late")
		h.pageByHand("late")
		h.eventually("the second method again", func() bool { n, _ := takenBy(t, h.pages, "late"); return n > asked })
		all := h.pages.Taken()
		for _, r := range slices.Backward(all) {
			if p := readPage(t, r.Body); r.Type() == "page" && p.Data.Person == "late" {
				h.press(p.Data.AckURL, "accept")
				break
			}
		}
		proxies["late"].heal()
		h.forward(6 * time.Second)
		h.forward(time.Minute)
		if n, _ := takenBy(t, behind, "late"); n != before {
			t.Errorf("an answered page went out by the first method: %d, then %d", before, n)
		}
		if n := h.factsOf("page.acknowledged"); n == 0 {
			t.Error("nothing was acknowledged")
		}
	})
}

// said counts what a relay says until it waits for the words of a message.
func said(t *testing.T, relay *fake.SMTP, to string) int64 {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(relay.Host, strconv.Itoa(relay.Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	helo, err := os.Hostname()
	if err != nil {
		helo = "localhost"
	}
	r, n := textproto.NewReader(bufio.NewReader(conn)), 0
	for _, word := range []string{"", "EHLO " + helo, "MAIL FROM:<tocsin@example.com>", "RCPT TO:<" + to + ">", "DATA"} {
		if word != "" {
			_, _ = fmt.Fprintf(conn, "%s\r\n", word)
		}
		for more := true; more; {
			line, err := r.ReadLine()
			if err != nil {
				t.Fatal(err)
			}
			n, more = n+len(line)+2, line[3] == '-'
		}
	}
	return int64(n)
}

// TestToxicRelay has the mail of one person after the other go by a relay behind a bad
// network: before, in the middle of and after the message.
func TestToxicRelay(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		t.Parallel()
		relay := fake.NewSMTP(t, fake.SMTPOptions{})
		p := newToxic(t, net.JoinHostPort(relay.Host, strconv.Itoa(relay.Port)))
		_, port, _ := net.SplitHostPort(p.addr)
		for _, c := range []struct {
			name    string
			poison  *poison
			trouble *fake.Trouble
			// As for webhooks.
			falls, reached, doubt bool
		}{
			{"refused", &poison{}, nil, true, false, false},
			{"reset", &poison{"reset_peer", "downstream", nil}, nil, true, false, false},
			{"silent", &poison{"timeout", "downstream", map[string]int64{"timeout": 1500}}, nil, true, false, false},
			{"half-mail", &poison{"limit_data", "upstream", map[string]int64{"bytes": 900}}, nil, true, false, true},
			{"go-ahead", &poison{"limit_data", "downstream", map[string]int64{"bytes": said(t, relay, "go-ahead@example.com")}}, nil, true, false, true},
			{"half-word", &poison{"limit_data", "downstream", map[string]int64{"bytes": said(t, relay, "half-word@example.com") + 2}}, nil, true, true, true},
			{"half-line", &poison{"limit_data", "downstream", map[string]int64{"bytes": said(t, relay, "half-line@example.com") + 8}}, nil, false, true, false},
			{"lost", nil, &fake.Trouble{Lost: true}, true, true, true},
			{"greylist", nil, &fake.Trouble{Code: 451, Text: "come again later"}, true, false, false},
			{"grey-data", nil, &fake.Trouble{At: fake.AtData, Code: 451, Text: "come again later"}, true, false, false},
			{"late", &poison{"latency", "downstream", map[string]int64{"latency": 300}}, nil, false, true, false},
			{"parts-late", &poison{"slow_close", "downstream", map[string]int64{"delay": 3000}}, nil, false, true, false},
			{"narrow", &poison{"bandwidth", "upstream", map[string]int64{"rate": 2}}, nil, false, true, false},
		} {
			h.twoWays(fmt.Sprintf("channels: {smtp: {host: 127.0.0.1, port: %s, from: tocsin@example.com, tls: none}}\n", port),
				map[string]string{c.name: fmt.Sprintf("kind: email, to: %s@example.com", c.name)})
			mails := func() (ids []string) {
				for _, e := range relay.Emails() {
					if slices.Equal(e.To, []string{c.name + "@example.com"}) {
						ids = append(ids, e.Header.Get("Message-Id"))
					}
				}
				return ids
			}
			if c.poison != nil {
				p.add(*c.poison)
			}
			if c.trouble != nil {
				relay.Refuse(*c.trouble)
			}
			h.pageByHand(c.name)
			h.settle()
			first, f, s := mails(), h.tries(c.name, "first"), h.tries(c.name, "second")
			second, _ := takenBy(t, h.pages, c.name)
			if (len(first) == 1) != c.reached || len(first) > 1 || (second == 1) != c.falls || second > 1 {
				t.Errorf("%s: %d mails, %d by the second method", c.name, len(first), second)
			}
			if (f.doubts == 1) != c.doubt || f.doubts > 1 || (f.sent == 1) == c.falls || (s.sent == 1) != c.falls || s.doubts+s.failed+f.failed > 0 {
				t.Errorf("%s: recorded of the mail %+v, of the second method %+v", c.name, f, s)
			}
			p.heal()
			h.forward(6 * time.Second)
			first, f = mails(), h.tries(c.name, "first")
			if f.sent != 1 || f.failed != 0 || c.falls && f.attempt != 2 {
				t.Errorf("%s with a good network: %+v", c.name, f)
			}
			if twice := c.reached && c.doubt; len(first) != 1 && !twice || len(first) != 2 && twice || len(first)-1 > f.doubts || len(slices.Compact(first)) != 1 {
				t.Errorf("%s: the mails are %q, %d in doubt", c.name, first, f.doubts)
			}
		}
	})
}

// rising pages three people, two seconds apart.
const rising = `
apiVersion: tocsin/v1
policies:
  - id: default
    steps:
      - {after: 0s, page: ["schedule:primary"]}
      - {after: 2s, page: ["schedule:secondary"]}
      - {after: 4s, page: ["role:commander"]}
    repeat: 1
routes:
  - {when: 'true', then: incident, severity: sev2, group: ["dedup_key"], window: 10m}
`

// TestToxicPostgres sends signals while the way to PostgreSQL is cut, slow, or breaks in
// the middle of commits. What was answered with success is in the ledger and in a page,
// each step of an escalation is run once, and only what was in doubt went out twice.
func TestToxicPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a database that is gone")
	}
	for name, c := range map[string]struct {
		senders int
		bad     func(p *toxic)
	}{
		"cut": {2, func(p *toxic) {
			p.add(poison{})
			time.Sleep(5 * time.Second)
			p.heal()
			time.Sleep(time.Second)
		}},
		"slow": {2, func(p *toxic) {
			p.add(poison{"latency", "downstream", map[string]int64{"latency": 200}})
			time.Sleep(5 * time.Second)
			p.heal()
		}},
		"breaks": {8, func(p *toxic) {
			for range 10 {
				p.add(poison{"reset_peer", "downstream", nil})
				time.Sleep(30 * time.Millisecond)
				p.heal()
				time.Sleep(300 * time.Millisecond)
			}
			// Each connection ends after that much was answered.
			p.add(poison{"limit_data", "downstream", map[string]int64{"bytes": 9_000}})
			time.Sleep(3 * time.Second)
			p.heal()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(dbtest.PostgresURL(t))
			if err != nil {
				t.Fatal(err)
			}
			p := newToxic(t, u.Host)
			u.Host = p.addr
			h := open(t, app.Config{Data: t.TempDir(), Database: u.String()})
			if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(rising), kit.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var answered []string
			refused := map[string]bool{}
			client := &http.Client{Timeout: 10 * time.Second}
			send := func(key string) {
				status := event(client, strings.TrimPrefix(h.base, "http://"), key)
				mu.Lock()
				defer mu.Unlock()
				if status == http.StatusAccepted {
					answered = append(answered, key)
				} else {
					refused[key] = true
				}
			}
			for n := range 3 {
				send(fmt.Sprintf("before-%d", n))
			}
			stop := make(chan struct{})
			var senders sync.WaitGroup
			for s := range c.senders {
				senders.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						case <-time.After(250 * time.Millisecond):
							send(fmt.Sprintf("s%d-%d", s, n))
						}
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			c.bad(p)
			close(stop)
			senders.Wait()
			send("after")
			if !slices.Contains(answered, "after") {
				t.Error("a signal with a good network is refused")
			}
			began := time.Now()
			for end := began.Add(lease + 15*time.Second); len(h.unclimbed(answered)) > 0 && time.Now().Before(end); {
				time.Sleep(100 * time.Millisecond)
			}
			if lost := h.unclimbed(answered); len(lost) > 0 {
				t.Errorf("%d of %d signals have not reached all three people: %q", len(lost), len(answered), lost[:min(8, len(lost))])
			}
			t.Logf("all three people have all pages %s after the end of the trouble", time.Since(began))
			h.once(answered, refused)
		})
	}
}

// unclimbed gives the keys that are not named in a page to each of the three people.
func (h *house) unclimbed(keys []string) (missing []string) {
	have := map[string]map[string]bool{}
	for _, r := range h.pages.Taken() {
		if r.Type() != "page" {
			continue
		}
		p := readPage(h.t, r.Body)
		for _, a := range p.Data.Alerts {
			if have[a.DedupKey] == nil {
				have[a.DedupKey] = map[string]bool{}
			}
			have[a.DedupKey][p.Data.Person] = true
		}
	}
	for _, k := range keys {
		if len(have[k]) < 3 {
			missing = append(missing, k)
		}
	}
	return missing
}

// once checks that the ledger has each answered signal once, that each step was run and
// each page opened once, and that messages came twice only where that is recorded.
func (h *house) once(answered []string, refused map[string]bool) {
	t := h.t
	t.Helper()
	facts, err := h.app.Ledger().Facts(t.Context(), ledger.Filter{Types: []string{"alert.opened", "ladder.step_run", "page.opened", "delivery.in_doubt", "delivery.sent", "reaction.failed"}, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	opened, seen, doubts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	count, unheard := map[string]int{}, 0
	for _, f := range facts {
		var b struct {
			Dedup          string `json:"dedup_key"`
			Key            string `json:"idempotency_key"`
			Person, Ladder string
			Step, Round    int
		}
		if err := f.Decode(&b); err != nil {
			t.Fatal(err)
		}
		count[f.Type]++
		id := ""
		switch f.Type {
		case "alert.opened":
			id, opened[b.Dedup] = b.Dedup, true
			if refused[b.Dedup] {
				unheard++
			}
		case "ladder.step_run":
			id = fmt.Sprint(f.Subject.ID, b.Round, b.Step)
		case "page.opened":
			id = fmt.Sprint(b.Person, b.Ladder, b.Step)
		case "delivery.in_doubt":
			doubts[b.Key] = true
			continue
		case "delivery.sent":
			id = b.Key
		default:
			t.Errorf("a reaction failed: %s", f.Body)
			continue
		}
		if id = f.Type + " " + id; seen[id] {
			t.Errorf("%s is recorded twice", id)
		}
		seen[id] = true
	}
	for _, k := range answered {
		if !opened[k] {
			t.Errorf("signal %s was answered and is lost", k)
		}
	}
	times := map[string]int{}
	for _, r := range h.pages.Taken() {
		if times[r.ID]++; times[r.ID] > 1 && !doubts[r.ID] {
			t.Errorf("message %s came %d times and was never in doubt", r.ID, times[r.ID])
		}
	}
	t.Logf("%d signals answered, %d not, of which %d are kept all the same; %v", len(answered), len(refused), unheard, count)
}
