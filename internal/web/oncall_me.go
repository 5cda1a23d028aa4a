package web

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
)

// mine is what a person sees of their own duty and of how they are reached.
type mine struct {
	shifts  []shift
	methods []notify.Method
	rules   []notify.Rule
	quiet   *notify.QuietHours
	requests
	// pushKey is what a browser subscribes with; empty where push is not offered.
	pushKey string
}

func (s *server) myDuty(q *req) error {
	v, err := s.readMine(q)
	if err != nil {
		return err
	}
	return q.show("oncall", q.t("web.oncall.me"), myDutyPage(v))
}

func (s *server) readMine(q *req) (v mine, err error) {
	if v.shifts, err = s.shifts(q); err != nil {
		return v, err
	}
	if v.methods, err = s.Notify.Methods(q.ctx, q.actor.ID); err != nil {
		return v, err
	}
	if v.rules, err = s.Notify.Rules(q.ctx, q.actor.ID); err != nil {
		return v, err
	}
	if v.quiet, err = s.Notify.Quiet(q.ctx, q.actor.ID); err != nil {
		return v, err
	}
	if v.requests, err = s.requests(q); err != nil || s.PushKey == nil {
		return v, err
	}
	if v.pushKey, err = s.PushKey(q.ctx); err != nil {
		// The other ways are as good without it.
		s.Log.ErrorContext(q.ctx, "no key for push messages", "error", err)
	}
	return v, nil
}

// mine shows the page again: with a word on what was done, or on what is wrong with
// what was entered.
func (s *server) mine(q *req, err error, done string) error {
	if err == nil {
		return q.done("/on-call/me", q.t(done))
	}
	v, get := s.readMine(q)
	if get != nil {
		return err
	}
	return q.again(err, "oncall", q.t("web.oncall.me"), myDutyPage(v))
}

// ruleRows is how many lines of a personal rule the form shows: those that are there
// and some to fill in.
func ruleRows(rules []notify.Rule) int { return min(len(rules)+2, 12) }

func ruleField(n int, name string) string { return "notify[" + strconv.Itoa(n) + "]." + name }

// saveRules replaces the personal rule: a line without a delay is none.
func (s *server) saveRules(q *req) error {
	var rules []notify.Rule
	var at []int
	for n := range ruleRows(make([]notify.Rule, 12)) {
		after := q.form(ruleField(n, "after"))
		if after == "" {
			continue
		}
		d, err := oncall.ParseDuration(after)
		if err != nil {
			return s.mine(q, kit.InvalidField(ruleField(n, "after"), "notify.error.bad_after"), "")
		}
		r := notify.Rule{After: time.Duration(d), Method: q.form(ruleField(n, "method"))}
		for _, sev := range []string{"sev1", "sev2", "sev3", "sev4"} {
			if q.checked(ruleField(n, sev)) {
				r.Severities = append(r.Severities, sev)
			}
		}
		if len(r.Severities) == 4 {
			r.Severities = nil
		}
		rules, at = append(rules, r), append(at, n)
	}
	return s.mine(q, renumber(s.Notify.SetRules(q.ctx, q.actor.ID, rules), at), "web.rules.saved")
}

func (s *server) saveQuiet(q *req) error {
	var quiet *notify.QuietHours
	if q.form("quiet_hours.from") != "" || q.form("quiet_hours.to") != "" {
		quiet = &notify.QuietHours{From: q.form("quiet_hours.from"), To: q.form("quiet_hours.to"), Timezone: q.form("quiet_hours.timezone")}
	}
	return s.mine(q, s.Notify.SetQuiet(q.ctx, q.actor.ID, quiet), "web.quiet.saved")
}

// ruleLine is a line of the personal rule as the form shows it.
type ruleLine struct {
	after, method string
	severities    []string
}

func (l ruleLine) severity(sev string) bool {
	return len(l.severities) == 0 || slices.Contains(l.severities, sev)
}

// ruleAt gives a line: what was typed where the form comes back, else what is stored.
func ruleAt(ctx context.Context, v mine, n int) (l ruleLine, there bool) {
	if q := of(ctx); q.failed != nil && q.r.URL.Path == "/on-call/me/rules" {
		l = ruleLine{after: q.form(ruleField(n, "after")), method: q.form(ruleField(n, "method"))}
		for _, sev := range []string{"sev1", "sev2", "sev3", "sev4"} {
			if q.checked(ruleField(n, sev)) {
				l.severities = append(l.severities, sev)
			}
		}
		return l, l.after != ""
	}
	if n >= len(v.rules) {
		return l, false
	}
	r := v.rules[n]
	return ruleLine{oncall.Duration(r.After).String(), r.Method, r.Severities}, true
}

func quietOf(ctx context.Context, v mine, part string) string {
	if q := of(ctx); q.failed != nil && q.r.URL.Path == "/on-call/me/quiet-hours" {
		return q.form("quiet_hours." + part)
	}
	if v.quiet == nil {
		return ""
	}
	return map[string]string{"from": v.quiet.From, "to": v.quiet.To, "timezone": v.quiet.Timezone}[part]
}

func methodOptions(ctx context.Context, methods []notify.Method) []option {
	out := make([]option, len(methods))
	for n, m := range methods {
		out[n] = option{value: m.ID, label: methodWord(ctx, m.Kind) + " " + m.Shown()}
	}
	return out
}

// renumber gives the lines of an error the numbers that they have in the form, which
// leaves lines out.
func renumber(err error, at []int) error {
	e := kit.AsError(err)
	if e == nil || e.Code != kit.CodeInvalid {
		return err
	}
	for n := range e.Fields {
		rest, ok := strings.CutPrefix(e.Fields[n].Path, "notify[")
		number, name, found := strings.Cut(rest, "].")
		if i, bad := strconv.Atoi(number); ok && found && bad == nil && i < len(at) {
			e.Fields[n].Path = ruleField(at[i], name)
		}
	}
	return e
}
