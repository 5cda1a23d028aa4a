package browser_test

import "testing"

// TestHead: while one scrolls, the head of an incident stays and is small on a desk; on
// a phone it goes, and the two bars at the bottom leave room to read.
func TestHead(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	b := newTab(t, chrome(t), h.app.BaseURL())
	b.size(1440, 900)
	b.signIn("fr")
	b.goTo("/incidents/INC-5")
	const box = `(s => { scrollTo(0, document.body.scrollHeight); const r = document.querySelector(s).getBoundingClientRect(); return [r.top, r.height]; })`
	if at := eval[[]float64](b, box+`(".inc-head")`); at[0] < 0 || at[1] == 0 || at[1] > 96 {
		t.Errorf("on a desk the head lies at %.0f and is %.0f px high, at most 96", at[0], at[1])
	}
	b.size(390, 844)
	b.goTo("/incidents/INC-5")
	first := eval[string](b, `(() => { const h = document.querySelector(".inc-head").getBoundingClientRect(), a = document.querySelector(".actionbar").getBoundingClientRect(); return h.bottom <= a.top && a.bottom <= innerHeight ? "" : "head ends at " + h.bottom + ", the actions lie from " + a.top + " to " + a.bottom; })()`)
	if first != "" {
		t.Errorf("first screen of a phone: %s", first)
	}
	if at := eval[[]float64](b, box+`(".inc-head")`); at[0]+at[1] > 0 {
		t.Errorf("on a phone the head stays at %.0f", at[0])
	}
	action, bar := eval[[]float64](b, box+`(".actionbar")`)[1], eval[[]float64](b, box+`(".tabbar")`)[1]
	if action == 0 || action > 64 || action+bar > 128 {
		t.Errorf("the bars are %.0f and %.0f px high, at most 64 and 128 together", action, bar)
	}
}
