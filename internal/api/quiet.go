package api

import (
	"context"
	"net/http"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
)

type matcherView struct {
	Name    string `json:"name" doc:"A label, or alertname, service, source, severity"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex,omitempty" doc:"The value is a regular expression, anchored at both ends"`
	IsEqual *bool  `json:"isEqual,omitempty" doc:"false negates; true when not given"`
}

type silenceView struct {
	ID        string        `json:"id"`
	State     string        `json:"state" enum:"active,pending,expired"`
	Matchers  []matcherView `json:"matchers"`
	From      stamp         `json:"from"`
	Until     stamp         `json:"until"`
	Reason    string        `json:"reason"`
	By        string        `json:"by"`
	Source    *string       `json:"source" nullable:"true" doc:"The source that made it, whose alerts alone it touches"`
	CreatedAt stamp         `json:"created_at"`
	EndedAt   stamp         `json:"ended_at"`
}

func (s *server) viewSilence(x alert.Silence) silenceView {
	v := silenceView{
		ID: x.ID, State: x.State(s.Ledger.DB().Now()), Matchers: []matcherView{}, From: at(x.From), Until: at(x.Until), Reason: x.Reason,
		By: x.ByName, Source: word(x.Scope), CreatedAt: at(x.CreatedAt), EndedAt: at(x.EndedAt),
	}
	for _, m := range x.Matchers {
		v.Matchers = append(v.Matchers, matcherView{Name: m.Name, Value: m.Value, IsRegex: m.IsRegex, IsEqual: &m.IsEqual})
	}
	return v
}

type maintenanceView struct {
	ID       string   `json:"id"`
	State    string   `json:"state" enum:"planned,started,ended"`
	Services []string `json:"services"`
	From     stamp    `json:"from"`
	To       stamp    `json:"to"`
	Reason   string   `json:"reason"`
	Public   bool     `json:"public"`
}

func viewMaintenance(w alert.Maintenance) maintenanceView {
	return maintenanceView{ID: w.ID, State: w.State, Services: some(w.Services), From: at(w.From), To: at(w.Until), Reason: w.Reason, Public: w.Public}
}

func (s *server) quietCalls() {
	get(s, "/silences", "alerts", "Silences, those that have not ended first", func(ctx context.Context, _ *none) (list[silenceView], error) {
		l, err := s.Alert.Silences(ctx)
		return all(l, s.viewSilence), err
	})
	call(s, http.MethodPost, "/silences", "alerts", "Hold the alerts back that the matchers mean; what still fires at the end is routed like new", http.StatusCreated,
		func(ctx context.Context, in *struct {
			Body struct {
				Matchers []matcherView `json:"matchers"`
				From     time.Time     `json:"from,omitempty" doc:"Now when not given"`
				Until    time.Time     `json:"until"`
				Reason   string        `json:"reason"`
			}
		},
		) (silenceView, error) {
			x := alert.Silence{Silence: quiet.Silence{From: in.Body.From, Until: in.Body.Until}, Reason: in.Body.Reason}
			for _, m := range in.Body.Matchers {
				x.Matchers = append(x.Matchers, quiet.Matcher{Name: m.Name, Value: m.Value, IsRegex: m.IsRegex, IsEqual: m.IsEqual == nil || *m.IsEqual})
			}
			x, err := s.Alert.Silence(ctx, x)
			return s.viewSilence(x), err
		})
	drop(s, http.MethodDelete, "/silences/{id}", "alerts", "End a silence now", func(ctx context.Context, in *IDIn) error {
		return s.Alert.Unsilence(ctx, in.ID)
	})
	get(s, "/maintenance", "alerts", "Planned work, the soonest first", func(ctx context.Context, _ *none) (list[maintenanceView], error) {
		l, err := s.Alert.Maintenances(ctx)
		return all(l, viewMaintenance), err
	})
	call(s, http.MethodPost, "/maintenance", "alerts", "Plan work on services; their alerts are held back while it lasts", http.StatusCreated,
		func(ctx context.Context, in *struct {
			Body struct {
				Services []string  `json:"services"`
				From     time.Time `json:"from,omitempty" doc:"Now when not given"`
				To       time.Time `json:"to"`
				Reason   string    `json:"reason"`
				Public   bool      `json:"public,omitempty" doc:"Shown on the status page"`
			}
		},
		) (maintenanceView, error) {
			b := in.Body
			w, err := s.Alert.PlanMaintenance(ctx, alert.Maintenance{Window: quiet.Window{Services: b.Services, From: b.From, Until: b.To}, Reason: b.Reason, Public: b.Public})
			return viewMaintenance(w), err
		})
	drop(s, http.MethodDelete, "/maintenance/{id}", "alerts", "End the work now, or take it off the plan", func(ctx context.Context, in *IDIn) error {
		return s.Alert.EndMaintenance(ctx, in.ID)
	})
}
