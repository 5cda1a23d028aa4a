package web

import (
	"context"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tocsin/internal/alert"
	"tocsin/internal/alert/probe"
	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/timeline"
)

func (s *server) settingsRoutes() {
	s.get("/settings", func(q *req) error { return q.redirect(q.settingsTabs()[0].href) })
	s.get("/settings/organisation", s.organisationPage)
	s.post("/settings/organisation", s.saveOrganisation)
	s.get("/settings/people", s.peoplePage)
	s.get("/settings/people/new", func(q *req) error {
		return s.personForm(q, identity.Person{Access: kit.AccessResponder}, true, nil)
	})
	s.post("/settings/people/new", s.addPerson)
	s.post("/settings/roles", s.saveRoles)
	s.get("/settings/people/{id}", s.personPage)
	s.post("/settings/people/{id}", s.savePerson)
	s.post("/settings/people/{id}/link", s.loginLinkFor)
	s.post("/settings/people/{id}/suspend", s.suspend)
	s.get("/settings/integrations", s.sourcesPage)
	s.post("/settings/integrations", s.addSource)
	s.get("/settings/integrations/{id}", s.sourcePage)
	s.post("/settings/integrations/{id}/{do}", s.sourceDo)
	s.get("/settings/api-keys", s.keysPage)
	s.post("/settings/api-keys", s.addKey)
	s.post("/settings/api-keys/{id}/revoke", func(q *req) error {
		if err := s.Identity.RevokeToken(q.ctx, q.r.PathValue("id")); err != nil {
			return err
		}
		return q.done("/settings/api-keys", q.t("web.keys.revoked"))
	})
	s.routeRoutes()
	s.get("/settings/journal", s.journalPage)
	s.get("/settings/about", s.aboutPage)
}

// settingsTabs are the parts of the settings that the reader may see.
func (q *req) settingsTabs() []tabLink {
	may := func(use kit.Use) bool { return identity.Allow(q.actor, use) == nil }
	var out []tabLink
	add := func(ok bool, name string) {
		if ok {
			out = append(out, tabLink{"/settings/" + name, "web.settings." + name})
		}
	}
	add(may("settings.see"), "organisation")
	add(may("person.see"), "people")
	add(may("source.edit"), "integrations")
	add(may("alert.see"), "routes")
	add(may("token.own"), "api-keys")
	add(may("history.import"), "import")
	add(may("journal.see"), "journal")
	add(true, "about")
	return out
}

// settings renders a page of the settings below the tabs.
func (q *req) settings(name string, body templ.Component) error {
	return q.show("settings", q.t("web.settings."+name), settingsPage("/settings/"+name, body))
}

func (q *req) settingsAgain(err error, name string, body templ.Component) error {
	return q.again(err, "settings", q.t("web.settings."+name), settingsPage("/settings/"+name, body))
}

func (s *server) organisationPage(q *req) error {
	o, err := s.Identity.SeeOrganisation(q.ctx)
	if err != nil {
		return err
	}
	return q.settings("organisation", organisationForm(o))
}

func (s *server) saveOrganisation(q *req) error {
	o, err := s.Identity.SeeOrganisation(q.ctx)
	if err != nil {
		return err
	}
	o.Name, o.Country, o.Timezone = q.form("organisation.name"), strings.ToUpper(q.form("organisation.country")), q.form("organisation.timezone")
	o.LastResort = nil
	if c := (identity.Contact{Name: q.form("last_name"), Phone: q.form("last_phone"), Email: q.form("last_email")}); c != (identity.Contact{}) {
		o.LastResort = &c
	}
	if o.Version, err = strconv.ParseInt(q.form("version"), 10, 64); err != nil {
		return kit.Invalid("error.invalid")
	}
	if err := s.Identity.ChangeOrganisation(q.ctx, o); err != nil {
		return q.settingsAgain(err, "organisation", organisationForm(o))
	}
	return q.done("/settings/organisation", q.t("web.saved"))
}

