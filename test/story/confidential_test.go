package story_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/app"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/report"
	"tocsin/internal/web"
)

const outsiders = `
apiVersion: tocsin/v1
people:
  - {id: vera, name: Vera Blanc, email: vera@example.com, access: viewer}
  - {id: rita, name: Rita Moss, email: rita@example.com, access: responder}
  - {id: carl, name: Carl Dent, email: carl@example.com, access: communications}
  - {id: max, name: Max Weil, email: max@example.com, access: manager}
  - {id: amir, name: Amir Said, email: amir@example.com, access: admin}
`

// hidden is a confidential incident with something of every kind on it.
type hidden struct {
	*house
	ref, id string
	// words are what no outsider may read anywhere, ids what they may read in the
	// envelopes of the journal alone.
	words, ids []string
	// values fill the parameters of paths.
	values map[string][]string
}

func conceal(t *testing.T, h *house) *hidden {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	system := app.AsSystem(context.Background())
	_, err := h.app.Apply(system, []byte(outsiders), kit.ApplyOptions{})
	ok(err)
	boss := kit.WithActor(context.Background(), kit.Actor{
		Kind: kit.ActorPerson, ID: "camille", Name: "Camille Roy", Via: kit.ViaWeb, Access: kit.AccessAdmin,
		Appointments: []kit.Role{kit.RoleCommander, kit.RoleManagement},
	})
	_, err = h.app.Incident.Declare(boss, incident.Declaration{Title: "Ordinary outage", Services: []string{"payments"}})
	ok(err)
	i, err := h.app.Incident.Declare(boss, incident.Declaration{Title: "Zanzibar theft", Services: []string{"payments"}, Confidential: true, Kind: incident.KindSecurity})
	ok(err)
	c := &hidden{house: h, ref: i.Ref(), id: i.ID, words: []string{"zanzibar"}, ids: []string{i.ID}}
	_, err = h.app.Incident.Note(boss, c.ref, "Zanzibar note", time.Time{}, "")
	ok(err)
	task, err := h.app.Incident.AddTask(boss, c.ref, "Zanzibar task", "ana", time.Time{})
	ok(err)
	offer, err := h.app.Incident.Offer(boss, c.ref, kit.RoleCommander, "paul", "Zanzibar briefing")
	ok(err)
	h.alert("Down", "host-1", true)
	alerts, err := h.app.Alert.List(system, alert.Filter{}, kit.Page{})
	if err != nil || len(alerts.Items) == 0 {
		t.Fatalf("%+v, %v", alerts, err)
	}
	ok(h.app.Alert.Detach(system, alerts.Items[0].ID))
	ok(h.app.Alert.Attach(system, alerts.Items[0].ID, c.id, false))
	var pages kit.List[notify.Page]
	var deliveries []notify.Delivery
	h.eventually("the page of the confidential incident", func() bool {
		pages, err = h.app.Notify.Pages(system, notify.Filter{Incident: c.id})
		ok(err)
		deliveries, err = h.app.Notify.Deliveries(system, c.id)
		ok(err)
		return len(pages.Items) > 0 && len(deliveries) > 0
	})
	_, err = h.app.Incident.Phase(boss, c.ref, incident.InReview, nil, "Zanzibar shortcut")
	ok(err)
	_, err = h.app.Incident.AddAction(boss, c.ref, incident.ActionInput{Text: "Zanzibar action", Owner: "ana"})
	ok(err)
	r, _, err := h.app.Report.Receive(kit.WithActor(context.Background(), report.Reporter(kit.ViaWeb)), report.Incoming{Channel: report.ByForm, Text: "I cannot pay", Service: "payments", Sender: "a"})
	ok(err)
	_, err = h.app.TriageReport(boss, r.Ref, report.Triage{Decision: report.Declare}, "Zanzibar report")
	ok(err)
	told, err := h.app.Report.Get(system, r.Ref)
	ok(err)
	_, err = h.app.Incident.SetConfidential(boss, told.Incident, true, "Zanzibar reason")
	ok(err)
	facts, err := h.app.Ledger().Facts(system, ledger.Filter{Incident: c.id})
	ok(err)
	c.ids = append(c.ids, task.ID, offer.ID, pages.Items[0].ID, pages.Items[0].Ladder)
	c.values = map[string][]string{
		"ref": {c.ref, c.id, "INC-1", "ACT-1", r.Ref}, "word": {h.app.Report.Follow(told)}, "id": append([]string{alerts.Items[0].ID, "vera", "primary", "payments", "default", "prometheus", deliveries[0].ID}, c.ids...),
		"seq": {strconv.FormatInt(facts[0].Seq, 10), strconv.FormatInt(facts[len(facts)-1].Seq, 10)}, "name": {"P.still"}, "action": {"ACT-1"}, "token": {"none"}, "format": {"md", "json"},
	}
	return c
}

