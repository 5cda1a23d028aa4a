package ingest_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/unicode"

	"tocsin/internal/alert"
	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ingest"
	"tocsin/internal/ledger"
)

var update = flag.Bool("update", false, "write the golden file")

// captured is a request as it was received: the method, the path, the headers and the
// body.
type captured struct {
	Method  string
	Path    string
	Headers json.RawMessage
	Body    json.RawMessage
}

func (c captured) header() []string {
	var list [][2]string
	var out []string
	if json.Unmarshal(c.Headers, &list) == nil {
		for _, h := range list {
			out = append(out, h[0], h[1])
		}
		return out
	}
	var object map[string]string
	_ = json.Unmarshal(c.Headers, &object)
	for k, v := range object {
		out = append(out, k, v)
	}
	return out
}

// how says what is done with the captures that a pattern names. kind is that of the
// source they are sent to; none, where they are no input of this program, why.
type how struct {
	pattern, kind, none string
}

// inputs hold for the files below testdata/real; the first that fits counts.
var inputs = []how{
	{`^alertmanager/[^/]+/webhook-`, "alertmanager", ""},
	{`^alertmanager/[^/]+/pagerduty-`, "pagerduty", ""},
	{`^alertmanager/[^/]+/opsgenie-`, "opsgenie", ""},
	{`^alertmanager/`, "", "a receiver that is no target of this program"},
	{`^prometheus/`, "alertmanager", ""},
	{`^pagerduty-clients/.*-GET-`, "", "a question to the REST interface of PagerDuty"},
	{`^pagerduty-clients/opsgenie`, "opsgenie", ""},
	{`^pagerduty-clients/`, "pagerduty", ""},
	{`^cloudevents/`, "cloudevents", ""},
	{`^github-webhooks/`, "github", ""},
	{`^email/`, "email", ""},
	{`^(scanners|sarif-samples|scanner-samples)/`, "scan", ""},
	{`^osv/`, "scan", ""},
	{`^vcdb/.*veris`, "", "past incidents, which internal/history imports"},
	{`^vcdb/`, "", "the same past incidents in another shape"},
	{`^slack-clients/`, "", "what Slack is told, for the channel to Slack"},
	{`^(restic|borg|postgres)/`, "", "outputs of backup programs, for restore drills"},
	{`^attack/`, "", "tables of techniques, for the classification of incidents"},
}

var number = regexp.MustCompile(`\d+`)

// inOrder puts files of one folder in the order in which they were sent: by the last
// number of their names, those that resolve last.
func inOrder(a, b string) int {
	key := func(s string) string {
		n := number.FindAllString(filepath.Base(s), -1)
		rank := "0"
		if strings.Contains(s, "resolved") && strings.HasPrefix(s, "prometheus") {
			rank = "1"
		}
		last := "0"
		if len(n) > 0 && !strings.HasPrefix(s, "github") && !strings.Contains(s, "/GO-") {
			last = n[len(n)-1]
		}
		return filepath.Dir(s) + rank + fmt.Sprintf("%6s", last) + s
	}
	return strings.Compare(key(a), key(b))
}

var ends = regexp.MustCompile(`"endsAt": *"([^"]+)"`)

// sentAt is about when Prometheus sent a capture: it tells an alert that fires with an
// end four minutes later, and one that is over with its end.
func sentAt(file string, raw []byte) (at time.Time) {
	if !strings.HasPrefix(file, "prometheus/") {
		return at
	}
	for _, m := range ends.FindAllSubmatch(raw, -1) {
		if end, err := time.Parse(time.RFC3339, string(m[1])); err == nil && end.After(at) {
			at = end
		}
	}
	if strings.Contains(file, "resolved") {
		return at.Add(10 * time.Second)
	}
	return at.Add(-3 * time.Minute)
}

