package notify

import (
	"context"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Late counts the messages of open pages that were due before an instant and have not
// been tried, and gives when the first was due.
func (s *Service) Late(ctx context.Context, before time.Time) (n int, since time.Time, err error) {
	if err := s.p.Rights.Require(ctx, "page.someone"); err != nil {
		return 0, since, err
	}
	var first int64
	err = s.d.Read(ctx).NewSelect().TableExpr("delivery AS d").ColumnExpr("COUNT(*), COALESCE(MIN(d.due_at), 0)").
		Join("JOIN bundle AS b ON b.id = d.bundle").
		Where("d.state IN ('pending', 'sending') AND d.message = 'page' AND b.is_open AND d.due_at < ?", kit.Micros(before)).Scan(ctx, &n, &first)
	return n, kit.FromMicros(first), db.MapError(err)
}
