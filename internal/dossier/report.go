package dossier

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tocsin/internal/doc"
	"tocsin/internal/i18n"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/timeline"
)

// writer puts a dossier into the blocks of a report.
type writer struct {
	d    *Dossier
	lang string
	out  []doc.Block
}

func (w *writer) t(key string, args ...any) string {
	m := map[string]any{}
	for i := 0; i+1 < len(args); i += 2 {
		m[fmt.Sprint(args[i])] = args[i+1]
	}
	return i18n.T(w.lang, "dossier."+key, m)
}

// word gives a value in words, or as it is where there are none.
func (w *writer) word(prefix, v string) string {
	if key := prefix + v; v != "" && i18n.Has(key) {
		return i18n.T(w.lang, key, nil)
	}
	return v
}

func (w *writer) person(id string) string {
	if id == "" {
		return ""
	}
	if n := w.d.name("person", id); n != "" {
		return n
	}
	return id
}

func (w *writer) at(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return i18n.DateTime(w.lang, t, time.UTC)
}

func (w *writer) yes(b bool) string {
	if b {
		return w.t("yes")
	}
	return w.t("no")
}

func (w *writer) severity(s incident.Severity) string {
	if s == incident.Unassessed {
		return i18n.T(w.lang, "core.severity.none", nil)
	}
	return strings.ToUpper(string(s)) + " " + i18n.T(w.lang, "core.severity."+string(s), nil)
}

func (w *writer) services(ids []string) string {
	out := make([]string, len(ids))
	for n, id := range ids {
		if out[n] = w.d.name("service", id); out[n] == "" {
			out[n] = id
		}
	}
	return strings.Join(out, ", ")
}

func (w *writer) add(b ...doc.Block) { w.out = append(w.out, b...) }

func (w *writer) heading(level int, key string) {
	w.add(doc.Heading{Level: level, Text: w.t(key)})
}

func (w *writer) outside() bool { return w.d.Level != Internal }

func (w *writer) report() *doc.Report {
	d, i := w.d, w.d.incident
	r := &doc.Report{
		Language: w.lang, Title: w.t("title", "ref", d.Ref, "title", i.Title), Subtitle: w.t("subtitle." + string(d.Level)), At: d.At,
		Footer: w.t("footer", "at", w.at(d.At)+" UTC", "size", d.Size), Meta: w.meta(),
	}
	if i.Exercise {
		r.Subtitle += "\n" + w.t("practice")
	}
	if d.Level != Customer && i.Summary != "" {
		w.heading(1, "summary")
		w.people(i.Summary)
	}
	if d.review != nil && d.Level == Customer && !d.review.PublicSummary.IsZero() {
		w.heading(1, "summary")
		w.people(d.scrub(d.review.PublicSummary.In(w.lang)))
	}
	w.times()
	if d.Level != Customer {
		w.assessment()
	}
	w.impact()
	if d.Level != Customer {
		w.review()
		w.actions()
	}
	w.tasks()
	w.timeline()
	r.Blocks = w.out
	return r
}

func (w *writer) people(s string) {
	if s != "" {
		w.add(doc.Markdown{Source: s})
	}
}

func (w *writer) meta() []doc.Pair {
	i := w.d.incident
	rows := []doc.Pair{
		{Label: w.t("status"), Value: w.word("core.status.", string(i.Status))},
		{Label: w.t("phase"), Value: w.word("core.phase.", string(i.Phase))},
		{Label: w.t("severity"), Value: w.severity(i.Severity)},
	}
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, doc.Pair{Label: w.t(key), Value: value})
		}
	}
	add("kind", w.word("core.kind.", string(i.Kind)))
	add("services", w.services(i.Services))
	if w.d.Level == Customer {
		return rows
	}
	add("severity_source", w.word("dossier.source.", string(i.SeveritySource)))
	add("personal_data", w.word("timeline.word.personal_data.", string(i.PersonalData)))
	if w.outside() {
		return rows
	}
	add("confidential", w.yes(i.Confidential))
	var roles []string
	for _, r := range []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications} {
		who := w.person(i.Roles[r])
		if who == "" {
			who = w.t("nobody")
		}
		roles = append(roles, i18n.T(w.lang, "web.role."+string(r), nil)+" – "+who)
	}
	add("roles", strings.Join(roles, "\n"))
	if i.Policy != "" {
		add("policy", w.d.name("policy", i.Policy))
	}
	return rows
}

// milestones are the instants of the incident, in the order of model.md 3.3.
func milestones(i *incident.Incident) []struct {
	Name string
	At   time.Time
} {
	return []struct {
		Name string
		At   time.Time
	}{
		{"occurred_at", i.OccurredAt},
		{"detected_at", i.DetectedAt},
		{"declared_at", i.DeclaredAt},
		{"acknowledged_at", i.AcknowledgedAt},
		{"assessed_at", i.AssessedAt},
		{"contained_at", i.ContainedAt},
		{"eradicated_at", i.EradicatedAt},
		{"restored_at", i.RestoredAt},
		{"recovered_at", i.RecoveredAt},
		{"reviewed_at", i.ReviewedAt},
		{"closed_at", i.ClosedAt},
	}
}

