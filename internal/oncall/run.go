package oncall

import (
	"context"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// The kinds of due rows; their key is the ladder's id.
const (
	dueStep   = "ladder-step"
	dueStill  = "ladder-still"
	dueResume = "ladder-resume"
)

type resumeBody struct {
	Asked int64 `json:"asked"`
}

// Tasks are the due rows of the module.
func (s *Service) Tasks() []due.Task {
	return []due.Task{
		{Kind: dueStep, Lane: due.Paging, Run: s.stepDue},
		{Kind: dueStill, Lane: due.Paging, Run: s.stillDue},
		{Kind: dueResume, Lane: due.Paging, Run: s.resumeDue},
		{Kind: dueCoverage, Lane: due.Slow, Run: s.scanCoverage},
	}
}

func (s *Service) fact(ctx context.Context, tx *db.Tx, l *run, b ledger.Body) error {
	return ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "ladder", ID: l.row.ID, Ref: l.row.Ref}, Incident: l.row.Incident, Body: b,
	})
}

// advance runs every rung that is due, notes when the next one is, and ends the
// ladder when none is left. A rung that reaches nobody lets the next one run at once.
// early says that the next rung runs before its time: then it does not ask again
// whom it has just asked. Within a round such a rung is passed over, a new round
// waits until its gap has passed since.
func (s *Service) advance(ctx context.Context, tx *db.Tx, l *run, early bool) error {
	now := tx.Now()
	l.pos = l.pos.Late(l.rungs, now)
	var r *roster
	reached := true
	for {
		at, ok := l.pos.NextAt(l.rungs)
		if !ok || at.After(now) {
			break
		}
		if r == nil {
			var err error
			if r, err = s.rosterAt(ctx, now); err != nil {
				return err
			}
		}
		rung := l.rungs[l.pos.Next]
		step, err := r.step(ctx, &l.frozen, rung, now)
		if err != nil {
			return err
		}
		if until, lately := AskedLately(l.frozen, rung.Round, step.people, now); early && lately {
			if !until.IsZero() {
				l.pos.Base = l.pos.Base.Add(until.Sub(at))
				break
			}
			step.passOver()
		}
		if reached, err = s.runRung(ctx, tx, l, rung, step); err != nil {
			return err
		}
		l.pos.Next++
		if early = !reached; early {
			l.pos = l.pos.Hasten(l.rungs, now)
		}
	}
	if at, ok := l.pos.NextAt(l.rungs); ok {
		return s.wait(ctx, tx, l, at)
	}
	end := now
	if n := len(l.rungs); reached && n > 0 {
		end = l.pos.Base.Add(l.rungs[n-1].After + l.frozen.Gap)
	}
	if end.After(now) {
		return s.wait(ctx, tx, l, end)
	}
	l.row.State, l.row.NextAt = Exhausted, 0
	if err := s.saveRun(ctx, tx, l); err != nil {
		return err
	}
	return s.fact(ctx, tx, l, LadderExhausted{Reason: "nobody_answered"})
}

// step is whom a rung reaches.
type step struct {
	people   []Paged
	skipped  []Skipped
	channels []string
}

func (r *roster) step(ctx context.Context, f *Frozen, rung Rung, at time.Time) (st step, err error) {
	st.people, st.skipped, st.channels, err = r.resolve(ctx, f, rung, at)
	return st, err
}

// passOver leaves out people who were asked just now.
func (st *step) passOver() {
	for _, p := range st.people {
		st.skipped = append(st.skipped, Skipped{Target: p.Target, Person: p.Person, Reason: SkipAlreadyPaged})
	}
	st.people = nil
}

func (s *Service) wait(ctx context.Context, tx *db.Tx, l *run, at time.Time) error {
	l.row.NextAt = kit.Micros(at)
	if err := s.saveRun(ctx, tx, l); err != nil {
		return err
	}
	return due.At(ctx, tx, dueStep, l.row.ID, at, struct{}{})
}

func (s *Service) runRung(ctx context.Context, tx *db.Tx, l *run, rung Rung, st step) (reached bool, err error) {
	f := &l.frozen
	last := rung.Kind == KindLastResort
	ids := make([]string, len(st.people))
	if st.people == nil {
		st.people = []Paged{}
	}
	if rung.Targets == nil {
		rung.Targets = []string{}
	}
	if f.Asked == nil {
		f.Asked = map[string]Ask{}
	}
	for i, p := range st.people {
		ids[i] = p.Person
		f.Asked[p.Person] = Ask{At: kit.Micros(tx.Now()), Round: rung.Round}
	}
	l.row.LastPaged = strings.Join(ids, " ")
	err = s.fact(ctx, tx, l, StepRun{
		Ref: l.row.Ref, Title: l.row.Title, Severity: f.Severity, Services: f.Services, Exercise: f.Exercise, Policy: f.Policy,
		Round: rung.Round, Step: rung.Step, Kind: rung.Kind, Targets: rung.Targets, People: st.people, Channels: st.channels, Skipped: st.skipped,
		LastResort: last, Informs: f.Informs, Silent: f.Silent,
	})
	return len(st.people) > 0 || last || len(st.channels) > 0 && len(st.skipped) == 0, err
}

