package history

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// Columns are what a column of a table can be, in the order of an export.
var Columns = []string{
	"id", "title", "summary", "occurred", "detected", "contained", "recovered", "severity", "kind", "verdict", "services", "actor", "action",
	"asset", "attribute", "discovery", "victim", "records", "cause", "reference",
}

// Mapping says which column of a table is what: a name of Columns to a head.
type Mapping map[string]string

// The orders of day and month in a date that is written with numbers alone.
const (
	DayFirst   = "dmy"
	MonthFirst = "mdy"
)

const maxColumns = 200

// Table is a table as it was read from CSV.
type Table struct {
	Head []string
	Rows [][]string
	// Lines are where the rows begin in the file.
	Lines []int
}

// decodeText brings a file to UTF-8: UTF-16 by its mark, else UTF-8, else the code page
// of Windows that spreadsheets write in western Europe.
func decodeText(file []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(file, []byte("\xff\xfe")), bytes.HasPrefix(file, []byte("\xfe\xff")):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(file)
	case bytes.HasPrefix(file, []byte("\xef\xbb\xbf")):
		return file[3:], nil
	case utf8.Valid(file):
		return file, nil
	}
	return charmap.Windows1252.NewDecoder().Bytes(file)
}

// ReadTable reads a table whose first line names its columns. Commas, semicolons and
// tabs part them, whichever the first line has most of.
func ReadTable(file []byte) (Table, error) {
	var t Table
	file, err := decodeText(file)
	if err != nil {
		return t, &kit.Error{Code: kit.CodeInvalid, Key: "error.bad_text", Err: err}
	}
	first, _, _ := bytes.Cut(file, []byte("\n"))
	comma := ','
	for _, c := range ";\t" {
		if bytes.Count(first, []byte(string(c))) > bytes.Count(first, []byte(string(comma))) {
			comma = c
		}
	}
	r := csv.NewReader(bytes.NewReader(file))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = comma, -1, true
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var f kit.Fields
		if err != nil {
			line := 0
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				line = bad.Line
			}
			at(&f, line, &kit.Error{Code: kit.CodeInvalid, Key: "history.error.csv", Err: err})
			return t, f.Err()
		}
		line, _ := r.FieldPos(0)
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		if t.Head == nil {
			t.Head = cells
			continue
		}
		if !slices.ContainsFunc(cells, func(s string) bool { return s != "" }) {
			continue
		}
		if len(cells) > len(t.Head) {
			at(&f, line, kit.InvalidField("file", "history.error.cells", "found", len(cells), "named", len(t.Head)))
			return t, f.Err()
		}
		t.Rows, t.Lines = append(t.Rows, cells), append(t.Lines, line)
		if len(t.Rows) > MaxRecords {
			return t, kit.Invalid("history.error.many", "limit", MaxRecords)
		}
	}
	switch {
	case len(t.Head) == 0 || len(t.Rows) == 0:
		return t, kit.InvalidField("file", "history.error.empty")
	case len(t.Head) > maxColumns:
		return t, kit.InvalidField("file", "history.error.many", "limit", maxColumns)
	}
	return t, nil
}

// heads are words by which a column is known, in both languages, folded.
var heads = map[string][]string{
	"id":        {"id", "ref", "reference number", "number", "key", "ticket", "incident", "incident id", "incident_id", "external_id", "no", "no.", "numero", "n°", "identifiant", "cle"},
	"title":     {"title", "name", "subject", "titre", "nom", "objet", "intitule"},
	"summary":   {"summary", "description", "details", "resume", "detail"},
	"occurred":  {"occurred", "occurred_at", "date", "start", "started", "started_at", "begin", "incident date", "created", "created_at", "debut", "survenu", "date de l'incident", "date de debut", "date incident"},
	"detected":  {"detected", "detected_at", "discovered", "discovered_at", "detection", "detecte", "date de detection", "decouvert"},
	"contained": {"contained", "contained_at", "contenu", "maitrise", "date de confinement"},
	"recovered": {"recovered", "recovered_at", "resolved", "resolved_at", "end", "ended", "closed", "closed_at", "fin", "resolu", "cloture", "retabli", "date de fin", "date de resolution", "date de cloture"},
	"severity":  {"severity", "priority", "severite", "gravite", "priorite", "criticite"},
	"kind":      {"kind", "type", "category", "categorie", "nature"},
	"verdict":   {"verdict", "security_incident", "status", "confirme", "confirmed"},
	"services":  {"services", "service", "system", "application", "systeme", "affected services", "services touches"},
	"actor":     {"actor", "threat actor", "acteur"},
	"action":    {"action", "attack", "threat", "menace"},
	"asset":     {"asset", "assets", "actif", "actifs"},
	"attribute": {"attribute", "attributes", "attribut"},
	"discovery": {"discovery", "discovery_method", "detected by", "found by", "source de detection", "detecte par"},
	"victim":    {"victim", "customer", "organisation", "organization", "client", "victime"},
	"records":   {"records", "data_total", "people", "enregistrements", "personnes"},
	"cause":     {"cause", "root cause", "root_cause", "cause racine", "cause profonde", "origine"},
	"reference": {"reference", "url", "link", "lien"},
}

