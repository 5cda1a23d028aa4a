// Package i18n gives every text of the product in French and English, and writes
// times, durations and numbers as each language does.
package i18n

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"time"

	goi18n "github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"tocsin/internal/kit"
)

//go:embed catalogue/*.json
var files embed.FS

// Languages are those of the product; the first is the one of unknown readers.
var Languages = []string{"en", "fr"}

type catalogue struct {
	plain     map[string]string
	plural    map[string]bool
	localizer *goi18n.Localizer
}

var catalogues = load()

func load() map[string]*catalogue {
	bundle := goi18n.NewBundle(language.English)
	out := map[string]*catalogue{}
	for _, lang := range Languages {
		c := &catalogue{plain: map[string]string{}, plural: map[string]bool{}}
		names, err := fs.Glob(files, "catalogue/*."+lang+".json")
		if err != nil {
			panic(err)
		}
		for _, name := range names {
			raw, err := files.ReadFile(name)
			if err != nil {
				panic(err)
			}
			var texts map[string]json.RawMessage
			if err := json.Unmarshal(raw, &texts); err != nil {
				panic(fmt.Errorf("%s: %w", name, err))
			}
			for key, raw := range texts {
				m := &goi18n.Message{ID: key}
				var forms struct{ One, Other string }
				if json.Unmarshal(raw, &m.Other) != nil {
					if err := json.Unmarshal(raw, &forms); err != nil {
						panic(fmt.Errorf("%s: %s: %w", name, key, err))
					}
					m.One, m.Other = forms.One, forms.Other
					if lang == "fr" {
						m.Many = forms.Other
					}
					c.plural[key] = true
				}
				c.plain[key] = m.Other
				// T gives the others as they stand; a bundle of all would take most
				// of the time that the program needs to start.
				if !c.plural[key] && !strings.Contains(m.Other, "{{") {
					continue
				}
				if err := bundle.AddMessages(language.Make(lang), m); err != nil {
					panic(fmt.Errorf("%s: %s: %w", name, key, err))
				}
			}
		}
		out[lang] = c
	}
	for _, lang := range Languages {
		out[lang].localizer = goi18n.NewLocalizer(bundle, lang)
	}
	return out
}

func of(lang string) *catalogue {
	if c, ok := catalogues[lang]; ok {
		return c
	}
	return catalogues["en"]
}

// Has tells whether the catalogues know the key.
func Has(key string) bool {
	_, ok := catalogues["en"].plain[key]
	return ok
}

// Keys lists all keys of the catalogues, in no order.
func Keys() []string {
	var keys []string
	for k := range catalogues["en"].plain {
		keys = append(keys, k)
	}
	return keys
}

// T gives the text of a key in a language, filled with the arguments. Numbers are
// written as the language does; Count chooses the plural. An unknown key gives
// itself, so that a page never breaks for a word.
func T(lang, key string, args map[string]any) string {
	c := of(lang)
	plain, ok := c.plain[key]
	if !ok {
		return key
	}
	if !c.plural[key] && !strings.Contains(plain, "{{") {
		return plain
	}
	cfg := &goi18n.LocalizeConfig{MessageID: key}
	data := make(map[string]any, len(args))
	for k, v := range args {
		data[k] = show(lang, v)
	}
	if c.plural[key] {
		cfg.PluralCount = count(args["Count"])
	}
	cfg.TemplateData = data
	s, err := c.localizer.Localize(cfg)
	if err != nil {
		return plain
	}
	return s
}

func count(v any) int {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return int(r.Int())
	case r.CanUint():
		return int(r.Uint()) //nolint:gosec // a count of rows
	}
	return 0
}

func show(lang string, v any) any {
	switch x := v.(type) {
	case kit.Text:
		return x.In(lang)
	case time.Duration:
		return Duration(lang, x)
	case time.Time:
		return DateTime(lang, x, time.UTC) + " UTC"
	case []string:
		return strings.Join(x, ", ")
	case float64:
		return Number(lang, x)
	case fmt.Stringer:
		return x.String()
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return Number(lang, float64(r.Int()))
	case r.CanUint():
		return Number(lang, float64(r.Uint()))
	}
	return v
}

// FieldError is what is wrong with one field, in words.
type FieldError = struct{ Path, Message string }

// Error puts an error into words that are safe to show to anybody.
func Error(lang string, err error) (message string, fields []struct{ Path, Message string }) {
	e := kit.AsError(err)
	if e == nil {
		return "", nil
	}
	key := e.Key
	if !Has(key) {
		key = "error." + string(e.Code)
	}
	if !Has(key) {
		key = "error.internal"
	}
	for _, f := range e.Fields {
		k := f.Key
		if !Has(k) {
			k = "error.invalid"
		}
		fields = append(fields, FieldError{f.Path, T(lang, k, Words(lang, f.Args))})
	}
	return T(lang, key, Words(lang, e.Args)), fields
}

// Words translates the argument who, a list of access levels and roles.
func Words(lang string, args map[string]any) map[string]any {
	who, ok := args["who"].(string)
	if !ok {
		return args
	}
	out := make(map[string]any, len(args))
	for k, v := range args {
		out[k] = v
	}
	parts := strings.Split(who, ", ")
	for i, p := range parts {
		switch {
		case Has("core.access." + p):
			parts[i] = T(lang, "core.access."+p, nil)
		case Has("core.role." + p):
			parts[i] = T(lang, "core.role."+p, nil)
		}
	}
	out["who"] = strings.Join(parts, ", ")
	return out
}

// Match chooses the language of an Accept-Language header.
func Match(header string) string {
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return "en"
	}
	for _, t := range tags {
		base, _ := t.Base()
		if s := base.String(); s == "fr" || s == "en" {
			return s
		}
	}
	return "en"
}
