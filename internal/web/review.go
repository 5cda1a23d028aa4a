package web

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

func (s *server) reviewRoutes() {
	s.get("/incidents/{ref}/review", s.reviewPage)
	s.post("/incidents/{ref}/review", s.saveReview)
	s.post("/incidents/{ref}/review/approve", func(q *req) error {
		_, err := s.Incident.ApproveReview(q.ctx, q.r.PathValue("ref"))
		return s.reviewed(q, err, "web.review.approved")
	})
	s.post("/incidents/{ref}/review/reopen", func(q *req) error {
		_, err := s.Incident.ReopenReview(q.ctx, q.r.PathValue("ref"), q.form("reason"))
		return s.reviewed(q, err, "web.review.reopened")
	})
	s.post("/incidents/{ref}/actions", func(q *req) error {
		_, err := s.Incident.AddAction(q.ctx, q.r.PathValue("ref"), incident.ActionInput{
			Type: q.form("type"), Text: q.form("text"), Owner: q.form("owner"), Due: q.form("due"), Method: q.form("method"),
		})
		return s.reviewed(q, err, "web.action.added")
	})
	s.get("/incidents/{ref}/actions/{action}", s.actionPage)
	s.post("/incidents/{ref}/actions/{action}/{do}", s.actionDo)
	s.get("/reviews", s.reviewList)
	s.get("/actions", s.actionList)
	s.get("/actions/mine", func(q *req) error { return q.redirect("/actions?owner=" + url.QueryEscape(q.actor.ID)) })
}

// reviewData is what the page of a review shows.
type reviewData struct {
	in     Incident
	review incident.Review
	// none is set while the incident has no review yet.
	none  bool
	names map[string]string
}

func (s *server) reviewData(q *req) (reviewData, error) {
	in, err := s.inc.Get(q.ctx, q.r.PathValue("ref"))
	if err != nil {
		return reviewData{}, err
	}
	d := reviewData{in: in}
	if d.names, err = s.Identity.Names(q.ctx); err != nil {
		return d, err
	}
	d.review, err = s.Incident.Review(q.ctx, in.Ref)
	if kit.CodeOf(err) == kit.CodeNotFound {
		d.none, err = true, nil
	}
	return d, err
}

func (s *server) reviewPage(q *req) error {
	d, err := s.reviewData(q)
	if err != nil {
		return err
	}
	return q.show("reviews", q.t("web.review.title")+" "+d.in.Ref, reviewView(d))
}

// reviewed answers a command of a review: by going back to it, or by showing it
// again with what was wrong.
func (s *server) reviewed(q *req, err error, done string) error {
	if err == nil {
		return q.done("/incidents/"+q.r.PathValue("ref")+"/review", q.t(done))
	}
	d, get := s.reviewData(q)
	if get != nil {
		return err
	}
	if q.r.Form.Has("factor_text") {
		d.review.ReviewContent = q.reviewContent(d.review.ReviewContent)
	}
	return q.again(err, "reviews", q.t("web.review.title")+" "+d.in.Ref, reviewView(d))
}

// reviewContent reads the form over what is there; the summary is in the reader's
// language, the other one stays.
func (q *req) reviewContent(c incident.ReviewContent) incident.ReviewContent {
	text := func(name string) string { return strings.ReplaceAll(q.form(name), "\r\n", "\n") }
	if q.lang == "fr" {
		c.Summary.FR = text("summary")
	} else {
		c.Summary.EN = text("summary")
	}
	c.WentWell, c.Surprised, c.NoActionReason, c.Impact = text("went_well"), text("surprised"), text("no_action_reason"), text("impact")
	old := c.Factors
	c.Factors = []incident.Factor{}
	kinds, categories := q.r.Form["factor_kind"], q.r.Form["factor_category"]
	for n, words := range q.r.Form["factor_text"] {
		if strings.TrimSpace(words) == "" {
			continue
		}
		f := incident.Factor{Text: words}
		if n < len(kinds) {
			f.Kind = kinds[n]
		}
		if n < len(categories) {
			f.Category = categories[n]
		}
		if n < len(old) {
			f.Evidence = old[n].Evidence
		}
		c.Factors = append(c.Factors, f)
	}
	return c
}

