package finding

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// chunk is how many rows one statement writes.
const chunk = 500

type row struct {
	bun.BaseModel `bun:"table:finding"`
	ID            string   `bun:"id,pk"`
	Ref           string   `bun:"ref"`
	Number        int64    `bun:"number"`
	Source        string   `bun:"source"`
	Key           string   `bun:"finding_key"`
	Service       string   `bun:"service"`
	Tool          string   `bun:"tool"`
	Target        string   `bun:"target"`
	Rule          string   `bun:"rule"`
	Title         string   `bun:"title"`
	Severity      Severity `bun:"severity"`
	Score         float64  `bun:"score"`
	Location      string   `bun:"location"`
	Line          int      `bun:"line"`
	Package       string   `bun:"package"`
	Version       string   `bun:"version"`
	FixedIn       string   `bun:"fixed_in"`
	CVE           string   `bun:"cve"`
	CWE           string   `bun:"cwe"`
	URL           string   `bun:"url"`
	Description   string   `bun:"description"`
	Secret        bool     `bun:"secret"`
	Search        string   `bun:"search"`
	State         State    `bun:"state"`
	Decision      Decision `bun:"decision"`
	Reason        string   `bun:"reason"`
	DecidedBy     string   `bun:"decided_by"`
	DecidedAt     *int64   `bun:"decided_at"`
	ExpiresAt     *int64   `bun:"expires_at"`
	OpenedAt      int64    `bun:"opened_at"`
	SeenAt        int64    `bun:"seen_at"`
	FixedAt       *int64   `bun:"fixed_at"`
	TriageAt      *int64   `bun:"triage_at"`
	FixAt         *int64   `bun:"fix_at"`
}

// A list of CVE or CWE numbers is kept as words.
func list(words []string) string { return strings.Join(words, " ") }

func fromMicros(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return kit.FromMicros(*n)
}

func (r *row) finding() Finding {
	return Finding{
		ID: r.ID, Ref: r.Ref, Source: r.Source, Service: r.Service, Secret: r.Secret, State: r.State, Decision: r.Decision, Reason: r.Reason,
		DecidedBy: r.DecidedBy, DecidedAt: fromMicros(r.DecidedAt), ExpiresAt: fromMicros(r.ExpiresAt), OpenedAt: kit.FromMicros(r.OpenedAt),
		SeenAt: kit.FromMicros(r.SeenAt), FixedAt: fromMicros(r.FixedAt), TriageAt: fromMicros(r.TriageAt), FixAt: fromMicros(r.FixAt),
		Result: Result{
			Key: r.Key, Tool: r.Tool, Target: r.Target, Rule: r.Rule, Title: r.Title, Severity: r.Severity, Score: r.Score, Location: r.Location,
			Line: r.Line, Package: r.Package, Version: r.Version, FixedIn: r.FixedIn, CVE: strings.Fields(r.CVE), CWE: strings.Fields(r.CWE),
			URL: r.URL, Description: r.Description,
		},
	}
}

func (r *row) about() About {
	return About{
		Source: r.Source, Service: r.Service, Tool: r.Tool, Rule: r.Rule, Title: r.Title, Severity: r.Severity, Location: r.Location,
		CVE: strings.Fields(r.CVE), CWE: strings.Fields(r.CWE), Secret: r.Secret, Due: stamp(fromMicros(r.FixAt)),
	}
}

// searched is the text in which words are looked for.
func (r *row) searched() string {
	return text.Fold(strings.Join([]string{r.Ref, r.Rule, r.Title, r.Location, r.Package, r.CVE, r.CWE, r.Tool, r.Target}, " "))
}

// words is what reports say of a finding, to tell whether they say something else.
type words struct {
	service, title, location, pkg, version, fixedIn, cve, cwe, url, description string
	severity                                                                    Severity
	score                                                                       float64
	line                                                                        int
	triage, fix                                                                 int64
}

func (r *row) words() words {
	n := func(p *int64) int64 {
		if p == nil {
			return 0
		}
		return *p
	}
	return words{
		r.Service, r.Title, r.Location, r.Package, r.Version, r.FixedIn, r.CVE, r.CWE, r.URL, r.Description,
		r.Severity, r.Score, r.Line, n(r.TriageAt), n(r.FixAt),
	}
}

type scanRow struct {
	bun.BaseModel `bun:"table:finding_scan"`
	ID            string  `bun:"id,pk"`
	Source        string  `bun:"source"`
	SHA256        string  `bun:"sha256"`
	Format        string  `bun:"format"`
	Tool          string  `bun:"tool"`
	Target        string  `bun:"target"`
	Verdict       Verdict `bun:"verdict"`
	Why           string  `bun:"why"`
	At            int64   `bun:"at"`
	LastAt        int64   `bun:"last_at"`
	Findings      int     `bun:"findings"`
	Opened        int     `bun:"opened"`
	Reopened      int     `bun:"reopened"`
	Fixed         int     `bun:"fixed"`
	NotProved     int     `bun:"not_proved"`
}