// Propose finds out which column is what by its head. A head serves once.
func (t Table) Propose() Mapping {
	m := Mapping{}
	used := map[int]bool{}
	for rank := range 30 {
		for _, name := range Columns {
			if _, done := m[name]; done || rank >= len(heads[name]) {
				continue
			}
			for n, head := range t.Head {
				if !used[n] && text.Fold(head) == heads[name][rank] {
					m[name], used[n] = head, true
					break
				}
			}
		}
	}
	return m
}

// Order finds out in which order the dates of a table are written: sure is false where
// no date tells.
func (t Table) Order(m Mapping) (order string, sure bool) {
	order = DayFirst
	for _, name := range []string{"occurred", "detected", "contained", "recovered"} {
		n := slices.Index(t.Head, m[name])
		if n < 0 || m[name] == "" {
			continue
		}
		for _, row := range t.Rows {
			if n >= len(row) {
				continue
			}
			a, b, _, _, ok := numbers(row[n])
			switch {
			case ok && a > 12:
				return DayFirst, true
			case ok && b > 12:
				return MonthFirst, true
			}
		}
	}
	return order, false
}

// numbers reads "15/03/2019 14:30" and its like.
func numbers(s string) (a, b, year int, clock string, ok bool) {
	date, clock, _ := strings.Cut(strings.TrimSpace(s), " ")
	parts := strings.FieldsFunc(date, func(r rune) bool { return r == '/' || r == '.' || r == '-' })
	if len(parts) != 3 {
		return 0, 0, 0, "", false
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil {
			return 0, 0, 0, "", false
		}
		n[i] = v
	}
	if len(parts[0]) == 4 || len(parts[2]) != 4 {
		return 0, 0, 0, "", false
	}
	return n[0], n[1], n[2], strings.TrimSpace(clock), true
}

// date reads a date as people write them: ISO 8601 in every part that is known, an
// instant with its offset, "03/2019", "15/03/2019 14:30".
func date(s, order string) (Partial, error) {
	bad := kit.Invalid("history.error.date", "value", s)
	s = strings.TrimSpace(s)
	if s == "" {
		return "", nil
	}
	if p, err := ParsePartial(strings.Replace(s, " ", "T", 1)); err == nil {
		return p, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(layout, s); err == nil {
			if p := PartialAt(at); p.First().Year() >= firstYear && p.First().Year() <= lastYear {
				return p, nil
			}
		}
	}
	if m, y, ok := strings.Cut(s, "/"); ok && len(y) == 4 {
		month, err := strconv.Atoi(m)
		year, worse := strconv.Atoi(y)
		if err != nil || worse != nil || month < 1 || month > 12 {
			return "", bad
		}
		p, err := PartialOf(year, month, 0, "")
		if err != nil {
			return "", bad
		}
		return p, nil
	}
	day, month, year, clock, ok := numbers(s)
	if !ok {
		return "", bad
	}
	if order == MonthFirst {
		day, month = month, day
	}
	if day < 1 || month < 1 {
		return "", bad
	}
	if len(clock) == len("9:05") {
		clock = "0" + clock
	}
	p, err := PartialOf(year, month, day, clock)
	if err != nil {
		return "", bad
	}
	return p, nil
}

