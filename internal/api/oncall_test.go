package api_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

func TestOnCall(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		ctx := kit.WithActor(t.Context(), kit.System(kit.ViaCLI))
		if _, err := b.oncall.SaveSchedule(ctx, oncall.Schedule{
			ID: "primary", Duty: "primary", Timezone: "Europe/Paris",
			Rotations: []oncall.Rotation{{People: []string{"ana-lopez", "paul"}, Start: "2026-11-23T09:00", Shift: "1w"}},
		}); err != nil {
			// The set-up may name its first person otherwise.
			b.must(b.oncall.SaveSchedule(ctx, oncall.Schedule{
				ID: "primary", Duty: "primary", Timezone: "Europe/Paris",
				Rotations: []oncall.Rotation{{People: []string{"paul", "vera"}, Start: "2026-11-23T09:00", Shift: "1w"}},
			}))
		}
		b.run(
			call{as: "viewer", method: "GET", path: "/on-call/now", status: 200, has: []string{`"schedule":"primary"`, `"role":"primary"`, `"reachable":true`, `"next":{"person":{"id":"`}},
			call{as: "viewer", method: "GET", path: "/on-call/schedules", status: 200, has: []string{`"shift":"1w"`, `"version":1`}},
			call{
				as: "manager", method: "PUT", path: "/on-call/schedules/night", body: `{"id":"night","name":{"en":"Night"},"rotations":[{"people":["vera"],"start":"2026-11-23T20:00","shift":"1d"}]}`,
				status: 200, has: []string{`"version":1`, `"duty":"other"`}, facts: []string{"schedule.changed"},
			},
			call{
				name: "with its version", as: "manager", method: "PUT", path: "/on-call/schedules/night", body: `{"id":"night","rotations":[{"people":["vera"],"start":"2026-11-23T21:00","shift":"1d"}],"version":1}`,
				status: 200, has: []string{`"version":2`}, facts: []string{"schedule.changed"},
			},
			call{name: "with an old version", as: "manager", method: "PUT", path: "/on-call/schedules/night", body: `{"id":"night","rotations":[{"people":["vera"],"start":"2026-11-23T22:00","shift":"1d"}],"version":1}`, status: 412, code: "stale"},
			call{name: "wrong", as: "manager", method: "PUT", path: "/on-call/schedules/night", body: `{"id":"night","rotations":[{"people":["nobody"],"start":"x","shift":"1d"}]}`, status: 422, code: "invalid", has: []string{`"path":"rotations[0].start"`}},
			call{name: "another id", as: "manager", method: "PUT", path: "/on-call/schedules/night", body: `{"id":"day","rotations":[{"people":["vera"],"start":"2026-11-23T22:00","shift":"1d"}]}`, status: 422, code: "invalid", has: []string{`"path":"id"`}},
			call{as: "responder", method: "PUT", path: "/on-call/schedules/night", body: `{"id":"night","rotations":[{"people":["vera"],"start":"2026-11-23T22:00","shift":"1d"}]}`, status: 403, code: "forbidden"},
			call{as: "manager", method: "PUT", path: "/policies/night", body: `{"id":"night","steps":[{"after":"0s","page":["person:paul"]}],"round_gap":"10m"}`, status: 200, has: []string{`"version":1`, `"round_gap":"10m"`}, facts: []string{"policy.changed"}},
			call{name: "policy with an old version", as: "manager", method: "PUT", path: "/policies/night", body: `{"id":"night","steps":[{"after":"5m","page":["person:paul"]}],"version":7}`, status: 412, code: "stale"},
			call{as: "viewer", method: "GET", path: "/policies/night", status: 200, has: []string{`"after":"0s"`, `"version":1`}},
			call{as: "responder", method: "PUT", path: "/policies/night", body: `{"id":"night","steps":[{"after":"0s","page":["person:paul"]}]}`, status: 403, code: "forbidden"},
			call{
				as: "viewer", method: "GET", path: "/on-call/schedules/primary?from=2026-11-23T08:00:00Z&to=2026-12-07T08:00:00Z", status: 200,
				has: []string{`"from":"2026-11-23T08:00:00.000Z"`, `"to":"2026-12-07T08:00:00.000Z"`, `"kind":"rotation"`, `"total":2`},
			},
			call{as: "viewer", method: "GET", path: "/on-call/schedules/primary?at=2026-12-01T00:00:00%2B01:00", status: 200, has: []string{`"total":1`}},
			call{as: "viewer", method: "GET", path: "/on-call/schedules/none", status: 404, code: "not_found"},
			call{as: "viewer", method: "GET", path: "/on-call/schedules/primary.ics", status: 200, has: []string{"BEGIN:VCALENDAR"}},
			call{
				as: "manager", method: "POST", path: "/on-call/overrides", body: `{"schedule":"primary","person":"vera","from":"2026-11-24T10:00:00+01:00","to":"2026-11-24T18:00:00+01:00"}`,
				status: 201, has: []string{`"from":"2026-11-24T09:00:00.000Z"`}, facts: []string{"override.created"},
			},
			call{as: "viewer", method: "POST", path: "/on-call/overrides", body: `{"schedule":"primary","person":"vera","from":"2026-11-24T10:00:00+01:00"}`, status: 422, code: "invalid", has: []string{"to"}},
			call{as: "viewer", method: "GET", path: "/on-call/gaps?days=7", status: 200},
			call{as: "viewer", method: "GET", path: "/policies", status: 200, has: []string{`"id":"default"`}},
			call{as: "viewer", method: "GET", path: "/policies/default/simulate?severity=sev2", status: 200, has: []string{`"steps":[{"at":"2026-11-23T09:00:00.123Z","round":1,"step":1`, `"method":"email"`}},
			call{as: "viewer", method: "GET", path: "/policies/none/simulate", status: 404, code: "not_found"},
		)
		o := b.do(call{as: "viewer", method: "GET", path: "/on-call/schedules/primary/overrides"})
		id := o.json["items"].([]any)[0].(map[string]any)["id"].(string)
		b.run(
			call{name: "end override", as: "manager", method: "DELETE", path: "/on-call/overrides/" + id, status: 204, facts: []string{"override.removed"}},
			call{as: "viewer", method: "POST", path: "/pages", body: `{"to":["paul"],"text":"Please look"}`, status: 403, code: "forbidden"},
			call{as: "responder", method: "POST", path: "/pages", body: `{"to":["paul"]}`, status: 422, code: "invalid", has: []string{`"path":"text"`}},
			call{as: "responder", method: "POST", path: "/pages", body: `{"to":[],"text":"x"}`, status: 422, code: "invalid"},
		)
		before := b.head()
		r := b.do(call{as: "responder", method: "POST", path: "/pages", body: `{"to":["paul"],"text":"Please look"}`})
		if got := b.types(before); r.status != 201 || len(got) == 0 || got[0] != "ladder.started" {
			t.Errorf("page someone: %d %v %s", r.status, got, r.body)
		}
	})
}

