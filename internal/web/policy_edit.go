package web

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// targetsShown is how many selects a step has at least.
const targetsShown = 4

// stepRow is one step of the form, as it was typed.
type stepRow struct {
	after, when string
	page        []string
	roundRobin  bool
}

// policyForm is what the page that makes or changes a policy shows.
type policyForm struct {
	// id is empty as long as the policy is new; typed is what was entered for it.
	id, action, typed     string
	version               int64
	builtIn               bool
	rows                  []stepRow
	repeat, gap           string
	days                  []string
	hours, timezone, zone string
	targets               []option
}

func (s *server) policyForm(q *req) (v policyForm, err error) {
	v.action, v.zone = "/on-call/policies", q.org.Timezone
	all, err := s.callable(q)
	v.targets = append(append([]option{{"", q.t("web.policy.whom.none")}}, all...), option{"role:owner", q.t("web.target.owner")})
	return v, err
}

// offer adds the targets that a policy names to those offered.
func (s *server) offer(q *req, v *policyForm) error {
	names, err := s.targetNames(q)
	if err != nil {
		return err
	}
	for _, r := range v.rows {
		for _, x := range r.page {
			if !slices.ContainsFunc(v.targets, func(o option) bool { return o.value == x }) {
				v.targets = append(v.targets, option{x, targetWord(q.ctx, x, names)})
			}
		}
	}
	return nil
}

// targetWord is a target in words; what is none stays as it was written.
func targetWord(ctx context.Context, target string, names func(kind, id string) string) string {
	kind, id, _ := strings.Cut(target, ":")
	if !slices.Contains([]string{"schedule", "role", "person", "team", "channel"}, kind) || id == "" {
		return target
	}
	return targets(ctx, []string{target}, names)
}

func (s *server) newPolicy(q *req) error {
	v, err := s.policyForm(q)
	if err != nil {
		return err
	}
	return q.show("oncall", q.t("web.policy.new"), policyEdit(v))
}

