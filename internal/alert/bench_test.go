package alert_test

import (
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// BenchmarkWriter is the hot path alone, without HTTP, for 64 callers with
// distinct keys: spread as fingerprints are, or growing.
func BenchmarkWriter(b *testing.B) {
	for name, open := range map[string]func() *db.DB{
		"sqlite":   func() *db.DB { return dbtest.OpenSQLite(b, nil) },
		"postgres": func() *db.DB { return dbtest.OpenPostgres(b, nil) },
	} {
		for _, keys := range []string{"spread", "growing"} {
			b.Run(name+"/"+keys, func(b *testing.B) {
				d := open()
				ledger.New(d)
				s := alert.New(d, allow{})
				ctx := kit.WithActor(b.Context(), kit.System(kit.ViaApply))
				if err := s.Start(ctx); err != nil {
					b.Fatal(err)
				}
				defer s.Stop()
				var n atomic.Int64
				for b.Loop() {
					const length = 3 * time.Second
					start, from := time.Now(), n.Load()
					var wg sync.WaitGroup
					for range 64 {
						wg.Go(func() {
							for time.Since(start) < length {
								i := n.Add(1)
								k := fmt.Sprintf("%016x", i)
								if keys == "spread" {
									h := fnv.New64a()
									_, _ = h.Write([]byte(k))
									k = fmt.Sprintf("%016x", h.Sum64())
								}
								s.InFlight(1)
								_, err := s.Ingest(ctx, []alert.Signal{{
									Source: "prometheus", DedupKey: k, Action: alert.Trigger, Title: "host is down", Severity: alert.Critical, Service: "payments",
									Labels:      map[string]string{"alertname": "Down", "env": "prod", "instance": k, "job": "node", "severity": "critical", "service": "payments"},
									Annotations: map[string]string{"summary": "host is down"},
								}})
								s.InFlight(-1)
								if err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.ReportMetric(float64(n.Load()-from)/time.Since(start).Seconds(), "alerts/s")
				}
			})
		}
	}
}
