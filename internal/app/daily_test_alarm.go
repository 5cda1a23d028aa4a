package app

import (
	"context"
	"encoding/json"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/oncall"
)

const (
	dueTestAlarm  = "test-alarm"
	dueTestResult = "test-alarm-result"
	// testHour is when it is raised, by the organisation's clock.
	testHour = 10
	// testWait is how long an answer is waited for: not so long that the escalation asks
	// a second time.
	testWait = 4 * time.Minute
	// dailyPath is what the facts of the daily test alarm say of its way.
	dailyPath = "daily"
)

// raised is the body of the row that looks at the result; without an escalation the
// alarm could not be raised.
type raised struct {
	Ladder string    `json:"ladder,omitempty"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

// testAlarm raises an alarm each day for the contact that --self-test names, by the same
// way as any page, and looks whether it arrived.
func (a *App) testAlarm() []due.Task {
	return []due.Task{
		{Kind: dueTestAlarm, Lane: due.Slow, Run: a.raiseTest},
		{Kind: dueTestResult, Lane: due.Slow, Senders: 1, Send: a.lookAtTest},
	}
}

// nextTest is the next time that the alarm is raised.
func (a *App) nextTest(ctx context.Context) (time.Time, error) {
	zone, err := ports{a}.Zone(ctx)
	if err != nil {
		return time.Time{}, err
	}
	now := a.db.Now()
	l := now.In(zone)
	at := time.Date(l.Year(), l.Month(), l.Day(), testHour, 0, 0, 0, zone)
	if !at.After(now) {
		at = time.Date(l.Year(), l.Month(), l.Day()+1, testHour, 0, 0, 0, zone)
	}
	// Nodes agree on the clock of due rows, which need not be this one's.
	return a.db.LeaseNow().Add(at.Sub(now)), nil
}

// awaitTest puts the row of the next alarm, where a contact is named.
func (a *App) awaitTest(ctx context.Context, tx *db.Tx) error {
	if a.cfg.SelfTest == "" {
		return nil
	}
	at, err := a.nextTest(ctx)
	if err != nil {
		return err
	}
	return due.At(ctx, tx, dueTestAlarm, everyDay, at, struct{}{})
}

func (a *App) raiseTest(ctx context.Context, tx *db.Tx, _ due.Row) error {
	ctx = asKeeper(ctx)
	if a.cfg.SelfTest == "" {
		return nil
	}
	if err := a.awaitTest(ctx, tx); err != nil {
		return err
	}
	r := raised{Since: tx.Now()}
	after := testWait
	who, err := a.Identity.Person(ctx, a.cfg.SelfTest)
	switch {
	case kit.CodeOf(err) == kit.CodeNotFound || err == nil && who.Suspended:
		r.Reason, after = "unknown_contact", 0
	case err != nil:
		return err
	default:
		title := i18n.T(who.Language, "message.self_test.title", nil)
		r.Ladder, err = a.Oncall.PageSomeone(ctx, oncall.Start{Title: title, Exercise: true, Reason: "self_test"}, "person:"+who.ID)
		if err != nil {
			return err
		}
	}
	return due.At(ctx, tx, dueTestResult, kit.NewID(), a.db.LeaseNow().Add(after), r)
}

func (a *App) lookAtTest(ctx context.Context, row due.Row) func(context.Context, *db.Tx) error {
	ctx = asKeeper(ctx)
	var r raised
	if err := json.Unmarshal(row.Body, &r); err != nil {
		a.cfg.Log.Error("the row of the test alarm cannot be read", "error", err)
		return func(context.Context, *db.Tx) error { return nil }
	}
	var fact ledger.Body
	if r.Ladder != "" {
		at, answered, err := a.Notify.Arrived(ctx, r.Ladder)
		switch {
		case err != nil:
			// A database that cannot be read says nothing of the alarm.
			a.cfg.Log.Error("the result of the test alarm cannot be read", "error", err)
			return func(ctx context.Context, tx *db.Tx) error {
				return due.At(ctx, tx, dueTestResult, row.Key, a.db.LeaseNow().Add(time.Minute), r)
			}
		case at.IsZero():
			r.Reason = "not_taken"
		default:
			fact = SelfTestPassed{Path: dailyPath, DurationMS: at.Sub(r.Since).Milliseconds(), Answered: answered}
		}
	}
	if fact == nil {
		a.cfg.Log.Error("the test alarm did not arrive", "contact", a.cfg.SelfTest, "reason", r.Reason)
		fact = SelfTestFailed{Path: dailyPath, DurationMS: a.db.Now().Sub(r.Since).Milliseconds(), Reason: r.Reason}
		a.shout(ctx, "self-test-"+row.Key, func(lang string, zone *time.Location) (subject, text string) {
			args := map[string]any{"since": i18n.Time(lang, r.Since, zone, a.db.Now()), "contact": a.cfg.SelfTest, "url": a.cfg.BaseURL}
			return i18n.T(lang, "message.self_test.subject", args), i18n.T(lang, "message.self_test.text", args)
		})
	}
	return func(ctx context.Context, tx *db.Tx) error {
		ctx = asKeeper(ctx)
		if r.Ladder != "" {
			if err := a.Oncall.StopLadder(ctx, r.Ladder, "self_test"); err != nil {
				return err
			}
			if err := a.Notify.WithdrawLadder(ctx, r.Ladder, "", "self_test"); err != nil {
				return err
			}
		}
		return ledger.Append(ctx, tx, ledger.Entry{Subject: selfTestSubject, Body: fact})
	}
}
