// Package change keeps what was changed in the services, as pipelines and people
// tell it: the first suspects of an incident.
package change

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Change is one change of a service.
type Change struct {
	// ID is the internal id and Ref the reference CHG-n; both are given by Record.
	ID      string
	Ref     string
	Service string
	Summary string
	// Source is the id of the alert source that told it, or empty.
	Source string
	// Key is what the source calls the change. Told again under the same key, it is
	// the same change in another state; empty makes a new one each time.
	Key         string
	VersionFrom string
	VersionTo   string
	// At is when the change was made; zero means now.
	At         time.Time
	RecordedAt time.Time
	Pipeline   string
	URL        string
	// Reversible is yes, no or unknown; empty means unknown.
	Reversible string
	Emergency  bool
	// State is planned, running, deployed, failed, rolled_back or fixed_forward;
	// empty means deployed.
	State string
}

// MaxSummary is the longest summary, in characters, as the Events API has it.
const MaxSummary = 1024

// Service is the module.
type Service struct {
	db     *db.DB
	rights Rights
}

// New makes the module.
func New(d *db.DB, rights Rights) *Service { return &Service{db: d, rights: rights} }

var states = regexp.MustCompile(`^(planned|running|deployed|failed|rolled_back|fixed_forward)$`)

// prepare fills defaults in and checks the input.
func prepare(c Change, now time.Time) (Change, error) {
	var f kit.Fields
	clean := func(path string, s *string, limit int) {
		t, err := text.Clean(path, *s, limit, false)
		if err != nil {
			f = append(f, kit.AsError(err).Fields...)
		}
		*s = t
	}
	clean("summary", &c.Summary, MaxSummary)
	clean("version_from", &c.VersionFrom, 200)
	clean("version_to", &c.VersionTo, 200)
	clean("pipeline", &c.Pipeline, 200)
	clean("url", &c.URL, 2048)
	clean("key", &c.Key, 255)
	if c.Summary == "" && len(f) == 0 {
		f.Add("summary", "error.required")
	}
	if c.URL != "" && !strings.HasPrefix(c.URL, "https://") && !strings.HasPrefix(c.URL, "http://") {
		f.Add("url", "change.error.url")
	}
	if c.Service != "" && !kit.IsSlug(c.Service) {
		f.Add("service", "change.error.slug")
	}
	switch c.Reversible {
	case "":
		c.Reversible = "unknown"
	case "yes", "no", "unknown":
	default:
		f.Add("reversible", "change.error.reversible")
	}
	if c.State == "" {
		c.State = "deployed"
	}
	if !states.MatchString(c.State) {
		f.Add("state", "change.error.state")
	}
	if c.At.IsZero() {
		c.At = now
	}
	c.At = kit.Truncate(c.At)
	return c, f.Err()
}

type row struct {
	bun.BaseModel `bun:"table:change_record"`
	ID            string `bun:"id,pk"`
	Ref           string `bun:"ref"`
	Number        int64  `bun:"number"`
	Service       string `bun:"service"`
	Summary       string `bun:"summary"`
	Source        string `bun:"source"`
	Key           string `bun:"sender_key"`
	VersionFrom   string `bun:"version_from"`
	VersionTo     string `bun:"version_to"`
	At            int64  `bun:"at"`
	RecordedAt    int64  `bun:"recorded_at"`
	Pipeline      string `bun:"pipeline"`
	URL           string `bun:"url"`
	Reversible    string `bun:"reversible"`
	Emergency     bool   `bun:"emergency"`
	State         string `bun:"state"`
}

func (r *row) change() Change {
	return Change{
		ID: r.ID, Ref: r.Ref, Service: r.Service, Summary: r.Summary, Source: r.Source, Key: r.Key, VersionFrom: r.VersionFrom,
		VersionTo: r.VersionTo, At: kit.FromMicros(r.At), RecordedAt: kit.FromMicros(r.RecordedAt), Pipeline: r.Pipeline,
		URL: r.URL, Reversible: r.Reversible, Emergency: r.Emergency, State: r.State,
	}
}

// Record keeps a change and gives it with its reference. One whose source and key
// are known already changes state instead, as far as ended says.
func (s *Service) Record(ctx context.Context, c Change) (Change, error) {
	// A source may tell changes of its own; its key was checked at the edge.
	if a := kit.ActorFrom(ctx); a.Kind != kit.ActorSource {
		if err := s.rights.Require(ctx, "change.record"); err != nil {
			return Change{}, err
		}
	}
	c, err := prepare(c, s.db.Now())
	if err != nil {
		return Change{}, err
	}
	for range 3 {
		var kept Change
		err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			kept, err = s.record(ctx, tx, c)
			return err
		})
		// Another node may have recorded the same key meanwhile.
		if !db.IsUnique(err) {
			return kept, err
		}
	}
	return Change{}, err
}

