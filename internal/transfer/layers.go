package transfer

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"tocsin/internal/oncall"
)

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
)

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// weekday is the number of a day of the week, Monday 0.
func weekday(t time.Time) int { return (int(t.Weekday()) + 6) % 7 }

// turn is how long one is on duty: so many hours, or so many days of the calendar.
type turn struct {
	n    int
	days bool
}

const maxTurn = 9999

// turnOf reads a length; exact is false when it had to be rounded to whole hours.
func turnOf(seconds int64) (t turn, exact bool) {
	switch {
	case seconds >= 86400 && seconds%86400 == 0 && seconds/86400 <= maxTurn:
		return turn{n: int(seconds / 86400), days: true}, true
	case seconds >= 3600 && seconds%3600 == 0 && seconds/3600 <= maxTurn:
		return turn{n: int(seconds / 3600)}, true
	}
	return turn{n: int(min(max((seconds+1800)/3600, 1), maxTurn))}, false
}

func (t turn) String() string {
	switch {
	case t.days && t.n%7 == 0:
		return strconv.Itoa(t.n/7) + "w"
	case t.days:
		return strconv.Itoa(t.n) + "d"
	}
	return strconv.Itoa(t.n) + "h"
}

// plus is the start of the k-th turn after one that starts at t.
func (t turn) plus(at time.Time, k int, loc *time.Location) time.Time {
	if t.days {
		return at.In(loc).AddDate(0, 0, k*t.n)
	}
	return at.Add(time.Duration(k*t.n) * time.Hour)
}

// number is that of the turn which holds at, where the 0th starts at first. It is
// negative before it.
func (t turn) number(first, at time.Time, loc *time.Location) int {
	size := time.Duration(t.n) * time.Hour
	if t.days {
		size *= 24
	}
	k := int(at.Sub(first) / size)
	for t.plus(first, k, loc).After(at) {
		k--
	}
	for !t.plus(first, k+1, loc).After(at) {
		k++
	}
	return k
}

// week says for each minute of a week from Monday on whether it is meant.
type week [(weekMinutes + 63) / 64]uint64

func (w *week) has(minute int) bool { return w[minute/64]&(1<<(minute%64)) != 0 }

func (w *week) minutes() int {
	n := 0
	for _, x := range w {
		n += bits.OnesCount64(x)
	}
	return n
}

