package ingest

import (
	"net/http"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// headersOf are those of a request that a map may ask for, by their name in lower
// case; what authenticates the sender is left out.
func headersOf(header http.Header) map[string]string {
	out := map[string]string{}
	for name, v := range header {
		switch lower := strings.ToLower(name); lower {
		case "authorization", "cookie", "proxy-authorization":
		default:
			if len(out) < maxDetailLabels && len(v) > 0 {
				out[lower] = v[0]
			}
		}
	}
	return out
}

// mapped makes a signal of what a source's map read of a body.
func mapped(src alert.Source, m alert.Mapped, now time.Time) alert.Signal {
	s := alert.Signal{
		Source: src.ID, DedupKey: m.DedupKey, Action: action(m.State), Title: m.Title, Severity: severity(src, m.Severity), Link: m.Link,
		Labels: m.Labels, Annotations: map[string]string{}, StartsAt: now, Received: now,
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	if m.Description != "" {
		s.Annotations["description"] = cutBytes(m.Description, maxDetail)
	}
	if s.Service = service(src, map[string]string{"service": m.Service}); s.Service == "" {
		s.Service = service(src, s.Labels)
	}
	return s
}

func (h *handler) json(w http.ResponseWriter, r *http.Request) {
	h.alerts.InFlight(1)
	defer h.alerts.InFlight(-1)
	m, ok := h.take(w, r, "json", maxBody, "application/json")
	if !ok {
		return
	}
	if m.src.Mapping == nil {
		h.refuse(m, http.StatusUnprocessableEntity, kit.CodeInvalid, "This source has no map: it must be of kind json, with a map that says dedup_key and title.")
		return
	}
	var body any
	if err := decode(m.body, &body); err != nil {
		h.malformed(m, err)
		return
	}
	v, err := m.src.Mapping.Read(body, headersOf(r.Header))
	if err != nil {
		detail, fields := i18n.Error("en", err)
		for _, f := range fields {
			detail += " " + f.Path + ": " + f.Message
		}
		h.refuse(m, http.StatusUnprocessableEntity, kit.CodeInvalid, detail)
		return
	}
	h.accept(m, []alert.Signal{mapped(m.src, v, h.clock.Now())}, nil)
}