func TestPages(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		r := b.do(call{as: "responder", method: "POST", path: "/incidents", body: `{"title":"Payments fail"}`})
		id := r.json["id"].(string)
		ctx := kit.WithActor(t.Context(), kit.System(kit.ViaDue))
		if err := b.notify.OpenPages(ctx, notify.Open{
			Ladder: "l1", Step: 1, Round: 1, Incident: id, Ref: "INC-1", Title: "Payments fail", Since: b.clock.Now(),
			People: []notify.Asked{{Person: "paul", Duty: "primary"}},
		}); err != nil {
			t.Fatal(err)
		}
		p := b.do(call{as: "viewer", method: "GET", path: "/pages?state=open&person=paul"})
		if p.json["total"].(float64) != 1 {
			t.Fatal(p.body)
		}
		page := "/pages/" + p.json["items"].([]any)[0].(map[string]any)["id"].(string)
		cookie := map[string]string{"Cookie": "session=yes"}
		b.session = kit.Actor{Kind: kit.ActorPerson, ID: "vera", Name: "Vera Blanc", Access: kit.AccessViewer}
		b.run(
			call{as: "viewer", method: "GET", path: "/incidents/1/deliveries", status: 200, has: []string{`"method":"email"`, `"state":"pending"`, `"name":"Paul Roy"`}, hasNot: []string{"paul@example.com"}},
			call{as: "manager", method: "GET", path: "/incidents/1/deliveries", status: 200, has: []string{"paul@example.com"}},
			call{name: "not hers", method: "POST", path: page + "/acknowledge", header: cookie, status: 403, code: "forbidden", has: []string{"Paul Roy"}},
			call{name: "mine, of a token", as: "viewer", method: "GET", path: "/me/contact-methods", status: 403, code: "forbidden"},
		)
		b.session = kit.Actor{Kind: kit.ActorPerson, ID: "paul", Name: "Paul Roy", Access: kit.AccessResponder}
		b.run(
			call{name: "mine", method: "POST", path: page + "/acknowledge", header: cookie, status: 200, has: []string{`"state":"acknowledged"`, `"incident":"INC-1"`}, facts: []string{"page.acknowledged"}},
			call{name: "again", method: "POST", path: page + "/acknowledge", header: cookie, status: 200},
			call{name: "no such page", method: "POST", path: "/pages/none/acknowledge", header: cookie, status: 404, code: "not_found"},
			call{name: "methods", method: "GET", path: "/me/contact-methods", header: cookie, status: 200, has: []string{`"kind":"email"`, `"default":true`}},
			call{name: "quiet hours", method: "PUT", path: "/me/quiet-hours", body: `{"from":"22:00","to":"07:00"}`, header: cookie, status: 200, facts: []string{"method.changed"}},
			call{name: "bad quiet hours", method: "PUT", path: "/me/quiet-hours", body: `{"from":"25:00","to":"07:00"}`, header: cookie, status: 422, code: "invalid"},
		)
	})
}

