package alert

import (
	"context"

	"tocsin/internal/kit"
)

// maxTrial is on how many of the newest alerts rules are tried, maxMoved how many that
// they would treat otherwise are named.
const (
	maxTrial = 1000
	maxMoved = 50
)

// Trial is what rules would have done with the newest alerts.
type Trial struct {
	// Of is on how many they were tried.
	Of int
	// Matched counts the alerts by the id of the rule that decides, "" for the default.
	Matched map[string]int
	// Changed is how many would be treated otherwise than they were; Moved names the
	// newest of them.
	Changed int
	Moved   []Moved
}

// Moved is an alert that rules would treat otherwise.
type Moved struct {
	Alert Alert
	// Route and Then are what would decide, and how.
	Route string
	Then  Then
}

// TryOnLast tells what rules would have done with the newest thousand alerts. Nothing
// is saved; what is wrong with the rules is told as saving does.
func (s *Service) TryOnLast(ctx context.Context, routes []Route) (Trial, error) {
	out := Trial{Matched: map[string]int{}}
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return out, err
	}
	set, err := compileRoutes(0, routes)
	if err != nil {
		return out, err
	}
	p := kit.Page{Limit: kit.MaxLimit}
	for out.Of < maxTrial {
		list, err := s.List(ctx, Filter{}, p)
		if err != nil {
			return out, err
		}
		for _, a := range list.Items {
			if out.Of == maxTrial {
				break
			}
			out.Of++
			sig := &Signal{Source: a.Source, DedupKey: a.DedupKey, Title: a.Title, Severity: a.Severity, Service: a.Service, Labels: a.Labels, Annotations: a.Annotations, Link: a.Link}
			d := set.decide(sig, s.cache.of(a.Source).Kind, s.log)
			out.Matched[d.Route]++
			if d.Then == a.Then {
				continue
			}
			if out.Changed++; len(out.Moved) < maxMoved {
				out.Moved = append(out.Moved, Moved{Alert: a, Route: d.Route, Then: d.Then})
			}
		}
		if p.Cursor = list.Next; p.Cursor == "" {
			break
		}
	}
	return out, nil
}
