package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/kit"
)

const amLayout = "2006-01-02T15:04:05.000Z07:00"

func (h *handler) silenceRoutes(m *http.ServeMux, am string) {
	m.HandleFunc("GET "+am+"/api/v2/silences", h.amSilences)
	m.HandleFunc("POST "+am+"/api/v2/silences", h.amSilence)
	m.HandleFunc("GET "+am+"/api/v2/silence/{id}", h.amOneSilence)
	m.HandleFunc("DELETE "+am+"/api/v2/silence/{id}", h.amUnsilence)
	m.HandleFunc("GET "+am+"/api/v2/alerts/groups", h.amGroups)
}

type amSilenceIn struct {
	ID       string `json:"id"`
	Matchers []struct {
		Name    *string `json:"name"`
		Value   *string `json:"value"`
		IsRegex *bool   `json:"isRegex"`
		IsEqual *bool   `json:"isEqual"`
	} `json:"matchers"`
	StartsAt  *wireTime `json:"startsAt"`
	EndsAt    *wireTime `json:"endsAt"`
	CreatedBy *string   `json:"createdBy"`
	Comment   *string   `json:"comment"`
}

func (in *amSilenceIn) missing() string {
	switch {
	case len(in.Matchers) == 0:
		return "matchers"
	case in.StartsAt == nil:
		return "startsAt"
	case in.EndsAt == nil:
		return "endsAt"
	case in.CreatedBy == nil:
		return "createdBy"
	case in.Comment == nil:
		return "comment"
	}
	for i, m := range in.Matchers {
		switch {
		case m.Name == nil:
			return fmt.Sprintf("matchers.%d.name", i)
		case m.Value == nil:
			return fmt.Sprintf("matchers.%d.value", i)
		case m.IsRegex == nil:
			return fmt.Sprintf("matchers.%d.isRegex", i)
		}
	}
	return ""
}

// amSilence makes a silence of the source's own alerts. One that names another
// replaces it, as in Alertmanager.
func (h *handler) amSilence(w http.ResponseWriter, r *http.Request) {
	src, body, ok := h.amBody(w, r, http.StatusTooManyRequests)
	if !ok {
		return
	}
	var in amSilenceIn
	if err := json.Unmarshal(body, &in); err != nil || deep(body, maxDepth) {
		reply(w, http.StatusBadRequest, amMessage{400, fmt.Sprintf("parsing silence body from \"\" failed, because %v", err)})
		return
	}
	if name := in.missing(); name != "" {
		reply(w, http.StatusUnprocessableEntity, amMessage{602, "silence." + name + " in body is required"})
		return
	}
	now := h.clock.Now()
	x := alert.Silence{Silence: quiet.Silence{From: in.StartsAt.Time, Until: in.EndsAt.Time}, Reason: *in.Comment}
	if x.From.Before(now) {
		x.From = now
	}
	for _, m := range in.Matchers {
		x.Matchers = append(x.Matchers, quiet.Matcher{Name: *m.Name, Value: *m.Value, IsRegex: *m.IsRegex, IsEqual: m.IsEqual == nil || *m.IsEqual})
	}
	ctx := context.WithoutCancel(r.Context())
	if in.ID != "" {
		if _, err := h.silenceOf(ctx, src.ID, in.ID); err != nil {
			h.amSilenceError(w, src, err)
			return
		}
	}
	x, err := h.alerts.SilenceOf(ctx, src.ID, *in.CreatedBy, x)
	if err != nil {
		h.amSilenceError(w, src, err)
		return
	}
	// The former one ends after the new one began: nothing is released between.
	if in.ID != "" {
		if err := h.alerts.UnsilenceOf(ctx, src.ID, in.ID); err != nil {
			h.amSilenceError(w, src, err)
			return
		}
	}
	reply(w, http.StatusOK, map[string]string{"silenceID": x.ID})
}

// amSilenceError answers as Alertmanager does: a string, and nothing when it is not there.
func (h *handler) amSilenceError(w http.ResponseWriter, src alert.Source, err error) {
	e := kit.AsError(err)
	switch e.Code {
	case kit.CodeNotFound:
		w.WriteHeader(http.StatusNotFound)
	case kit.CodeInvalid:
		text := "invalid silence"
		for _, f := range e.Fields {
			text += ": " + f.Path
			if m, ok := f.Args["message"].(string); ok {
				text += " (" + m + ")"
			}
		}
		reply(w, http.StatusBadRequest, text)
	case kit.CodeBusy:
		retryAfter(w, e.RetryAfter)
		reply(w, http.StatusServiceUnavailable, "overloaded, send again")
	default:
		h.log.Error("silence not kept", "source", src.ID, "error", err)
		reply(w, http.StatusInternalServerError, "not kept, send again")
	}
}

