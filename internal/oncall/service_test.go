package oncall_test

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
	"tocsin/internal/holiday"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/oncall"
)

// Monday, 11:00 in Paris: ana is primary, bob secondary.
var monday = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// house is a fake of everything that on-call asks of others.
type house struct {
	mu          sync.Mutex
	unreachable map[string]bool
	onLeave     map[string]bool
	leave       map[string][]oncall.Span
	commander   []string
	denied      map[kit.Use]bool
	policies    map[string]string
	asked       []oncall.Question
}

func (h *house) Require(_ context.Context, use kit.Use, _ ...kit.Role) error {
	if h.denied[use] {
		return kit.Forbidden(string(use), "manager")
	}
	return nil
}

var everybody = []string{"ana", "bob", "camille", "denis", "eve", "paul", "lina"}

func (h *house) States(_ context.Context, ids []string, _ time.Time) (map[string]oncall.PersonState, error) {
	out := map[string]oncall.PersonState{}
	for _, id := range ids {
		if slices.Contains(everybody, id) {
			out[id] = oncall.PersonState{Name: strings.ToUpper(id[:1]) + id[1:], OnLeave: h.onLeave[id], Leave: h.leave[id]}
		}
	}
	return out, nil
}

func (h *house) Team(_ context.Context, id string) ([]string, bool, error) {
	return []string{"eve", "lina"}, id == "ops", nil
}

func (h *house) Zone(context.Context) (string, error) { return "Europe/Paris", nil }

func (h *house) Holidays(context.Context) (holiday.Calendar, error) {
	return holiday.New("FR", nil), nil
}

func (h *house) Reachable(_ context.Context, people []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, p := range people {
		out[p] = !h.unreachable[p]
	}
	return out, nil
}

func (h *house) Methods(context.Context, string, string) ([]oncall.Method, error) {
	return []oncall.Method{{Method: "hook"}, {Method: "mail", After: oncall.Duration(2 * time.Minute)}}, nil
}

func (h *house) Appointed(_ context.Context, role kit.Role) ([]string, error) {
	return h.commander, nil
}

func (h *house) Policy(_ context.Context, service string) (string, error) {
	return h.policies[service], nil
}

func (h *house) Duration(_ context.Context, name string) (time.Duration, error) {
	v, ok := map[string]time.Duration{"P.still": 20 * time.Minute, "P.resume": 5 * time.Minute, "P.stale": 24 * time.Hour}[name]
	if !ok {
		return 0, fmt.Errorf("parameter %s", name)
	}
	return v, nil
}

func (h *house) AskStill(_ context.Context, q oncall.Question) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, q)
	return nil
}

// bench is the module on a database, with a worker and a clock moved by hand.
type bench struct {
	t     *testing.T
	d     *db.DB
	l     *ledger.Ledger
	s     *oncall.Service
	h     *house
	w     *due.Worker
	clock *dbtest.Clock
	ctx   context.Context
	seen  int64
}

func each(t *testing.T, fn func(b *bench)) {
	t.Helper()
	clock := dbtest.NewClock(monday)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(monday)
		h := &house{commander: []string{"camille", "denis"}, policies: map[string]string{}}
		b := &bench{t: t, d: d, h: h, l: ledger.New(d), clock: clock, w: due.NewWorker(d)}
		b.s = oncall.New(b.l, oncall.Ports{Rights: h, People: h, Reach: h, Appointments: h, Services: h, Parameters: h, Asker: h})
		b.w.Register(b.s.Tasks()...)
		b.ctx = kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "eve", Name: "Eve", Via: kit.ViaWeb})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.w.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("worker: %v", err)
			}
		})
		fn(b)
	})
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) forward(d time.Duration) {
	b.t.Helper()
	b.clock.Advance(d)
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	b.must(b.w.Idle(ctx))
}

// facts gives the facts since the last call, each as a short line.
func (b *bench) facts() []string {
	b.t.Helper()
	list, err := b.l.Facts(b.ctx, ledger.Filter{After: b.seen})
	b.must(err)
	var out []string
	for _, f := range list {
		b.seen = f.Seq
		line := strings.TrimPrefix(f.Type, "ladder.")
		switch f.Type {
		case "ladder.step_run":
			var r oncall.StepRun
			b.must(f.Decode(&r))
			line = fmt.Sprintf("%d.%d", r.Round, r.Step)
			if r.Kind != oncall.KindStep {
				line += " " + r.Kind
			}
			for _, p := range r.People {
				line += " " + p.Person
			}
			for _, s := range r.Skipped {
				line += " !" + s.Person + ":" + s.Reason
			}
		case "ladder.answered", "ladder.stopped", "ladder.resumed", "ladder.exhausted":
			var e struct{ By, Reason string }
			b.must(json.Unmarshal(f.Body, &e))
			line += " " + e.By + " " + e.Reason
		}
		out = append(out, line)
	}
	return out
}

