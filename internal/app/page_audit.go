package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
)

const (
	duePageAudit = "page-audit"
	everyMinute  = "minutely"
	// tolerated is how late what pages may be before it is told.
	tolerated = time.Minute
	// auditedEvery is how often what was due is compared with what was done.
	auditedEvery = time.Minute
	// confirmedAfter is when a first look is followed by a second: after a pause of the
	// machine everything is late for a moment.
	confirmedAfter = 10 * time.Second
	// toldEvery is how often somebody hears of pages that stay late.
	toldEvery = 15 * time.Minute
)

// Late is a part of paging that is behind: What is step (of an escalation), page (a
// message) or the name of a consumer of the ledger. Since is when the first was due.
type Late struct {
	What  string    `json:"what"`
	Count int       `json:"count"`
	Since time.Time `json:"since"`
}

// PageAuditFailed is the body of page_audit.failed: something that pages is more than a
// minute late. Expected and Found count what is late; Told counts whom the audit told by
// itself, past all that is late.
type PageAuditFailed struct {
	Expected int    `json:"expected"`
	Found    int    `json:"found"`
	Late     []Late `json:"late"`
	Told     int    `json:"told"`
}

// FactType implements ledger.Body.
func (PageAuditFailed) FactType() string { return "page_audit.failed" }

// auditSubject is what the facts of the audit are about: they are found by it, for facts
// have no index by type.
var auditSubject = ledger.Subject{Kind: "audit", ID: "paging"}

// auditTask compares each minute what was due with what was done. It has a loop of its
// own and sends by itself: it stands on nothing that it watches.
func (a *App) auditTask() due.Task {
	return due.Task{Kind: duePageAudit, Lane: due.Slow, Senders: 1, Send: a.auditPages}
}

// callers are the consumers without which nobody is called.
func (a *App) callers() []ledger.Consumer {
	return slices.DeleteFunc(a.reactions(), func(c ledger.Consumer) bool { return c.Name != "declaring" && c.Name != "paging" })
}

// LatePages gives what of paging is more than a minute late now.
func (a *App) LatePages(ctx context.Context) ([]Late, error) {
	before := a.db.Now().Add(-tolerated)
	var out []Late
	for what, count := range map[string]func(context.Context, time.Time) (int, time.Time, error){"step": a.Oncall.Late, "page": a.Notify.Late} {
		n, since, err := count(ctx, before)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			out = append(out, Late{What: what, Count: n, Since: since})
		}
	}
	for _, c := range a.callers() {
		f, ok, err := a.ledger.Unhandled(ctx, c)
		if err != nil {
			return nil, err
		}
		if ok && f.RecordedAt.Before(before) {
			out = append(out, Late{What: c.Name, Count: 1, Since: f.RecordedAt})
		}
	}
	slices.SortFunc(out, func(x, y Late) int { return strings.Compare(x.What, y.What) })
	return out, nil
}

// audit is the body of the row: Suspected says that the look before found something.
type audit struct {
	Suspected bool `json:"suspected,omitempty"`
}

