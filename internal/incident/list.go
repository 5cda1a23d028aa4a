package incident

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// Filter chooses incidents; an empty field does not narrow.
type Filter struct {
	Status Status
	// Active narrows to open incidents before the review.
	Active    bool
	Phase     Phase
	Severity  string // sev1 … sev4, or "none" for not assessed
	Service   string
	Kind      Kind
	Query     string
	From, To  time.Time
	Exercises bool // with the practices
	Personal  bool // touches personal data
	// Sort is declared, severity (the gravest first) or phase; a minus before it turns
	// the order round. Empty is -declared.
	Sort string
}

// ranked orders incidents by a column of words.
type ranked struct {
	column string
	words  []string
	of     func(*row) string
}

// Not assessed counts as just below sev2.
var sortBy = map[string]ranked{
	"severity": {"i.severity", []string{"sev1", "sev2", "", "sev3", "sev4"}, func(r *row) string { return string(r.Severity) }},
	"phase":    {"i.phase", []string{"detection", "assessment", "containment", "recovery", "review"}, func(r *row) string { return string(r.Phase) }},
}

func (o ranked) sql() string {
	out := "CASE " + o.column
	for n, w := range o.words {
		out += " WHEN '" + w + "' THEN " + strconv.Itoa(n)
	}
	return out + " ELSE " + strconv.Itoa(len(o.words)) + " END"
}

func (o ranked) rank(r *row) int {
	if n := slices.Index(o.words, o.of(r)); n >= 0 {
		return n
	}
	return len(o.words)
}

// order gives the expression of an order, whether it falls, and where an incident
// stands in it.
func (f Filter) order() (by string, falls bool, at func(*row) int64, err error) {
	name, falls := strings.CutPrefix(f.Sort, "-")
	if f.Sort == "" || name == "declared" {
		return "i.number", falls || f.Sort == "", func(r *row) int64 { return r.Number }, nil
	}
	o, ok := sortBy[name]
	if !ok {
		return "", false, nil, kit.InvalidField("sort", "error.bad_value")
	}
	return o.sql(), falls, func(r *row) int64 { return int64(o.rank(r)) }, nil
}

func (f Filter) apply(ctx context.Context, q *bun.SelectQuery) *bun.SelectQuery {
	q = needToKnow(ctx, q)
	if f.Status != "" {
		q = q.Where("i.status = ?", f.Status)
	}
	if f.Active {
		q = q.Where("i.status = 'open' AND i.phase <> 'review'")
	}
	if f.Phase != "" {
		q = q.Where("i.phase = ?", f.Phase)
	}
	switch f.Severity {
	case "":
	case "none":
		q = q.Where("i.severity = ''")
	default:
		q = q.Where("i.severity = ?", f.Severity)
	}
	if f.Service != "" {
		q = q.Where(`i.services LIKE ? ESCAPE '\'`, `%"`+db.EscapeLike(f.Service)+`"%`)
	}
	if f.Kind != "" {
		q = q.Where("i.kind = ?", f.Kind)
	}
	for _, w := range text.Words(f.Query) {
		q = q.Where(`i.search LIKE ? ESCAPE '\'`, "%"+db.EscapeLike(w)+"%")
	}
	if !f.From.IsZero() {
		q = q.Where("i.declared_at >= ?", kit.Micros(f.From))
	}
	if !f.To.IsZero() {
		q = q.Where("i.declared_at < ?", kit.Micros(f.To))
	}
	if !f.Exercises {
		q = q.Where("NOT i.exercise")
	}
	if f.Personal {
		q = q.Where("i.personal_data IN ('possibly', 'yes')")
	}
	return q
}

