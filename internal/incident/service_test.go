package incident_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// house stands for the other modules.
type house struct{ deny map[kit.Use]bool }

func (h house) Require(ctx context.Context, use kit.Use, _ ...kit.Role) error {
	if h.deny[use] {
		return kit.Forbidden(string(use), "admin")
	}
	return nil
}

func (house) OnDuty(_ context.Context, r kit.Role, _ time.Time) (string, error) {
	return map[kit.Role]string{kit.RolePrimary: "lina", kit.RoleSecondary: "paul"}[r], nil
}

func (house) Appointed(_ context.Context, r kit.Role, _ time.Time) ([]string, error) {
	return map[kit.Role][]string{kit.RoleCommander: {"camille", "denis"}, kit.RoleCommunications: {"ines"}}[r], nil
}

func (house) Active(_ context.Context, p string) (bool, error) {
	return slices.Contains([]string{"lina", "paul", "camille", "denis", "ines", "ana"}, p), nil
}

func (house) Limit(_ context.Context, name string) (time.Duration, error) {
	return map[string]time.Duration{"P.assess": 30 * time.Minute, "P.review.high": 240 * time.Hour, "P.review.low": 480 * time.Hour, "P.effect": 720 * time.Hour}[name], nil
}
func (house) Levels(context.Context) (incident.Overrides, error) { return nil, nil }
func (house) Zone(context.Context) (*time.Location, error)       { return time.LoadLocation("Europe/Paris") }

func person(id string, roles ...kit.Role) context.Context {
	return kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: id, Name: strings.ToUpper(id), Via: kit.ViaWeb, Access: kit.AccessResponder, Appointments: roles})
}

type bench struct {
	t     *testing.T
	s     *incident.Service
	l     *ledger.Ledger
	clock *dbtest.Clock
	seen  int64
}

func setup(t *testing.T, d *db.DB, clock *dbtest.Clock) *bench {
	l := ledger.New(d)
	h := house{}
	return &bench{t: t, s: incident.New(l, h, h, h, h, h), l: l, clock: clock}
}

// facts gives the types of the facts since the last call.
func (b *bench) facts() []string {
	b.t.Helper()
	list, err := b.l.Facts(context.Background(), ledger.Filter{After: b.seen})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, f := range list {
		out = append(out, f.Type)
		b.seen = f.Seq
	}
	return out
}

func (b *bench) want(types ...string) {
	b.t.Helper()
	if diff := cmp.Diff(types, b.facts()); diff != "" {
		b.t.Errorf("facts: %s", diff)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var start = time.Date(2026, 11, 23, 2, 12, 0, 0, time.UTC)

func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		fn(t, setup(t, d, clock))
	})
}

