package transfer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/kit"
	"tocsin/internal/oncall"
	"tocsin/internal/orgfile"
	"tocsin/internal/transfer"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func sample(t testing.TB, product string) *transfer.Export {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", product+".json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := transfer.Parse("", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if e.Product != product {
		t.Fatalf("%s is taken for %s", product, e.Product)
	}
	return e
}

func written(t testing.TB, f *orgfile.File) string {
	t.Helper()
	b, err := orgfile.Export(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orgfile.Parse(b); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return string(b)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

type wordList map[string]map[string]string

func readWords(t *testing.T) wordList {
	t.Helper()
	w := wordList{}
	for _, lang := range []string{"en", "fr"} {
		b, err := os.ReadFile("../i18n/catalogue/transfer." + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		words := map[string]string{}
		if err := json.Unmarshal(b, &words); err != nil {
			t.Fatal(err)
		}
		w[lang] = words
	}
	return w
}

func (w wordList) say(t *testing.T, lang, key string, args map[string]any) string {
	t.Helper()
	text, ok := w[lang][key]
	if !ok {
		t.Errorf("no words for %s in %s", key, lang)
	}
	var b strings.Builder
	if err := template.Must(template.New(key).Option("missingkey=error").Parse(text)).Execute(&b, args); err != nil {
		t.Errorf("%s: %s: %v", lang, key, err)
	}
	return b.String()
}

// TestGolden holds the file and the report of every product.
func TestGolden(t *testing.T) {
	w := readWords(t)
	for _, product := range transfer.Products {
		t.Run(product, func(t *testing.T) {
			e := sample(t, product)
			f, r := transfer.Convert(e, nil, now)
			golden(t, product+".yaml.golden", written(t, f))
			var b strings.Builder
			fmt.Fprintf(&b, "%s: %d exact, %d approximate, %d none\n", r.Product, r.Exact, r.Approximate, r.None)
			for _, l := range r.Lines {
				w.say(t, "fr", l.Key, l.Args)
				fmt.Fprintf(&b, "%-11s %-14s %s -> %s: %s\n", l.Verdict, l.Kind, l.From, l.To, w.say(t, "en", l.Key, l.Args))
			}
			golden(t, product+".report.golden", b.String())
			for _, s := range f.Schedules {
				if _, err := oncall.Compile(oncall.Definition{Zone: s.Timezone, Rotations: s.Rotations}); err != nil || len(s.Rotations) == 0 {
					t.Errorf("schedule %s: %v", s.ID, err)
				}
			}
			again, r2 := transfer.Convert(e, f, now)
			if diff := cmp.Diff(written(t, f), written(t, again)); diff != "" {
				t.Errorf("the second time (-first +second):\n%s", diff)
			}
			for _, l := range r2.Lines {
				w.say(t, "en", l.Key, l.Args)
				if strings.Contains(l.Key, ".kept") {
					t.Errorf("the second time %s %s differs", l.Kind, l.From)
				}
			}
			later, _ := transfer.Convert(e, f, now.AddDate(0, 2, 0))
			if diff := cmp.Diff(written(t, f), written(t, later)); diff != "" {
				t.Errorf("two months later (-first +then):\n%s", diff)
			}
		})
	}
}

// TestWords holds that the keys of the source are those of the words, in both languages
// with the same arguments.
func TestWords(t *testing.T) {
	w := readWords(t)
	used := map[string]bool{"transfer.exact": true, "transfer.of_lost": true, "transfer.kept_part": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?:\.differs\(|\.lost\(|\.say\(\w+, |why(?:: | = |, \w+ = |=)|out\.kind, out\.to, out\.why = [^,]*, [^,]*, |m\.kind, m\.to, m\.why = [^,]*, [^,]*, |out\.kind, out\.why = [^,]*, )"([a-z_.]+)"`)
	whole := regexp.MustCompile(`"(transfer\.error\.[a-z_]+)"`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllStringSubmatch(string(b), -1) {
			used["transfer."+m[1]] = true
		}
		for _, m := range whole.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	args := regexp.MustCompile(`\.[a-z]+`)
	for _, lang := range []string{"en", "fr"} {
		for key := range used {
			if w[lang][key] == "" {
				t.Errorf("%s: no words for %s", lang, key)
			}
		}
		for key := range w[lang] {
			if !used[key] {
				t.Errorf("%s: %s is not used", lang, key)
			}
		}
	}
	for key, en := range w["en"] {
		var lists [2][]string
		for i, text := range []string{en, w["fr"][key]} {
			for _, m := range regexp.MustCompile(`{{[^}]*}}`).FindAllString(text, -1) {
				lists[i] = append(lists[i], args.FindAllString(m, -1)...)
			}
			slices.Sort(lists[i])
			lists[i] = slices.Compact(lists[i])
		}
		if !slices.Equal(lists[0], lists[1]) {
			t.Errorf("%s: arguments %v and %v", key, lists[0], lists[1])
		}
		if fr := w["fr"][key]; strings.ContainsAny(fr, "'") || regexp.MustCompile(`[^\x{202f}][;!?]|[^\x{a0}}]:(?:[^/]|$)|«[^\x{a0}]|[^\x{a0}]»`).MatchString(fr) {
			t.Errorf("%s: spaces or apostrophe of %q", key, fr)
		}
	}
}

// who gives who is on duty by a file at an instant, by schedule.
func who(t *testing.T, f *orgfile.File, schedule string, at time.Time) string {
	t.Helper()
	for _, s := range f.Schedules {
		if s.ID != schedule {
			continue
		}
		loc, err := time.LoadLocation(s.Timezone)
		if err != nil {
			t.Fatal(err)
		}
		var overrides []oncall.Override
		for _, o := range s.Overrides {
			overrides = append(overrides, oncall.Override{Person: o.Person, From: orgfile.Instant(o.From, loc, false), To: orgfile.Instant(o.To, loc, false)})
		}
		p, _, err := oncall.At(oncall.Definition{Zone: s.Timezone, Rotations: s.Rotations, Overrides: overrides}, at)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatalf("no schedule %s", schedule)
	return ""
}

// TestDuty asks the calculator who is on duty by what was converted.
func TestDuty(t *testing.T) {
	files := map[string]*orgfile.File{}
	for _, p := range transfer.Products {
		files[p], _ = transfer.Convert(sample(t, p), nil, now)
	}
	for _, c := range []struct{ product, schedule, at, want string }{
		// Layer 3 hides the others on Monday night, Layer 2 Layer 1 in office hours.
		{"pagerduty", "platform-primary", "2026-03-02T23:00:00+01:00", "zoe-oncall"},
		{"pagerduty", "platform-primary", "2026-03-03T05:59:00+01:00", "zoe-oncall"},
		{"pagerduty", "platform-primary", "2026-03-08T07:00:00+01:00", "zoe-oncall"},
		{"pagerduty", "platform-primary", "2026-03-04T08:00:00+01:00", "paul"},
		{"pagerduty", "platform-primary", "2026-03-03T12:00:00+01:00", "zoe-oncall"},
		{"pagerduty", "platform-primary", "2026-03-04T12:00:00+01:00", "paul"},
		{"pagerduty", "platform-primary", "2026-03-12T08:00:00+01:00", "ana-lopez"},
		// The layer begins within the turn of a missing person, whose turns go to the one before.
		{"pagerduty", "follow-the-sun", "2026-04-01T13:00:00-04:00", "ana-lopez"},
		{"pagerduty", "follow-the-sun", "2026-04-02T10:00:00-04:00", "ana-lopez"},
		{"pagerduty", "follow-the-sun", "2026-04-01T22:00:00-04:00", "zoe-oncall"},
		{"opsgenie", "operations-schedule", "2026-03-04T12:00:00+01:00", "ana"},
		{"opsgenie", "operations-schedule", "2026-03-10T12:00:00+01:00", "bob"},
		{"opsgenie", "operations-schedule", "2026-06-01T12:00:00+02:00", "bob"},
		{"opsgenie", "operations-schedule-2", "2026-03-04T23:00:00+01:00", "cleo"},
		{"oncall", "web-primary", "2026-01-12T12:00:00Z", "cleo"},
		{"oncall", "web-primary-2", "2026-01-13T12:00:00Z", "bob"},
		{"oncall", "web-primary", "2026-01-13T12:00:00Z", "ana"},
		{"oncall", "web-primary-2", "2026-03-10T12:00:00Z", "bob"},
		{"oncall", "terraform-schedule", "2026-01-08T12:00:00-05:00", "ana"},
		{"oncall", "terraform-schedule", "2026-01-12T10:00:00-05:00", "bob"},
		{"oncall", "terraform-schedule", "2026-01-12T22:00:00-05:00", "cleo"},
		{"oncall", "terraform-schedule-2", "2026-04-01T09:00:00-04:00", "bob"},
		{"goalert", "payments", "2026-03-04T12:00:00+01:00", "bob"},
		{"goalert", "payments", "2026-03-11T12:00:00+01:00", "cleo"},
		{"goalert", "payments", "2026-03-10T12:00:00+01:00", "bob"},
		{"goalert", "payments-2", "2026-03-09T11:00:00+01:00", "ana"},
		{"goalert", "payments-3", "2026-03-12T12:00:00+01:00", "cleo"},
		{"goalert", "payments", "2026-12-24T14:00:00+01:00", "bob"},
		{"goalert", "payments-2", "2026-12-24T14:00:00+01:00", "cleo"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := who(t, files[c.product], c.schedule, at); got != c.want {
			t.Errorf("%s %s at %s: %q, want %q", c.product, c.schedule, c.at, got, c.want)
		}
	}
}

// TestExisting holds that what is there stays.
func TestExisting(t *testing.T) {
	existing, err := orgfile.Parse([]byte(`apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR}
people:
  - {id: boss, name: Ana L., email: ANA@example.com, access: admin, contact_methods: [{id: own, kind: sms, to: "+33612345678"}], notify: [{after: 1m, method: own}]}
  - {id: bob, name: Other Bob, email: bob@example.org, access: manager}
  - {id: cleo, name: Cléo, email: cleo@example.com}
schedules:
  - {id: operations-schedule, duty: primary, rotations: [{people: [boss], start: "2026-01-05T09:00", shift: 1w}]}
policies:
  - {id: managers, steps: [{after: 0s, page: ["person:boss"]}]}
services:
  - {id: payments, owner: boss, tier: critical}
`))
	if err != nil {
		t.Fatal(err)
	}
	before := written(t, existing)
	e := sample(t, transfer.Opsgenie)
	f, r := transfer.Convert(e, existing, now)
	if diff := cmp.Diff(before, written(t, existing)); diff != "" {
		t.Errorf("the existing file changed:\n%s", diff)
	}
	boss := f.People[0]
	if boss.ID != "boss" || boss.Name != "Ana L." || boss.Access != kit.AccessAdmin || len(boss.Notify) != 1 {
		t.Errorf("boss %+v", boss)
	}
	if want := []orgfile.Method{{ID: "own", Kind: "sms", To: "+33612345678"}, {ID: "mail", Kind: "email", To: "ana@example.com"}, {ID: "voice", Kind: "voice", To: "+33612345678"}}; !cmp.Equal(boss.Methods, want) {
		t.Errorf("methods %+v", boss.Methods)
	}
	if f.People[1].Name != "Other Bob" || f.People[3].ID != "bob-2" || f.People[3].Email != "bob@example.com" || f.People[3].Access != kit.AccessResponder {
		t.Errorf("people %+v", f.People)
	}
	if cleo := f.People[2]; cleo.Access != "" || len(cleo.Methods) != 0 {
		t.Errorf("cleo %+v", cleo)
	}
	if f.Schedules[0].Duty != "primary" || len(f.Schedules[0].Rotations) != 1 || f.Policies[0].Steps[0].Page[0] != "person:boss" || f.Services[0].Owner != "boss" {
		t.Errorf("what was there changed: %+v %+v %+v", f.Schedules[0], f.Policies[0], f.Services[0])
	}
	kept := map[string]bool{}
	for _, l := range r.Lines {
		if strings.Contains(l.Key, ".kept") {
			kept[l.Kind] = true
		}
	}
	for _, kind := range []string{"schedule", "rotation", "override", "policy", "step", "service", "rule"} {
		if !kept[kind] {
			t.Errorf("no %s is told to be kept", kind)
		}
	}
	again, _ := transfer.Convert(e, f, now)
	if diff := cmp.Diff(written(t, f), written(t, again)); diff != "" {
		t.Errorf("the second time:\n%s", diff)
	}
	for _, p := range f.People {
		if p.Access == kit.AccessAdmin && p.ID != "boss" {
			t.Errorf("%s is admin", p.ID)
		}
	}
}

// TestDamaged names what is wrong with an export.
func TestDamaged(t *testing.T) {
	for name, c := range map[string]struct{ product, file, want string }{
		"nothing":          {"", "", "malformed transfer.error.json"},
		"no json":          {"", "users: []", "malformed transfer.error.json"},
		"cut off":          {"", `{"users":[{"id":"P`, "malformed transfer.error.json"},
		"two documents":    {"pagerduty", `{"users":[]}{`, "malformed transfer.error.json"},
		"a list":           {"", `[]`, "invalid file transfer.error.object"},
		"null":             {"", `null`, "invalid product transfer.error.detect"},
		"unknown content":  {"", `{"cats":[{"id":1}]}`, "invalid product transfer.error.detect"},
		"unknown product":  {"victorops", `{"users":[{}]}`, "invalid product transfer.error.product"},
		"nothing to read":  {"pagerduty", `{"users":[],"more":false}`, "invalid file transfer.error.empty"},
		"no object":        {"pagerduty", `{"users":[{"id":"P1"},3]}`, "invalid users[1] transfer.error.object"},
		"wrong type":       {"pagerduty", `{"users":[{"id":"P1","email":["a"]}]}`, "invalid users[0].email transfer.error.field"},
		"wrong type below": {"pagerduty", `{"schedules":[{"id":"P1","schedule_layers":[{"users":3}]}]}`, "invalid schedules[0].schedule_layers.users transfer.error.field"},
		"id that is none":  {"opsgenie", `{"users":[{"id":{}}]}`, "invalid users[0]"},
		"deep":             {"", strings.Repeat("[", 100) + strings.Repeat("]", 100), "invalid file transfer.error.deep"},
		"many":             {"goalert", `{"users":[` + strings.Repeat("{},", 20_000) + `{}]}`, "invalid users transfer.error.many"},
		"large":            {"goalert", strings.Repeat(" ", 33<<20), "too_large error.too_large"},
	} {
		_, err := transfer.Parse(c.product, strings.NewReader(c.file))
		var e *kit.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := string(e.Code) + " " + e.Key
		if len(e.Fields) > 0 {
			got = string(e.Code) + " " + e.Fields[0].Path + " " + e.Fields[0].Key
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestLarge holds that a huge export becomes a file that can still be read.
func TestLarge(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"users":[`)
	for i := range 20_000 {
		fmt.Fprintf(&b, `{"id":"P%d","name":"%s","email":"ana@%d.example.com"},`, i, strings.Repeat("é", 100), i)
	}
	b.WriteString(`{"id":"P"}],"schedules":[`)
	for i := range 100 {
		fmt.Fprintf(&b, `{"id":"S%d","name":"Ops","time_zone":"UTC","schedule_layers":[{"start":"2026-01-01T00:00:00Z","rotation_turn_length_seconds":3600,"users":[`, i)
		for j := range 200 {
			fmt.Fprintf(&b, `{"user":{"id":"P%d"}},`, j)
		}
		b.WriteString(`{"user":{"id":"P1"}}]}]},`)
	}
	b.WriteString(`{"id":"S"}]}`)
	e, err := transfer.Parse(transfer.PagerDuty, strings.NewReader(strings.Replace(b.String(), `,{"id":"P"}`, "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	f, r := transfer.Convert(e, nil, now)
	again, _ := transfer.Convert(e, f, now)
	written(t, again)
	full := 0
	for _, l := range r.Lines {
		if l.Key == "transfer.full" {
			full++
		}
	}
	written(t, f)
	if full == 0 || len(f.People) < 4000 {
		t.Errorf("%d people, %d left out", len(f.People), full)
	}
}

// FuzzConvert holds that whatever is read becomes a file that can be read, twice the same.
func FuzzConvert(f *testing.F) {
	for _, p := range transfer.Products {
		b, err := os.ReadFile(filepath.Join("testdata", p+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", b)
	}
	f.Add("pagerduty", []byte(`{"users":[{"email":"a@b.c"},{"email":"A@b.c","id":1}],"schedules":[{"name":"\u2028#","schedule_layers":[{"users":[{"user":{"id":1}}],"start":"2026-01-01T00:00:00Z"}]}]}`))
	f.Fuzz(func(t *testing.T, product string, data []byte) {
		e, err := transfer.Parse(product, bytes.NewReader(data))
		if err != nil {
			return
		}
		one, r := transfer.Convert(e, nil, now)
		for _, l := range r.Lines {
			if l.From == "" || l.Key == "" || l.Verdict == "" {
				t.Errorf("line %+v", l)
			}
		}
		two, _ := transfer.Convert(e, one, now)
		if a, b := written(t, one), written(t, two); a != b {
			t.Errorf("twice:\n%s\n%s", a, b)
		}
	})
}
