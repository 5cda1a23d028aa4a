package api

import (
	"context"
	"net/http"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

type nextView struct {
	Person person `json:"person"`
	From   stamp  `json:"from"`
}

type whyView struct {
	Kind string   `json:"kind" doc:"rotation, override, substitute, or empty when nobody is on duty"`
	Text textView `json:"text"`
}

func viewWhy(w oncall.Why) whyView {
	return whyView{Kind: w.Kind, Text: textView{FR: i18n.T("fr", w.Key(), w.Args()), EN: i18n.T("en", w.Key(), w.Args())}}
}

type dutyNowView struct {
	Role      string          `json:"role"`
	Schedule  string          `json:"schedule"`
	Person    maybe[person]   `json:"person" doc:"null when nobody is on duty"`
	From      stamp           `json:"from"`
	To        stamp           `json:"to"`
	Why       whyView         `json:"why"`
	Next      maybe[nextView] `json:"next"`
	Reachable bool            `json:"reachable"`
}

func somebody(p oncall.Person) maybe[person] {
	if p.ID == "" {
		return maybe[person]{}
	}
	return maybe[person]{&person{ID: p.ID, Name: p.Name}}
}

func viewDuty(d oncall.Duty) dutyNowView {
	v := dutyNowView{
		Role: d.Role, Schedule: d.Schedule, Person: somebody(d.Person), From: at(d.From), To: at(d.To), Why: viewWhy(d.Why), Reachable: d.Reachable,
	}
	if d.Next != nil {
		v.Next.v = &nextView{Person: person{ID: d.Next.Person.ID, Name: d.Next.Person.Name}, From: at(d.Next.From)}
	}
	return v
}

type slotView struct {
	From   stamp         `json:"from"`
	To     stamp         `json:"to"`
	Person maybe[person] `json:"person" doc:"null when nobody is on duty"`
	Why    whyView       `json:"why"`
}

func viewSlot(x oncall.Slot) slotView {
	return slotView{From: at(x.From), To: at(x.To), Person: somebody(x.Person), Why: viewWhy(x.Why)}
}

type overrideView struct {
	ID     string `json:"id"`
	Person string `json:"person"`
	From   stamp  `json:"from"`
	To     stamp  `json:"to"`
	By     string `json:"by,omitempty"`
}

func viewOverride(o oncall.Override) overrideView {
	return overrideView{ID: o.ID, Person: o.Person, From: at(o.From), To: at(o.To), By: o.By}
}

type scheduleIn struct {
	IDIn
	At   time.Time `query:"at" doc:"Who is on duty at this instant"`
	From time.Time `query:"from" doc:"Now when not given"`
	To   time.Time `query:"to" doc:"A week after from when not given; at most 400 days"`
}

type gapView struct {
	Schedule string        `json:"schedule"`
	Role     string        `json:"role"`
	From     stamp         `json:"from"`
	To       stamp         `json:"to"`
	Reason   string        `json:"reason" enum:"nobody,suspended,on_leave"`
	Person   maybe[person] `json:"person" doc:"Who should be on duty and is not there"`
}

type ladderView struct {
	ID            string   `json:"id"`
	Incident      string   `json:"incident"`
	Severity      *string  `json:"severity" nullable:"true"`
	Services      []string `json:"services"`
	Policy        string   `json:"policy"`
	PolicyVersion int64    `json:"policy_version"`
	State         string   `json:"state" enum:"running,answered,exhausted,stopped"`
	Reason        string   `json:"reason"`
	Exercise      bool     `json:"exercise"`
	StartedAt     stamp    `json:"started_at"`
	Round         int      `json:"round"`
	Step          int      `json:"step"`
	NextAt        stamp    `json:"next_at"`
	AnsweredBy    *string  `json:"answered_by" nullable:"true"`
	AnsweredAt    stamp    `json:"answered_at"`
}

func viewLadder(l oncall.Ladder) ladderView {
	return ladderView{
		ID: l.ID, Incident: l.Ref, Severity: word(l.Severity), Services: some(l.Services), Policy: l.Policy, PolicyVersion: l.PolicyVersion,
		State: l.State, Reason: l.Reason, Exercise: l.Exercise, StartedAt: at(l.Started), Round: l.Round, Step: l.Step, NextAt: at(l.NextAt),
		AnsweredBy: word(l.AnsweredBy), AnsweredAt: at(l.AnsweredAt),
	}
}

// scheduleView and policyView are definitions with the version that a change names.
type scheduleView struct {
	oncall.Schedule
	Version int64 `json:"version" doc:"Give it with a change, which is refused when somebody else changed it meanwhile"`
}

func viewSchedule(x oncall.Schedule) scheduleView { return scheduleView{x, x.Version} }

type policyView struct {
	oncall.Policy
	Version int64 `json:"version" doc:"0 for one that is built in; give it with a change, which is refused when somebody else changed it meanwhile"`
}

func viewPolicy(p oncall.Policy) policyView { return policyView{p, p.Version} }

type scheduleChange struct {
	IDIn
	Body struct {
		oncall.Schedule
		Version int64 `json:"version,omitempty" minimum:"0" doc:"The version that was read; without it the schedule is made or replaced whatever it is"`
	}
}

type policyChange struct {
	IDIn
	Body struct {
		oncall.Policy
		Version int64 `json:"version,omitempty" minimum:"0" doc:"The version that was read; without it the policy is made or replaced whatever it is"`
	}
}

// sameID keeps a definition from being saved under another address.
func sameID(path, body string) error {
	if path != body {
		return kit.InvalidField("id", "error.bad_value")
	}
	return nil
}

func (s *server) putSchedule(ctx context.Context, in *scheduleChange) (scheduleView, error) {
	if err := sameID(in.ID, in.Body.ID); err != nil {
		return scheduleView{}, err
	}
	x := in.Body.Schedule
	x.Version = in.Body.Version
	x, err := s.Oncall.SaveSchedule(ctx, x)
	return viewSchedule(x), err
}

func (s *server) putPolicy(ctx context.Context, in *policyChange) (policyView, error) {
	if err := sameID(in.ID, in.Body.ID); err != nil {
		return policyView{}, err
	}
	p := in.Body.Policy
	p.Version = in.Body.Version
	p, err := s.Oncall.SavePolicy(ctx, p)
	return viewPolicy(p), err
}

func (s *server) oncallCalls() {
	if s.Oncall == nil {
		return
	}
	get(s, "/on-call/now", "on-call", "Who is on duty now, one line per schedule", func(ctx context.Context, in *struct {
		At time.Time `query:"at" doc:"Another instant"`
	},
	) (list[dutyNowView], error) {
		if !in.At.IsZero() {
			l, err := s.Oncall.OnCallAt(ctx, in.At)
			return all(l, viewDuty), err
		}
		l, err := s.Oncall.OnCallNow(ctx)
		return all(l, viewDuty), err
	})
	if s.Sheet != nil {
		get(s, "/on-call/sheet", "on-call", "Who is on duty in the next 7 days and how they are reached, to keep at hand", func(ctx context.Context, _ *none) (kit.Sheet, error) {
			return s.Sheet(ctx)
		})
	}
	get(s, "/on-call/schedules", "on-call", "The schedules in use, by id", func(ctx context.Context, _ *none) (list[scheduleView], error) {
		l, err := s.Oncall.Schedules(ctx)
		return all(l, viewSchedule), err
	})
	get(s, "/on-call/schedules/{id}", "on-call", "Who is on duty by a schedule: at an instant, or from and to", func(ctx context.Context, in *scheduleIn) (list[slotView], error) {
		from, to := in.From, in.To
		switch {
		case !in.At.IsZero():
			from, to = in.At, in.At.Add(time.Microsecond)
		case from.IsZero():
			from = s.Ledger.DB().Now()
		}
		if to.IsZero() {
			to = from.Add(7 * 24 * time.Hour)
		}
		l, err := s.Oncall.Intervals(ctx, in.ID, from, to)
		return all(l, viewSlot), err
	})
	call(s, http.MethodPut, "/on-call/schedules/{id}", "on-call", "Make or change a schedule; it holds from then on, and what was stays in the record", http.StatusOK, s.putSchedule)
	raw(s, "/on-call/schedules/{id}/ics", "on-call", "The schedule as a calendar; also at schedules/{id}.ics", func(ctx context.Context, in *struct {
		IDIn
		Person string `query:"person" doc:"Their shifts only, or me"`
	},
	) (file, error) {
		if in.Person == "me" {
			in.Person = kit.ActorFrom(ctx).ID
		}
		body, err := s.Oncall.ICS(ctx, in.ID, in.Person)
		return file{kind: "text/calendar; charset=utf-8", name: in.ID + ".ics", body: body}, err
	})
	get(s, "/on-call/schedules/{id}/overrides", "on-call", "The overrides made by hand that have not ended", func(ctx context.Context, in *IDIn) (list[overrideView], error) {
		l, err := s.Oncall.Overrides(ctx, in.ID, s.Ledger.DB().Now())
		return all(l, viewOverride), err
	})
	call(s, http.MethodPost, "/on-call/overrides", "on-call", "Put a person on duty for a time", http.StatusCreated,
		func(ctx context.Context, in *struct {
			Body struct {
				Schedule string    `json:"schedule"`
				Person   string    `json:"person"`
				From     time.Time `json:"from"`
				To       time.Time `json:"to"`
			}
		},
		) (overrideView, error) {
			o, err := s.Oncall.AddOverride(ctx, in.Body.Schedule, in.Body.Person, kit.Truncate(in.Body.From), kit.Truncate(in.Body.To))
			return viewOverride(o), err
		})
	drop(s, http.MethodDelete, "/on-call/overrides/{id}", "on-call", "End an override now", func(ctx context.Context, in *IDIn) error {
		return s.Oncall.RemoveOverride(ctx, in.ID)
	})
	s.swapCalls()
	get(s, "/on-call/gaps", "on-call", "Times in which a schedule has nobody, or somebody who is not there", func(ctx context.Context, in *struct {
		Days int `query:"days" minimum:"1" maximum:"365" doc:"30 when not given"`
	},
	) (list[gapView], error) {
		if in.Days == 0 {
			in.Days = 30
		}
		l, err := s.Oncall.Gaps(ctx, in.Days)
		return all(l, func(g oncall.Gap) gapView {
			return gapView{Schedule: g.Schedule, Role: g.Role, From: at(g.From), To: at(g.To), Reason: g.Reason, Person: somebody(g.Person)}
		}), err
	})
	s.loadCalls()
	get(s, "/policies", "on-call", "The escalation policies, by id", func(ctx context.Context, _ *none) (list[policyView], error) {
		l, err := s.Oncall.Policies(ctx)
		return all(l, viewPolicy), err
	})
	get(s, "/policies/{id}", "on-call", "One policy", func(ctx context.Context, in *IDIn) (policyView, error) {
		p, err := s.Oncall.Policy(ctx, in.ID)
		return viewPolicy(p), err
	})
	call(s, http.MethodPut, "/policies/{id}", "on-call", "Make or change a policy; it holds for what is paged from then on", http.StatusOK, s.putPolicy)
	get(s, "/policies/{id}/simulate", "on-call", "Who is woken, when and by which method, when nobody answers", s.simulate)
	if s.Incident != nil {
		get(s, "/ladders", "on-call", "The escalations of an incident, or those that run", s.ladders)
	}
}

type simulateIn struct {
	IDIn
	Service  string    `query:"service"`
	Severity string    `query:"severity" enum:"sev1,sev2,sev3,sev4"`
	At       time.Time `query:"at" doc:"Now when not given"`
	Away     []string  `query:"away" doc:"People to be taken as away"`
}

type simMethodView struct {
	Method string `json:"method"`
	At     stamp  `json:"at"`
}

type simPersonView struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Methods []simMethodView `json:"methods"`
}

