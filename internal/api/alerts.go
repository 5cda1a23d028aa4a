package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

type alertView struct {
	ID             string            `json:"id"`
	DedupKey       string            `json:"dedup_key"`
	Source         string            `json:"source"`
	Service        *string           `json:"service" nullable:"true"`
	Title          string            `json:"title"`
	Severity       string            `json:"severity" enum:"critical,error,warning,info" doc:"The sender's word, not the incident's severity"`
	State          string            `json:"state" enum:"open,acknowledged,resolved,suppressed"`
	FirstAt        stamp             `json:"first_at"`
	LastAt         stamp             `json:"last_at"`
	StartsAt       stamp             `json:"starts_at"`
	AcknowledgedAt stamp             `json:"acknowledged_at"`
	AcknowledgedBy *string           `json:"acknowledged_by" nullable:"true"`
	ResolvedAt     stamp             `json:"resolved_at"`
	How            *string           `json:"how" nullable:"true" doc:"sent, timeout or by_hand"`
	Count          int64             `json:"count"`
	Incident       *string           `json:"incident" nullable:"true" doc:"The reference of the incident it is attached to"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations"`
	Link           string            `json:"link"`
	Route          string            `json:"route"`
	Then           string            `json:"then"`
	Reason         string            `json:"reason,omitempty"`
	HeldBy         string            `json:"held_by,omitempty" doc:"The silence, the maintenance or the alert that is the cause, where one holds it back; reason then says which"`
}

func viewAlert(a alert.Alert, refs map[string]string) alertView {
	v := alertView{
		ID: a.ID, DedupKey: a.DedupKey, Source: a.Source, Service: word(a.Service), Title: a.Title, Severity: string(a.Severity),
		State: string(a.State), FirstAt: at(a.FirstAt), LastAt: at(a.LastAt), StartsAt: at(a.StartsAt), AcknowledgedAt: at(a.AcknowledgedAt),
		AcknowledgedBy: word(a.AcknowledgedBy), ResolvedAt: at(a.ResolvedAt), How: word(a.How), Count: a.Count, Incident: word(refs[a.Incident]),
		Labels: a.Labels, Annotations: a.Annotations, Link: a.Link, Route: a.Route, Then: string(a.Then), Reason: a.Reason,
	}
	if h := a.Held(); h.Kind != "" {
		v.Reason, v.HeldBy = string(h.Kind), h.Rule
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	if v.Annotations == nil {
		v.Annotations = map[string]string{}
	}
	return v
}

// IDIn is the address of what has an id.
type IDIn struct {
	ID string `path:"id"`
}

type idBody[T any] struct {
	IDIn
	Body T
}

// alerts turns alerts into answers; an incident that the actor may not know of is
// not named.
func (s *server) alerts(ctx context.Context, items []alert.Alert) ([]alertView, error) {
	seen := map[string]bool{}
	var ids []string
	for _, a := range items {
		if a.Incident != "" && !seen[a.Incident] {
			seen[a.Incident] = true
			ids = append(ids, a.Incident)
		}
	}
	refs, err := s.refsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]alertView, 0, len(items))
	for _, a := range items {
		out = append(out, viewAlert(a, refs))
	}
	return out, nil
}

// oneAlert gives the alert after a command.
func (s *server) oneAlert(ctx context.Context, id string, err error) (alertView, error) {
	if err != nil {
		return alertView{}, err
	}
	a, err := s.Alert.Get(ctx, id)
	if err != nil {
		return alertView{}, err
	}
	v, err := s.alerts(ctx, []alert.Alert{a})
	if err != nil {
		return alertView{}, err
	}
	return v[0], nil
}

type twinView struct {
	alertView
	Why string `json:"why" enum:"name,place,words" doc:"Same alertname; one service and the same machine; one service and alike titles"`
}