func (s *server) peopleShown(q *req) (templ.Component, error) {
	people, err := s.Identity.SeePeople(q.ctx, identity.Filter{})
	if err != nil {
		return nil, err
	}
	roles, err := s.Identity.Appointments(q.ctx)
	return peopleView(people, roles), err
}

func (s *server) peoplePage(q *req) error {
	body, err := s.peopleShown(q)
	if err != nil {
		return err
	}
	return q.settings("people", body)
}

func (s *server) saveRoles(q *req) error {
	for _, r := range standing {
		ids := strings.FieldsFunc(q.form("role-"+string(r)), func(c rune) bool { return c == ' ' || c == ',' })
		if err := s.Identity.SetAppointments(q.ctx, r, ids); err != nil {
			body, get := s.peopleShown(q)
			if get != nil {
				return err
			}
			return q.settingsAgain(err, "people", body)
		}
	}
	return q.done("/settings/people", q.t("web.saved"))
}

func (q *req) personFrom(id string) identity.Person {
	return identity.Person{
		ID: id, Name: q.form("name"), Email: q.form("email"), Access: kit.Access(q.form("access")), Language: q.form("language"), Timezone: q.form("timezone"),
	}
}

func (s *server) personForm(q *req, p identity.Person, fresh bool, failed error) error {
	if identity.Allow(q.actor, "person.edit") != nil {
		return s.Identity.Require(q.ctx, "person.edit")
	}
	if failed != nil {
		return q.settingsAgain(failed, "people", personView(p, fresh, ""))
	}
	return q.settings("people", personView(p, fresh, ""))
}

func (s *server) addPerson(q *req) error {
	p := q.personFrom(q.form("id"))
	if err := s.Identity.AddPerson(q.ctx, p); err != nil {
		return s.personForm(q, p, true, err)
	}
	return q.done("/settings/people/"+url.PathEscape(p.ID), q.t("web.people.added"))
}

