package web_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/i18n"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// TestIncidentWithoutScript goes from the declaration to the closed incident by
// links and forms alone.
func TestIncidentWithoutScript(t *testing.T) {
	h := open(t)
	h.signIn()
	at := h.post("/incidents/new", "title", "Payments fail", "impact", "outage")
	if at != "/incidents/INC-1" {
		t.Fatalf("declared: %s", at)
	}
	contains(t, h.get("/"), "INC-1", "Payments fail")
	contains(t, h.get(at), "SEV1", "Acknowledge")
	h.post(at + "/do/acknowledge")
	h.clock.Advance(time.Minute)
	h.post(at+"/do/note", "text", "Looking at the <b>database</b>")
	body := h.get(at)
	if strings.Contains(body, "channel.error") {
		t.Error("a key instead of the cause of a failed delivery")
	}
	contains(t, body, "Looking at the &lt;b&gt;database&lt;/b&gt;")
	contains(t, h.get(at+"/assess?show=1&who=some&what=slower&data=no&trend=stable&change=none"), "SEV3", "Confirm SEV3")
	h.post(at+"/assess", "who", "most", "what", "workaround", "data", "unknown", "trend", "stable", "change", "none")
	contains(t, h.get(at), "SEV2")
	h.post(at+"/do/task", "text", "Call the bank")
	h.post(at+"/phase", "phase", "containment", "told", "everybody")
	h.clock.Advance(time.Minute)
	h.post(at+"/phase", "phase", "recovery", "stopped", "yes")
	h.post(at+"/phase", "phase", "review", "normal", "yes")
	contains(t, h.get(at+"/review"), "Call the bank", "no owner")

	// It cannot be approved without a factor, and says so at the place.
	res, body := h.do("POST", at+"/review/approve", url.Values{})
	if res.StatusCode != 422 {
		t.Errorf("approved a draft: %d", res.StatusCode)
	}
	contains(t, body, "There is a problem", "#f-factors")
	h.post(at+"/actions/ACT-1/change", "text", "Call the bank", "owner", "ana", "due", "2026-12-24")
	h.post(at+"/review", "factor_text", "The pool was too small", "factor_kind", "root", "factor_category", "technology", "then", "submit")
	contains(t, h.get("/"), "To approve:")
	h.post(at + "/review/approve")
	h.post(at + "/do/close")
	contains(t, h.get(at), "Closed")
	contains(t, h.get("/reviews"), "Approved")
	contains(t, h.get("/actions"), "ACT-1", "24 Dec 2026")
	h.post(at+"/actions/ACT-1/done", "evidence", "They answered")
	contains(t, h.get(at+"/actions/ACT-1"), "They answered")
	contains(t, h.get("/"), "Nothing needs you. Last incident:")
}

func TestPhaseBackNeedsAReasonAndKeepsTheText(t *testing.T) {
	h := open(t)
	h.signIn()
	at := h.post("/incidents/new", "title", "Slow")
	h.post(at+"/phase", "phase", "containment", "reason", "clear at once")
	res, body := h.do("POST", at+"/phase", url.Values{"phase": {"detection"}, "checked_by": {"Bob from support"}})
	if res.StatusCode != 422 {
		t.Fatalf("went back without a reason: %d", res.StatusCode)
	}
	contains(t, body, "Bob from support", "#f-reason", "<title>Error:")
}

func TestSecondSubmitIsTheFirst(t *testing.T) {
	h := open(t)
	h.signIn()
	one := h.post("/incidents/new", "title", "Once", "idempotency_key", "k1")
	two := h.post("/incidents/new", "title", "Once", "idempotency_key", "k1")
	h.restart()
	if three := h.post("/incidents/new", "title", "Once", "idempotency_key", "k1"); one != two || one != three {
		t.Errorf("%s and %s", one, two)
	}
	if res, _ := h.do("GET", "/incidents/INC-2", nil); res.StatusCode != 404 {
		t.Errorf("a second incident: %d", res.StatusCode)
	}
}

