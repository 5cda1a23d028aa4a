package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	Dir        string
}

var layers = map[string][]string{
	"platform": {"kit", "db", "ledger", "due", "doc", "text", "once", "holiday"},
	"modules":  {"alert", "finding", "report", "incident", "oncall", "notify", "comms", "regulatory", "change", "continuity", "history", "risk", "assurance", "identity"},
	"edges":    {"web", "api", "ingest", "channel", "cli", "i18n", "orgfile", "timeline", "dossier", "transfer"},
}

// mayImport names the edges that another edge may use: words and readings, no
// decisions.
var sharedEdges = []string{"i18n", "timeline", "dossier", "orgfile", "transfer"}

func layerOf(name string) string {
	for layer, names := range layers {
		for _, n := range names {
			if n == name {
				return layer
			}
		}
	}
	return ""
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,Dir", "tocsin/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestHouse holds the layers apart: cmd → app → edges → modules → platform;
// modules never import each other; kit imports the standard library only; only db
// names a driver.
func TestHouse(t *testing.T) {
	for _, p := range packages(t) {
		name, ok := strings.CutPrefix(p.ImportPath, "tocsin/internal/")
		if !ok {
			continue
		}
		top, _, _ := strings.Cut(name, "/")
		layer := layerOf(top)
		if layer == "" && top != "app" {
			t.Errorf("package %s has no place in the house", p.ImportPath)
		}
		for _, imp := range p.Imports {
			other, own := strings.CutPrefix(imp, "tocsin/internal/")
			other, _, _ = strings.Cut(other, "/")
			if own && other == top {
				continue
			}
			switch {
			case !own && strings.HasPrefix(imp, "tocsin/"):
				t.Errorf("%s imports %s", p.ImportPath, imp)
			case top == "kit" && strings.Contains(strings.Split(imp, "/")[0], "."):
				t.Errorf("kit imports %s: the standard library only", imp)
			case top != "db" && (strings.HasPrefix(imp, "modernc.org/sqlite") || strings.HasPrefix(imp, "github.com/jackc/pgx")):
				t.Errorf("%s names the driver %s: only db does", p.ImportPath, imp)
			case !own:
			case layer == "platform" && layerOf(other) != "platform":
				t.Errorf("platform package %s knows %s", top, other)
			case layer == "modules" && layerOf(other) != "platform":
				t.Errorf("module %s imports %s: modules meet in app alone", top, other)
			case layer == "edges" && (other == "app" || layerOf(other) == "edges" && !contains(sharedEdges, other)):
				t.Errorf("edge %s imports %s", top, other)
			}
		}
	}
}

// TestPureFiles holds decisions and calculators free of the world.
func TestPureFiles(t *testing.T) {
	pure := []string{
		"internal/finding/compare.go", "internal/incident/severity.go", "internal/incident/level.go", "internal/incident/decide.go",
		"internal/oncall/schedule.go", "internal/oncall/ladder.go", "internal/oncall/simulate.go",
		"internal/notify/plan.go", "internal/notify/bucket.go", "internal/notify/quiet.go", "internal/notify/state.go",
	}
	for _, f := range pure {
		out, err := exec.Command("go", "list", "-f", "{{join .Imports \"\\n\"}}", filepath.Join("..", "..", f)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s", f, out)
			continue
		}
		for _, imp := range strings.Fields(string(out)) {
			switch imp {
			case "context", "database/sql", "log/slog", "net/http", "tocsin/internal/db":
				t.Errorf("%s imports %s: a decision takes values and an instant", f, imp)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
