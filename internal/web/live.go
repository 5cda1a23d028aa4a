package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
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
	if s.Facts == nil {
		return kit.Errorf(kit.CodeUnsupported, "error.unsupported")
	}
	woken, stop := s.Facts.Watch()
	defer stop()
	seq, err := strconv.ParseInt(q.r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		if seq, err = s.Facts.Last(q.ctx); err != nil {
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
				facts, err := s.Facts.After(q.ctx, seq, batch)
				if err != nil || len(facts) == 0 {
					break
				}
				seq = facts[len(facts)-1].Seq
				if topics := topicsOf(facts); topics != "" {
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

// topicsOf names what changed: the noun of each fact and the incident it belongs to.
func topicsOf(facts []Fact) string {
	var topics []string
	for _, f := range facts {
		noun, _, _ := strings.Cut(f.Type, ".")
		topics = append(topics, noun)
		if f.Incident != "" {
			topics = append(topics, "i-"+f.Incident)
		}
	}
	slices.Sort(topics)
	return strings.Join(slices.Compact(topics), " ")
}
