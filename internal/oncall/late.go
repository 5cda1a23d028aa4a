package oncall

import (
	"context"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Late counts the running ladders whose next step was due before an instant and has not
// run, and gives when the first was due.
func (s *Service) Late(ctx context.Context, before time.Time) (n int, since time.Time, err error) {
	if err := s.p.Rights.Require(ctx, "page.someone"); err != nil {
		return 0, since, err
	}
	var first int64
	err = s.d.Read(ctx).NewSelect().Table("oncall_ladder").ColumnExpr("COUNT(*), COALESCE(MIN(next_at), 0)").
		Where("state = 'running' AND next_at > 0 AND next_at < ?", kit.Micros(before)).Scan(ctx, &n, &first)
	return n, kit.FromMicros(first), db.MapError(err)
}