func (b *bench) want(want ...string) {
	b.t.Helper()
	if got := b.facts(); !slices.Equal(got, want) {
		b.t.Fatalf("facts\n got %q\nwant %q", got, want)
	}
}

func week(people ...string) []oncall.Rotation {
	return []oncall.Rotation{{People: people, Start: "2026-01-05T09:00", Shift: "1w"}}
}

func (b *bench) schedules() {
	b.t.Helper()
	for _, sc := range []oncall.Schedule{
		{ID: "primary", Rotations: week("ana")},
		{ID: "secondary", Rotations: week("bob")},
	} {
		_, err := b.s.SaveSchedule(b.ctx, sc)
		b.must(err)
	}
	b.facts()
}

func (b *bench) start(severity string) string {
	b.t.Helper()
	id, err := b.s.StartLadder(b.ctx, oncall.Start{Incident: "i1", Ref: "INC-1", Title: "Payments", Severity: severity, Reason: "declared"})
	b.must(err)
	return id
}

func TestLadderRunsThroughToExhausted(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		id := b.start("sev2")
		b.want("started", "1.1 ana")
		l, err := b.s.Ladder(b.ctx, id)
		b.must(err)
		if l.State != oncall.Running || l.Round != 1 || l.Step != 1 || !l.NextAt.Equal(monday.Add(5*time.Minute)) || l.Policy != "default" {
			t := b.t
			t.Fatalf("%+v", l)
		}
		n, err := b.s.Next(b.ctx, id)
		b.must(err)
		if len(n.People) != 1 || n.People[0] != (oncall.Person{ID: "bob", Name: "Bob"}) || !n.At.Equal(monday.Add(5*time.Minute)) || n.Step != 2 {
			b.t.Fatalf("%+v", n)
		}
		b.forward(5*time.Minute - time.Second)
		b.want()
		b.forward(time.Second)
		b.want("1.2 bob")
		b.forward(5 * time.Minute)
		b.want("1.3 camille")
		for _, w := range []string{"2.1 ana", "2.2 bob", "2.3 camille", "2.4 succession camille", "2.5 succession denis", "2.6 everyone ana bob camille denis", "2.7 last_resort"} {
			b.forward(5 * time.Minute)
			b.want(w)
		}
		b.forward(5 * time.Minute)
		b.want("exhausted  nobody_answered")
		open, err := b.s.OpenLadders(b.ctx)
		b.must(err)
		if len(open) != 1 || open[0].State != oncall.Exhausted || !open[0].NextAt.IsZero() {
			b.t.Fatalf("%+v", open)
		}
		b.must(b.s.AnsweredIncident(b.ctx, "i1", "denis"))
		b.want("answered denis declared")
	})
}

func TestAnswerStops(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		id := b.start("sev3")
		b.facts()
		b.must(b.s.Answered(b.ctx, id, "ana"))
		b.must(b.s.Answered(b.ctx, id, "bob"))
		b.want("answered ana declared")
		b.forward(3 * time.Hour)
		b.want()
		list, err := b.s.Ladders(b.ctx, "i1")
		b.must(err)
		if len(list) != 1 || list[0].State != oncall.Answered || list[0].AnsweredBy != "ana" || !list[0].AnsweredAt.Equal(monday) || len(b.h.asked) != 0 {
			b.t.Fatalf("%+v, asked %v", list, b.h.asked)
		}
	})
}

func TestRefusedAndUnreachableHasten(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		id := b.start("sev2")
		b.facts()
		b.must(b.s.Refused(b.ctx, oncall.Outcome{Ladder: id, Person: "bob"}))
		b.want()
		b.must(b.s.Refused(b.ctx, oncall.Outcome{Ladder: id, Person: "ana", Round: 1, Step: 1}))
		b.want("1.2 bob")
		b.must(b.s.Unreachable(b.ctx, oncall.Outcome{Ladder: id, Person: "ana", Round: 1, Step: 1}))
		b.want()
		b.must(b.s.Unreachable(b.ctx, oncall.Outcome{Incident: "i1", Person: "bob"}))
		b.want("1.3 camille")
		// The distances after it are kept.
		b.forward(5*time.Minute - time.Second)
		b.want()
		b.forward(time.Second)
		b.want("2.1 ana")
	})
}

