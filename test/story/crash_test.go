package story_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// kills is how often the process is killed: 20 times, or as TOCSIN_TEST_KILLS says.
func kills(t *testing.T) int {
	t.Helper()
	v := cmp.Or(os.Getenv("TOCSIN_TEST_KILLS"), "20")
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("TOCSIN_TEST_KILLS=%q is no number of kills", v)
	}
	return n
}

// TestKilledAtRandom kills the real process with SIGKILL under load, again and
// again: no signal that was answered with success is lost, each is named in a
// page, and a message is sent twice only when its delivery was recorded as in
// doubt.
func TestKilledAtRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and restarts a process for a minute")
	}
	binary(t)
	t.Run("sqlite", func(t *testing.T) { killAtRandom(t, app.Config{Data: t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) {
		killAtRandom(t, app.Config{Data: t.TempDir(), Database: dbtest.PostgresURL(t)})
	})
}

func killAtRandom(t *testing.T, cfg app.Config) {
	rounds := kills(t)
	pages := fake.NewWebhook(t)
	a, err := app.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := app.AsSystem(context.Background())
	file := strings.Replace(fmt.Sprintf(company, pages.URL), `group: ["service", "alertname"]`, `group: ["service"]`, 1)
	if _, err := a.Apply(ctx, []byte(file), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	start := func() *server {
		args := []string{"--data", cfg.Data}
		if cfg.Database != "" {
			args = append(args, "--database", cfg.Database)
		}
		return serve(t, addr, args...)
	}

	var mu sync.Mutex
	answered := map[string]bool{}
	client := &http.Client{Timeout: 2 * time.Second}
	send := func(key string) {
		body := fmt.Sprintf(`{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","dedup_key":%q,"payload":{"summary":"load %s","source":"test","severity":"critical"}}`, key, key)
		resp, err := client.Post("http://"+addr+"/v2/enqueue", "application/json", strings.NewReader(body))
		if err != nil {
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusAccepted {
			mu.Lock()
			answered[key] = true
			mu.Unlock()
		}
	}
	sent, under := 0, time.Duration(0)
	for round := range rounds {
		cmd := start()
		// The load does not wait for its answers: 300 signals a second, whatever becomes of
		// them.
		began, load := time.Now(), time.Duration(100+rand.IntN(600))*time.Millisecond
		var senders sync.WaitGroup
		kill := time.AfterFunc(load, func() { _ = cmd.cmd.Process.Kill() })
		for n := 0; time.Since(began) < load+20*time.Millisecond; n++ {
			senders.Go(func() { send(fmt.Sprintf("r%d-n%d", round, n)) })
			sent++
			time.Sleep(time.Until(began.Add(time.Duration(n+1) * time.Second / 300)))
		}
		under += time.Since(began)
		kill.Stop()
		_ = cmd.cmd.Process.Kill()
		_ = cmd.cmd.Wait()
		senders.Wait()
	}
	if rate := float64(sent) / under.Seconds(); rate < 200 {
		t.Errorf("only %.0f signals a second were sent", rate)
	}

	cmd := start()
	named := func(all []fake.Request) map[string]bool {
		out := map[string]bool{}
		for _, r := range all {
			if r.Type() != "page" || !r.Taken {
				continue
			}
			for _, x := range readPage(t, r.Body).Data.Alerts {
				out[x.DedupKey] = true
			}
		}
		return out
	}
	missing := func(all []fake.Request) (keys []string) {
		have := named(all)
		for k := range answered {
			if !have[k] {
				keys = append(keys, k)
			}
		}
		return keys
	}
	deadline := time.Now().Add(90 * time.Second)
	for len(missing(pages.Requests())) > 0 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	cmd.stop()
	if lost := missing(pages.Requests()); len(lost) > 0 {
		t.Errorf("%d of %d signals are in no page: %.5q …", len(lost), len(answered), lost)
	}
	if len(answered) < rounds*10 {
		t.Errorf("only %d signals were answered: the test proves nothing", len(answered))
	}

	if a, err = app.Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	led := a.Ledger()
	rep, err := led.Verify(context.Background(), ledger.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Errorf("ledger: %+v, %v", rep, err)
	}
	facts, err := led.Facts(context.Background(), ledger.Filter{Types: []string{"alert.opened", "delivery.in_doubt", "reaction.failed"}, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	opened, doubts := map[string]bool{}, map[string]bool{}
	for _, f := range facts {
		switch f.Type {
		case "alert.opened":
			var b struct {
				Key string `json:"dedup_key"`
			}
			if err := f.Decode(&b); err != nil {
				t.Fatal(err)
			}
			opened[b.Key] = true
		case "delivery.in_doubt":
			var b struct {
				Key string `json:"idempotency_key"`
			}
			if err := f.Decode(&b); err != nil || b.Key == "" {
				t.Fatalf("%s: %v", f.Body, err)
			}
			doubts[b.Key] = true
		case "reaction.failed":
			t.Errorf("a reaction failed: %s", f.Body)
		}
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
	for id, n := range times {
		if n > 1 && !doubts[id] {
			t.Errorf("message %s came %d times, and its delivery was not in doubt", id, n)
		}
	}
	t.Logf("%d kills, %.0f signals a second, %d answered, %d messages, %d of them more than once, %d deliveries in doubt",
		rounds, float64(sent)/under.Seconds(), len(answered), len(times), twice, len(doubts))
}
