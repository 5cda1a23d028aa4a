package browser_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tocsin/internal/web"
)

// notPages are answers of the mux that are no page: files, streams, ways to another page.
var notPages = []string{
	"GET /static/{name}", "GET /sw.js", "GET /.well-known/security.txt", "GET /alerts/maintenance", "GET /live", "GET /settings", "GET /actions/mine", "GET /on-call/schedule/{id}/calendar.ics", "GET /on-call/schedules", "GET /on-call/schedules/{id}", "GET /on-call/policies/{id}", "GET /incidents/{ref}/report/{format}", "GET /export/incidents/{format}",
}

// page is one page with the parameters of the sample.
type page struct{ pattern, path string }

// known are the parameters of the sample: for each pattern the paths to visit.
func (h *house) known() map[string][]string {
	h.Helper()
	alerts := h.firstLink("/alerts", `href="/alerts/([^"/?]+)"`)
	return map[string][]string{
		"GET /incidents":                        {"/incidents", "/incidents?status=open", "/incidents?q=nothing-like-it"},
		"GET /incidents/{ref}":                  {"/incidents/INC-5", "/incidents/INC-3", "/incidents/INC-1", "/incidents/INC-999"},
		"GET /incidents/{ref}/review":           {"/incidents/INC-1/review"},
		"GET /incidents/{ref}/report":           {"/incidents/INC-1/report"},
		"GET /incidents/{ref}/actions/{action}": {"/incidents/INC-1/actions/ACT-1"},
		"GET /incidents/{ref}/lines/{seq}":      {"/incidents/INC-5/lines/" + h.firstLink("/incidents/INC-5", `/incidents/INC-5/lines/(\d+)`)},
		"GET /alerts/{id}":                      {"/alerts/" + alerts},
		"GET /findings/{ref}":                   {"/findings/FND-1"},
		"GET /past-incidents/{ref}":             {"/past-incidents/PAST-1"},
		"GET /settings/import/{id}":             {"/settings/import/" + h.staged},
		"GET /reports/{ref}":                    {"/reports/REP-1", "/reports/REP-2"},
		"GET /report/{word}":                    {"/report/" + h.follow + "?sent=1", "/report/unknown"},
		"GET /report":                           {"/report", "/report?kind=vulnerability"},
		"GET /settings/people/{id}":             {"/settings/people/paul"},
		"GET /settings/integrations/{id}":       {"/settings/integrations/prometheus", "/settings/integrations/shop-window", "/settings/integrations/uptime"},
		"GET /on-call/policies":                 {"/on-call/policies", "/on-call/policies?simulate=1&service=payments&severity=sev1&away=ana&at=2026-12-25T03:00"},
		"GET /on-call/schedule/{id}/edit":       {"/on-call/schedule/primary/edit"},
		"GET /on-call/policies/{id}/edit":       {"/on-call/policies/default/edit"},
		"GET /on-call/swap":                     {html.UnescapeString(h.firstLink("/on-call/me", `href="(/on-call/swap\?[^"]+)"`))},
		"GET /search":                           {"/search", "/search?q=paiements"},
		"GET /a/{token}":                        {"/a/" + h.token(), "/a/unknown"},
	}
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// list gives every page of the product: one that is not known by its parameters is
// tried with the open incident, and is a failure otherwise.
func (h *house) list() (in, out, fresh []page) {
	h.Helper()
	known := h.known()
	for _, p := range web.Patterns() {
		path, isGet := strings.CutPrefix(p, "GET ")
		if !isGet || slices.Contains(notPages, p) {
			continue
		}
		path = strings.ReplaceAll(strings.TrimSuffix(path, "{$}"), "{ref}", "INC-5")
		switch {
		case p == "GET /setup":
			fresh = append(fresh, page{p, path})
		case p == "GET /login":
			out = append(out, page{p, path})
		case p == "GET /login/{token}":
			out = append(out, page{p, "/login/" + h.loginLink()})
		case known[p] != nil:
			for _, one := range known[p] {
				in = append(in, page{p, one})
			}
		case parameter.MatchString(path):
			h.Errorf("no parameters for %s: give them in known, so that the page is looked at", p)
		default:
			in = append(in, page{p, path})
		}
	}
	return in, out, fresh
}

func (h *house) firstLink(path, pattern string) string {
	h.Helper()
	jar := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	token, _, err := h.app.Identity.SignIn(h.Context(), email, password, "127.0.0.1")
	h.ok(err)
	req, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.app.BaseURL()+path, nil)
	h.ok(err)
	req.AddCookie(&http.Cookie{Name: "tocsin_session", Value: token})
	res, err := jar.Do(req)
	h.ok(err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	h.ok(err)
	m := regexp.MustCompile(pattern).FindSubmatch(body)
	if m == nil {
		h.Errorf("%s: no link like %s", path, pattern)
		return "none"
	}
	return string(m[1])
}

// atEachLoad are the rules that hold for a document however it is shown.
const atEachLoad = `(() => {
  const bad = [], ack = location.pathname.startsWith("/a/");
  const h1 = document.querySelectorAll("h1").length;
  if (h1 !== 1) bad.push(h1 + " h1");
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id), twice = ids.filter((x, i) => ids.indexOf(x) !== i);
  if (twice.length) bad.push("duplicate id " + twice);
  const inline = document.querySelectorAll("script:not([src]), [style]" + (ack ? "" : ", style"));
  if (inline.length) bad.push("inline script or style: " + inline[0].outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll("*")) for (const a of e.attributes) if (/^on/.test(a.name)) bad.push("handler attribute " + a.name);
  const key = document.body.innerText.match(/\b(web|core|error|channel)\.[a-z_]+[a-z_.]*\b/);
  if (key) bad.push("untranslated " + key[0]);
  const nav = performance.getEntriesByType("navigation")[0];
  const limit = ack ? 10000 : 30000;
  if (nav.encodedBodySize > limit) bad.push(nav.encodedBodySize + " bytes, at most " + limit);
  if (ack && performance.getEntriesByType("resource").length) bad.push("more than one request: " + performance.getEntriesByType("resource").map(r => r.name));
  return bad;
})()`

// atEachWidth are the rules of layout.
const atEachWidth = `(() => {
  const bad = [], wide = document.documentElement.scrollWidth, w = innerWidth;
  const name = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + "." + e.className + " " + (e.innerText || e.value || "").trim().slice(0, 30);
  if (wide > w) {
    const out = [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest(".hidden"));
    bad.push("overflow " + wide + " > " + w + ": " + out.slice(0, 2).map(name));
  }
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")) {
    if (!e.checkVisibility({visibilityProperty: true}) || e.closest(".hidden, .skip") || e.matches(".skip, .hidden")) continue;
    let r = e.getBoundingClientRect(), height = r.height, width = r.width;
    if (e.labels && /checkbox|radio/.test(e.type)) for (const l of e.labels) { const b = l.getBoundingClientRect(); height = Math.max(height, b.height); width += b.width; }
    const inText = e.matches("a") && getComputedStyle(e).display === "inline" && [...e.parentNode.childNodes].some(n => n !== e && n.textContent.trim());
    if (!inText && (height < 23.9 || width < 23.9)) bad.push("target " + Math.round(width) + "×" + Math.round(height) + ": " + name(e));
    if (w === 390 && e.matches(".primary, .danger, .big") && (height < 43.9 || width < 43.9)) bad.push("primary target " + Math.round(width) + "×" + Math.round(height) + ": " + name(e));
  }
  return bad;
})()`

// longer makes each word of the page longer by a third, as another language would.
const longer = `(() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (!walk.currentNode.parentNode.closest("script, style, code, textarea")) walk.currentNode.data = walk.currentNode.data.replace(/\p{L}+/gu, w => w + w.slice(0, Math.ceil(w.length * .3)));
})()`

const runAxe = `axe.run(document, {runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"], resultTypes: ["violations"], preload: false})
  .then(r => r.violations.map(v => v.impact + " " + v.id + ": " + v.nodes.slice(0, 3).map(n => n.target.join(" ") + " " + (n.any[0] ? n.any[0].message.slice(0, 110) : "")).join(" | ")))`

var notFound = regexp.MustCompile(`Failed to load resource: the server responded with a status of 404`)

// TestPages holds every page, in both languages, light and dark, narrow and wide, to
// the checklist of the user experience.
func TestPages(t *testing.T) {
	script := axe(t)
	browser := chrome(t)
	h := furnished(t)
	in, out, fresh := h.list()
	bare := open(t)
	for _, lang := range []string{"fr", "en"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			b := newTab(t, browser, h.app.BaseURL())
			b.goTo("/login")
			if eval[string](b, "document.documentElement.lang") != lang {
				b.press(`form[action="/language"] button`)
			}
			for _, p := range out {
				b.look(p, lang, script)
			}
			b.base = bare.app.BaseURL()
			for _, p := range fresh {
				b.look(p, lang, script)
			}
			b.base = h.app.BaseURL()
			b.signIn(lang)
			for _, p := range in {
				b.look(p, lang, script)
			}
		})
	}
}

