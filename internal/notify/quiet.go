package notify

import (
	"fmt"
	"time"
)

// minuteOfDay reads "22:00".
func minuteOfDay(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("not a time of day: %q", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// valid tells whether the hours can be used; equal ends are no time at all.
func (q QuietHours) valid() bool {
	from, err := minuteOfDay(q.From)
	if err != nil {
		return false
	}
	to, err := minuteOfDay(q.To)
	return err == nil && from != to
}

// Until gives the end of the quiet hours that hold at an instant; false when none
// do. zone is that of a person whose hours name none.
func (q QuietHours) Until(at time.Time, zone *time.Location) (time.Time, bool) {
	from, err := minuteOfDay(q.From)
	if err != nil {
		return time.Time{}, false
	}
	to, err := minuteOfDay(q.To)
	if err != nil || from == to {
		return time.Time{}, false
	}
	if q.Timezone != "" {
		if z, err := time.LoadLocation(q.Timezone); err == nil {
			zone = z
		}
	}
	l := at.In(zone)
	m := l.Hour()*60 + l.Minute()
	day := l.Day()
	switch {
	case from < to && m >= from && m < to:
	case from > to && m < to:
	case from > to && m >= from:
		day++
	default:
		return time.Time{}, false
	}
	return time.Date(l.Year(), l.Month(), day, to/60, to%60, 0, 0, zone).UTC(), true
}

// PageWaits tells whether quiet hours hold a page: sev3 and sev4 to somebody who
// is not on duty.
func PageWaits(severity string, onDuty bool) bool { return !onDuty && !Urgent(severity) }

// NoticeWaits tells whether quiet hours hold a notice.
func NoticeWaits(severity string, urgent bool) bool {
	return !urgent && (severity == "none" || !Urgent(severity))
}
