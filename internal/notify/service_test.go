package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/due"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
)

// 2026-11-23, 03:14 in Paris.
var start = time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)

type words struct{}

func (words) T(lang, key string, args map[string]any) string { return i18n.T(lang, key, args) }

func (words) Time(lang string, t time.Time, zone *time.Location, now time.Time) string {
	return i18n.Time(lang, t, zone, now)
}

type people map[string]notify.Person

func (p people) Known(_ context.Context, ids []string) (map[string]notify.Person, error) {
	out := map[string]notify.Person{}
	for _, id := range ids {
		if x, ok := p[id]; ok {
			out[id] = x
		}
	}
	return out, nil
}

type anybody struct{}

func (anybody) Require(ctx context.Context, use kit.Use, _ ...kit.Role) error {
	if a := kit.ActorFrom(ctx); a.Access == kit.AccessViewer && use == "settings.see" {
		return kit.Forbidden(string(use), "manager")
	}
	return nil
}

// sender keeps what it is given and does what it is told to.
type sender struct {
	mu   sync.Mutex
	got  []notify.Message
	fail func(n int, m notify.Message) error
}

func (s *sender) Send(_ context.Context, m notify.Message) (notify.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
	if s.fail != nil {
		if err := s.fail(len(s.got), m); err != nil {
			return notify.Result{}, err
		}
	}
	return notify.Result{ProviderID: "p-" + m.ID}, nil
}

func (s *sender) messages() []notify.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

type house struct {
	t           *testing.T
	d           *db.DB
	clock       *dbtest.Clock
	s           *notify.Service
	w           *due.Worker
	hook, email *sender
	ctx         context.Context
}

func open(t *testing.T, d *db.DB, clock *dbtest.Clock) *house {
	clock.Set(start)
	ledger.New(d)
	h := &house{t: t, d: d, clock: clock, hook: &sender{}, email: &sender{}}
	h.ctx = kit.WithActor(context.Background(), kit.System(kit.ViaDue))
	h.s = notify.New(d, notify.Ports{
		Rights: anybody{}, Words: words{}, Key: []byte("0123456789abcdef0123456789abcdef"),
		BaseURL: func() string { return "https://tocsin.example.com" },
		People: people{
			"ana":  {ID: "ana", Name: "Ana Lopez", Email: "ana@example.com", Language: "en", Timezone: "Europe/Paris"},
			"paul": {ID: "paul", Name: "Paul Roux", Email: "paul@example.com", Language: "fr", Timezone: "Europe/Paris"},
			"mute": {ID: "mute", Name: "Mute", Language: "en", Timezone: "Europe/Paris"},
		},
		Senders: map[string]notify.Sender{"webhook": h.hook, "email": h.email},
	})
	h.w = due.NewWorker(d)
	h.w.Register(h.s.Tasks()...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = h.w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

func (h *house) as(person string) context.Context {
	return kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: person, Name: person, Via: kit.ViaWeb, Access: kit.AccessResponder})
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) idle() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	h.must(h.w.Idle(ctx))
}

// pass lets time go in steps, with everything due done at each, and before the
// first: a clock that jumps while a message is being sent ends its lease.
func (h *house) pass(total, step time.Duration) {
	h.t.Helper()
	h.idle()
	for ; total > 0; total -= step {
		h.clock.Advance(min(step, total))
		h.idle()
	}
}

func (h *house) methods(person string) {
	h.t.Helper()
	h.must(h.s.SaveMethod(h.ctx, person, notify.Method{ID: "hook", Kind: "webhook", To: "http://127.0.0.1:9900/page"}))
	h.must(h.s.SetRules(h.ctx, person, []notify.Rule{{Method: "hook"}, {After: 2 * time.Minute, Method: "mail"}}))
}

func incident(n int) notify.Open {
	return notify.Open{
		Ladder: fmt.Sprintf("ladder-%d", n), Step: 1, Round: 1, Incident: fmt.Sprintf("incident-%d", n), Ref: fmt.Sprintf("INC-%d", n), Severity: "sev2",
		Title: "high error rate", Service: "payments", ServiceName: kit.Text{FR: "Paiement", EN: "Payments"}, Since: start.Add(-2 * time.Minute),
		People: []notify.Asked{{Person: "ana", Duty: "primary"}}, Alerts: []notify.Alert{{DedupKey: fmt.Sprintf("a-%d", n), Title: fmt.Sprintf("alert %d", n)}},
		NextPerson: "paul", NextAt: start.Add(3 * time.Minute),
	}
}

