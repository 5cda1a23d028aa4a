package web

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// maxRows is how many rows of a form are read.
const maxRows = 60

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func (s *server) editRoutes() {
	s.get("/on-call/schedule/new", editor("schedule.edit", s.newSchedule))
	s.get("/on-call/schedule/{id}/edit", editor("schedule.edit", s.editSchedule))
	s.post("/on-call/schedules", editor("schedule.edit", s.saveSchedule))
	s.post("/on-call/schedules/{id}", editor("schedule.edit", s.saveSchedule))
	s.get("/on-call/policies/new", editor("policy.edit", s.newPolicy))
	s.get("/on-call/policies/{id}/edit", editor("policy.edit", s.editPolicy))
	s.post("/on-call/policies", editor("policy.edit", s.savePolicy))
	s.post("/on-call/policies/{id}", editor("policy.edit", s.savePolicy))
	// Where a form was sent to leads back to it, as after signing in again.
	s.get("/on-call/schedules", func(q *req) error { return q.redirect("/on-call/schedule") })
	s.get("/on-call/schedules/{id}", func(q *req) error {
		return q.redirect("/on-call/schedule/" + url.PathEscape(q.r.PathValue("id")) + "/edit")
	})
	s.get("/on-call/policies/{id}", func(q *req) error {
		return q.redirect("/on-call/policies/" + url.PathEscape(q.r.PathValue("id")) + "/edit")
	})
}

// editor shows a form to those alone who may send it.
func editor(use kit.Use, h handler) handler {
	return func(q *req) error {
		if err := identity.Allow(q.actor, use); err != nil {
			return err
		}
		return h(q)
	}
}

// rotationRow is one rotation of the form, as it was typed.
type rotationRow struct {
	people, start, shift, unit, until, hours string
	days                                     []string
}

func (r rotationRow) empty() bool {
	return r.people+r.start+r.until+r.hours == "" && len(r.days) == 0
}

// scheduleForm is what the page that makes or changes a schedule shows.
type scheduleForm struct {
	// action is the address of what is changed; id is empty as long as it is new.
	id, action             string
	version                int64
	typed                  string
	fr, en, duty, timezone string
	rows                   []rotationRow
	overrides              int
	people                 []option
	orgZone                string
}

func rowName(list string, n int, name string) string {
	return list + "[" + strconv.Itoa(n) + "]." + name
}

func (s *server) scheduleForm(q *req) (v scheduleForm, names map[string]string, err error) {
	if names, err = s.Identity.Names(q.ctx); err != nil {
		return v, nil, err
	}
	v.people, v.action, v.orgZone = personOptions(names, ""), "/on-call/schedules", q.org.Timezone
	return v, names, nil
}

func (s *server) newSchedule(q *req) error {
	v, _, err := s.scheduleForm(q)
	if err != nil {
		return err
	}
	v.duty = "other"
	return q.show("oncall", q.t("web.schedule.new"), scheduleEdit(v))
}

