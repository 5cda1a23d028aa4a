package story_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/test/fake"
)

var (
	challengeIn = regexp.MustCompile(`name="challenge" value="([^"]+)"`)
	followIn    = regexp.MustCompile(`http://\S+/report/\S+`)
)

// roundTrip sends a request and does not follow where it leads.
func roundTrip(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// reports sends the public form as a browser behind the proxy of its address does.
func (h timed) reports(from, language, text, contact string) (at string) {
	h.t.Helper()
	do := func(method, path string, form url.Values) (*http.Response, string) {
		req, err := http.NewRequest(method, h.base+path, strings.NewReader(form.Encode()))
		if err != nil {
			h.t.Fatal(err)
		}
		req.Header.Set("Accept-Language", language)
		req.Header.Set("X-Forwarded-For", from)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return roundTrip(h.t, req)
	}
	_, body := do(http.MethodGet, "/report", nil)
	m := challengeIn.FindStringSubmatch(body)
	if m == nil {
		h.t.Fatalf("no form: %s", body)
	}
	h.clock.Advance(10 * time.Second)
	res, body := do(http.MethodPost, "/report", url.Values{"challenge": {m[1]}, "text": {text}, "service": {"payments"}, "contact": {contact}})
	if res.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("%d %s", res.StatusCode, body)
	}
	at, _, _ = strings.Cut(res.Header.Get("Location"), "?")
	return at
}

// TestCustomersReport: three customers tell that they cannot pay, in two languages. The
// first is confirmed by mail and told to who is on duty; the third makes an alert, an
// incident and a page, and all three belong to it. A fourth joins it at once. When
// service is back, each hears of it in their language.
func TestCustomersReport(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		mails := fake.NewSMTP(t, fake.SMTPOptions{})
		ctx := app.AsSystem(t.Context())
		if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf("apiVersion: tocsin/v1\nchannels: {smtp: {host: %s, port: %d, from: tocsin@example.com, tls: none}}\n", mails.Host, mails.Port)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		first := h.reports("198.51.100.1", "fr", "Je ne peux plus payer", "un@example.com")
		h.settle()
		got := mails.WaitN(t, 15*time.Second, 1)
		if m := got[0]; !strings.Contains(m.Text, "Merci pour votre signalement REP-1") || m.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Fatalf("%s: %s", m.Header.Get("Subject"), m.Text)
		}
		if link := followIn.FindString(got[0].Text); !strings.HasSuffix(link, first) {
			t.Fatalf("the mail leads to %q, the form to %q", link, first)
		}
		if n := h.message("ana", func(n notice) bool { return n.Data.Template == "report_new" }); !strings.Contains(n.Data.Text, "Je ne peux plus payer") {
			t.Fatalf("who is on duty reads %+v", n.Data)
		}
		h.reports("198.51.100.1", "fr", "Toujours pas", "un@example.com")
		h.reports("198.51.100.2", "en", "I cannot pay", "two@example.com")
		h.settle()
		if n := h.factsOf("alert.opened"); n != 0 {
			t.Fatalf("two senders raised %d alerts", n)
		}
		third := h.reports("198.51.100.3", "en", "Card refused", "")
		h.settle()
		if p := h.page("ana"); len(p.Data.Alerts) != 1 || !strings.Contains(p.Data.Alerts[0].Title, "Paiement") {
			t.Fatalf("the page tells of %+v", p.Data.Alerts)
		}
		h.reports("2001:db8::9", "fr", "Moi aussi", "quatre@example.com")
		h.settle()
		var list struct {
			Items []struct {
				Ref, State string
				Incident   *string
			}
			Total int
		}
		h.must(http.StatusOK, http.MethodGet, "/api/v1/reports?state=attached", nil, &list)
		if list.Total != 5 || *list.Items[0].Incident != "INC-1" {
			t.Fatalf("attached: %+v", list)
		}
		open, err := h.app.Incident.List(ctx, incident.Filter{Active: true}, kit.Page{})
		if err != nil || open.Total != 1 {
			t.Fatalf("%d incidents, %v", open.Total, err)
		}
		h.must(http.StatusOK, http.MethodPost, "/api/v1/incidents/INC-1/phase", map[string]any{"to": "review", "reason": "the bank is back"}, nil)
		h.settle()
		h.must(http.StatusOK, http.MethodGet, "/api/v1/alerts?state=open", nil, &list)
		if list.Total != 0 {
			t.Fatalf("the alert of the reports is still open")
		}
		want := map[string]string{"un@example.com": "est résolu", "two@example.com": "is resolved", "quatre@example.com": "est résolu"}
		mails.Wait(t, 15*time.Second, func(all []fake.Email) bool {
			told := map[string]bool{}
			for _, m := range all {
				for to, words := range want {
					if strings.Contains(strings.Join(m.To, " "), to) && strings.Contains(m.Text, words) {
						told[to] = true
					}
				}
			}
			return len(told) == len(want)
		})
		req, err := http.NewRequest(http.MethodGet, h.base+third, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", "en")
		if _, body := roundTrip(t, req); !strings.Contains(body, "The problem was resolved") {
			t.Fatalf("the page of the third report: %s", body)
		}
	})
}

