package cli_test

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/cli"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

var update = flag.Bool("update", false, "write the golden files anew")

const company = `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en]}
people:
  - {id: camille, name: Camille Roy, email: camille@example.com, access: admin}
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: responder, contact_methods: [{id: sms, kind: sms, to: "+33600000001"}]}
  - {id: paul, name: Paul Durand, email: paul@example.com, access: responder}
schedules:
  - {id: primary, name: {fr: Astreinte principale, en: Primary on-call}, rotations: [{people: [ana], start: "2026-01-05T09:00", shift: 1w}]}
roles: {commander: [camille], communications: [camille], management: [camille]}
services:
  - {id: payments, name: {fr: Paiement, en: Payments}, owner: ana, tier: critical}
`

// desk is a running server and the tokens of those who sit before a terminal.
type desk struct {
	t      *testing.T
	app    *app.App
	front  *httptest.Server
	tokens map[string]string
}

func open(t *testing.T) *desk {
	t.Helper()
	for _, v := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CONFIG_DIRS"} {
		t.Setenv(v, t.TempDir())
	}
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "TOCSIN_TOKEN_FILE", "TOCSIN_TOKEN", "TOCSIN_SERVER"} {
		t.Setenv(v, "")
	}
	t.Setenv("LANG", "en_GB.UTF-8")
	d := &desk{t: t, tokens: map[string]string{}}
	a, err := app.New(t.Context(), app.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.app = a
	ctx := app.AsSystem(context.Background())
	if _, err := a.Apply(ctx, []byte(company), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	for who, access := range map[string]kit.Access{"ana": kit.AccessResponder, "paul": kit.AccessResponder, "camille": kit.AccessAdmin, "": kit.AccessResponder} {
		secret, _, err := a.Identity.CreateToken(ctx, identity.NewToken{Name: "desk " + who, Access: access, Owner: who})
		if err != nil {
			t.Fatal(err)
		}
		d.tokens[who] = secret
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		_ = a.Close()
	})
	return d
}

// do runs one command line as somebody and gives code, stdout and stderr.
func (d *desk) do(who, server, stdin string, args ...string) (int, string, string) {
	d.t.Helper()
	d.t.Setenv("TOCSIN_TOKEN", d.tokens[who])
	d.t.Setenv("TOCSIN_SERVER", server)
	var out, err bytes.Buffer
	code := cli.RunWith(d.t.Context(), args, &recorder{}, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &err})
	return code, out.String(), err.String()
}

var changing = regexp.MustCompile(`\d{4}-\d\d-\d\d|\d\d:\d\d(:\d\d)?|http://127\.0\.0\.1:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+ (min|s)\b|\d{1,2} \p{L}+\.? \d{4}`)