// types gives the types of all facts about an incident, in order.
func (h *house) types(incident string) []string {
	h.t.Helper()
	rows, err := h.d.Read(context.Background()).QueryContext(context.Background(), `SELECT type FROM fact WHERE incident = ? ORDER BY seq`, incident)
	h.must(err)
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		h.must(rows.Scan(&s))
		out = append(out, s)
	}
	return out
}

func (h *house) want(incident string, want ...string) {
	h.t.Helper()
	if got := h.types(incident); !slices.Equal(got, want) {
		h.t.Fatalf("facts %v\nwant  %v", got, want)
	}
}

type pageBody struct {
	Type string
	Data struct {
		Incident, Ref, Severity, Title, Service, Person string
		Step, Attempt                                   int
		Alerts                                          []notify.Alert
		AckURL                                          string `json:"ack_url"`
		Key                                             string `json:"idempotency_key"`
		Incidents                                       []struct{ Ref string }
	}
}

func body(t *testing.T, m notify.Message) pageBody {
	t.Helper()
	var b pageBody
	if err := json.Unmarshal(m.Body, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func (h *house) page(person string) notify.Page {
	h.t.Helper()
	l, err := h.s.Pages(h.ctx, notify.Filter{Person: person})
	h.must(err)
	if len(l.Items) == 0 {
		h.t.Fatal("no page")
	}
	return l.Items[0]
}

func each(t *testing.T, fn func(h *house)) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) { fn(open(t, d, clock)) })
}

func TestPageAndAnswer(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		o := incident(1)
		h.must(h.s.OpenPages(h.ctx, o))
		h.must(h.s.OpenPages(h.ctx, o))
		h.idle()
		got := h.hook.messages()
		if len(got) != 1 || len(h.email.messages()) != 0 {
			h.t.Fatalf("%d webhooks, %d e-mails at once", len(got), len(h.email.messages()))
		}
		b := body(h.t, got[0])
		if b.Type != "page" || b.Data.Incident != "incident-1" || b.Data.Ref != "INC-1" || b.Data.Severity != "sev2" || b.Data.Title != "high error rate" ||
			b.Data.Service != "payments" || b.Data.Person != "ana" || b.Data.Step != 1 || b.Data.Attempt != 1 || b.Data.Key != got[0].ID ||
			!slices.Equal(b.Data.Alerts, []notify.Alert{{DedupKey: "a-1", Title: "alert 1"}}) {
			h.t.Fatalf("body %s", got[0].Body)
		}
		h.pass(2*time.Minute, time.Minute)
		mails := h.email.messages()
		if len(mails) != 1 || mails[0].To != "ana@example.com" {
			h.t.Fatalf("mails %v", mails)
		}
		token := b.Data.AckURL[strings.LastIndexByte(b.Data.AckURL, '/')+1:]
		v, err := h.s.PageByToken(context.Background(), token)
		h.must(err)
		if v.Kind != "page" || v.Page.State != "open" || v.Page.NextPerson.Name != "Paul Roux" || v.AlertCount != 1 {
			h.t.Fatalf("view %+v", v)
		}
		for range 2 {
			h.must(h.s.AnswerByToken(context.Background(), token, true, kit.ViaEmail))
		}
		if err := h.s.AnswerByToken(context.Background(), token, false, kit.ViaEmail); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Fatalf("refusing after accepting: %v", err)
		}
		if err := h.s.AnswerByToken(context.Background(), token+"x", true, kit.ViaEmail); kit.CodeOf(err) != kit.CodeNotFound {
			h.t.Fatalf("wrong token: %v", err)
		}
		h.want("incident-1", "page.opened", "delivery.sent", "delivery.sent", "page.acknowledged", "delivery.confirmed")
		if p := h.page("ana"); p.State != "acknowledged" || p.Method != "email" || p.AnsweredAt.Sub(p.OpenedAt) != 2*time.Minute {
			h.t.Fatalf("page %+v", p)
		}
	})
}

