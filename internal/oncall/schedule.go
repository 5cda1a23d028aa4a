package oncall

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"tocsin/internal/kit"
)

// Why says by what somebody is on duty.
type Why struct {
	// Kind is rotation, override, substitute (the person of the duty is already
	// on the other one), or empty when nobody is on duty.
	Kind string `json:"kind,omitempty"`
	// Layer is the layer of the rotation, Position the place in it from 1, Of how
	// many people it has.
	Layer    int `json:"layer,omitempty"`
	Position int `json:"position,omitempty"`
	Of       int `json:"of,omitempty"`
	// Override is the id of the override.
	Override string `json:"override,omitempty"`
	// For is whom a substitute stands for.
	For string `json:"for,omitempty"`
}

// Key is the catalogue key of the sentence, to be filled with Args.
func (w Why) Key() string {
	if w.Kind == "" {
		return "oncall.why.nobody"
	}
	return "oncall.why." + w.Kind
}

// Args fill the sentence of Key.
func (w Why) Args() map[string]any {
	return map[string]any{"layer": w.Layer, "position": w.Position, "of": w.Of, "override": w.Override, "for": w.For}
}

// Interval is a time in which one person, or nobody, is on duty for one reason.
// From is inclusive, To exclusive.
type Interval struct {
	From, To time.Time
	Person   string
	Why      Why
}

// Definition is what the calculator reads of a schedule.
type Definition struct {
	Zone      string
	Rotations []Rotation
	// Overrides win over every rotation, and a later one over an earlier one.
	Overrides []Override
}

type rotation struct {
	people   []string
	start    wall
	from     time.Time
	until    time.Time
	n        int
	calendar bool
	limit    restriction
	layer    int
}

// Calculator answers who is on duty by one definition. It is safe for concurrent use.
type Calculator struct {
	loc       *time.Location
	rotations []rotation // lowest first
	overrides []Override
}

// Compile checks a definition; the errors name the fields ("rotations[1].people").
func Compile(def Definition) (*Calculator, error) {
	var bad kit.Fields
	loc, err := loadZone(def.Zone)
	if err != nil {
		bad.Add("timezone", "oncall.error.zone", "zone", def.Zone)
		return nil, bad.Err()
	}
	c := &Calculator{loc: loc, overrides: def.Overrides}
	for i, r := range def.Rotations {
		path := "rotations[" + strconv.Itoa(i) + "]"
		c.rotations = append(c.rotations, compileRotation(r, i, loc, path, &bad))
	}
	for i, o := range def.Overrides {
		if !o.From.Before(o.To) {
			bad.Add("overrides["+strconv.Itoa(i)+"]", "oncall.error.override_empty")
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.rotations, func(a, b rotation) int { return cmp.Compare(a.layer, b.layer) })
	return c, nil
}

func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, strconv.ErrSyntax
	}
	return time.LoadLocation(name)
}

func compileRotation(r Rotation, i int, loc *time.Location, path string, bad *kit.Fields) rotation {
	out := rotation{people: r.People, layer: r.Layer}
	if out.layer == 0 {
		out.layer = i + 1
	}
	if len(r.People) == 0 {
		bad.Add(path+".people", "oncall.error.rotation_without_people")
	}
	var err error
	if out.start, _, err = parseWall(r.Start); err != nil {
		bad.Add(path+".start", "oncall.error.local_time", "value", r.Start)
		return out
	}
	out.from = out.start.instant(loc)
	if len(r.Shift) >= 2 {
		out.n, err = strconv.Atoi(r.Shift[:len(r.Shift)-1])
	}
	switch {
	case err != nil || out.n <= 0 || out.n > 9999 || r.Shift[0] == '+':
		out.n = 0
	case r.Shift[len(r.Shift)-1] == 'h':
	case r.Shift[len(r.Shift)-1] == 'd':
		out.calendar = true
	case r.Shift[len(r.Shift)-1] == 'w':
		out.calendar = true
		out.n *= 7
	default:
		out.n = 0
	}
	if out.n == 0 {
		bad.Add(path+".shift", "oncall.error.shift", "value", r.Shift)
	}
	if r.Until != "" {
		u, dateOnly, err := parseWall(r.Until)
		if err != nil {
			bad.Add(path+".until", "oncall.error.local_time", "value", r.Until)
			return out
		}
		if dateOnly {
			u = u.addDays(1)
		}
		out.until = u.instant(loc)
	}
	out.limit = compileRestriction(r.Days, r.Hours, path, bad)
	return out
}

func compileRestriction(days, hours []string, path string, bad *kit.Fields) restriction {
	var out restriction
	for _, d := range days {
		w, ok := weekdays[d]
		if !ok {
			bad.Add(path+".days", "oncall.error.weekday", "value", d)
			continue
		}
		if out.days == nil {
			out.days = map[time.Weekday]bool{}
		}
		out.days[w] = true
	}
	for _, h := range hours {
		w, err := parseWindow(h)
		if err != nil {
			bad.Add(path+".hours", "oncall.error.hours", "value", h)
			continue
		}
		out.hours = append(out.hours, w)
	}
	return out
}

// shift is the start of the k-th shift.
func (r *rotation) shift(k int, loc *time.Location) time.Time {
	if r.calendar {
		return r.start.addDays(k * r.n).instant(loc)
	}
	return r.from.Add(time.Duration(k) * time.Duration(r.n) * time.Hour)
}