// follow lets the ladder keep its distances when its row was moved because the clock
// was put back. What it remembers of an instant that now lies ahead was noted by the
// clock as it was before.
func (l *run) follow(due, now time.Time) {
	back := kit.FromMicros(l.row.NextAt).Sub(due)
	if l.row.NextAt == 0 || back <= 0 {
		return
	}
	l.pos.Base = l.pos.Base.Add(-back)
	if kit.FromMicros(l.row.ActiveAt).After(now) {
		l.row.ActiveAt -= back.Microseconds()
	}
	for person, ask := range l.frozen.Asked {
		if kit.FromMicros(ask.At).After(now) {
			ask.At -= back.Microseconds()
			l.frozen.Asked[person] = ask
		}
	}
}

func (s *Service) stepDue(ctx context.Context, tx *db.Tx, row due.Row) error {
	// Many ladders that are due at once share the transaction and the settings they read.
	tx.Remember()
	l, err := s.lockRun(ctx, tx, row.Key)
	if err != nil || l == nil || l.row.State != Running {
		return err
	}
	l.follow(row.DueAt, tx.Now())
	stale, err := s.p.Parameters.Duration(ctx, "P.stale")
	if err != nil {
		return err
	}
	if _, left := l.pos.NextAt(l.rungs); left && tx.Now().Sub(kit.FromMicros(l.row.ActiveAt)) > stale {
		return s.stop(ctx, tx, l, "", "stale")
	}
	if err := s.advance(ctx, tx, l, false); err != nil {
		return err
	}
	kit.CrashPoint("ladder.step")
	return nil
}

func (s *Service) stop(ctx context.Context, tx *db.Tx, l *run, by, reason string) error {
	l.row.State, l.row.NextAt = Stopped, 0
	if err := s.saveRun(ctx, tx, l); err != nil {
		return err
	}
	return s.fact(ctx, tx, l, LadderStopped{By: by, Reason: reason})
}

func (s *Service) cancelDue(ctx context.Context, tx *db.Tx, id string, kinds ...string) error {
	for _, k := range kinds {
		if err := due.Cancel(ctx, tx, k, id); err != nil {
			return err
		}
	}
	return nil
}

// Answered stops the ladder: the person has it. The first answer wins; later ones
// change nothing. It asks for no right: for reactions.
func (s *Service) Answered(ctx context.Context, ladder, person string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lockRun(ctx, tx, ladder)
		if err != nil || l == nil {
			return err
		}
		return s.answered(ctx, tx, l, person)
	})
}

// AnsweredIncident stops every open ladder of the incident that asked for somebody
// to take it: the person has it.
func (s *Service) AnsweredIncident(ctx context.Context, incident, person string) error {
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error {
		if l.frozen.Informs {
			return nil
		}
		return s.answered(ctx, tx, l, person)
	})
}

// eachOf works on the ladders of an incident in one transaction.
func (s *Service) eachOf(ctx context.Context, incident string, fn func(context.Context, *db.Tx, *run) error) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := s.lockIncident(ctx, tx, incident)
		if err != nil {
			return err
		}
		for _, l := range list {
			if err := fn(ctx, tx, l); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) answered(ctx context.Context, tx *db.Tx, l *run, person string) error {
	if l.row.State != Running && l.row.State != Exhausted {
		return nil
	}
	now := kit.Micros(tx.Now())
	l.row.State, l.row.AnsweredBy, l.row.AnsweredAt, l.row.ActiveAt, l.row.NextAt = Answered, person, now, now, 0
	l.frozen.Silent = nil
	if err := s.saveRun(ctx, tx, l); err != nil {
		return err
	}
	if err := s.cancelDue(ctx, tx, l.row.ID, dueStep); err != nil {
		return err
	}
	if err := s.fact(ctx, tx, l, LadderAnswered{By: person, Reason: l.row.Reason}); err != nil {
		return err
	}
	return s.watch(ctx, tx, l)
}

// Refused runs the next step at once.
func (s *Service) Refused(ctx context.Context, o Outcome) error { return s.hasten(ctx, o) }

