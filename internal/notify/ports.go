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

// Sender brings a message to a provider of one kind of method.
type Sender interface {
	Send(ctx context.Context, m Message) (Result, error)
}

// Message is a rendered message to one address.
type Message struct {
	// ID is the delivery id: the idempotency key of every attempt.
	ID      string
	To      string
	Subject string
	Text    string
	HTML    string
	// Body is the JSON of a webhook.
	Body []byte
	// MessageID and References are the e-mail headers of these names.
	MessageID  string
	References string
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
	// RetryAfter is what the provider asked for; 0 when it did not.
	RetryAfter time.Duration
	Err        error
}

// Error implements error.
func (e *SendError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *SendError) Unwrap() error { return e.Err }
