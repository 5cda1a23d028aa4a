package notify

import (
	"context"
	"time"

	"tocsin/internal/kit"
)

// Rights says whether the actor of the context may do a use case.
type Rights interface {
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}

// People knows the people of the house.
type People interface {
	// Known gives those of the ids that exist.
	Known(ctx context.Context, ids []string) (map[string]Person, error)
}

// Words gives the texts of the product.
type Words interface {
	// T gives the text of a key in a language.
	T(lang, key string, args map[string]any) string
	// Time writes an instant in a zone for a reader at now.
	Time(lang string, t time.Time, zone *time.Location, now time.Time) string
}

// Parameters gives working limits: P.storm, P.stale, P.channel.
type Parameters interface {
	Duration(ctx context.Context, name string) (time.Duration, error)
}

// Incidents tells what the actor may know of.
type Incidents interface {
	// Sees gives those of the incidents, by internal id, that the actor may see.
	Sees(ctx context.Context, incidents []string) (map[string]bool, error)
}

// Ports are what the service needs of others.
type Ports struct {
	Rights Rights
	People People
	Words  Words
	// Parameters may be nil: then the defaults hold.
	Parameters Parameters
	// Incidents may be nil: then confidential ones are seen by those paged alone.
	Incidents Incidents
	// Senders are by kind of method: webhook, email …
	Senders map[string]Sender
	// MailReplies gives the address at which replies to e-mails are read; empty, and nil,
	// are none.
	MailReplies func() string
	// BaseURL gives the address of the installation, without a slash at its end.
	BaseURL func() string
	// Key, of at least 16 bytes, is what the tokens are made with; it must not be
	// in the database and be the same on every node.
	Key []byte
}

// Sender brings a message to a provider of one kind of method.
type Sender interface {
	Send(ctx context.Context, m Message) (Result, error)
}

// Provided is a Sender that works only where a provider is set.
type Provided interface {
	Provided(ctx context.Context) bool
}

// Message is a rendered message to one address.
type Message struct {
	// ID is the delivery id: the idempotency key of every attempt.
	ID      string
	To      string
	Subject string
	Text    string
	HTML    string
	// Page tells a page from what can wait; Button is what its link is called.
	Page   bool
	Button string
	// Language is that of the recipient, Brief the message for a small screen and a call.
	Language string
	Brief    Brief
	// Topic is what the message is about: it may take the place of an earlier one of the
	// same topic, which it repeats or goes on from. Empty replaces nothing but itself.
	Topic string
	// Body is the JSON of a webhook.
	Body []byte
	// MessageID and References are the e-mail headers of these names.
	MessageID  string
	References string
	// ReplyTo is where an answer by e-mail is read; empty is nowhere.
	ReplyTo string
}

// Result is what a provider said.
type Result struct {
	ProviderID string
	// Confirmed is set when the provider says that it was delivered.
	Confirmed bool
}

// SendError is a failed attempt.
type SendError struct {
	// Permanent means that no further try can succeed; Gone that the address is
	// to be disabled.
	Permanent, Gone bool
	// Doubt means that the provider may have taken the message all the same: it was
	// handed over whole and no answer came.
	Doubt bool
	// RetryAfter is what the provider asked for; 0 when it did not.
	RetryAfter time.Duration
	Err        error
}

// Error implements error.
func (e *SendError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *SendError) Unwrap() error { return e.Err }
