package web_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
)

// scenario is one form sent: where it leads and the exact facts it leaves, or
// what is wrong with it.
type scenario struct {
	name string
	// before prepares the house; its facts do not count, and {last} stands for the
	// number of the last of them.
	before func(h *house)
	path   string
	form   []string
	// to is where it leads; empty is a form that is refused.
	to    string
	facts []string
	// status of the refusal, 422 when not given.
	status int
	// shows are words of the page that follows: what was done, or what was typed.
	shows []string
}

func (s scenario) run(t *testing.T, h *house) {
	t.Helper()
	if s.before != nil {
		s.before(h)
	}
	from, _, err := h.l.Head(h.ana())
	h.ok(err)
	last := strings.NewReplacer("{last}", strconv.FormatInt(from, 10))
	s.path, s.to = last.Replace(s.path), last.Replace(s.to)
	form := url.Values{}
	for i := 0; i+1 < len(s.form); i += 2 {
		form.Add(s.form[i], last.Replace(s.form[i+1]))
	}
	res, body := h.do("POST", s.path, form)
	switch want := s.status; {
	case s.to != "":
		if got := res.Header.Get("Location"); res.StatusCode != 303 || got != s.to {
			t.Fatalf("POST %s: %d to %q, not %q: %s", s.path, res.StatusCode, got, s.to, problem(body))
		}
		at, _, _ := strings.Cut(s.to, "#")
		body = h.get(at)
	case want == 0:
		want = 422
		fallthrough
	default:
		if res.StatusCode != want {
			t.Fatalf("POST %s: %d, not %d: %s", s.path, res.StatusCode, want, problem(body))
		}
	}
	contains(t, body, s.shows...)
	facts, err := h.l.Facts(h.ana(), ledger.Filter{After: from, Limit: 100})
	h.ok(err)
	var types []string
	for _, f := range facts {
		types = append(types, f.Type)
	}
	if !slices.Equal(types, s.facts) {
		t.Errorf("POST %s: facts %q, not %q", s.path, types, s.facts)
	}
}

// scenarios runs each on a house of its own, signed in, with INC-1 declared.
func scenarios(t *testing.T, list []scenario) {
	t.Helper()
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			h := open(t)
			h.signIn()
			h.post("/incidents/new", "title", "Payments fail", "impact", "unknown")
			s.run(t, h)
		})
	}
}

func TestTimelineLines(t *testing.T) {
	note := func(h *house) { h.post("/incidents/INC-1/do/note", "text", "Database was slow") }
	scenarios(t, []scenario{
		{
			name: "star a line", before: note, path: "/incidents/INC-1/do/star", form: []string{"on", "{last}"},
			to: "/incidents/INC-1#l-{last}", facts: []string{"incident.line_starred"}, shows: []string{"No longer a key moment"},
		},
		{
			name: "correct a line", before: note, path: "/incidents/INC-1/lines/{last}", form: []string{"text", "It was the cache"},
			to: "/incidents/INC-1#l-{last}", facts: []string{"incident.line_corrected"}, shows: []string{"Database was slow", "It was the cache"},
		},
		{name: "a correction without words", before: note, path: "/incidents/INC-1/lines/{last}", form: []string{"text", " "}, shows: []string{"#f-text", "Database was slow"}},
		{name: "a line of nowhere", path: "/incidents/INC-1/lines/99", form: []string{"text", "x"}, status: 404},
		{name: "a line of another incident", path: "/incidents/INC-1/do/star", form: []string{"on", "1"}, status: 404},
	})
}

func TestTimelineFilters(t *testing.T) {
	h := open(t)
	h.signIn()
	h.post("/incidents/new", "title", "Payments fail")
	for range 120 {
		h.post("/incidents/INC-1/do/note", "text", "Still looking")
	}
	if got := strings.Count(h.get("/incidents/INC-1"), "Still looking"); got != 100 {
		t.Errorf("%d notes on the first page", got)
	}
	if body := h.get("/incidents/INC-1?key=1"); strings.Contains(body, "Still looking") {
		t.Error("a note among the key moments")
	}
	body := h.get("/incidents/INC-1?kind=phase")
	contains(t, body, "Payments fail", `id="l-`)
	if strings.Contains(body, "Still looking") {
		t.Error("a note among the phases")
	}
	body = h.get("/incidents/INC-1?kind=note")
	if got := strings.Count(body, "Still looking"); got != 100 {
		t.Errorf("%d notes on the first page of notes", got)
	}
	contains(t, body, "Older lines")
	contains(t, h.get("/incidents/INC-1?utc=1"), `<strong aria-current="true">UTC</strong>`)
}