func (w *week) meets(o *week) bool {
	for i := range w {
		if w[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// span is a part of every week, in minutes from Monday on.
type span struct{ from, length int }

// weekOf joins parts of the week, which may pass its end.
func weekOf(spans []span) *week {
	var steps [2*weekMinutes + 1]int
	for _, s := range spans {
		from := ((s.from % weekMinutes) + weekMinutes) % weekMinutes
		steps[from]++
		steps[from+min(max(s.length, 0), weekMinutes)]--
	}
	var w week
	n := 0
	for i := range 2 * weekMinutes {
		n += steps[i]
		if n > 0 {
			m := i % weekMinutes
			w[m/64] |= 1 << (m % 64)
		}
	}
	return &w
}

var wholeWeek = weekOf([]span{{0, weekMinutes}})

// limit is a restriction as a rotation has it.
type limit struct{ days, hours []string }

// limits says a week as restrictions: days with the same hours stand together. A week of
// which every minute is meant has one without days and hours.
func (w *week) limits() []limit {
	switch w.minutes() {
	case 0:
		return nil
	case weekMinutes:
		return []limit{{}}
	}
	var perDay [7][]string
	first := 0
	for w.has(first) {
		first++
	}
	for i := 0; i < weekMinutes; {
		n := 0
		for i+n < weekMinutes && w.has((first+i+n)%weekMinutes) {
			n++
		}
		if n > 0 {
			pieces(&perDay, (first+i)%weekMinutes, n)
		}
		i += n + 1
	}
	var out []limit
	for d, hours := range perDay {
		if len(hours) == 0 {
			continue
		}
		slices.Sort(hours)
		i := slices.IndexFunc(out, func(l limit) bool { return slices.Equal(l.hours, hours) })
		if i < 0 {
			i = len(out)
			out = append(out, limit{hours: hours})
		}
		out[i].days = append(out[i].days, weekdays[d])
	}
	for i := range out {
		if len(out[i].days) == 7 {
			out[i].days = nil
		}
		if slices.Equal(out[i].hours, []string{"00:00-24:00"}) {
			out[i].hours = nil
		}
	}
	return out
}

// pieces puts a stretch of the week into the hours of its days. One of less than a day may
// pass midnight: its hours belong to the day on which it begins.
func pieces(perDay *[7][]string, from, length int) {
	for length > 0 {
		day, minute := from/dayMinutes, from%dayMinutes
		n := length
		if n >= dayMinutes {
			n = dayMinutes - minute
		}
		end := minute + n
		if end > dayMinutes {
			end -= dayMinutes
		}
		perDay[day] = append(perDay[day], fmt.Sprintf("%02d:%02d-%02d:%02d", minute/60, minute%60, end/60, end%60))
		from, length = (from+n)%weekMinutes, length-n
	}
}

// layer is people who follow each other, as all products have it.
type layer struct {
	name string
	// groups are who is on duty together, turn by turn.
	groups [][]string
	// first is when a turn of the first group begins; begin is when the layer does, where
	// that is another time.
	first, begin time.Time
	until        time.Time
	turn         turn
	week         *week
	// level is above lower ones: it hides them.
	level int
}

func (l *layer) starts() time.Time {
	if l.begin.IsZero() {
		return l.first
	}
	return l.begin
}

// always tells whether the layer leaves no moment to others from now on.
func (l *layer) always(now time.Time) bool {
	return l.week.minutes() == weekMinutes && l.until.IsZero() && !l.starts().After(now)
}

func (l *layer) meets(o *layer) bool {
	apart := func(a, b *layer) bool { return !a.until.IsZero() && !a.until.After(b.starts()) }
	return !apart(l, o) && !apart(o, l) && l.week.meets(o.week)
}

// single gives layers of one person at a time, which together say the same: where groups
// have several people, each such layer has one of them.
func (l *layer) single() []*layer {
	width := 0
	for _, g := range l.groups {
		width = max(width, len(g))
	}
	var out []*layer
	for i := range width {
		one := *l
		one.groups = make([][]string, len(l.groups))
		for j, g := range l.groups {
			one.groups[j] = []string{g[i%len(g)]}
		}
		out = append(out, &one)
	}
	return out
}

const (
	minYear = 1970
	maxYear = 2200
)

func readable(t time.Time) bool { return t.Year() >= minYear && t.Year() <= maxYear }

// wall writes what the clocks of the zone show.
func wall(t time.Time, loc *time.Location) string {
	t = t.In(loc)
	if t.Second() != 0 {
		return t.Format("2006-01-02T15:04:05")
	}
	return t.Format("2006-01-02T15:04")
}

// rotations says a layer of single people as rotations. The past is not kept: a layer that
// has begun starts with a turn that began before.
func (l *layer) rotations(loc *time.Location, now time.Time) []oncall.Rotation {
	var people []string
	for _, g := range l.groups {
		people = append(people, g[0])
	}
	base := oncall.Rotation{People: people, Start: wall(l.first, loc), Shift: l.turn.String()}
	if !l.until.IsZero() {
		base.Until = wall(l.until, loc)
	}
	var out []oncall.Rotation
	begin := l.starts()
	future := begin.After(now)
	if k := l.turn.number(l.first, begin, loc); k < 0 || future && k > 0 || future && l.turn.plus(l.first, k, loc).Before(begin) {
		at := l.turn.plus(l.first, k, loc)
		if future && at.Before(begin) {
			// The layer begins within a turn, which is one rotation of its own.
			part := base
			part.People, part.Start = []string{people[mod(k, len(people))]}, wall(begin, loc)
			k++
			at = l.turn.plus(l.first, k, loc)
			if l.until.IsZero() || at.Before(l.until) {
				part.Until = wall(at, loc)
			}
			out = append(out, part)
		}
		if !l.until.IsZero() && !at.Before(l.until) {
			return limitTo(out, l.week)
		}
		n := mod(k, len(people))
		base.People, base.Start = append(slices.Clone(people[n:]), people[:n]...), wall(at, loc)
	}
	return limitTo(append(out, base), l.week)
}

func limitTo(rotations []oncall.Rotation, w *week) []oncall.Rotation {
	var out []oncall.Rotation
	for _, r := range rotations {
		for _, lim := range w.limits() {
			r.Days, r.Hours = lim.days, lim.hours
			out = append(out, r)
		}
	}
	return out
}

func mod(k, n int) int { return ((k % n) + n) % n }

// lanes divides layers among schedules of which each has one person on duty at a time,
// lowest first, so that the people of all of them are those whom the layers put on duty at
// once. A lane in which the layer of its own has a pause shows another one of the level, so
// that a lower level stays hidden there; who is on duty twice is paged once.
func lanes(layers []*layer, now time.Time) [][]*layer {
	levels := map[int][][]*layer{}
	var order []int
	width := 0
	for _, l := range layers {
		if _, ok := levels[l.level]; !ok {
			order = append(order, l.level)
		}
		for _, one := range l.single() {
			packs := levels[l.level]
			i := slices.IndexFunc(packs, func(p []*layer) bool { return !slices.ContainsFunc(p, one.meets) })
			if i < 0 {
				i = len(packs)
				packs = append(packs, nil)
			}
			packs[i] = append(packs[i], one)
			levels[l.level] = packs
			width = max(width, len(packs))
		}
	}
	slices.Sort(order)
	out := make([][]*layer, width)
	for i := range out {
		for _, level := range order {
			packs := levels[level]
			own := packs[i%len(packs)]
			if !slices.ContainsFunc(own, func(l *layer) bool { return l.always(now) }) {
				for j, p := range packs {
					if j != i%len(packs) && len(out[i]) < maxRotations/2 {
						out[i] = append(out[i], p...)
					}
				}
			}
			out[i] = append(out[i], own...)
		}
	}
	return out
}
