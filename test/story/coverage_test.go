package story_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// TestEmptyTurnsAreFound: a rotation of working days leaves the week-ends empty. It is
// found at once when the schedule is saved, each turn once however often it is looked at,
// and closed when somebody takes it; one whose time goes by stays as it was found.
func TestEmptyTurnsAreFound(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		apply := func(days, more string) {
			t.Helper()
			file := fmt.Sprintf("apiVersion: tocsin/v1\nschedules:\n  - {id: primary, rotations: [{people: [ana, paul], start: \"2026-01-05T09:00\", shift: 1w%s}]%s}\n", days, more)
			if _, err := h.app.Apply(ctx, []byte(file), kit.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			h.settle()
		}
		h.settle()
		if n := h.factsOf("coverage.gap_found"); n != 0 {
			t.Fatalf("%d empty turns where there is none", n)
		}
		apply(", days: [mon, tue, wed, thu, fri]", "")
		// Monday 23 November to 23 December: five week-ends, the last one not.
		if n := h.factsOf("coverage.gap_found"); n != 4 {
			t.Fatalf("%d empty turns found, want 4", n)
		}
		var found oncall.CoverageGapFound
		h.last("coverage.gap_found", &found)
		if found.Role != "primary" || found.To.Sub(found.From) != 48*time.Hour {
			t.Errorf("%+v", found)
		}
		ana := h.session("ana")
		if body := h.read(ana, "/", "fr"); !strings.Contains(body, "Personne n’est d’astreinte dans primary") {
			t.Error("Now does not say it")
		}
		// The next day one more comes into sight at most, and none is found twice.
		h.forward(25 * time.Hour)
		if n := h.factsOf("coverage.gap_found"); n > 5 {
			t.Errorf("%d found after a day", n)
		}
		// The first week-end goes by: it is not closed.
		h.forward(6 * 24 * time.Hour)
		if n := h.factsOf("coverage.gap_closed"); n != 0 {
			t.Errorf("%d closed by time", n)
		}
		before := h.factsOf("coverage.gap_found")
		apply("", "")
		open, err := h.app.Oncall.OpenGaps(ctx)
		if err != nil || len(open) != 0 || h.factsOf("coverage.gap_closed") < 3 || h.factsOf("coverage.gap_found") != before {
			t.Errorf("%d open, %d closed, %d found (%v)", len(open), h.factsOf("coverage.gap_closed"), h.factsOf("coverage.gap_found"), err)
		}
	})
}
