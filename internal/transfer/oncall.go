package transfer

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/oncall"
)

type ocUser struct {
	ID       word   `json:"id"`
	Email    string `json:"email"`
	Username string `json:"username"`
	Name     string `json:"name"`
	Role     string `json:"role"`
	TimeZone string `json:"timezone"`
	Slack    []struct {
		UserID string `json:"user_id"`
	} `json:"slack"`
	Teams []word `json:"teams"`
}

type ocRule struct {
	ID        word    `json:"id"`
	User      word    `json:"user_id"`
	Position  int     `json:"position"`
	Type      string  `json:"type"`
	Duration  float64 `json:"duration"`
	Important bool    `json:"important"`
}

type ocTeam struct {
	ID   word   `json:"id"`
	Name string `json:"name"`
}

type ocGroup struct {
	ID    word `json:"id"`
	Slack struct {
		Name string `json:"name"`
	} `json:"slack"`
}

type ocSchedule struct {
	ID        word   `json:"id"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	TimeZone  string `json:"time_zone"`
	Shifts    []word `json:"shifts"`
	Primary   string `json:"ical_url_primary"`
	Overrides string `json:"ical_url_overrides"`
}

type ocShift struct {
	ID            word     `json:"id"`
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Schedule      word     `json:"schedule"`
	TimeZone      string   `json:"time_zone"`
	Level         int      `json:"level"`
	Start         string   `json:"start"`
	RotationStart string   `json:"rotation_start"`
	Duration      float64  `json:"duration"`
	Frequency     string   `json:"frequency"`
	Interval      int      `json:"interval"`
	Until         string   `json:"until"`
	WeekStart     string   `json:"week_start"`
	ByDay         []string `json:"by_day"`
	ByMonth       []int    `json:"by_month"`
	ByMonthDay    []int    `json:"by_monthday"`
	Users         []word   `json:"users"`
	Rolling       [][]word `json:"rolling_users"`
	StartIndex    int      `json:"start_rotation_from_user_index"`
}

type ocChain struct {
	ID   word   `json:"id"`
	Name string `json:"name"`
}

type ocPolicy struct {
	ID        word    `json:"id"`
	Chain     word    `json:"escalation_chain_id"`
	Position  int     `json:"position"`
	Type      string  `json:"type"`
	Important bool    `json:"important"`
	Duration  float64 `json:"duration"`
	Persons   []word  `json:"persons_to_notify"`
	NextEach  []word  `json:"persons_to_notify_next_each_time"`
	Schedule  word    `json:"notify_on_call_from_schedule"`
	Team      word    `json:"team_to_notify"`
	Group     word    `json:"group_to_notify"`
	From      string  `json:"notify_if_time_from"`
	To        string  `json:"notify_if_time_to"`
}

type ocIntegration struct {
	ID      word   `json:"id"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Default struct {
		Chain word `json:"escalation_chain_id"`
	} `json:"default_route"`
}

type ocRoute struct {
	ID          word   `json:"id"`
	Integration word   `json:"integration_id"`
	Chain       word   `json:"escalation_chain_id"`
	Expression  string `json:"routing_regex"`
	Last        bool   `json:"is_the_last_route"`
}

func texts(list []word) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