func TestFivePhases(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		lina, camille := person("lina"), person("camille", kit.RoleCommander)
		i := must(b.s.Declare(lina, incident.Declaration{Title: "  Payments fail  ", Impact: incident.ImpactDegraded, Services: []string{"payments"}}))(t)
		if i.Ref() != "INC-1" || i.Title != "Payments fail" || i.Severity != incident.Sev3 || i.Phase != incident.Detection {
			t.Fatalf("%+v", i)
		}
		b.want("incident.declared", "incident.severity_changed", "incident.role_assigned", "incident.role_assigned", "incident.role_assigned", "incident.role_assigned")
		b.clock.Advance(70 * time.Second)
		i = must(b.s.Acknowledge(lina, "1"))(t)
		if i.Phase != incident.Assessment || !i.AcknowledgedAt.Equal(start.Add(70*time.Second)) || i.AcknowledgedBy != "lina" {
			t.Fatalf("%+v", i)
		}
		b.want("incident.acknowledged", "incident.phase_changed")
		must(b.s.Acknowledge(lina, "INC-1"))(t)
		b.want()
		i = must(b.s.Assess(lina, "inc-1", incident.Answers{Who: "some", What: "main", Data: "no", Trend: "stable", Change: "none"}, nil, "", ""))(t)
		if i.Severity != incident.Sev2 || i.DecidedBy != incident.LineService {
			t.Fatalf("%+v", i)
		}
		b.want("incident.assessed", "incident.severity_changed")
		must(b.s.Phase(lina, "INC-1", incident.Containment, nil, ""))(t)
		i = must(b.s.Phase(lina, "INC-1", incident.Recovery, map[string]any{"stopped": "yes", "checked_by": "paul"}, ""))(t)
		if i.ContainedAt.IsZero() {
			t.Error("contained_at is not set")
		}
		b.want("incident.phase_changed", "incident.phase_changed")
		task := must(b.s.AddTask(lina, "INC-1", "Add a check before migration", "paul", time.Time{}))(t)
		if task.State != "open" {
			t.Fatal(task)
		}
		due0 := b.clock.Now().Add(time.Hour)
		must(b.s.ChangeTask(lina, "INC-1", task.ID, incident.TaskChange{Due: &due0}))(t)
		must(b.s.ChangeTask(lina, "INC-1", task.ID, incident.TaskChange{Due: &due0}))(t)
		b.clock.Advance(time.Hour)
		i = must(b.s.Phase(lina, "INC-1", incident.InReview, map[string]any{"normal": "yes"}, ""))(t)
		if i.RecoveredAt.IsZero() || i.RestoredAt.IsZero() {
			t.Errorf("%+v", i)
		}
		b.want("task.created", "task.assigned", "action.created", "incident.phase_changed", "review.created")
		r := must(b.s.Review(lina, "INC-1"))(t)
		if want := time.Date(2026, 12, 3, 22, 59, 59, 0, time.UTC); !r.Due.Equal(want) || len(r.Actions) != 1 || r.State != incident.ReviewDraft {
			t.Fatalf("due %s, %+v", r.Due, r)
		}
		if _, err := b.s.Phase(camille, "INC-1", incident.PhaseClosed, nil, ""); kit.AsError(err) == nil || kit.AsError(err).Reason != "review_not_approved" {
			t.Errorf("closing without a review: %v", err)
		}
		_, err := b.s.ApproveReview(camille, "INC-1")
		if e := kit.AsError(err); e == nil || e.Code != kit.CodeInvalid || len(e.Fields) != 2 {
			t.Fatalf("approval must ask for a factor and the date: %v", err)
		}
		must(b.s.SaveReview(lina, "INC-1", incident.ReviewContent{Factors: []incident.Factor{{Text: "The migration locked the table"}}, WentWell: "Found in 2 min"}))(t)
		due := "2026-12-15"
		must(b.s.ChangeAction(lina, "ACT-1", incident.ActionEdit{Due: &due}))(t)
		must(b.s.SubmitReview(lina, "INC-1"))(t)
		b.want("review.changed", "action.changed", "review.submitted")
		must(b.s.Phase(lina, "INC-1", incident.Containment, nil, "It fails again"))(t)
		b.want("incident.phase_changed", "review.reopened")
		if r = must(b.s.Review(lina, "INC-1"))(t); r.State != incident.ReviewDraft || r.Version != 1 {
			t.Errorf("the review of an incident that went back: %+v", r)
		}
		must(b.s.Phase(lina, "INC-1", incident.InReview, nil, "Fixed at last"))(t)
		must(b.s.SubmitReview(lina, "INC-1"))(t)
		b.want("incident.phase_changed", "review.submitted")
		r = must(b.s.ApproveReview(camille, "INC-1"))(t)
		if diff := cmp.Diff([]string{"no_effectiveness_method", "no_risk_link"}, r.Exceptions); diff != "" {
			t.Error(diff)
		}
		b.want("review.approved")
		i = must(b.s.Phase(camille, "INC-1", incident.PhaseClosed, nil, ""))(t)
		if i.Status != incident.StatusClosed || i.ClosedAt.IsZero() {
			t.Fatalf("%+v", i)
		}
		b.want("incident.phase_changed", "incident.closed")
		if _, err := b.s.Cancel(lina, "INC-1", "no"); kit.CodeOf(err) != kit.CodeConflict {
			t.Errorf("cancelling a closed incident: %v", err)
		}
		must(b.s.Note(lina, "INC-1", "One more thing", time.Time{}, ""))(t)
		i = must(b.s.Reopen(camille, "INC-1", "It is back"))(t)
		if i.Phase != incident.Recovery || !i.ClosedAt.IsZero() || !i.RecoveredAt.IsZero() {
			t.Fatalf("%+v", i)
		}
		b.want("incident.noted", "incident.reopened", "review.reopened")
		if r = must(b.s.Review(lina, "INC-1"))(t); r.Version != 2 || r.State != incident.ReviewDraft || r.WentWell != "Found in 2 min" || r.Approver != "" {
			t.Errorf("the review of a reopened incident: %+v", r)
		}
		done := must(b.s.FinishAction(lina, "ACT-1", "CHG-9"))(t)
		if done.CheckOn != "2026-12-23" {
			t.Errorf("check on %s", done.CheckOn)
		}
		if _, err := b.s.CheckAction(lina, "ACT-1", "effective", ""); kit.CodeOf(err) != kit.CodeConflict {
			t.Errorf("checked by the same person: %v", err)
		}
		must(b.s.CheckAction(camille, "ACT-1", "effective", "no lock since"))(t)
		rep, err := b.l.Verify(context.Background(), ledger.VerifyOptions{})
		if err != nil || !rep.OK() {
			t.Errorf("%+v, %v", rep, err)
		}
	})
}

