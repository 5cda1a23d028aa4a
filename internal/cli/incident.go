package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"tocsin/internal/cli/client"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

type declareCmd struct {
	Title        string   `arg:"" optional:"" help:"One line: what is wrong."`
	Impact       string   `help:"unknown, outage, degraded or none." placeholder:"WORD"`
	Severity     string   `help:"sev1, sev2, sev3 or sev4." placeholder:"LEVEL"`
	Data         bool     `help:"Data or security may be concerned."`
	Service      []string `help:"Ids of the services concerned." placeholder:"ID,…"`
	Kind         string   `help:"availability, security, data or vendor." placeholder:"WORD"`
	Exercise     bool     `help:"Practice: nobody outside is told."`
	Confidential bool     `help:"Only those who need to know see it."`
	At           string   `help:"When it began." placeholder:"TIME"`
}

type ackCmd struct {
	Incident string `arg:"" optional:"" help:"Reference, as INC-42; the open page when not given."`
}

type noteCmd struct {
	Incident string   `arg:"" help:"Reference, as INC-42."`
	Text     []string `arg:"" optional:"" help:"The line; - or nothing for standard input."`
	At       string   `help:"When it happened." placeholder:"TIME"`
}

func esc(s string) string { return url.PathEscape(s) }

// timed is the time of a flag; zero when it was not given.
func timed(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return parseTime(flag, s)
}