// List gives incidents in the order of the filter; those that are alike in it, the
// newest first.
func (s *Service) List(ctx context.Context, f Filter, p kit.Page) (kit.List[*Incident], error) {
	var out kit.List[*Incident]
	if err := s.rights.Require(ctx, "incident.see"); err != nil {
		return out, err
	}
	by, falls, at, err := f.order()
	if err != nil {
		return out, err
	}
	way, after := "", ">"
	if falls {
		way, after = " DESC", "<"
	}
	var rows []row
	q := f.apply(ctx, s.d.Read(ctx).NewSelect().Model(&rows)).
		OrderExpr(by + way).OrderExpr("i.number DESC").Limit(int64(p.Size() + 1))
	if p.Cursor != "" {
		parts, err := kit.ParseCursor(p.Cursor, 2)
		if err != nil {
			return out, err
		}
		rank, bad := strconv.ParseInt(parts[0], 10, 64)
		n, worse := strconv.ParseInt(parts[1], 10, 64)
		if bad != nil || worse != nil {
			return out, kit.Invalid("error.bad_cursor")
		}
		q = q.Where("("+by+" "+after+" ? OR "+by+" = ? AND i.number < ?)", rank, rank, n)
	}
	if err := q.Scan(ctx); err != nil {
		return out, db.MapError(err)
	}
	if len(rows) > p.Size() {
		rows = rows[:p.Size()]
		last := &rows[len(rows)-1]
		out.Next = kit.Cursor(strconv.FormatInt(at(last), 10), strconv.FormatInt(last.Number, 10))
	}
	if out.Items, err = s.incidents(ctx, rows); err != nil {
		return out, err
	}
	inner := f.apply(ctx, s.d.Read(ctx).NewSelect().TableExpr("incident AS i").ColumnExpr("1")).Limit(kit.MaxTotal + 1)
	if err := s.d.Read(ctx).NewSelect().TableExpr("(?) AS c", inner).ColumnExpr("count(*)").Scan(ctx, &out.Total); err != nil {
		return out, db.MapError(err)
	}
	if out.Total > kit.MaxTotal {
		out.Total, out.TotalIsMinimum = kit.MaxTotal, true
	}
	return out, nil
}

func (s *Service) incidents(ctx context.Context, rows []row) ([]*Incident, error) {
	ids := make([]string, len(rows))
	for n := range rows {
		ids[n] = rows[n].ID
	}
	roles, err := s.roles(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]*Incident, len(rows))
	for n := range rows {
		if out[n], err = rows[n].incident(); err != nil {
			return nil, err
		}
		out[n].Roles = roles[out[n].ID]
	}
	return out, nil
}

// Similar gives up to three open incidents with a word of the title or a service
// in common.
func (s *Service) Similar(ctx context.Context, title string, services []string) ([]*Incident, error) {
	var words []string
	for _, w := range text.Words(title) {
		if len(w) > 3 {
			words = append(words, w)
		}
	}
	if len(words) == 0 && len(services) == 0 {
		return nil, nil
	}
	var rows []row
	q := needToKnow(ctx, s.d.Read(ctx).NewSelect().Model(&rows).Where("i.status = 'open' AND i.phase <> 'review' AND NOT i.exercise"))
	q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		for _, w := range words {
			q = q.WhereOr(`i.search LIKE ? ESCAPE '\'`, "%"+db.EscapeLike(w)+"%")
		}
		for _, v := range services {
			q = q.WhereOr(`i.services LIKE ? ESCAPE '\'`, `%"`+db.EscapeLike(v)+`"%`)
		}
		return q
	})
	if err := q.OrderExpr("i.number DESC").Limit(3).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	return s.incidents(ctx, rows)
}

