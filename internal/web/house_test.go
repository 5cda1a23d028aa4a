package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/dossier"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/holiday"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
	"tocsin/internal/report"
	"tocsin/internal/web"
)

const password = "correct horse battery"

// house is a served installation with one admin, ana, who is on duty.
type house struct {
	*testing.T
	d        *db.DB
	l        *ledger.Ledger
	clock    *dbtest.Clock
	identity *identity.Service
	incident *incident.Service
	alert    *alert.Service
	oncall   *oncall.Service
	notify   *pager
	server   *httptest.Server
	deps     web.Deps
	client   *http.Client
	lang     string
}

type limits struct{}

func (limits) Limits(context.Context) (finding.Limits, error) {
	return finding.Limits{Severity: finding.High, Triage: 7, Fix: map[finding.Severity]int{finding.Critical: 14}, Zone: time.UTC}, nil
}

func (limits) ReportLimits(context.Context) (report.Limits, error) {
	return report.Limits{Triage: 4 * time.Hour, Count: 3, Window: 10 * time.Minute}, nil
}

func (limits) PublicServices(context.Context) ([]string, error) { return []string{"payments"}, nil }

// triage decides about a report, as the app does.
func (h *house) triage(ctx context.Context, ref string, t report.Triage, title string) (report.Report, error) {
	if err := t.Check(); err != nil {
		return report.Report{}, err
	}
	switch t.Decision {
	case report.Declare:
		i, err := h.incident.Declare(ctx, incident.Declaration{Title: title, How: "report"})
		if err != nil {
			return report.Report{}, err
		}
		t.Incident = i.ID
	case report.Attach:
		i, err := h.incident.Get(ctx, t.Incident)
		if err != nil {
			return report.Report{}, kit.InvalidField("incident", "error.not_found", "id", t.Incident)
		}
		t.Incident = i.ID
	}
	return h.deps.Report.Decide(ctx, ref, t)
}

// ports answers what modules ask of each other, as the app does.
type ports struct{ h *house }

func (p ports) Active(ctx context.Context, person string) (bool, error) {
	_, err := p.h.identity.Person(ctx, person)
	return err == nil, nil
}

func (p ports) Appointed(ctx context.Context, role kit.Role, at time.Time) ([]string, error) {
	list, err := p.h.identity.AppointedAt(ctx, role, at)
	var out []string
	for _, x := range list {
		out = append(out, x.ID)
	}
	return out, err
}

func (p ports) Limit(ctx context.Context, name string) (time.Duration, error) {
	return p.h.identity.Parameter(ctx, name)
}

func (p ports) Duration(ctx context.Context, name string) (time.Duration, error) {
	return p.h.identity.Parameter(ctx, name)
}

func (ports) Levels(context.Context) (incident.Overrides, error) { return nil, nil }

func (ports) Zone(context.Context) (*time.Location, error) { return time.LoadLocation("Europe/Paris") }

type duty struct{ ports }

func (d duty) States(ctx context.Context, ids []string, _ time.Time) (map[string]oncall.PersonState, error) {
	out := map[string]oncall.PersonState{}
	for _, id := range ids {
		if p, err := d.h.identity.Person(ctx, id); err == nil {
			out[id] = oncall.PersonState{Name: p.Name}
		}
	}
	return out, nil
}
func (duty) Team(context.Context, string) ([]string, bool, error) { return nil, false, nil }
func (duty) Zone(context.Context) (string, error)                 { return "Europe/Paris", nil }
func (duty) Holidays(context.Context) (holiday.Calendar, error)   { return holiday.New("FR", nil), nil }

func (duty) Reachable(_ context.Context, people []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, p := range people {
		out[p] = true
	}
	return out, nil
}

func (duty) Methods(context.Context, string, string) ([]oncall.Method, error) {
	return []oncall.Method{{Method: "email"}}, nil
}
func (duty) Policy(context.Context, string) (string, error) { return "", nil }

type appointed struct{ ports }

func (a appointed) Appointed(ctx context.Context, role kit.Role) ([]string, error) {
	return a.ports.Appointed(ctx, role, a.h.clock.Now())
}

// pager is a fake of notify with one page, which belongs to the token "good".
type pager struct {
	view    notify.View
	open    []notify.Page
	methods []notify.Method
	rules   []notify.Rule
	quiet   *notify.QuietHours
	answers []bool
	via     kit.Via
	// returned counts how often the page was given back.
	returned int
	retried  string
}

