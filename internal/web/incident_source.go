package web

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/oncall"
)

// suspects is how long before an incident a change counts as recent.
const suspects = 24 * time.Hour

// incidents gives the pages what they show of incidents: the module's own objects
// with the names of people, alerts, changes and deliveries beside them.
type incidents struct{ *Deps }

func (s incidents) names(ctx context.Context) (map[string]string, error) {
	return s.Identity.Names(ctx)
}

func who(names map[string]string, id string) Person {
	if id == "" {
		return Person{}
	}
	if n := names[id]; n != "" {
		return Person{ID: id, Name: n}
	}
	return Person{ID: id, Name: id}
}

// serviceNames gives the services that the reader may know of by their names.
func (s *Deps) serviceNames(ctx context.Context, lang string) (map[string]string, error) {
	out := map[string]string{}
	if s.Service == nil {
		return out, nil
	}
	list, err := s.Service.Services(ctx)
	if err != nil && kit.CodeOf(err) != kit.CodeForbidden {
		return nil, err
	}
	for _, d := range list {
		out[d.ID] = d.Title(lang)
	}
	return out, nil
}

func incidentRow(names, services map[string]string, i *incident.Incident) IncidentRow {
	called := make([]string, len(i.Services))
	for n, id := range i.Services {
		called[n] = firstOf(services[id], id)
	}
	return IncidentRow{
		ServiceNames: called,
		Ref:          i.Ref(), Title: i.Title, Severity: string(i.Severity), Phase: string(i.Phase), Status: string(i.Status),
		Commander: who(names, i.Roles[kit.RoleCommander]), Services: i.Services, Declared: i.DeclaredAt, Closed: i.ClosedAt,
		Recovered: i.RecoveredAt, Exercise: i.Exercise, Confidential: i.Confidential, Answered: !i.AcknowledgedAt.IsZero(),
	}
}

func (s incidents) rows(ctx context.Context, list []*incident.Incident) ([]IncidentRow, error) {
	if len(list) == 0 {
		return nil, nil
	}
	names, err := s.names(ctx)
	if err != nil {
		return nil, err
	}
	services, err := s.serviceNames(ctx, of(ctx).lang)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for n, i := range list {
		ids[n] = i.ID
	}
	reviews, err := s.Incident.ReviewStates(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]IncidentRow, len(list))
	for n, i := range list {
		out[n] = incidentRow(names, services, i)
		out[n].Review = reviews[i.ID]
	}
	return out, nil
}

// List gives incidents, exercises included.
func (s incidents) List(ctx context.Context, f IncidentFilter, p kit.Page) (kit.List[IncidentRow], error) {
	l, err := s.Incident.List(ctx, incident.Filter{
		Status: incident.Status(f.Status), Active: f.Active, Phase: incident.Phase(f.Phase), Severity: f.Severity, Service: f.Service,
		Kind: incident.Kind(f.Kind), Query: f.Q, From: f.From, To: f.To, Exercises: true, Personal: f.PersonalData, Sort: f.Sort,
	}, p)
	out := kit.List[IncidentRow]{Next: l.Next, Total: l.Total, TotalIsMinimum: l.TotalIsMinimum}
	if err != nil {
		return out, err
	}
	out.Items, err = s.rows(ctx, l.Items)
	return out, err
}

// Similar gives open incidents that may be the same.
func (s incidents) Similar(ctx context.Context, title string) ([]IncidentRow, error) {
	list, err := s.Incident.Similar(ctx, title, nil)
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, list)
}

