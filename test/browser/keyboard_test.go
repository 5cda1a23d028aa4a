package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// atEachStop is what is wrong with the element that has the focus: it is not to be
// seen, has no outline, or lies under something that stands still.
const atEachStop = `(() => {
  const e = document.activeElement, bad = [];
  if (!e || e === document.body) return bad;
  const name = e.tagName.toLowerCase() + "#" + e.id + "." + e.className + " " + (e.innerText || e.value || "").trim().slice(0, 30);
  const style = getComputedStyle(e), r = e.getBoundingClientRect();
  if (!e.checkVisibility({visibilityProperty: true, opacityProperty: true}) || r.width < 2 || r.height < 2) bad.push("is not visible");
  if (!e.matches("main, [tabindex='-1']") && (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2)) bad.push("has an outline of " + style.outlineWidth + " " + style.outlineStyle);
  const line = [...e.getClientRects()][0] || r, x = Math.min(Math.max(line.left + line.width / 2, 0), innerWidth - 1);
  for (const y of [line.top + 2, line.bottom - 2]) {
    if (r.height > innerHeight / 2) break;
    if (y < 0 || y > innerHeight) { bad.push("is out of the window at " + Math.round(y)); break; }
    const over = document.elementFromPoint(x, y);
    if (!over || over !== e && !e.contains(over) && !over.contains(e)) { bad.push("lies under " + (over ? over.tagName.toLowerCase() + "." + over.className : "nothing")); break; }
  }
  return bad.map(b => name + " " + b);
})()`

func (b *tab) key(keys string, with ...input.Modifier) {
	b.Helper()
	b.run(chromedp.KeyEvent(keys, chromedp.KeyModifiers(with...)))
}

// tabTo presses Tab, or Shift+Tab, until what a selector names has the focus, and
// holds each stop on the way to the rules.
func (b *tab) tabTo(sel string, with ...input.Modifier) {
	b.Helper()
	for range 200 {
		b.key(kb.Tab, with...)
		for _, x := range eval[[]string](b, atEachStop) {
			b.Errorf("%s: %s", strings.TrimPrefix(b.where(), b.base), x)
		}
		if eval[bool](b, `document.activeElement.matches("`+strings.ReplaceAll(sel, `"`, `'`)+`")`) {
			return
		}
	}
	b.Fatalf("200 presses of Tab do not lead to %s; at %s", sel, b.where())
}

// arrives waits for the page that a key leads to.
func (b *tab) arrives(path string) {
	b.Helper()
	b.until("the page "+path, `location.pathname + location.hash === "`+path+`" && document.readyState === "complete"`)
}

// leave presses a key and waits for the page that it leads to, which may be the same.
func (b *tab) leave(keys string, with ...input.Modifier) {
	b.Helper()
	b.run(chromedp.Evaluate(`window.before = true`, nil))
	b.key(keys, with...)
	b.until("the next page", `!window.before && document.readyState === "complete"`)
}

// TestKeyboard declares, acknowledges, notes and moves on with the keyboard alone.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	b := newTab(t, chrome(t), h.app.BaseURL())
	b.size(1440, 900)
	b.run(emulation.SetFocusEmulationEnabled(true))
	b.signIn("en")

	// Declare: a key, the title, the button.
	b.key("d")
	b.arrives("/incidents/new")
	b.until("the title has the focus", `document.activeElement.id === "f-title"`)
	b.key("Payments fail")
	b.tabTo(`#f-impact-unknown`)
	b.key(kb.ArrowDown)
	b.tabTo(`#f-data`)
	b.key(" ")
	b.tabTo(`form[data-similar] button.danger`)
	b.leave(kb.Enter)
	b.arrives("/incidents/INC-1")
	b.shows("SEV1")

	// Acknowledge.
	b.tabTo(`form[action$="/do/acknowledge"] button`)
	b.leave(" ")
	b.arrives("/incidents/INC-1")

	// Note: a key, the words, Ctrl+Enter.
	b.key("n")
	b.until("the note has the focus", `document.activeElement.id === "f-text"`)
	b.key("The pool is empty, d and p are letters here.")
	b.leave(kb.Enter, input.ModifierCtrl)
	b.shows("The pool is empty, d and p are letters here.")

	// Every stop of the page, forth and back.
	b.tabTo(`.foot a[href="/help/accessibility"]`)
	b.tabTo(`.brand`, input.ModifierShift)

	// The palette finds by reference, and gives the focus back.
	b.tabTo(`.nav a[href="/on-call"]`)
	b.key("k", input.ModifierCtrl)
	b.until("the palette", `document.querySelector("#palette").open`)
	b.key("INC-1")
	b.until("the palette finds the incident", `document.querySelector("#palette li a[href$='/incidents/INC-1']")`)
	b.tabTo(`#palette li a[href$="/incidents/INC-1"]`)
	b.key(kb.Escape)
	b.until("the palette closes and gives the focus back", `!document.querySelector("#palette").open && document.activeElement.matches(".nav a[href='/on-call']")`)

	// Next phase: a key, the questions, the button.
	b.key("p")
	b.arrives("/incidents/INC-1/phase")
	b.tabTo(`#f-phase`)
	b.tabTo(`form[data-draft="phase"] button.primary`)
	b.leave(kb.Enter)
	b.arrives("/incidents/INC-1")
	if got := eval[string](b, `document.querySelector(".rail [aria-current]").innerText`); !strings.Contains(got, "Containment") {
		t.Errorf("the phase is %q", got)
	}

	b.key("?")
	b.arrives("/help#keys")
}
