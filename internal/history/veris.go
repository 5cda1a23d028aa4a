package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/kit"
)

const (
	// MaxFile is the most that is imported at once, in bytes.
	MaxFile = 32 << 20
	// MaxRecords is how many past incidents one file may hold.
	MaxRecords = 50_000
	// maxProblems is how many wrong lines are named before reading stops.
	maxProblems = 20
	maxDepth    = 32
)

// at says in which line of a file something is wrong.
func at(f *kit.Fields, line int, err error) {
	e := kit.AsError(err)
	fields := e.Fields
	if len(fields) == 0 {
		fields = kit.Fields{{Path: "file", Key: e.Key, Args: e.Args}}
	}
	for _, one := range fields {
		args := map[string]any{"line": line}
		maps.Copy(args, one.Args)
		*f = append(*f, kit.Field{Path: one.Path, Key: one.Key, Args: args})
	}
}

// readVERIS reads incidents in the JSON of VERIS 1.2 to 1.4: one, a list, or one a line.
func readVERIS(file []byte) ([]Record, error) {
	file = bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))
	dec := json.NewDecoder(bytes.NewReader(file))
	var f kit.Fields
	var out []Record
	line, counted := 1, 0
	// here is the line in which the next value begins.
	here := func() int {
		end := int(dec.InputOffset())
		for end < len(file) && strings.IndexByte(" \t\r\n,", file[end]) >= 0 {
			end++
		}
		line += bytes.Count(file[counted:end], []byte("\n"))
		counted = end
		return line
	}
	list := bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("["))
	if list {
		_, _ = dec.Token()
	}
	for {
		if list && !dec.More() {
			if _, err := dec.Token(); err != nil {
				at(&f, here(), &kit.Error{Code: kit.CodeInvalid, Key: "history.error.json", Err: err})
			}
			break
		}
		n := here()
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			at(&f, n, &kit.Error{Code: kit.CodeInvalid, Key: "history.error.json", Err: err})
			break
		}
		r, err := verisRecord(raw)
		if err == nil {
			err = r.check()
		}
		if err != nil {
			at(&f, n, err)
			if len(f) >= maxProblems {
				break
			}
			continue
		}
		r.Line = n
		out = append(out, r)
		if len(out) > MaxRecords {
			return nil, kit.Invalid("history.error.many", "limit", MaxRecords)
		}
	}
	if len(f) == 0 && len(out) == 0 {
		f.Add("file", "history.error.empty")
	}
	return out, f.Err()
}

// object is a JSON object; what it holds is asked for and may be of another shape.
type object map[string]any

func (o object) in(path ...string) object {
	for _, p := range path {
		switch v := o[p].(type) {
		case map[string]any:
			o = v
		case []any:
			// Schema 1.2 had a list of victims.
			o = nil
			if len(v) > 0 {
				first, _ := v[0].(map[string]any)
				o = first
			}
		default:
			return nil
		}
	}
	return o
}

