package oncall

import (
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// StartLadder starts a ladder and gives its id; empty when none is started, as for
// sev4, which starts when the severity rises. What is due at once runs in the same
// transaction. It asks for no right: for reactions.
func (s *Service) StartLadder(ctx context.Context, in Start) (id string, err error) {
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		f, hours, err := s.freeze(ctx, in)
		if err != nil {
			return err
		}
		if f.Turn, err = s.takeTurn(ctx, tx, f); err != nil {
			return err
		}
		id, err = s.start(ctx, tx, in, f, hours)
		return err
	})
	return id, err
}

// PageSomeone starts a ladder that pages these targets (person ids or schedule:ID,
// role:NAME, team:ID), asked for by a person; without targets the policy of the
// incident or service, at whatever severity. Two rounds, then the succession.
func (s *Service) PageSomeone(ctx context.Context, in Start, targets ...string) (id string, err error) {
	if err := s.p.Rights.Require(ctx, "page.someone"); err != nil {
		return "", err
	}
	if in.Reason == "" {
		in.Reason = "page_someone"
	}
	for i, t := range targets {
		if !strings.Contains(t, ":") {
			targets[i] = "person:" + t
		}
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.knownTargets(ctx, targets); err != nil {
			return err
		}
		f, _, err := s.freeze(ctx, in)
		if err != nil {
			return err
		}
		f.Manual = true
		if len(targets) > 0 {
			f.Policy, f.Version = "", 0
			f.Steps = []Step{{Page: targets}}
			f.Rounds, f.Gap, f.Everyone, f.LastResort = 2, 5*time.Minute, false, false
		}
		if f.Turn, err = s.takeTurn(ctx, tx, f); err != nil {
			return err
		}
		id, err = s.start(ctx, tx, in, f, nil)
		return err
	})
	return id, err
}

// Inform starts a ladder that pages people one after the other until one of them has
// confirmed that they know. It takes the incident from nobody and asks for no right:
// for reactions.
func (s *Service) Inform(ctx context.Context, in Start, people []string, every time.Duration) (id string, err error) {
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		f := Frozen{Services: in.Services, Severity: in.Severity, Kind: in.Kind, Title: in.Title, Rounds: 2, Gap: every, Exercise: in.Exercise, Manual: true, Informs: true}
		for n, p := range people {
			f.Steps = append(f.Steps, Step{After: Duration(time.Duration(n) * every), Page: []string{"person:" + p}})
		}
		if len(f.Steps) == 0 {
			return nil
		}
		var err error
		id, err = s.start(ctx, tx, in, f, nil)
		return err
	})
	return id, err
}

func (s *Service) knownTargets(ctx context.Context, targets []string) error {
	r, err := s.rosterAt(ctx, s.d.Now())
	if err != nil {
		return err
	}
	var bad kit.Fields
	for i, t := range targets {
		if err := s.checkTarget(ctx, t, index("to", i), &bad, func(id string) bool { return r.find(id) != nil }); err != nil {
			return err
		}
	}
	return bad.Err()
}

// freeze gathers what a ladder keeps as it is at its start.
func (s *Service) freeze(ctx context.Context, in Start) (Frozen, *ServiceHours, error) {
	p, turn, err := s.policyFor(ctx, in)
	if err != nil {
		return Frozen{}, nil, err
	}
	f := Frozen{
		Policy: p.ID, Version: p.Version, Steps: StepsFor(p.Steps, in), Rounds: p.Rounds(), Gap: p.Gap(), Services: in.Services,
		Severity: in.Severity, Kind: in.Kind, Title: in.Title, OnlyPerson: in.OnlyPerson, Owner: in.Owner, Turn: turn, Exercise: in.Exercise,
	}
	if in.OnlyPerson != "" {
		return f, nil, nil
	}
	if f.Succession, err = s.p.Appointments.Appointed(ctx, kit.RoleCommander); err != nil {
		return Frozen{}, nil, err
	}
	// Practice ends with those it is for.
	f.Everyone, f.LastResort = !in.Exercise, !in.Exercise
	return f, p.ServiceHours, nil
}

