package app

import (
	"context"
	"slices"
	"strings"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/report"
)

// ReportLimits are the parameters for reports.
func (p ports) ReportLimits(ctx context.Context) (report.Limits, error) {
	all, err := p.a.Identity.Parameters(ctx)
	if err != nil {
		return report.Limits{}, err
	}
	return report.Limits{Triage: all.Duration("P.triage.other"), Count: all.Number("P.report_alarm.count"), Window: all.Duration("P.report_alarm.window")}, nil
}

// PublicServices are the services that the public may name.
func (p ports) PublicServices(ctx context.Context) ([]string, error) {
	all, err := p.a.Continuity.Services(AsSystem(ctx))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range all {
		if d.Public {
			out = append(out, d.ID)
		}
	}
	return out, nil
}

// TriageReport keeps a decision about a report; declare opens the incident of title in
// the same transaction.
func (a *App) TriageReport(ctx context.Context, ref string, t report.Triage, title string) (out report.Report, err error) {
	if err := a.Identity.Require(ctx, "report.triage"); err != nil {
		return out, err
	}
	if err := t.Check(); err != nil {
		return out, err
	}
	err = a.db.Write(ctx, func(ctx context.Context, _ *db.Tx) error {
		switch t.Decision {
		case report.Declare:
			r, err := a.Report.Get(ctx, ref)
			if err != nil {
				return err
			}
			if r.State != report.StateNew {
				return kit.Conflict("decided", "report.error.decided", "ref", r.Ref)
			}
			in := incident.Declaration{Title: titleOf(title, r), How: "report", DetectedAt: r.ReceivedAt, Kind: incident.KindAvailability}
			if r.Service != "" {
				in.Services = []string{r.Service}
			}
			if r.Kind == report.Vulnerability {
				in.DataOrSecurity = true
			}
			i, err := a.Incident.Declare(ctx, in)
			if err != nil {
				return err
			}
			t.Incident = i.ID
		case report.Attach:
			if t.Incident == "" {
				return kit.InvalidField("incident", "error.required")
			}
			i, err := a.Incident.Get(ctx, t.Incident)
			if kit.CodeOf(err) == kit.CodeNotFound {
				return kit.InvalidField("incident", "error.not_found", "id", t.Incident)
			}
			if err != nil {
				return err
			}
			if !i.Open() {
				return kit.InvalidField("incident", "incident.error.not_open", "ref", i.Ref())
			}
			t.Incident = i.ID
		default:
			t.Incident = ""
		}
		out, err = a.Report.Decide(ctx, ref, t)
		return err
	})
	return out, err
}

// titleOf is what an incident is called that is declared from a report: what was asked
// for, else the report's first line.
func titleOf(title string, r report.Report) string {
	if title = strings.TrimSpace(title); title != "" {
		return title
	}
	line, _, _ := strings.Cut(r.Text, "\n")
	words := []rune(r.Ref + ": " + strings.TrimSpace(line))
	return strings.TrimSpace(string(words[:min(len(words), 120)]))
}

const reportsKey = "reports:"