func (s *server) saveReview(q *req) error {
	ref := q.r.PathValue("ref")
	old, err := s.Incident.Review(q.ctx, ref)
	if err != nil {
		return err
	}
	if _, err := s.Incident.SaveReview(q.ctx, ref, q.reviewContent(old.ReviewContent)); err != nil {
		return s.reviewed(q, err, "")
	}
	if q.form("then") != "submit" {
		return s.reviewed(q, nil, "web.review.saved")
	}
	_, err = s.Incident.SubmitReview(q.ctx, ref)
	return s.reviewed(q, err, "web.review.submitted")
}

// spans are the durations that the record wrote itself.
func (in Incident) spans() []struct {
	key string
	d   time.Duration
} {
	type line = struct {
		key string
		d   time.Duration
	}
	var out []line
	add := func(key string, from, to time.Time) {
		if !from.IsZero() && !to.IsZero() && !to.Before(from) {
			out = append(out, line{key, to.Sub(from)})
		}
	}
	add("detect", in.Occurred, in.Detected)
	add("acknowledge", in.Declared, in.Acknowledged)
	add("contain", in.Declared, in.Contained)
	add("restore", in.Declared, in.Restored)
	return out
}

func (d reviewData) editable(ctx context.Context) bool {
	return may(ctx, "review.write", d.in.Held...) && (d.review.State == incident.ReviewDraft || d.review.State == incident.ReviewInReview)
}

func (d reviewData) factors() []incident.Factor {
	return append(append([]incident.Factor{}, d.review.Factors...), incident.Factor{Kind: "contributing", Category: "technology"}, incident.Factor{Kind: "contributing", Category: "technology"})
}

func (d reviewData) summary(ctx context.Context) string {
	if of(ctx).lang == "fr" {
		return d.review.Summary.FR
	}
	return d.review.Summary.EN
}

func (s *server) reviewList(q *req) error {
	state := q.query("state")
	list, err := s.Incident.Reviews(q.ctx, state)
	if err != nil {
		return err
	}
	return q.show("reviews", q.t("web.reviews.title"), reviewListPage(state, list))
}

func (s *server) actionList(q *req) error {
	f := incident.ActionFilter{State: q.query("state"), Owner: q.query("owner")}
	if !q.r.URL.Query().Has("state") {
		f.State = "open"
	}
	list, err := s.Incident.Actions(q.ctx, f)
	if err != nil {
		return err
	}
	names, err := s.Identity.Names(q.ctx)
	if err != nil {
		return err
	}
	return q.show("reviews", q.t("web.actions.title"), actionListPage(f, list, names))
}

func (s *server) action(q *req) (Incident, incident.Action, error) {
	in, err := s.inc.Get(q.ctx, q.r.PathValue("ref"))
	if err != nil {
		return in, incident.Action{}, err
	}
	list, err := s.Incident.ActionsOf(q.ctx, in.ID)
	if err != nil {
		return in, incident.Action{}, err
	}
	for _, a := range list {
		if strings.EqualFold(a.Ref(), q.r.PathValue("action")) {
			return in, a, nil
		}
	}
	return in, incident.Action{}, kit.NotFound("action", q.r.PathValue("action"))
}

func (s *server) actionShown(q *req) (title string, body templ.Component, err error) {
	in, a, err := s.action(q)
	if err != nil {
		return "", nil, err
	}
	names, err := s.Identity.Names(q.ctx)
	if err != nil {
		return "", nil, err
	}
	return a.Ref() + " · " + a.Text, actionView(in, a, names), nil
}

func (s *server) actionPage(q *req) error {
	title, body, err := s.actionShown(q)
	if err != nil {
		return err
	}
	return q.show("reviews", title, body)
}

