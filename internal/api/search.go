package api

import (
	"context"
	"strings"

	"tocsin/internal/alert"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/text"
)

type foundView struct {
	Kind  string `json:"kind" enum:"incident,alert,finding,report,past_incident,change,person,action,service"`
	ID    string `json:"id"`
	Ref   string `json:"ref,omitempty"`
	Title string `json:"title"`
	State string `json:"state,omitempty"`
	URL   string `json:"url"`
}

// perKind is how many of each kind a search gives.
const perKind = 10

func (s *server) searchCalls() {
	get(s, "/search", "search", "What has these words: incidents, alerts, findings, changes, people, services", func(ctx context.Context, in *struct {
		Q string `query:"q" required:"true" minLength:"1" maxLength:"200"`
	},
	) (list[foundView], error) {
		out := list[foundView]{Items: []foundView{}}
		for _, look := range []func(context.Context, string) ([]foundView, error){
			s.findIncidents, s.findAlerts, s.findFindings, s.findReports, s.findPast, s.findChange, s.findPeople, s.findServices,
		} {
			l, err := look(ctx, in.Q)
			if err != nil {
				// A token that may not see one kind still finds the others.
				if kit.CodeOf(err) == kit.CodeForbidden {
					continue
				}
				return out, err
			}
			out.Items = append(out.Items, l...)
		}
		out.Total = len(out.Items)
		return out, nil
	})
}

func (s *server) findIncidents(ctx context.Context, q string) ([]foundView, error) {
	if s.Incident == nil {
		return nil, nil
	}
	l, err := s.Incident.List(ctx, incident.Filter{Query: q, Exercises: true}, kit.Page{Limit: perKind})
	if err != nil {
		return nil, err
	}
	var out []foundView
	for _, i := range l.Items {
		s.refs.Store(i.ID, i.Ref())
		out = append(out, foundView{Kind: "incident", ID: i.ID, Ref: i.Ref(), Title: i.Title, State: string(i.Status), URL: prefix + "/incidents/" + i.Ref()})
	}
	return out, nil
}

func (s *server) findAlerts(ctx context.Context, q string) ([]foundView, error) {
	if s.Alert == nil {
		return nil, nil
	}
	l, err := s.Alert.List(ctx, alert.Filter{Q: q}, kit.Page{Limit: perKind})
	var out []foundView
	for _, a := range l.Items {
		out = append(out, foundView{Kind: "alert", ID: a.ID, Title: a.Title, State: string(a.State), URL: prefix + "/alerts/" + a.ID})
	}
	return out, err
}

func (s *server) findChange(ctx context.Context, q string) ([]foundView, error) {
	// Changes are found by their reference; their words are those of pipelines.
	if s.Change == nil || !strings.HasPrefix(strings.ToUpper(q), "CHG-") {
		return nil, nil
	}
	c, err := s.Change.Get(ctx, strings.TrimSpace(q))
	if kit.CodeOf(err) == kit.CodeNotFound {
		return nil, nil
	}
	return []foundView{{Kind: "change", ID: c.ID, Ref: c.Ref, Title: c.Summary, State: c.State, URL: prefix + "/changes/" + c.Ref}}, err
}

func (s *server) findPeople(ctx context.Context, q string) ([]foundView, error) {
	l, err := s.Identity.SeePeople(ctx, identity.Filter{})
	var out []foundView
	for _, p := range l {
		if len(out) < perKind && holds(p.ID+" "+p.Name+" "+p.Email, q) {
			out = append(out, foundView{Kind: "person", ID: p.ID, Title: p.Name, URL: prefix + "/people/" + p.ID})
		}
	}
	return out, err
}

func (s *server) findServices(ctx context.Context, q string) ([]foundView, error) {
	if s.Services == nil {
		return nil, nil
	}
	l, err := s.Services.Services(ctx)
	var out []foundView
	for _, d := range l {
		if len(out) < perKind && holds(d.ID+" "+d.Name.FR+" "+d.Name.EN, q) {
			out = append(out, foundView{Kind: "service", ID: d.ID, Title: d.Title("en"), URL: prefix + "/services/" + d.ID})
		}
	}
	return out, err
}

// holds tells whether a text has every word, whatever its case and accents.
func holds(s, q string) bool {
	s = text.Fold(s)
	words := text.Words(q)
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return len(words) > 0
}
