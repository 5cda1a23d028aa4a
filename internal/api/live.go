package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const (
	heartbeat = 10 * time.Second
	// liveBatch is how many facts are read at once.
	liveBatch = 200
)

// liveCalls registers the stream of facts. It stands beside huma, which knows no
// answer without an end.
func (s *server) liveCalls() {
	path := prefix + "/live"
	s.mux.HandleFunc("GET "+path, s.live)
	s.api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "get-live", Method: http.MethodGet, Path: path, Tags: []string{"live"},
		Summary:     "Facts as they are recorded, as server-sent events",
		Description: "The id of an event is the fact's number and its name the fact's type; Last-Event-ID resumes from the journal, without it the stream begins now. A comment every 10 seconds keeps the connection.",
		Parameters: []*huma.Param{
			{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeInteger}},
		},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {}}}},
	})
}

func (s *server) live(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if err := s.Identity.Require(ctx, "incident.see"); err != nil {
		s.problem(ctx, err).write(w)
		return
	}
	seq, err := s.liveFrom(r)
	if err != nil {
		s.problem(ctx, err).write(w)
		return
	}
	// Watching begins before the first reading, so that nothing falls in between.
	wake, stop := s.Ledger.Watch()
	defer stop()
	if seq < 0 {
		if seq, _, err = s.Ledger.Head(ctx); err != nil {
			s.problem(ctx, err).write(w)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{})
	_, _ = fmt.Fprintf(w, "retry: 2000\n: from %d\n\n", seq)
	if rc.Flush() != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		for {
			n, last, err := s.emit(ctx, w, seq)
			if err != nil {
				return
			}
			seq = last
			if n < liveBatch {
				break
			}
		}
		if rc.Flush() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-beat.C:
			// Whoever lost the right meanwhile is cut off; the client asks anew.
			if !s.still(r) {
				return
			}
			if _, err := fmt.Fprint(w, ": beat\n\n"); err != nil {
				return
			}
		}
	}
}

// still tells whether the token or session of a running stream holds.
func (s *server) still(r *http.Request) bool {
	a, _, err := s.who(r)
	return err == nil && a.ID == kit.ActorFrom(r.Context()).ID
}

// liveFrom is where a stream resumes; -1 is now.
func (s *server) liveFrom(r *http.Request) (int64, error) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("after")
	}
	if last == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 0 {
		return 0, kit.InvalidField("Last-Event-ID", "error.bad_value")
	}
	return n, nil
}

type liveView struct {
	Seq        int64       `json:"seq"`
	Type       string      `json:"type"`
	HappenedAt stamp       `json:"happened_at"`
	RecordedAt stamp       `json:"recorded_at"`
	Actor      actorView   `json:"actor"`
	Subject    subjectView `json:"subject"`
	Incident   *string     `json:"incident"`
}

// shown are the families of facts that any account may know of; the journal has
// the others, for those who may read it.
var shown = map[string]kit.Use{
	"incident": "incident.see", "task": "incident.see", "handover": "incident.see", "review": "incident.see", "action": "incident.see",
	"decision": "incident.see", "evidence": "incident.see", "alert": "alert.see", "source": "alert.see", "change": "change.see",
	"ladder": "policy.see", "page": "policy.see", "delivery": "policy.see", "notice": "policy.see", "schedule": "schedule.see",
	"service": "service.see",
}

// emit writes the facts after seq that the actor may know of, and gives how many
// were read and the number of the last one.
func (s *server) emit(ctx context.Context, w http.ResponseWriter, seq int64) (n int, last int64, err error) {
	facts, err := s.Ledger.Facts(ctx, ledger.Filter{After: seq, Limit: liveBatch})
	if err != nil || len(facts) == 0 {
		return 0, seq, err
	}
	seen, err := s.known(ctx, facts)
	if err != nil {
		return 0, seq, err
	}
	var ids []string
	for _, f := range facts {
		if f.Incident != "" && seen(f) {
			ids = append(ids, f.Incident)
		}
	}
	refs, err := s.refsOf(ctx, ids)
	if err != nil {
		return 0, seq, err
	}
	may := map[kit.Use]bool{}
	for _, f := range facts {
		seq = f.Seq
		use, ok := shown[f.Subject.Kind]
		if !ok {
			use = "journal.see"
		}
		allowed, asked := may[use]
		if !asked {
			allowed = s.Identity.Require(ctx, use) == nil
			may[use] = allowed
		}
		if !allowed || !seen(f) {
			continue
		}
		raw, err := json.Marshal(liveView{
			Seq: f.Seq, Type: f.Type, HappenedAt: at(f.HappenedAt), RecordedAt: at(f.RecordedAt),
			Actor:   actorView{Kind: string(f.Actor.Kind), ID: f.Actor.ID, Name: f.Actor.Name},
			Subject: subjectView{Kind: f.Subject.Kind, ID: f.Subject.ID, Ref: f.Subject.Ref}, Incident: word(refs[f.Incident]),
		})
		if err != nil {
			return 0, seq, err
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", f.Seq, f.Type, raw); err != nil {
			return 0, seq, err
		}
	}
	return len(facts), seq, nil
}
