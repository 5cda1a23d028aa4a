package report

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type may map[kit.Use]bool

func (m may) Require(_ context.Context, use kit.Use, _ ...kit.Role) error {
	if m[use] {
		return nil
	}
	return kit.Forbidden(string(use), "")
}

type fixed struct{}

func (fixed) ReportLimits(context.Context) (Limits, error) {
	return Limits{Triage: 4 * time.Hour, Count: 3, Window: 10 * time.Minute}, nil
}

func (fixed) PublicServices(context.Context) ([]string, error) {
	return []string{"payments", "mailer"}, nil
}

type bench struct {
	*testing.T
	l     *ledger.Ledger
	s     *Service
	clock *dbtest.Clock
	// out is a stranger, ana may triage, vera may do nothing.
	out, ana, vera context.Context
}

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func each(t *testing.T, fn func(b *bench)) {
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		as := func(a kit.Actor) context.Context { return kit.WithActor(t.Context(), a) }
		fn(&bench{
			T: t, l: ledger.New(d), clock: clock, s: New(d, may{"report.see": true, "report.triage": true, "report.send": true}, fixed{}, []byte("key")),
			out: as(Reporter(kit.ViaWeb)), ana: as(kit.Actor{Kind: kit.ActorPerson, ID: "ana", Via: kit.ViaWeb}), vera: as(kit.Actor{Kind: kit.ActorPerson, ID: "vera"}),
		})
	})
}

func (b *bench) send(in Incoming) (Report, string) {
	b.Helper()
	in.Channel = ByForm
	r, word, err := b.s.Receive(b.out, in)
	if err != nil {
		b.Fatal(err)
	}
	return r, word
}

func (b *bench) types() string {
	b.Helper()
	facts, err := b.l.Facts(b.Context(), ledger.Filter{})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, f := range facts {
		out = append(out, f.Type)
	}
	return strings.Join(out, " ")
}

func TestReceive(t *testing.T) {
	each(t, func(b *bench) {
		r, word := b.send(Incoming{Text: " Payments fail.\nSince this morning. ", Service: "payments", Contact: "c@example.com", Language: "fr", Sender: "192.0.2.1", Once: "one"})
		if r.Ref != "REP-1" || r.State != StateNew || r.Kind != Problem || r.Language != "fr" || !r.DueAt.Equal(start.Add(4*time.Hour)) || strings.HasPrefix(r.Text, " ") {
			b.Fatalf("%+v", r)
		}
		if len(word) < 22 || strings.Contains(word, r.Ref) {
			b.Fatalf("the word to follow it by is %q", word)
		}
		again, same := b.send(Incoming{Text: r.Text, Service: "payments", Contact: "c@example.com", Sender: "192.0.2.1", Once: "one"})
		if again.ID != r.ID || same != word {
			b.Fatal("a form that is sent twice is one report")
		}
		if _, _, err := b.s.Receive(b.out, Incoming{Text: "other", Once: "one"}); kit.CodeOf(err) != kit.CodeInvalid {
			b.Fatalf("the same key for another report: %v", err)
		}
		if got, err := b.s.ByFollow(b.out, word); err != nil || got.ID != r.ID {
			b.Fatalf("%+v %v", got, err)
		}
		for _, no := range []string{"", "REP-1", r.ID, word[1:]} {
			if _, err := b.s.ByFollow(b.out, no); kit.CodeOf(err) != kit.CodeNotFound {
				b.Fatalf("%q follows: %v", no, err)
			}
		}
		if b.types() != "report.received" {
			b.Fatal(b.types())
		}
		facts, err := b.l.Facts(b.Context(), ledger.Filter{})
		if err != nil || strings.Contains(string(facts[0].Body), "c@example.com") {
			b.Fatalf("the fact names the address: %s %v", facts[0].Body, err)
		}
	})
}

