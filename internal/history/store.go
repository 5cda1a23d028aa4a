package history

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

type row struct {
	bun.BaseModel `bun:"table:past_incident"`
	ID            string  `bun:"id,pk"`
	Number        int64   `bun:"number"`
	Source        string  `bun:"source"`
	External      string  `bun:"external_id"`
	Title         string  `bun:"title"`
	Verdict       Verdict `bun:"verdict"`
	Occurred      string  `bun:"occurred"`
	Severity      string  `bun:"severity"`
	Kind          string  `bun:"kind"`
	// The classes as " hacking malware ", so that one is found as a word.
	Actors     string `bun:"actors"`
	Actions    string `bun:"actions"`
	Attributes string `bun:"attributes"`
	Services   string `bun:"services"`
	// Fields is the record without its document.
	Fields     string `bun:"fields"`
	Document   string `bun:"document"`
	Digest     string `bun:"digest"`
	Search     string `bun:"search"`
	ImportedAt int64  `bun:"imported_at"`
	ImportedBy string `bun:"imported_by"`
}

func (x *row) past() (Past, error) {
	p := Past{ID: x.ID, Ref: reference(x.Number), Source: x.Source, ImportedAt: kit.FromMicros(x.ImportedAt), ImportedBy: x.ImportedBy}
	if err := json.Unmarshal([]byte(x.Fields), &p.Record); err != nil {
		return p, kit.Internal(err)
	}
	p.Document = json.RawMessage(x.Document)
	return p, nil
}

func spaced(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return " " + strings.Join(l, " ") + " "
}

// keep writes the records of a batch with their facts.
func (s *Service) keep(ctx context.Context, tx *db.Tx, source string, todo []entry) error {
	fresh := 0
	for _, e := range todo {
		if e.was == nil {
			fresh++
		}
	}
	var next int64
	if fresh > 0 {
		n, err := tx.NextNumbers(ctx, "PAST", fresh)
		if err != nil {
			return err
		}
		next = n
	}
	var rows []*row
	var facts []ledger.Entry
	for _, e := range todo {
		x := &row{ID: kit.NewID(), Source: source, ImportedAt: kit.Micros(tx.Now()), ImportedBy: kit.ActorFrom(ctx).ID}
		if e.was != nil {
			x.ID, x.Number = e.was.ID, e.was.Number
		} else {
			x.Number = next
			next++
		}
		if err := x.fill(e); err != nil {
			return err
		}
		subject := ledger.Subject{Kind: "past_incident", ID: x.ID, Ref: reference(x.Number)}
		if e.was != nil {
			if _, err := tx.NewUpdate().Model(x).WherePK().Exec(ctx); err != nil {
				return db.MapError(err)
			}
			facts = append(facts, ledger.Entry{Subject: subject, Body: Replaced{Source: source, External: x.External, From: e.was.Digest, To: x.Digest}})
			continue
		}
		rows = append(rows, x)
		facts = append(facts, ledger.Entry{Subject: subject, Body: Imported{
			Source: source, External: x.External, Title: x.Title, Occurred: x.Occurred, Verdict: x.Verdict, Actions: names(e.Actions), Document: x.Digest,
		}})
	}
	if len(rows) > 0 {
		if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
			return db.MapError(err)
		}
	}
	return ledger.Append(ctx, tx, facts...)
}

func (x *row) fill(e entry) error {
	p := Past{Record: e.Record, Ref: reference(x.Number), Source: x.Source}
	x.External, x.Title, x.Verdict, x.Occurred, x.Severity, x.Kind = e.External, e.Title, e.Verdict, string(e.Occurred), e.Severity, e.Kind
	x.Actors, x.Actions, x.Attributes = spaced(names(e.Actors)), spaced(names(e.Actions)), spaced(names(e.Attributes))
	x.Services, x.Search = spaced(e.Services), p.search()
	x.Document, x.Digest = string(e.Document), e.digest
	fields, err := json.Marshal(e.Record)
	if err != nil {
		return kit.Internal(err)
	}
	x.Fields = string(fields)
	return nil
}

