package story_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// crashPoints are the places on the way from a signal to an answered page at which the
// process ends; doubt tells those after which it cannot be known whether the message left.
var crashPoints = []struct {
	name  string
	doubt bool
}{
	{"signal.taken", false},
	{"signal.kept", false},
	{"reaction.declaring", false},
	{"reaction.paging", false},
	{"ladder.step", false},
	{"delivery.claiming", false},
	{"delivery.claimed", true},
	{"delivery.sent", true},
	{"delivery.recording", true},
	{"page.answering", false},
}

// TestKilledAtEachPoint ends the process at each named point of the delivery path and
// starts it again: the sender sends until it is answered, as real ones do, and the person
// presses until the press is taken. One incident, one page that is acknowledged, no
// message twice unless its delivery was recorded as in doubt.
func TestKilledAtEachPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and restarts a process for a minute")
	}
	bin := filepath.Join(t.TempDir(), "tocsin")
	if out, err := exec.Command("go", "build", "-tags", "crashpoints", "-o", bin, "tocsin/cmd/tocsin").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range crashPoints {
		t.Run(p.name+" on sqlite", func(t *testing.T) { killAtPoint(t, bin, p.name, p.doubt, app.Config{Data: t.TempDir()}) })
		t.Run(p.name+" on postgres", func(t *testing.T) {
			if p.doubt {
				// It waits for the end of a lease.
				t.Parallel()
			}
			killAtPoint(t, bin, p.name, p.doubt, app.Config{Data: t.TempDir(), Database: dbtest.PostgresURL(t)})
		})
	}
}

func killAtPoint(t *testing.T, bin, point string, doubt bool, cfg app.Config) {
	pages := fake.NewWebhook(t)
	a, err := app.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(app.AsSystem(context.Background()), []byte(strings.Replace(fmt.Sprintf(company, pages.URL), "after: 5m", "after: 1s", 1)), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	args := []string{"serve", "--listen", addr, "--base-url", "http://" + addr, "--outbound-allow", "127.0.0.0/8", "--data", cfg.Data}
	if cfg.Database != "" {
		args = append(args, "--database", cfg.Database)
	}
	begin := func(env ...string) *server {
		t.Helper()
		s := &server{t: t, addr: addr}
		s.cmd, s.log = startWith(t, env, bin, args...)
		(&remote{t: t, base: "http://" + addr}).ready()
		return s
	}
	client := &http.Client{Timeout: 5 * time.Second}
	send := func() bool {
		const body = `{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","dedup_key":"k","payload":{"summary":"Card payments fail","source":"test","severity":"critical"}}`
		resp, err := client.Post("http://"+addr+"/v2/enqueue", "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusAccepted
	}
	page := func() (found string) {
		for _, r := range pages.Taken() {
			if r.Type() == "page" {
				if p := readPage(t, r.Body); p.Data.Person == "ana" {
					return p.Data.AckURL
				}
			}
		}
		return ""
	}
	press := func() bool {
		resp, err := client.PostForm(page(), url.Values{"answer": {"accept"}})
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode < http.StatusBadRequest
	}
	first := begin("TOCSIN_CRASH_AT=" + point)
	kept := send()
	died := make(chan struct{})
	go func() { _ = first.cmd.Wait(); close(died) }()
	until := time.Now().Add(20 * time.Second)
	for over := false; !over; {
		select {
		case <-died:
			over = true
		case <-time.After(50 * time.Millisecond):
			// Who answers ends the escalation.
			if strings.HasPrefix(point, "page.") && page() != "" {
				press()
			}
			if time.Now().After(until) {
				_ = first.cmd.Process.Kill()
				t.Fatalf("the process never came to %s", point)
			}
		}
	}
	second := begin()
	for n := 0; !kept && n < 50; n++ {
		if kept = send(); !kept {
			time.Sleep(100 * time.Millisecond)
		}
	}
	h := &remote{t: t, base: "http://" + addr}
	h.eventually("the page", func() bool { return page() != "" })
	h.eventually("the press", press)
	if a, err = app.Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if doubt {
		// Where another node might still be at it, the lease has to end first.
		for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if n, err := a.Ledger().Count(context.Background(), ledger.Filter{Types: []string{"delivery.in_doubt"}}); err != nil || n > 0 {
				break
			}
		}
	}
	second.stop()
	rep, err := a.Ledger().Verify(context.Background(), ledger.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Errorf("ledger: %+v, %v", rep, err)
	}
	facts, err := a.Ledger().Facts(context.Background(), ledger.Filter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	n, doubts := map[string]int{}, map[string]bool{}
	for _, f := range facts {
		n[f.Type]++
		if f.Type == "delivery.in_doubt" {
			var b struct {
				Key string `json:"idempotency_key"`
			}
			if err := f.Decode(&b); err != nil {
				t.Fatal(err)
			}
			doubts[b.Key] = true
		}
	}
	for typ, want := range map[string]int{"alert.opened": 1, "incident.declared": 1, "page.acknowledged": 1, "reaction.failed": 0, "ladder.exhausted": 0} {
		if n[typ] != want {
			t.Errorf("%s: %d, want %d", typ, n[typ], want)
		}
	}
	times := map[string]int{}
	for _, r := range pages.Taken() {
		if times[r.ID]++; times[r.ID] > 1 && !doubts[r.ID] {
			t.Errorf("message %s came twice, and its delivery was not in doubt", r.ID)
		}
	}
	if doubt != (n["delivery.in_doubt"] > 0) {
		t.Errorf("%d deliveries in doubt", n["delivery.in_doubt"])
	}
}