// Get gives the whole of an incident.
func (s incidents) Get(ctx context.Context, ref string) (Incident, error) {
	i, err := s.Incident.Get(ctx, ref)
	if err != nil {
		return Incident{}, err
	}
	names, err := s.names(ctx)
	if err != nil {
		return Incident{}, err
	}
	services, err := s.serviceNames(ctx, of(ctx).lang)
	if err != nil {
		return Incident{}, err
	}
	out := Incident{
		IncidentRow: incidentRow(names, services, i), ID: i.ID, Summary: i.Summary,
		Occurred: i.OccurredAt, Acknowledged: i.AcknowledgedAt, Contained: i.ContainedAt, Restored: i.RestoredAt,
		Detected: i.DetectedAt, Eradicated: i.EradicatedAt, Assessed: i.AssessedAt, Kind: string(i.Kind),
	}
	me := kit.ActorFrom(ctx)
	out.DeclaredByMe = me.IsPerson() && i.DeclaredBy == me.ID
	for _, r := range []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications} {
		out.Roles = append(out.Roles, Held{Role: r, Person: who(names, i.Roles[r])})
		if me.IsPerson() && i.Roles[r] == me.ID {
			out.Held = append(out.Held, r)
		}
	}
	if i.Answers != nil {
		out.Answers = Assessment{
			Who: i.Answers.Who, What: i.Answers.What, Data: i.Answers.Data, Trend: i.Answers.Trend, Change: i.Answers.Change,
			DataKinds: i.Answers.DataKinds,
		}
		if i.Answers.People > 0 {
			out.Answers.People = strconv.Itoa(i.Answers.People)
		}
	}
	switch {
	case i.ProposesReopening():
		out.Proposes = "reopen"
	case i.ProposesRestored():
		out.Proposes = "restored"
	}
	if i.MergedInto != "" {
		if m, err := s.Incident.Get(ctx, i.MergedInto); err == nil {
			out.MergedInto = m.Ref()
		}
	}
	return out, s.around(ctx, i, names, &out)
}

// same gives the open incidents whose alerts another source seems to tell of too. The
// later one is proposed for merging into the earlier.
func (s incidents) same(ctx context.Context, i *incident.Incident, alerts []alert.Alert) ([]SameIncident, error) {
	twins, err := s.Alert.Twins(ctx, alerts...)
	if err != nil {
		return nil, err
	}
	var out []SameIncident
	seen := map[string]bool{"": true, i.ID: true}
	for _, w := range twins {
		if seen[w.Incident] {
			continue
		}
		seen[w.Incident] = true
		o, err := s.Incident.Get(ctx, w.Incident)
		if kit.CodeOf(err) == kit.CodeNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !o.Active() || o.Exercise != i.Exercise {
			continue
		}
		v := SameIncident{Ref: o.Ref(), Title: o.Title, Alert: w.ID, Source: w.Source, Why: w.Why, From: i.Ref(), Into: o.Ref()}
		if o.Number > i.Number {
			v.From, v.Into = v.Into, v.From
		}
		if out = append(out, v); len(out) == maxSame {
			break
		}
	}
	return out, nil
}

// maxSame is how many incidents are proposed for merging.
const maxSame = 3

// around adds what other modules know of the incident.
func (s incidents) around(ctx context.Context, i *incident.Incident, names map[string]string, out *Incident) error {
	offers, err := s.Incident.Handovers(ctx, i.ID)
	if err != nil {
		return err
	}
	for _, h := range offers {
		for n := range out.Roles {
			if out.Roles[n].Role == h.Role {
				out.Roles[n].Offered, out.Roles[n].Offer = who(names, h.To), h.ID
			}
		}
	}
	tasks, err := s.Incident.Tasks(ctx, i.ID)
	if err != nil {
		return err
	}
	for _, k := range tasks {
		if k.State != "dropped" {
			out.Tasks = append(out.Tasks, Task{ID: k.ID, Title: k.Text, Assignee: who(names, k.Owner), Due: k.Due(), Done: k.State == "done"})
		}
	}
	alerts, err := s.Alert.ForIncident(ctx, i.ID)
	if err != nil {
		return err
	}
	ids := make([]string, len(alerts))
	for n, a := range alerts {
		ids[n] = a.ID
		out.Alerts = append(out.Alerts, alertRow(a))
	}
	symptoms, err := s.Alert.Symptoms(ctx, ids...)
	if err != nil {
		return err
	}
	for n := range out.Alerts {
		out.Alerts[n].Symptoms = symptoms[out.Alerts[n].ID]
	}
	if i.Active() {
		if out.Same, err = s.same(ctx, i, alerts); err != nil {
			return err
		}
	}
	// A cause stands before what came of it, as its service does.
	place := func(a AlertRow) int {
		if n := slices.Index(i.Services, a.Service); n >= 0 {
			return n
		}
		return len(i.Services)
	}
	slices.SortStableFunc(out.Alerts, func(a, b AlertRow) int { return place(a) - place(b) })
	if out.Deliveries, err = s.Notify.Deliveries(ctx, i.ID); err != nil {
		return err
	}
	if err := s.escalation(ctx, i, out); err != nil {
		return err
	}
	if len(i.Services) > 0 {
		changes, err := s.Change.Recent(ctx, i.Services, i.DeclaredAt.Add(-suspects))
		if err != nil {
			return err
		}
		for _, c := range changes[:min(len(changes), 10)] {
			out.Changes = append(out.Changes, changeRow(c))
		}
	}
	return nil
}