func (w *writer) times() {
	w.heading(1, "times")
	t := doc.Table{Columns: []string{w.t("milestone"), w.t("when"), w.t("after")}, Widths: []float64{3, 4, 3}}
	var start time.Time
	for _, m := range milestones(w.d.incident) {
		if m.At.IsZero() {
			continue
		}
		after := ""
		if start.IsZero() {
			start = m.At
		} else {
			after = i18n.Duration(w.lang, m.At.Sub(start))
		}
		t.Rows = append(t.Rows, []string{w.t("time." + m.Name), w.at(m.At), after})
	}
	w.add(t)
}

func (w *writer) assessment() {
	i := w.d.incident
	if i.Answers != nil {
		w.heading(1, "assessment")
		a := i.Answers
		var rows []doc.Pair
		for _, q := range []struct{ key, v string }{{"who", a.Who}, {"what", a.What}, {"data", a.Data}, {"trend", a.Trend}, {"change", a.Change}} {
			rows = append(rows, doc.Pair{Label: w.t("question." + q.key), Value: w.word("dossier.answer."+q.key+".", q.v)})
		}
		if len(a.DataKinds) > 0 {
			kinds := make([]string, len(a.DataKinds))
			for n, k := range a.DataKinds {
				kinds[n] = w.word("dossier.answer.data_kinds.", k)
			}
			rows = append(rows, doc.Pair{Label: w.t("question.data_kinds"), Value: strings.Join(kinds, ", ")})
		}
		if a.People > 0 {
			rows = append(rows, doc.Pair{Label: w.t("question.people"), Value: i18n.Number(w.lang, float64(a.People))})
		}
		w.add(doc.Pairs{Rows: rows})
	}
	if w.outside() {
		return
	}
	first := true
	for _, p := range incident.Phases {
		answers := i.Exits[p]
		if len(answers) == 0 {
			continue
		}
		if first {
			w.heading(1, "exits")
			first = false
		}
		w.add(doc.Heading{Level: 2, Text: i18n.T(w.lang, "core.phase."+string(p), nil)})
		keys := make([]string, 0, len(answers))
		for k := range answers {
			keys = append(keys, k)
		}
		order := incident.ExitKeys(p)
		sort.Slice(keys, func(a, b int) bool {
			x, y := slices.Index(order, keys[a]), slices.Index(order, keys[b])
			return x < y || x == y && keys[a] < keys[b]
		})
		var rows []doc.Pair
		for _, k := range keys {
			rows = append(rows, doc.Pair{Label: w.word("dossier.exit.", k), Value: w.answer(k, answers[k])})
		}
		w.add(doc.Pairs{Rows: rows})
	}
}

