package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// The answers to a page.
const (
	acceptAnswer = "accept"
	refuseAnswer = "refuse"
	// returnAnswer gives back what was accepted.
	returnAnswer = "return"
)

// ackStyle is the whole style of the acknowledge page, which is one request; the
// policy names its hash.
var ackStyle = string(assets["tokens.css"].raw) + string(assets["ack.css"].raw)

var ackPolicy = func() string {
	sum := sha256.Sum256([]byte(ackStyle))
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

func (s *server) ackRoutes() {
	s.mux.HandleFunc("GET /a/{token}", s.open(s.ackPage))
	s.mux.HandleFunc("POST /a/{token}", s.open(s.ack))
}

// ackPage shows a page to the holder of its token. Reading never acknowledges.
func (s *server) ackPage(q *req) error {
	v, err := s.Notify.PageByToken(q.ctx, q.r.PathValue("token"))
	if err != nil {
		return q.showAck(notify.View{}, err)
	}
	return q.showAck(v, nil)
}

func (s *server) ack(q *req) error {
	token, answer := q.r.PathValue("token"), q.form("answer")
	via := kit.ViaWeb
	if q.form("via") == string(kit.ViaPush) {
		via = kit.ViaPush
	}
	var err error
	switch answer {
	case acceptAnswer, refuseAnswer:
		err = s.Notify.AnswerByToken(q.ctx, token, answer == acceptAnswer, via)
	case returnAnswer:
		err = s.Notify.GiveBack(q.ctx, token, kit.ViaWeb)
	default:
		err = kit.InvalidField("answer", "error.bad_value")
	}
	// A conflict is no failure: the page itself says who has it, or that it ended.
	if err != nil && kit.CodeOf(err) != kit.CodeConflict {
		return q.showAck(notify.View{}, err)
	}
	return q.redirect("/a/" + token)
}

func (q *req) showAck(v notify.View, failed error) error {
	h := q.w.Header()
	h.Set("Content-Security-Policy", ackPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	if l := v.Person.Language; l == "fr" || l == "en" {
		q.lang = l
	}
	if v.Person.Timezone != "" {
		q.zone = i18n.Zone(v.Person.Timezone)
	}
	if failed != nil {
		e := kit.AsError(failed)
		if e.Code == kit.CodeInternal {
			q.s.Log.Error("acknowledge page failed", "request_id", q.id, "err", failed)
		}
		q.status = statusOf(e.Code)
	} else {
		q.status = http.StatusOK
	}
	return q.render(ackView(v, failed))
}

// taken tells who has the incident already: the holder of the page, another
// person, or nobody.
func taken(v notify.View) (mine, other bool) {
	mine = v.Page.State == notify.PageIsAcknowledged && v.Page.EndedReason == "" && (v.Page.Informs || !v.TakenAt.After(v.Page.AnsweredAt))
	return mine, !mine && v.TakenBy.ID != ""
}

// acceptWords is what the button of a page says: to take it, or to know of it.
func acceptWords(p notify.Page) string {
	if p.Informs {
		return "web.ack.know"
	}
	return "web.page.accept"
}

func sevClass(level string) string {
	if _, ok := glyphs[level]; ok {
		return level
	}
	return "sev0"
}

func sevText(ctx context.Context, level string) string {
	if g, ok := glyphs[level]; ok {
		return g + " " + sevName(level) + " · " + t(ctx, "core.severity."+level)
	}
	return "○ " + t(ctx, "core.severity.none")
}

func ackTitle(ctx context.Context, v notify.View) string {
	switch {
	case v.Page.Ref != "" && v.Page.Confidential:
		return v.Page.Ref
	case v.Page.Ref != "":
		return v.Page.Ref + " · " + cut(v.Page.Title, 200)
	}
	return brand(ctx)
}

// cut shortens a text to n characters, so that the page stays small.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func zoneName(ctx context.Context) string { return i18n.ZoneCity(of(ctx).zone) }
