package oncall

import (
	"context"
	"encoding/json"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

// watch asks later whether the holder is still on it.
func (s *Service) watch(ctx context.Context, tx *db.Tx, l *run) error {
	if !Asked(l.frozen.Severity) || l.frozen.OnlyPerson != "" || l.frozen.Informs || l.row.State != Answered {
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
	active := kit.FromMicros(l.row.ActiveAt)
	// Activity that lies ahead was noted before the clock was put back, and the row
	// was moved with it.
	if !active.After(now) && now.Before(active.Add(still)) {
		return s.watch(ctx, tx, l)
	}
	list, err := s.lockIncident(ctx, tx, l.row.Incident)
	if err != nil {
		return err
	}
	if one := leading(list); one != nil && one.row.ID != l.row.ID {
		return nil
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
	return s.resume(ctx, tx, l, "silent")
}

// resume lets a ladder go on with its next step now, or begin again where it had run
// out, because its holder does not have it any more.
func (s *Service) resume(ctx context.Context, tx *db.Tx, l *run, reason string) error {
	if l.row.State != Answered || len(l.rungs) == 0 {
		return nil
	}
	now := tx.Now()
	l.frozen.Silent = &Silent{Person: l.row.AnsweredBy, TookAt: kit.FromMicros(l.row.AnsweredAt), Since: kit.FromMicros(l.row.ActiveAt), Reason: reason}
	l.row.State, l.row.AnsweredBy, l.row.AnsweredAt, l.row.ActiveAt = Running, "", 0, kit.Micros(now)
	if l.pos.Next >= len(l.rungs) {
		l.frozen.Lap++
		l.rungs = Rungs(l.frozen)
	}
	l.pos = l.pos.Again(l.rungs, now)
	if err := s.cancelDue(ctx, tx, l.row.ID, dueStill, dueResume); err != nil {
		return err
	}
	if err := s.fact(ctx, tx, l, LadderResumed{By: l.frozen.Silent.Person, Since: l.frozen.Silent.Since, Reason: reason}); err != nil {
		return err
	}
	return s.advance(ctx, tx, l, false)
}

// leading gives, of the ladders of an incident that somebody has, the one that asks
// its holder and goes on without them: the newest run of a policy, else the newest.
func leading(list []*run) *run {
	var out *run
	for _, l := range list {
		if l.row.State != Answered || l.frozen.Informs {
			continue
		}
		if out == nil || l.frozen.Policy != "" || out.frozen.Policy == "" {
			out = l
		}
	}
	return out
}

// Checked is the answer of a holder to "Still on it?". Here keeps the ladder quiet;
// where it runs again already, the person has it again: took is true. Not here lets
// it go on with its next step. It asks for no right: for reactions.
func (s *Service) Checked(ctx context.Context, incident, person string, here bool) (took bool, err error) {
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		took = false
		list, err := s.lockIncident(ctx, tx, incident)
		if err != nil {
			return err
		}
		if !here {
			if l := leading(list); l != nil && l.row.AnsweredBy == person {
				return s.resume(ctx, tx, l, "not_here")
			}
			return nil
		}
		for _, l := range list {
			if l.row.State == Running && l.frozen.Silent != nil && l.frozen.Silent.Person == person {
				took = true
				if err := s.answered(ctx, tx, l, person); err != nil {
					return err
				}
			}
		}
		return s.active(ctx, tx, incident, person)
	})
	return took, err
}

// Active notes that something happened on the incident: work by the holder keeps
// "Still on it?" away, anything keeps an unanswered ladder from going stale. An
// empty person stands for the holder.
func (s *Service) Active(ctx context.Context, incident, person string) error {
	if incident == "" {
		return nil
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.active(ctx, tx, incident, person) })
}

func (s *Service) active(ctx context.Context, tx *db.Tx, incident, person string) error {
	_, err := tx.Exec(ctx, `UPDATE oncall_ladder SET active_at = $1 WHERE incident = $2 AND state IN ('running', 'exhausted', 'answered')
		AND ($3 = '' OR answered_by = '' OR answered_by = $3)`, kit.Micros(tx.Now()), incident, person)
	return db.MapError(err)
}
