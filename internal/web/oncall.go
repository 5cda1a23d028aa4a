package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// ahead is how far the schedule and its gaps are shown.
const ahead = 30

// calendarSpan is how many weeks the calendar of a schedule shows.
const calendarSpan = 5

func (s *server) oncallRoutes() {
	s.get("/on-call", s.oncallNow)
	s.post("/on-call", s.callSomeone)
	s.get("/on-call/schedule", s.schedulePage)
	s.get("/on-call/schedule/{id}/calendar.ics", s.calendar)
	s.post("/on-call/schedule/{id}/overrides", s.addOverride)
	s.post("/on-call/schedule/{id}/overrides/{override}/remove", func(q *req) error {
		if err := s.Oncall.RemoveOverride(q.ctx, q.r.PathValue("override")); err != nil {
			return err
		}
		return q.done("/on-call/schedule?id="+q.r.PathValue("id"), q.t("web.oncall.removed"))
	})
	s.get("/on-call/policies", s.policiesPage)
	s.get("/on-call/me", s.myDuty)
	s.get("/on-call/readiness", s.readinessPage)
	s.get("/on-call/load", s.loadPage)
	s.get("/on-call/swap", s.swapPage)
	s.post("/on-call/swaps", s.askSwap)
	s.post("/on-call/swaps/{id}/{do}", s.swapDo)
	s.post("/on-call/me/methods", s.addMethod)
	s.post("/on-call/me/methods/{id}/{do}", s.methodDo)
	s.post("/on-call/me/rules", s.saveRules)
	s.post("/on-call/me/quiet-hours", s.saveQuiet)
	s.editRoutes()
}

// rota is what the page of schedules shows.
type rota struct {
	all       []oncall.Schedule
	schedule  oncall.Schedule
	slots     []oncall.Slot
	weeks     [][]calendarDay
	overrides []oncall.Override
	names     map[string]string
}

func (s *server) rota(q *req, id string) (rota, error) {
	var v rota
	var err error
	if v.all, err = s.Oncall.Schedules(q.ctx); err != nil || len(v.all) == 0 {
		return v, err
	}
	if id == "" {
		id = v.all[0].ID
	}
	if v.schedule, err = s.Oncall.Schedule(q.ctx, id); err != nil {
		return v, err
	}
	if v.slots, err = s.Oncall.Intervals(q.ctx, id, q.now, q.now.AddDate(0, 0, ahead)); err != nil {
		return v, err
	}
	all, err := s.Oncall.Intervals(q.ctx, id, q.now.AddDate(0, 0, -7), q.now.AddDate(0, 0, 7*calendarSpan))
	if err != nil {
		return v, err
	}
	org, err := s.Identity.Organisation(q.ctx)
	if err != nil {
		return v, err
	}
	v.weeks = weeksOf(all, q.now, q.now, calendarSpan, q.zone, org.Calendar(), q.actor.ID)
	if v.overrides, err = s.Oncall.Overrides(q.ctx, id, q.now); err != nil {
		return v, err
	}
	v.names, err = s.Identity.Names(q.ctx)
	return v, err
}

func (s *server) schedulePage(q *req) error {
	v, err := s.rota(q, q.query("id"))
	if err != nil {
		return err
	}
	return q.show("oncall", q.t("web.oncall.schedule"), schedulePage(v))
}

func (s *server) addOverride(q *req) error {
	id := q.r.PathValue("id")
	from, err := q.when("from")
	to, bad := q.when("to")
	if err == nil {
		err = bad
	}
	if err == nil {
		_, err = s.Oncall.AddOverride(q.ctx, id, q.form("person"), from, to)
	}
	if err != nil {
		v, get := s.rota(q, id)
		if get != nil {
			return err
		}
		return q.again(err, "oncall", q.t("web.oncall.schedule"), schedulePage(v))
	}
	return q.done("/on-call/schedule?id="+id, q.t("web.oncall.overridden"))
}

