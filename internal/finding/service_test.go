package finding

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type may map[kit.Use]bool

func (m may) Require(_ context.Context, use kit.Use, _ ...kit.Role) error {
	if m[use] {
		return nil
	}
	return kit.Forbidden(string(use), "")
}

type fixedLimits struct{}

func (fixedLimits) Limits(context.Context) (Limits, error) {
	return Limits{Severity: High, Triage: 5, Fix: map[Severity]int{Critical: 7, High: 30}, Zone: time.UTC}, nil
}

type bench struct {
	*testing.T
	d      *db.DB
	l      *ledger.Ledger
	s      *Service
	worker *due.Worker
	source context.Context
	ana    context.Context
	n      int
}

func newBench(t *testing.T, d *db.DB) *bench {
	b := &bench{T: t, d: d, l: ledger.New(d), s: New(d, may{"finding.see": true, "finding.decide": true}, fixedLimits{}), worker: due.NewWorker(d)}
	b.worker.Register(b.s.Tasks()...)
	running, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.worker.Run(running) }()
	t.Cleanup(func() { stop(); <-done })
	b.source = kit.WithActor(t.Context(), kit.Actor{Kind: kit.ActorSource, ID: "scans", Via: kit.ViaIngest})
	b.ana = kit.WithActor(t.Context(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Via: kit.ViaWeb})
	return b
}

// report is of one tool and target, finished now.
func (b *bench) report(results ...Result) Report {
	r := Report{Format: "x", Verdict: Clean, Tool: Tool{Name: "t"}, Target: "a", Scopes: []Scope{{Tool: "t", Target: "a"}}}
	for _, f := range results {
		r.Verdict = Findings
		f.Tool, f.Target, f.Rule, f.Title = "t", "a", "rule-"+f.Key, "Title "+f.Key
		r.Findings = append(r.Findings, f)
	}
	return r
}

