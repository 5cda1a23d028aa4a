package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tocsin/internal/cli/client"
	"tocsin/internal/kit"
)

type oncallCmd struct {
	At string `help:"Another time." placeholder:"TIME"`
}

func (r *run) oncall(ctx context.Context) error {
	path := "/on-call/now"
	if r.g.Oncall.At != "" {
		at, err := parseTime("at", r.g.Oncall.At)
		if err != nil {
			return err
		}
		path += "?at=" + url.QueryEscape(at.UTC().Format(time.RFC3339))
	}
	var l client.Items[client.Duty]
	raw, err := r.api.Get(ctx, path, &l)
	switch {
	case err != nil:
		return err
	case r.g.JSON:
		return r.asJSON(raw)
	case r.g.Plain:
		for _, d := range l.Items {
			id, name, until := "", "", ""
			if d.Person != nil {
				id, name = d.Person.ID, d.Person.Name
			}
			if d.To != nil {
				until = d.To.UTC().Format(time.RFC3339)
			}
			r.row(d.Schedule, d.Role, id, name, until)
		}
		return nil
	}
	r.duties(l.Items)
	return nil
}

func (r *run) duties(l []client.Duty) {
	if len(l) == 0 {
		r.tell("cli.oncall.none")
	}
	for _, d := range l {
		what := d.Schedule
		if d.Role != "" {
			what = r.t("core.role." + d.Role)
		}
		switch {
		case d.Person == nil:
			r.tell("cli.oncall.nobody", "role", what)
			continue
		case d.To != nil:
			r.tell("cli.oncall.until", "role", what, "name", d.Person.Name, "time", r.at(*d.To))
		default:
			r.tell("cli.oncall.now", "role", what, "name", d.Person.Name)
		}
		if !d.Reachable {
			r.tell("cli.oncall.unreachable", "name", d.Person.Name)
		}
		if d.Next != nil && d.Next.From != nil {
			r.tell("cli.oncall.next", "name", d.Next.Person.Name, "time", r.at(*d.Next.From))
		}
	}
}

type pageCmd struct {
	Target string   `arg:"" help:"A service or a person, by id; or person:ana, schedule:primary, role:commander, team:ops."`
	Text   []string `arg:"" help:"What they are told."`
}

type service struct {
	ID     string `json:"id"`
	Policy string `json:"policy"`
}

func (r *run) page(ctx context.Context) error {
	p := r.g.Page
	body := map[string]any{"text": strings.Join(p.Text, " ")}
	target := p.Target
	if !strings.Contains(target, ":") {
		var l client.Items[service]
		if _, err := r.api.Get(ctx, "/services", &l); err != nil {
			return err
		}
		for _, s := range l.Items {
			if s.ID == target {
				body["service"] = target
			}
		}
	}
	if body["service"] == nil {
		if !strings.Contains(target, ":") {
			id, err := r.person(ctx, target)
			if err != nil {
				return err
			}
			target = id
		}
		body["to"] = []string{target}
	}
	if r.g.DryRun {
		s, _ := body["service"].(string)
		if s == "" {
			r.tell("cli.would_page", "name", r.name(ctx, strings.TrimPrefix(target, "person:")))
			return nil
		}
		return r.wouldPage(ctx, s, "")
	}
	var ladder struct{ ID string }
	raw, err := r.api.Post(ctx, "/pages", body, "", &ladder)
	if err != nil {
		return err
	}
	var names []string
	for _, x := range r.paged(ctx, "ladder", ladder.ID) {
		names = append(names, x.Person.Name)
	}
	if len(names) == 0 {
		// Somebody is waited for: that nobody was called must not look like success.
		return kit.Errorf(kit.CodeInternal, "cli.error.nobody_paged", "name", p.Target)
	}
	return r.answer(raw, []string{ladder.ID, strings.Join(names, ",")}, func() { r.tell("cli.page.done", "name", strings.Join(names, ", ")) })
}

