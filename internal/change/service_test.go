package change_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"tocsin/internal/change"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type rights map[kit.Use]bool

func (r rights) Require(_ context.Context, use kit.Use, _ ...kit.Role) error {
	if r[use] {
		return nil
	}
	return kit.Forbidden(string(use), "")
}

func TestRecord(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		s := change.New(d, rights{"change.record": true, "change.see": true})
		ctx := kit.WithActor(t.Context(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Via: kit.ViaWeb})
		for i, c := range []change.Change{
			{Service: "payments", Summary: "Deploy 1.2.3", VersionTo: "1.2.3"},
			{Service: "search", Summary: "Reindex", At: d.Now().Add(-time.Hour), Reversible: "no", Emergency: true},
		} {
			got, err := s.Record(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{"CHG-1", "CHG-2"}[i]; got.Ref != want || got.State != "deployed" {
				t.Fatalf("got %+v, want %s", got, want)
			}
		}
		facts, err := l.Facts(ctx, ledger.Filter{})
		if err != nil || len(facts) != 2 || facts[0].Type != "change.recorded" || facts[1].Subject.Ref != "CHG-2" {
			t.Fatalf("facts %+v, %v", facts, err)
		}
		recent, err := s.Recent(ctx, []string{"payments", "search"}, d.Now().Add(-time.Minute))
		if err != nil || len(recent) != 1 || recent[0].Ref != "CHG-1" {
			t.Fatalf("recent %+v, %v", recent, err)
		}
		for _, ref := range []string{"chg-2", "2", "CHG-2"} {
			if c, err := s.Get(ctx, ref); err != nil || c.Summary != "Reindex" || c.Reversible != "no" || !c.Emergency {
				t.Fatalf("get %s: %+v, %v", ref, c, err)
			}
		}
		if _, err := s.Get(ctx, "CHG-3"); kit.CodeOf(err) != kit.CodeNotFound {
			t.Fatalf("unknown reference: %v", err)
		}
		p1, err := s.List(ctx, "", kit.Page{Limit: 1})
		if err != nil || p1.Total != 2 || len(p1.Items) != 1 || p1.Items[0].Ref != "CHG-2" {
			t.Fatalf("first page %+v, %v", p1, err)
		}
		p2, err := s.List(ctx, "", kit.Page{Limit: 1, Cursor: p1.Next})
		if err != nil || len(p2.Items) != 1 || p2.Items[0].Ref != "CHG-1" || p2.Next != "" {
			t.Fatalf("second page %+v, %v", p2, err)
		}
		if _, err := s.Record(ctx, change.Change{Summary: " ", Service: "No Slug", Reversible: "maybe"}); len(kit.AsError(err).Fields) != 3 {
			t.Fatalf("want three wrong fields: %v", err)
		}
		none := change.New(d, rights{})
		if _, err := none.Record(ctx, change.Change{Summary: "x"}); kit.CodeOf(err) != kit.CodeForbidden {
			t.Fatalf("without the right: %v", err)
		}
	})
}

// A deployment is told in steps, twice, and out of order: it stays one change.
func TestRecordByKey(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		s := change.New(d, rights{"change.see": true})
		ctx := kit.WithActor(t.Context(), kit.Actor{Kind: kit.ActorSource, ID: "gh", Via: kit.ViaIngest})
		for n, step := range []struct{ source, state, want string }{
			{"gh", "running", "running"},
			{"gh", "deployed", "deployed"},
			{"gh", "running", "deployed"},
			{"gh", "deployed", "deployed"},
			{"gh", "failed", "failed"},
			{"other", "running", "running"},
		} {
			c, err := s.Record(ctx, change.Change{Source: step.source, Key: "7", Summary: "Deploy", State: step.state})
			if err != nil || c.State != step.want || (c.Ref == "CHG-1") != (step.source == "gh") {
				t.Fatalf("step %d: %+v, %v", n, c, err)
			}
		}
		facts, err := l.Facts(ctx, ledger.Filter{})
		var types []string
		for _, f := range facts {
			types = append(types, f.Type)
		}
		if want := []string{"change.recorded", "change.finished", "change.finished", "change.recorded"}; err != nil || !slices.Equal(types, want) {
			t.Fatalf("%v, %v", types, err)
		}
	})
}
