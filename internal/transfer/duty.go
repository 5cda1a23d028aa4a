package transfer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/oncall"
	"tocsin/internal/orgfile"
)

func durationOf(d time.Duration) oncall.Duration { return oncall.Duration(d.Truncate(time.Second)) }

// minutes is a delay as the products write it, within what a policy may hold.
func minutes(n int64) time.Duration {
	return time.Duration(min(max(n, 0), 365*dayMinutes)) * time.Minute
}

// at reads an instant; the zero time for one that is missing or out of reach.
func at(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil && readable(t) {
			return t
		}
	}
	return time.Time{}
}

// end reads when a layer ends.
func end(t *thing, s string) time.Time {
	v := at(s)
	if s != "" && v.IsZero() {
		t.differs("rotation.until", "value", clean(s))
	}
	return v
}

// group gives those of a list who came over, and how many did not.
func (b *builder) group(ids []string) (known []string, missing int) {
	for _, id := range ids {
		if p, ok := b.people[id]; !ok {
			missing++
		} else if !slices.Contains(known, p) {
			known = append(known, p)
		}
	}
	return known, missing
}

// fill gives a turn for which there is nobody to whoever has the one before, so that the
// others keep theirs. The groups are empty when nobody is left.
func fill(groups [][]string) (filled [][]string, turns int) {
	i := slices.IndexFunc(groups, func(g []string) bool { return len(g) > 0 })
	if i < 0 {
		return nil, len(groups)
	}
	filled = slices.Clone(groups)
	for n := range filled {
		k := (i + n) % len(filled)
		if len(filled[k]) == 0 {
			filled[k] = filled[mod(k-1, len(filled))]
			turns++
		}
	}
	return filled, turns
}

// override is somebody on duty instead of others, for a time.
type override struct {
	t *thing
	// person is the id here.
	person   string
	from, to time.Time
	// instead is whose duty is taken; empty for everybody's.
	instead string
	// besides tells that the others stay on duty too.
	besides bool
	// row is which of those on duty together is meant, where there are several; the first
	// one stands for everybody.
	row int
}

// duty is a schedule in the making.
type duty struct {
	id, name string
	loc      *time.Location
	layers   []*layer
	// concurrent tells that layers of one level are on duty together.
	concurrent bool
	overrides  []override
	// parts are the layers and overrides that came over, if the schedule does.
	parts []*thing
}

// settle ends the lines of the parts of a thing, which are lost when it is, or when it is
// written here already and says something else.
func settle(parts []*thing, to, why string, pairs ...any) {
	for _, t := range parts {
		if why != "" {
			t.lost(why, pairs...)
			continue
		}
		t.to = cmp.Or(t.to, to)
		t.done()
	}
}

// layer adds a layer when somebody is on duty by it from now on, and ends its lines.
func (b *builder) layer(d *duty, t *thing, l *layer) {
	var turns int
	empty := 0
	for i, g := range l.groups {
		if len(g) > maxLanes {
			t.differs("rotation.wide", "max", maxLanes)
			l.groups[i] = g[:maxLanes]
		}
		if len(g) == 0 {
			empty++
		}
	}
	l.groups, turns = fill(l.groups)
	switch {
	case len(l.groups) == 0:
		t.lost("rotation.nobody")
	case l.first.IsZero():
		t.lost("rotation.date")
	case !l.until.IsZero() && !l.until.After(b.now):
		t.lost("rotation.over")
	case l.week.minutes() == 0 || !l.until.IsZero() && !l.until.After(l.starts()):
		t.lost("rotation.never")
	case len(d.layers) >= maxLayers:
		t.lost("rotation.many", "max", maxLayers)
	default:
		if turns > 0 {
			t.differs("rotation.filled", "count", empty)
		}
		if len(l.groups) > maxPeople {
			t.differs("rotation.long", "max", maxPeople)
			l.groups = l.groups[:maxPeople]
		}
		d.layers = append(d.layers, l)
		d.parts = append(d.parts, t)
	}
}

