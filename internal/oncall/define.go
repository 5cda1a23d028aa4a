package oncall

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Limits of definitions.
const (
	maxRotations = 50
	maxPeople    = 200
	maxOverrides = 1000
	maxSteps     = 50
	maxTargets   = 50
	maxRounds    = 9
	maxName      = 200
	maxWhen      = 1000
)

func index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// SaveSchedule makes or replaces a schedule and gives it with its new version. A
// Version that is not zero must be the present one.
func (s *Service) SaveSchedule(ctx context.Context, in Schedule) (Schedule, error) {
	if err := s.p.Rights.Require(ctx, "schedule.edit"); err != nil {
		return Schedule{}, err
	}
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var bad kit.Fields
		if err := s.checkSchedule(ctx, &in, "", &bad); err != nil {
			return err
		}
		if err := bad.Err(); err != nil {
			return err
		}
		_, _, err := s.saveSchedule(ctx, tx, &in)
		return err
	})
	return in, err
}

// SavePolicy makes or replaces a policy and gives it with its new version. A
// Version that is not zero must be the present one. A policy by which nobody can
// be reached is an error.
func (s *Service) SavePolicy(ctx context.Context, in Policy) (Policy, error) {
	if err := s.p.Rights.Require(ctx, "policy.edit"); err != nil {
		return Policy{}, err
	}
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		r, err := s.rosterAt(ctx, tx.Now())
		if err != nil {
			return err
		}
		var bad kit.Fields
		if err := s.checkPolicy(ctx, &in, "", &bad, r); err != nil {
			return err
		}
		if err := bad.Err(); err != nil {
			return err
		}
		_, _, err = s.savePolicy(ctx, tx, &in)
		return err
	})
	return in, err
}

// Apply brings schedules and policies to what the organisation file says; with
// prune, what left the file is retired; a nil list is not in the file and stays as
// it is. People, teams, roles and contact methods
// must be applied before. Wrong fields are named as schedules[0].… and policies[0].….
func (s *Service) Apply(ctx context.Context, tx *db.Tx, schedules []Schedule, policies []Policy, prune bool) ([]kit.Change, error) {
	a := applying{s: s, tx: tx}
	if err := a.schedules(ctx, schedules, prune && schedules != nil); err != nil {
		return nil, err
	}
	if err := a.policies(ctx, policies, prune && policies != nil); err != nil {
		return nil, err
	}
	return a.out, nil
}

type applying struct {
	s   *Service
	tx  *db.Tx
	out []kit.Change
}

func (a *applying) note(ctx context.Context, use kit.Use, section, id, op string, lines []ChangeLine) error {
	if op == "keep" {
		return nil
	}
	if err := a.s.p.Rights.Require(ctx, use); err != nil {
		return err
	}
	var fields []string
	if op == "change" {
		for _, l := range lines {
			fields = append(fields, l.Path)
		}
	}
	a.out = append(a.out, kit.Change{Section: section, ID: id, Op: op, Detail: strings.Join(fields, ", ")})
	return nil
}

func (a *applying) schedules(ctx context.Context, in []Schedule, prune bool) error {
	var bad kit.Fields
	keep := map[string]bool{}
	list := slices.Clone(in)
	for i := range list {
		path := index("schedules", i) + "."
		if keep[list[i].ID] {
			bad.Add(path+"id", "oncall.error.twice", "id", list[i].ID)
		}
		keep[list[i].ID] = true
		if err := a.s.checkSchedule(ctx, &list[i], path, &bad); err != nil {
			return err
		}
	}
	if err := bad.Err(); err != nil {
		return err
	}
	for i := range list {
		list[i].Version = 0
		op, lines, err := a.s.saveSchedule(ctx, a.tx, &list[i])
		if err == nil {
			err = a.note(ctx, "schedule.edit", "schedules", list[i].ID, op, lines)
		}
		if err != nil {
			return err
		}
	}
	if !prune {
		return nil
	}
	have, err := a.s.schedulesAt(ctx, a.tx.Now())
	if err != nil {
		return err
	}
	for _, sc := range have {
		if keep[sc.ID] {
			continue
		}
		if err := a.note(ctx, "schedule.edit", "schedules", sc.ID, "remove", nil); err != nil {
			return err
		}
		if _, err := a.tx.Exec(ctx, `UPDATE oncall_schedule SET retired_at = $1 WHERE id = $2`, kit.Micros(a.tx.Now()), sc.ID); err != nil {
			return db.MapError(err)
		}
		if err := defined(ctx, a.tx, "schedule", sc.ID, ScheduleChanged{Version: sc.Version, Changes: retired}); err != nil {
			return err
		}
	}
	return nil
}

