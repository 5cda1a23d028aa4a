// Package continuity keeps what the company runs: its services, with owner,
// declared importance and what the organisation file says of their recovery.
package continuity

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Definition is a service as the organisation file writes it. What this program
// does not use yet is kept whole in Rest.
type Definition struct {
	ID   string   `json:"id" yaml:"id"`
	Name kit.Text `json:"name" yaml:"name"`
	// Owner is a person; Tier the declared importance: critical, important, normal.
	Owner  string `json:"owner,omitempty" yaml:"owner"`
	Tier   string `json:"tier,omitempty" yaml:"tier"`
	Policy string `json:"policy,omitempty" yaml:"policy"`
	// Public services stand on the status page.
	Public bool     `json:"public,omitempty" yaml:"public"`
	Data   []string `json:"data,omitempty" yaml:"data"`
	// Runbook is an address or Markdown.
	Runbook string `json:"runbook,omitempty" yaml:"runbook"`
	// Rest holds objectives, recovery, needs, redundancy and attributes.
	Rest map[string]json.RawMessage `json:"rest,omitempty" yaml:"-"`
}

// Title is the name in a language, else the id.
func (d Definition) Title(lang string) string {
	if s := d.Name.In(lang); s != "" {
		return s
	}
	return d.ID
}

// ServiceChanged is a new version of a service's definition.
type ServiceChanged struct {
	Version int64    `json:"version"`
	Op      string   `json:"op"`
	Fields  []string `json:"fields"`
}

// FactType implements ledger.Body.
func (ServiceChanged) FactType() string { return "service.changed" }

// Rights says who may what.
type Rights interface {
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}

// Service is the use cases of the registry of services.
type Service struct {
	d      *db.DB
	rights Rights
}

// New makes the service.
func New(d *db.DB, rights Rights) *Service { return &Service{d: d, rights: rights} }

type row struct {
	bun.BaseModel `bun:"table:service,alias:s"`

	ID         string `bun:"id,pk"`
	Version    int64  `bun:"version"`
	Definition string `bun:"definition"`
	Retired    bool   `bun:"retired"`
}

func (r *row) definition() (Definition, error) {
	var d Definition
	if err := json.Unmarshal([]byte(r.Definition), &d); err != nil {
		return d, kit.Internal(err)
	}
	return d, nil
}

func (s *Service) rows(ctx context.Context) ([]row, error) {
	var rows []row
	err := s.d.Read(ctx).NewSelect().Model(&rows).Where("NOT s.retired").OrderExpr("s.id").Scan(ctx)
	return rows, db.MapError(err)
}

