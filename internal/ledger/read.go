package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Filter chooses facts.
type Filter struct {
	// After and Before bound the sequence number, both exclusive; 0 is no bound.
	After, Before int64
	// Incident, SubjectKind and SubjectID narrow to a timeline or a subject.
	Incident    string
	SubjectKind string
	SubjectID   string
	// Types are names, or a family as "incident.*".
	Types []string
	// From and To bound when it happened; From inclusive, To exclusive.
	From, To time.Time
	// Newest gives the latest first.
	Newest bool
	// Limit is how many at most; 0 means 500.
	Limit int
}

type row struct {
	Seq        int64          `bun:"seq"`
	ID         []byte         `bun:"id"`
	HappenedAt int64          `bun:"happened_at"`
	RecordedAt int64          `bun:"recorded_at"`
	Actor      string         `bun:"actor"`
	Type       string         `bun:"type"`
	Subject    string         `bun:"subject"`
	Incident   sql.NullString `bun:"incident"`
	Digest     []byte         `bun:"digest"`
	Leaf       []byte         `bun:"leaf"`
	Salt       []byte         `bun:"salt"`
	Body       sql.NullString `bun:"body"`
}

func (r *row) fact() (Fact, error) {
	if len(r.ID) != 16 {
		return Fact{}, fmt.Errorf("fact %d: id of %d bytes", r.Seq, len(r.ID))
	}
	f := Fact{
		Seq: r.Seq, ID: kit.FormatID([16]byte(r.ID)),
		HappenedAt: kit.FromMicros(r.HappenedAt), RecordedAt: kit.FromMicros(r.RecordedAt),
		Type: r.Type, Incident: r.Incident.String,
	}
	kind, id, _ := strings.Cut(r.Actor, ":")
	f.Actor = Actor{Kind: kit.ActorKind(kind), ID: id}
	f.Subject.Kind, f.Subject.ID, _ = strings.Cut(r.Subject, ":")
	if !r.Body.Valid {
		f.Erased = true
		return f, nil
	}
	var s stored
	if err := json.Unmarshal([]byte(r.Body.String), &s); err != nil {
		return Fact{}, fmt.Errorf("fact %d: %w", r.Seq, err)
	}
	f.V, f.Via, f.Actor.Name, f.Subject.Ref, f.Body = s.V, s.Via, s.Name, s.Ref, s.Body
	return f, nil
}

func (f Filter) apply(q *bun.SelectQuery) *bun.SelectQuery {
	if f.After > 0 {
		q = q.Where("f.seq > ?", f.After)
	}
	if f.Before > 0 {
		q = q.Where("f.seq < ?", f.Before)
	}
	if f.Incident != "" {
		q = q.Where("f.incident = ?", f.Incident)
	}
	switch {
	case f.SubjectKind != "" && f.SubjectID != "":
		q = q.Where("f.subject = ?", f.SubjectKind+":"+f.SubjectID)
	case f.SubjectKind != "":
		q = q.Where("substr(f.subject, 1, ?) = ?", len(f.SubjectKind)+1, f.SubjectKind+":")
	}
	if len(f.Types) > 0 {
		q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			for _, t := range f.Types {
				if family, ok := strings.CutSuffix(t, "*"); ok {
					q = q.WhereOr("substr(f.type, 1, ?) = ?", len(family), family)
				} else {
					q = q.WhereOr("f.type = ?", t)
				}
			}
			return q
		})
	}
	if !f.From.IsZero() {
		q = q.Where("f.happened_at >= ?", kit.Micros(f.From))
	}
	if !f.To.IsZero() {
		q = q.Where("f.happened_at < ?", kit.Micros(f.To))
	}
	return q
}

// Facts gives facts in ledger order, or the newest first.
func (l *Ledger) Facts(ctx context.Context, f Filter) ([]Fact, error) {
	rows, err := l.raw(ctx, f)
	if err != nil {
		return nil, err
	}
	facts := make([]Fact, len(rows))
	for i := range rows {
		if facts[i], err = rows[i].fact(); err != nil {
			return nil, kit.Internal(err)
		}
	}
	return facts, nil
}

func (l *Ledger) raw(ctx context.Context, f Filter) ([]row, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = kit.MaxLimit
	}
	limit = min(limit, 100_000)
	order := "f.seq"
	if f.Newest {
		order = "f.seq DESC"
	}
	// The facts are chosen before their bodies are looked up: a planner that knows no
	// figures of the tables yet would else join all of both.
	chosen := f.apply(l.d.Read(ctx).NewSelect().TableExpr("fact AS f").
		ColumnExpr("f.seq, f.id, f.happened_at, f.recorded_at, f.actor, f.type, f.subject, f.incident, f.digest, f.leaf")).
		OrderExpr(order).Limit(int64(limit))
	q := l.d.Read(ctx).NewSelect().TableExpr("(?) AS f", chosen).Join("LEFT JOIN fact_body AS b ON b.seq = f.seq").
		ColumnExpr("f.*, b.salt, b.body").OrderExpr(order)
	var rows []row
	if err := q.Scan(ctx, &rows); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, db.MapError(err)
	}
	return rows, nil
}

// Count counts facts, up to kit.MaxTotal+1.
func (l *Ledger) Count(ctx context.Context, f Filter) (int, error) {
	inner := f.apply(l.d.Read(ctx).NewSelect().TableExpr("fact AS f").ColumnExpr("1")).Limit(kit.MaxTotal + 1)
	var n int
	err := l.d.Read(ctx).NewSelect().TableExpr("(?) AS c", inner).ColumnExpr("count(*)").Scan(ctx, &n)
	return n, db.MapError(err)
}

// Fact gives one fact.
func (l *Ledger) Fact(ctx context.Context, seq int64) (Fact, error) {
	facts, err := l.Facts(ctx, Filter{After: seq - 1, Before: seq + 1, Limit: 1})
	if err != nil {
		return Fact{}, err
	}
	if len(facts) == 0 {
		return Fact{}, kit.NotFound("fact", fmt.Sprint(seq))
	}
	return facts[0], nil
}

// Head gives the number of facts and the root of their tree.
func (l *Ledger) Head(ctx context.Context) (size int64, root []byte, err error) {
	err = l.d.Read(ctx).QueryRowContext(ctx, `SELECT size, root FROM ledger_head WHERE one = 1`).Scan(&size, &root)
	return size, root, db.MapError(err)
}