func TestReceiveRefuses(t *testing.T) {
	each(t, func(b *bench) {
		for name, c := range map[string]struct {
			in   Incoming
			path string
		}{
			"no text":          {Incoming{Text: " \n "}, "text"},
			"too long":         {Incoming{Text: strings.Repeat("x", MaxText+1)}, "text"},
			"a hidden service": {Incoming{Text: "x", Service: "database"}, "service"},
			"two addresses":    {Incoming{Text: "x", Contact: "a@example.com, b@example.com"}, "contact"},
			"a named address":  {Incoming{Text: "x", Contact: "A <a@example.com>"}, "contact"},
			"a header":         {Incoming{Text: "x", Contact: "a@example.com\r\nBcc: b@example.com"}, "contact"},
			"a kind":           {Incoming{Text: "x", Kind: "praise"}, "kind"},
		} {
			_, _, err := b.s.Receive(b.out, c.in)
			if e := kit.AsError(err); err == nil || e.Code != kit.CodeInvalid || e.Fields[0].Path != c.path {
				b.Errorf("%s: %v", name, err)
			}
		}
		if b.types() != "" {
			b.Fatal("something is written: " + b.types())
		}
		none := New(b.l.DB(), may{}, fixed{}, []byte("key"))
		if _, _, err := none.Receive(b.vera, Incoming{Text: "x"}); kit.CodeOf(err) != kit.CodeForbidden {
			b.Fatalf("without the right: %v", err)
		}
	})
}

