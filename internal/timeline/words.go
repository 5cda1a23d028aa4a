package timeline

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/ledger"
)

// blank holds every argument that a sentence may use, so that one which a body
// leaves out is empty.
var blank = strings.Fields(`answer after_s approver at back briefing by computed consumer decided_by_line decision due
	duration_s error evidence exercise field findings fixed format from new how impact into language last_resort level line message method
	name owner people person personal_data policy reason recipient reopened result role round sections seq service severity
	since skipped source starred step subject summary text title to type version version_to`)

// groupOf says how the value of a field is to be read where the name of the field
// does not say it.
var groupOf = map[string]string{
	"incident.severity_changed.from": "severity", "incident.severity_changed.to": "severity",
	"incident.phase_changed.from": "phase", "incident.phase_changed.to": "phase", "incident.phase_changed.skipped": "phase",
	"incident.kind_changed.from": "kind", "incident.kind_changed.to": "kind",
	"incident.scope_changed.from": "service", "incident.scope_changed.to": "service",
	"incident.merged.from": "incident", "incident.merged.into": "incident",
	"incident.exported.level":    "level",
	"incident.assessed.computed": "severity",
	"alert.opened.severity":      "alert_severity", "alert.severity_changed.from": "alert_severity", "alert.severity_changed.to": "alert_severity",
	"alert.acknowledged.by": "alert_by",
	"handover.offered.from": "person", "handover.offered.to": "person", "handover.accepted.from": "person", "handover.accepted.to": "person",
	"handover.refused.from": "person", "handover.refused.to": "person", "handover.withdrawn.from": "person", "handover.withdrawn.to": "person",
	"task.assigned.from": "person", "swap.asked.from": "person", "swap.asked.to": "person", "swap.accepted.from": "person",
	"swap.accepted.to": "person", "swap.refused.from": "person", "swap.refused.to": "person",
	"swap.withdrawn.from": "person", "swap.withdrawn.to": "person",
	"review.changed.sections": "section",
}

// groups are the fields whose name says how to read them.
var groups = map[string]string{
	"person": "person", "by": "person", "owner": "person", "approver": "person", "recipient": "person", "from_person": "person",
	"people": "person", "authors": "person", "service": "service", "services": "service", "policy": "policy", "source": "source",
	"severity": "severity", "role": "role", "phase": "phase",
}

func sentence(lang string, f *ledger.Fact, body map[string]any, names Names) string {
	key := "fact." + f.Type
	if !i18n.Has(key) {
		return i18n.T(lang, "fact.unknown", map[string]any{"type": f.Type})
	}
	w := words{lang: lang, typ: f.Type, names: names}
	args := make(map[string]any, len(blank)+len(body))
	for _, name := range blank {
		args[name] = ""
	}
	for name, v := range body {
		args[name] = w.value(name, v)
	}
	switch f.Type {
	case "impact.recorded":
		args["impact"] = w.impact(body["impact"])
	case "incident.time_corrected":
		for _, name := range []string{"from", "to"} {
			if args[name] == "" {
				args[name] = "–"
			}
		}
	case "incident.severity_changed":
		for _, name := range []string{"from", "to"} {
			if s, ok := body[name].(string); ok && s == "" {
				args[name] = i18n.T(lang, "core.severity.none", nil)
			}
		}
	}
	if key, ok := body["error"].(string); ok && i18n.Has(key) {
		args["error"] = strings.TrimSuffix(i18n.T(lang, key, map[string]any{"kind": args["method"]}), ".")
	}
	args["subject"] = f.Subject.Ref
	if f.Subject.Ref == "" {
		args["subject"] = w.named(f.Subject.Kind, f.Subject.ID)
	}
	return strings.TrimSpace(i18n.T(lang, key, args))
}

type words struct {
	lang, typ string
	names     Names
}

func (w words) named(kind, id string) string {
	if id == "" {
		return ""
	}
	if n := w.names(kind, id); n != "" {
		return n
	}
	return id
}

func (w words) group(field string) string {
	if g, ok := groupOf[w.typ+"."+field]; ok {
		return g
	}
	if g, ok := groups[field]; ok {
		return g
	}
	return field
}