// A report is confirmed to whoever sent it, told to who is on duty when none waited
// before it, and with enough others on its service an alert.
func (a *App) reportReceived(ctx context.Context, f ledger.Fact, b report.Received) error {
	if b.Held != "" {
		return nil
	}
	r, confirm, err := a.Report.Confirms(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	if confirm {
		if err := a.writeToReporter(ctx, r, "report_received", map[string]any{"due": r.DueAt}); err != nil {
			return err
		}
	}
	alarm, err := a.Report.Alarm(ctx, r.ID)
	if err != nil {
		return err
	}
	if !alarm {
		return a.tellOfReport(ctx, r)
	}
	out, err := a.Alert.Ingest(ctx, []alert.Signal{{
		Source: alert.BuiltIn, DedupKey: reportsKey + b.Service, Action: alert.Trigger, Severity: alert.Error, Service: b.Service,
		Title:    a.words(ctx, "alert.reports", map[string]any{"service": a.serviceName(ctx, b.Service)}),
		Labels:   map[string]string{"alertname": "CustomerReports", "service": b.Service},
		StartsAt: f.HappenedAt, Received: f.RecordedAt,
	}})
	if err != nil {
		return err
	}
	return a.joinReports(ctx, out[0].Alert)
}

// joinReports attaches the reports that wait on the service of an alert that reports
// have raised to its incident.
func (a *App) joinReports(ctx context.Context, id string) error {
	x, err := a.Alert.Get(ctx, id)
	if err != nil || x.Source != alert.BuiltIn || !strings.HasPrefix(x.DedupKey, reportsKey) || x.Incident == "" {
		return err
	}
	i, err := a.Incident.Get(ctx, x.Incident)
	if err != nil || !i.Active() {
		return err
	}
	l, err := ports{a}.ReportLimits(ctx)
	if err != nil {
		return err
	}
	for cursor := ""; ; {
		list, err := a.Report.List(ctx, report.Filter{State: report.StateNew, Kind: report.Problem, Service: x.Service}, kit.Page{Limit: 500, Cursor: cursor})
		if err != nil {
			return err
		}
		for _, r := range list.Items {
			if r.ReceivedAt.Before(x.FirstAt.Add(-l.Window)) {
				return nil
			}
			if _, err := a.Report.Decide(ctx, r.ID, report.Triage{Decision: report.Attach, Incident: i.ID}); err != nil {
				return err
			}
		}
		if cursor = list.Next; cursor == "" {
			return nil
		}
	}
}

func (a *App) reportsAttached(ctx context.Context, f ledger.Fact, b alert.Attached) error {
	if !b.ByRule {
		return nil
	}
	return a.joinReports(ctx, f.Subject.ID)
}

// tellOfReport tells who is on duty of the first report that waits, and of every one
// about a weakness of security, of which the commander hears too.
func (a *App) tellOfReport(ctx context.Context, r report.Report) error {
	waiting, _, err := a.Report.Waiting(ctx)
	if err != nil || r.State != report.StateNew || waiting > 1 && r.Kind == report.Problem {
		return err
	}
	var people []string
	p, err := a.Oncall.OnDuty(ctx, kit.RolePrimary, a.db.Now())
	if err != nil {
		return err
	}
	if p != "" {
		people = append(people, p)
	}
	template := "report_new"
	if r.Kind == report.Vulnerability {
		template = "report_vulnerability"
		c, err := (ports{a}).Appointed(ctx, kit.RoleCommander, a.db.Now())
		if err != nil {
			return err
		}
		people = append(people, c[:min(len(c), 1)]...)
	}
	line, _, _ := strings.Cut(r.Text, "\n")
	words := []rune(line)
	_, err = a.Notify.Notice(ctx, notify.Notice{
		Template: template, People: slices.Compact(people), Severity: "none", Urgent: r.Kind == report.Vulnerability,
		Args: map[string]any{"report": r.Ref, "text": string(words[:min(len(words), 200)]), "due": r.DueAt, "url": a.cfg.BaseURL + "/reports/" + r.Ref},
	})
	return err
}

// writeToReporter mails a reporter who left an address.
func (a *App) writeToReporter(ctx context.Context, r report.Report, template string, args map[string]any) error {
	if r.Contact == "" || !a.Notify.Sends(ctx, "email") {
		return nil
	}
	zone, err := ports{a}.zoneName(ctx)
	if err != nil {
		return err
	}
	args["report"], args["url"] = r.Ref, a.cfg.BaseURL+"/report/"+a.Report.Follow(r)
	_, err = a.Notify.Notice(ctx, notify.Notice{
		Template: template, Severity: "none", Urgent: true, Args: args,
		Addresses: []notify.Address{{Kind: "email", To: r.Contact, Name: r.Ref, Language: r.Language, Timezone: zone}},
	})
	return err
}

// What is answered to a report is mailed to its reporter.
func (a *App) reportAnswered(ctx context.Context, f ledger.Fact, b report.Answered) error {
	r, err := a.Report.Get(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	if !b.Resolved {
		return a.writeToReporter(ctx, r, "report_answered", map[string]any{"text": b.Text})
	}
	// Of a confidential incident nobody outside hears more than that it was dealt with.
	template := "report_resolved"
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil {
		return err
	}
	if i.Confidential || r.Kind == report.Vulnerability {
		template = "report_dealt_with"
	}
	return a.writeToReporter(ctx, r, template, map[string]any{})
}

// When an incident is resolved, those who reported it hear of it, and the alert that
// their reports have raised is over.
func (a *App) reportsResolved(ctx context.Context, f ledger.Fact, b incident.PhaseChanged) error {
	if b.To != incident.InReview {
		return nil
	}
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil || i.Exercise {
		return err
	}
	if _, err := a.Report.Resolved(ctx, f.Incident); err != nil {
		return err
	}
	alerts, err := a.Alert.ForIncident(ctx, f.Incident)
	if err != nil {
		return err
	}
	for _, x := range alerts {
		if x.Source == alert.BuiltIn && strings.HasPrefix(x.DedupKey, reportsKey) && x.State != alert.StateResolved {
			if _, err := a.Alert.Ingest(ctx, []alert.Signal{{Source: x.Source, DedupKey: x.DedupKey, Action: alert.Resolve, Received: f.RecordedAt}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *App) reportsPassOver(ctx context.Context, f ledger.Fact, b incident.Merged) error {
	if b.Into == "" {
		return nil
	}
	return a.Report.PassOver(ctx, f.Incident, b.Into)
}

// serviceName is the name of a service in the organisation's first language.
func (a *App) serviceName(ctx context.Context, id string) string {
	d, ok, err := a.Continuity.Find(ctx, id)
	if err != nil || !ok {
		return id
	}
	lang := "en"
	if o, err := a.Identity.Organisation(ctx); err == nil && len(o.Languages) > 0 {
		lang = o.Languages[0]
	}
	return d.Title(lang)
}

// KnownTroubles are the open incidents on public services: what service, since when,
// and nothing else of them.
func (a *App) KnownTroubles(ctx context.Context) ([]report.Known, error) {
	ctx = AsSystem(ctx)
	all, err := a.Continuity.Services(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.Incident.List(ctx, incident.Filter{Active: true, Sort: "declared"}, kit.Page{Limit: 200})
	if err != nil {
		return nil, err
	}
	var out []report.Known
	seen := map[string]bool{}
	for _, i := range list.Items {
		if i.Confidential || i.Exercise || i.Kind == incident.KindSecurity || i.Kind == incident.KindData {
			continue
		}
		for _, d := range all {
			if d.Public && !seen[d.ID] && slices.Contains(i.Services, d.ID) {
				seen[d.ID] = true
				out = append(out, report.Known{Service: kit.Text{FR: d.Title("fr"), EN: d.Title("en")}, Since: i.DetectedAt})
			}
		}
	}
	return out, nil
}
