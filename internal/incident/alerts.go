package incident

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// AlertOpened is what the opening of an alert says, as its fact carries it.
type AlertOpened struct {
	Alert   string
	Title   string
	Service string
	// AlertSeverity is the sender's word.
	AlertSeverity string
	StartsAt      time.Time
	// Route is the rule that decided, with what it sets.
	Route    string
	GroupKey string
	Window   time.Duration
	Severity Severity
	Kind     Kind
	Policy   string
	Exercise bool
	// OnlyPerson is set on a practice.
	OnlyPerson string
	// Symptoms are the ids of the incidents, as Suffering gives them, that this alert may
	// be the cause of and whose pages go to the same people.
	Symptoms []string
}

// Outcome is what became of an alert.
type Outcome struct {
	Incident *Incident
	// Joined is set when the incident was there already.
	Joined bool
	// Pages is set when a joined alert must page again although the escalation was
	// answered: it raised the severity or brought a new service.
	Pages bool
	// Refired is set when it came back within its window after recovery.
	Refired bool
}

// FromAlert declares an incident for an alert, or lets the alert join the open
// one of the same route and group that still has an open alert or whose last
// alert came at most a window ago; the cause of incidents that came before it takes
// the first of them over. It is for reactions.
func (s *Service) FromAlert(ctx context.Context, a AlertOpened) (Outcome, error) {
	var out Outcome
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := tx.Now()
		// An alert whose severity changed or that is no longer held back is routed again:
		// it stays where it is, as long as people still work there.
		var links []alertRow
		if err := tx.NewSelect().Model(&links).Where("alert = ? AND open", a.Alert).Scan(ctx); err != nil {
			return db.MapError(err)
		}
		if len(links) > 0 {
			i, err := s.find(ctx, links[0].Incident, nil)
			if err != nil {
				return err
			}
			if i.Active() {
				out = Outcome{Incident: i, Joined: true}
				return nil
			}
		}
		last, err := s.lastOfGroup(ctx, tx, a.Route, a.GroupKey)
		if err != nil {
			return err
		}
		if last != nil && last.Exercise == a.Exercise {
			switch {
			case last.Active() && (last.OpenAlerts > 0 || now.Sub(last.LastAlertAt) <= last.Window):
				out = Outcome{Incident: last, Joined: true}
				return s.join(ctx, tx, &out, a)
			case last.Status != StatusCancelled && last.Status != StatusMerged && !last.RecoveredAt.IsZero() && now.Sub(last.RecoveredAt) <= last.Window:
				out = Outcome{Incident: last, Joined: true, Refired: true, Pages: true}
				last.RefiredAt = now
				return s.join(ctx, tx, &out, a)
			}
		}
		if taken, err := s.takeOver(ctx, tx, &out, a); err != nil || taken {
			return err
		}
		i := &Incident{
			Title: a.Title, Impact: ImpactUnknown, Services: clean([]string{a.Service}), How: "route", Kind: a.Kind, PersonalData: DataUnknown,
			Severity: a.Severity, SeveritySource: SourceNone, Policy: a.Policy, Route: a.Route, GroupKey: a.GroupKey, Window: a.Window,
			OpenAlerts: 1, LastAlertAt: now, DetectedAt: now, OccurredAt: a.StartsAt, Exercise: a.Exercise, OnlyPerson: a.OnlyPerson,
		}
		if i.Kind == "" {
			i.Kind = KindAvailability
		}
		if i.Severity != Unassessed {
			i.SeveritySource = SourceRoute
		}
		if i.Kind == KindSecurity && i.Severity != Unassessed {
			i.Severity = worst(i.Severity, Sev2)
		}
		if i.OccurredAt.IsZero() || i.OccurredAt.After(now) {
			i.OccurredAt = now
		}
		if last != nil && (last.Status == StatusClosed || last.Phase == InReview) {
			i.Previous = last.ID
		}
		if err := s.create(ctx, tx, i, &a); err != nil {
			return err
		}
		out = Outcome{Incident: i}
		return s.link(ctx, tx, i.ID, a, now)
	})
	return out, err
}

func (s *Service) lastOfGroup(ctx context.Context, tx *db.Tx, route, key string) (*Incident, error) {
	var rows []row
	q := s.d.Read(ctx).NewSelect().Model(&rows).Where("i.route = ? AND i.group_key = ?", route, key).
		Where("i.status <> 'merged'").OrderExpr("i.number DESC").Limit(1)
	if err := tx.ForUpdate(q).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return rows[0].incident()
}

