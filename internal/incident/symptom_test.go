package incident

import (
	"testing"
	"time"
)

func TestSymptomOf(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	dependents := []string{"api", "web"}
	for name, c := range map[string]struct {
		change func(i *Incident)
		want   bool
	}{
		"one dependent":                   {func(*Incident) {}, true},
		"two dependents":                  {func(i *Incident) { i.Services = []string{"api", "web"} }, true},
		"answered":                        {func(i *Incident) { i.Phase, i.AcknowledgedAt = Assessment, now }, true},
		"also something else":             {func(i *Incident) { i.Services = []string{"api", "mail"} }, false},
		"no service":                      {func(i *Incident) { i.Services = nil }, false},
		"declared by a person":            {func(i *Incident) { i.How = "person" }, false},
		"assessed":                        {func(i *Incident) { i.AssessedAt = now }, false},
		"confidential":                    {func(i *Incident) { i.Confidential = true }, false},
		"practice":                        {func(i *Incident) { i.Exercise = true }, false},
		"practice of one":                 {func(i *Incident) { i.OnlyPerson = "ana" }, false},
		"in review":                       {func(i *Incident) { i.Phase = InReview }, false},
		"cancelled":                       {func(i *Incident) { i.Status = StatusCancelled }, false},
		"at the end of the window":        {func(i *Incident) { i.DeclaredAt = now.Add(-10 * time.Minute) }, true},
		"declared before the window":      {func(i *Incident) { i.DeclaredAt = now.Add(-10*time.Minute - 1) }, false},
		"declared by a rule, renamed":     {func(i *Incident) { i.Title = "renamed" }, true},
		"its severity was set by a route": {func(i *Incident) { i.Severity = Sev3 }, true},
	} {
		i := &Incident{How: "route", Status: StatusOpen, Phase: Detection, Services: []string{"api"}, DeclaredAt: now.Add(-time.Minute)}
		c.change(i)
		if got := i.symptomOf(dependents, false, now, 10*time.Minute); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