func (s *server) editSchedule(q *req) error {
	x, err := s.Oncall.Schedule(q.ctx, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	v, names, err := s.scheduleForm(q)
	if err != nil {
		return err
	}
	v.of(x)
	v.fr, v.en, v.duty, v.timezone = x.Name.FR, x.Name.EN, x.Duty, x.Timezone
	for _, r := range inOrder(x.Rotations) {
		row := rotationRow{start: localInput(r.Start, false), until: localInput(r.Until, true), hours: strings.Join(r.Hours, ", "), days: r.Days}
		if n := len(r.Shift); n > 0 {
			row.shift, row.unit = r.Shift[:n-1], r.Shift[n-1:]
		}
		lines := make([]string, len(r.People))
		for i, id := range r.People {
			lines[i] = written(id, names)
		}
		row.people = strings.Join(lines, "\n")
		v.rows = append(v.rows, row)
	}
	return q.show("oncall", q.t("web.schedule.change"), scheduleEdit(v))
}

// of takes from a schedule what the form does not change.
func (v *scheduleForm) of(x oncall.Schedule) {
	v.id, v.action, v.version, v.overrides = x.ID, "/on-call/schedules/"+x.ID, x.Version, len(x.Overrides)
}

// inOrder gives rotations in the order of their layers, which the order of the rows
// stands for.
func inOrder(in []oncall.Rotation) []oncall.Rotation {
	out := slices.Clone(in)
	for i := range out {
		if out[i].Layer == 0 {
			out[i].Layer = i + 1
		}
	}
	slices.SortStableFunc(out, func(a, b oncall.Rotation) int { return a.Layer - b.Layer })
	return out
}

// saveSchedule makes or changes a schedule.
func (s *server) saveSchedule(q *req) error {
	v, names, err := s.scheduleForm(q)
	if err != nil {
		return err
	}
	title := q.t("web.schedule.new")
	x := oncall.Schedule{ID: q.form("id")}
	if id := q.r.PathValue("id"); id != "" {
		if x, err = s.Oncall.Schedule(q.ctx, id); err != nil {
			return err
		}
		title = q.t("web.schedule.change")
		v.of(x)
		x.Version = q.version()
	}
	v.typed = q.form("id")
	v.fr, v.en, v.duty, v.timezone = q.form("name.fr"), q.form("name.en"), q.form("duty"), q.form("timezone")
	v.rows = q.rotationRows()
	x.Name, x.Duty, x.Timezone = kit.Text{FR: v.fr, EN: v.en}, v.duty, v.timezone
	x.Rotations = nil
	for _, r := range v.rows {
		x.Rotations = append(x.Rotations, r.rotation(names))
	}
	if v.id == "" {
		err = s.scheduleIsNew(q, x.ID)
	}
	if err == nil {
		_, err = s.Oncall.SaveSchedule(q.ctx, x)
	}
	if err != nil {
		if kit.CodeOf(err) != kit.CodeStale {
			v.version = x.Version
		}
		return q.again(v.place(err), "oncall", title, scheduleEdit(v))
	}
	if q.form("do") == "add" {
		return q.done("/on-call/schedule/"+x.ID+"/edit#row-"+strconv.Itoa(len(v.rows)+1), q.t("web.schedule.saved"))
	}
	return q.done("/on-call/schedule?id="+x.ID, q.t("web.schedule.saved"))
}

// version is the version that a form was filled in from; without one it is none that
// there could be.
func (q *req) version() int64 {
	n, err := strconv.ParseInt(q.form("version"), 10, 64)
	if err != nil || n <= 0 {
		return -1
	}
	return n
}

// scheduleIsNew keeps the form of a new schedule from replacing one that is there.
func (s *server) scheduleIsNew(q *req, id string) error {
	_, err := s.Oncall.Schedule(q.ctx, id)
	switch {
	case err == nil:
		return kit.InvalidField("id", "web.schedule.taken", "id", id)
	case kit.CodeOf(err) == kit.CodeNotFound:
		return nil
	}
	return err
}

// rotationRows reads the rows in the order of their places; empty and removed ones are
// left out.
func (q *req) rotationRows() []rotationRow {
	type placed struct {
		at  int
		row rotationRow
	}
	var all []placed
	n, _ := strconv.Atoi(q.form("rows"))
	for i := range min(max(n, 0), maxRows) {
		get := func(name string) string { return q.form(rowName("rotations", i, name)) }
		r := rotationRow{people: get("people"), start: get("start"), shift: get("shift"), unit: get("unit"), until: get("until"), hours: get("hours")}
		r.days = q.days(rowName("rotations", i, "days"))
		if r.empty() || get("remove") != "" {
			continue
		}
		at, err := strconv.Atoi(get("place"))
		if err != nil {
			at = i + 1
		}
		all = append(all, placed{at, r})
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.at - b.at })
	rows := make([]rotationRow, len(all))
	for i, p := range all {
		rows[i] = p.row
	}
	return rows
}

