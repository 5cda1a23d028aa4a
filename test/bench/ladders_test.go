package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/channel"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/test/fake"
)

// BenchmarkThousandEscalated is the time from an instant at which the ladders of 1,000
// incidents reach a step, each with a person of its own, to the last page's arrival. The
// machine's limit beside it is as many bare requests of the same bodies by the same
// client to the same receiver, as many at once; what all this took of the processors
// does not depend on who else uses the machine.
func BenchmarkThousandEscalated(b *testing.B) {
	const n, atOnce = 1000, 16
	eachDatabase(b, func(b *testing.B, cfg app.Config) {
		h := open(b, cfg, "service")
		h.hire(n)
		for b.Loop() {
			h.declare(n)
			h.count(`SELECT count(*) FROM due WHERE kind = 'ladder-step'`, n)
			// What declaring set off must not stand in the way.
			if err := h.app.Ledger().Idle(b.Context()); err != nil {
				b.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			before := len(h.pages.Requests())
			at := kit.Truncate(h.app.DB().LeaseNow().Add(2 * time.Second))
			h.write(`UPDATE due SET due_at = $1, run_at = $1 WHERE kind = 'ladder-step'`, at.UnixMicro())
			used := processor(b)
			pages := h.paged(before, n, time.Minute)
			used = processor(b) - used
			var took []time.Duration
			for _, r := range pages {
				took = append(took, r.At.Sub(at))
			}
			bare := h.bare(pages, atOnce)
			report(b, "all-paged-ms", ms(quantile(took, 1)), 3000)
			b.ReportMetric(ms(quantile(took, 0)), "first-paged-ms")
			b.ReportMetric(ms(quantile(took, 0.5)), "paged-p50-ms")
			b.ReportMetric(ms(used), "processor-ms")
			b.ReportMetric(ms(bare), "bare-posts-ms")
			b.ReportMetric(float64(quantile(took, 1))/float64(bare), "ratio")
		}
	})
}

// hire makes n more people, each with a webhook and a policy that pages them after an hour.
func (h *house) hire(n int) {
	h.b.Helper()
	var people, policies strings.Builder
	for i := range n {
		fmt.Fprintf(&people, "  - {id: p%d, name: Person %d, email: p%d@example.com, access: responder, language: en, contact_methods: [{id: hook, kind: webhook, to: %q}]}\n", i, i, i, h.pages.URL)
		fmt.Fprintf(&policies, "  - {id: for-p%d, steps: [{after: 1h, page: [\"person:p%d\"]}]}\n", i, i)
	}
	text := fmt.Sprintf(company, h.pages.URL, routingKey, "service")
	text = strings.Replace(text, "schedules:", people.String()+"schedules:", 1) + "policies:\n" + policies.String()
	if _, err := h.app.Apply(app.AsSystem(h.b.Context()), []byte(text), kit.ApplyOptions{}); err != nil {
		h.b.Fatal(err)
	}
}

// declare opens an incident for each of the n people.
func (h *house) declare(n int) {
	h.b.Helper()
	ctx := kit.WithActor(h.b.Context(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana Lopez", Access: kit.AccessAdmin, Via: kit.ViaWeb})
	for from := 0; from < n; from += 100 {
		err := h.app.DB().Write(ctx, func(ctx context.Context, _ *db.Tx) error {
			for i := from; i < min(from+100, n); i++ {
				d := incident.Declaration{Title: fmt.Sprintf("Trouble of p%d", i), Severity: incident.Sev2, Policy: fmt.Sprintf("for-p%d", i)}
				if _, err := h.app.Incident.Declare(ctx, d); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			h.b.Fatal(err)
		}
	}
}

// count waits until a query counts n.
func (h *house) count(query string, n int) {
	h.b.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var got int
		if err := h.app.DB().Read(h.b.Context()).QueryRowContext(h.b.Context(), query).Scan(&got); err != nil {
			h.b.Fatal(err)
		}
		if got == n {
			return
		}
		if time.Now().After(end) {
			h.b.Fatalf("%s: %d, want %d", query, got, n)
		}
	}
}

func (h *house) write(query string, args ...any) {
	h.b.Helper()
	if err := h.app.DB().Write(h.b.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}); err != nil {
		h.b.Fatal(err)
	}
}

// paged waits until each of the n people has the page of their own incident, and gives
// these pages. Requests before the given one do not count.
func (h *house) paged(before, n int, within time.Duration) []fake.Request {
	h.b.Helper()
	var out []fake.Request
	reached := map[string]bool{}
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		late := time.Now().After(end)
		all := h.pages.Requests()
		// Each body is read once: it is the server that shall have the processor.
		fresh := all[before:]
		before = len(all)
		for _, r := range fresh {
			var p struct {
				Type string `json:"type"`
				Data struct {
					Incident string `json:"incident"`
					Ref      string `json:"ref"`
					Title    string `json:"title"`
					Person   string `json:"person"`
				} `json:"data"`
			}
			if err := r.JSON(&p); err != nil {
				h.b.Fatal(err)
			}
			if p.Type != "page" {
				continue
			}
			d := p.Data
			if !r.Taken || r.Invalid != nil || d.Incident == "" || d.Ref == "" || d.Title != "Trouble of "+d.Person || reached[d.Person] {
				h.b.Fatalf("page to %s: %v, %s", d.Person, r.Invalid, r.Body)
			}
			reached[d.Person] = true
			out = append(out, r)
		}
		if len(out) == n {
			return out
		}
		if late {
			h.b.Fatalf("%d of %d people are paged", len(out), n)
		}
	}
}

// bare is how long the machine takes for the same requests without Tocsin before them.
func (h *house) bare(pages []fake.Request, atOnce int) time.Duration {
	h.b.Helper()
	client := channel.NewClient([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	defer client.CloseIdleConnections()
	start := time.Now()
	var wg sync.WaitGroup
	for s := range atOnce {
		wg.Go(func() {
			for i := s; i < len(pages); i += atOnce {
				resp, err := client.Post(h.pages.URL+"/bare", "application/json", bytes.NewReader(pages[i].Body))
				if err != nil {
					h.b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusNoContent {
					h.b.Errorf("bare request: %s", resp.Status)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// BenchmarkRunningLadders is the server at rest while 100,000 ladders run whose next
// steps are hours away: the time in which its worker finds the next deadline, its heap
// and its share of a processor, over 20 seconds or a minute in the long form.
func BenchmarkRunningLadders(b *testing.B) {
	const n = 100_000
	eachDatabase(b, func(b *testing.B, cfg app.Config) {
		h := open(b, cfg, "service")
		h.hire(1)
		h.declare(1)
		h.count(`SELECT count(*) FROM due WHERE kind = 'ladder-step'`, 1)
		start := h.app.DB().LeaseNow().Add(time.Hour).UnixMicro()
		const gap = 6 * int64(time.Hour/time.Microsecond) / n
		h.write(`WITH RECURSIVE seq(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM seq WHERE n < 100000)
			INSERT INTO oncall_ladder (id, incident, ref, title, state, reason, frozen, started_at, base_at, next_rung, next_at, active_at)
			SELECT l.id || '-' || n, l.incident || '-' || n, 'INC-' || n, l.title, l.state, l.reason, l.frozen, l.started_at, l.base_at, l.next_rung, $1 + n * $2, l.active_at
			FROM oncall_ladder AS l, seq`, start, gap)
		h.write(`INSERT INTO due (kind, key, due_at, run_at, token, body)
			SELECT 'ladder-step', id, next_at, next_at, id, '{}' FROM oncall_ladder WHERE id LIKE '%-%' AND next_at >= $1`, start)
		h.count(`SELECT count(*) FROM oncall_ladder AS l JOIN due AS d ON d.kind = 'ladder-step' AND d.key = l.id AND d.run_at = l.next_at WHERE l.state = 'running'`, n)
		// A worker that does not run: its Idle is the one question for the next deadlines.
		asks := due.NewWorker(h.app.DB())
		asks.Register(h.app.Oncall.Tasks()...)
		asks.Register(h.app.Notify.Tasks()...)
		idleFor := 20 * time.Second
		if long() {
			idleFor = time.Minute
		}
		for b.Loop() {
			time.Sleep(2 * time.Second)
			var took []time.Duration
			for range 200 {
				begin := time.Now()
				if err := asks.Idle(b.Context()); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			report(b, "next-p50-ms", ms(quantile(took, 0.5)), 5)
			b.ReportMetric(ms(quantile(took, 1)), "next-max-ms")
			b.ReportMetric(heap(), "heap-before-MB")
			used, begin := processor(b), time.Now()
			time.Sleep(idleFor)
			report(b, "idle-cpu-%", 100*float64(processor(b)-used)/float64(time.Since(begin)), 2)
			b.ReportMetric(heap(), "heap-after-MB")
		}
	})
}

// heap is what is in use once what is not is gone, in megabytes.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

// processor is what this process has used of it.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