// TestVerbsAgainstAServer holds what each verb answers, its exit code and both
// streams, in both languages where they say something.
func TestVerbsAgainstAServer(t *testing.T) {
	d := open(t)
	var got strings.Builder
	for _, c := range []struct {
		who, lang, stdin string
		args             []string
		code             int
	}{
		{"ana", "en", "", []string{"whoami"}, 0},
		{"", "en", "", []string{"whoami", "--plain"}, 0},
		{"ana", "en", "", []string{"status"}, 0},
		{"ana", "fr", "", []string{"status"}, 0},
		{"ana", "en", "", []string{"oncall", "--plain"}, 0},
		{"ana", "en", "", []string{"ack"}, 3},
		{"ana", "fr", "", []string{"ack"}, 3},
		{"ana", "en", "", []string{"declare"}, 2},
		{"ana", "en", "", []string{"declare", "Payments fail", "--service", "payments", "--dry-run", "--plain", "-q"}, 0},
		{"ana", "en", "", []string{"declare", "Payments fail", "--service", "payments"}, 0},
		{"ana", "fr", "", []string{"declare", "Paiement en panne", "--severity", "sev4"}, 0},
		{"ana", "en", "", []string{"declare", "Bad level", "--severity", "sev9"}, 2},
		{"", "en", "", []string{"ack", "INC-1"}, 4},
		{"", "fr", "", []string{"ack", "INC-1"}, 4},
		{"paul", "en", "", []string{"pass", "INC-1"}, 3},
		{"ana", "en", "", []string{"ack", "INC-1"}, 0},
		{"ana", "en", "", []string{"ack", "INC-1", "--plain", "-q"}, 0},
		{"paul", "en", "", []string{"ack", "INC-1"}, 5},
		{"paul", "fr", "", []string{"ack", "INC-1"}, 5},
		{"ana", "en", "from a pipe\n", []string{"note", "INC-1", "-"}, 0},
		{"ana", "fr", "", []string{"note", "INC-99", "nobody"}, 3},
		{"ana", "en", "", []string{"assess", "INC-1"}, 2},
		{"ana", "en", "", []string{"assess", "INC-1", "--who", "most", "--what", "main", "--data", "no", "--trend", "stable", "--change", "none", "-n"}, 0},
		{"ana", "en", "", []string{"assess", "INC-1", "--who", "most", "--what", "main", "--data", "no", "--trend", "stable", "--change", "none"}, 0},
		{"ana", "en", "", []string{"phase", "INC-1", "containment", "--answer", "told=everybody"}, 0},
		{"ana", "fr", "", []string{"phase", "INC-1", "détection"}, 2},
		{"ana", "en", "", []string{"handover", "INC-1", "--to", "nobody-here"}, 3},
		{"ana", "en", "", []string{"handover", "INC-1", "--to", "durand"}, 0},
		{"ana", "en", "", []string{"page", "payments", "Cards", "are", "refused"}, 0},
		{"ana", "en", "", []string{"page", "Durand", "Join", "the", "call", "--dry-run"}, 0},
		{"ana", "en", "", []string{"doctor"}, 4},
		{"ana", "en", "", []string{"export", "--config"}, 4},
		{"ana", "en", "", []string{"status", "--plain"}, 0},
		{"ana", "fr", "", []string{"status", "INC-1"}, 0},
		{"ana", "fr", "", []string{"asess", "INC-1"}, 2},
	} {
		t.Setenv("LC_ALL", map[string]string{"en": "en_GB.UTF-8", "fr": "fr_FR.UTF-8"}[c.lang])
		code, out, err := d.do(c.who, d.app.BaseURL(), c.stdin, c.args...)
		if code != c.code {
			t.Errorf("%s: code %d, want %d\n%s%s", c.args, code, c.code, out, err)
		}
		got.WriteString("# " + c.who + " " + c.lang + ": tocsin " + strings.Join(c.args, " ") + "\n" + out)
		if err != "" {
			got.WriteString("! " + strings.ReplaceAll(strings.TrimSuffix(err, "\n"), "\n", "\n! ") + "\n")
		}
		got.WriteString("\n")
	}
	have := changing.ReplaceAllString(got.String(), "…")
	golden := filepath.Join("testdata", "verbs.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(have), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("what the verbs say changed; run go test ./internal/cli -update and look at the difference\n%s", have)
	}
}

// TestNothingIsSentTwice keeps lines while the server is away, sends them, and
// sends them again as after a crash between the answer and the removal.
func TestNothingIsSentTwice(t *testing.T) {
	d := open(t)
	away, drop := false, false
	d.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case away:
			http.Error(w, "no server", http.StatusBadGateway)
		case drop && r.Method == http.MethodPost:
			// It is done, and the answer is lost.
			d.app.Handler().ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			d.app.Handler().ServeHTTP(w, r)
		}
	}))
	t.Cleanup(d.front.Close)
	at := d.front.URL
	if code, _, e := d.do("ana", at, "", "oncall"); code != 0 {
		t.Fatal(e)
	}
	away = true
	code, out, said := d.do("ana", at, "", "declare", "While away")
	if code != cli.ExitUnreachable || out != "" || !strings.Contains(said, "+33600000001") || !strings.Contains(said, "tocsin sync") {
		t.Fatalf("code %d\n%s%s", code, out, said)
	}
	if code, _, _ := d.do("ana", at, "", "note", "INC-1", "seen by eye"); code != cli.ExitUnreachable {
		t.Fatalf("note: code %d", code)
	}
	if code, _, _ := d.do("ana", at, "", "note", "INC-77", "of no incident"); code != cli.ExitUnreachable {
		t.Fatalf("note: code %d", code)
	}
	if code, _, _ := d.do("ana", at, "", "sync"); code != cli.ExitUnreachable {
		t.Fatalf("sync while away: code %d", code)
	}
	away = false
	queue := filepath.Join(os.Getenv("XDG_STATE_HOME"), "tocsin", "queue.jsonl")
	st, err := os.Stat(queue)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("queue: %v, %v", st, err)
	}
	before, err := os.ReadFile(queue)
	if err != nil {
		t.Fatal(err)
	}
	code, out, said = d.do("ana", at, "", "sync", "--plain")
	if code != cli.ExitPartly || strings.Count(out, "\tsent\t") != 2 || !strings.Contains(out, "INC-77\tfailed") {
		t.Fatalf("sync: code %d\n%s%s", code, out, said)
	}
	// As if the process had died before it took them off.
	if err := os.WriteFile(queue, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ = d.do("ana", at, "", "sync", "--plain"); code != cli.ExitPartly || strings.Count(out, "\tsent\t") != 2 {
		t.Fatalf("sync again: code %d\n%s", code, out)
	}
	// The server did it and its answer was lost: the same line, not a second one.
	drop = true
	if code, _, _ := d.do("ana", at, "", "declare", "Answer lost"); code != cli.ExitUnreachable {
		t.Fatalf("declare: code %d", code)
	}
	drop = false
	if code, out, _ = d.do("ana", at, "", "sync"); !strings.Contains(out, "INC-2") {
		t.Fatalf("sync: code %d\n%s", code, out)
	}
	if _, out, _ = d.do("ana", at, "", "status", "--plain"); strings.Count(out, "\n") != 2 {
		t.Errorf("incidents:\n%s", out)
	}
	left, err := os.ReadFile(queue)
	if err != nil || strings.Count(string(left), "\n") != 1 {
		t.Fatalf("left: %s, %v", left, err)
	}
	key := regexp.MustCompile(`"key":"([^"]+)"`).FindStringSubmatch(string(left))[1]
	if code, out, _ = d.do("ana", at, "", "sync", "--drop", key); code != 0 || !strings.Contains(out, "Nothing waits") {
		t.Errorf("drop: code %d\n%s", code, out)
	}
}

