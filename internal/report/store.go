package report

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/text"
)

type row struct {
	bun.BaseModel `bun:"table:report"`
	ID            string  `bun:"id,pk"`
	Ref           string  `bun:"ref"`
	Number        int64   `bun:"number"`
	Channel       Channel `bun:"channel"`
	Kind          Kind    `bun:"kind"`
	Service       string  `bun:"service"`
	Text          string  `bun:"text"`
	Contact       string  `bun:"contact"`
	Language      string  `bun:"language"`
	State         State   `bun:"state"`
	Held          string  `bun:"held"`
	Proven        bool    `bun:"proven"`
	Sender        string  `bun:"sender"`
	Once          string  `bun:"once"`
	Follow        string  `bun:"follow"`
	Search        string  `bun:"search"`
	ReceivedAt    int64   `bun:"received_at"`
	DueAt         int64   `bun:"due_at"`
	DecidedAt     int64   `bun:"decided_at"`
	DecidedBy     string  `bun:"decided_by"`
	Reason        string  `bun:"reason"`
	Reply         string  `bun:"reply"`
	Incident      string  `bun:"incident"`
	ToldAt        int64   `bun:"told_at"`
}

func (x *row) report() Report {
	return Report{
		ID: x.ID, Ref: x.Ref, Channel: x.Channel, Kind: x.Kind, Service: x.Service, Text: x.Text, Contact: x.Contact, Language: x.Language, State: x.State,
		Held: x.Held, Proven: x.Proven, ReceivedAt: kit.FromMicros(x.ReceivedAt), DueAt: kit.FromMicros(x.DueAt), DecidedAt: kit.FromMicros(x.DecidedAt),
		DecidedBy: x.DecidedBy, Reason: x.Reason, Reply: x.Reply, Incident: x.Incident, ToldAt: kit.FromMicros(x.ToldAt),
	}
}

func find(ctx context.Context, d bun.IDB, ref string) (*row, error) {
	var x row
	err := d.NewSelect().Model(&x).Where("ref = ? OR id = ?", reference(ref), ref).Scan(ctx)
	return &x, db.NoRows(err, "report", ref)
}

func lock(ctx context.Context, tx *db.Tx, ref string) (*row, error) {
	var x row
	err := tx.ForUpdate(tx.NewSelect().Model(&x).Where("ref = ? OR id = ?", reference(ref), ref)).Scan(ctx)
	return &x, db.NoRows(err, "report", ref)
}

// byOnce gives the report that was sent with a word, nil when there is none.
func (s *Service) byOnce(ctx context.Context, once string) (*row, error) {
	var x row
	err := s.db.Read(ctx).NewSelect().Model(&x).Where("once = ?", once).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &x, db.MapError(err)
}

// ByFollow gives a report to whoever holds its word. It asks for no right.
func (s *Service) ByFollow(ctx context.Context, word string) (Report, error) {
	var x row
	err := s.db.Read(ctx).NewSelect().Model(&x).Where("follow = ?", hash(word)).Scan(ctx)
	if err != nil {
		return Report{}, db.NoRows(err, "report", "")
	}
	return x.report(), nil
}

// Filter narrows a list of reports; empty fields do not.
type Filter struct {
	State    State
	Kind     Kind
	Service  string
	Incident string
	// Held narrows to those that are held back; without it they are left out of the new.
	Held bool
	// Q are words of the reference, text or address.
	Q string
}

func (f Filter) on(q *bun.SelectQuery) *bun.SelectQuery {
	for column, v := range map[string]string{"state": string(f.State), "kind": string(f.Kind), "service": f.Service, "incident": f.Incident} {
		if v != "" {
			q = q.Where("? = ?", bun.Ident(column), v)
		}
	}
	switch {
	case f.Held:
		q = q.Where("held <> ''")
	case f.State == StateNew:
		q = q.Where("held = ''")
	}
	for _, w := range text.Words(f.Q) {
		q = q.Where("search LIKE ?", "%"+w+"%")
	}
	return q
}

// List gives reports, the newest first.
func (s *Service) List(ctx context.Context, f Filter, p kit.Page) (kit.List[Report], error) {
	var out kit.List[Report]
	if err := s.rights.Require(ctx, "report.see"); err != nil {
		return out, err
	}
	d := s.db.Read(ctx)
	count := f.on(d.NewSelect().Table("report").ColumnExpr("1")).Limit(kit.MaxTotal + 1)
	if err := d.NewSelect().TableExpr("(?) AS c", count).ColumnExpr("COUNT(*)").Scan(ctx, &out.Total); err != nil {
		return out, db.MapError(err)
	}
	if out.Total > kit.MaxTotal {
		out.Total, out.TotalIsMinimum = kit.MaxTotal, true
	}
	var rows []*row
	q := f.on(d.NewSelect().Model(&rows)).Order("number DESC").Limit(int64(p.Size()) + 1)
	if p.Cursor != "" {
		parts, err := kit.ParseCursor(p.Cursor, 1)
		if err != nil {
			return out, err
		}
		n, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil {
			return out, kit.Invalid("error.bad_cursor")
		}
		q = q.Where("number < ?", n)
	}
	if err := q.Scan(ctx); err != nil {
		return out, db.MapError(err)
	}
	if len(rows) > p.Size() {
		rows = rows[:p.Size()]
		out.Next = kit.Cursor(strconv.FormatInt(rows[len(rows)-1].Number, 10))
	}
	out.Items = make([]Report, len(rows))
	for i, x := range rows {
		out.Items[i] = x.report()
	}
	return out, nil
}

// Get gives a report by its reference (any case, or the digits alone) or internal id.
func (s *Service) Get(ctx context.Context, ref string) (Report, error) {
	if err := s.rights.Require(ctx, "report.see"); err != nil {
		return Report{}, err
	}
	x, err := find(ctx, s.db.Read(ctx), ref)
	if err != nil {
		return Report{}, err
	}
	return x.report(), nil
}

// Waiting counts the new reports that are not held back, and those of them that are
// late.
func (s *Service) Waiting(ctx context.Context) (waiting, late int, err error) {
	if err := s.rights.Require(ctx, "report.see"); err != nil {
		return 0, 0, err
	}
	err = s.db.Read(ctx).NewSelect().Table("report").ColumnExpr("COUNT(*)").ColumnExpr("COALESCE(SUM(CASE WHEN due_at < ? THEN 1 ELSE 0 END), 0)", kit.Micros(s.db.Now())).
		Where("state = ? AND held = ''", StateNew).Scan(ctx, &waiting, &late)
	return waiting, late, db.MapError(err)
}
