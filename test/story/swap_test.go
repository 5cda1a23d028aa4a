package story_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

const pair = `
apiVersion: tocsin/v1
schedules:
  - {id: primary, name: {fr: Astreinte principale, en: Primary on-call}, rotations: [{people: [ana, paul], start: "2026-01-05T09:00", shift: 1w}]}
`

// TestSwapAsked: Ana asks whoever is on the schedule to take her week. Paul hears of it,
// says yes on his page, is on duty then, and is the one who is called; Ana hears that she
// is free.
func TestSwapAsked(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(pair), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		ctx := app.AsSystem(t.Context())
		now := h.clock.Now()
		turns, err := h.app.Oncall.Intervals(ctx, "primary", now, now.AddDate(0, 0, 30))
		if err != nil {
			t.Fatal(err)
		}
		var turn oncall.Slot
		for _, x := range turns[1:] {
			if x.Person.ID == "ana" {
				turn = x
				break
			}
		}
		ana, paul := h.session("ana"), h.session("paul")
		mine := h.read(ana, "/on-call/me", "en")
		if !strings.Contains(mine, "Find somebody") {
			t.Fatal("no way to ask")
		}
		from, to := turn.From.UTC().Format(time.RFC3339), turn.To.UTC().Format(time.RFC3339)
		if form := h.read(ana, "/on-call/swap?"+url.Values{"schedule": {"primary"}, "from": {from}, "to": {to}}.Encode(), "en"); !strings.Contains(form, "Paul Durand, ") {
			t.Errorf("the form does not offer a shift of Paul in return:\n%s", form)
		}
		as := func(who string) kit.Actor {
			return kit.Actor{Kind: kit.ActorPerson, ID: who, Name: who, Access: kit.AccessResponder, Via: kit.ViaWeb}
		}
		swap, err := h.app.Oncall.Ask(kit.WithActor(t.Context(), as("ana")), oncall.AskSwap{Schedule: "primary", Span: oncall.Span{From: turn.From, To: turn.To}})
		if err != nil {
			t.Fatal(err)
		}
		h.settle()
		notice := func(person, template string) bool {
			for _, r := range h.pages.Requests() {
				if r.Type() == "notice" && strings.Contains(string(r.Body), `"`+template+`"`) && strings.HasSuffix(r.Path, "/"+person) {
					return true
				}
			}
			return false
		}
		h.eventually("Paul is told", func() bool { return notice("paul", "swap_asked") })
		if page := h.read(paul, "/on-call/me", "fr"); !strings.Contains(page, "Ana Lopez vous demande de reprendre une garde") || !strings.Contains(page, "Je la prends") {
			t.Errorf("Paul does not see it:\n%s", page)
		}
		if _, err := h.app.Oncall.Accept(kit.WithActor(t.Context(), as("paul")), swap.ID); err != nil {
			t.Fatal(err)
		}
		h.settle()
		h.eventually("Ana is told", func() bool { return notice("ana", "swap_accepted") })
		if page := h.read(ana, "/on-call/me", "en"); !strings.Contains(page, "takes it") {
			t.Errorf("Ana does not see it:\n%s", page)
		}
		h.forward(turn.From.Add(time.Hour).Sub(now))
		h.declare("sev2")
		h.settle()
		h.page("paul")
		if text := h.read(paul, "/on-call/schedule?id=primary", "fr"); !strings.Contains(text, "remplacement") {
			t.Errorf("the schedule does not say why:\n%s", text)
		}
	})
}
