package story_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tocsin/internal/app"
	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

// places are where an incident can stand: its phase, or how it ended.
var places = []string{"detection", "assessment", "containment", "recovery", "review", "approved", "closed", "cancelled", "merged"}

const transitionCompany = `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [en, fr]}
people:
  - {id: boss, name: Boss, email: boss@example.com, access: admin}
  - {id: p-viewer, name: V, email: v@example.com, access: viewer}
  - {id: p-communications, name: C, email: c@example.com, access: communications}
  - {id: p-responder, name: R, email: r@example.com, access: responder}
  - {id: p-manager, name: M, email: m@example.com, access: manager}
  - {id: p-admin, name: A, email: a@example.com, access: admin}
roles: {commander: [boss], communications: [boss], management: [boss]}
`

// transition is one row of the table of model.md 3.4: who may give the command,
// whether its input is complete, and where it is done, is nothing, or conflicts.
type transition struct {
	name string
	// levels are the letters of the access levels that may (v c r m a); roles what
	// gives the right to anybody who holds it in the incident.
	levels string
	roles  []kit.Role
	// at tells what comes of it in each place; a place that is not named conflicts.
	at map[string]string
	do func(ctx context.Context, s *incident.Service, ref, other string) error
}

// The holders of a role in the incident count as responders in it (3.4).
var inIncident = []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications}

func where(what string, names ...string) map[string]string {
	m := map[string]string{}
	for _, n := range names {
		m[n] = what
	}
	return m
}

func transitions() []transition {
	open := places[:6]
	phase := func(to incident.Phase, reason string) func(context.Context, *incident.Service, string, string) error {
		return func(ctx context.Context, s *incident.Service, ref, _ string) error {
			_, err := s.Phase(ctx, ref, to, nil, reason)
			return err
		}
	}
	var out []transition
	add := func(name, levels string, roles []kit.Role, at map[string]string, do func(context.Context, *incident.Service, string, string) error) {
		out = append(out, transition{name, levels, roles, at, do})
	}
	add("acknowledge", "rma", inIncident, where("ok", open...), func(ctx context.Context, s *incident.Service, ref, _ string) error {
		_, err := s.Acknowledge(ctx, ref)
		return err
	})
	answers := incident.Answers{Who: "some", What: "main", Data: "no", Trend: "stable", Change: "none"}
	add("assess", "rma", inIncident, where("ok", open...), func(ctx context.Context, s *incident.Service, ref, _ string) error {
		_, err := s.Assess(ctx, ref, answers, nil, incident.Unassessed, "")
		return err
	})
	// Forward by one needs nothing, by more or back a reason; the phase it is in
	// already answers well without a fact.
	for n, to := range []incident.Phase{incident.Detection, incident.Assessment, incident.Containment, incident.Recovery, incident.InReview} {
		for _, reason := range []string{"", "because"} {
			at := map[string]string{}
			for from, place := range open {
				// "approved" is the review with its approval.
				from = min(from, 4)
				at[place] = "ok"
				if reason == "" && (n < from || n > from+1) {
					at[place] = "invalid"
				}
			}
			add(fmt.Sprintf("to %s %s", to, reason), "rma", inIncident, at, phase(to, reason))
		}
	}
	add("to nowhere", "rma", inIncident, where("invalid", places...), phase("nowhere", "because"))
	command := []kit.Role{kit.RoleCommander}
	add("close", "ma", command, where("ok", "approved", "closed"), phase(incident.PhaseClosed, ""))
	for _, reason := range []string{"", "because"} {
		what := "ok"
		if reason == "" {
			what = "invalid"
		}
		add("cancel "+reason, "rma", inIncident, where(what, open...), func(ctx context.Context, s *incident.Service, ref, _ string) error {
			_, err := s.Cancel(ctx, ref, reason)
			return err
		})
		add("reopen "+reason, "rma", inIncident, where(what, "cancelled", "merged"), func(ctx context.Context, s *incident.Service, ref, _ string) error {
			_, err := s.Reopen(ctx, ref, reason)
			return err
		})
		add("reopen closed "+reason, "ma", command, where(what, "closed"), func(ctx context.Context, s *incident.Service, ref, _ string) error {
			_, err := s.Reopen(ctx, ref, reason)
			return err
		})
		add("confidential "+reason, "ma", command, where(what, places...), func(ctx context.Context, s *incident.Service, ref, _ string) error {
			_, err := s.SetConfidential(ctx, ref, true, reason)
			return err
		})
	}
	add("merge", "rma", inIncident, where("ok", open...), func(ctx context.Context, s *incident.Service, ref, other string) error {
		_, err := s.Merge(ctx, ref, other)
		return err
	})
	add("merge with itself", "rma", inIncident, where("invalid", open...), func(ctx context.Context, s *incident.Service, ref, _ string) error {
		_, err := s.Merge(ctx, ref, ref)
		return err
	})
	return out
}