func (a *App) auditPages(ctx context.Context, row due.Row) func(context.Context, *db.Tx) error {
	ctx = asKeeper(ctx)
	var look audit
	if err := json.Unmarshal(row.Body, &look); err != nil {
		a.cfg.Log.Error("the row of the page audit cannot be read", "error", err)
	}
	again := func(after time.Duration, look audit) func(context.Context, *db.Tx) error {
		return func(ctx context.Context, tx *db.Tx) error {
			return due.At(ctx, tx, duePageAudit, everyMinute, a.db.LeaseNow().Add(after), look)
		}
	}
	next := again(auditedEvery, audit{})
	late, err := a.LatePages(ctx)
	if err != nil {
		a.cfg.Log.Error("what pages cannot be audited", "error", err)
		return next
	}
	if len(late) == 0 {
		a.signOfLife(ctx)
		return next
	}
	if !look.Suspected {
		return again(confirmedAfter, audit{Suspected: true})
	}
	if told, err := a.ledger.Facts(ctx, ledger.Filter{SubjectKind: auditSubject.Kind, SubjectID: auditSubject.ID, Newest: true, Limit: 1}); err == nil && len(told) == 1 && a.db.Now().Sub(told[0].RecordedAt) < toldEvery {
		return next
	}
	fact := PageAuditFailed{Late: late}
	for _, l := range late {
		fact.Found += l.Count
	}
	a.cfg.Log.Error("pages are late", "late", late)
	fact.Told = a.shout(ctx, fmt.Sprintf("page-audit-%s-%d", row.Key, row.ID), func(lang string, zone *time.Location) (subject, text string) {
		since := late[0].Since
		var lines []string
		for _, l := range late {
			if l.Since.Before(since) {
				since = l.Since
			}
			lines = append(lines, "- "+lateLine(lang, l))
		}
		args := map[string]any{"since": i18n.Time(lang, since, zone, a.db.Now()), "list": strings.Join(lines, "\n"), "url": a.cfg.BaseURL}
		return i18n.T(lang, "message.audit.subject", args), i18n.T(lang, "message.audit.text", args)
	})
	return func(ctx context.Context, tx *db.Tx) error {
		if err := ledger.Append(asKeeper(ctx), tx, ledger.Entry{Subject: auditSubject, Body: fact}); err != nil {
			return err
		}
		return next(ctx, tx)
	}
}

// shout tells the last-resort contact, and where there is none the admins, that paging
// is not what it should be: at once, by the senders themselves, past all that may be
// broken. It gives how many messages were taken.
func (a *App) shout(ctx context.Context, id string, words func(lang string, zone *time.Location) (subject, text string)) int {
	to, err := a.lastResort(ctx)
	if err == nil && len(to) == 0 {
		var admins []identity.Person
		admins, err = a.Identity.People(ctx, identity.Filter{Access: kit.AccessAdmin, Active: true})
		for _, p := range admins {
			to = append(to, notify.Address{Kind: "email", To: p.Email, Name: p.Name, Language: p.Language, Timezone: p.Timezone})
		}
	}
	if err != nil {
		a.cfg.Log.Error("whom to tell of paging is not known", "error", err)
	}
	told := 0
	for n, x := range to {
		sender := a.out[x.Kind]
		if sender == nil {
			continue
		}
		m := notify.Message{ID: fmt.Sprintf("%s-%d", id, n), To: x.To, MessageID: fmt.Sprintf("<%s-%d@tocsin>", id, n)}
		m.Subject, m.Text = words(cmp.Or(x.Language, "en"), i18n.Zone(x.Timezone))
		if _, err := sender.Send(ctx, m); err != nil {
			a.cfg.Log.Error("somebody cannot be told of paging", "kind", x.Kind, "error", err)
			continue
		}
		told++
	}
	return told
}

func lateLine(lang string, l Late) string {
	key := "message.audit." + l.What
	if l.What != "step" && l.What != "page" {
		key = "message.audit.reaction"
	}
	return i18n.T(lang, key, map[string]any{"Count": l.Count, "name": l.What})
}

// signOfLife tells the address that was given for it that pages leave in time. An
// outside watch alarms when it stays away: nothing in this process can tell that it is
// dead.
func (a *App) signOfLife(ctx context.Context) {
	if a.cfg.SignOfLife == "" {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.SignOfLife, http.NoBody)
	if err == nil {
		req.Header.Set("User-Agent", "Tocsin")
		var res *http.Response
		if res, err = a.client.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode >= http.StatusBadRequest {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
		}
	}
	if err != nil {
		// The address may hold a secret.
		a.cfg.Log.Warn("the sign of life was not taken", "error", strings.ReplaceAll(err.Error(), a.cfg.SignOfLife, "…"))
	}
}
