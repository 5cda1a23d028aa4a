package browser_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// onPaper are the rules of a page that is printed: nothing to press, no colour.
const onPaper = `(() => {
  const bad = [], grey = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 || m[0] === m[1] && m[1] === m[2]; };
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility() || e.closest(".hidden, svg")) continue;
    const name = e.tagName.toLowerCase() + "." + e.className;
    if (e.matches("button, input:not([type=hidden]), select, textarea, nav, dialog")) bad.push("printed: " + name);
    const s = getComputedStyle(e);
    for (const k of ["color", "backgroundColor", "borderTopColor"]) if (!grey(s[k])) bad.push(k + " " + s[k] + ": " + name);
    if (e.getBoundingClientRect().right > innerWidth + 1) bad.push("cut off: " + name);
  }
  return [...new Set(bad)].slice(0, 5);
})()`

// TestPrint prints what a company keeps on paper, from a dark screen.
func TestPrint(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	b := newTab(t, chrome(t), h.app.BaseURL())
	b.size(720, 1000)
	b.signIn("fr")
	for _, path := range []string{"/incidents/INC-5", "/incidents/INC-5/brief", "/incidents/INC-1/review", "/incidents/INC-1/report"} {
		b.goTo(path)
		b.run(emulation.SetEmulatedMedia().WithMedia("print").WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
		for _, x := range eval[[]string](b, onPaper) {
			t.Errorf("%s: %s", path, x)
		}
		var pdf []byte
		b.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
			pdf, _, err = cdp.PrintToPDF().WithPreferCSSPageSize(true).Do(ctx)
			return err
		}))
		if n := bytes.Count(pdf, []byte("/MediaBox [0 0 594.95")) + bytes.Count(pdf, []byte("/MediaBox [0 0 595")); n == 0 {
			t.Errorf("%s: no page of A4", path)
		}
		if dir := os.Getenv("TOCSIN_PICTURES"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "print."+fileName(path)+".pdf"), pdf, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