func TestAlertsJoinOneIncident(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		rule := kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorRule, ID: "paging", Via: kit.ViaDue})
		alert := func(n int, service string) incident.AlertOpened {
			return incident.AlertOpened{Alert: fmt.Sprintf("a%d", n), Title: "Target down", Service: service, Route: "default", GroupKey: "payments", Window: 10 * time.Minute, Severity: incident.Sev3}
		}
		first := must(b.s.FromAlert(rule, alert(1, "payments")))(t)
		if first.Joined || first.Incident.Ref() != "INC-1" {
			t.Fatalf("%+v", first)
		}
		second := must(b.s.FromAlert(rule, alert(2, "payments")))(t)
		if !second.Joined || second.Pages || second.Incident.ID != first.Incident.ID {
			t.Fatalf("%+v", second)
		}
		if again := must(b.s.FromAlert(rule, alert(2, "payments")))(t); !again.Joined || again.Incident.OpenAlerts != 2 {
			t.Fatalf("the same alert twice: %+v", again.Incident)
		}
		worse := alert(3, "database")
		worse.Severity = incident.Sev1
		third := must(b.s.FromAlert(rule, worse))(t)
		if !third.Joined || !third.Pages || third.Incident.Severity != incident.Sev1 {
			t.Fatalf("%+v", third.Incident)
		}
		for n := 1; n <= 3; n++ {
			last := must(b.s.AlertEnded(rule, fmt.Sprintf("a%d", n)))(t)
			if (last != nil) != (n == 3) {
				t.Errorf("alert %d ended: %v", n, last)
			}
		}
		i := must(b.s.Get(rule, "INC-1"))(t)
		if !i.ProposesRestored() || i.Phase != incident.Detection {
			t.Errorf("%+v", i)
		}
		b.clock.Advance(11 * time.Minute)
		if out := must(b.s.FromAlert(rule, alert(4, "payments")))(t); out.Joined || out.Incident.Ref() != "INC-2" {
			t.Fatalf("after the window: %+v", out.Incident)
		}
		// Fires again within the window of the recovery: it proposes reopening.
		must(b.s.AlertEnded(rule, "a4"))(t)
		must(b.s.Phase(person("lina"), "INC-2", incident.InReview, nil, "quick fix"))(t)
		b.clock.Advance(5 * time.Minute)
		again := must(b.s.FromAlert(rule, alert(5, "payments")))(t)
		if !again.Refired || again.Incident.Ref() != "INC-2" || !again.Incident.ProposesReopening() {
			t.Fatalf("%+v", again)
		}
		b.clock.Advance(30 * time.Minute)
		must(b.s.AlertEnded(rule, "a5"))(t)
		later := must(b.s.FromAlert(rule, alert(6, "payments")))(t)
		if later.Joined || later.Incident.Previous != again.Incident.ID {
			t.Fatalf("%+v", later.Incident)
		}
	})
}