func TestStepWithoutReachablePersonPassesAtOnce(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.h.unreachable = map[string]bool{"ana": true}
		b.h.onLeave = map[string]bool{"bob": true}
		b.start("")
		b.want("started", "1.1 !ana:unreachable", "1.2 !bob:on_leave", "1.3 camille")
		b.forward(5 * time.Minute)
		b.want("2.1 !ana:unreachable", "2.2 !bob:on_leave", "2.3 camille")
	})
}

func TestNobodyAtAllIsExhaustedAtOnceButForTheLastResort(t *testing.T) {
	each(t, func(b *bench) {
		b.h.commander = nil
		b.start("sev1")
		b.want("started", "1.1 !:nobody_on_duty", "1.2 !:nobody_on_duty", "1.3 !:nobody_appointed",
			"2.1 !:nobody_on_duty", "2.2 !:nobody_on_duty", "2.3 !:nobody_appointed",
			"2.4 everyone !:nobody_on_duty !:nobody_on_duty !:nobody_appointed", "2.5 last_resort")
		b.forward(5 * time.Minute)
		b.want("exhausted  nobody_answered")
	})
}

func TestSeverities(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.start("sev1")
		b.want("started", "1.1 ana", "1.2 bob")
		b.forward(10 * time.Minute)
		b.want("1.3 camille")
		b.must(b.s.Stop(b.ctx, "i1", "closed"))
		b.want("stopped eve closed")
		b.forward(time.Hour)
		b.want()

		in := oncall.Start{Incident: "i2", Ref: "INC-2", Title: "Disk", Severity: "sev4"}
		id, err := b.s.StartLadder(b.ctx, in)
		b.must(err)
		list, err := b.s.Ladders(b.ctx, "i2")
		b.must(err)
		if id != "" || len(list) != 0 {
			b.t.Fatalf("sev4 started %q %v", id, list)
		}
		b.forward(time.Hour)
		b.want()
		b.must(b.s.Raise(b.ctx, "i2", "sev3"))
		b.want("started", "1.1 ana")
		b.must(b.s.Raise(b.ctx, "i2", "sev1"))
		b.want("1.2 bob")
		b.must(b.s.Raise(b.ctx, "i2", "sev4"))
		b.want("stopped  lowered")
		b.forward(time.Hour)
		b.want()

		// What ended asleep does not wake.
		in.Incident = "i3"
		_, err = b.s.StartLadder(b.ctx, in)
		b.must(err)
		b.must(b.s.Stop(b.ctx, "i3", "cancelled"))
		b.must(b.s.Raise(b.ctx, "i3", "sev1"))
		b.want()
	})
}

func TestStillOnIt(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		id := b.start("sev2")
		b.must(b.s.Answered(b.ctx, id, "ana"))
		b.facts()
		b.forward(15 * time.Minute)
		b.must(b.s.Active(b.ctx, "i1", "bob"))
		b.must(b.s.Active(b.ctx, "i1", "ana"))
		b.forward(10 * time.Minute)
		if len(b.h.asked) != 0 {
			b.t.Fatalf("asked too early: %+v", b.h.asked)
		}
		b.forward(10 * time.Minute)
		if len(b.h.asked) != 1 || b.h.asked[0].Person != "ana" || !b.h.asked[0].Until.Equal(b.clock.Now().Add(5*time.Minute)) {
			b.t.Fatalf("asked: %+v", b.h.asked)
		}
		// Here: the question comes back only after another silence.
		b.must(b.s.Active(b.ctx, "i1", ""))
		b.forward(5 * time.Minute)
		b.want()
		b.forward(15 * time.Minute)
		if len(b.h.asked) != 2 {
			b.t.Fatalf("asked: %+v", b.h.asked)
		}
		b.forward(5 * time.Minute)
		b.want("resumed ana silent", "1.2 bob")
		b.must(b.s.Answered(b.ctx, id, "bob"))
		b.want("answered bob declared")
		if took, err := b.s.Checked(b.ctx, "i1", "ana", false); err != nil || took {
			b.t.Fatalf("an answer of somebody who has not got it: %v, %v", took, err)
		}
		b.want()
		_, err := b.s.Checked(b.ctx, "i1", "bob", false)
		b.must(err)
		b.want("resumed bob not_here", "1.3 camille")
		// Here after all: it is theirs again.
		if took, err := b.s.Checked(b.ctx, "i1", "bob", true); err != nil || !took {
			b.t.Fatalf("back: %v, %v", took, err)
		}
		b.want("answered bob declared")
		b.must(b.s.Stop(b.ctx, "i1", "closed"))
		b.facts()
		b.forward(2 * time.Hour)
		b.want()
	})
}