// TestPagesByToken answers pages with tokens: each for its owner, one that may
// acknowledge incidents also accepts for others, and nobody refuses for others.
func TestPagesByToken(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		system := kit.WithActor(t.Context(), kit.System(kit.ViaCLI))
		for _, n := range []identity.NewToken{
			{Name: "of paul", Access: kit.AccessViewer, Owner: "paul"},
			{Name: "of vera", Access: kit.AccessViewer, Owner: "vera"},
			{Name: "open", Access: kit.AccessViewer, Owner: "paul", Scopes: []string{"incidents:confidential", "incidents:read", "oncall:write"}},
			{Name: "answers only", Access: kit.AccessViewer, Owner: "paul", Scopes: []string{"oncall:write"}},
			{Name: "pages only", Access: kit.AccessResponder, Scopes: []string{"oncall:write"}},
		} {
			token, _, err := b.identity.CreateToken(system, n)
			if err != nil {
				t.Fatal(n.Name, err)
			}
			b.tokens[n.Name] = token
		}
		paged := func(declaredBy, body string) (page string) {
			t.Helper()
			r := b.do(call{as: declaredBy, method: "POST", path: "/incidents", body: body})
			id, _ := r.json["id"].(string)
			if r.status != http.StatusCreated || id == "" {
				t.Fatal(r.body)
			}
			if err := b.notify.OpenPages(system, notify.Open{
				Ladder: "l-" + id, Step: 1, Round: 1, Incident: id, Ref: r.json["ref"].(string), Title: "Payments fail", Since: b.clock.Now(),
				Confidential: declaredBy == "secret", People: []notify.Asked{{Person: "paul", Duty: "primary"}},
			}); err != nil {
				t.Fatal(err)
			}
			l, err := b.notify.Pages(system, notify.Filter{Incident: id})
			if err != nil || len(l.Items) != 1 {
				t.Fatalf("%+v, %v", l, err)
			}
			return "/pages/" + l.Items[0].ID
		}
		one := paged("responder", `{"title":"One"}`)
		b.run(
			call{name: "another's token", as: "of vera", method: "POST", path: one + "/acknowledge", status: 403, code: "forbidden"},
			call{name: "another's token refuses", as: "of vera", method: "POST", path: one + "/refuse", status: 403, code: "forbidden"},
			call{name: "a viewer's token", as: "viewer", method: "POST", path: one + "/acknowledge", status: 403, code: "forbidden"},
			call{name: "may not acknowledge", as: "pages only", method: "POST", path: one + "/acknowledge", status: 403, code: "forbidden"},
			call{name: "refuses for another", as: "responder", method: "POST", path: one + "/refuse", status: 403, code: "forbidden", has: []string{"Paul Roy"}},
			call{name: "own token", as: "of paul", method: "POST", path: one + "/acknowledge", status: 200, facts: []string{"page.acknowledged"}},
			call{name: "another speaks for the holder", as: "responder", method: "POST", path: one + "/still", body: `{"here":true}`, status: 403, code: "forbidden"},
		)
		two := paged("responder", `{"title":"Two"}`)
		b.run(call{name: "accepts for another", as: "responder", method: "POST", path: two + "/acknowledge", status: 200, facts: []string{"page.acknowledged"}})
		three := paged("responder", `{"title":"Three"}`)
		b.run(call{name: "own token refuses", as: "of paul", method: "POST", path: three + "/refuse", status: 200, facts: []string{"page.refused"}})
		four := paged("responder", `{"title":"Four"}`)
		b.run(
			call{name: "own token that may only answer", as: "answers only", method: "POST", path: four + "/acknowledge", status: 200, has: []string{`"state":"acknowledged"`}, facts: []string{"page.acknowledged"}},
			call{name: "and sees that page", as: "answers only", method: "GET", path: four, status: 200},
			call{name: "but no list", as: "answers only", method: "GET", path: "/pages", status: 403, code: "forbidden"},
			call{name: "nor what is not there", as: "answers only", method: "GET", path: "/pages/none", status: 403, code: "forbidden"},
		)
		hidden := paged("secret", `{"title":"Theft","confidential":true}`)
		b.run(
			call{name: "hidden from a token", as: "admin", method: "POST", path: hidden + "/acknowledge", status: 404, code: "not_found", hasNot: []string{"Theft", "Paul"}},
			call{name: "hidden from a token of the person", as: "of paul", method: "POST", path: hidden + "/acknowledge", status: 404, code: "not_found", hasNot: []string{"Theft"}},
			call{name: "a token with the scope", as: "open", method: "POST", path: hidden + "/acknowledge", status: 200, facts: []string{"page.acknowledged"}},
		)
	})
}