func (s *server) actionDo(q *req) error {
	in, a, err := s.action(q)
	if err != nil {
		return err
	}
	switch q.r.PathValue("do") {
	case "change":
		words, owner, due, method := q.form("text"), q.form("owner"), q.form("due"), q.form("method")
		_, err = s.Incident.ChangeAction(q.ctx, a.Ref(), incident.ActionEdit{Text: &words, Owner: &owner, Due: &due, Method: &method, Reason: q.form("reason")})
	case "cancel":
		state := "cancelled"
		_, err = s.Incident.ChangeAction(q.ctx, a.Ref(), incident.ActionEdit{State: &state, Reason: q.form("cancel_reason")})
		err = renamed(err, "reason", "cancel_reason")
	case "done":
		_, err = s.Incident.FinishAction(q.ctx, a.Ref(), q.form("evidence"))
		err = renamed(err, "text", "evidence")
	case "check":
		_, err = s.Incident.CheckAction(q.ctx, a.Ref(), q.form("result"), q.form("result_text"))
	default:
		return kit.NotFound("command", q.r.PathValue("do"))
	}
	if err == nil {
		return q.done("/incidents/"+in.Ref+"/actions/"+a.Ref(), q.t("web.action.saved"))
	}
	title, body, get := s.actionShown(q)
	if get != nil {
		return err
	}
	return q.again(err, "reviews", title, body)
}

// overdue tells whether the date of an open action has passed in the reader's zone.
func overdue(ctx context.Context, a incident.Action) bool {
	return a.State == "open" && a.Due != "" && a.Due < of(ctx).now.In(of(ctx).zone).Format(time.DateOnly)
}

func day(ctx context.Context, date string) time.Time {
	at, err := time.ParseInLocation(time.DateOnly, date, of(ctx).zone)
	if err != nil {
		return time.Time{}
	}
	return at
}

func actionTone(ctx context.Context, a incident.Action) string {
	switch {
	case overdue(ctx, a), a.State == "not_effective":
		return "bad"
	case a.State == "effective", a.State == "done":
		return "ok"
	}
	return "info"
}

func reviewTone(state string) string {
	switch state {
	case incident.ReviewIsApproved:
		return "ok"
	case incident.ReviewInReview:
		return "warn"
	}
	return "info"
}

func actionWord(ctx context.Context, a incident.Action) string {
	if overdue(ctx, a) {
		return t(ctx, "web.overdue")
	}
	return t(ctx, "web.action.state."+a.State)
}

func withNobody(options []option) []option { return append([]option{{"", "–"}}, options...) }

func withAll(ctx context.Context, options []option) []option {
	return append([]option{{"", t(ctx, "web.filter.all")}}, options...)
}

func (a Assessment) of(question string) string {
	return map[string]string{"who": a.Who, "what": a.What, "data": a.Data, "trend": a.Trend}[question]
}

func answerWord(ctx context.Context, question, answer string) string {
	if answer == "" || answer == "unknown" {
		return t(ctx, "web.unknown")
	}
	return t(ctx, "web.assess."+question+"."+answer)
}

// renamed puts an error at the field of the form, where a page has several of the
// same kind.
func renamed(err error, from, to string) error {
	if e := kit.AsError(err); e != nil {
		for n := range e.Fields {
			if e.Fields[n].Path == from {
				e.Fields[n].Path = to
			}
		}
		return e
	}
	return nil
}

// judging are words that blame, or that end a question too soon, in both languages.
var judging = regexp.MustCompile(`(?i)(^|[^\pL])(human error|careless(?:ly|ness)?|obvious(?:ly)?|simply|failed to|negligen(?:ce|t)|should have|root cause|erreurs? humaines?|négligen(?:ce|t|te|ts)|évidemment|simplement|il suffisait|aurai(?:t|ent) dû|cause racine)($|[^\pL])`)

// judgement gives the first such word of a text.
func judgement(s string) string {
	if m := judging.FindStringSubmatch(s); m != nil {
		return m[2]
	}
	return ""
}
