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
	"tocsin/internal/kit"
)

// ogAlert is the body of a new alert of the Opsgenie alert API.
type ogAlert struct {
	Message     string            `json:"message"`
	Alias       string            `json:"alias"`
	Description string            `json:"description"`
	Tags        []string          `json:"tags"`
	Details     map[string]ogText `json:"details"`
	Entity      string            `json:"entity"`
	Source      string            `json:"source"`
	Priority    string            `json:"priority"`
	User        string            `json:"user"`
	Note        string            `json:"note"`
}

// ogChange is the body of the calls on an alert that is there.
type ogChange struct {
	User        string            `json:"user"`
	Source      string            `json:"source"`
	Note        string            `json:"note"`
	Message     string            `json:"message"`
	Description string            `json:"description"`
	Priority    string            `json:"priority"`
	Details     map[string]ogText `json:"details"`
	Tags        []string          `json:"tags"`
}

// ogText is a value of details: text by the contract, but clients send numbers too.
type ogText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *ogText) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	*t = ogText(s)
	return nil
}

// Limits of the Opsgenie alert API, in characters.
const (
	maxAlias       = 512
	maxDescription = 15000
	maxNote        = 25000
)

// signal reads a new alert; what is wrong with it is named by field.
func (a *ogAlert) signal(src alert.Source, now time.Time) (alert.Signal, map[string]string) {
	bad := map[string]string{}
	if strings.TrimSpace(a.Message) == "" {
		bad["message"] = "Message can not be empty."
	}
	if utf8.RuneCountInString(a.Alias) > maxAlias {
		bad["alias"] = fmt.Sprintf("Alias can not be longer than %d characters.", maxAlias)
	}
	ogPriority(src, a.Priority, bad)
	if len(bad) > 0 {
		return alert.Signal{}, bad
	}
	labels, annotations := ogDetails(a.Details)
	for k, v := range map[string]string{"entity": a.Entity, "source": a.Source, "tags": strings.Join(a.Tags, ",")} {
		if v != "" && len(v) <= 256 {
			labels[k] = v
		}
	}
	if a.Description != "" {
		annotations["description"] = cutBytes(a.Description, maxDescription)
	}
	if a.Note != "" {
		annotations["note"] = ogNote(a.User, a.Note)
	}
	priority := a.Priority
	if priority == "" {
		priority = "P3"
	}
	s := alert.Signal{
		Source: src.ID, DedupKey: a.Alias, Action: alert.Trigger, Title: strings.TrimSpace(a.Message), Severity: severity(src, priority),
		Service: service(src, labels), Labels: labels, Annotations: annotations, Received: now,
	}
	if strings.HasPrefix(a.Source, "http://") || strings.HasPrefix(a.Source, "https://") {
		s.Link = a.Source
	}
	if s.DedupKey == "" {
		s.DedupKey = strings.ReplaceAll(kit.NewID(), "-", "")
	}
	return s, nil
}

// ogPriority checks a priority; the source's own words go too.
func ogPriority(src alert.Source, p string, bad map[string]string) {
	if _, mapped := src.SeverityMap[p]; p == "" || mapped {
		return
	}
	if len(p) != 2 || p[0] != 'P' || p[1] < '1' || p[1] > '5' {
		bad["priority"] = "Priority can be one of P1, P2, P3, P4, P5."
	}
}

// ogDetails makes labels of short values and annotations of long ones.
func ogDetails(details map[string]ogText) (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(details)) {
		v := string(details[k])
		switch {
		case k == "" || len(k) > 128 || v == "" || v == "null":
		case len(v) <= 256 && len(labels) < maxDetailLabels:
			labels[k] = v
		case len(annotations) < maxDetailLabels:
			annotations[k] = cutBytes(v, maxDetail)
		}
	}
	return labels, annotations
}

func ogNote(user, note string) string {
	note = cutBytes(note, maxNote)
	if user != "" {
		note = user + ": " + note
	}
	return note
}

// ogCalls are the calls on an alert that is there and what they make of it. Those
// that stand for nothing here (who is assigned, snoozing) are taken and shown with
// the payload, so that a client goes on.
var ogCalls = map[string]alert.Action{
	"POST close": alert.Resolve, "DELETE ": alert.Resolve, "POST acknowledge": alert.Acknowledge,
	"POST notes": alert.Update, "POST details": alert.Update, "POST tags": alert.Update,
	"PUT message": alert.Update, "PUT description": alert.Update, "PUT priority": alert.Update,
	"POST unacknowledge": "", "POST snooze": "", "POST escalate": "", "POST assign": "", "POST responders": "", "DELETE details": "", "DELETE tags": "",
}

// signal reads a call on an alert that is there.
func (c *ogChange) signal(src alert.Source, call, dedupKey string, now time.Time) (alert.Signal, map[string]string) {
	bad := map[string]string{}
	s := alert.Signal{Source: src.ID, DedupKey: dedupKey, Action: ogCalls[call], Service: src.Service, Received: now}
	_, notes := ogDetails(c.Details)
	if c.Note != "" {
		notes["note"] = ogNote(c.User, c.Note)
	}
	need := func(field, value, message string) {
		if strings.TrimSpace(value) == "" {
			bad[field] = message
		}
	}
	switch call {
	case "POST notes":
		need("note", c.Note, "Note can not be empty.")
	case "PUT message":
		need("message", c.Message, "Message can not be empty.")
		s.Title = strings.TrimSpace(c.Message)
	case "PUT description":
		need("description", c.Description, "Description can not be empty.")
		notes["description"] = cutBytes(c.Description, maxDescription)
	case "PUT priority":
		need("priority", c.Priority, "Priority can not be empty.")
		ogPriority(src, c.Priority, bad)
		s.Severity = severity(src, c.Priority)
	case "POST details":
		for k, v := range c.Details {
			if k != "" && len(k) <= 128 && len(notes) < maxDetailLabels {
				notes[k] = cutBytes(string(v), maxDetail)
			}
		}
	case "POST tags":
		notes["tags"] = cutBytes(strings.Join(c.Tags, ","), maxDetail)
	}
	if s.Action == alert.Update {
		s.Annotations = notes
	}
	return s, bad
}
