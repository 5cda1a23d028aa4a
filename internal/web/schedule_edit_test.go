package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// fill sends a form and gives the page that must come with the status.
func (h *house) fill(path string, want int, pairs ...string) string {
	h.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	res, body := h.do("POST", path, form)
	if res.StatusCode != want {
		h.Fatalf("POST %s: %d, not %d: %s", path, res.StatusCode, want, problem(body))
	}
	return body
}

func (h *house) join(id, name string, access kit.Access) {
	h.Helper()
	h.ok(h.identity.AddPerson(h.ana(), identity.Person{ID: id, Name: name, Email: id + "@example.com", Access: access}))
	h.ok(h.identity.SetPassword(h.ana(), id, password))
}

// A manager makes a schedule, adds a row, moves and removes rows; who was on duty until
// then stays.
func TestScheduleByTheForm(t *testing.T) {
	h := open(t)
	h.join("mia", "Mia Manager", kit.AccessManager)
	h.join("paul", "Paul Durand", kit.AccessResponder)
	h.post("/login", "email", "mia@example.com", "password", password)
	contains(t, h.get("/on-call/schedule"), `href="/on-call/schedule/new"`)
	contains(t, h.get("/on-call/schedule/new"), `name="rotations[0].people"`, "Paul Durand", "<code>paul</code>", "stays in the record")

	to := h.post("/on-call/schedules", "rows", "1", "do", "add", "id", "primary", "name.fr", "Première ligne", "name.en", "First line", "duty", "primary",
		"rotations[0].people", "ana\r\nPaul Durand", "rotations[0].start", "2026-11-23T09:00", "rotations[0].shift", "1", "rotations[0].unit", "w")
	if to != "/on-call/schedule/primary/edit#row-2" {
		t.Errorf("after a row: %s", to)
	}
	x, err := h.oncall.Schedule(h.ana(), "primary")
	h.ok(err)
	if r := x.Rotations[0]; x.Name.FR != "Première ligne" || x.Duty != "primary" || !slices.Equal(r.People, []string{"ana", "paul"}) || r.Shift != "1w" {
		t.Fatalf("%+v", x)
	}
	body := h.get("/on-call/schedule/primary/edit")
	contains(t, body, "Change the schedule primary", "holds from now on", "Ana Lopez\nPaul Durand</textarea>", `value="2026-11-23T09:00"`, `name="version" value="1"`, `name="rotations[1].people"`, `name="rotations[0].remove"`)
	contains(t, h.get("/on-call/schedule"), `href="/on-call/schedule/primary/edit"`, ">Change<", "New schedule")

	h.clock.Advance(time.Hour)
	h.post("/on-call/schedules/primary", "rows", "3", "version", "1", "duty", "primary",
		"rotations[0].people", "paul", "rotations[0].start", "2026-11-23T09:00", "rotations[0].shift", "12", "rotations[0].unit", "h", "rotations[0].place", "2",
		"rotations[0].days.mon", "1", "rotations[0].hours", "09:00-12:00, 14:00-18:00",
		"rotations[1].people", "ana", "rotations[1].start", "2026-11-23T09:00", "rotations[1].shift", "2", "rotations[1].unit", "d", "rotations[1].place", "1")
	x, err = h.oncall.Schedule(h.ana(), "primary")
	h.ok(err)
	if x.Version != 2 || len(x.Rotations) != 2 || x.Rotations[0].Shift != "2d" || x.Rotations[1].Shift != "12h" || len(x.Rotations[1].Hours) != 2 || !slices.Equal(x.Rotations[1].Days, []string{"mon"}) {
		t.Fatalf("%+v", x)
	}
	slots, err := h.oncall.Intervals(h.ana(), "primary", h.clock.Now().Add(-time.Hour), h.clock.Now().Add(time.Minute))
	h.ok(err)
	if len(slots) != 2 || slots[0].Person.ID != "ana" || slots[1].Person.ID != "paul" {
		t.Errorf("the past moved: %+v", slots)
	}
	h.post("/on-call/schedules/primary", "rows", "2", "version", "2", "duty", "primary",
		"rotations[0].people", "ana", "rotations[0].start", "2026-11-23T09:00", "rotations[0].shift", "2", "rotations[0].unit", "d",
		"rotations[1].people", "paul", "rotations[1].start", "2026-11-23T09:00", "rotations[1].shift", "12", "rotations[1].unit", "h", "rotations[1].remove", "1")
	if x, err = h.oncall.Schedule(h.ana(), "primary"); err != nil || len(x.Rotations) != 1 {
		t.Errorf("%+v, %v", x, err)
	}
}

