package app

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/cli"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// runningDemo serves the sample and gives it once it is loaded, with what was
// printed; stop ends it.
func runningDemo(t *testing.T, dir string) (a *App, printed string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a, err := New(ctx, Config{Data: dir, Listen: "127.0.0.1:0", Demo: true})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	text := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		err := a.runDemo(ctx, dir, true, w)
		_ = w.Close()
		ended <- err
	}()
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(all.String(), "Ctrl-C") {
			n, err := r.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				break
			}
		}
		text <- all.String()
	}()
	once := false
	stop = func() {
		if once {
			return
		}
		once = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	select {
	case printed = <-text:
	case <-time.After(60 * time.Second):
		t.Fatal("the demo did not load within a minute")
	}
	if !strings.Contains(printed, "Ctrl-C") {
		t.Fatalf("the demo ended while loading; printed %q", printed)
	}
	return a, printed, stop
}

func fetch(t *testing.T, c *http.Client, method, address string) (status int, body string, res *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err = c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw), res
}

func TestDemoLoads(t *testing.T) {
	dir := t.TempDir()
	a, printed, stop := runningDemo(t, dir)
	ctx := AsSystem(t.Context())

	t.Run("two closed incidents and an open one", func(t *testing.T) {
		list, err := a.Incident.List(ctx, incident.Filter{Exercises: true}, kit.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 3 {
			t.Fatalf("%d incidents, want 3", len(list.Items))
		}
		open, closed := list.Items[0], list.Items[1:]
		if !open.Open() || open.Severity != incident.Sev2 || !open.AcknowledgedAt.IsZero() {
			t.Errorf("the open one: status %s severity %s acknowledged %v", open.Status, open.Severity, open.AcknowledgedAt)
		}
		for _, i := range closed {
			r, err := a.Incident.Review(ctx, i.ID)
			if err != nil {
				t.Fatal(err)
			}
			if i.Status != incident.StatusClosed || r.State != incident.ReviewIsApproved || len(r.Actions) == 0 || i.AcknowledgedBy == "" {
				t.Errorf("%s: %s, review %s, %d actions, acknowledged by %q", i.Ref(), i.Status, r.State, len(r.Actions), i.AcknowledgedBy)
			}
			if !i.RestoredAt.Before(i.DeclaredAt) {
				t.Errorf("%s: restored %v, want the time that was told, before %v", i.Ref(), i.RestoredAt, i.DeclaredAt)
			}
		}
	})

	t.Run("the open incident paged somebody into the mailbox", func(t *testing.T) {
		if err := a.await(ctx, "the mail", func() (bool, error) {
			for _, m := range a.Mailbox.Messages() {
				if strings.Contains(m.Subject, "INC-3") && strings.HasSuffix(m.To, "@brumeval.example") {
					return true, nil
				}
			}
			return false, nil
		}); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("the viewer shows a message and its links", func(t *testing.T) {
		m := a.Mailbox.Messages()[0]
		status, body, res := fetch(t, http.DefaultClient, "GET", a.BaseURL()+"/demo/mail")
		if status != 200 || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Fatalf("status %d, policy %q", status, res.Header.Get("Content-Security-Policy"))
		}
		if !strings.Contains(body, `href="/demo/mail/`+m.ID+`"`) {
			t.Errorf("the list lacks %s:\n%s", m.ID, body)
		}
		status, body, _ = fetch(t, http.DefaultClient, "GET", a.BaseURL()+"/demo/mail/"+m.ID)
		if link := webAddress.FindString(m.Text); status != 200 || link == "" || !strings.Contains(body, `<a href="`+strings.TrimRight(link, ".")) {
			t.Errorf("status %d, link %q in:\n%s", status, link, body)
		}
		if status, _, _ := fetch(t, http.DefaultClient, "GET", a.BaseURL()+"/demo/mail/none"); status != 404 {
			t.Errorf("an unknown message: %d, want 404", status)
		}
	})

	t.Run("the printed link signs in, and a rehearsal pages the person alone", func(t *testing.T) {
		link := regexp.MustCompile(`http://\S+/login/\S+`).FindString(printed)
		if link == "" {
			t.Fatalf("no link in %q", printed)
		}
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if status, _, res := fetch(t, c, "POST", a.BaseURL()+"/rehearse"); status != 303 || !strings.HasPrefix(res.Header.Get("Location"), "/login") {
			t.Errorf("a stranger: %d to %q, want the sign-in page", status, res.Header.Get("Location"))
		}
		if status, body, _ := fetch(t, c, "POST", link); status != 303 {
			t.Fatalf("sign-in: %d %s", status, body)
		}
		status, body, res := fetch(t, c, "POST", a.BaseURL()+"/rehearse")
		ref, ok := strings.CutPrefix(res.Header.Get("Location"), "/incidents/")
		if status != 303 || !ok {
			t.Fatalf("rehearse: %d to %q: %s", status, res.Header.Get("Location"), body)
		}
		i, err := a.Incident.Get(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		if !i.Exercise || i.OnlyPerson != demoPerson {
			t.Errorf("exercise %v, for %q", i.Exercise, i.OnlyPerson)
		}
		if who, err := a.paged(ctx, i.ID); err != nil || who != demoPerson {
			t.Errorf("paged %q (%v), want %s", who, err, demoPerson)
		}
	})

	t.Run("the printed alert is taken", func(t *testing.T) {
		m := regexp.MustCompile(`(?s)(http://\S+/alerts) .*-d '(.*?)'`).FindStringSubmatch(printed)
		if m == nil {
			t.Fatalf("no curl in %q", printed)
		}
		res, err := http.Post(m[1], "application/json", strings.NewReader(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("status %d, want 200", res.StatusCode)
		}
	})

	if err := a.ledger.Idle(ctx); err != nil {
		t.Fatal(err)
	}
	rep, err := a.ledger.Verify(ctx, ledger.VerifyOptions{})
	if err != nil || len(rep.Problems) > 0 || rep.Facts == 0 {
		t.Errorf("verify: %d facts, %v, %v", rep.Facts, rep.Problems, err)
	}
	failed, err := a.ledger.Count(ctx, ledger.Filter{Types: []string{"reaction.failed"}})
	if err != nil || failed > 0 {
		t.Errorf("%d reactions failed (%v)", failed, err)
	}
	defined := ledger.Filter{Types: []string{"person.*", "team.*", "schedule.*", "policy.*", "service.*", "source.*", "routes.*", "organisation.*"}}
	before, err := a.ledger.Count(ctx, defined)
	if err != nil || before == 0 {
		t.Fatalf("%d facts define the company (%v)", before, err)
	}
	stop()

	again, _, stop := runningDemo(t, dir)
	list, err := again.Incident.List(ctx, incident.Filter{Exercises: true}, kit.Page{Limit: 10})
	if err != nil || len(list.Items) != 5 {
		t.Errorf("after a second start %d incidents (%v), want the 5 that were there", len(list.Items), err)
	}
	if after, err := again.ledger.Count(ctx, defined); err != nil || after != before {
		t.Errorf("after a second start %d facts define the company (%v), want the %d that were there", after, err, before)
	}
	changes, err := again.Apply(ctx, demoFile, kit.ApplyOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Op != "keep" {
			t.Errorf("applying the sample again would change %+v", c)
		}
	}
	stop()
}

func TestDemoRefusesAnotherInstallation(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(t.Context(), Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	file := []byte("apiVersion: tocsin/v1\norganisation: {name: Other, timezone: Europe/Paris, country: FR}\npeople: [{id: jo, name: Jo, email: jo@other.example, access: admin}]\n")
	if _, err := a.Apply(AsSystem(t.Context()), file, kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	err = Actions{}.Demo(t.Context(), cli.Demo{Listen: "127.0.0.1:0", Data: dir}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "not the demo") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestPartsOfAText(t *testing.T) {
	got := parts("See http://h/a?b=1, or (https://h/c). <script> javascript:x")
	want := []viewerPart{{"See ", ""}, {"http://h/a?b=1", "http://h/a?b=1"}, {", or (", ""}, {"https://h/c", "https://h/c"}, {"). <script> javascript:x", ""}}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for n := range want {
		if got[n] != want[n] {
			t.Errorf("part %d: %q, want %q", n, got[n], want[n])
		}
		if _, err := url.Parse(got[n].URL); err != nil {
			t.Error(err)
		}
	}
}
