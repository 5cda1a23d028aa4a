package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/api"
	"tocsin/internal/change"
	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/holiday"
	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
	"tocsin/internal/report"
)

var update = flag.Bool("update", false, "write the golden files")

// bundle is an installation with its interface.
type bundle struct {
	t        *testing.T
	d        *db.DB
	clock    *dbtest.Clock
	ledger   *ledger.Ledger
	identity *identity.Service
	incident *incident.Service
	alert    *alert.Service
	oncall   *oncall.Service
	notify   *notify.Service
	server   *httptest.Server
	tokens   map[string]string
	// session is who holds the session cookie "yes".
	session kit.Actor
}

type nobody struct{}

func (nobody) OnDuty(context.Context, kit.Role, time.Time) (string, error) { return "", nil }
func (nobody) Levels(context.Context) (incident.Overrides, error)          { return nil, nil }
func (nobody) Zone(context.Context) (*time.Location, error)                { return time.UTC, nil }

func (nobody) Appointed(context.Context, kit.Role, time.Time) ([]string, error) { return nil, nil }

func (nobody) Limit(context.Context, string) (time.Duration, error) { return 30 * time.Minute, nil }

type people struct{ s *identity.Service }

func (p people) Active(ctx context.Context, id string) (bool, error) {
	x, err := p.s.Person(ctx, id)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return false, nil
	}
	return err == nil && !x.Suspended, err
}

func (p people) States(ctx context.Context, ids []string, _ time.Time) (map[string]oncall.PersonState, error) {
	out := map[string]oncall.PersonState{}
	for _, id := range ids {
		if x, err := p.s.Person(ctx, id); err == nil {
			out[id] = oncall.PersonState{Name: x.Name}
		}
	}
	return out, nil
}

func (people) Team(context.Context, string) ([]string, bool, error) { return nil, false, nil }
func (people) Zone(context.Context) (string, error)                 { return "Europe/Paris", nil }
func (people) Holidays(context.Context) (holiday.Calendar, error)   { return holiday.New("FR", nil), nil }

func (p people) Known(ctx context.Context, ids []string) (map[string]notify.Person, error) {
	out := map[string]notify.Person{}
	for _, id := range ids {
		if x, err := p.s.Person(ctx, id); err == nil {
			out[id] = notify.Person{ID: id, Name: x.Name, Email: x.Email, Language: "en", Timezone: "Europe/Paris"}
		}
	}
	return out, nil
}

func (nobody) Reachable(_ context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out, nil
}

func (nobody) Methods(context.Context, string, string) ([]oncall.Method, error) {
	return []oncall.Method{{Method: "email"}}, nil
}
func (nobody) Policy(context.Context, string) (string, error) { return "", nil }
func (nobody) Duration(context.Context, string) (time.Duration, error) {
	return 30 * time.Minute, nil
}

type standing struct{}

func (standing) Appointed(context.Context, kit.Role) ([]string, error) { return []string{"paul"}, nil }

type sees struct{ s *incident.Service }

func (v sees) Sees(ctx context.Context, ids []string) (map[string]bool, error) {
	return v.s.Visible(ctx, ids)
}

type words struct{}

func (words) T(lang, key string, args map[string]any) string { return i18n.T(lang, key, args) }
func (words) Time(lang string, t time.Time, zone *time.Location, now time.Time) string {
	return i18n.Time(lang, t, zone, now)
}

func each(t *testing.T, fn func(t *testing.T, b *bundle)) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 123456000, time.UTC))
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(time.Date(2026, 11, 23, 9, 0, 0, 123456000, time.UTC))
		fn(t, start(t, d, clock))
	})
}

