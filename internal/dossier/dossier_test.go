package dossier

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type allow struct{}

func (allow) Require(context.Context, kit.Use, ...kit.Role) error { return nil }

type house struct{}

func (house) OnDuty(context.Context, kit.Role, time.Time) (string, error) { return "paul", nil }

func (house) Appointed(context.Context, kit.Role, time.Time) ([]string, error) {
	return []string{"ana"}, nil
}
func (house) Active(context.Context, string) (bool, error)         { return true, nil }
func (house) Limit(context.Context, string) (time.Duration, error) { return 24 * time.Hour, nil }
func (house) Levels(context.Context) (incident.Overrides, error)   { return nil, nil }
func (house) Zone(context.Context) (*time.Location, error)         { return time.UTC, nil }
func names(context.Context) (func(kind, id string) string, error) {
	return func(kind, id string) string {
		if n := map[string]string{"person:ana": "Ana Duval", "person:paul": "Paul Roy", "service:api": "Public API"}[kind+":"+id]; n != "" {
			return n
		}
		return id
	}, nil
}

const secret = "the backup password was in the wiki"

// world is an incident that went through its phases.
type world struct {
	b     *Builder
	l     *ledger.Ledger
	ctx   context.Context
	ref   string
	id    string
	clock *dbtest.Clock
}

func make1(t *testing.T, d *db.DB, clock *dbtest.Clock) *world {
	t.Helper()
	l := ledger.New(d)
	h := house{}
	s := incident.New(l, allow{}, h, h, h, h)
	ctx := kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana Duval", Via: kit.ViaWeb, Access: kit.AccessManager})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	other, err := s.Declare(ctx, incident.Declaration{Title: "Another one"})
	must(err)
	i, err := s.Declare(ctx, incident.Declaration{Title: "Checkout fails for Paul Roy", Impact: incident.ImpactOutage, Services: []string{"api"}})
	must(err)
	clock.Advance(2 * time.Minute)
	_, err = s.Acknowledge(ctx, i.ID)
	must(err)
	_, err = s.Note(ctx, i.ID, secret, time.Time{}, "")
	must(err)
	_, err = s.Note(ctx, other.ID, "elsewhere", time.Time{}, "")
	must(err)
	_, err = s.Assess(ctx, i.ID, incident.Answers{Who: "most", What: "main", Data: "no", Trend: "stable", Change: "none"}, nil, incident.Unassessed, "")
	must(err)
	_, err = s.AddTask(ctx, i.ID, "call the hoster", "paul", time.Time{})
	must(err)
	return &world{b: New(s, l, names), l: l, ctx: ctx, ref: i.Ref(), id: i.ID, clock: clock}
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) { fn(t, make1(t, d, clock)) })
}

func (w *world) types(t *testing.T) []string {
	t.Helper()
	facts, err := w.l.Facts(w.ctx, ledger.Filter{Incident: w.id})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(facts))
	for n := range facts {
		out[n] = facts[n].Type
	}
	return out
}

