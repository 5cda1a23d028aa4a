package alert

import (
	"testing"
	"time"
)

func TestDeadline(t *testing.T) {
	at := func(min int) time.Time {
		return time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC).Add(time.Duration(min) * time.Minute)
	}
	const every, grace = 10 * time.Minute, 2 * time.Minute
	for name, c := range map[string]struct {
		w    watched
		want time.Time
	}{
		"never":                           {watched{heard: at(0)}, time.Time{}},
		"from the last sign":              {watched{interval: every + grace, grace: grace, heard: at(5)}, at(17)},
		"a run must end in its grace":     {watched{interval: every + grace, grace: grace, heard: at(5), run: at(5)}, at(7)},
		"a run that began late":           {watched{interval: every + grace, grace: grace, heard: at(15), run: at(15)}, at(17)},
		"nobody listened":                 {watched{interval: every + grace, grace: grace, heard: at(0), listening: at(60)}, at(72)},
		"nobody listened while it ran":    {watched{interval: every + grace, grace: grace, heard: at(0), run: at(0), listening: at(60)}, at(62)},
		"listening since before it spoke": {watched{interval: every + grace, grace: grace, heard: at(30), listening: at(0)}, at(42)},
	} {
		if got := c.w.deadline(); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