// everyCapture gives the files below testdata/real in the order in which they were sent.
func everyCapture(t *testing.T) (root string, files []string) {
	t.Helper()
	if root = os.Getenv("TOCSIN_SHARED"); root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	root = filepath.Join(root, "testdata", "real")
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(p, ".md") {
			rel, _ := filepath.Rel(root, p)
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if len(files) == 0 {
		dbtest.Skip(t, "no captures in %s", root)
	}
	slices.SortFunc(files, inOrder)
	return root, files
}

// TestEveryCapture sends every capture of a real tool to a source of its kind, and
// compares what was kept with what a person found in it: the answer, then the facts.
// A capture that no pattern names fails.
func TestEveryCapture(t *testing.T) {
	root, files := everyCapture(t)
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 8, 2, 0, 0, time.UTC))
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		c := capture(t, d)
		var got strings.Builder
		for _, f := range files {
			how, ok := inputOf(f)
			if !ok {
				t.Errorf("%s: nothing says what is to become of it", f)
				continue
			}
			if how.kind == "" {
				fmt.Fprintf(&got, "%s: none, %s\n", f, how.none)
				continue
			}
			raw, err := os.ReadFile(filepath.Join(root, f))
			if err != nil {
				t.Fatal(err)
			}
			if at := sentAt(f, raw); !at.IsZero() {
				clock.Set(at)
			}
			fmt.Fprintf(&got, "%s: %s\n", f, c.send(f, how.kind, raw))
		}
		golden := filepath.Join("testdata", "captures.golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), got.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func inputOf(file string) (how, bool) {
	for _, i := range inputs {
		if regexp.MustCompile(i.pattern).MatchString(file) {
			return i, true
		}
	}
	return how{}, false
}

// damages are what may happen to a message on its way.
var damages = map[string]func(string) string{
	"half":       func(s string) string { return s[:len(s)/2] },
	"a byte off": func(s string) string { return s[:max(len(s)-1, 0)] },
	"utf-16": func(s string) string {
		out, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(s)
		if err != nil {
			return s
		}
		return out
	},
	"nothing":  func(string) string { return "" },
	"noughts":  func(s string) string { return strings.Repeat("\x00", min(len(s), 4096)) },
	"twice":    func(s string) string { return s + s },
	"one line": func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
}

// TestDamagedCaptures sends every capture damaged on its way, and to a source of every
// other kind: the answer is clear, what is refused leaves nothing behind, and no damaged
// report is clean that was not.
func TestDamagedCaptures(t *testing.T) {
	root, files := everyCapture(t)
	c := capture(t, dbtest.OpenSQLite(t, dbtest.NewClock(time.Date(2026, 11, 23, 8, 2, 0, 0, time.UTC))))
	kinds := []string{"alertmanager", "pagerduty", "cloudevents", "github", "scan"}
	status, sent := regexp.MustCompile(`^\d+`), 0
	for _, f := range files {
		in, ok := inputOf(f)
		if !ok || in.kind == "" || in.kind == "email" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		c.mutate = nil
		whole := c.send(f, in.kind, raw)
		check := func(what, line string) {
			t.Helper()
			sent++
			switch code := status.FindString(line); {
			case code == "" || code[0] == '5' || code[0] == '3':
				t.Errorf("%s, %s: %s", f, what, line)
			case code[0] == '4' && !strings.HasSuffix(line, "nothing new"):
				t.Errorf("%s, %s: refused, and yet %s", f, what, line)
			case strings.Contains(line, "clean") && !strings.Contains(whole, "clean"):
				t.Errorf("%s, %s: clean, while whole it is %s", f, what, whole)
			}
		}
		for what, damage := range damages {
			c.mutate = damage
			check(what, c.send(f, in.kind, raw))
		}
		c.mutate = nil
		for _, kind := range kinds {
			if kind != in.kind {
				check("as "+kind, c.send(f, kind, raw))
			}
		}
	}
	if sent < 2000 {
		t.Errorf("only %d messages were sent", sent)
	}
}

