package story_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/oncall"
	"tocsin/test/fake"
)

// TestThousandLaddersOverKills runs 1,000 escalations of three steps on two nodes, one of
// which is killed 20 times meanwhile: each step happens once, not before its time, and
// after it by no more than the lease.
func TestThousandLaddersOverKills(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and restarts a process for two minutes")
	}
	t.Parallel()
	const ladders, kills, slack = 1000, 20, 10 * time.Second
	after := []time.Duration{0, 20 * time.Second, 40 * time.Second}
	pages := fake.NewWebhook(t)
	text := strings.NewReplacer("after: 5m,", "after: 20s,", "after: 10m,", "after: 40s,", "repeat: 2", "repeat: 1").Replace(fmt.Sprintf(company, pages.URL))
	c := newCluster(t, file(t, "company.yaml", text))
	token, stderr, code := run(t, "token", "create", "--data", t.TempDir(), "--database", c.url, "--name", "load", "--role", "responder")
	if code != 0 {
		t.Fatal(stderr)
	}

	client := &http.Client{Timeout: 5 * time.Second}
	// Sent again to the other node with its key, one declaration is one incident.
	declare := func(addr, key string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/api/v1/incidents", strings.NewReader(`{"title":"`+key+`","severity":"sev2","services":["payments"]}`))
		if err != nil {
			return 0
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := client.Do(req)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	stop := make(chan struct{})
	var senders, killer sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			node := []string{"one", "two"}[s%2]
			for n := range ladders / 4 {
				time.Sleep(100 * time.Millisecond)
				for try := 0; declare(c.addrs[node], fmt.Sprintf("s%d-n%d", s, n)) != http.StatusCreated; try++ {
					if try > 200 {
						t.Errorf("incident %d of %d is not taken", n, s)
						return
					}
					time.Sleep(50 * time.Millisecond)
					node = c.other(node)
				}
			}
		})
	}
	killed := 0
	killer.Go(func() {
		for killed < kills {
			select {
			case <-stop:
				return
			case <-time.After(2500 * time.Millisecond):
			}
			c.nodes["one"].kill()
			killed++
			c.nodes["one"] = serve(t, c.addrs["one"], "--data", t.TempDir(), "--database", c.url, "--node", "one")
		}
	})
	senders.Wait()
	killer.Wait()
	close(stop)

	var started int
	count := func() (steps int) {
		err := c.db.Read(t.Context()).QueryRowContext(t.Context(), `SELECT count(*), coalesce(sum(least(next_rung, 3)), 0) FROM oncall_ladder`).Scan(&started, &steps)
		if err != nil {
			t.Fatal(err)
		}
		return steps
	}
	for end := time.Now().Add(after[2] + lease + 60*time.Second); count() < ladders*len(after) && time.Now().Before(end); {
		time.Sleep(500 * time.Millisecond)
	}
	c.nodes["one"].stop()
	c.nodes["two"].stop()
	if started != ladders || killed != kills {
		t.Errorf("%d escalations and %d kills, want %d and %d", started, killed, ladders, kills)
	}

	began := map[string]time.Time{}
	ran := map[string]int{}
	var latest time.Duration
	late := 0
	for _, f := range c.facts("ladder.started", "ladder.step_run") {
		if f.Type == "ladder.started" {
			began[f.Subject.ID] = f.RecordedAt
			continue
		}
		var b oncall.StepRun
		if err := f.Decode(&b); err != nil {
			t.Fatal(err)
		}
		if b.Kind != oncall.KindStep {
			continue
		}
		ran[fmt.Sprintf("%s %d", f.Subject.ID, b.Step)]++
		by := f.RecordedAt.Sub(began[f.Subject.ID].Add(after[b.Step-1]))
		latest = max(latest, by)
		if by < -10*time.Millisecond {
			t.Errorf("step %d of %s ran %s early", b.Step, f.Subject.ID, -by)
		}
		if by > lease+slack {
			late++
		}
	}
	for key, n := range ran {
		if n != 1 {
			t.Errorf("step %s ran %d times", key, n)
		}
	}
	if len(ran) != ladders*len(after) || late > 0 {
		t.Errorf("%d steps ran of %d, %d of them later than the lease", len(ran), ladders*len(after), late)
	}
	t.Logf("%d escalations, %d kills, %d steps, the latest %s after its time", started, killed, len(ran), latest)
}