// What is wrong stands at its field, in the reader's language, and what was typed is
// kept.
func TestScheduleWithWrongFields(t *testing.T) {
	h := open(t)
	h.signIn()
	h.lang = "fr"
	body := h.fill("/on-call/schedules", 422, "rows", "3", "id", "Nuit !", "duty", "other", "timezone", "Europe/Paris", "name.fr", "Nuit",
		"rotations[1].people", "ana\nnobody", "rotations[1].shift", "some", "rotations[1].unit", "w",
		"rotations[2].people", "ana", "rotations[2].start", "demain", "rotations[2].shift", "1", "rotations[2].unit", "d", "rotations[2].hours", "the morning")
	contains(t, body, `id="e-id"`, `id="e-rotations[0].people"`, "nobody n’est pas une personne active", `id="e-rotations[0].start"`, "Ce champ est nécessaire",
		`id="e-rotations[1].start"`, `value="demain"`, `value="Nuit"`, `href="#f-rotations[0].people"`)
	body = h.fill("/on-call/schedules", 422, "rows", "1", "id", "night", "timezone", "Europe/Paris",
		"rotations[0].people", "ana", "rotations[0].start", "2026-11-23T09:00", "rotations[0].shift", "some", "rotations[0].unit", "w", "rotations[0].hours", "the morning")
	contains(t, body, `id="e-rotations[0].shift"`, "nombre entier", `id="e-rotations[0].hours"`)
	contains(t, h.fill("/on-call/schedules", 422, "rows", "1", "id", "night", "timezone", "Mars/Base"), `id="e-timezone"`, `id="e-rotations[0].people"`)
}

// The second of two editors is told, and sends again knowingly; overrides of the file
// are kept, and a new schedule does not replace one that is there.
func TestSecondEditorOfASchedule(t *testing.T) {
	h := open(t)
	h.signIn()
	_, err := h.oncall.SaveSchedule(h.ana(), oncall.Schedule{
		ID: "primary", Rotations: []oncall.Rotation{{People: []string{"ana"}, Start: "2026-11-23", Shift: "1w", Until: "2027-01-31", Layer: 5}, {People: []string{"ana"}, Start: "2026-11-23 08:00", Shift: "1d", Layer: 3}},
		Overrides: []oncall.LocalOverride{{Person: "ana", From: "2026-12-24T09:00", To: "2026-12-25T09:00"}},
	})
	h.ok(err)
	body := h.get("/on-call/schedule/primary/edit")
	contains(t, body, "1 override of the organisation file is kept", `value="2027-02-01T00:00"`)
	if strings.Index(body, `value="2026-11-23T08:00"`) > strings.Index(body, `value="2026-11-23T00:00"`) {
		t.Error("the rows are not in the order of their layers")
	}
	form := func(version string) []string {
		return []string{
			"rows", "1", "version", version, "duty", "primary", "name.en", "From " + version,
			"rotations[0].people", "Ana Lopez", "rotations[0].start", "2026-11-23T09:00", "rotations[0].shift", "1", "rotations[0].unit", "w",
		}
	}
	h.post("/on-call/schedules/primary", form("1")...)
	body = h.fill("/on-call/schedules/primary", http.StatusPreconditionFailed, append(form("1"), "name.fr", "La mienne")...)
	contains(t, body, "Somebody changed this meanwhile", `value="La mienne"`, `name="version" value="2"`, `href="/on-call/schedule/primary/edit"`)
	h.fill("/on-call/schedules/primary", http.StatusPreconditionFailed, form("")...)
	h.post("/on-call/schedules/primary", form("2")...)
	x, err := h.oncall.Schedule(h.ana(), "primary")
	h.ok(err)
	if x.Version != 3 || x.Name.EN != "From 2" || len(x.Overrides) != 1 {
		t.Errorf("%+v", x)
	}
	contains(t, h.fill("/on-call/schedules", 422, append(form(""), "id", "primary")...), "There is already a schedule primary", `id="e-id"`)
}

