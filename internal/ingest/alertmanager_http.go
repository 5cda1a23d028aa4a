package ingest

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/kit"
)

func (h *handler) amSource(w http.ResponseWriter, r *http.Request) (alert.Source, bool) {
	src, ok, err := h.alerts.SourceByKey(r.Context(), r.PathValue("key"))
	if err != nil {
		status, wait := refusal(err)
		if wait > 0 {
			retryAfter(w, wait)
		}
		reply(w, status, amMessage{status, "the key cannot be looked up now, send again"})
		return src, false
	}
	if !ok {
		reply(w, http.StatusUnauthorized, amMessage{401, "the key in the address is not known"})
	}
	return src, ok
}

func amRefuse(w http.ResponseWriter, e *amError) { reply(w, e.status, e.body) }

// amBody checks what comes before parsing: key, rate, content type, size.
// limited is the status of a sender that is too fast.
func (h *handler) amBody(w http.ResponseWriter, r *http.Request, limited int) (alert.Source, []byte, bool) {
	src, ok := h.amSource(w, r)
	if !ok {
		return src, nil, false
	}
	if wait, ok := h.allowed(src.ID); !ok {
		retryAfter(w, wait)
		reply(w, limited, amMessage{limited, "too many requests of this source"})
		return src, nil, false
	}
	sent := r.Header.Get("Content-Type")
	if t, p, err := mime.ParseMediaType(sent); err != nil || t != "application/json" || p["charset"] != "" && !strings.EqualFold(p["charset"], "utf-8") {
		reply(w, http.StatusUnsupportedMediaType, amMessage{415, fmt.Sprintf("unsupported media type %q, only [application/json] are allowed", sent)})
		return src, nil, false
	}
	body, err := read(w, r, maxBody)
	switch {
	case err == errTooLarge:
		reply(w, http.StatusRequestEntityTooLarge, amMessage{413, "the body is larger than 1 MiB"})
		return src, nil, false
	case err != nil:
		amRefuse(w, amParseError(err))
		return src, nil, false
	}
	return src, body, true
}

// newNames tells whether a sender may use label names in UTF-8: Prometheus does
// from version 3 on. Others get the answer of Alertmanager 0.25.
func newNames(agent string) bool {
	v, ok := strings.CutPrefix(agent, "Prometheus/")
	major, _, _ := strings.Cut(strings.TrimPrefix(v, "v"), ".")
	n, err := strconv.Atoi(major)
	return ok && err == nil && n >= 3
}

func (h *handler) amPost(w http.ResponseWriter, r *http.Request) {
	h.alerts.InFlight(1)
	src, body, ok := h.amBody(w, r, http.StatusTooManyRequests)
	if !ok {
		h.alerts.InFlight(-1)
		return
	}
	signals, bad := parseAlerts(body, src, h.clock.Now(), newNames(r.UserAgent()))
	h.amStore(w, r, src, "alertmanager/api/v2/alerts", body, signals, bad)
}

func (h *handler) amWebhook(w http.ResponseWriter, r *http.Request) {
	h.alerts.InFlight(1)
	// Alertmanager repeats a webhook after 5xx only.
	src, body, ok := h.amBody(w, r, http.StatusServiceUnavailable)
	if !ok {
		h.alerts.InFlight(-1)
		return
	}
	signals, bad := parseWebhook(body, src, h.clock.Now())
	h.amStore(w, r, src, "alertmanager/webhook", body, signals, bad)
}

func (h *handler) amStore(w http.ResponseWriter, r *http.Request, src alert.Source, path string, body []byte, signals []alert.Signal, bad *amError) {
	err := h.ingest(r, signals)
	h.alerts.InFlight(-1)
	status := http.StatusOK
	var problems []string
	if bad != nil {
		status = bad.status
		problems = append(problems, fmt.Sprint(bad.body))
	}
	if err != nil {
		e := kit.AsError(err)
		switch e.Code {
		case kit.CodeBusy:
			status = http.StatusServiceUnavailable
			retryAfter(w, e.RetryAfter)
			reply(w, status, "overloaded, send again")
		case kit.CodeInvalid:
			status = http.StatusBadRequest
			reply(w, status, e.Error())
		default:
			status = http.StatusInternalServerError
			h.log.Error("signals not stored", "source", src.ID, "error", err)
			reply(w, status, "not stored, send again")
		}
		problems = append(problems, string(e.Code))
	} else if bad != nil {
		amRefuse(w, bad)
	} else {
		// An empty answer without a content type, as Alertmanager gives it.
		w.Header()["Content-Type"] = nil
		w.WriteHeader(http.StatusOK)
	}
	h.keep(src, r.PathValue("key"), path, status, body, signals, problems...)
}

