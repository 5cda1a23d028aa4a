package story_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
	"tocsin/test/fake"
)

// timed is a house whose time is moved by hand.
type timed struct {
	*house
	clock *dbtest.Clock
}

// eachTimed runs a story with a clock of its own on both databases.
func eachTimed(t *testing.T, fn func(t *testing.T, h timed)) {
	start := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	run := func(t *testing.T, cfg app.Config) {
		clock := dbtest.NewClock(start)
		cfg.Data, cfg.Clock = t.TempDir(), clock
		h := timed{open(t, cfg), clock}
		h.pages.SetClock(clock.Now)
		fn(t, h)
	}
	t.Run("sqlite", func(t *testing.T) { run(t, app.Config{}) })
	t.Run("postgres", func(t *testing.T) { run(t, app.Config{Database: dbtest.PostgresURL(t)}) })
}

// forward moves time once everything that is known has been reacted to.
func (h timed) forward(d time.Duration) {
	h.t.Helper()
	h.settle()
	h.clock.Advance(d)
	h.settle()
}

// settle waits until reactions, due rows and messages are done.
func (h timed) settle() {
	h.t.Helper()
	ctx := h.t.Context()
	for range 3 {
		if err := h.app.Ledger().Idle(ctx); err != nil {
			h.t.Fatal(err)
		}
		if err := h.app.Idle(ctx); err != nil {
			h.t.Fatal(err)
		}
	}
}

// last gives the latest fact of a type.
func (h timed) last(typ string, body any) ledger.Fact {
	h.t.Helper()
	facts, err := h.app.Ledger().Facts(h.t.Context(), ledger.Filter{Types: []string{typ}, Newest: true, Limit: 1})
	if err != nil || len(facts) == 0 {
		h.t.Fatalf("no %s, %v", typ, err)
	}
	if err := facts[0].Decode(body); err != nil {
		h.t.Fatal(err)
	}
	return facts[0]
}

