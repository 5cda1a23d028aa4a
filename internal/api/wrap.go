package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/internal/history"
	"tocsin/internal/kit"
)

const (
	maxBody = 1 << 20
	// maxFile bounds the organisation file, which names every person and service.
	maxFile = 8 << 20
	// maxImport bounds a file of past incidents, which comes in base64.
	maxImport = history.MaxFile/3*4 + 1<<20
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
	// importTime is the same for a file of past incidents.
	importTime = 5 * time.Minute
)

// wrap does what every call needs before it: who calls, what the body is, and
// whether it was done already.
func (s *server) wrap(mux *http.ServeMux) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{id: kit.NewID(), path: r.URL.Path}
		ctx := context.WithValue(r.Context(), requestKey{}, q)
		r = r.WithContext(ctx)
		h := w.Header()
		h.Set("X-Request-Id", q.id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				s.Log.ErrorContext(ctx, "api: panic", "request", q.id, "path", q.path, "panic", v, "stack", string(debug.Stack()))
				newProblem(kit.CodeInternal, q).write(w)
			}
		}()
		if rest, ok := strings.CutSuffix(r.URL.Path, ".ics"); ok && strings.HasPrefix(rest, prefix+"/on-call/schedules/") {
			// A pattern of the mux holds whole segments only.
			r.URL.Path = rest + "/ics"
		}
		_, pattern := mux.Handler(r)
		if pattern == "" {
			s.unknown(w, r, mux)
			return
		}
		if public[pattern] {
			mux.ServeHTTP(w, r)
			return
		}
		actor, cookie, err := s.caller(r, pattern)
		if err == nil && cookie {
			if e := cross.Check(r); e != nil {
				err = &kit.Error{Code: kit.CodeForbidden, Key: "api.error.cross_origin", Err: e}
			}
		}
		if err != nil {
			s.problem(ctx, err).write(w)
			return
		}
		r = r.WithContext(kit.WithActor(ctx, actor))
		body, err := readBody(w, r)
		if err != nil {
			s.problem(ctx, err).write(w)
			return
		}
		if key := r.Header.Get("Idempotency-Key"); key != "" && r.Method == http.MethodPost && r.URL.Path != prefix+tryPath && pattern != reportPattern {
			s.onlyOnce(w, r, mux, actor, key, body)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// public are the patterns that need no token.
var public = map[string]bool{"GET /api/docs": true, "GET " + prefix + "/openapi.json": true}

// unknown answers a path that is no call, or a call by the wrong method.
func (s *server) unknown(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	p := s.problem(r.Context(), kit.Errorf(kit.CodeNotFound, "api.error.no_such_call", "method", r.Method, "path", r.URL.Path))
	probe := &recorder{header: http.Header{}}
	mux.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		p.Status = http.StatusMethodNotAllowed
	}
	p.write(w)
}

// caller gives the actor of a call. A problem may be reported without a token.
func (s *server) caller(r *http.Request, pattern string) (kit.Actor, bool, error) {
	if pattern == reportPattern && r.Header.Get("Authorization") == "" {
		return stranger(r), false, nil
	}
	return s.who(r)
}

// who gives the actor of a request; cookie tells that a browser sent it unasked.
func (s *server) who(r *http.Request) (a kit.Actor, cookie bool, err error) {
	if head := r.Header.Get("Authorization"); head != "" {
		scheme, token, _ := strings.Cut(head, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return a, false, kit.Errorf(kit.CodeUnauthenticated, "api.error.token")
		}
		a, err = s.Identity.Authenticate(r.Context(), strings.TrimSpace(token))
		return a, false, err
	}
	if s.Session != nil {
		if a, err = s.Session(r); err != nil {
			return a, true, err
		}
	}
	if a.Kind == "" {
		return a, false, kit.Errorf(kit.CodeUnauthenticated, "api.error.token")
	}
	a.Via = kit.ViaAPI
	return a, true, nil
}

// readBody takes the body whole, so that what is wrong with it as such is told
// before anything is done, and puts it back.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil, nil
	}
	limit := int64(maxBody)
	file := r.URL.Path == prefix+"/apply"
	patience := bodyTime
	switch {
	case file:
		limit = maxFile
	case r.URL.Path == importPath:
		limit, patience = maxImport, importTime
	}
	// A body that trickles in holds nobody up for long; what is done with it may
	// take its time.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(patience))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = rc.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, kit.Errorf(kit.CodeTooLarge, "error.too_large")
	case err != nil:
		return nil, &kit.Error{Code: kit.CodeMalformed, Key: "error.malformed", Err: err}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = nil
	}
	if body != nil {
		kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		yaml := kind == "application/yaml" || kind == "application/x-yaml" || kind == "text/yaml" || kind == "text/x-yaml"
		if err != nil || kind != "application/json" && !(file && yaml) {
			return nil, kit.Errorf(kit.CodeUnsupported, "error.unsupported")
		}
		if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "us-ascii") {
			return nil, kit.Errorf(kit.CodeUnsupported, "error.unsupported")
		}
		if !utf8.Valid(body) || kind == "application/json" && !json.Valid(body) {
			return nil, kit.Errorf(kit.CodeMalformed, "error.malformed")
		}
	} else if !file && r.Method != http.MethodDelete {
		// Without a body every field is missing, which each call says by name.
		body = []byte("{}")
		r.Header.Set("Content-Type", "application/json")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return body, nil
}

// recorder keeps an answer until it is known to hold.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) send(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(max(r.status, http.StatusOK))
	_, _ = w.Write(r.body.Bytes())
}