func start(t *testing.T, d *db.DB, clock *dbtest.Clock) *bundle {
	t.Helper()
	b := &bundle{t: t, d: d, clock: clock, ledger: ledger.New(d), tokens: map[string]string{}}
	b.identity = identity.New(d, identity.Options{})
	b.incident = incident.New(b.ledger, b.identity, nobody{}, nobody{}, people{b.identity}, nobody{})
	b.alert = alert.New(d, b.identity)
	b.notify = notify.New(d, notify.Ports{
		Rights: b.identity, People: people{b.identity}, Words: words{}, Incidents: sees{b.incident},
		BaseURL: func() string { return "https://tocsin.example" }, Key: []byte("a key of at least 16 bytes"),
	})
	b.oncall = oncall.New(b.ledger, oncall.Ports{
		Rights: b.identity, People: people{b.identity}, Reach: nobody{}, Appointments: standing{}, Services: nobody{}, Parameters: nobody{},
	})
	ctx := kit.WithActor(t.Context(), kit.System(kit.ViaCLI))
	if err := b.alert.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.alert.Stop)
	b.must(b.identity.SetUp(ctx, identity.SetUp{
		Organisation: "Exemple SAS", Country: "FR", Timezone: "Europe/Paris", Name: "Ana Lopez", Email: "ana@example.com",
		Password: "correct horse battery",
	}))
	for _, p := range []identity.Person{
		{ID: "paul", Name: "Paul Roy", Email: "paul@example.com", Access: kit.AccessResponder},
		{ID: "vera", Name: "Vera Blanc", Email: "vera@example.com", Access: kit.AccessViewer},
	} {
		if err := b.identity.AddPerson(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []identity.NewToken{
		{Name: "admin", Access: kit.AccessAdmin},
		{Name: "manager", Access: kit.AccessManager},
		{Name: "responder", Access: kit.AccessResponder},
		{Name: "viewer", Access: kit.AccessViewer},
		{Name: "narrow", Access: kit.AccessAdmin, Scopes: []string{"alerts:read"}},
		{Name: "secret", Access: kit.AccessManager, Scopes: []string{"incidents:confidential", "incidents:write", "ledger:read"}},
		{Name: "short", Access: kit.AccessAdmin, Expires: time.Hour},
	} {
		token, _, err := b.identity.CreateToken(ctx, n)
		if err != nil {
			t.Fatal(n.Name, err)
		}
		b.tokens[n.Name] = token
	}
	if _, err := b.alert.CreateSource(ctx, alert.SourceDef{ID: "prometheus", Kind: "alertmanager", Service: "payments", Key: "k-prometheus"}); err != nil {
		t.Fatal(err)
	}
	b.server = httptest.NewServer(api.New(api.Deps{
		Ledger: b.ledger, Identity: b.identity, Incident: b.incident, Alert: b.alert, Change: change.New(d, b.identity), Finding: finding.New(d, b.identity, nil), History: history.New(d, b.identity), Reports: report.New(d, b.identity, nil, []byte("key")),
		Services: continuity.New(d, b.identity), Oncall: b.oncall, Notify: b.notify, BaseURL: "https://tocsin.example", Version: "1.2.3",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Session: func(r *http.Request) (kit.Actor, error) {
			if c, err := r.Cookie("session"); err == nil && c.Value == "yes" {
				return b.session, nil
			}
			return kit.Actor{}, nil
		},
		Apply: func(_ context.Context, file []byte, o kit.ApplyOptions) ([]kit.Change, error) {
			return []kit.Change{{Section: "people", ID: "ana", Op: fmt.Sprintf("%d bytes, dry %v", len(file), o.DryRun)}}, nil
		},
		SelfTested: func(_ context.Context, passed bool, path string, took time.Duration, reason string) error { return nil },
		ExportIncidents: func(_ context.Context, format string, w io.Writer) error {
			_, err := io.WriteString(w, "as "+format)
			return err
		},
		Export: func(context.Context) ([]byte, error) { return []byte("apiVersion: tocsin/v1\n"), nil },
		Report: func(_ context.Context, ref, format, level, lang string) (string, string, []byte, error) {
			return ref + "." + format, "text/plain", []byte(strings.Join([]string{ref, format, level, lang}, " ")), nil
		},
	}))
	t.Cleanup(b.server.Close)
	return b
}

func (b *bundle) must(_ any, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// call is one request of a scenario.
type call struct {
	name   string
	as     string
	method string
	path   string
	body   string
	header map[string]string
	status int
	// code is that of the problem, has what the body must contain, hasNot what not.
	code   string
	has    []string
	hasNot []string
	// facts are the types appended by the call, in order.
	facts []string
}

// reply is an answer as read.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (b *bundle) do(c call) reply {
	b.t.Helper()
	path := c.path
	if !strings.HasPrefix(path, "/api") {
		path = "/api/v1" + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), c.method, b.server.URL+path, strings.NewReader(c.body))
	if err != nil {
		b.t.Fatal(err)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.as != "" {
		token := b.tokens[c.as]
		if token == "" {
			token = c.as
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := reply{status: res.StatusCode, header: res.Header, body: string(raw)}
	_ = json.Unmarshal(raw, &r.json)
	return r
}

func (b *bundle) head() int64 {
	b.t.Helper()
	n, _, err := b.ledger.Head(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bundle) types(after int64) []string {
	b.t.Helper()
	l, err := b.ledger.Facts(b.t.Context(), ledger.Filter{After: after})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, f := range l {
		out = append(out, f.Type)
	}
	return out
}

// run does the calls in order and checks answers and facts.
func (b *bundle) run(calls ...call) {
	b.t.Helper()
	for _, c := range calls {
		name := c.name
		if name == "" {
			name = c.method + " " + c.path
		}
		before := b.head()
		r := b.do(c)
		if r.status != c.status {
			b.t.Errorf("%s: status %d, want %d: %s", name, r.status, c.status, r.body)
			continue
		}
		if c.status >= 400 {
			b.problem(name, c, r)
		}
		for _, h := range c.has {
			if !strings.Contains(r.body, h) {
				b.t.Errorf("%s: no %s in %s", name, h, r.body)
			}
		}
		for _, h := range c.hasNot {
			if strings.Contains(r.body, h) {
				b.t.Errorf("%s: %s in %s", name, h, r.body)
			}
		}
		if got := b.types(before); !reflect.DeepEqual(got, c.facts) {
			b.t.Errorf("%s: facts %v, want %v", name, got, c.facts)
		}
	}
}

func (b *bundle) problem(name string, c call, r reply) {
	b.t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		b.t.Errorf("%s: content type %s", name, got)
	}
	if want := "/problems/" + c.code; r.json["type"] != want {
		b.t.Errorf("%s: type %v, want %s: %s", name, r.json["type"], want, r.body)
	}
	for _, k := range []string{"title", "detail", "instance", "request_id"} {
		if s, _ := r.json[k].(string); s == "" || strings.HasPrefix(s, "error.") || strings.HasPrefix(s, "api.") {
			b.t.Errorf("%s: %s is %q", name, k, s)
		}
	}
	if got, _ := r.json["status"].(float64); int(got) != c.status {
		b.t.Errorf("%s: status in the body %v", name, r.json["status"])
	}
}

func TestOpenAPI(t *testing.T) {
	b := start(t, dbtest.OpenSQLite(t, dbtest.NewClock(time.Now())), nil)
	r := b.do(call{method: "GET", path: "/api/v1/openapi.json"})
	if r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(r.body+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(r.body+"\n")) {
		t.Errorf("the OpenAPI document changed; run go test ./internal/api -update and look at the difference")
	}
	for name := range r.json["components"].(map[string]any)["schemas"].(map[string]any) {
		if strings.ContainsAny(name, " {}[]\"") {
			t.Errorf("schema %q", name)
		}
	}
	page := b.do(call{method: "GET", path: "/api/docs"})
	if page.status != http.StatusOK || !strings.Contains(page.body, "/api/v1/incidents/{ref}/assess") || strings.Contains(page.body, "<script") {
		t.Errorf("docs: %d", page.status)
	}
}

// jsonNumber is a number of an answer as text.
func jsonNumber(v any) string {
	f, _ := v.(float64)
	return fmt.Sprintf("%.0f", f)
}