var retired = []ChangeLine{{Path: "retired", From: false, To: true}}

func (a *applying) policies(ctx context.Context, in []Policy, prune bool) error {
	r, err := a.s.rosterAt(ctx, a.tx.Now())
	if err != nil {
		return err
	}
	var bad kit.Fields
	keep := map[string]bool{}
	list := slices.Clone(in)
	for i := range list {
		path := index("policies", i) + "."
		if keep[list[i].ID] {
			bad.Add(path+"id", "oncall.error.twice", "id", list[i].ID)
		}
		keep[list[i].ID] = true
		if err := a.s.checkPolicy(ctx, &list[i], path, &bad, r); err != nil {
			return err
		}
	}
	if err := bad.Err(); err != nil {
		return err
	}
	for i := range list {
		list[i].Version = 0
		op, lines, err := a.s.savePolicy(ctx, a.tx, &list[i])
		if err == nil {
			err = a.note(ctx, "policy.edit", "policies", list[i].ID, op, lines)
		}
		if err != nil {
			return err
		}
	}
	if !prune {
		return nil
	}
	have, err := a.s.policies(ctx)
	if err != nil {
		return err
	}
	for _, p := range have {
		if keep[p.ID] || p.BuiltIn {
			continue
		}
		if err := a.note(ctx, "policy.edit", "policies", p.ID, "remove", nil); err != nil {
			return err
		}
		if _, err := a.tx.Exec(ctx, `UPDATE oncall_policy SET retired_at = $1 WHERE id = $2`, kit.Micros(a.tx.Now()), p.ID); err != nil {
			return db.MapError(err)
		}
		if err := defined(ctx, a.tx, "policy", p.ID, PolicyChanged{Version: p.Version, Changes: retired}); err != nil {
			return err
		}
	}
	return nil
}

// checkSchedule fills defaults in and notes what is wrong.
func (s *Service) checkSchedule(ctx context.Context, sc *Schedule, path string, bad *kit.Fields) error {
	if !kit.IsSlug(sc.ID) {
		bad.Add(path+"id", "oncall.error.slug")
	}
	checkName(&sc.Name, path, bad)
	switch sc.Duty {
	case "":
		sc.Duty = "other"
		if sc.ID == "primary" || sc.ID == "secondary" {
			sc.Duty = sc.ID
		}
	case "primary", "secondary", "other":
	default:
		bad.Add(path+"duty", "oncall.error.duty", "value", sc.Duty)
	}
	if len(sc.Rotations) == 0 {
		bad.Add(path+"rotations", "error.required")
	}
	if len(sc.Rotations) > maxRotations {
		bad.Add(path+"rotations", "oncall.error.too_many", "max", maxRotations)
	}
	if len(sc.Overrides) > maxOverrides {
		bad.Add(path+"overrides", "oncall.error.too_many", "max", maxOverrides)
	}
	zone := sc.Timezone
	if zone == "" {
		var err error
		if zone, err = s.p.People.Zone(ctx); err != nil {
			return err
		}
	}
	if _, err := compileSchedule(*sc, zone); err != nil {
		for _, f := range kit.AsError(err).Fields {
			f.Path = path + f.Path
			*bad = append(*bad, f)
		}
	}
	who := map[string]string{}
	for i, r := range sc.Rotations {
		if len(r.People) > maxPeople {
			bad.Add(path+index("rotations", i)+".people", "oncall.error.too_many", "max", maxPeople)
			return nil
		}
		for j, p := range r.People {
			who[path+index(index("rotations", i)+".people", j)] = p
		}
	}
	for i, o := range sc.Overrides {
		who[path+index("overrides", i)+".person"] = o.Person
	}
	return s.checkPeople(ctx, who, bad)
}

// checkPeople notes the paths that name nobody who could be on duty.
func (s *Service) checkPeople(ctx context.Context, who map[string]string, bad *kit.Fields) error {
	ids := slices.Compact(slices.Sorted(maps.Values(who)))
	if len(ids) == 0 {
		return nil
	}
	states, err := s.p.People.States(ctx, ids, s.d.Now())
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(who)) {
		if st, ok := states[who[path]]; !ok || st.Suspended {
			bad.Add(path, "oncall.error.person", "id", who[path])
		}
	}
	return nil
}

