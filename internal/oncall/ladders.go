package oncall

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/kit"
)

// Ladders gives the ladders of an incident, the newest first. It asks for no right:
// who sees the incident was checked with it.
func (s *Service) Ladders(ctx context.Context, incident string) ([]Ladder, error) {
	if incident == "" {
		return nil, nil
	}
	list, err := s.readRuns(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("l.incident = ?", incident).Order("l.started_at DESC", "l.id DESC")
	})
	return shown(list), err
}

func shown(list []*run) []Ladder {
	out := make([]Ladder, 0, len(list))
	for _, l := range list {
		if !l.frozen.Dormant && !l.frozen.Ended {
			out = append(out, l.ladder())
		}
	}
	return out
}

// Ladder gives one ladder. It asks for no right.
func (s *Service) Ladder(ctx context.Context, id string) (Ladder, error) {
	l, err := s.readRun(ctx, id)
	if err != nil {
		return Ladder{}, err
	}
	return l.ladder(), nil
}

func (s *Service) readRun(ctx context.Context, id string) (*run, error) {
	list, err := s.readRuns(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("l.id = ?", id) })
	if err == nil && len(list) == 0 {
		err = kit.NotFound("ladder", id)
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// OpenLadders gives those running or exhausted, the oldest first, at most 500. Whoever
// shows them leaves out hidden incidents.
func (s *Service) OpenLadders(ctx context.Context) ([]Ladder, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	list, err := s.readRuns(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("l.state IN ('running', 'exhausted')").Order("l.started_at")
	})
	return shown(list), err
}

// Next gives who is paged next when nobody answers, and when; no people when none
// will be. Steps that would reach nobody now are passed over.
func (s *Service) Next(ctx context.Context, ladder string) (NextPage, error) {
	l, err := s.readRun(ctx, ladder)
	if err != nil || l.row.State != Running {
		return NextPage{}, err
	}
	// One instant for all that a transaction asks, so that it reads the schedules once.
	now := s.d.NowIn(ctx)
	r, err := s.rosterAt(ctx, now)
	if err != nil {
		return NextPage{}, err
	}
	at, ok := l.pos.NextAt(l.rungs)
	for ; ok; l.pos.Next++ {
		rung := l.rungs[l.pos.Next]
		people, _, _, err := r.resolve(ctx, &l.frozen, rung, later(at, now))
		if err != nil {
			return NextPage{}, err
		}
		if len(people) > 0 {
			named, err := s.named(ctx, people, at)
			return NextPage{People: named, At: at, Round: rung.Round, Step: rung.Step}, err
		}
		ok = l.pos.Next+1 < len(l.rungs)
	}
	return NextPage{}, nil
}

func (s *Service) named(ctx context.Context, people []Paged, at time.Time) ([]Person, error) {
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.Person
	}
	return s.names(ctx, ids, at)
}

// names gives people with their names, in the same order; whoever is gone keeps the id.
func (s *Service) names(ctx context.Context, ids []string, at time.Time) ([]Person, error) {
	states, err := s.p.People.States(ctx, ids, at)
	if err != nil {
		return nil, err
	}
	out := make([]Person, len(ids))
	for i, id := range ids {
		out[i] = Person{ID: id, Name: states[id].Name}
		if out[i].Name == "" {
			out[i].Name = id
		}
	}
	return out, nil
}