func (b *tab) look(p page, lang, script string) {
	b.Helper()
	say := func(how string, bad []string) {
		b.Helper()
		for _, x := range bad {
			b.Errorf("%s (%s) %s %s: %s", p.path, p.pattern, lang, how, x)
		}
	}
	b.told()
	b.size(1440, 900)
	b.theme("light")
	b.goTo(p.path)
	if at := strings.TrimPrefix(b.where(), b.base); at != p.path {
		say("", []string{"leads to " + at})
	}
	if got := eval[string](b, "document.documentElement.lang"); got != lang && !strings.HasPrefix(p.path, "/a/") {
		say("", []string{"lang " + got})
	}
	say("", eval[[]string](b, atEachLoad))
	b.run(chromedp.Evaluate(script, nil))
	for _, width := range []int64{1440, 390, 320} {
		b.size(width, 900)
		say(fmt.Sprint(width), eval[[]string](b, atEachWidth))
		if width == 320 {
			continue
		}
		for _, theme := range []string{"light", "dark"} {
			b.theme(theme)
			say(fmt.Sprintf("%d %s", width, theme), eval[[]string](b, runAxe))
			b.picture(p.path, lang, theme, width)
		}
	}
	if lang == "en" {
		b.size(390, 900)
		b.run(chromedp.Evaluate(longer, nil))
		say("390 in longer words", eval[[]string](b, atEachWidth))
		b.picture(p.path, lang, "longer", 390)
	}
	for _, x := range b.told() {
		if !notFound.MatchString(x) || !strings.Contains(p.path, "999") && !strings.Contains(p.path, "unknown") {
			say("console", []string{x})
		}
	}
}