func TestConfidentialIsHidden(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		camille, ana, lina := person("camille", kit.RoleCommander), person("ana"), person("lina")
		must(b.s.Declare(camille, incident.Declaration{Title: "Laptop stolen", DataOrSecurity: true, Confidential: true}))(t)
		must(b.s.Declare(ana, incident.Declaration{Title: "Mail is slow"}))(t)
		for name, c := range map[string]struct {
			ctx  context.Context
			sees bool
		}{"commander": {camille, true}, "role holder": {lina, true}, "anybody": {ana, false}, "token": {kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorToken, ID: "t", Access: kit.AccessAdmin}), false}} {
			list := must(b.s.List(c.ctx, incident.Filter{}, kit.Page{}))(t)
			if (len(list.Items) == 2) != c.sees || (list.Total == 2) != c.sees {
				t.Errorf("%s: list of %d, total %d", name, len(list.Items), list.Total)
			}
			_, err := b.s.Get(c.ctx, "INC-1")
			if (err == nil) != c.sees || err != nil && kit.CodeOf(err) != kit.CodeNotFound {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := b.s.Note(c.ctx, "INC-1", "hello", time.Time{}, ""); (err == nil) != c.sees {
				t.Errorf("%s notes: %v", name, err)
			}
		}
	})
}

func TestHandover(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		camille, denis, lina := person("camille", kit.RoleCommander), person("denis"), person("lina")
		must(b.s.Declare(lina, incident.Declaration{Title: "Disk is full"}))(t)
		b.facts()
		h := must(b.s.Offer(camille, "INC-1", kit.RoleCommander, "denis", "Situation: …"))(t)
		if _, err := b.s.AnswerHandover(lina, "INC-1", h.ID, true); kit.CodeOf(err) != kit.CodeForbidden {
			t.Errorf("accepted by another: %v", err)
		}
		i := must(b.s.AnswerHandover(denis, "INC-1", h.ID, true))(t)
		if i.Roles[kit.RoleCommander] != "denis" {
			t.Errorf("%v", i.Roles)
		}
		b.want("handover.offered", "handover.accepted", "incident.role_assigned")
		if _, err := b.s.AnswerHandover(denis, "INC-1", h.ID, false); kit.CodeOf(err) != kit.CodeConflict {
			t.Errorf("answered twice: %v", err)
		}
		if _, err := b.s.AssignRole(camille, "INC-1", kit.RoleSecondary, "lina"); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("primary and secondary the same: %v", err)
		}
		must(b.s.Take(lina, "INC-1", kit.RoleCommander, "Denis does not answer"))(t)
		b.want("incident.role_assigned")
	})
}

func TestMergeAndStale(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		lina := person("lina")
		must(b.s.Declare(lina, incident.Declaration{Title: "One", Services: []string{"a"}, Impact: incident.ImpactDegraded}))(t)
		b.clock.Advance(time.Minute)
		two := must(b.s.Declare(lina, incident.Declaration{Title: "Two", Services: []string{"b"}, Impact: incident.ImpactOutage}))(t)
		b.facts()
		i := must(b.s.Merge(lina, "INC-2", "INC-1"))(t)
		if i.Severity != incident.Sev1 || len(i.Services) != 2 || !i.DetectedAt.Equal(start) {
			t.Errorf("%+v", i)
		}
		b.want("incident.merged", "incident.merged", "incident.severity_changed")
		if _, err := b.s.Merge(lina, "INC-1", "INC-1"); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("into itself: %v", err)
		}
		title := "One, renamed"
		if _, err := b.s.Change(lina, "INC-1", incident.Edit{Title: &title}, 99); kit.CodeOf(err) != kit.CodeStale {
			t.Errorf("stale: %v", err)
		}
		must(b.s.Change(lina, "INC-1", incident.Edit{Title: &title}, i.Version))(t)
		if _, err := b.s.Get(lina, two.ID); err != nil {
			t.Error(err)
		}
		if list := must(b.s.Similar(lina, "renaming again, renamed", nil))(t); len(list) != 1 {
			t.Errorf("similar: %d", len(list))
		}
	})
}