func (p *pager) Pages(context.Context, notify.Filter) (kit.List[notify.Page], error) {
	return kit.List[notify.Page]{Items: p.open, Total: len(p.open)}, nil
}

func (p *pager) Answer(_ context.Context, page string, accept bool) error {
	p.open, p.answers = nil, append(p.answers, accept)
	return nil
}

func (p *pager) PageByToken(_ context.Context, token string) (notify.View, error) {
	if token != "good" {
		return notify.View{}, kit.NotFound("page", "")
	}
	return p.view, nil
}

func (p *pager) AnswerByToken(_ context.Context, token string, accept bool, via kit.Via) error {
	if token != "good" {
		return kit.NotFound("page", "")
	}
	p.answers, p.via = append(p.answers, accept), via
	p.view.Page.State = notify.PageIsAcknowledged
	return nil
}

func (p *pager) GiveBack(_ context.Context, token string, _ kit.Via) error {
	if token != "good" {
		return kit.NotFound("page", "")
	}
	p.returned++
	p.view.Page.EndedReason = notify.PageReturned
	return nil
}

func (*pager) Deliveries(context.Context, string) ([]notify.Delivery, error) {
	return []notify.Delivery{{ID: "d1", Message: "page", Recipient: notify.Named{ID: "ana", Name: "Ana"}, Kind: "email", State: notify.Failed, Error: "channel.error.no_relay"}}, nil
}

func (p *pager) Methods(context.Context, string) ([]notify.Method, error) { return p.methods, nil }

func (p *pager) SaveMethod(_ context.Context, _ string, m notify.Method) error {
	p.methods = append(p.methods, m)
	return nil
}

func (*pager) LastTests(_ context.Context, people []string) (map[string]notify.Tested, error) {
	out := map[string]notify.Tested{}
	for _, p := range people {
		out[p] = notify.Tested{Stale: true}
	}
	return out, nil
}
func (*pager) Rules(context.Context, string) ([]notify.Rule, error)          { return nil, nil }
func (p *pager) SetRules(_ context.Context, _ string, r []notify.Rule) error { p.rules = r; return nil }
func (*pager) Quiet(context.Context, string) (*notify.QuietHours, error)     { return nil, nil }
func (p *pager) SetQuiet(_ context.Context, _ string, q *notify.QuietHours) error {
	p.quiet = q
	return nil
}

func (p *pager) RemoveMethod(context.Context, string, string) error           { p.methods = nil; return nil }
func (*pager) SendTest(context.Context, string, string) (string, error)       { return "d2", nil }
func (*pager) Failed(context.Context) ([]notify.Delivery, error)              { return nil, nil }
func (*pager) Questions(context.Context, string) ([]notify.NoticeView, error) { return nil, nil }
func (*pager) AnswerQuestion(context.Context, string, bool) error             { return nil }
func (p *pager) Retry(_ context.Context, id string) error                     { p.retried = id; return nil }

