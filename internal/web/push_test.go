package web_test

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// TestWorker: the script that takes push messages is served from the root, asked for
// anew each time, and under a policy that lets it ask this origin.
func TestWorker(t *testing.T) {
	h := open(t)
	res, body := h.do("GET", "/sw.js", nil)
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/javascript") || res.Header.Get("Cache-Control") != "no-cache" ||
		!strings.Contains(res.Header.Get("Content-Security-Policy"), "connect-src 'self'") || !strings.Contains(body, `"notificationclick"`) {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	r, err := http.NewRequest("GET", h.server.URL+"/sw.js", nil)
	h.ok(err)
	r.Header.Set("If-None-Match", res.Header.Get("ETag"))
	again, err := h.client.Do(r)
	h.ok(err)
	_ = again.Body.Close()
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("the same script again: %d", again.StatusCode)
	}
}

// TestAnswerFromNotification posts as sw.js does, and finds in the answer what it shows:
// the words of the page, whether they are good news or not.
func TestAnswerFromNotification(t *testing.T) {
	raw, err := os.ReadFile("static/sw.js")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`<p[^>]* role="(?:status|alert)"[^>]*>((?s:.*?))</p>`)
	if !strings.Contains(string(raw), `/<p[^>]* role="(?:status|alert)"[^>]*>([^]*?)<\/p>/`) {
		t.Fatal("sw.js looks for something else than this test")
	}
	post := func(h *house, token string) string {
		h.Helper()
		res, body := h.do("POST", "/a/"+token, url.Values{"answer": {"accept"}, "via": {"push"}})
		if res.StatusCode == http.StatusSeeOther {
			_, body = h.do("GET", res.Header.Get("Location"), nil)
		}
		m := said.FindStringSubmatch(body)
		if m == nil {
			h.Fatalf("%d: nothing to show in %s", res.StatusCode, body)
		}
		return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m[1], "")), " ")
	}
	h := open(t)
	h.notify.view = notify.View{Kind: "page", Page: notify.Page{Ref: "INC-1", Incident: "i", State: notify.PageIsOpen, NextPerson: notify.Named{ID: "paul", Name: "Paul"}}}
	if got := post(h, "good"); !strings.HasPrefix(got, "You have it since ") || !strings.HasSuffix(got, "Paul will not be called.") {
		t.Errorf("taken: %s", got)
	}
	if h.notify.via != kit.ViaPush {
		t.Errorf("answered via %s", h.notify.via)
	}
	h.notify.view.Page.State, h.notify.view.TakenBy = notify.PageIsWithdrawn, notify.Named{ID: "lina", Name: "Lina"}
	if got := post(h, "unknown"); got == "" {
		t.Error("an unknown token says nothing")
	}
	if _, body := h.do("GET", "/a/good", nil); !strings.Contains(body, `<p class="note" role="status">Lina has had it since`) {
		t.Errorf("taken by another: %s", body)
	}
}