func (b *builder) onCall(e *Export) {
	rules := map[word][]ocRule{}
	for _, r := range all[ocRule](e, "personal_notification_rules") {
		rules[r.User] = append(rules[r.User], r)
	}
	members := map[string][]string{}
	for _, u := range all[ocUser](e, "users") {
		for _, t := range u.Teams {
			members[string(t)] = append(members[string(t)], string(u.ID))
		}
		b.user(u.user(rules[u.ID]))
		delete(rules, u.ID)
	}
	for _, r := range all[ocRule](e, "personal_notification_rules") {
		if _, left := rules[r.User]; left {
			b.thing("rule", string(r.ID)).lost("of_lost", "name", clean(string(r.User)))
		}
	}
	for _, t := range all[ocTeam](e, "teams") {
		why := ""
		if len(members[string(t.ID)]) == 0 {
			why = "team.unknown"
		}
		b.team(string(t.ID), t.Name, members[string(t.ID)], why)
	}
	for _, g := range all[ocGroup](e, "user_groups") {
		b.thing("team", cmp.Or(g.Slack.Name, string(g.ID))).lost("team.slack")
	}
	shifts := all[ocShift](e, "on_call_shifts")
	used := map[word]bool{}
	for _, s := range all[ocSchedule](e, "schedules") {
		b.ocSchedule(s, shifts, used)
	}
	for _, s := range shifts {
		if !used[s.ID] {
			b.thing("rotation", cmp.Or(s.Name, string(s.ID))).lost("rotation.unused")
		}
	}
	b.ocChains(e)
	services := map[word]string{}
	for _, i := range all[ocIntegration](e, "integrations") {
		t := b.thing("integration", cmp.Or(i.Name, string(i.ID)))
		t.differs("integration", "type", clean(i.Type))
		if i.Default.Chain == "" {
			t.differs("service.no_policy")
		}
		b.service(t, string(i.ID), i.Name, string(i.Default.Chain), nil)
		services[i.ID] = t.to
	}
	for _, r := range all[ocRoute](e, "routes") {
		t := b.thing("route", cmp.Or(clean(r.Expression), string(r.ID)))
		t.to = services[r.Integration]
		if !r.Last || t.to == "" {
			t.lost("route")
			continue
		}
		t.done()
	}
}

func (p ocUser) user(rules []ocRule) user {
	u := user{id: string(p.ID), name: cmp.Or(p.Name, p.Username), email: p.Email, zone: p.TimeZone, role: p.Role, above: p.Role == "admin"}
	// The API tells no telephone numbers.
	u.methods = []method{{id: "email", kind: "email", to: p.Email}}
	if len(p.Slack) > 0 {
		u.slack = p.Slack[0].UserID
		u.methods = append(u.methods, method{id: "slack", kind: "slack", to: u.slack})
	}
	slices.SortStableFunc(rules, func(x, y ocRule) int {
		if x.Important != y.Important {
			if x.Important {
				return 1
			}
			return -1
		}
		return cmp.Compare(x.Position, y.Position)
	})
	var after time.Duration
	for i, r := range rules {
		if i > 0 && r.Important != rules[i-1].Important {
			after = 0
		}
		if r.Type == "wait" {
			after += seconds(r.Duration)
			continue
		}
		out := rule{name: r.Type, after: after, urgent: r.Important, calm: !r.Important}
		switch r.Type {
		case "notify_by_email":
			out.method = "email"
		case "notify_by_slack":
			out.method = "slack"
		case "notify_by_sms", "notify_by_phone_call":
			out.why = "rule.number"
		default:
			out.why = "rule.type"
		}
		u.rules = append(u.rules, out)
	}
	return u
}

// seconds is a delay as OnCall writes it, within what a policy may hold.
func seconds(n float64) time.Duration {
	return time.Duration(min(max(n, 0), 365*86400)) * time.Second
}

// naive reads a date and time that OnCall writes without a zone.
func naive(s string, loc *time.Location) time.Time {
	if t, err := time.ParseInLocation("2006-01-02T15:04:05", strings.TrimSpace(s), loc); err == nil && readable(t) {
		return t
	}
	return at(s)
}

func (b *builder) ocSchedule(s ocSchedule, shifts []ocShift, used map[word]bool) {
	t := b.thing("schedule", cmp.Or(s.Name, string(s.ID)))
	d := &duty{id: string(s.ID), name: s.Name, loc: location(s.TimeZone, time.UTC), concurrent: true}
	var mine []ocShift
	for _, sh := range shifts {
		if sh.ID != "" && slices.Contains(s.Shifts, sh.ID) || sh.Schedule != "" && sh.Schedule == s.ID {
			mine = append(mine, sh)
			used[sh.ID] = true
		}
	}
	if s.Type == "ical" || len(mine) == 0 && s.Primary != "" {
		t.lost("schedule.ical")
		return
	}
	if s.Overrides != "" {
		t.differs("schedule.ical_overrides")
	}
	if n := len(s.Shifts) - len(mine); n > 0 {
		t.differs("schedule.shifts", "count", n)
	}
	// A zone that all shifts share keeps their handovers where they are.
	for i, sh := range mine {
		if !validZone(sh.TimeZone) || sh.TimeZone != mine[0].TimeZone {
			break
		}
		if i == len(mine)-1 {
			d.loc = location(sh.TimeZone, d.loc)
		}
	}
	for _, sh := range mine {
		b.ocShift(d, t.from, location(s.TimeZone, time.UTC), sh)
	}
	b.schedule(t, d)
}