func (w words) value(field string, v any) any {
	switch x := v.(type) {
	case nil:
		return ""
	case bool:
		if w.typ == "incident.confidentiality_changed" {
			return i18n.T(w.lang, "timeline.word.bool."+strconv.FormatBool(x), nil)
		}
		return x
	case float64:
		if strings.HasSuffix(field, "_s") {
			return i18n.Duration(w.lang, time.Duration(x)*time.Second)
		}
		if field == "seq" || field == "line" || field == "version" {
			return strconv.FormatInt(int64(x), 10)
		}
		return i18n.Number(w.lang, x)
	case string:
		return w.word(field, x)
	case []any:
		return w.list(field, x)
	}
	return ""
}

func (w words) word(field, s string) string {
	if s == "" {
		return ""
	}
	switch group := w.group(field); group {
	case "person", "service", "policy", "source", "incident":
		return w.named(group, s)
	case "severity":
		name := i18n.T(w.lang, "core.severity."+s, nil)
		if !i18n.Has("core.severity." + s) {
			return s
		}
		return strings.ToUpper(s) + " " + name
	case "phase", "kind":
		if key := "core." + group + "." + s; i18n.Has(key) {
			return i18n.T(w.lang, key, nil)
		}
		return s
	case "role":
		if key := "web.role." + s; i18n.Has(key) {
			return i18n.T(w.lang, key, nil)
		}
		return s
	case "level":
		if key := "timeline.level." + s; i18n.Has(key) {
			return i18n.T(w.lang, key, nil)
		}
		return s
	case "text", "title", "summary", "briefing", "name":
		return s
	case "error":
		// The cause of a failed delivery is a key where the product names it.
		if i18n.Has(s) {
			return i18n.T(w.lang, s, nil)
		}
		return s
	default:
		if key := "timeline.word." + group + "." + s; i18n.Has(key) {
			return i18n.T(w.lang, key, nil)
		}
	}
	if t, ok := instant(s); ok {
		return i18n.DateTime(w.lang, t, time.UTC) + " UTC"
	}
	return s
}

func instant(s string) (time.Time, bool) {
	if len(s) < len("2026-11-23T00:00:00Z") || s[4] != '-' || s[10] != 'T' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// list joins what a list names: words, or objects with a person, a target and a
// reason.
func (w words) list(field string, xs []any) string {
	parts := make([]string, 0, len(xs))
	for _, x := range xs {
		switch y := x.(type) {
		case string:
			parts = append(parts, w.word(field, y))
		case map[string]any:
			who, _ := y["person"].(string)
			name := w.named("person", who)
			if target, _ := y["target"].(string); name == "" {
				name = w.target(target)
			}
			if reason, _ := y["reason"].(string); reason != "" {
				name += " (" + w.word("reason", reason) + ")"
			}
			if name != "" {
				parts = append(parts, name)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// target reads schedule:ID, role:NAME, person:ID, team:ID, channel:ID.
func (w words) target(s string) string {
	kind, id, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return s
	case kind == "role":
		return w.word("role", id)
	}
	return w.named(kind, id)
}

func (w words) impact(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	var b struct {
		Customers *float64 `json:"customers"`
		Requests  *float64 `json:"requests"`
		Records   *float64 `json:"records"`
		DataLostS *float64 `json:"data_lost_s"`
		Text      string   `json:"text"`
	}
	if json.Unmarshal(raw, &b) != nil {
		return ""
	}
	var parts []string
	add := func(key string, n *float64) {
		if n != nil {
			parts = append(parts, i18n.T(w.lang, "timeline.impact."+key, map[string]any{"n": *n}))
		}
	}
	add("customers", b.Customers)
	add("requests", b.Requests)
	add("records", b.Records)
	if b.DataLostS != nil {
		parts = append(parts, i18n.T(w.lang, "timeline.impact.data_lost", map[string]any{"n": time.Duration(*b.DataLostS) * time.Second}))
	}
	if b.Text != "" {
		parts = append(parts, b.Text)
	}
	return strings.Join(parts, ", ")
}
