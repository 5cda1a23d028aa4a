package api

import (
	"context"
	"net/http"
	"time"

	"tocsin/internal/oncall"
)

type spanView struct {
	From stamp `json:"from"`
	To   stamp `json:"to"`
}

type swapView struct {
	ID         string          `json:"id"`
	Schedule   string          `json:"schedule"`
	From       stamp           `json:"from"`
	To         stamp           `json:"to"`
	Asker      person          `json:"asker" doc:"Gives the shift away"`
	With       maybe[person]   `json:"with" doc:"Who is asked; null means everyone of the schedule"`
	Return     maybe[spanView] `json:"return" doc:"The shift that the asker takes in return"`
	State      string          `json:"state" enum:"asked,accepted,refused,withdrawn,lapsed"`
	AskedAt    stamp           `json:"asked_at"`
	AnsweredBy maybe[person]   `json:"answered_by"`
	AnsweredAt stamp           `json:"answered_at"`
}

func viewSwap(x oncall.Swap) swapView {
	v := swapView{
		ID: x.ID, Schedule: x.Schedule, From: at(x.From), To: at(x.To), Asker: person{ID: x.Asker.ID, Name: x.Asker.Name}, With: somebody(x.With),
		State: x.State, AskedAt: at(x.Asked), AnsweredBy: somebody(x.AnsweredBy), AnsweredAt: at(x.Answered),
	}
	if x.Return != nil {
		v.Return.v = &spanView{From: at(x.Return.From), To: at(x.Return.To)}
	}
	return v
}

func (s *server) swapCalls() {
	get(s, "/on-call/swaps", "on-call", "The requests to be stood in for whose shift is not over", func(ctx context.Context, _ *none) (list[swapView], error) {
		l, err := s.Oncall.Swaps(ctx)
		return all(l, viewSwap), err
	})
	call(s, http.MethodPost, "/on-call/swaps", "on-call", "Ask somebody to take a shift of yours", http.StatusCreated,
		func(ctx context.Context, in *struct {
			Body struct {
				Schedule string    `json:"schedule"`
				From     time.Time `json:"from"`
				To       time.Time `json:"to"`
				With     string    `json:"with,omitempty" doc:"Who is asked; without it everyone of the schedule, and the first to accept has it"`
				Return   *struct {
					From time.Time `json:"from"`
					To   time.Time `json:"to"`
				} `json:"return,omitempty" doc:"The shift of theirs that you take"`
			}
		},
		) (swapView, error) {
			ask := oncall.AskSwap{Schedule: in.Body.Schedule, Span: oncall.Span{From: in.Body.From, To: in.Body.To}, With: in.Body.With}
			if r := in.Body.Return; r != nil {
				ask.Return = &oncall.Span{From: r.From, To: r.To}
			}
			x, err := s.Oncall.Ask(ctx, ask)
			return viewSwap(x), err
		})
	call(s, http.MethodPost, "/on-call/swaps/{id}/accept", "on-call", "Take the shift", http.StatusOK, func(ctx context.Context, in *IDIn) (swapView, error) {
		x, err := s.Oncall.Accept(ctx, in.ID)
		return viewSwap(x), err
	})
	call(s, http.MethodPost, "/on-call/swaps/{id}/refuse", "on-call", "Leave the shift with who has it", http.StatusOK, func(ctx context.Context, in *IDIn) (swapView, error) {
		x, err := s.Oncall.Refuse(ctx, in.ID)
		return viewSwap(x), err
	})
	drop(s, http.MethodDelete, "/on-call/swaps/{id}", "on-call", "Withdraw a request", func(ctx context.Context, in *IDIn) error {
		return s.Oncall.WithdrawSwap(ctx, in.ID)
	})
}
