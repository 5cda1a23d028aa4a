package web

import (
	"context"
	"errors"
	"slices"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// board is what the page Now shows.
type board struct {
	practice  bool
	pages     []notify.Page
	questions []notify.NoticeView
	// unanswered are escalations at their end that nobody has answered.
	unanswered []oncall.Ladder
	handovers  []offered
	approvals  []incident.ReviewItem
	overdue    []incident.Action
	open       []IncidentRow
	reviewing  int
	duty       []oncall.Duty
	tests      map[string]notify.Tested
	drift      []warning
	last       *IncidentRow
	// loose counts open alerts without an incident.
	loose int
}

type offered struct {
	incident.Handover
	from, ref, title string
}

// warning is something that drifts, with the link to its fix.
type warning struct {
	key, name, href string
	at              time.Time
	count           int
}

func (b board) waiting() bool {
	return len(b.pages)+len(b.questions)+len(b.unanswered)+len(b.handovers)+len(b.approvals)+len(b.overdue) > 0
}

func (s *server) nowRoutes() {
	s.get("/{$}", s.now)
	s.post("/pages/{id}/{answer}", s.answerPage)
	s.post("/questions/{id}/{answer}", s.answerQuestion)
}

func (s *server) now(q *req) error {
	b, err := s.board(q)
	if err != nil {
		return err
	}
	return q.show("now", q.t("web.nav.now"), nowPage(b))
}

func (s *server) board(q *req) (board, error) {
	b := board{practice: s.Rehearse != nil}
	if err := s.waiting(q, &b); err != nil {
		return b, err
	}
	open, err := s.inc.List(q.ctx, IncidentFilter{Active: true}, kit.Page{Limit: 50})
	if err != nil {
		return b, err
	}
	b.open = open.Items
	bySeverity(b.open)
	reviewing, err := s.Incident.List(q.ctx, incident.Filter{Status: incident.StatusOpen, Phase: incident.InReview, Exercises: true}, kit.Page{Limit: 1})
	if err != nil {
		return b, err
	}
	b.reviewing = reviewing.Total
	if len(b.open) == 0 {
		closed, err := s.inc.List(q.ctx, IncidentFilter{Status: "closed"}, kit.Page{Limit: 1})
		if err != nil {
			return b, err
		}
		if len(closed.Items) > 0 {
			b.last = &closed.Items[0]
		}
	}
	loose, err := s.Alert.List(q.ctx, alert.Filter{State: alert.StateOpen, Unattached: true}, kit.Page{Limit: 1})
	if err != nil {
		return b, err
	}
	b.loose = loose.Total
	if b.duty, err = s.Oncall.OnCallNow(q.ctx); err != nil {
		return b, err
	}
	var ids []string
	for _, d := range b.duty {
		if d.Person.ID != "" {
			ids = append(ids, d.Person.ID)
		}
	}
	if b.tests, err = s.Notify.LastTests(q.ctx, ids); err != nil {
		return b, err
	}
	return b, s.drift(q, &b)
}

// waiting collects what the reader has to do.
func (s *server) waiting(q *req, b *board) error {
	pages, err := s.Notify.Pages(q.ctx, notify.Filter{State: notify.PageIsOpen, Person: q.actor.ID})
	if err != nil {
		return err
	}
	// One answer is for all pages of an incident: the latest stands for them.
	b.pages = firstPer(pages.Items, func(p notify.Page) string { return p.Incident + p.Ref })
	if b.questions, err = s.Notify.Questions(q.ctx, q.actor.ID); err != nil {
		return err
	}
	if b.unanswered, err = s.unanswered(q); err != nil {
		return err
	}
	offers, err := s.Incident.OfferedTo(q.ctx, q.actor.ID)
	if err != nil {
		return err
	}
	if len(offers) > 0 {
		names, err := s.Identity.Names(q.ctx)
		if err != nil {
			return err
		}
		for _, h := range offers {
			i, err := s.Incident.Get(q.ctx, h.Incident)
			if err != nil || !i.Open() {
				continue
			}
			b.handovers = append(b.handovers, offered{h, who(names, h.From).Name, i.Ref(), i.Title})
		}
	}
	if may(q.ctx, "review.approve") {
		if b.approvals, err = s.Incident.Reviews(q.ctx, incident.ReviewInReview); err != nil {
			return err
		}
	}
	b.overdue, err = s.Incident.Actions(q.ctx, incident.ActionFilter{State: "open", Owner: q.actor.ID, DueBefore: q.now.In(q.zone).Format(time.DateOnly)})
	return err
}

// unanswered gives the escalations that nobody answered to the end, of incidents that
// the reader sees.
func (s *server) unanswered(q *req) ([]oncall.Ladder, error) {
	open, err := s.Oncall.OpenLadders(q.ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	var out []oncall.Ladder
	for _, l := range open {
		if l.State == oncall.Exhausted {
			ids, out = append(ids, l.Incident), append(out, l)
		}
	}
	sees, err := s.Incident.Visible(q.ctx, ids)
	out = slices.DeleteFunc(out, func(l oncall.Ladder) bool { return !sees[l.Incident] })
	return firstPer(out, func(l oncall.Ladder) string { return l.Incident }), err
}

// drift collects what is not as it should be, though nothing has failed yet.
func (s *server) drift(q *req, b *board) error {
	for _, d := range b.duty {
		switch {
		case d.Person.ID == "":
			b.drift = append(b.drift, warning{key: "nobody", name: d.Schedule, href: "/on-call"})
		case !d.Reachable:
			b.drift = append(b.drift, warning{key: "unreachable", name: d.Person.Name, href: "/on-call"})
		}
	}
	if len(b.duty) == 0 {
		b.drift = append(b.drift, warning{key: "no_schedule", href: "/on-call"})
	}
	gaps, err := s.Oncall.OpenGaps(q.ctx)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if g.From.Sub(q.now) < gapShown {
			b.drift = append(b.drift, warning{key: "gap", name: g.Schedule + " (" + i18n.Time(q.lang, g.From, q.zone, q.now) + ")", href: "/on-call/readiness"})
			break
		}
	}
	if identity.Allow(q.actor, "page.someone") == nil {
		failed, err := s.Notify.Failed(q.ctx)
		if err != nil {
			return err
		}
		for _, f := range firstPer(failed, func(d notify.Delivery) string { return d.Recipient.ID + " " + d.Ref }) {
			b.drift = append(b.drift, warning{key: "failed", name: f.Recipient.Name, href: "/incidents/" + f.Ref, at: f.CreatedAt})
		}
	}
	if identity.Allow(q.actor, "journal.see") == nil {
		failed, err := s.Ledger.FailedReactions(q.ctx, q.now.Add(-failuresShown))
		if err != nil {
			return err
		}
		for _, f := range firstPer(failed, func(f ledger.FailedReaction) string { return f.Consumer }) {
			b.drift = append(b.drift, warning{key: "reaction", name: f.Consumer, href: "/settings/journal", at: f.At})
		}
	}
	if identity.Allow(q.actor, "page.someone") == nil {
		late, err := s.Ledger.Facts(q.ctx, ledger.Filter{SubjectKind: "audit", SubjectID: "paging", Newest: true, Limit: 1})
		if err != nil {
			return err
		}
		for _, f := range late {
			if q.now.Sub(f.RecordedAt) < lateShown {
				b.drift = append(b.drift, warning{key: "late", href: "/settings/about?check=1", at: f.RecordedAt})
			}
		}
	}
	if identity.Allow(q.actor, "report.triage") == nil {
		waiting, late, err := s.Report.Waiting(q.ctx)
		if err != nil {
			return err
		}
		switch {
		case late > 0:
			b.drift = append(b.drift, warning{key: "reports_late", count: late, href: "/reports?state=new"})
		case waiting > 0:
			b.drift = append(b.drift, warning{key: "reports", count: waiting, href: "/reports?state=new"})
		}
	}
	mine, err := s.Notify.Methods(q.ctx, q.actor.ID)
	if err != nil {
		return err
	}
	if len(mine) == 0 {
		b.drift = append(b.drift, warning{key: "no_method", href: "/on-call/me"})
	}
	for _, m := range mine {
		if m.Stale {
			b.drift = append(b.drift, warning{key: "stale", name: methodWord(q.ctx, m.Kind), href: "/on-call/me"})
			break
		}
	}
	sources, err := s.Alert.Sources(q.ctx)
	if err != nil && !errors.Is(err, context.Canceled) && kit.CodeOf(err) != kit.CodeForbidden {
		return err
	}
	for _, x := range sources {
		if !x.SilentSince.IsZero() {
			since := x.LastHeardAt
			if since.IsZero() {
				since = x.SilentSince
			}
			b.drift = append(b.drift, warning{key: "silent", name: x.ID, href: "/settings/integrations/" + x.ID, at: since})
		}
	}
	return nil
}

// gapShown is how far ahead Now shows that nobody is on duty; the readiness page looks
// further.
const gapShown = 7 * 24 * time.Hour

// lateShown is how long Now shows that pages were late.
const lateShown = 24 * time.Hour

// failuresShown is how long Now shows that a reaction failed.
const failuresShown = 7 * 24 * time.Hour

// firstPer keeps the first of those that have the same key.
func firstPer[T any](list []T, key func(T) string) []T {
	seen := map[string]bool{}
	var out []T
	for _, x := range list {
		if k := key(x); !seen[k] {
			seen[k] = true
			out = append(out, x)
		}
	}
	return out
}

func (s *server) answerQuestion(q *req) error {
	answer, said := q.r.PathValue("answer"), notify.AnswerHere
	switch answer {
	case acceptAnswer:
	case refuseAnswer:
		said = notify.AnswerNotHere
	default:
		return kit.NotFound("answer", answer)
	}
	if err := s.Notify.AnswerQuestion(q.ctx, q.r.PathValue("id"), answer == acceptAnswer); err != nil {
		return err
	}
	return q.done("/", q.t("web.question."+said))
}

func (s *server) answerPage(q *req) error {
	answer := q.r.PathValue("answer")
	if answer != acceptAnswer && answer != refuseAnswer {
		return kit.NotFound("answer", answer)
	}
	if err := s.Notify.Answer(q.ctx, q.r.PathValue("id"), answer == acceptAnswer); err != nil {
		return err
	}
	if answer == refuseAnswer {
		return q.done("/", q.t("web.page.refused"))
	}
	return q.done("/", q.t("web.done.acknowledge"))
}
