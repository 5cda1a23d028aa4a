package incident

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Service is the use cases of incidents. Each checks the right, loads, decides,
// saves and appends its facts in one transaction.
type Service struct {
	d            *db.DB
	l            *ledger.Ledger
	rights       Rights
	duty         Roster
	appointments Appointments
	people       People
	settings     Settings
}

// New makes the service.
func New(l *ledger.Ledger, rights Rights, duty Roster, appointments Appointments, people People, settings Settings) *Service {
	return &Service{d: l.DB(), l: l, rights: rights, duty: duty, appointments: appointments, people: people, settings: settings}
}

// append writes facts of an incident; the subject is the incident itself.
func (s *Service) append(ctx context.Context, tx *db.Tx, i *Incident, facts ...fact) error {
	return s.appendAt(ctx, tx, i, time.Time{}, facts...)
}

func (s *Service) appendAt(ctx context.Context, tx *db.Tx, i *Incident, happened time.Time, facts ...fact) error {
	entries := make([]ledger.Entry, len(facts))
	for n, f := range facts {
		entries[n] = ledger.Entry{Subject: ledger.Subject{Kind: "incident", ID: i.ID, Ref: i.Ref()}, Incident: i.ID, HappenedAt: happened, Body: f}
	}
	return ledger.Append(ctx, tx, entries...)
}

// Stale is the version that a change expects; 0 expects none.
type Stale = int64

// command loads the incident under lock, checks what the actor may see and do,
// runs fn and saves what it changed.
func (s *Service) command(ctx context.Context, ref string, use kit.Use, expect Stale, fn func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error)) (*Incident, error) {
	var out *Incident
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, tx)
		if err != nil {
			return err
		}
		if use == "incident.phase" || use == "incident.reopen" {
			// Which right these need depends on where they lead: fn asks.
			use = ""
		}
		if use != "" {
			if err := s.rights.Require(ctx, use, held(ctx, i)...); err != nil {
				return err
			}
		}
		if expect != 0 && expect != i.Version {
			return &kit.Error{Code: kit.CodeStale, Key: "error.stale"}
		}
		facts, err := fn(ctx, tx, i)
		if err != nil {
			return err
		}
		if len(facts) > 0 {
			if err := s.save(ctx, tx, i); err != nil {
				return err
			}
			if err := s.append(ctx, tx, i, facts...); err != nil {
				return err
			}
		}
		out = i
		return nil
	})
	return out, err
}

func (s *Service) load(ctx context.Context, ref string, tx *db.Tx) (*Incident, error) {
	i, err := s.find(ctx, ref, tx)
	if err != nil {
		return nil, err
	}
	ok, err := s.sees(ctx, i)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, kit.NotFound("incident", ref)
	}
	return i, nil
}

// levels gives what the calculation of response levels needs of the settings.
func (s *Service) levels(ctx context.Context) (Overrides, time.Duration, error) {
	over, err := s.settings.Levels(ctx)
	if err != nil {
		return nil, 0, err
	}
	after, err := s.settings.Limit(ctx, "P.assess")
	return over, after, err
}

// Declaration is what opens an incident; the title alone is enough.
type Declaration struct {
	Title  string
	Impact Impact
	// DataOrSecurity is the box "customer data or security may be affected".
	DataOrSecurity bool
	Services       []string
	Severity       Severity
	Kind           Kind
	Exercise       bool
	Confidential   bool
	// OnlyPerson pages one person alone; practices only.
	OnlyPerson string
	OccurredAt time.Time
	// DetectedAt is when the first report came; zero is now.
	DetectedAt time.Time
	// How it came to be declared; empty is by a person.
	How string
	// Policy is the escalation policy of a route.
	Policy string
}