func open(t *testing.T) *house {
	t.Helper()
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	d := dbtest.OpenSQLite(t, clock)
	h := &house{T: t, d: d, l: ledger.New(d), clock: clock, notify: &pager{}}
	h.identity = identity.New(d, identity.Options{})
	_, err := h.identity.SetUp(context.Background(), identity.SetUp{
		Organisation: "Exemple SAS", Country: "FR", Timezone: "Europe/Paris", Languages: []string{"fr", "en"},
		Name: "Ana Lopez", Email: "ana@example.com", Password: password,
	})
	h.ok(err)
	p := ports{h}
	h.oncall = oncall.New(h.l, oncall.Ports{Rights: h.identity, People: duty{p}, Reach: duty{p}, Appointments: appointed{p}, Services: duty{p}, Parameters: p})
	h.incident = incident.New(h.l, h.identity, h.oncall, p, p, p)
	h.alert = alert.New(d, h.identity)
	h.ok(h.alert.Start(context.Background()))
	t.Cleanup(h.alert.Stop)
	registry := continuity.New(d, h.identity)
	names := func(context.Context) (func(kind, id string) string, error) {
		return func(_, id string) string { return id }, nil
	}
	h.deps = web.Deps{
		Identity: h.identity, Incident: h.incident, Alert: h.alert, Change: change.New(d, h.identity), Ledger: h.l, Oncall: h.oncall,
		Finding: finding.New(d, h.identity, limits{}), History: history.New(d, h.identity), Report: report.New(d, h.identity, limits{}, []byte("key")), Triage: h.triage, Service: registry,
		Known: func(context.Context) ([]report.Known, error) {
			return []report.Known{{Service: kit.Text{FR: "Paiement", EN: "Payments"}, Since: clock.Now().Add(-time.Hour)}}, nil
		},
		ExportIncidents: func(_ context.Context, format string, w io.Writer) error {
			_, err := io.WriteString(w, "as "+format)
			return err
		},
		Notify: h.notify, Dossier: dossier.New(h.incident, h.l, names), Clock: clock,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), BaseURL: "http://tocsin.example", Version: "test",
		Load: func(_ context.Context, from, to time.Time) (kit.Load, error) {
			weeks := []kit.WeekLoad{{From: from, Calls: 3, NightCalls: 1}, {From: from.AddDate(0, 0, 7)}}
			return kit.Load{From: from, To: to, People: []kit.PersonLoad{
				{ID: "ana", Name: "Ana Lopez", Duty: 84 * time.Hour, Nights: 3, Weekend: 48 * time.Hour, Calls: 3, NightCalls: 1, Interrupted: 1, Needed: 2, Weeks: weeks},
			}}, nil
		},
		Readiness: func(ctx context.Context) (kit.Readiness, error) {
			if err := h.identity.Require(ctx, "page.someone"); err != nil {
				return kit.Readiness{}, err
			}
			return kit.Readiness{
				Findings: []kit.Finding{{Check: "mail", State: kit.FindingWarn, Key: "doctor.mail.none"}},
				People: []kit.ReadyPerson{
					{ID: "ana", Name: "Ana Lopez", Duties: []string{"primary"}, Roles: []string{"commander"}, Next: clock.Now(), Ways: []kit.ReadyWay{{Kind: "email", VerifiedAt: clock.Now()}, {Kind: "sms"}, {Kind: "webhook", VerifiedAt: clock.Now(), Stale: true}, {Kind: "voice", Disabled: true}}},
					{ID: "paul", Name: "Paul Durand", Duties: []string{"secondary"}, Next: clock.Now().Add(24 * time.Hour)},
				},
			}, nil
		},
		Doctor: func(ctx context.Context) ([]kit.Finding, error) {
			if err := h.identity.Require(ctx, "settings.see"); err != nil {
				return nil, err
			}
			return []kit.Finding{{Check: "database", State: kit.FindingOK, Key: "doctor.clock.ok"}, {Check: "mail", State: kit.FindingWarn, Key: "doctor.mail.none"}}, nil
		},
	}
	h.restart()
	jar, err := cookiejar.New(nil)
	h.ok(err)
	h.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.lang = "en"
	return h
}

// restart serves the pages anew, as another node or after a restart.
func (h *house) restart() {
	h.server = httptest.NewServer(web.New(h.deps))
	h.Cleanup(h.server.Close)
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) do(method, path string, form url.Values) (*http.Response, string) {
	h.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, h.server.URL+path, body)
	h.ok(err)
	r.Header.Set("Accept-Language", h.lang)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := h.client.Do(r)
	h.ok(err)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	h.ok(err)
	return res, string(b)
}

// get gives a page that must answer 200.
func (h *house) get(path string) string {
	h.Helper()
	res, body := h.do("GET", path, nil)
	if res.StatusCode != 200 {
		h.Fatalf("GET %s: %d %s", path, res.StatusCode, problem(body))
	}
	return body
}

// post sends a form that must be answered with a redirect, and gives its target.
func (h *house) post(path string, pairs ...string) string {
	h.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	res, body := h.do("POST", path, form)
	if res.StatusCode != http.StatusSeeOther {
		h.Fatalf("POST %s: %d %s", path, res.StatusCode, problem(body))
	}
	return res.Header.Get("Location")
}

var main = regexp.MustCompile(`(?s)<main.*?</main>`)

func problem(body string) string {
	s := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(main.FindString(body), " ")
	return strings.Join(strings.Fields(s), " ")
}

func (h *house) signIn() {
	h.Helper()
	h.post("/login", "email", "ana@example.com", "password", password)
}

func (h *house) ana() context.Context {
	return kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana Lopez", Via: kit.ViaWeb, Access: kit.AccessAdmin})
}

func contains(t *testing.T, body string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(body, w) {
			t.Errorf("the page does not contain %q: %s", w, problem(body))
		}
	}
}
