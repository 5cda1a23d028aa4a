package dossier

import (
	"encoding/json"
	"regexp"
	"slices"
	"sort"
	"strings"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/timeline"
)

// shown lists the fact types that a reader outside sees; everything else, above
// all what people wrote to each other, stays inside.
var shown = map[Level][]string{
	Customer: {
		"incident.declared", "incident.acknowledged", "incident.severity_changed", "incident.phase_changed", "incident.restored",
		"incident.eradicated", "incident.cancelled", "incident.reopened", "incident.closed", "update.published", "update.corrected", "update.withdrawn",
	},
	Regulator: {
		"alert.opened", "alert.resolved", "incident.declared", "incident.acknowledged", "incident.assessed", "incident.severity_changed",
		"incident.phase_changed", "incident.kind_changed", "incident.scope_changed", "incident.role_assigned", "incident.restored", "incident.eradicated",
		"incident.cancelled", "incident.reopened", "incident.closed", "page.opened", "page.acknowledged", "ladder.started", "ladder.answered", "ladder.exhausted",
		"impact.recorded", "change.recorded", "change.finished", "review.created", "review.approved", "action.done", "action.checked", "evidence.added",
		"update.published", "update.corrected", "update.withdrawn", "clock.started", "clock.decided", "clock.submitted", "rollback.started", "rollback.finished", "rollback.failed",
	},
}

// inner are the fields of a body that never leave: free text and what names people.
var inner = []string{"reason", "text", "briefing", "answers", "unanswered", "link", "origin", "only_person", "alert_title", "previous", "labels", "evidence", "error", "exceptions", "url", "pipeline"}

// redact keeps the lines that the level shows, with roles for people.
func (d *Dossier) redact(facts []ledger.Fact) {
	d.hide(facts)
	kept := make([]ledger.Fact, 0, len(facts))
	for _, f := range facts {
		if f.Erased || !slices.Contains(shown[d.Level], f.Type) {
			continue
		}
		var body map[string]json.RawMessage
		if json.Unmarshal(f.Body, &body) != nil {
			continue
		}
		for _, field := range inner {
			delete(body, field)
		}
		if raw, ok := body["impact"]; ok && f.Type == "impact.recorded" {
			var inside map[string]json.RawMessage
			if json.Unmarshal(raw, &inside) == nil {
				delete(inside, "text")
				body["impact"], _ = json.Marshal(inside)
			}
		}
		if f.Type == "incident.role_assigned" {
			// The line names the role already.
			delete(body, "from_person")
			body["person"] = json.RawMessage(`"-"`)
		}
		raw, err := json.Marshal(body)
		if err != nil {
			continue
		}
		f.Body = raw
		if f.Actor.Kind == kit.ActorSystem {
			f.Actor.Name = "Tocsin"
		} else {
			f.Actor.Name = ""
		}
		kept = append(kept, f)
	}
	d.Lines = timeline.Lines(kept, d.name)
	for n := range d.Lines {
		l := &d.Lines[n]
		l.Body = nil
		l.Text = kit.Text{FR: d.scrub(l.Text.FR), EN: d.scrub(l.Text.EN)}
		l.Actor.ID = ""
		l.ID = ""
		if l.Actor.Kind != kit.ActorPerson && l.Actor.Kind != kit.ActorSystem {
			l.Actor.Name = ""
		}
	}
	i := *d.incident
	i.Title, i.Summary = d.scrub(i.Title), d.scrub(i.Summary)
	d.incident = &i
	d.tasks = nil
	if d.impact != nil {
		impact := *d.impact
		impact.Text = ""
		d.impact = &impact
	}
}

// hide makes the naming give the role for a person, and collects the names that
// texts may hold.
func (d *Dossier) hide(facts []ledger.Fact) {
	name, i := d.name, d.incident
	people := map[string]bool{i.DeclaredBy: true, i.AcknowledgedBy: true, i.OnlyPerson: true}
	held := map[string][]string{}
	for role, person := range i.Roles {
		people[person] = true
		held[person] = append(held[person], i18n.T(d.Language, "core.role."+string(role), nil))
	}
	known := map[string]bool{}
	for n := range facts {
		f := &facts[n]
		if f.Actor.Kind == kit.ActorPerson {
			people[f.Actor.ID] = true
		}
		if f.Actor.Kind != kit.ActorSystem {
			known[f.Actor.Name] = true
		}
		var body map[string]any
		if json.Unmarshal(f.Body, &body) == nil {
			for _, field := range []string{"person", "by", "owner", "from", "to", "from_person", "approver", "recipient"} {
				if id, ok := body[field].(string); ok {
					people[id] = true
				}
			}
		}
	}
	if d.review != nil {
		for _, a := range d.review.Authors {
			people[a] = true
		}
		people[d.review.Approver] = true
	}
	for _, a := range d.actions {
		people[a.Owner] = true
	}
	for _, t := range d.tasks {
		people[t.Owner] = true
	}
	for id := range people {
		if id != "" {
			if n := name("person", id); n != id {
				known[n] = true
			}
		}
	}
	var names []string
	for n := range known {
		if len([]rune(n)) >= 3 {
			names = append(names, regexp.QuoteMeta(n))
		}
	}
	somebody := i18n.T(d.Language, "timeline.actor.person", nil)
	// The longest name first, so that one within another is not left in part.
	sort.Slice(names, func(a, b int) bool {
		return len(names[a]) > len(names[b]) || len(names[a]) == len(names[b]) && names[a] < names[b]
	})
	var any *regexp.Regexp
	if len(names) > 0 {
		any = regexp.MustCompile(`(?i)` + strings.Join(names, "|"))
	}
	d.name = func(kind, id string) string {
		switch kind {
		case "person", "auditor", "reporter":
			if roles := held[id]; len(roles) > 0 {
				slices.Sort(roles)
				return strings.Join(roles, ", ")
			}
			return somebody
		case "token", "source", "rule":
			return i18n.T(d.Language, "timeline.actor."+kind, nil)
		}
		return name(kind, id)
	}
	d.hidden = func(s string) string {
		if any == nil {
			return s
		}
		return any.ReplaceAllString(s, somebody)
	}
}

// scrub replaces the names of the people of the incident in a text.
func (d *Dossier) scrub(s string) string {
	if d.hidden == nil {
		return s
	}
	return d.hidden(s)
}
