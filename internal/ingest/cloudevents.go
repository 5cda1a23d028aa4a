package ingest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/kit"
)

// cloudEvent is one event (CloudEvents 1.0), whatever way it came.
type cloudEvent struct {
	id, typ, source, subject, time string
	extensions                     map[string]string
	data                           json.RawMessage
}

// maxEvents is how many events one batch may hold.
const maxEvents = 2000

// parseCloudEvent reads the JSON format of an event.
func parseCloudEvent(raw json.RawMessage) (cloudEvent, error) {
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(raw, &attributes); err != nil {
		return cloudEvent{}, err
	}
	e := cloudEvent{extensions: map[string]string{}}
	for name, v := range attributes {
		switch name {
		case "data":
			e.data = v
			continue
		case "data_base64":
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return e, fmt.Errorf("data_base64: %w", err)
			}
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				return e, fmt.Errorf("data_base64: %w", err)
			}
			e.data = textOrJSON(b)
			continue
		}
		var text string
		if json.Unmarshal(v, &text) != nil {
			text = strings.Trim(string(v), `"`)
		}
		e.set(name, text)
	}
	return e, e.check()
}

// binaryCloudEvent reads the event of a request whose attributes are headers.
func binaryCloudEvent(header http.Header, body []byte) (cloudEvent, error) {
	e := cloudEvent{extensions: map[string]string{}}
	for name, v := range header {
		if attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-"); ok && len(v) > 0 {
			text, err := url.PathUnescape(v[0])
			if err != nil {
				text = v[0]
			}
			e.set(attribute, text)
		}
	}
	e.data = textOrJSON(body)
	return e, e.check()
}

// textOrJSON is the data of an event as JSON: text that is none becomes a string.
func textOrJSON(b []byte) json.RawMessage {
	switch {
	case len(b) == 0:
		return nil
	case json.Valid(b):
		return b
	case !utf8.Valid(b):
		return nil
	}
	s, _ := json.Marshal(string(b))
	return s
}

func (e *cloudEvent) set(name, value string) {
	switch name {
	case "id":
		e.id = value
	case "type":
		e.typ = value
	case "source":
		e.source = value
	case "subject":
		e.subject = value
	case "time":
		e.time = value
	default:
		if len(e.extensions) < maxDetailLabels && len(name) <= 128 {
			e.extensions[name] = value
		}
	}
}

func (e *cloudEvent) check() error {
	for name, v := range map[string]string{"id": e.id, "source": e.source, "type": e.typ} {
		if strings.TrimSpace(v) == "" {
			return fmt.Errorf("the event has no %s", name)
		}
	}
	if v := e.extensions["specversion"]; v != "1.0" {
		return fmt.Errorf("specversion %q: only 1.0 is read", v)
	}
	delete(e.extensions, "specversion")
	delete(e.extensions, "datacontenttype")
	delete(e.extensions, "dataschema")
	if deep(e.data, maxDepth) {
		return fmt.Errorf("data nests deeper than %d levels", maxDepth)
	}
	return nil
}

// deployments are the parts of an event's type that name a change of a service.
var deployments = []string{"deploy", "deployed", "deployment", "release", "released", "rollout", "rollback", "upgraded"}

// read makes a change of an event that tells of one, else a signal.
func (e *cloudEvent) read(src alert.Source, now time.Time) (*alert.Signal, *change.Change) {
	labels, annotations := details(e.data)
	first := func(names ...string) string {
		for _, n := range names {
			if v := e.extensions[n]; v != "" {
				return v
			}
			if v := labels[n]; v != "" {
				return v
			}
		}
		return ""
	}
	at, err := parseTime(e.time)
	if err != nil || at.IsZero() {
		at = now
	}
	parts := strings.Split(strings.ToLower(e.typ), ".")
	state := first("state", "status", "outcome")
	last := parts[len(parts)-1]
	if slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(deployments, p) }) {
		c := &change.Change{
			Source: src.ID, Key: cutKey(e.source + "|" + e.id), Service: service(src, labels), Summary: short(strings.TrimSpace(first("title", "summary", "name") + " " + e.typ)),
			VersionFrom: short(first("version_from", "previous_version")), VersionTo: short(first("version_to", "version")), At: at,
			Pipeline: short(e.source), State: changeState(state, last),
		}
		if u := first("url"); len(u) <= 2048 && (strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://")) {
			c.URL = u
		}
		return nil, c
	}
	base := e.typ
	s := &alert.Signal{Source: src.ID, Action: action(state), Received: now, StartsAt: at, Annotations: annotations, Link: first("link", "url")}
	if a := action(last); state == "" && a != alert.Trigger {
		// com.example.disk.resolved ends what com.example.disk.full began only where
		// both name the same subject; the word itself is not part of the identity.
		s.Action = a
	}
	if i := strings.LastIndexByte(base, '.'); i > 0 && (action(last) != alert.Trigger || last == "firing" || last == "fired" || last == "triggered" || last == "raised") {
		base = base[:i]
	}
	if s.DedupKey = first("dedup_key", "dedupkey"); s.DedupKey == "" {
		s.DedupKey = cutKey(base + "|" + e.source + "|" + e.subject)
	}
	if s.Title = first("title", "summary", "message"); s.Title == "" {
		s.Title = strings.TrimSpace(e.typ + " " + e.subject)
	}
	s.Severity = severity(src, first("severity", "level", "priority"))
	for k, v := range e.extensions {
		labels[k] = v
	}
	for k, v := range map[string]string{"type": e.typ, "source": e.source, "subject": e.subject} {
		if v != "" {
			labels[k] = v
		}
	}
	s.Labels, s.Service = labels, service(src, labels)
	return s, nil
}