func checkName(name *kit.Text, path string, bad *kit.Fields) {
	for _, t := range []*string{&name.FR, &name.EN} {
		out, err := text.Clean(path+"name", *t, maxName, false)
		if err != nil {
			*bad = append(*bad, kit.AsError(err).Fields...)
			return
		}
		*t = out
	}
}

// checkPolicy notes what is wrong with a policy.
func (s *Service) checkPolicy(ctx context.Context, p *Policy, path string, bad *kit.Fields, r *roster) error {
	before := len(*bad)
	if !kit.IsSlug(p.ID) {
		bad.Add(path+"id", "oncall.error.slug")
	}
	if len(p.Steps) == 0 {
		bad.Add(path+"steps", "error.required")
	}
	if len(p.Steps) > maxSteps {
		bad.Add(path+"steps", "oncall.error.too_many", "max", maxSteps)
		return nil
	}
	if p.Repeat < 0 || p.Repeat > maxRounds {
		bad.Add(path+"repeat", "oncall.error.repeat", "max", maxRounds)
	}
	for i, st := range p.Steps {
		at := path + index("steps", i)
		if i > 0 && st.After < p.Steps[i-1].After {
			bad.Add(at+".after", "oncall.error.after")
		}
		if len(st.Page) == 0 {
			bad.Add(at+".page", "error.required")
		}
		if len(st.Page) > maxTargets {
			bad.Add(at+".page", "oncall.error.too_many", "max", maxTargets)
			continue
		}
		for j, t := range st.Page {
			if err := s.checkTarget(ctx, t, index(at+".page", j), bad, func(id string) bool { return r.find(id) != nil }); err != nil {
				return err
			}
		}
		if st.When != "" {
			if len(st.When) > maxWhen {
				bad.Add(at+".when", "error.too_long", "max", maxWhen)
			} else if _, err := compileWhen(st.When); err != nil {
				bad.Add(at+".when", "oncall.error.when", "error", err.Error())
			}
		}
	}
	if h := p.ServiceHours; h != nil {
		zone, err := s.zoneFor(ctx, h)
		if err != nil {
			return err
		}
		if zone == "" {
			zone = h.Timezone
		}
		if _, _, err := compileHours(h, zone); err != nil {
			for _, f := range kit.AsError(err).Fields {
				f.Path = path + f.Path
				*bad = append(*bad, f)
			}
		}
	}
	if len(*bad) > before {
		return nil
	}
	return s.checkReaches(ctx, p, path, bad, r)
}

// checkReaches notes a policy by which nobody could ever be reached.
func (s *Service) checkReaches(ctx context.Context, p *Policy, path string, bad *kit.Fields, r *roster) error {
	people, skipped, _, err := r.resolve(ctx, &Frozen{Steps: p.Steps}, Rung{Kind: KindEveryone}, s.d.Now())
	if err != nil || len(people) > 0 {
		return err
	}
	for _, sk := range skipped {
		if sk.Reason == SkipOnLeave || sk.Target == "role:owner" {
			return nil
		}
	}
	bad.Add(path+"steps", "oncall.error.reaches_nobody", "id", p.ID)
	return nil
}

func (s *Service) checkTarget(ctx context.Context, target, path string, bad *kit.Fields, schedule func(string) bool) error {
	kind, id, ok := strings.Cut(target, ":")
	known := false
	switch kind {
	case "schedule":
		// Primary and secondary may be written before they exist: nobody is on duty then.
		known = schedule(id) || id == "primary" || id == "secondary"
	case "role":
		known = slices.Contains([]string{"commander", "primary", "secondary", "communications", "management", "owner"}, id)
	case "person":
		states, err := s.p.People.States(ctx, []string{id}, s.d.Now())
		if err != nil {
			return err
		}
		st, there := states[id]
		known = there && !st.Suspended
	case "team":
		var err error
		if _, known, err = s.p.People.Team(ctx, id); err != nil {
			return err
		}
	case "channel":
		known = kit.IsSlug(id)
	default:
		ok = false
	}
	switch {
	case !ok:
		bad.Add(path, "oncall.error.target", "value", target)
	case !known:
		bad.Add(path, "oncall.error.target_unknown", "value", target)
	}
	return nil
}

