package bench_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"tocsin/internal/app"
)

// BenchmarkSignalToPage is the time from a signal's being sent to its page's arrival
// at a webhook, on an idle server: 20 signals at four a second, or 60 at one a second
// in the long form.
func BenchmarkSignalToPage(b *testing.B) {
	eachDatabase(b, func(b *testing.B, cfg app.Config) {
		h := open(b, cfg, "dedup_key")
		n, every, target := 20, 250*time.Millisecond, 15.0
		if long() {
			n, every = 60, time.Second
		}
		if cfg.Database != "" {
			target = 30
		}
		for b.Loop() {
			sent := map[string]time.Time{}
			tick := time.NewTicker(every)
			for i := range n {
				<-tick.C
				key := fmt.Sprintf("signal-%d", i)
				sent[key] = time.Now()
				h.trigger(key)
			}
			tick.Stop()
			alerts, _ := h.await(n, 30*time.Second)
			var took []time.Duration
			for key, at := range sent {
				took = append(took, alerts[key].Sub(at))
			}
			report(b, "page-p50-ms", ms(quantile(took, 0.5)), target)
			report(b, "page-max-ms", ms(quantile(took, 1)), 250)
		}
	})
}

// BenchmarkStorm is a thousand distinct alerts at once for one person: the first page
// leaves at once, bundles and digests then name every alert.
func BenchmarkStorm(b *testing.B) {
	const n = 1000
	for _, group := range []string{"service", "dedup_key"} {
		b.Run("by-"+group, func(b *testing.B) {
			eachDatabase(b, func(b *testing.B, cfg app.Config) {
				h := open(b, cfg, group)
				for b.Loop() {
					start := time.Now()
					var wg sync.WaitGroup
					for s := range 64 {
						wg.Go(func() {
							for i := s; i < n; i += 64 {
								h.trigger(fmt.Sprintf("storm-%d", i))
							}
						})
					}
					wg.Wait()
					taken := time.Since(start)
					alerts, messages := h.await(n, 2*time.Minute)
					first, last := time.Time{}, time.Time{}
					for _, at := range alerts {
						if first.IsZero() || at.Before(first) {
							first = at
						}
						if at.After(last) {
							last = at
						}
					}
					b.ReportMetric(ms(taken), "taken-ms")
					report(b, "first-page-ms", ms(first.Sub(start)), 250)
					b.ReportMetric(ms(last.Sub(start)), "all-named-ms")
					b.ReportMetric(float64(messages), "messages")
				}
			})
		})
	}
}
