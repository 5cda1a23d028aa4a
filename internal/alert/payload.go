package alert

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

const (
	payloadsKept = 20
	payloadBytes = 16 << 10
)

type ring struct {
	heardAt   time.Time
	heardDone time.Time
	fresh     [payloadsKept]func() Payload
	n         int // how many came since the last flush
}

// take gives what came since the last flush, oldest first.
func (x *ring) take() []func() Payload {
	k := min(x.n, payloadsKept)
	out := make([]func() Payload, 0, k)
	for i := x.n - k; i < x.n; i++ {
		out = append(out, x.fresh[i%payloadsKept])
	}
	return out
}

func made(list []func() Payload) []Payload {
	out := make([]Payload, len(list))
	for i, f := range list {
		p := f()
		p.Body = clean(p.Body[:min(len(p.Body), payloadBytes)])
		out[i] = p
	}
	return out
}

// rings holds what the hot path leaves to be written behind it.
type rings struct {
	mu sync.Mutex
	m  map[string]*ring
}

func (r *rings) of(source string) *ring {
	x := r.m[source]
	if x == nil {
		x = &ring{}
		r.m[source] = x
	}
	return x
}

func (r *rings) heard(sources []string, at time.Time) {
	r.mu.Lock()
	for _, s := range sources {
		r.of(s).heardAt = at
	}
	r.mu.Unlock()
}

func (r *rings) lastHeard(source string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.m[source]; x != nil {
		return x.heardAt
	}
	return time.Time{}
}

func (r *rings) drop(source string) {
	r.mu.Lock()
	delete(r.m, source)
	r.mu.Unlock()
}

// LogPayload keeps a message as it came, at no cost to its sender: it is made and
// written within a second, and only the last 20 of a source are. Secrets must be
// taken out of it.
func (s *Service) LogPayload(source string, p func() Payload) {
	s.rings.mu.Lock()
	x := s.rings.of(source)
	x.fresh[x.n%payloadsKept] = p
	x.n++
	s.rings.mu.Unlock()
}

type flushed struct {
	source  string
	heardAt time.Time
	made    []func() Payload
	fresh   []Payload
}

func (s *Service) flushRings(ctx context.Context) {
	var work []flushed
	s.rings.mu.Lock()
	for id, x := range s.rings.m {
		f := flushed{source: id, made: x.take()}
		if x.heardAt.After(x.heardDone) {
			f.heardAt = x.heardAt
			x.heardDone = x.heardAt
		}
		x.fresh, x.n = [payloadsKept]func() Payload{}, 0
		if !f.heardAt.IsZero() || len(f.made) > 0 {
			work = append(work, f)
		}
	}
	s.rings.mu.Unlock()
	if len(work) == 0 {
		return
	}
	for i := range work {
		work[i].fresh = made(work[i].made)
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, f := range work {
			if err := s.saveFlushed(ctx, tx, f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.log.Warn("payload log not written", "error", err)
	}
}

func (s *Service) saveFlushed(ctx context.Context, tx *db.Tx, f flushed) error {
	if !f.heardAt.IsZero() {
		if _, err := tx.Exec(ctx, `UPDATE source SET last_heard_at = $1 WHERE id = $2 AND last_heard_at < $1`, kit.Micros(f.heardAt), f.source); err != nil {
			return db.MapError(err)
		}
		if src := s.cache.of(f.source); src.Interval() > 0 && src.Kind != "heartbeat" {
			row, err := lockSource(ctx, tx, f.source)
			if err == nil {
				err = s.heardAgain(ctx, tx, row)
			}
			if err != nil && kit.CodeOf(err) != kit.CodeNotFound {
				return err
			}
		}
	}
	if len(f.fresh) == 0 {
		return nil
	}
	var last int64
	if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(slot), 0) FROM signal_payload WHERE source = $1`, f.source).Scan(&last); err != nil {
		return db.MapError(err)
	}
	for _, p := range f.fresh {
		last++
		raw, err := json.Marshal(p)
		if err != nil {
			return kit.Internal(err)
		}
		// A source that was removed meanwhile has no log.
		_, err = tx.Exec(ctx, `INSERT INTO signal_payload (source, slot, at, body) SELECT id, CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS TEXT) FROM source WHERE id = $1
			ON CONFLICT (source, slot) DO NOTHING`, f.source, last, kit.Micros(p.At), string(raw))
		if err != nil {
			return db.MapError(err)
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM signal_payload WHERE source = $1 AND slot <= $2`, f.source, last-payloadsKept)
	return db.MapError(err)
}

// Payload gives one of the last messages of a source, with the source.
func (s *Service) Payload(ctx context.Context, source, id string) (Source, Payload, error) {
	list, err := s.Payloads(ctx, source)
	if err != nil {
		return Source{}, Payload{}, err
	}
	for _, p := range list {
		if p.ID() == id {
			src := s.cache.of(source)
			if src.ID == "" {
				return Source{}, Payload{}, kit.NotFound("source", source)
			}
			return src, p, nil
		}
	}
	return Source{}, Payload{}, kit.NotFound("payload", id)
}

// Payloads gives the last messages of a source, newest first.
func (s *Service) Payloads(ctx context.Context, source string) ([]Payload, error) {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return nil, err
	}
	if _, err := s.sourceRow(ctx, source); err != nil {
		return nil, err
	}
	var bodies []string
	if err := s.db.Read(ctx).NewSelect().Table("signal_payload").Column("body").Where("source = ?", source).Order("slot DESC").Limit(payloadsKept).Scan(ctx, &bodies); err != nil {
		return nil, db.MapError(err)
	}
	var fresh []func() Payload
	s.rings.mu.Lock()
	if x := s.rings.m[source]; x != nil {
		fresh = x.take()
	}
	s.rings.mu.Unlock()
	out := made(fresh)
	slices.Reverse(out)
	for _, b := range bodies {
		var p Payload
		if err := json.Unmarshal([]byte(b), &p); err != nil {
			return nil, kit.Internal(err)
		}
		out = append(out, p)
	}
	return out[:min(len(out), payloadsKept)], nil
}
