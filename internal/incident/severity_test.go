package incident

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestServiceLine(t *testing.T) {
	// The table of the reference, written out once more by hand.
	want := []string{
		"nobody nothing 4", "nobody slower 4", "nobody workaround 4", "nobody main 3", "nobody unknown 3",
		"some nothing 4", "some slower 3", "some workaround 3", "some main 2", "some unknown 2",
		"most nothing 3", "most slower 3", "most workaround 2", "most main 1", "most unknown 2",
		"unknown nothing 3", "unknown slower 3", "unknown workaround 2", "unknown main 2", "unknown unknown 2",
	}
	var got []string
	for _, who := range []string{"nobody", "some", "most", "unknown"} {
		for _, what := range []string{"nothing", "slower", "workaround", "main", "unknown"} {
			a := Assess(Answers{Who: who, What: what, Data: "no", Trend: "stable", Change: "none"})
			if a.DecidedBy != LineService || a.PersonalData != DataNo {
				t.Errorf("%s %s: %+v", who, what, a)
			}
			got = append(got, who+" "+what+" "+string(a.Severity[3]))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestOtherLines(t *testing.T) {
	base := Answers{Who: "nobody", What: "nothing", Data: "no", Trend: "controlled", Change: "none"}
	cases := []struct {
		name string
		edit func(*Answers)
		want Verdict
	}{
		{"data seen", func(a *Answers) { a.Data = "yes"; a.DataKinds = []string{"personal"} }, Verdict{Sev1, LineData, DataYes}},
		{"data possibly", func(a *Answers) { a.Data = "possibly"; a.DataKinds = []string{"content"} }, Verdict{Sev2, LineData, DataPossibly}},
		{"data unknown", func(a *Answers) { a.Data = "unknown" }, Verdict{Sev2, LineData, DataUnknown}},
		{"credentials only", func(a *Answers) { a.Data = "yes"; a.DataKinds = []string{"credentials", "internal"} }, Verdict{Sev1, LineData, DataNo}},
		{"kinds not given", func(a *Answers) { a.Data = "yes" }, Verdict{Sev1, LineData, DataUnknown}},
		{"spreading, nothing changed", func(a *Answers) { a.Trend = "spreading" }, Verdict{Sev1, LineSpread, DataNo}},
		{"spreading, change unknown", func(a *Answers) { a.Trend, a.Change = "spreading", "unknown" }, Verdict{Sev1, LineSpread, DataNo}},
		{"spreading, known change", func(a *Answers) { a.Trend, a.Change = "spreading", "CHG-9" }, Verdict{Sev2, LineSpread, DataNo}},
		{"trend unknown", func(a *Answers) { a.Trend = "unknown" }, Verdict{Sev4, LineService, DataNo}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := base
			c.edit(&a)
			if got := Assess(a); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

var answerWords = map[string][]string{
	"who": {"nobody", "some", "most", "unknown"}, "what": {"nothing", "slower", "workaround", "main", "unknown"},
	"data": {"no", "possibly", "yes", "unknown"}, "trend": {"controlled", "stable", "spreading", "unknown"},
	"change": {"none", "unknown", "CHG-1"},
}

func drawAnswers(t *rapid.T) Answers {
	pick := func(q string) string { return rapid.SampledFrom(answerWords[q]).Draw(t, q) }
	return Answers{Who: pick("who"), What: pick("what"), Data: pick("data"), Trend: pick("trend"), Change: pick("change")}
}

func TestUnknownIsCareful(t *testing.T) {
	all := Answers{Who: "unknown", What: "unknown", Data: "unknown", Trend: "unknown", Change: "unknown"}
	if s := Assess(all).Severity; s != Sev2 {
		t.Errorf("nothing known: %s", s)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := drawAnswers(t)
		got := Assess(a).Severity
		// Learning that the data is safe, or that the spread stopped, never makes it worse.
		better := a
		better.Data = "no"
		if Assess(better).Severity < got {
			t.Fatalf("%+v: %s, without data %s", a, got, Assess(better).Severity)
		}
		better = a
		better.Trend = "controlled"
		if Assess(better).Severity < got {
			t.Fatalf("%+v: %s, under control %s", a, got, Assess(better).Severity)
		}
		// A single doubt about who, what or data never gives the mildest level.
		if (a.Who == "unknown" || a.What == "unknown" || a.Data == "unknown") && got == Sev4 {
			t.Fatalf("%+v is sev4 in doubt", a)
		}
		// Without a known bad answer there is no sev1.
		if got == Sev1 && a.Data != "yes" && a.Trend != "spreading" && (a.Who != "most" || a.What != "main") {
			t.Fatalf("%+v is sev1 by doubt alone", a)
		}
	})
}

func TestDeclaredSeverity(t *testing.T) {
	cases := []struct {
		given  Severity
		impact Impact
		data   bool
		want   Severity
	}{
		{"", ImpactOutage, false, Sev1},
		{"", ImpactDegraded, false, Sev3},
		{"", ImpactNone, false, Sev4},
		{"", ImpactUnknown, false, ""},
		{"", ImpactUnknown, true, Sev2},
		{"", ImpactNone, true, Sev2},
		{"", ImpactOutage, true, Sev1},
		{Sev4, ImpactOutage, false, Sev4},
		{Sev4, "", true, Sev2},
	}
	for _, c := range cases {
		if got := DeclaredSeverity(c.given, c.impact, c.data); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func names(ds []Duty) (out []string) {
	for _, d := range ds {
		n := d.Name()
		if d.After > 0 {
			n += "+" + d.After.String()
		}
		out = append(out, n)
	}
	return out
}

func TestLevel(t *testing.T) {
	const assess = 30 * time.Minute
	cases := []struct {
		name string
		f    Facts
		want []string
	}{
		{"sev1, customers", Facts{Severity: Sev1, Assessed: true, DataAnswer: "no", CustomersAffected: true}, []string{"ladder:page", "commander:page", "communications:page", "management:mail"}},
		{"sev2", Facts{Severity: Sev2, Assessed: true, DataAnswer: "no"}, []string{"ladder:page", "commander:notice", "communications:notice", "management:mail"}},
		{"not assessed", Facts{}, []string{"ladder:page", "commander:notice", "communications:notice", "management:mail+30m0s"}},
		{"sev3", Facts{Severity: Sev3, Assessed: true, DataAnswer: "no"}, []string{"ladder:page"}},
		{"sev3, customers", Facts{Severity: Sev3, CustomersAffected: true}, []string{"ladder:page", "communications:notice"}},
		{"sev4", Facts{Severity: Sev4}, []string{"ladder:notice"}},
		{"sev4 of security", Facts{Severity: Sev4, Kind: KindSecurity}, []string{"ladder:notice", "management:mail"}},
		{"sev3, data possibly", Facts{Severity: Sev3, Assessed: true, DataAnswer: "possibly"}, []string{"ladder:page", "management:mail"}},
		{"sev4, legal clock", Facts{Severity: Sev4, LegalClock: true}, []string{"ladder:notice", "management:mail"}},
		{"exercise", Facts{Severity: Sev1, Kind: KindSecurity, Exercise: true}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := names(Level(c.f, nil, assess)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestManagementRuleCannotBeSwitchedOff(t *testing.T) {
	over := Overrides{}
	for _, s := range []Severity{Sev1, Sev2, Sev3, Sev4} {
		over[s] = map[string]Act{"management": ActNone, "ladder": ActNone, "commander": ActNone, "communications": ActNone}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := Facts{
			Severity: rapid.SampledFrom([]Severity{"", Sev1, Sev2, Sev3, Sev4}).Draw(t, "severity"),
			Kind:     rapid.SampledFrom([]Kind{KindSecurity, KindData}).Draw(t, "kind"),
			Assessed: rapid.Bool().Draw(t, "assessed"),
		}
		for _, d := range Level(f, over, time.Hour) {
			if d.Key == "management" && d.Act == ActMail && d.After == 0 && d.Rule {
				return
			}
		}
		t.Fatalf("%+v: management is not told", f)
	})
}

func TestDifference(t *testing.T) {
	sev3 := Level(Facts{Severity: Sev3, Assessed: true, DataAnswer: "no"}, nil, time.Hour)
	sev1 := Level(Facts{Severity: Sev1, Assessed: true, DataAnswer: "no"}, nil, time.Hour)
	added, withdrawn := Difference(sev3, sev1)
	if got := names(added); !slices.Equal(got, []string{"commander:page", "communications:notice", "management:mail"}) || withdrawn != nil {
		t.Errorf("rising: %v, %v", got, withdrawn)
	}
	added, withdrawn = Difference(sev1, sev3)
	if len(added) != 0 || len(withdrawn) != 3 {
		t.Errorf("falling: %v, %v", added, withdrawn)
	}
	open := Level(Facts{}, nil, time.Hour)
	sev2 := Level(Facts{Severity: Sev2, Assessed: true, DataAnswer: "no"}, nil, time.Hour)
	if added, _ := Difference(open, sev2); len(added) != 1 || added[0].Key != "management" || added[0].After != 0 {
		t.Errorf("confirming sev2 must tell management now: %v", added)
	}
}

func TestLoosens(t *testing.T) {
	set := func(sev Severity, row string, act Act) Overrides {
		return Overrides{sev: {row: act}}
	}
	for _, c := range []struct {
		from, to Overrides
		want     bool
	}{
		{nil, nil, false},
		{nil, set(Sev3, "management", ActNotice), false},
		{set(Sev3, "management", ActNotice), nil, true},
		{nil, set(Sev1, "management", ActNone), true},
		{nil, set(Sev1, "management", ActPage), false},
		{nil, set(Sev1, "management", "30m"), true},
		{nil, set(Sev3, "management", "30m"), false},
		{set(Sev1, "management", ActNone), set(Sev1, "management", ActMail), false},
		{nil, set(Sev2, "commander", ActPage), false},
		{nil, set(Sev2, "ladder", ActNotice), true},
		{set(Sev2, "still", "20m"), set(Sev2, "still", "30m"), true},
		{set(Sev2, "still", "30m"), set(Sev2, "still", "20m"), false},
		{nil, set(Sev2, "channel", ActNone), true},
	} {
		if got := Loosens(c.from, c.to); got != c.want {
			t.Errorf("%v → %v: %v", c.from, c.to, got)
		}
	}
}
