package transfer

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type pdRef struct {
	ID      word   `json:"id"`
	Type    string `json:"type"`
	Summary string `json:"summary"`
}

type pdUser struct {
	pdRef
	Name     string `json:"name"`
	Email    string `json:"email"`
	TimeZone string `json:"time_zone"`
	Role     string `json:"role"`
	Methods  []struct {
		pdRef
		Label       string `json:"label"`
		Address     word   `json:"address"`
		CountryCode word   `json:"country_code"`
		Blacklisted bool   `json:"blacklisted"`
	} `json:"contact_methods"`
	Rules []struct {
		pdRef
		Delay   int64  `json:"start_delay_in_minutes"`
		Urgency string `json:"urgency"`
		Method  pdRef  `json:"contact_method"`
	} `json:"notification_rules"`
	Teams []pdRef `json:"teams"`
}

type pdTeam struct {
	pdRef
	Name    string  `json:"name"`
	Members []pdRef `json:"members"`
}

type pdLayer struct {
	pdRef
	Name    string  `json:"name"`
	Start   string  `json:"start"`
	End     string  `json:"end"`
	Virtual string  `json:"rotation_virtual_start"`
	Turn    float64 `json:"rotation_turn_length_seconds"`
	Users   []struct {
		User pdRef `json:"user"`
	} `json:"users"`
	Restrictions []struct {
		Type     string  `json:"type"`
		Time     string  `json:"start_time_of_day"`
		Day      int     `json:"start_day_of_week"`
		Duration float64 `json:"duration_seconds"`
	} `json:"restrictions"`
}

type pdSchedule struct {
	pdRef
	Name      string    `json:"name"`
	TimeZone  string    `json:"time_zone"`
	Layers    []pdLayer `json:"schedule_layers"`
	Overrides []struct {
		pdRef
		Start string `json:"start"`
		End   string `json:"end"`
		User  pdRef  `json:"user"`
	} `json:"overrides"`
}

type pdPolicy struct {
	pdRef
	Name  string `json:"name"`
	Loops int64  `json:"num_loops"`
	Rules []struct {
		Delay    int64   `json:"escalation_delay_in_minutes"`
		Targets  []pdRef `json:"targets"`
		Strategy struct {
			Type string `json:"type"`
		} `json:"escalation_rule_assignment_strategy"`
	} `json:"escalation_rules"`
}

type pdService struct {
	pdRef
	Name         string            `json:"name"`
	Status       string            `json:"status"`
	Policy       *pdRef            `json:"escalation_policy"`
	Urgency      *pdUrgency        `json:"incident_urgency_rule"`
	SupportHours json.RawMessage   `json:"support_hours"`
	Scheduled    []json.RawMessage `json:"scheduled_actions"`
	Integrations []pdRef           `json:"integrations"`
	AckTimeout   *float64          `json:"acknowledgement_timeout"`
	AutoResolve  *float64          `json:"auto_resolve_timeout"`
}

type pdUrgency struct {
	Type    string `json:"type"`
	Urgency string `json:"urgency"`
}

func (b *builder) pagerDuty(e *Export) {
	members := map[string][]string{}
	for _, u := range all[pdUser](e, "users") {
		for _, t := range u.Teams {
			members[string(t.ID)] = append(members[string(t.ID)], string(u.ID))
		}
		b.user(u.user())
	}
	for _, t := range all[pdTeam](e, "teams") {
		list := members[string(t.ID)]
		for _, m := range t.Members {
			list = append(list, string(m.ID))
		}
		b.team(string(t.ID), cmp.Or(t.Name, t.Summary), list, "")
	}
	for _, s := range all[pdSchedule](e, "schedules") {
		b.pdSchedule(s)
	}
	for _, p := range all[pdPolicy](e, "escalation_policies") {
		b.pdPolicy(p)
	}
	for _, s := range all[pdService](e, "services") {
		b.pdService(s)
	}
}

