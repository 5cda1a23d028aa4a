package oncall

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

type scheduleRow struct {
	bun.BaseModel `bun:"table:oncall_schedule,alias:s"`
	ID            string `bun:"id,pk"`
	Duty          string `bun:"duty"`
	Version       int64  `bun:"version"`
	RetiredAt     int64  `bun:"retired_at"`
}

type versionRow struct {
	bun.BaseModel `bun:"table:oncall_schedule_version,alias:v"`
	ScheduleID    string `bun:"schedule_id,pk"`
	Version       int64  `bun:"version,pk"`
	ValidFrom     int64  `bun:"valid_from"`
	Definition    string `bun:"definition"`
}

func (r *versionRow) schedule() (Schedule, error) {
	var s Schedule
	if err := json.Unmarshal([]byte(r.Definition), &s); err != nil {
		return s, kit.Internal(err)
	}
	s.ID, s.Version = r.ScheduleID, r.Version
	return s, nil
}

type overrideRow struct {
	bun.BaseModel `bun:"table:oncall_override,alias:o"`
	ID            string `bun:"id,pk"`
	ScheduleID    string `bun:"schedule_id"`
	Person        string `bun:"person"`
	FromAt        int64  `bun:"from_at"`
	ToAt          int64  `bun:"to_at"`
	ValidFrom     int64  `bun:"valid_from"`
	RemovedAt     int64  `bun:"removed_at"`
	MadeBy        string `bun:"made_by"`
}

func (r *overrideRow) override() Override {
	return Override{ID: r.ID, Person: r.Person, From: kit.FromMicros(r.FromAt), To: kit.FromMicros(r.ToAt), By: r.MadeBy}
}

// effective is the time in which the override counted: neither before it was made
// nor after it was removed; ok is false when it never did.
func (r *overrideRow) effective() (Override, bool) {
	o := r.override()
	o.From = later(o.From, kit.FromMicros(r.ValidFrom))
	if r.RemovedAt > 0 {
		o.To = earlier(o.To, kit.FromMicros(r.RemovedAt))
	}
	return o, o.From.Before(o.To)
}

type policyRow struct {
	bun.BaseModel `bun:"table:oncall_policy,alias:p"`
	ID            string `bun:"id,pk"`
	Version       int64  `bun:"version"`
	Turn          int64  `bun:"turn"`
	RetiredAt     int64  `bun:"retired_at"`
	Definition    string `bun:"definition"`
}

func (r *policyRow) policy() (Policy, error) {
	var p Policy
	if err := json.Unmarshal([]byte(r.Definition), &p); err != nil {
		return p, kit.Internal(err)
	}
	p.ID, p.Version = r.ID, r.Version
	return p, nil
}

type ladderRow struct {
	bun.BaseModel `bun:"table:oncall_ladder,alias:l"`
	ID            string `bun:"id,pk"`
	Incident      string `bun:"incident"`
	Ref           string `bun:"ref"`
	Title         string `bun:"title"`
	State         string `bun:"state"`
	Reason        string `bun:"reason"`
	Frozen        string `bun:"frozen"`
	StartedAt     int64  `bun:"started_at"`
	BaseAt        int64  `bun:"base_at"`
	NextRung      int64  `bun:"next_rung"`
	NextAt        int64  `bun:"next_at"`
	AnsweredBy    string `bun:"answered_by"`
	AnsweredAt    int64  `bun:"answered_at"`
	LastPaged     string `bun:"last_paged"`
	ActiveAt      int64  `bun:"active_at"`
}

// run is a ladder with what it froze, while a transaction works on it.
type run struct {
	row    ladderRow
	frozen Frozen
	rungs  []Rung
	pos    Position
}

func newRun(r ladderRow) (*run, error) {
	l := &run{row: r, pos: Position{Base: kit.FromMicros(r.BaseAt), Next: int(r.NextRung)}}
	if err := json.Unmarshal([]byte(r.Frozen), &l.frozen); err != nil {
		return nil, kit.Internal(err)
	}
	l.rungs = Rungs(l.frozen)
	return l, nil
}

// last is the rung that ran last.
func (l *run) last() (Rung, bool) {
	if l.pos.Next == 0 || l.pos.Next > len(l.rungs) {
		return Rung{}, false
	}
	return l.rungs[l.pos.Next-1], true
}