func TestReports(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		before := w.types(t)
		for _, format := range []string{"html", "md", "pdf", "docx", "json"} {
			for _, lang := range []string{"en", "fr"} {
				name, kind, body, err := w.b.Report(w.ctx, w.ref, format, "internal", lang)
				if err != nil {
					t.Fatalf("%s %s: %v", format, lang, err)
				}
				if len(body) == 0 || kind == "" || name != w.ref+"-internal-"+lang+"."+format {
					t.Errorf("%s: %q %q, %d bytes", format, name, kind, len(body))
				}
			}
		}
		added := w.types(t)[len(before):]
		if diff := cmp.Diff([]string{"incident.exported", "incident.exported", "incident.exported", "incident.exported", "incident.exported", "incident.exported", "incident.exported", "incident.exported"}, added); diff != "" {
			t.Errorf("facts of the exports:\n%s", diff)
		}
		d, err := w.b.Build(w.ctx, w.ref, Internal, "en")
		if err != nil {
			t.Fatal(err)
		}
		page := string(d.HTML())
		for _, want := range []string{"Checkout fails", "SEV1 Critical", "Public API", secret, "Ana Duval", "call the hoster", "Paul Roy", "Most or all customers", "Incident declared"} {
			if !strings.Contains(page, want) {
				t.Errorf("not in the page: %q", want)
			}
		}
		if strings.Contains(page, "dossier.") || strings.Contains(page, "no value") {
			t.Error("a text is missing")
		}
		if strings.Contains(page, "elsewhere") {
			t.Error("a line of another incident")
		}
		for _, bad := range [][3]string{{"pdf", "secret", "en"}, {"doc", "internal", "en"}, {"pdf", "internal", "de"}} {
			if _, _, _, err := w.b.Report(w.ctx, w.ref, bad[0], bad[1], bad[2]); kit.CodeOf(err) != kit.CodeInvalid {
				t.Errorf("%v: %v", bad, err)
			}
		}
		if _, _, _, err := w.b.Report(w.ctx, "INC-999", "pdf", "", ""); kit.CodeOf(err) != kit.CodeNotFound {
			t.Errorf("unknown incident: %v", err)
		}
	})
}

