package alert

import (
	"context"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// Why two alerts of different sources seem to tell the same story.
const (
	// SameName: both carry the same alertname.
	SameName = "name"
	// SamePlace: both are of one service and name the same host.
	SamePlace = "place"
	// SameWords: both are of one service and their titles are alike.
	SameWords = "words"
)

// Twin is a live alert of another source that seems to tell the same story.
type Twin struct {
	Alert
	// Of is the id of the alert whose twin it is, Why one of the words above.
	Of, Why string
}

const (
	// twinWindow is how far apart the beginnings of twins may be: one system looks each
	// minute, another each ten.
	twinWindow = 15 * time.Minute
	// maxTwins is how many live alerts are looked at, maxCompared how many of an incident
	// they are compared with.
	maxTwins    = 500
	maxCompared = 50
	// alike is which part of the words of two titles must be the same.
	alike = 0.6
)

// placeLabels name the machine or the thing that an alert is about.
var placeLabels = []string{"instance", "host", "hostname", "node", "pod", "device"}

// place gives the machine that an alert names, without its port and domain; empty where
// it names none.
func place(a *Alert) string {
	for _, name := range placeLabels {
		if v := strings.ToLower(strings.TrimSpace(a.Labels[name])); v != "" {
			if i := strings.Index(v, "://"); i >= 0 {
				v = v[i+3:]
			}
			if strings.Count(v, ":") == 1 {
				v, _, _ = strings.Cut(v, ":")
			}
			return strings.TrimSuffix(v, ".")
		}
	}
	return ""
}

func samePlace(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}

// SeemSame tells why two alerts seem to tell the same story, empty where they do not:
// they come from different sources, began within a quarter of an hour, do not name
// different machines, and have the same alertname, or one service and the same machine
// or alike titles. It is a proposal for a person, never a decision.
func SeemSame(a, b *Alert) string { return told(a).same(told(b)) }

// tale is an alert with what is compared of it.
type tale struct {
	*Alert
	place string
	words []string
}

func told(a *Alert) tale { return tale{a, place(a), text.Words(a.Title)} }

func (a tale) same(b tale) string {
	if a.Source == b.Source || a.StartsAt.Sub(b.StartsAt).Abs() > twinWindow {
		return ""
	}
	if a.place != "" && b.place != "" && !samePlace(a.place, b.place) {
		return ""
	}
	if a.Service != "" && b.Service != "" && a.Service != b.Service {
		return ""
	}
	if n := a.Labels["alertname"]; n != "" && strings.EqualFold(n, b.Labels["alertname"]) {
		return SameName
	}
	if a.Service == "" || a.Service != b.Service {
		return ""
	}
	if a.place != "" && b.place != "" {
		return SamePlace
	}
	if likeness(a.words, b.words) >= alike {
		return SameWords
	}
	return ""
}

// likeness is the part of the words of two titles that both have (Jaccard).
func likeness(a, b []string) float64 {
	in := map[string]int{}
	for _, w := range a {
		in[w] |= 1
	}
	for _, w := range b {
		in[w] |= 2
	}
	both := 0
	for _, where := range in {
		if where == 3 {
			both++
		}
	}
	if len(in) == 0 {
		return 0
	}
	return float64(both) / float64(len(in))
}

// Twins gives the live alerts of other sources that seem to tell the same story as one
// of these, each once, the oldest first. Of many alerts the first that are live are
// compared: in a storm they tell what it is about.
func (s *Service) Twins(ctx context.Context, alerts ...Alert) ([]Twin, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	own := map[string]bool{}
	var mine []tale
	for n := range alerts {
		own[alerts[n].ID] = true
		if live := alerts[n].State == StateOpen || alerts[n].State == StateAcknowledged; live && len(mine) < maxCompared {
			mine = append(mine, told(&alerts[n]))
		}
	}
	if len(mine) == 0 {
		return nil, nil
	}
	first, last := mine[0].ID, mine[0].ID
	for _, m := range mine {
		first, last = min(first, m.ID), max(last, m.ID)
	}
	var out []Twin
	for _, state := range []State{StateOpen, StateAcknowledged} {
		// By the ids, which grow with the time: so the index finds those of that hour among
		// any number.
		others, err := s.query(ctx, `WHERE state = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?`,
			string(state), kit.ShiftID(first, -2*twinWindow), kit.ShiftID(last, 2*twinWindow), maxTwins)
		if err != nil {
			return nil, err
		}
		for n := range others {
			if own[others[n].ID] {
				continue
			}
			other := told(&others[n])
			for _, m := range mine {
				if why := m.same(other); why != "" {
					out = append(out, Twin{Alert: others[n], Of: m.ID, Why: why})
					break
				}
			}
		}
	}
	return out, nil
}
