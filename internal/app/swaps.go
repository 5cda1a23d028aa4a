package app

import (
	"context"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// Who is asked to take a shift is told.
func (a *App) swapAsked(ctx context.Context, f ledger.Fact, b oncall.SwapAsk) error {
	return a.tellSwap(ctx, f, b, "swap_asked", b.From, b.Asked)
}

// Who asked hears that somebody takes the shift.
func (a *App) swapAccepted(ctx context.Context, f ledger.Fact, b oncall.SwapAccept) error {
	return a.tellSwap(ctx, f, oncall.SwapAsk(b), "swap_accepted", b.To, []string{b.From})
}

// Who asked hears that nobody does, and still has the shift.
func (a *App) swapRefused(ctx context.Context, f ledger.Fact, b oncall.SwapRefuse) error {
	return a.tellSwap(ctx, f, oncall.SwapAsk(b), "swap_refused", b.To, []string{b.From})
}

func (a *App) tellSwap(ctx context.Context, f ledger.Fact, b oncall.SwapAsk, template, by string, people []string) error {
	names, err := a.Identity.Names(ctx)
	if err != nil {
		return err
	}
	schedule := kit.Text{FR: f.Subject.ID, EN: f.Subject.ID}
	if sc, err := a.Oncall.Schedule(ctx, f.Subject.ID); err == nil {
		for _, t := range []*string{&schedule.FR, &schedule.EN} {
			lang := "en"
			if t == &schedule.FR {
				lang = "fr"
			}
			if n := sc.Name.In(lang); n != "" {
				*t = n
			}
		}
	}
	args := map[string]any{"name": names[by], "schedule": schedule, "from": b.Shift.From, "to": b.Shift.To, "url": a.BaseURL() + "/on-call/me#swaps"}
	if b.Return != nil {
		args["back_from"], args["back_to"] = b.Return.From, b.Return.To
	}
	_, err = a.Notify.Notice(ctx, notify.Notice{Template: template, People: people, Args: args})
	return err
}
