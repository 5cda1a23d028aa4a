package oncall

import "time"

// SimPerson is who would be paged, and when by which method.
type SimPerson struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Methods []SimMethod `json:"methods"`
}

// SimMethod is one try of one method.
type SimMethod struct {
	Method string    `json:"method"`
	At     time.Time `json:"at"`
}

// SimStep is one step of a simulation.
type SimStep struct {
	At     time.Time   `json:"at"`
	Round  int         `json:"round"`
	Step   int         `json:"step"`
	Kind   string      `json:"kind"`
	Target []string    `json:"target"`
	People []SimPerson `json:"people"`
	// Why says for each person by what they are paged.
	Why     []Paged   `json:"why"`
	Skipped []Skipped `json:"skipped,omitempty"`
	// Gap is set when nobody is reached by this step.
	Gap bool `json:"gap"`
}

// Simulation is who is woken when nobody answers.
type Simulation struct {
	Severity string    `json:"severity"`
	Policy   string    `json:"policy"`
	At       time.Time `json:"at"`
	Steps    []SimStep `json:"steps"`
}

// Simulate walks all rungs; resolve says whom a rung pages at an instant. A rung
// that reaches nobody lets the next one run at the same instant, as in truth.
func Simulate(f Frozen, at time.Time, resolve func(Rung, time.Time) (people []Paged, skipped []Skipped, err error)) (Simulation, error) {
	out := Simulation{Severity: f.Severity, Policy: f.Policy, At: at}
	rungs := Rungs(f)
	pos := Position{Base: at}
	for pos.Next < len(rungs) {
		when, _ := pos.NextAt(rungs)
		r := rungs[pos.Next]
		people, skipped, err := resolve(r, when)
		if err != nil {
			return Simulation{}, err
		}
		s := SimStep{At: when, Round: r.Round, Step: r.Step, Kind: r.Kind, Target: r.Targets, Why: people, Skipped: skipped}
		s.Gap = len(people) == 0 && r.Kind != KindLastResort
		out.Steps = append(out.Steps, s)
		pos.Next++
		if s.Gap {
			pos = pos.Hasten(rungs, when)
		}
	}
	return out, nil
}