func capture(t *testing.T, d *db.DB) *capturing {
	t.Helper()
	h := build(t, d, ingest.Options{Rate: 1e6, Burst: 1e6})
	c := &capturing{house: h, sources: map[string]string{}, smtp: h.smtp(), secret: filepath.Join(t.TempDir(), "secret")}
	if err := os.WriteFile(c.secret, []byte("capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

type capturing struct {
	*house
	// mutate changes a body on its way; nil leaves it.
	mutate func(string) string
	// sources are the keys by family: what one program sent in turn is one story.
	sources      map[string]string
	smtp, secret string
	last         int64
}

// key gives the key of the source for a family of captures, which it makes.
func (c *capturing) key(family, kind string) string {
	c.t.Helper()
	if k := c.sources[family]; k != "" {
		return k
	}
	id := fmt.Sprintf("family-%d", len(c.sources))
	key := fmt.Sprintf("%032x", 0xf00d+len(c.sources))
	def := alert.SourceDef{ID: id, Kind: kind, Service: "payments", Key: key}
	if kind == "github" {
		def.SecretFile = c.secret
	}
	c.source(def)
	c.sources[family] = key
	return key
}

var marked = regexp.MustCompile(`"routing_key": *"[^"]*"`)

// send gives what became of a capture in one line.
func (c *capturing) send(file, kind string, raw []byte) string {
	c.t.Helper()
	family := filepath.Dir(file) + " " + kind
	if kind == "scan" {
		// A report says all that there is: each stands for itself.
		family = file
	}
	key := c.key(family, kind)
	var req captured
	path, body, header, media := "", string(raw), []string(nil), "application/json"
	if err := json.Unmarshal(raw, &req); err == nil && req.Method != "" {
		body, header = string(req.Body), req.header()
		var text string
		if json.Unmarshal(req.Body, &text) == nil {
			body = text
		}
	}
	method := "POST"
	switch kind {
	case "alertmanager":
		header = nil
		path = "/in/" + key + "/alertmanager/webhook"
		if strings.HasPrefix(file, "prometheus") {
			path = "/in/" + key + "/alertmanager/api/v2/alerts"
		}
	case "pagerduty":
		header, path = nil, "/v2/enqueue"
		if strings.Contains(file, "change") {
			path = "/v2/change/enqueue"
		}
		body = marked.ReplaceAllString(body, `"routing_key": "`+key+`"`)
	case "opsgenie":
		method = req.Method
		_, path, _ = strings.Cut(req.Path, "/v2/alerts")
		path = "/v2/alerts" + path
		header = []string{"Authorization", "GenieKey " + key}
	case "cloudevents":
		path = "/in/" + key + "/cloudevents"
		var own []string
		for n := 0; n < len(header); n += 2 {
			switch name := strings.ToLower(header[n]); {
			case name == "content-type":
				media = header[n+1]
			case strings.HasPrefix(name, "ce-"):
				own = append(own, header[n], header[n+1])
			}
		}
		header = own
	case "github":
		path = "/in/" + key + "/github"
		event := regexp.MustCompile(`-\d+\.json$`).ReplaceAllString(filepath.Base(file), "")
		body = c.changed(string(raw))
		mac := hmac.New(sha256.New, []byte("capture"))
		mac.Write([]byte(body))
		header = []string{"X-GitHub-Event", event, "X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Delivery", rand.Text()}
	case "scan":
		path, media, header, body = "/in/"+key+"/scan?target="+url.QueryEscape("capture"), "application/octet-stream", nil, string(raw)
	case "email":
		return c.mail(key, raw)
	}
	if kind != "github" {
		body = c.changed(body)
	}
	resp, answer := c.house.send(method, path, media, body, header...)
	line := fmt.Sprint(resp.StatusCode)
	if kind == "scan" {
		var a struct{ Format string }
		_ = json.Unmarshal([]byte(answer), &a)
		line += " " + a.Format
	}
	return line + c.facts()
}

func (c *capturing) changed(body string) string {
	if c.mutate == nil {
		return body
	}
	return c.mutate(body)
}

// mail sends a message to the key of a source.
func (c *capturing) mail(key string, raw []byte) string {
	c.t.Helper()
	if err := smtp.SendMail(c.smtp, nil, "monitoring@example.com", []string{key + "@localhost"}, raw); err != nil {
		return err.Error() + c.facts()
	}
	return "250" + c.facts()
}

// facts counts what was recorded since the last time, with the severities and verdicts.
func (c *capturing) facts() string {
	c.t.Helper()
	all, err := c.l.Facts(c.ctx, ledger.Filter{After: c.last, Limit: 100_000})
	if err != nil {
		c.t.Fatal(err)
	}
	count, order := map[string]int{}, []string{}
	for _, f := range all {
		c.last = f.Seq
		var b struct{ Severity, Verdict string }
		_ = f.Decode(&b)
		name := strings.TrimSpace(f.Type + " " + b.Severity + b.Verdict)
		if f.Type == "source.created" {
			continue
		}
		if count[name]++; count[name] == 1 {
			order = append(order, name)
		}
	}
	if len(order) == 0 {
		return ", nothing new"
	}
	out := ""
	for _, name := range order {
		if out += ", " + name; count[name] > 1 {
			out += fmt.Sprintf(" × %d", count[name])
		}
	}
	return out
}

// smtp takes mail on loopback and gives its address.
func (h *house) smtp() string {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	s := ingest.NewMailServer(h.alerts, nil, "localhost", nil, ingest.Options{Clock: h.d.Clock()})
	go func() { _ = s.Serve(l) }()
	h.t.Cleanup(func() { _ = s.Close(h.ctx) })
	return l.Addr().String()
}
