package oncall

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func instantOf(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v.UTC()
}

func TestLocalTimeInGapAndOverlap(t *testing.T) {
	for _, c := range []struct{ zone, local, want string }{
		{"Europe/Paris", "2026-01-05T09:00", "2026-01-05T08:00:00Z"},
		{"Europe/Paris", "2026-03-29T02:30", "2026-03-29T01:00:00Z"},
		{"Europe/Paris", "2026-10-25T02:30", "2026-10-25T00:30:00Z"},
		{"Pacific/Apia", "2011-12-30T09:00", "2011-12-30T10:00:00Z"},
		{"Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30:00Z"},
		{"Europe/Paris", "2028-02-29T12:00", "2028-02-29T11:00:00Z"},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		w, _, err := parseWall(c.local)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.instant(loc); !got.Equal(instantOf(t, c.want)) {
			t.Errorf("%s %s = %s, want %s", c.zone, c.local, got.Format(time.RFC3339), c.want)
		}
	}
}

func TestHoursAreElapsedAndDaysAreCalendar(t *testing.T) {
	for _, c := range []struct{ shift, wantEnd string }{
		{"24h", "2026-03-29T08:00:00Z"},
		{"1d", "2026-03-29T07:00:00Z"},
	} {
		got, err := Intervals(Definition{Zone: "Europe/Paris", Rotations: []Rotation{{People: []string{"a", "b"}, Start: "2026-03-28T09:00", Shift: c.shift}}},
			instantOf(t, "2026-03-28T08:00:00Z"), instantOf(t, "2026-03-30T00:00:00Z"))
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Person != "a" || !got[0].To.Equal(instantOf(t, c.wantEnd)) || got[1].Person != "b" {
			t.Errorf("%s: %+v", c.shift, got)
		}
	}
}

func TestOverrideAndLayersWin(t *testing.T) {
	def := Definition{Zone: "Europe/Paris", Rotations: []Rotation{
		{People: []string{"ana", "paul"}, Start: "2026-01-05T09:00", Shift: "1w"},
		{People: []string{"nora"}, Start: "2026-01-05T00:00", Shift: "1d", Days: []string{"sat", "sun"}, Hours: []string{"22:00-06:00"}},
	}, Overrides: []Override{{ID: "o1", Person: "lina", From: instantOf(t, "2026-12-24T08:00:00Z"), To: instantOf(t, "2026-12-26T08:00:00Z")}}}
	for _, c := range []struct {
		at, person string
		why        Why
	}{
		{"2026-01-05T07:59:59Z", "", Why{}},
		{"2026-01-05T08:00:00Z", "ana", Why{Kind: "rotation", Layer: 1, Position: 1, Of: 2}},
		{"2026-01-12T08:00:00Z", "paul", Why{Kind: "rotation", Layer: 1, Position: 2, Of: 2}},
		{"2026-01-10T21:30:00Z", "nora", Why{Kind: "rotation", Layer: 2, Position: 1, Of: 1}},
		{"2026-01-12T04:30:00Z", "nora", Why{Kind: "rotation", Layer: 2, Position: 1, Of: 1}},
		{"2026-12-24T08:00:00Z", "lina", Why{Kind: "override", Override: "o1"}},
	} {
		p, w, err := At(def, instantOf(t, c.at))
		if err != nil || p != c.person || w != c.why {
			t.Errorf("%s: %q %+v %v, want %q %+v", c.at, p, w, err, c.person, c.why)
		}
	}
}

var zones = []string{
	"Europe/Paris", "America/New_York", "Pacific/Apia", "Pacific/Kwajalein", "Asia/Kathmandu", "Australia/Lord_Howe",
	"America/St_Johns", "Africa/Casablanca", "Asia/Manila", "Pacific/Kiritimati", "Pacific/Chatham", "Europe/Dublin",
	"Antarctica/Troll", "America/Sao_Paulo", "Africa/Monrovia", "Asia/Gaza", "UTC", "America/Juneau",
}

// The days around which the zones above did something unusual, and a leap day.
var instants = []string{
	"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2011-12-30T10:00:00Z", "1969-09-30T13:00:00Z", "1993-08-21T12:00:00Z",
	"2028-02-29T12:00:00Z", "2006-10-29T02:31:00Z", "1994-12-31T10:00:00Z", "2018-11-04T03:00:00Z", "2026-02-15T02:00:00Z",
	"2100-02-28T12:00:00Z", "1972-01-07T00:44:30Z", "2026-04-04T15:00:00Z",
}

