package oncall

import "time"

// ChangeLine is one change of a definition.
type ChangeLine struct {
	Path string `json:"path"`
	From any    `json:"from,omitempty"`
	To   any    `json:"to,omitempty"`
}

// ScheduleChanged is the body of schedule.changed.
type ScheduleChanged struct {
	Version int64        `json:"version"`
	Changes []ChangeLine `json:"changes"`
}

// FactType implements ledger.Body.
func (ScheduleChanged) FactType() string { return "schedule.changed" }

// OverrideCreated is the body of override.created.
type OverrideCreated struct {
	Override string    `json:"override"`
	Person   string    `json:"person"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
}

// FactType implements ledger.Body.
func (OverrideCreated) FactType() string { return "override.created" }

// OverrideRemoved is the body of override.removed.
type OverrideRemoved OverrideCreated

// FactType implements ledger.Body.
func (OverrideRemoved) FactType() string { return "override.removed" }

// PolicyChanged is the body of policy.changed.
type PolicyChanged struct {
	Version int64        `json:"version"`
	Changes []ChangeLine `json:"changes"`
}

// FactType implements ledger.Body.
func (PolicyChanged) FactType() string { return "policy.changed" }

// LadderStarted is the body of ladder.started.
type LadderStarted struct {
	Policy   string `json:"policy"`
	Version  int64  `json:"version"`
	Reason   string `json:"reason"`
	Severity string `json:"severity"`
	Steps    []Step `json:"steps"`
	Exercise bool   `json:"exercise,omitempty"`
}

// FactType implements ledger.Body.
func (LadderStarted) FactType() string { return "ladder.started" }

// Paged is a person that a step pages, and why that person.
type Paged struct {
	Person string `json:"person"`
	Target string `json:"target"`
	Why    Why    `json:"why,omitzero"`
}

// Skipped is a target, or a person of it, that a step could not page.
type Skipped struct {
	Target string `json:"target"`
	Person string `json:"person,omitempty"`
	// Reason is nobody_on_duty, nobody_appointed, on_leave, suspended,
	// unreachable, unknown or already_paged.
	Reason string `json:"reason"`
}

// StepRun is the body of ladder.step_run; it holds all that paging needs. The
// subject of the fact is the ladder.
type StepRun struct {
	Ref      string   `json:"ref"`
	Title    string   `json:"title"`
	Severity string   `json:"severity"`
	Services []string `json:"services,omitempty"`
	Exercise bool     `json:"exercise,omitempty"`
	Policy   string   `json:"policy"`
	Round    int      `json:"round"`
	Step     int      `json:"step"`
	// Kind is step, succession, everyone or last_resort.
	Kind     string    `json:"kind"`
	Targets  []string  `json:"targets"`
	People   []Paged   `json:"people"`
	Channels []string  `json:"channels,omitempty"`
	Skipped  []Skipped `json:"skipped,omitempty"`
	// LastResort is set when the organisation's last-resort contact is to be reached.
	LastResort bool `json:"last_resort,omitempty"`
	// Informs is set when whoever answers shall know, not take the incident.
	Informs bool `json:"informs,omitempty"`
	// Silent is whom the step stands in for, when a ladder runs again.
	Silent *Silent `json:"silent,omitempty"`
}

// FactType implements ledger.Body.
func (StepRun) FactType() string { return "ladder.step_run" }

// LadderAnswered is the body of ladder.answered.
type LadderAnswered struct {
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// FactType implements ledger.Body.
func (LadderAnswered) FactType() string { return "ladder.answered" }

// LadderExhausted is the body of ladder.exhausted.
type LadderExhausted struct {
	Reason string `json:"reason"`
}

// FactType implements ledger.Body.
func (LadderExhausted) FactType() string { return "ladder.exhausted" }

// LadderStopped is the body of ladder.stopped.
type LadderStopped struct {
	By     string `json:"by,omitempty"`
	Reason string `json:"reason"`
}

// FactType implements ledger.Body.
func (LadderStopped) FactType() string { return "ladder.stopped" }

// LadderResumed is the body of ladder.resumed.
type LadderResumed struct {
	// By is the holder who was silent, Since when.
	By    string    `json:"by,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Reason is silent, not_here.
	Reason string `json:"reason"`
}

// FactType implements ledger.Body.
func (LadderResumed) FactType() string { return "ladder.resumed" }
