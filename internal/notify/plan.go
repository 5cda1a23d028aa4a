package notify

import (
	"cmp"
	"slices"
	"time"
)

// Planned is a method of a person and when it is tried after a page.
type Planned struct {
	Method Method
	After  time.Duration
}

// stepDown is the distance of the methods of a person without a rule.
const stepDown = 2 * time.Minute

// PlanOf gives the methods of a person in the order in which a page of a severity
// tries them: by the personal rule, else the first at once, the next after two
// minutes and so on. A rule that leaves nothing for the severity counts as none,
// and the first one always starts at once: a page is never only a plan.
func PlanOf(methods []Method, rules []Rule, severity string) []Planned {
	if severity == "" {
		severity = "sev2"
	}
	byID := map[string]Method{}
	var usable []Method
	for _, m := range methods {
		if m.Disabled == "" {
			byID[m.ID] = m
			usable = append(usable, m)
		}
	}
	var out []Planned
	for _, r := range rules {
		m, ok := byID[r.Method]
		if !ok || len(r.Severities) > 0 && !slices.Contains(r.Severities, severity) {
			continue
		}
		if i := slices.IndexFunc(out, func(p Planned) bool { return p.Method.ID == m.ID }); i >= 0 {
			out[i].After = min(out[i].After, r.After)
			continue
		}
		out = append(out, Planned{Method: m, After: r.After})
	}
	slices.SortStableFunc(out, func(a, b Planned) int { return cmp.Compare(a.After, b.After) })
	if len(out) == 0 {
		for i, m := range usable {
			out = append(out, Planned{Method: m, After: time.Duration(i) * stepDown})
		}
	}
	return out
}
