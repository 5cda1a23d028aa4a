package web_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/report"
)

var challengeIn = regexp.MustCompile(`name="challenge" value="([^"]+)"`)

func (h *house) shop() {
	h.ok(h.d.Write(h.ana(), func(ctx context.Context, tx *db.Tx) error {
		_, err := h.deps.Service.Apply(ctx, tx, []continuity.Definition{
			{ID: "payments", Name: kit.Text{FR: "Paiement", EN: "Payments"}, Public: true}, {ID: "database", Name: kit.Both("Secret database")},
		}, false)
		return err
	}))
}

// report sends the form as a stranger does, after a minute of writing.
func (h *house) report(pairs ...string) (*http.Response, string) {
	h.Helper()
	f := url.Values{"challenge": {challengeIn.FindStringSubmatch(h.get("/report"))[1]}}
	h.clock.Advance(time.Minute)
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return h.do("POST", "/report", f)
}

func TestReportForm(t *testing.T) {
	h := open(t)
	h.shop()
	h.lang = "fr"
	form := h.get("/report")
	contains(t, form, "Signaler un problème", "Nous avons connaissance d’un problème sur Paiement depuis", `<option value="payments">Paiement</option>`, `aria-hidden="true"`)
	if strings.Contains(form, "database") {
		t.Error("a service that is not public is named to strangers")
	}
	h.lang = "en"
	contains(t, h.get("/report?kind=vulnerability"), "Report a security weakness", `name="kind" value="vulnerability"`)

	res, body := h.report("text", " ", "contact", "nobody")
	if res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("an empty report: %d", res.StatusCode)
	}
	contains(t, body, `href="#f-text"`, `href="#f-contact"`, `value="nobody"`)

	res, _ = h.report("text", "<script>alert(1)</script> Payments fail", "service", "payments", "contact", "c@example.com")
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/report/") {
		t.Fatalf("%d to %q", res.StatusCode, to)
	}
	page := h.get(to)
	contains(t, page, "Thank you, we have your report", "REP-1", "&lt;script&gt;", "We write to you when it is resolved.", "Payments")
	if strings.Contains(page, "<script>alert") {
		t.Error("markup of a stranger")
	}
	for _, path := range []string{"/report/REP-1", "/report/1", "/report/x"} {
		if res, _ := h.do("GET", path, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	// The same form again is the same report; one that fills the hidden field is held.
	if res, _ := h.report("text", "cheap pills", "website", "http://spam.example"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("a robot is answered %d and so learns of it", res.StatusCode)
	}
	for range 5 {
		res, body = h.report("text", "again")
	}
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusSeeOther {
		t.Errorf("a flood: %d %s", res.StatusCode, problem(body))
	}
	res, body = h.do("POST", "/report", url.Values{"challenge": {"made-up"}, "text": {"my words"}})
	if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "my words") || challengeIn.FindStringSubmatch(body)[1] == "made-up" {
		t.Errorf("an old form: %d", res.StatusCode)
	}
	// The queue is for people of the house.
	if res, _ := h.do("GET", "/reports", nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the queue answers a stranger %d", res.StatusCode)
	}
}

func TestSecurityText(t *testing.T) {
	h := open(t)
	res, body := h.do("GET", "/.well-known/security.txt", nil)
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	const want = "Contact: http://tocsin.example/report?kind=vulnerability\nExpires: 2027-10-01T00:00:00Z\nPreferred-Languages: fr, en\nCanonical: http://tocsin.example/.well-known/security.txt\n"
	if body != want {
		t.Fatalf("%q", body)
	}
}

func TestTriage(t *testing.T) {
	stranger := func(h *house, in report.Incoming) report.Report {
		in.Channel = report.ByForm
		r, _, err := h.deps.Report.Receive(kit.WithActor(t.Context(), report.Reporter(kit.ViaWeb)), in)
		h.ok(err)
		return r
	}
	before := func(h *house) {
		h.shop()
		_, err := h.incident.Declare(h.ana(), incident.Declaration{Title: "Payments are slow", Services: []string{"payments"}})
		h.ok(err)
		stranger(h, report.Incoming{Text: "I cannot pay", Service: "payments", Contact: "c@example.com", Language: "fr", Sender: "a"})
		stranger(h, report.Incoming{Text: "A hole", Kind: report.Vulnerability, Sender: "b"})
	}
	const at = "/reports/REP-1"
	scenarios(t, []scenario{
		{name: "attach", before: before, path: at, form: []string{"decision", "attach", "incident", "INC-1"}, to: "/reports", facts: []string{"report.triaged"}, shows: []string{"REP-1 is decided.", "INC-1", "Attached"}},
		{name: "attach to nothing", before: before, path: at, form: []string{"decision", "attach", "incident", "INC-9"}, shows: []string{`href="#f-incident"`}},
		{name: "declare", before: before, path: "/reports/REP-2", form: []string{"decision", "declare", "title", "A hole in the shop"}, to: "/incidents/INC-3", facts: []string{"incident.declared", "incident.role_assigned", "incident.role_assigned", "report.triaged"}, shows: []string{"Declared from REP-2.", "A hole in the shop"}},
		{name: "answer", before: before, path: at, form: []string{"decision", "answer", "text", "Essayez encore."}, to: "/reports", facts: []string{"report.triaged", "report.answered"}, shows: []string{"Answered"}},
		{name: "answer without a text", before: before, path: at, form: []string{"decision", "answer"}, shows: []string{`href="#f-text"`}},
		{name: "close", before: before, path: at, form: []string{"decision", "close", "reason", "his own network"}, to: "/reports", facts: []string{"report.triaged"}, shows: []string{"Closed"}},
		{name: "close without a reason", before: before, path: at, form: []string{"decision", "close"}, shows: []string{`href="#f-reason"`}},
	})
	h := open(t)
	h.signIn()
	before(h)
	contains(t, h.get("/reports"), "REP-1 · I cannot pay", "Attach to INC-1", "Security weakness")
	contains(t, h.get("/"), "2 reports wait for a decision")
	contains(t, h.get(at), "Sent by e-mail, in the reporter’s language: French.", "c@example.com", `lang="fr"`, "INC-1 · Payments are slow")
	contains(t, h.get("/search?q=cannot+pay"), "/reports/REP-1")
	h.clock.Advance(5 * time.Hour)
	contains(t, h.get("/"), "2 reports wait for a decision for too long")
	contains(t, h.get("/reports?state=new"), "Late")
}

func TestFollowedReport(t *testing.T) {
	h := open(t)
	h.signIn()
	h.shop()
	r, word, err := h.deps.Report.Receive(kit.WithActor(t.Context(), report.Reporter(kit.ViaWeb)), report.Incoming{Channel: report.ByForm, Text: "I cannot pay", Service: "payments", Sender: "a"})
	h.ok(err)
	at := "/report/" + word
	contains(t, h.get(at), "Nobody has decided yet.", "keep the address of this page")
	_, err = h.incident.Declare(h.ana(), incident.Declaration{Title: "A breach at the bank", Services: []string{"payments"}})
	h.ok(err)
	h.post("/reports/"+r.Ref, "decision", "attach", "incident", "INC-1")
	contains(t, h.get(at), "It belongs to a problem that we have been working on since")
	h.post("/incidents/INC-1/do/confidential", "reason", "customer data")
	page := h.get(at)
	contains(t, page, "We are looking at it.")
	if strings.Contains(page, "breach") {
		t.Error("the title of an incident reaches a stranger")
	}
}