func (b *bench) receive(r Report) Received {
	b.Helper()
	b.n++
	out, err := b.s.Receive(b.source, Source{ID: "scans", Service: "payments"}, r, fmt.Sprint(b.n))
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func (b *bench) get(ref string) Finding {
	b.Helper()
	f, err := b.s.Get(b.ana, ref)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func (b *bench) types() (out []string) {
	b.Helper()
	facts, err := b.l.Facts(b.ana, ledger.Filter{})
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range facts {
		out = append(out, f.Type)
	}
	return out
}

var clockStart = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func TestLifeOfAFinding(t *testing.T) {
	clock := dbtest.NewClock(clockStart)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		b := newBench(t, d)
		first := b.report(Result{Key: "k1", Severity: Critical, CVE: []string{"CVE-2026-1"}}, Result{Key: "k2", Severity: Low})
		if r := b.receive(first); r.New != 2 || r.Findings != 2 || r.Fixed+r.Reopened+r.Unknown != 0 {
			t.Fatalf("first report %+v", r)
		}
		f := b.get("fnd-1")
		if f.State != StateOpen || f.Severity != Critical || !slices.Equal(f.CVE, []string{"CVE-2026-1"}) || f.Service != "payments" || f.Source != "scans" {
			t.Fatalf("%+v", f)
		}
		if day := clock.Now().Truncate(24 * time.Hour); !f.TriageAt.Equal(day.AddDate(0, 0, 6)) || !f.FixAt.Equal(day.AddDate(0, 0, 8)) || !b.get("2").FixAt.IsZero() {
			t.Fatalf("dates %v %v", f.TriageAt, f.FixAt)
		}
		if _, err := b.s.Decide(b.ana, "FND-1", Accept, "Until the supplier delivers", clock.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		// The next run says that the finding stands on another line: the decision stays.
		first.Findings[0].Line = 7
		if r := b.receive(first); r.New+r.Reopened+r.Fixed+r.Unknown != 0 {
			t.Fatalf("second report %+v", r)
		}
		if f = b.get("FND-1"); f.State != StateAccepted || f.Line != 7 || !f.SeenAt.Equal(kit.Truncate(clock.Now())) || f.DecidedBy != "ana" {
			t.Fatalf("after the second report %+v", f)
		}
		unknown := b.report()
		unknown.Verdict, unknown.Reason.Key = Unknown, "scan.reason.failed"
		if r := b.receive(unknown); r.Unknown != 2 || r.Fixed != 0 || r.Reason.Key == "" {
			t.Fatalf("unknown report %+v", r)
		}
		clock.Advance(48 * time.Hour)
		if err := b.worker.Idle(b.source); err != nil {
			t.Fatal(err)
		}
		if f = b.get("FND-1"); f.State != StateOpen {
			t.Fatalf("its acceptance has run out: %+v", f)
		}
		if r := b.receive(b.report(Result{Key: "k2", Severity: Low})); r.Fixed != 1 {
			t.Fatalf("a report without it %+v", r)
		}
		if f = b.get("FND-1"); f.State != StateFixed || !f.FixedAt.Equal(kit.Truncate(clock.Now())) {
			t.Fatalf("%+v", f)
		}
		if _, err := b.s.Decide(b.ana, "FND-1", Fix, "", time.Time{}); kit.CodeOf(err) != kit.CodeConflict {
			t.Fatalf("a decision on what is fixed: %v", err)
		}
		clock.Advance(time.Hour)
		if r := b.receive(first); r.Reopened != 1 || r.New != 0 {
			t.Fatalf("it is back: %+v", r)
		}
		if f = b.get("FND-1"); f.State != StateOpen || !f.FixedAt.IsZero() || !f.OpenedAt.Equal(kit.Truncate(clock.Now())) {
			t.Fatalf("%+v", f)
		}
		want := []string{
			"scan.received", "finding.opened", "finding.opened", "finding.decided", "scan.received", "scan.received", "finding.reopened",
			"scan.received", "finding.fixed", "scan.received", "finding.reopened",
		}
		if got := b.types(); !slices.Equal(got, want) {
			t.Fatalf("facts %v", got)
		}
	})
}

// A report whose sender did not hear the answer comes again and changes nothing; the
// same body after another report is news.
func TestTheSameReportAgain(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		b := newBench(t, d)
		r, clean := b.report(Result{Key: "k1", Severity: High}), b.report()
		for n, step := range []struct {
			report               Report
			sha                  string
			fresh, reopen, fixed int
			again                bool
		}{{r, "a", 1, 0, 0, false}, {r, "a", 0, 0, 0, true}, {clean, "b", 0, 0, 1, false}, {clean, "b", 0, 0, 0, true}, {r, "a", 0, 1, 0, false}} {
			got, err := b.s.Receive(b.source, Source{ID: "scans"}, step.report, step.sha)
			if err != nil || got.New != step.fresh || got.Reopened != step.reopen || got.Fixed != step.fixed || got.Again != step.again {
				t.Fatalf("step %d: %+v, %v", n, got, err)
			}
		}
		if n := len(b.types()); n != 6 {
			t.Fatalf("%d facts: %v", n, b.types())
		}
		// Another source has findings of its own.
		if got, err := b.s.Receive(b.source, Source{ID: "other"}, r, "a"); err != nil || got.New != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestDecisionsAreChecked(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		b := newBench(t, d)
		b.receive(b.report(Result{Key: "k1", Severity: High}))
		soon := d.Now().Add(time.Hour)
		for name, tt := range map[string]struct {
			d       Decision
			reason  string
			expires time.Time
			fields  []string
		}{
			"no such":        {"ignore", "x", time.Time{}, []string{"decision"}},
			"no reason":      {Mitigate, " ", time.Time{}, []string{"reason"}},
			"no end":         {Accept, "x", time.Time{}, []string{"expires"}},
			"in the past":    {Accept, "", d.Now().Add(-time.Hour), []string{"reason", "expires"}},
			"end of nothing": {FalsePositive, "x", soon, []string{"expires"}},
		} {
			_, err := b.s.Decide(b.ana, "FND-1", tt.d, tt.reason, tt.expires)
			var got []string
			for _, f := range kit.AsError(err).Fields {
				got = append(got, f.Path)
			}
			if !slices.Equal(got, tt.fields) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, step := range []struct {
			d    Decision
			want State
		}{{Fix, StateFixing}, {Mitigate, StateMitigated}, {FalsePositive, StateFalsePositive}} {
			if f, err := b.s.Decide(b.ana, "1", step.d, "x", time.Time{}); err != nil || f.State != step.want {
				t.Errorf("%s: %+v, %v", step.d, f, err)
			}
		}
		if _, err := b.s.Decide(b.ana, "FND-9", Fix, "", time.Time{}); kit.CodeOf(err) != kit.CodeNotFound {
			t.Errorf("unknown reference: %v", err)
		}
		none := New(d, may{}, fixedLimits{})
		if _, err := none.Decide(b.ana, "FND-1", Fix, "", time.Time{}); kit.CodeOf(err) != kit.CodeForbidden {
			t.Errorf("without the right: %v", err)
		}
		if _, err := none.List(b.ana, Filter{}, kit.Page{}); kit.CodeOf(err) != kit.CodeForbidden {
			t.Errorf("list without the right: %v", err)
		}
		if _, err := none.Receive(b.ana, Source{ID: "scans"}, b.report(), "x"); kit.CodeOf(err) != kit.CodeForbidden {
			t.Errorf("a report of a person without the right: %v", err)
		}
	})
}

func TestManyFindings(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		b := newBench(t, d)
		var all []Result
		for n := range 10_000 {
			all = append(all, Result{Key: fmt.Sprint("k", n), Severity: Medium, Location: fmt.Sprintf("src/%d.go", n)})
		}
		start := time.Now()
		if r := b.receive(b.report(all...)); r.New != 10_000 {
			t.Fatalf("%+v", r)
		}
		t.Logf("opened in %v", time.Since(start))
		for n := range all {
			all[n].Line = 1
		}
		start = time.Now()
		if r := b.receive(b.report(all...)); r.New+r.Fixed+r.Unknown != 0 {
			t.Fatalf("%+v", r)
		}
		t.Logf("moved in %v", time.Since(start))
		start = time.Now()
		if r := b.receive(b.report(all[:10]...)); r.Fixed != 9_990 {
			t.Fatalf("%+v", r)
		}
		t.Logf("fixed in %v", time.Since(start))
		p1, err := b.s.List(b.ana, Filter{State: StateOpen, Q: "rule-k3"}, kit.Page{})
		if err != nil || p1.Total != 1 || p1.Items[0].Ref != "FND-4" || p1.Items[0].Line != 1 {
			t.Fatalf("%+v, %v", p1, err)
		}
		p1, err = b.s.List(b.ana, Filter{State: StateOpen, Severity: Medium, Service: "payments", Source: "scans"}, kit.Page{Limit: 6})
		if err != nil || p1.Total != 10 || len(p1.Items) != 6 || p1.Items[0].Ref != "FND-10" {
			t.Fatalf("%+v, %v", p1, err)
		}
		p2, err := b.s.List(b.ana, Filter{State: StateOpen}, kit.Page{Limit: 6, Cursor: p1.Next})
		if err != nil || len(p2.Items) != 4 || p2.Items[3].Ref != "FND-1" || p2.Next != "" {
			t.Fatalf("%+v, %v", p2, err)
		}
		counts, err := b.s.Counts(b.ana, Filter{})
		if err != nil || counts[StateOpen] != 10 || counts[StateFixed] != 9_990 {
			t.Fatalf("%v, %v", counts, err)
		}
	})
}