func (s *Service) saveSchedule(ctx context.Context, tx *db.Tx, sc *Schedule) (op string, lines []ChangeLine, err error) {
	var head scheduleRow
	err = tx.ForUpdate(tx.NewSelect().Model(&head).Where("s.id = ?", sc.ID)).Scan(ctx)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return "", nil, db.MapError(err)
	}
	if sc.Version != 0 && sc.Version != head.Version {
		return "", nil, kit.Errorf(kit.CodeStale, "error.stale")
	}
	raw, err := json.Marshal(sc)
	if err != nil {
		return "", nil, kit.Internal(err)
	}
	v := versionRow{ScheduleID: sc.ID, Version: head.Version + 1, Definition: string(raw)}
	op = "create"
	if fresh {
		head = scheduleRow{ID: sc.ID, Duty: sc.Duty, Version: 1}
		if _, err = tx.NewInsert().Model(&head).Exec(ctx); err != nil {
			return "", nil, db.MapError(err)
		}
		lines, err = difference("{}", v.Definition)
	} else {
		var old versionRow
		if err = tx.NewSelect().Model(&old).Where("v.schedule_id = ? AND v.version = ?", sc.ID, head.Version).Scan(ctx); err != nil {
			return "", nil, db.MapError(err)
		}
		lines, err = difference(old.Definition, v.Definition)
		if err == nil && len(lines) == 0 && head.RetiredAt == 0 {
			sc.Version = head.Version
			return "keep", nil, nil
		}
		op = "change"
		if head.RetiredAt != 0 {
			op = "create"
			lines = append(lines, ChangeLine{Path: "retired", From: true, To: false})
		}
		v.ValidFrom = kit.Micros(tx.Now())
		head.Duty, head.Version, head.RetiredAt = sc.Duty, v.Version, 0
		if err == nil {
			_, err = tx.NewUpdate().Model(&head).WherePK().Exec(ctx)
		}
	}
	if err == nil {
		_, err = tx.NewInsert().Model(&v).Exec(ctx)
	}
	if err != nil {
		return "", nil, db.MapError(err)
	}
	sc.Version = v.Version
	return op, lines, defined(ctx, tx, "schedule", sc.ID, ScheduleChanged{Version: v.Version, Changes: lines})
}

func (s *Service) savePolicy(ctx context.Context, tx *db.Tx, p *Policy) (op string, lines []ChangeLine, err error) {
	var old policyRow
	err = tx.ForUpdate(tx.NewSelect().Model(&old).Where("p.id = ?", p.ID)).Scan(ctx)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return "", nil, db.MapError(err)
	}
	if p.Version != 0 && p.Version != old.Version {
		return "", nil, kit.Errorf(kit.CodeStale, "error.stale")
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return "", nil, kit.Internal(err)
	}
	row := policyRow{ID: p.ID, Version: old.Version + 1, Turn: old.Turn, Definition: string(raw)}
	op, before := "create", "{}"
	if !fresh {
		op, before = "change", old.Definition
	}
	if lines, err = difference(before, row.Definition); err != nil {
		return "", nil, err
	}
	switch {
	case fresh:
		_, err = tx.NewInsert().Model(&row).Exec(ctx)
	case len(lines) == 0 && old.RetiredAt == 0:
		p.Version, p.BuiltIn = old.Version, false
		return "keep", nil, nil
	default:
		if old.RetiredAt != 0 {
			op = "create"
			lines = append(lines, ChangeLine{Path: "retired", From: true, To: false})
		}
		_, err = tx.NewUpdate().Model(&row).WherePK().Exec(ctx)
	}
	if err != nil {
		return "", nil, db.MapError(err)
	}
	p.Version, p.BuiltIn = row.Version, false
	return op, lines, defined(ctx, tx, "policy", p.ID, PolicyChanged{Version: row.Version, Changes: lines})
}

func defined(ctx context.Context, tx *db.Tx, kind, id string, b ledger.Body) error {
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: kind, ID: id}, Body: b})
}

// difference lists the fields that differ between two definitions.
func difference(before, after string) ([]ChangeLine, error) {
	var a, b map[string]any
	if err := errors.Join(json.Unmarshal([]byte(before), &a), json.Unmarshal([]byte(after), &b)); err != nil {
		return nil, kit.Internal(err)
	}
	all := maps.Clone(b)
	maps.Copy(all, a)
	var out []ChangeLine
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if k != "id" && !reflect.DeepEqual(a[k], b[k]) {
			out = append(out, ChangeLine{Path: k, From: a[k], To: b[k]})
		}
	}
	return out, nil
}