func (s *server) alertCalls() {
	if s.Alert == nil {
		return
	}
	get(s, "/alerts/{id}/twins", "alerts", "Live alerts of other sources that seem to tell the same story", func(ctx context.Context, in *IDIn) (list[twinView], error) {
		a, err := s.Alert.Get(ctx, in.ID)
		if err != nil {
			return list[twinView]{}, err
		}
		twins, err := s.Alert.Twins(ctx, a)
		if err != nil {
			return list[twinView]{}, err
		}
		plain := make([]alert.Alert, len(twins))
		for n, w := range twins {
			plain[n] = w.Alert
		}
		views, err := s.alerts(ctx, plain)
		out := list[twinView]{Items: []twinView{}, Total: len(views)}
		for n, v := range views {
			out.Items = append(out.Items, twinView{v, twins[n].Why})
		}
		return out, err
	})
	get(s, "/alerts", "alerts", "Alerts, the newest first", func(ctx context.Context, in *struct {
		Paged
		State      string `query:"state" enum:"open,acknowledged,resolved,suppressed"`
		Source     string `query:"source"`
		Service    string `query:"service"`
		Incident   string `query:"incident"`
		Unattached bool   `query:"unattached" doc:"Those of no incident"`
		Cause      string `query:"cause" doc:"The id of an alert: those that are held back as its symptoms"`
		Q          string `query:"q"`
	},
	) (list[alertView], error) {
		var out list[alertView]
		f := alert.Filter{State: alert.State(in.State), Source: in.Source, Service: in.Service, Unattached: in.Unattached, Cause: in.Cause, Q: in.Q}
		if in.Incident != "" {
			if s.Incident == nil {
				return out, kit.NotFound("incident", in.Incident)
			}
			i, err := s.Incident.Get(ctx, in.Incident)
			if err != nil {
				return out, err
			}
			f.Incident = i.ID
		}
		l, err := s.Alert.List(ctx, f, in.page())
		if err != nil {
			return out, err
		}
		items, err := s.alerts(ctx, l.Items)
		return list[alertView]{Items: some(items), NextCursor: word(l.Next), Total: l.Total, TotalIsMinimum: l.TotalIsMinimum}, err
	})
	get(s, "/alerts/{id}", "alerts", "One alert", func(ctx context.Context, in *IDIn) (alertView, error) {
		return s.oneAlert(ctx, in.ID, nil)
	})
	for _, c := range []struct {
		path, summary string
		do            func(ctx context.Context, id string) error
	}{
		{"acknowledge", "Mark the alert as seen", s.Alert.Acknowledge},
		{"resolve", "End the alert by hand", s.Alert.Resolve},
		{"detach", "Take the alert from its incident", s.Alert.Detach},
	} {
		post(s, "/alerts/{id}/"+c.path, "alerts", c.summary, func(ctx context.Context, in *idBody[nothing]) (alertView, error) {
			return s.oneAlert(ctx, in.ID, c.do(ctx, in.ID))
		})
	}
	if s.Incident != nil {
		post(s, "/alerts/{id}/attach", "alerts", "Put the alert to an incident", func(ctx context.Context, in *idBody[attachIn]) (alertView, error) {
			i, err := s.Incident.Get(ctx, in.Body.Incident)
			if err != nil {
				return alertView{}, err
			}
			return s.oneAlert(ctx, in.ID, s.Alert.Attach(ctx, in.ID, i.ID, false))
		})
		call(s, http.MethodPost, "/alerts/{id}/declare", "alerts", "Declare an incident for the alert", http.StatusCreated, s.declareAlert)
	}
	s.quietCalls()
	s.sourceCalls()
}

type attachIn struct {
	Incident string `json:"incident"`
}

// nothing is the body of a call that takes none: empty or {}.
type nothing struct{}

type declareAlertIn struct {
	Title    string `json:"title,omitempty" doc:"The alert's title when not given"`
	Impact   string `json:"impact,omitempty" enum:"unknown,outage,degraded,none"`
	Severity string `json:"severity,omitempty" nullable:"true"`
	Data     bool   `json:"data_or_security,omitempty"`
}

