package history

import (
	"fmt"
	"strings"
	"time"
)

// Partial is when something happened, as far as it is known: a year at least, then
// perhaps the month, the day and the time of day. It is text in the order of ISO 8601
// ("2019", "2019-03", "2019-03-15", "2019-03-15T14:30"), without a zone; empty is not
// known. Texts compare like instants.
type Partial string

var partialLayouts = []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05"}

// The years that are taken; another is a slip of the pen.
const (
	firstYear = 1900
	lastYear  = 2200
)

// PartialOf joins the parts that are known; zero means not known, and what stands
// behind an unknown part is left out. clock is "15:04", "15:04:05" or empty. It is an
// error for a date that no calendar has.
func PartialOf(year, month, day int, clock string) (Partial, error) {
	if year == 0 {
		return "", nil
	}
	s := fmt.Sprintf("%04d", year)
	if month != 0 {
		s += fmt.Sprintf("-%02d", month)
		if day != 0 {
			s += fmt.Sprintf("-%02d", day)
			if clock != "" {
				s += "T" + strings.TrimSuffix(clock, "Z")
			}
		}
	}
	return ParsePartial(s)
}

// ParsePartial reads a Partial as it is written.
func ParsePartial(s string) (Partial, error) {
	for _, layout := range partialLayouts {
		if len(layout) != len(s) {
			continue
		}
		at, err := time.Parse(layout, s)
		if err != nil {
			return "", fmt.Errorf("no such date: %q", s)
		}
		if at.Year() < firstYear || at.Year() > lastYear {
			return "", fmt.Errorf("year %d", at.Year())
		}
		return Partial(s), nil
	}
	return "", fmt.Errorf("no date: %q", s)
}

// PartialAt gives an instant to the second, in UTC; the zero time is not known.
func PartialAt(at time.Time) Partial {
	if at.IsZero() {
		return ""
	}
	return Partial(at.UTC().Format("2006-01-02T15:04:05"))
}

// First is the first instant that it may mean, read in UTC; zero when not known.
func (p Partial) First() time.Time {
	for _, layout := range partialLayouts {
		if len(layout) == len(p) {
			if at, err := time.Parse(layout, string(p)); err == nil {
				return at
			}
		}
	}
	return time.Time{}
}

// Exact tells whether it is known to the minute.
func (p Partial) Exact() bool { return len(p) >= len("2006-01-02T15:04") }

// parts gives the parts that are known, zero and empty for the others.
func (p Partial) parts() (year, month, day int, clock string) {
	at := p.First()
	if at.IsZero() {
		return 0, 0, 0, ""
	}
	year = at.Year()
	if len(p) >= len("2006-01") {
		month = int(at.Month())
	}
	if len(p) >= len("2006-01-02") {
		day = at.Day()
	}
	if p.Exact() {
		clock = string(p)[len("2006-01-02T"):]
	}
	return year, month, day, clock
}