// Services lists the services.
func (s *Service) Services(ctx context.Context) ([]Definition, error) {
	if err := s.rights.Require(ctx, "service.see"); err != nil {
		return nil, err
	}
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Definition, len(rows))
	for n := range rows {
		if out[n], err = rows[n].definition(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Find gives one service; ok is false when there is none. It asks for no right:
// other modules look services up by their id.
func (s *Service) Find(ctx context.Context, id string) (d Definition, ok bool, err error) {
	type key struct{ id string }
	all, err := db.Memo(ctx, s.d, key{id}, func() ([]Definition, error) {
		var rows []row
		if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("s.id = ? AND NOT s.retired", id).Scan(ctx); err != nil {
			return nil, db.MapError(err)
		}
		if len(rows) == 0 {
			return nil, nil
		}
		d, err := rows[0].definition()
		return []Definition{d}, err
	})
	if err != nil || len(all) == 0 {
		return d, false, err
	}
	return all[0], true, nil
}

// HardNeeds gives, for each service, those that it cannot be without. A need of some
// out of several is none of these: another may stand in. It asks for no right.
func (s *Service) HardNeeds(ctx context.Context) (map[string][]string, error) {
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for n := range rows {
		d, err := rows[n].definition()
		if err != nil {
			return nil, err
		}
		raw, ok := d.Rest["needs"]
		if !ok {
			continue
		}
		var needs []struct {
			Service string `json:"service"`
			Kind    string `json:"kind"`
		}
		if err := json.Unmarshal(raw, &needs); err != nil {
			return nil, kit.Internal(err)
		}
		for _, x := range needs {
			if x.Service != "" && (x.Kind == "" || x.Kind == "hard") {
				out[d.ID] = append(out[d.ID], x.Service)
			}
		}
	}
	return out, nil
}

// Check gives what is wrong with a definition.
func Check(d Definition) error {
	var bad kit.Fields
	if !kit.IsSlug(d.ID) {
		bad.Add("id", "error.bad_value", "value", d.ID)
	}
	if d.Tier != "" && !slices.Contains([]string{"critical", "important", "normal"}, d.Tier) {
		bad.Add("tier", "continuity.error.tier", "value", d.Tier)
	}
	for _, k := range d.Data {
		if !slices.Contains([]string{"personal", "customer", "credentials", "financial", "health", "internal"}, k) {
			bad.Add("data", "continuity.error.data", "value", k)
		}
	}
	return bad.Err()
}

// Apply brings the registry to what the organisation file says. With prune, what
// left the file is retired; its history stays.
func (s *Service) Apply(ctx context.Context, _ *db.Tx, defs []Definition, prune bool) ([]kit.Change, error) {
	if err := s.rights.Require(ctx, "service.edit"); err != nil {
		return nil, err
	}
	var changes []kit.Change
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var all []row
		if err := tx.ForUpdate(tx.NewSelect().Model(&all)).Scan(ctx); err != nil {
			return db.MapError(err)
		}
		have := map[string]row{}
		for _, r := range all {
			have[r.ID] = r
		}
		seen := map[string]bool{}
		for _, d := range defs {
			if err := Check(d); err != nil {
				return err
			}
			seen[d.ID] = true
			raw, err := json.Marshal(d)
			if err != nil {
				return kit.Internal(err)
			}
			old, known := have[d.ID]
			switch {
			case known && !old.Retired && old.Definition == string(raw):
				changes = append(changes, kit.Change{Section: "services", ID: d.ID, Op: "keep"})
				continue
			case known:
				was, err := old.definition()
				if err != nil {
					return err
				}
				fields := differ(was, d)
				changes = append(changes, kit.Change{Section: "services", ID: d.ID, Op: "change", Detail: strings.Join(fields, ", ")})
				if err := s.put(ctx, tx, row{ID: d.ID, Version: old.Version + 1, Definition: string(raw)}, "change", fields); err != nil {
					return err
				}
			default:
				changes = append(changes, kit.Change{Section: "services", ID: d.ID, Op: "create"})
				if err := s.put(ctx, tx, row{ID: d.ID, Version: 1, Definition: string(raw)}, "create", []string{}); err != nil {
					return err
				}
			}
		}
		for _, r := range all {
			if prune && !seen[r.ID] && !r.Retired {
				changes = append(changes, kit.Change{Section: "services", ID: r.ID, Op: "remove"})
				r.Retired, r.Version = true, r.Version+1
				if err := s.put(ctx, tx, r, "retire", []string{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return changes, err
}

func (s *Service) put(ctx context.Context, tx *db.Tx, r row, op string, fields []string) error {
	_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").
		Set("version = EXCLUDED.version, definition = EXCLUDED.definition, retired = EXCLUDED.retired").Exec(ctx)
	if err != nil {
		return db.MapError(err)
	}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "service", ID: r.ID}, Body: ServiceChanged{Version: r.Version, Op: op, Fields: fields}})
}

// differ names the fields in which two definitions differ.
func differ(a, b Definition) []string {
	fields := func(d Definition) map[string]json.RawMessage {
		raw, _ := json.Marshal(d)
		out := map[string]json.RawMessage{}
		_ = json.Unmarshal(raw, &out)
		return out
	}
	x, y := fields(a), fields(b)
	out := []string{}
	for k := range x {
		if string(x[k]) != string(y[k]) {
			out = append(out, k)
		}
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
