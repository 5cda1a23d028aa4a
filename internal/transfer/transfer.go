// Package transfer reads what PagerDuty, Opsgenie, Grafana OnCall and GoAlert hold and
// says it as an organisation file, with a report of what maps exactly, what only nearly
// and what not at all.
package transfer

import (
	"encoding/json"
	"net/http"
	"time"

	"tocsin/internal/orgfile"
)

// The products that are read.
const (
	PagerDuty = "pagerduty"
	Opsgenie  = "opsgenie"
	OnCall    = "oncall"
	GoAlert   = "goalert"
)

// Products are the products that are read.
var Products = []string{PagerDuty, Opsgenie, OnCall, GoAlert}

// Export is what a product holds: lists of objects by resource, each object as the API of
// the product gives it.
type Export struct {
	Product   string
	Resources map[string][]json.RawMessage
}

// MarshalJSON writes the document that Parse reads.
func (e *Export) MarshalJSON() ([]byte, error) {
	doc := map[string]any{"product": e.Product}
	for name, list := range e.Resources {
		if list == nil {
			list = []json.RawMessage{}
		}
		doc[name] = list
	}
	return json.Marshal(doc)
}

// Doer sends a request, as http.Client does.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Verdict says how well a thing maps.
type Verdict string

// The verdicts.
const (
	Exact       Verdict = "exact"
	Approximate Verdict = "approximate"
	None        Verdict = "none"
)

// Line says what became of one thing. A thing of which several things are to be said has
// several lines.
type Line struct {
	// Kind is user, contact_method, rule, team, schedule, rotation, override, policy,
	// step, service, integration, resource.
	Kind string `json:"kind"`
	// From is its name there, To its id here.
	From    string  `json:"from"`
	To      string  `json:"to,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Key names the sentence of the catalogue, Args fill it.
	Key  string         `json:"key"`
	Args map[string]any `json:"args,omitempty"`
}

// Report says of each thing of an export what became of it.
type Report struct {
	Product string `json:"product"`
	// Exact, Approximate and None count things, not lines.
	Exact       int    `json:"exact"`
	Approximate int    `json:"approximate"`
	None        int    `json:"none"`
	Lines       []Line `json:"lines"`
}

// Convert says an export as an organisation file, on top of an existing one (nil when there
// is none). People are known by their address; whatever has the id of something that exists
// is that thing, and stays as it is written there. What is over at now is left out. Neither
// the export nor the existing file is changed.
func Convert(e *Export, existing *orgfile.File, now time.Time) (*orgfile.File, Report) {
	b := newBuilder(e.Product, existing, now)
	switch e.Product {
	case PagerDuty:
		b.pagerDuty(e)
	case Opsgenie:
		b.opsgenie(e)
	case OnCall:
		b.onCall(e)
	case GoAlert:
		b.goAlert(e)
	}
	b.unread(e)
	return b.finish()
}
