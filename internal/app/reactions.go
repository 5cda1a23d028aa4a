package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// reactions is the response process on one page: which fact makes which module do
// what. Each consumer reads the ledger in order, has its effect and saves its
// offset in one transaction. The paging path is a consumer of its own, so that
// nothing else stands before a page.
//
// A reaction that fails three times is passed over in every consumer, so that one
// fact cannot keep the pages of all others from leaving. It is recorded as
// reaction.failed, shown on Now and counted. Where paging is what failed, two
// consumers that need each other as little as they need paging see to it that people
// hear of it: one tells management and the last-resort contact, one pages.
func (a *App) reactions() []ledger.Consumer {
	return []ledger.Consumer{
		// Declaring is apart from paging, so that the first incidents of a storm page while
		// the others are still being declared.
		inSteps(16, consumer("declaring", table{"alert.opened": on(a.alertOpened)})),
		inSteps(32, consumer("paging", table{
			"incident.declared":                on(a.incidentDeclared),
			"alert.attached":                   on(a.alertJoined),
			"ladder.step_run":                  on(a.stepRun),
			"page.acknowledged":                on(a.pageAcknowledged),
			"page.refused":                     on(a.pageRefused),
			"page.checked":                     on(a.pageChecked),
			"notice.seen":                      on(a.noticeSeen),
			"notice.unseen":                    on(a.noticeUnseen),
			"delivery.failed":                  on(a.deliveryFailed),
			"person.suspended":                 on(a.personGone),
			"person.removed":                   on(a.personGone),
			"incident.acknowledged":            on(a.incidentAcknowledged),
			"incident.severity_changed":        on(a.severityChanged),
			"incident.cancelled":               on(a.incidentEnded),
			"incident.merged":                  on(a.incidentEnded),
			"incident.closed":                  on(a.incidentEnded),
			"incident.reopened":                on(a.incidentReopened),
			"incident.phase_changed":           on(a.phaseChanged),
			"incident.renamed":                 on(a.incidentChanged),
			"incident.confidentiality_changed": on(a.incidentChanged),
			"ladder.exhausted":                 on(a.ladderExhausted),
		})),
		behind(consumer("incident", table{
			"alert.resolved":  on(a.alertResolved),
			"alert.attached":  on(a.alertAttached),
			"alert.detached":  on(a.alertDetached),
			"incident.merged": on(a.incidentMerged),
		})),
		inSteps(64, consumer("findings", table{
			"finding.opened":   on(a.findingOpened),
			"finding.reopened": on(a.findingReopened),
			"finding.fixed":    on(a.findingFixed),
			"finding.decided":  on(a.findingDecided),
		})),
		consumer("reports", table{
			"report.received":        on(a.reportReceived),
			"report.answered":        on(a.reportAnswered),
			"alert.attached":         on(a.reportsAttached),
			"incident.phase_changed": on(a.reportsResolved),
			"incident.merged":        on(a.reportsPassOver),
		}),
		consumer("sources", table{
			"source.silent": on(a.sourceSilent),
			"source.heard":  on(a.sourceHeard),
		}),
		consumer("coverage", table{
			"schedule.changed": on(a.coverageChanged),
			"override.created": on(a.coverageChanged),
			"override.removed": on(a.coverageChanged),
			"person.suspended": on(a.coverageChanged),
			"person.changed":   on(a.coverageChanged),
			"person.removed":   on(a.coverageChanged),
		}),
		consumer("swaps", table{
			"swap.asked":    on(a.swapAsked),
			"swap.accepted": on(a.swapAccepted),
			"swap.refused":  on(a.swapRefused),
		}),
		behind(ledger.Consumer{Name: "activity", Types: []string{"incident.*", "task.*", "handover.*"}, Handle: a.activity}),
		consumer("checkpoints", table{"incident.closed": on(a.incidentClosed)}),
		consumer("alarm", table{"reaction.failed": on(a.tellFailure)}),
		consumer("alarm-page", table{"reaction.failed": on(a.pageFailure)}),
		behind(inSteps(16, consumer("levels", table{
			"incident.declared":         on(a.levelReached),
			"incident.severity_changed": on(a.severityReached),
			"incident.kind_changed":     on(a.levelReached),
			"incident.assessed":         on(a.levelReached),
		}))),
	}
}

