// Package oncall knows who is on duty and why, and runs the ladders that page
// people until one of them answers.
package oncall

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
)

// Severities as ladders use them; empty means not assessed and is treated as sev2.
const (
	Sev1 = "sev1"
	Sev2 = "sev2"
	Sev3 = "sev3"
	Sev4 = "sev4"
)

// Duration is a length of time written as in the organisation file: 0s, 90s, 5m,
// 4h, 2d, 1w, combined 1h30m; d is 24 hours and w seven days.
type Duration time.Duration

// ParseDuration reads a Duration.
func ParseDuration(s string) (Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	var sum time.Duration
	rest := strings.TrimSpace(s)
	if rest == "" {
		return 0, fmt.Errorf("empty duration")
	}
	for rest != "" {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 0 || i > 9 || i == len(rest) {
			return 0, fmt.Errorf("not a duration: %q", s)
		}
		n, err := strconv.Atoi(rest[:i])
		unit, ok := units[rest[i]]
		if err != nil || !ok || time.Duration(n) > (1<<62)/unit {
			return 0, fmt.Errorf("not a duration: %q", s)
		}
		sum += time.Duration(n) * unit
		if sum < 0 {
			return 0, fmt.Errorf("duration too long: %q", s)
		}
		rest = rest[i+1:]
	}
	return Duration(sum), nil
}

// String writes the duration with the largest units that fit.
func (d Duration) String() string {
	n := time.Duration(d) / time.Second
	if n == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"w", 604800}, {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if n >= u.size {
			fmt.Fprintf(&b, "%d%s", n/u.size, u.name)
			n %= u.size
		}
	}
	return b.String()
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// Rotation is one layer of a schedule: people who follow each other.
type Rotation struct {
	People []string `json:"people" yaml:"people"`
	// Start is the local date-time of the first shift.
	Start string `json:"start" yaml:"start"`
	// Shift is Nh (elapsed hours), Nd or Nw (calendar days in the zone).
	Shift string `json:"shift" yaml:"shift"`
	// Until is the local end; a date alone means the end of that day.
	Until string `json:"until,omitempty" yaml:"until,omitempty"`
	// Days restricts to weekdays (mon … sun), Hours to parts of the day
	// (09:00-18:00; 22:00-06:00 belongs to the day on which it begins).
	Days  []string `json:"days,omitempty" yaml:"days,omitempty"`
	Hours []string `json:"hours,omitempty" yaml:"hours,omitempty"`
	// Layer orders rotations; 0 means the position in the list, from 1. The later
	// layer wins.
	Layer int `json:"layer,omitempty" yaml:"layer,omitempty"`
}