func TestGiveBack(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		token := tokenOf(h.t, h.hook.messages()[0])
		back := func() error { return h.s.GiveBack(context.Background(), token, kit.ViaWeb) }
		if err := back(); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Fatalf("given back before it was taken: %v", err)
		}
		h.must(h.s.AnswerByToken(context.Background(), token, true, kit.ViaWeb))
		for range 2 {
			h.must(back())
		}
		v, err := h.s.PageByToken(context.Background(), token)
		h.must(err)
		if v.Page.State != notify.PageIsAcknowledged || v.Page.EndedReason != notify.PageReturned || v.TakenBy.ID != "" {
			h.t.Errorf("%+v", v)
		}
		facts, err := ledger.New(h.d).Facts(h.ctx, ledger.Filter{Types: []string{"page.checked"}})
		h.must(err)
		var b notify.PageChecked
		if len(facts) != 1 || facts[0].Decode(&b) != nil || b != (notify.PageChecked{Person: "ana", Answer: notify.AnswerNotHere}) || facts[0].Actor.ID != "ana" {
			h.t.Fatalf("%+v", facts)
		}
		h.must(h.s.Over(h.ctx, "incident-1", "incident.closed"))
		if err := back(); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Errorf("given back after the end: %v", err)
		}
		if err := h.s.GiveBack(context.Background(), token+"x", kit.ViaWeb); kit.CodeOf(err) != kit.CodeNotFound {
			h.t.Errorf("wrong token: %v", err)
		}
	})
}

func TestAnswerEndsWhatWasPlanned(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		h.must(h.s.AnswerIncident(h.as("ana"), "incident-1", true))
		h.pass(10*time.Minute, time.Minute)
		if n := len(h.email.messages()); n != 0 {
			h.t.Fatalf("%d e-mails after the answer", n)
		}
		ds, err := h.s.Deliveries(h.ctx, "incident-1")
		h.must(err)
		if len(ds) != 1 || ds[0].State != notify.Confirmed || len(ds[0].Attempts) != 1 {
			h.t.Fatalf("deliveries %+v", ds)
		}
	})
}

func TestTaken(t *testing.T) {
	each(t, func(h *house) {
		o := incident(1)
		o.People = append(o.People, notify.Asked{Person: "paul"})
		h.must(h.s.OpenPages(h.ctx, o))
		h.idle()
		ana, paul := h.page("ana"), h.page("paul")
		if err := h.s.Answer(h.as("paul"), ana.ID, true); kit.CodeOf(err) != kit.CodeForbidden {
			h.t.Fatalf("another's page: %v", err)
		}
		h.must(h.s.Answer(h.as("ana"), ana.ID, true))
		taken := func(when string) {
			h.t.Helper()
			var e *kit.Error
			if err := h.s.Answer(h.as("paul"), paul.ID, true); !errors.As(err, &e) || e.Reason != "taken" || e.Args["name"] != "Ana Lopez" {
				h.t.Fatalf("%s: %v", when, err)
			}
		}
		taken("before the withdrawal")
		h.must(h.s.Withdraw(h.ctx, "incident-1", "ana", "answered"))
		taken("after it")
		h.must(h.s.Answer(h.as("ana"), ana.ID, true))
		h.want("incident-1", "page.opened", "page.opened", "delivery.sent", "delivery.sent", "page.acknowledged", "delivery.confirmed", "page.withdrawn")
	})
}

func TestRetries(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		var at []time.Duration
		h.hook.fail = func(int, notify.Message) error {
			at = append(at, h.clock.Now().Sub(start))
			return &notify.SendError{Err: errors.New("connection refused")}
		}
		h.email.fail = func(n int, _ notify.Message) error {
			return &notify.SendError{Permanent: true, Err: errors.New("no such mailbox")}
		}
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		if n := len(h.email.messages()); n != 1 {
			h.t.Fatalf("the next method did not start at once: %d", n)
		}
		h.pass(6*time.Minute, 5*time.Second)
		want := []time.Duration{0, 5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute, 5 * time.Minute}
		if !slices.Equal(at, want) {
			h.t.Fatalf("tries at %v, want %v", at, want)
		}
		ids := map[string]bool{}
		for _, m := range h.hook.messages() {
			ids[m.ID+string(m.Body)] = true
		}
		if len(ids) != 1 {
			h.t.Fatalf("the tries differ: %d", len(ids))
		}
		h.want("incident-1", "page.opened", "delivery.failed", "delivery.failed")
		all, err := h.s.Failed(h.ctx)
		h.must(err)
		if len(all) != 2 || all[0].Error == "" {
			h.t.Fatalf("failed %+v", all)
		}
		h.hook.fail = nil
		i := slices.IndexFunc(all, func(d notify.Delivery) bool { return d.Kind == "webhook" })
		h.must(h.s.Retry(h.ctx, all[i].ID))
		h.idle()
		if err := h.s.Retry(h.ctx, all[i].ID); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Fatalf("sent twice: %v", err)
		}
	})
}