// Declare opens an incident, fills its roles and appends what the escalation
// needs.
func (s *Service) Declare(ctx context.Context, in Declaration) (*Incident, error) {
	if err := s.rights.Require(ctx, "incident.declare"); err != nil {
		return nil, err
	}
	var bad kit.Fields
	title, err := text.Line("title", in.Title, text.MaxTitle)
	if err != nil {
		bad = append(bad, kit.AsError(err).Fields...)
	}
	if !in.Severity.Valid() {
		bad.Add("severity", "incident.error.severity", "value", string(in.Severity))
	}
	switch in.Impact {
	case "":
		in.Impact = ImpactUnknown
	case ImpactUnknown, ImpactOutage, ImpactDegraded, ImpactNone:
	default:
		bad.Add("impact", "incident.error.impact", "value", string(in.Impact))
	}
	if in.Kind != "" && !in.Kind.Valid() {
		bad.Add("kind", "incident.error.kind", "value", string(in.Kind))
	}
	if in.OnlyPerson != "" && !in.Exercise {
		bad.Add("only_person", "incident.error.only_person")
	}
	now := s.d.Now()
	if in.OccurredAt.After(now.Add(time.Minute)) {
		bad.Add("occurred_at", "incident.error.future")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	i := &Incident{
		Title: title, Impact: in.Impact, Services: clean(in.Services), Exercise: in.Exercise, Confidential: in.Confidential,
		OnlyPerson: in.OnlyPerson, How: cmp.Or(in.How, "person"), Kind: in.Kind, OccurredAt: in.OccurredAt, DetectedAt: in.DetectedAt, Policy: in.Policy,
	}
	if i.Kind == "" {
		i.Kind = KindAvailability
	}
	i.PersonalData = DataUnknown
	if in.DataOrSecurity {
		i.Kind, i.PersonalData = KindSecurity, DataPossibly
	}
	i.Severity = DeclaredSeverity(in.Severity, in.Impact, in.DataOrSecurity || i.Kind == KindSecurity)
	i.SeveritySource = SourceNone
	if i.Severity != Unassessed {
		i.SeveritySource = SourceDeclared
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.create(ctx, tx, i, nil) })
	return i, err
}

func clean(ids []string) []string {
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		if id = strings.TrimSpace(id); id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// create writes a new incident with its roles and facts.
func (s *Service) create(ctx context.Context, tx *db.Tx, i *Incident, from *AlertOpened) error {
	now := tx.Now()
	n, err := tx.NextNumber(ctx, "INC")
	if err != nil {
		return err
	}
	actor := kit.ActorFrom(ctx)
	i.ID, i.Number, i.Version, i.Status, i.Phase = kit.NewIDAt(now), n, 1, StatusOpen, Detection
	i.DeclaredAt = now
	if actor.IsPerson() {
		i.DeclaredBy = actor.ID
	}
	if i.DetectedAt.IsZero() {
		i.DetectedAt = now
	}
	declared := Declared{
		Title: i.Title, How: i.How, Impact: i.Impact, Kind: i.Kind, Severity: i.Severity, Services: i.Services, Exercise: i.Exercise,
		Confidential: i.Confidential, Alerts: []string{}, Policy: i.Policy, OnlyPerson: i.OnlyPerson, Previous: i.Previous,
	}
	if from != nil {
		declared.Alerts, declared.AlertTitle = []string{from.Alert}, from.Title
	}
	facts := []fact{declared}
	if i.Severity != Unassessed {
		over, after, err := s.levels(ctx)
		if err != nil {
			return err
		}
		facts = append(facts, SeverityChanged{To: i.Severity, Source: i.SeveritySource, Added: dutyNames(Level(i.LevelFacts(), over, after)), Withdrawn: []string{}})
	}
	if _, err := tx.NewInsert().Model(toRow(i)).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	roles, err := s.fill(ctx, now, i)
	if err != nil {
		return err
	}
	i.Roles = roles
	rows := make([]roleRow, 0, len(roles))
	for _, r := range []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications} {
		if p := roles[r]; p != "" {
			rows = append(rows, roleRow{Incident: i.ID, Role: r, Person: p})
			facts = append(facts, RoleAssigned{Role: string(r), Person: p, How: "rule"})
		}
	}
	if len(rows) > 0 {
		if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
			return db.MapError(err)
		}
	}
	return s.append(ctx, tx, i, facts...)
}

// fill names who holds each role at the declaration. In a practice for one
// person, that person holds all that matter.
func (s *Service) fill(ctx context.Context, now time.Time, i *Incident) (map[kit.Role]string, error) {
	if i.OnlyPerson != "" {
		return map[kit.Role]string{kit.RoleCommander: i.OnlyPerson, kit.RolePrimary: i.OnlyPerson}, nil
	}
	out := map[kit.Role]string{}
	for _, r := range []kit.Role{kit.RolePrimary, kit.RoleSecondary} {
		p, err := s.duty.OnDuty(ctx, r, now)
		if err != nil {
			return nil, err
		}
		if p != "" && p != out[kit.RolePrimary] {
			out[r] = p
		}
	}
	for _, r := range []kit.Role{kit.RoleCommander, kit.RoleCommunications} {
		list, err := s.appointments.Appointed(ctx, r, now)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			out[r] = list[0]
		}
	}
	return out, nil
}

