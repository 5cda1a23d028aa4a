package notify

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestBucketRate holds the table of model.md 5.2 for any arrivals: within any
// window of length w leave at most burst + w/refill + 1 messages, at least gap
// apart, and nobody waits for a token longer than one refill.
func TestBucketRate(t *testing.T) {
	for _, kind := range []string{"webhook", "email", "sms"} {
		t.Run(kind, func(t *testing.T) {
			l := LimitOf(kind)
			rapid.Check(t, func(t *rapid.T) {
				var b Bucket
				now := noon
				var left []time.Time
				for range rapid.IntRange(1, 200).Draw(t, "n") {
					now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*l.Refill)).Draw(t, "gap")) / time.Duration(rapid.IntRange(1, 50).Draw(t, "crowd")))
					after, at, ok := b.Take(l, now)
					b = after
					if at.Before(now) || !ok && at.Sub(now) > l.Refill {
						t.Fatalf("at %v for %v", at, now)
					}
					if ok {
						if n := len(left); n > 0 && at.Sub(left[n-1]) < l.Gap {
							t.Fatalf("%v after the last", at.Sub(left[n-1]))
						}
						left = append(left, at)
					}
				}
				for i := range left {
					for j := i; j < len(left); j++ {
						if most := l.Burst + int64((left[j].Sub(left[i])+l.Gap*time.Duration(l.Burst))/l.Refill) + 1; int64(j-i+1) > most {
							t.Fatalf("%d in %v", j-i+1, left[j].Sub(left[i]))
						}
					}
				}
			})
		})
	}
}

func TestBucketFirst(t *testing.T) {
	var b Bucket
	l := LimitOf("sms")
	for range 3 {
		var at time.Time
		var ok bool
		if b, at, ok = b.Take(l, noon); !ok || !at.Equal(noon) {
			t.Fatalf("%v %v", at, ok)
		}
	}
	b, at, ok := b.Take(l, noon)
	if ok || at.Sub(noon) != time.Minute {
		t.Fatalf("the fourth: %v %v", at, ok)
	}
	if _, _, ok = b.Take(l, at); !ok {
		t.Fatal("no token when it was promised")
	}
}

func TestQuietUntil(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		x, err := time.ParseInLocation("2006-01-02T15:04", s, paris)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct{ from, to, at, until string }{
		{"22:00", "07:00", "2026-11-23T21:59", ""},
		{"22:00", "07:00", "2026-11-23T22:00", "2026-11-24T07:00"},
		{"22:00", "07:00", "2026-11-24T06:59", "2026-11-24T07:00"},
		{"22:00", "07:00", "2026-11-24T07:00", ""},
		{"12:00", "14:00", "2026-11-24T13:00", "2026-11-24T14:00"},
		{"12:00", "14:00", "2026-11-24T14:00", ""},
		{"22:00", "07:00", "2026-12-31T23:00", "2027-01-01T07:00"},
		{"22:00", "07:00", "2026-10-24T23:00", "2026-10-25T07:00"},
		{"12:00", "12:00", "2026-11-24T12:00", ""},
		{"", "", "2026-11-24T12:00", ""},
	} {
		got, ok := QuietHours{From: c.from, To: c.to}.Until(at(c.at), paris)
		if ok != (c.until != "") || ok && !got.Equal(at(c.until)) {
			t.Errorf("%+v: %v %v", c, got.In(paris), ok)
		}
	}
	if _, ok := (QuietHours{From: "22:00", To: "07:00", Timezone: "Asia/Tokyo"}).Until(at("2026-11-23T16:00"), paris); !ok {
		t.Error("the zone of the hours does not count")
	}
}

func TestPlan(t *testing.T) {
	a, b, c := Method{ID: "a"}, Method{ID: "b"}, Method{ID: "c", Disabled: "gone"}
	for name, x := range map[string]struct {
		rules    []Rule
		severity string
		want     string
	}{
		"default":         {nil, "sev1", "a0s b2m0s "},
		"rule":            {[]Rule{{Method: "b"}, {After: time.Minute, Method: "a"}}, "sev1", "b0s a1m0s "},
		"severity":        {[]Rule{{Method: "b", Severities: []string{"sev1"}}, {Method: "a"}}, "sev3", "a0s "},
		"not assessed":    {[]Rule{{Method: "b", Severities: []string{"sev2"}}}, "", "b0s "},
		"nothing left":    {[]Rule{{Method: "b", Severities: []string{"sev1"}}}, "sev3", "a0s b2m0s "},
		"disabled":        {[]Rule{{Method: "c"}, {After: time.Minute, Method: "a"}}, "sev1", "a1m0s "},
		"only a disabled": {[]Rule{{Method: "c"}}, "sev1", "a0s b2m0s "},
		"twice":           {[]Rule{{After: time.Minute, Method: "a"}, {Method: "a"}}, "sev1", "a0s "},
	} {
		got := ""
		for _, p := range PlanOf([]Method{a, b, c}, x.rules, x.severity) {
			got += p.Method.ID + p.After.String() + " "
		}
		if got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// TestBucketClockBack holds a bucket against a clock that is put back: a message
// leaves at once, and tokens come at their rate by the new clock.
func TestBucketClockBack(t *testing.T) {
	l := LimitOf("email")
	var b Bucket
	for range 5 {
		b, _, _ = b.Take(l, noon)
	}
	back := noon.Add(-time.Hour)
	b, at, ok := b.Take(l, back)
	if ok || at.Sub(back) > l.Refill {
		t.Errorf("an empty bucket: at %s, %v", at, ok)
	}
	if _, at, ok = b.Take(l, back.Add(l.Refill)); !ok || !at.Equal(back.Add(l.Refill)) {
		t.Errorf("after a refill: at %s, %v", at, ok)
	}
	w := LimitOf("webhook")
	first, _, _ := Bucket{}.Take(w, noon)
	if _, at, ok := first.Take(w, back); !ok || !at.Equal(back) {
		t.Errorf("a webhook waits until %s, %v", at, ok)
	}
}