func (s *Service) join(ctx context.Context, tx *db.Tx, out *Outcome, a AlertOpened) error {
	i := out.Incident
	i.OpenAlerts++
	i.LastAlertAt = tx.Now()
	var facts []fact
	if a.Service != "" && !contains(i.Services, a.Service) {
		from := i.Services
		i.Services = append(append([]string{}, from...), a.Service)
		facts = append(facts, ScopeChanged{From: from, To: i.Services})
		out.Pages = true
	}
	if a.Severity != Unassessed && i.AssessedAt.IsZero() && a.Severity.Worse(i.Severity) {
		over, after, err := s.levels(ctx)
		if err != nil {
			return err
		}
		facts = append(facts, i.setSeverity(a.Severity, SourceRoute, "", over, after)...)
		out.Pages = true
	}
	if err := s.save(ctx, tx, i); err != nil {
		return err
	}
	if err := s.append(ctx, tx, i, facts...); err != nil {
		return err
	}
	return s.link(ctx, tx, i.ID, a, tx.Now())
}

func (s *Service) link(ctx context.Context, tx *db.Tx, incident string, a AlertOpened, now time.Time) error {
	_, err := tx.NewInsert().Model(&alertRow{
		Alert: a.Alert, Incident: incident, Service: a.Service, Title: a.Title, Severity: a.AlertSeverity, Open: true, At: kit.Micros(now),
	}).On("CONFLICT (alert) DO UPDATE").Set("incident = EXCLUDED.incident, open = EXCLUDED.open").Exec(ctx)
	return db.MapError(err)
}

// AlertEnded tells that an alert was resolved. When it was the last open one of
// its incident, the incident proposes that service is restored; it never moves by
// itself. It gives the incident whose last alert this was, else nil.
func (s *Service) AlertEnded(ctx context.Context, alert string) (*Incident, error) {
	var last *Incident
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		last = nil
		var links []alertRow
		if err := s.d.Read(ctx).NewSelect().Model(&links).Where("alert = ? AND open", alert).Scan(ctx); err != nil {
			return db.MapError(err)
		}
		if len(links) == 0 {
			return nil
		}
		if _, err := tx.NewUpdate().Model((*alertRow)(nil)).Set("open = ?", false).Where("alert = ?", alert).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		i, err := s.find(ctx, links[0].Incident, tx)
		if err != nil {
			return err
		}
		i.OpenAlerts = max(i.OpenAlerts-1, 0)
		if err := s.save(ctx, tx, i); err != nil {
			return err
		}
		if i.OpenAlerts == 0 {
			last = i
		}
		return nil
	})
	return last, err
}

// AttachAlert links an alert to an incident by hand or detaches it where incident
// is empty. It is for the reaction to the alert's own fact.
func (s *Service) AttachAlert(ctx context.Context, a AlertOpened, incident string, open bool) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var links []alertRow
		if err := s.d.Read(ctx).NewSelect().Model(&links).Where("alert = ?", a.Alert).Scan(ctx); err != nil {
			return db.MapError(err)
		}
		for _, l := range links {
			if l.Incident == incident {
				return nil
			}
			old, err := s.find(ctx, l.Incident, tx)
			if err != nil {
				return err
			}
			if l.Open {
				old.OpenAlerts = max(old.OpenAlerts-1, 0)
				if err := s.save(ctx, tx, old); err != nil {
					return err
				}
			}
			if _, err := tx.NewDelete().Model((*alertRow)(nil)).Where("alert = ?", a.Alert).Exec(ctx); err != nil {
				return db.MapError(err)
			}
		}
		if incident == "" {
			return nil
		}
		i, err := s.find(ctx, incident, tx)
		if err != nil {
			return err
		}
		if open {
			i.OpenAlerts++
		}
		i.LastAlertAt = tx.Now()
		if err := s.save(ctx, tx, i); err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&alertRow{Alert: a.Alert, Incident: incident, Service: a.Service, Title: a.Title, Severity: a.AlertSeverity, Open: open, At: kit.Micros(tx.Now())}).Exec(ctx)
		return db.MapError(err)
	})
}

// AlertsOf lists the ids of the alerts of incidents.
func (s *Service) AlertsOf(ctx context.Context, incidents ...string) (map[string][]string, error) {
	out := map[string][]string{}
	if len(incidents) == 0 {
		return out, nil
	}
	var rows []alertRow
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("incident IN (?)", bun.List(incidents)).OrderExpr("at, alert").Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	for _, r := range rows {
		out[r.Incident] = append(out[r.Incident], r.Alert)
	}
	return out, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