// days are the weekdays that are ticked.
func (q *req) days(name string) []string {
	var out []string
	for _, d := range weekdays {
		if q.checked(name + "." + d) {
			out = append(out, d)
		}
	}
	return out
}

func (r rotationRow) rotation(names map[string]string) oncall.Rotation {
	return oncall.Rotation{People: persons(r.people, names), Start: r.start, Shift: r.shift + r.unit, Until: r.until, Days: r.days, Hours: parts(r.hours)}
}

// parts are the entries of a field with one a line, or with commas.
func parts(text string) []string {
	var out []string
	for _, x := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",;\r\n", r) }) {
		if x = strings.TrimSpace(x); x != "" {
			out = append(out, x)
		}
	}
	return out
}

// persons reads ids or full names, one a line or with commas; what is neither stays as
// it is, for the error about it.
func persons(text string, names map[string]string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if id, ok := personBy(line, names); ok {
			out = append(out, id)
			continue
		}
		for _, x := range parts(line) {
			id, _ := personBy(x, names)
			out = append(out, id)
		}
	}
	return out
}

func personBy(text string, names map[string]string) (string, bool) {
	if _, ok := names[text]; ok {
		return text, true
	}
	found := ""
	for id, name := range names {
		if strings.EqualFold(name, text) {
			if found != "" {
				return text, false
			}
			found = id
		}
	}
	return firstOf(found, text), found != ""
}

// written is how the form names a person: by the name where it is theirs alone.
func written(id string, names map[string]string) string {
	if got, ok := personBy(names[id], names); ok && got == id {
		return names[id]
	}
	return id
}

// localInput turns a local date and time of a definition into the value of a field; a
// date alone is the end of that day where it ends something.
func localInput(text string, end bool) string {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		at, err := time.Parse(layout, text)
		switch {
		case err != nil:
			continue
		case layout == time.DateOnly && end:
			at = at.AddDate(0, 0, 1)
		case at.Second() != 0:
			return text
		}
		return at.Format("2006-01-02T15:04")
	}
	return text
}

// localKind shows as text what a field for dates would not show.
func localKind(text string) string {
	if _, err := time.Parse("2006-01-02T15:04", text); text != "" && err != nil {
		return "text"
	}
	return "datetime-local"
}

// place puts each error of a schedule at its field of the form.
func (v scheduleForm) place(err error) error {
	e := kit.AsError(err)
	if e.Code != kit.CodeInvalid {
		return err
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		number, name, _ := strings.Cut(strings.TrimPrefix(f.Path, "rotations["), "].")
		n, bad := strconv.Atoi(number)
		switch {
		case f.Path == "name":
			f.Path = "name.fr"
		case f.Path == "rotations":
			f.Path = rowName("rotations", 0, "people")
		case strings.HasPrefix(f.Path, "overrides"):
			f.Path = "overrides"
		case bad != nil || n >= len(v.rows):
		case strings.HasPrefix(name, "people["):
			f.Path = rowName("rotations", n, "people")
		case name == "shift":
			f.Key, f.Args = "web.schedule.shift.bad", nil
		case name == "start" && v.rows[n].start == "":
			f.Key, f.Args = "error.required", nil
		}
	}
	return e
}

func dutyOptions(ctx context.Context) []option {
	return []option{{"primary", t(ctx, "web.role.primary")}, {"secondary", t(ctx, "web.role.secondary")}, {"other", t(ctx, "web.schedule.duty.other")}}
}

func shiftUnits(ctx context.Context) []option {
	return []option{{"w", t(ctx, "web.schedule.unit.w")}, {"d", t(ctx, "web.schedule.unit.d")}, {"h", t(ctx, "web.schedule.unit.h")}}
}

func isStale(ctx context.Context) bool { return kit.CodeOf(of(ctx).failed) == kit.CodeStale }
