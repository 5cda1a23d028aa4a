package incident

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/text"
)

func toRow(i *Incident) *row {
	r := &row{
		ID: i.ID, Number: i.Number, Version: i.Version, Title: i.Title, Summary: i.Summary, Status: i.Status, Phase: i.Phase,
		Severity: i.Severity, SeveritySource: i.SeveritySource, Computed: i.Computed, DecidedBy: i.DecidedBy, Kind: i.Kind,
		PersonalData: i.PersonalData, Impact: i.Impact, Services: pack(i.Services), Exercise: i.Exercise, Confidential: i.Confidential,
		How: i.How, DeclaredBy: i.DeclaredBy, OnlyPerson: i.OnlyPerson, Policy: i.Policy, Route: i.Route, GroupKey: i.GroupKey,
		WindowUS: i.Window.Microseconds(), OpenAlerts: i.OpenAlerts, LastAlertAt: kit.Micros(i.LastAlertAt), MergedInto: i.MergedInto,
		Previous: i.Previous, RefiredAt: kit.Micros(i.RefiredAt), Answers: pack(i.Answers), Exits: pack(i.Exits),
		OccurredAt: kit.Micros(i.OccurredAt), DetectedAt: kit.Micros(i.DetectedAt), DeclaredAt: kit.Micros(i.DeclaredAt),
		AcknowledgedAt: kit.Micros(i.AcknowledgedAt), AcknowledgedBy: i.AcknowledgedBy, AssessedAt: kit.Micros(i.AssessedAt),
		ContainedAt: kit.Micros(i.ContainedAt), EradicatedAt: kit.Micros(i.EradicatedAt), RestoredAt: kit.Micros(i.RestoredAt),
		RecoveredAt: kit.Micros(i.RecoveredAt), ReviewedAt: kit.Micros(i.ReviewedAt), ClosedAt: kit.Micros(i.ClosedAt),
	}
	r.Search = text.Fold(i.Ref() + " " + i.Title + " " + i.Summary)
	return r
}

func (r *row) incident() (*Incident, error) {
	i := &Incident{
		ID: r.ID, Number: r.Number, Version: r.Version, Title: r.Title, Summary: r.Summary, Status: r.Status, Phase: r.Phase,
		Severity: r.Severity, SeveritySource: r.SeveritySource, Computed: r.Computed, DecidedBy: r.DecidedBy, Kind: r.Kind,
		PersonalData: r.PersonalData, Impact: r.Impact, Exercise: r.Exercise, Confidential: r.Confidential,
		How: r.How, DeclaredBy: r.DeclaredBy, OnlyPerson: r.OnlyPerson, Policy: r.Policy, Route: r.Route, GroupKey: r.GroupKey,
		Window: time.Duration(r.WindowUS) * time.Microsecond, OpenAlerts: r.OpenAlerts, LastAlertAt: kit.FromMicros(r.LastAlertAt),
		MergedInto: r.MergedInto, Previous: r.Previous, RefiredAt: kit.FromMicros(r.RefiredAt),
		OccurredAt: kit.FromMicros(r.OccurredAt), DetectedAt: kit.FromMicros(r.DetectedAt), DeclaredAt: kit.FromMicros(r.DeclaredAt),
		AcknowledgedAt: kit.FromMicros(r.AcknowledgedAt), AcknowledgedBy: r.AcknowledgedBy, AssessedAt: kit.FromMicros(r.AssessedAt),
		ContainedAt: kit.FromMicros(r.ContainedAt), EradicatedAt: kit.FromMicros(r.EradicatedAt), RestoredAt: kit.FromMicros(r.RestoredAt),
		RecoveredAt: kit.FromMicros(r.RecoveredAt), ReviewedAt: kit.FromMicros(r.ReviewedAt), ClosedAt: kit.FromMicros(r.ClosedAt),
	}
	for _, f := range []struct {
		text string
		into any
	}{{r.Services, &i.Services}, {r.Answers, &i.Answers}, {r.Exits, &i.Exits}} {
		if err := json.Unmarshal([]byte(f.text), f.into); err != nil {
			return nil, kit.Internal(err)
		}
	}
	return i, nil
}

// pack is a value as JSON; the values of this module always encode.
func pack(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(raw)
}

type roleRow struct {
	bun.BaseModel `bun:"table:incident_role"`

	Incident string   `bun:"incident,pk"`
	Role     kit.Role `bun:"role,pk"`
	Person   string   `bun:"person"`
}

type personRow struct {
	bun.BaseModel `bun:"table:incident_person"`

	Incident string `bun:"incident,pk"`
	Person   string `bun:"person,pk"`
	Why      string `bun:"why"`
}

type alertRow struct {
	bun.BaseModel `bun:"table:incident_alert"`

	Alert    string `bun:"alert,pk"`
	Incident string `bun:"incident"`
	Service  string `bun:"service"`
	Title    string `bun:"title"`
	Severity string `bun:"severity"`
	Open     bool   `bun:"open"`
	At       int64  `bun:"at"`
}

