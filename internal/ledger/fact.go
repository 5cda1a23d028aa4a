// Package ledger keeps the one list of facts: gap-free in commit order,
// tamper-evident by an RFC 6962 Merkle tree, erasable body by body. Every change
// of state appends its facts here in its own transaction; timelines, the audit
// log, reactions, live updates and evidence are readings of this list.
package ledger

import (
	"context"
	"encoding/json"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Subject is what a fact is about.
type Subject struct {
	// Kind is the noun: incident, alert, page, ladder, person …
	Kind string `json:"kind"`
	// ID is opaque: an internal id or a slug.
	ID string `json:"id"`
	// Ref is the reference shown to people (INC-42), where the kind has one.
	Ref string `json:"ref,omitempty"`
}

// Actor is who or what did it, as the fact keeps it.
type Actor struct {
	Kind kit.ActorKind `json:"kind"`
	ID   string        `json:"id"`
	// Name is kept with the body, so that erasure takes it too.
	Name string `json:"name"`
}

// Fact is one change of state.
type Fact struct {
	// Seq is the position, from 1 without gaps, known after the commit only.
	Seq int64 `json:"seq"`
	// ID is a UUID of version 7.
	ID string `json:"id"`
	// HappenedAt may be told by a person; RecordedAt is the server's.
	HappenedAt time.Time `json:"happened_at"`
	RecordedAt time.Time `json:"recorded_at"`
	Actor      Actor     `json:"actor"`
	Via        kit.Via   `json:"via"`
	Subject    Subject   `json:"subject"`
	// Incident is the internal id of the incident whose timeline has this fact.
	Incident string `json:"incident,omitempty"`
	// Type is noun.past_participle: incident.declared.
	Type string `json:"type"`
	// V is the version of the body's shape.
	V int `json:"v"`
	// Body is the JSON of the fact's own type; nil once erased.
	Body json.RawMessage `json:"body"`
	// Erased is set when body and salt are gone and a tombstone says so.
	Erased bool `json:"erased,omitempty"`
}

// Decode reads the body into the module's type.
func (f *Fact) Decode(v any) error { return json.Unmarshal(f.Body, v) }

// Body is what a module publishes as a fact type.
type Body interface {
	// FactType is the name, noun.past_participle.
	FactType() string
}

// encoded is a body whose JSON was made before.
type encoded struct {
	typ string
	raw []byte
}

// FactType implements Body.
func (e encoded) FactType() string { return e.typ }

// Encode makes the JSON of a body beforehand: where one goroutine appends what many
// bring, each of them can do its own.
func Encode(b Body) (Body, error) {
	raw, err := json.Marshal(b)
	return encoded{b.FactType(), raw}, err
}

// Entry is a fact to be appended.
type Entry struct {
	Subject  Subject
	Incident string
	// HappenedAt defaults to the transaction's instant.
	HappenedAt time.Time
	// Actor defaults to the context's.
	Actor *kit.Actor
	// V defaults to 1.
	V    int
	Body Body
}

// Append collects facts in the transaction; they are numbered, hashed into the
// tree and written as the last act before its commit.
func Append(ctx context.Context, tx *db.Tx, entries ...Entry) error {
	return appendEntries(ctx, tx, entries)
}
