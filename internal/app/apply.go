package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/orgfile"
)

// errDry ends the transaction of a trial.
var errDry = kit.Conflict("dry_run", "error.internal")

// Apply brings the installation to an organisation file, all or nothing.
func (a *App) Apply(ctx context.Context, data []byte, o kit.ApplyOptions) ([]kit.Change, error) {
	known, err := a.known(ctx)
	if err != nil {
		return nil, err
	}
	prune := o.Prune
	if prune {
		known = nil
	}
	f, err := orgfile.Parse(data, known...)
	if err != nil {
		return nil, err
	}
	if err := checkGateways(f.Channels); err != nil {
		return nil, err
	}
	zone, err := ports{a}.Zone(ctx)
	if err != nil {
		return nil, err
	}
	zone = f.Zone(zone)
	settings, err := f.Settings(zone)
	if err != nil {
		return nil, err
	}
	settings.Reason = o.Reason
	var changes []kit.Change
	err = a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		changes = nil
		add := func(c []kit.Change, err error) error {
			changes = append(changes, c...)
			return err
		}
		if err := add(a.Identity.Apply(ctx, tx, settings, prune)); err != nil {
			return err
		}
		if f.People != nil {
			if err := add(a.Notify.Apply(ctx, tx, methodsOf(f), prune)); err != nil {
				return err
			}
		}
		if f.Services != nil {
			defs, err := servicesOf(f)
			if err != nil {
				return err
			}
			if err := add(a.Continuity.Apply(ctx, tx, defs, prune)); err != nil {
				return err
			}
			a.Alert.NeedsChanged(tx)
		}
		if f.Schedules != nil || f.Policies != nil {
			if err := add(a.Oncall.Apply(ctx, tx, f.Schedules, f.Policies, prune)); err != nil {
				return err
			}
		}
		if f.Sources != nil {
			if err := add(a.Alert.Apply(ctx, tx, sourcesOf(f), prune)); err != nil {
				return err
			}
		}
		if f.Routes != nil {
			if err := add(a.Alert.ApplyRoutes(ctx, tx, routesOf(f), prune)); err != nil {
				return err
			}
		}
		if f.Silences != nil || f.Maintenance != nil {
			silences, windows := quietOf(f, zone)
			if err := add(a.Alert.ApplyQuiet(ctx, tx, silences, windows, prune)); err != nil {
				return err
			}
		}
		if prune && f.People != nil {
			// Last, so that nothing refers to them any more.
			if err := add(a.Identity.PrunePeople(ctx, tx, f.PeopleIDs())); err != nil {
				return err
			}
		}
		if o.DryRun {
			return errDry
		}
		sum := sha256.Sum256(data)
		return a.Identity.Applied(ctx, tx, hex.EncodeToString(sum[:]), changes)
	})
	if o.DryRun && errors.Is(err, errDry) {
		err = nil
	}
	return changes, err
}

// known is what a file may refer to without defining it: what is there already.
func (a *App) known(ctx context.Context) ([]orgfile.Known, error) {
	k := orgfile.Known{}
	names, err := a.Identity.Names(ctx)
	if err != nil {
		return nil, err
	}
	for id := range names {
		k["person"] = append(k["person"], id)
	}
	services, err := a.Continuity.Services(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		k["service"] = append(k["service"], s.ID)
	}
	schedules, err := a.Oncall.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range schedules {
		k["schedule"] = append(k["schedule"], s.ID)
	}
	policies, err := a.Oncall.Policies(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		k["policy"] = append(k["policy"], p.ID)
	}
	return []orgfile.Known{k}, nil
}