func (s *server) editPolicy(q *req) error {
	p, err := s.Oncall.Policy(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := s.policyForm(q)
	if err != nil {
		return err
	}
	v.of(p)
	for _, st := range p.Steps {
		v.rows = append(v.rows, stepRow{after: st.After.String(), when: st.When, page: st.Page, roundRobin: st.RoundRobin})
	}
	if p.Repeat > 0 {
		v.repeat = strconv.Itoa(p.Repeat)
	}
	if p.RoundGap != nil {
		v.gap = p.RoundGap.String()
	}
	if h := p.ServiceHours; h != nil {
		v.days, v.hours, v.timezone = h.Days, strings.Join(h.Hours, ", "), h.Timezone
	}
	if err := s.offer(q, &v); err != nil {
		return err
	}
	return q.show("oncall", q.t("web.policy.change"), policyEdit(v))
}

func (v *policyForm) of(p oncall.Policy) {
	v.id, v.action, v.version, v.builtIn = p.ID, "/on-call/policies/"+p.ID, p.Version, p.BuiltIn
}

// savePolicy makes or changes a policy.
func (s *server) savePolicy(q *req) error {
	v, err := s.policyForm(q)
	if err != nil {
		return err
	}
	title, id, version := q.t("web.policy.new"), q.form("id"), int64(0)
	if at := q.r.PathValue("id"); at != "" {
		present, err := s.Oncall.Policy(q.ctx, at)
		if err != nil {
			return err
		}
		title, id = q.t("web.policy.change"), at
		v.of(present)
		if version = q.version(); present.BuiltIn {
			// One that is built in has no version yet.
			version = 0
		}
	}
	v.typed = q.form("id")
	p, err := q.policy(&v)
	p.ID, p.Version = id, version
	if err == nil && v.id == "" {
		err = s.policyIsNew(q, id)
	}
	if err == nil {
		_, err = s.Oncall.SavePolicy(q.ctx, p)
	}
	if err != nil {
		if kit.CodeOf(err) != kit.CodeStale {
			v.version = version
		}
		if load := s.offer(q, &v); load != nil {
			return load
		}
		return q.again(placePolicy(err), "oncall", title, policyEdit(v))
	}
	if q.form("do") == "add" {
		return q.done("/on-call/policies/"+id+"/edit#row-"+strconv.Itoa(len(v.rows)+1), q.t("web.policy.saved"))
	}
	return q.done("/on-call/policies", q.t("web.policy.saved"))
}

// policyIsNew keeps the form of a new policy from replacing one that somebody wrote;
// one that is built in may be replaced.
func (s *server) policyIsNew(q *req, id string) error {
	p, err := s.Oncall.Policy(q.ctx, id)
	switch {
	case err == nil && !p.BuiltIn:
		return kit.InvalidField("id", "web.policy.taken", "id", id)
	case err == nil || kit.CodeOf(err) == kit.CodeNotFound:
		return nil
	}
	return err
}

// policy reads the form into v, and gives the policy that it describes. Steps are put
// in the order of their delays.
func (q *req) policy(v *policyForm) (p oncall.Policy, err error) {
	var f kit.Fields
	v.rows = q.stepRows()
	sorted := true
	for i, r := range v.rows {
		st := oncall.Step{Page: r.page, When: r.when, RoundRobin: r.roundRobin}
		switch {
		case r.after == "":
			f.Add(rowName("steps", i, "after"), "error.required")
		case r.after == "0":
		default:
			if st.After, err = oncall.ParseDuration(r.after); err != nil {
				f.Add(rowName("steps", i, "after"), "web.source.duration")
			}
		}
		if i > 0 && st.After < p.Steps[i-1].After {
			sorted = false
		}
		p.Steps = append(p.Steps, st)
	}
	if len(f) == 0 && !sorted {
		slices.SortStableFunc(p.Steps, func(a, b oncall.Step) int { return cmp.Compare(a.After, b.After) })
		for i, st := range p.Steps {
			v.rows[i] = stepRow{after: st.After.String(), when: st.When, page: st.Page, roundRobin: st.RoundRobin}
		}
	}
	if v.repeat = q.form("repeat"); v.repeat != "" {
		if p.Repeat, err = strconv.Atoi(v.repeat); err != nil || p.Repeat < 1 || p.Repeat > 9 {
			f.Add("repeat", "oncall.error.repeat", "max", 9)
		}
	}
	if v.gap = q.form("round_gap"); v.gap != "" {
		gap, err := oncall.ParseDuration(v.gap)
		if err != nil {
			f.Add("round_gap", "web.source.duration")
		}
		p.RoundGap = &gap
	}
	v.days, v.hours, v.timezone = q.days("service_hours.days"), q.form("service_hours.hours"), q.form("service_hours.timezone")
	if len(v.days) > 0 || v.hours != "" || v.timezone != "" {
		p.ServiceHours = &oncall.ServiceHours{Days: v.days, Hours: parts(v.hours), Timezone: v.timezone}
	}
	return p, f.Err()
}

// stepRows reads the rows; empty and removed ones are left out.
func (q *req) stepRows() []stepRow {
	var out []stepRow
	n, _ := strconv.Atoi(q.form("rows"))
	for i := range min(max(n, 0), maxRows) {
		r := stepRow{after: q.form(rowName("steps", i, "after")), when: q.form(rowName("steps", i, "when")), roundRobin: q.checked(rowName("steps", i, "round_robin"))}
		for j := range maxRows {
			if x := q.form(targetName(i, j)); x != "" {
				r.page = append(r.page, x)
			}
		}
		if r.after+r.when == "" && len(r.page) == 0 || q.checked(rowName("steps", i, "remove")) {
			continue
		}
		out = append(out, r)
	}
	return out
}

func targetName(step, n int) string { return rowName("steps", step, "page["+strconv.Itoa(n)+"]") }

// targetAt gives a target of a step, or none.
func (r stepRow) targetAt(n int) string {
	if n < len(r.page) {
		return r.page[n]
	}
	return ""
}

// placePolicy puts each error of a policy at its field of the form.
func placePolicy(err error) error {
	e := kit.AsError(err)
	if e.Code != kit.CodeInvalid {
		return err
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		switch {
		case f.Path == "steps":
			f.Path = targetName(0, 0)
		case strings.HasSuffix(f.Path, "].page"):
			f.Path += "[0]"
		}
	}
	return e
}
