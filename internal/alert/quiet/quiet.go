// Package quiet decides whether an alert is held back, and why: by a silence, a
// maintenance window, a failure of what its service needs, or because it flaps.
// It holds values and takes the instant as an argument.
package quiet

import (
	"slices"
	"strings"
	"time"
)

// Kind is why an alert is held back.
type Kind string

// The reasons for which an alert is held back. A route's own is not among them.
const (
	Silenced    Kind = "silence"
	Maintenance Kind = "maintenance"
	Dependency  Kind = "dependency"
	Flapping    Kind = "flapping"
)

// Reason is why an alert is held back: Rule is the id of the silence, of the window,
// or of the alert that is the cause. The zero value is no reason.
type Reason struct {
	Kind Kind
	Rule string
}

// String is the reason as it is kept with an alert.
func (r Reason) String() string {
	if r.Kind == "" {
		return ""
	}
	return string(r.Kind) + ":" + r.Rule
}

// Parse reads what String wrote; anything else is no reason.
func Parse(s string) Reason {
	kind, rule, ok := strings.Cut(s, ":")
	switch k := Kind(kind); k {
	case Silenced, Maintenance, Dependency, Flapping:
		if ok {
			return Reason{k, rule}
		}
	}
	return Reason{}
}

// Subject is what is known of an alert.
type Subject struct {
	Source, Service, Title, Severity string
	Labels                           map[string]string
}

// value is what a matcher of that name looks at.
func (s *Subject) value(name string) string {
	if v, ok := s.Labels[name]; ok {
		return v
	}
	switch name {
	case "alertname":
		return s.Title
	case "service":
		return s.Service
	case "source":
		return s.Source
	case "severity":
		return s.Severity
	}
	return ""
}

// Silence holds alerts back between two instants. One that a source made, by its own
// protocol, has that source as Scope and touches no other.
type Silence struct {
	ID          string
	Matchers    []Matcher
	From, Until time.Time
	Scope       string
}

// Active tells whether it holds at an instant.
func (s *Silence) Active(now time.Time) bool { return !now.Before(s.From) && now.Before(s.Until) }

// Matches tells whether an alert is meant.
func (s *Silence) Matches(sub *Subject) bool {
	if s.Scope != "" && s.Scope != sub.Source {
		return false
	}
	for i := range s.Matchers {
		if !s.Matchers[i].Matches(sub.value(s.Matchers[i].Name)) {
			return false
		}
	}
	return len(s.Matchers) > 0
}

// Window is planned work on services.
type Window struct {
	ID          string
	Services    []string
	From, Until time.Time
}

// Active tells whether the work is on at an instant.
func (w *Window) Active(now time.Time) bool { return !now.Before(w.From) && now.Before(w.Until) }

// Set is all that holds alerts back.
type Set struct {
	Silences []Silence
	Windows  []Window
	// Needs holds, for each service, all that it cannot be without.
	Needs Closure
}

// Of gives why an alert is held back at an instant. down gives the alert that tells
// of the failure of a service, empty when there is none; nil knows of no failure.
func (s *Set) Of(sub *Subject, now time.Time, down func(service string) string) (Reason, bool) {
	for i := range s.Silences {
		if x := &s.Silences[i]; x.Active(now) && x.Matches(sub) {
			return Reason{Silenced, x.ID}, true
		}
	}
	if sub.Service == "" {
		return Reason{}, false
	}
	for i := range s.Windows {
		if x := &s.Windows[i]; x.Active(now) && slices.Contains(x.Services, sub.Service) {
			return Reason{Maintenance, x.ID}, true
		}
	}
	if down != nil {
		for _, n := range s.Needs[sub.Service] {
			if cause := down(n); cause != "" {
				return Reason{Dependency, cause}, true
			}
		}
	}
	return Reason{}, false
}