func methodsOf(f *orgfile.File) []notify.Definition {
	out := make([]notify.Definition, 0, len(f.People))
	for _, p := range f.People {
		d := notify.Definition{Person: p.ID}
		for _, m := range p.ContactMethods() {
			d.Methods = append(d.Methods, notify.Method{ID: m.ID, Kind: m.Kind, To: m.To})
		}
		for _, r := range p.Rules() {
			d.Notify = append(d.Notify, notify.Rule{After: time.Duration(r.After), Method: r.Method, Severities: r.Severities})
		}
		if p.QuietHours != nil {
			d.Quiet = &notify.QuietHours{From: p.QuietHours.From, To: p.QuietHours.To, Timezone: p.QuietHours.Timezone}
		}
		out = append(out, d)
	}
	return out
}

// servicesOf keeps what this build does not use yet, so that it can be written back.
func servicesOf(f *orgfile.File) ([]continuity.Definition, error) {
	out := make([]continuity.Definition, 0, len(f.Services))
	for _, s := range f.Services {
		raw, err := json.Marshal(s)
		if err != nil {
			return nil, kit.Internal(err)
		}
		rest := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &rest); err != nil {
			return nil, kit.Internal(err)
		}
		for _, used := range []string{"id", "name", "owner", "tier", "policy", "public", "data", "runbook"} {
			delete(rest, used)
		}
		if len(rest) == 0 {
			rest = nil
		}
		out = append(out, continuity.Definition{
			ID: s.ID, Name: s.Name, Owner: s.Owner, Tier: s.Tier, Policy: s.Policy, Public: s.Public, Data: s.Data, Runbook: s.Runbook, Rest: rest,
		})
	}
	return out, nil
}

func sourcesOf(f *orgfile.File) []alert.SourceDef {
	out := make([]alert.SourceDef, 0, len(f.Sources))
	for _, s := range f.Sources {
		d := alert.SourceDef{ID: s.ID, Kind: s.Kind, Service: s.Service, Key: s.Key, SourceSettings: alert.SourceSettings{Map: s.Map, SecretFile: s.SecretFile, Probe: s.Probe}}
		if s.Every != nil {
			d.Every = time.Duration(*s.Every)
		}
		if s.Grace != nil {
			d.Grace = time.Duration(*s.Grace)
		}
		for word, sev := range s.SeverityMap {
			if d.SeverityMap == nil {
				d.SeverityMap = map[string]alert.Severity{}
			}
			d.SeverityMap[word] = alert.Severity(sev)
		}
		if s.SilentAfter != nil {
			d.SilentAfter = time.Duration(*s.SilentAfter)
		}
		out = append(out, d)
	}
	return out
}

func routesOf(f *orgfile.File) []alert.Route {
	out := make([]alert.Route, 0, len(f.Routes))
	for _, r := range f.Routes {
		d := alert.Route{ID: r.ID, When: r.When, Then: alert.Then(r.Then), Severity: r.Severity, Kind: r.Kind, Policy: r.Policy, Group: r.Group, Reason: r.Reason}
		if r.Window != nil {
			w := time.Duration(*r.Window)
			d.Window = w
		}
		out = append(out, d)
	}
	return out
}

// quietOf gives what holds alerts back; a section that the file has not stays nil.
func quietOf(f *orgfile.File, zone *time.Location) (silences []alert.Silence, windows []alert.Maintenance) {
	if f.Silences != nil {
		silences = []alert.Silence{}
	}
	for _, x := range f.Silences {
		s := alert.Silence{Reason: x.Reason}
		s.From, s.Until = orgfile.Instant(x.From, zone, false), orgfile.Instant(x.To, zone, true)
		for _, m := range x.Matchers {
			p, _ := quiet.ParseMatcher(m)
			s.Matchers = append(s.Matchers, p)
		}
		silences = append(silences, s)
	}
	if f.Maintenance != nil {
		windows = []alert.Maintenance{}
	}
	for _, x := range f.Maintenance {
		w := alert.Maintenance{Reason: x.Reason, Public: x.Public}
		w.Services, w.From, w.Until = x.Services, orgfile.Instant(x.From, zone, false), orgfile.Instant(x.To, zone, true)
		windows = append(windows, w)
	}
	return silences, windows
}