func (s *server) calendar(q *req) error {
	body, err := s.Oncall.ICS(q.ctx, q.r.PathValue("id"), q.query("person"))
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Disposition", `attachment; filename="on-call.ics"`)
	q.write("text/calendar; charset=utf-8", body)
	return nil
}

// dryRun is the simulation that the page of policies shows; nil before it is asked for.
type dryRun struct {
	q                oncall.SimulateQuery
	result           *oncall.Simulation
	services, people []option
}

func (s *server) policiesPage(q *req) error {
	policies, err := s.Oncall.Policies(q.ctx)
	if err != nil {
		return err
	}
	names, err := s.targetNames(q)
	if err != nil {
		return err
	}
	run := dryRun{q: oncall.SimulateQuery{Policy: q.query("policy"), Service: q.query("service"), Severity: q.query("severity")}}
	if x := q.query("away"); x != "" {
		run.q.Away = []string{x}
	}
	services, err := s.serviceNames(q.ctx, q.lang)
	if err != nil {
		return err
	}
	run.services = append([]option{{"", q.t("web.call.service.none")}}, personOptions(services, "")...)
	people, err := s.Identity.Names(q.ctx)
	if err != nil {
		return err
	}
	run.people = append([]option{{"", q.t("web.simulate.away.nobody")}}, personOptions(people, "")...)
	if q.query("simulate") != "" {
		if run.q.At, err = q.when("at"); err != nil {
			return q.again(err, "oncall", q.t("web.oncall.policies"), policiesView(policies, run, names))
		}
		result, err := s.Oncall.Simulate(q.ctx, run.q)
		if err != nil {
			return q.again(err, "oncall", q.t("web.oncall.policies"), policiesView(policies, run, names))
		}
		run.result = &result
	}
	return q.show("oncall", q.t("web.oncall.policies"), policiesView(policies, run, names))
}

// targetNames is namer with the names of schedules.
func (s *server) targetNames(q *req) (func(kind, id string) string, error) {
	names, err := s.namer(q.ctx, q.lang)
	if err != nil {
		return nil, err
	}
	all, err := s.Oncall.Schedules(q.ctx)
	return func(kind, id string) string {
		at := slices.IndexFunc(all, func(x oncall.Schedule) bool { return kind == "schedule" && x.ID == id })
		if at >= 0 {
			return scheduleName(q.lang, all[at])
		}
		return names(kind, id)
	}, err
}

// shift is one duty of the reader.
type shift struct {
	id, schedule string
	slot         oncall.Slot
}

func (s *server) shifts(q *req) ([]shift, error) {
	all, err := s.Oncall.Schedules(q.ctx)
	if err != nil {
		return nil, err
	}
	var out []shift
	for _, x := range all {
		slots, err := s.Oncall.Intervals(q.ctx, x.ID, q.now, q.now.AddDate(0, 0, ahead))
		if err != nil {
			return nil, err
		}
		for _, slot := range slots {
			if slot.Person.ID == q.actor.ID {
				out = append(out, shift{x.ID, scheduleName(q.lang, x), slot})
			}
		}
	}
	slices.SortFunc(out, func(a, b shift) int { return a.slot.From.Compare(b.slot.From) })
	return out, nil
}

func (s *server) addMethod(q *req) error {
	m := notify.Method{ID: methodID(q.form("method.kind")), Kind: q.form("method.kind"), To: q.form("method.to")}
	if m.Kind == "push" {
		// A device that is switched on twice is one way.
		mine, err := s.Notify.Methods(q.ctx, q.actor.ID)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(mine, func(x notify.Method) bool { return x.Kind == m.Kind && x.To == m.To }); at >= 0 {
			m.ID = mine[at].ID
		}
	}
	err := s.Notify.SaveMethod(q.ctx, q.actor.ID, m)
	return s.mine(q, err, "web.method.added")
}

func (s *server) methodDo(q *req) error {
	id := q.r.PathValue("id")
	switch q.r.PathValue("do") {
	case "test":
		_, err := s.Notify.SendTest(q.ctx, q.actor.ID, id)
		return s.mine(q, err, "web.method.tested")
	case "remove":
		return s.mine(q, s.Notify.RemoveMethod(q.ctx, q.actor.ID, id), "web.method.removed")
	}
	return kit.NotFound("command", q.r.PathValue("do"))
}

