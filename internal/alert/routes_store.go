package alert

import (
	"context"
	"encoding/json"
	"fmt"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

func (s *Service) readRoutes(ctx context.Context) (int64, []Route, error) {
	var row struct {
		Version int64  `bun:"version"`
		Routes  string `bun:"routes"`
	}
	if err := s.db.Read(ctx).NewSelect().Table("alert_routes").Column("version", "routes").Where("one = 1").Scan(ctx, &row); err != nil {
		return 0, nil, db.MapError(err)
	}
	var routes []Route
	if err := json.Unmarshal([]byte(row.Routes), &routes); err != nil {
		return 0, nil, kit.Internal(fmt.Errorf("routes: %w", err))
	}
	return row.Version, routes, nil
}

// Routes gives the rules in their order, and the version that SetRoutes asks for.
// After the last one stands, unwritten, the default: an incident.
func (s *Service) Routes(ctx context.Context) ([]Route, int64, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, 0, err
	}
	v, r, err := s.readRoutes(ctx)
	return r, v, err
}

// CheckRoutes tells what is wrong with rules, with line and column of an
// expression, without saving them.
func (s *Service) CheckRoutes(routes []Route) error {
	_, err := compileRoutes(0, routes)
	return err
}

// TryRoutes gives the decision that the saved rules would take on a signal.
func (s *Service) TryRoutes(ctx context.Context, sig Signal) (Decision, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return Decision{}, err
	}
	v, routes, err := s.readRoutes(ctx)
	if err != nil {
		return Decision{}, err
	}
	set, err := compileRoutes(v, routes)
	if err != nil {
		return Decision{}, err
	}
	return set.decide(&sig, s.cache.of(sig.Source).Kind, s.log), nil
}

// SetRoutes saves the rules. Version 0 replaces whatever is there; another must
// be the present one.
func (s *Service) SetRoutes(ctx context.Context, routes []Route, version int64) error {
	if err := s.rights.Require(ctx, "route.edit"); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := s.saveRoutes(ctx, tx, routes, version)
		return err
	})
}

// ApplyRoutes is SetRoutes for the organisation file, in the caller's
// transaction. The rules are one ordered list: a file that has any replaces all;
// a file that has none changes nothing, unless prune is set.
func (s *Service) ApplyRoutes(ctx context.Context, tx *db.Tx, routes []Route, prune bool) ([]kit.Change, error) {
	if err := s.rights.Require(ctx, "route.edit"); err != nil {
		return nil, err
	}
	if len(routes) == 0 && !prune {
		return nil, nil
	}
	changes, err := s.saveRoutes(ctx, tx, routes, 0)
	if err != nil {
		return nil, err
	}
	c := kit.Change{Section: "routes", Op: "keep"}
	for _, ch := range changes {
		c.Op, c.Detail = "change", join(c.Detail, ch.Path)
	}
	return []kit.Change{c}, nil
}

func (s *Service) saveRoutes(ctx context.Context, tx *db.Tx, routes []Route, version int64) ([]FieldChange, error) {
	v, old, err := s.readRoutes(ctx)
	if err != nil {
		return nil, err
	}
	if version != 0 && version != v {
		return nil, kit.Errorf(kit.CodeStale, "error.stale")
	}
	set, err := compileRoutes(v+1, routes)
	if err != nil {
		return nil, err
	}
	full := make([]Route, len(set.list))
	for i := range set.list {
		full[i] = set.list[i].Route
	}
	changes := routeChanges(old, full)
	if len(changes) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(full)
	if err != nil {
		return nil, kit.Internal(err)
	}
	res, err := tx.NewUpdate().Table("alert_routes").Set("routes = ?", string(raw)).Set("version = ?", v+1).Where("one = 1 AND version = ?", v).Exec(ctx)
	if err != nil {
		return nil, db.MapError(err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return nil, kit.Errorf(kit.CodeStale, "error.stale")
	}
	s.refresh(tx)
	return changes, ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "routes", ID: "routes"}, Body: RoutesChanged{Version: v + 1, Changes: changes},
	})
}

func routeChanges(a, b []Route) []FieldChange {
	text := func(l []Route, i int) string {
		if i >= len(l) {
			return ""
		}
		raw, _ := json.Marshal(l[i])
		return string(raw)
	}
	var c []FieldChange
	for i := range max(len(a), len(b)) {
		if from, to := text(a, i), text(b, i); from != to {
			c = append(c, FieldChange{Path: fmt.Sprintf("routes[%d]", i), From: from, To: to})
		}
	}
	return c
}
