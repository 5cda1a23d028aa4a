package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/kit"
)

type pdLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pdPayload struct {
	Summary       string          `json:"summary"`
	Source        string          `json:"source"`
	Severity      string          `json:"severity"`
	Timestamp     string          `json:"timestamp"`
	Component     string          `json:"component"`
	Group         string          `json:"group"`
	Class         string          `json:"class"`
	CustomDetails json.RawMessage `json:"custom_details"`
}

type pdEvent struct {
	RoutingKey  string          `json:"routing_key"`
	EventAction string          `json:"event_action"`
	DedupKey    string          `json:"dedup_key"`
	Payload     *pdPayload      `json:"payload"`
	Links       json.RawMessage `json:"links"`
	Images      json.RawMessage `json:"images"`
	Client      string          `json:"client"`
	ClientURL   string          `json:"client_url"`
}

// parseEvent decodes the body of /v2/enqueue and /v2/change/enqueue.
func parseEvent(body []byte) (*pdEvent, error) {
	if deep(body, maxDepth) {
		return nil, fmt.Errorf("the event nests deeper than %d levels", maxDepth)
	}
	var e pdEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	return &e, nil
}

// routingKey tells what is wrong with the key before it is looked up.
func (e *pdEvent) routingKey() string {
	if e.RoutingKey == "" {
		return "'routing_key' is missing or blank"
	}
	return ""
}

// signal checks an event and reads it; the errors are worded for the sender.
func (e *pdEvent) signal(src alert.Source, now time.Time) (alert.Signal, []string) {
	s := alert.Signal{Source: src.ID, DedupKey: e.DedupKey, Action: alert.Action(e.EventAction), Received: now, Severity: alert.Error}
	var bad []string
	switch s.Action {
	case alert.Trigger:
		bad = e.trigger(&s, src)
	case alert.Acknowledge, alert.Resolve:
		if e.DedupKey == "" {
			bad = append(bad, "'dedup_key' is missing or blank")
		}
		s.Service = src.Service
	case "":
		bad = append(bad, "'event_action' is missing or blank")
	default:
		bad = append(bad, "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')")
	}
	if utf8.RuneCountInString(e.DedupKey) > 255 {
		bad = append(bad, "'dedup_key' is too long (maximum is 255 characters)")
	}
	if len(bad) > 0 {
		return s, bad
	}
	if s.DedupKey == "" {
		s.DedupKey = strings.ReplaceAll(kit.NewID(), "-", "")
	}
	return s, nil
}

func (e *pdEvent) trigger(s *alert.Signal, src alert.Source) []string {
	p := e.Payload
	if p == nil {
		return []string{"'payload' is missing or blank"}
	}
	bad := p.summary()
	if p.Source == "" {
		bad = append(bad, "'payload.source' is missing or blank")
	}
	_, mapped := src.SeverityMap[p.Severity]
	switch sev := alert.Severity(p.Severity); {
	case p.Severity == "":
		bad = append(bad, "'payload.severity' is missing or blank")
	case mapped, p.Severity == "none":
		// Alertmanager's receiver sends the word of its label as it is; "none" is
		// that of the watchdog in the rules which most people run.
	case !sev.Valid():
		bad = append(bad, "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')")
	}
	if len(bad) > 0 {
		return bad
	}
	// An instant that cannot be read must not cost the alarm.
	s.StartsAt, _ = parseTime(p.Timestamp)
	s.Title, s.Severity = p.Summary, severity(src, p.Severity)
	s.Labels, s.Annotations = details(p.CustomDetails)
	for k, v := range map[string]string{"source": p.Source, "component": p.Component, "group": p.Group, "class": p.Class, "client": e.Client} {
		if v != "" {
			s.Labels[k] = v
		}
	}
	s.Service = service(src, s.Labels)
	s.Link = e.ClientURL
	if l := links(e.Links); s.Link == "" && len(l) > 0 {
		s.Link = l[0].Href
	}
	for i, l := range links(e.Links) {
		if i < 10 {
			s.Annotations[fmt.Sprintf("link_%d", i+1)] = strings.TrimSpace(l.Text + " " + l.Href)
		}
	}
	return nil
}

func (p *pdPayload) summary() []string {
	switch {
	case strings.TrimSpace(p.Summary) == "":
		return []string{"'payload.summary' is missing or blank"}
	case utf8.RuneCountInString(p.Summary) > 1024:
		return []string{"'payload.summary' is too long (maximum is 1024 characters)"}
	}
	return nil
}

// links reads what is well formed of the links.
func links(raw json.RawMessage) []pdLink {
	var all []pdLink
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(l pdLink) bool {
		return !strings.HasPrefix(l.Href, "https://") && !strings.HasPrefix(l.Href, "http://")
	})
}

const (
	maxDetailLabels = 64
	maxDetail       = 8 << 10
)

// details makes labels of short plain values, so that rules can ask for them,
// and keeps the rest as one annotation: clients send objects and strings alike.
func details(raw json.RawMessage) (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	if len(raw) == 0 || string(raw) == "null" {
		return labels, annotations
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		annotations["details"] = cutBytes(text, maxDetail)
		return labels, annotations
	}
	annotations["details"] = cutBytes(string(raw), maxDetail)
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return labels, annotations
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(labels) == maxDetailLabels {
			break
		}
		v := string(m[k])
		var s string
		switch {
		case k == "" || len(k) > 128 || v == "null" || v[0] == '{' || v[0] == '[':
			continue
		case v[0] == '"':
			if json.Unmarshal(m[k], &s) != nil {
				continue
			}
			v = s
		}
		if v != "" && len(v) <= 256 {
			labels[k] = v
		}
	}
	return labels, annotations
}

func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// change checks a change event and reads it.
func (e *pdEvent) change(src alert.Source, now time.Time) (change.Change, []string) {
	if e.Payload == nil {
		return change.Change{}, []string{"'payload' is missing or blank"}
	}
	if bad := e.Payload.summary(); len(bad) > 0 {
		return change.Change{}, bad
	}
	labels, _ := details(e.Payload.CustomDetails)
	c := change.Change{Service: service(src, labels), Summary: e.Payload.Summary, Source: src.ID, Pipeline: short(e.Payload.Source), At: now}
	if at, err := parseTime(e.Payload.Timestamp); err == nil && !at.IsZero() {
		c.At = at
	}
	for _, k := range []string{"version", "version_to"} {
		if v := labels[k]; v != "" {
			c.VersionTo = short(v)
		}
	}
	c.VersionFrom = short(labels["version_from"])
	if l := links(e.Links); len(l) > 0 && len(l[0].Href) <= 2048 {
		c.URL = l[0].Href
	}
	return c, nil
}

func short(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200])
	}
	return s
}
