package incident

import (
	"fmt"
	"time"

	"tocsin/internal/kit"
)

// Act is what a cell of the response level asks for.
type Act string

// The acts.
const (
	ActPage   Act = "page"
	ActNotice Act = "notice"
	ActMail   Act = "mail"
	ActNone   Act = "none"
)

// Facts is what the response level depends on.
type Facts struct {
	Severity     Severity
	Kind         Kind
	PersonalData PersonalData
	// Assessed is false until the first assessment.
	Assessed bool
	// DataAnswer is the answer to the third question, empty before an assessment.
	DataAnswer string
	// LegalClock is set while a legal clock runs.
	LegalClock bool
	// CustomersAffected follows the last row of "added by kind".
	CustomersAffected bool
	Exercise          bool
}

// ManagementRule tells whether management is told at once whatever the severity:
// an incident of security or data, an answer to the data question other than no,
// or a running legal clock. No parameter switches it off.
func (f Facts) ManagementRule() bool {
	if f.Kind == KindSecurity || f.Kind == KindData || f.LegalClock {
		return true
	}
	return f.Assessed && f.DataAnswer != "" && f.DataAnswer != "no"
}

// Duty is one thing that the response level asks for.
type Duty struct {
	// Key names the row: ladder, commander, communications, management.
	Key string `json:"key"`
	Act Act    `json:"act"`
	// Role is who.
	Role kit.Role `json:"role,omitempty"`
	// After is how long after the level was reached; 0 is at once.
	After time.Duration `json:"after,omitempty"`
	// Rule is set where the management rule asks, which cannot be loosened.
	Rule bool `json:"rule,omitempty"`
}

// Name is a stable word for lists of what was added or withdrawn.
func (d Duty) Name() string { return fmt.Sprintf("%s:%s", d.Key, d.Act) }

// Overrides are cells of the organisation's own levels: severity → row → act.
type Overrides map[Severity]map[string]Act

// Level gives the duties of a response level, in the order of the table.
// assess is the time after which an incident that nobody assessed reaches
// management all the same.
func Level(f Facts, over Overrides, assess time.Duration) []Duty {
	if f.Exercise {
		return nil
	}
	sev := f.Severity.Effective()
	cell := func(row string, def Act) Act {
		if a, ok := over[sev][row]; ok {
			return a
		}
		return def
	}
	var out []Duty
	add := func(d Duty) {
		if d.Act != ActNone && d.Act != "" {
			out = append(out, d)
		}
	}
	ladder := ActPage
	if sev == Sev4 {
		ladder = ActNotice
	}
	add(Duty{Key: "ladder", Act: cell("ladder", ladder), Role: kit.RolePrimary})

	commander := map[Severity]Act{Sev1: ActPage, Sev2: ActNotice}[sev]
	add(Duty{Key: "commander", Act: cell("commander", commander), Role: kit.RoleCommander})

	var comms Act
	switch {
	case sev == Sev1 && f.CustomersAffected:
		comms = ActPage
	case sev == Sev2, sev == Sev3 && f.CustomersAffected, sev == Sev1:
		comms = ActNotice
	}
	add(Duty{Key: "communications", Act: cell("communications", comms), Role: kit.RoleCommunications})

	switch {
	case f.ManagementRule():
		add(Duty{Key: "management", Act: ActMail, Role: kit.RoleManagement, Rule: true})
	case sev == Sev1, sev == Sev2 && f.Severity != Unassessed:
		add(Duty{Key: "management", Act: cell("management", ActMail), Role: kit.RoleManagement})
	case sev == Sev2:
		add(Duty{Key: "management", Act: cell("management", ActMail), Role: kit.RoleManagement, After: assess})
	default:
		add(Duty{Key: "management", Act: cell("management", ActNone), Role: kit.RoleManagement})
	}
	return out
}

// rank orders acts by how much they ask.
var rank = map[Act]int{ActNone: 0, "": 0, ActNotice: 1, ActMail: 1, ActPage: 2}

// Loosens tells whether going from one set of overrides to another asks for less in any
// cell, as the default asks where a set is silent. A cell that holds a length of time
// loosens when it grows, and when it is new.
func Loosens(from, to Overrides) bool {
	for _, sev := range []Severity{Sev1, Sev2, Sev3, Sev4} {
		asks := map[string]Act{"channel": ActNotice}
		for _, d := range Level(Facts{Severity: sev, Assessed: true, CustomersAffected: true}, nil, 0) {
			asks[d.Key] = d.Act
		}
		cell := func(o Overrides, row string) Act {
			if a, ok := o[sev][row]; ok {
				return a
			}
			return asks[row]
		}
		for _, o := range []Overrides{from, to} {
			for row := range o[sev] {
				if looser(cell(from, row), cell(to, row)) {
					return true
				}
			}
		}
	}
	return false
}

func looser(from, to Act) bool {
	was, word := rank[from]
	is, worded := rank[to]
	if word && worded {
		return is < was
	}
	switch {
	case word:
		return was > 0
	case worded:
		return is == 0
	}
	a, err := time.ParseDuration(string(from))
	b, err2 := time.ParseDuration(string(to))
	return err != nil || err2 != nil || b > a
}

// Difference says what a new level adds to and withdraws from the old one.
func Difference(before, after []Duty) (added, withdrawn []Duty) {
	had := map[string]Duty{}
	for _, d := range before {
		had[d.Name()] = d
	}
	has := map[string]bool{}
	for _, d := range after {
		has[d.Name()] = true
		old, ok := had[d.Name()]
		if !ok || d.After < old.After {
			added = append(added, d)
		}
	}
	for _, d := range before {
		if !has[d.Name()] {
			withdrawn = append(withdrawn, d)
		}
	}
	return added, withdrawn
}

// ReviewDays is P.review: how long after recovery the review is due.
func ReviewDays(f Facts) string {
	if s := f.Severity.Effective(); s == Sev1 || s == Sev2 || f.Kind == KindSecurity || f.Kind == KindData || f.ManagementRule() {
		return "P.review.high"
	}
	return "P.review.low"
}