// inSteps lets a consumer handle at most n facts in one transaction: in a storm others
// come to their turn between its steps, deliveries above all.
func inSteps(n int, c ledger.Consumer) ledger.Consumer {
	c.Most = n
	return c
}

// behind lets a page on its way go first: what reacts to the same facts waits a moment.
func behind(c ledger.Consumer) ledger.Consumer {
	c.Linger = 25 * time.Millisecond
	return c
}

// table says what each type of fact does.
type table map[string]func(ctx context.Context, tx *db.Tx, f ledger.Fact) error

func consumer(name string, t table) ledger.Consumer {
	types := make([]string, 0, len(t))
	for typ := range t {
		types = append(types, typ)
	}
	return ledger.Consumer{Name: name, Types: types, Handle: func(ctx context.Context, tx *db.Tx, facts []ledger.Fact) error {
		for _, f := range facts {
			if err := t[f.Type](ctx, tx, f); err != nil {
				return err
			}
		}
		return nil
	}}
}

// on reads the body of a fact into the type that its module publishes. A fact
// whose body was erased does nothing any more.
func on[T any](fn func(ctx context.Context, f ledger.Fact, body T) error) func(context.Context, *db.Tx, ledger.Fact) error {
	return func(ctx context.Context, _ *db.Tx, f ledger.Fact) error {
		if f.Erased {
			return nil
		}
		var body T
		if err := f.Decode(&body); err != nil {
			return kit.Internal(err)
		}
		return fn(ctx, f, body)
	}
}

// An alert that its route sends to an incident declares it, or joins the open one.
func (a *App) alertOpened(ctx context.Context, f ledger.Fact, b alert.Opened) error {
	if b.Then != alert.ThenIncident {
		return nil
	}
	in := incident.AlertOpened{
		Alert: f.Subject.ID, Title: b.Title, Service: b.Service, AlertSeverity: string(b.Severity), StartsAt: f.HappenedAt, Route: b.Route,
		GroupKey: b.GroupKey, Window: time.Duration(b.WindowS) * time.Second, Severity: incident.Severity(b.IncidentSeverity), Kind: incident.Kind(b.Kind), Policy: b.Policy,
	}
	var err error
	if in.Symptoms, err = a.symptoms(ctx, b, in.Window); err != nil {
		return err
	}
	out, err := a.Incident.FromAlert(ctx, in)
	if err != nil {
		return err
	}
	if err := a.Alert.Attach(ctx, f.Subject.ID, out.Incident.ID, true); err != nil {
		return err
	}
	if !out.Joined {
		return nil
	}
	if out.Pages {
		_, err := a.Oncall.StartLadder(ctx, start(out.Incident, "joined"))
		return err
	}
	return nil
}

