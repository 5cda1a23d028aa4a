package web

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/alert"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/report"
	"tocsin/internal/text"
)

// found is one result of a search.
type found struct{ href, label, kind string }

// places are the pages that may be gone to by their names.
func (q *req) places() []tabLink {
	out := []tabLink{
		{"/", "web.nav.now"},
		{"/on-call", "web.nav.oncall"},
		{"/incidents/new", "web.declare.button"},
		{"/me", "web.nav.me"},
		{"/help", "web.nav.help"},
		{"/help#keys", "web.help.keys"},
		{"/help/accessibility", "web.help.accessibility"},
	}
	return slices.Concat(out, incidentTabs, q.oncallLinks()[1:], reviewTabs, q.settingsTabs())
}

// search looks through everything that has a page of its own. A page is found by its
// name in either language, whichever the reader has.
func (s *server) search(q *req) error {
	words := strings.TrimSpace(q.query("q"))
	var out []found
	if words != "" {
		for _, look := range []func(*req, string) ([]found, error){
			s.findIncidents, s.findActions, s.findFindings, s.findReports, s.findPast, s.findPlaces, s.findDuty, s.findServices, s.findAlerts, s.findPeople,
		} {
			l, err := look(q, words)
			if err != nil && kit.CodeOf(err) != kit.CodeForbidden {
				return err
			}
			out = append(out, l...)
		}
	}
	return q.show("", q.t("web.nav.search"), searchView(words, out))
}

// like tells whether a text has all the words, whatever their accents.
func like(words string, in ...string) bool {
	all := text.Fold(strings.Join(in, " "))
	for _, w := range strings.Fields(text.Fold(words)) {
		if !strings.Contains(all, w) {
			return false
		}
	}
	return true
}

