package web

import (
	"context"
	"net/http"
	"strconv"

	"tocsin/internal/kit"
	"tocsin/internal/once"
)

var statuses = map[kit.Code]int{
	kit.CodeInvalid: 422, kit.CodeMalformed: 400, kit.CodeUnauthenticated: 401, kit.CodeForbidden: 403,
	kit.CodeNotFound: 404, kit.CodeConflict: 409, kit.CodeStale: 412, kit.CodePreconditionRequired: 428,
	kit.CodeTooLarge: 413, kit.CodeUnsupported: 415, kit.CodeBusy: 503, kit.CodeInternal: 500,
}

func statusOf(c kit.Code) int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return 500
}

// statusFor is statusOf, but for who asks too often: that is 429.
func statusFor(e *kit.Error) int {
	if e.Code == kit.CodeBusy && (e.Reason == "sender" || e.Reason == "all") {
		return http.StatusTooManyRequests
	}
	return statusOf(e.Code)
}

const policy = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"

// protect sets the headers of every answer, refuses posts from other sites and
// turns a panic into the error page.
func (s *server) protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := s.request(w, r)
		q.fail(kit.Errorf(kit.CodeForbidden, "web.error.cross_site"))
	}))
	guarded := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if r.TLS != nil || len(s.BaseURL) > 8 && s.BaseURL[:8] == "https://" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.Log.Error("page broke", "path", r.URL.Path, "panic", p)
				s.request(w, r).fail(kit.Errorf(kit.CodeInternal, "error.internal"))
			}
		}()
		guarded.ServeHTTP(w, r)
	})
}

// fail shows the error page.
func (q *req) fail(err error) {
	e := kit.AsError(err)
	if e.Code == kit.CodeInternal {
		q.s.Log.Error("page failed", "path", q.r.URL.Path, "request_id", q.id, "err", err)
	}
	if e.RetryAfter > 0 {
		q.w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	q.status, q.failed = statusFor(e), nil
	q.title = q.t("web.error.title")
	if err := q.render(shell(errorPage(e))); err != nil {
		http.Error(q.w, "500", http.StatusInternalServerError)
	}
}

type catcher struct {
	http.ResponseWriter
	status int
}

func (c *catcher) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// only runs a POST once for each idempotency key and person: a second submit of the
// same form, after a restart or on another node too, gets the answer of the first.
func (s *server) only(h handler) handler {
	return func(q *req) error {
		key := q.form("idempotency_key")
		if key == "" || len(key) > 100 {
			return h(q)
		}
		d := s.Ledger.DB()
		key = once.Digest("form", q.actor.ID, q.r.URL.Path, key)
		switch first, err := once.Claim(q.ctx, d, key, ""); {
		case err != nil:
			return err
		case first != nil && first.Status == 0:
			return kit.Conflict("sent", "web.error.sent")
		case first != nil:
			return q.redirect(first.Headers)
		}
		c := &catcher{ResponseWriter: q.w}
		q.w = c
		defer func() {
			// Whether the reader is still there or not.
			ctx := context.WithoutCancel(q.ctx)
			var err error
			if c.status == http.StatusSeeOther {
				err = once.Keep(ctx, d, key, once.Answer{Status: c.status, Headers: c.Header().Get("Location")})
			} else {
				err = once.Drop(ctx, d, key)
			}
			if err != nil {
				s.Log.Error("the key of a form cannot be kept", "path", q.r.URL.Path, "err", err)
			}
		}()
		return h(q)
	}
}
