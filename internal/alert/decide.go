package alert

import (
	"encoding/json"
	"maps"
	"time"

	"tocsin/internal/alert/quiet"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// live is an alert as the hot path sees it, with what must be written.
type live struct {
	Alert
	endsByTimeout bool
	// labels and annotations as they are stored.
	labels, annotations string
	fresh               bool
	dirty               bool
	// due asks for a due row at EndsAt.
	due bool
}

// decide folds one signal into the live alert of its key (nil when there is
// none). It gives the alert it touched, nil when the signal is dropped, and the
// facts of it.
func decide(cur *live, sig *Signal, now time.Time, route func(*Signal) Decision) (*live, []ledger.Body) {
	switch sig.Action {
	case Resolve:
		if cur == nil {
			return nil, nil
		}
		cur.LastAt = now
		return cur, []ledger.Body{cur.resolve("sent", now)}
	case Acknowledge:
		if cur == nil {
			return nil, nil
		}
		return cur, cur.acknowledge("sender", now)
	case Update:
		if cur == nil {
			return nil, nil
		}
		return cur, cur.update(sig, now, route)
	}
	if cur == nil {
		return open(sig, now, route(sig))
	}
	return cur, cur.repeat(sig, now, route)
}

func open(sig *Signal, now time.Time, d Decision) (*live, []ledger.Body) {
	l := &live{fresh: true, labels: sig.labels, annotations: sig.annotations, endsByTimeout: sig.EndsByTimeout, due: !sig.EndsAt.IsZero(), Alert: Alert{
		ID: kit.NewIDAt(now), Source: sig.Source, DedupKey: sig.DedupKey, State: StateOpen,
		Severity: sig.Severity, Title: sig.Title, Service: sig.Service, Labels: sig.Labels,
		Annotations: sig.Annotations, Link: sig.Link, Count: 1, FirstAt: now, LastAt: now,
		StartsAt: sig.StartsAt, EndsAt: sig.EndsAt,
	}}
	l.routed(d)
	facts := []ledger.Body{sig.opened}
	if sig.opened == nil || d.revised {
		facts[0] = l.opened(d)
	}
	if d.Then == ThenSuppress {
		l.State = StateSuppressed
		facts = append(facts, Suppressed{Reason: "route", Rule: d.Route, Text: d.Reason})
	} else if d.held.Kind != "" {
		facts = append(facts, l.hold(d.held))
	}
	return l, facts
}

// hold holds the alert back.
func (l *live) hold(r quiet.Reason) ledger.Body {
	l.dirty = true
	l.State, l.Reason = StateSuppressed, r.String()
	return Suppressed{Reason: string(r.Kind), Rule: r.Rule}
}

// release opens an alert that was held back, and routes it like a new one.
func (l *live) release(d Decision) []ledger.Body {
	l.dirty = true
	was := l.Held()
	facts := []ledger.Body{Unsuppressed{Reason: string(was.Kind), Rule: was.Rule}}
	l.State, l.AcknowledgedBy, l.AcknowledgedAt = StateOpen, "", time.Time{}
	l.routed(d)
	switch d.Then {
	case ThenIncident:
		facts = append(facts, l.opened(d))
	case ThenSuppress:
		l.State = StateSuppressed
		facts = append(facts, Suppressed{Reason: "route", Rule: d.Route, Text: d.Reason})
	}
	return facts
}

func (l *live) routed(d Decision) {
	l.Route, l.Then, l.Reason, l.GroupKey = d.Route, d.Then, d.Reason, d.GroupKey
}

func (l *live) opened(d Decision) Opened {
	then := d.Then
	if d.held.Kind != "" {
		then = ThenSuppress
	}
	return Opened{
		Source: l.Source, Service: l.Service, DedupKey: l.DedupKey, Title: l.Title, Severity: l.Severity,
		Labels: l.Labels, Link: l.Link, Route: d.Route, Then: then, IncidentSeverity: d.Severity,
		Kind: d.Kind, Policy: d.Policy, GroupKey: d.GroupKey, WindowS: int64(d.Window / time.Second),
	}
}

// repeat takes a further trigger of a live alert.
func (l *live) repeat(sig *Signal, now time.Time, route func(*Signal) Decision) []ledger.Body {
	l.dirty = true
	l.Count++
	l.LastAt = now
	l.Title, l.Annotations, l.annotations = sig.Title, sig.Annotations, sig.annotations
	if sig.Link != "" {
		l.Link = sig.Link
	}
	if !sig.EndsAt.IsZero() {
		keep := sig.EndsByTimeout && !l.endsByTimeout && l.EndsAt.After(sig.EndsAt)
		if !keep {
			// A due row that comes too early finds the later end and waits for it.
			l.due = l.EndsAt.IsZero() || sig.EndsAt.Before(l.EndsAt)
			l.EndsAt, l.endsByTimeout = sig.EndsAt, sig.EndsByTimeout
		}
	}
	return l.rate(sig, route)
}

// update takes what the sender says anew of a live alert without firing again.
func (l *live) update(sig *Signal, now time.Time, route func(*Signal) Decision) []ledger.Body {
	l.dirty = true
	l.LastAt = now
	if sig.Title != "" {
		l.Title = sig.Title
	}
	if sig.Link != "" {
		l.Link = sig.Link
	}
	if len(sig.Annotations) > 0 {
		all := map[string]string{}
		_ = json.Unmarshal([]byte(l.annotations), &all)
		maps.Copy(all, sig.Annotations)
		l.Annotations, l.annotations = all, jsonMap(all)
	}
	if sig.Severity == "" {
		return nil
	}
	return l.rate(sig, route)
}

// rate takes the severity of a further signal. When the sender changes that of an
// alert that nobody was told of, the routes decide anew: what was kept quiet as
// info must not stay quiet as critical.
func (l *live) rate(sig *Signal, route func(*Signal) Decision) []ledger.Body {
	if sig.Severity == l.Severity {
		return nil
	}
	facts := []ledger.Body{SeverityChanged{From: l.Severity, To: sig.Severity}}
	if l.Labels == nil && l.labels != "{}" {
		_ = json.Unmarshal([]byte(l.labels), &l.Labels)
	}
	l.Severity = sig.Severity
	if l.Then == ThenIncident {
		return facts
	}
	again := *sig
	again.Title, again.Service, again.decision = l.Title, l.Service, nil
	again.Labels = l.Labels
	d := route(&again)
	if d.Then != ThenIncident {
		return facts
	}
	if d.held.Kind != "" {
		if l.State != StateSuppressed || l.Then == ThenSuppress {
			facts = append(facts, l.hold(d.held))
		}
		l.Route, l.Then, l.GroupKey = d.Route, d.Then, d.GroupKey
		l.Reason = d.held.String()
		return facts
	}
	if l.State == StateSuppressed {
		l.State = StateOpen
		facts = append(facts, Unsuppressed{Reason: "severity", Rule: d.Route})
	}
	l.routed(d)
	return append(facts, l.opened(d))
}

func (l *live) acknowledge(by string, now time.Time) []ledger.Body {
	l.dirty = true
	if by == "sender" {
		l.LastAt = now
	}
	if l.State != StateOpen {
		return nil
	}
	l.State, l.AcknowledgedBy, l.AcknowledgedAt = StateAcknowledged, by, now
	if by != "sender" {
		by = "person"
	}
	return []ledger.Body{Acknowledged{By: by}}
}

func (l *live) resolve(how string, now time.Time) ledger.Body {
	l.dirty, l.due = true, false
	l.State, l.How, l.ResolvedAt = StateResolved, how, now
	return Resolved{How: how, Count: l.Count, DurationS: int64(now.Sub(l.FirstAt) / time.Second)}
}
