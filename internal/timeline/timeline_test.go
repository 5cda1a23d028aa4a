package timeline

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

var dotted = regexp.MustCompile(`\.([a-z][a-z_]*)`)

// published reads every fact type that the packages of the product publish: the
// string that FactType gives and, where it is put together from a noun and an Op,
// the past participles of the comment of its type and of the literals that set it.
func published(t *testing.T) []string {
	t.Helper()
	var out []string
	prefixes, ops := map[string]string{}, map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil //nolint:nilerr // a file that is being written is its package's failure
		}
		dir := filepath.Dir(path)
		ast.Inspect(file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.FuncDecl:
				if x.Name.Name != "FactType" || x.Recv == nil || x.Body == nil || len(x.Body.List) != 1 {
					return true
				}
				name := dir + "." + typeName(x.Recv.List[0].Type)
				for _, s := range literals(x.Body) {
					s = strings.TrimSuffix(s, "%s")
					if strings.HasSuffix(s, ".") {
						prefixes[name] = s
					} else if strings.Contains(s, ".") {
						out = append(out, s)
					}
				}
			case *ast.GenDecl:
				for _, spec := range x.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						for _, m := range dotted.FindAllStringSubmatch(x.Doc.Text()+ts.Doc.Text(), -1) {
							name := dir + "." + ts.Name.Name
							ops[name] = append(ops[name], m[1])
						}
					}
				}
			case *ast.CompositeLit:
				for _, e := range x.Elts {
					kv, ok := e.(*ast.KeyValueExpr)
					if !ok {
						continue
					}
					if id, ok := kv.Key.(*ast.Ident); ok && id.Name == "Op" && x.Type != nil {
						name := dir + "." + typeName(x.Type)
						ops[name] = append(ops[name], literals(kv.Value)...)
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, prefix := range prefixes {
		if len(ops[name]) == 0 {
			t.Errorf("%s: no past participle found for %s", name, prefix)
		}
		for _, op := range ops[name] {
			out = append(out, prefix+op)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func typeName(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.StarExpr:
		return typeName(x.X)
	}
	return ""
}

func literals(n ast.Node) (out []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, _ := strconv.Unquote(l.Value)
			out = append(out, s)
		}
		return true
	})
	return out
}

func TestEveryPublishedFactHasItsSentence(t *testing.T) {
	types := published(t)
	if len(types) < 70 {
		t.Fatalf("only %d fact types found: %v", len(types), types)
	}
	for _, must := range []string{"incident.declared", "alert.opened", "source.key_rotated", "ladder.step_run", "page.acknowledged", "person.suspended", "body.erased", "reaction.failed"} {
		if !slices.Contains(types, must) {
			t.Errorf("the scan does not find %s", must)
		}
	}
	for _, typ := range types {
		key := "fact." + typ
		for _, lang := range i18n.Languages {
			if s := i18n.T(lang, key, map[string]any{}); s == key {
				t.Errorf("%s: no sentence for %s", lang, typ)
			}
		}
		f := fact(1, typ, "{}")
		if got := Lines([]ledger.Fact{f}, nil)[0].Text; strings.Contains(got.EN+got.FR, "no value") {
			t.Errorf("%s: an argument is missing: %q", typ, got)
		}
	}
}

func TestEveryKindHasItsWord(t *testing.T) {
	for _, k := range Kinds {
		if !i18n.Has("timeline.kind." + string(k)) {
			t.Errorf("no word for %s", k)
		}
	}
}

func fact(seq int64, typ, body string) ledger.Fact {
	at := time.Date(2026, 11, 23, 2, 12, 0, 0, time.UTC)
	return ledger.Fact{Seq: seq, ID: kit.NewID(), HappenedAt: at, RecordedAt: at, Type: typ, V: 1, Body: json.RawMessage(body), Actor: ledger.Actor{Kind: kit.ActorPerson, ID: "ana"}, Subject: ledger.Subject{Kind: "incident", ID: "x", Ref: "INC-42"}}
}

func names(kind, id string) string {
	return map[string]string{"person:ana": "Ana Duval", "person:paul": "Paul Roy", "service:api": "Public API", "incident:i2": "INC-43"}[kind+":"+id]
}