// TestTransitions gives every command of model.md 3.4 at every access level, with
// every role held in the incident, wherever an incident can stand.
func TestTransitions(t *testing.T) {
	a, err := app.Open(context.Background(), app.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	sys := app.AsSystem(context.Background())
	if _, err := a.Apply(sys, []byte(transitionCompany), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	s := a.Incident
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	other, err := s.Declare(sys, incident.Declaration{Title: "another"})
	must(nil, err)
	// put makes an incident that stands at a place, with a role held.
	put := func(ctx context.Context, place, person string, role kit.Role) string {
		i, err := s.Declare(ctx, incident.Declaration{Title: "generated"})
		must(nil, err)
		ref := i.Ref()
		if role != "" {
			must(s.AssignRole(ctx, ref, role, person))
		}
		switch place {
		case "detection":
		case "cancelled":
			must(s.Cancel(ctx, ref, "no incident"))
		case "merged":
			must(s.Merge(ctx, ref, other.Ref()))
		default:
			to := incident.Phase(place)
			if place == "approved" || place == "closed" {
				to = incident.InReview
			}
			must(s.Phase(ctx, ref, to, nil, "because"))
			if place == "approved" || place == "closed" {
				must(s.SaveReview(ctx, ref, incident.ReviewContent{
					Summary: kit.Both("s"), NoActionReason: "none needed", Factors: []incident.Factor{{Text: "f", Kind: "root", Category: "process"}},
				}))
				must(s.ApproveReview(ctx, ref))
			}
			if place == "closed" {
				must(s.Phase(ctx, ref, incident.PhaseClosed, nil, ""))
			}
		}
		return ref
	}
	undo := errors.New("undone")
	roles := append([]kit.Role{""}, inIncident...)
	cases := 0
	for _, row := range transitions() {
		for _, place := range places {
			for _, access := range kit.Accesses {
				for _, role := range roles {
					person := "p-" + string(access)
					may := strings.Contains(row.levels, string(access)[:1]) || role != "" && slices.Contains(row.roles, role)
					want := row.at[place]
					switch {
					case strings.HasPrefix(row.name, "reopen ") && !strings.HasPrefix(row.name, "reopen closed") && place == "closed",
						strings.HasPrefix(row.name, "reopen closed") && place != "closed":
						// The other row of the same command speaks of this place.
						continue
					case !may:
						want = "forbidden"
					case want == "":
						want = "conflict"
					}
					cases++
					name := fmt.Sprintf("%s at %s as %s holding %q", row.name, place, access, role)
					actor := kit.Actor{Kind: kit.ActorPerson, ID: person, Name: person, Via: kit.ViaAPI, Access: access}
					var got error
					// One transaction that is undone: the next case begins as this one did.
					err := a.DB().Write(sys, func(ctx context.Context, _ *db.Tx) error {
						ref := put(ctx, place, person, role)
						got = row.do(kit.WithActor(ctx, actor), s, ref, other.Ref())
						return undo
					})
					if !errors.Is(err, undo) {
						t.Fatal(name, err)
					}
					word := string(kit.CodeOf(got))
					if got == nil {
						word = "ok"
					}
					if word != want {
						t.Errorf("%s: %s, want %s (%v)", name, word, want, got)
					}
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}