// message waits for the n-th message to a person that meets a condition.
func (h timed) message(person string, is func(notice) bool) notice {
	h.t.Helper()
	var found notice
	h.pages.Wait(h.t, 15*time.Second, func(all []fake.Request) bool {
		for _, r := range all {
			var n notice
			if err := r.JSON(&n); err != nil {
				h.t.Fatal(err)
			}
			if n.Data.Person == person && is(n) {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

type notice struct {
	Type string `json:"type"`
	Data struct {
		Template string `json:"template"`
		Person   string `json:"person"`
		Text     string `json:"text"`
		URL      string `json:"url"`
		AckURL   string `json:"ack_url"`
		Step     int    `json:"step"`
	} `json:"data"`
}

func template(name string) func(notice) bool {
	return func(n notice) bool { return n.Data.Template == name }
}

func isPage(n notice) bool { return n.Type == "page" }

func (h timed) press(link, answer string) string {
	h.t.Helper()
	resp, err := http.PostForm(link, map[string][]string{"answer": {answer}})
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw := make([]byte, 20_000)
	n, _ := resp.Body.Read(raw)
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %d %s", answer, resp.StatusCode, raw[:n])
	}
	return string(raw[:n])
}

func (h timed) declare(severity string) (id string) {
	h.t.Helper()
	var i struct{ ID string }
	if code := h.call("POST", "/api/v1/incidents", map[string]any{"title": "Card payments fail", "severity": severity, "services": []string{"payments"}}, &i); code != http.StatusCreated {
		h.t.Fatalf("declare: %d", code)
	}
	return i.ID
}

// TestStillOnIt is the silence of a holder: one question with one tap, yes keeps the
// escalation quiet, no answer lets it go on with words that name who is silent.
func TestStillOnIt(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		id := h.declare("sev2")
		first := h.message("ana", isPage)
		h.press(first.Data.AckURL, "accept")
		h.eventually("taken", func() bool { return count(h.types(id), "ladder.answered") == 1 })
		took := h.clock.Now()

		h.forward(20 * time.Minute)
		q := h.message("ana", template("still"))
		if !strings.Contains(q.Data.Text, "still on it") {
			t.Errorf("the question: %s", q.Data.Text)
		}
		h.press(q.Data.URL, "accept")
		var checked notify.PageChecked
		h.eventually("yes is a fact", func() bool { return count(h.types(id), "page.checked") == 1 })
		if f := h.last("page.checked", &checked); checked.Answer != "here" || f.Subject.Kind != "page" || f.Actor.ID != "ana" {
			t.Errorf("%+v %+v", f, checked)
		}
		h.forward(6 * time.Minute)
		if n := count(h.types(id), "ladder.resumed"); n != 0 {
			t.Fatal("the escalation went on after a yes")
		}

		// The second question is answered by nobody.
		h.forward(14 * time.Minute)
		h.eventually("asked again", func() bool { return count(h.types(id), "notice.queued") >= 2 })
		h.forward(5 * time.Minute)
		h.eventually("resumed", func() bool { return count(h.types(id), "ladder.resumed") == 1 })
		h.message("paul", isPage)
		var step oncall.StepRun
		h.last("ladder.step_run", &step)
		if s := step.Silent; s == nil || s.Person != "ana" || !s.TookAt.Equal(took) || s.Reason != "silent" {
			t.Fatalf("%+v", step)
		}
		ctx := kit.WithActor(t.Context(), kit.System(kit.ViaAPI))
		pages, err := h.app.Notify.Pages(ctx, notify.Filter{Person: "paul"})
		if err != nil || len(pages.Items) != 1 || pages.Items[0].Silent == nil || pages.Items[0].ServiceName != (kit.Text{FR: "Paiement", EN: "Payments"}) {
			t.Fatalf("%+v, %v", pages.Items, err)
		}
		// Paul takes it and says by the interface, with a token of his own, that he is not
		// on it any more.
		secret, _, err := h.app.Identity.CreateToken(app.AsSystem(t.Context()), identity.NewToken{Name: "paul", Access: kit.AccessResponder, Owner: "paul"})
		if err != nil {
			t.Fatal(err)
		}
		h.token = secret
		if code := h.call("POST", "/api/v1/pages/"+pages.Items[0].ID+"/acknowledge", map[string]any{}, nil); code != http.StatusOK {
			t.Fatalf("acknowledge: %d", code)
		}
		h.eventually("taken by paul", func() bool { return count(h.types(id), "ladder.answered") == 2 })
		if code := h.call("POST", "/api/v1/pages/"+pages.Items[0].ID+"/still", map[string]any{"here": false}, nil); code != http.StatusOK {
			t.Fatalf("still: %d", code)
		}
		h.eventually("resumed at once", func() bool { return count(h.types(id), "ladder.resumed") == 2 })
		h.message("camille", isPage)
		if n := count(h.types(id), "reaction.failed"); n != 0 {
			t.Error("a reaction failed")
		}
	})
}

// TestGivenBack is a holder who presses "Give it back" on their page: the escalation
// goes on with its next step, whatever the severity.
func TestGivenBack(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		id := h.declare("sev3")
		link := h.message("ana", isPage).Data.AckURL
		h.press(link, "accept")
		h.eventually("taken", func() bool { return count(h.types(id), "ladder.answered") == 1 })
		for range 2 {
			if body := h.press(link, "return"); !strings.Contains(body, "You gave it back.") {
				t.Errorf("after giving back: %s", body)
			}
		}
		h.eventually("resumed", func() bool { return count(h.types(id), "ladder.resumed") == 1 })
		h.message("paul", isPage)
		if n := count(h.types(id), "page.checked"); n != 1 {
			t.Errorf("given back %d times", n)
		}
	})
}

