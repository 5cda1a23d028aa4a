package alert

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"tocsin/internal/kit"
)

// MapFields are the fields of a signal that the map of a json source may set;
// dedup_key and title must be.
var MapFields = []string{"dedup_key", "title", "severity", "service", "state", "labels", "description", "link"}

// Mapping makes a signal of any JSON by one CEL expression for each field, over
// body (the decoded JSON) and headers (names in lower case).
type Mapping struct {
	programs map[string]cel.Program
}

// Mapped is what a mapping read. Severity and State are the sender's words.
type Mapped struct {
	DedupKey, Title, Severity, Service, State, Description, Link string
	Labels                                                       map[string]string
}

// mapCost bounds the evaluation of one expression, in CEL's units of cost.
const mapCost = 100_000

var mapEnv = func() *cel.Env {
	env, err := cel.NewEnv(
		cel.Variable("body", cel.DynType), cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.OptionalTypes(), ext.Strings(),
	)
	if err != nil {
		panic(err)
	}
	return env
}()

// CompileMap checks a map; what is wrong is named by field, with line and column.
func CompileMap(path string, m map[string]string) (*Mapping, error) {
	var f kit.Fields
	for _, need := range []string{"dedup_key", "title"} {
		if strings.TrimSpace(m[need]) == "" {
			f.Add(path+need, "error.required")
		}
	}
	out := &Mapping{programs: make(map[string]cel.Program, len(m))}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(MapFields, name) {
			f.Add(path+name, "alert.error.map_field", "fields", strings.Join(MapFields, ", "))
			continue
		}
		if strings.TrimSpace(m[name]) == "" {
			continue
		}
		p, err := compileField(path+name, m[name])
		if err != nil {
			f = append(f, kit.AsError(err).Fields...)
			continue
		}
		out.programs[name] = p
	}
	return out, f.Err()
}

func compileField(path, expression string) (cel.Program, error) {
	if len(expression) > maxWhen {
		return nil, kit.InvalidField(path, "error.too_long", "max", maxWhen)
	}
	a, iss := mapEnv.Compile(expression)
	if err := iss.Err(); err != nil {
		e := iss.Errors()[0]
		return nil, kit.InvalidField(path, "alert.error.expression", "line", e.Location.Line(), "column", e.Location.Column()+1, "message", e.Message)
	}
	return mapEnv.Program(a, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(mapCost))
}

// Read makes a signal's fields of a body. What is wrong is named by field: an
// expression that cannot be evaluated on this body is an error for dedup_key and
// title, and leaves any other field empty.
func (m *Mapping) Read(body any, headers map[string]string) (Mapped, error) {
	var out Mapped
	vars := map[string]any{"body": body, "headers": headers}
	var f kit.Fields
	for name, to := range map[string]*string{
		"dedup_key": &out.DedupKey, "title": &out.Title, "severity": &out.Severity, "service": &out.Service, "state": &out.State,
		"description": &out.Description, "link": &out.Link,
	} {
		p := m.programs[name]
		if p == nil {
			continue
		}
		v, err := evaluate(p, vars)
		if err == nil {
			*to, err = word(v)
		}
		if err != nil && (name == "dedup_key" || name == "title") {
			f.Add(name, "alert.error.map_value", "message", err.Error())
		}
	}
	if p := m.programs["labels"]; p != nil {
		if v, err := evaluate(p, vars); err == nil {
			out.Labels = labelsOf(v)
		}
	}
	if len(f) == 0 {
		if strings.TrimSpace(out.DedupKey) == "" {
			f.Add("dedup_key", "alert.error.map_value", "message", "empty")
		}
		if strings.TrimSpace(out.Title) == "" {
			f.Add("title", "alert.error.map_value", "message", "empty")
		}
	}
	slices.SortFunc(f, func(a, b kit.Field) int { return strings.Compare(a.Path, b.Path) })
	return out, f.Err()
}

func evaluate(p cel.Program, vars map[string]any) (v ref.Val, err error) {
	v, _, err = p.Eval(vars)
	if o, ok := v.(*types.Optional); err == nil && ok {
		if !o.HasValue() {
			return nil, errors.New("no such value")
		}
		v = o.GetValue()
	}
	return v, err
}

// word writes a plain value as text.
func word(v ref.Val) (string, error) {
	switch v.Type() {
	case types.StringType, types.IntType, types.UintType, types.BoolType, types.DoubleType, types.TimestampType:
		s := v.ConvertToType(types.StringType)
		if e, bad := s.(*types.Err); bad {
			return "", e
		}
		return s.Value().(string), nil
	case types.NullType:
		return "", nil
	}
	return "", fmt.Errorf("want text, not %s", v.Type().TypeName())
}

func labelsOf(v ref.Val) map[string]string {
	m, ok := v.(traits.Mapper)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for it := m.Iterator(); it.HasNext() == types.True && len(out) < MaxLabels; {
		k := it.Next()
		name, err := word(k)
		if err != nil || name == "" || len(name) > 128 {
			continue
		}
		if text, err := word(m.Get(k)); err == nil && text != "" && len(text) <= 1024 {
			out[name] = text
		}
	}
	return out
}
