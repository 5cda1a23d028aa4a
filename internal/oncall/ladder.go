package oncall

import (
	"slices"
	"time"
)

// States of a ladder.
const (
	Running   = "running"
	Answered  = "answered"
	Exhausted = "exhausted"
	Stopped   = "stopped"
)

// Kinds of a rung.
const (
	KindStep       = "step"
	KindSuccession = "succession"
	KindEveryone   = "everyone"
	KindLastResort = "last_resort"
)

// Frozen is what a ladder keeps as it was when it started.
type Frozen struct {
	Policy   string        `json:"policy"`
	Version  int64         `json:"version"`
	Steps    []Step        `json:"steps"`
	Rounds   int           `json:"rounds"`
	Gap      time.Duration `json:"gap"`
	Services []string      `json:"services,omitempty"`
	// Severity is "" for not assessed.
	Severity string `json:"severity"`
	Kind     string `json:"kind,omitempty"`
	Title    string `json:"title,omitempty"`
	// Succession is the order of roles.commander.
	Succession []string `json:"succession,omitempty"`
	// Everyone and LastResort say whether these come after the succession.
	Everyone   bool `json:"everyone,omitempty"`
	LastResort bool `json:"last_resort,omitempty"`
	// OnlyPerson makes a single step to this person, as practice does.
	OnlyPerson string `json:"only_person,omitempty"`
	// Owner is who role:owner stands for.
	Owner string `json:"owner,omitempty"`
	// Turn counts the ladders of the policy, for round robin.
	Turn     int  `json:"turn,omitempty"`
	Exercise bool `json:"exercise,omitempty"`
	// Manual is set when a person asked for the page: it runs at sev4 too.
	Manual bool `json:"manual,omitempty"`
	// Dormant is a ladder that sev4 keeps from starting, Ended one that will not
	// start any more because the incident ended before.
	Dormant bool `json:"dormant,omitempty"`
	Ended   bool `json:"ended,omitempty"`
	// Informs is a ladder that goes on until somebody knows; who answers it does not
	// take the incident, and who takes the incident does not answer it.
	Informs bool `json:"informs,omitempty"`
	// Lap counts how often the ladder began again after it had run out.
	Lap int `json:"lap,omitempty"`
	// Asked is when each person was last asked.
	Asked map[string]Ask `json:"asked,omitempty"`
	// Silent is set while the ladder runs because its holder does not have it any more.
	Silent *Silent `json:"silent,omitempty"`
}

// Ask is when somebody was asked, in microseconds, and in which round.
type Ask struct {
	At    int64 `json:"at"`
	Round int   `json:"round"`
}

