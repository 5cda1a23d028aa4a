package web

import (
	"context"
	"strconv"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/timeline"
)

const (
	linesPerPage = 100
	// keyMost is how many facts are searched for key moments.
	keyMost = 5000
)

// lines gives the timeline of an incident that the reader may see, newest first.
func (s *server) lines(q *req, incident string) (kit.List[Line], error) {
	key := q.query("key") != ""
	f := ledger.Filter{Incident: incident, Newest: true, Limit: linesPerPage + 1}
	if key {
		f.Limit = keyMost
	}
	if c := q.query("cursor"); c != "" {
		parts, err := kit.ParseCursor(c, 1)
		if err != nil {
			return kit.List[Line]{}, err
		}
		if f.Before, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
			return kit.List[Line]{}, kit.Invalid("error.bad_cursor")
		}
	}
	facts, err := s.Ledger.Facts(q.ctx, f)
	if err != nil {
		return kit.List[Line]{}, err
	}
	var out kit.List[Line]
	if !key && len(facts) > linesPerPage {
		facts = facts[:linesPerPage]
		out.Next = kit.Cursor(strconv.FormatInt(facts[linesPerPage-1].Seq, 10))
	}
	if out.Total, err = s.Ledger.Count(q.ctx, ledger.Filter{Incident: incident}); err != nil {
		return out, err
	}
	starred, err := s.Incident.Starred(q.ctx, incident)
	if err != nil {
		return out, err
	}
	names, err := s.namer(q.ctx, q.lang)
	if err != nil {
		return out, err
	}
	for _, l := range timeline.Lines(facts, names) {
		star := l.Starred || starred[l.Seq]
		if key && !star {
			continue
		}
		out.Items = append(out.Items, Line{
			ID: strconv.FormatInt(l.Seq, 10), Happened: l.HappenedAt, Recorded: l.RecordedAt, Kind: timeline.KindName(q.lang, l.Kind),
			Actor: timeline.ActorName(q.lang, l.Actor), Words: l.Text.In(q.lang), Starred: star, Corrected: l.Corrected,
		})
	}
	return out, nil
}

// namer gives the names of people and services to those who write sentences.
func (s *server) namer(ctx context.Context, lang string) (timeline.Names, error) {
	people, err := s.Identity.Names(ctx)
	if err != nil {
		return nil, err
	}
	services := map[string]string{}
	if s.Service != nil {
		list, err := s.Service.Services(ctx)
		if err != nil && kit.CodeOf(err) != kit.CodeForbidden {
			return nil, err
		}
		for _, d := range list {
			services[d.ID] = d.Title(lang)
		}
	}
	return func(kind, id string) string {
		switch kind {
		case "person":
			if n := people[id]; n != "" {
				return n
			}
		case "service":
			if n := services[id]; n != "" {
				return n
			}
		}
		return id
	}, nil
}