// schedule makes the schedules that say a duty, and ends its lines.
func (b *builder) schedule(t *thing, d *duty) {
	if len(d.layers) == 0 {
		t.lost("schedule.empty")
		for _, o := range d.overrides {
			o.t.lost("of_lost", "name", t.from)
		}
		return
	}
	rows := [][]*layer{d.layers}
	if d.concurrent {
		rows = lanes(d.layers, b.now)
		if len(rows) > maxLanes {
			t.differs("schedule.wide", "max", maxLanes, "count", len(rows))
			rows = rows[:maxLanes]
		}
	}
	var out []oncall.Schedule
	for _, row := range rows {
		s := oncall.Schedule{Timezone: d.loc.String()}
		for _, l := range row {
			for _, r := range l.rotations(d.loc, b.now) {
				if len(s.Rotations) == maxRotations {
					t.differs("schedule.long", "max", maxRotations)
					break
				}
				s.Rotations = append(s.Rotations, r)
			}
		}
		out = append(out, s)
	}
	out = b.override(d, out)
	base := b.id("schedule", anyID, d.name, d.id)
	if !b.kept["schedule"][base] && !b.takes(len(b.file.Schedules)+len(out), size(&orgfile.File{Schedules: out})+len(out)*1200) {
		t.lost("full")
		settle(d.parts, "", "of_lost", "name", t.from)
		return
	}
	kept := false
	for i := range out {
		s := &out[i]
		s.ID, s.Name = base, kit.Both(cmp.Or(clean(d.name), base))
		if i > 0 {
			s.ID = b.id("schedule", anyID, fmt.Sprintf("%s %d", base, i+1))
			s.Name = kit.Both(clean(fmt.Sprintf("%.190s (%d)", cmp.Or(clean(d.name), base), i+1)))
		}
		b.schedules[d.id] = append(b.schedules[d.id], s.ID)
		for _, r := range s.Rotations {
			b.duties(r.People...)
		}
		for _, o := range s.Overrides {
			b.duties(o.Person)
		}
		kept = b.keepSchedule(t, *s) || kept
	}
	if len(out) > 1 {
		t.differs("schedule.several", "ids", strings.Join(b.schedules[d.id], ", "))
	}
	if kept {
		settle(d.parts, "", "kept_part", "id", base)
	} else {
		settle(d.parts, base, "")
	}
	t.to = base
	t.done()
}

// keepSchedule adds a schedule; true when the file has one of its id that says something
// else.
func (b *builder) keepSchedule(t *thing, s oncall.Schedule) bool {
	i := slices.IndexFunc(b.file.Schedules, func(o oncall.Schedule) bool { return o.ID == s.ID })
	if i < 0 {
		b.file.Schedules = append(b.file.Schedules, s)
		return false
	}
	have := b.file.Schedules[i]
	// Applied and exported again, a schedule has the duty that its id gives it.
	if s.Duty == "" && (have.Duty == "other" || have.Duty == s.ID) {
		s.Duty = have.Duty
	}
	if same(have, s) {
		return false
	}
	t.differs("kept", "id", s.ID)
	return true
}

func (b *builder) duties(ids ...string) {
	for _, id := range ids {
		b.onDuty[id] = true
	}
}

// override puts the overrides into the schedules of a duty, and gives them one more where
// somebody is on duty besides the others.
func (b *builder) override(d *duty, list []oncall.Schedule) []oncall.Schedule {
	width := len(list)
	for _, o := range d.overrides {
		switch {
		case o.from.IsZero() || o.to.IsZero() || wall(o.from, d.loc) >= wall(o.to, d.loc):
			o.t.lost("override.date")
			continue
		case !o.to.After(b.now):
			o.t.lost("override.over")
			continue
		case o.person == "":
			o.t.lost("override.person")
			continue
		}
		placed, full := 0, false
		put := func(i int, from, to time.Time) {
			s := &list[i]
			lo := oncall.LocalOverride{Person: o.person, From: wall(from, d.loc), To: wall(to, d.loc)}
			if len(s.Overrides) >= maxOverrides {
				full = true
			} else if lo.From < lo.To {
				s.Overrides = append(s.Overrides, lo)
				placed++
			}
		}
		switch {
		case o.besides || o.row > 0:
			i := o.row
			if o.besides {
				i = width
			}
			if i >= len(list) {
				more := list[0]
				more.Overrides = slices.Clone(more.Overrides)
				list = append(list, more)
			}
			put(min(i, len(list)-1), o.from, o.to)
		case o.instead != "":
			if o.to.Sub(o.from) > maxInstead {
				o.t.differs("override.long", "days", int(maxInstead.Hours()/24))
			}
			for i, s := range list {
				for _, iv := range b.dutyOf(d, s, o.instead, o.from, o.to) {
					put(i, iv.From, iv.To)
				}
			}
			if placed == 0 && !full {
				o.t.lost("override.idle", "name", b.names[o.instead])
				continue
			}
		default:
			for i := range list {
				put(i, o.from, o.to)
			}
		}
		if full || placed == 0 {
			o.t.lost("override.many", "max", maxOverrides)
			continue
		}
		o.t.to = o.person
		d.parts = append(d.parts, o.t)
	}
	return list
}

// maxInstead is how far an override of one person is followed: one of years is a rotation
// that should be changed.
const maxInstead = 92 * 24 * time.Hour