var pathParameter = regexp.MustCompile(`\{([a-z]+)(\.\.\.|\$)?\}`)

// fill gives a path with each combination of values for its parameters.
func (c *hidden) fill(path string) []string {
	m := pathParameter.FindStringSubmatchIndex(path)
	if m == nil {
		return []string{path}
	}
	if path[m[0]:m[1]] == "{$}" {
		return []string{strings.TrimSuffix(path, "{$}")}
	}
	values := c.values[path[m[2]:m[3]]]
	if values == nil {
		c.t.Errorf("no value for the parameter of %s", path)
	}
	var out []string
	for _, v := range values {
		out = append(out, c.fill(path[:m[0]]+v+path[m[1]:])...)
	}
	return out
}

// look reads a path and tells what of the secret stands in it.
func (c *hidden) look(path string, with func(*http.Request)) (status int, leak string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	with(req)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if strings.HasSuffix(path, "/live") {
		// The stream never ends: what it tells of the past comes at once.
		time.AfterFunc(400*time.Millisecond, cancel)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil && ctx.Err() == nil {
		c.t.Fatal(err)
	}
	body := strings.ToLower(string(raw) + res.Header.Get("Location"))
	// What the request itself says may come back in the answer.
	for _, said := range []string{path, url.QueryEscape(path)} {
		body = strings.ReplaceAll(body, strings.ToLower(said), "")
	}
	secrets := c.words
	if ref := strings.ToLower(c.ref); !strings.Contains(strings.ToLower(path), ref) {
		secrets = append(slices.Clone(secrets), ref)
	}
	if !strings.Contains(path, "/ledger/") && !strings.Contains(path, "/live") && !strings.Contains(path, "/journal") {
		for _, id := range c.ids {
			if !strings.Contains(path, id) {
				secrets = append(slices.Clone(secrets), id)
			}
		}
	}
	for _, s := range secrets {
		if i := strings.Index(body, s); i >= 0 {
			return res.StatusCode, "… " + body[max(0, i-80):min(len(body), i+80)] + " …"
		}
	}
	return res.StatusCode, ""
}

// apiPaths are the GET calls of the description of the API.
func (c *hidden) apiPaths() (out []string) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if status := c.call(http.MethodGet, "/api/v1/openapi.json", nil, &doc); status != http.StatusOK || len(doc.Paths) < 40 {
		c.t.Fatalf("description: %d, %d paths", status, len(doc.Paths))
	}
	for path, ops := range doc.Paths {
		if ops["get"] != nil {
			out = append(out, c.fill(path)...)
		}
	}
	slices.Sort(out)
	return append(out, "/api/v1/search?q=zanzibar", "/api/v1/incidents?q=zanzibar", "/api/v1/incidents?status=open&exercises=true", "/api/v1/alerts?state=open", "/api/v1/pages?state=open", "/metrics")
}

