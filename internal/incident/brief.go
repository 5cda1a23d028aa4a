package incident

import (
	"context"
	"time"

	"tocsin/internal/kit"
)

// Decision is something that an incident asks of its reader now.
type Decision struct {
	// Key is handover, reopen, restored, assess or review.
	Key string
	// Role is the one that is offered.
	Role kit.Role
	// Since is how long the assessment has been waited for.
	Since time.Duration
}

// Decisions are what an incident asks of the actor now, for whom each is a thing they
// may do; none is a true "nothing".
func (s *Service) Decisions(ctx context.Context, ref string) ([]Decision, error) {
	i, err := s.Get(ctx, ref)
	if err != nil || !i.Open() {
		return nil, err
	}
	var out []Decision
	roles := held(ctx, i)
	may := func(use kit.Use) bool { return s.rights.Require(ctx, use, roles...) == nil }
	offers, err := s.Handovers(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	me := kit.ActorFrom(ctx).Me()
	for _, h := range offers {
		if h.To == me {
			out = append(out, Decision{Key: "handover", Role: h.Role})
		}
	}
	switch {
	case i.ProposesReopening() && may("incident.reopen"):
		out = append(out, Decision{Key: "reopen"})
	case i.ProposesRestored() && i.Phase != InReview && may("incident.phase"):
		out = append(out, Decision{Key: "restored"})
	}
	if i.AssessedAt.IsZero() && i.Phase != InReview && may("incident.assess") {
		limit, err := s.settings.Limit(ctx, "P.assess")
		if err != nil {
			return nil, err
		}
		if since := s.d.Now().Sub(i.DeclaredAt); since >= limit {
			out = append(out, Decision{Key: "assess", Since: since.Truncate(time.Minute)})
		}
	}
	if i.Phase == InReview && may("review.approve") {
		r, ok, err := s.current(ctx, i.ID)
		if err != nil {
			return nil, err
		}
		if ok && r.State == ReviewInReview {
			out = append(out, Decision{Key: "review"})
		}
	}
	return out, nil
}
