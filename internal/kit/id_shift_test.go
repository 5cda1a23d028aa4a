package kit

import (
	"testing"
	"time"
)

func TestShiftID(t *testing.T) {
	at := time.Now().Add(time.Hour)
	id, early, late := NewIDAt(at), NewIDAt(at.Add(14*time.Minute)), NewIDAt(at.Add(16*time.Minute))
	if up := ShiftID(id, 15*time.Minute); early >= up || late < up {
		t.Errorf("%s is no bound between %s and %s", up, early, late)
	}
	if down := ShiftID(late, -time.Minute); early >= down || late < down {
		t.Errorf("%s is not after %s", down, early)
	}
	if id := ShiftID("none", time.Hour); id != "none" {
		t.Error(id)
	}
}
