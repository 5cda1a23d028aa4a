// Package finding keeps what security scanners found, over all their reports: one
// finding stays the same from the report that opens it to the one that proves it
// fixed, with what people decided about it.
package finding

import (
	"context"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// State is where a finding stands (model.md 6.3).
type State string

// The states of a finding.
const (
	StateOpen          State = "open"
	StateFixing        State = "fixing"
	StateAccepted      State = "accepted"
	StateMitigated     State = "mitigated"
	StateFalsePositive State = "false_positive"
	StateFixed         State = "fixed"
)

// States are all of them, in the order in which people look at them.
var States = []State{StateOpen, StateFixing, StateAccepted, StateMitigated, StateFalsePositive, StateFixed}

// Decision is what a person decides about a finding.
type Decision string

// The decisions. The state that each leads to stands in decided.
const (
	Fix           Decision = "fix"
	Accept        Decision = "accept"
	Mitigate      Decision = "mitigate"
	FalsePositive Decision = "false_positive"
)

// Decisions are all of them.
var Decisions = []Decision{Fix, Accept, Mitigate, FalsePositive}

var decided = map[Decision]State{Fix: StateFixing, Accept: StateAccepted, Mitigate: StateMitigated, FalsePositive: StateFalsePositive}

// MaxReason is the longest reason of a decision, in characters.
const MaxReason = 2000

// KindExpiry is the due kind that opens a finding whose acceptance has run out.
const KindExpiry = "finding-expiry"

// Finding is one finding as kept.
type Finding struct {
	// ID is the internal id and Ref the reference FND-n.
	ID  string
	Ref string
	Result
	// Source is the id of the source that told it, Service that of the service it is in.
	Source  string
	Service string
	// Secret says that it is a leaked secret.
	Secret bool
	State  State
	// Decision, Reason, DecidedBy and DecidedAt are those of the last decision; they stay
	// when the finding is fixed.
	Decision  Decision
	Reason    string
	DecidedBy string
	DecidedAt time.Time
	// ExpiresAt ends an acceptance.
	ExpiresAt time.Time
	OpenedAt  time.Time
	// SeenAt is when the last report that named it was finished.
	SeenAt  time.Time
	FixedAt time.Time
	// TriageAt and FixAt are by when it is to be decided, and fixed, accepted or
	// mitigated; zero where P.vuln_sev asks for none.
	TriageAt time.Time
	FixAt    time.Time
}

// Rights decides whether the actor of the context may do something.
type Rights interface {
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}

// Settings gives the working limits of the organisation.
type Settings interface {
	Limits(ctx context.Context) (Limits, error)
}

// Service is the module.
type Service struct {
	db       *db.DB
	rights   Rights
	settings Settings
}

// New makes the module.
func New(d *db.DB, rights Rights, settings Settings) *Service { return &Service{d, rights, settings} }

// Tasks gives the due kinds of the module.
func (s *Service) Tasks() []due.Task {
	return []due.Task{{Kind: KindExpiry, Lane: due.Normal, Run: s.expire}}
}

// Decide keeps what a person decided about a finding. Accepting ends at an instant
// to come; every decision but to fix needs a reason. What is fixed needs none.
func (s *Service) Decide(ctx context.Context, ref string, d Decision, reason string, expires time.Time) (Finding, error) {
	if err := s.rights.Require(ctx, "finding.decide"); err != nil {
		return Finding{}, err
	}
	expires = kit.Truncate(expires)
	reason, err := text.Clean("reason", reason, MaxReason, true)
	var f kit.Fields
	if err != nil {
		f = append(f, kit.AsError(err).Fields...)
	}
	to, ok := decided[d]
	switch {
	case !ok:
		f.Add("decision", "finding.error.decision")
	case reason == "" && err == nil && d != Fix:
		f.Add("reason", "error.required")
	}
	switch {
	case d == Accept && expires.IsZero():
		f.Add("expires", "error.required")
	case d == Accept && !expires.After(s.db.Now()):
		f.Add("expires", "finding.error.past")
	case ok && d != Accept && !expires.IsZero():
		f.Add("expires", "finding.error.no_expiry")
	}
	if err := f.Err(); err != nil {
		return Finding{}, err
	}
	var out Finding
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		r, err := find(ctx, tx, ref)
		if err != nil {
			return err
		}
		from := r.State
		if from == StateFixed {
			return kit.Conflict("fixed", "finding.error.fixed", "ref", r.Ref)
		}
		a := kit.ActorFrom(ctx)
		r.State, r.Decision, r.Reason, r.DecidedBy = to, d, reason, a.ID
		r.DecidedAt, r.ExpiresAt = micros(tx.Now()), micros(expires)
		// The state is asked for again: a report may have come between.
		n, err := update(ctx, tx, r, from, "state", "decision", "reason", "decided_by", "decided_at", "expires_at")
		if err != nil {
			return err
		}
		if n == 0 {
			return kit.Conflict("changed", "finding.error.changed", "ref", r.Ref)
		}
		if err := due.Cancel(ctx, tx, KindExpiry, r.ID); err != nil {
			return err
		}
		if d == Accept {
			if err := due.At(ctx, tx, KindExpiry, r.ID, expires, struct{}{}); err != nil {
				return err
			}
		}
		out = r.finding()
		return ledger.Append(ctx, tx, ledger.Entry{Subject: subject(r), Body: Decided{
			Decision: d, From: from, Reason: reason, Expires: stamp(expires), Due: stamp(out.FixAt),
		}})
	})
	return out, err
}

// expire opens a finding whose acceptance has run out.
func (s *Service) expire(ctx context.Context, tx *db.Tx, row due.Row) error {
	r, err := find(ctx, tx, row.Key)
	if err != nil || r.State != StateAccepted || r.ExpiresAt == nil || *r.ExpiresAt > kit.Micros(tx.Now()) {
		return err
	}
	r.State = StateOpen
	if n, err := update(ctx, tx, r, StateAccepted, "state"); err != nil || n == 0 {
		return err
	}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: subject(r), Body: Reopened{About: r.about(), Why: "expired"}})
}

// reference brings what a person typed to how a reference is written.
func reference(s string) string {
	up := strings.ToUpper(strings.TrimSpace(s))
	if up != "" && strings.Trim(up, "0123456789") == "" {
		up = "FND-" + up
	}
	return up
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}
