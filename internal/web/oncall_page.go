package web

import (
	"sort"
	"strings"

	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// watch is what the page of who is on call shows.
type watch struct {
	duty     []oncall.Duty
	gaps     []oncall.Gap
	targets  []option
	services []option
}

func (s *server) watch(q *req) (b watch, err error) {
	if b.duty, err = s.Oncall.OnCallNow(q.ctx); err != nil {
		return b, err
	}
	if b.gaps, err = s.Oncall.Gaps(q.ctx, ahead); err != nil {
		return b, err
	}
	if b.targets, err = s.callable(q); err != nil {
		return b, err
	}
	names, err := s.serviceNames(q.ctx, q.lang)
	if err != nil {
		return b, err
	}
	b.services = append([]option{{"", q.t("web.call.service.none")}}, personOptions(names, "")...)
	return b, nil
}

// callable are those whom one may page by hand: who is on duty by each schedule, who
// holds a role, a team, a person.
func (s *server) callable(q *req) ([]option, error) {
	schedules, err := s.Oncall.Schedules(q.ctx)
	if err != nil {
		return nil, err
	}
	teams, err := s.Identity.Teams(q.ctx)
	if err != nil {
		return nil, err
	}
	people, err := s.Identity.Names(q.ctx)
	if err != nil {
		return nil, err
	}
	var out []option
	for _, x := range schedules {
		out = append(out, option{"schedule:" + x.ID, q.t("web.call.schedule", "name", scheduleName(q.lang, x))})
	}
	for _, r := range []kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement} {
		out = append(out, option{"role:" + string(r), q.t("web.role." + string(r))})
	}
	for _, x := range teams {
		out = append(out, option{"team:" + x.ID, q.t("web.target.team", "name", firstOf(x.Name, x.ID))})
	}
	var each []option
	for id, name := range people {
		each = append(each, option{"person:" + id, name})
	}
	sort.Slice(each, func(i, j int) bool { return each[i].label < each[j].label })
	return append(out, each...), nil
}

func (s *server) oncallNow(q *req) error {
	b, err := s.watch(q)
	if err != nil {
		return err
	}
	return q.show("oncall", q.t("web.oncall.title"), oncallPage(b))
}

// callSomeone pages somebody by hand, without an incident.
func (s *server) callSomeone(q *req) error {
	text := strings.TrimSpace(q.form("text"))
	var f kit.Fields
	if text == "" {
		f.Add("text", "error.required")
	}
	if len([]rune(text)) > 200 {
		f.Add("text", "error.too_long", "max", 200)
	}
	if q.form("to") == "" {
		f.Add("to", "error.required")
	}
	err := f.Err()
	if err == nil {
		start := oncall.Start{Title: text}
		if x := q.form("service"); x != "" {
			start.Services = []string{x}
		}
		_, err = s.Oncall.PageSomeone(q.ctx, start, q.form("to"))
	}
	if err != nil {
		b, loadErr := s.watch(q)
		if loadErr != nil {
			return loadErr
		}
		return q.again(err, "oncall", q.t("web.oncall.title"), oncallPage(b))
	}
	return q.done("/on-call", q.t("web.call.done"))
}
