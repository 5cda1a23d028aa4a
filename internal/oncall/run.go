package oncall

import (
	"context"
	"encoding/json"
	"slices"
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
	}
}

func (s *Service) fact(ctx context.Context, tx *db.Tx, l *run, b ledger.Body) error {
	return ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "ladder", ID: l.row.ID, Ref: l.row.Ref}, Incident: l.row.Incident, Body: b,
	})
}

// advance runs every rung that is due, notes when the next one is, and ends the
// ladder when none is left. A rung that reaches nobody lets the next one run at once.
func (s *Service) advance(ctx context.Context, tx *db.Tx, l *run) error {
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
		var err error
		if reached, err = s.runRung(ctx, tx, r, l); err != nil {
			return err
		}
		l.pos.Next++
		if !reached {
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

func (s *Service) wait(ctx context.Context, tx *db.Tx, l *run, at time.Time) error {
	l.row.NextAt = kit.Micros(at)
	if err := s.saveRun(ctx, tx, l); err != nil {
		return err
	}
	return due.At(ctx, tx, dueStep, l.row.ID, at, struct{}{})
}

func (s *Service) runRung(ctx context.Context, tx *db.Tx, r *roster, l *run) (reached bool, err error) {
	rung, f := l.rungs[l.pos.Next], &l.frozen
	people, skipped, channels, err := r.resolve(ctx, f, rung, tx.Now())
	if err != nil {
		return false, err
	}
	last := rung.Kind == KindLastResort
	ids := make([]string, len(people))
	if people == nil {
		people = []Paged{}
	}
	if rung.Targets == nil {
		rung.Targets = []string{}
	}
	for i, p := range people {
		ids[i] = p.Person
	}
	l.row.LastPaged = strings.Join(ids, " ")
	err = s.fact(ctx, tx, l, StepRun{
		Ref: l.row.Ref, Title: l.row.Title, Severity: f.Severity, Services: f.Services, Exercise: f.Exercise, Policy: f.Policy,
		Round: rung.Round, Step: rung.Step, Kind: rung.Kind, Targets: rung.Targets, People: people, Channels: channels, Skipped: skipped, LastResort: last,
	})
	return len(people) > 0 || last || len(channels) > 0 && len(skipped) == 0, err
}

func (s *Service) stepDue(ctx context.Context, tx *db.Tx, row due.Row) error {
	l, err := s.lockRun(ctx, tx, row.Key)
	if err != nil || l == nil || l.row.State != Running {
		return err
	}
	stale, err := s.p.Parameters.Duration(ctx, "P.stale")
	if err != nil {
		return err
	}
	if _, left := l.pos.NextAt(l.rungs); left && tx.Now().Sub(kit.FromMicros(l.row.ActiveAt)) > stale {
		return s.stop(ctx, tx, l, "", "stale")
	}
	return s.advance(ctx, tx, l)
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

// AnsweredIncident stops every open ladder of the incident: the person has it.
func (s *Service) AnsweredIncident(ctx context.Context, incident, person string) error {
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error { return s.answered(ctx, tx, l, person) })
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

// watch asks later whether the holder is still on it.
func (s *Service) watch(ctx context.Context, tx *db.Tx, l *run) error {
	if !Asked(l.frozen.Severity) || l.frozen.OnlyPerson != "" || l.row.State != Answered {
		return nil
	}
	still, err := s.p.Parameters.Duration(ctx, "P.still")
	if err != nil {
		return err
	}
	return due.At(ctx, tx, dueStill, l.row.ID, kit.FromMicros(l.row.ActiveAt).Add(still), struct{}{})
}

func (s *Service) stillDue(ctx context.Context, tx *db.Tx, row due.Row) error {
	l, err := s.lockRun(ctx, tx, row.Key)
	if err != nil || l == nil || l.row.State != Answered || !Asked(l.frozen.Severity) {
		return err
	}
	still, err := s.p.Parameters.Duration(ctx, "P.still")
	if err != nil {
		return err
	}
	now := tx.Now()
	if now.Before(kit.FromMicros(l.row.ActiveAt).Add(still)) {
		return s.watch(ctx, tx, l)
	}
	// Of several ladders of an incident the newest one asks.
	if list, err := s.Ladders(ctx, l.row.Incident); err != nil || len(list) > 0 && list[0].ID != l.row.ID {
		return err
	}
	wait, err := s.p.Parameters.Duration(ctx, "P.resume")
	if err != nil {
		return err
	}
	until := now.Add(wait)
	if s.p.Asker != nil {
		if err := s.p.Asker.AskStill(ctx, Question{
			Ladder: l.row.ID, Incident: l.row.Incident, Ref: l.row.Ref, Title: l.row.Title,
			Severity: l.frozen.Severity, Person: l.row.AnsweredBy, Until: until,
		}); err != nil {
			return err
		}
	}
	return due.At(ctx, tx, dueResume, l.row.ID, until, resumeBody{kit.Micros(now)})
}

func (s *Service) resumeDue(ctx context.Context, tx *db.Tx, row due.Row) error {
	var body resumeBody
	if err := json.Unmarshal(row.Body, &body); err != nil {
		return kit.Internal(err)
	}
	l, err := s.lockRun(ctx, tx, row.Key)
	if err != nil || l == nil || l.row.State != Answered || !Asked(l.frozen.Severity) {
		return err
	}
	if l.row.ActiveAt >= body.Asked {
		return s.watch(ctx, tx, l)
	}
	return s.resume(ctx, tx, l, LadderResumed{By: l.row.AnsweredBy, Since: kit.FromMicros(l.row.ActiveAt), Reason: "silent"})
}

func (s *Service) resume(ctx context.Context, tx *db.Tx, l *run, b LadderResumed) error {
	if l.frozen.Dormant || l.row.State == Running || len(l.rungs) == 0 {
		return nil
	}
	now := tx.Now()
	l.row.State, l.row.AnsweredBy, l.row.AnsweredAt, l.row.ActiveAt = Running, "", 0, kit.Micros(now)
	l.pos = l.pos.Again(l.rungs, now)
	if err := s.cancelDue(ctx, tx, l.row.ID, dueStill, dueResume); err != nil {
		return err
	}
	if err := s.fact(ctx, tx, l, b); err != nil {
		return err
	}
	return s.advance(ctx, tx, l)
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
			return s.advance(ctx, tx, l)
		}
		l.pos = l.pos.Hasten(l.rungs, tx.Now())
		return s.advance(ctx, tx, l)
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
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error {
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
	})
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
	if err := l.refreeze(); err != nil {
		return err
	}
	if start {
		return s.begin(ctx, tx, l)
	}
	return s.saveRun(ctx, tx, l)
}

func (l *run) refreeze() error {
	raw, err := json.Marshal(l.frozen)
	if err != nil {
		return kit.Internal(err)
	}
	l.row.Frozen = string(raw)
	return nil
}

// Resume lets the newest ladder of the incident go on with its next step now, or
// begin again where it had run out; it does nothing where there is none.
func (s *Service) Resume(ctx context.Context, incident, reason string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := s.lockIncident(ctx, tx, incident)
		if err != nil {
			return err
		}
		for _, l := range slices.Backward(list) {
			if l.frozen.Dormant || l.frozen.Ended {
				continue
			}
			return s.resume(ctx, tx, l, LadderResumed{By: l.row.AnsweredBy, Reason: reason})
		}
		return nil
	})
}

// Raise tells the ladders of an incident its new severity, higher or lower. To sev1
// the second step no longer waits; from sev4 the ladder starts; to sev4 it stops.
func (s *Service) Raise(ctx context.Context, incident, severity string) error {
	return s.eachOf(ctx, incident, func(ctx context.Context, tx *db.Tx, l *run) error {
		if l.frozen.Severity == severity || l.frozen.Ended {
			return nil
		}
		l.frozen.Severity = severity
		if err := l.refreeze(); err != nil {
			return err
		}
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
		return s.advance(ctx, tx, l)
	})
}

// Active notes that something happened on the incident: work by the holder keeps
// "Still on it?" away, anything keeps an unanswered ladder from going stale. An
// empty person stands for the holder.
func (s *Service) Active(ctx context.Context, incident, person string) error {
	if incident == "" {
		return nil
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE oncall_ladder SET active_at = $1 WHERE incident = $2 AND state IN ('running', 'exhausted', 'answered')
			AND ($3 = '' OR answered_by = '' OR answered_by = $3)`, kit.Micros(tx.Now()), incident, person)
		return db.MapError(err)
	})
}
