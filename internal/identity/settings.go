package identity

import (
	"context"
	"encoding/json"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Organisation gives the organisation; zero before the set-up.
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
	if err := f.Err(); err != nil {
		return err
	}
	if len(o.Languages) == 0 {
		o.Languages = []string{"en"}
	}
	if o.Currency == "" {
		o.Currency = "EUR"
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		r, err := s.row(ctx)
		if err != nil {
			return err
		}
		if o.Version != 0 && o.Version != r.version {
			return kit.Errorf(kit.CodeStale, "identity.error.stale")
		}
		b, _ := json.Marshal(o)
		if string(b) == r.settings {
			return nil
		}
		r.settings = string(b)
		if err := saveRow(ctx, tx, r); err != nil {
			return err
		}
		return fact(ctx, tx, "organisation", "organisation", SettingsApplied{Digest: digest(r.settings), Changed: []string{"organisation"}})
	})
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