func TestChangeAndImpact(t *testing.T) {
	edit := func(pairs ...string) []string {
		return append([]string{"title", "Payments fail", "text", "", "services", "", "kind", "availability", "occurred_at", "", "eradicated_at", "", "restored_at", ""}, pairs...)
	}
	scenarios(t, []scenario{
		{name: "nothing changed", path: "/incidents/INC-1/do/edit", form: edit(), to: "/incidents/INC-1"},
		{
			name: "kind, services and times", path: "/incidents/INC-1/do/edit",
			form: []string{
				"title", "Payments fail in the shop", "text", "The bank refuses", "services", "payments, shop", "kind", "vendor",
				"occurred_at", "2026-11-23T09:30", "restored_at", "2026-11-23T09:50", "edit_reason", "the bank told us",
			},
			to: "/incidents/INC-1", facts: []string{
				"incident.renamed", "incident.renamed", "incident.scope_changed", "incident.kind_changed", "incident.time_corrected", "incident.restored",
			},
			shows: []string{"Payments fail in the shop", "The bank refuses"},
		},
		{
			name: "a time to come", path: "/incidents/INC-1/do/edit", form: []string{"title", "Payments still fail", "kind", "vendor", "occurred_at", "2026-12-23T09:30"},
			shows: []string{"#f-occurred_at", "Payments still fail", "2026-12-23T09:30"},
		},
		{name: "no title", path: "/incidents/INC-1/do/edit", form: []string{"title", "", "text", "The bank refuses"}, shows: []string{"#f-title", "The bank refuses"}},
		{
			name: "impact", path: "/incidents/INC-1/do/impact", form: []string{"impact_from", "2026-11-23T09:30", "customers", "1 200", "data_lost", "5", "impact_text", "Orders refused"},
			to: "/incidents/INC-1", facts: []string{"impact.recorded"}, shows: []string{"1,200", "5 min", "Orders refused"},
		},
		{
			name: "impact that ends before it starts", path: "/incidents/INC-1/do/impact",
			form: []string{"impact_from", "2026-11-23T09:30", "impact_to", "2026-11-23T09:20", "customers", "12"}, shows: []string{"#f-impact_to", `value="12"`},
		},
		{name: "a number in words", path: "/incidents/INC-1/do/impact", form: []string{"customers", "many", "impact_text", "Orders refused"}, shows: []string{"#f-customers", "many", "Orders refused"}},
	})
}

func TestPhasePage(t *testing.T) {
	at := "/incidents/INC-1/phase"
	recovery := func(h *house) {
		h.post("/incidents/INC-1/do/edit", "title", "Payments fail", "services", "payments", "kind", "availability")
		h.post(at, "phase", "recovery", "reason", "known cause")
	}
	scenarios(t, []scenario{
		{
			name: "skip with a reason", path: at, form: []string{"phase", "recovery", "reason", "known cause", "real", "yes"},
			to: "/incidents/INC-1", facts: []string{"incident.acknowledged", "incident.phase_changed"}, shows: []string{"skipped", "known cause", "?kind=phase#l-"},
		},
		{name: "skip without a reason", path: at, form: []string{"phase", "recovery", "holder", "Bob"}, shows: []string{"#f-reason", "Bob"}},
		{
			name: "back", before: recovery, path: at, form: []string{"phase", "containment", "reason", "it grows again"},
			to: "/incidents/INC-1", facts: []string{"incident.phase_changed"}, shows: []string{"reopened"},
		},
		{
			name: "service is normal", before: recovery, path: at,
			form: []string{"phase", "review", "normal", "yes", "criteria.payments", "alerts", "criteria.payments", "data", "data_lost", "2"},
			to:   "/incidents/INC-1", facts: []string{"incident.phase_changed", "review.created"},
		},
		{name: "data lost in words", before: recovery, path: at, form: []string{"phase", "review", "checked_by", "Bob", "data_lost", "some"}, shows: []string{"#f-data_lost", "Bob"}},
	})
}

