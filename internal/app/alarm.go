package app

import (
	"context"
	"slices"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// onceEvery is how often the failures of one incident are told: many facts may fail
// of one cause.
const onceEvery = 15 * time.Minute

// reasonFailure is why an escalation starts in place of one that failed.
const reasonFailure = "reaction_failed"

// calls are the facts whose reaction calls somebody.
var calls = []string{
	"alert.opened", "incident.declared", "incident.reopened", "ladder.step_run", "ladder.exhausted", "page.refused", "page.checked", "delivery.failed", "notice.unseen",
}

// tellFailure tells management and the last-resort contact that paging failed.
func (a *App) tellFailure(ctx context.Context, f ledger.Fact, b ledger.ReactionFailed) error {
	if told, err := a.toldBefore(ctx, f, b); err != nil || told {
		return err
	}
	in, confidential, err := a.startAfterFailure(ctx, f)
	if err != nil || in.Exercise {
		return err
	}
	n := notify.Notice{
		Template: "failure", Incident: in.Incident, Ref: in.Ref, Severity: "sev1", Urgent: true, Confidential: confidential,
		Args: map[string]any{"title": in.Title, "line": b.Seq, "fact": b.Type},
	}
	if n.People, err = (ports{a}).Appointed(ctx, kit.RoleManagement, f.RecordedAt); err != nil {
		return err
	}
	if n.Addresses, err = a.lastResort(ctx); err != nil {
		return err
	}
	_, err = a.Notify.Notice(ctx, n)
	return err
}

// pageFailure pages primary and commander in place of what failed.
func (a *App) pageFailure(ctx context.Context, f ledger.Fact, b ledger.ReactionFailed) error {
	if !slices.Contains(calls, b.Type) {
		return nil
	}
	if told, err := a.toldBefore(ctx, f, b); err != nil || told {
		return err
	}
	in, _, err := a.startAfterFailure(ctx, f)
	if err != nil {
		return err
	}
	_, err = a.Oncall.PageSomeone(ctx, in, "role:primary", "role:commander")
	return err
}

// toldBefore tells whether a failure needs no telling: one that is not of paging, one
// of a page about a failure, or one that follows another of the same incident.
func (a *App) toldBefore(ctx context.Context, f ledger.Fact, b ledger.ReactionFailed) (bool, error) {
	if b.Consumer != "paging" && b.Consumer != "declaring" {
		return true, nil
	}
	stale, err := a.Identity.Parameter(ctx, "P.stale")
	if err != nil {
		return false, err
	}
	if a.db.Now().Sub(f.RecordedAt) > stale {
		return true, nil
	}
	cause, err := a.ledger.Fact(ctx, b.Seq)
	if err != nil {
		return false, err
	}
	if cause.Subject.Kind == "ladder" {
		if l, err := a.Oncall.Ladder(ctx, cause.Subject.ID); err == nil && l.Reason == reasonFailure {
			return true, nil
		}
	}
	earlier, err := a.ledger.FailedReactions(ctx, f.RecordedAt.Add(-onceEvery))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(earlier, func(x ledger.FailedReaction) bool {
		return x.Consumer == b.Consumer && x.Incident == f.Incident && x.Seq < b.Seq
	}), nil
}

// startAfterFailure says what a page about a failure says: the incident, or that an
// alarm may not have reached anybody.
func (a *App) startAfterFailure(ctx context.Context, f ledger.Fact) (in oncall.Start, confidential bool, err error) {
	in = oncall.Start{Severity: "sev1", Title: "Tocsin: an alarm was not passed on / une alarme n’a pas été transmise", Reason: reasonFailure}
	if f.Incident == "" {
		return in, false, nil
	}
	i, err := a.Incident.Get(ctx, f.Incident)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return in, false, nil
	}
	if err != nil {
		return in, false, err
	}
	in = start(i, reasonFailure)
	in.Policy = ""
	return in, i.Confidential, nil
}