// asWord finds text that stands by itself: a hash or a salt in base64 holds any
// three letters sooner or later.
func asWord(text string) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^A-Za-z0-9+/_-])` + regexp.QuoteMeta(text) + `($|[^A-Za-z0-9+/_=-])`)
}

func TestOutsideLevels(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, level := range []Level{Customer, Regulator} {
			for _, lang := range []string{"en", "fr"} {
				path := w.zip(t, level, lang)
				for name, raw := range members(t, path) {
					for _, bad := range []string{"Ana", "Paul", "Duval", "person:ana", `"ana"`, secret, "hoster"} {
						if asWord(bad).Match(raw) {
							t.Errorf("%s %s: %s holds %q", level, lang, name, bad)
						}
					}
				}
				d, err := w.b.Build(w.ctx, w.ref, level, lang)
				if err != nil {
					t.Fatal(err)
				}
				page := string(d.HTML())
				for _, want := range []string{"Checkout fails", "Public API"} {
					if !strings.Contains(page, want) {
						t.Errorf("%s: not in the page: %q", level, want)
					}
				}
				if got := strings.Contains(page, "Most or all") || strings.Contains(page, "La plupart des clients"); got != (level == Regulator) {
					t.Errorf("%s: assessment shown: %v", level, got)
				}
				rep, err := VerifyZip(path)
				if err != nil || !rep.OK() {
					t.Errorf("%s: %v %v", level, err, rep.Problems)
				}
				if rep.Withheld != rep.Facts-1 || rep.Facts < 6 {
					t.Errorf("%s: %d of %d facts withheld", level, rep.Withheld, rep.Facts)
				}
			}
		}
	})
}

func (w *world) zip(t *testing.T, level Level, lang string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.b.Zip(w.ctx, w.ref, level, lang, f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func members(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string][]byte{}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if out[f.Name], err = io.ReadAll(rc); err != nil {
			t.Fatal(err)
		}
		_ = rc.Close()
	}
	return out
}

// rebuilt writes the members anew, as somebody would who alters an archive.
func rebuilt(t *testing.T, content map[string][]byte) string {
	t.Helper()
	raw, err := pack(content, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "altered.zip")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func verify(t *testing.T, path string) Report {
	t.Helper()
	rep, err := VerifyZip(path)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestZip(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		before := w.types(t)
		path := w.zip(t, Internal, "fr")
		if diff := cmp.Diff([]string{"incident.exported", "dossier.sealed"}, w.types(t)[len(before):]); diff != "" {
			t.Errorf("facts of the archive:\n%s", diff)
		}
		rep := verify(t, path)
		if !rep.OK() {
			t.Fatalf("%v", rep.Problems)
		}
		if rep.Incident != w.ref || rep.Facts != len(before)+2 || rep.Files != 8 || rep.Level != Internal || rep.Language != "fr" {
			t.Errorf("%+v", rep)
		}
		var got []string
		for name := range members(t, path) {
			got = append(got, name)
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"checkpoint.txt", "facts.jsonl", "manifest.json", "public-key.txt", "report.docx", "report.html", "report.json", "report.md", "report.pdf"}, got); diff != "" {
			t.Error(diff)
		}
		// Another export of the same incident verifies as well.
		if rep := verify(t, w.zip(t, Internal, "en")); !rep.OK() {
			t.Errorf("%v", rep.Problems)
		}
	})
}

// TestEveryByte changes a byte of each member, at many places.
func TestEveryByte(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	w := make1(t, dbtest.OpenSQLite(t, clock), clock)
	for _, level := range []Level{Internal, Customer} {
		content := members(t, w.zip(t, level, "en"))
		for name, raw := range content {
			step := max(1, len(raw)/60)
			if name == manifestName || name == checkpointName || name == keyName {
				step = max(1, len(raw)/120)
			}
			for at := 0; at < len(raw); at += step {
				altered := map[string][]byte{}
				for k, v := range content {
					altered[k] = v
				}
				altered[name] = bytes.Clone(raw)
				altered[name][at] ^= 1
				var rep Report
				rep.members(altered)
				if at == 0 {
					rep = verify(t, rebuilt(t, altered))
				}
				if rep.OK() {
					t.Errorf("%s %s: a changed byte at %d is not found", level, name, at)
				} else if !slices.ContainsFunc(rep.Problems, func(p Problem) bool { return p.File == name || strings.Contains(p.Text, name) }) {
					t.Errorf("%s %s at %d: not named: %v", level, name, at, rep.Problems)
				}
			}
		}
	}
}

// TestForged holds that hashes made to fit again do not help.
func TestForged(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	w := make1(t, dbtest.OpenSQLite(t, clock), clock)
	content := members(t, w.zip(t, Internal, "en"))
	forge := func(t *testing.T, change func(m *Manifest, c map[string][]byte)) Report {
		t.Helper()
		c := map[string][]byte{}
		for k, v := range content {
			c[k] = bytes.Clone(v)
		}
		var m Manifest
		if err := json.Unmarshal(c[manifestName], &m); err != nil {
			t.Fatal(err)
		}
		change(&m, c)
		m.Files = nil
		for name, raw := range c {
			if name != manifestName {
				m.add(name, raw)
			}
		}
		var err error
		if c[manifestName], err = m.bytes(); err != nil {
			t.Fatal(err)
		}
		return verify(t, rebuilt(t, c))
	}
	if rep := forge(t, func(*Manifest, map[string][]byte) {}); !rep.OK() {
		t.Fatalf("nothing changed: %v", rep.Problems)
	}
	line := func(c map[string][]byte, fn func(lines [][]byte) [][]byte) {
		lines := bytes.SplitAfter(c[factsName], []byte("\n"))
		c[factsName] = bytes.Join(fn(lines[:len(lines)-1]), nil)
	}
	tests := map[string]struct {
		change func(m *Manifest, c map[string][]byte)
		want   string
	}{
		"report": {func(_ *Manifest, c map[string][]byte) { c["report.md"] = append(c["report.md"], "more"...) }, "no fact of the ledger seals"},
		"added":  {func(_ *Manifest, c map[string][]byte) { c["more.txt"] = []byte("x") }, "no fact of the ledger seals"},
		"text": {func(_ *Manifest, c map[string][]byte) {
			c[factsName] = bytes.Replace(c[factsName], []byte("wiki"), []byte("safe"), 1)
		}, "the body was changed"},
		"fact left out": {func(_ *Manifest, c map[string][]byte) {
			line(c, func(l [][]byte) [][]byte { return append(l[:2:2], l[3:]...) })
		}, "is missing"},
		"fact and number left out": {func(m *Manifest, c map[string][]byte) {
			line(c, func(l [][]byte) [][]byte { return append(l[:2:2], l[3:]...) })
			m.Facts = append(m.Facts[:2:2], m.Facts[3:]...)
		}, "no fact of the ledger seals"},
		"twice": {func(_ *Manifest, c map[string][]byte) { line(c, func(l [][]byte) [][]byte { return append(l, l[0]) }) }, "is there twice"},
		"order": {func(_ *Manifest, c map[string][]byte) {
			line(c, func(l [][]byte) [][]byte { l[0], l[1] = l[1], l[0]; return l })
		}, "out of its order"},
		"level":   {func(m *Manifest, _ map[string][]byte) { m.Level = Customer }, "no fact of the ledger seals"},
		"made at": {func(m *Manifest, _ map[string][]byte) { m.MadeAt = m.MadeAt.Add(time.Second) }, "no fact of the ledger seals"},
		"ledger":  {func(m *Manifest, _ map[string][]byte) { m.Size++ }, "another ledger"},
		"body removed": {func(_ *Manifest, c map[string][]byte) {
			line(c, func(l [][]byte) [][]byte { l[2] = bare(t, l[2]); return l })
		}, "without a record of its erasure"},
	}
	for name, tt := range tests {
		rep := forge(t, tt.change)
		if !slices.ContainsFunc(rep.Problems, func(p Problem) bool { return strings.Contains(p.Text, tt.want) }) {
			t.Errorf("%s: %q is not among %v", name, tt.want, rep.Problems)
		}
	}
	for name := range content {
		c := map[string][]byte{}
		for k, v := range content {
			if k != name {
				c[k] = v
			}
		}
		if rep, err := VerifyZip(rebuilt2(t, c)); err == nil && rep.OK() {
			t.Errorf("%s is missing and nobody says so", name)
		}
	}
	if _, err := VerifyZip(filepath.Join(t.TempDir(), "none.zip")); err == nil {
		t.Error("no file, no error")
	}
}

// rebuilt2 is rebuilt for archives that lack the manifest.
func rebuilt2(t *testing.T, content map[string][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "altered.zip")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, raw := range content {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bare takes body and salt from a fact, as erasure does.
func bare(t *testing.T, line []byte) []byte {
	t.Helper()
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	e.Salt, e.Text = nil, ""
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, '\n')
}

func TestErasedVerifies(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		facts, err := w.l.Facts(w.ctx, ledger.Filter{Incident: w.id, Types: []string{"incident.noted"}})
		if err != nil || len(facts) != 1 {
			t.Fatal(err, len(facts))
		}
		if err := w.l.Erase(w.ctx, facts[0].Seq, "asked for"); err != nil {
			t.Fatal(err)
		}
		path := w.zip(t, Internal, "en")
		rep := verify(t, path)
		if !rep.OK() || rep.Erased != 1 {
			t.Errorf("%+v", rep)
		}
		for name, raw := range members(t, path) {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%s holds what was erased", name)
			}
		}
		if md := members(t, path)["report.md"]; !bytes.Contains(md, []byte("This text was erased.")) {
			t.Error("the report does not say that a text was erased")
		}
	})
}

// TestReview holds what of the review each level tells.
func TestReview(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.b.incidents
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Phase(w.ctx, w.ref, incident.Containment, map[string]any{"told": "the board"}, "")
		must(err)
		_, err = s.RecordImpact(w.ctx, w.ref, incident.RecordedImpact{Customers: ptr(1204), Text: "orders of Paul Roy"})
		must(err)
		_, err = s.Phase(w.ctx, w.ref, incident.InReview, nil, "over")
		must(err)
		_, err = s.AddAction(w.ctx, w.ref, incident.ActionInput{Type: "preventive", Text: "Paul Roy adds a second line", Owner: "paul", Due: "2026-12-04"})
		must(err)
		_, err = s.SaveReview(w.ctx, w.ref, incident.ReviewContent{
			Summary: kit.Text{EN: "A full disk, seen by Ana Duval"}, Factors: []incident.Factor{{Text: "Paul Roy saw no alert on the disk", Kind: "root", Category: "technology"}},
			WentWell: "calm heads", Surprised: "the silence", PublicSummary: kit.Text{EN: "A disk was full."}, Impact: "orders were late",
		})
		must(err)
		tests := map[string]map[Level]bool{
			"A full disk":       {Internal: true, Regulator: true},
			"saw no alert":      {Internal: true, Regulator: true},
			"calm heads":        {Internal: true},
			"the silence":       {Internal: true},
			"A disk was full.":  {Internal: true, Customer: true},
			"adds a second":     {Internal: true, Regulator: true},
			"Paul Roy":          {Internal: true},
			"Ana Duval":         {Internal: true},
			"the board":         {Internal: true},
			"orders of":         {Internal: true},
			"1,204":             {Internal: true, Regulator: true},
			"Who was told?":     {Internal: true},
			"root cause":        {Internal: true, Regulator: true},
			"Incident declared": {Internal: true, Customer: true, Regulator: true},
			"dossier.":          {},
			"no value":          {},
		}
		for _, level := range []Level{Internal, Customer, Regulator} {
			d, err := w.b.Build(w.ctx, w.ref, level, "en")
			must(err)
			page := string(d.HTML())
			for text, in := range tests {
				if got := strings.Contains(page, text); got != in[level] {
					t.Errorf("%s: %q shown: %v", level, text, got)
				}
			}
			raw, err := d.JSON()
			must(err)
			if level != Internal && (bytes.Contains(raw, []byte("Paul")) || bytes.Contains(raw, []byte("paul")) || bytes.Contains(raw, []byte("calm heads"))) {
				t.Errorf("%s: names or notes in the JSON: %s", level, raw)
			}
			if rep := verify(t, w.zip(t, level, "fr")); !rep.OK() {
				t.Errorf("%s: %v", level, rep.Problems)
			}
		}
	})
}

func ptr(n int64) *int64 { return &n }

// TestConfidential holds that who may not know of an incident gets no dossier.
func TestConfidential(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, err := w.b.incidents.SetConfidential(w.ctx, w.ref, true, "personal"); err != nil {
			t.Fatal(err)
		}
		stranger := kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "zoe", Name: "Zoe", Access: kit.AccessAdmin})
		before := w.types(t)
		for _, format := range []string{"html", "pdf", "zip"} {
			if _, _, _, err := w.b.Report(stranger, w.ref, format, "internal", "en"); kit.CodeOf(err) != kit.CodeNotFound {
				t.Errorf("%s: %v", format, err)
			}
		}
		if n := len(w.types(t)); n != len(before) {
			t.Errorf("%d facts of a refused export", n-len(before))
		}
	})
}

func BenchmarkZip(b *testing.B) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	d := dbtest.OpenSQLite(b, clock)
	l := ledger.New(d)
	h := house{}
	s := incident.New(l, allow{}, h, h, h, h)
	ctx := kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana Duval", Via: kit.ViaWeb, Access: kit.AccessManager})
	i, err := s.Declare(ctx, incident.Declaration{Title: "Long"})
	if err != nil {
		b.Fatal(err)
	}
	for range 2000 {
		if _, err := s.Note(ctx, i.ID, "one of many lines of a long incident", time.Time{}, ""); err != nil {
			b.Fatal(err)
		}
	}
	builder := New(s, l, names)
	for b.Loop() {
		if err := builder.Zip(ctx, i.ID, Internal, "en", io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
