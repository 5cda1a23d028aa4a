package incident

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// maxSuffering bounds how many incidents one cause takes over at once.
const maxSuffering = 100

// reasonCause is why a rule widened an incident.
const reasonCause = "cause"

// symptomOf tells whether the incident may be what others have made of a failure of
// something deeper: a rule declared it of late, all its services are among dependents,
// and nobody has said yet what it is.
func (i *Incident) symptomOf(dependents []string, exercise bool, now time.Time, window time.Duration) bool {
	if i.How != "route" || !i.Active() || i.Confidential || i.Exercise != exercise || i.OnlyPerson != "" || !i.AssessedAt.IsZero() ||
		now.Sub(i.DeclaredAt) > window || len(i.Services) == 0 {
		return false
	}
	for _, s := range i.Services {
		if !slices.Contains(dependents, s) {
			return false
		}
	}
	return true
}

// Suffering gives the incidents, the oldest first, that a failure of something that
// the services dependents cannot be without may have caused within a window before
// now. It asks for no right: for reactions.
func (s *Service) Suffering(ctx context.Context, dependents []string, exercise bool, window time.Duration) ([]*Incident, error) {
	if len(dependents) == 0 || window <= 0 {
		return nil, nil
	}
	now := s.d.Now()
	var rows []row
	err := s.d.Read(ctx).NewSelect().Model(&rows).Where("i.status = ?", StatusOpen).Where("i.declared_at >= ?", kit.Micros(now.Add(-window))).
		OrderExpr("i.number").Limit(maxSuffering).Scan(ctx)
	if err != nil {
		return nil, db.MapError(err)
	}
	var out []*Incident
	for n := range rows {
		i, err := rows[n].incident()
		if err != nil {
			return nil, err
		}
		if i.symptomOf(dependents, exercise, now, window) {
			out = append(out, i)
		}
	}
	return out, nil
}

// takeOver lets the cause of incidents that came before it have the first of them, with
// its service first, and puts those that nobody has answered yet into it: the people
// who are paged, or have answered, are told of one thing. It pages again only when the
// cause is graver than what they were told.
func (s *Service) takeOver(ctx context.Context, tx *db.Tx, out *Outcome, a AlertOpened) (bool, error) {
	if len(a.Symptoms) == 0 {
		return false, nil
	}
	var rows []row
	if err := tx.ForUpdate(tx.NewSelect().Model(&rows).Where("i.id IN (?)", bun.List(a.Symptoms)).OrderExpr("i.number")).Scan(ctx); err != nil {
		return false, db.MapError(err)
	}
	var list []*Incident
	for n := range rows {
		i, err := rows[n].incident()
		if err != nil {
			return false, err
		}
		if i.Active() && i.AssessedAt.IsZero() {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return false, nil
	}
	first := list[0]
	// What more the cause has to tell joins by its own group.
	first.Route, first.GroupKey, first.Window = a.Route, a.GroupKey, a.Window
	from := first.Services
	first.Services = append([]string{a.Service}, from...)
	*out = Outcome{Incident: first, Joined: true}
	if err := s.append(ctx, tx, first, ScopeChanged{From: from, To: first.Services, Reason: reasonCause}); err != nil {
		return false, err
	}
	if err := s.join(ctx, tx, out, a); err != nil {
		return false, err
	}
	for _, i := range list[1:] {
		if !i.AcknowledgedAt.IsZero() {
			continue
		}
		if err := s.merge(ctx, tx, i, first); err != nil {
			return false, err
		}
	}
	return true, nil
}
