package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const (
	beat     = 10 * time.Second
	batch    = 200
	liveMost = 30 * time.Minute
)

func (s *server) liveRoutes() {
	s.mux.HandleFunc("GET /live", s.open(s.live))
}

// live tells a page which of its regions have changed. It resumes after
// Last-Event-ID and ends when the session does.
func (s *server) live(q *req) error {
	if !q.signedIn() {
		return kit.Errorf(kit.CodeUnauthenticated, "error.unauthenticated")
	}
	woken, stop := s.Ledger.Watch()
	defer stop()
	seq, err := strconv.ParseInt(q.r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		if seq, _, err = s.Ledger.Head(q.ctx); err != nil {
			return err
		}
	}
	out := http.NewResponseController(q.w)
	h := q.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	_ = out.SetWriteDeadline(time.Time{})
	if _, err := fmt.Fprintf(q.w, "retry: 2000\nid: %d\nevent: beat\ndata: 1\n\n", seq); err != nil {
		return nil
	}
	_ = out.Flush()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	end := time.NewTimer(liveMost)
	defer end.Stop()
	for {
		select {
		case <-q.ctx.Done():
			return nil
		case <-end.C:
			return nil
		case <-tick.C:
			// A session that ended, or rights that were taken, end the stream.
			if _, _, err := s.Identity.Session(q.ctx, q.cookie(sessionCookie)); err != nil {
				return nil
			}
			if _, err := fmt.Fprintf(q.w, "id: %d\nevent: beat\ndata: 1\n\n", seq); err != nil {
				return nil
			}
		case <-woken:
			for {
				facts, err := s.Ledger.Facts(q.ctx, ledger.Filter{After: seq, Limit: batch})
				if err != nil || len(facts) == 0 {
					break
				}
				topics, err := s.topics(q.ctx, facts)
				if err != nil {
					break
				}
				seq = facts[len(facts)-1].Seq
				if topics != "" {
					if _, err := fmt.Fprintf(q.w, "id: %d\nevent: facts\ndata: %s\n\n", seq, topics); err != nil {
						return nil
					}
				}
				if len(facts) < batch {
					break
				}
			}
		}
		if err := out.Flush(); err != nil {
			return nil
		}
	}
}

// topics names what changed: the noun of each fact and the incident it belongs to.
// What the reader may not know of does not appear.
func (s *server) topics(ctx context.Context, facts []ledger.Fact) (string, error) {
	var ids []string
	for _, f := range facts {
		if f.Incident != "" {
			ids = append(ids, f.Incident)
		}
	}
	slices.Sort(ids)
	seen, err := s.Incident.Visible(ctx, slices.Compact(ids))
	if err != nil {
		return "", err
	}
	var topics []string
	for _, f := range facts {
		if f.Incident != "" && !seen[f.Incident] {
			continue
		}
		noun, _, _ := strings.Cut(f.Type, ".")
		topics = append(topics, noun)
		if f.Incident != "" {
			topics = append(topics, "i-"+f.Incident)
		}
	}
	slices.Sort(topics)
	return strings.Join(slices.Compact(topics), " "), nil
}
