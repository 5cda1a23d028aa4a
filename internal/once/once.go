// Package once lets what is sent twice take effect once: a call that repeats its key,
// a form that is submitted again. The keys lie in the database for 24 hours, so that
// they hold over a restart and on every node.
package once

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// keep is how long a key is remembered.
const keep = 24 * time.Hour

// Answer is what the first sender was told. Headers and Body are the caller's own;
// a Status of 0 says that the first one is not done.
type Answer struct {
	Status        int
	Headers, Body string
	// Digest is that of what the first one sent.
	Digest string
}

// Digest makes one name of several parts.
func Digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Do runs fn for a key that was not used: the key, the effect and the answer are one
// transaction, and an error leaves nothing. For a key that was used it gives the first
// answer and does not run fn.
func Do(ctx context.Context, d *db.DB, key, digest string, fn func(ctx context.Context) (Answer, error)) (first *Answer, err error) {
	err = d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var err error
		if first, err = claim(ctx, tx, key, digest); err != nil || first != nil {
			return err
		}
		a, err := fn(ctx)
		if err != nil {
			return err
		}
		return answer(ctx, tx, key, a)
	})
	return first, err
}

// Claim takes a key for somebody whose effect is not one transaction; they call Keep
// or Drop. For a key that was used it waits a moment for the first one to be done and
// gives its answer: with a Status of 0 nobody knows what became of it.
func Claim(ctx context.Context, d *db.DB, key, digest string) (first *Answer, err error) {
	const tries, pause = 100, 100 * time.Millisecond
	for range tries {
		err = d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			first, err = claim(ctx, tx, key, digest)
			return err
		})
		if err != nil || first == nil || first.Status != 0 {
			return first, err
		}
		select {
		case <-ctx.Done():
			return first, ctx.Err()
		case <-time.After(pause):
		}
	}
	return first, nil
}

// Keep remembers the answer of a key that was claimed.
func Keep(ctx context.Context, d *db.DB, key string, a Answer) error {
	return d.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return answer(ctx, tx, key, a) })
}

// Drop forgets a key: nothing took effect, and it may be used again.
func Drop(ctx context.Context, d *db.DB, key string) error {
	return d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE id = $1`, key)
		return db.MapError(err)
	})
}

func claim(ctx context.Context, tx *db.Tx, key, digest string) (*Answer, error) {
	if _, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE created_at < $1`, kit.Micros(tx.Now().Add(-keep))); err != nil {
		return nil, db.MapError(err)
	}
	res, err := tx.Exec(ctx, `INSERT INTO idempotency (id, digest, status, headers, body, created_at)
		VALUES ($1, $2, 0, '', '', $3) ON CONFLICT (id) DO NOTHING`, key, digest, kit.Micros(tx.Now()))
	if err != nil {
		return nil, db.MapError(err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return nil, err
	}
	var a Answer
	err = tx.QueryRow(ctx, `SELECT digest, status, headers, body FROM idempotency WHERE id = $1`, key).Scan(&a.Digest, &a.Status, &a.Headers, &a.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, kit.Errorf(kit.CodeBusy, "error.busy")
	}
	return &a, db.MapError(err)
}

func answer(ctx context.Context, tx *db.Tx, key string, a Answer) error {
	_, err := tx.Exec(ctx, `UPDATE idempotency SET status = $1, headers = $2, body = $3 WHERE id = $4`, a.Status, a.Headers, a.Body, key)
	return db.MapError(err)
}