// An alert that joined by its route is named in the pages that are open. It comes to
// the same consumer as the steps that open them: none falls between two.
func (a *App) alertJoined(ctx context.Context, f ledger.Fact, b alert.Attached) error {
	if !b.ByRule {
		return nil
	}
	x, err := a.Alert.Get(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	return a.Notify.AddAlerts(ctx, b.Incident, []notify.Alert{{DedupKey: x.DedupKey, Title: x.Title}})
}

func start(i *incident.Incident, reason string) oncall.Start {
	return oncall.Start{
		Incident: i.ID, Ref: i.Ref(), Title: i.Title, Severity: string(i.Severity), Services: i.Services, Kind: string(i.Kind), Policy: i.Policy,
		Exercise: i.Exercise, OnlyPerson: i.OnlyPerson, Owner: i.Roles[kit.RoleCommander], Reason: reason,
	}
}

// A declared incident starts its escalation.
func (a *App) incidentDeclared(ctx context.Context, f ledger.Fact, b incident.Declared) error {
	_, err := a.Oncall.StartLadder(ctx, oncall.Start{
		Incident: f.Incident, Ref: f.Subject.Ref, Title: b.Title, Severity: string(b.Severity), Services: b.Services, Kind: string(b.Kind), Policy: b.Policy,
		Exercise: b.Exercise, OnlyPerson: b.OnlyPerson, Reason: "declared",
	})
	return err
}

// A step of an escalation pages its people.
func (a *App) stepRun(ctx context.Context, f ledger.Fact, b oncall.StepRun) error {
	if len(b.People) == 0 {
		return nil
	}
	in := notify.Open{
		Ladder: f.Subject.ID, Step: b.Step, Round: b.Round, Incident: f.Incident, Ref: b.Ref, Severity: b.Severity, Title: b.Title,
		Exercise: b.Exercise, Informs: b.Informs, Silent: (*notify.Silent)(b.Silent),
	}
	if f.Incident != "" {
		i, err := a.Incident.Get(ctx, f.Incident)
		if err != nil {
			return err
		}
		if !i.Open() {
			return nil
		}
		in.Title, in.Since, in.Confidential = i.Title, i.DetectedAt, i.Confidential
	}
	if len(b.Services) > 0 {
		in.Service = b.Services[0]
		d, ok, err := a.Continuity.Find(ctx, in.Service)
		if err != nil {
			return err
		}
		if ok {
			in.ServiceName = kit.Text{FR: d.Title("fr"), EN: d.Title("en")}
		}
	}
	people := make([]string, 0, len(b.People))
	for _, p := range b.People {
		duty := ""
		if d, ok := strings.CutPrefix(p.Target, "schedule:"); ok {
			duty = d
		}
		in.People = append(in.People, notify.Asked{Person: p.Person, Duty: duty})
		people = append(people, p.Person)
	}
	if f.Incident != "" {
		if err := a.Incident.Paged(ctx, f.Incident, people); err != nil {
			return err
		}
		alerts, err := a.Alert.Named(ctx, f.Incident)
		if err != nil {
			return err
		}
		for _, x := range alerts {
			in.Alerts = append(in.Alerts, notify.Alert{DedupKey: x.DedupKey, Title: x.Title})
		}
	}
	next, err := a.Oncall.Next(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	if len(next.People) > 0 {
		in.NextPerson, in.NextAt = next.People[0].ID, next.At
	}
	return a.Notify.OpenPages(ctx, in)
}

// The person who takes a page has the incident; one who was to know of it knows.
func (a *App) pageAcknowledged(ctx context.Context, f ledger.Fact, b notify.PageAcknowledged) error {
	if b.Informs {
		return a.informed(ctx, f.Incident, b.Person)
	}
	if b.Ladder != "" {
		if err := a.Oncall.Answered(ctx, b.Ladder, b.Person); err != nil {
			return err
		}
	}
	if f.Incident == "" {
		return a.Notify.WithdrawLadder(ctx, b.Ladder, b.Person, "answered")
	}
	if err := a.Notify.Withdraw(ctx, f.Incident, b.Person, "answered"); err != nil {
		return err
	}
	return a.Incident.Acknowledged(ctx, f.Incident, b.Person, f.HappenedAt)
}

// Who cannot take it, or cannot be reached, lets the next step run at once.
func (a *App) pageRefused(ctx context.Context, f ledger.Fact, b notify.PageRefused) error {
	return a.Oncall.Refused(ctx, oncall.Outcome{Ladder: b.Ladder, Incident: f.Incident, Person: b.Person, Round: b.Round, Step: b.Step})
}

// Whoever works here no more cannot take what they are paged for: the next step runs at
// once.
func (a *App) personGone(ctx context.Context, f ledger.Fact, _ struct{}) error {
	pages, err := a.Notify.Gone(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	for _, p := range pages {
		if p.Ladder == "" {
			continue
		}
		err := a.Oncall.Refused(ctx, oncall.Outcome{Ladder: p.Ladder, Incident: p.Incident, Person: f.Subject.ID, Round: p.Round, Step: p.Step})
		if err != nil {
			return err
		}
	}
	return nil
}

// "Still on it?": yes keeps the escalation quiet, and takes the incident back where it
// has gone on already; no lets it go on with its next step.
func (a *App) pageChecked(ctx context.Context, f ledger.Fact, b notify.PageChecked) error {
	took, err := a.Oncall.Checked(ctx, f.Incident, b.Person, b.Answer == notify.AnswerHere)
	if err != nil || !took {
		return err
	}
	return a.Notify.Withdraw(ctx, f.Incident, b.Person, "answered")
}

// A notice to management that nobody has seen pages the first in succession, then
// the next, until one of them knows.
func (a *App) noticeUnseen(ctx context.Context, f ledger.Fact, b notify.NoticeUnseen) error {
	if f.Incident == "" || b.Template != string(kit.RoleManagement) {
		return nil
	}
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil || !i.Active() {
		return err
	}
	people, err := ports{a}.Appointed(ctx, kit.RoleManagement, f.RecordedAt)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(people, func(p string) bool { return p == i.DeclaredBy || p == i.AcknowledgedBy }) {
		return nil
	}
	in := start(i, "management_unseen")
	in.Policy, in.OnlyPerson = "", ""
	_, err = a.Oncall.Inform(ctx, in, people, succession)
	return err
}

// succession is how long one of management has before the next is paged.
const succession = 5 * time.Minute

func (a *App) noticeSeen(ctx context.Context, f ledger.Fact, b notify.NoticeSeen) error {
	if f.Incident == "" || b.Template != string(kit.RoleManagement) {
		return nil
	}
	return a.informed(ctx, f.Incident, b.Person)
}

// informed ends what was to make an incident known: the person knows.
func (a *App) informed(ctx context.Context, incident, person string) error {
	if err := a.Oncall.Known(ctx, incident, person); err != nil {
		return err
	}
	return a.Notify.WithdrawInforming(ctx, incident, person)
}

func (a *App) deliveryFailed(ctx context.Context, f ledger.Fact, b notify.DeliveryFailed) error {
	if !b.AllFailed || b.Ladder == "" {
		return nil
	}
	return a.Oncall.Unreachable(ctx, oncall.Outcome{Ladder: b.Ladder, Incident: f.Incident, Person: b.Recipient, Round: b.Round, Step: b.Step})
}

// The first answer of a person, by whatever way, stops the escalation and stands
// the others down.
func (a *App) incidentAcknowledged(ctx context.Context, f ledger.Fact, b incident.Acknowledged) error {
	if err := a.Oncall.AnsweredIncident(ctx, f.Incident, b.By); err != nil {
		return err
	}
	return a.Notify.Acknowledged(ctx, f.Incident, b.By)
}

// A rising severity reaches the running escalation; sev4 that rises starts one.
func (a *App) severityChanged(ctx context.Context, f ledger.Fact, b incident.SeverityChanged) error {
	if err := a.incidentChanged(ctx, f, struct{}{}); err != nil {
		return err
	}
	if b.From == incident.Unassessed && b.Source != incident.SourceAssessed && b.Source != incident.SourceOverride {
		return nil
	}
	return a.Oncall.Raise(ctx, f.Incident, string(b.To))
}

// What open pages say follows the incident: its severity, title and who may know.
func (a *App) incidentChanged(ctx context.Context, f ledger.Fact, _ struct{}) error {
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil {
		return err
	}
	return a.Notify.IncidentChanged(ctx, i.ID, string(i.Severity), i.Title, i.Confidential)
}

// When nobody answers, management hears of it and so does the last-resort contact:
// the end of an escalation is never silence.
func (a *App) ladderExhausted(ctx context.Context, f ledger.Fact, _ oncall.LadderExhausted) error {
	if f.Incident == "" {
		return nil
	}
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil || i.Exercise {
		return err
	}
	people, err := ports{a}.Appointed(ctx, kit.RoleManagement, f.RecordedAt)
	if err != nil {
		return err
	}
	n := notify.Notice{
		Template: "nobody", People: people, Incident: i.ID, Ref: i.Ref(), Severity: string(i.Severity), Urgent: true, Confidential: i.Confidential,
		Args: map[string]any{"title": i.Title},
	}
	if _, err := a.Notify.Notice(ctx, n); err != nil {
		return err
	}
	n.Template, n.People = "last_resort", nil
	if n.Addresses, err = a.lastResort(ctx); err != nil {
		return err
	}
	_, err = a.Notify.Notice(ctx, n)
	return err
}

// lastResort gives every address of the last-resort contact that this installation
// has a way to.
func (a *App) lastResort(ctx context.Context) ([]notify.Address, error) {
	o, err := a.Identity.Organisation(ctx)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return nil, nil
	}
	if err != nil || o.LastResort == nil {
		return nil, err
	}
	lang := "en"
	if len(o.Languages) > 0 {
		lang = o.Languages[0]
	}
	var out []notify.Address
	for _, way := range []struct{ kind, to string }{{"email", o.LastResort.Email}, {"voice", o.LastResort.Phone}, {"sms", o.LastResort.Phone}} {
		if way.to != "" && a.Notify.Sends(ctx, way.kind) {
			out = append(out, notify.Address{Kind: way.kind, To: way.to, Name: o.LastResort.Name, Language: lang, Timezone: o.Timezone})
		}
	}
	return out, nil
}

// Who is on duty changed: it is looked at once whether a turn is empty.
func (a *App) coverageChanged(ctx context.Context, _ ledger.Fact, _ struct{}) error {
	return a.Oncall.LookAtCoverage(ctx)
}

// An ended incident pages nobody any more; who was told of one that is cancelled or
// merged is stood down.
func (a *App) incidentEnded(ctx context.Context, f ledger.Fact, b struct {
	Into string `json:"into"`
	From string `json:"from"`
},
) error {
	if f.Type == "incident.merged" && b.From != "" {
		return nil
	}
	asked, err := a.Notify.Asked(ctx, f.Incident)
	if err != nil {
		return err
	}
	if err := a.Oncall.Stop(ctx, f.Incident, f.Type); err != nil {
		return err
	}
	if err := a.Notify.Over(ctx, f.Incident, f.Type); err != nil || f.Type == "incident.closed" {
		return err
	}
	return a.standDown(ctx, f, asked, b.Into)
}

// An incident in review pages nobody any more.
func (a *App) phaseChanged(ctx context.Context, f ledger.Fact, b incident.PhaseChanged) error {
	if b.To != incident.InReview {
		return nil
	}
	if err := a.Oncall.Stop(ctx, f.Incident, f.Type); err != nil {
		return err
	}
	return a.Notify.Over(ctx, f.Incident, f.Type)
}

// What people do on an incident tells its escalation that somebody is on it.
func (a *App) activity(ctx context.Context, _ *db.Tx, facts []ledger.Fact) error {
	for _, f := range facts {
		if f.Incident == "" || f.Actor.Kind != kit.ActorPerson {
			continue
		}
		if err := a.Oncall.Active(ctx, f.Incident, f.Actor.ID); err != nil {
			return err
		}
	}
	return nil
}

// A reopened incident pages again.
func (a *App) incidentReopened(ctx context.Context, f ledger.Fact, _ incident.Reopened) error {
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil {
		return err
	}
	_, err = a.Oncall.StartLadder(ctx, start(i, "reopened"))
	return err
}

// The last resolved alert lets the incident propose that service is restored.
func (a *App) alertResolved(ctx context.Context, f ledger.Fact, _ alert.Resolved) error {
	_, err := a.Incident.AlertEnded(ctx, f.Subject.ID)
	return err
}

// An alert that a person attaches or detaches counts for its incident.
func (a *App) alertAttached(ctx context.Context, f ledger.Fact, b alert.Attached) error {
	if b.ByRule {
		return nil
	}
	it, err := a.Alert.Get(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	return a.Incident.AttachAlert(ctx, incident.AlertOpened{Alert: it.ID, Title: it.Title, Service: it.Service, AlertSeverity: string(it.Severity)}, b.Incident, it.State != "resolved")
}

// What an incident holds passes over to the one that it was merged into.
func (a *App) incidentMerged(ctx context.Context, f ledger.Fact, b incident.Merged) error {
	if b.Into == "" {
		return nil
	}
	return a.Alert.PassOver(ctx, f.Incident, b.Into)
}

func (a *App) alertDetached(ctx context.Context, f ledger.Fact, _ alert.Detached) error {
	return a.Incident.AttachAlert(ctx, incident.AlertOpened{Alert: f.Subject.ID}, "", false)
}
