package web

import (
	"context"
	"slices"
	"strconv"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/timeline"
)

const (
	linesPerPage = 100
	// searchMost is how many facts are searched for the lines of a filter.
	searchMost = 5000
)

// lineFilter narrows a timeline.
type lineFilter struct {
	key  bool
	kind timeline.Kind
}

func (q *req) lineFilter() lineFilter {
	f := lineFilter{key: q.query("key") != ""}
	if k := timeline.Kind(q.query("kind")); slices.Contains(timeline.Kinds, k) {
		f.kind = k
	}
	return f
}

func (f lineFilter) none() bool { return !f.key && f.kind == "" }

// lines gives the timeline of an incident that the reader may see, newest first.
func (s *server) lines(q *req, incident string) (kit.List[Line], error) {
	var out kit.List[Line]
	filter := q.lineFilter()
	f := ledger.Filter{Incident: incident, Newest: true, Limit: linesPerPage + 1}
	if c := q.query("cursor"); c != "" {
		parts, err := kit.ParseCursor(c, 1)
		if err != nil {
			return out, err
		}
		if f.Before, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
			return out, kit.Invalid("error.bad_cursor")
		}
	}
	starred, err := s.Incident.Starred(q.ctx, incident)
	if err != nil {
		return out, err
	}
	corrected, err := s.corrections(q.ctx, incident)
	if err != nil {
		return out, err
	}
	names, err := s.namer(q.ctx, q.lang)
	if err != nil {
		return out, err
	}
	for read := 0; ; {
		facts, err := s.Ledger.Facts(q.ctx, f)
		if err != nil {
			return out, err
		}
		for _, l := range timeline.Lines(facts, names) {
			star := l.Starred || starred[l.Seq]
			if filter.key && !star || filter.kind != "" && l.Kind != filter.kind {
				continue
			}
			if len(out.Items) == linesPerPage {
				out.Next = kit.Cursor(out.Items[linesPerPage-1].ID)
				break
			}
			out.Items = append(out.Items, Line{
				ID: strconv.FormatInt(l.Seq, 10), Happened: l.HappenedAt, Recorded: l.RecordedAt, Kind: timeline.KindName(q.lang, l.Kind),
				Actor: timeline.ActorName(q.lang, l.Actor), Words: l.Text.In(q.lang), Starred: star, ByRule: l.Starred && !starred[l.Seq],
				Corrected: firstOf(corrected[l.Seq], l.Corrected), Erased: l.Erased,
			})
		}
		read += len(facts)
		if out.Next != "" || filter.none() || len(facts) < f.Limit || read >= searchMost {
			break
		}
		f.Before = facts[len(facts)-1].Seq
	}
	out.Total, err = s.Ledger.Count(q.ctx, ledger.Filter{Incident: incident})
	return out, err
}

// corrections gives what later lines say that others should have said, wherever
// those stand.
func (s *server) corrections(ctx context.Context, incident string) (map[int64]string, error) {
	facts, err := s.Ledger.Facts(ctx, ledger.Filter{Incident: incident, Types: []string{"incident.line_corrected"}, Limit: searchMost})
	if err != nil {
		return nil, err
	}
	out := map[int64]string{}
	for n := range facts {
		var b struct {
			Line int64  `json:"line"`
			Text string `json:"text"`
		}
		if !facts[n].Erased && facts[n].Decode(&b) == nil {
			out[b.Line] = b.Text
		}
	}
	return out, nil
}

// namer gives the names of people and services to those who write sentences.
func (s *server) namer(ctx context.Context, lang string) (timeline.Names, error) {
	people, err := s.Identity.Names(ctx)
	if err != nil {
		return nil, err
	}
	services, err := s.serviceNames(ctx, lang)
	if err != nil {
		return nil, err
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
