package api

import (
	"context"
	"time"

	"tocsin/internal/kit"
)

type weekLoadView struct {
	From       stamp `json:"from"`
	Calls      int   `json:"calls"`
	NightCalls int   `json:"night_calls"`
}

type personLoadView struct {
	Person      person         `json:"person"`
	DutyS       int64          `json:"duty_s" doc:"Seconds on duty"`
	WeekendS    int64          `json:"weekend_s" doc:"Of them on Saturdays and Sundays"`
	HolidayS    int64          `json:"holiday_s" doc:"Of them on public holidays"`
	Nights      int            `json:"nights" doc:"Nights of which the person had half or more"`
	Calls       int            `json:"calls" doc:"Times paged; pages that share an answer are one"`
	NightCalls  int            `json:"night_calls" doc:"From 22:00 to 07:00 by the person's clock"`
	Interrupted int            `json:"nights_interrupted"`
	Needed      int            `json:"needed" doc:"Calls that were answered and no false alarm"`
	Weeks       []weekLoadView `json:"weeks"`
}

type loadView struct {
	From   stamp            `json:"from"`
	To     stamp            `json:"to"`
	People []personLoadView `json:"people"`
}

func viewLoad(l kit.Load) loadView {
	v := loadView{From: at(l.From), To: at(l.To), People: []personLoadView{}}
	for _, p := range l.People {
		x := personLoadView{
			Person: person{ID: p.ID, Name: p.Name}, DutyS: int64(p.Duty / time.Second), WeekendS: int64(p.Weekend / time.Second), HolidayS: int64(p.Holiday / time.Second),
			Nights: p.Nights, Calls: p.Calls, NightCalls: p.NightCalls, Interrupted: p.Interrupted, Needed: p.Needed, Weeks: []weekLoadView{},
		}
		for _, w := range p.Weeks {
			x.Weeks = append(x.Weeks, weekLoadView{From: at(w.From), Calls: w.Calls, NightCalls: w.NightCalls})
		}
		v.People = append(v.People, x)
	}
	return v
}

type readyWayView struct {
	Kind       string `json:"kind"`
	VerifiedAt stamp  `json:"verified_at" doc:"When a test was answered last"`
	TestedAt   stamp  `json:"tested_at"`
	Stale      bool   `json:"stale"`
	Disabled   bool   `json:"disabled"`
}

type readyPersonView struct {
	Person person         `json:"person"`
	Next   stamp          `json:"next" doc:"When the next duty begins"`
	Duties []string       `json:"duties"`
	Roles  []string       `json:"roles"`
	Ways   []readyWayView `json:"ways"`
}

type readinessView struct {
	Findings []findingView     `json:"findings"`
	People   []readyPersonView `json:"people"`
}

func viewReadiness(r kit.Readiness) readinessView {
	v := readinessView{Findings: []findingView{}, People: []readyPersonView{}}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, viewFinding(f))
	}
	for _, p := range r.People {
		x := readyPersonView{Person: person{ID: p.ID, Name: p.Name}, Next: at(p.Next), Duties: some(p.Duties), Roles: some(p.Roles), Ways: []readyWayView{}}
		for _, w := range p.Ways {
			x.Ways = append(x.Ways, readyWayView{Kind: w.Kind, VerifiedAt: at(w.VerifiedAt), TestedAt: at(w.TestedAt), Stale: w.Stale, Disabled: w.Disabled})
		}
		v.People = append(v.People, x)
	}
	return v
}

func (s *server) loadCalls() {
	if s.Readiness != nil {
		get(s, "/on-call/readiness", "on-call", "What stands between an alarm and a person in the next 30 days", func(ctx context.Context, _ *none) (readinessView, error) {
			r, err := s.Readiness(ctx)
			return viewReadiness(r), err
		})
	}
	if s.Load == nil {
		return
	}
	get(s, "/on-call/load", "on-call", "How on-call lies on people: time, nights, calls", func(ctx context.Context, in *struct {
		From time.Time `query:"from" doc:"Eight weeks ago when not given"`
		To   time.Time `query:"to" doc:"Now when not given"`
	},
	) (loadView, error) {
		if in.To.IsZero() {
			in.To = s.Ledger.DB().Now()
		}
		if in.From.IsZero() {
			in.From = in.To.AddDate(0, 0, -56)
		}
		l, err := s.Load(ctx, in.From, in.To)
		return viewLoad(l), err
	})
}
