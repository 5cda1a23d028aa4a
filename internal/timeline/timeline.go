// Package timeline puts facts into sentences, in French and English. It reads the
// ledger's facts and nothing else: the same lines serve the page, the interface
// for programs, the reports and the dossier.
package timeline

import (
	"encoding/json"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Kind groups lines, for the leading word and for filters.
type Kind string

// The kinds of line.
const (
	Alert    Kind = "alert"
	Page     Kind = "page"
	Note     Kind = "note"
	Update   Kind = "update"
	Phase    Kind = "phase"
	Severity Kind = "severity"
	Role     Kind = "role"
	Task     Kind = "task"
	Change   Kind = "change"
	Clock    Kind = "clock"
	Evidence Kind = "evidence"
)

// Kinds lists the kinds in the order of the filters.
var Kinds = []Kind{Alert, Page, Note, Update, Phase, Severity, Role, Task, Change, Clock, Evidence}

// Names gives the name of an object by its kind (person, service, policy, source,
// token, schedule …) and id; an unknown one gives the id or nothing.
type Names = func(kind, id string) string

// Line is one line of a timeline.
type Line struct {
	Seq int64  `json:"seq"`
	ID  string `json:"id"`
	// HappenedAt may be told by a person; RecordedAt is the server's. UTC.
	HappenedAt time.Time `json:"happened_at"`
	RecordedAt time.Time `json:"recorded_at"`
	// Actor carries the name that is shown; it is empty once the text is erased.
	Actor ledger.Actor `json:"actor"`
	Via   kit.Via      `json:"via,omitempty"`
	Type  string       `json:"type"`
	Kind  Kind         `json:"kind"`
	// Text is the sentence, without the actor.
	Text kit.Text `json:"text"`
	// Starred marks a key moment: by rule, or as the facts given say.
	Starred bool `json:"starred"`
	// Corrected is what a later line says this one should have said.
	Corrected string          `json:"corrected,omitempty"`
	Erased    bool            `json:"erased,omitempty"`
	Body      json.RawMessage `json:"body"`
}

// Later tells whether the line was written down well after it happened.
func (l *Line) Later() bool { return l.RecordedAt.Sub(l.HappenedAt) >= time.Minute }

// ActorName is the actor in words: the name, else what kind of actor it is.
func ActorName(lang string, a ledger.Actor) string {
	if a.Name != "" {
		return a.Name
	}
	if key := "timeline.actor." + string(a.Kind); i18n.Has(key) {
		return i18n.T(lang, key, nil)
	}
	return a.ID
}

// KindName is the leading word of a kind.
func KindName(lang string, k Kind) string { return i18n.T(lang, "timeline.kind."+string(k), nil) }

var kindOfType = map[string]Kind{
	"incident.noted": Note, "incident.line_corrected": Note, "incident.line_starred": Note,
	"incident.severity_changed": Severity, "incident.assessed": Severity, "impact.recorded": Severity,
	"incident.role_assigned": Role, "incident.exported": Evidence,
	"incident.renamed": Note, "incident.scope_changed": Note, "incident.kind_changed": Note,
	"incident.confidentiality_changed": Note, "incident.time_corrected": Note,
}

var kindOfNoun = map[string]Kind{
	"alert": Alert, "source": Alert, "route": Alert, "silence": Alert, "maintenance": Alert, "report": Alert, "finding": Alert, "probe": Alert,
	"page": Page, "ladder": Page, "delivery": Page, "notice": Page,
	"update": Update, "promise": Update, "component": Update,
	"incident": Phase, "handover": Role,
	"task": Task, "action": Task, "review": Task, "playbook": Task, "decision": Task,
	"change": Change, "rollback": Change,
	"clock": Clock, "obligation": Clock, "breach": Clock,
	"evidence": Evidence, "dossier": Evidence, "body": Evidence, "checkpoint": Evidence, "ledger": Evidence,
}

// KindOf gives the kind of a fact type; whatever has no kind of its own is a note.
func KindOf(factType string) Kind {
	if k, ok := kindOfType[factType]; ok {
		return k
	}
	noun, _, _ := strings.Cut(factType, ".")
	if k, ok := kindOfNoun[noun]; ok {
		return k
	}
	return Note
}

var starredTypes = map[string]bool{
	"incident.declared": true, "incident.severity_changed": true, "incident.phase_changed": true,
	"incident.role_assigned": true, "page.acknowledged": true, "update.published": true,
	"clock.decided": true, "clock.submitted": true,
}

// Starred tells whether a fact type is a key moment by rule.
func Starred(factType string) bool {
	return starredTypes[factType] || strings.HasPrefix(factType, "rollback.")
}

// Lines puts facts into words, in their order. Stars and corrections that the
// facts themselves carry are applied to the lines they name.
func Lines(facts []ledger.Fact, names func(kind, id string) string) []Line {
	if names == nil {
		names = func(_, id string) string { return id }
	}
	out := make([]Line, len(facts))
	at := make(map[int64]int, len(facts))
	for n := range facts {
		out[n] = line(&facts[n], names)
		at[facts[n].Seq] = n
	}
	for n := range facts {
		f := &facts[n]
		if f.Erased || f.Type != "incident.line_starred" && f.Type != "incident.line_corrected" {
			continue
		}
		var b struct {
			Line    int64  `json:"line"`
			Starred bool   `json:"starred"`
			Text    string `json:"text"`
		}
		if f.Decode(&b) != nil {
			continue
		}
		k, ok := at[b.Line]
		if !ok {
			continue
		}
		if f.Type == "incident.line_starred" {
			out[k].Starred = b.Starred
		} else if !out[k].Erased {
			out[k].Corrected = b.Text
		}
	}
	return out
}

func line(f *ledger.Fact, names Names) Line {
	l := Line{
		Seq: f.Seq, ID: f.ID, HappenedAt: f.HappenedAt, RecordedAt: f.RecordedAt, Actor: f.Actor, Via: f.Via,
		Type: f.Type, Kind: KindOf(f.Type), Starred: Starred(f.Type), Erased: f.Erased, Body: f.Body,
	}
	if f.Erased {
		l.Actor.Name = ""
		l.Text = kit.Text{FR: i18n.T("fr", "fact.erased", nil), EN: i18n.T("en", "fact.erased", nil)}
		return l
	}
	if l.Actor.Name == "" && l.Actor.ID != "" {
		l.Actor.Name = names(string(l.Actor.Kind), l.Actor.ID)
	}
	var body map[string]any
	if json.Unmarshal(f.Body, &body) != nil {
		body = nil
	}
	l.Text = kit.Text{FR: sentence("fr", f, body, names), EN: sentence("en", f, body, names)}
	return l
}

// Sentence puts one fact into words in a language.
func Sentence(lang string, f *ledger.Fact, names func(kind, id string) string) string {
	return line(f, names).Text.In(lang)
}