// index is the number of the shift that holds t, which is not before the start.
func (r *rotation) index(t time.Time, loc *time.Location) int {
	if !r.calendar {
		return int(t.Sub(r.from) / (time.Duration(r.n) * time.Hour))
	}
	k := int(time.Time(wallOf(t, loc)).Sub(time.Time(r.start)) / (24 * time.Hour) / time.Duration(r.n))
	k = max(k, 0)
	for k > 0 && r.shift(k, loc).After(t) {
		k--
	}
	for !r.shift(k+1, loc).After(t) {
		k++
	}
	return k
}

func (r *rotation) why(k int) (string, Why) {
	p := k % len(r.people)
	return r.people[p], Why{Kind: "rotation", Layer: r.layer, Position: p + 1, Of: len(r.people)}
}

func (r *rotation) at(t time.Time, loc *time.Location) (string, Why, bool) {
	if t.Before(r.from) || !r.until.IsZero() && !t.Before(r.until) || !r.limit.covers(loc, t) {
		return "", Why{}, false
	}
	p, w := r.why(r.index(t, loc))
	return p, w, true
}

// At gives who is on duty at an instant, and by what; the person is empty when
// nobody is.
func (c *Calculator) At(t time.Time) (person string, why Why) {
	for _, o := range slices.Backward(c.overrides) {
		if !t.Before(o.From) && t.Before(o.To) {
			return o.Person, Why{Kind: "override", Override: o.ID}
		}
	}
	for i := range slices.Backward(c.rotations) {
		if p, w, ok := c.rotations[i].at(t, c.loc); ok {
			return p, w
		}
	}
	return "", Why{}
}

// After gives the next person in the rotation that Why names, who is not not.
func (c *Calculator) After(w Why, not string) string {
	for _, r := range c.rotations {
		if w.Kind != "rotation" || r.layer != w.Layer || len(r.people) != w.Of {
			continue
		}
		for i := range r.people {
			if p := r.people[(w.Position+i)%len(r.people)]; p != not {
				return p
			}
		}
	}
	return ""
}

func (r *rotation) intervals(loc *time.Location, from, to time.Time) []Interval {
	if from.Before(r.from) {
		from = r.from
	}
	if !r.until.IsZero() && r.until.Before(to) {
		to = r.until
	}
	if !from.Before(to) {
		return nil
	}
	var shifts []Interval
	k := r.index(from, loc)
	for at := from; at.Before(to); k++ {
		end := r.shift(k+1, loc)
		if end.After(to) {
			end = to
		}
		if at.Before(end) {
			p, w := r.why(k)
			shifts = append(shifts, Interval{at, end, p, w})
			at = end
		}
	}
	if r.limit.none() {
		return shifts
	}
	spans := r.limit.spans(loc, from, to)
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var out []Interval
	i := 0
	var done time.Time
	for _, s := range spans {
		if s.from.Before(done) {
			s.from = done
		}
		if !s.from.Before(s.to) {
			continue
		}
		done = s.to
		for i < len(shifts) && !shifts[i].To.After(s.from) {
			i++
		}
		for j := i; j < len(shifts) && shifts[j].From.Before(s.to); j++ {
			iv := shifts[j]
			iv.From = later(iv.From, s.from)
			iv.To = earlier(iv.To, s.to)
			out = append(out, iv)
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Intervals covers [from, to) exactly, in order, with a stretch without a person
// where nobody is on duty. Neighbours with the same person and reason are one.
func (c *Calculator) Intervals(from, to time.Time) []Interval {
	from, to = from.UTC(), to.UTC()
	if !from.Before(to) {
		return nil
	}
	out := []Interval{{From: from, To: to}}
	for i := range c.rotations {
		out = overlay(out, c.rotations[i].intervals(c.loc, from, to))
	}
	for _, o := range c.overrides {
		if o.From.Before(to) && from.Before(o.To) {
			out = overlay(out, []Interval{{later(o.From, from), earlier(o.To, to), o.Person, Why{Kind: "override", Override: o.ID}}})
		}
	}
	return merge(out)
}

// overlay puts the ordered top over base, which covers more than it.
func overlay(base, top []Interval) []Interval {
	if len(top) == 0 {
		return base
	}
	out := make([]Interval, 0, len(base)+2*len(top))
	j := 0
	for _, b := range base {
		at := b.From
		for at.Before(b.To) {
			for j < len(top) && !top[j].To.After(at) {
				j++
			}
			if j == len(top) || !top[j].From.Before(b.To) {
				out = append(out, Interval{at, b.To, b.Person, b.Why})
				break
			}
			t := top[j]
			if at.Before(t.From) {
				out = append(out, Interval{at, t.From, b.Person, b.Why})
				at = t.From
			}
			end := earlier(t.To, b.To)
			out = append(out, Interval{at, end, t.Person, t.Why})
			at = end
		}
	}
	return out
}

func merge(in []Interval) []Interval {
	out := in[:0]
	for _, iv := range in {
		if n := len(out); n > 0 && out[n-1].Person == iv.Person && out[n-1].Why == iv.Why {
			out[n-1].To = iv.To
			continue
		}
		out = append(out, iv)
	}
	return out
}

// At gives who is on duty by a definition at an instant, and by what.
func At(def Definition, t time.Time) (person string, why Why, err error) {
	c, err := Compile(def)
	if err != nil {
		return "", Why{}, err
	}
	person, why = c.At(t)
	return person, why, nil
}

// Intervals is Calculator.Intervals of a definition.
func Intervals(def Definition, from, to time.Time) ([]Interval, error) {
	c, err := Compile(def)
	if err != nil {
		return nil, err
	}
	return c.Intervals(from, to), nil
}
