package continuity_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type allow struct{}

func (allow) Require(context.Context, kit.Use, ...kit.Role) error { return nil }

func TestApply(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		s := continuity.New(d, allow{})
		ctx := kit.WithActor(context.Background(), kit.System(kit.ViaApply))
		payments := continuity.Definition{ID: "payments", Name: kit.Text{FR: "Paiement", EN: "Payments"}, Tier: "critical"}
		database := continuity.Definition{ID: "database"}
		apply := func(prune bool, defs ...continuity.Definition) []string {
			t.Helper()
			var out []string
			err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
				changes, err := s.Apply(ctx, tx, defs, prune)
				for _, c := range changes {
					out = append(out, c.Op+" "+c.ID+" "+c.Detail)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		check := func(got []string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
		check(apply(false, payments, database), "create payments ", "create database ")
		check(apply(false, payments, database), "keep payments ", "keep database ")
		payments.Public, payments.Tier = true, "important"
		check(apply(false, payments), "change payments public, tier")
		check(apply(true, payments), "keep payments ", "remove database ")
		if _, ok, err := s.Find(ctx, "database"); ok || err != nil {
			t.Errorf("retired service found: %v", err)
		}
		got, ok, err := s.Find(ctx, "payments")
		if err != nil || !ok || got.Title("fr") != "Paiement" || !got.Public {
			t.Errorf("%+v, %v", got, err)
		}
		facts, err := l.Facts(ctx, ledger.Filter{})
		if err != nil || len(facts) != 4 {
			t.Errorf("facts: %d, %v", len(facts), err)
		}
		err = d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := s.Apply(ctx, tx, []continuity.Definition{{ID: "Bad Id", Tier: "gold"}}, false)
			return err
		})
		if e := kit.AsError(err); e == nil || e.Code != kit.CodeInvalid || len(e.Fields) != 2 {
			t.Errorf("bad definition: %v", err)
		}
	})
}