func lockSource(ctx context.Context, tx *db.Tx, source string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO finding_source (source, reports) VALUES (?, 1)
		ON CONFLICT (source) DO UPDATE SET reports = finding_source.reports + 1`, source)
	return db.MapError(err)
}

// lastScan is the newest report of the tool and target, nil when there is none.
func lastScan(ctx context.Context, tx *db.Tx, source string, r Report) (*scanRow, error) {
	var s scanRow
	err := tx.NewSelect().Model(&s).Where("source = ? AND tool = ? AND target = ?", source, r.Tool.Name, r.Target).Order("id DESC").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &s, db.MapError(err)
}

func again(ctx context.Context, tx *db.Tx, s *scanRow) error {
	s.LastAt = kit.Micros(tx.Now())
	_, err := tx.NewUpdate().Model(s).Column("last_at").WherePK().Exec(ctx)
	return db.MapError(err)
}

func insertScan(ctx context.Context, tx *db.Tx, s *scanRow) error {
	_, err := tx.NewInsert().Model(s).Exec(ctx)
	return db.MapError(err)
}

// knownOf gives the findings of a source by key.
func knownOf(ctx context.Context, tx *db.Tx, source string) (map[string]*row, error) {
	var rows []*row
	if err := tx.NewSelect().Model(&rows).Where("source = ?", source).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	out := make(map[string]*row, len(rows))
	for _, r := range rows {
		out[r.Key] = r
	}
	return out, nil
}

// chunks gives fn a list in parts that one statement takes.
func chunks[T any](all []T, fn func([]T) error) error {
	for len(all) > 0 {
		n := min(len(all), chunk)
		if err := fn(all[:n]); err != nil {
			return db.MapError(err)
		}
		all = all[n:]
	}
	return nil
}

func insert(ctx context.Context, tx *db.Tx, rows []*row) error {
	return chunks(rows, func(part []*row) error {
		_, err := tx.NewInsert().Model(&part).Exec(ctx)
		return err
	})
}

// replaced are the columns that a report may change.
var replaced = []string{
	"service", "title", "severity", "score", "location", "line", "package", "version", "fixed_in", "cve", "cwe", "url", "description", "secret",
	"search", "state", "expires_at", "opened_at", "seen_at", "fixed_at", "triage_at", "fix_at",
}

// replace writes findings that are there already, many in one statement.
func replace(ctx context.Context, tx *db.Tx, rows []*row) error {
	return chunks(rows, func(part []*row) error {
		q := tx.NewInsert().Model(&part).On("CONFLICT (id) DO UPDATE")
		for _, c := range replaced {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		_, err := q.Exec(ctx)
		return err
	})
}

func setSeen(ctx context.Context, tx *db.Tx, ids []string, at int64) error {
	return chunks(ids, func(part []string) error {
		_, err := tx.NewUpdate().Table("finding").Set("seen_at = ?", at).Where("id IN (?)", bun.List(part)).Exec(ctx)
		return err
	})
}

func setFixed(ctx context.Context, tx *db.Tx, ids []string, now time.Time) error {
	return chunks(ids, func(part []string) error {
		_, err := tx.NewUpdate().Table("finding").Set("state = ?", StateFixed).Set("fixed_at = ?", kit.Micros(now)).Set("expires_at = NULL").
			Where("id IN (?)", bun.List(part)).Exec(ctx)
		return err
	})
}

// find gives a finding by its reference or internal id.
func find(ctx context.Context, d bun.IDB, ref string) (*row, error) {
	var r row
	err := d.NewSelect().Model(&r).Where("ref = ? OR id = ?", reference(ref), ref).Scan(ctx)
	if err != nil {
		return nil, db.NoRows(err, "finding", ref)
	}
	return &r, nil
}

// update writes columns of a finding as long as it stands where it did.
func update(ctx context.Context, tx *db.Tx, r *row, from State, columns ...string) (int64, error) {
	res, err := tx.NewUpdate().Model(r).Column(columns...).Where("id = ? AND state = ?", r.ID, from).Exec(ctx)
	if err != nil {
		return 0, db.MapError(err)
	}
	n, err := res.RowsAffected()
	return n, db.MapError(err)
}

// Filter narrows a list of findings; empty fields do not.
type Filter struct {
	State    State
	Severity Severity
	Service  string
	Source   string
	// Q are words of the reference, rule, title, place, package or numbers.
	Q string
}

func (f Filter) on(q *bun.SelectQuery) *bun.SelectQuery {
	for column, v := range map[string]string{"state": string(f.State), "severity": string(f.Severity), "service": f.Service, "source": f.Source} {
		if v != "" {
			q = q.Where("? = ?", bun.Ident(column), v)
		}
	}
	for _, w := range text.Words(f.Q) {
		q = q.Where("search LIKE ?", "%"+w+"%")
	}
	return q
}

// List gives findings, the newest first.
func (s *Service) List(ctx context.Context, f Filter, p kit.Page) (kit.List[Finding], error) {
	var out kit.List[Finding]
	if err := s.rights.Require(ctx, "finding.see"); err != nil {
		return out, err
	}
	d := s.db.Read(ctx)
	count := f.on(d.NewSelect().Table("finding").ColumnExpr("1")).Limit(kit.MaxTotal + 1)
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
	out.Items = make([]Finding, len(rows))
	for i, r := range rows {
		out.Items[i] = r.finding()
	}
	return out, nil
}

// Counts gives how many findings there are in each state.
func (s *Service) Counts(ctx context.Context, f Filter) (map[State]int, error) {
	if err := s.rights.Require(ctx, "finding.see"); err != nil {
		return nil, err
	}
	var rows []struct {
		State State `bun:"state"`
		N     int   `bun:"n"`
	}
	f.State = ""
	if err := f.on(s.db.Read(ctx).NewSelect().Table("finding").Column("state").ColumnExpr("COUNT(*) AS n")).Group("state").Scan(ctx, &rows); err != nil {
		return nil, db.MapError(err)
	}
	out := map[State]int{}
	for _, r := range rows {
		out[r.State] = r.N
	}
	return out, nil
}

// Get gives a finding by its reference (any case, or the digits alone) or internal id.
func (s *Service) Get(ctx context.Context, ref string) (Finding, error) {
	if err := s.rights.Require(ctx, "finding.see"); err != nil {
		return Finding{}, err
	}
	r, err := find(ctx, s.db.Read(ctx), ref)
	if err != nil {
		return Finding{}, err
	}
	return r.finding(), nil
}