func (h *handler) silenceOf(ctx context.Context, source, id string) (alert.Silence, error) {
	all, err := h.alerts.SilencesOf(ctx, source)
	if err != nil {
		return alert.Silence{}, err
	}
	for _, x := range all {
		if x.ID == id {
			return x, nil
		}
	}
	return alert.Silence{}, kit.NotFound("silence", id)
}

func gettableSilence(x alert.Silence, now time.Time) map[string]any {
	until, updated := x.Until, x.CreatedAt
	if !x.EndedAt.IsZero() {
		until, updated = x.EndedAt, x.EndedAt
	}
	return map[string]any{
		"id": x.ID, "status": map[string]string{"state": x.State(now)}, "updatedAt": updated.Format(amLayout), "matchers": x.Matchers,
		"startsAt": x.From.Format(amLayout), "endsAt": until.Format(amLayout), "createdBy": x.ByName, "comment": x.Reason,
	}
}

func (h *handler) amSilences(w http.ResponseWriter, r *http.Request) {
	src, ok := h.amSource(w, r)
	if !ok {
		return
	}
	var want []quiet.Matcher
	for _, f := range r.URL.Query()["filter"] {
		m, err := quiet.ParseMatcher(f)
		if err != nil {
			reply(w, http.StatusBadRequest, err.Error())
			return
		}
		want = append(want, m)
	}
	all, err := h.alerts.SilencesOf(r.Context(), src.ID)
	if err != nil {
		h.amSilenceError(w, src, err)
		return
	}
	out := []any{}
	for _, x := range all {
		if !slices.ContainsFunc(want, func(m quiet.Matcher) bool { return !among(m, x.Matchers) }) {
			out = append(out, gettableSilence(x, h.clock.Now()))
		}
	}
	reply(w, http.StatusOK, out)
}

// among tells whether a silence has a matcher of that name and value.
func among(m quiet.Matcher, list []quiet.Matcher) bool {
	return slices.ContainsFunc(list, func(x quiet.Matcher) bool { return x.Name == m.Name && m.Matches(x.Value) })
}

// amID gives the id of the address, and answers one that is none.
func amID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id := r.PathValue("id")
	if _, err := kit.ParseID(strings.ToLower(id)); err != nil {
		reply(w, http.StatusUnprocessableEntity, amMessage{601, fmt.Sprintf("silenceID in path must be of type uuid: %q", id)})
		return "", false
	}
	return strings.ToLower(id), true
}

func (h *handler) amOneSilence(w http.ResponseWriter, r *http.Request) {
	src, ok := h.amSource(w, r)
	if !ok {
		return
	}
	id, ok := amID(w, r)
	if !ok {
		return
	}
	x, err := h.silenceOf(r.Context(), src.ID, id)
	if err != nil {
		h.amSilenceError(w, src, err)
		return
	}
	reply(w, http.StatusOK, gettableSilence(x, h.clock.Now()))
}

func (h *handler) amUnsilence(w http.ResponseWriter, r *http.Request) {
	src, ok := h.amSource(w, r)
	if !ok {
		return
	}
	id, ok := amID(w, r)
	if !ok {
		return
	}
	if err := h.alerts.UnsilenceOf(context.WithoutCancel(r.Context()), src.ID, id); err != nil {
		h.amSilenceError(w, src, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// amGroups gives the live alerts of the source, one group for each that its route makes.
func (h *handler) amGroups(w http.ResponseWriter, r *http.Request) {
	list, ok := h.amLive(w, r)
	if !ok {
		return
	}
	type group struct {
		Labels   map[string]string `json:"labels"`
		Receiver map[string]string `json:"receiver"`
		Alerts   []map[string]any  `json:"alerts"`
	}
	out := []*group{}
	by := map[string]*group{}
	for i := range list {
		a := &list[i]
		g := by[a.Route+" "+a.GroupKey]
		if g == nil {
			g = &group{Labels: map[string]string{"group": a.GroupKey}, Receiver: map[string]string{"name": "tocsin"}}
			by[a.Route+" "+a.GroupKey] = g
			out = append(out, g)
		}
		g.Alerts = append(g.Alerts, h.gettable(a))
	}
	reply(w, http.StatusOK, out)
}
