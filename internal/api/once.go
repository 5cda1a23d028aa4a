package api

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// keepAnswers is how long an Idempotency-Key is remembered.
const keepAnswers = 24 * time.Hour

var errUndo = errors.New("the call failed")

// onlyOnce runs a POST once for each key of a caller. The key, the effect and the
// answer are one transaction: whatever breaks, a repeat finds all of it or none.
// An answer that changed nothing is not kept, so that the call may be mended and
// sent again under its key.
func (s *server) onlyOnce(w http.ResponseWriter, r *http.Request, next http.Handler, actor kit.Actor, key string, body []byte) {
	q := requestOf(r.Context())
	if len(key) > 255 {
		s.problem(r.Context(), kit.InvalidField("Idempotency-Key", "error.too_long", "max", 255)).write(w)
		return
	}
	d := s.Ledger.DB()
	id := digest(string(actor.Kind), actor.ID, key)
	sum := digest(r.Method, r.URL.RequestURI(), string(body))
	var rec *recorder
	err := d.Write(r.Context(), func(ctx context.Context, tx *db.Tx) error {
		rec, q.err = &recorder{header: http.Header{}}, nil
		if _, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE created_at < $1`, kit.Micros(tx.Now().Add(-keepAnswers))); err != nil {
			return db.MapError(err)
		}
		res, err := tx.Exec(ctx, `INSERT INTO idempotency (id, digest, status, headers, body, created_at)
			VALUES ($1, $2, 0, '', '', $3) ON CONFLICT (id) DO NOTHING`, id, sum, kit.Micros(tx.Now()))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return rec.recall(ctx, tx, id, sum)
		}
		again := r.WithContext(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(rec, again)
		if rec.status >= http.StatusBadRequest {
			if q.err != nil {
				return q.err
			}
			return errUndo
		}
		headers, answer := packHeaders(rec.header), rec.body.String()
		if secret(r.URL.Path) {
			headers, answer = "", ""
		}
		_, err = tx.Exec(ctx, `UPDATE idempotency SET status = $1, headers = $2, body = $3 WHERE id = $4`, rec.status, headers, answer, id)
		return err
	})
	if err != nil && (rec == nil || rec.status < http.StatusBadRequest) {
		s.problem(r.Context(), err).write(w)
		return
	}
	if err == nil && strings.HasSuffix(r.URL.Path, "/erase") {
		// What was erased must leave the file of SQLite, which it does outside of a
		// transaction alone.
		if err := d.Checkpoint(r.Context()); err != nil {
			s.Log.WarnContext(r.Context(), "api: checkpoint after an erasure", "error", err)
		}
	}
	rec.send(w)
}

// recall gives the first answer again.
func (r *recorder) recall(ctx context.Context, tx *db.Tx, id, sum string) error {
	var first, headers, body string
	err := tx.QueryRow(ctx, `SELECT digest, status, headers, body FROM idempotency WHERE id = $1`, id).Scan(&first, &r.status, &headers, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return kit.Errorf(kit.CodeBusy, "error.busy")
	}
	if err != nil {
		return db.MapError(err)
	}
	if first != sum {
		r.status = 0
		return kit.InvalidField("Idempotency-Key", "api.error.other_body")
	}
	if headers == "" {
		r.status = 0
		return kit.Conflict("secret_shown", "api.error.secret_shown")
	}
	r.header = unpackHeaders(headers)
	r.header.Set("Idempotent-Replayed", "true")
	r.body.WriteString(body)
	return nil
}

// secret tells whether the answer of a call may hold a secret, of which nothing but
// a digest is ever stored.
func secret(path string) bool {
	switch path = strings.TrimPrefix(path, prefix); path {
	case "/tokens", "/sources", "/apply":
		return true
	}
	return strings.HasSuffix(path, "/rotate-key")
}

// kept are the headers that belong to an answer.
var kept = []string{"Content-Type", "ETag", "Location"}

func packHeaders(h http.Header) string {
	m := map[string]string{}
	for _, k := range kept {
		if v := h.Get(k); v != "" {
			m[k] = v
		}
	}
	raw, _ := json.Marshal(m)
	return string(raw)
}

func unpackHeaders(s string) http.Header {
	var m map[string]string
	_ = json.Unmarshal([]byte(s), &m)
	h := http.Header{}
	for k, v := range m {
		h.Set(k, v)
	}
	return h
}