// A policy is made and changed by the form; one that is built in may be replaced.
func TestPolicyByTheForm(t *testing.T) {
	h := open(t)
	h.signIn()
	contains(t, h.get("/on-call/policies"), `href="/on-call/policies/default/edit"`, `href="/on-call/policies/new"`)
	contains(t, h.get("/on-call/policies/default/edit"), "This policy is built in", `value="schedule:primary" selected`, `value="10m"`)
	contains(t, h.get("/on-call/policies/new"), `name="steps[0].page[3]"`, `value="person:ana"`, `value="role:owner"`)
	to := h.post("/on-call/policies", "rows", "3", "id", "night", "repeat", "3", "round_gap", "10m",
		"steps[0].after", "15m", "steps[0].page[1]", "role:commander",
		"steps[1].after", "0s", "steps[1].page[0]", "person:ana", "steps[1].page[2]", "role:owner", "steps[1].when", `incident.severity == "sev1"`, "steps[1].round_robin", "1",
		"service_hours.days.mon", "1", "service_hours.hours", "09:00-18:00")
	if to != "/on-call/policies" {
		t.Errorf("after it: %s", to)
	}
	p, err := h.oncall.Policy(h.ana(), "night")
	h.ok(err)
	if len(p.Steps) != 2 || p.Repeat != 3 || p.Gap() != 10*time.Minute || !slices.Equal(p.Steps[0].Page, []string{"person:ana", "role:owner"}) || !p.Steps[0].RoundRobin || p.Steps[1].After.String() != "15m" || p.ServiceHours == nil {
		t.Fatalf("%+v", p)
	}
	contains(t, h.get("/on-call/policies/night/edit"), `value="role:owner" selected`, `value="15m"`, `name="version" value="1"`, `id="f-service_hours.days.mon" name="service_hours.days.mon" value="1" checked`, "incident.severity ==")
	form := []string{"rows", "1", "version", "1", "steps[0].after", "0", "steps[0].page[0]", "person:ana"}
	h.post("/on-call/policies/night", append(form, "do", "add")...)
	if p, err = h.oncall.Policy(h.ana(), "night"); err != nil || p.Version != 2 || len(p.Steps) != 1 || p.ServiceHours != nil || p.RoundGap != nil {
		t.Errorf("%+v, %v", p, err)
	}
	contains(t, h.fill("/on-call/policies/night", http.StatusPreconditionFailed, form...), "Somebody changed this meanwhile", `name="version" value="2"`)
	contains(t, h.fill("/on-call/policies", 422, append(form, "id", "night")...), "There is already a policy night")
	body := h.fill("/on-call/policies", 422, "rows", "3", "id", "bad", "repeat", "20", "round_gap", "soon",
		"steps[0].after", "later", "steps[0].page[0]", "person:ana", "steps[1].page[0]", "person:ana")
	contains(t, body, `id="e-repeat"`, `id="e-round_gap"`, `id="e-steps[0].after"`, `id="e-steps[1].after"`, `value="later"`)
	body = h.fill("/on-call/policies", 422, "rows", "2", "id", "bad", "steps[0].after", "0s", "steps[0].page[0]", "person:ana", "steps[0].page[1]", "person:gone", "steps[0].when", "not (",
		"steps[1].after", "5m", "service_hours.timezone", "Mars/Base", "service_hours.hours", "morning")
	contains(t, body, `id="e-steps[0].page[1]"`, `id="e-steps[0].when"`, `id="e-steps[1].page[0]"`, `id="e-service_hours.timezone"`)

	// default is built in until somebody replaces it: the second to do so is told.
	form[3] = "0"
	h.post("/on-call/policies/default", form...)
	if p, err = h.oncall.Policy(h.ana(), "default"); err != nil || p.BuiltIn || p.Version != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	h.fill("/on-call/policies/default", http.StatusPreconditionFailed, form...)
}

// A responder sees schedules and policies, but neither the buttons nor the forms.
func TestWhoMayNotEditDuty(t *testing.T) {
	h := open(t)
	_, err := h.oncall.SaveSchedule(h.ana(), oncall.Schedule{ID: "primary", Rotations: []oncall.Rotation{{People: []string{"ana"}, Start: "2026-11-23T09:00", Shift: "1w"}}})
	h.ok(err)
	h.join("paul", "Paul Durand", kit.AccessResponder)
	h.post("/login", "email", "paul@example.com", "password", password)
	for _, path := range []string{"/on-call/schedule", "/on-call/policies"} {
		if body := h.get(path); strings.Contains(body, "/edit") || strings.Contains(body, path+"/new") {
			t.Errorf("%s offers to change", path)
		}
	}
	for _, path := range []string{"/on-call/schedule/new", "/on-call/schedule/primary/edit", "/on-call/policies/new", "/on-call/policies/default/edit"} {
		if res, _ := h.do("GET", path, nil); res.StatusCode != http.StatusForbidden {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
	for _, path := range []string{"/on-call/schedules", "/on-call/schedules/primary", "/on-call/policies", "/on-call/policies/default"} {
		h.fill(path, http.StatusForbidden, "rows", "1", "version", "1")
	}
}