// Unreachable runs the next step at once, when all methods of a person failed.
func (s *Service) Unreachable(ctx context.Context, o Outcome) error { return s.hasten(ctx, o) }

func (s *Service) hasten(ctx context.Context, o Outcome) error {
	one := func(ctx context.Context, tx *db.Tx, l *run) error {
		last, ok := l.last()
		if l.row.State != Running || !ok {
			return nil
		}
		if o.Step == 0 && !l.lastPaged(o.Person) || o.Step != 0 && (o.Step != last.Step || o.Round != 0 && o.Round != last.Round) {
			return nil
		}
		if _, left := l.pos.NextAt(l.rungs); !left {
			// The last one who was asked said no.
			l.pos.Base = tx.Now().Add(-l.rungs[len(l.rungs)-1].After - l.frozen.Gap)
			if err := s.cancelDue(ctx, tx, l.row.ID, dueStep); err != nil {
				return err
			}
			return s.advance(ctx, tx, l, true)
		}
		l.pos = l.pos.Hasten(l.rungs, tx.Now())
		return s.advance(ctx, tx, l, true)
	}
	if o.Ladder == "" {
		return s.eachOf(ctx, o.Incident, one)
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lockRun(ctx, tx, o.Ladder)
		if err != nil || l == nil {
			return err
		}
		return one(ctx, tx, l)
	})
}

// Stop ends every open ladder of the incident without an answer, and asks nobody
// any more.
func (s *Service) Stop(ctx context.Context, incident, reason string) error {
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error { return s.halt(ctx, tx, l, reason) })
}

// StopLadder is Stop for one ladder; one that is not there is nothing.
func (s *Service) StopLadder(ctx context.Context, ladder, reason string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lockRun(ctx, tx, ladder)
		if err != nil || l == nil {
			return err
		}
		return s.halt(ctx, tx, l, reason)
	})
}

// Known stops the ladders of the incident that were to inform somebody: they know.
func (s *Service) Known(ctx context.Context, incident, person string) error {
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error {
		if !l.frozen.Informs {
			return nil
		}
		return s.answered(ctx, tx, l, person)
	})
}

func (s *Service) halt(ctx context.Context, tx *db.Tx, l *run, reason string) error {
	if l.frozen.Dormant {
		return s.wake(ctx, tx, l, false)
	}
	if err := s.cancelDue(ctx, tx, l.row.ID, dueStep, dueStill, dueResume); err != nil {
		return err
	}
	if l.row.State != Running && l.row.State != Exhausted {
		return nil
	}
	by := ""
	if a := kit.ActorFrom(ctx); a.IsPerson() {
		by = a.ID
	}
	return s.stop(ctx, tx, l, by, reason)
}

// wake takes a ladder that sev4 kept from starting out of its sleep, to run or, when
// the incident ended, for ever.
func (s *Service) wake(ctx context.Context, tx *db.Tx, l *run, start bool) error {
	l.frozen.Dormant = false
	if start {
		l.row.State, l.row.Reason, l.row.ActiveAt = Running, "raised", kit.Micros(tx.Now())
		l.rungs, l.pos = Rungs(l.frozen), Position{Base: tx.Now()}
	} else {
		l.frozen.Ended = true
	}
	if start {
		return s.begin(ctx, tx, l)
	}
	return s.saveRun(ctx, tx, l)
}

// Raise tells the ladders of an incident its new severity, higher or lower. To sev1
// the second step no longer waits; from sev4 the ladder starts; to sev4 it stops.
func (s *Service) Raise(ctx context.Context, incident, severity string) error {
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error {
		if l.frozen.Severity == severity || l.frozen.Ended {
			return nil
		}
		l.frozen.Severity = severity
		if l.frozen.Dormant {
			if severity == Sev4 {
				return s.saveRun(ctx, tx, l)
			}
			return s.wake(ctx, tx, l, true)
		}
		if l.row.State != Running {
			if err := s.saveRun(ctx, tx, l); err != nil {
				return err
			}
			return s.watch(ctx, tx, l)
		}
		if severity == Sev4 && !l.frozen.Manual && l.frozen.OnlyPerson == "" {
			if err := s.cancelDue(ctx, tx, l.row.ID, dueStep); err != nil {
				return err
			}
			return s.stop(ctx, tx, l, "", "lowered")
		}
		l.rungs = Rungs(l.frozen)
		l.pos = l.pos.Raised(l.frozen, tx.Now())
		if Asked(severity) && l.pos.Next == 0 {
			// Service hours held it back.
			l.pos = l.pos.Hasten(l.rungs, tx.Now())
		}
		return s.advance(ctx, tx, l, false)
	})
}
