// Package history keeps the incidents that a company had before: brought in from
// elsewhere, never declared here. They page nobody, start no clock and count in no
// measure of this installation; they are searched, read and exported, and say how
// often what happened. Their classification is VERIS (schema 1.4.1).
package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// Verdict is what security_incident says in VERIS.
type Verdict string

// The verdicts.
const (
	Confirmed     Verdict = "confirmed"
	Suspected     Verdict = "suspected"
	NearMiss      Verdict = "near_miss"
	FalsePositive Verdict = "false_positive"
)

// Verdicts lists them.
var Verdicts = []Verdict{Confirmed, Suspected, NearMiss, FalsePositive}

// verisVerdicts are the words of VERIS for them.
var verisVerdicts = map[Verdict]string{Confirmed: "Confirmed", Suspected: "Suspected", NearMiss: "Near miss", FalsePositive: "False positive"}

// The classes of VERIS, by the property of a record that holds them.
var (
	Actors     = []string{"external", "internal", "partner", "unknown"}
	Actions    = []string{"malware", "hacking", "social", "misuse", "physical", "error", "environmental", "unknown"}
	Attributes = []string{"confidentiality", "integrity", "availability", "unknown"}
	// Discoveries say who found it.
	Discoveries = []string{"external", "internal", "partner", "other", "unknown"}
	severities  = []string{"sev1", "sev2", "sev3", "sev4"}
	kinds       = []string{"availability", "security", "data", "vendor"}
)

// Class is a value of an axis of VERIS with its varieties, such as hacking with
// "SQLi".
type Class struct {
	Name      string
	Varieties []string
}

// String writes "hacking: SQLi, XSS".
func (c Class) String() string {
	if len(c.Varieties) == 0 {
		return c.Name
	}
	return c.Name + ": " + strings.Join(c.Varieties, ", ")
}

func joinClasses(l []Class) string {
	out := make([]string, len(l))
	for n, c := range l {
		out[n] = c.String()
	}
	return strings.Join(out, "; ")
}

// Record is a past incident as it was read.
type Record struct {
	// External is its id where it comes from.
	External string
	Title    string
	Summary  string
	Verdict  Verdict
	// Occurred is when it happened; the others are in the same clock, empty when not known.
	Occurred, Detected, Contained, Recovered Partial
	// Severity is sev1 to sev4, Kind availability, security, data or vendor; both may be
	// empty.
	Severity, Kind string
	Services       []string
	Actors         []Class
	Actions        []Class
	Attributes     []Class
	// Assets are as VERIS codes them, such as "S - Web application".
	Assets []string
	// Discovery says who found it, with its varieties.
	Discovery Class
	Victim    string
	Cause     string
	Reference string
	// Records is how many data records were concerned, 0 when not told.
	Records int
	// Columns are the columns of a table that nothing was made of, by their heads.
	Columns map[string]string
	// Document is the record in VERIS: word for word what was imported, or written from
	// the fields above.
	Document json.RawMessage `json:"-"`
	// Line is where it stands in its file, from 1.
	Line int `json:"-"`
}

// Past is a past incident that is kept.
type Past struct {
	Record
	// ID is the internal id and Ref the reference PAST-n.
	ID, Ref string
	// Source names where it comes from; an external id is unique in it.
	Source     string
	ImportedAt time.Time
	ImportedBy string
}

// Bounds of what is kept.
const (
	maxID       = 200
	maxName     = 200
	maxSummary  = 20_000
	maxLong     = 5_000
	maxDocument = 256 << 10
	maxList     = 100
)

// check brings the texts to the form in which they are kept, and says what is wrong.
func (r *Record) check() error {
	var f kit.Fields
	clean := func(path string, s *string, limit int, lines bool) {
		t, err := text.Clean(path, *s, limit, lines)
		if err != nil {
			f = append(f, kit.AsError(err).Fields...)
		}
		*s = t
	}
	clean("id", &r.External, maxID, false)
	if r.External == "" && len(f) == 0 {
		f.Add("id", "error.required")
	}
	clean("summary", &r.Summary, maxSummary, true)
	clean("victim", &r.Victim, maxLong, false)
	clean("cause", &r.Cause, maxLong, true)
	clean("reference", &r.Reference, maxLong, false)
	if r.Title == "" {
		r.Title = r.name()
	}
	clean("title", &r.Title, text.MaxTitle, false)
	for path, l := range map[string]*[]string{"services": &r.Services, "asset": &r.Assets} {
		for n := range *l {
			clean(path, &(*l)[n], maxName, false)
		}
		*l = slices.DeleteFunc(*l, func(s string) bool { return s == "" })
		if len(*l) > maxList {
			f.Add(path, "history.error.many", "limit", maxList)
		}
	}
	if r.Occurred == "" {
		f.Add("occurred", "error.required")
	}
	if len(r.Document) > maxDocument {
		f.Add("document", "error.too_large")
	}
	return f.Err()
}

// name is what an incident without a title is called: the first words of its summary,
// else its classification.
func (r *Record) name() string {
	line, _, _ := strings.Cut(strings.TrimSpace(r.Summary), "\n")
	if line == "" {
		parts := []string{joinClasses(r.Actions)}
		if len(r.Assets) > 0 {
			parts = append(parts, strings.Join(r.Assets[:min(len(r.Assets), 3)], ", "))
		}
		parts = append(parts, r.Victim)
		line = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " – ")
	}
	if line == "" {
		line = r.External
	}
	return shorten(line, 120)
}

// shorten cuts a text at a word so that it has at most n characters.
func shorten(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	cut := string(runes[:n-1])
	if at := strings.LastIndexByte(cut, ' '); at > n/2 {
		cut = cut[:at]
	}
	return strings.TrimRight(cut, " ,;:.–") + "…"
}

// search is the text in which words are looked for.
func (p *Past) search() string {
	return text.Fold(strings.Join([]string{
		p.Ref, p.External, p.Source, p.Title, p.Summary, p.Victim, p.Cause, joinClasses(p.Actors), joinClasses(p.Actions),
		joinClasses(p.Attributes), strings.Join(p.Assets, " "), strings.Join(p.Services, " "), string(p.Occurred),
	}, " "))
}

func reference(n int64) string { return fmt.Sprintf("PAST-%d", n) }

func names(l []Class) []string {
	out := make([]string, len(l))
	for n, c := range l {
		out[n] = c.Name
	}
	return out
}