func (h *handler) amOK(w http.ResponseWriter, r *http.Request) {
	if _, ok := h.amSource(w, r); !ok {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK")
}

func (h *handler) amStatus(w http.ResponseWriter, r *http.Request) {
	if _, ok := h.amSource(w, r); !ok {
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"cluster": map[string]any{"status": "disabled"},
		"config":  map[string]any{"original": ""},
		"uptime":  h.started.Format("2006-01-02T15:04:05.000Z07:00"),
		"versionInfo": map[string]any{
			"branch": "", "buildDate": "", "buildUser": "", "goVersion": runtime.Version(), "revision": "", "version": h.version,
		},
	})
}

// amList gives the live alerts of the source in the shape of Alertmanager.
func (h *handler) amList(w http.ResponseWriter, r *http.Request) {
	list, ok := h.amLive(w, r)
	if !ok {
		return
	}
	out := []any{}
	for i := range list {
		out = append(out, h.gettable(&list[i]))
	}
	reply(w, http.StatusOK, out)
}

// amLive gives the live alerts of the source that the query asks for.
func (h *handler) amLive(w http.ResponseWriter, r *http.Request) ([]alert.Alert, bool) {
	src, ok := h.amSource(w, r)
	if !ok {
		return nil, false
	}
	q := r.URL.Query()
	on := map[string]bool{}
	for _, k := range []string{"active", "silenced", "inhibited", "unprocessed"} {
		on[k] = true
		if v := q.Get(k); v != "" {
			b, err := strconv.ParseBool(v)
			if err != nil {
				amRefuse(w, &amError{422, amMessage{601, fmt.Sprintf("%s in query must be of type boolean: %q", k, v)}})
				return nil, false
			}
			on[k] = b
		}
	}
	var matchers []quiet.Matcher
	for _, f := range q["filter"] {
		m, err := quiet.ParseMatcher(f)
		if err != nil {
			reply(w, http.StatusBadRequest, err.Error())
			return nil, false
		}
		matchers = append(matchers, m)
	}
	if v := q.Get("receiver"); v != "" {
		re, err := regexp.Compile("^(?:" + v + ")$")
		if err != nil {
			reply(w, http.StatusBadRequest, "failed to parse receiver param: "+v)
			return nil, false
		}
		if !re.MatchString("tocsin") {
			reply(w, http.StatusOK, []any{})
			return nil, false
		}
	}
	live, err := h.alerts.LiveOf(context.WithoutCancel(r.Context()), src.ID)
	if err != nil {
		h.log.Error("alerts not listed", "source", src.ID, "error", err)
		reply(w, http.StatusInternalServerError, "not available")
		return nil, false
	}
	out := live[:0]
next:
	for i := range live {
		a := &live[i]
		for _, m := range matchers {
			if !m.Matches(a.Labels[m.Name]) {
				continue next
			}
		}
		kind := "active"
		if a.State == alert.StateSuppressed {
			kind = "silenced"
			if a.Held().Kind == quiet.Dependency {
				kind = "inhibited"
			}
		}
		if on[kind] {
			out = append(out, *a)
		}
	}
	return out, true
}

func (h *handler) gettable(a *alert.Alert) map[string]any {
	const layout = amLayout
	state, silenced, inhibited := "active", []string{}, []string{}
	if a.State == alert.StateSuppressed {
		state = "suppressed"
	}
	switch r := a.Held(); r.Kind {
	case quiet.Silenced:
		silenced = append(silenced, r.Rule)
	case quiet.Dependency:
		inhibited = append(inhibited, r.Rule)
	}
	starts, ends := a.StartsAt, a.EndsAt
	if starts.IsZero() {
		starts = a.FirstAt
	}
	if ends.IsZero() {
		ends = h.clock.Now().Add(resolveTimeout)
	}
	orEmpty := func(m map[string]string) map[string]string {
		if m == nil {
			return map[string]string{}
		}
		return m
	}
	return map[string]any{
		"annotations": orEmpty(a.Annotations), "labels": orEmpty(a.Labels), "fingerprint": a.DedupKey, "generatorURL": a.Link,
		"receivers": []any{map[string]any{"name": "tocsin"}},
		"startsAt":  starts.Format(layout), "endsAt": ends.Format(layout), "updatedAt": a.LastAt.Format(layout),
		"status": map[string]any{"state": state, "silencedBy": silenced, "inhibitedBy": inhibited, "mutedBy": []any{}},
	}
}
