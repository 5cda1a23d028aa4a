package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/cli/client"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

type assessCmd struct {
	Incident  string   `arg:"" help:"Reference, as INC-42."`
	Who       string   `help:"nobody, some, most or unknown." placeholder:"WORD"`
	What      string   `help:"nothing, slower, workaround, main or unknown." placeholder:"WORD"`
	Data      string   `help:"no, possibly, yes or unknown." placeholder:"WORD"`
	Trend     string   `help:"controlled, stable, spreading or unknown." placeholder:"WORD"`
	Change    string   `help:"none, unknown or the reference of a change." placeholder:"WORD"`
	DataKinds []string `name:"data-kinds" help:"personal, content, credentials, internal." placeholder:"WORD,…"`
	People    int      `help:"About how many people."`
	Severity  string   `help:"Another level than the computed one; needs --reason." placeholder:"LEVEL"`
	Reason    string   `help:"Why another level." placeholder:"TEXT"`
}

// questions are the five, each with its answers; the last one is unknown.
var questions = []struct {
	key     string
	answers []string
}{
	{"who", []string{"nobody", "some", "most", "unknown"}},
	{"what", []string{"nothing", "slower", "workaround", "main", "unknown"}},
	{"data", []string{"no", "possibly", "yes", "unknown"}},
	{"trend", []string{"controlled", "stable", "spreading", "unknown"}},
	{"change", []string{"none", "unknown"}},
}

func (r *run) assess(ctx context.Context) error {
	a := r.g.Assess
	answers := map[string]any{}
	for k, v := range map[string]string{"who": a.Who, "what": a.What, "data": a.Data, "trend": a.Trend, "change": a.Change} {
		if v != "" {
			answers[k] = v
		}
	}
	if len(a.DataKinds) > 0 {
		answers["data_kinds"] = a.DataKinds
	}
	if a.People > 0 {
		answers["people"] = a.People
	}
	if len(answers) == 0 {
		if !r.ask {
			return kit.Invalid("cli.error.no_answers")
		}
		if err := r.askFive(answers); err != nil {
			return err
		}
	}
	body := map[string]any{"answers": answers}
	if a.Severity != "" {
		body["severity"] = strings.ToLower(a.Severity)
		body["reason"] = a.Reason
	}
	path := "/incidents/" + esc(a.Incident) + "/assess"
	if r.g.DryRun || r.ask && !r.g.Yes {
		var p client.Incident
		raw, err := r.api.Post(ctx, path+"?preview=true", body, "", &p)
		if err != nil {
			return err
		}
		if r.g.DryRun {
			return r.answer(raw, []string{p.Ref, deref(p.Preview.Severity)}, func() { r.preview(p) })
		}
		r.preview(p)
		if ok, err := r.confirm(r.t("cli.assess.confirm")); err != nil || !ok {
			r.say("cli.nothing_done")
			return err
		}
	}
	var i client.Incident
	raw, err := r.api.Post(ctx, path, body, "", &i)
	if err != nil {
		return err
	}
	return r.answer(raw, []string{i.Ref, deref(i.Severity), i.Phase}, func() {
		r.tell("cli.assess.done", "ref", i.Ref, "severity", r.severity(i.Severity))
	})
}

func (r *run) askFive(answers map[string]any) error {
	_, _ = fmt.Fprintln(r.s.Err, r.t("web.assess.lead"))
	for _, q := range questions {
		labels := make([]string, len(q.answers))
		for n, w := range q.answers {
			labels[n] = r.t("web.unknown")
			if w != "unknown" {
				labels[n] = r.t("web.assess." + q.key + "." + w)
			}
		}
		n, err := r.choose(r.t("web.assess."+q.key), labels)
		if err != nil {
			return err
		}
		answers[q.key] = q.answers[n]
		if q.key == "data" && (q.answers[n] == "possibly" || q.answers[n] == "yes") {
			if err := r.askData(answers); err != nil {
				return err
			}
		}
	}
	return nil
}