// wouldPage tells who would be woken first for a service; nothing is sent.
func (r *run) wouldPage(ctx context.Context, id, severity string) error {
	policy := "default"
	if id != "" {
		var s service
		if _, err := r.api.Get(ctx, "/services/"+esc(id), &s); err != nil {
			return err
		}
		if s.Policy != "" {
			policy = s.Policy
		}
	}
	q := url.Values{}
	if id != "" {
		q.Set("service", id)
	}
	if severity != "" {
		q.Set("severity", strings.ToLower(severity))
	}
	var sim struct {
		Steps []struct {
			At     time.Time
			People []client.Person
		}
	}
	raw, err := r.api.Get(ctx, "/policies/"+esc(policy)+"/simulate?"+q.Encode(), &sim)
	if err != nil {
		return err
	}
	if r.g.JSON {
		return r.asJSON(raw)
	}
	for _, st := range sim.Steps {
		for _, p := range st.People {
			if r.g.Plain {
				r.row(st.At.UTC().Format(time.RFC3339), p.ID, p.Name)
				continue
			}
			r.tell("cli.would_page_at", "time", r.at(st.At), "name", p.Name)
		}
	}
	r.say("cli.nothing_done")
	return nil
}

func (r *run) whoami(ctx context.Context) error {
	var me client.Me
	raw, err := r.api.Get(ctx, "/me", &me)
	if err != nil {
		return err
	}
	return r.answer(raw, []string{r.api.Base, me.Kind, me.ID, me.Name, me.Access, me.Person()}, func() {
		r.tell("cli.whoami.is", "name", me.Name, "access", r.t("core.access."+me.Access), "server", r.api.Base)
		if len(me.Scopes) > 0 {
			r.tell("cli.whoami.scopes", "scopes", strings.Join(me.Scopes, ", "))
		}
		if p := me.Person(); p != "" {
			r.tell("cli.whoami.person", "name", r.name(ctx, p))
		} else {
			r.tell("cli.login.nobody")
		}
	})
}

// doctor lists what the server found, then what this machine has to say.
func (r *run) doctor(ctx context.Context) error {
	var l client.Items[client.Finding]
	if _, err := r.api.Get(ctx, "/doctor", &l); err != nil {
		return err
	}
	add := func(check, state, key string, args ...any) {
		f := client.Finding{Check: check, State: state, Text: map[string]string{}, Fix: map[string]string{}}
		for _, lang := range []string{"en", "fr"} {
			other := *r
			other.lang = lang
			f.Text[lang] = other.t(key, args...)
			if state != kit.FindingOK {
				f.Fix[lang] = other.t(key+".fix", args...)
			}
		}
		l.Items = append(l.Items, f)
	}
	queue, err := readQueue()
	switch {
	case err != nil:
		add("queue", kit.FindingFail, "cli.doctor.queue_broken", "path", queuePath())
	case len(queue) > 0:
		add("queue", kit.FindingWarn, "cli.doctor.queue", "n", len(queue))
	}
	bad := 0
	for _, f := range l.Items {
		if f.State == kit.FindingFail {
			bad++
		}
		if r.g.Plain {
			r.row(f.State, f.Check, f.Text[r.lang], f.Fix[r.lang])
		}
	}
	switch {
	case r.g.JSON:
		err = r.asJSON(map[string]any{"items": l.Items, "total": len(l.Items)})
	case !r.g.Plain:
		for _, f := range l.Items {
			_, _ = fmt.Fprintf(r.out, "%-8s %s\n", r.mark(f.State), strings.TrimSpace(f.Text[r.lang]+" "+f.Fix[r.lang]))
		}
	}
	if err == nil && bad > 0 {
		return errFailed
	}
	return err
}

func (r *run) mark(state string) string {
	word := r.t("cli.doctor." + state)
	if !r.color {
		return word
	}
	colour := map[string]string{kit.FindingOK: "32", kit.FindingWarn: "33", kit.FindingFail: "31"}[state]
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}