// TestManagementNotSeen pages management, the first in succession and then the next,
// when nobody has seen its notice.
func TestManagementNotSeen(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		if _, err := h.app.Apply(ctx, []byte(strings.Replace(strings.ReplaceAll(company, "%[1]s", h.pages.URL),
			"management: [camille]", "management: [paul, camille]", 1)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		id := h.declare("sev1")
		first := h.message("ana", isPage)
		h.press(first.Data.AckURL, "accept")
		told := h.message("paul", template("management"))
		h.forward(14 * time.Minute)
		if n := count(h.types(id), "notice.unseen"); n != 0 {
			t.Fatal("too early")
		}
		h.forward(time.Minute)
		informs := func(person string) []notify.Page {
			l, err := h.app.Notify.Pages(ctx, notify.Filter{Person: person, State: notify.PageIsOpen})
			if err != nil {
				t.Fatal(err)
			}
			var out []notify.Page
			for _, p := range l.Items {
				if p.Informs {
					out = append(out, p)
				}
			}
			return out
		}
		h.eventually("the first is paged", func() bool { return len(informs("paul")) == 1 })
		if len(informs("camille")) != 0 {
			t.Fatal("the next one was paged at once")
		}
		h.forward(5 * time.Minute)
		h.eventually("then the next", func() bool { return len(informs("camille")) == 1 })
		h.press(told.Data.URL, "accept")
		h.eventually("seen ends it", func() bool { return len(informs("paul"))+len(informs("camille")) == 0 })
		h.settle()
		h.forward(30 * time.Minute)
		if n := count(h.types(id), "reaction.failed"); n != 0 {
			t.Error("a reaction failed")
		}
		var i struct {
			AcknowledgedAt *string `json:"acknowledged_at"`
		}
		h.call("GET", "/api/v1/incidents/"+id, nil, &i)
		ladders, err := h.app.Oncall.Ladders(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range ladders {
			if l.Informs && (l.State != oncall.Answered || l.AnsweredBy != "paul") {
				t.Errorf("%+v", l)
			}
		}
	})
}

// TestSeverityFallsAndIsCancelled: what the higher level asked for and nobody has
// received is taken back, those told hear of the change, and all are stood down.
func TestSeverityFallsAndIsCancelled(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		id := h.declare("sev1")
		h.message("ana", isPage)
		h.message("camille", template("management"))
		open := func() (n int) {
			l, err := h.app.Notify.Pages(ctx, notify.Filter{Person: "camille", State: notify.PageIsOpen})
			if err != nil {
				t.Fatal(err)
			}
			return len(l.Items)
		}
		h.eventually("the commander is paged", func() bool { return open() > 0 })
		if code := h.call("POST", "/api/v1/incidents/"+id+"/assess", map[string]any{"answers": map[string]any{
			"who": "some", "what": "slower", "data": "no", "trend": "stable", "change": "none",
		}}, nil); code != http.StatusOK {
			t.Fatalf("assess: %d", code)
		}
		h.eventually("the page is taken back", func() bool { return open() == 0 })
		h.settle()
		// At night the news of a lesser severity waits for nobody's quiet hours here.
		told := h.message("camille", template("severity"))
		if !strings.Contains(told.Data.Text, "SEV3") || !strings.Contains(told.Data.Text, "SEV1") {
			t.Errorf("told of the change: %s", told.Data.Text)
		}
		h.forward(time.Hour)
		if n := count(h.types(id), "notice.unseen"); n != 0 {
			t.Error("management is asked about a notice that is not asked for any more")
		}
		if code := h.call("POST", "/api/v1/incidents/"+id+"/cancel", map[string]any{"reason": "a false alarm"}, nil); code != http.StatusOK {
			t.Fatalf("cancel: %d", code)
		}
		h.message("ana", template("stood_down"))
		h.message("camille", template("stood_down"))
		if n := count(h.types(id), "reaction.failed"); n != 0 {
			t.Error("a reaction failed")
		}
	})
}