// changeState reads how a deployment stands from its own word, or the last part of
// the event's type.
func changeState(words ...string) string {
	for _, w := range words {
		switch strings.ToLower(w) {
		case "failed", "failure", "error", "cancelled", "canceled", "aborted":
			return "failed"
		case "started", "running", "in_progress", "queued", "pending", "created", "waiting", "blocked":
			return "running"
		case "success", "succeeded", "finished", "deployed", "completed", "released":
			return "deployed"
		}
	}
	return "deployed"
}

// cutKey is what a sender calls a thing, within the limit of a change's key.
func cutKey(s string) string {
	if utf8.RuneCountInString(s) <= 255 {
		return s
	}
	return string([]rune(s)[:255])
}

func (h *handler) cloudEvents(w http.ResponseWriter, r *http.Request) {
	h.alerts.InFlight(1)
	defer h.alerts.InFlight(-1)
	m, ok := h.take(w, r, "cloudevents", maxBody)
	if !ok {
		return
	}
	var events []cloudEvent
	one := func(e cloudEvent, err error) error {
		events = append(events, e)
		return err
	}
	kind := r.Header.Get("Content-Type")
	var err error
	switch {
	case strings.HasPrefix(kind, "application/cloudevents-batch+json"):
		var list []json.RawMessage
		if err = decode(m.body, &list); err == nil && len(list) > maxEvents {
			h.refuse(m, http.StatusRequestEntityTooLarge, kit.CodeTooLarge, fmt.Sprintf("A batch holds at most %d events.", maxEvents))
			return
		}
		for n := 0; n < len(list) && err == nil; n++ {
			if err = one(parseCloudEvent(list[n])); err != nil {
				err = fmt.Errorf("event %d: %w", n, err)
			}
		}
	case strings.HasPrefix(kind, "application/cloudevents+json"):
		var raw json.RawMessage
		if err = decode(m.body, &raw); err == nil {
			err = one(parseCloudEvent(raw))
		}
	case strings.HasPrefix(kind, "application/cloudevents"):
		h.refuse(m, http.StatusUnsupportedMediaType, kit.CodeUnsupported, "Of the formats of CloudEvents, JSON is read.")
		return
	default:
		err = one(binaryCloudEvent(r.Header, m.body))
	}
	if err != nil {
		h.malformed(m, err)
		return
	}
	var signals []alert.Signal
	var changes []change.Change
	for n := range events {
		s, c := events[n].read(m.src, h.clock.Now())
		if c != nil {
			changes = append(changes, *c)
			continue
		}
		signals = append(signals, *s)
	}
	h.accept(m, signals, changes)
}

// cloudEventsAsk answers the hand-shake by which a sender asks whether it may send
// (CloudEvents HTTP webhooks 1.0, 4).
func (h *handler) cloudEventsAsk(w http.ResponseWriter, r *http.Request) {
	if _, ok := h.known(w, r); !ok {
		return
	}
	if origin := r.Header.Get("WebHook-Request-Origin"); origin != "" {
		w.Header().Set("WebHook-Allowed-Origin", origin)
		w.Header().Set("WebHook-Allowed-Rate", "*")
	}
	w.Header().Set("Allow", "POST")
	w.WriteHeader(http.StatusOK)
}

// decode is json.Unmarshal within the limit of depth.
func decode(body []byte, v any) error {
	if deep(body, maxDepth) {
		return fmt.Errorf("it nests deeper than %d levels", maxDepth)
	}
	return json.Unmarshal(body, v)
}