func TestDeclarePage(t *testing.T) {
	h := open(t)
	h.signIn()
	h.post("/incidents/new", "title", "Payments fail")
	contains(t, h.get("/incidents/new?title=Payments+are+slow"), "Already open?", "INC-1", `value="Payments are slow"`)
	if strings.Contains(h.get("/incidents/new?title=Printer"), "Already open?") {
		t.Error("an incident that shares no word")
	}
	// What was set off is shown to who declared it, what failed with Retry, for a while.
	contains(t, h.get("/incidents/INC-1"), "What has been done", "Opened as INC-1", "Retry")
	h.clock.Advance(time.Hour)
	if strings.Contains(h.get("/incidents/INC-1"), "What has been done") {
		t.Error("still shown an hour later")
	}
}

func TestReviewHelps(t *testing.T) {
	h := open(t)
	h.signIn()
	at := h.post("/incidents/new", "title", "Payments fail")
	h.post(at+"/phase", "phase", "review", "reason", "over at once")
	h.post(at+"/review", "factor_text", "Human error in the console", "factor_kind", "contributing", "factor_category", "people", "surprised", "Nothing")
	body := h.get(at + "/review")
	contains(t, body, "<u>Human error</u>", "What made that seem right at the time?", "Make an action")
	if strings.Count(body, "seem right at the time") != 1 {
		t.Error("questions words that judge nobody")
	}
	contains(t, h.get(at+"/review?action=Ask+before+production"), `value="Ask before production"`)
	if to := h.post(at+"/actions", "text", "Ask before production", "owner", "ana", "due", "2026-12-24"); to != at+"/review" {
		t.Errorf("to %s", to)
	}
	res, _ := h.do("GET", "/actions/mine", nil)
	contains(t, h.get(res.Header.Get("Location")), "Ask before production", `href="/actions/mine" aria-current="page"`)
}

func TestIncidentFilterTags(t *testing.T) {
	h := open(t)
	h.signIn()
	h.post("/incidents/new", "title", "Payments fail", "impact", "outage")
	h.post("/incidents/new", "title", "Customer file leaked", "data", "1")
	body := h.get("/incidents?severity=sev1&personal=")
	contains(t, body, "Payments fail", "Remove the filter", `href="/incidents?personal="`)
	if strings.Contains(body, "Customer file leaked") {
		t.Error("an incident of another severity")
	}
	body = h.get("/incidents?personal=1")
	contains(t, body, "Customer file leaked")
	if strings.Contains(body, "Payments fail") {
		t.Error("an incident without personal data")
	}
}

func TestNowTellsOfMethodsNotTested(t *testing.T) {
	h := open(t)
	h.signIn()
	h.notify.methods = []notify.Method{{ID: "mail", Kind: "email", Stale: true}}
	contains(t, h.get("/"), "Your contact method E-mail has not been tested for long")
	h.notify.methods[0].Stale = false
	if strings.Contains(h.get("/"), "has not been tested for long") {
		t.Error("a method that was tested")
	}
}

