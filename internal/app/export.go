package app

import (
	"context"
	"encoding/json"
	"slices"
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
	if err := a.exportQuiet(ctx, f); err != nil {
		return nil, err
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

// exportQuiet writes what holds alerts back and has not ended, without the silences
// that senders made for themselves.
func (a *App) exportQuiet(ctx context.Context, f *orgfile.File) error {
	silences, err := a.Alert.Silences(ctx)
	if err != nil {
		return err
	}
	now := a.db.Now()
	for _, x := range slices.Backward(silences) {
		if x.Scope != "" || x.State(now) == "expired" {
			continue
		}
		s := orgfile.Silence{From: x.From.Format(time.RFC3339Nano), To: x.Until.Format(time.RFC3339Nano), Reason: x.Reason}
		for _, m := range x.Matchers {
			s.Matchers = append(s.Matchers, m.String())
		}
		f.Silences = append(f.Silences, s)
	}
	windows, err := a.Alert.Maintenances(ctx)
	if err != nil {
		return err
	}
	known := func(service string) bool {
		return slices.ContainsFunc(f.Services, func(s orgfile.Service) bool { return s.ID == service })
	}
	for _, x := range windows {
		// Work on a service that was retired meanwhile is nothing that a file can say.
		if x.State != "ended" && x.Until.After(now) && !slices.ContainsFunc(x.Services, func(s string) bool { return !known(s) }) {
			f.Maintenance = append(f.Maintenance, orgfile.Maintenance{
				Services: x.Services, From: x.From.Format(time.RFC3339Nano), To: x.Until.Format(time.RFC3339Nano), Reason: x.Reason, Public: x.Public,
			})
		}
	}
	return nil
}
