package probe_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/internal/alert/probe"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		`{"url":"https://x.example/health","expect":"2xx","timeout":"5s","confirm":3}`: "",
		`{"tcp":"db.example:5432"}`:                 "",
		`{"tcp":"[2001:db8::1]:22","expect":"SSH"}`: "",
		`{"dns":"MX example.com","expect":"mail."}`: "",
		`{"dns":"example.com"}`:                     "",
		`{"icmp":"2001:db8::1"}`:                    "",
		``:                                          "probe",
		`[]`:                                        "probe",
		`{}`:                                        "probe",
		`{"url":"https://x","tcp":"x:1"}`:           "probe",
		`{"url":"https://x","method":"POST"}`:       "probe",
		`{"url":"ftp://x"}`:                         "probe.url",
		`{"url":"https://user:pass@x"}`:             "probe.url",
		`{"tcp":"x"}`:                               "probe.tcp",
		`{"tcp":"x:70000"}`:                         "probe.tcp",
		`{"dns":"SOA example.com"}`:                 "probe.dns",
		`{"icmp":"a b"}`:                            "probe.icmp",
		`{"icmp":"x","expect":"y"}`:                 "probe.expect",
		`{"url":"https://x","timeout":"2m"}`:        "probe.timeout",
		`{"url":"https://x","timeout":"soon"}`:      "probe.timeout",
		`{"url":"https://x","confirm":0}`:           "probe.confirm",
		`{"url":"https://x` + strings.Repeat("x", 3000) + `"}`: "probe",
	} {
		c, f := probe.Parse("", []byte(raw), time.Minute)
		got := ""
		for _, x := range f {
			got += x.Path
		}
		if got != want {
			t.Errorf("%.60s: wrong is %q, want %q", raw, got, want)
		}
		if want == "" && (c.Timeout == 0 || c.Confirm == 0 || c.Target() == "") {
			t.Errorf("%s: %+v", raw, c)
		}
	}
	if _, f := probe.Parse("sources[0].", []byte(`{"icmp":"x"}`), time.Second); len(f) != 1 || f[0].Path != "sources[0].every" {
		t.Errorf("each second: %+v", f)
	}
	for expect, want := range map[string][3]int{"": {200, 399, 1}, "204": {204, 204, 1}, "2xx": {200, 299, 1}, "5XX": {500, 599, 1}, "welcome": {200, 399, 0}, "999": {200, 399, 0}, "20": {200, 399, 0}} {
		from, to, ok := probe.Check{Expect: expect}.Statuses()
		if from != want[0] || to != want[1] || ok != (want[2] == 1) {
			t.Errorf("%q: %d to %d, %v", expect, from, to, ok)
		}
	}
}

// An alarm begins with the last of so many bad results in a row and never before, ends
// with the first good one, and each is told once.
func TestJudge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		confirm := rapid.IntRange(1, 5).Draw(t, "confirm")
		results := rapid.SliceOf(rapid.Bool()).Draw(t, "good")
		s := probe.Status{State: probe.Unknown}
		now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
		bad, failed := 0, false
		var since, good time.Time
		for _, ok := range results {
			now = now.Add(time.Minute)
			why := "down"
			if ok {
				why = ""
			}
			next, change := probe.Judge(s, why, time.Second, confirm, now)
			want := probe.NoChange
			if ok {
				if failed {
					want = probe.Recovered
				}
				bad, failed, good = 0, false, now
			} else {
				if bad++; bad == 1 {
					since = now
				}
				if bad == confirm {
					failed, want = true, probe.HasFailed
				}
			}
			if change != want || (next.State == probe.Failed) != failed || next.Bad != bad || !next.LastGoodAt.Equal(good) || bad > 0 && !next.Since.Equal(since) {
				t.Fatalf("%v after %+v: %+v %q, want %q", ok, s, next, change, want)
			}
			s = next
		}
	})
}
