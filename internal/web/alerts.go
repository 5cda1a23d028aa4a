package web

import (
	"maps"
	"slices"

	"github.com/a-h/templ"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/kit"
)

var alertStates = []string{"open", "acknowledged", "resolved", "suppressed"}

func (s *server) alertRoutes() {
	s.get("/alerts", s.alertList)
	s.get("/alerts/{id}", s.alertPage)
	s.post("/alerts/{id}/{do}", s.alertDo)
	s.quietRoutes()
	s.findingRoutes()
}

func (s *server) alertList(q *req) error {
	f := alert.Filter{State: alert.State(q.query("state")), Service: q.query("service"), Source: q.query("source"), Q: q.query("q"), Unattached: q.query("loose") != "", Cause: q.query("cause")}
	list, err := s.Alert.List(q.ctx, f, kit.Page{Limit: 25, Cursor: q.query("cursor")})
	if err != nil {
		return err
	}
	rows, err := s.alertRows(q, list.Items)
	if err != nil {
		return err
	}
	cause := ""
	if f.Cause != "" {
		a, err := s.Alert.Get(q.ctx, f.Cause)
		if err != nil {
			return err
		}
		cause = a.Title
	}
	return q.show("incidents", q.t("web.alerts.title"), alertListPage(f, cause, kit.List[AlertRow]{Items: rows, Next: list.Next, Total: list.Total, TotalIsMinimum: list.TotalIsMinimum}))
}

// alertRows leaves out the link to an incident that the reader may not know of.
func (s *server) alertRows(q *req, list []alert.Alert) ([]AlertRow, error) {
	var ids []string
	for _, a := range list {
		if a.Incident != "" {
			ids = append(ids, a.Incident)
		}
	}
	refs, err := s.Incident.Refs(q.ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]AlertRow, len(list))
	for n, a := range list {
		out[n] = alertRow(a)
		out[n].Incident = refs[a.Incident]
	}
	return out, nil
}

// alertOne is one alert as its page shows it.
type alertOne struct {
	alert.Alert
	// ref is its incident, by the name of who answered it, cause the id of the alert that
	// holds it back, symptoms how many it holds back itself.
	ref, by, cause string
	symptoms       int
	// twins are alerts of other sources that seem to tell the same.
	twins []alert.Twin
}

func (s *server) alertShown(q *req) (string, templ.Component, error) {
	a, err := s.Alert.Get(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return "", nil, err
	}
	var ref, by string
	if a.Incident != "" {
		if i, err := s.Incident.Get(q.ctx, a.Incident); err == nil {
			ref = i.Ref()
		}
	}
	if by = a.AcknowledgedBy; by != "" {
		names, err := s.Identity.Names(q.ctx)
		if err != nil {
			return "", nil, err
		}
		by = who(names, by).Name
	}
	v := alertOne{Alert: a, ref: ref, by: by}
	if h := a.Held(); h.Kind != "" {
		v.Reason = q.t("timeline.word.reason." + string(h.Kind))
		if h.Kind == quiet.Dependency {
			v.cause = h.Rule
		}
	}
	symptoms, err := s.Alert.Symptoms(q.ctx, a.ID)
	if err != nil {
		return "", nil, err
	}
	v.symptoms = symptoms[a.ID]
	v.twins, err = s.Alert.Twins(q.ctx, a)
	return a.Title, alertView(v), err
}

func (s *server) alertPage(q *req) error {
	title, body, err := s.alertShown(q)
	if err != nil {
		return err
	}
	return q.show("incidents", title, body)
}

func (s *server) alertDo(q *req) error {
	id := q.r.PathValue("id")
	var err error
	switch do := q.r.PathValue("do"); do {
	case "acknowledge":
		err = s.Alert.Acknowledge(q.ctx, id)
	case "resolve":
		err = s.Alert.Resolve(q.ctx, id)
	case "detach":
		err = s.Alert.Detach(q.ctx, id)
	case "attach":
		i, find := s.Incident.Get(q.ctx, q.form("incident"))
		if err = find; kit.CodeOf(find) == kit.CodeNotFound {
			err = kit.InvalidField("incident", "error.not_found", "id", q.form("incident"))
		}
		if err == nil {
			err = s.Alert.Attach(q.ctx, id, i.ID, false)
		}
	default:
		return kit.NotFound("command", do)
	}
	if err == nil {
		return q.done("/alerts/"+id, q.t("web.alert.saved"))
	}
	title, body, get := s.alertShown(q)
	if get != nil {
		return err
	}
	return q.again(err, "incidents", title, body)
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
