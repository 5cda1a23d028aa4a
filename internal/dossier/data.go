package dossier

import (
	"time"

	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/timeline"
)

// data is the dossier for programs. What a level leaves out is absent.
type data struct {
	Ref          string                    `json:"ref"`
	Level        Level                     `json:"level"`
	Language     string                    `json:"language"`
	MadeAt       time.Time                 `json:"made_at"`
	Title        string                    `json:"title"`
	Summary      string                    `json:"summary,omitempty"`
	Status       incident.Status           `json:"status"`
	Phase        incident.Phase            `json:"phase"`
	Severity     *incident.Severity        `json:"severity"`
	Kind         incident.Kind             `json:"kind"`
	Services     []string                  `json:"services"`
	Exercise     bool                      `json:"exercise"`
	PersonalData incident.PersonalData     `json:"personal_data,omitempty"`
	Times        map[string]time.Time      `json:"times"`
	Roles        map[kit.Role]string       `json:"roles,omitempty"`
	Answers      *incident.Answers         `json:"answers,omitempty"`
	Exits        map[string]map[string]any `json:"exits,omitempty"`
	Impact       *incident.RecordedImpact  `json:"impact,omitempty"`
	Review       *incident.Review          `json:"review,omitempty"`
	Public       *kit.Text                 `json:"public_summary,omitempty"`
	Factors      []incident.Factor         `json:"factors,omitempty"`
	Actions      []dataAction              `json:"actions,omitempty"`
	Tasks        []incident.Task           `json:"tasks,omitempty"`
	Timeline     []dataLine                `json:"timeline"`
}

type dataAction struct {
	Ref   string `json:"ref"`
	Type  string `json:"type"`
	Text  string `json:"text"`
	Owner string `json:"owner,omitempty"`
	Due   string `json:"due,omitempty"`
	State string `json:"state"`
}

type dataLine struct {
	Seq        int64     `json:"seq"`
	HappenedAt time.Time `json:"happened_at"`
	RecordedAt time.Time `json:"recorded_at"`
	Type       string    `json:"type"`
	Who        string    `json:"who"`
	Text       string    `json:"text"`
	Starred    bool      `json:"starred,omitempty"`
	Corrected  string    `json:"corrected,omitempty"`
	Erased     bool      `json:"erased,omitempty"`
}

func (d *Dossier) data() data {
	i := d.incident
	out := data{
		Ref: d.Ref, Level: d.Level, Language: d.Language, MadeAt: d.At.Truncate(time.Millisecond), Title: i.Title, Status: i.Status, Phase: i.Phase,
		Kind: i.Kind, Services: i.Services, Exercise: i.Exercise, Times: map[string]time.Time{}, Impact: d.impact, Timeline: []dataLine{},
	}
	if i.Severity != incident.Unassessed {
		out.Severity = &i.Severity
	}
	if out.Services == nil {
		out.Services = []string{}
	}
	for _, m := range milestones(i) {
		if !m.At.IsZero() {
			out.Times[m.Name] = m.At.Truncate(time.Millisecond)
		}
	}
	for n := range d.Lines {
		l := &d.Lines[n]
		out.Timeline = append(out.Timeline, dataLine{
			Seq: l.Seq, HappenedAt: l.HappenedAt.Truncate(time.Millisecond), RecordedAt: l.RecordedAt.Truncate(time.Millisecond), Type: l.Type,
			Who: timeline.ActorName(d.Language, l.Actor), Text: l.Text.In(d.Language), Starred: l.Starred, Corrected: l.Corrected, Erased: l.Erased,
		})
	}
	if d.Level == Customer {
		if d.impact != nil {
			impact := *d.impact
			impact.Customers = nil
			out.Impact = &impact
		}
		if d.review != nil && !d.review.PublicSummary.IsZero() {
			out.Public = &kit.Text{FR: d.scrub(d.review.PublicSummary.FR), EN: d.scrub(d.review.PublicSummary.EN)}
		}
		return out
	}
	out.Summary, out.PersonalData, out.Answers = i.Summary, i.PersonalData, i.Answers
	for _, a := range d.actions {
		row := dataAction{Ref: a.Ref(), Type: a.Type, Text: d.scrub(a.Text), Due: a.Due, State: a.State}
		if d.Level == Internal {
			row.Owner = d.name("person", a.Owner)
		}
		out.Actions = append(out.Actions, row)
	}
	if d.Level == Regulator {
		if d.review != nil {
			for _, f := range d.review.Factors {
				out.Factors = append(out.Factors, incident.Factor{Text: d.scrub(f.Text), Kind: f.Kind, Category: f.Category})
			}
		}
		return out
	}
	out.Review, out.Tasks, out.Roles = d.review, d.tasks, map[kit.Role]string{}
	for role, person := range i.Roles {
		if person != "" {
			out.Roles[role] = d.name("person", person)
		}
	}
	if len(i.Exits) > 0 {
		out.Exits = map[string]map[string]any{}
		for p, answers := range i.Exits {
			out.Exits[string(p)] = answers
		}
	}
	return out
}
