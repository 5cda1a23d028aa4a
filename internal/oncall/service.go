package oncall

import (
	"context"
	"errors"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Service is the module: schedules, policies and the ladders that run.
type Service struct {
	d *db.DB
	p Ports
}

// New makes the module on the database of a ledger.
func New(l *ledger.Ledger, p Ports) *Service { return &Service{d: l.DB(), p: p} }

var errNotBuilt = kit.Internal(errors.New("not built"))

// Schedules gives the schedules in use, by id.
func (s *Service) Schedules(ctx context.Context) ([]Schedule, error) { return nil, errNotBuilt }

// Schedule gives one schedule as it is now.
func (s *Service) Schedule(ctx context.Context, id string) (Schedule, error) {
	return Schedule{}, errNotBuilt
}

// SaveSchedule makes or replaces a schedule. A Version that is not zero must be the present one.
func (s *Service) SaveSchedule(ctx context.Context, in Schedule) (Schedule, error) {
	return Schedule{}, errNotBuilt
}

// Policies gives the policies in use, by id, the built-in ones included.
func (s *Service) Policies(ctx context.Context) ([]Policy, error) { return nil, errNotBuilt }

// Policy gives one policy.
func (s *Service) Policy(ctx context.Context, id string) (Policy, error) {
	return Policy{}, errNotBuilt
}

// SavePolicy makes or replaces a policy. A Version that is not zero must be the present one.
func (s *Service) SavePolicy(ctx context.Context, in Policy) (Policy, error) {
	return Policy{}, errNotBuilt
}

// Apply brings schedules and policies to what the organisation file says; with
// prune, what left the file is retired.
func (s *Service) Apply(ctx context.Context, tx *db.Tx, schedules []Schedule, policies []Policy, prune bool) ([]kit.Change, error) {
	return nil, errNotBuilt
}

// OnDuty gives who holds primary or secondary duty at an instant, never the same
// person for both; empty when nobody does.
func (s *Service) OnDuty(ctx context.Context, role kit.Role, at time.Time) (string, error) {
	return "", errNotBuilt
}

// OnCallNow gives who is on duty now, one line per schedule.
func (s *Service) OnCallNow(ctx context.Context) ([]Duty, error) { return nil, errNotBuilt }

// OnCallAt is OnCallNow for another instant.
func (s *Service) OnCallAt(ctx context.Context, at time.Time) ([]Duty, error) {
	return nil, errNotBuilt
}

// Intervals gives who is on duty by a schedule in [from, to), at most 400 days.
func (s *Service) Intervals(ctx context.Context, id string, from, to time.Time) ([]Slot, error) {
	return nil, errNotBuilt
}

// Overrides gives the overrides made by hand that end after an instant, in order.
func (s *Service) Overrides(ctx context.Context, id string, after time.Time) ([]Override, error) {
	return nil, errNotBuilt
}

// AddOverride puts a person on duty for a time.
func (s *Service) AddOverride(ctx context.Context, schedule, person string, from, to time.Time) (Override, error) {
	return Override{}, errNotBuilt
}

// RemoveOverride ends an override now.
func (s *Service) RemoveOverride(ctx context.Context, id string) error { return errNotBuilt }

// Gaps gives the times in the coming days in which a schedule has nobody.
func (s *Service) Gaps(ctx context.Context, days int) ([]Gap, error) { return nil, errNotBuilt }

// ICS gives a schedule as an iCalendar file; person limits it to their shifts, away
// adds nothing.
func (s *Service) ICS(ctx context.Context, id, person string) ([]byte, error) {
	return nil, errNotBuilt
}

// SimulateQuery asks who would be woken.
type SimulateQuery struct {
	// Policy is the policy's id; empty means that of the service, else default.
	Policy, Service string
	// Severity is sev1 … sev4, or empty for not assessed.
	Severity string
	// Kind is the incident's kind, for `when` of steps.
	Kind string
	// At is when the incident starts; zero means now.
	At time.Time
	// Away are people who are taken to be unreachable.
	Away []string
}

// Simulate gives who is woken, when and by which method, when nobody answers.
func (s *Service) Simulate(ctx context.Context, q SimulateQuery) (Simulation, error) {
	return Simulation{}, errNotBuilt
}

// StartLadder starts a ladder and gives its id; empty when none is started, as for
// sev4. What is due at once runs in the same transaction.
func (s *Service) StartLadder(ctx context.Context, in Start) (string, error) {
	return "", errNotBuilt
}

// PageSomeone starts a ladder of one step that pages these people or targets, asked
// for by a person.
func (s *Service) PageSomeone(ctx context.Context, in Start, targets ...string) (string, error) {
	return "", errNotBuilt
}

// Answered stops the ladder: the person has it. The first answer wins; later ones change nothing.
func (s *Service) Answered(ctx context.Context, ladder, person string) error { return errNotBuilt }

// AnsweredIncident stops every open ladder of the incident: the person has it.
func (s *Service) AnsweredIncident(ctx context.Context, incident, person string) error {
	return errNotBuilt
}

// Refused runs the next step at once.
func (s *Service) Refused(ctx context.Context, o Outcome) error { return errNotBuilt }

// Unreachable runs the next step at once when all methods of a person failed and
// nobody else of the step can still be reached.
func (s *Service) Unreachable(ctx context.Context, o Outcome) error { return errNotBuilt }

// Stop ends every open ladder of the incident without an answer.
func (s *Service) Stop(ctx context.Context, incident, reason string) error { return errNotBuilt }

// Resume lets the newest ladder of the incident go on with its next step now.
func (s *Service) Resume(ctx context.Context, incident, reason string) error { return errNotBuilt }

// Raise tells the ladders of an incident its new severity.
func (s *Service) Raise(ctx context.Context, incident, severity string) error { return errNotBuilt }

// Active notes activity by the holder or, of anybody, on the incident.
func (s *Service) Active(ctx context.Context, incident, person string) error { return errNotBuilt }

// Ladders gives the ladders of an incident, the newest first.
func (s *Service) Ladders(ctx context.Context, incident string) ([]Ladder, error) {
	return nil, errNotBuilt
}

// Ladder gives one ladder.
func (s *Service) Ladder(ctx context.Context, id string) (Ladder, error) {
	return Ladder{}, errNotBuilt
}

// OpenLadders gives those running or exhausted, the oldest first, at most 500.
func (s *Service) OpenLadders(ctx context.Context) ([]Ladder, error) { return nil, errNotBuilt }

// Next gives who is paged next when nobody answers; no people when none will be.
func (s *Service) Next(ctx context.Context, ladder string) (NextPage, error) {
	return NextPage{}, errNotBuilt
}

// Tasks are the due rows of the module.
func (s *Service) Tasks() []due.Task { return nil }
