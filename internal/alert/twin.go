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
	// maxTwins is how many live alerts are looked at.
	maxTwins = 500
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
func SeemSame(a, b *Alert) string {
	if a.Source == b.Source || a.StartsAt.Sub(b.StartsAt).Abs() > twinWindow {
		return ""
	}
	here, there := place(a), place(b)
	if here != "" && there != "" && !samePlace(here, there) {
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
	if here != "" && there != "" {
		return SamePlace
	}
	if likeness(text.Words(a.Title), text.Words(b.Title)) >= alike {
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
// of these, each once, newest first.
func (s *Service) Twins(ctx context.Context, alerts ...Alert) ([]Twin, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	var from, to time.Time
	own := map[string]bool{}
	for _, a := range alerts {
		own[a.ID] = true
		if a.State != StateOpen && a.State != StateAcknowledged {
			continue
		}
		if from.IsZero() || a.StartsAt.Before(from) {
			from = a.StartsAt
		}
		if a.StartsAt.After(to) {
			to = a.StartsAt
		}
	}
	if from.IsZero() {
		return nil, nil
	}
	others, err := s.query(ctx, `WHERE state IN ('open', 'acknowledged') AND starts_at BETWEEN ? AND ? ORDER BY id DESC LIMIT ?`,
		kit.Micros(from.Add(-twinWindow)), kit.Micros(to.Add(twinWindow)), maxTwins)
	if err != nil {
		return nil, err
	}
	var out []Twin
	for n := range others {
		if own[others[n].ID] {
			continue
		}
		for k := range alerts {
			if alerts[k].State != StateOpen && alerts[k].State != StateAcknowledged {
				continue
			}
			if why := SeemSame(&alerts[k], &others[n]); why != "" {
				out = append(out, Twin{Alert: others[n], Of: alerts[k].ID, Why: why})
				break
			}
		}
	}
	return out, nil
}