// event is one server-sent event.
type event struct{ id, name, data string }

// listen opens the stream; what it hears comes by the channel.
func (b *bundle) listen(as, last string) (events <-chan event, stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/api/v1/live", nil)
	req.Header.Set("Authorization", "Bearer "+b.tokens[as])
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		b.t.Fatalf("live: %d %s", res.StatusCode, got)
	}
	out := make(chan event, 100)
	go func() {
		defer close(out)
		var e event
		for sc := bufio.NewScanner(res.Body); sc.Scan(); {
			name, value, _ := strings.Cut(sc.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				if e.id != "" {
					out <- e
				}
				e = event{}
			}
		}
	}()
	return out, func() { cancel(); _ = res.Body.Close() }
}

func (b *bundle) hear(events <-chan event) event {
	b.t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(10 * time.Second):
		b.t.Fatal("nothing heard")
		return event{}
	}
}

func TestLive(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		events, stop := b.listen("viewer", "")
		defer stop()
		hidden := b.do(call{as: "secret", method: "POST", path: "/incidents", body: `{"title":"Theft","confidential":true}`})
		shown := b.do(call{as: "responder", method: "POST", path: "/incidents", body: `{"title":"Open"}`})
		if hidden.status != 201 || shown.status != 201 {
			t.Fatal(hidden.body, shown.body)
		}
		e := b.hear(events)
		if e.name != "incident.declared" || !strings.Contains(e.data, `"incident":"INC-2"`) {
			t.Errorf("heard %+v", e)
		}
		again, stop2 := b.listen("secret", "1")
		defer stop2()
		var refs []string
		for len(refs) < 2 {
			if e := b.hear(again); e.name == "incident.declared" {
				refs = append(refs, e.data)
			}
		}
		if !strings.Contains(refs[0], "INC-1") || !strings.Contains(refs[1], "INC-2") {
			t.Errorf("resumed: %v", refs)
		}
		b.run(
			call{as: "narrow", method: "GET", path: "/live", status: 403, code: "forbidden"},
			call{as: "viewer", method: "GET", path: "/live", header: map[string]string{"Last-Event-ID": "x"}, status: 422, code: "invalid"},
		)
	})
}
