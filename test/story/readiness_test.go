package story_test

import (
	"testing"

	"tocsin/internal/app"
	"tocsin/internal/kit"
)

// TestReadiness: the company of the stories has one person in each rotation, one way to
// each and no last-resort contact; the page says so, and what is mended goes away.
func TestReadiness(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		keys := func() map[string]int {
			t.Helper()
			r, err := h.app.Readiness(ctx)
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]int{}
			for _, f := range r.Findings {
				out[f.Key]++
			}
			return out
		}
		got := keys()
		for key, n := range map[string]int{"doctor.oncall.single": 2, "doctor.methods.unverified": 3, "doctor.last_resort.none": 1, "doctor.late.ok": 1, "doctor.oncall.ok": 1, "doctor.oncall.both": 0} {
			if got[key] != n {
				t.Errorf("%s: %d, want %d", key, got[key], n)
			}
		}
		r, err := h.app.Readiness(ctx)
		if err != nil || len(r.People) != 3 || r.People[0].ID != "ana" || r.People[0].Duties[0] != "primary" || r.People[0].Ways[0].Works() || r.People[2].ID != "camille" || len(r.People[2].Roles) != 3 {
			t.Fatalf("%+v, %v", r.People, err)
		}
		const worse = `apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en], last_resort: {name: Veille, email: veille@example.com}}
schedules:
  - {id: primary, rotations: [{people: [ana, paul], start: "2026-01-05T09:00", shift: 1w}]}
  - {id: secondary, rotations: [{people: [paul, ana], start: "2026-01-05T09:00", shift: 2w}]}
`
		if _, err := h.app.Apply(ctx, []byte(worse), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		got = keys()
		for key, n := range map[string]int{"doctor.oncall.single": 0, "doctor.oncall.both": 1, "doctor.last_resort.ok": 1} {
			if got[key] != n {
				t.Errorf("then %s: %d, want %d", key, got[key], n)
			}
		}
	})
}