func (p pdUser) user() user {
	u := user{
		id: string(p.ID), name: cmp.Or(p.Name, p.Summary), email: p.Email, zone: p.TimeZone, role: p.Role,
		above: p.Role == "admin" || p.Role == "owner",
	}
	for _, m := range p.Methods {
		out := method{id: string(m.ID), name: cmp.Or(m.Label, m.Summary), to: string(m.Address)}
		switch {
		case m.Type == "email_contact_method" || m.Type == "email_contact_method_reference":
			out.kind = "email"
		case strings.HasPrefix(m.Type, "phone_contact_method"):
			out.kind, out.to = "voice", phone(string(m.CountryCode), out.to)
		case strings.HasPrefix(m.Type, "sms_contact_method"):
			out.kind, out.to = "sms", phone(string(m.CountryCode), out.to)
		case strings.HasPrefix(m.Type, "push_notification_contact_method"):
			out.kind, out.to, out.why = "push", "", "method.push"
		default:
			out.kind, out.to, out.why = m.Type, "", "method.kind"
		}
		if m.Blacklisted && out.why == "" {
			out.why = "method.disabled"
		}
		u.methods = append(u.methods, out)
	}
	for _, r := range p.Rules {
		u.rules = append(u.rules, rule{
			name: strings.TrimSpace(strconv.FormatInt(r.Delay, 10) + " min " + r.Urgency), after: minutes(r.Delay), method: string(r.Method.ID),
			urgent: r.Urgency != "low", calm: r.Urgency == "low",
		})
	}
	return u
}

// phone writes a number with its country code; what has no digit is empty.
func phone(code, number string) string {
	digits := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, s)
	}
	if digits(number) == "" {
		return ""
	}
	return "+" + digits(code) + digits(number)
}

// pdSchedule makes a schedule. Of two layers the later one hides the earlier one, "Layer 2"
// Layer 1 (support.pagerduty.com/docs/schedules), but GET lists them the other way round
// than POST and PUT take them, the highest first: so say the description of PagerDuty's
// schedule layer reorganizer (PagerDuty/public-support-scripts, pull request 60), and their
// Terraform provider, which turns the list that it reads round.
func (b *builder) pdSchedule(s pdSchedule) {
	t := b.thing("schedule", cmp.Or(s.Name, s.Summary, string(s.ID)))
	d := &duty{id: string(s.ID), name: cmp.Or(s.Name, s.Summary), loc: location(s.TimeZone, b.zone)}
	if !validZone(s.TimeZone) {
		t.differs("schedule.zone", "zone", clean(s.TimeZone), "used", d.loc.String())
	}
	for _, l := range slices.Backward(s.Layers) {
		b.pdLayer(d, t.from, l)
	}
	for _, o := range s.Overrides {
		d.overrides = append(d.overrides, override{
			t: b.thing("override", t.from+" "+o.Start), person: b.people[string(o.User.ID)], from: at(o.Start), to: at(o.End),
		})
	}
	b.schedule(t, d)
}

func (b *builder) pdLayer(d *duty, name string, l pdLayer) {
	t := b.thing("rotation", name+" / "+cmp.Or(l.Name, l.Summary, string(l.ID)))
	out := &layer{name: l.Name, first: at(l.Virtual), begin: at(l.Start), until: end(t, l.End)}
	if out.first.IsZero() {
		out.first = out.begin
	}
	var ok bool
	if out.turn, ok = turnOf(int64(min(max(l.Turn, 0), 1e9))); !ok {
		t.differs("rotation.turn", "seconds", int64(min(max(l.Turn, 0), 1e9)), "shift", out.turn.String())
	}
	missing := 0
	for _, u := range l.Users {
		g, n := b.group([]string{string(u.User.ID)})
		missing += n
		out.groups = append(out.groups, g)
	}
	if missing > 0 {
		t.differs("people.missing", "count", missing)
	}
	out.week = wholeWeek
	if len(l.Restrictions) > 0 {
		var spans []span
		for _, r := range l.Restrictions {
			clock, exact := clockOf(r.Time)
			length := int(min(max(r.Duration, 0), weekMinutes*60))
			if !exact || length%60 != 0 {
				t.differs("rotation.seconds")
			}
			if r.Type == "weekly_restriction" {
				// 1 is Monday, 7 Sunday.
				spans = append(spans, span{mod(r.Day-1, 7)*dayMinutes + clock, length / 60})
				continue
			}
			for day := range 7 {
				spans = append(spans, span{day*dayMinutes + clock, length / 60})
			}
		}
		out.week = weekOf(spans)
	}
	b.layer(d, t, out)
}

// clockOf reads a time of day in minutes; exact is false for one with seconds, and for one
// that cannot be read.
func clockOf(s string) (minute int, exact bool) {
	for _, layout := range []string{"15:04:05", "15:04", "15:04:05Z07:00"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t.Hour()*60 + t.Minute(), t.Second() == 0
		}
	}
	return 0, false
}

