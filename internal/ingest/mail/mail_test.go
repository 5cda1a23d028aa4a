package mail_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/internal/db/dbtest"
	"tocsin/internal/ingest/mail"
)

func TestSubjects(t *testing.T) {
	for subject, want := range map[string]mail.Subject{
		"[FIRING] EndpointDown":                                   {Title: "EndpointDown", State: "firing"},
		"[RESOLVED] EndpointDown":                                 {Title: "EndpointDown", State: "resolved"},
		"[FIRING:2] EndpointDown (eu production)":                 {Title: "EndpointDown (eu production)", State: "firing"},
		"Re: RE : [FIRING:2] EndpointDown":                        {Title: "EndpointDown", State: "firing"},
		"TR: Fwd: panne du site":                                  {Title: "panne du site"},
		"[shop] [Critical] disk is full":                          {Title: "[shop] disk is full", State: "firing", Severity: "critical"},
		"[shop] [OK] disk is full":                                {Title: "[shop] disk is full", State: "resolved"},
		"Problem: High CPU on web-1":                              {Title: "High CPU on web-1", State: "firing"},
		"Resolved in 5m 3s: High CPU on web-1":                    {Title: "High CPU on web-1", State: "resolved"},
		`ALARM: "queue-depth" in EU (Paris)`:                      {Title: `"queue-depth" in EU (Paris)`, State: "firing"},
		`OK: "queue-depth" in EU (Paris)`:                         {Title: `"queue-depth" in EU (Paris)`, State: "resolved"},
		"** PROBLEM Service Alert: web-1/HTTP is CRITICAL **":     {Title: "Service Alert: web-1/HTTP", State: "firing", Severity: "critical"},
		"** RECOVERY Service Alert: web-1/HTTP is OK **":          {Title: "Service Alert: web-1/HTTP", State: "resolved"},
		"Down: web-1":                                             {Title: "web-1", State: "firing", Severity: "critical"},
		"Up: web-1":                                               {Title: "web-1", State: "resolved"},
		"Order 12: not delivered":                                 {Title: "Order 12: not delivered"},
		"[RESOLVED]":                                              {Title: "[RESOLVED]", State: "resolved"},
		"":                                                        {},
		"Résolu : la base ne répond plus":                         {Title: "la base ne répond plus", State: "resolved"},
		"Alerte : la base ne répond plus":                         {Title: "la base ne répond plus", State: "firing"},
		"[\U0001F525 Firing] CPU":                                 {Title: "CPU", State: "firing"},
		strings.Repeat("Re: ", 500) + strings.Repeat("[x] ", 500): {Title: strings.TrimSpace(strings.Repeat("[x] ", 500))},
	} {
		if got := mail.ReadSubject(subject); got != want {
			t.Errorf("%q: %+v, want %+v", subject, got, want)
		}
	}
}

