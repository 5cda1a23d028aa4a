package i18n

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/kit"
)

func TestSameKeysInBothLanguages(t *testing.T) {
	for key := range catalogues["en"].plain {
		if _, ok := catalogues["fr"].plain[key]; !ok {
			t.Errorf("missing in French: %s", key)
		}
	}
	for key := range catalogues["fr"].plain {
		if _, ok := catalogues["en"].plain[key]; !ok {
			t.Errorf("missing in English: %s", key)
		}
		if catalogues["fr"].plural[key] != catalogues["en"].plural[key] {
			t.Errorf("%s: plural in one language alone", key)
		}
	}
}

var placeholder = regexp.MustCompile(`\{\{[^}]*\}\}`)

func TestSamePlaceholders(t *testing.T) {
	for key, en := range catalogues["en"].plain {
		a, b := placeholder.FindAllString(en, -1), placeholder.FindAllString(catalogues["fr"].plain[key], -1)
		slices.Sort(a)
		slices.Sort(b)
		if diff := cmp.Diff(slices.Compact(a), slices.Compact(b)); diff != "" {
			t.Errorf("%s: placeholders differ:\n%s", key, diff)
		}
	}
}

// typography lists what ux.md 3.6 forbids in a French text.
func typography(s string) (wrong []string) {
	s = placeholder.ReplaceAllString(s, "x")
	s = regexp.MustCompile(`https?://\S+|[?&][a-z]+=`).ReplaceAllString(s, "x")
	r := []rune(s)
	at := func(i int) rune {
		if i < 0 || i >= len(r) {
			return 0
		}
		return r[i]
	}
	digit := func(c rune) bool { return c >= '0' && c <= '9' }
	for i, c := range r {
		switch c {
		case ';', '!', '?', '»', '%':
			if at(i-1) != '\u202f' && i > 0 {
				wrong = append(wrong, "no U+202F before "+string(c))
			}
		case ':':
			// In schedule:ID and https:// the colon belongs to a name, not to a sentence.
			inName := unicode.IsLetter(at(i-1)) && (unicode.IsLetter(at(i+1)) || at(i+1) == '/')
			if !inName && !(digit(at(i-1)) && digit(at(i+1))) && at(i-1) != '\u00a0' {
				wrong = append(wrong, "no U+00A0 before :")
			}
		case '«':
			if at(i+1) != '\u202f' {
				wrong = append(wrong, "no U+202F after «")
			}
		case '\'', '"':
			wrong = append(wrong, "straight quote")
		}
	}
	return wrong
}

func TestFrenchTypography(t *testing.T) {
	for key, s := range catalogues["fr"].plain {
		if wrong := typography(s); len(wrong) > 0 {
			t.Errorf("%s: %q: %v", key, s, wrong)
		}
	}
	for _, bad := range []string{"Pourquoi ?", "Fin!", "Heure: 3", "l'astreinte", "«ici\u202f»", "\"ici\"", "24 %"} {
		if len(typography(bad)) == 0 {
			t.Errorf("the scan lets %q pass", bad)
		}
	}
	if wrong := typography("Pourquoi\u202f? À 03:12\u00a0: «\u202fl’alerte\u202f», 24\u202f%."); len(wrong) > 0 {
		t.Errorf("the scan refuses good French: %v", wrong)
	}
}

var literal = regexp.MustCompile("\"(?:[a-z]+\\.)?(?:error|web|core)\\.[a-z0-9_.]*\"")

func TestEveryKeyUsedExists(t *testing.T) {
	known := Keys()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".git" {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".templ") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, l := range literal.FindAllString(string(raw), -1) {
			key, err := strconv.Unquote(l)
			if err != nil {
				return err
			}
			if strings.HasSuffix(key, ".") || strings.HasSuffix(key, "_") {
				if !slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key) }) {
					t.Errorf("%s: no key begins with %s", path, key)
				}
			} else if !Has(key) {
				t.Errorf("%s: unknown key %s", path, key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFormats(t *testing.T) {
	paris := Zone("Europe/Paris")
	now := time.Date(2026, 11, 23, 2, 24, 0, 0, time.UTC)
	tests := []struct{ name, got, want string }{
		{"en time", DateTime("en", now, paris), "23 Nov 2026, 03:24"},
		{"fr time", DateTime("fr", now, paris), "23 nov. 2026, 03:24"},
		{"same day", Time("fr", now, paris, now), "03:24"},
		{"same day in the zone, not in UTC", Time("en", now.Add(-3*hour), paris, now), "23 Nov 2026, 00:24"[13:]},
		{"other day", Time("en", now.Add(-4*hour), paris, now), "22 Nov 2026, 23:24"},
		{"none", Time("en", time.Time{}, paris, now), "–"},
		{"first of the month", Date("fr", time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), paris), "1er déc. 2026"},
		{"repeated hour, first", DateTime("en", time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), paris), "25 Oct 2026, 02:30 (UTC+02:00)"},
		{"repeated hour, second", DateTime("en", time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), paris), "25 Oct 2026, 02:30 (UTC+01:00)"},
		{"after the repeated hour", DateTime("en", time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC), paris), "25 Oct 2026, 03:00"},
		{"before the repeated hour", DateTime("en", time.Date(2026, 10, 24, 23, 59, 0, 0, time.UTC), paris), "25 Oct 2026, 01:59"},
		{"spring", DateTime("en", time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC), paris), "29 Mar 2026, 03:30"},
		{"seconds", Duration("en", 45*time.Second), "45 s"},
		{"minutes", Duration("fr", 24*minute), "24 min"},
		{"hours", Duration("en", 2*hour+5*minute), "2 h 05 min"},
		{"days", Duration("en", 76*hour), "3 d 4 h"},
		{"jours", Duration("fr", 76*hour), "3 j 4 h"},
		{"number en", Number("en", 1204.5), "1,204.5"},
		{"number fr", Number("fr", 1204.5), "1\u202f204,5"},
		{"million", Number("en", 1234567), "1,234,567"},
		{"percent en", Percent("en", .24), "24%"},
		{"percent fr", Percent("fr", .24), "24\u202f%"},
		{"ago", Ago("fr", now.Add(-24*minute), now), "il y a 24 min"},
		{"in", Ago("en", now.Add(2*hour), now), "in 2 h"},
		{"match", Match("de, fr-CH;q=0.9, en;q=0.8"), "fr"},
		{"match none", Match("de"), "en"},
		{"city", ZoneCity(Zone("America/New_York")), "New York"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestError(t *testing.T) {
	e := kit.Forbidden("incident.close", "commander, admin")
	m, _ := Error("fr", e)
	if !strings.Contains(m, "commandant") {
		t.Errorf("who is not translated: %q", m)
	}
	_, fields := Error("en", kit.InvalidField("title", "error.required"))
	if len(fields) != 1 || fields[0].Path != "title" || fields[0].Message == "error.required" {
		t.Errorf("fields: %v", fields)
	}
	m, _ = Error("en", errors.New("secret of the machine"))
	if strings.Contains(m, "secret") {
		t.Errorf("a foreign error is shown: %q", m)
	}
}

func TestPlural(t *testing.T) {
	for _, tt := range []struct {
		lang string
		n    int
		want string
	}{{"en", 0, "0 results"}, {"en", 1, "1 result"}, {"fr", 0, "0 résultat"}, {"fr", 1204, "1\u202f204 résultats"}} {
		if got := T(tt.lang, "core.results", map[string]any{"Count": tt.n}); got != tt.want {
			t.Errorf("%s %d: got %q, want %q", tt.lang, tt.n, got, tt.want)
		}
	}
}