func scheduleName(lang string, s oncall.Schedule) string {
	if n := s.Name.In(lang); n != "" {
		return n
	}
	return s.ID
}

// targets writes whom a step pages: the standing roles and schedules in words.
func targets(ctx context.Context, list []string, names func(kind, id string) string) string {
	out := make([]string, len(list))
	for n, target := range list {
		kind, id, _ := strings.Cut(target, ":")
		switch kind {
		case "role":
			out[n] = roleWord(ctx, id)
		case "person":
			out[n] = names("person", id)
		default:
			out[n] = t(ctx, "web.target."+kind, "name", names(kind, id))
		}
	}
	return strings.Join(out, ", ")
}

func roleWord(ctx context.Context, id string) string {
	if id == "owner" {
		return t(ctx, "web.target.owner")
	}
	return t(ctx, "web.role."+id)
}

func stepWhen(ctx context.Context, after oncall.Duration) string {
	if after == 0 {
		return t(ctx, "web.policy.at_once")
	}
	return t(ctx, "web.policy.after", "duration", time.Duration(after))
}

func whyWord(ctx context.Context, w oncall.Why) string {
	if w.Kind == "" {
		return ""
	}
	return t(ctx, "web.why."+w.Kind)
}

func simPeople(people []oncall.SimPerson) string {
	var out []string
	for _, p := range people {
		var ms []string
		for _, m := range p.Methods {
			ms = append(ms, m.Method)
		}
		if len(ms) > 0 {
			out = append(out, p.Name+" ("+strings.Join(ms, ", ")+")")
		} else {
			out = append(out, p.Name)
		}
	}
	return strings.Join(out, ", ")
}

func dutyName(ctx context.Context, d oncall.Duty) string {
	switch d.Role {
	case string(kit.RolePrimary), string(kit.RoleSecondary), string(kit.RoleCommander), string(kit.RoleCommunications):
		return t(ctx, "web.role."+d.Role)
	}
	if d.Schedule != "" {
		return d.Schedule
	}
	return d.Role
}

func scheduleOptions(ctx context.Context, all []oncall.Schedule) []option {
	out := make([]option, len(all))
	for n, s := range all {
		out[n] = option{s.ID, scheduleName(of(ctx).lang, s)}
	}
	return out
}

func policyOptions(all []oncall.Policy) []option {
	out := make([]option, len(all))
	for n, p := range all {
		out[n] = option{p.ID, p.ID}
	}
	return out
}

func simSeverities(ctx context.Context) []option {
	out := []option{{"", t(ctx, "core.severity.none")}}
	for _, v := range severities {
		out = append(out, option{v, sevName(v) + " · " + t(ctx, "core.severity."+v)})
	}
	return out
}

func methodKinds(ctx context.Context) []option {
	var out []option
	for _, kind := range []string{"email", "sms", "voice", "slack", "ntfy", "telegram", "teams", "discord", "mattermost", "matrix", "gotify", "pushover", "webhook"} {
		out = append(out, option{kind, t(ctx, "web.method.kind."+kind)})
	}
	return out
}

func methodWord(ctx context.Context, kind string) string {
	if key := "web.method.kind." + kind; i18n.Has(key) {
		return t(ctx, key)
	}
	return kind
}

// methodID makes the id of a new contact method; it is unique among a person's own.
func methodID(kind string) string { return kind + "-" + strings.ToLower(kit.NewID())[24:] }

// causeWord is why a delivery failed: a key of the catalogue, or the provider's own words.
func causeWord(ctx context.Context, cause string) string {
	if i18n.Has(cause) {
		return t(ctx, cause)
	}
	return cause
}

// gapWord says why nobody is there.
func gapWord(ctx context.Context, g oncall.Gap) string {
	return t(ctx, "web.gap."+g.Reason, "name", g.Person.Name)
}
