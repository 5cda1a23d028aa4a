package oncall

import (
	"context"
	"time"

	"tocsin/internal/holiday"
	"tocsin/internal/kit"
)

// Rights decides what the actor of the context may do.
type Rights interface {
	// Require answers kit.Forbidden when the actor may not.
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}

// PersonState is what on-call needs to know of a person.
type PersonState struct {
	Name      string
	Suspended bool
	OnLeave   bool
	// Leave are the times away that are not over.
	Leave []Span
}

// People knows the people of the house.
type People interface {
	// States gives those of the ids that exist, with their leave at an instant.
	States(ctx context.Context, ids []string, at time.Time) (map[string]PersonState, error)
	// Team gives the members; ok is false when there is no such team.
	Team(ctx context.Context, id string) (members []string, ok bool, err error)
	// Zone is the organisation's time zone.
	Zone(ctx context.Context) (string, error)
	// Holidays are the public holidays of the organisation.
	Holidays(ctx context.Context) (holiday.Calendar, error)
}

// Method is a way by which a person is reached after a page.
type Method struct {
	Method string   `json:"method"`
	After  Duration `json:"after"`
}

// Reach knows the contact methods of people.
type Reach interface {
	// Reachable gives those of the people who have a contact method.
	Reachable(ctx context.Context, people []string) (map[string]bool, error)
	// Methods gives in which order and when a person is tried.
	Methods(ctx context.Context, person, severity string) ([]Method, error)
}

// Appointments knows the standing roles.
type Appointments interface {
	// Appointed gives the people of a role in order of succession, with the
	// fallbacks: communications and management to commander, that to the admins.
	Appointed(ctx context.Context, role kit.Role) ([]string, error)
}

// Services knows the policy of a service.
type Services interface {
	// Policy is the policy that a service names; empty when it names none.
	Policy(ctx context.Context, service string) (string, error)
}

// Parameters gives working limits such as P.still.
type Parameters interface {
	Duration(ctx context.Context, name string) (time.Duration, error)
}

// Question is "Still on it?", to the holder alone.
type Question struct {
	Ladder, Incident, Ref, Title, Severity, Person string
	// Until is when the ladder resumes without an answer.
	Until time.Time
}

// Asker puts the question; it is called inside a transaction and only queues.
type Asker interface {
	AskStill(ctx context.Context, q Question) error
}

// Ports are what the service needs of other modules.
type Ports struct {
	Rights       Rights
	People       People
	Reach        Reach
	Appointments Appointments
	Services     Services
	Parameters   Parameters
	// Asker may be nil: then nobody is asked and the ladder just resumes.
	Asker Asker
}
