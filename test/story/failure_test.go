package story_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"tocsin/internal/app"
	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// unreadable is the fact of a step whose body no reaction can read.
type unreadable struct {
	Step string `json:"step"`
}

func (unreadable) FactType() string { return "ladder.step_run" }

// TestFailedPagingIsNeverSilence: a reaction of the paging path that cannot be done is
// passed over, and people hear of it by two ways of their own.
func TestFailedPagingIsNeverSilence(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		id := h.declare("sev3")
		h.message("ana", isPage)
		h.settle()
		fail := func() {
			err := h.app.DB().Write(kit.WithActor(t.Context(), kit.System(kit.ViaDue)), func(ctx context.Context, tx *db.Tx) error {
				return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "ladder", ID: kit.NewID()}, Incident: id, Body: unreadable{Step: "first"}})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		fail()
		told := h.message("camille", template("failure"))
		if !strings.Contains(told.Data.Text, "Card payments fail") {
			t.Errorf("management: %s", told.Data.Text)
		}
		h.message("camille", isPage)
		// Many failures of one cause are told once.
		fail()
		fail()
		h.eventually("recorded", func() bool { return count(h.types(id), "reaction.failed") == 3 })
		h.settle()
		if n := count(h.types(id), "notice.queued"); n != 1 {
			t.Errorf("%d notices, want one", n)
		}
		failed, err := h.app.Ledger().FailedReactions(ctx, h.clock.Now().Add(-1))
		if err != nil || len(failed) != 3 || failed[0].Consumer != "paging" || failed[0].Type != "ladder.step_run" || failed[0].Incident != id {
			t.Fatalf("%+v, %v", failed, err)
		}
		resp, err := http.Get(h.app.BaseURL() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		raw, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(raw), `tocsin_reactions_failed_total{consumer="paging"} 3`) {
			t.Errorf("the metric is missing: %v", err)
		}
		// The path works on.
		second := h.declare("sev2")
		h.eventually("the next incident pages", func() bool { return count(h.types(second), "page.opened") > 0 })
	})
}

// TestPageWithoutAnIncident calls somebody by hand about nothing that is declared.
func TestPageWithoutAnIncident(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		if code := h.call("POST", "/api/v1/pages", map[string]any{"to": []string{"ana", "paul"}, "text": "Please come to the data centre"}, nil); code != http.StatusCreated {
			t.Fatalf("page: %d", code)
		}
		p := h.message("ana", isPage)
		h.message("paul", isPage)
		h.press(p.Data.AckURL, "accept")
		h.eventually("the others are stood down", func() bool {
			return count(h.types(""), "page.acknowledged") == 1 && count(h.types(""), "page.withdrawn") == 1 && count(h.types(""), "ladder.answered") == 1
		})
		if n := count(h.types(""), "reaction.failed"); n != 0 {
			t.Error("a reaction failed")
		}
	})
}