func (l *run) lastPaged(person string) bool {
	return slices.Contains(strings.Split(l.row.LastPaged, " "), person)
}

func (l *run) ladder() Ladder {
	r, f := &l.row, &l.frozen
	out := Ladder{
		ID: r.ID, Incident: r.Incident, Ref: r.Ref, Title: r.Title, Severity: f.Severity, Services: f.Services,
		Policy: f.Policy, PolicyVersion: f.Version, Informs: f.Informs, State: r.State, Reason: r.Reason, Exercise: f.Exercise,
		Started: kit.FromMicros(r.StartedAt), AnsweredBy: r.AnsweredBy, AnsweredAt: kit.FromMicros(r.AnsweredAt),
	}
	if last, ok := l.last(); ok {
		out.Round, out.Step = last.Round, last.Step
	}
	if r.State == Running && l.pos.Next < len(l.rungs) {
		out.NextAt = kit.FromMicros(r.NextAt)
	}
	return out
}

func (s *Service) insertRun(ctx context.Context, tx *db.Tx, l *run) error {
	raw, err := json.Marshal(l.frozen)
	if err != nil {
		return kit.Internal(err)
	}
	r := &l.row
	r.Frozen = string(raw)
	_, err = tx.Exec(ctx, `INSERT INTO oncall_ladder (id, incident, ref, title, state, reason, frozen, started_at, base_at, next_rung, next_at, active_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10)`,
		r.ID, r.Incident, r.Ref, r.Title, r.State, r.Reason, r.Frozen, r.StartedAt, kit.Micros(l.pos.Base), r.ActiveAt)
	return db.MapError(err)
}

func (s *Service) saveRun(ctx context.Context, tx *db.Tx, l *run) error {
	raw, err := json.Marshal(l.frozen)
	if err != nil {
		return kit.Internal(err)
	}
	r := &l.row
	r.Frozen, r.BaseAt, r.NextRung = string(raw), kit.Micros(l.pos.Base), int64(l.pos.Next)
	_, err = tx.Exec(ctx, `UPDATE oncall_ladder SET state = $2, frozen = $3, base_at = $4, next_rung = $5, next_at = $6,
		answered_by = $7, answered_at = $8, last_paged = $9, active_at = $10 WHERE id = $1`,
		r.ID, r.State, r.Frozen, r.BaseAt, r.NextRung, r.NextAt, r.AnsweredBy, r.AnsweredAt, r.LastPaged, r.ActiveAt)
	return db.MapError(err)
}

// lockRun reads a ladder and holds it until the end of the transaction; nil when
// there is none.
func (s *Service) lockRun(ctx context.Context, tx *db.Tx, id string) (*run, error) {
	list, err := s.lockRuns(ctx, tx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("l.id = ?", id) })
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// lockIncident reads and holds the ladders of an incident, the oldest first.
func (s *Service) lockIncident(ctx context.Context, tx *db.Tx, incident string) ([]*run, error) {
	if incident == "" {
		return nil, nil
	}
	return s.lockRuns(ctx, tx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("l.incident = ?", incident).Order("l.started_at", "l.id")
	})
}

func (s *Service) lockRuns(ctx context.Context, tx *db.Tx, where func(*bun.SelectQuery) *bun.SelectQuery) ([]*run, error) {
	var rows []ladderRow
	if err := tx.ForUpdate(where(tx.NewSelect().Model(&rows))).Limit(kit.MaxLimit).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	return newRuns(rows)
}

func newRuns(rows []ladderRow) ([]*run, error) {
	out := make([]*run, len(rows))
	for i, r := range rows {
		l, err := newRun(r)
		if err != nil {
			return nil, err
		}
		out[i] = l
	}
	return out, nil
}

func (s *Service) readRuns(ctx context.Context, where func(*bun.SelectQuery) *bun.SelectQuery) ([]*run, error) {
	var rows []ladderRow
	if err := where(s.d.Read(ctx).NewSelect().Model(&rows)).Limit(kit.MaxLimit).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	return newRuns(rows)
}

