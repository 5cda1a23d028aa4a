package app

import (
	"context"
	"encoding/json"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
	"tocsin/internal/orgfile"
)

// Export writes the organisation file of the installation. Keys of sources are
// stored hashed and are not in it.
func (a *App) Export(ctx context.Context) ([]byte, error) {
	if err := a.Identity.Require(ctx, "export.make"); err != nil {
		return nil, err
	}
	f := &orgfile.File{}
	org, err := a.Identity.Organisation(ctx)
	if err != nil {
		return nil, err
	}
	people, err := a.Identity.People(ctx, identity.Filter{})
	if err != nil {
		return nil, err
	}
	teams, err := a.Identity.Teams(ctx)
	if err != nil {
		return nil, err
	}
	roles, err := a.Identity.Appointments(ctx)
	if err != nil {
		return nil, err
	}
	levels, err := a.Identity.Levels(ctx)
	if err != nil {
		return nil, err
	}
	parameters, err := a.Identity.Parameters(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := a.Identity.Kept(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.Fill(identity.Settings{Organisation: &org, People: people, Teams: teams, Roles: roles, Levels: levels, Parameters: parameters, Kept: kept}); err != nil {
		return nil, err
	}
	services, err := a.Continuity.Services(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range services {
		raw, err := json.Marshal(d)
		if err != nil {
			return nil, kit.Internal(err)
		}
		var s orgfile.Service
		for _, part := range append([]json.RawMessage{raw}, rest(d.Rest)) {
			if err := json.Unmarshal(part, &s); err != nil {
				return nil, kit.Internal(err)
			}
		}
		f.Services = append(f.Services, s)
	}
	if f.Schedules, err = a.Oncall.Schedules(ctx); err != nil {
		return nil, err
	}
	policies, err := a.Oncall.Policies(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		if p.Version > 0 {
			f.Policies = append(f.Policies, p)
		}
	}
	sources, err := a.Alert.Sources(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if s.Kind == "builtin" {
			continue // the product's own, which no file names
		}
		out := orgfile.Source{ID: s.ID, Kind: s.Kind, Service: s.Service, Map: s.Map, SecretFile: s.SecretFile, Probe: s.Probe}
		for word, sev := range s.SeverityMap {
			if out.SeverityMap == nil {
				out.SeverityMap = map[string]string{}
			}
			out.SeverityMap[word] = string(sev)
		}
		for to, d := range map[**oncall.Duration]time.Duration{&out.Every: s.Every, &out.Grace: s.Grace} {
			if d > 0 {
				v := oncall.Duration(d)
				*to = &v
			}
		}
		if s.SilentAfter > 0 {
			d := oncall.Duration(s.SilentAfter)
			out.SilentAfter = &d
		}
		f.Sources = append(f.Sources, out)
	}
	routes, _, err := a.Alert.Routes(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		out := orgfile.Route{ID: r.ID, When: r.When, Then: string(r.Then), Severity: r.Severity, Kind: r.Kind, Policy: r.Policy, Group: r.Group, Reason: r.Reason}
		if r.Window > 0 {
			d := oncall.Duration(r.Window)
			out.Window = &d
		}
		f.Routes = append(f.Routes, out)
	}
	methods, err := a.Notify.Export(ctx, f.PeopleIDs())
	if err != nil {
		return nil, err
	}
	for n := range f.People {
		d, ok := methods[f.People[n].ID]
		if !ok {
			continue
		}
		for _, m := range d.Methods {
			f.People[n].Methods = append(f.People[n].Methods, orgfile.Method{ID: m.ID, Kind: m.Kind, To: m.To})
		}
		for _, r := range d.Notify {
			f.People[n].Notify = append(f.People[n].Notify, orgfile.Rule{After: oncall.Duration(r.After), Method: r.Method, Severities: r.Severities})
		}
		if d.Quiet != nil {
			f.People[n].QuietHours = &orgfile.QuietHours{From: d.Quiet.From, To: d.Quiet.To, Timezone: d.Quiet.Timezone}
		}
	}
	return orgfile.Export(f)
}

func rest(m map[string]json.RawMessage) json.RawMessage {
	raw, err := json.Marshal(m)
	if err != nil || m == nil {
		return json.RawMessage("{}")
	}
	return raw
}
