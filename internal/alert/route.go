package alert

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"tocsin/internal/kit"
)

const (
	maxRoutes     = 200
	maxWhen       = 2000
	defaultWindow = 10 * time.Minute
)

// defaultRoute takes what no rule matches: nothing is ever lost for want of one.
var defaultRoute = Route{ID: "default", Then: ThenIncident, Kind: "availability", Group: []string{"service"}, Window: defaultWindow}

type compiled struct {
	Route
	program cel.Program // nil: always
}

type routeSet struct {
	version int64
	list    []compiled
}

// input is what the rules see; CEL reads its fields without reflection.
type input struct {
	sig         *Signal
	kind        string
	labels      labelMap
	annotations labelMap
}

// labelMap gives the empty string for a label that is not there.
type labelMap struct{ traits.Mapper }

func (m labelMap) Find(k ref.Val) (ref.Val, bool) {
	if v, ok := m.Mapper.Find(k); ok {
		return v, true
	}
	return types.String(""), true
}

func (m labelMap) Get(k ref.Val) ref.Val { v, _ := m.Find(k); return v }

func newLabelMap(m map[string]string) labelMap {
	return labelMap{types.NewStringStringMap(types.DefaultTypeAdapter, m)}
}

// ResolveName implements cel.Activation.
func (in *input) ResolveName(name string) (any, bool) {
	switch name {
	case "alert", "source":
		return in, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (in *input) Parent() cel.Activation { return nil }

const (
	alertType  = "tocsin.Alert"
	sourceType = "tocsin.Source"
)

func field(t *types.Type, get func(*input) any) *types.FieldType {
	return &types.FieldType{
		Type:    t,
		IsSet:   func(any) bool { return true },
		GetFrom: func(v any) (any, error) { return get(v.(*input)), nil },
	}
}

var stringMap = types.NewMapType(types.StringType, types.StringType)

var celFields = map[string]map[string]*types.FieldType{
	alertType: {
		"title":       field(types.StringType, func(in *input) any { return in.sig.Title }),
		"severity":    field(types.StringType, func(in *input) any { return string(in.sig.Severity) }),
		"service":     field(types.StringType, func(in *input) any { return in.sig.Service }),
		"dedup_key":   field(types.StringType, func(in *input) any { return in.sig.DedupKey }),
		"link":        field(types.StringType, func(in *input) any { return in.sig.Link }),
		"labels":      field(stringMap, func(in *input) any { return in.labels }),
		"annotations": field(stringMap, func(in *input) any { return in.annotations }),
	},
	sourceType: {
		"id":   field(types.StringType, func(in *input) any { return in.sig.Source }),
		"kind": field(types.StringType, func(in *input) any { return in.kind }),
	},
}

type provider struct{ types.Provider }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := celFields[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	f, ok := celFields[name]
	if !ok {
		return p.Provider.FindStructFieldNames(name)
	}
	var names []string
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, true
}

func (p provider) FindStructFieldType(name, f string) (*types.FieldType, bool) {
	if fields, ok := celFields[name]; ok {
		t, ok := fields[f]
		return t, ok
	}
	return p.Provider.FindStructFieldType(name, f)
}

var celEnv = newEnv()

func newEnv() *cel.Env {
	reg, err := types.NewRegistry()
	if err != nil {
		panic(err)
	}
	// has(alert.labels.x) asks for the label itself, not for its value, which is
	// the empty string where there is none.
	has := cel.GlobalMacro("has", 1, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		if args[0].Kind() != ast.SelectKind {
			return nil, f.NewError(args[0].ID(), "has() needs a field")
		}
		sel := args[0].AsSelect()
		if op := sel.Operand(); op.Kind() == ast.SelectKind && (op.AsSelect().FieldName() == "labels" || op.AsSelect().FieldName() == "annotations") {
			return f.NewCall(operators.In, f.NewLiteral(types.String(sel.FieldName())), op), nil
		}
		return f.NewPresenceTest(sel.Operand(), sel.FieldName()), nil
	})
	env, err := cel.NewEnv(
		cel.CustomTypeProvider(provider{reg}), cel.CustomTypeAdapter(reg), cel.Macros(has),
		cel.Variable("alert", cel.ObjectType(alertType)), cel.Variable("source", cel.ObjectType(sourceType)),
	)
	if err != nil {
		panic(err)
	}
	return env
}

// compileWhen checks an expression; line and column of the first error stand in
// the arguments of the message.
func compileWhen(path, when string) (cel.Program, error) {
	if utf8.RuneCountInString(when) > maxWhen {
		return nil, kit.InvalidField(path, "error.too_long", "max", maxWhen)
	}
	a, iss := celEnv.Compile(when)
	if err := iss.Err(); err != nil {
		e := iss.Errors()[0]
		return nil, kit.InvalidField(path, "alert.error.expression", "line", e.Location.Line(), "column", e.Location.Column()+1, "message", e.Message)
	}
	if !a.OutputType().IsExactType(cel.BoolType) {
		return nil, kit.InvalidField(path, "alert.error.expression", "line", 1, "column", 1, "message", "want a bool, not "+a.OutputType().String())
	}
	return celEnv.Program(a, cel.EvalOptions(cel.OptOptimize))
}

// compileRoutes fills defaults in and checks every rule.
func compileRoutes(version int64, routes []Route) (*routeSet, error) {
	set := &routeSet{version: version}
	var f kit.Fields
	if len(routes) > maxRoutes {
		f.Add("routes", "alert.error.too_many_routes", "max", maxRoutes)
		return nil, f.Err()
	}
	seen := map[string]bool{}
	for i, r := range routes {
		path := func(s string) string { return fmt.Sprintf("routes[%d].%s", i, s) }
		if r.ID == "" {
			r.ID = fmt.Sprintf("route-%d", i+1)
		}
		if !kit.IsSlug(r.ID) {
			f.Add(path("id"), "alert.error.slug")
		}
		if seen[r.ID] {
			f.Add(path("id"), "error.exists")
		}
		seen[r.ID] = true
		switch r.Then {
		case ThenIncident, ThenRecord, ThenSuppress:
		default:
			f.Add(path("then"), "alert.error.then")
		}
		switch r.Severity {
		case "", "sev1", "sev2", "sev3", "sev4":
		default:
			f.Add(path("severity"), "alert.error.incident_severity")
		}
		if r.Kind == "" {
			r.Kind = "availability"
		}
		if !kit.IsSlug(r.Kind) {
			f.Add(path("kind"), "error.invalid")
		}
		if r.Policy != "" && !kit.IsSlug(r.Policy) {
			f.Add(path("policy"), "alert.error.slug")
		}
		if len(r.Group) == 0 {
			r.Group = []string{"service"}
		}
		if len(r.Group) > 10 {
			f.Add(path("group"), "error.too_long", "max", 10)
		}
		if r.Window == 0 {
			r.Window = defaultWindow
		}
		if r.Window < 0 || r.Window > 7*24*time.Hour {
			f.Add(path("window"), "alert.error.window")
		}
		c := compiled{Route: r}
		if r.When == "" {
			if i != len(routes)-1 {
				f.Add(path("when"), "alert.error.when_missing")
			}
		} else {
			p, err := compileWhen(path("when"), r.When)
			if err != nil {
				f = append(f, kit.AsError(err).Fields...)
			}
			c.program = p
		}
		set.list = append(set.list, c)
	}
	return set, f.Err()
}

// decide gives the decision of the first rule that matches. A rule that cannot
// be evaluated does not match, so that its alert is never lost.
func (rs *routeSet) decide(sig *Signal, sourceKind string, log *slog.Logger) Decision {
	if rs == nil || len(rs.list) == 0 {
		return defaultRoute.decision(sig)
	}
	in := &input{sig: sig, kind: sourceKind, labels: newLabelMap(sig.Labels), annotations: newLabelMap(sig.Annotations)}
	for i := range rs.list {
		c := &rs.list[i]
		if c.program != nil {
			v, _, err := c.program.Eval(in)
			if err != nil {
				log.Warn("route not evaluated", "route", c.ID, "error", err)
				continue
			}
			if v != types.True {
				continue
			}
		}
		return c.decision(sig)
	}
	return defaultRoute.decision(sig)
}

func (r *Route) decision(sig *Signal) Decision {
	return Decision{
		Route: r.ID, Then: r.Then, Severity: r.Severity, Kind: r.Kind, Policy: r.Policy,
		GroupKey: groupKey(r.Group, sig), Window: r.Window, Reason: r.Reason,
	}
}

// groupKey names the group of a signal: a missing label is the empty string.
func groupKey(group []string, sig *Signal) string {
	var b strings.Builder
	for i, g := range group {
		if i > 0 {
			b.WriteByte(' ')
		}
		var v string
		switch g {
		case "service":
			v = sig.Service
		case "source":
			v = sig.Source
		case "dedup_key":
			v = sig.DedupKey
		default:
			v = sig.Labels[g]
		}
		b.WriteString(g)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(v))
	}
	return b.String()
}
