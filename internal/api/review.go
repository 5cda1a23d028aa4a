package api

import (
	"context"
	"net/http"

	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

type actionView struct {
	Ref      string     `json:"ref"`
	ID       string     `json:"id"`
	Version  int64      `json:"version"`
	Type     string     `json:"type" enum:"correction,corrective,preventive,containment"`
	Text     string     `json:"text"`
	Owner    *string    `json:"owner" nullable:"true"`
	Due      *string    `json:"due" nullable:"true" doc:"A date; it means the end of that day"`
	State    string     `json:"state" enum:"open,done,effective,not_effective,cancelled"`
	Origin   originView `json:"origin"`
	Method   string     `json:"method"`
	CheckOn  *string    `json:"check_on" nullable:"true"`
	Evidence string     `json:"evidence,omitempty"`
	Result   string     `json:"result,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	DoneBy   string     `json:"done_by,omitempty"`
	DoneAt   stamp      `json:"done_at"`
}

func (a actionView) etag() string     { return etag(a.Version) }
func (a actionView) location() string { return prefix + "/actions/" + a.Ref }

type originView struct {
	Kind string `json:"kind"`
	Ref  string `json:"ref"`
}

func viewAction(a incident.Action) actionView {
	return actionView{
		Ref: a.Ref(), ID: a.ID, Version: a.Version, Type: a.Type, Text: a.Text, Owner: word(a.Owner), Due: word(a.Due), State: a.State,
		Origin: originView{Kind: "incident", Ref: a.Origin}, Method: a.Method, CheckOn: word(a.CheckOn), Evidence: a.Evidence,
		Result: a.Result, Reason: a.Reason, DoneBy: a.DoneBy, DoneAt: atMicros(a.DoneAt),
	}
}

// ReviewView is a review as answered.
type ReviewView struct {
	Incident string `json:"incident"`
	State    string `json:"state" enum:"draft,in_review,approved,superseded"`
	Version  int64  `json:"version"`
	Due      stamp  `json:"due"`
	incident.ReviewContent
	ApprovedAt stamp        `json:"approved_at"`
	Actions    []actionView `json:"actions"`
}

func viewReview(ref string, r incident.Review) ReviewView {
	v := ReviewView{Incident: ref, State: r.State, Version: r.Version, Due: at(r.Due), ReviewContent: r.ReviewContent, Actions: []actionView{}}
	if r.ApprovedAt != nil {
		v.ApprovedAt = at(*r.ApprovedAt)
	}
	v.Factors, v.Risks, v.Authors = some(v.Factors), some(v.Risks), some(v.Authors)
	for _, a := range r.Actions {
		v.Actions = append(v.Actions, viewAction(a))
	}
	return v
}

type factorIn struct {
	Text     string   `json:"text"`
	Kind     string   `json:"kind" enum:"trigger,root,contributing,barrier,luck"`
	Category string   `json:"category,omitempty" enum:"people,process,technology,environment,data,third_party"`
	Evidence []string `json:"evidence,omitempty"`
}

type riskIn struct {
	Ref    string `json:"ref,omitempty"`
	Effect string `json:"effect"`
	Reason string `json:"reason,omitempty"`
}

type reviewIn struct {
	Summary        kit.Text   `json:"summary,omitempty"`
	Factors        []factorIn `json:"factors,omitempty"`
	WentWell       string     `json:"went_well,omitempty"`
	Surprised      string     `json:"surprised,omitempty"`
	NoActionReason string     `json:"no_action_reason,omitempty"`
	Risks          []riskIn   `json:"risks,omitempty"`
	Impact         string     `json:"impact,omitempty"`
	PublicSummary  kit.Text   `json:"public_summary,omitempty"`
	Authors        []string   `json:"authors,omitempty"`
}

func (r reviewIn) content() incident.ReviewContent {
	c := incident.ReviewContent{
		Summary: r.Summary, WentWell: r.WentWell, Surprised: r.Surprised, NoActionReason: r.NoActionReason, PublicSummary: r.PublicSummary,
		Impact: r.Impact, Authors: r.Authors, Factors: []incident.Factor{}, Risks: []incident.RiskLink{},
	}
	for _, f := range r.Factors {
		c.Factors = append(c.Factors, incident.Factor{Text: f.Text, Kind: f.Kind, Category: f.Category, Evidence: f.Evidence})
	}
	for _, k := range r.Risks {
		c.Risks = append(c.Risks, incident.RiskLink{Ref: k.Ref, Effect: k.Effect, Reason: k.Reason})
	}
	return c
}

type reviewItemView struct {
	ReviewView
	Title    string  `json:"title"`
	Severity *string `json:"severity" nullable:"true"`
}

type actionIn struct {
	Incident string `json:"incident" doc:"The incident it comes from"`
	Type     string `json:"type,omitempty" enum:"correction,corrective,preventive,containment" doc:"corrective when not given"`
	Text     string `json:"text"`
	Owner    string `json:"owner,omitempty"`
	Due      string `json:"due,omitempty" doc:"A date: 2026-12-04"`
	Method   string `json:"method,omitempty" doc:"How we will know that it worked"`
}

type actionEditIn struct {
	Type    *string `json:"type,omitempty" enum:"correction,corrective,preventive,containment"`
	Text    *string `json:"text,omitempty"`
	Owner   *string `json:"owner,omitempty"`
	Due     *string `json:"due,omitempty"`
	Method  *string `json:"method,omitempty"`
	CheckOn *string `json:"check_on,omitempty"`
	State   *string `json:"state,omitempty" doc:"cancelled, with a reason"`
	Reason  string  `json:"reason,omitempty"`
}

// ActionRef is the address of an action.
type ActionRef struct {
	Ref string `path:"ref" doc:"ACT-7, 7 or the internal id"`
}

func (s *server) reviewCalls() {
	// The calls on the review of one incident differ only in what they ask of it.
	one := func(ctx context.Context, ref string, do func(ctx context.Context) (incident.Review, error)) (ReviewView, error) {
		r, err := do(ctx)
		if err != nil {
			return ReviewView{}, err
		}
		refs, err := s.refsOf(ctx, []string{r.Incident})
		return viewReview(refs[r.Incident], r), err
	}
	get(s, "/incidents/{ref}/review", "reviews", "The newest version of its review", func(ctx context.Context, in *RefIn) (ReviewView, error) {
		return one(ctx, in.Ref, func(ctx context.Context) (incident.Review, error) { return s.Incident.Review(ctx, in.Ref) })
	})
	call(s, http.MethodPut, "/incidents/{ref}/review", "reviews", "Write the review; after the approval it makes a new version", http.StatusOK,
		func(ctx context.Context, in *refBody[reviewIn]) (ReviewView, error) {
			return one(ctx, in.Ref, func(ctx context.Context) (incident.Review, error) {
				return s.Incident.SaveReview(ctx, in.Ref, in.Body.content())
			})
		})
	post(s, "/incidents/{ref}/review/submit", "reviews", "Ask for the approval", func(ctx context.Context, in *refBody[nothing]) (ReviewView, error) {
		return one(ctx, in.Ref, func(ctx context.Context) (incident.Review, error) { return s.Incident.SubmitReview(ctx, in.Ref) })
	})
	post(s, "/incidents/{ref}/review/approve", "reviews", "Approve it, which lets the incident be closed", func(ctx context.Context, in *refBody[nothing]) (ReviewView, error) {
		return one(ctx, in.Ref, func(ctx context.Context) (incident.Review, error) { return s.Incident.ApproveReview(ctx, in.Ref) })
	})
	post(s, "/incidents/{ref}/review/reopen", "reviews", "Make a new version of an approved review", func(ctx context.Context, in *refBody[reasonIn]) (ReviewView, error) {
		return one(ctx, in.Ref, func(ctx context.Context) (incident.Review, error) {
			return s.Incident.ReopenReview(ctx, in.Ref, in.Body.Reason)
		})
	})
	get(s, "/reviews", "reviews", "Reviews in a state, those due first", func(ctx context.Context, in *struct {
		State string `query:"state" enum:"draft,in_review,approved"`
	},
	) (list[reviewItemView], error) {
		l, err := s.Incident.Reviews(ctx, in.State)
		return all(l, func(r incident.ReviewItem) reviewItemView {
			return reviewItemView{ReviewView: viewReview(r.Incident.Ref(), r.Review), Title: r.Incident.Title, Severity: word(r.Incident.Severity)}
		}), err
	})
	s.actionCalls()
}

func (s *server) actionCalls() {
	get(s, "/actions", "actions", "Actions, those due first", func(ctx context.Context, in *struct {
		State string `query:"state" enum:"open,done,effective,not_effective,cancelled"`
		Owner string `query:"owner" doc:"A person, or me"`
		Due   string `query:"due" doc:"Due before this date: 2026-12-04"`
	},
	) (list[actionView], error) {
		if in.Owner == "me" {
			in.Owner = kit.ActorFrom(ctx).ID
		}
		l, err := s.Incident.Actions(ctx, incident.ActionFilter{State: in.State, Owner: in.Owner, DueBefore: in.Due})
		return all(l, viewAction), err
	})
	call(s, http.MethodPost, "/actions", "actions", "Agree work with owner and date", http.StatusCreated,
		func(ctx context.Context, in *struct{ Body actionIn }) (actionView, error) {
			b := in.Body
			if b.Type == "" {
				b.Type = "corrective"
			}
			a, err := s.Incident.AddAction(ctx, b.Incident, incident.ActionInput{Type: b.Type, Text: b.Text, Owner: b.Owner, Due: b.Due, Method: b.Method})
			return viewAction(a), err
		})
	call(s, http.MethodPatch, "/actions/{ref}", "actions", "Change an action; its date moves only before it has passed", http.StatusOK,
		func(ctx context.Context, in *struct {
			ActionRef
			Body actionEditIn
		},
		) (actionView, error) {
			b := in.Body
			a, err := s.Incident.ChangeAction(ctx, in.Ref, incident.ActionEdit{
				Type: b.Type, Text: b.Text, Owner: b.Owner, Due: b.Due, Method: b.Method, CheckOn: b.CheckOn, State: b.State, Reason: b.Reason,
			})
			return viewAction(a), err
		})
	post(s, "/actions/{ref}/done", "actions", "It is done, with its proof", func(ctx context.Context, in *struct {
		ActionRef
		Body struct {
			Text     string `json:"text,omitempty"`
			Evidence string `json:"evidence,omitempty"`
		}
	},
	) (actionView, error) {
		proof := in.Body.Evidence
		switch {
		case proof == "":
			proof = in.Body.Text
		case in.Body.Text != "":
			proof = in.Body.Text + "\n" + proof
		}
		a, err := s.Incident.FinishAction(ctx, in.Ref, proof)
		return viewAction(a), err
	})
	post(s, "/actions/{ref}/check", "actions", "Say whether it works; by another person than the one who did it", func(ctx context.Context, in *struct {
		ActionRef
		Body struct {
			Result string `json:"result" enum:"effective,not_effective"`
			Text   string `json:"text,omitempty"`
		}
	},
	) (actionView, error) {
		a, err := s.Incident.CheckAction(ctx, in.Ref, in.Body.Result, in.Body.Text)
		return viewAction(a), err
	})
}
