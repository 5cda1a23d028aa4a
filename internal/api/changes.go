package api

import (
	"context"
	"net/http"
	"time"

	"tocsin/internal/change"
	"tocsin/internal/continuity"
	"tocsin/internal/kit"
)

type changeView struct {
	Ref         string  `json:"ref"`
	ID          string  `json:"id"`
	Service     *string `json:"service" nullable:"true"`
	Summary     string  `json:"summary"`
	VersionFrom string  `json:"version_from"`
	VersionTo   string  `json:"version_to"`
	At          stamp   `json:"at"`
	RecordedAt  stamp   `json:"recorded_at"`
	Pipeline    string  `json:"pipeline"`
	URL         string  `json:"url"`
	Reversible  string  `json:"reversible" enum:"yes,no,unknown"`
	Emergency   bool    `json:"emergency"`
	State       string  `json:"state" enum:"planned,running,deployed,failed,rolled_back,fixed_forward"`
	Source      *string `json:"source" nullable:"true"`
}

func (c changeView) location() string { return prefix + "/changes/" + c.Ref }

func viewChange(c change.Change) changeView {
	return changeView{
		Ref: c.Ref, ID: c.ID, Service: word(c.Service), Summary: c.Summary, VersionFrom: c.VersionFrom, VersionTo: c.VersionTo,
		At: at(c.At), RecordedAt: at(c.RecordedAt), Pipeline: c.Pipeline, URL: c.URL, Reversible: c.Reversible, Emergency: c.Emergency,
		State: c.State, Source: word(c.Source),
	}
}

type changeIn struct {
	Service     string    `json:"service,omitempty"`
	Summary     string    `json:"summary,omitempty" doc:"Needed unless service and version_to say enough"`
	VersionFrom string    `json:"version_from,omitempty"`
	VersionTo   string    `json:"version_to,omitempty"`
	At          time.Time `json:"at,omitempty" doc:"Now when not given"`
	Pipeline    string    `json:"pipeline,omitempty"`
	URL         string    `json:"url,omitempty"`
	Reversible  string    `json:"reversible,omitempty" enum:"yes,no,unknown"`
	Emergency   bool      `json:"emergency,omitempty"`
	State       string    `json:"state,omitempty" enum:"planned,running,deployed,failed,rolled_back,fixed_forward"`
}

func (s *server) changeCalls() {
	if s.Services != nil {
		get(s, "/services", "services", "The services, by id", func(ctx context.Context, _ *none) (list[continuity.Definition], error) {
			l, err := s.Services.Services(ctx)
			return all(l, func(d continuity.Definition) continuity.Definition { return d }), err
		})
		get(s, "/services/{id}", "services", "One service", func(ctx context.Context, in *struct {
			ID string `path:"id"`
		},
		) (continuity.Definition, error) {
			l, err := s.Services.Services(ctx)
			if err != nil {
				return continuity.Definition{}, err
			}
			for _, d := range l {
				if d.ID == in.ID {
					return d, nil
				}
			}
			return continuity.Definition{}, kit.NotFound("service", in.ID)
		})
	}
	if s.Change == nil {
		return
	}
	get(s, "/changes", "changes", "Deployments and changes, the newest first", func(ctx context.Context, in *struct {
		Paged
		Service string `query:"service"`
	},
	) (list[changeView], error) {
		l, err := s.Change.List(ctx, in.Service, in.page())
		return listOf(l, viewChange), err
	})
	call(s, http.MethodPost, "/changes", "changes", "Record a change", http.StatusCreated,
		func(ctx context.Context, in *struct{ Body changeIn }) (changeView, error) {
			b := in.Body
			if b.Summary == "" && b.Service != "" && b.VersionTo != "" {
				b.Summary = b.Service + " " + b.VersionTo
			}
			c, err := s.Change.Record(ctx, change.Change{
				Service: b.Service, Summary: b.Summary, VersionFrom: b.VersionFrom, VersionTo: b.VersionTo, At: b.At, Pipeline: b.Pipeline,
				URL: b.URL, Reversible: b.Reversible, Emergency: b.Emergency, State: b.State,
			})
			return viewChange(c), err
		})
	get(s, "/changes/{ref}", "changes", "One change", func(ctx context.Context, in *struct {
		Ref string `path:"ref"`
	},
	) (changeView, error) {
		c, err := s.Change.Get(ctx, in.Ref)
		return viewChange(c), err
	})
}
