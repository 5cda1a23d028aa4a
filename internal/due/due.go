// Package due keeps what must happen later as rows: at this instant, do this, for
// this key. Nothing that is due lives in memory only.
package due

import (
	"context"
	"time"

	"tocsin/internal/db"
)

// Row is a thing that is due.
type Row struct {
	ID   int64
	Kind string
	// Key is unique within the kind.
	Key   string
	DueAt time.Time
	// Attempts counts the claims, this one included: more than 1 means that an
	// earlier try failed or that its lease ran out.
	Attempts int
	// LeaseLost is set when the last claim ended without a result: whoever had
	// the row died or stalled, and what it did outside is in doubt.
	LeaseLost bool
	// Body is the JSON that At was given.
	Body []byte
}

// At puts a row, or moves the one of the same kind and key to a new instant and
// body; a worker that holds the old one then finds its token gone.
func At(ctx context.Context, tx *db.Tx, kind, key string, at time.Time, body any) error {
	return put(ctx, tx, kind, key, at, body)
}

// Cancel removes the rows of a kind with these keys, as far as they are there.
func Cancel(ctx context.Context, tx *db.Tx, kind string, keys ...string) error {
	return cancel(ctx, tx, kind, keys)
}

// Lane groups kinds that are claimed by workers of their own, so that a mass of
// rows in one never stands before a row of another.
type Lane string

// The lanes.
const (
	// Paging: ladders, deliveries of pages.
	Paging Lane = "paging"
	// Normal: notices, reminders, clocks.
	Normal Lane = "normal"
	// Slow: retention, reports, checkpoints, verification.
	Slow Lane = "slow"
)

// Task says what a kind of row does. Exactly one of Run and Send is set.
type Task struct {
	Kind string
	Lane Lane
	// Lease is how long a claim holds before others may take the row; default 30 s.
	Lease time.Duration
	// Run has its whole effect in the transaction that removes the row. An error
	// puts the row back with a growing delay (1 s to 5 min); it never disappears.
	Run func(ctx context.Context, tx *db.Tx, row Row) error
	// Claimed, optional with Send, runs in the claiming transaction: the durable
	// mark that the effect is about to be tried.
	Claimed func(ctx context.Context, tx *db.Tx, rows []Row) error
	// Send has its effect outside the database, without a transaction. What it
	// returns runs in the transaction that removes the row, together with the
	// results of other senders; it may put the row again for another try.
	Send func(ctx context.Context, row Row) (finish func(ctx context.Context, tx *db.Tx) error)
	// Senders is how many Sends run at once, and the most that is ever claimed
	// ahead; default 8.
	Senders int
}
