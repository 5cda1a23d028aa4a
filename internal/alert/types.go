// Package alert keeps what senders tell: sources with their keys, signals folded
// into alerts, and the routes that decide what becomes of a new alert. Its hot
// path answers a sender only after its signals are durable.
package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"tocsin/internal/alert/quiet"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Severity is the sender's word for how bad it is; it is not the severity of an
// incident (a route maps it).
type Severity string

// The severities of an alert.
const (
	Critical Severity = "critical"
	Error    Severity = "error"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Valid tells whether it is one of the four words.
func (s Severity) Valid() bool {
	return s == Critical || s == Error || s == Warning || s == Info
}

// State is where an alert stands.
type State string

// The states of an alert.
const (
	StateOpen         State = "open"
	StateAcknowledged State = "acknowledged"
	StateResolved     State = "resolved"
	StateSuppressed   State = "suppressed"
)

// Action is what a signal says.
type Action string

// The actions of a signal.
const (
	Trigger     Action = "trigger"
	Acknowledge Action = "acknowledge"
	Resolve     Action = "resolve"
	// Update changes the words of a live alert: its title, annotations, link and
	// severity where they are given. It is not a repeat and never opens an alert.
	Update Action = "update"
)

// Then is what a route does with a new alert.
type Then string

// What a route may do.
const (
	ThenIncident Then = "incident"
	ThenRecord   Then = "record"
	ThenSuppress Then = "suppress"
)

// BuiltIn is the id of the source by which the product tells of itself.
const BuiltIn = "tocsin"

// Limits of what is kept of a signal, in characters (dedup key and title as the
// Events API of PagerDuty has them) and entries.
const (
	MaxDedupKey = 1024
	MaxTitle    = 1024
	MaxLabels   = 128
	MaxSignals  = 5000
)

// Signal is one message of a sender, read and checked by an edge.
type Signal struct {
	// Source is the id of the source.
	Source      string
	DedupKey    string
	Action      Action
	Title       string
	Severity    Severity
	Service     string
	Labels      map[string]string
	Annotations map[string]string
	StartsAt    time.Time
	// EndsAt, when set on a trigger, is when the alert resolves unless refreshed.
	EndsAt time.Time
	// EndsByTimeout says that EndsAt was not told but follows from a default; a
	// told later instant wins over it.
	EndsByTimeout bool
	Link          string
	// Received is the instant of receipt; zero means now.
	Received time.Time

	labels, annotations string // as stored
	// decision and opened, where set, are what opening an alert by this signal comes to:
	// made by whoever brings it, so that the one writer need not.
	decision *Decision
	opened   ledger.Body
}

// Outcome is what became of a signal.
type Outcome struct {
	// Alert is the internal id, empty when the signal was dropped.
	Alert string
	State State
	// New tells that the signal opened the alert.
	New bool
	// Dropped tells that there was nothing to acknowledge or resolve.
	Dropped bool
}

// Alert is one alert as kept.
type Alert struct {
	ID          string
	Source      string
	DedupKey    string
	State       State
	Severity    Severity
	Title       string
	Service     string
	Labels      map[string]string
	Annotations map[string]string
	Link        string
	Count       int64
	FirstAt     time.Time
	LastAt      time.Time
	StartsAt    time.Time
	EndsAt      time.Time
	// AcknowledgedBy is "sender" or a person's id.
	AcknowledgedBy string
	AcknowledgedAt time.Time
	ResolvedAt     time.Time
	// How tells how it was resolved: sent, timeout or by_hand.
	How      string
	Route    string
	Then     Then
	Reason   string
	GroupKey string
	// Incident is the internal id of the incident it is attached to.
	Incident string
}

// Source is a sender with its key.
type Source struct {
	ID      string
	Kind    string
	Service string
	// SeverityMap maps the sender's word to a severity.
	SeverityMap map[string]Severity
	// SilentAfter is after how long without a signal the source counts as silent; 0 never.
	SilentAfter time.Duration
	SourceSettings
	// Secret is what SecretFile holds. It is empty also when the file cannot be read:
	// a source that names one then takes nothing.
	Secret string
	// Mapping is the compiled Map.
	Mapping     *Mapping
	LastHeardAt time.Time
	// SilentSince is since when it counts as silent; zero when it does not.
	SilentSince time.Time
	CreatedAt   time.Time
	Version     int64
}

// SourceSettings is what only some kinds of source have.
type SourceSettings struct {
	// Map makes signals of any JSON (kind json): one CEL expression for each of
	// MapFields.
	Map map[string]string `json:"map,omitempty"`
	// SecretFile names the file with the secret by which the sender signs (kinds
	// github, gitlab).
	SecretFile string `json:"secret_file,omitempty"`
	// Every is how often a heartbeat is due or a probe runs, Grace how late it may be.
	Every time.Duration `json:"every,omitempty"`
	Grace time.Duration `json:"grace,omitempty"`
	// Probe is what a probe asks, as the organisation file says it.
	Probe json.RawMessage `json:"probe,omitempty"`
}

// SourceKinds are the kinds of source the organisation file knows.
var SourceKinds = []string{"alertmanager", "pagerduty", "opsgenie", "cloudevents", "grafana", "github", "gitlab", "json", "scan", "heartbeat", "email", "probe"}

// SourceDef defines a source. Key is empty when one is to be made.
type SourceDef struct {
	ID          string
	Kind        string
	Service     string
	Key         string
	SeverityMap map[string]Severity
	SilentAfter time.Duration
	SourceSettings
}

// Route is one rule: the first that matches decides.
type Route struct {
	ID   string `json:"id"`
	When string `json:"when"`
	Then Then   `json:"then"`
	// Severity is sev1 to sev4, empty for not assessed.
	Severity string   `json:"severity,omitempty"`
	Kind     string   `json:"kind,omitempty"`
	Policy   string   `json:"policy,omitempty"`
	Group    []string `json:"group,omitempty"`
	// Window is the grouping window; default 10 minutes.
	Window time.Duration `json:"window,omitempty"`
	Reason string        `json:"reason,omitempty"`
}

// Decision is what the routes say of one alert.
type Decision struct {
	Route    string
	Then     Then
	Severity string
	Kind     string
	Policy   string
	GroupKey string
	Window   time.Duration
	Reason   string

	// held is why the alert is held back although its route would not; revised says
	// that the decision is no longer the one that was prepared.
	held    quiet.Reason
	revised bool
}

// Held is why the alert is held back, where no route does it: the zero value when it
// is not.
func (a *Alert) Held() quiet.Reason {
	if a.State != StateSuppressed || a.Then == ThenSuppress {
		return quiet.Reason{}
	}
	return quiet.Parse(a.Reason)
}

// Payload is one message as it came in and how it was read.
type Payload struct {
	At   time.Time `json:"at"`
	Path string    `json:"path"`
	// Status is the status answered, in the protocol's own numbers.
	Status int `json:"status"`
	// Body is the message, cut at 16 KiB.
	Body string `json:"body"`
	// Again says that it can be read again as it is kept: whole, and without the headers
	// that came with it.
	Again bool `json:"again,omitempty"`
	// Read says in words how it was understood, or why not.
	Read []string `json:"read,omitempty"`
}

// ID tells a message apart from the others of its source.
func (p Payload) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d|%s|%s", kit.Micros(p.At), p.Path, p.Body))
	return hex.EncodeToString(sum[:8])
}

// Filter narrows a list of alerts; empty fields do not.
type Filter struct {
	State      State
	Source     string
	Service    string
	Incident   string
	Unattached bool
	// Cause is the id of the alert because of which they are held back.
	Cause string
	// Q is searched in the title.
	Q string
}

// Stats counts the live alerts and tells the state of the queue.
type Stats struct {
	Open, Acknowledged, Suppressed int
	// Queued is how many requests wait for the writer now.
	Queued int
	// Taken and Refused count requests since the start.
	Taken, Refused int64
}