func TestNobodyReachable(t *testing.T) {
	each(t, func(h *house) {
		o := incident(1)
		o.People = []notify.Asked{{Person: "mute"}}
		h.must(h.s.OpenPages(h.ctx, o))
		h.want("incident-1", "page.opened", "delivery.failed")
		ok, err := h.s.Reachable(h.ctx, "mute")
		h.must(err)
		if ok {
			h.t.Fatal("reachable")
		}
	})
}

func TestStorm(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		o := incident(1)
		o.Alerts = nil
		h.must(h.s.OpenPages(h.ctx, o))
		h.idle()
		const n = 1000
		for i := 0; i < n; i += 10 {
			var as []notify.Alert
			for j := range 10 {
				as = append(as, notify.Alert{DedupKey: fmt.Sprintf("k-%d", i+j), Title: fmt.Sprintf("disk %d", i+j)})
			}
			h.must(h.s.AddAlerts(h.ctx, "incident-1", as))
			h.clock.Advance(10 * time.Millisecond)
		}
		h.idle()
		h.pass(20*time.Second, 200*time.Millisecond)
		named := map[string]int{}
		got := h.hook.messages()
		for _, m := range got {
			for _, a := range body(h.t, m).Data.Alerts {
				named[a.DedupKey]++
			}
		}
		for i := range n {
			if c := named[fmt.Sprintf("k-%d", i)]; c != 1 {
				h.t.Fatalf("alert %d was named %d times", i, c)
			}
		}
		if len(got) > 40 {
			h.t.Fatalf("%d messages for one answer", len(got))
		}
	})
}

func TestStormOfIncidents(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		const n = 60
		for i := range n {
			o := incident(i)
			o.Service = fmt.Sprintf("service-%d", i%50)
			h.must(h.s.OpenPages(h.ctx, o))
		}
		h.idle()
		h.pass(20*time.Second, 200*time.Millisecond)
		named := map[string]int{}
		digest := false
		for _, m := range h.hook.messages() {
			b := body(h.t, m)
			digest = digest || len(b.Data.Incidents) > 1
			for _, a := range b.Data.Alerts {
				named[a.DedupKey]++
			}
		}
		if len(named) != n || !digest {
			h.t.Fatalf("%d of %d alerts named, digest %v", len(named), n, digest)
		}
		// Service 3 has two incidents and one answer.
		l, err := h.s.Pages(h.ctx, notify.Filter{Incident: "incident-3"})
		h.must(err)
		h.must(h.s.Answer(h.as("ana"), l.Items[0].ID, true))
		open, err := h.s.Pages(h.ctx, notify.Filter{State: "open", Page: kit.Page{Limit: 100}})
		h.must(err)
		if open.Total != n-2 {
			h.t.Fatalf("%d open", open.Total)
		}
	})
}

// A digest for several services that fails must not lose what it named.
func TestDigestFails(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		h.hook.fail = func(int, notify.Message) error { return nil }
		const n = 45
		for i := range n {
			o := incident(i)
			o.Service = fmt.Sprintf("service-%d", i)
			h.must(h.s.OpenPages(h.ctx, o))
		}
		h.hook.fail = func(_ int, m notify.Message) error {
			if len(body(h.t, m).Data.Incidents) > 1 {
				return &notify.SendError{Permanent: true, Err: errors.New("too large")}
			}
			return nil
		}
		h.idle()
		h.pass(90*time.Second, 500*time.Millisecond)
		named, digests := map[string]bool{}, 0
		for _, m := range append(h.hook.messages(), h.email.messages()...) {
			b := body(h.t, m)
			if len(b.Data.Incidents) > 1 && m.To != "ana@example.com" {
				digests++
				continue
			}
			for _, a := range b.Data.Alerts {
				named[a.DedupKey] = true
			}
		}
		if len(named) != n || digests == 0 {
			h.t.Fatalf("%d of %d alerts arrived, %d digests failed", len(named), n, digests)
		}
		h.must(h.s.IncidentChanged(h.ctx, "incident-3", "sev1", "worse", true))
		if p, err := h.s.Pages(h.ctx, notify.Filter{Incident: "incident-3"}); err != nil || p.Items[0].Severity != "sev1" || !p.Items[0].Confidential {
			h.t.Fatalf("%+v %v", p, err)
		}
	})
}

