package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// SeeOrganisation is Organisation for the pages that edit it.
func (s *Service) SeeOrganisation(ctx context.Context) (Organisation, error) {
	if err := s.Require(ctx, "settings.see"); err != nil {
		return Organisation{}, err
	}
	return s.Organisation(ctx)
}

// SeeParameters is Parameters for the pages that edit them.
func (s *Service) SeeParameters(ctx context.Context) (Parameters, error) {
	if err := s.Require(ctx, "settings.see"); err != nil {
		return nil, err
	}
	return s.Parameters(ctx)
}

// Organisation gives the organisation; zero before the set-up. It asks for no
// right: for other modules.
func (s *Service) Organisation(ctx context.Context) (Organisation, error) {
	r, err := s.row(ctx)
	if err != nil {
		return Organisation{}, err
	}
	var o Organisation
	err = json.Unmarshal([]byte(r.settings), &o)
	o.Version = r.version
	return o, db.MapError(err)
}

// ChangeOrganisation replaces the organisation; o.Version 0 takes any.
func (s *Service) ChangeOrganisation(ctx context.Context, o Organisation) error {
	if err := s.Require(ctx, "settings.edit"); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		changed, text, err := s.setOrganisation(ctx, tx, o)
		if err != nil || !changed {
			return err
		}
		return fact(ctx, tx, "organisation", "organisation", SettingsApplied{Digest: digest(text), Changed: []string{"organisation"}})
	})
}

func checkOrganisation(o *Organisation) error {
	var f kit.Fields
	if o.Name == "" {
		f.Add("organisation.name", "identity.error.value")
	}
	if len(o.Country) != 2 {
		f.Add("organisation.country", "identity.error.value")
	}
	if _, err := time.LoadLocation(o.Timezone); err != nil || o.Timezone == "" || o.Timezone == "Local" {
		f.Add("organisation.timezone", "identity.error.value")
	}
	for _, l := range o.Languages {
		if l != "fr" && l != "en" {
			f.Add("organisation.languages", "identity.error.value")
		}
	}
	if len(o.Languages) == 0 {
		o.Languages = []string{"en"}
	}
	if o.Currency == "" {
		o.Currency = "EUR"
	}
	for i, h := range o.Holidays {
		if _, err := time.Parse(time.DateOnly, h.Date); err != nil {
			f.Add(fmt.Sprintf("organisation.holidays[%d].date", i), "identity.error.value")
		}
	}
	if len(o.Currency) != 3 {
		f.Add("organisation.currency", "identity.error.value")
	}
	return f.Err()
}

func (s *Service) setOrganisation(ctx context.Context, tx *db.Tx, o Organisation) (changed bool, text string, err error) {
	if err := checkOrganisation(&o); err != nil {
		return false, "", err
	}
	r, err := s.lockRow(ctx, tx)
	if err != nil {
		return false, "", err
	}
	if o.Version != 0 && o.Version != r.version {
		return false, "", kit.Errorf(kit.CodeStale, "identity.error.stale")
	}
	b, _ := json.Marshal(o)
	if string(b) == r.settings {
		return false, r.settings, nil
	}
	r.settings = string(b)
	return true, r.settings, saveRow(ctx, tx, r)
}

// lockRow gives the organisation's row, locked until the end of the transaction.
func (s *Service) lockRow(ctx context.Context, tx *db.Tx) (row, error) {
	var ids []int
	if err := tx.ForUpdate(tx.NewSelect().Table("organisation").Column("id")).Scan(ctx, &ids); err != nil {
		return row{}, db.MapError(err)
	}
	return s.row(ctx)
}

// Kept gives the sections of the file whose module is not in this build.
func (s *Service) Kept(ctx context.Context) (map[string]json.RawMessage, error) {
	r, err := s.row(ctx)
	if err != nil {
		return nil, err
	}
	m := map[string]json.RawMessage{}
	return m, db.MapError(json.Unmarshal([]byte(r.kept), &m))
}

// Levels gives what differs from the default response levels, as JSON.
func (s *Service) Levels(ctx context.Context) (json.RawMessage, error) {
	r, err := s.row(ctx)
	return json.RawMessage(r.levels), err
}
