package web

import (
	"context"
	"time"

	"tocsin/internal/kit"
)

// Person is somebody as a page shows them.
type Person struct{ ID, Name string }

// IncidentRow is an incident in a list.
type IncidentRow struct {
	Ref, Title, Severity, Phase, Status string
	Commander                           Person
	Services                            []string
	Declared, Closed, Recovered         time.Time
	Review                              string
	Exercise, Confidential              bool
	Answered                            bool
}

// IncidentFilter narrows the list; empty fields do not.
type IncidentFilter struct {
	Status, Severity, Phase, Service, Kind, Q string
	PersonalData                              bool
	From, To                                  time.Time
}

// Line is one line of a timeline, already in the reader's language.
type Line struct {
	ID                    string
	Happened, Recorded    time.Time
	Kind, Actor, Words    string
	Via                   string
	Starred               bool
	Corrects, CorrectedBy string
}

// Task is a piece of work inside an incident.
type Task struct {
	ID, Title string
	Assignee  Person
	Due       time.Time
	Done      bool
}

// Delivery is one message to one address.
type Delivery struct {
	ID, Person, Method, State, Error string
	At                               time.Time
}

// Held is a role in an incident and who holds or is offered it.
type Held struct {
	Role    kit.Role
	Person  Person
	Offered Person
}

// Action is an agreed work of a review.
type Action struct {
	Ref, Title, Kind, State, Incident, Proof string
	Owner                                    Person
	Due                                      time.Time
}

// Review is the post-incident review.
type Review struct {
	State                      string
	Factors                    []string
	Well, Surprised, NoActions string
	Summary                    string
	Owner, ApprovedBy          Person
	Due, ApprovedAt            time.Time
	Actions                    []Action
	// Filled are the lines that the record wrote itself: name and value.
	Filled [][2]string
}

// Assessment is the five answers.
type Assessment struct {
	Who, What, Data, Trend, Change string
	DataKinds                      []string
	People                         string
	Services                       []string
}

// Result is what an assessment would give: the level, the line that decides it
// (service, data or spread) and the consequences in the reader's words.
type Result struct {
	Severity, Because string
	Will              []string
}

// Incident is the whole of one incident as its page shows it.
type Incident struct {
	IncidentRow
	ID, Kind, Source, Summary, Personal string
	Version                             int64
	Occurred, Acknowledged, Contained   time.Time
	Restored                            time.Time
	Skipped                             []string
	// Held are the roles the reader holds in it.
	Held       []kit.Role
	Roles      []Held
	Tasks      []Task
	Alerts     []AlertRow
	Changes    [][2]string
	Deliveries []Delivery
	Answers    Assessment
	Computed   string
	// NextPage tells who is paged next, while nobody has answered.
	NextPage   string
	NextPageAt time.Time
	MergedInto string
	Reason     string
	// Proposes is "restored" or "reopen" when the record proposes it.
	Proposes string
}

// AlertRow is an alert in a list of an incident.
type AlertRow struct {
	ID, Title, State, Severity string
	Last                       time.Time
	Count                      int64
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
	// Do is acknowledge, note, star, task, task_done, phase, close, offer, take,
	// accept, decline, cancel, merge, reopen, confidential, public, summary,
	// severity, retry, page.
	Do                         string
	Text, Reason, Person, Into string
	Phase, Severity, ID        string
	Role                       kit.Role
	At                         time.Time
	Answers                    map[string]string
}

// Incidents is what the pages ask of incidents.
type Incidents interface {
	List(ctx context.Context, f IncidentFilter, p kit.Page) (kit.List[IncidentRow], error)
	Get(ctx context.Context, ref string) (Incident, error)
	Similar(ctx context.Context, title string) ([]IncidentRow, error)
	Declare(ctx context.Context, d Declare) (ref string, err error)
	Do(ctx context.Context, ref string, a Act) error
	Result(ctx context.Context, ref string, a Assessment) (Result, error)
	Assess(ctx context.Context, ref string, a Assessment) error
	Review(ctx context.Context, ref string) (Review, error)
	SaveReview(ctx context.Context, ref string, r Review) error
	AddAction(ctx context.Context, ref string, a Action) error
	FinishAction(ctx context.Context, ref, state, proof string) error
	ApproveReview(ctx context.Context, ref string) error
	Reviews(ctx context.Context, state string) ([]IncidentRow, error)
	Actions(ctx context.Context, owner, state string) ([]Action, error)
	// Dossier gives the record of an incident in a format: html, pdf, docx, md,
	// json or zip.
	Dossier(ctx context.Context, ref, format, lang string) (name, kind string, body []byte, err error)
}

// Timeline reads the lines of an incident in a language, newest first.
type Timeline interface {
	Lines(ctx context.Context, incident, lang, kind string, starred bool, p kit.Page) (kit.List[Line], error)
}

// OpenPage is an unanswered page of a person.
type OpenPage struct {
	ID, Ref, Title, Severity, State string
	At                              time.Time
}

// TokenPage is what the link of a page may show without sign-in.
type TokenPage struct {
	Ref, Title, Severity, Service, Measured, Language string
	// State is open, mine, other or closed.
	State      string
	Holder     string
	Since, Got time.Time
	NextPerson string
	NextAt     time.Time
	Others     []string
	Alerts     int
	Zone       string
}

// Method is a way to reach a person.
type Method struct {
	ID, Kind, Address string
	Tested            time.Time
	LastError         string
}

// Notify is what the pages ask of pages and contact methods.
type Notify interface {
	Mine(ctx context.Context) ([]OpenPage, error)
	Answer(ctx context.Context, page, answer string) error
	ByToken(ctx context.Context, token string) (TokenPage, error)
	AnswerToken(ctx context.Context, token, answer string) error
	Methods(ctx context.Context, person string) ([]Method, error)
	AddMethod(ctx context.Context, kind, address string) error
	RemoveMethod(ctx context.Context, id string) error
	TestMethod(ctx context.Context, id string) error
}

// Fact is what the live updates need of a fact.
type Fact struct {
	Seq int64
	// Type and Incident decide which regions are fetched again.
	Type, Incident string
}

// Facts wakes the live updates.
type Facts interface {
	Watch() (<-chan struct{}, func())
	// After gives the facts after a position that the actor may know of, at most n.
	After(ctx context.Context, seq int64, n int) ([]Fact, error)
	Last(ctx context.Context) (int64, error)
}