// TestEveryStateOfTheAcknowledgePage reads the page as a mail scanner does: one
// request, no script, nothing acted.
func TestEveryStateOfTheAcknowledgePage(t *testing.T) {
	h := open(t)
	now := h.clock.Now()
	page := notify.Page{
		Incident: "i", Ref: "INC-42", Title: strings.Repeat("very long title ", 60), Severity: "sev1", ServiceName: kit.Both("Payments"), State: notify.PageIsOpen,
		Since: now.Add(-time.Hour), AnsweredAt: now.Add(-9 * time.Minute), NextPerson: notify.Named{ID: "paul", Name: "Paul Martin"}, NextAt: now.Add(time.Minute),
	}
	lina := notify.Named{ID: "lina", Name: "Lina"}
	for name, s := range map[string]struct {
		change func(v *notify.View)
		en, fr []string
		// gives are the answers that the page offers.
		gives []string
	}{
		"open": {func(*notify.View) {}, []string{"Paul Martin"}, []string{"Paul Martin"}, []string{"accept", "refuse"}},
		"mine": {func(v *notify.View) { v.Page.State = notify.PageIsAcknowledged }, []string{"You have it since 09:51.", "Paul Martin will not be called.", "Give it back"}, []string{"Vous l’avez depuis 09:51.", "Rendre la main"}, []string{"return"}},
		"returned": {func(v *notify.View) {
			v.Page.State, v.Page.EndedReason = notify.PageIsAcknowledged, notify.PageReturned
		}, []string{"You gave it back."}, []string{"Vous avez rendu la main."}, nil},
		"taken": {func(v *notify.View) {
			v.TakenBy, v.TakenAt, v.Page.State = lina, now.Add(-time.Minute), notify.PageIsWithdrawn
		}, []string{"Lina has had it since 09:59.", "/incidents/INC-42/join"}, []string{"Lina l’a depuis 09:59.", "Rejoindre"}, nil},
		"taken since": {func(v *notify.View) {
			v.TakenBy, v.TakenAt, v.Page.State = lina, now.Add(-time.Minute), notify.PageIsAcknowledged
		}, []string{"Lina has had it since 09:59."}, []string{"Lina l’a depuis 09:59."}, nil},
		"refused": {func(v *notify.View) { v.Page.State = notify.PageIsRefused }, []string{"The next person is paged."}, []string{"La personne suivante"}, nil},
		"closed":  {func(v *notify.View) { v.Page.State, v.Page.EndedReason = notify.PageIsAcknowledged, "incident.closed" }, []string{"This page has ended."}, []string{"Cet appel est terminé."}, nil},
	} {
		for lang, words := range map[string][]string{"en": s.en, "fr": s.fr} {
			h.notify.view = notify.View{Kind: "page", Person: notify.Person{ID: "ana", Name: "Ana Lopez", Language: lang, Timezone: "Europe/Paris"}, Pages: 1, Page: page}
			s.change(&h.notify.view)
			before := h.notify.view
			res, body := h.do("GET", "/a/good", nil)
			if res.StatusCode != 200 || len(body) > 10<<10 {
				t.Errorf("%s %s: %d, %d bytes", name, lang, res.StatusCode, len(body))
			}
			contains(t, body, append(words, `lang="`+lang+`"`, "INC-42")...)
			for _, no := range []string{"<script", "<link", "src=", `style="`} {
				if strings.Contains(body, no) {
					t.Errorf("%s: the page contains %s", name, no)
				}
			}
			var gives []string
			for _, m := range regexp.MustCompile(`name="answer" value="(\w+)"`).FindAllStringSubmatch(body, -1) {
				gives = append(gives, m[1])
			}
			if !slices.Equal(gives, s.gives) {
				t.Errorf("%s: offers %q, not %q", name, gives, s.gives)
			}
			if len(h.notify.answers) != 0 || h.notify.returned != 0 || h.notify.view.Page.State != before.Page.State {
				t.Fatalf("%s: reading has answered", name)
			}
		}
	}
	h.notify.view.Page.State, h.notify.view.Page.EndedReason = notify.PageIsAcknowledged, ""
	if to := h.post("/a/good", "answer", "return"); to != "/a/good" || h.notify.returned != 1 {
		t.Errorf("to %s, given back %d times", to, h.notify.returned)
	}
}

func TestJoin(t *testing.T) {
	h := open(t)
	h.signIn()
	at := h.post("/incidents/new", "title", "Payments fail")
	contains(t, h.get(at+"/join"), "Join INC-1", "I am joining.")
	scenario{
		name: "join", path: at + "/do/note", form: []string{"text", "I look at the database."},
		to: at, facts: []string{"incident.noted"}, shows: []string{"I look at the database."},
	}.run(t, h)
}

