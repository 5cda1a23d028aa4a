package story_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/test/fake"
)

// rounds is how often the process is killed.
const rounds = 20

// TestKilledAtRandom kills the real process with SIGKILL under load, again and
// again: no signal that was answered with success is lost, each is named in a
// page, and a message is sent twice only when its delivery was recorded as in
// doubt.
func TestKilledAtRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and restarts a process for half a minute")
	}
	binary(t)
	pages := fake.NewWebhook(t)
	data := t.TempDir()
	a, err := app.Open(context.Background(), app.Config{Data: data})
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
		return serve(t, addr, "--data", data)
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
	for round := range rounds {
		cmd := start()
		stop := make(chan struct{})
		var senders sync.WaitGroup
		for s := range 8 {
			senders.Go(func() {
				// 8 senders, one signal each 26 ms: about 300 a second.
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-time.After(26 * time.Millisecond):
						send(fmt.Sprintf("r%d-s%d-n%d", round, s, n))
					}
				}
			})
		}
		time.Sleep(time.Duration(100+rand.IntN(600)) * time.Millisecond)
		cmd.kill()
		close(stop)
		senders.Wait()
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

	d, err := db.OpenFile(context.Background(), filepath.Join(data, "tocsin.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	led := ledger.New(d)
	rep, err := led.Verify(context.Background(), ledger.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Errorf("ledger: %+v, %v", rep, err)
	}
	facts, err := led.Facts(context.Background(), ledger.Filter{Types: []string{"alert.opened", "delivery.in_doubt", "reaction.failed"}, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	opened, doubts := map[string]bool{}, 0
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
			doubts++
		case "reaction.failed":
			t.Errorf("a reaction failed: %s", f.Body)
		}
	}
	for k := range answered {
		if !opened[k] {
			t.Errorf("signal %s was answered and is lost", k)
		}
	}
	times := map[string]int{}
	twice := 0
	for _, r := range pages.Taken() {
		if times[r.ID]++; times[r.ID] == 2 {
			twice++
		}
	}
	if twice > doubts {
		t.Errorf("%d messages were sent twice, %d deliveries in doubt", twice, doubts)
	}
	t.Logf("%d kills, %d signals answered, %d messages, %d twice, %d in doubt", rounds, len(answered), len(times), twice, doubts)
}