func TestQuietHours(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		h.must(h.s.SetQuiet(h.as("ana"), "ana", &notify.QuietHours{From: "22:00", To: "07:00"}))
		for i, o := range []struct {
			severity, duty string
			waits          bool
		}{{"sev3", "", true}, {"sev3", "primary", false}, {"sev2", "", false}, {"", "", false}, {"sev4", "", true}} {
			before := len(h.hook.messages())
			in := incident(i)
			in.Service, in.Severity, in.People = fmt.Sprint(i), o.severity, []notify.Asked{{Person: "ana", Duty: o.duty}}
			h.must(h.s.OpenPages(h.ctx, in))
			h.pass(time.Second, time.Second)
			if sent := len(h.hook.messages()) > before; sent == o.waits {
				h.t.Errorf("%+v: sent %v", o, sent)
			}
			h.must(h.s.Withdraw(h.ctx, in.Incident, "", "test"))
		}
		in := incident(9)
		in.Severity, in.People = "sev4", []notify.Asked{{Person: "ana"}}
		h.must(h.s.OpenPages(h.ctx, in))
		before := len(h.hook.messages())
		h.clock.Set(time.Date(2026, 11, 23, 6, 0, 1, 0, time.UTC))
		h.idle()
		if len(h.hook.messages()) != before+1 {
			h.t.Error("nothing left at 07:00")
		}
	})
}

func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		severity string
		facts    []string
		hooks    int
	}{
		{"sev2", []string{"page.opened", "delivery.in_doubt", "delivery.sent"}, 0},
		{"sev3", []string{"page.opened", "delivery.in_doubt", "delivery.sent"}, 1},
	} {
		t.Run(c.severity, func(t *testing.T) {
			clock := dbtest.NewClock(start)
			dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
				h := open(t, d, clock)
				h.methods("ana")
				h.hook.fail = func(n int, _ notify.Message) error {
					if n == 1 {
						// The worker never hears of this one.
						panic("the process died here")
					}
					return nil
				}
				o := incident(1)
				o.Severity = c.severity
				h.must(h.s.OpenPages(h.ctx, o))
				h.idle()
				h.pass(5*time.Second, time.Second)
				h.want("incident-1", c.facts...)
				if n := len(h.hook.messages()) - 1; n != c.hooks {
					t.Fatalf("%d repeated", n)
				}
				if n := len(h.email.messages()); n != 1-c.hooks {
					t.Fatalf("%d e-mails", n)
				}
			})
		})
	}
}

func TestConfidential(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		o := incident(1)
		o.Confidential, o.Title, o.ServiceName, o.Text = true, "leaked keys", kit.Both("Vault"), "call me"
		h.must(h.s.OpenPages(h.ctx, o))
		_, err := h.s.Notice(h.ctx, notify.Notice{Template: "management", People: []string{"ana"}, Incident: "incident-1", Ref: "INC-1", Severity: "sev1", Confidential: true, Args: map[string]any{"title": "leaked keys"}})
		h.must(err)
		h.pass(2*time.Minute, time.Minute)
		all := append(h.hook.messages(), h.email.messages()...)
		if len(all) != 3 {
			h.t.Fatalf("%d messages", len(all))
		}
		for _, m := range all {
			s := m.Subject + m.Text + m.HTML + string(m.Body)
			for _, word := range []string{"leaked", "Vault", "payments", "alert 1", "a-1", "call me"} {
				if strings.Contains(s, word) {
					h.t.Errorf("%q is told: %s", word, s)
				}
			}
			if !strings.Contains(s, "INC-1") {
				h.t.Errorf("no reference in %s", s)
			}
		}
		l, err := h.s.Pages(h.as("paul"), notify.Filter{})
		h.must(err)
		if len(l.Items) != 0 || l.Total != 0 {
			h.t.Errorf("paul sees %+v", l)
		}
		if _, err := h.s.Deliveries(h.as("paul"), "incident-1"); kit.CodeOf(err) != kit.CodeNotFound {
			h.t.Errorf("paul sees deliveries: %v", err)
		}
	})
}

func TestStale(t *testing.T) {
	each(t, func(h *house) {
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		h.clock.Advance(24*time.Hour + time.Second)
		h.idle()
		h.want("incident-1", "page.opened", "delivery.sent", "page.unanswered")
	})
}