// A confidential incident does not exist for those who need not know: in no call of
// the API, on no page, whatever their access level.
func TestConfidentialIsNowhere(t *testing.T) {
	c := conceal(t, open(t, app.Config{Data: t.TempDir()}))
	system := app.AsSystem(context.Background())
	paths := c.apiPaths()
	for _, access := range kit.Accesses {
		token, _, err := c.app.Identity.CreateToken(system, identity.NewToken{Name: string(access), Access: access})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			status, leak := c.look(p, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
			if leak != "" || status >= 500 {
				t.Errorf("token of a %s: GET %s: %d %s", access, p, status, leak)
			}
			if strings.Contains(p, "/incidents/"+c.ref) && status != http.StatusNotFound && status != http.StatusForbidden {
				t.Errorf("token of a %s: GET %s: %d, not 404", access, p, status)
			}
		}
	}
	var pages []string
	for _, p := range web.Patterns() {
		if path, ok := strings.CutPrefix(p, "GET "); ok && path != "/login/{token}" && path != "/static/{file...}" && path != "/live" {
			pages = append(pages, c.fill(strings.ReplaceAll(path, "{file}", "app.css"))...)
		}
	}
	pages = append(pages, "/search?q=zanzibar", "/incidents?q=zanzibar", "/incidents?status=all", "/alerts?state=open", "/incidents/new?title=zanzibar+theft")
	for _, who := range []string{"vera", "rita", "carl", "max", "amir"} {
		session := c.session(who)
		for _, p := range pages {
			status, leak := c.look(p, func(r *http.Request) { r.AddCookie(session) })
			if p == "/incidents/new?title=zanzibar+theft" || strings.Contains(p, "q=zanzibar") {
				leak = strings.ReplaceAll(leak, "zanzibar", "")
				leak = map[bool]string{true: "", false: leak}[!strings.Contains(leak, strings.ToLower(c.ref))]
			}
			if leak != "" || status >= 500 {
				t.Errorf("%s: GET %s: %d %s", who, p, status, leak)
			}
		}
	}
	// Those who need to know find it, or the walk above would prove nothing: a token that
	// an admin gave the scope, who commands, and who was paged.
	open, _, err := c.app.Identity.CreateToken(system, identity.NewToken{Name: "open", Access: kit.AccessAdmin, Scopes: []string{"incidents:read", "incidents:write", "oncall:read", "alerts:read", "ledger:read", "incidents:confidential"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := c.count(paths, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+open) }); n < 20 {
		t.Errorf("a token with the scope sees it in %d answers only", n)
	}
	// How often somebody was called counts it for those alone.
	calls := func(ctx context.Context) (n int) {
		load, err := c.app.Load(ctx, c.app.DB().Now().AddDate(0, 0, -7), c.app.DB().Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range load.People {
			n += p.Calls
		}
		return n
	}
	outsider := kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "vera", Name: "Vera", Access: kit.AccessViewer, Via: kit.ViaWeb})
	if all, some := calls(system), calls(outsider); all == 0 || some >= all {
		t.Errorf("of %d calls somebody outside counts %d", all, some)
	}
	boss := c.session("camille")
	if n := c.count(pages, func(r *http.Request) { r.AddCookie(boss) }); n < 20 {
		t.Errorf("its commander sees it on %d pages only", n)
	}
	paged := c.session("ana")
	if n := c.count([]string{"/incidents/" + c.ref, "/search?q=zanzibar"}, func(r *http.Request) { r.AddCookie(paged) }); n != 2 {
		t.Errorf("who was paged sees it on %d pages of 2", n)
	}
}

// count tells in how many answers the secret stands.
func (c *hidden) count(paths []string, with func(*http.Request)) (n int) {
	for _, p := range paths {
		if _, leak := c.look(p, with); leak != "" {
			n++
		}
	}
	return n
}

// session signs a person in and gives the cookie of it.
func (h *house) session(who string) *http.Cookie {
	h.t.Helper()
	link, err := h.app.Identity.LoginLink(app.AsSystem(context.Background()), who)
	if err != nil {
		h.t.Fatal(err)
	}
	token, err := h.app.Identity.UseLoginLink(context.Background(), link)
	if err != nil {
		h.t.Fatal(err)
	}
	return &http.Cookie{Name: "tocsin_session", Value: token}
}

// read gives a page as a person reads it in a language.
func (h *house) read(who *http.Cookie, path, language string) string {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.base+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.AddCookie(who)
	req.AddCookie(&http.Cookie{Name: "tocsin_lang", Value: language})
	res, body := roundTrip(h.t, req)
	if res.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	return body
}
