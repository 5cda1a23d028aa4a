package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

type nextPageView struct {
	Person person `json:"person"`
	At     stamp  `json:"at"`
}

type pageView struct {
	ID         string              `json:"id"`
	Incident   *string             `json:"incident" nullable:"true"`
	Ladder     string              `json:"ladder"`
	Person     person              `json:"person"`
	Step       int                 `json:"step"`
	Round      int                 `json:"round"`
	State      string              `json:"state" enum:"open,acknowledged,refused,unanswered,withdrawn"`
	Severity   *string             `json:"severity" nullable:"true"`
	Title      string              `json:"title" doc:"Empty when the incident is confidential"`
	Service    *string             `json:"service" nullable:"true"`
	Alerts     int                 `json:"alerts" doc:"How many alerts the page stands for"`
	Exercise   bool                `json:"exercise"`
	OpenedAt   stamp               `json:"opened_at"`
	AnsweredAt stamp               `json:"answered_at"`
	Method     *string             `json:"method" nullable:"true" doc:"How it was answered"`
	Text       string              `json:"text,omitempty" doc:"What somebody who pages by hand says"`
	EndedBy    *string             `json:"ended_by" nullable:"true"`
	Reason     string              `json:"reason,omitempty"`
	Next       maybe[nextPageView] `json:"next"`
}

func viewPage(p notify.Page) pageView {
	v := pageView{
		ID: p.ID, Incident: word(p.Ref), Ladder: p.Ladder, Person: person{ID: p.Person.ID, Name: p.Person.Name}, Step: p.Step, Round: p.Round,
		State: p.State, Severity: word(p.Severity), Title: p.Title, Service: word(p.Service), Alerts: p.Alerts, Exercise: p.Exercise,
		OpenedAt: at(p.OpenedAt), AnsweredAt: at(p.AnsweredAt), Method: word(p.Method), Text: p.Text, EndedBy: word(p.EndedBy), Reason: p.EndedReason,
	}
	if p.Confidential {
		v.Title, v.Service, v.Text = "", nil, ""
	}
	if p.NextPerson.ID != "" {
		v.Next.v = &nextPageView{Person: person{ID: p.NextPerson.ID, Name: p.NextPerson.Name}, At: at(p.NextAt)}
	}
	return v
}

type messageView struct {
	Kind string `json:"kind" enum:"page,notice,test,update,notification"`
	ID   string `json:"id"`
}

type attemptView struct {
	At        stamp     `json:"at"`
	State     string    `json:"state"`
	Error     string    `json:"error,omitempty"`
	ErrorText *kit.Text `json:"error_text,omitempty"`
}

// errorText gives the words of an error that is a code; nil for what a provider said.
func errorText(code, method string) *kit.Text {
	if code == "" || !i18n.Has(code) {
		return nil
	}
	args := map[string]any{"kind": method}
	return &kit.Text{FR: i18n.T("fr", code, args), EN: i18n.T("en", code, args)}
}

type deliveryView struct {
	ID          string        `json:"id"`
	Message     messageView   `json:"message"`
	Recipient   actorView     `json:"recipient"`
	Method      string        `json:"method" doc:"The kind: webhook, email …"`
	To          string        `json:"to" doc:"Masked below manager"`
	State       string        `json:"state" enum:"pending,sending,sent,confirmed,failed,in_doubt"`
	Error       string        `json:"error,omitempty" doc:"A code of the product, or what the provider said"`
	ErrorText   *kit.Text     `json:"error_text,omitempty" doc:"The error in words, where it is a code"`
	Attempts    []attemptView `json:"attempts"`
	CreatedAt   stamp         `json:"created_at"`
	SentAt      stamp         `json:"sent_at"`
	ConfirmedAt stamp         `json:"confirmed_at"`
}