type simStepView struct {
	At      stamp            `json:"at"`
	Round   int              `json:"round"`
	Step    int              `json:"step"`
	Kind    string           `json:"kind"`
	Target  []string         `json:"target"`
	People  []simPersonView  `json:"people"`
	Why     []string         `json:"why"`
	Skipped []oncall.Skipped `json:"skipped"`
	Gap     bool             `json:"gap" doc:"Nobody is reached by this step"`
}

type simulationView struct {
	Severity *string       `json:"severity" nullable:"true"`
	Policy   string        `json:"policy"`
	At       stamp         `json:"at"`
	Steps    []simStepView `json:"steps"`
}

func (s *server) simulate(ctx context.Context, in *simulateIn) (simulationView, error) {
	q := oncall.SimulateQuery{Policy: in.ID, Service: in.Service, Severity: in.Severity, At: in.At, Away: in.Away}
	if q.At.IsZero() {
		q.At = s.Ledger.DB().Now()
	}
	sim, err := s.Oncall.Simulate(ctx, q)
	v := simulationView{Severity: word(sim.Severity), Policy: sim.Policy, At: at(sim.At), Steps: []simStepView{}}
	for _, st := range sim.Steps {
		x := simStepView{
			At: at(st.At), Round: st.Round, Step: st.Step, Kind: st.Kind, Target: some(st.Target), People: []simPersonView{}, Why: []string{},
			Skipped: some(st.Skipped), Gap: st.Gap,
		}
		for _, p := range st.People {
			y := simPersonView{ID: p.ID, Name: p.Name, Methods: []simMethodView{}}
			for _, m := range p.Methods {
				y.Methods = append(y.Methods, simMethodView{Method: m.Method, At: at(m.At)})
			}
			x.People = append(x.People, y)
		}
		for _, w := range st.Why {
			x.Why = append(x.Why, i18n.T("en", w.Why.Key(), w.Why.Args()))
		}
		v.Steps = append(v.Steps, x)
	}
	return v, err
}

func (s *server) ladders(ctx context.Context, in *struct {
	Incident string `query:"incident" doc:"Without it, those running or exhausted"`
},
) (list[ladderView], error) {
	if in.Incident != "" {
		i, err := s.Incident.Get(ctx, in.Incident)
		if err != nil {
			return list[ladderView]{}, err
		}
		l, err := s.Oncall.Ladders(ctx, i.ID)
		return all(l, viewLadder), err
	}
	l, err := s.Oncall.OpenLadders(ctx)
	if err != nil {
		return list[ladderView]{}, err
	}
	ids := make([]string, len(l))
	for n, x := range l {
		ids[n] = x.Incident
	}
	seen, err := s.Incident.Visible(ctx, ids)
	if err != nil {
		return list[ladderView]{}, err
	}
	known := l[:0]
	for _, x := range l {
		if x.Incident == "" || seen[x.Incident] {
			known = append(known, x)
		}
	}
	return all(known, viewLadder), nil
}
