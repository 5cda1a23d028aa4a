// Package api is the REST interface: it decodes, calls a module and encodes.
// Decisions, rights and facts are the modules' own.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/continuity"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
	"tocsin/internal/report"
)

// prefix is where every call stands.
const prefix = "/api/v1"

// Deps are what the calls stand on. Identity and Ledger are needed; the calls of
// another service that is nil, and of a func that is nil, do not exist.
type Deps struct {
	Ledger   *ledger.Ledger
	Identity *identity.Service
	Incident *incident.Service
	Alert    *alert.Service
	Change   *change.Service
	Finding  *finding.Service
	Reports  *report.Service
	History  *history.Service
	Oncall   *oncall.Service
	Notify   *notify.Service
	Services *continuity.Service

	// Session gives who holds the session cookie of a request; the zero actor when
	// nobody does.
	Session func(r *http.Request) (kit.Actor, error)
	// Apply brings the installation to an organisation file, or with dry tells only
	// what it would do.
	Apply func(ctx context.Context, file []byte, o kit.ApplyOptions) ([]kit.Change, error)
	// Export writes the organisation file (YAML).
	Export func(ctx context.Context) ([]byte, error)
	// ExportIncidents writes all incidents in a format, veris or csv.
	ExportIncidents func(ctx context.Context, format string, w io.Writer) error
	// Sheet is who is on duty and how they are reached.
	Sheet func(ctx context.Context) (kit.Sheet, error)
	// Replay reads one of the last messages of a source again, by its id; nil offers it not.
	Replay func(ctx context.Context, source, payload string) (alert.Payload, error)
	// SelfTested records how a test alarm went that was raised and awaited outside.
	SelfTested func(ctx context.Context, passed bool, path string, took time.Duration, reason string) error
	// Readiness looks at what stands between an alarm and a person; nil offers no call.
	Readiness func(ctx context.Context) (kit.Readiness, error)
	// Load tells how on-call lay on people in a span of time; nil offers no call.
	Load func(ctx context.Context, from, to time.Time) (kit.Load, error)
	// Doctor looks for what would fail when it is needed.
	Doctor func(ctx context.Context) ([]kit.Finding, error)
	// Report makes the dossier of an incident in a format (html, md, pdf, docx, json,
	// zip), for a level (internal, customer, regulator) and in a language.
	Report func(ctx context.Context, ref, format, level, lang string) (name, contentType string, body []byte, err error)

	// Triage keeps a decision about a report; title is for an incident that it declares.
	Triage func(ctx context.Context, ref string, t report.Triage, title string) (report.Report, error)

	// Log is for what is hidden from the caller; the default logger when nil.
	Log *slog.Logger
	// BaseURL is how people reach the product, for links; may be empty.
	BaseURL string
	// Version is shown in the OpenAPI document.
	Version string
}

type server struct {
	Deps
	mux  *http.ServeMux
	api  huma.API
	refs sync.Map
}

var described sync.Once

// New gives the handler of /api/v1/…, /api/docs and /api/v1/openapi.json.
func New(d Deps) http.Handler {
	described.Do(func() {
		huma.NewErrorWithContext = fromHuma
		huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
			return fromHuma(nil, status, msg, errs...)
		}
		huma.DefaultArrayNullable = false
	})
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Version == "" {
		d.Version = "dev"
	}
	d.BaseURL = strings.TrimSuffix(d.BaseURL, "/")
	s := &server{Deps: d, mux: http.NewServeMux()}
	cfg := huma.DefaultConfig("Tocsin", d.Version)
	cfg.CreateHooks = nil
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	cfg.Info.Description = "Incidents, alerts, on-call and the journal of one installation. Errors are problem+json (RFC 9457); every POST takes an Idempotency-Key."
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	cfg.Security = []map[string][]string{{"token": {}}}
	s.api = humago.New(s.mux, cfg)
	s.incidentCalls()
	s.alertCalls()
	s.changeCalls()
	s.findingCalls()
	s.customerReportCalls()
	s.historyCalls()
	s.oncallCalls()
	s.pageCalls()
	s.peopleCalls()
	s.settingsCalls()
	s.ledgerCalls()
	s.searchCalls()
	s.liveCalls()
	s.docs()
	return s.wrap(s.mux)
}

// out is an answer with its version, where it has one.
type out[T any] struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     T
}

// tagged is an answer that carries a version.
type tagged interface{ etag() string }

// located is an answer that has an address of its own.
type located interface{ location() string }

// none is the input of a call that takes none.
type none struct{}

// call registers one call. The words of the contract are in its path; summary
// says what it does.
func call[I, O any](s *server, method, path, tag, summary string, status int, fn func(ctx context.Context, in *I) (O, error), change ...func(*huma.Operation)) {
	op := huma.Operation{
		OperationID: operationID(method, path), Method: method, Path: prefix + path, Summary: summary, Tags: []string{tag},
		DefaultStatus: status, BodyReadTimeout: -1,
	}
	for _, c := range change {
		c(&op)
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*out[O], error) {
		v, err := fn(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		o := &out[O]{Body: v}
		if t, ok := any(v).(tagged); ok {
			o.ETag = t.etag()
		}
		if l, ok := any(v).(located); ok && status == http.StatusCreated {
			o.Location = l.location()
		}
		return o, nil
	})
}

// withoutToken says in the description that a call needs no token.
func withoutToken(op *huma.Operation) {
	op.Security = []map[string][]string{{}, {"token": {}}}
}

func get[I, O any](s *server, path, tag, summary string, fn func(ctx context.Context, in *I) (O, error)) {
	call(s, http.MethodGet, path, tag, summary, http.StatusOK, fn)
}

func post[I, O any](s *server, path, tag, summary string, fn func(ctx context.Context, in *I) (O, error)) {
	call(s, http.MethodPost, path, tag, summary, http.StatusOK, fn)
}

// drop registers a call that answers 204.
func drop[I any](s *server, method, path, tag, summary string, fn func(ctx context.Context, in *I) error) {
	huma.Register(s.api, huma.Operation{
		OperationID: operationID(method, path), Method: method, Path: prefix + path, Summary: summary, Tags: []string{tag},
		DefaultStatus: http.StatusNoContent, BodyReadTimeout: -1,
	}, func(ctx context.Context, in *I) (*struct{}, error) {
		if err := fn(ctx, in); err != nil {
			return nil, s.problem(ctx, err)
		}
		return nil, nil
	})
}

// operationID is the path with its method, as generators of clients like it:
// post-incidents-ref-notes.
func operationID(method, path string) string {
	id := strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(path)
	return strings.ToLower(method) + id
}