func TestOtherSitesAndStrangersAreRefused(t *testing.T) {
	h := open(t)
	if res, _ := h.do("GET", "/incidents", nil); res.Header.Get("Location") != "/login?next=%2Fincidents" {
		t.Errorf("a stranger sees: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	h.signIn()
	r, err := http.NewRequest("POST", h.server.URL+"/incidents/new", strings.NewReader("title=x"))
	h.ok(err)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := h.client.Do(r)
	h.ok(err)
	_ = res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("a post from another site: %d", res.StatusCode)
	}
}

// TestAcknowledgePage holds the page of a token to one small request that reading
// does not answer.
func TestAcknowledgePage(t *testing.T) {
	h := open(t)
	var alerts []notify.Alert
	for n := range 20 {
		alerts = append(alerts, notify.Alert{Title: fmt.Sprintf("%d %s", n, strings.Repeat("very long title ", 60))})
	}
	h.notify.view = notify.View{Kind: "page", Person: notify.Person{ID: "ana", Name: "Ana Lopez", Language: "fr", Timezone: "Europe/Paris"}, Pages: 3, Alerts: alerts, AlertCount: 38, Page: notify.Page{
		Ref: "INC-42", Title: "API de paiement", Severity: "sev2", ServiceName: kit.Both("Paiement"), State: notify.PageIsOpen, Since: h.clock.Now().Add(-24 * time.Minute),
		NextPerson: notify.Named{ID: "paul", Name: "Paul Martin"}, NextAt: h.clock.Now().Add(5 * time.Minute),
	}}
	res, body := h.do("GET", "/a/good", nil)
	if res.StatusCode != 200 || len(body) > 10<<10 {
		t.Errorf("%d, %d bytes", res.StatusCode, len(body))
	}
	contains(t, body, "Je m’en charge", "Je ne peux pas", "Paul Martin", "10:05", "INC-42", "Paiement", `lang="fr"`)
	for _, no := range []string{"<script", "<link", "src=", "style=\""} {
		if strings.Contains(body, no) {
			t.Errorf("the page contains %s", no)
		}
	}
	if len(h.notify.answers) != 0 {
		t.Error("reading has answered")
	}
	if to := h.post("/a/good", "answer", "accept"); to != "/a/good" || len(h.notify.answers) != 1 || !h.notify.answers[0] {
		t.Errorf("%s %v", to, h.notify.answers)
	}
	_, body = h.do("GET", "/a/good", nil)
	contains(t, body, "Paul Martin ne sera pas", "/incidents/INC-42")
	if res, body = h.do("GET", "/a/wrong", nil); res.StatusCode != 404 || len(body) > 10<<10 {
		t.Errorf("a wrong token: %d, %d bytes", res.StatusCode, len(body))
	}
}

func TestAlertAndSource(t *testing.T) {
	h := open(t)
	h.signIn()
	res, body := h.do("POST", "/settings/integrations", url.Values{"id": {"prom"}, "kind": {"alertmanager"}, "service": {"shop"}})
	if res.StatusCode != 200 {
		t.Fatalf("source: %d %s", res.StatusCode, problem(body))
	}
	key := regexp.MustCompile(`<code id="key">([^<]+)</code>`).FindStringSubmatch(body)
	if key == nil {
		t.Fatal("no key")
	}
	contains(t, body, "http://tocsin.example/in/"+key[1]+"/alertmanager")
	if strings.Contains(h.get("/settings/integrations/prom"), key[1]) {
		t.Error("the key is shown again")
	}
	h.post("/settings/integrations/prom/test")
	out, err := h.alert.Ingest(h.ana(), []alert.Signal{{Source: "prom", DedupKey: "k", Action: alert.Trigger, Title: "Disk full", Severity: alert.Critical, Service: "shop", Labels: map[string]string{"host": "a"}}})
	h.ok(err)
	contains(t, h.get("/alerts"), "Disk full")
	at := "/alerts/" + out[0].Alert
	contains(t, h.get(at), "Declare from this alert", "host")
	ref := h.post("/incidents/new", "title", "Disk full", "alert", out[0].Alert)
	contains(t, h.get(ref), "Disk full")
	contains(t, h.get(at), "INC-1")
	h.post(at + "/acknowledge")
	h.post(at + "/resolve")
	contains(t, h.get(at), "Resolved", "by hand")
}

func TestPeopleAndKeys(t *testing.T) {
	h := open(t)
	h.signIn()
	at := h.post("/settings/people/new", "id", "bob", "name", "Bob Stone", "email", "bob@example.com", "access", "viewer")
	res, body := h.do("POST", at+"/link", url.Values{})
	link := regexp.MustCompile(`http://tocsin.example(/login/[^<]+)</code>`).FindStringSubmatch(body)
	if res.StatusCode != 200 || link == nil {
		t.Fatalf("no link: %s", problem(body))
	}
	h.post("/settings/roles", "role-commander", "ana", "role-communications", "bob", "role-management", "")
	contains(t, h.get("/settings/people"), "Bob Stone")
	res, body = h.do("POST", "/settings/api-keys", url.Values{"name": {"pipeline"}, "access": {"viewer"}, "expires": {"30"}})
	if res.StatusCode != 200 {
		t.Fatalf("key: %s", problem(body))
	}
	contains(t, body, "shown this once", "pipeline")

	// Bob, a viewer, signs in by the link and sees no control he may not use.
	h.post("/logout")
	h.post(link[1])
	body = h.get("/settings/people")
	if strings.Contains(body, "/settings/people/new") || strings.Contains(body, "integrations") {
		t.Error("a viewer sees the controls of an admin")
	}
	for path, want := range map[string]int{"/settings/people/ana": 403, "/settings/integrations": 403, "/settings/journal": 403, "/settings/about": 200, "/settings/about?check=1": 403, "/on-call": 200} {
		if res, _ := h.do("GET", path, nil); res.StatusCode != want {
			t.Errorf("viewer, %s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

// The checks of the installation show what is not well first, with what mends it.
func TestAboutChecks(t *testing.T) {
	h := open(t)
	h.signIn()
	if body := h.get("/settings/about"); strings.Contains(body, "mail relay is set") {
		t.Error("the checks ran before anybody asked for them")
	}
	body := h.get("/settings/about?check=1")
	contains(t, body, "1 thing to mend", "No mail relay is set", "Set channels.smtp", "In order")
	if strings.Index(body, "No mail relay") > strings.Index(body, "The clock agrees") {
		t.Error("what is well stands first")
	}
}

var links = regexp.MustCompile(`(?:href|action)="(/[^"#]*)`)

// TestEveryLinkLeadsSomewhere follows every link of every page from Now on, in
// both languages, and looks for inline script and style and for missing words.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		t.Run(lang, func(t *testing.T) {
			h := open(t)
			h.lang = lang
			h.signIn()
			h.post("/incidents/new", "title", "Payments fail", "impact", "outage")
			h.post("/incidents/new", "title", "Old one")
			h.post("/incidents/INC-2/phase", "phase", "review", "reason", "over")
			h.post("/incidents/INC-2/actions", "text", "Do it", "owner", "ana", "due", "2026-11-01")
			_, err := h.alert.CreateSource(h.ana(), alert.SourceDef{ID: "prom", Kind: "alertmanager"})
			h.ok(err)
			_, err = h.alert.Ingest(h.ana(), []alert.Signal{{Source: "prom", DedupKey: "k", Action: alert.Trigger, Title: "Disk full", Severity: alert.Critical}})
			h.ok(err)
			h.notify.open = []notify.Page{{ID: "p1", Ref: "INC-1", Title: "Payments fail", Severity: "sev1", OpenedAt: h.clock.Now()}, {ID: "p0", Ref: "INC-1", Title: "Payments fail", Severity: "sev1", OpenedAt: h.clock.Now()}}
			if strings.Contains(h.get("/"), "/pages/p0/") {
				t.Error("two rows for the pages of one incident")
			}
			h.notify.methods = []notify.Method{{ID: "m1", Kind: "email", To: "ana@example.com"}}
			seen := map[string]bool{}
			todo := []string{"/", "/search?q=INC-1", "/search?q=disk", "/settings/journal?verify=1", "/on-call/policies?simulate=1&policy=default&severity=sev1", "/incidents/INC-1/assess?show=1", "/live-nothing"}
			for len(todo) > 0 {
				path := strings.ReplaceAll(todo[0], "&amp;", "&")
				todo = todo[1:]
				if seen[path] || strings.HasPrefix(path, "/static/") || len(seen) > 400 {
					continue
				}
				seen[path] = true
				res, body := h.do("GET", path, nil)
				if path == "/live-nothing" {
					if res.StatusCode != 404 {
						t.Errorf("%s: %d", path, res.StatusCode)
					}
					continue
				}
				if res.StatusCode == http.StatusSeeOther {
					todo = append(todo, res.Header.Get("Location"))
					continue
				}
				if res.StatusCode != 200 && res.StatusCode != http.StatusMethodNotAllowed && !postOnly(path) {
					t.Errorf("%s: %d %s", path, res.StatusCode, problem(body))
					continue
				}
				if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || res.StatusCode != 200 || strings.Contains(path, "/report/") {
					continue
				}
				check(t, lang, path, body)
				for _, m := range links.FindAllStringSubmatch(body, -1) {
					todo = append(todo, m[1])
				}
			}
			if len(seen) < 40 {
				t.Errorf("only %d pages were seen", len(seen))
			}
		})
	}
}

// postOnly are the targets of forms, which answer no GET.
func postOnly(path string) bool {
	for _, part := range []string{"/do/", "/pages/", "/login", "/logout", "/language", "/theme", "/keys", "/methods", "/me/rules", "/quiet-hours", "/overrides", "/settings/roles", "/me/password", "/attach", "/acknowledge", "/resolve", "/detach", "/approve", "/reopen", "/actions/ACT-", "/review", "/actions", "/link", "/suspend", "/test", "/key", "/remove", "/revoke"} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

var (
	rawKey = regexp.MustCompile(`\b(web|core|error|timeline)\.[a-z]+[a-z._]*[a-z]\b`)
	inline = regexp.MustCompile(`<script>|<style|\sstyle=|\son[a-z]+=|javascript:`)
)

func check(t *testing.T, lang, path, body string) {
	t.Helper()
	if s := inline.FindString(body); s != "" {
		t.Errorf("%s: inline %s", path, s)
	}
	if s := rawKey.FindString(problem(body)); s != "" {
		t.Errorf("%s: the key %s instead of words", path, s)
	}
	if strings.Contains(body, "{{") || strings.Contains(body, "&lt;no value") {
		t.Errorf("%s: a template that was not filled", path)
	}
	if n := strings.Count(body, "<h1"); n != 1 {
		t.Errorf("%s: %d h1", path, n)
	}
	if !strings.Contains(body, `<html lang="`+lang+`"`) {
		t.Errorf("%s: not in %s", path, lang)
	}
	if len(body) > 200<<10 {
		t.Errorf("%s: %d bytes", path, len(body))
	}
}

// TestColours holds every pair of text and ground that the pages use to WCAG 2.2
// AA, and every style sheet but the tokens free of raw colours.
func TestColours(t *testing.T) {
	raw, err := os.ReadFile("static/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, _ := bytes.Cut(raw, []byte("@media"))
	dark, forced, _ := bytes.Cut(rest, []byte(`[data-theme="dark"]`))
	themes := map[string]map[string]string{}
	written := pairs(t)
	for name, block := range map[string][]byte{"light": light, "dark": dark, "forced dark": forced} {
		v := map[string]string{}
		themes[name] = v
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+):\s*(#[0-9A-Fa-f]{6})`).FindAllSubmatch(block, -1) {
			v[string(m[1])] = string(m[2])
		}
		if len(v) < 40 {
			t.Fatalf("%s: %d tokens", name, len(v))
		}
		for _, p := range append(written, [][2]string{
			{"text", "bg"},
			{"text", "surface-1"},
			{"text", "surface-2"},
			{"text-muted", "bg"},
			{"text-muted", "surface-1"},
			{"text-muted", "surface-2"},
			{"link", "bg"},
			{"link", "surface-1"},
			{"link", "surface-2"},
			{"on-primary", "primary"},
			{"on-danger", "danger"},
			{"ok", "ok-bg"},
			{"warn", "warn-bg"},
			{"bad", "bad-bg"},
			{"info", "info-bg"},
			{"bad", "bg"},
			{"text", "ok-bg"},
			{"text", "warn-bg"},
			{"text", "bad-bg"},
			{"text", "info-bg"},
			{"sev1", "sev1-bg"},
			{"sev2", "sev2-bg"},
			{"sev3", "sev3-bg"},
			{"sev4", "sev4-bg"},
			{"sev0", "sev0-bg"},
		}...) {
			if c := contrast(v[p[0]], v[p[1]]); c < 4.5 {
				t.Errorf("%s: %s on %s %.2f", name, p[0], p[1], c)
			}
		}
		for _, p := range [][2]string{
			{"control", "bg"},
			{"control", "surface-1"},
			{"control", "surface-2"},
			{"focus", "bg"},
			{"focus", "surface-1"},
			{"focus", "surface-2"},
			{"phase-1", "bg"},
			{"phase-2", "bg"},
			{"phase-3", "bg"},
			{"phase-4", "bg"},
			{"phase-5", "bg"},
			{"sev1-bg", "bg"},
			{"sev2-edge", "bg"},
			{"sev3-edge", "bg"},
			{"sev4-edge", "bg"},
			{"sev0-edge", "bg"},
			{"primary", "bg"},
			{"danger", "bg"},
			{"primary", "surface-1"},
			{"ok", "bg"},
			{"warn", "bg"},
			{"info", "bg"},
			{"bar-operational", "bg"},
			{"bar-degraded", "bg"},
			{"bar-partial", "bg"},
			{"bar-major", "bg"},
			{"bar-maintenance", "bg"},
			{"bar-nodata", "bg"},
			{"chart-1", "bg"},
			{"chart-2", "bg"},
			{"chart-3", "bg"},
			{"chart-4", "bg"},
			{"chart-neutral", "bg"},
		} {
			if c := contrast(v[p[0]], v[p[1]]); c < 3 {
				t.Errorf("%s: %s beside %s %.2f", name, p[0], p[1], c)
			}
		}
	}
	if !maps.Equal(themes["dark"], themes["forced dark"]) {
		t.Error("the dark theme that a person chooses is not that of the system")
	}
	files, _ := filepath.Glob("static/*.css")
	pages, _ := filepath.Glob("*.templ")
	colour := regexp.MustCompile(`(?i)#[0-9a-f]{3,8}\b[;\s,)}]|\brgba?\(|\bhsla?\(|\boklch\(`)
	for _, f := range append(files, pages...) {
		if filepath.Base(f) == "tokens.css" {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if m := colour.Find(b); m != nil {
			t.Errorf("%s: raw colour %s", f, m)
		}
	}
}

// pairs are the colour and the ground of each rule that sets both.
func pairs(t *testing.T) [][2]string {
	t.Helper()
	var out [][2]string
	for _, name := range []string{"static/app.css", "static/ack.css"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range regexp.MustCompile(`\{[^{}]*\}`).FindAll(raw, -1) {
			text := regexp.MustCompile(`[{;\s]color:\s*var\(--([a-z0-9-]+)\)`).FindSubmatch(rule)
			ground := regexp.MustCompile(`background(?:-color)?:\s*var\(--([a-z0-9-]+)\)`).FindSubmatch(rule)
			if text != nil && ground != nil {
				out = append(out, [2]string{string(text[1]), string(ground[1])})
			}
		}
	}
	if len(out) < 15 {
		t.Fatalf("%d pairs in the style sheets", len(out))
	}
	return out
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(hex string) float64 {
	if len(hex) != 7 {
		return 0.5
	}
	part := func(s string) float64 {
		n, _ := strconv.ParseUint(s, 16, 8)
		c := float64(n) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(hex[1:3]) + 0.7152*part(hex[3:5]) + 0.0722*part(hex[5:7])
}

// TestEveryWord holds the keys that are put together in the pages against the
// catalogue.
func TestEveryWord(t *testing.T) {
	for prefix, values := range map[string][]string{
		"web.done.":  {"acknowledge", "note", "task", "task_done", "offer", "take", "accept", "decline", "cancel", "merge", "close", "reopen", "confidential", "public", "edit", "assess", "phase"},
		"web.duty.":  {"ladder:page", "ladder:notice", "commander:page", "commander:notice", "communications:page", "communications:notice", "management:mail"},
		"web.drift.": {"nobody", "unreachable", "no_schedule", "no_method", "silent"}, "web.alert.how.": {"sent", "timeout", "by_hand"},
		"web.alert.severity.": {"critical", "error", "warning", "info"}, "web.review.state.": {"draft", "in_review", "approved", "superseded"},
		"web.review.exception.": {"no_effectiveness_method", "no_risk_link", "sole_author"}, "web.why.": {"rotation", "override", "substitute"},
		"web.delivery.": {"pending", "sending", "sent", "confirmed", "failed", "in_doubt"},
		"web.factor.":   {"trigger", "root", "contributing", "barrier", "luck"}, "web.role.": {"commander", "primary", "secondary", "communications", "management"},
	} {
		for _, v := range values {
			if !i18n.Has(prefix + v) {
				t.Errorf("%s%s has no words", prefix, v)
			}
		}
	}
}

func TestHandoverAndErrorsAtTheirPlace(t *testing.T) {
	h := open(t)
	h.signIn()
	h.post("/settings/people/new", "id", "bob", "name", "Bob Stone", "email", "bob@example.com", "access", "responder")
	at := h.post("/incidents/new", "title", "Slow")
	h.post(at+"/do/offer", "role", "commander", "to", "bob", "briefing", "Take it, please")
	contains(t, h.get(at), "handing over to Bob Stone")
	res, body := h.do("POST", at+"/do/cancel", url.Values{"reason": {""}})
	if res.StatusCode != 422 {
		t.Errorf("cancelled without a reason: %d", res.StatusCode)
	}
	contains(t, body, `href="#f-reason"`, `id="f-reason"`)
	h.post(at+"/actions", "text", "Do it")
	_, body = h.do("POST", at+"/actions/ACT-1/done", url.Values{"evidence": {""}})
	contains(t, body, `href="#f-evidence"`, `id="f-evidence"`)
	_, body = h.do("POST", at+"/actions/ACT-1/cancel", url.Values{"cancel_reason": {""}})
	contains(t, body, `href="#f-cancel_reason"`)

	// A confidential incident does not exist for those who need not know.
	h.post(at+"/do/confidential", "reason", "a person is concerned")
	h.post("/settings/people/new", "id", "eve", "name", "Eve Viewer", "email", "eve@example.com", "access", "admin")
	_, body = h.do("POST", "/settings/people/eve/link", url.Values{})
	link := regexp.MustCompile(`http://tocsin.example(/login/[^<]+)</code>`).FindStringSubmatch(body)
	h.post("/logout")
	h.post(link[1])
	for _, path := range []string{at, at + "/review", at + "/report/json"} {
		if res, _ := h.do("GET", path, nil); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	for _, path := range []string{"/", "/incidents", "/actions", "/reviews", "/search?q=Slow", "/settings/journal"} {
		if body := h.get(path); strings.Contains(body, "INC-1") || strings.Contains(problem(body), "Take it, please") || strings.Contains(body, "ACT-1") {
			t.Errorf("%s tells of the confidential incident", path)
		}
	}
}

// TestLiveTellsTopicsOnly holds the stream to names of what changed, without those
// of incidents that the reader may not know of.
func TestLiveTellsTopicsOnly(t *testing.T) {
	h := open(t)
	h.signIn()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, "GET", h.server.URL+"/live", nil)
	h.ok(err)
	res, err := h.client.Do(r)
	h.ok(err)
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewScanner(res.Body)
	next := func(prefix string) string {
		for in.Scan() {
			if s, ok := strings.CutPrefix(in.Text(), prefix); ok {
				return s
			}
		}
		t.Fatalf("the stream ended: %v", in.Err())
		return ""
	}
	next("data: ")
	hidden, err := h.incident.Declare(kit.WithActor(context.Background(), kit.System(kit.ViaIngest)), incident.Declaration{Title: "Hidden", Confidential: true, Exercise: true, OnlyPerson: "nobody"})
	h.ok(err)
	open, err := h.incident.Declare(kit.WithActor(context.Background(), kit.System(kit.ViaIngest)), incident.Declaration{Title: "Open"})
	h.ok(err)
	for {
		topics := next("data: ")
		if strings.Contains(topics, hidden.ID) {
			t.Errorf("the stream names the hidden incident: %s", topics)
		}
		if strings.Contains(topics, "i-"+open.ID) {
			return
		}
	}
}
