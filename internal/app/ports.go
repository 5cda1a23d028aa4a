package app

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"tocsin/internal/finding"
	"tocsin/internal/holiday"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// ports answers what modules ask of each other: queries only.
type ports struct{ a *App }

var (
	_ oncall.People         = dutyPeople{}
	_ oncall.Services       = ports{}
	_ oncall.Parameters     = ports{}
	_ incident.Appointments = ports{}
	_ incident.People       = ports{}
	_ incident.Settings     = ports{}
	_ finding.Settings      = ports{}
	_ incident.Roster       = (*oncall.Service)(nil)
)

// Active tells whether a person exists and is not suspended.
func (p ports) Active(ctx context.Context, person string) (bool, error) {
	who, err := p.a.Identity.Person(ctx, person)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return false, nil
	}
	return err == nil && !who.Suspended, err
}

// Appointed gives the people of a standing role who are there at an instant.
func (p ports) Appointed(ctx context.Context, role kit.Role, at time.Time) ([]string, error) {
	people, err := p.a.Identity.AppointedAt(ctx, role, at)
	return idsOf(people), err
}

// appointed is the same question without an instant.
type appointed struct{ a *App }

// Appointed gives the people of a standing role in order of succession.
func (p appointed) Appointed(ctx context.Context, role kit.Role) ([]string, error) {
	people, err := p.a.Identity.Appointed(ctx, role)
	return idsOf(people), err
}

func idsOf(people []identity.Person) []string {
	ids := make([]string, len(people))
	for n := range people {
		ids[n] = people[n].ID
	}
	return ids
}

// States gives those of the people who exist.
func (p ports) States(ctx context.Context, ids []string, at time.Time) (map[string]oncall.PersonState, error) {
	people, err := p.a.Identity.People(ctx, identity.Filter{})
	if err != nil {
		return nil, err
	}
	out := make(map[string]oncall.PersonState, len(ids))
	for _, who := range people {
		if !slices.Contains(ids, who.ID) {
			continue
		}
		s := oncall.PersonState{Name: who.Name, Suspended: who.Suspended}
		for _, l := range who.Leave {
			if !at.Before(l.From) && at.Before(l.To) {
				s.OnLeave = true
			}
			if at.Before(l.To) {
				s.Leave = append(s.Leave, oncall.Span{From: l.From, To: l.To})
			}
		}
		out[who.ID] = s
	}
	return out, nil
}

// asker puts "Still on it?" to the holder of an escalation.
type asker struct{ a *App }

// AskStill queues the question.
func (k asker) AskStill(ctx context.Context, q oncall.Question) error {
	i, err := k.a.Incident.Get(ctx, q.Incident)
	if err != nil {
		return err
	}
	_, err = k.a.Notify.Notice(ctx, notify.Notice{
		Template: "still", People: []string{q.Person}, Incident: q.Incident, Ref: q.Ref, Severity: q.Severity, Urgent: true, Question: true,
		Confidential: i.Confidential, Args: map[string]any{"title": i.Title, "until": q.Until},
	})
	return err
}

// Holidays are those of the organisation's country and its own.
func (p ports) Holidays(ctx context.Context) (holiday.Calendar, error) {
	o, err := p.a.Identity.Organisation(ctx)
	return o.Calendar(), err
}

// Team gives the members of a team.
func (p ports) Team(ctx context.Context, id string) ([]string, bool, error) {
	teams, err := p.a.Identity.Teams(ctx)
	for _, t := range teams {
		if t.ID == id {
			return t.Members, true, err
		}
	}
	return nil, false, err
}

// dutyPeople is what on-call asks about people.
type dutyPeople struct{ ports }

// Zone is the name of the organisation's zone.
func (p dutyPeople) Zone(ctx context.Context) (string, error) { return p.zoneName(ctx) }

// zoneName is the organisation's zone, UTC before the first run.
func (p ports) zoneName(ctx context.Context) (string, error) {
	o, err := p.a.Identity.Organisation(ctx)
	if kit.CodeOf(err) == kit.CodeNotFound || err == nil && o.Timezone == "" {
		return "UTC", nil
	}
	return o.Timezone, err
}

// Zone is the organisation's zone.
func (p ports) Zone(ctx context.Context) (*time.Location, error) {
	name, err := p.zoneName(ctx)
	if err != nil {
		return nil, err
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, kit.Internal(err)
	}
	return z, nil
}

// Policy is the escalation policy that a service names.
func (p ports) Policy(ctx context.Context, service string) (string, error) {
	d, _, err := p.a.Continuity.Find(ctx, service)
	return d.Policy, err
}

// Duration is a parameter.
func (p ports) Duration(ctx context.Context, name string) (time.Duration, error) {
	return p.a.Identity.Parameter(ctx, name)
}

// Limit is a parameter by the name that incidents use.
func (p ports) Limit(ctx context.Context, name string) (time.Duration, error) {
	return p.a.Identity.Parameter(ctx, name)
}

// Limits are the parameters for findings.
func (p ports) Limits(ctx context.Context) (finding.Limits, error) {
	all, err := p.a.Identity.Parameters(ctx)
	if err != nil {
		return finding.Limits{}, err
	}
	l := finding.Limits{
		Severity: finding.Severity(all.Text("P.vuln_sev")), Triage: all.Number("P.vuln_triage"),
		Fix: map[finding.Severity]int{finding.Critical: all.Number("P.vuln_fix.critical"), finding.High: all.Number("P.vuln_fix.high")},
	}
	l.Zone, err = p.Zone(ctx)
	return l, err
}

// Levels are the cells of the response levels that the organisation changed.
func (p ports) Levels(ctx context.Context) (incident.Overrides, error) {
	raw, err := p.a.Identity.Levels(ctx)
	if err != nil || len(raw) == 0 || string(raw) == "null" {
		return nil, err
	}
	return overrides(raw)
}

func overrides(raw json.RawMessage) (out incident.Overrides, err error) {
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, kit.Internal(errors.Join(errors.New("levels"), err))
	}
	return out, nil
}

// loosensLevels tells whether one set of response levels asks for less than another;
// one that cannot be read counts as asking for nothing.
func loosensLevels(from, to json.RawMessage) bool {
	was, err := overrides(from)
	is, err2 := overrides(to)
	return err != nil || err2 != nil || incident.Loosens(was, is)
}