func (b *builder) ocShift(d *duty, name string, loc *time.Location, s ocShift) {
	loc = location(s.TimeZone, loc)
	first := naive(s.Start, loc)
	if s.Type == "override" {
		for i, u := range s.Users {
			o := override{t: b.thing("override", name+" "+s.Start), person: b.people[string(u)], from: first, to: first.Add(seconds(s.Duration)), row: i}
			d.overrides = append(d.overrides, o)
		}
		return
	}
	t := b.thing("rotation", name+" / "+cmp.Or(s.Name, string(s.ID)))
	rolling := s.Rolling
	if s.Type != "rolling_users" || len(rolling) == 0 {
		rolling = [][]word{s.Users}
	}
	out := &layer{name: s.Name, first: first, level: s.Level}
	missing := 0
	for _, g := range rolling {
		known, n := b.group(texts(g))
		missing += n
		out.groups = append(out.groups, known)
	}
	if missing > 0 {
		t.differs("people.missing", "count", missing)
	}
	if n := mod(s.StartIndex, max(len(out.groups), 1)); n > 0 {
		out.groups = append(slices.Clone(out.groups[n:]), out.groups[:n]...)
	}
	if s.Until != "" {
		if out.until = naive(s.Until, loc); out.until.IsZero() {
			t.differs("rotation.until", "value", clean(s.Until))
		} else {
			t.differs("rotation.last")
		}
	}
	out.begin = naive(s.RotationStart, loc)
	if s.Type == "single_event" {
		out.week, out.turn = wholeWeek, turn{n: 1, days: true}
		out.until = first.Add(seconds(s.Duration))
	} else if !s.pattern(out, loc) {
		t.lost("rotation.pattern", "frequency", clean(cmp.Or(s.Frequency, s.Type)), "interval", max(s.Interval, 1))
		return
	}
	if loc.String() != d.loc.String() && out.week.minutes() < weekMinutes {
		out.week = shifted(out.week, loc, d.loc, b.now)
		t.differs("rotation.zone", "zone", loc.String())
	}
	b.layer(d, t, out)
}

// shifted says a week of one zone in another one, as far as they are apart at now.
func shifted(w *week, from, to *time.Location, now time.Time) *week {
	_, a := now.In(from).Zone()
	_, c := now.In(to).Zone()
	var spans []span
	for m := range weekMinutes {
		if w.has(m) {
			spans = append(spans, span{m + (c-a)/60, 1})
		}
	}
	return weekOf(spans)
}

// pattern puts turn and week of a recurring shift into a layer. It is false for a pattern
// that no rotation has, such as every second Monday.
func (s ocShift) pattern(out *layer, loc *time.Location) bool {
	if len(s.ByMonth) > 0 || len(s.ByMonthDay) > 0 || s.Interval > 500 {
		return false
	}
	n := max(s.Interval, 1)
	start := out.first.In(loc)
	clock := start.Hour()*60 + start.Minute()
	length := int(seconds(s.Duration) / time.Minute)
	period := map[string]int{"hourly": 60, "daily": dayMinutes, "weekly": weekMinutes}[s.Frequency] * n
	if period == 0 || length == 0 {
		return false
	}
	out.turn, _ = turnOf(int64(period) * 60)
	var on []int
	for _, d := range s.ByDay {
		on = append(on, dayOf(d))
	}
	switch {
	case len(on) == 0 && length >= period:
		out.week = wholeWeek
	case n > 1 || s.Frequency == "hourly":
		return false
	case len(on) == 0 && s.Frequency == "weekly":
		out.week = weekOf([]span{{weekday(start)*dayMinutes + clock, length}})
	default:
		if len(on) == 0 {
			on = []int{0, 1, 2, 3, 4, 5, 6}
		}
		var spans []span
		for _, d := range on {
			spans = append(spans, span{d*dayMinutes + clock, length})
		}
		out.week = weekOf(spans)
	}
	if s.Frequency == "weekly" && len(on) > 0 {
		// The next ones' turn is a week of the calendar, which begins on week_start.
		back := mod(weekday(start)-dayOf(cmp.Or(s.WeekStart, "SU")), 7)
		if back > 0 {
			if out.begin.IsZero() {
				out.begin = out.first
			}
			out.first = start.AddDate(0, 0, -back)
		}
	}
	return true
}