func (s *Service) record(ctx context.Context, tx *db.Tx, c Change) (Change, error) {
	if c.Key != "" {
		var r row
		err := tx.NewSelect().Model(&r).Where("source = ? AND sender_key = ?", c.Source, c.Key).Scan(ctx)
		if err == nil {
			return s.move(ctx, tx, r, c.State)
		}
		if err = db.NoRows(err, "change", c.Key); kit.CodeOf(err) != kit.CodeNotFound {
			return Change{}, err
		}
	}
	n, err := tx.NextNumber(ctx, "CHG")
	if err != nil {
		return Change{}, err
	}
	c.ID, c.Ref, c.RecordedAt = kit.NewID(), fmt.Sprintf("CHG-%d", n), tx.Now()
	r := row{
		ID: c.ID, Ref: c.Ref, Number: n, Service: c.Service, Summary: c.Summary, Source: c.Source, Key: c.Key, VersionFrom: c.VersionFrom,
		VersionTo: c.VersionTo, At: kit.Micros(c.At), RecordedAt: kit.Micros(c.RecordedAt), Pipeline: c.Pipeline, URL: c.URL,
		Reversible: c.Reversible, Emergency: c.Emergency, State: c.State,
	}
	if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
		return Change{}, db.MapError(err)
	}
	return c, ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "change", ID: c.ID, Ref: c.Ref},
		Body: Recorded{
			Service: c.Service, Summary: c.Summary, VersionFrom: c.VersionFrom, VersionTo: c.VersionTo,
			At: c.At.Format(time.RFC3339Nano), Pipeline: c.Pipeline, URL: c.URL, Reversible: c.Reversible, Emergency: c.Emergency,
		},
	})
}

// ended tells whether a state can be followed by another one that its sender tells:
// messages come twice and out of order, and a change that was rolled back does not
// come back by a late message.
func ended(from, to string) bool {
	rank := map[string]int{"planned": 0, "running": 1, "failed": 2, "deployed": 2}
	a, known := rank[from]
	b, told := rank[to]
	return !known || !told || b < a || from == to
}

func (s *Service) move(ctx context.Context, tx *db.Tx, r row, to string) (Change, error) {
	if ended(r.State, to) {
		return r.change(), nil
	}
	from := r.State
	r.State = to
	if _, err := tx.NewUpdate().Model(&r).Column("state").WherePK().Exec(ctx); err != nil {
		return Change{}, db.MapError(err)
	}
	return r.change(), ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "change", ID: r.ID, Ref: r.Ref}, Body: Finished{From: from, Result: to},
	})
}

// Recent gives the changes of services since an instant, newest first, at most
// 200; no services means all.
func (s *Service) Recent(ctx context.Context, services []string, since time.Time) ([]Change, error) {
	if err := s.rights.Require(ctx, "change.see"); err != nil {
		return nil, err
	}
	var rows []row
	q := s.db.Read(ctx).NewSelect().Model(&rows).Where("at >= ?", kit.Micros(since)).Order("at DESC", "id DESC").Limit(200)
	if len(services) > 0 {
		q = q.Where("service IN (?)", bun.List(services))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	return changes(rows), nil
}

func changes(rows []row) []Change {
	out := make([]Change, len(rows))
	for i := range rows {
		out[i] = rows[i].change()
	}
	return out
}

// Get gives a change by its reference (any case, or the digits alone) or internal id.
func (s *Service) Get(ctx context.Context, ref string) (Change, error) {
	if err := s.rights.Require(ctx, "change.see"); err != nil {
		return Change{}, err
	}
	var r row
	up := strings.ToUpper(ref)
	if up != "" && strings.Trim(up, "0123456789") == "" {
		up = "CHG-" + up
	}
	err := s.db.Read(ctx).NewSelect().Model(&r).Where("ref = ? OR id = ?", up, ref).Scan(ctx)
	if err != nil {
		return Change{}, db.NoRows(err, "change", ref)
	}
	return r.change(), nil
}

// List gives the changes in the order of their recording, newest first; an empty
// service means all.
func (s *Service) List(ctx context.Context, service string, p kit.Page) (kit.List[Change], error) {
	var out kit.List[Change]
	if err := s.rights.Require(ctx, "change.see"); err != nil {
		return out, err
	}
	var rows []row
	d := s.db.Read(ctx)
	count := d.NewSelect().Table("change_record").ColumnExpr("1").Limit(kit.MaxTotal + 1)
	q := d.NewSelect().Model(&rows).Order("id DESC").Limit(int64(p.Size()) + 1)
	if service != "" {
		count, q = count.Where("service = ?", service), q.Where("service = ?", service)
	}
	if err := d.NewSelect().TableExpr("(?) AS c", count).ColumnExpr("COUNT(*)").Scan(ctx, &out.Total); err != nil {
		return out, db.MapError(err)
	}
	if out.Total > kit.MaxTotal {
		out.Total, out.TotalIsMinimum = kit.MaxTotal, true
	}
	if p.Cursor != "" {
		parts, err := kit.ParseCursor(p.Cursor, 1)
		if err != nil {
			return out, err
		}
		q = q.Where("id < ?", parts[0])
	}
	if err := q.Scan(ctx); err != nil {
		return out, db.MapError(err)
	}
	if len(rows) > p.Size() {
		rows = rows[:p.Size()]
		out.Next = kit.Cursor(rows[len(rows)-1].ID)
	}
	out.Items = changes(rows)
	return out, nil
}
