package incident

import (
	"context"
	"time"

	"tocsin/internal/kit"
)

// Rights says who may what; held are the roles that the actor has in the incident.
type Rights interface {
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}

// Roster tells who is on duty.
type Roster interface {
	// OnDuty gives the person who holds primary or secondary duty, or nobody.
	OnDuty(ctx context.Context, role kit.Role, at time.Time) (string, error)
}

// Appointments tells who holds a standing role, in order of succession and
// without those on leave at the instant.
type Appointments interface {
	Appointed(ctx context.Context, role kit.Role, at time.Time) ([]string, error)
}

// People tells whether a person exists and may hold a role.
type People interface {
	Active(ctx context.Context, person string) (bool, error)
}

// Settings gives the organisation's limits.
type Settings interface {
	// Limit is a parameter by name: P.assess, P.review.high …
	Limit(ctx context.Context, name string) (time.Duration, error)
	// Levels are the cells of the response levels that the organisation changed.
	Levels(ctx context.Context) (Overrides, error)
	// Zone is the organisation's time zone.
	Zone(ctx context.Context) (*time.Location, error)
}
