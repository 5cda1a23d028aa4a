package app

import (
	"context"
	"slices"
	"strings"

	"tocsin/internal/i18n"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// levelReached does what the response level asks for, once each, and takes back what
// it does not ask for any more and nobody has received.
func (a *App) levelReached(ctx context.Context, f ledger.Fact, _ struct{}) error {
	_, _, err := a.bringToLevel(ctx, f.Incident)
	return err
}

// severityReached is levelReached for a new severity: who was told before, and is not
// told by the new level, is told of the change.
func (a *App) severityReached(ctx context.Context, f ledger.Fact, b incident.SeverityChanged) error {
	i, now, err := a.bringToLevel(ctx, f.Incident)
	if err != nil || !i.Active() || i.Exercise || !news(b) {
		return err
	}
	told, err := a.Incident.Told(ctx, f.Incident)
	if err != nil {
		return err
	}
	var people []string
	for _, t := range told {
		people = append(people, t.People...)
	}
	people = slices.DeleteFunc(people, func(p string) bool {
		return slices.Contains(now, p) || f.Actor.Kind == kit.ActorPerson && p == f.Actor.ID
	})
	_, err = a.Notify.Notice(ctx, notify.Notice{
		Template: "severity", People: people, Incident: i.ID, Ref: i.Ref(), Severity: string(i.Severity), Confidential: i.Confidential,
		Args: map[string]any{"title": i.Title, "from": severityWords(b.From)},
	})
	return err
}

// news tells whether a change of severity says something to those who were told: the
// first one, of a declaration or a route, does not, nor does one that rules treat alike.
func news(b incident.SeverityChanged) bool {
	first := b.From == incident.Unassessed && b.Source != incident.SourceAssessed && b.Source != incident.SourceOverride
	return !first && b.From.Effective() != b.To.Effective()
}

// severityWords names a severity in a message.
func severityWords(s incident.Severity) kit.Text {
	if s == incident.Unassessed {
		return kit.Text{FR: i18n.T("fr", "message.severity.none", nil), EN: i18n.T("en", "message.severity.none", nil)}
	}
	return kit.Both(strings.ToUpper(string(s)))
}

// bringToLevel gives the incident and the people whom it told now.
func (a *App) bringToLevel(ctx context.Context, id string) (i *incident.Incident, now []string, err error) {
	if i, err = a.Incident.Get(ctx, id); err != nil {
		return nil, nil, err
	}
	level, err := a.Incident.Reached(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range level.Undo {
		if err := a.takeBack(ctx, i.ID, t); err != nil {
			return nil, nil, err
		}
	}
	for _, d := range level.Do {
		err := a.Incident.Fulfil(ctx, i.ID, d, func(ctx context.Context) ([]string, string, error) {
			people, message, err := a.tell(ctx, i, d)
			now = append(now, people...)
			return people, message, err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return i, now, nil
}

// takeBack withdraws what a duty that is not asked for any more has not achieved: a
// page that nobody answered, a notice that has not left.
func (a *App) takeBack(ctx context.Context, id string, t incident.Told) error {
	if t.Message == "" {
		return nil
	}
	if !t.Paged() {
		left, err := a.Notify.CancelNotice(ctx, t.Message)
		if err != nil || left {
			return err
		}
		return a.Incident.Undone(ctx, id, t.Duty)
	}
	l, err := a.Oncall.Ladder(ctx, t.Message)
	if err != nil || l.State != oncall.Running && l.State != oncall.Exhausted {
		return err
	}
	if err := a.Oncall.StopLadder(ctx, l.ID, "lowered"); err != nil {
		return err
	}
	if err := a.Notify.WithdrawLadder(ctx, l.ID, "", "lowered"); err != nil {
		return err
	}
	return a.Incident.Undone(ctx, id, t.Duty)
}

// tell pages or informs the people of a role, and gives them and the id of the
// escalation or notice.
func (a *App) tell(ctx context.Context, i *incident.Incident, d incident.Duty) (people []string, message string, err error) {
	switch p := i.Roles[d.Role]; {
	case d.Role != kit.RoleManagement && p != "":
		people = []string{p}
	case d.Role != kit.RolePrimary:
		if people, err = (ports{a}).Appointed(ctx, d.Role, a.cfg.Clock.Now()); err != nil {
			return nil, "", err
		}
	}
	if len(people) == 0 {
		return nil, "", nil
	}
	if d.Act == incident.ActPage {
		in := start(i, "level")
		in.Policy = ""
		message, err = a.Oncall.PageSomeone(ctx, in, "person:"+people[0])
		return people[:1], message, err
	}
	names, err := a.Identity.Names(ctx)
	if err != nil {
		return nil, "", err
	}
	n := notify.Notice{
		Template: string(d.Role), People: people, Incident: i.ID, Ref: i.Ref(), Severity: string(i.Severity), Urgent: d.Key == "management", Confidential: i.Confidential,
		Args: map[string]any{"title": i.Title, "commander": names[i.Roles[kit.RoleCommander]], "affected": affected(i), "doing": doing(i), "need": nothingNow},
	}
	if d.Role == kit.RolePrimary {
		n.Template = "low"
	}
	if d.Role == kit.RoleManagement && (d.Rule || i.Severity == incident.Sev1) {
		if n.UnseenAfter, err = a.Identity.Parameter(ctx, "P.mgmt_seen"); err != nil {
			return nil, "", err
		}
	}
	message, err = a.Notify.Notice(ctx, n)
	return people, message, err
}

// standDown tells all who were told of an incident, or asked to take it, that nothing
// more is needed from them.
func (a *App) standDown(ctx context.Context, f ledger.Fact, asked []string, into string) error {
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil || i.Exercise {
		return err
	}
	told, err := a.Incident.Told(ctx, i.ID)
	if err != nil {
		return err
	}
	people := slices.Clone(asked)
	for _, t := range told {
		people = append(people, t.People...)
	}
	people = slices.DeleteFunc(people, func(p string) bool { return f.Actor.Kind == kit.ActorPerson && p == f.Actor.ID })
	n := notify.Notice{
		Template: "stood_down", People: people, Incident: i.ID, Ref: i.Ref(), Severity: string(i.Severity), Confidential: i.Confidential,
		Args: map[string]any{"title": i.Title},
	}
	if into != "" {
		target, err := a.Incident.Get(ctx, into)
		if err != nil {
			return err
		}
		n.Template, n.Args["into"] = "merged", target.Ref()
		n.Confidential = n.Confidential || target.Confidential
	}
	_, err = a.Notify.Notice(ctx, n)
	return err
}

var (
	notKnown   = kit.Text{FR: "pas encore connu", EN: "not yet known"}
	nothingNow = kit.Text{FR: "Rien pour l’instant", EN: "Nothing now"}
)

// affected says who is affected, in words for a message.
func affected(i *incident.Incident) kit.Text {
	if i.Answers == nil {
		return notKnown
	}
	switch i.Answers.Who {
	case "nobody":
		return kit.Text{FR: "personne à l’extérieur", EN: "nobody outside"}
	case "some":
		return kit.Text{FR: "certains clients", EN: "some customers"}
	case "most":
		return kit.Text{FR: "la plupart des clients", EN: "most customers"}
	}
	return notKnown
}

// doing says in which phase the work is.
func doing(i *incident.Incident) kit.Text {
	switch i.Phase {
	case incident.Detection:
		return kit.Text{FR: "détection", EN: "detection"}
	case incident.Assessment:
		return kit.Text{FR: "évaluation", EN: "assessment"}
	case incident.Containment:
		return kit.Text{FR: "confinement", EN: "containment"}
	}
	return kit.Text{FR: "récupération", EN: "recovery"}
}