func TestNoticeSeen(t *testing.T) {
	each(t, func(h *house) {
		id, err := h.s.Notice(h.ctx, notify.Notice{Template: "commander", People: []string{"paul", "paul"}, Incident: "incident-1", Ref: "INC-1", Severity: "sev2", Args: map[string]any{"title": "paiement lent"}})
		h.must(err)
		h.idle()
		got := h.email.messages()
		if len(got) != 1 || !strings.Contains(got[0].Subject, "vous êtes commandant") || got[0].References == "" {
			h.t.Fatalf("%+v", got)
		}
		i := strings.Index(got[0].Text, "/a/")
		token, _, _ := strings.Cut(got[0].Text[i+3:], "\n")
		v, err := h.s.PageByToken(context.Background(), token)
		h.must(err)
		if v.Kind != "notice" || !v.Seen.IsZero() {
			h.t.Fatalf("%+v", v)
		}
		h.must(h.s.AnswerByToken(context.Background(), token, true, kit.ViaWeb))
		h.must(h.s.Seen(h.as("paul"), id))
		ns, err := h.s.Notices(h.ctx, "incident-1")
		h.must(err)
		if len(ns) != 1 || ns[0].Seen["paul"].IsZero() {
			h.t.Fatalf("%+v", ns)
		}
		h.want("incident-1", "notice.queued", "delivery.sent", "notice.seen", "delivery.confirmed")
	})
}

// tokenOf finds the token of the link in a message.
func tokenOf(t *testing.T, m notify.Message) string {
	t.Helper()
	i := strings.Index(m.Text, "/a/")
	if i < 0 {
		t.Fatalf("no link in %q", m.Text)
	}
	token, _, _ := strings.Cut(m.Text[i+3:], "\n")
	return token
}

// A question goes by the methods of a page, is answered by one tap, and once answered
// is asked by no further method.
func TestQuestion(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		pages, err := h.s.Pages(h.ctx, notify.Filter{Person: "ana"})
		h.must(err)
		page := pages.Items[0].ID
		if err := h.s.Still(h.as("ana"), page, true); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Fatalf("answered before it was taken: %v", err)
		}
		h.must(h.s.Answer(h.as("ana"), page, true))
		ask := func() string {
			id, err := h.s.Notice(h.ctx, notify.Notice{
				Template: "still", People: []string{"ana"}, Incident: "incident-1", Ref: "INC-1", Severity: "sev2", Urgent: true, Question: true,
				Args: map[string]any{"title": "slow", "until": h.clock.Now().Add(5 * time.Minute)},
			})
			h.must(err)
			h.idle()
			return id
		}
		before := len(h.hook.messages())
		ask()
		got := h.hook.messages()
		if len(got) != before+1 || !strings.Contains(got[before].Text, "Are you still on it?") {
			h.t.Fatalf("%d messages, %+v", len(got), got)
		}
		token := tokenOf(h.t, got[before])
		v, err := h.s.PageByToken(context.Background(), token)
		h.must(err)
		if v.Kind != "question" || v.Answer != "" || v.Page.Ref != "INC-1" {
			h.t.Fatalf("%+v", v)
		}
		if open, err := h.s.Questions(h.ctx, "ana"); err != nil || len(open) != 1 {
			h.t.Fatalf("%+v, %v", open, err)
		}
		mails := len(h.email.messages())
		for range 2 {
			h.must(h.s.AnswerByToken(context.Background(), token, true, kit.ViaWeb))
		}
		h.clock.Advance(10 * time.Minute)
		h.idle()
		if n := len(h.email.messages()); n != mails {
			h.t.Errorf("asked by %d more mails after the answer", n-mails)
		}
		// No after yes is another answer; a further question closes the one before.
		h.must(h.s.AnswerByToken(context.Background(), token, false, kit.ViaWeb))
		second := ask()
		if err := h.s.AnswerByToken(context.Background(), token, true, kit.ViaWeb); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Errorf("an old question was answered: %v", err)
		}
		h.must(h.s.AnswerQuestion(h.as("ana"), second, true))
		if err := h.s.AnswerQuestion(h.as("paul"), second, true); kit.CodeOf(err) != kit.CodeNotFound {
			h.t.Errorf("a question of somebody else was answered: %v", err)
		}
		facts, err := ledger.New(h.d).Facts(h.ctx, ledger.Filter{Types: []string{"page.checked"}})
		h.must(err)
		var answers []string
		for _, f := range facts {
			var b notify.PageChecked
			h.must(f.Decode(&b))
			if f.Subject != (ledger.Subject{Kind: "page", ID: page}) || f.Incident != "incident-1" || f.Actor.ID != "ana" {
				h.t.Errorf("%+v", f)
			}
			answers = append(answers, b.Answer)
		}
		if want := []string{"here", "not_here", "here"}; !slices.Equal(answers, want) {
			h.t.Errorf("answers %v, want %v", answers, want)
		}
		third := ask()
		h.must(h.s.Over(h.ctx, "incident-1", "incident.cancelled"))
		if err := h.s.AnswerQuestion(h.as("ana"), third, true); kit.CodeOf(err) != kit.CodeConflict {
			h.t.Errorf("a question about what is over was answered: %v", err)
		}
	})
}

