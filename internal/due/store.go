package due

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

const upsert = `INSERT INTO due (kind, key, due_at, run_at, token, body) VALUES ($1, $2, $3, $3, $4, $5)
	ON CONFLICT (kind, key) DO UPDATE SET due_at = excluded.due_at, run_at = excluded.run_at,
	body = excluded.body, token = excluded.token, attempts = 0, owner = '', lost = FALSE`

func put(ctx context.Context, tx *db.Tx, kind, key string, at time.Time, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return kit.Internal(fmt.Errorf("due row %s %s: %w", kind, key, err))
	}
	at = kit.Truncate(at)
	if _, err := tx.Exec(ctx, upsert, kind, key, at.UnixMicro(), kit.Secret(12), string(raw)); err != nil {
		return db.MapError(err)
	}
	wakeAfter(tx, kind, at)
	return nil
}

func cancel(ctx context.Context, tx *db.Tx, kind string, keys []string) (err error) {
	switch len(keys) {
	case 0:
	case 1:
		_, err = tx.Exec(ctx, `DELETE FROM due WHERE kind = $1 AND key = $2`, kind, keys[0])
	default:
		_, err = tx.NewDelete().Table("due").Where("kind = ?", kind).Where("key IN (?)", bun.List(keys)).Exec(ctx)
	}
	return db.MapError(err)
}

// held is a row that is claimed.
type held struct {
	Row
	token string
}

const columns = `id, kind, key, due_at, attempts, lost, token, body`

// firstRows is the condition that picks the first n rows that are due of a kind.
// On PostgreSQL the inner query must run once only, which the array ensures.
func firstRows(d *db.DB, from int) string {
	q := fmt.Sprintf(`SELECT id FROM due WHERE kind = $%d AND run_at <= $%d ORDER BY run_at LIMIT $%d`, from, from+1, from+2)
	if d.Dialect() == db.PostgreSQL {
		return `id = ANY(ARRAY(` + q + ` FOR UPDATE SKIP LOCKED))`
	}
	return `id IN (` + q + `)`
}

// claim takes the first n rows of a kind that are due. A row whose owner is still
// noted was claimed before and never came back.
func claim(ctx context.Context, tx *db.Tx, kind, owner string, now, until time.Time, n int) ([]held, error) {
	rows, err := tx.Query(ctx, `UPDATE due SET run_at = $1, attempts = attempts + 1, lost = (owner <> ''), owner = $2, token = $3
		WHERE `+firstRows(tx.DB(), 4)+` RETURNING `+columns,
		until.UnixMicro(), owner, kit.Secret(12), kind, now.UnixMicro(), n)
	return scan(rows, err, 0)
}

// take removes the first n rows of a kind that are due; they are back if the
// transaction is undone.
func take(ctx context.Context, tx *db.Tx, kind string, now time.Time, n int) ([]held, error) {
	rows, err := tx.Query(ctx, `DELETE FROM due WHERE `+firstRows(tx.DB(), 1)+` RETURNING `+columns,
		kind, now.UnixMicro(), n)
	return scan(rows, err, 1)
}

// takeOne removes one row if it is still the same and still due.
func takeOne(ctx context.Context, tx *db.Tx, h held, now time.Time) ([]held, error) {
	rows, err := tx.Query(ctx, `DELETE FROM due WHERE id = $1 AND token = $2 AND run_at <= $3 RETURNING `+columns,
		h.ID, h.token, now.UnixMicro())
	return scan(rows, err, 1)
}

func scan(rows *sql.Rows, err error, more int) ([]held, error) {
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []held
	for rows.Next() {
		var (
			h    held
			at   int64
			body string
		)
		if err := rows.Scan(&h.ID, &h.Kind, &h.Key, &at, &h.Attempts, &h.LeaseLost, &h.token, &body); err != nil {
			return nil, db.MapError(err)
		}
		h.DueAt, h.Body = kit.FromMicros(at), []byte(body)
		h.Attempts += more
		out = append(out, h)
	}
	// The order of RETURNING is not promised.
	slices.SortFunc(out, func(a, b held) int {
		return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.ID, b.ID))
	})
	return out, db.MapError(rows.Err())
}

// release removes claimed rows that are still the claimer's and gives the ids of
// those it removed.
func release(ctx context.Context, tx *db.Tx, rows []held) (map[int64]bool, error) {
	pairs := make([]string, len(rows))
	args := make([]any, 0, 2*len(rows))
	for i, h := range rows {
		pairs[i] = "(?, ?)"
		args = append(args, h.ID, h.token)
	}
	var ids []int64
	if err := tx.NewRaw(`DELETE FROM due WHERE (id, token) IN (VALUES `+strings.Join(pairs, ", ")+`) RETURNING id`, args...).
		Scan(ctx, &ids); err != nil {
		return nil, db.MapError(err)
	}
	out := make(map[int64]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, nil
}

// postpone puts a row back for a later try. With lost, what the try did outside
// is in doubt and the next claim learns it.
func postpone(ctx context.Context, d *db.DB, h held, at time.Time, lost bool) error {
	owner := ""
	if lost {
		owner = "lost"
	}
	return d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE due SET run_at = $1, attempts = $2, owner = $3 WHERE id = $4 AND token = $5`,
			at.UnixMicro(), h.Attempts, owner, h.ID, h.token)
		return db.MapError(err)
	})
}

// voidLeases frees every claim at once. It is right only where no other process
// can hold one: SQLite, at start.
func voidLeases(ctx context.Context, d *db.DB) error {
	return d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE due SET run_at = due_at WHERE owner <> ''`)
		return db.MapError(err)
	})
}

// heads gives the first run_at of each kind that has rows, from the read side.
func heads(ctx context.Context, d *db.DB, kinds []string) (map[string]time.Time, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	args := make([]any, len(kinds))
	for i, k := range kinds {
		args[i] = k
	}
	rows, err := d.Read(ctx).QueryContext(ctx, `SELECT k.column1, (SELECT min(d.run_at) FROM due AS d WHERE d.kind = k.column1)
		FROM (VALUES `+strings.TrimSuffix(strings.Repeat("(?), ", len(kinds)), ", ")+`) AS k`, args...)
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	out := make(map[string]time.Time, len(kinds))
	for rows.Next() {
		var kind string
		var at sql.NullInt64
		if err := rows.Scan(&kind, &at); err != nil {
			return nil, db.MapError(err)
		}
		if at.Valid {
			out[kind] = kit.FromMicros(at.Int64)
		}
	}
	return out, db.MapError(rows.Err())
}

// pending gives the rows of the kinds, first due first.
func pending(ctx context.Context, d *db.DB, kinds []string, limit int) ([]Row, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	rows, err := d.Read(ctx).QueryContext(ctx, `SELECT `+columns+` FROM due WHERE kind IN (?) ORDER BY due_at, id LIMIT ?`, bun.List(kinds), limit)
	hs, err := scan(rows, err, 0)
	if err != nil {
		return nil, err
	}
	out := make([]Row, len(hs))
	for i, h := range hs {
		out[i] = h.Row
	}
	return out, nil
}
