package notify

import (
	"testing"
	"time"
)

func TestRetryAt(t *testing.T) {
	first := time.Unix(1000, 0)
	for made, want := range []int64{1000, 1005, 1015, 1045, 1120, 1300} {
		at, ok := RetryAt(first, made)
		if !ok || at.Unix() != want {
			t.Errorf("after %d: %v %v, want %d", made, at.Unix(), ok, want)
		}
	}
	if _, ok := RetryAt(first, 6); ok {
		t.Error("a seventh try")
	}
}

func TestUrgent(t *testing.T) {
	for sev, want := range map[string]bool{"sev1": true, "sev2": true, "": true, "sev3": false, "sev4": false} {
		if Urgent(sev) != want {
			t.Errorf("%q: %v", sev, !want)
		}
	}
}