// escalation tells who is paged next while nobody has answered, and how each phase
// was reached.
func (s incidents) escalation(ctx context.Context, i *incident.Incident, out *Incident) error {
	if i.Active() && i.AcknowledgedAt.IsZero() {
		ladders, err := s.Oncall.Ladders(ctx, i.ID)
		if err != nil {
			return err
		}
		for _, l := range ladders {
			if l.State != "running" {
				continue
			}
			next, err := s.Oncall.Next(ctx, l.ID)
			if err != nil {
				return err
			}
			var people []string
			for _, p := range next.People {
				people = append(people, p.Name)
			}
			out.NextPage, out.NextPageAt = strings.Join(people, ", "), next.At
			break
		}
	}
	moves, err := s.Ledger.Facts(ctx, ledger.Filter{Incident: i.ID, Types: []string{incident.Declared{}.FactType(), incident.PhaseChanged{}.FactType()}})
	if err != nil {
		return err
	}
	out.Moves = map[string]move{}
	for _, f := range moves {
		if f.Type == (incident.Declared{}).FactType() {
			out.Moves[string(incident.Detection)] = move{Line: f.Seq}
			continue
		}
		var m incident.PhaseChanged
		if f.Erased || f.Decode(&m) != nil {
			continue
		}
		if m.Back {
			// What came after the phase that is taken up again is still to come.
			for _, p := range incident.Phases[m.To.Number():] {
				delete(out.Moves, string(p))
			}
		}
		for _, p := range m.Skipped {
			out.Moves[string(p)] = move{Line: f.Seq, Skipped: true, Reason: m.Reason}
		}
		out.Moves[string(m.To)] = move{Line: f.Seq, Back: m.Back, Reason: m.Reason}
	}
	return nil
}

func changeRow(c change.Change) ChangeRow {
	return ChangeRow{Ref: c.Ref, Summary: c.Summary, Service: c.Service, At: c.At}
}

func alertRow(a alert.Alert) AlertRow {
	return AlertRow{
		ID: a.ID, Title: a.Title, State: string(a.State), Severity: string(a.Severity), Service: a.Service, Source: a.Source,
		First: a.FirstAt, Last: a.LastAt, Count: a.Count, Incident: a.Incident,
	}
}

// Declare opens an incident and attaches the alert it was declared from.
func (s incidents) Declare(ctx context.Context, d Declare) (string, error) {
	in := incident.Declaration{
		Title: d.Title, Impact: incident.Impact(d.Impact), DataOrSecurity: d.Data, Exercise: d.Exercise, Confidential: d.Confidential,
	}
	if d.Service != "" {
		in.Services = []string{d.Service}
	}
	i, err := s.Incident.Declare(ctx, in)
	if err != nil {
		return "", err
	}
	if d.Alert != "" {
		err = s.Alert.Attach(ctx, d.Alert, i.ID, false)
	}
	return i.Ref(), err
}