func TestOwnWords(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"english":   {"It fails again.\n\nOn Tue, 24 Nov 2026 at 10:00, Ana <ana@example.com> wrote:\n> did it help?\n", "It fails again."},
		"french":    {"Toujours en panne.\n\nLe mar. 24 nov. 2026 à 10:00, Ana <ana@example.com> a écrit :\n> et maintenant ?", "Toujours en panne."},
		"folded":    {"Yes\n\nOn Tue, 24 Nov 2026 at 10:00, Ana with a long name\n<ana@example.com> wrote:\n> x", "Yes"},
		"outlook":   {"See below\n-----Original Message-----\nFrom: x", "See below"},
		"signature": {"Hello\n-- \nBob, director", "Hello"},
		"between":   {"> is it slow?\nVery.\n> since when?\nTen.", "Very.\nTen."},
		"all":       {"> only a quote", "> only a quote"},
		"on":        {"On Monday it was fine.\nOn Tuesday not.", "On Monday it was fine.\nOn Tuesday not."},
	} {
		if got := mail.Own(c.text); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"Bonjour, le site ne répond pas depuis ce matin.": "fr", "Hello, the site has been down since this morning.": "en", "": "en", "Error 500": "en",
	} {
		if got := mail.Language(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestMessages(t *testing.T) {
	const plain = "From: Bob <Bob@Example.com>\r\nSubject: =?iso-8859-1?Q?Panne_g=E9n=E9rale?=\r\nMessage-ID: <1@x>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\n"
	for name, c := range map[string]struct {
		raw, from string
		want      mail.Message
		fails     string
	}{
		"charset": {
			raw: plain + "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nC'est cass=E9", from: "b@x",
			want: mail.Message{ID: "1@x", From: "bob@example.com", Subject: "Panne générale", Text: "C'est cassé"},
		},
		"unknown charset": {
			raw: plain + "Content-Type: text/plain; charset=klingon\r\n\r\nbroken \xff", from: "b@x",
			want: mail.Message{ID: "1@x", From: "bob@example.com", Subject: "Panne générale", Text: "broken \uFFFD"},
		},
		"html": {
			raw: "From: b@x\r\nContent-Type: text/html\r\n\r\n<style>x{}</style><p>One</p><script>no()</script><div>Two &amp; three<br>four</div>", from: "b@x",
			want: mail.Message{From: "b@x", Text: "One\n\nTwo & three\nfour"},
		},
		"both": {
			raw: "From: b@x\r\nContent-Language: fr-FR\r\nReferences: <a@x> <b@x>\r\nIn-Reply-To: <b@x>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\nContent-Type: multipart/alternative; boundary=B\r\n\r\n--B\r\n\r\nplain\r\n--B\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--B--\r\n--A\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=\"screen.png\"\r\n\r\nxx\r\n--A--\r\n", from: "b@x",
			want: mail.Message{From: "b@x", Language: "fr", References: []string{"a@x", "b@x", "b@x"}, Text: "plain", Attachments: []string{"screen.png"}},
		},
		"cut short": {raw: "From: b@x\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n\r\nthe first", from: "b@x", want: mail.Message{From: "b@x", Text: "the first"}},
		"holiday":   {raw: "From: b@x\r\nAuto-Submitted: auto-replied (vacation)\r\n\r\naway", from: "b@x", want: mail.Message{From: "b@x", Text: "away", Automatic: mail.Replied}},
		"bounce":    {raw: "From: mailer-daemon@x\r\n\r\nundelivered", want: mail.Message{From: "mailer-daemon@x", Text: "undelivered", Automatic: mail.Replied}},
		"monitor":   {raw: "From: b@x\r\nAuto-Submitted: auto-generated\r\n\r\ndown", from: "b@x", want: mail.Message{From: "b@x", Text: "down", Automatic: mail.Generated}},
		"list":      {raw: "From: b@x\r\nPrecedence: bulk\r\nList-Id: <l.x>\r\n\r\nnews", from: "b@x", want: mail.Message{From: "b@x", Text: "news", Automatic: mail.Listed}},
		"circle":    {raw: strings.Repeat("Received: from a by b\r\n", 60) + "From: b@x\r\n\r\nx", from: "b@x", want: mail.Message{From: "b@x", Text: "x", Hops: 60}},
		"empty":     {raw: "\r\n", from: "b@x"},
		"depth":     {raw: nested(12), from: "b@x", fails: "too many parts"},
		"parts":     {raw: "Content-Type: multipart/mixed; boundary=A\r\n\r\n" + strings.Repeat("--A\r\n\r\nx\r\n", 300), from: "b@x", fails: "too many parts"},
		"header":    {raw: "Subject: " + strings.Repeat("x", 300<<10) + "\r\n\r\nx", from: "b@x", fails: "header cannot be read"},
	} {
		got, err := mail.Read(strings.NewReader(c.raw), c.from)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got.Date = c.want.Date
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, c.want)
		}
	}
}

func nested(depth int) string {
	var b strings.Builder
	for n := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=B%d\r\n\r\n--B%d\r\n", n, n)
	}
	return b.String() + "\r\nx"
}

// captured are the messages of the real Alertmanager.
func captured(t testing.TB) (out [][]byte) {
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		dir = "../../../../shared"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "testdata/real/email/*.eml"))
	if len(files) == 0 && dbtest.Required() {
		t.Fatal("no captures of mail")
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.Read(bytes.NewReader(raw), "alertmanager@example.test")
		state, title, _ := strings.Cut(strings.TrimSuffix(filepath.Base(f), filepath.Ext(f)), "-")
		title, _, _ = strings.Cut(title, "-")
		if s := mail.ReadSubject(m.Subject); err != nil || s.State != state || strings.ToLower(s.Title) != title || m.ID == "" || m.From != "alertmanager@example.test" || m.Date.IsZero() ||
			strings.Contains(m.Text, "{") || !strings.Contains(m.Text, "alertname") || m.Automatic != mail.ByPerson {
			t.Errorf("%s: %+v, %+v, %v", f, s, m, err)
		}
		out = append(out, raw)
	}
	return out
}

func TestCaptures(t *testing.T) { captured(t) }

// FuzzRead holds that no message makes the reader fail, wait or keep more than it may.
func FuzzRead(f *testing.F) {
	for _, raw := range captured(f) {
		f.Add(raw)
	}
	f.Add([]byte(nested(5)))
	f.Add([]byte("From: b@x\r\nContent-Type: text/html; charset=utf-7\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := mail.Read(bytes.NewReader(raw), "a@x")
		if err != nil {
			return
		}
		if len(m.Text) > 2<<20 || len(m.References) > 200 {
			t.Fatalf("%d bytes of text, %d references", len(m.Text), len(m.References))
		}
		mail.ReadSubject(m.Subject)
		mail.Own(m.Text)
	})
}