func TestIncidentListOrderAndPages(t *testing.T) {
	h := open(t)
	h.signIn()
	for n := range 30 {
		h.post("/incidents/new", "title", "Number "+strconv.Itoa(n), "impact", []string{"unknown", "outage", "none"}[n%3])
	}
	refs := func(body string) []string {
		var out []string
		for _, m := range regexp.MustCompile(`<th scope="row"><a href="/incidents/(INC-\d+)"`).FindAllStringSubmatch(body, -1) {
			out = append(out, m[1])
		}
		return out
	}
	for order, first := range map[string]string{"": "INC-30", "-declared": "INC-30", "declared": "INC-1", "severity": "INC-29", "-severity": "INC-30", "phase": "INC-30"} {
		body := h.get("/incidents?sort=" + order)
		contains(t, body, "Incidents 1–25 of 30")
		seen := refs(body)
		next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(body)
		if len(seen) != 25 || seen[0] != first || next == nil {
			t.Fatalf("%s: %q", order, seen)
		}
		body = h.get(html.UnescapeString(next[1]))
		contains(t, body, "Incidents 26–30 of 30", `rel="first"`)
		seen = append(seen, refs(body)...)
		slices.Sort(seen)
		if n := len(slices.Compact(seen)); n != 30 {
			t.Errorf("%s: %d incidents on two pages", order, n)
		}
	}
	contains(t, h.get("/incidents?sort=severity"), `aria-sort="ascending"`, `sort=-severity`)
	if n := len(refs(h.get("/incidents?size=100"))); n != 30 {
		t.Errorf("%d incidents on a page of 100", n)
	}
	if res, _ := h.do("GET", "/incidents?sort=title", nil); res.StatusCode != 422 {
		t.Errorf("an order that is not there: %d", res.StatusCode)
	}
	h.post("/incidents/INC-2/phase", "phase", "review", "reason", "over at once")
	contains(t, h.get("/incidents?phase=review"), `href="/incidents/INC-2/review"`)
	body := h.get("/incidents?phase=review&format=csv")
	if !strings.HasPrefix(body, "\ufeffref,") || strings.Count(body, "\n") != 2 || !strings.Contains(body, "2026-11-23T09:00:00Z,,draft") {
		t.Errorf("%q", body)
	}
	contains(t, h.get("/incidents?phase=review&format=json"), `"declared_at": "2026-11-23T09:00:00Z"`, `"review": "draft"`)
}

func TestBriefDecisions(t *testing.T) {
	h := open(t)
	h.signIn()
	at := h.post("/incidents/new", "title", "Payments fail")
	contains(t, h.get(at+"/brief"), "Nothing now.")
	h.clock.Advance(31 * time.Minute)
	body := h.get(at + "/brief")
	contains(t, body, "Assess it", `href="/incidents/INC-1/assess"`)
	if strings.Contains(body, "Nothing now.") {
		t.Error("nothing now, and an assessment that is late")
	}
	h.post(at+"/phase", "phase", "review", "reason", "over at once")
	contains(t, h.get(at+"/brief"), "Nothing now.")
	h.post(at+"/review", "summary", "Payments failed", "factor_text", "No limit", "factor_kind", "contributing", "factor_category", "technology", "surprised", "Nothing")
	_, err := h.incident.SubmitReview(h.ana(), "INC-1")
	h.ok(err)
	contains(t, h.get(at+"/brief"), "Approve the review", `href="/incidents/INC-1/review"`)
}

func TestHandoverNamesWhoIsAwake(t *testing.T) {
	h := open(t)
	h.signIn()
	for id, zone := range map[string]string{"bob": "Asia/Tokyo", "zoe": "America/Los_Angeles"} {
		err := h.identity.AddPerson(h.ana(), identity.Person{ID: id, Name: id, Email: id + "@example.com", Access: kit.AccessResponder, Timezone: zone})
		h.ok(err)
	}
	at := h.post("/incidents/new", "title", "Payments fail")
	body := h.get(at + "/handover")
	contains(t, body, "bob · 18:00<", "zoe · 01:00 · asleep hours<")
}

// What a person prefers is saved as a whole, and what is wrong stands at its line with
// what was typed.
func TestRulesAndQuietHours(t *testing.T) {
	h := open(t)
	h.signIn()
	h.notify.methods = []notify.Method{{ID: "mail", Kind: "email", To: "ana@example.com"}}
	contains(t, h.get("/on-call/me"), `name="notify[0].after"`, `name="quiet_hours.from"`)
	h.post("/on-call/me/rules", "notify[1].after", "2m", "notify[1].method", "mail", "notify[1].sev1", "1", "notify[1].sev2", "1")
	if len(h.notify.rules) != 1 || h.notify.rules[0].After != 2*time.Minute || len(h.notify.rules[0].Severities) != 2 {
		t.Errorf("rules %+v", h.notify.rules)
	}
	res, body := h.do("POST", "/on-call/me/rules", url.Values{"notify[1].after": {"soon"}, "notify[1].method": {"mail"}})
	if res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a delay that is none: %d", res.StatusCode)
	}
	contains(t, body, `value="soon"`, `id="e-notify[1].after"`)
	h.post("/on-call/me/quiet-hours", "quiet_hours.from", "22:00", "quiet_hours.to", "07:00")
	if h.notify.quiet == nil || h.notify.quiet.From != "22:00" {
		t.Errorf("quiet %+v", h.notify.quiet)
	}
	h.post("/on-call/me/quiet-hours", "quiet_hours.from", "", "quiet_hours.to", "")
	if h.notify.quiet != nil {
		t.Errorf("quiet %+v", h.notify.quiet)
	}
}