// Visible gives those of the incidents that the actor may know of. Live updates,
// webhooks and search filter by it.
func (s *Service) Visible(ctx context.Context, ids []string) (map[string]bool, error) {
	out := make(map[string]bool, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var seen []string
	q := needToKnow(ctx, s.d.Read(ctx).NewSelect().TableExpr("incident AS i").ColumnExpr("i.id").Where("i.id IN (?)", bun.List(ids)))
	if err := q.Scan(ctx, &seen); err != nil {
		return nil, db.MapError(err)
	}
	for _, id := range seen {
		out[id] = true
	}
	return out, nil
}

// Refs gives the references of those of the incidents that the actor may know of.
func (s *Service) Refs(ctx context.Context, ids []string) (map[string]string, error) {
	seen, err := s.Visible(ctx, ids)
	if err != nil {
		return nil, err
	}
	list, err := s.byID(ctx, slices.Collect(maps.Keys(seen)))
	out := make(map[string]string, len(list))
	for id, i := range list {
		out[id] = i.Ref()
	}
	return out, err
}

// ReviewItem is a review with its incident.
type ReviewItem struct {
	Review   Review
	Incident *Incident
}

// Reviews lists the newest reviews in a state, those due first.
func (s *Service) Reviews(ctx context.Context, state string) ([]ReviewItem, error) {
	if err := s.rights.Require(ctx, "incident.see"); err != nil {
		return nil, err
	}
	var rows []reviewRow
	q := s.d.Read(ctx).NewSelect().Model(&rows).Join("JOIN incident AS i ON i.id = rv.incident").
		Where("NOT EXISTS (SELECT 1 FROM review AS n WHERE n.incident = rv.incident AND n.version > rv.version)")
	if state != "" {
		q = q.Where("rv.state = ?", state)
	}
	if err := needToKnow(ctx, q).OrderExpr("rv.due_at, rv.incident").Limit(kit.MaxLimit).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	ids := make([]string, len(rows))
	for n := range rows {
		ids[n] = rows[n].Incident
	}
	by, err := s.byID(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]ReviewItem, 0, len(rows))
	for n := range rows {
		r, err := rows[n].review()
		if err != nil {
			return nil, err
		}
		out = append(out, ReviewItem{Review: r, Incident: by[r.Incident]})
	}
	return out, nil
}

// ReviewStates gives the state of the newest review of each incident that has one. It
// asks for no right: for those who were shown the incidents.
func (s *Service) ReviewStates(ctx context.Context, incidents []string) (map[string]string, error) {
	out := make(map[string]string, len(incidents))
	if len(incidents) == 0 {
		return out, nil
	}
	var rows []reviewRow
	err := s.d.Read(ctx).NewSelect().Model(&rows).Column("rv.incident", "rv.state").Where("rv.incident IN (?)", bun.List(incidents)).OrderExpr("rv.version").Scan(ctx)
	for _, r := range rows {
		out[r.Incident] = r.State
	}
	return out, db.MapError(err)
}

func (s *Service) byID(ctx context.Context, ids []string) (map[string]*Incident, error) {
	out := make(map[string]*Incident, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var rows []row
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("i.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	list, err := s.incidents(ctx, rows)
	for _, i := range list {
		out[i.ID] = i
	}
	return out, err
}

// ActionFilter chooses actions.
type ActionFilter struct {
	State, Owner string
	// DueBefore is a date, exclusive.
	DueBefore string
}

// Actions lists actions, those due first.
func (s *Service) Actions(ctx context.Context, f ActionFilter) ([]Action, error) {
	if err := s.rights.Require(ctx, "incident.see"); err != nil {
		return nil, err
	}
	var out []Action
	q := s.d.Read(ctx).NewSelect().Model(&out).Join("JOIN incident AS i ON i.id = a.incident")
	if f.State != "" {
		q = q.Where("a.state = ?", f.State)
	}
	if f.Owner != "" {
		q = q.Where("a.owner = ?", f.Owner)
	}
	if f.DueBefore != "" {
		q = q.Where("a.due <> '' AND a.due < ?", f.DueBefore)
	}
	err := needToKnow(ctx, q).OrderExpr("CASE WHEN a.due = '' THEN 1 ELSE 0 END, a.due, a.number").Limit(kit.MaxLimit).Scan(ctx)
	return out, db.MapError(err)
}

// FalseAlarms gives those of the incidents that were cancelled. It asks for no right and
// says nothing more of them: for other modules.
func (s *Service) FalseAlarms(ctx context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for part := range slices.Chunk(ids, 500) {
		var found []string
		if err := s.d.Read(ctx).NewSelect().TableExpr("incident").Column("id").Where("id IN (?) AND status = 'cancelled'", bun.List(part)).Scan(ctx, &found); err != nil {
			return nil, db.MapError(err)
		}
		for _, id := range found {
			out[id] = true
		}
	}
	return out, nil
}
