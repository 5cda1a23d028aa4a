// Package web is the pages: handlers that decode a form, call a module and render,
// in French and English, complete without a script.
package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/continuity"
	"tocsin/internal/dossier"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/oncall"
	"tocsin/internal/report"
)

// Deps are what the pages stand on.
type Deps struct {
	Identity *identity.Service
	Incident *incident.Service
	Alert    *alert.Service
	Change   *change.Service
	// Ledger wakes the live updates and is shown as the journal.
	Ledger *ledger.Ledger
	Oncall *oncall.Service
	// Service is the registry of services.
	Service *continuity.Service
	Notify  Notify
	// Finding is what security scans found.
	Finding *finding.Service
	// Report is what customers and colleagues report; Triage keeps a decision about one,
	// with the title of an incident that it declares; Known is what the public may know.
	Report *report.Service
	Triage func(ctx context.Context, ref string, t report.Triage, title string) (report.Report, error)
	Known  func(ctx context.Context) ([]report.Known, error)
	// History is the incidents from before; ExportIncidents writes all in a format, veris
	// or csv.
	History         *history.Service
	ExportIncidents func(ctx context.Context, format string, w io.Writer) error
	// Dossier makes the record of an incident as a file; nil offers none.
	Dossier *dossier.Builder
	Clock   kit.Clock
	Log     *slog.Logger
	// BaseURL is how people reach the product, for links to be copied.
	BaseURL string
	// Version is shown in Settings.
	Version string
	// Rehearse declares a practice incident that pages the actor alone; nil offers none.
	Rehearse func(ctx context.Context) (*incident.Incident, error)
	// Replay reads one of the last messages of a source again, by its id; nil offers it not.
	Replay func(ctx context.Context, source, payload string) (alert.Payload, error)
	// Doctor looks for what would fail when it is needed; nil offers no check.
	Doctor func(ctx context.Context) ([]kit.Finding, error)
	// PushKey is the public key that browsers subscribe with; nil offers no push.
	PushKey func(ctx context.Context) (string, error)
	// Load tells how on-call lay on people in a span of time; nil offers no page.
	Load func(ctx context.Context, from, to time.Time) (kit.Load, error)
	// Readiness looks at what stands between an alarm and a person; nil offers no page.
	Readiness func(ctx context.Context) (kit.Readiness, error)
	// Ready answers nil when all parts work.
	Ready func(ctx context.Context) error
}

type server struct {
	Deps
	inc   incidents
	mux   *routes
	start time.Time
}

// routes is a mux that can tell what it serves.
type routes struct {
	*http.ServeMux
	patterns []string
}

// HandleFunc registers a handler.
func (m *routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, h)
}

// Patterns lists what New serves, as patterns of net/http, so that a test can
// visit every page.
func Patterns() []string { return newServer(Deps{}).mux.patterns }

// New gives the handler of all pages.
func New(d Deps) http.Handler {
	s := newServer(d)
	return s.protect(s.mux)
}

func newServer(d Deps) *server {
	if d.Clock == nil {
		d.Clock = kit.SystemClock{}
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	s := &server{Deps: d, mux: &routes{ServeMux: http.NewServeMux()}, start: d.Clock.Now()}
	s.inc = incidents{&s.Deps}
	s.mux.HandleFunc("GET /static/{name}", serveStatic)
	s.mux.HandleFunc("GET /sw.js", serveWorker)
	s.signInRoutes()
	s.incidentRoutes()
	s.liveRoutes()
	if d.Rehearse != nil {
		s.post("/rehearse", func(q *req) error {
			i, err := d.Rehearse(q.ctx)
			if err != nil {
				return err
			}
			return q.redirect("/incidents/" + i.Ref())
		})
	}
	s.ackRoutes()
	s.nowRoutes()
	s.alertRoutes()
	s.reportRoutes()
	s.pastRoutes()
	s.oncallRoutes()
	s.settingsRoutes()
	s.helpRoutes()
	s.mux.HandleFunc("/", s.page(func(*req) error { return kit.NotFound("page", "") }))
	return s
}

// handler renders a page or gives the error that is shown instead.
type handler func(*req) error

// get and post register a page for signed-in people.
func (s *server) get(path string, h handler)  { s.mux.HandleFunc("GET "+path, s.page(h)) }
func (s *server) post(path string, h handler) { s.mux.HandleFunc("POST "+path, s.page(s.only(h))) }