func TestSentences(t *testing.T) {
	tests := []struct{ typ, body, en, fr string }{
		{
			"incident.declared", `{"title":"Checkout fails","severity":"sev1","how":"person","exercise":true}`,
			"Incident declared: Checkout fails (SEV1 Critical), by a person – practice",
			"Incident déclaré\u00a0: Checkout fails (SEV1 Critique), par une personne – exercice",
		},
		{
			"incident.severity_changed", `{"from":"","to":"sev2","reason":"more customers"}`,
			"Severity: Not assessed → SEV2 High – more customers", "Gravité\u00a0: Non évaluée → SEV2 Élevée – more customers",
		},
		{
			"incident.phase_changed", `{"from":"detection","to":"containment","skipped":["assessment"],"reason":"known"}`,
			"Phase: Detection → Containment, skipped: Assessment – known", "Phase\u00a0: Détection → Confinement, sautées\u00a0: Évaluation – known",
		},
		{"incident.role_assigned", `{"role":"commander","person":"ana","how":"taken"}`, "Commander: Ana Duval (taken)", "Commandant\u00a0: Ana Duval (pris)"},
		{"page.acknowledged", `{"person":"paul","after_s":95,"method":"sms"}`, "Paul Roy has it, after 1 min (SMS)", "Paul Roy prend en charge, après 1 min (SMS)"},
		{
			"ladder.step_run", `{"round":1,"step":2,"people":[{"person":"ana","target":"schedule:s"}],"skipped":[{"target":"role:management","reason":"nobody_appointed"}]}`,
			"Round 1, step 2: paging Ana Duval; left out: Management (nobody appointed)",
			"Tour 1, étape 2\u00a0: appel de Ana Duval\u202f; laissés de côté\u00a0: Direction (personne de nommé)",
		},
		{"incident.noted", `{"text":"{{.x}} <b>"}`, "{{.x}} <b>", "{{.x}} <b>"},
		{"handover.offered", `{"role":"commander","from":"ana","to":"paul","briefing":"all calm"}`, "Hand-over offered: Commander, Ana Duval → Paul Roy – all calm", "Passation proposée\u00a0: Commandant, Ana Duval → Paul Roy – all calm"},
		{"impact.recorded", `{"impact":{"customers":1204,"data_lost_s":300,"text":"orders"}}`, "Impact recorded: 1,204 customers, data of 5 min lost, orders", "Impact relevé\u00a0: 1\u202f204 clients, 5 min de données perdues, orders"},
		{"incident.merged", `{"into":"i2"}`, "Merged into INC-43", "Fusionné dans INC-43"},
		{"incident.scope_changed", `{"from":[],"to":["api","db"]}`, "Services: Public API, db", "Services\u00a0: Public API, db"},
		{"incident.restored", `{"at":"2026-11-23T03:04:00Z","services":[]}`, "Service restored at 23 Nov 2026, 03:04 UTC", "Service rétabli le 23 nov. 2026, 03:04 UTC"},
		{"moon.risen", `{}`, "Recorded: moon.risen", "Enregistré\u00a0: moon.risen"},
		{"incident.declared", `not json`, "Incident declared:", "Incident déclaré\u00a0:"},
	}
	for _, tt := range tests {
		got := Lines([]ledger.Fact{fact(1, tt.typ, tt.body)}, names)[0]
		if diff := cmp.Diff(kit.Text{EN: tt.en, FR: tt.fr}, got.Text); diff != "" {
			t.Errorf("%s %s:\n%s", tt.typ, tt.body, diff)
		}
		if got.Actor.Name != "Ana Duval" {
			t.Errorf("actor %q", got.Actor.Name)
		}
	}
}

func TestErased(t *testing.T) {
	f := fact(1, "incident.noted", "")
	f.Body, f.Erased = nil, true
	l := Lines([]ledger.Fact{f}, names)[0]
	if l.Text.EN != "This text was erased." || l.Actor.Name != "" || !l.Erased {
		t.Errorf("%+v", l)
	}
	if got := ActorName("fr", l.Actor); got != "une personne" {
		t.Errorf("actor in words: %q", got)
	}
}

func TestStarsAndCorrections(t *testing.T) {
	lines := Lines([]ledger.Fact{
		fact(1, "incident.declared", `{"title":"x"}`), fact(2, "incident.noted", `{"text":"a"}`), fact(3, "incident.noted", `{"text":"b"}`),
		fact(4, "incident.line_starred", `{"line":2,"starred":true}`), fact(5, "incident.line_starred", `{"line":1,"starred":false}`),
		fact(6, "incident.line_corrected", `{"line":3,"text":"c"}`), fact(7, "incident.line_starred", `{"line":99,"starred":true}`),
	}, names)
	var starred []int64
	for _, l := range lines {
		if l.Starred {
			starred = append(starred, l.Seq)
		}
	}
	if diff := cmp.Diff([]int64{2}, starred); diff != "" {
		t.Error(diff)
	}
	if lines[2].Corrected != "c" || lines[2].Text.EN != "b" {
		t.Errorf("%+v", lines[2])
	}
}

func TestKindOf(t *testing.T) {
	for typ, want := range map[string]Kind{
		"alert.opened": Alert, "delivery.sent": Page, "incident.noted": Note, "incident.declared": Phase, "incident.severity_changed": Severity,
		"incident.role_assigned": Role, "handover.offered": Role, "task.done": Task, "change.recorded": Change, "clock.started": Clock,
		"update.published": Update, "body.erased": Evidence, "moon.risen": Note,
	} {
		if got := KindOf(typ); got != want {
			t.Errorf("%s: %s, want %s", typ, got, want)
		}
	}
}

// TestAnyBody holds that no body, however odd, breaks a line or shows a hole.
func TestAnyBody(t *testing.T) {
	types := published(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]any{nil, true, 3.5, "", "sev1", "person", "2026-11-23T00:00:00Z", []any{"a", 1.0, map[string]any{"person": 1.0}}, map[string]any{"x": nil}})
		body := map[string]any{}
		for _, name := range blank {
			if rapid.Bool().Draw(t, "has "+name) {
				body[name] = value.Draw(t, name)
			}
		}
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		l := Lines([]ledger.Fact{fact(1, rapid.SampledFrom(types).Draw(t, "type"), string(raw))}, names)[0]
		if strings.Contains(l.Text.EN+l.Text.FR, "<no value>") || strings.Contains(l.Text.EN, "{{") || strings.HasPrefix(l.Text.EN, "fact.") {
			t.Fatalf("%s: %q", l.Type, l.Text)
		}
	})
}
