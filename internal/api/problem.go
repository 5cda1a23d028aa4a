package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// statusOf is the one table of code and HTTP status. Busy is 429 instead where the
// caller asked too much.
var statusOf = map[kit.Code]int{
	kit.CodeInvalid:              http.StatusUnprocessableEntity,
	kit.CodeMalformed:            http.StatusBadRequest,
	kit.CodeUnauthenticated:      http.StatusUnauthorized,
	kit.CodeForbidden:            http.StatusForbidden,
	kit.CodeNotFound:             http.StatusNotFound,
	kit.CodeConflict:             http.StatusConflict,
	kit.CodeStale:                http.StatusPreconditionFailed,
	kit.CodePreconditionRequired: http.StatusPreconditionRequired,
	kit.CodeTooLarge:             http.StatusRequestEntityTooLarge,
	kit.CodeUnsupported:          http.StatusUnsupportedMediaType,
	kit.CodeBusy:                 http.StatusServiceUnavailable,
	kit.CodeInternal:             http.StatusInternalServerError,
}

// Problem is an error as the callers see it (RFC 9457).
type Problem struct {
	Type   string `json:"type" doc:"/problems/ and the code: invalid, malformed, unauthenticated, forbidden, not_found, conflict, stale, precondition_required, too_large, unsupported, busy, internal"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Reason is a stable word for programs.
	Reason string `json:"reason,omitempty" doc:"A stable word for programs, such as review_not_approved"`
	// Key and Args are the message by which a client may say it in its own language.
	Key       string         `json:"key,omitempty" doc:"A stable word for the message"`
	Args      map[string]any `json:"args,omitempty" doc:"What the message is filled with"`
	Instance  string         `json:"instance,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
	Errors    []ProblemField `json:"errors,omitempty"`

	retry int
}

// ProblemField is what is wrong with one field.
type ProblemField struct {
	Path    string         `json:"path" doc:"The field as the sender wrote it: services[0]"`
	Key     string         `json:"key,omitempty" doc:"A stable word for the message"`
	Args    map[string]any `json:"args,omitempty" doc:"What the message is filled with"`
	Message string         `json:"message"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="tocsin"`)
	}
	return h
}

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// request is what is known of a request beside its context's actor.
type request struct {
	id, path string
	// err is the cause of the answer, for the transaction around the call.
	err error
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if q, ok := ctx.Value(requestKey{}).(*request); ok {
		return q
	}
	return &request{}
}

// problem puts an error into the words of the contract and logs what they hide.
func (s *server) problem(ctx context.Context, err error) *Problem {
	e := kit.AsError(err)
	q := requestOf(ctx)
	if q.err == nil {
		q.err = err
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		// The caller has gone: nobody reads the answer and nothing is wrong here.
		e = kit.Errorf(kit.CodeBusy, "error.busy")
	}
	if e.Code == kit.CodeInternal {
		s.Log.ErrorContext(ctx, "api: internal error", "request", q.id, "path", q.path, "error", err)
	}
	p := newProblem(e.Code, q)
	if e.Code == kit.CodeBusy {
		p.retry = max(e.RetryAfter, 1)
		switch e.Reason {
		case "disk_full", "database_busy", "database_gone":
		default:
			if e.RetryAfter > 0 {
				// It is the caller who asks too much, not the server that cannot.
				p.Status = http.StatusTooManyRequests
			}
		}
	}
	p.Reason, p.Key, p.Args = e.Reason, e.Key, plain(e.Args)
	detail, fields := i18n.Error("en", e)
	p.Detail = detail
	for n, f := range fields {
		p.Errors = append(p.Errors, ProblemField{Path: f.Path, Key: e.Fields[n].Key, Args: plain(e.Fields[n].Args), Message: f.Message})
	}
	return p
}

// plain keeps what of the arguments of a message JSON can carry and give back.
func plain(args map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range args {
		switch v.(type) {
		case string, bool, int, int64, float64:
			out[k] = v
		}
	}
	return out
}

func newProblem(code kit.Code, q *request) *Problem {
	status := statusOf[code]
	if status == 0 {
		code, status = kit.CodeInternal, http.StatusInternalServerError
	}
	return &Problem{
		Type: "/problems/" + string(code), Title: i18n.T("en", "api.problem."+string(code), nil), Status: status,
		Instance: q.path, RequestID: q.id,
	}
}

// fromHuma puts what the decoding of a request found wrong into the same form.
func fromHuma(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
	code := kit.CodeInternal
	for c, st := range statusOf {
		if st == status {
			code = c
		}
	}
	q := &request{}
	if ctx != nil {
		q = requestOf(ctx.Context())
	}
	p := newProblem(code, q)
	p.Detail = i18n.T("en", "error."+string(code), nil)
	if code == kit.CodeMalformed && msg != "" {
		p.Detail = i18n.T("en", "error.malformed", nil)
	}
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			continue
		}
		detail := d.ErrorDetail()
		path := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(detail.Location, "body."), "query."), "path.")
		p.Errors = append(p.Errors, ProblemField{Path: path, Message: detail.Message})
	}
	return p
}

// write answers with the problem outside a registered call.
func (p *Problem) write(w http.ResponseWriter) {
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