// TestReportByProgram: a program without a token reports, and so does one with a token;
// what is wrong is told by field, and a key keeps a repeat from being a second report.
func TestReportByProgram(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *house) {
		send := func(key, token, body string, out any) int {
			t.Helper()
			req, err := http.NewRequest(http.MethodPost, h.base+"/api/v1/reports", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			if key != "" {
				req.Header.Set("Idempotency-Key", key)
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			res, answer := roundTrip(t, req)
			if err := json.Unmarshal([]byte(answer), out); err != nil {
				t.Fatalf("%v: %s", err, answer)
			}
			return res.StatusCode
		}
		var got struct {
			Ref, Follow string
			Errors      []struct{ Path string }
		}
		const body = `{"text": "Payments fail", "service": "payments", "contact": "c@example.com"}`
		if status := send("k1", "", body, &got); status != http.StatusCreated || got.Ref != "REP-1" || !strings.HasPrefix(got.Follow, h.base+"/report/") {
			t.Fatalf("%d %+v", status, got)
		}
		was := got.Follow
		if status := send("k1", "", body, &got); status != http.StatusCreated || got.Ref != "REP-1" || got.Follow != was {
			t.Fatalf("again: %d %+v", status, got)
		}
		if status := send("k1", "", `{"text": "other"}`, &got); status != http.StatusUnprocessableEntity {
			t.Fatalf("the same key, another body: %d", status)
		}
		if status := send("", "", `{"text": "", "service": "database"}`, &got); status != http.StatusUnprocessableEntity || len(got.Errors) != 2 {
			t.Fatalf("%d %+v", status, got.Errors)
		}
		if status := send("", "nonsense", body, &got); status != http.StatusUnauthorized {
			t.Fatalf("a wrong token: %d", status)
		}
		if status := send("", h.token, `{"text": "told by phone"}`, &got); status != http.StatusCreated || got.Ref != "REP-2" {
			t.Fatalf("with a token: %d %+v", status, got)
		}
		var one struct {
			State, Channel string
			Incident       *string
		}
		if status := h.call(http.MethodPost, "/api/v1/reports/REP-2/triage", map[string]string{"decision": "declare"}, &one); status != http.StatusOK || one.State != "declared" || *one.Incident != "INC-1" || one.Channel != "api" {
			t.Fatalf("%d %+v", status, one)
		}
		if status := h.call(http.MethodPost, "/api/v1/reports/REP-1/triage", map[string]string{"decision": "attach", "incident": "INC-7"}, nil); status != http.StatusUnprocessableEntity {
			t.Fatalf("attached to nothing: %d", status)
		}
		status := 0
		for range 10 {
			status = send("", "", `{"text": "flood"}`, &got)
		}
		if status != http.StatusTooManyRequests {
			t.Fatalf("a flood: %d", status)
		}
	})
}