// Get gives an incident by reference or internal id.
func (s *Service) Get(ctx context.Context, ref string) (*Incident, error) {
	i, err := s.load(ctx, ref, nil)
	if err != nil {
		return nil, err
	}
	return i, s.rights.Require(ctx, "incident.see", held(ctx, i)...)
}

// Acknowledge takes the incident up; again is harmless.
func (s *Service) Acknowledge(ctx context.Context, ref string) (*Incident, error) {
	return s.command(ctx, ref, "incident.acknowledge", 0, func(_ context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		return i.acknowledge(tx.Now(), kit.ActorFrom(ctx).Me(), false)
	})
}

// Acknowledged is what the answer to a page does to its incident: the person who
// pressed has it, whatever their access level. It is for reactions.
func (s *Service) Acknowledged(ctx context.Context, incident, person string, at time.Time) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.find(ctx, incident, tx)
		if err != nil {
			return err
		}
		if !i.Open() {
			return nil
		}
		facts, err := i.acknowledge(at, person, false)
		if err != nil || len(facts) == 0 {
			return err
		}
		if err := s.name(ctx, tx, i.ID, person, "paged"); err != nil {
			return err
		}
		if err := s.save(ctx, tx, i); err != nil {
			return err
		}
		return s.append(ctx, tx, i, facts...)
	})
}

// Paged puts the people who are paged on the list of those who may know of the
// incident. It is for reactions.
func (s *Service) Paged(ctx context.Context, incident string, people []string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, p := range people {
			if err := s.name(ctx, tx, incident, p, "paged"); err != nil {
				return err
			}
		}
		return nil
	})
}

// Assess answers the five questions. override and reason are for a level other
// than the computed one.
func (s *Service) Assess(ctx context.Context, ref string, a Answers, services []string, override Severity, reason string) (*Incident, error) {
	return s.command(ctx, ref, "incident.assess", 0, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		over, after, err := s.levels(ctx)
		if err != nil {
			return nil, err
		}
		if services != nil {
			i.Services = clean(services)
		}
		reason, err := text.Clean("reason", reason, 500, false)
		if err != nil {
			return nil, err
		}
		return i.assess(tx.Now(), kit.ActorFrom(ctx).ID, a, override, reason, over, after)
	})
}

// Preview is what an assessment would come to.
type Preview struct {
	Verdict
	// Level is what the response level asks for; Added and Withdrawn is the
	// difference to now.
	Level, Added, Withdrawn []Duty
}

// PreviewAssess computes an assessment without saving it.
func (s *Service) PreviewAssess(ctx context.Context, ref string, a Answers) (Preview, error) {
	i, err := s.Get(ctx, ref)
	if err != nil {
		return Preview{}, err
	}
	over, after, err := s.levels(ctx)
	if err != nil {
		return Preview{}, err
	}
	before := Level(i.LevelFacts(), over, after)
	if _, err := i.assess(s.d.Now(), "", a, Unassessed, "", over, after); err != nil {
		return Preview{}, err
	}
	p := Preview{Verdict: Verdict{Severity: i.Severity, DecidedBy: i.DecidedBy, PersonalData: i.PersonalData}, Level: Level(i.LevelFacts(), over, after)}
	p.Added, p.Withdrawn = Difference(before, p.Level)
	return p, nil
}