// picture keeps what is seen, for people, where TOCSIN_PICTURES names a folder.
func (b *tab) picture(path, lang, theme string, width int64) {
	dir := os.Getenv("TOCSIN_PICTURES")
	if dir == "" {
		return
	}
	var png []byte
	if width == 390 {
		b.run(chromedp.CaptureScreenshot(&png))
	} else {
		b.run(chromedp.FullScreenshot(&png, 100))
		b.size(width, 900)
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%s.%s.%d.png", fileName(path), lang, theme, width)), png, 0o600); err != nil {
		b.Fatal(err)
	}
}

// fileName is a path as the name of a file; that of Now is "now".
func fileName(path string) string {
	name := strings.Trim(regexp.MustCompile(`[^A-Za-z0-9-]+`).ReplaceAllString(path, "_"), "_")
	switch {
	case name == "":
		return "now"
	case len(name) > 60:
		return name[:24]
	}
	return name
}

// TestWeight holds what a first visit loads to the budget.
func TestWeight(t *testing.T) {
	for names, limit := range map[string]int{"tokens.css app.css": 15_000, "app.js": 30_000} {
		sum := 0
		for name := range strings.FieldsSeq(names) {
			raw, err := os.ReadFile("../../internal/web/static/" + name)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			if _, err := w.Write(raw); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			sum += b.Len()
		}
		if sum > limit {
			t.Errorf("%s: %d bytes compressed, at most %d", names, sum, limit)
		}
	}
}