func TestFlood(t *testing.T) {
	each(t, func(b *bench) {
		for i := range senderBurst {
			b.send(Incoming{Text: "x" + strconv.Itoa(i), Sender: "192.0.2.1"})
		}
		_, _, err := b.s.Receive(b.out, Incoming{Text: "more", Sender: "192.0.2.1"})
		if e := kit.AsError(err); e == nil || e.Code != kit.CodeBusy || e.RetryAfter == 0 {
			b.Fatalf("a flood: %v", err)
		}
		b.send(Incoming{Text: "another sender", Sender: "192.0.2.2"})
		b.clock.Advance(senderEvery)
		b.send(Incoming{Text: "later", Sender: "192.0.2.1"})
		// Who has a token is bounded by the limits of tokens alone.
		for range 2 * senderBurst {
			if _, _, err := b.s.Receive(b.ana, Incoming{Text: "x", Channel: ByAPI, Sender: "192.0.2.1"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestDecide(t *testing.T) {
	each(t, func(b *bench) {
		r, _ := b.send(Incoming{Text: "x", Service: "payments", Contact: "c@example.com"})
		none := New(b.l.DB(), may{"report.see": true}, fixed{}, []byte("key"))
		if _, err := none.Decide(b.vera, r.Ref, Triage{Decision: Close, Reason: "spam"}); kit.CodeOf(err) != kit.CodeForbidden {
			b.Fatalf("without the right: %v", err)
		}
		for name, x := range map[string]Triage{
			"nothing": {}, "close without a reason": {Decision: Close}, "answer without a text": {Decision: Answer}, "attach to nothing": {Decision: Attach},
			"a long reason": {Decision: Close, Reason: strings.Repeat("x", MaxReason+1)},
		} {
			if _, err := b.s.Decide(b.ana, r.Ref, x); kit.CodeOf(err) != kit.CodeInvalid {
				b.Errorf("%s: %v", name, err)
			}
		}
		b.clock.Advance(5 * time.Minute)
		got, err := b.s.Decide(b.ana, "1", Triage{Decision: Attach, Incident: "i1", Text: "We know of it."})
		if err != nil || got.State != StateAttached || got.Incident != "i1" || got.Reply != "We know of it." || got.DecidedBy != "ana" {
			b.Fatalf("%+v %v", got, err)
		}
		var body Triaged
		facts, _ := b.l.Facts(b.Context(), ledger.Filter{Types: []string{"report.triaged"}})
		if err := facts[0].Decode(&body); err != nil || body.DelayS != 300 || body.ByRule || facts[0].Incident != "i1" {
			b.Fatalf("%+v %v %s", body, err, facts[0].Incident)
		}
		if _, err := b.s.Decide(b.ana, r.Ref, Triage{Decision: Attach, Incident: "i1"}); kit.CodeOf(err) != kit.CodeConflict {
			b.Fatalf("attached twice: %v", err)
		}
		if _, err := b.s.Decide(b.ana, r.Ref, Triage{Decision: Declare, Incident: "i2"}); kit.CodeOf(err) != kit.CodeConflict {
			b.Fatalf("declared after it was attached: %v", err)
		}
		if got, err = b.s.Decide(b.ana, r.Ref, Triage{Decision: Attach, Incident: "i2"}); err != nil || got.Incident != "i2" {
			b.Fatalf("attached elsewhere: %+v %v", got, err)
		}
		if err := b.s.PassOver(b.ana, "i2", "i3"); err != nil {
			b.Fatal(err)
		}
		for n, want := range []int{1, 0} {
			told, err := b.s.Resolved(b.ana, "i3")
			if err != nil || len(told) != want {
				b.Fatalf("time %d: %d are told, %v", n, len(told), err)
			}
		}
		if _, err := b.s.Decide(b.ana, r.Ref, Triage{Decision: Close, Reason: "x"}); kit.CodeOf(err) != kit.CodeConflict {
			b.Fatalf("closed after its reporter was told: %v", err)
		}
		if got, err = b.s.Decide(b.ana, r.Ref, Triage{Decision: Answer, Text: "Thank you."}); err != nil || got.State != StateAttached || got.Reply != "Thank you." {
			b.Fatalf("answered later: %+v %v", got, err)
		}
		const want = "report.received report.triaged report.answered report.triaged report.answered report.answered"
		if b.types() != want {
			b.Fatalf("%s\nwant %s", b.types(), want)
		}
	})
}

func TestAlarm(t *testing.T) {
	each(t, func(b *bench) {
		alarm := func(r Report, _ string) bool {
			b.Helper()
			ok, err := b.s.Alarm(b.ana, r.ID)
			if err != nil {
				b.Fatal(err)
			}
			return ok
		}
		in := func(sender, held string, k Kind) Incoming {
			return Incoming{Text: "x", Service: "payments", Sender: sender, Held: held, Kind: k}
		}
		if alarm(b.send(in("a", "", ""))) || alarm(b.send(in("b", "", ""))) || alarm(b.send(in("b", "", ""))) {
			b.Fatal("two senders are not three")
		}
		if alarm(b.send(in("c", HeldHidden, ""))) || alarm(b.send(in("d", "", Vulnerability))) {
			b.Fatal("what is held back, or no problem, counts")
		}
		if alarm(b.send(Incoming{Text: "x", Service: "mailer", Sender: "e"})) || alarm(b.send(Incoming{Text: "x", Sender: "f"})) {
			b.Fatal("another service counts")
		}
		if !alarm(b.send(in("g", "", ""))) {
			b.Fatal("three senders within ten minutes raise no alarm")
		}
		b.clock.Advance(10 * time.Minute)
		if alarm(b.send(in("h", "", ""))) {
			b.Fatal("those before the window count")
		}
	})
}

func TestListAndWaiting(t *testing.T) {
	each(t, func(b *bench) {
		b.send(Incoming{Text: "Le paiement échoue", Service: "payments", Sender: "a"})
		b.send(Incoming{Text: "mail is late", Service: "mailer", Sender: "b", Contact: "c@example.com"})
		b.send(Incoming{Text: "cheap pills", Held: HeldFast, Sender: "c"})
		for name, c := range map[string]struct {
			f    Filter
			want int
		}{
			"all": {Filter{}, 3}, "new": {Filter{State: StateNew}, 2}, "held": {Filter{Held: true}, 1}, "service": {Filter{Service: "mailer"}, 1},
			"words": {Filter{Q: "PAIEMENT echoue"}, 1}, "address": {Filter{Q: "c@example.com"}, 1}, "reference": {Filter{Q: "rep-2"}, 1}, "kind": {Filter{Kind: Vulnerability}, 0},
		} {
			l, err := b.s.List(b.ana, c.f, kit.Page{})
			if err != nil || len(l.Items) != c.want || l.Total != c.want {
				b.Errorf("%s: %d of %d, want %d, %v", name, len(l.Items), l.Total, c.want, err)
			}
		}
		p1, err := b.s.List(b.ana, Filter{}, kit.Page{Limit: 2})
		if err != nil || p1.Next == "" || p1.Items[0].Ref != "REP-3" {
			b.Fatalf("%+v %v", p1, err)
		}
		if p2, err := b.s.List(b.ana, Filter{}, kit.Page{Limit: 2, Cursor: p1.Next}); err != nil || len(p2.Items) != 1 || p2.Next != "" {
			b.Fatalf("%+v %v", p2, err)
		}
		b.clock.Advance(4*time.Hour + time.Minute)
		b.send(Incoming{Text: "later", Sender: "d"})
		if waiting, late, err := b.s.Waiting(b.ana); err != nil || waiting != 3 || late != 2 {
			b.Fatalf("%d wait, %d late, %v", waiting, late, err)
		}
		none := New(b.l.DB(), may{}, fixed{}, []byte("key"))
		if _, err := none.List(b.vera, Filter{}, kit.Page{}); kit.CodeOf(err) != kit.CodeForbidden {
			b.Fatalf("without the right: %v", err)
		}
		if _, err := none.Get(b.vera, "REP-1"); kit.CodeOf(err) != kit.CodeForbidden {
			b.Fatalf("without the right: %v", err)
		}
	})
}

func TestConfirmsOnceInAWhile(t *testing.T) {
	each(t, func(b *bench) {
		confirmed := 0
		for i := range 6 {
			r, _ := b.send(Incoming{Text: "x", Contact: "victim@example.com", Sender: strconv.Itoa(i)})
			if _, ok, err := b.s.Confirms(b.ana, r.ID); err != nil {
				b.Fatal(err)
			} else if ok {
				confirmed++
			}
		}
		if confirmed != mailsAnHour {
			b.Fatalf("%d mails to one address", confirmed)
		}
		r, _ := b.send(Incoming{Text: "x", Contact: "other@example.com", Held: HeldHidden, Sender: "z"})
		if _, ok, err := b.s.Confirms(b.ana, r.ID); ok || err != nil {
			b.Fatalf("what is held back is confirmed, %v", err)
		}
	})
}

func TestForm(t *testing.T) {
	each(t, func(b *bench) {
		c := b.s.Challenge()
		if j, err := b.s.Judge(c, "", ""); err != nil || j.Held != HeldFast || j.Proven {
			b.Fatalf("at once: %+v %v", j, err)
		}
		b.clock.Advance(3 * time.Second)
		proof := 0
		for zeroBits(c+"."+strconv.Itoa(proof)) < ProofBits {
			proof++
		}
		wrong := proof + 1
		for zeroBits(c+"."+strconv.Itoa(wrong)) >= ProofBits {
			wrong++
		}
		for name, x := range map[string]struct {
			proof, hidden string
			want          Judged
		}{
			"without a script": {"", "", Judged{}},
			"with its work":    {strconv.Itoa(proof), "", Judged{Proven: true}},
			"other work":       {strconv.Itoa(wrong), "", Judged{}},
			"a hidden field":   {strconv.Itoa(proof), "http://spam.example", Judged{Held: HeldHidden, Proven: true}},
		} {
			if j, err := b.s.Judge(c, x.proof, x.hidden); err != nil || j != x.want {
				b.Errorf("%s: %+v %v", name, j, err)
			}
		}
		for _, bad := range []string{"", ".", "x." + c, c + "x", strings.Replace(c, ".", "", 1), New(b.l.DB(), may{}, fixed{}, []byte("other")).Challenge()} {
			if _, err := b.s.Judge(bad, "", ""); kit.CodeOf(err) != kit.CodeInvalid {
				b.Errorf("%q: %v", bad, err)
			}
		}
		b.clock.Advance(formAge)
		if _, err := b.s.Judge(c, "", ""); kit.CodeOf(err) != kit.CodeInvalid {
			b.Errorf("a day later: %v", err)
		}
	})
}
