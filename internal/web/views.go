package web

import (
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// Person is somebody as a page shows them.
type Person struct{ ID, Name string }

// IncidentRow is an incident in a list.
type IncidentRow struct {
	Ref, Title, Severity, Phase, Status string
	Commander                           Person
	Services                            []string
	// ServiceNames are the services as people call them.
	ServiceNames                []string
	Declared, Closed, Recovered time.Time
	Exercise, Confidential      bool
	Answered                    bool
	// Review is the state of its review; empty before there is one.
	Review string
}

// IncidentFilter narrows the list; empty fields do not.
type IncidentFilter struct {
	Status, Severity, Phase, Service, Kind, Q string
	// Active leaves out those in review.
	PersonalData, Active bool
	// Sort is an order of incident.Filter.
	Sort     string
	From, To time.Time
}

// Line is one line of a timeline, already in the reader's language.
type Line struct {
	ID                 string
	Happened, Recorded time.Time
	Kind, Actor, Words string
	// Starred marks a key moment, ByRule one that nobody had to star.
	Starred, ByRule, Erased bool
	// Corrected is what a later line says it should have said.
	Corrected string
}

// Task is a piece of work inside an incident.
type Task struct {
	ID, Title string
	Assignee  Person
	Due       time.Time
	Done      bool
}

// Held is a role in an incident and who holds or is offered it.
type Held struct {
	Role    kit.Role
	Person  Person
	Offered Person
	// Offer is the id of the hand-over that waits.
	Offer string
}

// Assessment is the five answers.
type Assessment struct {
	Who, What, Data, Trend, Change string
	DataKinds                      []string
	People                         string
	// Services are those that are affected; nil leaves them as they are.
	Services []string
}

// Result is what an assessment would give: the level, the line that decides it
// (service, data or spread) and the consequences.
type Result struct {
	Severity, Because string
	// Will is what confirming adds, Wont what it withdraws.
	Will, Wont []Duty
}

// Duty is one thing that a response level asks for: its name and how long after.
type Duty struct {
	Key   string
	After time.Duration
}

// ChangeRow is a change of a service just before an incident.
type ChangeRow struct {
	Ref, Summary, Service string
	At                    time.Time
}

// SameIncident is another open incident that seems to be the same: From would be merged
// into Into. Alert of Source is what tells so, Why one of the words of the alert module.
type SameIncident struct{ Ref, Title, Alert, Source, Why, From, Into string }

// Incident is the whole of one incident as its page shows it.
type Incident struct {
	IncidentRow
	ID, Summary                      string
	Occurred, Detected, Acknowledged time.Time
	Contained, Restored, Eradicated  time.Time
	Assessed                         time.Time
	Kind                             string
	// Moves tell how each phase was reached.
	Moves        map[string]move
	DeclaredByMe bool
	// Held are the roles the reader holds in it.
	Held   []kit.Role
	Roles  []Held
	Tasks  []Task
	Alerts []AlertRow
	// Same are other open incidents that seem to be the same.
	Same       []SameIncident
	Changes    []ChangeRow
	Deliveries []notify.Delivery
	Answers    Assessment
	// NextPage tells who is paged next, while nobody has answered.
	NextPage   string
	NextPageAt time.Time
	MergedInto string
	// Proposes is "restored" or "reopen" when the record proposes it.
	Proposes string
}

// move is how a phase was last reached, or passed over.
type move struct {
	// Line is the first line of the phase in the timeline.
	Line          int64
	Skipped, Back bool
	Reason        string
}

// AlertRow is an alert in a list.
type AlertRow struct {
	ID, Title, State, Severity, Service, Source string
	First, Last                                 time.Time
	Count                                       int64
	// Incident is the internal id of the incident it belongs to, Ref its reference.
	Incident, Ref string
	// Symptoms is how many alerts it holds back as their cause.
	Symptoms int
}

// Declare is the declaration form.
type Declare struct {
	Title, Impact string
	Data          bool
	Exercise      bool
	Confidential  bool
	Service       string
	Alert         string
}

// Act is one command on an incident; which fields count depends on Do.
type Act struct {
	// Do is acknowledge, note, task, task_done, phase, close, offer, take, accept,
	// decline, cancel, merge, reopen, confidential or public.
	Do                         string
	Text, Reason, Person, Into string
	Phase, Severity, ID        string
	Role                       kit.Role
	At                         time.Time
	Answers                    map[string]any
}