// ocRounds is how often a chain with a step repeat_escalation is gone through.
const ocRounds = 6

func (b *builder) ocChains(e *Export) {
	steps := map[word][]ocPolicy{}
	chains := all[ocChain](e, "escalation_chains")
	for _, p := range all[ocPolicy](e, "escalation_policies") {
		if len(steps[p.Chain]) == 0 && !slices.ContainsFunc(chains, func(c ocChain) bool { return c.ID == p.Chain }) {
			chains = append(chains, ocChain{ID: p.Chain})
		}
		steps[p.Chain] = append(steps[p.Chain], p)
	}
	for _, c := range chains {
		list := steps[c.ID]
		slices.SortStableFunc(list, func(x, y ocPolicy) int { return cmp.Compare(x.Position, y.Position) })
		b.ocChain(c, list)
	}
}

func (b *builder) ocChain(c ocChain, list []ocPolicy) {
	t := b.thing("policy", cmp.Or(c.Name, string(c.ID)))
	l := ladder{id: string(c.ID), name: c.Name, rounds: 1}
	var after, last time.Duration
	for i, p := range list {
		st := &step{t: b.thing("step", t.from+" "+strconv.Itoa(i+1)+" "+p.Type), after: min(after, 30*24*time.Hour)}
		if p.Important {
			st.t.differs("step.important")
		}
		switch p.Type {
		case "wait":
			after += seconds(p.Duration)
			continue
		case "repeat_escalation":
			l.rounds, l.gap = ocRounds, after-last
			continue
		case "notify_persons":
			st.target(b.personTargets(st.t, texts(p.Persons)...)...)
		case "notify_person_next_each_time":
			st.target(b.personTargets(st.t, texts(p.NextEach)...)...)
			st.roundRobin = len(st.page) > 1
		case "notify_on_call_from_schedule":
			found := b.scheduleTargets(string(p.Schedule))
			if len(found) == 0 {
				st.t.differs("step.schedule", "name", clean(string(p.Schedule)))
			}
			st.target(found...)
		case "notify_team_members":
			if team := b.teams[string(p.Team)]; team != "" {
				st.target("team:" + team)
			} else {
				st.t.differs("step.members")
			}
		case "notify_if_time_from_to":
			from, ok := clockOf(p.From)
			to, ok2 := clockOf(p.To)
			if ok && ok2 && from != to && i == 0 {
				l.hours = &oncall.ServiceHours{Hours: []string{hoursText(from, to)}, Timezone: "UTC"}
				t.differs("policy.hours")
				continue
			}
			st.t.differs("step.hours")
		default:
			st.t.differs("step.target", "kind", clean(p.Type))
		}
		if len(st.page) > 0 {
			last = after
		}
		l.steps = append(l.steps, st)
	}
	b.policy(t, l)
}

func hoursText(from, to int) string {
	var perDay [7][]string
	pieces(&perDay, from, mod(to-from, dayMinutes))
	return perDay[0][0]
}

func (s *session) onCall() error {
	for _, name := range []string{
		"users", "personal_notification_rules", "teams", "user_groups", "schedules", "on_call_shifts", "escalation_chains",
		"escalation_policies", "integrations", "routes",
	} {
		for address := s.under("/api/v1", "/"+name+"/"); address != ""; {
			var page struct {
				Next    string            `json:"next"`
				Results []json.RawMessage `json:"results"`
			}
			if err := s.get(address, &page); err != nil {
				return err
			}
			if err := s.add(name, page.Results); err != nil {
				return err
			}
			if page.Next == "" {
				break
			}
			var err error
			if address, err = s.next(page.Next); err != nil {
				return err
			}
		}
	}
	return nil
}