func (s *server) findIncidents(q *req, words string) (out []found, err error) {
	add := func(i *incident.Incident) {
		f := found{"/incidents/" + i.Ref(), i.Ref() + " · " + i.Title, "web.incidents.title.one"}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	if n, ok := incident.ParseRef("INC", words); ok {
		if i, err := s.Incident.Get(q.ctx, "INC-"+strconv.FormatInt(n, 10)); err == nil {
			add(i)
		}
	}
	list, err := s.Incident.List(q.ctx, incident.Filter{Query: words, Exercises: true}, kit.Page{Limit: 10})
	for _, i := range list.Items {
		add(i)
	}
	return out, err
}

func (s *server) findActions(q *req, words string) (out []found, err error) {
	all, err := s.Incident.Actions(q.ctx, incident.ActionFilter{})
	if err != nil {
		return nil, err
	}
	var hits []incident.Action
	var ids []string
	for _, a := range all {
		if len(hits) < 10 && (strings.EqualFold(a.Ref(), words) || like(words, a.Text)) {
			hits, ids = append(hits, a), append(ids, a.Incident)
		}
	}
	refs, err := s.Incident.Refs(q.ctx, ids)
	for _, a := range hits {
		if ref := refs[a.Incident]; ref != "" {
			out = append(out, found{"/incidents/" + ref + "/actions/" + a.Ref(), a.Ref() + " · " + a.Text, "web.actions.one"})
		}
	}
	return out, err
}

func (s *server) findFindings(q *req, words string) (out []found, err error) {
	list, err := s.Finding.List(q.ctx, finding.Filter{Q: words}, kit.Page{Limit: 5})
	for _, x := range list.Items {
		out = append(out, found{"/findings/" + x.Ref, x.Ref + " · " + x.Title, "web.findings.one"})
	}
	return out, err
}

func (s *server) findReports(q *req, words string) (out []found, err error) {
	list, err := s.Report.List(q.ctx, report.Filter{Q: words}, kit.Page{Limit: 5})
	for _, x := range list.Items {
		out = append(out, found{"/reports/" + x.Ref, x.Ref + " · " + firstLine(x.Text), "web.reports.one"})
	}
	return out, err
}

func (s *server) findPast(q *req, words string) (out []found, err error) {
	list, err := s.History.List(q.ctx, history.Filter{Q: words}, kit.Page{Limit: 5})
	for _, x := range list.Items {
		out = append(out, found{"/past-incidents/" + x.Ref, x.Ref + " · " + x.Title, "web.past.one"})
	}
	return out, err
}

func (s *server) findPlaces(q *req, words string) (out []found, err error) {
	for _, l := range q.places() {
		if like(words, i18n.T("en", l.key, nil)) || like(words, i18n.T("fr", l.key, nil)) {
			out = append(out, found{l.href, q.t(l.key), "web.search.page"})
		}
	}
	return out, nil
}

func (s *server) findDuty(q *req, words string) (out []found, err error) {
	schedules, err := s.Oncall.Schedules(q.ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range schedules {
		if like(words, x.ID, x.Name.FR, x.Name.EN) {
			out = append(out, found{"/on-call/schedule?id=" + x.ID, scheduleName(q.lang, x), "web.oncall.schedule"})
		}
	}
	policies, err := s.Oncall.Policies(q.ctx)
	for _, x := range policies {
		if like(words, x.ID) {
			out = append(out, found{"/on-call/policies?simulate=1&policy=" + x.ID, x.ID, "web.simulate.policy"})
		}
	}
	return out, err
}

// findServices leads to the incidents of a service.
func (s *server) findServices(q *req, words string) (out []found, err error) {
	all, err := s.Service.Services(q.ctx)
	for _, x := range all {
		if like(words, x.ID, x.Title("fr"), x.Title("en")) {
			out = append(out, found{"/incidents?service=" + x.ID, x.Title(q.lang), "web.alert.service"})
		}
	}
	return out, err
}

func (s *server) findAlerts(q *req, words string) (out []found, err error) {
	list, err := s.Alert.List(q.ctx, alert.Filter{Q: words}, kit.Page{Limit: 5})
	for _, a := range list.Items {
		out = append(out, found{"/alerts/" + a.ID, a.Title, "web.alert.one"})
	}
	return out, err
}

func (s *server) findPeople(q *req, words string) (out []found, err error) {
	if err := identity.Allow(q.actor, "person.edit"); err != nil {
		return nil, err
	}
	people, err := s.Identity.SeePeople(q.ctx, identity.Filter{})
	for _, p := range people {
		if like(words, p.Name, p.ID, p.Email) {
			out = append(out, found{"/settings/people/" + p.ID, p.Name, "web.oncall.person"})
		}
	}
	return out, err
}

// procedure is what the help tells of how this organisation responds: its own limits
// and the people whom it appointed.
type procedure struct {
	limits []limit
	roles  []appointed
}

type limit struct{ key, value string }

type appointed struct {
	role  kit.Role
	names []string
}

func (s *server) help(q *req) error {
	p, err := s.procedure(q.ctx, q.lang)
	if err != nil {
		return err
	}
	return q.show("", q.t("web.nav.help"), helpView(p))
}

func (s *server) procedure(ctx context.Context, lang string) (p procedure, err error) {
	values, err := s.Identity.Parameters(ctx)
	if err != nil {
		return p, err
	}
	for _, name := range []string{"P.ack.sev1", "P.ack.sev2", "P.ack.sev3", "P.assess", "P.mgmt", "P.still", "P.resume"} {
		p.limits = append(p.limits, limit{"web.help.limit." + name, i18n.Duration(lang, values.Duration(name))})
	}
	roles, err := s.Identity.Appointments(ctx)
	if err != nil {
		return p, err
	}
	names, err := s.Identity.Names(ctx)
	for _, r := range []kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement} {
		a := appointed{role: r}
		for _, id := range roles[r] {
			a.names = append(a.names, who(names, id).Name)
		}
		p.roles = append(p.roles, a)
	}
	return p, err
}
