package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"tocsin/internal/app"
	"tocsin/internal/incident"
	"tocsin/internal/notify"
)

func (b *tab) withoutScript() {
	b.Helper()
	b.run(emulation.SetScriptExecutionDisabled(true))
}

func (b *tab) click(sel string) { b.Helper(); b.run(chromedp.Click(sel, chromedp.ByQuery)) }

// shows asks that the page has the words, hidden ones included.
func (b *tab) shows(words ...string) {
	b.Helper()
	text := eval[string](b, "document.body.textContent")
	for _, w := range words {
		if !strings.Contains(text, w) {
			b.Fatalf("%s does not say %q", b.where(), w)
		}
	}
}

func (b *tab) isAt(path string) {
	b.Helper()
	if at := strings.TrimPrefix(b.where(), b.base); at != path {
		b.Fatalf("at %s, not %s: %s", at, path, eval[string](b, "(document.querySelector('#problems') || document.querySelector('main')).innerText.slice(0, 300)"))
	}
}

// TestWithoutScript leads an incident from its declaration to the report of its
// approved review with forms and links alone, on a phone.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	with := chrome(t)
	camille := newTab(t, with, h.app.BaseURL())
	camille.size(390, 844)
	camille.withoutScript()
	camille.signIn("en")
	camille.press(`a[href="/incidents/new"]`)
	camille.fill("#f-title", "Payments fail with error 500")
	camille.press("form[data-similar] button.danger")
	camille.isAt("/incidents/INC-1")
	camille.press(`form[action$="/do/acknowledge"] button`)
	camille.isAt("/incidents/INC-1")
	camille.fill("#f-text", "The pool of connections is empty.")
	camille.press(`form[action$="/do/note"] button`)
	camille.shows("The pool of connections is empty.")

	camille.press(`.actionbar a[href="/incidents/INC-1/assess"]`)
	for _, answer := range []string{"who-some", "what-workaround", "data-no", "trend-stable", "change-none"} {
		camille.click("#f-" + answer)
	}
	camille.press(`button[name="show"]`)
	camille.shows("Confirm SEV3")
	camille.press(`button[formmethod="post"]`)
	camille.isAt("/incidents/INC-1")
	camille.shows("SEV3")

	for _, step := range []struct {
		answers []string
		to      string
	}{{nil, "containment"}, {[]string{"stopped-yes"}, "recovery"}, {[]string{"normal-yes"}, "review"}} {
		camille.press(`.actionbar a[href="/incidents/INC-1/phase"]`)
		for _, answer := range step.answers {
			camille.click("#f-" + answer)
		}
		if got := eval[string](camille, `document.querySelector("#f-phase").value`); got != step.to {
			t.Fatalf("the next phase is %q, not %q", got, step.to)
		}
		camille.press(`form[data-draft="phase"] button.primary`)
		camille.isAt("/incidents/INC-1")
	}

	camille.press(`.actionbar a[href="/incidents/INC-1/review"]`)
	camille.click("#action > summary")
	camille.fill("#action #f-text", "Double the pool")
	camille.fill("#f-due", time.Now().AddDate(0, 0, 20).Format(time.DateOnly))
	camille.fill("#f-owner", "paul")
	camille.press("#action button")
	camille.fill("#f-summary", "The pool was too small for a Monday.")
	camille.fill("#factor-0", "The pool had the size of last year.")
	camille.press(`button[value="submit"]`)
	camille.isAt("/incidents/INC-1/review")

	ana := newTab(t, with, h.app.BaseURL())
	ana.size(390, 844)
	ana.withoutScript()
	ana.signInAs("ana@example.com", "en")
	ana.goTo("/incidents/INC-1/review")
	ana.press(`form[action$="/review/approve"] button`)
	ana.shows("Approved")
	ana.press(`form[action$="/do/close"] button`)
	ana.goTo("/incidents/INC-1")
	ana.click("#more > summary")
	ana.press(`#more a[href="/incidents/INC-1/report"]`)
	if pdf := ana.download(`a[href="/incidents/INC-1/report/pdf"]`); !strings.HasPrefix(pdf, "%PDF-") {
		t.Errorf("the report begins with %.20q", pdf)
	}
	if page := ana.download(`a[href="/incidents/INC-1/report/html"]`); !strings.Contains(page, "The pool was too small for a Monday.") {
		t.Error("the report does not have the summary of the review")
	}
}

