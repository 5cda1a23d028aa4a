package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

type routeIn struct {
	ID       string   `json:"id,omitempty"`
	When     string   `json:"when,omitempty" doc:"CEL over alert and source; the first rule that matches decides"`
	Then     string   `json:"then" enum:"incident,record,suppress"`
	Severity string   `json:"severity,omitempty" enum:"sev1,sev2,sev3,sev4"`
	Kind     string   `json:"kind,omitempty" enum:"availability,security,data,vendor"`
	Policy   string   `json:"policy,omitempty"`
	Group    []string `json:"group,omitempty"`
	Window   string   `json:"window,omitempty" doc:"10m"`
	Reason   string   `json:"reason,omitempty"`
}

func routesOf(in []routeIn) ([]alert.Route, error) {
	var bad kit.Fields
	out := make([]alert.Route, 0, len(in))
	for _, r := range in {
		var window oncall.Duration
		if r.Window != "" {
			var err error
			if window, err = oncall.ParseDuration(r.Window); err != nil {
				bad.Add("window", "error.bad_value")
			}
		}
		out = append(out, alert.Route{
			ID: r.ID, When: r.When, Then: alert.Then(r.Then), Severity: r.Severity, Kind: r.Kind, Policy: r.Policy, Group: r.Group,
			Window: time.Duration(window), Reason: r.Reason,
		})
	}
	return out, bad.Err()
}

func viewRoute(r alert.Route) routeIn {
	v := routeIn{ID: r.ID, When: r.When, Then: string(r.Then), Severity: r.Severity, Kind: r.Kind, Policy: r.Policy, Group: r.Group, Reason: r.Reason}
	if r.Window > 0 {
		v.Window = oncall.Duration(r.Window).String()
	}
	return v
}

type routesView struct {
	Version int64     `json:"version"`
	Items   []routeIn `json:"items"`
}

func (v routesView) etag() string { return etag(v.Version) }

type triedAlert struct {
	ID          string            `json:"id,omitempty"`
	DedupKey    string            `json:"dedup_key,omitempty"`
	Title       string            `json:"title,omitempty"`
	Severity    string            `json:"severity,omitempty" enum:"critical,error,warning,info"`
	Service     string            `json:"service,omitempty"`
	Source      string            `json:"source,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Link        string            `json:"link,omitempty"`
}

type tryIn struct {
	Routes []routeIn   `json:"routes,omitempty" doc:"The rules to try; the saved ones when not given"`
	Alert  *triedAlert `json:"alert,omitempty"`
	Last   int         `json:"last,omitempty" minimum:"1" maximum:"100" doc:"Try on so many of the newest alerts; 20 when neither is given"`
}

type decisionView struct {
	Alert    triedAlert `json:"alert"`
	Route    string     `json:"route"`
	Then     string     `json:"then"`
	Severity *string    `json:"severity" nullable:"true"`
	Kind     string     `json:"kind"`
	Policy   string     `json:"policy"`
	GroupKey string     `json:"group_key"`
	WindowS  int64      `json:"window_s"`
	Reason   string     `json:"reason,omitempty"`
}

var errTried = errors.New("tried")

func (s *server) routeCalls() {
	get(s, "/routes", "sources", "The rules in their order", func(ctx context.Context, _ *none) (routesView, error) {
		l, version, err := s.Alert.Routes(ctx)
		v := routesView{Version: version, Items: make([]routeIn, 0, len(l))}
		for _, r := range l {
			v.Items = append(v.Items, viewRoute(r))
		}
		return v, err
	})
	call(s, http.MethodPut, "/routes", "sources", "Replace the rules", http.StatusOK, func(ctx context.Context, in *struct {
		IfMatch string `header:"If-Match"`
		Body    struct {
			Items []routeIn `json:"items"`
		}
	},
	) (v routesView, err error) {
		want, err := expect(in.IfMatch)
		if err != nil {
			return v, err
		}
		routes, err := routesOf(in.Body.Items)
		if err != nil {
			return v, err
		}
		if err := s.Alert.SetRoutes(ctx, routes, want); err != nil {
			return v, err
		}
		l, version, err := s.Alert.Routes(ctx)
		v = routesView{Version: version, Items: make([]routeIn, 0, len(l))}
		for _, r := range l {
			v.Items = append(v.Items, viewRoute(r))
		}
		return v, err
	})
	post(s, tryPath, "sources", "What the rules would do with an alert; nothing is saved", s.tryRoutes)
}

const tryPath = "/routes/test"

func (s *server) tryRoutes(ctx context.Context, in *struct{ Body tryIn }) (list[decisionView], error) {
	var out list[decisionView]
	var signals []alert.Signal
	if a := in.Body.Alert; a != nil {
		sev := alert.Severity(a.Severity)
		if sev == "" {
			sev = alert.Critical
		}
		signals = append(signals, alert.Signal{
			Source: a.Source, DedupKey: a.DedupKey, Action: alert.Trigger, Title: a.Title, Severity: sev, Service: a.Service, Labels: a.Labels,
			Annotations: a.Annotations, Link: a.Link,
		})
	} else {
		n := in.Body.Last
		if n == 0 {
			n = 20
		}
		l, err := s.Alert.List(ctx, alert.Filter{}, kit.Page{Limit: n})
		if err != nil {
			return out, err
		}
		for _, a := range l.Items {
			signals = append(signals, alert.Signal{
				Source: a.Source, DedupKey: a.DedupKey, Action: alert.Trigger, Title: a.Title, Severity: a.Severity, Service: a.Service,
				Labels: a.Labels, Annotations: a.Annotations, Link: a.Link,
			})
		}
	}
	try := func(ctx context.Context) error {
		out.Items = make([]decisionView, 0, len(signals))
		for _, g := range signals {
			d, err := s.Alert.TryRoutes(ctx, g)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, decisionView{
				Alert: triedAlert{
					DedupKey: g.DedupKey, Title: g.Title, Severity: string(g.Severity), Service: g.Service, Source: g.Source, Labels: g.Labels,
					Annotations: g.Annotations, Link: g.Link,
				},
				Route: d.Route, Then: string(d.Then), Severity: word(d.Severity), Kind: d.Kind, Policy: d.Policy, GroupKey: d.GroupKey,
				WindowS: int64(d.Window / time.Second), Reason: d.Reason,
			})
		}
		out.Total = len(out.Items)
		return nil
	}
	if in.Body.Routes == nil {
		err := try(ctx)
		return out, err
	}
	routes, err := routesOf(in.Body.Routes)
	if err != nil {
		return out, err
	}
	// The rules are saved in a transaction that is undone: what is tried is what
	// would run.
	err = s.Ledger.DB().Write(ctx, func(ctx context.Context, _ *db.Tx) error {
		if err := s.Alert.SetRoutes(ctx, routes, 0); err != nil {
			return err
		}
		if err := try(ctx); err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		err = nil
	}
	return out, err
}
