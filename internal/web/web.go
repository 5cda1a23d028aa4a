// Package web is the pages: handlers that decode a form, call a module and render,
// in French and English, complete without a script.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

// Deps are what the pages stand on.
type Deps struct {
	Identity *identity.Service
	Incident Incidents
	Notify   Notify
	// Timeline reads the lines of an incident; Facts wakes the live updates.
	Timeline Timeline
	Facts    Facts
	Clock    kit.Clock
	Log      *slog.Logger
	// BaseURL is how people reach the product, for links to be copied.
	BaseURL string
	// Version is shown in Settings.
	Version string
	// Ready answers nil when all parts work.
	Ready func(ctx context.Context) error
}

type server struct {
	Deps
	mux   *http.ServeMux
	sent  *once
	start time.Time
}

// New gives the handler of all pages.
func New(d Deps) http.Handler {
	if d.Clock == nil {
		d.Clock = kit.SystemClock{}
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	s := &server{Deps: d, mux: http.NewServeMux(), sent: newOnce(), start: d.Clock.Now()}
	s.mux.HandleFunc("GET /static/{name}", serveStatic)
	s.signInRoutes()
	s.incidentRoutes()
	s.liveRoutes()
	s.get("/{$}", func(q *req) error { return q.redirect("/incidents") })
	s.mux.HandleFunc("/", s.page(func(*req) error { return kit.NotFound("page", "") }))
	return s.protect(s.mux)
}

// handler renders a page or gives the error that is shown instead.
type handler func(*req) error

// get and post register a page for signed-in people.
func (s *server) get(path string, h handler)  { s.mux.HandleFunc("GET "+path, s.page(h)) }
func (s *server) post(path string, h handler) { s.mux.HandleFunc("POST "+path, s.page(s.only(h))) }
