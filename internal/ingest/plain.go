package ingest

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// problem is a refusal where the protocol has no shape of its own for one (RFC 9457).
func problem(w http.ResponseWriter, status int, code kit.Code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	encode(w, map[string]any{"type": "/problems/" + string(code), "title": http.StatusText(status), "status": status, "detail": detail})
}

// message is a request of a protocol with no shape of its own for refusals.
type message struct {
	w    http.ResponseWriter
	r    *http.Request
	src  alert.Source
	key  string
	path string
	body []byte
}

// known finds the source of the key in the address, or answers that there is none.
func (h *handler) known(w http.ResponseWriter, r *http.Request) (alert.Source, bool) {
	src, ok, err := h.alerts.SourceByKey(r.Context(), r.PathValue("key"))
	switch {
	case err != nil:
		status, wait := refusal(err)
		if wait > 0 {
			retryAfter(w, wait)
		}
		problem(w, status, kit.CodeOf(err), "The key cannot be looked up now. Send again.")
	case !ok:
		problem(w, http.StatusUnauthorized, kit.CodeUnauthenticated, "The key in the address, after /in/, is not that of a source.")
	}
	return src, err == nil && ok
}

// take checks what comes before parsing: the key in the address, the rate, the kind
// of content and its size.
func (h *handler) take(w http.ResponseWriter, r *http.Request, path string, limit int64, types ...string) (m message, ok bool) {
	m = message{w: w, r: r, key: r.PathValue("key"), path: path}
	if m.src, ok = h.known(w, r); !ok {
		return m, false
	}
	if wait, fine := h.allowed(m.src.ID); !fine {
		retryAfter(w, wait)
		problem(w, http.StatusTooManyRequests, kit.CodeBusy, "Too many requests of this source.")
		return m, false
	}
	if len(types) > 0 {
		t, p, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || !slices.Contains(types, t) || p["charset"] != "" && !strings.EqualFold(p["charset"], "utf-8") {
			problem(w, http.StatusUnsupportedMediaType, kit.CodeUnsupported, "Send "+strings.Join(types, " or ")+" in UTF-8.")
			return m, false
		}
	}
	var err error
	switch m.body, err = read(w, r, limit); {
	case errors.Is(err, errTooLarge):
		problem(w, http.StatusRequestEntityTooLarge, kit.CodeTooLarge, "The body is too large.")
		return m, false
	case err != nil:
		problem(w, http.StatusBadRequest, kit.CodeMalformed, "The body cannot be read.")
		return m, false
	}
	return m, true
}

// refuse answers a message that says nothing, and shows it with its source.
func (h *handler) refuse(m message, status int, code kit.Code, detail string) {
	problem(m.w, status, code, detail)
	h.keep(m.src, m.key, m.path, status, m.body, nil, detail)
}

func (h *handler) malformed(m message, err error) {
	h.refuse(m, http.StatusBadRequest, kit.CodeMalformed, "The body cannot be read: "+err.Error())
}

// accept makes what a message says durable, changes before signals: a change told
// again is the same change, so a message that failed half-way is simply sent again.
func (h *handler) accept(m message, signals []alert.Signal, changes []change.Change, notes ...string) {
	ctx := kit.WithActor(context.WithoutCancel(m.r.Context()), kit.Actor{Kind: kit.ActorSource, ID: m.src.ID, Name: m.src.ID, Via: kit.ViaIngest})
	var err error
	for n := range changes {
		if _, err = h.changes.Record(ctx, changes[n]); err != nil {
			break
		}
		notes = append(notes, "change: "+changes[n].Summary+" ("+changes[n].State+")")
	}
	if err == nil {
		err = h.ingest(m.r, signals)
	}
	if err != nil {
		h.failed(m, err, signals, notes...)
		return
	}
	reply(m.w, http.StatusAccepted, map[string]int{"signals": len(signals), "changes": len(changes)})
	h.keep(m.src, m.key, m.path, http.StatusAccepted, m.body, signals, notes...)
}

// failed answers a message that could not be kept, and shows it with its source.
func (h *handler) failed(m message, err error, signals []alert.Signal, notes ...string) {
	status, wait := refusal(err)
	if wait > 0 {
		retryAfter(m.w, wait)
	}
	detail, fields := i18n.Error("en", err)
	for _, f := range fields {
		detail += " " + f.Path + ": " + f.Message
	}
	if status == http.StatusInternalServerError {
		h.log.Error("message not stored", "source", m.src.ID, "error", err)
	}
	problem(m.w, status, kit.CodeOf(err), detail)
	h.keep(m.src, m.key, m.path, status, m.body, signals, append(notes, detail)...)
}

// states are the words by which senders say that it is over, or that somebody has it.
var states = map[string]alert.Action{
	"resolved": alert.Resolve, "resolve": alert.Resolve, "ok": alert.Resolve, "okay": alert.Resolve, "closed": alert.Resolve, "close": alert.Resolve,
	"recovered": alert.Resolve, "recovery": alert.Resolve, "normal": alert.Resolve, "up": alert.Resolve, "cleared": alert.Resolve, "fixed": alert.Resolve,
	"healthy": alert.Resolve, "inactive": alert.Resolve, "acknowledged": alert.Acknowledge, "acknowledge": alert.Acknowledge, "ack": alert.Acknowledge,
}

// action reads the sender's word of the state; one that is missing or not known fires.
func action(word string) alert.Action {
	if a, ok := states[strings.ToLower(strings.TrimSpace(word))]; ok {
		return a
	}
	return alert.Trigger
}
