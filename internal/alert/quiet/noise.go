package quiet

import "time"

// When an alert flaps, and when a rule storms.
const (
	// FlapEnds ends of one alert within FlapWindow, and as many beginnings, are too
	// many: the next beginning is held back until it has lasted a window.
	FlapEnds   = 3
	FlapWindow = 10 * time.Minute
	// StormGroups new groups of one rule within StormWindow are a storm: what comes
	// after them is one group.
	StormGroups = 20
	StormWindow = time.Minute
	// maxTracked bounds what is remembered of either.
	maxTracked = 50_000
)

// Flaps remembers when alerts ended.
type Flaps struct{ ends map[string][]time.Time }

// Ended notes the end of an alert, by its key.
func (f *Flaps) Ended(key string, now time.Time) {
	if f.ends == nil {
		f.ends = map[string][]time.Time{}
	}
	if len(f.ends) >= maxTracked {
		f.Forget(now)
		if len(f.ends) >= maxTracked {
			return
		}
	}
	list := append(f.ends[key], now)
	f.ends[key] = list[max(0, len(list)-FlapEnds):]
}

// Flapping tells whether an alert that begins now has ended too often of late.
func (f *Flaps) Flapping(key string, now time.Time) bool {
	list := f.ends[key]
	return len(list) == FlapEnds && now.Sub(list[0]) < FlapWindow
}

// Forget drops what is too old to count.
func (f *Flaps) Forget(now time.Time) {
	for k, list := range f.ends {
		if now.Sub(list[len(list)-1]) >= FlapWindow {
			delete(f.ends, k)
		}
	}
}

// Storms counts the new groups of each rule.
type Storms struct {
	groups map[string]map[string]time.Time
}

// Group gives the group of a new alert of a rule: its own, or, while that rule has
// too many at once, the one that they share.
func (s *Storms) Group(rule, group string, now time.Time) string {
	if s.groups == nil {
		s.groups = map[string]map[string]time.Time{}
	}
	seen := s.groups[rule]
	if seen == nil {
		seen = map[string]time.Time{}
		s.groups[rule] = seen
	}
	if at, ok := seen[group]; ok && now.Sub(at) < StormWindow {
		return group
	}
	if len(seen) >= StormGroups {
		for g, at := range seen {
			if now.Sub(at) >= StormWindow {
				delete(seen, g)
			}
		}
	}
	if len(seen) >= StormGroups {
		return Storm
	}
	seen[group] = now
	return group
}

// Storm is the group of all that comes after too many groups.
const Storm = "storm"
