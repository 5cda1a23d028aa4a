package oncall

import (
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"tocsin/internal/kit"
)

var whenEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable("incident", cel.MapType(cel.StringType, cel.DynType)))
})

func compileWhen(expr string) (cel.Program, error) {
	env, err := whenEnv()
	if err != nil {
		return nil, err
	}
	ast, iss := env.Compile(expr)
	if iss.Err() != nil {
		return nil, iss.Err()
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, kit.Invalid("oncall.error.when_not_bool")
	}
	return env.Program(ast, cel.CostLimit(10_000))
}

// StepsFor leaves out the steps whose `when` is false for the incident. A step
// whose expression fails is kept: an error must not keep anybody asleep.
func StepsFor(steps []Step, s Start) []Step {
	var out []Step
	for _, st := range steps {
		if st.When != "" {
			p, err := compileWhen(st.When)
			if err == nil {
				v, _, err := p.Eval(map[string]any{"incident": map[string]any{
					"severity": s.Severity, "kind": s.Kind, "services": s.Services, "title": s.Title, "exercise": s.Exercise, "ref": s.Ref,
				}})
				if err == nil && v.Value() == false {
					continue
				}
			}
		}
		out = append(out, st)
	}
	return out
}

func compileHours(h *ServiceHours, zone string) (*time.Location, restriction, error) {
	loc, err := loadZone(zone)
	if err != nil {
		return nil, restriction{}, kit.InvalidField("service_hours.timezone", "oncall.error.zone", "zone", zone)
	}
	var bad kit.Fields
	r := compileRestriction(h.Days, h.Hours, "service_hours", &bad)
	return loc, r, bad.Err()
}