func (s *server) declareAlert(ctx context.Context, in *idBody[declareAlertIn]) (IncidentView, error) {
	var i *incident.Incident
	err := s.Ledger.DB().Write(ctx, func(ctx context.Context, _ *db.Tx) error {
		a, err := s.Alert.Get(ctx, in.ID)
		if err != nil {
			return err
		}
		d := declareIn{Title: in.Body.Title, Impact: in.Body.Impact, Severity: in.Body.Severity, DataOrSecurity: in.Body.Data, OccurredAt: a.StartsAt}
		if d.Title == "" {
			d.Title = a.Title
			if r := []rune(d.Title); len(r) > 200 {
				d.Title = string(r[:200])
			}
		}
		if a.Service != "" {
			d.Services = []string{a.Service}
		}
		if i, err = s.Incident.Declare(ctx, d.declaration()); err != nil {
			return err
		}
		return s.Alert.Attach(ctx, a.ID, i.ID, false)
	})
	return s.answer(ctx, i, err)
}

type sourceView struct {
	ID           string            `json:"id"`
	Kind         string            `json:"kind"`
	Service      *string           `json:"service" nullable:"true"`
	SeverityMap  map[string]string `json:"severity_map,omitempty"`
	SilentAfterS *int64            `json:"silent_after_s" nullable:"true"`
	LastHeardAt  stamp             `json:"last_heard_at"`
	SilentSince  stamp             `json:"silent_since"`
	Probes       []probeView       `json:"probes,omitempty" doc:"What a source of kind probe found"`
	CreatedAt    stamp             `json:"created_at"`
	Version      int64             `json:"version"`
	Key          string            `json:"key,omitempty" doc:"Shown this once"`
}

func (v sourceView) etag() string { return etag(v.Version) }

func viewSource(x alert.Source) sourceView {
	v := sourceView{
		ID: x.ID, Kind: x.Kind, Service: word(x.Service), LastHeardAt: at(x.LastHeardAt), SilentSince: at(x.SilentSince), CreatedAt: at(x.CreatedAt), Version: x.Version,
	}
	if x.SilentAfter > 0 {
		n := int64(x.SilentAfter / time.Second)
		v.SilentAfterS = &n
	}
	if len(x.SeverityMap) > 0 {
		v.SeverityMap = map[string]string{}
		for k, sev := range x.SeverityMap {
			v.SeverityMap[k] = string(sev)
		}
	}
	return v
}

type probeView struct {
	Check      string `json:"check" enum:"answer,certificate"`
	State      string `json:"state" enum:"good,suspect,failed"`
	Why        string `json:"why,omitempty"`
	At         stamp  `json:"at"`
	LastGoodAt stamp  `json:"last_good_at"`
	Since      stamp  `json:"since" doc:"When the first of the bad results came"`
	TookMS     int64  `json:"took_ms"`
}

// sources shows sources, those of kind probe with what they found.
func (s *server) sources(ctx context.Context, list ...alert.Source) ([]sourceView, error) {
	out := make([]sourceView, len(list))
	for n, x := range list {
		out[n] = viewSource(x)
		if x.Kind != "probe" {
			continue
		}
		found, err := s.Alert.Probes(ctx, x.ID)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			out[n].Probes = append(out[n].Probes, probeView{
				Check: string(p.Aspect), State: string(p.State), Why: p.Why, At: at(p.At), LastGoodAt: at(p.LastGoodAt), Since: at(p.Since), TookMS: p.Took.Milliseconds(),
			})
		}
	}
	return out, nil
}

type payloadView struct {
	ID     string   `json:"id"`
	At     stamp    `json:"at"`
	Path   string   `json:"path"`
	Status int      `json:"status"`
	Body   string   `json:"body"`
	Read   []string `json:"read" doc:"How it was understood, or why not"`
	Again  bool     `json:"again" doc:"It can be replayed: it is kept whole, and needs no header"`
}

func viewPayload(p alert.Payload) payloadView {
	return payloadView{ID: p.ID(), At: at(p.At), Path: p.Path, Status: p.Status, Body: p.Body, Read: some(p.Read), Again: p.Again}
}

type outcomeView struct {
	Alert   string `json:"alert"`
	State   string `json:"state"`
	New     bool   `json:"new"`
	Dropped bool   `json:"dropped"`
}

