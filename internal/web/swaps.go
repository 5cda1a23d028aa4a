package web

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// swapForm is what the page that asks for a stand-in shows.
type swapForm struct {
	schedule oncall.Schedule
	slot     oncall.Slot
	people   []option
	// returns are the coming shifts of the others, "from/to/person" each.
	returns []option
}

// requests are the swaps that concern the reader: asked of them, asked by them.
type requests struct {
	ofMe, byMe []oncall.Swap
	schedules  map[string]string
}

func (s *server) requests(q *req) (v requests, err error) {
	all, err := s.Oncall.Swaps(q.ctx)
	if err != nil {
		return v, err
	}
	schedules, err := s.Oncall.Schedules(q.ctx)
	if err != nil {
		return v, err
	}
	v.schedules = map[string]string{}
	onIt := map[string]bool{}
	for _, x := range schedules {
		v.schedules[x.ID] = scheduleName(q.lang, x)
		onIt[x.ID] = slices.ContainsFunc(x.Rotations, func(r oncall.Rotation) bool { return slices.Contains(r.People, q.actor.ID) })
	}
	for _, x := range all {
		switch {
		case x.Asker.ID == q.actor.ID:
			v.byMe = append(v.byMe, x)
		case x.State == oncall.SwapAsked && (x.With.ID == q.actor.ID || x.With.ID == "" && onIt[x.Schedule]):
			v.ofMe = append(v.ofMe, x)
		}
	}
	return v, nil
}

// swapPage asks who is to take a shift of the reader.
func (s *server) swapPage(q *req) error {
	v, err := s.swapForm(q, q.query("schedule"), q.query("from"), q.query("to"))
	if err != nil {
		return err
	}
	return q.show("oncall", q.t("web.swap.title"), swapView(v))
}

func (s *server) swapForm(q *req, id, from, to string) (v swapForm, err error) {
	if v.schedule, err = s.Oncall.Schedule(q.ctx, id); err != nil {
		return v, err
	}
	if v.slot.From, err = time.Parse(time.RFC3339, from); err == nil {
		v.slot.To, err = time.Parse(time.RFC3339, to)
	}
	if err != nil {
		return v, kit.NotFound("shift", from)
	}
	names, err := s.Identity.Names(q.ctx)
	if err != nil {
		return v, err
	}
	v.people = []option{{"", q.t("web.swap.anyone")}}
	v.returns = []option{{"", q.t("web.swap.return.none")}}
	for _, r := range v.schedule.Rotations {
		for _, p := range r.People {
			if p != q.actor.ID && !slices.ContainsFunc(v.people, func(o option) bool { return o.value == p }) {
				v.people = append(v.people, option{p, who(names, p).Name})
			}
		}
	}
	slots, err := s.Oncall.Intervals(q.ctx, id, q.now, q.now.AddDate(0, 0, 2*ahead))
	if err != nil {
		return v, err
	}
	for _, x := range slots {
		if x.Person.ID == "" || x.Person.ID == q.actor.ID {
			continue
		}
		v.returns = append(v.returns, option{spanText(x.From, x.To) + "/" + x.Person.ID, x.Person.Name + ", " + i18n.Time(q.lang, x.From, q.zone, q.now) + " – " + i18n.Time(q.lang, x.To, q.zone, q.now)})
	}
	return v, nil
}

// swapLink opens the page that asks for a stand-in on what is left of a shift.
func swapLink(x shift) templ.SafeURL {
	from, to, _ := strings.Cut(spanText(x.slot.From, x.slot.To), "/")
	return templ.SafeURL("/on-call/swap?" + url.Values{"schedule": {x.id}, "from": {from}, "to": {to}}.Encode())
}

func spanText(from, to time.Time) string {
	return from.UTC().Format(time.RFC3339) + "/" + to.UTC().Format(time.RFC3339)
}

func (s *server) askSwap(q *req) error {
	ask := oncall.AskSwap{Schedule: q.form("schedule"), With: q.form("with")}
	v, err := s.swapForm(q, ask.Schedule, q.form("from"), q.form("to"))
	if err != nil {
		return err
	}
	ask.Span = oncall.Span{From: v.slot.From, To: v.slot.To}
	if from, rest, ok := strings.Cut(q.form("return"), "/"); ok {
		to, person, _ := strings.Cut(rest, "/")
		back := oncall.Span{}
		if back.From, err = time.Parse(time.RFC3339, from); err == nil {
			back.To, err = time.Parse(time.RFC3339, to)
		}
		switch {
		case err != nil:
			err = kit.InvalidField("return", "error.bad_value", "value", q.form("return"))
		case ask.With != "" && ask.With != person:
			err = kit.InvalidField("return", "web.swap.error.return")
		}
		ask.With, ask.Return = person, &back
	}
	if err == nil {
		_, err = s.Oncall.Ask(q.ctx, ask)
	}
	if err != nil {
		return q.again(err, "oncall", q.t("web.swap.title"), swapView(v))
	}
	return q.done("/on-call/me#swaps", q.t("web.swap.asked"))
}

func (s *server) swapDo(q *req) error {
	id, done := q.r.PathValue("id"), "web.swap.accepted"
	var err error
	switch q.r.PathValue("do") {
	case "accept":
		_, err = s.Oncall.Accept(q.ctx, id)
	case "refuse":
		done = "web.swap.refused"
		_, err = s.Oncall.Refuse(q.ctx, id)
	case "withdraw":
		done = "web.swap.withdrawn"
		err = s.Oncall.WithdrawSwap(q.ctx, id)
	default:
		return kit.NotFound("command", q.r.PathValue("do"))
	}
	if err != nil {
		return s.mine(q, err, "")
	}
	return q.done("/on-call/me#swaps", q.t(done))
}

func swapTone(state string) string {
	switch state {
	case oncall.SwapAccepted:
		return "ok"
	case oncall.SwapAsked:
		return "warn"
	case oncall.SwapRefused, oncall.SwapLapsed:
		return "bad"
	}
	return ""
}

func swapWho(ctx context.Context, x oncall.Swap) string {
	switch {
	case x.State == oncall.SwapAccepted:
		return x.AnsweredBy.Name
	case x.With.ID == "":
		return t(ctx, "web.swap.anyone")
	}
	return x.With.Name
}