// find reads an incident by reference or internal id, with its roles, without
// asking for rights.
func (s *Service) find(ctx context.Context, ref string, lock *db.Tx) (*Incident, error) {
	var r row
	q := s.d.Read(ctx).NewSelect().Model(&r)
	if n, ok := ParseRef("INC", ref); ok {
		q = q.Where("i.number = ?", n)
	} else {
		q = q.Where("i.id = ?", ref)
	}
	if lock != nil {
		q = lock.ForUpdate(q)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, db.NoRows(err, "incident", ref)
	}
	i, err := r.incident()
	if err != nil {
		return nil, err
	}
	roles, err := s.roles(ctx, []string{i.ID})
	if err != nil {
		return nil, err
	}
	i.Roles = roles[i.ID]
	return i, nil
}

func (s *Service) roles(ctx context.Context, ids []string) (map[string]map[kit.Role]string, error) {
	out := make(map[string]map[kit.Role]string, len(ids))
	for _, id := range ids {
		out[id] = map[kit.Role]string{}
	}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []roleRow
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("incident IN (?)", bun.List(ids)).Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, db.MapError(err)
	}
	for _, r := range rows {
		out[r.Incident][r.Role] = r.Person
	}
	return out, nil
}

// save writes the incident under the next version.
func (s *Service) save(ctx context.Context, tx *db.Tx, i *Incident) error {
	i.Version++
	res, err := tx.NewUpdate().Model(toRow(i)).WherePK().Where("version = ?", i.Version-1).Exec(ctx)
	if err != nil {
		return db.MapError(err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return &kit.Error{Code: kit.CodeStale, Key: "error.stale", Err: err}
	}
	return nil
}

func (s *Service) setRole(ctx context.Context, tx *db.Tx, incident string, role kit.Role, person string) error {
	_, err := tx.NewInsert().Model(&roleRow{Incident: incident, Role: role, Person: person}).
		On("CONFLICT (incident, role) DO UPDATE").Set("person = EXCLUDED.person").Exec(ctx)
	return db.MapError(err)
}

// name puts a person on the list of those who may know of the incident.
func (s *Service) name(ctx context.Context, tx *db.Tx, incident, person, why string) error {
	if person == "" {
		return nil
	}
	_, err := tx.NewInsert().Model(&personRow{Incident: incident, Person: person, Why: why}).On("CONFLICT (incident, person) DO NOTHING").Exec(ctx)
	return db.MapError(err)
}

// sees tells whether the actor may know of a confidential incident (need-to-know).
func (s *Service) sees(ctx context.Context, i *Incident) (bool, error) {
	a := kit.ActorFrom(ctx)
	if !i.Confidential || a.IsSystem() {
		return true, nil
	}
	if a.Kind == kit.ActorToken {
		for _, sc := range a.Scopes {
			if sc == "incidents:confidential" {
				return true, nil
			}
		}
		return false, nil
	}
	if a.Appointed(kit.RoleCommander) || a.Appointed(kit.RoleManagement) || i.DeclaredBy == a.ID && a.IsPerson() {
		return true, nil
	}
	if !a.IsPerson() {
		return false, nil
	}
	for _, p := range i.Roles {
		if p == a.ID {
			return true, nil
		}
	}
	n, err := s.d.Read(ctx).NewSelect().Model((*personRow)(nil)).Where("incident = ? AND person = ?", i.ID, a.ID).Count(ctx)
	return n > 0, db.MapError(err)
}

// held lists the roles that the actor holds in the incident.
func held(ctx context.Context, i *Incident) []kit.Role {
	a := kit.ActorFrom(ctx)
	if !a.IsPerson() {
		return nil
	}
	var out []kit.Role
	for _, r := range []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications} {
		if i.Roles[r] == a.ID {
			out = append(out, r)
		}
	}
	return out
}

// needToKnow narrows a list to what the actor may know.
func needToKnow(ctx context.Context, q *bun.SelectQuery) *bun.SelectQuery {
	a := kit.ActorFrom(ctx)
	if a.IsSystem() || a.Appointed(kit.RoleCommander) || a.Appointed(kit.RoleManagement) {
		return q
	}
	if a.Kind == kit.ActorToken {
		for _, sc := range a.Scopes {
			if sc == "incidents:confidential" {
				return q
			}
		}
	}
	if !a.IsPerson() {
		return q.Where("NOT i.confidential")
	}
	return q.Where(`(NOT i.confidential OR i.declared_by = ?
		OR EXISTS (SELECT 1 FROM incident_role AS r WHERE r.incident = i.id AND r.person = ?)
		OR EXISTS (SELECT 1 FROM incident_person AS p WHERE p.incident = i.id AND p.person = ?))`, a.ID, a.ID, a.ID)
}