// policyFor gives the policy named, else that of the first service that names one,
// else default. A policy that is gone must not keep a page from leaving.
func (s *Service) policyFor(ctx context.Context, in Start) (Policy, int, error) {
	ids := []string{in.Policy}
	if in.Policy == "" {
		for _, service := range in.Services {
			id, err := s.p.Services.Policy(ctx, service)
			if err != nil && kit.CodeOf(err) != kit.CodeNotFound {
				return Policy{}, 0, err
			}
			if id != "" {
				ids = append(ids, id)
				break
			}
		}
	}
	for _, id := range append(ids, "default") {
		if id == "" {
			continue
		}
		p, turn, err := s.policy(ctx, id)
		if kit.CodeOf(err) == kit.CodeNotFound {
			s.d.Log().Warn("policy is not there; the default one pages", "policy", id)
			continue
		}
		return p, turn, err
	}
	return BuiltIn()[0], 0, nil
}

// PolicyFor gives the id of the policy that would page: the one named, else that of
// the first of the services that names one, else default. It asks for no right.
func (s *Service) PolicyFor(ctx context.Context, named string, services []string) (string, error) {
	p, _, err := s.policyFor(ctx, Start{Policy: named, Services: services})
	return p.ID, err
}

func (s *Service) takeTurn(ctx context.Context, tx *db.Tx, f Frozen) (int, error) {
	if !slices.ContainsFunc(f.Steps, func(st Step) bool { return st.RoundRobin }) || f.Policy == "" {
		return 0, nil
	}
	_, err := tx.Exec(ctx, `UPDATE oncall_policy SET turn = turn + 1 WHERE id = $1`, f.Policy)
	return f.Turn, db.MapError(err)
}

func (s *Service) start(ctx context.Context, tx *db.Tx, in Start, f Frozen, hours *ServiceHours) (string, error) {
	now := tx.Now()
	if in.Reason == "" {
		in.Reason = "declared"
	}
	l := &run{frozen: f, rungs: Rungs(f), row: ladderRow{
		ID: kit.NewID(), Incident: in.Incident, Ref: in.Ref, Title: in.Title, State: Running, Reason: in.Reason,
		StartedAt: kit.Micros(now), ActiveAt: kit.Micros(now),
	}, pos: Position{Base: now}}
	if len(l.rungs) == 0 {
		// Kept for the day on which the severity rises.
		l.row.State = Stopped
		l.frozen.Dormant = true
		return "", s.insertRun(ctx, tx, l)
	}
	zone, err := s.zoneFor(ctx, hours)
	if err != nil {
		return "", err
	}
	at, err := StartAt(hours, zone, f.Severity, now)
	if err != nil {
		s.d.Log().Error("service hours cannot be read; the policy pages at once", "policy", f.Policy, "error", err)
		at = now
	}
	l.pos.Base = at
	if err := s.insertRun(ctx, tx, l); err != nil {
		return "", err
	}
	return l.row.ID, s.begin(ctx, tx, l)
}

func (s *Service) zoneFor(ctx context.Context, h *ServiceHours) (string, error) {
	if h == nil || h.Timezone != "" {
		return "", nil
	}
	return s.p.People.Zone(ctx)
}

func (s *Service) begin(ctx context.Context, tx *db.Tx, l *run) error {
	f := &l.frozen
	steps := f.Steps
	if f.OnlyPerson != "" {
		steps = []Step{{Page: l.rungs[0].Targets}}
	}
	if err := s.fact(ctx, tx, l, LadderStarted{
		Policy: f.Policy, Version: f.Version, Reason: l.row.Reason, Severity: f.Severity, Steps: steps, Exercise: f.Exercise,
	}); err != nil {
		return err
	}
	return s.advance(ctx, tx, l, false)
}
