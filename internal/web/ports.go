package web

import (
	"context"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// Notify is what the pages ask of pages, deliveries and contact methods:
// notify.Service.
type Notify interface {
	Pages(ctx context.Context, f notify.Filter) (kit.List[notify.Page], error)
	Answer(ctx context.Context, page string, accept bool) error
	PageByToken(ctx context.Context, token string) (notify.View, error)
	AnswerByToken(ctx context.Context, token string, accept bool, via kit.Via) error
	GiveBack(ctx context.Context, token string, via kit.Via) error
	Questions(ctx context.Context, person string) ([]notify.NoticeView, error)
	AnswerQuestion(ctx context.Context, question string, here bool) error
	Deliveries(ctx context.Context, incident string) ([]notify.Delivery, error)
	Failed(ctx context.Context) ([]notify.Delivery, error)
	Retry(ctx context.Context, delivery string) error
	Methods(ctx context.Context, person string) ([]notify.Method, error)
	SaveMethod(ctx context.Context, person string, m notify.Method) error
	RemoveMethod(ctx context.Context, person, id string) error
	SendTest(ctx context.Context, person, id string) (string, error)
	LastTests(ctx context.Context, people []string) (map[string]notify.Tested, error)
	Rules(ctx context.Context, person string) ([]notify.Rule, error)
	SetRules(ctx context.Context, person string, rules []notify.Rule) error
	Quiet(ctx context.Context, person string) (*notify.QuietHours, error)
	SetQuiet(ctx context.Context, person string, q *notify.QuietHours) error
}

var _ Notify = (*notify.Service)(nil)