// Phase moves to another phase; to closed it closes.
func (s *Service) Phase(ctx context.Context, ref string, to Phase, answers map[string]any, reason string) (*Incident, error) {
	return s.command(ctx, ref, "incident.phase", 0, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		use := kit.Use("incident.phase")
		if to == PhaseClosed {
			use = "incident.close"
		}
		if err := s.rights.Require(ctx, use, held(ctx, i)...); err != nil {
			return nil, err
		}
		reason, err := text.Clean("reason", reason, 500, false)
		if err != nil {
			return nil, err
		}
		approved, err := s.approvedVersion(ctx, i.ID)
		if err != nil {
			return nil, err
		}
		facts, err := i.move(tx.Now(), kit.ActorFrom(ctx).ID, to, answers, reason, approved)
		if err != nil || len(facts) == 0 {
			return nil, err
		}
		switch {
		case to == InReview:
			created, err := s.draftReview(ctx, tx, i)
			if err != nil {
				return nil, err
			}
			facts = append(facts, created...)
		case to.Number() < InReview.Number():
			again, err := s.reviewBackToDraft(ctx, tx, i.ID, reason)
			if err != nil {
				return nil, err
			}
			facts = append(facts, again...)
		}
		return facts, nil
	})
}

// Note writes a line. happened, when given, is when it took place.
func (s *Service) Note(ctx context.Context, ref, body string, happened time.Time, origin string) (*Incident, error) {
	var out *Incident
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "incident.note", held(ctx, i)...); err != nil {
			return err
		}
		body, err := text.Clean("text", body, text.MaxNote, true)
		if err != nil {
			return err
		}
		if body == "" {
			return kit.InvalidField("text", "error.required")
		}
		if happened.After(tx.Now().Add(time.Minute)) {
			return kit.InvalidField("happened_at", "incident.error.future")
		}
		out = i
		return s.appendAt(ctx, tx, i, happened, Noted{Text: body, Origin: origin})
	})
	return out, err
}

// Cancel says that it is not an incident.
func (s *Service) Cancel(ctx context.Context, ref, reason string) (*Incident, error) {
	return s.command(ctx, ref, "incident.cancel", 0, func(_ context.Context, _ *db.Tx, i *Incident) ([]fact, error) {
		reason, err := text.Clean("reason", reason, 500, false)
		if err != nil {
			return nil, err
		}
		return i.cancel(reason)
	})
}

// Reopen takes an ended incident up again.
func (s *Service) Reopen(ctx context.Context, ref, reason string) (*Incident, error) {
	return s.command(ctx, ref, "incident.reopen", 0, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		use := kit.Use("incident.reopen")
		if i.Status == StatusClosed {
			use = "incident.reopen_closed"
		}
		if err := s.rights.Require(ctx, use, held(ctx, i)...); err != nil {
			return nil, err
		}
		reason, err := text.Clean("reason", reason, 500, false)
		if err != nil {
			return nil, err
		}
		facts, err := i.reopen(reason)
		if err != nil {
			return nil, err
		}
		again, err := s.reviewBackToDraft(ctx, tx, i.ID, reason)
		return append(facts, again...), err
	})
}

// Merge ends an incident in another open one.
func (s *Service) Merge(ctx context.Context, ref, into string) (*Incident, error) {
	var out *Incident
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		// Both rows are locked in the order of their numbers, so that two merges
		// crosswise cannot wait for each other.
		a, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		b, err := s.load(ctx, into, nil)
		if err != nil {
			return err
		}
		first, second := a, b
		if b.Number < a.Number {
			first, second = b, a
		}
		for _, i := range []*Incident{first, second} {
			locked, err := s.find(ctx, i.ID, tx)
			if err != nil {
				return err
			}
			*i = *locked
		}
		if err := s.rights.Require(ctx, "incident.merge", held(ctx, a)...); err != nil {
			return err
		}
		out = b
		return s.merge(ctx, tx, a, b)
	})
	return out, err
}

// merge puts an incident into another; both are locked.
func (s *Service) merge(ctx context.Context, tx *db.Tx, a, b *Incident) error {
	over, after, err := s.levels(ctx)
	if err != nil {
		return err
	}
	here, there, err := a.merge(b, over, after)
	if err != nil {
		return err
	}
	for _, q := range []string{
		`UPDATE incident_alert SET incident = $1 WHERE incident = $2`,
		`UPDATE task SET incident = $1 WHERE incident = $2`,
	} {
		if _, err := tx.Exec(ctx, q, b.ID, a.ID); err != nil {
			return db.MapError(err)
		}
	}
	if err := s.save(ctx, tx, a); err != nil {
		return err
	}
	if err := s.save(ctx, tx, b); err != nil {
		return err
	}
	if err := s.append(ctx, tx, a, here...); err != nil {
		return err
	}
	return s.append(ctx, tx, b, there...)
}
