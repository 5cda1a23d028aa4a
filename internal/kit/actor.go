package kit

import (
	"context"
	"slices"
)

// ActorKind says what acts.
type ActorKind string

// The kinds of actor.
const (
	ActorPerson   ActorKind = "person"
	ActorToken    ActorKind = "token"
	ActorRule     ActorKind = "rule"
	ActorSource   ActorKind = "source"
	ActorAuditor  ActorKind = "auditor"
	ActorReporter ActorKind = "reporter"
	ActorSystem   ActorKind = "system"
)

// Via says by which way an act came in.
type Via string

// The ways in.
const (
	ViaWeb    Via = "web"
	ViaAPI    Via = "api"
	ViaCLI    Via = "cli"
	ViaSlack  Via = "slack"
	ViaEmail  Via = "email"
	ViaSMS    Via = "sms"
	ViaVoice  Via = "voice"
	ViaPush   Via = "push"
	ViaIngest Via = "ingest"
	ViaDue    Via = "due"
	ViaApply  Via = "apply"
	ViaImport Via = "import"
)

// Access is what an account may do.
type Access string

// The access levels. Communications is viewer with the rights of communication;
// it is not above responder.
const (
	AccessViewer         Access = "viewer"
	AccessCommunications Access = "communications"
	AccessResponder      Access = "responder"
	AccessManager        Access = "manager"
	AccessAdmin          Access = "admin"
)

// Accesses lists the access levels from least to most.
var Accesses = []Access{AccessViewer, AccessCommunications, AccessResponder, AccessManager, AccessAdmin}

// Role is what a person is in an incident, or by appointment.
type Role string

// The roles. Management exists by appointment only.
const (
	RoleCommander      Role = "commander"
	RolePrimary        Role = "primary"
	RoleSecondary      Role = "secondary"
	RoleCommunications Role = "communications"
	RoleManagement     Role = "management"
)

// Actor is who or what acts, with what the rights need to know of it.
type Actor struct {
	Kind ActorKind
	// ID is the slug of a person, the id of a token, the name of a rule …: opaque.
	ID   string
	Name string
	Via  Via
	// Access is the access level of a person or token, empty for the others.
	Access Access
	// Appointments are the standing roles of the person.
	Appointments []Role
	// Scopes narrow a token ("incidents:write"); nil means all of its level.
	Scopes []string
	// Language is fr or en, or empty when not known.
	Language string
	// Owner is the person whom a token belongs to: who is meant by "me". It gives no
	// right, and what a token does is never done by a second person.
	Owner string
}

// Me is the person whom the actor speaks of as "me": a person themselves, a token
// the one it belongs to; else the actor's own id.
func (a Actor) Me() string {
	if a.Kind == ActorToken && a.Owner != "" {
		return a.Owner
	}
	return a.ID
}

// IsPerson tells whether a human acts.
func (a Actor) IsPerson() bool { return a.Kind == ActorPerson }

// IsSystem tells whether the product itself acts: the system, a rule, or a due row.
func (a Actor) IsSystem() bool { return a.Kind == ActorSystem || a.Kind == ActorRule }

// Appointed tells whether the person holds a standing role.
func (a Actor) Appointed(r Role) bool { return slices.Contains(a.Appointments, r) }

// System is the product itself acting for a stated reason.
func System(via Via) Actor { return Actor{Kind: ActorSystem, ID: "tocsin", Name: "Tocsin", Via: via} }

type actorKey struct{}

// WithActor makes the actor known to everything called with the context.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom gives the actor of the context; the zero Actor is nobody and has no right.
func ActorFrom(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// Use names a use case for the rights ("incident.assess"). The table of who may
// what is in package identity.
type Use string