// Silent is a holder who gave no sign, or said that they are not on it any more.
type Silent struct {
	Person string `json:"person"`
	// TookAt is when the person took it, Since when the last sign came.
	TookAt time.Time `json:"took_at,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	// Reason is silent or not_here.
	Reason string `json:"reason"`
}

// Rung is one thing that a ladder does at one instant.
type Rung struct {
	// Round and Step count from 1; after the last round, Step goes on counting.
	Round, Step int
	Kind        string
	Targets     []string
	RoundRobin  bool
	// After is the time since the start of the ladder.
	After time.Duration
}

// Rungs lists all that a ladder does when nobody answers. A ladder of sev4 does
// nothing: its primary gets a notice. One without steps begins with the succession.
func Rungs(f Frozen) []Rung {
	if f.OnlyPerson != "" {
		return []Rung{{Round: 1 + f.Lap, Step: 1, Kind: KindStep, Targets: []string{"person:" + f.OnlyPerson}}}
	}
	if f.Severity == Sev4 && !f.Manual {
		return nil
	}
	var out []Rung
	var base, last time.Duration
	rounds := max(f.Rounds, 1)
	// A lap goes on counting: a page is one per person, ladder, round and step.
	before := f.Lap * rounds
	for round := 1; round <= rounds && len(f.Steps) > 0; round++ {
		for i, s := range f.Steps {
			after := time.Duration(s.After)
			if f.Severity == Sev1 && round == 1 && i == 1 && !f.Informs {
				after = time.Duration(f.Steps[0].After)
			}
			out = append(out, Rung{Round: before + round, Step: i + 1, Kind: KindStep, Targets: s.Page, RoundRobin: s.RoundRobin, After: base + after})
		}
		last = base + time.Duration(f.Steps[len(f.Steps)-1].After)
		base = last + f.Gap
	}
	n := len(f.Steps)
	add := func(kind string, targets ...string) {
		n++
		out = append(out, Rung{Round: before + rounds, Step: n, Kind: kind, Targets: targets, After: base})
		base += f.Gap
	}
	for _, p := range f.Succession {
		add(KindSuccession, "person:"+p)
	}
	if f.Everyone {
		add(KindEveryone)
	}
	if f.LastResort {
		add(KindLastResort)
	}
	return out
}

// Position is where a ladder stands.
type Position struct {
	// Base is the instant from which Rung.After counts; it moves when a step is
	// hastened or the ladder resumes.
	Base time.Time
	// Next is the index in Rungs of what runs next.
	Next int
}

// NextAt is when the next rung runs; ok is false when none is left.
func (p Position) NextAt(rungs []Rung) (at time.Time, ok bool) {
	if p.Next >= len(rungs) {
		return time.Time{}, false
	}
	return p.Base.Add(rungs[p.Next].After), true
}

// Hasten lets the next rung run now; the ones after it keep their distance to it.
func (p Position) Hasten(rungs []Rung, now time.Time) Position {
	if at, ok := p.NextAt(rungs); ok && at.After(now) {
		p.Base = p.Base.Add(-at.Sub(now))
	}
	return p
}

// Late moves the ladder when its next rung could not run in time, so that those
// woken late are still given their time to answer.
func (p Position) Late(rungs []Rung, now time.Time) Position {
	if at, ok := p.NextAt(rungs); ok && now.Sub(at) > 30*time.Second {
		p.Base = p.Base.Add(now.Sub(at))
	}
	return p
}

// Again brings a ladder that had run out back to its first rung, now; one that
// had not goes on with its next.
func (p Position) Again(rungs []Rung, now time.Time) Position {
	if p.Next >= len(rungs) {
		return Position{Base: now}
	}
	p.Base = now.Add(-rungs[p.Next].After)
	return p
}

// AskedLately tells whether all of the people were asked less than the gap of a round
// ago. until is when that is over, for those who were asked in an earlier round than
// this one; zero when it was in this one.
func AskedLately(f Frozen, round int, people []Paged, now time.Time) (until time.Time, lately bool) {
	for _, p := range people {
		ask, ok := f.Asked[p.Person]
		over := time.UnixMicro(ask.At).UTC().Add(f.Gap)
		if !ok || !over.After(now) {
			return time.Time{}, false
		}
		if ask.Round < round && over.After(until) {
			until = over
		}
	}
	return until, len(people) > 0
}

// Raised gives the position after the severity rose to sev1: the second step of
// the first round no longer waits.
func (p Position) Raised(f Frozen, now time.Time) Position {
	rungs := Rungs(f)
	if f.Severity == Sev1 && p.Next == 1 {
		return p.Hasten(rungs, now)
	}
	return p
}

// Asked tells whether a holder's silence is asked about at a severity.
func Asked(severity string) bool { return severity == "" || severity == Sev1 || severity == Sev2 }

// Pick chooses the person of a round-robin step.
func Pick(people []Paged, turn, round int) []Paged {
	if len(people) < 2 {
		return people
	}
	i := (turn + round - 1) % len(people)
	return slices.Clone(people[i : i+1])
}

// StartAt is when a policy with service hours may page for a severity: at once, or
// when the hours begin.
func StartAt(h *ServiceHours, zone, severity string, now time.Time) (time.Time, error) {
	if h == nil || Asked(severity) {
		return now, nil
	}
	if h.Timezone != "" {
		zone = h.Timezone
	}
	loc, r, err := compileHours(h, zone)
	if err != nil || r.none() {
		return now, err
	}
	for _, s := range r.spans(loc, now, now.AddDate(0, 0, 9)) {
		if now.Before(s.to) {
			return later(now, s.from), nil
		}
	}
	return now, nil
}