// Filter narrows a list of past incidents; empty fields do not.
type Filter struct {
	// Q are words of the reference, title, summary, classes or victim.
	Q       string
	Source  string
	Action  string
	Verdict Verdict
	// Year in which it happened, "2019".
	Year string
}

func (f Filter) on(q *bun.SelectQuery) *bun.SelectQuery {
	for _, w := range text.Words(f.Q) {
		q = q.Where(`search LIKE ? ESCAPE '\'`, "%"+db.EscapeLike(w)+"%")
	}
	if f.Source != "" {
		q = q.Where("source = ?", f.Source)
	}
	if f.Verdict != "" {
		q = q.Where("verdict = ?", f.Verdict)
	}
	if f.Action != "" {
		q = q.Where(`actions LIKE ? ESCAPE '\'`, "% "+db.EscapeLike(f.Action)+" %")
	}
	if f.Year != "" {
		q = q.Where(`occurred LIKE ? ESCAPE '\'`, db.EscapeLike(f.Year)+"%")
	}
	return q
}

// List gives past incidents, the last that happened first.
func (s *Service) List(ctx context.Context, f Filter, p kit.Page) (kit.List[Past], error) {
	var out kit.List[Past]
	if err := s.rights.Require(ctx, "history.see"); err != nil {
		return out, err
	}
	d := s.db.Read(ctx)
	count := f.on(d.NewSelect().Table("past_incident").ColumnExpr("1")).Limit(kit.MaxTotal + 1)
	if err := d.NewSelect().TableExpr("(?) AS c", count).ColumnExpr("COUNT(*)").Scan(ctx, &out.Total); err != nil {
		return out, db.MapError(err)
	}
	if out.Total > kit.MaxTotal {
		out.Total, out.TotalIsMinimum = kit.MaxTotal, true
	}
	var rows []*row
	q := f.on(d.NewSelect().Model(&rows)).Order("occurred DESC", "number DESC").Limit(int64(p.Size()) + 1)
	if p.Cursor != "" {
		parts, err := kit.ParseCursor(p.Cursor, 2)
		if err != nil {
			return out, err
		}
		n, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			return out, kit.Invalid("error.bad_cursor")
		}
		q = q.Where("(occurred < ? OR occurred = ? AND number < ?)", parts[0], parts[0], n)
	}
	if err := q.Scan(ctx); err != nil {
		return out, db.MapError(err)
	}
	if len(rows) > p.Size() {
		rows = rows[:p.Size()]
		last := rows[len(rows)-1]
		out.Next = kit.Cursor(last.Occurred, strconv.FormatInt(last.Number, 10))
	}
	out.Items = make([]Past, len(rows))
	for n, x := range rows {
		var err error
		if out.Items[n], err = x.past(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Get gives a past incident by its reference (any case, or the digits alone) or
// internal id.
func (s *Service) Get(ctx context.Context, ref string) (Past, error) {
	if err := s.rights.Require(ctx, "history.see"); err != nil {
		return Past{}, err
	}
	var x row
	q := s.db.Read(ctx).NewSelect().Model(&x)
	if n, err := strconv.ParseInt(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(ref)), "PAST-"), 10, 64); err == nil {
		q = q.Where("number = ?", n)
	} else {
		q = q.Where("id = ?", ref)
	}
	if err := q.Scan(ctx); err != nil {
		return Past{}, db.NoRows(err, "past_incident", ref)
	}
	return x.past()
}

// Sources lists where past incidents come from.
func (s *Service) Sources(ctx context.Context) ([]string, error) {
	if err := s.rights.Require(ctx, "history.see"); err != nil {
		return nil, err
	}
	var out []string
	err := s.db.Read(ctx).NewSelect().Table("past_incident").ColumnExpr("DISTINCT source").Order("source").Scan(ctx, &out)
	return out, db.MapError(err)
}