// Override puts a person on duty for a time, From inclusive, To exclusive.
type Override struct {
	ID     string    `json:"id,omitempty"`
	Person string    `json:"person"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	// By is who made it; empty for one of the organisation file.
	By string `json:"by,omitempty"`
}

// LocalOverride is an override as the organisation file writes it: local
// date-times in the schedule's zone.
type LocalOverride struct {
	Person string `json:"person" yaml:"person"`
	From   string `json:"from" yaml:"from"`
	To     string `json:"to" yaml:"to"`
}

// Schedule is who is on duty when.
type Schedule struct {
	ID   string   `json:"id" yaml:"id"`
	Name kit.Text `json:"name,omitzero" yaml:"name,omitempty"`
	// Duty is primary, secondary or other.
	Duty string `json:"duty,omitempty" yaml:"duty,omitempty"`
	// Timezone is an IANA zone; empty means the organisation's.
	Timezone  string     `json:"timezone,omitempty" yaml:"timezone,omitempty"`
	Rotations []Rotation `json:"rotations" yaml:"rotations"`
	// Overrides are those of the organisation file.
	Overrides []LocalOverride `json:"overrides,omitempty" yaml:"overrides,omitempty"`
	Version   int64           `json:"-" yaml:"-"`
}

// Step is one step of a policy.
type Step struct {
	// After counts from the start of the round.
	After Duration `json:"after" yaml:"after"`
	// Page are targets: schedule:ID, role:NAME, person:ID, team:ID, channel:ID.
	Page []string `json:"page" yaml:"page"`
	// When is a CEL expression over incident; the step is left out when false.
	When string `json:"when,omitempty" yaml:"when,omitempty"`
	// RoundRobin pages one of the people, another one each time.
	RoundRobin bool `json:"round_robin,omitempty" yaml:"round_robin,omitempty"`
}

// ServiceHours limit a policy; outside, only sev1, sev2 and not assessed page.
type ServiceHours struct {
	Days     []string `json:"days,omitempty" yaml:"days,omitempty"`
	Hours    []string `json:"hours,omitempty" yaml:"hours,omitempty"`
	Timezone string   `json:"timezone,omitempty" yaml:"timezone,omitempty"`
}

// Policy says who is paged after whom.
type Policy struct {
	ID    string `json:"id" yaml:"id"`
	Steps []Step `json:"steps" yaml:"steps"`
	// Repeat is the number of rounds in all, 1–9; 0 means 2.
	Repeat int `json:"repeat,omitempty" yaml:"repeat,omitempty"`
	// RoundGap is from the last step to the next round; nil means 5m.
	RoundGap     *Duration     `json:"round_gap,omitempty" yaml:"round_gap,omitempty"`
	ServiceHours *ServiceHours `json:"service_hours,omitempty" yaml:"service_hours,omitempty"`
	Version      int64         `json:"-" yaml:"-"`
	// BuiltIn is set for default and clocks as long as nobody replaced them.
	BuiltIn bool `json:"-" yaml:"-"`
}

// BuiltIn gives the policies that exist without being written.
func BuiltIn() []Policy {
	m := func(n int) Duration { return Duration(time.Duration(n) * time.Minute) }
	return []Policy{
		{ID: "default", BuiltIn: true, Steps: []Step{
			{After: 0, Page: []string{"schedule:primary"}},
			{After: m(5), Page: []string{"schedule:secondary"}},
			{After: m(10), Page: []string{"role:commander"}},
		}},
		{ID: "clocks", BuiltIn: true, Steps: []Step{
			{After: 0, Page: []string{"role:owner"}},
			{After: m(15), Page: []string{"role:commander"}},
			{After: m(30), Page: []string{"role:management"}},
		}},
	}
}

// Rounds is Repeat with its default.
func (p Policy) Rounds() int {
	if p.Repeat <= 0 {
		return 2
	}
	return p.Repeat
}

// Gap is RoundGap with its default.
func (p Policy) Gap() time.Duration {
	if p.RoundGap == nil {
		return 5 * time.Minute
	}
	return time.Duration(*p.RoundGap)
}

// Person is somebody as a page shows them.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Next is who comes after, and when.
type Next struct {
	Person Person    `json:"person"`
	From   time.Time `json:"from"`
}

// Slot is an interval of a schedule with the person's name.
type Slot struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Person Person    `json:"person"`
	Why    Why       `json:"why"`
}

// Duty is who is on duty now for one role or schedule.
type Duty struct {
	Role     string    `json:"role"`
	Schedule string    `json:"schedule"`
	Person   Person    `json:"person"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Why      Why       `json:"why"`
	Next     *Next     `json:"next,omitempty"`
	// Reachable is false when nobody is on duty, or the person has no contact
	// method.
	Reachable bool `json:"reachable"`
}

// Reasons of a Gap.
const (
	GapNobody    = "nobody"
	GapSuspended = "suspended"
	GapLeave     = "on_leave"
)

// Gap is a time in which nobody is on duty, or somebody who is not there.
type Gap struct {
	Schedule string    `json:"schedule"`
	Role     string    `json:"role"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Reason   string    `json:"reason"`
	// Person is who should be on duty and is not there.
	Person Person `json:"person,omitzero"`
}

// View is one schedule with its intervals.
type View struct {
	Schedule  Schedule
	Overrides []Override
	Slots     []Slot
}

// Start asks for a ladder.
type Start struct {
	// Incident is the internal id, Ref the reference, Title the line shown.
	Incident, Ref, Title string
	Severity             string
	Services             []string
	// Kind is the incident's kind, for `when` of steps.
	Kind string
	// Policy is the policy's id; empty means that of the first service, else default.
	Policy   string
	Exercise bool
	// OnlyPerson pages this person alone, as practice does.
	OnlyPerson string
	// Owner is who role:owner of a step stands for.
	Owner string
	// Reason says why the ladder starts: declared, page_someone, raised, reopened …
	Reason string
}

// Ladder is a run of a policy as pages show it.
type Ladder struct {
	ID, Incident, Ref, Title string
	Severity                 string
	Services                 []string
	Policy                   string
	PolicyVersion            int64
	// State is running, answered, exhausted or stopped.
	State    string
	Reason   string
	Exercise bool
	Started  time.Time
	// Round and Step are those run last, from 1; 0 before the first.
	Round, Step int
	// NextAt is when the next step runs; zero when none will.
	NextAt     time.Time
	AnsweredBy string
	AnsweredAt time.Time
	// Informs is a ladder whose answer does not take the incident.
	Informs bool
}

// NextPage is who is paged next when nobody answers.
type NextPage struct {
	People []Person
	At     time.Time
	Round  int
	Step   int
}

// Outcome is what became of a page.
type Outcome struct {
	// Ladder is the ladder's id; empty means every running ladder of Incident.
	Ladder, Incident, Person string
	// Round and Step are those of the page; an outcome of a step that is no longer
	// the last one hastens nothing. 0 means: of the last one.
	Round, Step int
}

// File is the part of the organisation file that this package keeps.
type File struct {
	Schedules []Schedule
	Policies  []Policy
}
