package incident_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tocsin/internal/due"
	"tocsin/internal/incident"
)

// TestDuties holds that each duty of a response level is done once, that what is asked
// for later waits in a row, and that a level which falls names what to undo.
func TestDuties(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		w := due.NewWorker(b.l.DB())
		w.Register(incident.Tasks(func(context.Context, string) error { return nil })...)
		waiting := func() string {
			rows, err := w.Pending(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, r := range rows {
				_, duty, _ := strings.Cut(r.Key, "/")
				out = append(out, duty)
			}
			return strings.Join(out, " ")
		}
		i := must(b.s.Declare(person("lina"), incident.Declaration{Title: "Payments fail"}))(t)
		todo := func() string {
			l := must(b.s.Reached(ctx, i.ID))(t)
			var out []string
			for _, d := range l.Do {
				out = append(out, d.Name())
			}
			for _, u := range l.Undo {
				out = append(out, "-"+u.Duty)
			}
			return strings.Join(out, " ")
		}
		fulfil := func(name string, people ...string) {
			key, act, _ := strings.Cut(name, ":")
			done := 0
			for range 2 {
				if err := b.s.Fulfil(ctx, i.ID, incident.Duty{Key: key, Act: incident.Act(act)}, func(context.Context) ([]string, string, error) {
					done++
					return people, "m-" + key, nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if want := min(len(people), 1) + 2*(1-min(len(people), 1)); done != want {
				t.Errorf("%s done %d times, want %d", name, done, want)
			}
		}
		if got := todo(); got != "commander:notice communications:notice" {
			t.Fatal(got)
		}
		if got := waiting(); got != "management:mail" {
			t.Fatalf("waits: %q", got)
		}
		fulfil("commander:notice", "camille")
		fulfil("communications:notice")
		if got := todo(); got != "communications:notice" {
			t.Errorf("a duty that found nobody is still to do: %q", got)
		}
		fulfil("communications:notice", "ines")
		// Assessed as sev1: management now and not later, the commander by a page.
		b.clock.Advance(time.Minute)
		must(b.s.Assess(person("lina"), i.ID, incident.Answers{Who: "most", What: "main", Data: "no", Trend: "stable", Change: "none"}, nil, "", ""))(t)
		if got := todo(); got != "commander:page communications:page management:mail -commander:notice -communications:notice" {
			t.Errorf("sev1: %q", got)
		}
		if got := waiting(); got != "" {
			t.Errorf("still waits: %q", got)
		}
		fulfil("commander:page", "camille")
		fulfil("management:mail", "denis")
		// A lesser level undoes what it does not ask for.
		must(b.s.Assess(person("lina"), i.ID, incident.Answers{Who: "nobody", What: "slower", Data: "no", Trend: "stable", Change: "none"}, nil, "", ""))(t)
		if got := todo(); got != "ladder:notice -commander:notice -commander:page -communications:notice -management:mail" && got != "ladder:notice -commander:notice -communications:notice -commander:page -management:mail" {
			t.Errorf("sev4: %q", got)
		}
		if err := b.s.Undone(ctx, i.ID, "commander:page"); err != nil {
			t.Fatal(err)
		}
		told := must(b.s.Told(ctx, i.ID))(t)
		for _, x := range told {
			if x.Duty == "commander:page" || x.Duty == "management:mail" && (x.People[0] != "denis" || x.Message != "m-management") {
				t.Errorf("%+v", x)
			}
		}
		must(b.s.Cancel(person("lina"), i.ID, "a test"))(t)
		if l := must(b.s.Reached(ctx, i.ID))(t); len(l.Do)+len(l.Undo) > 0 || len(l.Told) != 3 {
			t.Errorf("cancelled: %+v", l)
		}
	})
}
