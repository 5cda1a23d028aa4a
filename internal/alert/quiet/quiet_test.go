package quiet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/internal/alert/quiet"
)

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func eq(name, value string) quiet.Matcher {
	return quiet.Matcher{Name: name, Value: value, IsEqual: true}
}

func TestMatchers(t *testing.T) {
	sub := quiet.Subject{Source: "prom", Service: "payments", Title: "Disk full", Severity: "critical", Labels: map[string]string{"instance": "db-1", "team": "x"}}
	named := sub
	named.Labels = map[string]string{"alertname": "DiskFull", "service": "billing"}
	for _, c := range []struct {
		name string
		sub  quiet.Subject
		m    quiet.Matcher
		want bool
	}{
		{"equal", sub, eq("instance", "db-1"), true},
		{"not equal", sub, eq("instance", "db-2"), false},
		{"negated", sub, quiet.Matcher{Name: "instance", Value: "db-2"}, true},
		{"regular expression", sub, quiet.Matcher{Name: "instance", Value: "db-.", IsRegex: true, IsEqual: true}, true},
		{"anchored", sub, quiet.Matcher{Name: "instance", Value: "db", IsRegex: true, IsEqual: true}, false},
		{"alternatives are anchored as one", sub, quiet.Matcher{Name: "instance", Value: "db|x", IsRegex: true, IsEqual: true}, false},
		{"negated expression", sub, quiet.Matcher{Name: "instance", Value: "web.*", IsRegex: true}, true},
		{"a label that is not there is empty", sub, eq("zone", ""), true},
		{"service", sub, eq("service", "payments"), true},
		{"source", sub, eq("source", "prom"), true},
		{"severity", sub, eq("severity", "critical"), true},
		{"title stands for alertname", sub, eq("alertname", "Disk full"), true},
		{"the label alertname first", named, eq("alertname", "DiskFull"), true},
		{"the label service first", named, eq("service", "billing"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.m.Compile(); err != nil {
				t.Fatal(err)
			}
			s := quiet.Silence{Matchers: []quiet.Matcher{c.m}}
			if got := s.Matches(&c.sub); got != c.want {
				t.Errorf("%s: %v", c.m, got)
			}
		})
	}
	bad := quiet.Matcher{Name: "a", Value: "(", IsRegex: true, IsEqual: true}
	if bad.Compile() == nil {
		t.Error("a broken expression compiles")
	}
}

func TestReason(t *testing.T) {
	set := quiet.Set{
		Silences: []quiet.Silence{
			{ID: "over", Matchers: []quiet.Matcher{eq("service", "payments")}, From: now.Add(-time.Hour), Until: now},
			{ID: "later", Matchers: []quiet.Matcher{eq("service", "payments")}, From: now.Add(time.Minute), Until: now.Add(time.Hour)},
			{ID: "scoped", Matchers: []quiet.Matcher{eq("team", "x")}, From: now, Until: now.Add(time.Hour), Scope: "prom"},
			{ID: "nothing", From: now, Until: now.Add(time.Hour)},
		},
		Windows: []quiet.Window{{ID: "w", Services: []string{"mail"}, From: now, Until: now.Add(time.Hour)}},
		Needs:   quiet.Close(map[string][]string{"web": {"api"}, "api": {"db"}, "ring": {"loop"}, "loop": {"ring"}}),
	}
	team := map[string]string{"team": "x"}
	down := func(list ...string) func(string) string {
		return func(s string) string {
			if slices.Contains(list, s) {
				return "alert-" + s
			}
			return ""
		}
	}
	for _, c := range []struct {
		name string
		sub  quiet.Subject
		at   time.Time
		down func(string) string
		want string
	}{
		{"none", quiet.Subject{Service: "payments"}, now, nil, ""},
		{"not over until its end", quiet.Subject{Service: "payments"}, now.Add(-time.Second), nil, "silence:over"},
		{"from its beginning", quiet.Subject{Service: "payments"}, now.Add(time.Minute), nil, "silence:later"},
		{"of its source", quiet.Subject{Source: "prom", Labels: team}, now, nil, "silence:scoped"},
		{"of another source", quiet.Subject{Source: "other", Labels: team}, now, nil, ""},
		{"maintenance", quiet.Subject{Service: "mail"}, now, nil, "maintenance:w"},
		{"maintenance is over", quiet.Subject{Service: "mail"}, now.Add(time.Hour), nil, ""},
		{"through another", quiet.Subject{Service: "web"}, now, down("db"), "dependency:alert-db"},
		{"the deepest is the cause", quiet.Subject{Service: "web"}, now, down("api", "db"), "dependency:alert-db"},
		{"itself is no cause", quiet.Subject{Service: "ring"}, now, down("ring"), ""},
		{"a service that needs nothing", quiet.Subject{Service: "mail2"}, now, down("db"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, ok := set.Of(&c.sub, c.at, c.down)
			if r.String() != c.want || ok != (c.want != "") {
				t.Errorf("%q, want %q", r, c.want)
			}
			if got := quiet.Parse(c.want); got != r {
				t.Errorf("read back as %+v", got)
			}
		})
	}
	for _, s := range []string{"", "not in production", "silence", "route: x"} {
		if r := quiet.Parse(s); r.Kind != "" {
			t.Errorf("%q is read as %+v", s, r)
		}
	}
}

func TestNeeds(t *testing.T) {
	c := quiet.Close(map[string][]string{"web": {"api", "cdn"}, "api": {"db", "cache"}, "cache": {"db"}})
	if got := c["web"]; !slices.Equal(got, []string{"cdn", "db", "cache", "api"}) {
		t.Errorf("web needs %v", got)
	}
	if got := c.Dependents("db"); !slices.Equal(got, []string{"api", "cache", "web"}) {
		t.Errorf("db carries %v", got)
	}
	if c.Depth("db") >= c.Depth("api") || c.Depth("api") >= c.Depth("web") {
		t.Error("a cause comes before what suffers of it")
	}
	if n := c.Needed(); n["web"] || !n["db"] {
		t.Errorf("needed: %v", n)
	}
}

func TestFlaps(t *testing.T) {
	var f quiet.Flaps
	for i := range quiet.FlapEnds {
		if f.Flapping("k", now) {
			t.Fatalf("flaps after %d ends", i)
		}
		f.Ended("k", now.Add(time.Duration(i)*time.Minute))
	}
	if !f.Flapping("k", now.Add(9*time.Minute)) || f.Flapping("other", now) {
		t.Error("three ends in ten minutes are flapping, of that alert alone")
	}
	if f.Flapping("k", now.Add(quiet.FlapWindow)) {
		t.Error("the first end is too old to count")
	}
	f.Forget(now.Add(time.Hour))
	if f.Flapping("k", now.Add(2*time.Minute)) {
		t.Error("not forgotten")
	}
}

func TestStorms(t *testing.T) {
	var s quiet.Storms
	for i := range quiet.StormGroups {
		if g := s.Group("r", fmt.Sprint(i), now); g != fmt.Sprint(i) {
			t.Fatalf("group %d is %s", i, g)
		}
	}
	if g := s.Group("r", "new", now.Add(time.Second)); g != quiet.Storm {
		t.Errorf("one too many is %s", g)
	}
	if g := s.Group("r", "3", now.Add(time.Second)); g != "3" {
		t.Errorf("a group that was there is %s", g)
	}
	if g := s.Group("other", "new", now); g != "new" {
		t.Errorf("another rule's is %s", g)
	}
	if g := s.Group("r", "new", now.Add(quiet.StormWindow)); g != "new" {
		t.Errorf("after the storm it is %s", g)
	}
}