func drawDefinition(t *rapid.T, base time.Time) Definition {
	def := Definition{Zone: rapid.SampledFrom(zones).Draw(t, "zone")}
	for range rapid.IntRange(1, 3).Draw(t, "layers") {
		start := base.Add(-time.Duration(rapid.IntRange(0, 60*24*40).Draw(t, "before")) * time.Minute)
		r := Rotation{
			People: []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "people")],
			Start:  start.Format("2006-01-02T15:04"),
			Shift:  rapid.SampledFrom([]string{"1h", "8h", "12h", "24h", "1d", "2d", "1w"}).Draw(t, "shift"),
			Days:   rapid.SampledFrom([][]string{nil, nil, {"mon", "wed"}, {"sat", "sun"}, {"fri"}}).Draw(t, "days"),
			Hours:  rapid.SampledFrom([][]string{nil, nil, {"09:00-18:00"}, {"22:00-06:00"}, {"00:00-02:30", "02:00-24:00"}}).Draw(t, "hours"),
		}
		if rapid.Bool().Draw(t, "ends") {
			r.Until = base.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, "until")) * time.Hour).Format("2006-01-02T15:04")
		}
		def.Rotations = append(def.Rotations, r)
	}
	if rapid.Bool().Draw(t, "override") {
		from := base.Add(time.Duration(rapid.IntRange(-48, 48).Draw(t, "from")) * time.Hour)
		def.Overrides = []Override{{ID: "o", Person: "z", From: from, To: from.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "for")) * time.Hour)}}
	}
	return def
}

func TestIntervalsCoverExactlyAndAgreeWithAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, _ := time.Parse(time.RFC3339, rapid.SampledFrom(instants).Draw(t, "base"))
		def := drawDefinition(t, base)
		c, err := Compile(def)
		if err != nil {
			t.Fatal(err)
		}
		from := base.Add(-time.Duration(rapid.IntRange(0, 100*60).Draw(t, "window")) * time.Minute)
		to := base.Add(time.Duration(rapid.IntRange(1, 100*60).Draw(t, "to")) * time.Minute)
		got := c.Intervals(from, to)
		at := from
		for i, iv := range got {
			if !iv.From.Equal(at) || !iv.From.Before(iv.To) {
				t.Fatalf("interval %d begins %s, want %s", i, iv.From, at)
			}
			if i > 0 && got[i-1].Person == iv.Person && got[i-1].Why == iv.Why {
				t.Fatalf("interval %d repeats its neighbour", i)
			}
			for _, p := range []time.Time{iv.From, iv.From.Add(iv.To.Sub(iv.From) / 2), iv.To.Add(-time.Microsecond)} {
				if person, why := c.At(p); person != iv.Person || why != iv.Why {
					t.Fatalf("at %s: %q %+v, interval says %q %+v", p, person, why, iv.Person, iv.Why)
				}
			}
			at = iv.To
		}
		if !at.Equal(to) {
			t.Fatalf("ends %s, want %s", at, to)
		}
	})
}

func TestLocalInstantGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		base, _ := time.Parse(time.RFC3339, rapid.SampledFrom(instants).Draw(t, "base"))
		w := base.Add(time.Duration(rapid.IntRange(-4000, 4000).Draw(t, "minutes")) * time.Minute)
		a := wall(w).instant(loc)
		b := wall(w.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "more")) * time.Minute)).instant(loc)
		if b.Before(a) {
			t.Fatalf("later wall time, earlier instant: %s then %s", a, b)
		}
		if time.Time(wallOf(a, loc)).Before(w) {
			t.Fatalf("clocks show %s before %s", time.Time(wallOf(a, loc)), w)
		}
	})
}

func sixLayers() Definition {
	def := Definition{Zone: "Europe/Paris"}
	for i, shift := range []string{"1w", "1d", "12h", "1d", "8h", "1w"} {
		r := Rotation{People: []string{"a", "b", "c", "d", "e"}, Start: "2026-01-05T09:00", Shift: shift}
		if i%2 == 1 {
			r.Hours = []string{"09:00-18:00"}
			r.Days = []string{"mon", "tue", "wed", "thu", "fri"}
		}
		def.Rotations = append(def.Rotations, r)
	}
	return def
}

func BenchmarkYearOfSixLayers(b *testing.B) {
	c, err := Compile(sixLayers())
	if err != nil {
		b.Fatal(err)
	}
	from := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		c.Intervals(from, from.AddDate(1, 0, 0))
	}
}

func TestBadDefinitions(t *testing.T) {
	good := Rotation{People: []string{"a"}, Start: "2026-01-05T09:00", Shift: "1w"}
	edit := func(f func(*Rotation)) Definition {
		r := good
		f(&r)
		return Definition{Zone: "Europe/Paris", Rotations: []Rotation{r}}
	}
	for path, def := range map[string]Definition{
		"timezone":            {Zone: "Europe/Nowhere", Rotations: []Rotation{good}},
		"rotations[0].people": edit(func(r *Rotation) { r.People = nil }),
		"rotations[0].start":  edit(func(r *Rotation) { r.Start = "2026-02-30T09:00" }),
		"rotations[0].shift":  edit(func(r *Rotation) { r.Shift = "0d" }),
		"rotations[0].until":  edit(func(r *Rotation) { r.Until = "never" }),
		"rotations[0].days":   edit(func(r *Rotation) { r.Days = []string{"lundi"} }),
		"rotations[0].hours":  edit(func(r *Rotation) { r.Hours = []string{"9-18"} }),
	} {
		_, err := Compile(def)
		wantField(t, err, path)
	}
	if _, err := Compile(Definition{Zone: "UTC", Rotations: []Rotation{good}}); err != nil {
		t.Error(err)
	}
}