func TestNoticeUnseen(t *testing.T) {
	each(t, func(h *house) {
		tell := func(incident string) string {
			id, err := h.s.Notice(h.ctx, notify.Notice{
				Template: "management", People: []string{"ana", "paul"}, Incident: incident, Ref: "INC-1", Severity: "sev1", UnseenAfter: 15 * time.Minute,
				Args: map[string]any{"title": "slow"},
			})
			h.must(err)
			h.idle()
			return id
		}
		seen := tell("seen")
		unseen := tell("unseen")
		tell("over")
		h.must(h.s.Seen(h.as("paul"), seen))
		h.must(h.s.Over(h.ctx, "over", "incident.cancelled"))
		h.clock.Advance(15 * time.Minute)
		h.idle()
		facts, err := ledger.New(h.d).Facts(h.ctx, ledger.Filter{Types: []string{"notice.unseen"}})
		h.must(err)
		var b notify.NoticeUnseen
		if len(facts) != 1 || facts[0].Incident != "unseen" || facts[0].Subject.ID != unseen || facts[0].Decode(&b) != nil || b.AfterS != 900 || len(b.People) != 2 {
			h.t.Fatalf("%+v %+v", facts, b)
		}
	})
}

// Knowing of an incident is not taking it, and who takes it leaves those to be told.
func TestPagesThatInform(t *testing.T) {
	each(t, func(h *house) {
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		o := incident(1)
		o.Ladder, o.Informs, o.People = "ladder-informs", true, []notify.Asked{{Person: "paul"}, {Person: "ana"}}
		h.must(h.s.OpenPages(h.ctx, o))
		states := func() string {
			l, err := h.s.Pages(h.ctx, notify.Filter{})
			h.must(err)
			var out []string
			for _, p := range l.Items {
				out = append(out, fmt.Sprintf("%s:%v:%s", p.Person.ID, p.Informs, p.State))
			}
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		h.must(h.s.Acknowledged(h.ctx, "incident-1", "ana"))
		if got := states(); got != "ana:false:acknowledged ana:true:open paul:true:open" {
			h.t.Fatal(got)
		}
		h.must(h.s.AnswerIncident(h.as("ana"), "incident-1", true))
		h.must(h.s.WithdrawInforming(h.ctx, "incident-1", "ana"))
		if got := states(); got != "ana:false:acknowledged ana:true:acknowledged paul:true:withdrawn" {
			h.t.Fatal(got)
		}
	})
}

// Pages that belong to no incident are apart from each other.
func TestPagesWithoutAnIncident(t *testing.T) {
	each(t, func(h *house) {
		for n := range 2 {
			h.must(h.s.OpenPages(h.ctx, notify.Open{Ladder: fmt.Sprint("loose-", n), Step: 1, Round: 1, Title: "Come, please", People: []notify.Asked{{Person: "ana"}, {Person: "paul"}}}))
		}
		l, err := h.s.Pages(h.ctx, notify.Filter{Person: "ana", Ladder: "loose-0"})
		h.must(err)
		h.must(h.s.Answer(h.as("ana"), l.Items[0].ID, true))
		h.must(h.s.WithdrawLadder(h.ctx, "loose-0", "ana", "answered"))
		open, err := h.s.Pages(h.ctx, notify.Filter{State: notify.PageIsOpen})
		h.must(err)
		if len(open.Items) != 2 || open.Items[0].Ladder != "loose-1" || open.Items[1].Ladder != "loose-1" {
			h.t.Fatalf("%+v", open.Items)
		}
	})
}

// Words follow the reader: the service by its name, the silent holder with the times.
func TestWordsOfAResumedPage(t *testing.T) {
	each(t, func(h *house) {
		o := incident(1)
		o.Silent = &notify.Silent{Person: "ana", TookAt: start.Add(-26 * time.Minute), Since: start.Add(-20 * time.Minute), Reason: "silent"}
		o.People = []notify.Asked{{Person: "paul"}}
		h.must(h.s.OpenPages(h.ctx, o))
		h.idle()
		got := h.email.messages()[0]
		if !strings.Contains(got.Subject, "Paiement") || !strings.Contains(got.Text, "Ana Lopez l’a pris à 02:48 et ne donne plus signe depuis 02:54.") {
			h.t.Errorf("%s\n%s", got.Subject, got.Text)
		}
	})
}

func TestMethodsAndTest(t *testing.T) {
	each(t, func(h *house) {
		ms, err := h.s.Methods(h.as("ana"), "ana")
		h.must(err)
		if len(ms) != 1 || !ms[0].Default || ms[0].To != "ana@example.com" {
			h.t.Fatalf("%+v", ms)
		}
		if err := h.s.SaveMethod(h.as("ana"), "ana", notify.Method{ID: "sms", Kind: "sms", To: "0600"}); kit.CodeOf(err) != kit.CodeInvalid {
			h.t.Fatalf("bad number: %v", err)
		}
		h.methods("ana")
		_, err = h.s.SendTest(h.as("ana"), "ana", "hook")
		h.must(err)
		h.idle()
		var b struct {
			Type string
			Data struct {
				AckURL string `json:"ack_url"`
			}
		}
		h.must(json.Unmarshal(h.hook.messages()[0].Body, &b))
		if b.Type != "test" {
			h.t.Fatalf("%+v", b)
		}
		h.clock.Advance(time.Minute)
		h.must(h.s.AnswerByToken(context.Background(), b.Data.AckURL[strings.LastIndexByte(b.Data.AckURL, '/')+1:], true, kit.ViaWeb))
		ms, err = h.s.Methods(h.as("ana"), "ana")
		h.must(err)
		i := slices.IndexFunc(ms, func(m notify.Method) bool { return m.ID == "hook" })
		if len(ms) != 2 || ms[i].VerifiedAt.IsZero() || ms[i].Stale {
			h.t.Fatalf("%+v", ms)
		}
		tests, err := h.s.LastTests(h.as("paul"), []string{"ana", "paul"})
		h.must(err)
		if !tests["ana"].At.Equal(ms[i].TestedAt) || tests["ana"].Stale || !tests["paul"].At.IsZero() || !tests["paul"].Stale {
			h.t.Fatalf("%+v", tests)
		}
		h.hook.fail = func(int, notify.Message) error { return &notify.SendError{Gone: true, Err: errors.New("410")} }
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		if ms, _ = h.s.Methods(h.as("ana"), "ana"); ms[i].Disabled != "gone" || len(h.email.messages()) != 1 {
			h.t.Fatalf("%+v", ms)
		}
		h.must(h.s.RemoveMethod(h.as("ana"), "ana", "hook"))
		if rs, _ := h.s.Rules(h.as("ana"), "ana"); len(rs) != 1 {
			h.t.Fatalf("rules %+v", rs)
		}
	})
}

func TestApply(t *testing.T) {
	each(t, func(h *house) {
		defs := []notify.Definition{{
			Path: "people[0]", Person: "ana", Methods: []notify.Method{{ID: "hook", Kind: "webhook", To: "http://127.0.0.1:9900/"}, {ID: "mail", Kind: "email", To: "ana@example.com"}},
			Notify: []notify.Rule{{Method: "hook"}, {After: time.Minute, Method: "mail", Severities: []string{"sev1"}}}, Quiet: &notify.QuietHours{From: "22:00", To: "07:00"},
		}}
		apply := func(defs []notify.Definition, prune bool) (ops string) {
			h.t.Helper()
			h.must(h.d.Write(h.ctx, func(ctx context.Context, tx *db.Tx) error {
				cs, err := h.s.Apply(ctx, tx, defs, prune)
				for _, c := range cs {
					ops += c.Section + ":" + c.Op + " "
				}
				return err
			}))
			return ops
		}
		if got := apply(defs, true); got != "contact_methods:create contact_methods:create notify:change quiet_hours:change " {
			h.t.Error(got)
		}
		if got := apply(defs, true); got != "contact_methods:keep " {
			h.t.Error(got)
		}
		bare := []notify.Definition{{Path: "people[0]", Person: "ana"}}
		if got := apply(bare, false); got != "contact_methods:keep " {
			h.t.Error(got)
		}
		if got := apply(bare, true); got != "contact_methods:remove contact_methods:remove notify:change quiet_hours:change " {
			h.t.Error(got)
		}
		defs[0].Notify[0].Method = "nothing"
		err := h.d.Write(h.ctx, func(ctx context.Context, tx *db.Tx) error { _, err := h.s.Apply(ctx, tx, defs, true); return err })
		if e := kit.AsError(err); e == nil || len(e.Fields) != 1 || e.Fields[0].Path != "people[0].notify[0].method" {
			h.t.Errorf("%v", err)
		}
	})
}
