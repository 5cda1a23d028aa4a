package ingest

import (
	"context"
	"net/http"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/kit"
)

// heartbeatRoutes serves the signs of jobs that must be heard: one path to say that a
// run went well, /start and /fail beside it, by any method that a shell line may use.
func (h *handler) heartbeatRoutes(m *http.ServeMux) {
	const at = "/in/{key}/heartbeat"
	for path, b := range map[string]alert.Beat{at: alert.BeatOK, at + "/{$}": alert.BeatOK, at + "/start": alert.BeatStart, at + "/fail": alert.BeatFail} {
		for _, method := range []string{"GET ", "POST "} { // GET serves HEAD too
			m.HandleFunc(method+path, func(w http.ResponseWriter, r *http.Request) { h.heartbeat(w, r, b) })
		}
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH"} {
		m.HandleFunc(method+" /v2/heartbeats/{name}/ping", h.ogPing)
	}
}

func (h *handler) heartbeat(w http.ResponseWriter, r *http.Request, b alert.Beat) {
	m, ok := h.take(w, r, "heartbeat", maxBody)
	if !ok {
		return
	}
	if err := h.beat(r, m.src.ID, b); err != nil {
		h.failed(m, err, nil)
		return
	}
	h.keep(m.src, m.key, m.path, http.StatusOK, m.body, nil, "heartbeat "+string(b))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK"))
}

func (h *handler) beat(r *http.Request, source string, b alert.Beat) error {
	return h.alerts.Heartbeat(context.WithoutCancel(r.Context()), source, b, h.words(r.Context(), "alert.heartbeat.failed", map[string]any{"source": source}))
}

// ogPing is the ping of an Opsgenie heartbeat: its name is the id of a source of kind
// heartbeat, the key that source's own or one of kind opsgenie.
func (h *handler) ogPing(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	src, _, ok := h.ogSource(w, r, began)
	if !ok {
		return
	}
	name := r.PathValue("name")
	if src.Kind == "heartbeat" && name != src.ID {
		ogRefuse(w, http.StatusNotFound, began, "No heartbeat exists with name "+name, nil)
		return
	}
	switch err := h.beat(r, name, alert.BeatOK); {
	case kit.CodeOf(err) == kit.CodeNotFound:
		ogRefuse(w, http.StatusNotFound, began, "No heartbeat exists with name "+name, nil)
	case err != nil:
		status, wait := refusal(err)
		if wait > 0 {
			retryAfter(w, wait)
		}
		ogRefuse(w, status, began, "The ping was not kept. Send it again.", nil)
	default:
		ogReply(w, http.StatusAccepted, kit.NewID(), began, map[string]any{"result": "PONG - Heartbeat received"})
	}
}