// dutyOf gives when somebody is on duty by the rotations of a schedule.
func (b *builder) dutyOf(d *duty, s oncall.Schedule, person string, from, to time.Time) []oncall.Interval {
	if to.Sub(from) > maxInstead {
		to = from.Add(maxInstead)
	}
	list, err := oncall.Intervals(oncall.Definition{Zone: d.loc.String(), Rotations: s.Rotations}, from, to)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(iv oncall.Interval) bool { return iv.Person != person })
}

// step is one step of a policy in the making.
type step struct {
	t          *thing
	after      time.Duration
	page       []string
	roundRobin bool
}

// target adds whom a step pages.
func (st *step) target(targets ...string) {
	for _, p := range targets {
		if len(st.page) >= maxTargets {
			st.t.differs("step.long", "max", maxTargets)
			return
		}
		if !slices.Contains(st.page, p) {
			st.page = append(st.page, p)
		}
	}
}

// ladder is a policy in the making.
type ladder struct {
	id, name string
	steps    []*step
	// rounds in all, and how long after the last step the next one begins.
	rounds int64
	gap    time.Duration
	hours  *oncall.ServiceHours
}

// reserved are the policies that exist without being written: what is imported must not
// replace them for everything that names no policy.
func reserved(id string) bool {
	return slices.ContainsFunc(oncall.BuiltIn(), func(p oncall.Policy) bool { return p.ID == id })
}

// policy makes a policy, and ends its lines and those of its steps.
func (b *builder) policy(t *thing, l ladder) {
	p := oncall.Policy{ServiceHours: l.hours}
	slices.SortStableFunc(l.steps, func(x, y *step) int { return cmp.Compare(x.after, y.after) })
	var good []*thing
	var pages []string
	for _, st := range l.steps {
		switch {
		case len(st.page) == 0 && len(st.t.lines) > 0:
			for i := range st.t.lines {
				st.t.lines[i].Verdict = None
			}
			st.t.done()
		case len(st.page) == 0:
			st.t.lost("step.nobody")
		case len(p.Steps) == maxSteps:
			st.t.lost("step.many", "max", maxSteps)
		default:
			p.Steps = append(p.Steps, oncall.Step{After: durationOf(st.after), Page: st.page, RoundRobin: st.roundRobin})
			good = append(good, st.t)
			pages = append(pages, st.page...)
		}
	}
	if len(p.Steps) == 0 {
		t.lost("policy.empty")
		return
	}
	p.Repeat = int(min(max(l.rounds, 1), maxRounds))
	if l.rounds > maxRounds {
		t.differs("policy.rounds", "max", maxRounds, "count", l.rounds)
	}
	if p.Repeat > 1 {
		gap := durationOf(max(l.gap, 0))
		p.RoundGap = &gap
	}
	name := l.name
	if reserved(slug(name)) {
		name = b.report.Product + " " + name
		t.differs("policy.reserved", "name", l.name)
	}
	p.ID = b.id("policy", func(id string) bool { return !reserved(id) }, name, l.id)
	if !b.kept["policy"][p.ID] && !b.takes(len(b.file.Policies), size(&orgfile.File{Policies: []oncall.Policy{p}})+200) {
		t.lost("full")
		settle(good, "", "of_lost", "name", t.from)
		return
	}
	put(b.policies, l.id, p.ID)
	t.to = p.ID
	for _, target := range pages {
		kind, id, _ := strings.Cut(target, ":")
		if kind == "person" {
			b.duties(id)
		}
		for _, team := range b.file.Teams {
			if kind == "team" && team.ID == id {
				b.duties(team.Members...)
			}
		}
	}
	i := slices.IndexFunc(b.file.Policies, func(o oncall.Policy) bool { return o.ID == p.ID })
	switch {
	case i < 0:
		b.file.Policies = append(b.file.Policies, p)
		settle(good, p.ID, "")
	case !same(b.file.Policies[i], p):
		t.differs("kept", "id", p.ID)
		settle(good, "", "kept_part", "id", p.ID)
	default:
		settle(good, p.ID, "")
	}
	t.done()
}

// scheduleTargets are the schedules here that say one there.
func (b *builder) scheduleTargets(id string) []string {
	var out []string
	if id == "" {
		return nil
	}
	for _, s := range b.schedules[id] {
		out = append(out, "schedule:"+s)
	}
	return out
}

// personTargets are those of a list who came over, as targets; the others are noted.
func (b *builder) personTargets(t *thing, ids ...string) []string {
	known, missing := b.group(ids)
	if missing > 0 {
		t.differs("people.missing", "count", missing)
	}
	var out []string
	for _, p := range known {
		out = append(out, "person:"+p)
	}
	return out
}
