package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"tocsin/internal/kit"
	"tocsin/internal/once"
)

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
	id := once.Digest(string(actor.Kind), actor.ID, key)
	sum := once.Digest(r.Method, r.URL.RequestURI(), string(body))
	var rec *recorder
	first, err := once.Do(r.Context(), d, id, sum, func(ctx context.Context) (once.Answer, error) {
		rec, q.err = &recorder{header: http.Header{}}, nil
		again := r.WithContext(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(rec, again)
		if rec.status >= http.StatusBadRequest {
			if q.err != nil {
				return once.Answer{}, q.err
			}
			return once.Answer{}, errUndo
		}
		if secret(r.URL.Path) {
			return once.Answer{Status: rec.status}, nil
		}
		return once.Answer{Status: rec.status, Headers: packHeaders(rec.header), Body: rec.body.String()}, nil
	})
	if err == nil && first != nil {
		rec, err = recall(first, sum)
	}
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
func recall(first *once.Answer, sum string) (*recorder, error) {
	if first.Digest != sum {
		return nil, kit.InvalidField("Idempotency-Key", "api.error.other_body")
	}
	if first.Headers == "" {
		return nil, kit.Conflict("secret_shown", "api.error.secret_shown")
	}
	rec := &recorder{header: unpackHeaders(first.Headers), status: first.Status}
	rec.header.Set("Idempotent-Replayed", "true")
	rec.body.WriteString(first.Body)
	return rec, nil
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