// levels are words of other tools for the severities.
var levels = map[string]string{
	"sev1": "sev1", "sev-1": "sev1", "1": "sev1", "p1": "sev1", "s1": "sev1", "critical": "sev1", "critique": "sev1",
	"sev2": "sev2", "sev-2": "sev2", "2": "sev2", "p2": "sev2", "s2": "sev2", "high": "sev2", "major": "sev2", "haute": "sev2", "elevee": "sev2", "majeur": "sev2", "majeure": "sev2",
	"sev3": "sev3", "sev-3": "sev3", "3": "sev3", "p3": "sev3", "s3": "sev3", "medium": "sev3", "moderate": "sev3", "moyenne": "sev3", "moderee": "sev3", "normal": "sev3", "normale": "sev3",
	"sev4": "sev4", "sev-4": "sev4", "4": "sev4", "p4": "sev4", "s4": "sev4", "low": "sev4", "minor": "sev4", "faible": "sev4", "basse": "sev4", "mineur": "sev4", "mineure": "sev4",
}

var kindWords = map[string]string{
	"availability": "availability", "outage": "availability", "disponibilite": "availability", "panne": "availability",
	"security": "security", "securite": "security", "data": "data", "donnees": "data", "data breach": "data", "violation de donnees": "data",
	"vendor": "vendor", "supplier": "vendor", "third party": "vendor", "fournisseur": "vendor", "prestataire": "vendor",
}

var verdictWords = map[string]Verdict{
	"": Confirmed, "confirmed": Confirmed, "yes": Confirmed, "true": Confirmed, "closed": Confirmed, "resolved": Confirmed, "confirme": Confirmed, "oui": Confirmed,
	"clos": Confirmed, "resolu": Confirmed, "suspected": Suspected, "suspecte": Suspected, "near miss": NearMiss, "near_miss": NearMiss, "presque accident": NearMiss,
	"evite": NearMiss, "false positive": FalsePositive, "false_positive": FalsePositive, "faux positif": FalsePositive, "no": FalsePositive, "false": FalsePositive, "non": FalsePositive,
}

// classWords are French words for the classes of VERIS.
var classWords = map[string]string{
	"logiciel malveillant": "malware", "piratage": "hacking", "ingenierie sociale": "social", "mesusage": "misuse", "physique": "physical", "erreur": "error",
	"environnement": "environmental", "inconnu": "unknown", "inconnue": "unknown", "externe": "external", "interne": "internal", "partenaire": "partner",
	"confidentialite": "confidentiality", "integrite": "integrity", "disponibilite": "availability", "autre": "other",
}

// parseClasses reads "hacking: SQLi, XSS; error".
func parseClasses(s string, known []string) ([]Class, bool) {
	var out []Class
	for _, part := range strings.Split(s, ";") {
		name, varieties, _ := strings.Cut(part, ":")
		name = text.Fold(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		if w := classWords[name]; w != "" {
			name = w
		}
		if !slices.Contains(known, name) {
			return nil, false
		}
		out = append(out, Class{Name: name, Varieties: list(varieties, ",")})
	}
	return out, true
}

func list(s, seps string) []string {
	var out []string
	for _, v := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(seps, r) }) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// Records reads the rows of a table. Columns that the mapping does not name are kept by
