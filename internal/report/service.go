package report

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Service is the module.
type Service struct {
	db       *db.DB
	rights   Rights
	settings Settings
	key      []byte
	gate     *gate
}

// New makes the module. key makes the words by which reporters follow their reports.
func New(d *db.DB, rights Rights, settings Settings, key []byte) *Service {
	return &Service{db: d, rights: rights, settings: settings, key: key, gate: newGate()}
}

// Reporter is somebody outside who reports by a channel.
func Reporter(via kit.Via) kit.Actor {
	return kit.Actor{Kind: kit.ActorReporter, ID: "reporter", Via: via}
}

// Receive keeps a report; it is durable when it returns. follow is the word by which
// its sender, and nobody else, can follow it. Strangers need no right, and may send so
// many and no more: then the answer is busy. A report that is told to be the same as
// one before, by Once, is that one.
func (s *Service) Receive(ctx context.Context, in Incoming) (r Report, follow string, err error) {
	a := kit.ActorFrom(ctx)
	stranger := a.Kind == kit.ActorReporter
	if !stranger {
		if err := s.rights.Require(ctx, "report.send"); err != nil {
			return Report{}, "", err
		}
	}
	services, err := s.settings.PublicServices(ctx)
	if err != nil {
		return Report{}, "", err
	}
	if err := in.check(services); err != nil {
		return Report{}, "", err
	}
	l, err := s.settings.ReportLimits(ctx)
	if err != nil {
		return Report{}, "", err
	}
	if in.Once == "" {
		in.Once = rand.Text()
	}
	if in.Sender == "" {
		in.Sender = in.Once
	}
	sender, once := digest(s.key, "sender", in.Sender), digest(s.key, "once", a.Me()+"|"+in.Once)
	if was, err := s.byOnce(ctx, once); err != nil || was != nil {
		if err != nil {
			return Report{}, "", err
		}
		if was.Text != in.Text || was.Service != in.Service || was.Contact != in.Contact {
			return Report{}, "", kit.InvalidField("Idempotency-Key", "report.error.once")
		}
		return was.report(), s.follow(was.ID), nil
	}
	if stranger {
		if err := s.gate.pass(sender, s.db.Now()); err != nil {
			return Report{}, "", err
		}
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.NextNumbers(ctx, "REP", 1)
		if err != nil {
			return err
		}
		now := tx.Now()
		x := &row{
			ID: kit.NewID(), Ref: fmt.Sprintf("REP-%d", n), Number: n, Channel: in.Channel, Kind: in.Kind, Service: in.Service, Text: in.Text, Contact: in.Contact,
			Language: in.Language, State: StateNew, Held: in.Held, Proven: in.Proven, Sender: sender, Once: once,
			ReceivedAt: kit.Micros(now), DueAt: kit.Micros(now.Add(l.Triage)),
		}
		x.Follow, x.Search = hash(s.follow(x.ID)), text.Fold(x.Ref+" "+x.Text+" "+x.Contact)
		if _, err := tx.NewInsert().Model(x).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		r = x.report()
		return ledger.Append(ctx, tx, ledger.Entry{Subject: subject(x), Body: Received{
			Channel: x.Channel, Kind: x.Kind, Service: x.Service, Text: x.Text, ContactGiven: x.Contact != "", Language: x.Language, Held: x.Held,
		}})
	})
	if db.IsUnique(err) {
		// The same form was sent twice at the same time.
		if was, find := s.byOnce(ctx, once); find == nil && was != nil {
			return was.report(), s.follow(was.ID), nil
		}
	}
	return r, s.follow(r.ID), err
}

// follow is the word by which a report can be followed.
func (s *Service) follow(id string) string { return digest(s.key, "follow", id) }

// Follow gives the address word of a report again, for messages to its reporter.
func (s *Service) Follow(r Report) string { return s.follow(r.ID) }

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Triage is a decision with what it needs.
type Triage struct {
	Decision Decision
	// Incident is the internal id of the incident of attach and declare.
	Incident string
	// Text is what is answered, Reason why it is closed.
	Text, Reason string
}

// Check gives what is wrong with a decision whose incident is known.
func (t *Triage) Check() error {
	var f kit.Fields
	var err error
	if _, ok := decided[t.Decision]; !ok {
		f.Add("decision", "error.bad_value", "value", string(t.Decision))
	}
	if t.Text, err = text.Clean("text", t.Text, MaxAnswer, true); err != nil {
		f = append(f, kit.AsError(err).Fields...)
	} else if t.Decision == Answer && t.Text == "" {
		f.Add("text", "error.required")
	}
	if t.Reason, err = text.Clean("reason", t.Reason, MaxReason, true); err != nil {
		f = append(f, kit.AsError(err).Fields...)
	} else if t.Decision == Close && t.Reason == "" {
		f.Add("reason", "error.required")
	}
	return f.Err()
}