func viewDelivery(d notify.Delivery) deliveryView {
	v := deliveryView{
		ID: d.ID, Message: messageView{Kind: d.Message, ID: d.MessageID}, Recipient: actorView{Kind: d.RecipientKind, ID: d.Recipient.ID, Name: d.Recipient.Name},
		Method: d.Kind, To: d.To, State: string(d.State), Error: d.Error, ErrorText: errorText(d.Error, d.Kind), Attempts: []attemptView{}, CreatedAt: at(d.CreatedAt), SentAt: at(d.SentAt),
		ConfirmedAt: at(d.ConfirmedAt),
	}
	for _, a := range d.Attempts {
		v.Attempts = append(v.Attempts, attemptView{At: at(a.At), State: string(a.State), Error: a.Error, ErrorText: errorText(a.Error, d.Kind)})
	}
	return v
}

type methodView struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	To         string `json:"to"`
	Default    bool   `json:"default" doc:"The e-mail address of a person without methods"`
	VerifiedAt stamp  `json:"verified_at"`
	TestedAt   stamp  `json:"tested_at"`
	Stale      bool   `json:"stale"`
	Disabled   string `json:"disabled,omitempty" doc:"Why it is not used"`
}

func viewMethod(m notify.Method) methodView {
	return methodView{
		ID: m.ID, Kind: m.Kind, To: m.To, Default: m.Default, VerifiedAt: at(m.VerifiedAt), TestedAt: at(m.TestedAt), Stale: m.Stale, Disabled: m.Disabled,
	}
}

func (s *server) pageCalls() {
	if s.Notify == nil {
		return
	}
	get(s, "/pages", "on-call", "Pages, the latest first", s.pages)
	get(s, "/pages/{id}", "on-call", "One page", func(ctx context.Context, in *IDIn) (pageView, error) {
		p, err := s.Notify.Page(ctx, in.ID)
		return viewPage(p), err
	})
	for _, c := range []struct {
		path, summary string
		accept        bool
	}{{"acknowledge", "I have it", true}, {"refuse", "I cannot take it", false}} {
		post(s, "/pages/{id}/"+c.path, "on-call", c.summary, func(ctx context.Context, in *idBody[nothing]) (pageView, error) {
			if err := s.Notify.Answer(ctx, in.ID, c.accept); err != nil {
				return pageView{}, err
			}
			p, err := s.Notify.Page(ctx, in.ID)
			return viewPage(p), err
		})
	}
	if s.Incident != nil {
		get(s, "/incidents/{ref}/deliveries", "incidents", "Every message about it: to whom, by which method, its state", func(ctx context.Context, in *RefIn) (list[deliveryView], error) {
			i, err := s.Incident.Get(ctx, in.Ref)
			if err != nil {
				return list[deliveryView]{}, err
			}
			l, err := s.Notify.Deliveries(ctx, i.ID)
			return all(l, viewDelivery), err
		})
		post(s, "/incidents/{ref}/deliveries/{id}/retry", "incidents", "Send a failed or doubtful message once more", s.retry)
	}
	if s.Oncall != nil && s.Incident != nil {
		call(s, http.MethodPost, "/pages", "on-call", "Page somebody by hand; answers the escalation", http.StatusCreated, s.pageSomeone)
		post(s, "/pages/{id}/still", "on-call", "Answer Still on it?: here, or let the escalation go on", s.stillHere)
	}
	s.methodCalls()
	if s.SelfTested != nil {
		call(s, http.MethodPost, "/self-tests", "on-call", "Record how a test alarm went that was raised and awaited outside", http.StatusCreated, func(ctx context.Context, in *struct {
			Body struct {
				Passed     bool   `json:"passed"`
				Path       string `json:"path" doc:"Which way it went, as witness"`
				DurationMS int64  `json:"duration_ms,omitempty" doc:"How long it took, or was waited for"`
				Reason     string `json:"reason,omitempty"`
			}
		},
		) (nothing, error) {
			b := in.Body
			return nothing{}, s.SelfTested(ctx, b.Passed, b.Path, time.Duration(b.DurationMS)*time.Millisecond, b.Reason)
		})
	}
}