func TestPageSomeone(t *testing.T) {
	scenarios(t, []scenario{
		{
			name: "a person", path: "/on-call", form: []string{"to", "person:ana", "text", "The shop is down"},
			to: "/on-call", facts: []string{"ladder.started", "ladder.step_run"}, shows: []string{"Paged."},
		},
		{
			name: "for nothing", path: "/on-call", form: []string{"to", "person:ana", "text", " "}, shows: []string{"There is a problem"},
		},
		{
			name: "somebody unknown", path: "/on-call", form: []string{"to", "person:nobody", "text", "The shop is down"}, shows: []string{"There is a problem", "The shop is down"},
		},
	})
}

// The services of an assessment are those of the incident until somebody says otherwise.
func TestAssessServices(t *testing.T) {
	h := open(t)
	h.signIn()
	h.ok(h.d.Write(h.ana(), func(ctx context.Context, tx *db.Tx) error {
		_, err := h.deps.Service.Apply(ctx, tx, []continuity.Definition{{ID: "payments", Name: kit.Both("Payments")}, {ID: "mailer"}}, false)
		return err
	}))
	h.post("/incidents/new", "title", "Payments fail")
	h.post("/incidents/INC-1/do/edit", "title", "Payments fail", "services", "payments")
	page := h.get("/incidents/INC-1/assess")
	contains(t, page, "Which services are affected?", `value="payments" checked`)
	h.post("/incidents/INC-1/assess", "who", "some", "what", "main", "data", "no", "trend", "stable", "change", "none", "services_shown", "1")
	i, err := h.incident.Get(h.ana(), "INC-1")
	h.ok(err)
	if len(i.Services) != 0 || i.Severity != "sev2" {
		t.Errorf("%v, %s", i.Services, i.Severity)
	}
}

