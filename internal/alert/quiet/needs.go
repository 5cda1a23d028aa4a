package quiet

import (
	"maps"
	"slices"
)

// Closure holds, for each service, every other that it needs, directly or through
// others; the deepest comes first, so that the first that is down is the cause.
type Closure map[string][]string

// Close follows direct needs to their end. A service never needs itself, however the
// needs run in circles.
func Close(direct map[string][]string) Closure {
	reach := func(from string) map[string]bool {
		seen := map[string]bool{}
		todo := slices.Clone(direct[from])
		for len(todo) > 0 {
			n := todo[0]
			if todo = todo[1:]; n == from || seen[n] {
				continue
			}
			seen[n] = true
			todo = append(todo, direct[n]...)
		}
		return seen
	}
	out := Closure{}
	for from := range direct {
		if seen := reach(from); len(seen) > 0 {
			out[from] = slices.Sorted(maps.Keys(seen))
		}
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b string) int { return len(out[a]) - len(out[b]) })
	}
	return out
}

// Needed gives the services that another cannot be without.
func (c Closure) Needed() map[string]bool {
	out := map[string]bool{}
	for _, list := range c {
		for _, n := range list {
			out[n] = true
		}
	}
	return out
}

// Dependents gives the services that cannot be without one.
func (c Closure) Dependents(of string) []string {
	var out []string
	for s, list := range c {
		if slices.Contains(list, of) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// Depth orders causes before what suffers of them: a service comes after all that it
// needs.
func (c Closure) Depth(service string) int { return len(c[service]) }
