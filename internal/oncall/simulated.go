package oncall

import (
	"context"
	"slices"
	"time"

	"tocsin/internal/kit"
)

// SimulateQuery asks who would be woken.
type SimulateQuery struct {
	// Policy is the policy's id; empty means that of the service, else default.
	Policy, Service string
	// Severity is sev1 … sev4, or empty for not assessed.
	Severity string
	// Kind is the incident's kind, for `when` of steps.
	Kind string
	// At is when the incident starts; zero means now.
	At time.Time
	// Away are people who are taken to be unreachable.
	Away []string
}

// Simulate gives who is woken, when and by which method, when nobody answers. It
// looks at the schedules, leave and methods as they stand.
func (s *Service) Simulate(ctx context.Context, q SimulateQuery) (Simulation, error) {
	if err := s.p.Rights.Require(ctx, "policy.see"); err != nil {
		return Simulation{}, err
	}
	if !slices.Contains([]string{"", Sev1, Sev2, Sev3, Sev4}, q.Severity) {
		return Simulation{}, kit.InvalidField("severity", "error.bad_value")
	}
	if q.Policy != "" {
		if _, _, err := s.policy(ctx, q.Policy); err != nil {
			return Simulation{}, err
		}
	}
	at := q.At
	if at.IsZero() {
		at = s.d.Now()
	}
	at = kit.Truncate(at)
	in := Start{Severity: q.Severity, Kind: q.Kind, Policy: q.Policy}
	if q.Service != "" {
		in.Services = []string{q.Service}
	}
	f, hours, err := s.freeze(ctx, in)
	if err != nil {
		return Simulation{}, err
	}
	zone, err := s.zoneFor(ctx, hours)
	if err != nil {
		return Simulation{}, err
	}
	begin, err := StartAt(hours, zone, f.Severity, at)
	if err != nil {
		return Simulation{}, err
	}
	r, err := s.rosterAt(ctx, at)
	if err != nil {
		return Simulation{}, err
	}
	r.away = q.Away
	sim, err := Simulate(f, begin, func(rung Rung, at time.Time) ([]Paged, []Skipped, error) {
		people, skipped, _, err := r.resolve(ctx, &f, rung, at)
		return people, skipped, err
	})
	if err != nil {
		return Simulation{}, err
	}
	sim.At = at
	methods := map[string][]Method{}
	for i := range sim.Steps {
		if err := s.addPeople(ctx, &sim.Steps[i], q.Severity, methods); err != nil {
			return Simulation{}, err
		}
	}
	return sim, nil
}

func (s *Service) addPeople(ctx context.Context, st *SimStep, severity string, methods map[string][]Method) error {
	st.People = []SimPerson{}
	if len(st.Why) == 0 {
		return nil
	}
	named, err := s.named(ctx, st.Why, st.At)
	if err != nil {
		return err
	}
	for _, p := range named {
		list, ok := methods[p.ID]
		if !ok {
			if list, err = s.p.Reach.Methods(ctx, p.ID, severity); err != nil {
				return err
			}
			methods[p.ID] = list
		}
		sp := SimPerson{ID: p.ID, Name: p.Name, Methods: []SimMethod{}}
		for _, m := range list {
			sp.Methods = append(sp.Methods, SimMethod{Method: m.Method, At: st.At.Add(time.Duration(m.After))})
		}
		st.People = append(st.People, sp)
	}
	return nil
}