// The step after a silence says who was silent since when, and one after the last
// begins again as a further round.
func TestResumedStepsNameTheSilent(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		id, err := b.s.PageSomeone(b.ctx, oncall.Start{Incident: "i1", Ref: "INC-1", Severity: "sev1"}, "paul")
		b.must(err)
		b.want("started", "1.1 paul")
		b.forward(5 * time.Minute)
		b.want("2.1 paul")
		b.forward(5 * time.Minute)
		b.want("2.2 succession camille")
		b.forward(5 * time.Minute)
		b.want("2.3 succession denis")
		took := b.clock.Now()
		b.must(b.s.Answered(b.ctx, id, "denis"))
		b.want("answered denis page_someone")
		b.forward(20 * time.Minute)
		b.forward(5 * time.Minute)
		b.want("resumed denis silent", "3.1 paul")
		list, err := b.l.Facts(b.ctx, ledger.Filter{Types: []string{"ladder.step_run"}, Newest: true, Limit: 1})
		b.must(err)
		var step oncall.StepRun
		b.must(list[0].Decode(&step))
		if s := step.Silent; s == nil || s.Person != "denis" || !s.TookAt.Equal(took) || !s.Since.Equal(took) || s.Reason != "silent" {
			b.t.Fatalf("%+v", s)
		}
	})
}

// One person whose only method fails is asked once per round, not in all rounds at
// the same instant; what a step leaves out stands in its fact.
func TestNobodyIsAskedTwiceAtOnce(t *testing.T) {
	each(t, func(b *bench) {
		b.h.commander = []string{"camille"}
		start := b.clock.Now()
		fails := func(round, step int) {
			b.t.Helper()
			b.must(b.s.Unreachable(b.ctx, oncall.Outcome{Incident: "i1", Person: "camille", Round: round, Step: step}))
		}
		b.start("sev2")
		b.want("started", "1.1 !:nobody_on_duty", "1.2 !:nobody_on_duty", "1.3 camille")
		fails(1, 3)
		b.want("2.1 !:nobody_on_duty", "2.2 !:nobody_on_duty")
		fails(1, 3)
		b.want()
		b.forward(5 * time.Minute)
		b.want("2.3 camille")
		fails(2, 3)
		b.want("2.4 succession !camille:already_paged", "2.5 everyone !:nobody_on_duty !:nobody_on_duty !camille:already_paged", "2.6 last_resort")
		b.forward(5 * time.Minute)
		b.want("exhausted  nobody_answered")
		if got := b.clock.Now().Sub(start); got != 10*time.Minute {
			b.t.Errorf("exhausted after %s", got)
		}
	})
}

// A ladder that informs is neither answered by who takes the incident nor takes it.
func TestInform(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.start("sev1")
		b.facts()
		id, err := b.s.Inform(b.ctx, oncall.Start{Incident: "i1", Ref: "INC-1", Severity: "sev1", Reason: "management_unseen"}, []string{"camille", "denis"}, 5*time.Minute)
		b.must(err)
		b.want("started", "1.1 camille")
		b.must(b.s.AnsweredIncident(b.ctx, "i1", "ana"))
		b.want("answered ana declared")
		b.forward(5 * time.Minute)
		b.want("1.2 denis")
		b.must(b.s.Known(b.ctx, "i1", "denis"))
		b.want("answered denis management_unseen")
		l, err := b.s.Ladder(b.ctx, id)
		b.must(err)
		if l.State != oncall.Answered || !l.Informs {
			b.t.Errorf("%+v", l)
		}
		b.forward(15 * time.Minute)
		if len(b.h.asked) != 1 || b.h.asked[0].Person != "ana" {
			b.t.Errorf("asked %+v", b.h.asked)
		}
	})
}

func TestOneQuestionForSeveralLadders(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.start("sev2")
		b.clock.Advance(time.Second)
		newest := b.start("sev2")
		b.must(b.s.AnsweredIncident(b.ctx, "i1", "ana"))
		b.forward(20 * time.Minute)
		if len(b.h.asked) != 1 || b.h.asked[0].Ladder != newest {
			b.t.Fatalf("asked: %+v", b.h.asked)
		}
	})
}