func (s *server) sourceCalls() {
	get(s, "/sources", "sources", "The sources, by id", func(ctx context.Context, _ *none) (list[sourceView], error) {
		l, err := s.Alert.Sources(ctx)
		if err != nil {
			return list[sourceView]{}, err
		}
		views, err := s.sources(ctx, l...)
		return all(views, func(v sourceView) sourceView { return v }), err
	})
	call(s, http.MethodPost, "/sources", "sources", "Make a source; its key is shown this once", http.StatusCreated,
		func(ctx context.Context, in *struct {
			Body struct {
				ID           string            `json:"id"`
				Kind         string            `json:"kind"`
				Service      string            `json:"service,omitempty"`
				SilentAfterS int64             `json:"silent_after_s,omitempty" minimum:"0"`
				EveryS       int64             `json:"every_s,omitempty" minimum:"0" doc:"How often a heartbeat is due or a probe asks"`
				GraceS       int64             `json:"grace_s,omitempty" minimum:"0" doc:"How late a heartbeat may be; 60 when 0"`
				Map          map[string]string `json:"map,omitempty" doc:"Of kind json: a CEL expression for each field of an alert"`
				Probe        map[string]any    `json:"probe,omitempty" doc:"Of kind probe: one of url, tcp, dns and icmp, with expect, timeout and confirm"`
			}
		},
		) (sourceView, error) {
			b := in.Body
			d := alert.SourceDef{ID: b.ID, Kind: b.Kind, Service: b.Service, SilentAfter: time.Duration(b.SilentAfterS) * time.Second}
			d.Every, d.Grace, d.Map = time.Duration(b.EveryS)*time.Second, time.Duration(b.GraceS)*time.Second, b.Map
			if len(b.Probe) > 0 {
				raw, err := json.Marshal(b.Probe)
				if err != nil {
					return sourceView{}, kit.Internal(err)
				}
				d.Probe = raw
			}
			key, err := s.Alert.CreateSource(ctx, d)
			if err != nil {
				return sourceView{}, err
			}
			v := sourceView{ID: b.ID, Kind: b.Kind, Service: word(b.Service), Version: 1, Key: key}
			l, err := s.Alert.Sources(ctx)
			for _, x := range l {
				if x.ID == b.ID {
					v = viewSource(x)
					v.Key = key
				}
			}
			return v, err
		})
	drop(s, http.MethodDelete, "/sources/{id}", "sources", "Remove a source; its alerts stay", func(ctx context.Context, in *IDIn) error {
		return s.Alert.RemoveSource(ctx, in.ID)
	})
	get(s, "/sources/{id}/payloads", "sources", "Its last messages as they came, the newest first", func(ctx context.Context, in *IDIn) (list[payloadView], error) {
		l, err := s.Alert.Payloads(ctx, in.ID)
		return all(l, viewPayload), err
	})
	if s.Replay != nil {
		post(s, "/sources/{id}/replay", "sources", "Read one of the last messages again, as if it came now", func(ctx context.Context, in *idBody[struct {
			Payload string `json:"payload" doc:"The id of the message"`
		}],
		) (payloadView, error) {
			p, err := s.Replay(ctx, in.ID, in.Body.Payload)
			return viewPayload(p), err
		})
	}
	post(s, "/sources/{id}/test", "sources", "Send an alert of severity info as if the source had, and resolve it", func(ctx context.Context, in *idBody[nothing]) (outcomeView, error) {
		o, err := s.Alert.TestEvent(ctx, in.ID)
		return outcomeView{Alert: o.Alert, State: string(o.State), New: o.New, Dropped: o.Dropped}, err
	})
	post(s, "/sources/{id}/rotate-key", "sources", "Give the source a new key, shown this once", func(ctx context.Context, in *idBody[nothing]) (sourceView, error) {
		key, err := s.Alert.RotateKey(ctx, in.ID)
		if err != nil {
			return sourceView{}, err
		}
		l, err := s.Alert.Sources(ctx)
		v := sourceView{ID: in.ID, Key: key}
		for _, x := range l {
			if x.ID == in.ID {
				v = viewSource(x)
				v.Key = key
			}
		}
		return v, err
	})
	s.routeCalls()
}