func TestAddSources(t *testing.T) {
	const at = "/settings/integrations"
	h := open(t)
	h.signIn()
	add := func(f url.Values) string {
		res, body := h.do("POST", at, f)
		if res.StatusCode != 200 {
			t.Fatalf("%v: %d %s", f, res.StatusCode, problem(body))
		}
		return body
	}
	contains(t, add(url.Values{"id": {"cron"}, "kind": {"heartbeat"}, "service": {"payments"}, "every": {"10m"}}), "shown this once", "/heartbeat", "10 min, late by at most 1 min")
	contains(t, add(url.Values{"id": {"site"}, "kind": {"probe"}, "every": {"1m"}, "probe.ask": {"url"}, "probe.target": {"https://shop.example/health"}, "probe.expect": {"2xx"}, "probe.confirm": {"3"}}),
		"https://shop.example/health", "every 1 min, alarm after 3 bad results in a row", "It has not asked yet.")
	contains(t, add(url.Values{"id": {"post"}, "kind": {"email"}}), "@tocsin.example", "Let the sender write to this address")
	contains(t, add(url.Values{"id": {"any"}, "kind": {"json"}, "map.dedup_key": {"body.id"}, "map.title": {"body.title"}}), "shown this once")
	for _, c := range []struct {
		form  url.Values
		shows []string
	}{
		{url.Values{"id": {"cron2"}, "kind": {"heartbeat"}}, []string{"There is a problem", `href="#f-every"`}},
		{url.Values{"id": {"cron2"}, "kind": {"heartbeat"}, "every": {"soon"}}, []string{"A duration such as"}},
		{url.Values{"id": {"site2"}, "kind": {"probe"}, "every": {"1s"}, "probe.ask": {"url"}, "probe.target": {"https://shop.example"}}, []string{`href="#f-every"`, "at least 5s"}},
		{url.Values{"id": {"site2"}, "kind": {"probe"}, "every": {"1m"}, "probe.ask": {"tcp"}, "probe.target": {"shop"}}, []string{`href="#f-probe.target"`, "cannot be asked"}},
		{url.Values{"id": {"site2"}, "kind": {"probe"}, "every": {"1m"}, "probe.ask": {"tcp"}}, []string{`href="#f-probe.target"`}},
		{url.Values{"id": {"site2"}, "kind": {"probe"}, "every": {"1m"}, "probe.ask": {"tcp"}, "probe.target": {"shop:1"}, "probe.confirm": {"x"}}, []string{`href="#f-probe.confirm"`}},
		{url.Values{"id": {"any2"}, "kind": {"json"}, "map.dedup_key": {"body.("}, "map.title": {"body.title"}}, []string{"There is a problem", `href="#f-map.dedup_key"`}},
	} {
		res, body := h.do("POST", at, c.form)
		if res.StatusCode != 422 {
			t.Errorf("%q: %d", c.form, res.StatusCode)
		}
		contains(t, body, c.shows...)
	}
	list, err := h.alert.Sources(h.ana())
	h.ok(err)
	const message = `{"id": 7, "name": "Shop is down", "tags": {"zone": "a"}}`
	tried := url.Values{"do": {"try"}, "payload": {message}, "map.dedup_key": {"string(body.id)"}, "map.title": {"body.name"}, "map.labels": {"body.tags"}}
	_, body := h.do("POST", at+"/any/map", tried)
	contains(t, body, "It would be this alert", "Shop is down", "zone=a", `value="string(body.id)"`)
	if now, err := h.alert.Sources(h.ana()); err != nil || now[0].Map["dedup_key"] != "body.id" {
		t.Errorf("trying changed %+v, %v", now[0], err)
	}
	for want, f := range map[string]url.Values{
		`href="#f-payload"`:       {"do": {"try"}, "payload": {"{"}, "map.dedup_key": {"body.id"}, "map.title": {"body.name"}},
		`href="#f-map.dedup_key"`: {"do": {"try"}, "payload": {message}, "map.dedup_key": {"body.none"}, "map.title": {"body.name"}},
		`href="#f-map.title"`:     {"do": {"save"}, "version": {"1"}, "map.dedup_key": {"body.id"}},
	} {
		res, body := h.do("POST", at+"/any/map", f)
		if res.StatusCode != 422 {
			t.Errorf("%v: %d", f, res.StatusCode)
		}
		contains(t, body, want)
	}
	tried.Set("do", "save")
	tried.Set("version", strconv.FormatInt(list[0].Version, 10))
	if res, body := h.do("POST", at+"/any/map", tried); res.StatusCode != 303 {
		t.Fatalf("%d %s", res.StatusCode, problem(body))
	}
	if now, err := h.alert.Sources(h.ana()); err != nil || now[0].Map["dedup_key"] != "string(body.id)" || now[0].Map["labels"] != "body.tags" {
		t.Errorf("saved: %+v, %v", now[0], err)
	}
	if res, _ := h.do("POST", at+"/any/map", tried); res.StatusCode != 412 && res.StatusCode != 409 {
		t.Errorf("saved upon another's change: %d", res.StatusCode)
	}
	if len(list) != 5 { // the built-in one is there already
		t.Errorf("%d sources", len(list))
	}
}

// Whatever has a page is found by its name, in either language, whichever is spoken.
func TestSearchFinds(t *testing.T) {
	h := open(t)
	h.signIn()
	h.post("/incidents/new", "title", "Réseau lent")
	for words, want := range map[string]string{
		"inc-1": "/incidents/INC-1", "reseau": "/incidents/INC-1", "astreinte": "/on-call", "on-call": "/on-call",
		"parametres people": "", "journal": "/settings/journal", "clés": "/settings/api-keys", "accessibilité": "/help/accessibility",
		"alertes": "/alerts", "default": "/on-call/policies?simulate=1&amp;policy=default", "declare": "/incidents/new",
	} {
		body := h.get("/search?q=" + url.QueryEscape(words))
		_, results, _ := strings.Cut(body, `id="results"`)
		results, _, _ = strings.Cut(results, "</ul>")
		if found := strings.Contains(results, `href="`+want+`"`); found != (want != "") {
			t.Errorf("%q: %s not as expected in %s", words, want, problem(results))
		}
	}
}
