package orgfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tocsin/internal/kit"
	"tocsin/internal/oncall"
	"tocsin/internal/orgfile"
)

func full(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, data []byte) *orgfile.File {
	t.Helper()
	f, err := orgfile.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	f := parse(t, full(t))
	if f.Organisation.Name != "Exemple SAS" || f.Organisation.LastResort.Phone != "+33100000000" || f.Organisation.Holidays[0].Date != "2026-12-24" {
		t.Errorf("organisation %+v", f.Organisation)
	}
	ana := f.People[0]
	if ana.Methods[2].To != "+33600000001" || ana.Notify[1].After != oncall.Duration(2*time.Minute) || ana.QuietHours.From != "22:00" {
		t.Errorf("ana %+v", ana)
	}
	if got := f.People[1].ContactMethods(); len(got) != 1 || got[0].To != "paul@example.com" {
		t.Errorf("methods of paul %+v", got)
	}
	if got := f.People[2].Rules(); len(got) != 1 || got[0].Method != "mail" || got[0].After != 0 {
		t.Errorf("rules of lina %+v", got)
	}
	s := f.Schedules[0]
	if s.Name != (kit.Text{FR: "Astreinte principale", EN: "Primary on-call"}) || s.Rotations[1].Layer != 2 || s.Rotations[1].Until != "2026-06-30" {
		t.Errorf("schedule %+v", s)
	}
	if f.Schedules[1].Name != kit.Both("Seconde ligne") {
		t.Errorf("name %+v", f.Schedules[1].Name)
	}
	if p := f.Policies[0]; time.Duration(*p.RoundGap) != 90*time.Minute || !p.Steps[1].RoundRobin || p.Repeat != 2 {
		t.Errorf("policy %+v", p)
	}
	if !maps(f.Parameters, map[string]string{"P.mgmt": "20m", "P.ack.sev1": "3m", "P.ack.sev2": "10m", "P.bia": "200d"}) {
		t.Errorf("parameters %v", f.Parameters)
	}
	if got := f.Services[0]; got.Needs[2].Any != 1 || time.Duration(*got.Objectives.RTO) != 4*time.Hour || !strings.Contains(got.Runbook, "\n1. Look") || got.Attributes["provider"] != "no" {
		t.Errorf("service %+v", got)
	}
	if f.Channels.SMTP.Port != 1025 || *f.Channels.SMS != (orgfile.Gateway{Kind: "twilio", Account: "AC1", From: "+33700000000", TokenFile: "/run/twilio"}) {
		t.Errorf("channels %+v", f.Channels)
	}
	if string(f.Kept["vendors"]) != `[{"id":"psp-a","name":"PSP A","service":"database","notice":"24h","clause":true,"amount":12.5}]` || len(f.Kept) != 3 {
		t.Errorf("kept %s", f.Kept)
	}
	in, err := f.Settings(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	leave := in.People[0].Leave[0]
	if got := leave.From.Format(time.RFC3339) + " " + leave.To.Format(time.RFC3339); got != "2026-12-19T23:00:00Z 2026-12-31T23:00:00Z" {
		t.Errorf("leave %s", got)
	}
}

func maps(a, b map[string]string) bool { return cmp.Equal(a, b) }

const head = "apiVersion: tocsin/v1\n"

// TestErrors names what is wrong as line, path and key.
func TestErrors(t *testing.T) {
	people := "people:\n- {id: ana, name: Ana, email: ana@example.com}\n"
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"no version":     {"people: []", []string{"1 apiVersion required"}},
		"other version":  {"apiVersion: tocsin/v2", []string{"1 apiVersion one_of"}},
		"unknown field":  {head + "poeple: []", []string{"2 poeple unknown"}},
		"unknown inside": {head + "organisation:\n  name: X\n  country: FR\n  timezone: UTC\n  zone: UTC", []string{"6 organisation.zone unknown"}},
		"zone":           {head + "organisation: {name: X, country: FR, timezone: Mars/Base}", []string{"2 organisation.timezone zone"}},
		"several": {head + "people:\n- id: A!\n  name: ''\n  email: no\n  access: god", []string{
			"3 people[0].id slug", "4 people[0].name text", "5 people[0].email email", "6 people[0].access one_of",
		}},
		"same id":       {head + people + "- {id: ana, name: B, email: b@example.com}", []string{"4 people[1].id twice"}},
		"same address":  {head + people + "- {id: b, name: B, email: ANA@example.com}", []string{"4 people[1].email twice"}},
		"same key":      {head + "people: []\npeople: []", []string{"3 people twice"}},
		"team":          {head + people + "teams:\n- {id: ops, members: [ana, bob]}", []string{"5 teams[0].members[1] reference.person"}},
		"schedule":      {head + people + "schedules:\n- id: p\n  rotations:\n  - people: [bob]\n    start: soon\n    shift: 8\n", []string{"7 schedules[0].rotations[0].people[0] reference.person", "8 schedules[0].rotations[0].start local_time", "9 schedules[0].rotations[0].shift shift"}},
		"target":        {head + "policies:\n- id: p\n  steps:\n  - {after: 5x, page: [ana, 'schedule:x', 'role:king']}", []string{"5 policies[0].steps[0].after duration", "5 policies[0].steps[0].page[0] target", "5 policies[0].steps[0].page[1] reference.schedule", "5 policies[0].steps[0].page[2] one_of"}},
		"method":        {head + "people:\n- {id: a, name: A, email: a@b.c, notify: [{after: 0s, method: sms}]}", []string{"3 people[0].notify[0].method reference.method"}},
		"order":         {head + "people:\n- {id: a, name: A, email: a@b.c, leave: [{from: 2026-02-02, to: 2026-02-01}]}", []string{"3 people[0].leave[0].to order"}},
		"no such day":   {head + "people:\n- {id: a, name: A, email: a@b.c, leave: [{from: 2026-02-30, to: 2026-03-01}]}", []string{"3 people[0].leave[0].from moment"}},
		"heartbeat":     {head + "sources:\n- {id: a, kind: heartbeat}", []string{"3 sources[0].every required"}},
		"source key":    {head + "sources:\n- {id: a, kind: scan, key: abcd}\n- {id: b, kind: scan, key: abcd}", []string{"4 sources[1].key key_twice"}},
		"route":         {head + "routes:\n- {then: record}\n- {then: incident}", []string{"3 routes[0].when required"}},
		"need":          {head + "services:\n- {id: a, needs: [{service: a, any: 1}, {any: 3, of: [a]}]}", []string{"3 services[0].needs[0] need", "3 services[0].needs[1].any integer"}},
		"parameter":     {head + "parameters: {P.none: 1, P.mgmt: never, P.ack: {sev4: 5m}}", []string{"2 parameters.P.none parameter", "2 parameters.P.mgmt parameter_value", "2 parameters.P.ack.sev4 parameter"}},
		"level":         {head + "levels: {sev1: {management: shout}, sev9: {}}", []string{"2 levels.sev9 unknown", "2 levels.sev1.management level"}},
		"clear mail":    {head + "channels: {smtp: {host: mail.example.com, from: a@b.c, tls: none}}", []string{"2 channels.smtp.tls plain_smtp"}},
		"anchor":        {head + "people: &p []\nteams: *p", []string{"2 people plain", "3 teams plain"}},
		"a list":        {"- a", []string{"1  shape.object"}},
		"wrong shape":   {head + "people: ana\nservices: {a: b}\nteams:\n- [x]", []string{"2 people shape.list", "3 services shape.list", "5 teams[0] shape.object"}},
		"kept no list":  {head + "vendors: {a: b}", []string{"2 vendors shape.list"}},
		"null required": {head + "organisation: {name: , country: FR, timezone: UTC}", []string{"2 organisation.name shape.string"}},
	} {
		_, err := orgfile.Parse([]byte(c.file))
		var e *kit.Error
		if !errors.As(err, &e) || e.Code != kit.CodeInvalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, f := range e.Fields {
			_, key, _ := strings.Cut(f.Key, ".error.")
			got = append(got, fmt.Sprintf("%v %s %s", f.Args["line"], f.Path, key))
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestEveryErrorHasWords looks for each key of the source in both catalogues.
func TestEveryErrorHasWords(t *testing.T) {
	keys := map[string]bool{}
	for _, kind := range []string{"object", "dict", "limits", "list", "boolean", "integer", "words", "string"} {
		keys["orgfile.error.shape."+kind] = true
	}
	for _, kind := range []string{"person", "team", "schedule", "policy", "service", "channel", "method"} {
		keys["orgfile.error.reference."+kind] = true
	}
	for _, name := range []string{"node.go", "spec.go", "parse.go"} {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range regexp.MustCompile(`"(orgfile\.error\.[a-z_.]*[a-z])"`).FindAllStringSubmatch(string(src), -1) {
			keys[k[1]] = true
		}
	}
	for _, lang := range []string{"en", "fr"} {
		raw, err := os.ReadFile("../i18n/catalogue/orgfile." + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]string
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		for k := range keys {
			if m[k] == "" {
				t.Errorf("%s has no %s", lang, k)
			}
		}
		for k := range m {
			if !keys[k] {
				t.Errorf("%s has %s, which nothing uses", lang, k)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	for name, file := range map[string]string{
		"empty": "", "comment": "# nothing", "bracket": head + "people: [", "indent": head + " x: y\n z", "two": head + "---\n" + head,
		"deep flow": head + "plans: " + strings.Repeat("[", 100_000), "deep list": head + "plans:\n  " + strings.Repeat("- ", 100_000),
	} {
		if _, err := orgfile.Parse([]byte(file)); kit.CodeOf(err) != kit.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := orgfile.Parse(bytes.Repeat([]byte("#"), 5<<20)); kit.CodeOf(err) != kit.CodeTooLarge {
		t.Errorf("too large: %v", err)
	}
}

func TestKnownThingsMayBeNamed(t *testing.T) {
	file := []byte(head + "teams:\n- {id: ops, members: [ana]}")
	if _, err := orgfile.Parse(file); kit.CodeOf(err) != kit.CodeInvalid {
		t.Errorf("unknown person: %v", err)
	}
	if _, err := orgfile.Parse(file, orgfile.Known{"person": {"ana"}}); err != nil {
		t.Error(err)
	}
}

func again(t *testing.T, f *orgfile.File) {
	t.Helper()
	out, err := orgfile.Export(f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := orgfile.Parse(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if d := cmp.Diff(f, back, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("the export differs:\n%s\n%s", d, out)
	}
	twice, err := orgfile.Export(back)
	if err != nil || !bytes.Equal(out, twice) {
		t.Fatalf("a second export differs: %v\n%s\n%s", err, out, twice)
	}
}

func TestExportGivesTheSameFile(t *testing.T) { again(t, parse(t, full(t))) }

func TestSettingsGoThroughIdentity(t *testing.T) {
	f := parse(t, full(t))
	in, err := f.Settings(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	g := &orgfile.File{}
	if err := g.Fill(in); err != nil {
		t.Fatal(err)
	}
	back, err := g.Settings(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in, back, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(f.Channels, g.Channels); d != "" {
		t.Error(d)
	}
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	raw, err := json.Marshal(orgfile.Schema())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://example.com/organisation.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("https://example.com/organisation.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fits(t testing.TB, s *jsonschema.Schema, file []byte) error {
	t.Helper()
	raw, err := yaml.YAMLToJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestSchema(t *testing.T) {
	s := schema(t)
	if err := fits(t, s, full(t)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"people: []", head + "poeple: []", head + "people: [{id: A, name: A, email: a@b.c}]", head + "people: [{id: a}]",
		head + "policies: [{id: p, repeat: 10}]", head + "levels: {sev1: {management: shout}}", head + "parameters: {P.none: 1}",
		head + "routes: [{then: shout}]", head + "schedules: [{id: s, rotations: [{people: [], start: 2026-01-05T09:00, shift: 1w}]}]",
	} {
		if fits(t, s, []byte(bad)) == nil {
			t.Errorf("the schema takes %q", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full(f))
	f.Add([]byte(head + "people: [{id: a, name: \"\\u0085 ~\", email: a@b.c}]"))
	f.Add([]byte(head + "services:\n- id: a\n  runbook: >-\n    x\n\n    y\n  attributes: {? a : b, \"\": c, 'a: b': '- x'}"))
	f.Add([]byte(head + "plans: [1e3, .inf, 0x1F, 0o7, ~, yes, 2026-01-01, {a: [[]]}]"))
	f.Add([]byte("a: &x [*x]\n<<: {b: !!int 1}\n--- \n%"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := orgfile.Parse(data)
		if err != nil {
			switch kit.CodeOf(err) {
			case kit.CodeInvalid, kit.CodeMalformed, kit.CodeTooLarge:
			default:
				t.Fatal(err)
			}
			return
		}
		again(t, file)
		if _, err := file.Settings(time.UTC); err != nil {
			t.Fatal(err)
		}
	})
}