func (o object) text(name string) string {
	switch v := o[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func (o object) texts(name string) []string {
	switch v := o[name].(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// number reads a whole number; ok is false where something stands that is none.
func (o object) number(name string) (n int, ok bool) {
	s := strings.TrimSpace(o.text(name))
	switch strings.ToLower(s) {
	case "", "unknown", "na":
		_, strange := o[name].(map[string]any)
		return 0, !strange
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

func (o object) classes(known []string) []Class {
	var out []Class
	for _, name := range known {
		v, ok := o[name]
		if !ok || v == false || v == nil {
			continue
		}
		out = append(out, Class{Name: name, Varieties: o.in(name).texts("variety")})
	}
	return out
}

// decode reads a JSON object whose numbers stay as they are written, and which is not
// too deep.
func decode(raw []byte) (object, error) {
	depth := 0
	quoted, escaped := false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return nil, kit.InvalidField("file", "history.error.deep", "limit", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, &kit.Error{Code: kit.CodeInvalid, Key: "history.error.json", Err: err}
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, kit.InvalidField("file", "history.error.object")
	}
	return o, nil
}

func verisRecord(raw json.RawMessage) (Record, error) {
	o, err := decode(raw)
	if err != nil {
		return Record{}, err
	}
	var document bytes.Buffer
	if err := json.Compact(&document, raw); err != nil {
		return Record{}, kit.Internal(err)
	}
	own := o.in("plus", "tocsin")
	r := Record{
		External: o.text("incident_id"), Title: own.text("title"), Summary: o.text("summary"), Victim: o.in("victim").text("victim_id"),
		Reference: o.text("reference"), Document: document.Bytes(), Services: own.texts("services"), Cause: own.text("cause"),
	}
	var f kit.Fields
	verdict := o.text("security_incident")
	for v, word := range verisVerdicts {
		if strings.EqualFold(word, verdict) {
			r.Verdict = v
		}
	}
	switch {
	case verdict == "":
		f.Add("security_incident", "error.required")
	case r.Verdict == "":
		f.Add("security_incident", "history.error.word", "value", verdict)
	}
	happened := o.in("timeline", "incident")
	part := func(name string) int {
		n, ok := happened.number(name)
		if !ok {
			f.Add("timeline.incident."+name, "history.error.word", "value", happened.text(name))
		}
		return n
	}
	year, month, day := part("year"), part("month"), part("day")
	if year == 0 && len(f) == 0 {
		f.Add("timeline.incident.year", "error.required")
	}
	clock := happened.text("time")
	if _, err := ParsePartial("2000-01-01T" + strings.TrimSuffix(clock, "Z")); err != nil {
		clock = ""
	}
	if r.Occurred, err = PartialOf(year, month, day, clock); err != nil && day <= 31 {
		// The public database has days such as 31 April: then the month is what is known,
		// and the document keeps the rest.
		r.Occurred, err = PartialOf(year, month, 0, "")
	}
	if err != nil && len(f) == 0 {
		f.Add("timeline.incident", "history.error.date")
	}
	for name, to := range map[string]*Partial{"occurred": &r.Occurred, "detected": &r.Detected, "contained": &r.Contained, "recovered": &r.Recovered} {
		if s := own.text(name); s != "" {
			if *to, err = ParsePartial(s); err != nil {
				f.Add("plus.tocsin."+name, "history.error.date")
			}
		}
	}
	for name, to := range map[string]struct {
		v     *string
		known []string
	}{"severity": {&r.Severity, severities}, "kind": {&r.Kind, kinds}} {
		*to.v = own.text(name)
		if *to.v != "" && !slices.Contains(to.known, *to.v) {
			f.Add("plus.tocsin."+name, "history.error.word", "value", *to.v)
		}
	}
	r.Actors, r.Actions, r.Attributes = o.in("actor").classes(Actors), o.in("action").classes(Actions), o.in("attribute").classes(Attributes)
	if l, ok := o.in("asset")["assets"].([]any); ok {
		for _, x := range l {
			if a, ok := x.(map[string]any); ok && object(a).text("variety") != "" {
				r.Assets = append(r.Assets, object(a).text("variety"))
			}
		}
	}
	r.Records, _ = o.in("attribute", "confidentiality").number("data_total")
	r.Discovery = discovery(o["discovery_method"])
	return r, f.Err()
}

// discovery reads who found an incident in both shapes: a word such as "Ext - law
// enforcement" (until 1.3.6) and an object (since 1.3.7).
func discovery(v any) Class {
	switch v := v.(type) {
	case string:
		who, how, _ := strings.Cut(v, " - ")
		for prefix, name := range map[string]string{"ext": "external", "int": "internal", "prt": "partner", "other": "other"} {
			if strings.EqualFold(who, prefix) {
				if how == "" {
					return Class{Name: name}
				}
				return Class{Name: name, Varieties: []string{how}}
			}
		}
		return Class{Name: "unknown"}
	case map[string]any:
		if l := object(v).classes(Discoveries); len(l) > 0 {
			return l[0]
		}
	}
	return Class{Name: "unknown"}
}

// digest is the SHA-256 of a document, whatever the order of its properties.
func digest(document []byte) (string, error) {
	o, err := decode(document)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return "", kit.Internal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// WriteVERIS gives the record as a document of VERIS 1.4.1. What VERIS has no place for
// stands under plus.tocsin, which an import reads back.
func (r *Record) WriteVERIS(source string) (json.RawMessage, error) {
	class := func(l []Class) map[string]any {
		out := map[string]any{}
		for _, c := range l {
			v := map[string]any{}
			if len(c.Varieties) > 0 {
				v["variety"] = c.Varieties
			}
			out[c.Name] = v
		}
		if len(out) == 0 {
			out["unknown"] = map[string]any{}
		}
		return out
	}
	year, month, day, clock := r.Occurred.parts()
	happened := map[string]any{"year": year}
	if month > 0 {
		happened["month"] = month
	}
	if day > 0 {
		happened["day"] = day
	}
	if clock != "" {
		happened["time"] = clock
	}
	timeline := map[string]any{"incident": happened}
	own := map[string]any{}
	for name, v := range map[string]string{
		"title": r.Title, "severity": r.Severity, "kind": r.Kind, "cause": r.Cause, "occurred": string(r.Occurred), "detected": string(r.Detected),
		"contained": string(r.Contained), "recovered": string(r.Recovered),
	} {
		if v != "" {
			own[name] = v
		}
	}
	if len(r.Services) > 0 {
		own["services"] = r.Services
	}
	if len(r.Columns) > 0 {
		own["columns"] = r.Columns
	}
	if d := between(r.Occurred, r.Detected); d != nil {
		timeline["discovery"] = d
	}
	if d := between(r.Detected, r.Contained); d != nil {
		timeline["containment"] = d
	}
	attribute := class(r.Attributes)
	if r.Records > 0 {
		c, _ := attribute["confidentiality"].(map[string]any)
		if c == nil {
			c = map[string]any{}
			delete(attribute, "unknown")
		}
		c["data_total"] = r.Records
		attribute["confidentiality"] = c
	}
	assets := []map[string]any{}
	for _, a := range r.Assets {
		assets = append(assets, map[string]any{"variety": a})
	}
	found := r.Discovery
	if found.Name == "" {
		found.Name = "unknown"
	}
	doc := map[string]any{
		"schema_version": "1.4.1", "incident_id": r.External, "source_id": source, "security_incident": verisVerdicts[r.Verdict],
		"timeline": timeline, "actor": class(r.Actors), "action": class(r.Actions), "attribute": attribute,
		"asset": map[string]any{"assets": assets}, "discovery_method": class([]Class{found}), "plus": map[string]any{"tocsin": own},
	}
	for name, v := range map[string]string{"summary": r.Summary, "reference": r.Reference} {
		if v != "" {
			doc[name] = v
		}
	}
	if r.Victim != "" {
		doc["victim"] = map[string]any{"victim_id": r.Victim}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, kit.Internal(fmt.Errorf("veris: %w", err))
	}
	return b, nil
}

// between is a time as VERIS tells it: the greatest unit that it fills, and how many.
func between(from, to Partial) map[string]any {
	if !from.Exact() || !to.Exact() || to < from {
		return nil
	}
	d := to.First().Sub(from.First())
	for _, u := range []struct {
		name  string
		hours float64
	}{{"Years", 8766}, {"Months", 730.5}, {"Weeks", 168}, {"Days", 24}, {"Hours", 1}, {"Minutes", 1.0 / 60}} {
		if n := int(d.Hours()/u.hours + 0.5); d.Hours() >= u.hours {
			return map[string]any{"unit": u.name, "value": n}
		}
	}
	return map[string]any{"unit": "Seconds", "value": int(d.Seconds())}
}