// download presses a link and gives the file that comes.
func (b *tab) download(sel string) string {
	b.Helper()
	dir := b.TempDir()
	done := make(chan string, 1)
	listen, stop := context.WithCancel(b.ctx)
	defer stop()
	chromedp.ListenTarget(listen, func(ev any) {
		if e, ok := ev.(*browser.EventDownloadProgress); ok && e.State != browser.DownloadProgressStateInProgress {
			done <- e.GUID
		}
	})
	b.run(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllowAndName).WithDownloadPath(dir).WithEventsEnabled(true))
	b.click(sel)
	select {
	case id := <-done:
		raw, err := os.ReadFile(filepath.Join(dir, id))
		if err != nil {
			b.Fatalf("download of %s: %v", sel, err)
		}
		return string(raw)
	case <-time.After(30 * time.Second):
		b.Fatalf("no download from %s", sel)
		return ""
	}
}

// TestLive looks at one incident in two tabs.
func TestLive(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	ctx := h.as("camille", "admin")
	i, err := h.app.Incident.Declare(ctx, incident.Declaration{Title: "Payments fail", Impact: incident.ImpactDegraded, Services: []string{"payments"}})
	h.ok(err)
	for n := range 25 {
		_, err = h.app.Incident.Note(ctx, i.ID, fmt.Sprintf("Measured again, number %d.", n), time.Time{}, "")
		h.ok(err)
	}
	first := newTab(t, chrome(t), h.app.BaseURL())
	first.size(1440, 900)
	first.signIn("en")
	first.goTo("/incidents/INC-1")
	second := first.beside()
	second.size(1440, 900)
	second.goTo("/incidents/INC-1")
	has := func(words string) string {
		return fmt.Sprintf(`document.querySelector("#timeline").textContent.includes(%q)`, words)
	}
	note := func(words string) {
		t.Helper()
		second.fill("#f-text", words)
		second.press(`form[action$="/do/note"] button`)
	}

	first.shows("Card payments and direct debits")

	// The stream is there when the first event has been seen.
	note("Said before anybody listens.")
	first.until("the first note", has("Said before anybody listens."))
	note("The pool of connections is empty.")
	first.within(2*time.Second, "the note of the other tab within 2 s", has("The pool of connections is empty."))

	// What is being typed stays, with its cursor, while lines come in.
	first.click("#f-text")
	first.run(chromedp.SendKeys("#f-text", "Half a sent", chromedp.ByQuery))
	note("A line comes in while somebody types.")
	first.until("the line", has("A line comes in while somebody types."))
	if got := eval[string](first, `document.activeElement.id + ":" + document.activeElement.value + ":" + document.activeElement.selectionStart`); got != "f-text:Half a sent:11" {
		t.Errorf("while a line came in, the field became %q", got)
	}

	// Nothing moves under the eyes of somebody who reads further down.
	first.run(chromedp.Evaluate(`document.activeElement.blur(); scrollTo(0, document.querySelector("#timeline").offsetTop + 600)`, nil))
	top := eval[float64](first, "scrollY")
	note("A line for somebody who reads further down.")
	first.until("the offer", `document.querySelector(".offer")`)
	if words := eval[string](first, `document.querySelector(".offer").textContent`); !strings.Contains(words, "new entr") {
		t.Errorf("the offer says %q", words)
	}
	if eval[bool](first, has("A line for somebody who reads further down.")) {
		t.Error("the line was put in while somebody read further down")
	}
	if got := eval[float64](first, "scrollY"); got < top-1 {
		t.Errorf("the page moved from %v to %v", top, got)
	}
	first.click(".offer")
	first.until("the line after the press", has("A line for somebody who reads further down."))

	// The server is gone: the page says so, and keeps what was typed.
	first.run(chromedp.SendKeys("#f-text", "ence", chromedp.ByQuery))
	h.stop()
	first.within(30*time.Second, "the band of a page that is stale", `!document.querySelector("#stale").hidden`)
	first.shows("Connection lost", "You are seeing")
	kept := eval[string](first, `document.querySelector("#f-text").value`)
	if kept != "Half a sentence" {
		t.Errorf("the draft became %q", kept)
	}
	if stored := eval[string](first, `localStorage.getItem("draft:/incidents/INC-1:note") || ""`); !strings.Contains(stored, kept) {
		t.Errorf("the browser keeps %q", stored)
	}
}

