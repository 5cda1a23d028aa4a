// Package report keeps what customers and colleagues tell: what they saw, how they can
// be reached, and what was decided about it.
package report

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/mail"
	"slices"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// State is where a report stands (model.md 6.2).
type State string

// The states of a report.
const (
	StateNew      State = "new"
	StateAttached State = "attached"
	StateDeclared State = "declared"
	StateAnswered State = "answered"
	StateClosed   State = "closed"
)

// States are all of them, in the order in which people look at them.
var States = []State{StateNew, StateAttached, StateDeclared, StateAnswered, StateClosed}

// Channel is the way by which a report came.
type Channel string

// The channels.
const (
	ByForm Channel = "form"
	ByMail Channel = "mail"
	ByAPI  Channel = "api"
)

// Kind is what a report is about.
type Kind string

// The kinds: something does not work, or a weakness of security was seen.
const (
	Problem       Kind = "problem"
	Vulnerability Kind = "vulnerability"
)

// Decision is what a person decides about a report.
type Decision string

// The decisions. The state that each leads to stands in decided.
const (
	Attach  Decision = "attach"
	Declare Decision = "declare"
	Answer  Decision = "answer"
	Close   Decision = "close"
)

// Decisions are all of them.
var Decisions = []Decision{Attach, Declare, Answer, Close}

var decided = map[Decision]State{Attach: StateAttached, Declare: StateDeclared, Answer: StateAnswered, Close: StateClosed}

// Limits of what is taken, in characters.
const (
	MaxText   = 5000
	MaxAnswer = 20_000
	MaxReason = 2000
)

// Why a report is held back: it is kept and shown apart, and raises no alert.
const (
	// HeldHidden is a field that people do not see and that was filled in.
	HeldHidden = "hidden_field"
	// HeldFast is a form that came back faster than a person can write.
	HeldFast = "too_fast"
	// HeldAutomatic is a message that says to be sent by a program or a list.
	HeldAutomatic = "automatic"
)

// Report is one report as kept.
type Report struct {
	// ID is the internal id and Ref the reference REP-n.
	ID  string
	Ref string
	// Channel, Kind, Service (empty: not known), Text and Language (fr or en) are what the
	// reporter told, Contact an e-mail address or nothing.
	Channel  Channel
	Kind     Kind
	Service  string
	Text     string
	Contact  string
	Language string
	State    State
	// Held says why it may be no report of a person; empty is the usual case.
	Held string
	// Proven says that the sender's browser did some work for it.
	Proven     bool
	ReceivedAt time.Time
	// DueAt is by when somebody is to decide.
	DueAt     time.Time
	DecidedAt time.Time
	DecidedBy string
	// Reason is why it was closed, Reply what was answered.
	Reason string
	Reply  string
	// Incident is the internal id of the incident that it belongs to.
	Incident string
	// ToldAt is when the reporter was told that the incident is resolved.
	ToldAt time.Time
}

// Late tells whether the decision is overdue.
func (r Report) Late(now time.Time) bool { return r.State == StateNew && now.After(r.DueAt) }

// Incoming is a report as it comes in.
type Incoming struct {
	Channel  Channel
	Kind     Kind
	Service  string
	Text     string
	Contact  string
	Language string
	// Sender tells senders apart: a network address, a mail address. It is kept as a
	// digest that only this installation can make.
	Sender string
	Held   string
	Proven bool
	// Once is a word of the sender's choice or the form's: a second report with it is the
	// first. Empty is none.
	Once string
}

// check brings a report into its limits and says what is wrong with it.
func (in *Incoming) check(services []string) error {
	var f kit.Fields
	var err error
	if in.Text, err = text.Clean("text", in.Text, MaxText, true); err != nil {
		f = append(f, kit.AsError(err).Fields...)
	} else if in.Text == "" {
		f.Add("text", "error.required")
	}
	if in.Kind == "" {
		in.Kind = Problem
	}
	if in.Kind != Problem && in.Kind != Vulnerability {
		f.Add("kind", "error.bad_value", "value", string(in.Kind))
	}
	if in.Contact = strings.TrimSpace(in.Contact); in.Contact != "" {
		a, err := mail.ParseAddress(in.Contact)
		if err != nil || len(in.Contact) > 254 || a.Name != "" || strings.ContainsAny(a.Address, "\r\n") {
			f.Add("contact", "report.error.contact")
		} else {
			in.Contact = a.Address
		}
	}
	if in.Service != "" && !slices.Contains(services, in.Service) {
		f.Add("service", "report.error.service")
	}
	if in.Language != "fr" {
		in.Language = "en"
	}
	if len(in.Once) > 255 {
		f.Add("once", "error.too_long", "max", 255)
	}
	return f.Err()
}

// Alarming tells whether the reports of one service that came within a window, the
// newest among them, are enough for an alert: so many senders, each counted once, and
// none of them held back. count below 1 is never.
func Alarming(list []Sent, count int) bool {
	senders := map[string]bool{}
	for _, r := range list {
		if r.Held == "" {
			senders[r.Sender] = true
		}
	}
	return count > 0 && len(senders) >= count
}

// Sent is who sent a report, as far as counting needs it.
type Sent struct {
	Sender, Held string
}

// digest is a word that only the holder of the key can make of another.
func digest(key []byte, purpose, word string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("report|" + purpose + "|" + word))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))[:27]
}

// Rights decides whether the actor of the context may do something.
type Rights interface {
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}

// Limits are the working limits of the organisation.
type Limits struct {
	// Triage is within what time somebody is to decide about a report that paged nobody.
	Triage time.Duration
	// Count reports of as many senders within Window on one service are an alert.
	Count  int
	Window time.Duration
}

// Settings gives the working limits, and what services the public may name.
type Settings interface {
	ReportLimits(ctx context.Context) (Limits, error)
	PublicServices(ctx context.Context) ([]string, error)
}
