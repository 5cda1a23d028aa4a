package story_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// lease is how long the claim of a message holds.
const lease = 30 * time.Second

// cluster is two processes of the program on one PostgreSQL database.
type cluster struct {
	t     *testing.T
	url   string
	nodes map[string]*server
	addrs map[string]string
	db    *db.DB
}

func newCluster(t *testing.T, file string) *cluster {
	t.Helper()
	c := &cluster{t: t, url: dbtest.PostgresURL(t), nodes: map[string]*server{}, addrs: map[string]string{}}
	if _, stderr, code := run(t, "apply", "--data", t.TempDir(), "--database", c.url, "-f", file); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	for _, name := range []string{"one", "two"} {
		c.addrs[name] = freeAddr(t)
		c.nodes[name] = serve(t, c.addrs[name], "--data", t.TempDir(), "--database", c.url, "--node", name)
	}
	var err error
	if c.db, err = db.Open(context.Background(), db.Options{URL: c.url, NoMigrate: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.db.Close() })
	return c
}

// other names the node that is not this one.
func (c *cluster) other(name string) string {
	if name == "one" {
		return "two"
	}
	return "one"
}

// facts gives the facts of some types, and checks the ledger and that every
// reaction went well.
func (c *cluster) facts(types ...string) []ledger.Fact {
	c.t.Helper()
	l := ledger.New(c.db)
	if rep, err := l.Verify(context.Background(), ledger.VerifyOptions{}); err != nil || !rep.OK() {
		c.t.Errorf("ledger: %+v, %v", rep, err)
	}
	bad, err := l.Facts(context.Background(), ledger.Filter{Types: []string{"reaction.failed"}, Limit: 10})
	if err != nil || len(bad) > 0 {
		c.t.Errorf("reactions that failed: %+v, %v", bad, err)
	}
	out, err := l.Facts(context.Background(), ledger.Filter{Types: types, Limit: 100_000})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// event sends a signal to an address and gives the status, 0 when nobody answers.
func event(client *http.Client, addr, key string) int {
	body := fmt.Sprintf(`{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","dedup_key":%q,"payload":{"summary":"load %s","source":"test","severity":"critical"}}`, key, key)
	resp, err := client.Post("http://"+addr+"/v2/enqueue", "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// onlyAna leaves one person to page, so that each signal is one message.
func onlyAna(url, group string) string {
	s := fmt.Sprintf(company, url)
	s = strings.Replace(s, `      - {after: 5m, page: ["schedule:secondary"]}
      - {after: 10m, page: ["role:commander"]}
`, "", 1)
	return strings.Replace(s, `group: ["service", "alertname"]`, `group: [`+group+`]`, 1)
}

// TestHolderKilled kills the node that holds a page it is sending: the other one
// takes over when the claim ends, records the doubt, and the page goes out once.
func TestHolderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the end of a lease")
	}
	t.Parallel()
	pages := fake.NewWebhook(t)
	pages.Always(fake.Hang())
	c := newCluster(t, file(t, "company.yaml", onlyAna(pages.URL, `"service"`)))
	if status := event(http.DefaultClient, c.addrs["one"], "k"); status != http.StatusAccepted {
		t.Fatal(status)
	}
	// Notices go to the same receiver: what counts is the page.
	isPage := func(r fake.Request) bool { return r.Type() == "page" && readPage(t, r.Body).Data.Person == "ana" }
	find := func(within time.Duration, is func(fake.Request) bool) (found fake.Request) {
		pages.Wait(t, within, func(all []fake.Request) bool {
			n := slices.IndexFunc(all, is)
			if n >= 0 {
				found = all[n]
			}
			return n >= 0
		})
		return found
	}
	first := find(20*time.Second, isPage)
	var owner string
	if err := c.db.Read(t.Context()).QueryRowContext(t.Context(), `SELECT owner FROM due WHERE owner <> '' AND key = ?`, first.ID).Scan(&owner); err != nil {
		t.Fatal(err)
	}
	if c.nodes[owner] == nil {
		t.Fatalf("the row is held by %q", owner)
	}
	c.nodes[owner].kill()
	pages.Always(fake.OK())

	again := find(lease+15*time.Second, func(r fake.Request) bool { return isPage(r) && r.Taken })
	if took := again.At.Sub(first.At); took > lease+500*time.Millisecond {
		t.Errorf("taken over %s after the claim, want at most the lease of %s and half a second", took, lease)
	} else {
		t.Logf("taken over %s after the claim", took)
	}
	h := &remote{t: t, base: "http://" + c.addrs[c.other(owner)]}
	var sent, doubts int
	h.eventually("the result is recorded", func() bool {
		sent, doubts = 0, 0
		for _, f := range c.facts("delivery.sent", "delivery.in_doubt") {
			var b struct{ Message, Recipient string }
			if err := f.Decode(&b); err != nil {
				t.Fatal(err)
			}
			switch {
			case b.Recipient != "ana":
			case f.Type == "delivery.sent":
				sent++
			default:
				doubts++
			}
		}
		return sent > 0
	})
	taken := 0
	for _, r := range pages.Requests() {
		if isPage(r) && r.Taken {
			taken++
		}
	}
	if taken != 1 || sent != 1 || doubts != 1 {
		t.Errorf("the page was taken %d times, %d sent and %d in doubt are recorded: want one of each", taken, sent, doubts)
	}
	c.nodes[c.other(owner)].stop()
}

// TestNodeKilledUnderLoad kills one of two nodes while both take signals: nothing
// that was answered is lost, and each is named in a page.
func TestNodeKilledUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the end of a lease")
	}
	t.Parallel()
	pages := fake.NewWebhook(t)
	c := newCluster(t, file(t, "company.yaml", onlyAna(pages.URL, `"service"`)))
	client := &http.Client{Timeout: 5 * time.Second}
	var mu sync.Mutex
	answered := map[string]bool{}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for s := range 8 {
		senders.Go(func() {
			node := []string{"one", "two"}[s%2]
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(26 * time.Millisecond):
				}
				key := fmt.Sprintf("s%d-n%d", s, n)
				// As a client behind a load balancer: what one node does not answer
				// goes to the other.
				for try := 0; try < 4; try++ {
					if event(client, c.addrs[node], key) == http.StatusAccepted {
						mu.Lock()
						answered[key] = true
						mu.Unlock()
						break
					}
					node = c.other(node)
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(answered)
	}
	h := &remote{t: t, base: "http://" + c.addrs["two"]}
	h.eventually("load", func() bool { return count() > 150 })
	c.nodes["one"].kill()
	killedAt := count()
	h.eventually("load on the other node", func() bool { return count() > killedAt+150 })
	close(stop)
	senders.Wait()

	missing := func(all []fake.Request) (keys []string) {
		have := map[string]bool{}
		for _, r := range all {
			if r.Type() != "page" || !r.Taken {
				continue
			}
			for _, a := range readPage(t, r.Body).Data.Alerts {
				have[a.DedupKey] = true
			}
		}
		for k := range answered {
			if !have[k] {
				keys = append(keys, k)
			}
		}
		return keys
	}
	for end := time.Now().Add(lease + 30*time.Second); len(missing(pages.Requests())) > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	if lost := missing(pages.Requests()); len(lost) > 0 {
		t.Errorf("%d of %d signals are in no page: %.5q …", len(lost), len(answered), lost)
	}
	c.nodes["two"].stop()
	opened, doubts := map[string]bool{}, 0
	for _, f := range c.facts("alert.opened", "delivery.in_doubt") {
		if f.Type == "delivery.in_doubt" {
			doubts++
			continue
		}
		var b struct {
			Key string `json:"dedup_key"`
		}
		if err := f.Decode(&b); err != nil {
			t.Fatal(err)
		}
		if opened[b.Key] {
			t.Errorf("signal %s opened two alerts", b.Key)
		}
		opened[b.Key] = true
	}
	for k := range answered {
		if !opened[k] {
			t.Errorf("signal %s was answered and is lost", k)
		}
	}
	times, twice := map[string]int{}, 0
	for _, r := range pages.Taken() {
		if times[r.ID]++; times[r.ID] == 2 {
			twice++
		}
	}
	if twice > doubts {
		t.Errorf("%d messages were sent twice, %d deliveries in doubt", twice, doubts)
	}
	t.Logf("%d signals answered, %d messages, %d twice, %d in doubt", len(answered), len(times), twice, doubts)
}
