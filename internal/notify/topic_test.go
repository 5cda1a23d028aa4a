package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/internal/db/dbtest"
	"tocsin/internal/notify"
)

// TestTopic: what goes on about one bundle may replace what was said of it before; what
// names several replaces nothing, so that none of them is lost with it.
func TestTopic(t *testing.T) {
	clock := dbtest.NewClock(start)
	h := open(t, dbtest.OpenSQLite(t, clock), clock)
	h.methods("ana")
	for i := range 60 {
		o := incident(i)
		o.Service = fmt.Sprintf("service-%d", i%50)
		h.must(h.s.OpenPages(h.ctx, o))
	}
	h.idle()
	h.pass(20*time.Second, 200*time.Millisecond)
	h.must(h.s.AddAlerts(h.ctx, "incident-1", []notify.Alert{{DedupKey: "more", Title: "one more"}}))
	h.pass(20*time.Second, time.Second)
	links, again, several := map[string]string{}, false, false
	for _, m := range h.hook.messages() {
		if len(body(t, m).Data.Incidents) > 1 && strings.Count(m.Text, "/a/") > 1 {
			several = true
			if m.Topic != "" {
				t.Errorf("a message about several bundles replaces others: %s", m.Text)
			}
			continue
		}
		if m.Topic == "" {
			t.Errorf("no topic: %s", m.Text)
		}
		was, there := links[m.Topic]
		if again = again || there; there && was != m.Brief.Link {
			t.Errorf("two links of one topic: %s and %s", was, m.Brief.Link)
		}
		links[m.Topic] = m.Brief.Link
	}
	if !again || !several {
		t.Errorf("again %v, several %v: the test has lost what it is about", again, several)
	}
}

// TestBriefAnswers: a screen is told what the answers are called, and what there is room
// for, without the link, which is not for reading.
func TestBriefAnswers(t *testing.T) {
	clock := dbtest.NewClock(start)
	for name, c := range map[string]struct {
		make           func(h *house)
		accept, refuse string
		more           string
	}{
		"page": {func(h *house) { h.must(h.s.OpenPages(h.ctx, incident(1))) }, "I’ve got it", "I can’t", "INC-1, SEV2, since 03:12. You are primary.\nIf no answer, Paul Roux is paged at 03:17.\n- alert 1"},
		"exercise": {func(h *house) {
			o := incident(1)
			o.Exercise, o.NextPerson = true, ""
			h.must(h.s.OpenPages(h.ctx, o))
		}, "I’ve got it", "I can’t", "This is an exercise.\nPayments: high error rate\nINC-1, SEV2, since 03:12. You are primary.\n- alert 1"},
		"confidential": {func(h *house) {
			o := incident(1)
			o.Confidential, o.NextPerson, o.Text = true, "", "call me"
			h.must(h.s.OpenPages(h.ctx, o))
		}, "I’ve got it", "I can’t", "Confidential incident. Sign in to read more.\nINC-1, SEV2, since 03:12. You are primary."},
		"informing": {func(h *house) {
			o := incident(1)
			o.Informs, o.NextPerson, o.Alerts = true, "", nil
			h.must(h.s.OpenPages(h.ctx, o))
		}, "I know of it", "I can’t", "The notice to management was not seen. Please confirm that you know of it; this does not make you responsible for the response.\nINC-1, SEV2, since 03:12. You are primary."},
		"notice": {func(h *house) { h.management("ana") }, "Seen", "", ""},
		"test": {func(h *house) {
			_, err := h.s.SendTest(h.ctx, "ana", "mail")
			h.must(err)
		}, "It reached me", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, dbtest.OpenSQLite(t, clock), clock)
			c.make(h)
			h.idle()
			got := h.email.messages()
			if len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			b := got[0].Brief
			if b.Accept != c.accept || b.Refuse != c.refuse || c.more != "" && b.More != c.more || b.More == "" || strings.Contains(b.More, "/a/") {
				t.Errorf("%q, %q, %q", b.Accept, b.Refuse, b.More)
			}
		})
	}
}