// Decide keeps what was decided about a report. A new report takes every decision; one
// that was decided may be answered at any time, and attached to another incident or
// closed until its reporter was told that it is resolved.
func (s *Service) Decide(ctx context.Context, ref string, t Triage) (Report, error) {
	if err := s.rights.Require(ctx, "report.triage"); err != nil {
		return Report{}, err
	}
	if err := t.Check(); err != nil {
		return Report{}, err
	}
	if (t.Decision == Attach || t.Decision == Declare) && t.Incident == "" {
		return Report{}, kit.InvalidField("incident", "error.required")
	}
	var out Report
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		x, err := lock(ctx, tx, ref)
		if err != nil {
			return err
		}
		from := x.State
		if from != StateNew && t.Decision != Answer && (t.Decision == Declare || from == StateDeclared || x.ToldAt != 0 || x.Incident == t.Incident && t.Decision == Attach) {
			return kit.Conflict("decided", "report.error.decided", "ref", x.Ref)
		}
		a, now := kit.ActorFrom(ctx), tx.Now()
		if t.Decision != Answer || from == StateNew {
			x.State = decided[t.Decision]
			x.DecidedAt, x.DecidedBy, x.Reason = kit.Micros(now), a.ID, t.Reason
			x.Incident = t.Incident
			if err := ledger.Append(ctx, tx, ledger.Entry{Subject: subject(x), Incident: x.Incident, Body: Triaged{
				Decision: t.Decision, From: from, Incident: x.Incident, Reason: t.Reason, ByRule: a.IsSystem(), DelayS: int64(now.Sub(kit.FromMicros(x.ReceivedAt)) / time.Second),
			}}); err != nil {
				return err
			}
		}
		if t.Text != "" {
			x.Reply = t.Text
			if err := ledger.Append(ctx, tx, ledger.Entry{Subject: subject(x), Incident: x.Incident, Body: Answered{Text: t.Text, Mailed: x.Contact != ""}}); err != nil {
				return err
			}
		}
		out = x.report()
		_, err = tx.NewUpdate().Model(x).Column("state", "decided_at", "decided_by", "reason", "reply", "incident").WherePK().Exec(ctx)
		return db.MapError(err)
	})
	return out, err
}

// Resolved marks the reports of an incident whose reporters have not been told yet
// that it is resolved, and gives them. It asks for no right: for reactions.
func (s *Service) Resolved(ctx context.Context, incident string) (out []Report, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = nil
		var rows []*row
		q := tx.NewSelect().Model(&rows).Where("incident = ? AND told_at = 0", incident).OrderExpr("number")
		if err := tx.ForUpdate(q).Scan(ctx); err != nil {
			return db.MapError(err)
		}
		for _, x := range rows {
			x.ToldAt = kit.Micros(tx.Now())
			if _, err := tx.NewUpdate().Model(x).Column("told_at").WherePK().Exec(ctx); err != nil {
				return db.MapError(err)
			}
			if err := ledger.Append(ctx, tx, ledger.Entry{Subject: subject(x), Incident: incident, Body: Answered{Resolved: true, Mailed: x.Contact != ""}}); err != nil {
				return err
			}
			out = append(out, x.report())
		}
		return nil
	})
	return out, err
}

// PassOver lets the reports of an incident that was merged belong to the one that goes
// on. It asks for no right: for reactions.
func (s *Service) PassOver(ctx context.Context, from, into string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.NewUpdate().Model((*row)(nil)).Set("incident = ?", into).Where("incident = ? AND incident <> ''", from).Exec(ctx)
		return db.MapError(err)
	})
}

// Alarm tells whether a report is one of enough on its service for an alert. It asks
// for no right: for reactions.
func (s *Service) Alarm(ctx context.Context, id string) (bool, error) {
	l, err := s.settings.ReportLimits(ctx)
	if err != nil {
		return false, err
	}
	x, err := find(ctx, s.db.Read(ctx), id)
	if err != nil || x.Service == "" || x.Held != "" || x.Kind != Problem {
		return false, err
	}
	var list []Sent
	err = s.db.Read(ctx).NewSelect().Model((*row)(nil)).Column("sender", "held").Where("service = ? AND kind = ?", x.Service, Problem).
		Where("received_at > ? AND received_at <= ?", x.ReceivedAt-l.Window.Microseconds(), x.ReceivedAt).Scan(ctx, &list)
	return Alarming(list, l.Count), db.MapError(err)
}

func subject(x *row) ledger.Subject { return ledger.Subject{Kind: "report", ID: x.ID, Ref: x.Ref} }

// reference brings what a person typed to how a reference is written.
func reference(s string) string {
	up := strings.ToUpper(strings.TrimSpace(s))
	if up != "" && strings.Trim(up, "0123456789") == "" {
		up = "REP-" + up
	}
	return up
}

// mailsAnHour is how many confirmations one address gets in an hour at most, whoever
// gives it as theirs.
const mailsAnHour = 3

// Confirms gives a report, and whether its receipt is to be confirmed by mail. It asks
// for no right: for reactions.
func (s *Service) Confirms(ctx context.Context, id string) (Report, bool, error) {
	x, err := find(ctx, s.db.Read(ctx), id)
	if err != nil || x.Contact == "" || x.Held != "" {
		return x.report(), false, err
	}
	n, err := s.db.Read(ctx).NewSelect().Model((*row)(nil)).
		Where("contact = ? AND received_at > ? AND number <= ?", x.Contact, x.ReceivedAt-time.Hour.Microseconds(), x.Number).Count(ctx)
	return x.report(), n <= mailsAnHour, db.MapError(err)
}
