package ingest

import (
	"context"
	"net/http"

	"tocsin/internal/alert"
	"tocsin/internal/kit"
)

type pdReply struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	DedupKey string   `json:"dedup_key,omitempty"`
	Errors   []string `json:"errors,omitempty"`
}

func pdInvalid(w http.ResponseWriter, status int, errs ...string) {
	reply(w, status, pdReply{Status: "invalid event", Message: "Event object is invalid", Errors: errs})
}

func pdBusy(w http.ResponseWriter, seconds int) {
	retryAfter(w, seconds)
	reply(w, http.StatusTooManyRequests, pdReply{Status: "throttle exceeded", Message: "Requests for this service are arriving too quickly. Please retry later."})
}

// pdRead takes and decodes the body and finds the source of its routing key.
func (h *handler) pdRead(w http.ResponseWriter, r *http.Request) (src alert.Source, e *pdEvent, body []byte, ok bool) {
	body, err := read(w, r, maxEvent)
	if err == errTooLarge {
		pdInvalid(w, http.StatusRequestEntityTooLarge, "Event object is larger than 512 KB")
		return
	}
	if err != nil {
		pdInvalid(w, http.StatusBadRequest, "The body cannot be read")
		return
	}
	e, err = parseEvent(body)
	if err != nil {
		pdInvalid(w, http.StatusBadRequest, "The body is not a valid JSON event: "+err.Error())
		return
	}
	if bad := e.routingKey(); bad != "" {
		pdInvalid(w, http.StatusBadRequest, bad)
		return
	}
	src, found, err := h.alerts.SourceByKey(r.Context(), e.RoutingKey)
	if err != nil {
		h.pdFailed(w, src, err)
		return
	}
	if !found {
		bad := "Invalid routing key"
		if len(e.RoutingKey) != 32 {
			bad = "Length of 'routing_key' is incorrect (should be 32 characters)"
		}
		pdInvalid(w, http.StatusBadRequest, bad)
		return
	}
	if wait, fine := h.allowed(src.ID); !fine {
		pdBusy(w, wait)
		return
	}
	return src, e, body, true
}

func (h *handler) pdEvent(w http.ResponseWriter, r *http.Request) {
	h.alerts.InFlight(1)
	leave := func() { h.alerts.InFlight(-1) }
	src, e, body, ok := h.pdRead(w, r)
	if !ok {
		leave()
		return
	}
	const path = "v2/enqueue"
	sig, bad := e.signal(src, h.clock.Now())
	if len(bad) > 0 {
		leave()
		pdInvalid(w, http.StatusBadRequest, bad...)
		h.keep(src, e.RoutingKey, path, http.StatusBadRequest, body, nil, bad...)
		return
	}
	signals := []alert.Signal{sig}
	err := h.ingest(r, signals)
	leave()
	if err != nil {
		status := h.pdFailed(w, src, err)
		h.keep(src, e.RoutingKey, path, status, body, signals, string(kit.CodeOf(err)))
		return
	}
	reply(w, http.StatusAccepted, pdReply{Status: "success", Message: "Event processed", DedupKey: sig.DedupKey})
	h.keep(src, e.RoutingKey, path, http.StatusAccepted, body, signals)
}

// pdFailed answers an event that was not stored: 429 and 5xx make clients send
// it again, 400 never.
func (h *handler) pdFailed(w http.ResponseWriter, src alert.Source, err error) int {
	e := kit.AsError(err)
	switch {
	case e.Reason == "queue_full":
		pdBusy(w, e.RetryAfter)
		return http.StatusTooManyRequests
	case e.Code == kit.CodeBusy:
		retryAfter(w, e.RetryAfter)
		reply(w, http.StatusServiceUnavailable, pdReply{Status: "error", Message: "Not stored, send again"})
		return http.StatusServiceUnavailable
	case e.Code == kit.CodeInvalid:
		pdInvalid(w, http.StatusBadRequest, e.Error())
		return http.StatusBadRequest
	}
	h.log.Error("event not stored", "source", src.ID, "error", err)
	reply(w, http.StatusInternalServerError, pdReply{Status: "error", Message: "Not stored, send again"})
	return http.StatusInternalServerError
}

func (h *handler) pdChange(w http.ResponseWriter, r *http.Request) {
	src, e, body, ok := h.pdRead(w, r)
	if !ok {
		return
	}
	const path = "v2/change/enqueue"
	c, bad := e.change(src, h.clock.Now())
	if len(bad) > 0 {
		pdInvalid(w, http.StatusBadRequest, bad...)
		h.keep(src, e.RoutingKey, path, http.StatusBadRequest, body, nil, bad...)
		return
	}
	ctx := kit.WithActor(context.WithoutCancel(r.Context()), kit.Actor{Kind: kit.ActorSource, ID: src.ID, Name: src.ID, Via: kit.ViaIngest})
	if _, err := h.changes.Record(ctx, c); err != nil {
		status := h.pdFailed(w, src, err)
		h.keep(src, e.RoutingKey, path, status, body, nil, string(kit.CodeOf(err)))
		return
	}
	reply(w, http.StatusAccepted, pdReply{Status: "success", Message: "Change event processed"})
	h.keep(src, e.RoutingKey, path, http.StatusAccepted, body, nil, "change: "+c.Summary)
}