// A reaction that fails takes its ladder with it, due rows and facts included.
func TestStartJoinsTheTransaction(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		broken := errors.New("broken")
		err := b.d.Write(b.ctx, func(ctx context.Context, _ *db.Tx) error {
			if _, err := b.s.StartLadder(ctx, oncall.Start{Incident: "i1", Severity: "sev2"}); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			b.t.Fatal(err)
		}
		b.forward(time.Hour)
		b.want()
		list, err := b.s.Ladders(b.ctx, "i1")
		b.must(err)
		if len(list) != 0 {
			b.t.Fatalf("%+v", list)
		}
	})
}

func TestStepRunHoldsAllThatPagingNeeds(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		id := b.start("sev2")
		list, err := b.l.Facts(b.ctx, ledger.Filter{Types: []string{"ladder.step_run"}})
		b.must(err)
		if len(list) != 1 || list[0].Incident != "i1" || list[0].Subject != (ledger.Subject{Kind: "ladder", ID: id, Ref: "INC-1"}) {
			b.t.Fatalf("%+v", list)
		}
		want := `{"ref":"INC-1","title":"Payments","severity":"sev2","policy":"default","round":1,"step":1,"kind":"step",` +
			`"targets":["schedule:primary"],"people":[{"person":"ana","target":"schedule:primary","why":{"kind":"rotation","layer":1,"position":1,"of":1}}]}`
		if string(list[0].Body) != want {
			b.t.Fatalf("%s", list[0].Body)
		}
	})
}

func TestStaleLadderPagesNobody(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.start("sev2")
		b.facts()
		b.forward(25 * time.Hour)
		b.want("stopped  stale")
	})
}

func TestALateStepKeepsTheTimeToAnswer(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		b.start("sev2")
		b.facts()
		b.forward(time.Hour)
		b.want("1.2 bob")
		b.forward(5 * time.Minute)
		b.want("1.3 camille")
	})
}

func TestPolicyOfTheServiceWithWhenRoundRobinAndHours(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		gap := oncall.Duration(time.Minute)
		_, err := b.s.SavePolicy(b.ctx, oncall.Policy{
			ID: "web", Repeat: 1, RoundGap: &gap,
			Steps: []oncall.Step{
				{Page: []string{"team:ops", "channel:chat"}, RoundRobin: true},
				{After: gap, Page: []string{"person:denis"}, When: `incident.severity == "sev1"`},
				{After: gap, Page: []string{"person:paul"}, When: `incident.kind == "security"`},
			},
			ServiceHours: &oncall.ServiceHours{Days: []string{"mon", "tue"}, Hours: []string{"12:00-18:00"}},
		})
		b.must(err)
		b.want("policy.changed")
		b.h.policies["shop"] = "web"
		start := func(incident, severity string) {
			_, err := b.s.StartLadder(b.ctx, oncall.Start{Incident: incident, Severity: severity, Kind: "security", Services: []string{"other", "shop"}})
			b.must(err)
		}
		start("i1", "")
		b.want("started", "1.1 eve")
		start("i2", "sev2")
		b.want("started", "1.1 lina")
		b.must(b.s.Stop(b.ctx, "i1", "x"))
		b.must(b.s.Stop(b.ctx, "i2", "x"))
		b.facts()
		start("i3", "sev3")
		b.want("started")
		b.forward(59 * time.Minute)
		b.want()
		b.forward(time.Minute)
		b.want("1.1 eve")
		b.forward(time.Minute)
		b.want("1.2 paul")
	})
}

func TestPageSomeone(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		in := oncall.Start{Incident: "i1", Ref: "INC-1", Severity: "sev4"}
		_, err := b.s.PageSomeone(b.ctx, in, "nobody")
		if kit.CodeOf(err) != kit.CodeInvalid {
			b.t.Fatalf("unknown person: %v", err)
		}
		id, err := b.s.PageSomeone(b.ctx, in, "paul", "team:ops")
		b.must(err)
		b.want("started", "1.1 paul eve lina")
		b.must(b.s.Answered(b.ctx, id, "lina"))
		b.want("answered lina page_someone")
		_, err = b.s.StartLadder(b.ctx, oncall.Start{Incident: "i2", OnlyPerson: "paul", Exercise: true})
		b.must(err)
		b.want("started", "1.1 paul")
		b.forward(5 * time.Minute)
		b.want("exhausted  nobody_answered")
		b.h.denied = map[kit.Use]bool{"page.someone": true}
		if _, err = b.s.PageSomeone(b.ctx, in, "paul"); kit.CodeOf(err) != kit.CodeForbidden {
			b.t.Fatalf("without the right: %v", err)
		}
	})
}