// askData asks what goes with data that was touched.
func (r *run) askData(answers map[string]any) error {
	kinds := []string{"personal", "content", "credentials", "internal"}
	labels := []string{}
	for _, k := range kinds {
		labels = append(labels, r.t("web.assess.kind."+k))
	}
	n, err := r.choose(r.t("web.assess.kinds"), append(labels, r.t("web.unknown")))
	if err != nil {
		return err
	}
	if n < len(kinds) {
		answers["data_kinds"] = []string{kinds[n]}
	}
	s, err := r.input(r.t("web.assess.people"))
	if err != nil {
		return err
	}
	if people, err := strconv.Atoi(s); err == nil && people > 0 {
		answers["people"] = people
	}
	return nil
}

// preview writes what an assessment would come to, on stderr: it is a question,
// not the answer.
func (r *run) preview(p client.Incident) {
	w := r.s.Err
	if r.g.DryRun {
		w = r.out
	}
	_, _ = fmt.Fprintln(w, r.t("cli.assess.would", "ref", p.Ref, "severity", r.severity(p.Preview.Severity)))
	if d := deref(p.Preview.DecidedBy); d != "" {
		_, _ = fmt.Fprintln(w, "  "+r.t("web.assess.because."+d))
	}
	list := func(title string, acts []client.Act) {
		if len(acts) == 0 {
			return
		}
		_, _ = fmt.Fprintln(w, r.t(title))
		for _, d := range acts {
			key := "web.duty." + d.Key + ":" + d.Act
			text := d.Key + ": " + d.Act
			if i18n.Has(key) {
				text = r.t(key)
			}
			if d.AfterS > 0 {
				text = r.t("web.duty.after", "what", text, "duration", i18n.Duration(r.lang, time.Duration(d.AfterS)*time.Second))
			}
			_, _ = fmt.Fprintln(w, "  - "+text)
		}
	}
	list("web.assess.will", p.Preview.Added)
	list("web.assess.wont", p.Preview.Withdrawn)
}

type phaseCmd struct {
	Incident string            `arg:"" help:"Reference, as INC-42."`
	To       string            `arg:"" help:"assessment, containment, recovery, review or closed."`
	Answer   map[string]string `help:"An exit question and its answer." placeholder:"KEY=VALUE"`
	Reason   string            `help:"Needed to skip a phase and to go back." placeholder:"TEXT"`
}

// phases are the words of a phase, in both languages, without accents too.
var phases = map[string]string{
	"détection": "detection", "évaluation": "assessment", "evaluation": "assessment", "confinement": "containment", "récupération": "recovery",
	"recuperation": "recovery", "rétablissement": "recovery", "examen": "review", "clos": "closed", "clôture": "closed",
}

func (r *run) phase(ctx context.Context) error {
	p := r.g.Phase
	to := strings.ToLower(p.To)
	if w, ok := phases[to]; ok {
		to = w
	}
	answers := map[string]any{}
	for k, v := range p.Answer {
		answers[k] = v
	}
	if r.ask && len(answers) == 0 {
		var i client.Incident
		if _, err := r.api.Get(ctx, "/incidents/"+esc(p.Incident), &i); err != nil {
			return err
		}
		for _, q := range i.ExitQuestions {
			key := "web.exit.q." + q
			if !i18n.Has(key) {
				key = "web.assess." + q
			}
			if !i18n.Has(key) {
				continue
			}
			v, err := r.input(r.t(key))
			if err != nil {
				return err
			}
			if v != "" {
				answers[q] = v
			}
		}
	}
	if r.g.DryRun {
		return r.asJSON(map[string]any{"to": to, "answers": answers, "reason": p.Reason})
	}
	var i client.Incident
	raw, err := r.api.Post(ctx, "/incidents/"+esc(p.Incident)+"/phase", map[string]any{"to": to, "answers": answers, "reason": p.Reason}, "", &i)
	if err != nil {
		return err
	}
	return r.answer(raw, []string{i.Ref, i.Phase, i.Status}, func() { r.tell("cli.phase.done", "ref", i.Ref, "phase", r.t("core.phase."+i.Phase)) })
}