// schedulesAt reads the schedules in use at an instant, each in the version that
// was or is in force then, primary and secondary first.
func (s *Service) schedulesAt(ctx context.Context, at time.Time) ([]Schedule, error) {
	type key struct{ at time.Time }
	return db.Memo(ctx, s.d, key{at}, func() ([]Schedule, error) { return s.readSchedulesAt(ctx, at) })
}

func (s *Service) readSchedulesAt(ctx context.Context, at time.Time) ([]Schedule, error) {
	rows := []versionRow{}
	err := s.d.Read(ctx).NewSelect().Model(&rows).
		Join("JOIN oncall_schedule AS s ON s.id = v.schedule_id").
		Where("s.retired_at = 0 OR s.retired_at > ?", kit.Micros(at)).
		Where("v.version = (SELECT max(x.version) FROM oncall_schedule_version AS x WHERE x.schedule_id = v.schedule_id AND x.valid_from <= ?)", kit.Micros(at)).
		Limit(1000).Scan(ctx)
	if err != nil {
		return nil, db.MapError(err)
	}
	out := make([]Schedule, len(rows))
	for i := range rows {
		if out[i], err = rows[i].schedule(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b Schedule) int {
		if d := dutyRank(a.Duty) - dutyRank(b.Duty); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

func dutyRank(duty string) int {
	if i := slices.Index([]string{"primary", "secondary"}, duty); i >= 0 {
		return i
	}
	return 2
}

// versions reads all versions of a schedule, the oldest first; a retired one is
// found too.
func (s *Service) versions(ctx context.Context, id string) (rows []versionRow, retired time.Time, err error) {
	var head scheduleRow
	if err = s.d.Read(ctx).NewSelect().Model(&head).Where("s.id = ?", id).Scan(ctx); err != nil {
		return nil, retired, db.NoRows(err, "schedule", id)
	}
	err = s.d.Read(ctx).NewSelect().Model(&rows).Where("v.schedule_id = ?", id).Order("v.version").Scan(ctx)
	return rows, kit.FromMicros(head.RetiredAt), db.MapError(err)
}

// overridesAfter reads what ends after an instant, in the order in which it was
// made, by schedule; id limits it to one.
func (s *Service) overridesAfter(ctx context.Context, id string, at time.Time, removed bool) (map[string][]overrideRow, error) {
	type key struct {
		id      string
		at      time.Time
		removed bool
	}
	return db.Memo(ctx, s.d, key{id, at, removed}, func() (map[string][]overrideRow, error) { return s.readOverridesAfter(ctx, id, at, removed) })
}

func (s *Service) readOverridesAfter(ctx context.Context, id string, at time.Time, removed bool) (map[string][]overrideRow, error) {
	var rows []overrideRow
	q := s.d.Read(ctx).NewSelect().Model(&rows).Where("o.to_at > ?", kit.Micros(at)).Order("o.valid_from", "o.id").Limit(5000)
	if id != "" {
		q = q.Where("o.schedule_id = ?", id)
	}
	if !removed {
		q = q.Where("o.removed_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	out := map[string][]overrideRow{}
	for _, r := range rows {
		out[r.ScheduleID] = append(out[r.ScheduleID], r)
	}
	return out, nil
}

func (s *Service) policies(ctx context.Context) ([]Policy, error) {
	var rows []policyRow
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("p.retired_at = 0").Limit(1000).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	var out []Policy
	for i := range rows {
		p, err := rows[i].policy()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	for _, b := range BuiltIn() {
		if !slices.ContainsFunc(out, func(p Policy) bool { return p.ID == b.ID }) {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b Policy) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// policy reads one policy; a built-in one when nobody replaced it.
func (s *Service) policy(ctx context.Context, id string) (Policy, int, error) {
	var r policyRow
	err := s.d.Read(ctx).NewSelect().Model(&r).Where("p.id = ? AND p.retired_at = 0", id).Scan(ctx)
	if err == nil {
		p, err := r.policy()
		return p, int(r.Turn), err
	}
	if errors.Is(err, sql.ErrNoRows) {
		for _, b := range BuiltIn() {
			if b.ID == id {
				return b, 0, nil
			}
		}
	}
	return Policy{}, 0, db.NoRows(err, "policy", id)
}