// their heads. A row without an id is known by its content.
func (t Table) Records(m Mapping, order, source string) ([]Record, error) {
	var f kit.Fields
	where := map[string]int{}
	for name, head := range m {
		if head == "" {
			continue
		}
		n := slices.Index(t.Head, head)
		switch {
		case !slices.Contains(Columns, name):
			f.Add("mapping."+name, "history.error.column")
		case n < 0:
			f.Add("mapping."+name, "history.error.head", "head", head)
		default:
			where[name] = n
		}
	}
	if _, ok := where["occurred"]; !ok && len(f) == 0 {
		f.Add("mapping.occurred", "error.required")
	}
	if order != "" && order != DayFirst && order != MonthFirst {
		f.Add("date_order", "error.bad_value", "value", order)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	mapped := map[int]bool{}
	for _, n := range where {
		mapped[n] = true
	}
	var out []Record
	for i, row := range t.Rows {
		r, err := record(row, where, order)
		if err == nil {
			for n, v := range row {
				if !mapped[n] && v != "" {
					if r.Columns == nil {
						r.Columns = map[string]string{}
					}
					r.Columns[cmp.Or(t.Head[n], "column "+strconv.Itoa(n+1))] = unsafeCell(v)
				}
			}
			if r.External == "" {
				sum := sha256.Sum256([]byte(strings.Join(row, "\x00")))
				r.External = "row-" + hex.EncodeToString(sum[:8])
			}
			if err = r.check(); err == nil {
				r.Document, err = r.WriteVERIS(source)
			}
		}
		if err != nil {
			at(&f, t.Lines[i], err)
			if len(f) >= maxProblems {
				break
			}
			continue
		}
		r.Line = t.Lines[i]
		out = append(out, r)
	}
	return out, f.Err()
}

func record(row []string, where map[string]int, order string) (Record, error) {
	cell := func(name string) string {
		if n, ok := where[name]; ok && n < len(row) {
			return unsafeCell(row[n])
		}
		return ""
	}
	var f kit.Fields
	r := Record{
		External: cell("id"), Title: cell("title"), Summary: cell("summary"), Victim: cell("victim"), Cause: cell("cause"), Reference: cell("reference"),
		Services: list(cell("services"), ",;"), Assets: list(cell("asset"), ";"),
	}
	for name, to := range map[string]*Partial{"occurred": &r.Occurred, "detected": &r.Detected, "contained": &r.Contained, "recovered": &r.Recovered} {
		p, err := date(cell(name), order)
		if err != nil {
			f.Add(name, "history.error.date", "value", cell(name))
		}
		*to = p
	}
	word := func(name string, words map[string]string) string {
		v := text.Fold(cell(name))
		if v != "" && words[v] == "" {
			f.Add(name, "history.error.word", "value", cell(name))
		}
		return words[v]
	}
	r.Severity, r.Kind = word("severity", levels), word("kind", kindWords)
	verdict, ok := verdictWords[text.Fold(cell("verdict"))]
	if !ok {
		f.Add("verdict", "history.error.word", "value", cell("verdict"))
	}
	r.Verdict = verdict
	for name, to := range map[string]struct {
		l     *[]Class
		known []string
	}{"actor": {&r.Actors, Actors}, "action": {&r.Actions, Actions}, "attribute": {&r.Attributes, Attributes}} {
		l, ok := parseClasses(cell(name), to.known)
		if !ok {
			f.Add(name, "history.error.class", "value", cell(name), "known", strings.Join(to.known, ", "))
		}
		*to.l = l
	}
	if l, ok := parseClasses(cell("discovery"), Discoveries); !ok {
		f.Add("discovery", "history.error.class", "value", cell("discovery"), "known", strings.Join(Discoveries, ", "))
	} else if len(l) > 0 {
		r.Discovery = l[0]
	}
	if v := strings.NewReplacer(" ", "", " ", "", " ", "").Replace(cell("records")); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			f.Add("records", "history.error.word", "value", v)
		}
		r.Records = n
	}
	return r, f.Err()
}

// SafeCell keeps a spreadsheet from reading a text as a formula; unsafeCell takes the
// mark off again.
func SafeCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func unsafeCell(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.ContainsRune("=+-@\t\r", rune(s[1])) {
		return s[1:]
	}
	return s
}

// Row is the record as a line of a table, in the order of Columns.
func (r *Record) Row() []string {
	values := map[string]string{
		"id": r.External, "title": r.Title, "summary": r.Summary, "occurred": string(r.Occurred), "detected": string(r.Detected),
		"contained": string(r.Contained), "recovered": string(r.Recovered), "severity": r.Severity, "kind": r.Kind, "verdict": string(r.Verdict),
		"services": strings.Join(r.Services, ", "), "actor": joinClasses(r.Actors), "action": joinClasses(r.Actions), "asset": strings.Join(r.Assets, "; "),
		"attribute": joinClasses(r.Attributes), "victim": r.Victim, "cause": r.Cause, "reference": r.Reference,
	}
	if r.Discovery.Name != "" {
		values["discovery"] = r.Discovery.String()
	}
	if r.Records > 0 {
		values["records"] = strconv.Itoa(r.Records)
	}
	out := make([]string, len(Columns))
	for n, name := range Columns {
		out[n] = SafeCell(values[name])
	}
	return out
}