func (b *builder) pdPolicy(p pdPolicy) {
	t := b.thing("policy", cmp.Or(p.Name, p.Summary, string(p.ID)))
	l := ladder{id: string(p.ID), name: cmp.Or(p.Name, p.Summary), rounds: min(max(p.Loops, 0), 1000) + 1}
	var after time.Duration
	for i, r := range p.Rules {
		st := &step{t: b.thing("step", t.from+" "+strconv.Itoa(i+1)), after: min(after, 30*24*time.Hour)}
		for _, target := range r.Targets {
			switch strings.TrimSuffix(target.Type, "_reference") {
			case "user":
				st.target(b.personTargets(st.t, string(target.ID))...)
			case "schedule":
				found := b.scheduleTargets(string(target.ID))
				if len(found) == 0 {
					st.t.differs("step.schedule", "name", clean(cmp.Or(target.Summary, string(target.ID))))
				}
				st.target(found...)
			default:
				st.t.differs("step.target", "kind", clean(target.Type))
			}
		}
		if r.Strategy.Type == "round_robin" {
			st.roundRobin = true
			st.t.differs("step.round_robin")
		}
		l.steps = append(l.steps, st)
		l.gap = minutes(r.Delay)
		after += l.gap
	}
	b.policy(t, l)
}

func (b *builder) pdService(s pdService) {
	t := b.thing("service", cmp.Or(s.Name, s.Summary, string(s.ID)))
	policy := ""
	if s.Policy != nil {
		policy = string(s.Policy.ID)
	} else {
		t.differs("service.no_policy")
	}
	if s.Status == "disabled" {
		t.differs("service.disabled")
	}
	if s.Urgency != nil && (s.Urgency.Type != "constant" || s.Urgency.Urgency == "low") {
		t.differs("service.urgency")
	}
	if len(s.SupportHours) > 0 && string(s.SupportHours) != "null" {
		t.differs("service.hours")
	}
	if len(s.Scheduled) > 0 {
		t.differs("service.scheduled")
	}
	if s.AckTimeout != nil || s.AutoResolve != nil {
		t.differs("service.timeouts")
	}
	if len(s.Integrations) > 0 {
		t.differs("service.integrations", "count", len(s.Integrations))
	}
	b.service(t, string(s.ID), cmp.Or(s.Name, s.Summary), policy, nil)
}

// ahead is how far overrides are read.
const ahead = 180 * 24 * time.Hour

func (s *session) pagerDuty() error {
	for _, r := range []struct {
		name, include string
	}{
		{"users", "&include[]=contact_methods&include[]=notification_rules&include[]=teams"},
		{"teams", ""},
		{"schedules", ""},
		{"escalation_policies", "&include[]=targets"},
		{"services", "&include[]=integrations"},
	} {
		if err := s.pdList(r.name, r.include); err != nil {
			return err
		}
	}
	// The list of schedules is without their layers.
	list := s.out.Resources["schedules"]
	now := time.Now().UTC()
	span := "since=" + url.QueryEscape(now.Format(time.RFC3339)) + "&until=" + url.QueryEscape(now.Add(ahead).Format(time.RFC3339))
	for i, raw := range list {
		id := url.PathEscape(idOf(raw))
		var one struct {
			Schedule json.RawMessage `json:"schedule"`
		}
		if err := s.get(s.under("", "/schedules/"+id), &one); err != nil {
			return err
		}
		var o struct {
			Overrides []json.RawMessage `json:"overrides"`
		}
		if err := s.get(s.under("", "/schedules/"+id+"/overrides?"+span), &o); err != nil {
			return err
		}
		var err error
		if list[i], err = with(one.Schedule, "overrides", slices.Concat([]json.RawMessage{}, o.Overrides)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) pdList(name, include string) error {
	const limit = 100
	for offset := 0; ; {
		var page map[string]json.RawMessage
		if err := s.get(s.under("", "/"+name+"?limit="+strconv.Itoa(limit)+"&offset="+strconv.Itoa(offset)+strings.ReplaceAll(include, "[]", "%5B%5D")), &page); err != nil {
			return err
		}
		list, _ := listOf(page[name])
		if err := s.add(name, list); err != nil {
			return err
		}
		if string(page["more"]) != "true" || len(list) == 0 {
			return nil
		}
		offset += len(list)
	}
}
