package alert

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"
)

// BenchmarkRoutes is what a rule costs that is looked at and does not match: 50 of them
// stand before the one that does.
func BenchmarkRoutes(b *testing.B) {
	var routes []Route
	for i := range 50 {
		when := fmt.Sprintf(`alert.labels["team"] == "team-%d" && alert.severity in ["critical", "error"]`, i)
		if i%2 == 1 {
			when = fmt.Sprintf(`alert.title.matches("^host-%d ") || alert.service == "service-%d"`, i, i)
		}
		routes = append(routes, Route{ID: fmt.Sprint("r", i), When: when, Then: ThenRecord})
	}
	set, err := compileRoutes(1, append(routes, Route{ID: "last", When: "true", Then: ThenIncident}))
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	sig := &Signal{Source: "prometheus", Title: "Down", Severity: Critical, Service: "payments", Labels: map[string]string{"team": "shop", "env": "prod", "instance": "h1"}}
	const times = 2000
	for b.Loop() {
		start := time.Now()
		for range times {
			if d := set.decide(sig, "alertmanager", log); d.Route != "last" {
				b.Fatal(d.Route)
			}
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/times/51/1000, "us/rule")
		b.ReportMetric(5, "us/rule-target")
	}
}
