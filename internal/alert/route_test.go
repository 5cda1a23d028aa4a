package alert

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tocsin/internal/kit"
)

func noLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestExpressions(t *testing.T) {
	sig := &Signal{
		Source: "pd", DedupKey: "k", Title: "Disk full", Severity: Warning, Service: "db",
		Labels: map[string]string{"env": "prod", "n": "7"}, Annotations: map[string]string{"runbook": "https://r"}, Link: "https://l",
	}
	for when, want := range map[string]bool{
		`true`:                           true,
		`alert.severity == "warning"`:    true,
		`alert.service in ["db", "web"]`: true,
		`alert.labels["env"] == "prod"`:  true,
		`alert.labels.env == "prod"`:     true,
		`alert.labels["absent"] == ""`:   true,
		`alert.labels.absent != "prod"`:  true,
		`"absent" in alert.labels`:       false,
		`has(alert.labels.absent)`:       false,
		`has(alert.labels.env)`:          true,
		`alert.labels.exists(k, k.startsWith("e") && alert.labels[k] == "prod")`: true,
		`size(alert.labels) == 2`:                                  true,
		`alert.title.matches("(?i)disk")`:                          true,
		`alert.annotations.runbook != ""`:                          true,
		`int(alert.labels.n) > 5`:                                  true,
		`int(alert.labels.env) > 5`:                                false,
		`source.id == "pd"`:                                        true,
		`source.kind == "pagerduty"`:                               true,
		`alert.dedup_key + alert.link == "kxyz"`:                   false,
		`alert.severity == "info" || alert.title.contains("full")`: true,
	} {
		set, err := compileRoutes(1, []Route{{When: when, Then: ThenRecord}})
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		if got := set.decide(sig, "pagerduty", noLog()).Then == ThenRecord; got != want {
			t.Errorf("%s is %v, want %v", when, got, want)
		}
	}
}

func TestExpressionErrorsNameThePlace(t *testing.T) {
	for when, want := range map[string][2]int{
		`alert.severty == "x"`:       {1, 6},
		`alert.severity ==`:          {1, 18},
		"true &&\n  alert.nope == 1": {2, 8},
		`alert.severity`:             {1, 1},
		`nothing == 1`:               {1, 1},
	} {
		_, err := compileRoutes(1, []Route{{When: when, Then: ThenRecord}})
		e := kit.AsError(err)
		if err == nil || e.Code != kit.CodeInvalid || len(e.Fields) != 1 || e.Fields[0].Path != "routes[0].when" {
			t.Errorf("%s: %v", when, err)
			continue
		}
		if a := e.Fields[0].Args; a["line"] != want[0] || a["column"] != want[1] {
			t.Errorf("%s: at %v:%v, want %v", when, a["line"], a["column"], want)
		}
	}
	_, err := compileRoutes(1, []Route{
		{Then: "jump"}, {ID: "a", When: "true", Then: ThenRecord, Severity: "high"}, {ID: "a", When: strings.Repeat(" ", 3000), Then: ThenRecord, Window: -1},
	})
	if n := len(kit.AsError(err).Fields); n != 6 {
		t.Errorf("%d wrong fields, want 6: %v", n, err)
	}
}

func TestFirstMatchWins(t *testing.T) {
	set, err := compileRoutes(1, []Route{
		{ID: "a", When: `alert.severity == "info"`, Then: ThenRecord},
		{ID: "b", When: `alert.labels.env != "prod"`, Then: ThenSuppress, Reason: "r"},
		{ID: "c", When: `alert.service == "db"`, Then: ThenIncident, Severity: "sev2", Policy: "p", Kind: "security", Window: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	prod := map[string]string{"env": "prod"}
	for _, c := range []struct {
		sig  Signal
		want Decision
	}{
		{Signal{Severity: Info}, Decision{Route: "a", Then: ThenRecord, Kind: "availability", GroupKey: `service=""`, Window: 10 * time.Minute}},
		{Signal{}, Decision{Route: "b", Then: ThenSuppress, Kind: "availability", GroupKey: `service=""`, Window: 10 * time.Minute, Reason: "r"}},
		{Signal{Labels: prod, Service: "db"}, Decision{Route: "c", Then: ThenIncident, Severity: "sev2", Policy: "p", Kind: "security", GroupKey: `service="db"`, Window: time.Hour}},
		{Signal{Labels: prod}, Decision{Route: "default", Then: ThenIncident, Kind: "availability", GroupKey: `service=""`, Window: 10 * time.Minute}},
	} {
		if got := set.decide(&c.sig, "", noLog()); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
}

func TestGroupKeysDiffer(t *testing.T) {
	a := groupKey([]string{"a", "b"}, &Signal{Labels: map[string]string{"a": `x" b="y`}})
	b := groupKey([]string{"a", "b"}, &Signal{Labels: map[string]string{"a": "x", "b": "y"}})
	if a == b {
		t.Fatalf("two groups, one key %s", a)
	}
}

func BenchmarkRoute(b *testing.B) {
	set, err := compileRoutes(1, []Route{{When: `alert.severity == "info" && alert.labels["env"] != "prod"`, Then: ThenRecord}})
	if err != nil {
		b.Fatal(err)
	}
	sig := &Signal{Severity: Info, Labels: map[string]string{"env": "prod", "alertname": "X"}}
	log := noLog()
	b.ReportAllocs()
	for b.Loop() {
		set.decide(sig, "alertmanager", log)
	}
}