// TestDoctorOverTheServer finds what the small company lacks, and a backup that
// was made is one fault less.
func TestDoctorOverTheServer(t *testing.T) {
	d := open(t)
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r, err := http.Get(d.app.BaseURL() + "/readyz")
		if err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("never ready")
		}
	}
	code, out, said := d.do("camille", d.app.BaseURL(), "", "doctor", "--plain")
	for _, want := range []string{"ok\tledger", "ok\tworker", "ok\toncall", "fail\tbackup", "warn\tmail", "warn\tlast_resort", "never answered a test of: sms"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, said)
		}
	}
	if code != cli.ExitFailed {
		t.Errorf("code %d", code)
	}
	if _, out, _ := d.do("camille", d.app.BaseURL(), "", "doctor", "--json"); !strings.Contains(out, `"check": "last_resort"`) {
		t.Errorf("json:\n%s", out)
	}
}

// TestLoginKeepsTheTokenForItsServer stores a token that the server knows, for its
// owner alone, and does not carry it to a server that a project names.
func TestLoginKeepsTheTokenForItsServer(t *testing.T) {
	d := open(t)
	server := d.app.BaseURL()
	bad := "toc_" + strings.Repeat("x", 43)
	if code, _, said := d.do("x", server, bad, "login"); code != cli.ExitNotAllowed {
		t.Fatalf("code %d %s", code, said)
	}
	if code, _, said := d.do("x", server, d.tokens["ana"]+"\n", "login"); code != 0 {
		t.Fatalf("code %d %s", code, said)
	}
	kept, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "tocsin", "tokens", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if st, err := os.Stat(kept[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if code, out, said := d.do("x", "", "", "whoami"); code != 0 || !strings.Contains(out, "Ana Lopez") {
		t.Errorf("code %d %s%s", code, out, said)
	}
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(other.Close)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".tocsin.yaml"), []byte("server: "+other.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if code, _, said := d.do("ana", "", "", "whoami"); code != cli.ExitNotAllowed || reached {
		t.Errorf("code %d, reached %v: %s", code, reached, said)
	}
}

func TestCompletionParses(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, said bytes.Buffer
		if code := cli.Run(t.Context(), []string{"completion", shell}, &recorder{}, &out, &said); code != 0 {
			t.Fatalf("%s: code %d %s", shell, code, said.String())
		}
		for _, want := range []string{"declare", "handover", "token-file"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s has no %s", shell, want)
			}
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, "-n")
		cmd.Stdin = &out
		if msg, err := cmd.CombinedOutput(); err != nil || len(msg) > 0 {
			t.Errorf("%s -n: %v %s", shell, err, msg)
		}
	}
}