func (w *writer) answer(key string, v any) string {
	switch x := v.(type) {
	case nil:
		return "–"
	case bool:
		return w.yes(x)
	case float64:
		return i18n.Number(w.lang, x)
	case string:
		if key == "checked_by" || key == "holder" {
			return w.person(x)
		}
		if t, err := time.Parse(time.RFC3339Nano, x); err == nil {
			return w.at(t) + " UTC"
		}
		if x == "yes" || x == "no" {
			return w.yes(x == "yes")
		}
		return w.word("dossier.answer."+key+".", x)
	case []any:
		parts := make([]string, len(x))
		for n := range x {
			parts[n] = w.answer(key, x[n])
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

func (w *writer) impact() {
	m := w.d.impact
	if m == nil {
		return
	}
	var rows []doc.Pair
	add := func(key, v string) { rows = append(rows, doc.Pair{Label: w.t(key), Value: v}) }
	if len(m.Services) > 0 {
		add("services", w.services(m.Services))
	}
	if m.From != nil {
		add("impact_from", w.at(*m.From)+" UTC")
	}
	if m.To != nil {
		add("impact_to", w.at(*m.To)+" UTC")
	}
	for _, c := range []struct {
		key string
		n   *int64
	}{{"customers", m.Customers}, {"requests", m.Requests}, {"records", m.Records}} {
		if c.n != nil && (c.key != "customers" || w.d.Level != Customer) {
			add(c.key, i18n.Number(w.lang, float64(*c.n)))
		}
	}
	if m.DataLostS != nil {
		add("data_lost", i18n.Duration(w.lang, time.Duration(*m.DataLostS)*time.Second))
	}
	if m.Text != "" {
		add("note", m.Text)
	}
	if len(rows) > 0 {
		w.heading(1, "impact")
		w.add(doc.Pairs{Rows: rows})
	}
}

func (w *writer) review() {
	r := w.d.review
	if r == nil {
		return
	}
	w.heading(1, "review")
	rows := []doc.Pair{{Label: w.t("review_state"), Value: w.word("dossier.review_state.", r.State)}, {Label: w.t("version"), Value: fmt.Sprint(r.Version)}, {Label: w.t("due"), Value: i18n.Date(w.lang, r.Due, time.UTC)}}
	if !w.outside() {
		authors := make([]string, len(r.Authors))
		for n, a := range r.Authors {
			authors[n] = w.person(a)
		}
		if len(authors) > 0 {
			rows = append(rows, doc.Pair{Label: w.t("authors"), Value: strings.Join(authors, ", ")})
		}
		if r.Approver != "" {
			rows = append(rows, doc.Pair{Label: w.t("approver"), Value: w.person(r.Approver)})
		}
		if len(r.Exceptions) > 0 {
			rows = append(rows, doc.Pair{Label: w.t("exceptions"), Value: strings.Join(r.Exceptions, ", ")})
		}
	}
	if r.ApprovedAt != nil {
		rows = append(rows, doc.Pair{Label: w.t("approved_at"), Value: w.at(*r.ApprovedAt) + " UTC"})
	}
	w.add(doc.Pairs{Rows: rows})
	part := func(key, s string) {
		if s != "" {
			w.heading(2, key)
			w.people(w.d.scrub(s))
		}
	}
	part("summary", r.Summary.In(w.lang))
	part("impact", r.Impact)
	if len(r.Factors) > 0 {
		w.heading(2, "factors")
		t := doc.Table{Columns: []string{w.t("factor"), w.t("factor_kind"), w.t("category")}, Widths: []float64{6, 2, 2}}
		for _, f := range r.Factors {
			t.Rows = append(t.Rows, []string{w.d.scrub(f.Text), w.word("dossier.factor_kind.", f.Kind), w.word("dossier.category.", f.Category)})
		}
		w.add(t)
	}
	if w.outside() {
		return
	}
	part("went_well", r.WentWell)
	part("surprised", r.Surprised)
	part("no_action", r.NoActionReason)
	if len(r.Risks) > 0 {
		w.heading(2, "risks")
		t := doc.Table{Columns: []string{w.t("risk"), w.t("effect"), w.t("reason")}, Widths: []float64{2, 2, 6}}
		for _, k := range r.Risks {
			t.Rows = append(t.Rows, []string{k.Ref, k.Effect, k.Reason})
		}
		w.add(t)
	}
	part("public_summary", r.PublicSummary.In(w.lang))
}

func (w *writer) actions() {
	if len(w.d.actions) == 0 {
		return
	}
	w.heading(1, "actions")
	t := doc.Table{Columns: []string{w.t("ref"), w.t("action"), w.t("action_type"), w.t("due"), w.t("state")}, Widths: []float64{2, 6, 2.4, 2.2, 2.2}}
	if !w.outside() {
		t.Columns, t.Widths = append(t.Columns, w.t("owner")), append(t.Widths, 2.4)
	}
	for _, a := range w.d.actions {
		row := []string{a.Ref(), w.d.scrub(a.Text), w.word("dossier.action_type.", a.Type), a.Due, w.word("dossier.state.", a.State)}
		if !w.outside() {
			row = append(row, w.person(a.Owner))
		}
		t.Rows = append(t.Rows, row)
	}
	w.add(t)
}

func (w *writer) tasks() {
	if len(w.d.tasks) == 0 || w.outside() {
		return
	}
	w.heading(1, "tasks")
	t := doc.Table{Columns: []string{w.t("task"), w.t("owner"), w.t("due"), w.t("state")}, Widths: []float64{6, 2, 3, 2}}
	for _, k := range w.d.tasks {
		due := ""
		if !k.Due().IsZero() {
			due = w.at(k.Due())
		}
		t.Rows = append(t.Rows, []string{k.Text, w.person(k.Owner), due, w.word("dossier.state.", k.State)})
	}
	w.add(t)
}

func (w *writer) timeline() {
	w.heading(1, "timeline")
	if len(w.d.Lines) == 0 {
		w.add(doc.Paragraph{Text: w.t("no_lines")})
		return
	}
	t := doc.Table{Columns: []string{w.t("when"), w.t("who"), w.t("what")}, Widths: []float64{2.4, 2, 6}}
	for n := range w.d.Lines {
		l := &w.d.Lines[n]
		when := i18n.Date(w.lang, l.HappenedAt, time.UTC) + ", " + l.HappenedAt.UTC().Format("15:04:05")
		if l.Later() {
			when += "\n" + w.t("recorded", "at", w.at(l.RecordedAt))
		}
		what := l.Text.In(w.lang)
		if l.Starred {
			what = "★ " + what
		}
		if l.Corrected != "" {
			what += "\n" + w.t("corrected", "text", l.Corrected)
		}
		t.Rows = append(t.Rows, []string{when, timeline.ActorName(w.lang, l.Actor), what})
	}
	w.add(t)
}