func (r *run) declare(ctx context.Context) error {
	d := r.g.Declare
	if d.Title == "" && r.ask {
		var err error
		if d.Title, err = r.input(r.t("cli.declare.title")); err != nil {
			return err
		}
	}
	began, err := timed("at", d.At)
	if err != nil {
		return err
	}
	body := map[string]any{"title": d.Title}
	put := func(k string, v string) {
		if v != "" {
			body[k] = strings.ToLower(v)
		}
	}
	put("impact", d.Impact)
	put("severity", d.Severity)
	put("kind", d.Kind)
	if d.Data {
		body["data_or_security"] = true
	}
	if len(d.Service) > 0 {
		body["services"] = d.Service
	}
	if d.Exercise {
		body["exercise"] = true
	}
	if d.Confidential {
		body["confidential"] = true
	}
	if !began.IsZero() {
		body["occurred_at"] = began
	}
	if r.g.DryRun {
		return r.wouldPage(ctx, first(d.Service), d.Severity)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	key := kit.NewID()
	var i client.Incident
	answer, err := r.api.Post(ctx, "/incidents", json.RawMessage(raw), key, &i)
	if err != nil {
		if client.IsUnreachable(err) && began.IsZero() {
			// Sent later, it still says when it was seen. The body of a call that may
			// have arrived must stay what it was, as its key goes with it.
			if client.NeverSent(err) {
				body["occurred_at"] = time.Now().UTC()
				if raw, err2 := json.Marshal(body); err2 == nil {
					return r.keep(err, entry{Key: key, Verb: "declare", Body: raw, At: time.Now().UTC()})
				}
			}
		}
		return r.keep(err, entry{Key: key, Verb: "declare", Body: raw, At: time.Now().UTC()})
	}
	return r.answer(answer, []string{i.Ref, i.Status, i.Phase, deref(i.Severity), i.Title}, func() {
		if i.Severity == nil {
			r.tell("cli.declare.done_none", "ref", i.Ref)
		} else {
			r.tell("cli.declare.done", "ref", i.Ref, "severity", r.severity(i.Severity))
		}
		for _, p := range r.paged(ctx, "incident", i.Ref) {
			r.tell("cli.declare.paged", "name", p.Person.Name)
		}
		r.tell("cli.declare.next", "ref", i.Ref)
		if i.Links.Web != "" {
			r.tell("cli.open", "url", i.Links.Web)
		}
	})
}

func first(l []string) string {
	if len(l) > 0 {
		return l[0]
	}
	return ""
}

// paged waits for a moment for the first pages of an incident or a ladder, which
// open after what asks for them is saved.
func (r *run) paged(ctx context.Context, by, id string) []client.Page {
	for range 6 {
		var l client.Items[client.Page]
		if _, err := r.api.Get(ctx, "/pages?"+by+"="+url.QueryEscape(id), &l); err != nil || len(l.Items) > 0 {
			return l.Items
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(250 * time.Millisecond):
		}
	}
	return nil
}

// answered is what became of an answer to a page.
type answered struct {
	Ref    string
	At     *time.Time
	Next   string
	Raw    json.RawMessage
	Before bool
	// Incident tells that Ref is an incident, not the words of a page by hand.
	Incident bool
}

// answerPage takes or refuses the page that the caller has, for an incident or the
// only one. Without a page of their own, the caller takes the incident itself up.
func (r *run) answerPage(ctx context.Context, ref string, accept bool, key string) (a answered, err error) {
	var me client.Me
	if _, err := r.api.Get(ctx, "/me", &me); err != nil {
		return a, err
	}
	if me.Person() == "" {
		return a, kit.Errorf(kit.CodeForbidden, "cli.error.nobody")
	}
	q := url.Values{"state": {"open"}, "person": {me.Person()}}
	if ref != "" {
		q.Set("incident", ref)
	}
	var open client.Items[client.Page]
	if _, err := r.api.Get(ctx, "/pages?"+q.Encode(), &open); err != nil {
		return a, err
	}
	page, err := r.oneOf(open.Items)
	if err != nil {
		return a, err
	}
	if page == nil {
		if ref == "" && accept {
			ref, err = r.lastTaken(ctx, me.Person())
		}
		if err != nil {
			return a, err
		}
		if ref == "" {
			return a, kit.Errorf(kit.CodeNotFound, "cli.error.no_page")
		}
		return r.takeUp(ctx, ref, accept, key, me.Person())
	}
	a.Ref, a.Incident = deref(page.Incident), page.Incident != nil
	if !a.Incident {
		a.Ref = page.Title
	}
	if page.Next != nil {
		a.Next = page.Next.Person.Name
	}
	how := "refuse"
	if accept {
		how = "acknowledge"
	}
	var now client.Page
	a.Raw, err = r.api.Post(ctx, "/pages/"+esc(page.ID)+"/"+how, nil, key, &now)
	a.At = now.AnsweredAt
	return a, err
}

// lastTaken is the incident of the caller's latest page when it has been answered,
// by them or for them; empty otherwise.
func (r *run) lastTaken(ctx context.Context, me string) (string, error) {
	var l client.Items[client.Page]
	if _, err := r.api.Get(ctx, "/pages?limit=1&person="+url.QueryEscape(me), &l); err != nil || len(l.Items) == 0 {
		return "", err
	}
	var i client.Incident
	p := l.Items[0]
	if p.Incident == nil || p.State != "withdrawn" && p.State != "acknowledged" {
		return "", nil
	}
	if _, err := r.api.Get(ctx, "/incidents/"+esc(*p.Incident), &i); err != nil || i.AcknowledgedBy == nil {
		return "", err
	}
	return i.Ref, nil
}

// oneOf is the page that is answered: the only one, or of several the one that the
// person at the terminal chooses.
func (r *run) oneOf(l []client.Page) (*client.Page, error) {
	var refs, labels []string
	var of []*client.Page
	for n := range l {
		ref := deref(l[n].Incident)
		seen := false
		for _, x := range refs {
			seen = seen || x == ref
		}
		if !seen {
			refs, labels, of = append(refs, ref), append(labels, strings.TrimSpace(ref+"  "+l[n].Title)), append(of, &l[n])
		}
	}
	switch {
	case len(of) == 0:
		return nil, nil
	case len(of) == 1:
		return of[0], nil
	case !r.ask:
		return nil, kit.Invalid("cli.error.which", "refs", strings.Join(refs, ", "))
	}
	n, err := r.choose(r.t("cli.ack.which"), labels)
	if err != nil {
		return nil, err
	}
	return of[n], nil
}

// takeUp acknowledges an incident for which the caller has no open page.
func (r *run) takeUp(ctx context.Context, ref string, accept bool, key, me string) (a answered, err error) {
	var i client.Incident
	if a.Raw, err = r.api.Get(ctx, "/incidents/"+esc(ref), &i); err != nil {
		return a, err
	}
	a.Ref, a.Incident = i.Ref, true
	if !accept {
		return a, kit.Errorf(kit.CodeNotFound, "cli.error.no_page_for", "ref", i.Ref)
	}
	switch by := deref(i.AcknowledgedBy); {
	case by == me:
		a.At, a.Before = i.AcknowledgedAt, true
		return a, nil
	case by != "":
		return a, kit.Conflict("taken", "notify.error.taken", "name", r.name(ctx, by))
	}
	a.Raw, err = r.api.Post(ctx, "/incidents/"+esc(i.Ref)+"/acknowledge", nil, key, &i)
	a.At = i.AcknowledgedAt
	return a, err
}

func (r *run) ack(ctx context.Context) error {
	key := kit.NewID()
	a, err := r.answerPage(ctx, r.g.Ack.Incident, true, key)
	if err != nil {
		return r.keep(err, entry{Key: key, Verb: "ack", Ref: r.g.Ack.Incident, At: time.Now().UTC()})
	}
	return r.answer(a.Raw, []string{a.Ref, "acknowledged"}, func() {
		switch {
		case a.At == nil:
			r.tell("cli.ack.done", "ref", a.Ref)
		case a.Next == "":
			r.tell("cli.ack.since", "ref", a.Ref, "time", r.at(*a.At))
		default:
			r.tell("cli.ack.next", "ref", a.Ref, "time", r.at(*a.At), "name", a.Next)
		}
		if a.Incident {
			r.say("cli.ack.then", "ref", a.Ref)
		}
	})
}

func (r *run) pass(ctx context.Context) error {
	a, err := r.answerPage(ctx, r.g.Pass.Incident, false, kit.NewID())
	if err != nil {
		return err
	}
	return r.answer(a.Raw, []string{a.Ref, "refused"}, func() {
		if a.Next == "" {
			r.tell("cli.pass.done", "ref", a.Ref)
		} else {
			r.tell("cli.pass.next", "ref", a.Ref, "name", a.Next)
		}
	})
}

// maxNote is how much is read from standard input for a note, in bytes.
const maxNote = 64 << 10

func (r *run) note(ctx context.Context) error {
	n := r.g.Note
	text := strings.TrimSpace(strings.Join(n.Text, " "))
	if text == "-" || text == "" {
		if text == "" && r.ask {
			line, err := r.input(r.t("cli.note.ask"))
			if err != nil {
				return err
			}
			text = line
		} else {
			raw, err := io.ReadAll(io.LimitReader(r.s.In, maxNote))
			if err != nil {
				return err
			}
			text = strings.TrimSpace(string(raw))
		}
	}
	happened, err := timed("at", n.At)
	if err != nil {
		return err
	}
	if happened.IsZero() {
		happened = time.Now()
	}
	// The instant goes with the first try, so that a second one is the same call.
	body, err := json.Marshal(map[string]any{"text": text, "happened_at": happened.UTC().Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	if r.g.DryRun {
		return r.asJSON(json.RawMessage(body))
	}
	key := kit.NewID()
	var i client.Incident
	raw, err := r.api.Post(ctx, "/incidents/"+esc(n.Incident)+"/notes", json.RawMessage(body), key, &i)
	if err != nil {
		return r.keep(err, entry{Key: key, Verb: "note", Ref: n.Incident, Body: body, At: happened.UTC()})
	}
	return r.answer(raw, []string{i.Ref, text}, func() { r.tell("cli.note.done", "ref", i.Ref, "time", r.at(happened)) })
}

type handoverCmd struct {
	Incident string `arg:"" help:"Reference, as INC-42."`
	To       string `required:"" help:"Id or name of the person." placeholder:"PERSON"`
	Role     string `default:"commander" help:"commander, primary, secondary or communications." placeholder:"ROLE"`
	Briefing string `help:"What they must know." placeholder:"TEXT"`
}

func (r *run) handover(ctx context.Context) error {
	h := r.g.Handover
	to, err := r.person(ctx, h.To)
	if err != nil {
		return err
	}
	var out struct {
		Incident, Role, To, ID string
	}
	raw, err := r.api.Post(ctx, "/incidents/"+esc(h.Incident)+"/handover", map[string]any{"role": h.Role, "to": to, "briefing": h.Briefing}, "", &out)
	if err != nil {
		return err
	}
	return r.answer(raw, []string{out.Incident, out.Role, out.To, out.ID}, func() {
		r.tell("cli.handover.done", "name", r.name(ctx, out.To), "ref", out.Incident, "role", r.t("core.role."+out.Role))
	})
}

// person finds somebody by id, or by a name that only one has.
func (r *run) person(ctx context.Context, who string) (string, error) {
	who = strings.TrimPrefix(who, "@")
	r.name(ctx, "")
	if len(r.people) == 0 || r.people[who] != "" {
		return who, nil
	}
	found := ""
	for id, name := range r.people {
		if strings.EqualFold(id, who) || strings.Contains(strings.ToLower(name), strings.ToLower(who)) {
			if found != "" {
				return "", kit.Invalid("cli.error.several", "name", who)
			}
			found = id
		}
	}
	if found == "" {
		return "", kit.NotFound("person", who)
	}
	return found, nil
}

type statusCmd struct {
	Incident string `arg:"" optional:"" help:"Reference, as INC-42; all open ones when not given."`
}

func (r *run) status(ctx context.Context) error {
	if ref := r.g.Status.Incident; ref != "" {
		return r.brief(ctx, ref)
	}
	var l client.Items[client.Incident]
	raw, err := r.api.Get(ctx, "/incidents?status=open&exercises=true&limit=100", &l)
	if err != nil {
		return err
	}
	var duty client.Items[client.Duty]
	dutyRaw, err := r.api.Get(ctx, "/on-call/now", &duty)
	if err != nil {
		return err
	}
	if r.g.JSON {
		return r.asJSON(map[string]json.RawMessage{"incidents": raw, "on_call": dutyRaw})
	}
	if r.g.Plain {
		for _, i := range l.Items {
			r.row(i.Ref, deref(i.Severity), i.Phase, i.Title, deref(i.Roles.Commander), deref(i.AcknowledgedBy))
		}
		return nil
	}
	if len(l.Items) == 0 {
		r.tell("cli.status.none")
	}
	for _, i := range l.Items {
		who := r.t("cli.status.nobody")
		if by := deref(i.AcknowledgedBy); by != "" {
			who = r.name(ctx, by)
		}
		title := i.Title
		if i.Exercise {
			title = r.t("cli.status.exercise", "title", title)
		}
		_, _ = fmt.Fprintf(r.out, "%-8s %-13s %-20s %s\n         %s\n", i.Ref, r.severity(i.Severity), r.t("core.phase."+i.Phase), title, who)
	}
	_, _ = fmt.Fprintln(r.out)
	r.duties(duty.Items)
	return nil
}

// brief is an incident in five lines.
func (r *run) brief(ctx context.Context, ref string) error {
	var i client.Incident
	raw, err := r.api.Get(ctx, "/incidents/"+esc(ref), &i)
	if err != nil {
		return err
	}
	return r.answer(raw, []string{i.Ref, i.Status, deref(i.Severity), i.Phase, i.Title, deref(i.Roles.Commander), deref(i.AcknowledgedBy)}, func() {
		_, _ = fmt.Fprintf(r.out, "%s  %s  %s  %s\n", i.Ref, r.severity(i.Severity), r.t("core.phase."+i.Phase), i.Title)
		services := strings.Join(i.Services, ", ")
		if services == "" {
			services = r.t("cli.unknown")
		}
		since := ""
		if i.DeclaredAt != nil {
			since = i18n.Duration(r.lang, time.Since(*i.DeclaredAt).Truncate(time.Second))
		}
		r.tell("cli.brief.what", "services", services, "since", since)
		who := r.t("cli.status.nobody")
		if by := deref(i.AcknowledgedBy); by != "" {
			who = r.name(ctx, by)
		}
		r.tell("cli.brief.who", "name", who)
		commander := r.t("cli.unknown")
		if c := deref(i.Roles.Commander); c != "" {
			commander = r.name(ctx, c)
		}
		r.tell("cli.brief.commander", "name", commander)
		if i.Links.Web != "" {
			r.tell("cli.open", "url", i.Links.Web)
		}
	})
}