func (s *server) pages(ctx context.Context, in *struct {
	Paged
	State    string `query:"state" enum:"open,acknowledged,refused,unanswered,withdrawn"`
	Person   string `query:"person" doc:"A person, or me: for a token the person whom it belongs to"`
	Incident string `query:"incident"`
	Ladder   string `query:"ladder"`
},
) (list[pageView], error) {
	f := notify.Filter{State: in.State, Person: in.Person, Ladder: in.Ladder, Page: in.page()}
	if in.Person == "me" {
		f.Person = kit.ActorFrom(ctx).Me()
	}
	if in.Incident != "" {
		if s.Incident == nil {
			return list[pageView]{}, kit.NotFound("incident", in.Incident)
		}
		i, err := s.Incident.Get(ctx, in.Incident)
		if err != nil {
			return list[pageView]{}, err
		}
		f.Incident = i.ID
	}
	l, err := s.Notify.Pages(ctx, f)
	return listOf(l, viewPage), err
}

func (s *server) retry(ctx context.Context, in *partIn) (deliveryView, error) {
	i, err := s.Incident.Get(ctx, in.Ref)
	if err != nil {
		return deliveryView{}, err
	}
	find := func() (deliveryView, error) {
		l, err := s.Notify.Deliveries(ctx, i.ID)
		for _, d := range l {
			if d.ID == in.ID {
				return viewDelivery(d), nil
			}
		}
		if err == nil {
			err = kit.NotFound("delivery", in.ID)
		}
		return deliveryView{}, err
	}
	if _, err := find(); err != nil {
		return deliveryView{}, err
	}
	if err := s.Notify.Retry(ctx, in.ID); err != nil {
		return deliveryView{}, err
	}
	return find()
}

type pageIn struct {
	To       []string `json:"to,omitempty" maxItems:"50" doc:"People by id, or targets: person:ana, schedule:primary, role:commander, team:ops; none: the policy of the service or incident"`
	Text     string   `json:"text,omitempty" maxLength:"200"`
	Service  string   `json:"service,omitempty"`
	Incident string   `json:"incident,omitempty"`
}

func (s *server) pageSomeone(ctx context.Context, in *struct{ Body pageIn }) (ladderView, error) {
	start := oncall.Start{Title: in.Body.Text, Reason: "page_someone"}
	if in.Body.Service != "" {
		start.Services = []string{in.Body.Service}
	}
	if len(in.Body.To) == 0 && in.Body.Service == "" && in.Body.Incident == "" {
		return ladderView{}, kit.InvalidField("to", "error.required")
	}
	if in.Body.Incident == "" && strings.TrimSpace(in.Body.Text) == "" {
		return ladderView{}, kit.InvalidField("text", "error.required")
	}
	if in.Body.Incident != "" {
		i, err := s.Incident.Get(ctx, in.Body.Incident)
		if err != nil {
			return ladderView{}, err
		}
		start.Incident, start.Ref, start.Severity, start.Kind, start.Exercise = i.ID, i.Ref(), string(i.Severity), string(i.Kind), i.Exercise
		if start.Title == "" {
			start.Title = i.Title
		}
		if start.Services == nil {
			start.Services = i.Services
		}
	}
	targets := make([]string, 0, len(in.Body.To))
	for _, t := range in.Body.To {
		if !strings.Contains(t, ":") {
			t = "person:" + t
		}
		targets = append(targets, t)
	}
	id, err := s.Oncall.PageSomeone(ctx, start, targets...)
	if err != nil {
		return ladderView{}, err
	}
	l, err := s.Oncall.Ladder(ctx, id)
	return viewLadder(l), err
}

type stillIn struct {
	Here bool `json:"here"`
}

func (s *server) stillHere(ctx context.Context, in *idBody[stillIn]) (pageView, error) {
	if err := s.Notify.Still(ctx, in.ID, in.Body.Here); err != nil {
		return pageView{}, err
	}
	p, err := s.Notify.Page(ctx, in.ID)
	return viewPage(p), err
}

type methodIn struct {
	ID   string `json:"id"`
	Kind string `json:"kind" doc:"webhook, email, sms …"`
	To   string `json:"to"`
}

type ruleView struct {
	AfterS     int64    `json:"after_s" minimum:"0"`
	Method     string   `json:"method"`
	Severities []string `json:"severities,omitempty"`
}