// Do runs one command.
func (s incidents) Do(ctx context.Context, ref string, a Act) error {
	var err error
	switch a.Do {
	case "acknowledge":
		_, err = s.Incident.Acknowledge(ctx, ref)
	case "note":
		_, err = s.Incident.Note(ctx, ref, a.Text, a.At, "")
	case "task":
		_, err = s.Incident.AddTask(ctx, ref, a.Text, "", time.Time{})
	case "task_done":
		done := "done"
		_, err = s.Incident.ChangeTask(ctx, ref, a.ID, incident.TaskChange{State: &done})
	case "phase":
		_, err = s.Incident.Phase(ctx, ref, incident.Phase(a.Phase), a.Answers, a.Reason)
	case "close":
		_, err = s.Incident.Phase(ctx, ref, incident.PhaseClosed, nil, "")
	case "offer":
		_, err = s.Incident.Offer(ctx, ref, a.Role, a.Person, a.Text)
	case "take":
		_, err = s.Incident.Take(ctx, ref, a.Role, a.Reason)
	case "accept", "decline":
		_, err = s.Incident.AnswerHandover(ctx, ref, a.ID, a.Do == "accept")
	case "cancel":
		_, err = s.Incident.Cancel(ctx, ref, a.Reason)
	case "merge":
		_, err = s.Incident.Merge(ctx, ref, a.Into)
	case "reopen":
		_, err = s.Incident.Reopen(ctx, ref, a.Reason)
	case "confidential", "public":
		_, err = s.Incident.SetConfidential(ctx, ref, a.Do == "confidential", a.Reason)
	case "retry":
		err = s.Notify.Retry(ctx, a.ID)
	case "page":
		err = s.page(ctx, ref, a)
	default:
		return kit.NotFound("command", a.Do)
	}
	return err
}

// page pages somebody by hand for an incident.
func (s incidents) page(ctx context.Context, ref string, a Act) error {
	i, err := s.Incident.Get(ctx, ref)
	if err != nil {
		return err
	}
	if a.Person == "" {
		return kit.InvalidField("person", "error.required")
	}
	_, err = s.Oncall.PageSomeone(ctx, oncall.Start{
		Incident: i.ID, Ref: i.Ref(), Title: i.Title, Severity: string(i.Severity), Services: i.Services, Kind: string(i.Kind), Exercise: i.Exercise,
	}, "person:"+a.Person)
	return err
}

func (a Assessment) answers() (incident.Answers, error) {
	out := incident.Answers{Who: a.Who, What: a.What, Data: a.Data, Trend: a.Trend, Change: a.Change, DataKinds: a.DataKinds}
	if a.People != "" {
		n, err := strconv.Atoi(a.People)
		if err != nil || n < 0 {
			return out, kit.InvalidField("people", "error.bad_value")
		}
		out.People = n
	}
	return out, nil
}

// Result computes an assessment without saving it.
func (s incidents) Result(ctx context.Context, ref string, a Assessment) (Result, error) {
	in, err := a.answers()
	if err != nil {
		return Result{}, err
	}
	p, err := s.Incident.PreviewAssess(ctx, ref, in)
	if err != nil {
		return Result{}, err
	}
	out := Result{Severity: string(p.Severity), Because: string(p.DecidedBy)}
	for _, d := range p.Added {
		out.Will = append(out.Will, Duty{Key: d.Name(), After: d.After})
	}
	for _, d := range p.Withdrawn {
		out.Wont = append(out.Wont, Duty{Key: d.Name(), After: d.After})
	}
	return out, nil
}

// Assess saves an assessment; override and reason are for another level.
func (s incidents) Assess(ctx context.Context, ref string, a Assessment, override, reason string) error {
	in, err := a.answers()
	if err != nil {
		return err
	}
	_, err = s.Incident.Assess(ctx, ref, in, a.Services, incident.Severity(override), reason)
	return err
}

// bySeverity puts the worst first, then the oldest.
func bySeverity(rows []IncidentRow) {
	slices.SortStableFunc(rows, func(a, b IncidentRow) int {
		x, y := incident.Severity(a.Severity), incident.Severity(b.Severity)
		switch {
		case x.Worse(y):
			return -1
		case y.Worse(x):
			return 1
		}
		return a.Declared.Compare(b.Declared)
	})
}
