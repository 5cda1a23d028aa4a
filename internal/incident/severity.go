package incident

import "tocsin/internal/kit"

// Severity is sev1 … sev4, or empty while nobody and no rule said: every rule
// then treats the incident as sev2.
type Severity string

// The severities.
const (
	Unassessed Severity = ""
	Sev1       Severity = "sev1"
	Sev2       Severity = "sev2"
	Sev3       Severity = "sev3"
	Sev4       Severity = "sev4"
)

// Effective is the severity that rules use: not assessed counts as sev2.
func (s Severity) Effective() Severity {
	if s == Unassessed {
		return Sev2
	}
	return s
}

// Valid tells whether s is one of the four levels or empty.
func (s Severity) Valid() bool {
	switch s {
	case Unassessed, Sev1, Sev2, Sev3, Sev4:
		return true
	}
	return false
}

// Worse tells whether s is worse than o, as rules see them.
func (s Severity) Worse(o Severity) bool { return s.Effective() < o.Effective() }

func worst(a, b Severity) Severity {
	if b != Unassessed && (a == Unassessed || b < a) {
		return b
	}
	return a
}

// SeveritySource says what set the severity.
type SeveritySource string

// The sources of a severity; the latest wins.
const (
	SourceNone     SeveritySource = "none"
	SourceRoute    SeveritySource = "route"
	SourceDeclared SeveritySource = "declared"
	SourceAssessed SeveritySource = "assessed"
	SourceOverride SeveritySource = "override"
)

// Kind of an incident. Data is personal or customer data lost, changed or shown
// without an attack.
type Kind string

// The kinds.
const (
	KindAvailability Kind = "availability"
	KindSecurity     Kind = "security"
	KindData         Kind = "data"
	KindVendor       Kind = "vendor"
)

// Valid tells whether k is one of the kinds.
func (k Kind) Valid() bool {
	return k == KindAvailability || k == KindSecurity || k == KindData || k == KindVendor
}

// PersonalData says whether personal data is touched: no, possibly, yes, unknown.
type PersonalData string

// The values.
const (
	DataNo       PersonalData = "no"
	DataPossibly PersonalData = "possibly"
	DataYes      PersonalData = "yes"
	DataUnknown  PersonalData = "unknown"
)

// Impact is the answer to "how bad is it?" at the declaration.
type Impact string

// The impacts.
const (
	ImpactUnknown  Impact = "unknown"
	ImpactOutage   Impact = "outage"
	ImpactDegraded Impact = "degraded"
	ImpactNone     Impact = "none"
)

// Answers are the five plain questions of an assessment. Each may be "unknown".
type Answers struct {
	// Who notices: nobody, some, most, unknown.
	Who string `json:"who"`
	// What they can no longer do: nothing, slower, workaround, main, unknown.
	What string `json:"what"`
	// Data: has anyone who should not have seen, changed or lost data: no, possibly, yes, unknown.
	Data string `json:"data"`
	// Trend: controlled, stable, spreading, unknown.
	Trend string `json:"trend"`
	// Change just before: none, unknown, or the reference of a change.
	Change string `json:"change"`
	// DataKinds, when Data is possibly or yes: personal, content, credentials, internal.
	DataKinds []string `json:"data_kinds,omitempty"`
	// People is about how many people's data, 0 when not known.
	People int `json:"people,omitempty"`
}

// Line is the part of the assessment that decided the severity.
type Line string

// The lines.
const (
	LineService Line = "service"
	LineData    Line = "data"
	LineSpread  Line = "spread"
)

var serviceTable = map[string]map[string]Severity{
	"nobody":  {"nothing": Sev4, "slower": Sev4, "workaround": Sev4, "main": Sev3, "unknown": Sev3},
	"some":    {"nothing": Sev4, "slower": Sev3, "workaround": Sev3, "main": Sev2, "unknown": Sev2},
	"most":    {"nothing": Sev3, "slower": Sev3, "workaround": Sev2, "main": Sev1, "unknown": Sev2},
	"unknown": {"nothing": Sev3, "slower": Sev3, "workaround": Sev2, "main": Sev2, "unknown": Sev2},
}

// DeclaredSeverity is the severity at the declaration: what was given, else what
// the impact says; security and data have a floor of sev2.
func DeclaredSeverity(given Severity, impact Impact, dataOrSecurity bool) Severity {
	s := given
	if s == Unassessed {
		switch impact {
		case ImpactOutage:
			s = Sev1
		case ImpactDegraded:
			s = Sev3
		case ImpactNone:
			s = Sev4
		}
	}
	if dataOrSecurity {
		s = worst(s, Sev2)
	}
	return s
}

// Normal fills what was not answered with unknown and refuses words that are none
// of the answers.
func (a Answers) Normal() (Answers, error) {
	var bad kit.Fields
	word := func(path string, v *string, allowed ...string) {
		if *v == "" {
			*v = "unknown"
		}
		for _, w := range append(allowed, "unknown") {
			if *v == w {
				return
			}
		}
		bad.Add("answers."+path, "incident.error.answer", "value", *v)
	}
	word("who", &a.Who, "nobody", "some", "most")
	word("what", &a.What, "nothing", "slower", "workaround", "main")
	word("data", &a.Data, "no", "possibly", "yes")
	word("trend", &a.Trend, "controlled", "stable", "spreading")
	if a.Change == "" {
		a.Change = "unknown"
	}
	if len(a.Change) > 40 {
		bad.Add("answers.change", "incident.error.answer", "value", a.Change[:40])
	}
	for i := range a.DataKinds {
		word("data_kinds", &a.DataKinds[i], "personal", "content", "credentials", "internal")
	}
	if a.People < 0 {
		bad.Add("answers.people", "incident.error.answer", "value", a.People)
	}
	return a, bad.Err()
}

// Verdict is what five answers come to.
type Verdict struct {
	Severity Severity
	// DecidedBy is the line that decided; on equal lines data goes before spread
	// before service.
	DecidedBy    Line
	PersonalData PersonalData
}

// Assess computes the severity from normal answers: the worst of three lines. An
// unknown alone never makes sev1 and never the mildest level.
func Assess(a Answers) Verdict {
	out := Verdict{Severity: serviceTable[a.Who][a.What], DecidedBy: LineService}
	if a.Trend == "spreading" {
		s := Sev2
		if a.Change == "none" || a.Change == "unknown" {
			s = Sev1
		}
		if s <= out.Severity {
			out.Severity, out.DecidedBy = s, LineSpread
		}
	}
	data := Unassessed
	switch a.Data {
	case "yes":
		data = Sev1
	case "possibly", "unknown":
		data = Sev2
	}
	if data != Unassessed && data <= out.Severity {
		out.Severity, out.DecidedBy = data, LineData
	}
	out.PersonalData = personalData(a)
	return out
}

func personalData(a Answers) PersonalData {
	switch a.Data {
	case "no":
		return DataNo
	case "yes", "possibly":
		if len(a.DataKinds) == 0 {
			return DataUnknown
		}
		for _, k := range a.DataKinds {
			if k == "personal" || k == "content" {
				return PersonalData(a.Data)
			}
		}
		for _, k := range a.DataKinds {
			if k == "unknown" {
				return DataUnknown
			}
		}
		return DataNo
	}
	return DataUnknown
}