type quietView struct {
	From     string `json:"from,omitempty" doc:"22:00; without from and to there are none"`
	To       string `json:"to,omitempty"`
	Timezone string `json:"timezone,omitempty"`
}

// self is the person who calls: what is one's own belongs to no token.
func self(ctx context.Context) (string, error) {
	a := kit.ActorFrom(ctx)
	if !a.IsPerson() {
		return "", kit.Errorf(kit.CodeForbidden, "api.error.not_a_person")
	}
	return a.ID, nil
}

func (s *server) methodCalls() {
	methods := func(ctx context.Context, who string) (list[methodView], error) {
		l, err := s.Notify.Methods(ctx, who)
		return all(l, viewMethod), err
	}
	get(s, "/me/contact-methods", "people", "How I am reached", func(ctx context.Context, _ *none) (list[methodView], error) {
		who, err := self(ctx)
		if err != nil {
			return list[methodView]{}, err
		}
		return methods(ctx, who)
	})
	call(s, http.MethodPost, "/me/contact-methods", "people", "Add a method, or change the one of its id", http.StatusCreated,
		func(ctx context.Context, in *struct{ Body methodIn }) (list[methodView], error) {
			who, err := self(ctx)
			if err == nil {
				err = s.Notify.SaveMethod(ctx, who, notify.Method{ID: in.Body.ID, Kind: in.Body.Kind, To: in.Body.To})
			}
			if err != nil {
				return list[methodView]{}, err
			}
			return methods(ctx, who)
		})
	drop(s, http.MethodDelete, "/me/contact-methods/{id}", "people", "Remove a method", func(ctx context.Context, in *IDIn) error {
		who, err := self(ctx)
		if err != nil {
			return err
		}
		return s.Notify.RemoveMethod(ctx, who, in.ID)
	})
	post(s, "/me/contact-methods/{id}/test", "people", "Send a test; answering it verifies the method", func(ctx context.Context, in *idBody[nothing]) (messageView, error) {
		who, err := self(ctx)
		if err != nil {
			return messageView{}, err
		}
		id, err := s.Notify.SendTest(ctx, who, in.ID)
		return messageView{Kind: "test", ID: id}, err
	})
	rules := func(ctx context.Context, who string) (list[ruleView], error) {
		l, err := s.Notify.Rules(ctx, who)
		return all(l, func(r notify.Rule) ruleView {
			return ruleView{AfterS: int64(r.After / time.Second), Method: r.Method, Severities: r.Severities}
		}), err
	}
	get(s, "/me/rules", "people", "My personal rule for pages; empty means the default", func(ctx context.Context, _ *none) (list[ruleView], error) {
		who, err := self(ctx)
		if err != nil {
			return list[ruleView]{}, err
		}
		return rules(ctx, who)
	})
	call(s, http.MethodPut, "/me/rules", "people", "Replace my personal rule", http.StatusOK, func(ctx context.Context, in *struct {
		Body struct {
			Items []ruleView `json:"items"`
		}
	},
	) (list[ruleView], error) {
		who, err := self(ctx)
		if err != nil {
			return list[ruleView]{}, err
		}
		var l []notify.Rule
		for _, r := range in.Body.Items {
			l = append(l, notify.Rule{After: time.Duration(min(r.AfterS, 1<<32)) * time.Second, Method: r.Method, Severities: r.Severities})
		}
		if err := s.Notify.SetRules(ctx, who, l); err != nil {
			return list[ruleView]{}, err
		}
		return rules(ctx, who)
	})
	call(s, http.MethodPut, "/me/quiet-hours", "people", "When only what cannot wait is sent", http.StatusOK,
		func(ctx context.Context, in *struct{ Body quietView }) (quietView, error) {
			who, err := self(ctx)
			if err != nil {
				return quietView{}, err
			}
			var q *notify.QuietHours
			if b := in.Body; b.From != "" || b.To != "" {
				q = &notify.QuietHours{From: b.From, To: b.To, Timezone: b.Timezone}
			}
			return in.Body, s.Notify.SetQuiet(ctx, who, q)
		})
}