// TestAcknowledgePage opens the link of a page without an account and without script.
func TestAcknowledgePage(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	_, err := h.app.Incident.Declare(h.as("ana", "manager"), incident.Declaration{Title: "Payments fail", Impact: incident.ImpactOutage, Severity: incident.Sev1, Services: []string{"payments"}})
	h.ok(err)
	var token string
	h.eventually("a page to camille", func() bool { token = h.token(); return token != "" })
	state := func() string {
		v, err := h.app.Notify.PageByToken(app.AsSystem(t.Context()), token)
		h.ok(err)
		return string(v.Page.State)
	}

	with := chrome(t)
	one, two := newTab(t, with, h.app.BaseURL()), newTab(t, with, h.app.BaseURL())
	var mu sync.Mutex
	requests, bytes := 0, 0.0
	chromedp.ListenTarget(one.ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *network.EventRequestWillBeSent:
			requests++
		case *network.EventLoadingFinished:
			bytes += e.EncodedDataLength
		}
	})
	one.run(network.Enable())
	for _, b := range []*tab{one, two} {
		b.size(390, 844)
		b.withoutScript()
		b.goTo("/a/" + token)
	}
	one.shows("Payments fail", "SEV1")
	mu.Lock()
	if requests != 1 || bytes == 0 || bytes > 10_000 {
		t.Errorf("the page takes %d requests and %.0f bytes with headers", requests, bytes)
	}
	mu.Unlock()
	if state() != string(notify.PageIsOpen) {
		t.Fatalf("a GET made the page %s", state())
	}

	one.press("button.p")
	if state() != string(notify.PageIsAcknowledged) {
		t.Fatalf("the press made the page %s", state())
	}
	one.shows("Vous l’avez depuis")
	var i *incident.Incident
	h.eventually("the incident knows of it", func() bool {
		var err error
		i, err = h.app.Incident.Get(h.as("ana", "manager"), "INC-1")
		return err == nil && !i.AcknowledgedAt.IsZero()
	})
	two.press("button.p")
	two.shows("Vous l’avez depuis")
	again, err := h.app.Incident.Get(h.as("ana", "manager"), "INC-1")
	h.ok(err)
	if !again.AcknowledgedAt.Equal(i.AcknowledgedAt) || again.Version != i.Version {
		t.Errorf("the second press changed the incident: %v, %v", i.AcknowledgedAt, again.AcknowledgedAt)
	}
}

// TestFirstRun goes from a fresh installation to Now.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	h := open(t)
	b := newTab(t, chrome(t), h.app.BaseURL())
	b.size(390, 844)
	b.goTo("/")
	b.isAt("/setup")
	b.fill("#f-password", "short")
	b.press(`form[action="/setup"] button`)
	b.until("the list of problems has the focus", `document.activeElement.id === "problems"`)
	b.fill("#f-organisation", "Compagnie des eaux")
	b.fill("#f-name", "Camille Roy")
	b.fill("#f-email", email)
	b.fill("#f-password", password)
	b.press(`form[action="/setup"] button`)
	b.isAt("/")
	b.shows("Compagnie des eaux", "Camille Roy")
	b.goTo("/setup")
	b.isAt("/")
	// Of many tabs on a narrow screen, the one that is open is seen.
	b.goTo("/settings/about")
	if at := eval[[]float64](b, `(r => [r.left, r.right])(document.querySelector(".tabs [aria-current]").getBoundingClientRect())`); at[0] < 0 || at[1] > 390 {
		t.Errorf("the tab that is open lies from %.0f to %.0f", at[0], at[1])
	}
}

// TestSignIn is refused with a wrong password, and then asked to wait.
func TestSignIn(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	b := newTab(t, chrome(t), h.app.BaseURL())
	b.goTo("/login")
	if eval[string](b, "document.documentElement.lang") != "en" {
		b.press(`form[action="/language"] button`)
	}
	try := func(secret string) {
		t.Helper()
		b.fill("#f-email", email)
		b.fill("#f-password", secret)
		b.press(`form[action="/login"] button`)
	}
	try("not the password")
	b.shows("There is a problem", "The address or the password is wrong.")
	if got := eval[string](b, `document.querySelector("#f-email").value + "," + document.querySelector("#f-password").value`); got != email+"," {
		t.Errorf("the form keeps %q", got)
	}
	for range 3 {
		try("not the password")
	}
	try(password)
	b.isAt("/login")
	b.shows("Too many tries. Wait a moment before the next one.")
}
