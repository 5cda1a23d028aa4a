package notify

import (
	"context"
	"slices"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Call is one time that a person was paged: pages that share an answer are one call.
type Call struct {
	Person string
	At     time.Time
	// Incidents are those of its pages; a call by hand has none.
	Incidents []string
	Answered  bool
}

// Calls gives the calls that began in [from, to), exercises left out, the oldest first. It
// asks for no right and names no incident by more than its id: for other modules.
func (s *Service) Calls(ctx context.Context, from, to time.Time) ([]Call, error) {
	type line struct {
		bundle, person, incident, state string
		at                              int64
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT bundle, person, incident, state, opened_at FROM page
		WHERE opened_at >= ? AND opened_at < ? AND NOT exercise ORDER BY opened_at, id LIMIT 200000`, kit.Micros(from), kit.Micros(to))
	lines, err := collect(rows, err, func(r scanner) (l line, err error) {
		return l, r.Scan(&l.bundle, &l.person, &l.incident, &l.state, &l.at)
	})
	if err != nil {
		return nil, err
	}
	var out []Call
	at := map[string]int{}
	for _, l := range lines {
		i, ok := at[l.bundle]
		if !ok {
			i = len(out)
			at[l.bundle] = i
			out = append(out, Call{Person: l.person, At: kit.FromMicros(l.at)})
		}
		c := &out[i]
		if l.incident != "" && !slices.Contains(c.Incidents, l.incident) {
			c.Incidents = append(c.Incidents, l.incident)
		}
		c.Answered = c.Answered || l.state == "acknowledged"
	}
	return out, nil
}

// Arrived tells when a page of a ladder was answered, or where nobody did, when a
// provider took its message; the zero time when neither happened. It asks for no right:
// for other modules.
func (s *Service) Arrived(ctx context.Context, ladder string) (at time.Time, answered bool, err error) {
	var taken, ended int64
	err = s.d.Read(ctx).QueryRowContext(ctx, `SELECT coalesce(min(CASE WHEN d.sent_at > 0 THEN d.sent_at END), 0), coalesce(min(CASE WHEN p.state = 'acknowledged' THEN p.ended_at END), 0)
		FROM page p LEFT JOIN delivery d ON d.bundle = p.bundle AND d.message = 'page' AND d.state IN ('sent', 'confirmed') AND d.created_at >= p.opened_at WHERE p.ladder = ?`, ladder).Scan(&taken, &ended)
	if err != nil {
		return time.Time{}, false, db.MapError(err)
	}
	if ended > 0 {
		return kit.FromMicros(ended), true, nil
	}
	return kit.FromMicros(taken), false, nil
}
