package notify

import (
	"time"

	"tocsin/internal/kit"
)

// Alert is an alert that a page stands for.
type Alert struct {
	// ID is the alert's internal id; it may be empty.
	ID       string `json:"-"`
	DedupKey string `json:"dedup_key"`
	Title    string `json:"title"`
}

// Asked is a person that a step pages.
type Asked struct {
	// Person is the slug.
	Person string
	// Duty is the duty the person has now: primary, secondary, or another word for
	// a person on duty; empty for somebody who is not.
	Duty string
}

// Open asks for the pages of one step of a ladder.
type Open struct {
	// Ladder is the ladder's id; empty makes each page a run of its own.
	Ladder      string
	Step, Round int
	// Incident is the internal id, Ref the reference.
	Incident, Ref string
	// Severity is sev1 … sev4; empty is not assessed and treated as sev2.
	Severity, Title string
	// Service is its id, ServiceName what each reader sees.
	Service     string
	ServiceName kit.Text
	// Since is when it began.
	Since  time.Time
	People []Asked
	// Exercise marks the messages as practice.
	Exercise bool
	// Confidential leaves only reference, severity and link in the messages.
	Confidential bool
	Alerts       []Alert
	// NextPerson is who is paged next without an answer, at NextAt; may be empty.
	NextPerson string
	NextAt     time.Time
	// Text is what somebody who pages by hand says.
	Text string
	// Silent is whom the people stand in for; nil when nobody went silent.
	Silent *Silent
	// Informs asks to confirm that somebody knows; the answer does not take the
	// incident, and who takes the incident does not answer it.
	Informs bool
}

// Silent is a person who had it and gave no sign, or said that they have it no more.
type Silent struct {
	Person string `json:"person"`
	// TookAt is when they took it, Since when their last sign came.
	TookAt time.Time `json:"took_at,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	// Reason is silent or not_here.
	Reason string `json:"reason"`
}

// Person is what messages need to know of somebody.
type Person struct {
	// Name, Email, Language (fr, en) and Timezone (IANA) are filled in, with the
	// organisation's where the person has none.
	ID, Name, Email, Language, Timezone string
	Suspended                           bool
}

// Named is a person with the name shown.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Page is a page as lists show it.
type Page struct {
	ID, Ladder           string
	Incident, Ref        string
	Person               Named
	Step, Round          int
	State                string // open, acknowledged, refused, unanswered, withdrawn
	Severity, Title      string
	Service              string
	ServiceName          kit.Text
	Bundle               string
	Alerts               int
	Exercise             bool
	Confidential         bool
	OpenedAt, AnsweredAt time.Time
	Method               string
	NextPerson           Named
	NextAt               time.Time
	EndedBy, EndedReason string
	Duty, Text           string
	Since                time.Time
	Silent               *Silent
	Informs              bool
}

// The states of a page.
const (
	PageIsOpen         = "open"
	PageIsAcknowledged = "acknowledged"
	PageIsRefused      = "refused"
	PageIsUnanswered   = "unanswered"
	PageIsWithdrawn    = "withdrawn"
)

// PageReturned is the EndedReason of an acknowledged page whose person does not have
// it any more. That of one whose incident is over is the type of the fact.
const PageReturned = "returned"

// View is what the holder of a token sees; Kind is page, notice, question or test.
type View struct {
	Kind   string
	Person Person
	// Page is the page at the head of the bundle: open ones first, the gravest first.
	Page Page
	// Pages counts the pages that one answer answers; Alerts are at most 20 of
	// AlertCount.
	Pages      int
	Alerts     []Alert
	AlertCount int
	// TakenBy has it already, since TakenAt.
	TakenBy Named
	TakenAt time.Time
	// Subject and Text are those of a notice; Seen is when it was pressed, or when
	// a test was answered.
	Subject, Text string
	Seen          time.Time
	// Answer is what was answered to a question: here, not_here, closed when it is
	// asked no more, empty before.
	Answer string
}

// Filter narrows a list of pages; empty fields do not.
type Filter struct {
	State, Person, Incident, Ladder string
	Page                            kit.Page
}

// Attempt is one try of a delivery.
type Attempt struct {
	At    time.Time `json:"at"`
	State State     `json:"state"`
	Error string    `json:"error,omitempty"`
}

// Delivery is one message to one address as lists show it.
type Delivery struct {
	ID string
	// Message is page, notice or test; MessageID the id of it.
	Message, MessageID string
	Incident, Ref      string
	// RecipientKind is person or contact.
	RecipientKind string
	Recipient     Named
	// Method is the id of the contact method, Kind its kind; To is masked for whom
	// may not see addresses.
	Method, Kind, To string
	State            State
	Attempts         []Attempt
	Error            string
	CreatedAt, DueAt time.Time
	SentAt           time.Time
	ConfirmedAt      time.Time
}

// Method is a way to reach a person.
type Method struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	To   string `json:"to"`
	// Default tells that it is the e-mail address of a person without methods.
	Default bool `json:"default,omitempty"`
	// VerifiedAt is when a test was answered, TestedAt when one was sent.
	VerifiedAt time.Time `json:"verified_at,omitzero"`
	TestedAt   time.Time `json:"tested_at,omitzero"`
	// Disabled says why it is not used: gone when the provider said so.
	Disabled string `json:"disabled,omitempty"`
	// Stale tells that it was not tested within P.channel.
	Stale bool `json:"stale,omitempty"`
}

// Rule is one line of a personal rule for pages.
type Rule struct {
	// After counts from the opening of the page.
	After time.Duration `json:"after"`
	// Method is the id of a contact method.
	Method string `json:"method"`
	// Severities restrict the line; none means all. Not assessed counts as sev2.
	Severities []string `json:"severities,omitempty"`
}

// QuietHours hold what can wait, From and To as "22:00" in the zone.
type QuietHours struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Timezone string `json:"timezone,omitempty"`
}

// Definition is what the organisation file says of a person's messages.
type Definition struct {
	// Path leads errors; empty means people[n] by the position in the list.
	Path    string
	Person  string
	Methods []Method
	Notify  []Rule
	Quiet   *QuietHours
}

// Address is somebody outside the list of people, as the last-resort contact.
type Address struct {
	// Kind is a kind of method, To the address.
	Kind, To       string
	Name, Language string
	Timezone       string
}

// Notice is a message that asks for no answer within minutes.
type Notice struct {
	// Template names the messages message.notice.<template>.subject and .text.
	Template string
	People   []string
	// Addresses are further recipients outside the list of people.
	Addresses     []Address
	Incident, Ref string
	// Severity decides on quiet hours with Urgent: sev1, sev2 and urgent ones are
	// never held. "none" is for a notice about no incident.
	Severity string
	Urgent   bool
	// Confidential leaves reference, severity and link alone.
	Confidential bool
	// Args fill the template: string, kit.Text, time.Time, numbers, []string.
	Args map[string]any
	// At is when it is sent at the earliest; zero means now.
	At time.Time
	// Question asks to answer here or not here, by the methods of a page.
	Question bool
	// UnseenAfter is how long after it was queued a notice that nobody has seen is
	// told as notice.unseen; 0 is never.
	UnseenAfter time.Duration
}

// NoticeView is a notice with who has seen it.
type NoticeView struct {
	ID, Template, Incident, Ref string
	At                          time.Time
	// Seen has the instant for those who pressed it, the zero time for the others.
	Seen map[string]time.Time
}