func (s *server) personPage(q *req) error {
	p, err := s.Identity.SeePerson(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.personForm(q, p, false, nil)
}

func (s *server) savePerson(q *req) error {
	old, err := s.Identity.SeePerson(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	p := q.personFrom(old.ID)
	p.Slack, p.Leave, p.Suspended = old.Slack, old.Leave, old.Suspended && q.form("active") == ""
	if p.Version, err = strconv.ParseInt(q.form("version"), 10, 64); err != nil {
		return kit.Invalid("error.invalid")
	}
	if err := s.Identity.ChangePerson(q.ctx, p); err != nil {
		return s.personForm(q, p, false, err)
	}
	return q.done("/settings/people/"+url.PathEscape(p.ID), q.t("web.saved"))
}

func (s *server) suspend(q *req) error {
	p, err := s.Identity.SeePerson(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.Identity.Suspend(q.ctx, p.ID); err != nil {
		return s.personForm(q, p, false, err)
	}
	return q.done("/settings/people/"+url.PathEscape(p.ID), q.t("web.people.suspended"))
}

// loginLinkFor shows the link on the answer itself: it is never stored.
func (s *server) loginLinkFor(q *req) error {
	p, err := s.Identity.SeePerson(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	token, err := s.Identity.LoginLink(q.ctx, p.ID)
	if err != nil {
		return err
	}
	return q.settings("people", personView(p, false, s.BaseURL+"/login/"+token))
}

// sourceData is what the page of a source shows.
type sourceData struct {
	source   alert.Source
	payloads []alert.Payload
	// check is what a probe asks, probes what it found.
	check  probe.Check
	probes []probe.Status
	// trial is what the map of a source of kind json makes of a body.
	trial mapTrial
	// key is the new key, shown this once.
	key string
}

func (s *server) sourcesShown(q *req) (templ.Component, error) {
	if err := s.Identity.Require(q.ctx, "source.edit"); err != nil {
		return nil, err
	}
	list, err := s.Alert.Sources(q.ctx)
	return sourcesView(list), err
}

func (s *server) sourcesPage(q *req) error {
	body, err := s.sourcesShown(q)
	if err != nil {
		return err
	}
	return q.settings("integrations", body)
}

func (s *server) source(q *req, id string) (sourceData, error) {
	var d sourceData
	if err := s.Identity.Require(q.ctx, "source.edit"); err != nil {
		return d, err
	}
	list, err := s.Alert.Sources(q.ctx)
	if err != nil {
		return d, err
	}
	for _, x := range list {
		if x.ID == id {
			d.source = x
			d.check, _ = x.Check()
			if d.probes, err = s.Alert.Probes(q.ctx, id); err != nil {
				return d, err
			}
			d.payloads, err = s.Alert.Payloads(q.ctx, id)
			return d, err
		}
	}
	return d, kit.NotFound("source", id)
}

func (s *server) sourceShown(q *req, id, key string) error {
	d, err := s.source(q, id)
	if err != nil {
		return err
	}
	d.key = key
	return q.settings("integrations", sourceView(d))
}

func (s *server) sourcePage(q *req) error { return s.sourceShown(q, q.r.PathValue("id"), "") }

func (s *server) sourceDo(q *req) error {
	id := q.r.PathValue("id")
	switch q.r.PathValue("do") {
	case "key":
		key, err := s.Alert.RotateKey(q.ctx, id)
		if err != nil {
			return err
		}
		return s.sourceShown(q, id, key)
	case "test":
		if _, err := s.Alert.TestEvent(q.ctx, id); err != nil {
			return err
		}
		return q.done("/settings/integrations/"+id, q.t("web.source.tested"))
	case "map":
		return s.sourceMap(q, id)
	case "replay":
		if s.Replay == nil {
			break
		}
		p, err := s.Replay(q.ctx, id, q.form("payload"))
		if err != nil {
			return err
		}
		return q.done("/settings/integrations/"+id, q.t("web.source.replayed", "status", strconv.Itoa(p.Status)))
	case "remove":
		if err := s.Alert.RemoveSource(q.ctx, id); err != nil {
			return err
		}
		return q.done("/settings/integrations", q.t("web.source.removed"))
	}
	return kit.NotFound("command", q.r.PathValue("do"))
}

func (s *server) keysPage(q *req) error {
	list, err := s.Identity.Tokens(q.ctx)
	if err != nil {
		return err
	}
	return q.settings("api-keys", keysView(list, ""))
}

func (s *server) addKey(q *req) error {
	days, err := strconv.Atoi(firstOf(q.form("expires"), "90"))
	var secret string
	if err != nil {
		err = kit.InvalidField("expires", "error.bad_value")
	} else {
		secret, _, err = s.Identity.CreateToken(q.ctx, identity.NewToken{
			Name: q.form("name"), Access: kit.Access(q.form("access")), Scopes: strings.Fields(q.form("scopes")), Expires: time.Duration(days) * 24 * time.Hour,
		})
	}
	list, get := s.Identity.Tokens(q.ctx)
	if get != nil {
		return get
	}
	if err != nil {
		return q.settingsAgain(err, "api-keys", keysView(list, ""))
	}
	return q.settings("api-keys", keysView(list, secret))
}

// accesses are the levels up to the reader's own.
func accesses(ctx context.Context) []option {
	var out []option
	for _, a := range kit.Accesses {
		out = append(out, option{string(a), t(ctx, "core.access."+string(a))})
		if a == of(ctx).actor.Access {
			break
		}
	}
	return out
}

func allAccesses(ctx context.Context) []option {
	var out []option
	for _, a := range kit.Accesses {
		out = append(out, option{string(a), t(ctx, "core.access."+string(a))})
	}
	return out
}

// journal is what the page of the ledger shows.
type journal struct {
	lines []timeline.Line
	next  string
	size  int64
	root  []byte
	// report is the verification, when it was asked for.
	report *ledger.Report
}

const journalLines = 50

func (s *server) journalPage(q *req) error {
	if err := s.Identity.Require(q.ctx, "journal.see"); err != nil {
		return err
	}
	var j journal
	var err error
	if j.size, j.root, err = s.Ledger.Head(q.ctx); err != nil {
		return err
	}
	f := ledger.Filter{Newest: true, Limit: journalLines + 1}
	if c := q.query("cursor"); c != "" {
		if f.Before, err = strconv.ParseInt(c, 10, 64); err != nil {
			return kit.Invalid("error.bad_cursor")
		}
	}
	facts, err := s.Ledger.Facts(q.ctx, f)
	if err != nil {
		return err
	}
	if len(facts) > journalLines {
		facts = facts[:journalLines]
		j.next = strconv.FormatInt(facts[journalLines-1].Seq, 10)
	}
	if facts, err = s.known(q.ctx, facts); err != nil {
		return err
	}
	names, err := s.namer(q.ctx, q.lang)
	if err != nil {
		return err
	}
	j.lines = timeline.Lines(facts, names)
	if q.query("verify") != "" {
		report, err := s.Ledger.Verify(q.ctx, ledger.VerifyOptions{})
		if err != nil {
			return err
		}
		j.report = &report
	}
	return q.settings("journal", journalView(j))
}

// known leaves out the facts of incidents that the reader may not know of.
func (s *server) known(ctx context.Context, facts []ledger.Fact) ([]ledger.Fact, error) {
	var ids []string
	for _, f := range facts {
		if f.Incident != "" {
			ids = append(ids, f.Incident)
		}
	}
	seen, err := s.Incident.Visible(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]ledger.Fact, 0, len(facts))
	for _, f := range facts {
		if f.Incident == "" || seen[f.Incident] {
			out = append(out, f)
		}
	}
	return out, nil
}

// about is what the page about the installation shows. The checks run when they are
// asked for: one of them waits for the mail relay.
type about struct {
	version, runtime string
	start            time.Time
	ready, mayCheck  bool
	findings         []kit.Finding
	checkedAt        time.Time
}

// trouble counts the findings that are not well.
func (a about) trouble() int {
	n := 0
	for _, f := range a.findings {
		if f.State != kit.FindingOK {
			n++
		}
	}
	return n
}

func findingText(ctx context.Context, f kit.Finding, part string) string {
	lang := of(ctx).lang
	return i18n.T(lang, f.Key+part, i18n.Words(lang, f.Args))
}

func (s *server) aboutPage(q *req) error {
	var ready error
	if s.Ready != nil {
		ready = s.Ready(q.ctx)
	}
	v := about{version: s.Version, runtime: runtime.Version(), start: s.start, ready: ready == nil}
	v.mayCheck = s.Doctor != nil && identity.Allow(q.actor, "settings.see") == nil
	if q.r.URL.Query().Get("check") != "" && s.Doctor != nil {
		var err error
		if v.findings, err = s.Doctor(q.ctx); err != nil {
			return err
		}
		v.checkedAt = q.now
	}
	return q.settings("about", aboutView(v))
}

func (s *server) helpRoutes() {
	s.get("/search", s.search)
	s.get("/help", s.help)
	s.mux.HandleFunc("GET /help/accessibility", s.open(func(q *req) error {
		return q.show("", q.t("web.help.accessibility"), accessibilityView())
	}))
	s.get("/me", func(q *req) error { return q.show("", q.t("web.nav.me"), meView()) })
	s.post("/me/password", s.changePassword)
}

func (s *server) changePassword(q *req) error {
	err := s.Identity.SetPassword(q.ctx, q.actor.ID, q.r.FormValue("password"))
	if err != nil {
		return q.again(err, "", q.t("web.nav.me"), meView())
	}
	token, err := s.Identity.OpenSession(q.ctx, q.actor.ID, "password")
	if err != nil {
		return err
	}
	q.setCookie(sessionCookie, token, sessionAge)
	return q.done("/me", q.t("web.me.password.done"))
}
