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

type ogRef struct {
	ID       word   `json:"id"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Username string `json:"username"`
}

func (r ogRef) name() string { return cmp.Or(r.Name, r.Username, string(r.ID)) }

type ogTime struct {
	Amount int64  `json:"timeAmount"`
	Unit   string `json:"timeUnit"`
}

func (d ogTime) duration() time.Duration {
	n := min(max(d.Amount, 0), 1e6)
	switch strings.ToLower(d.Unit) {
	case "seconds":
		return time.Duration(n) * time.Second
	case "hours":
		n *= 60
	case "days":
		n *= dayMinutes
	}
	return minutes(n)
}

type ogContact struct {
	ID     word   `json:"id"`
	User   ogRef  `json:"user"`
	Method string `json:"method"`
	// ContactMethod is what the list of users calls it.
	ContactMethod string `json:"contactMethod"`
	To            word   `json:"to"`
	Enabled       *bool  `json:"enabled"`
	Status        struct {
		Enabled *bool `json:"enabled"`
	} `json:"status"`
}

type ogRule struct {
	ID       word   `json:"id"`
	User     ogRef  `json:"user"`
	Name     string `json:"name"`
	Action   string `json:"actionType"`
	Enabled  *bool  `json:"enabled"`
	Order    int    `json:"order"`
	Criteria struct {
		Type string `json:"type"`
	} `json:"criteria"`
	Restriction json.RawMessage `json:"timeRestriction"`
	Repeat      *struct {
		Enabled bool `json:"enabled"`
	} `json:"repeat"`
	Steps []struct {
		Contact struct {
			Method string `json:"method"`
			To     word   `json:"to"`
		} `json:"contact"`
		SendAfter ogTime `json:"sendAfter"`
		Enabled   *bool  `json:"enabled"`
	} `json:"steps"`
}

type ogUser struct {
	ID       word   `json:"id"`
	Username string `json:"username"`
	FullName string `json:"fullName"`
	Role     ogRef  `json:"role"`
	Blocked  bool   `json:"blocked"`
	TimeZone string `json:"timeZone"`
	Locale   string `json:"locale"`
	// Contacts are embedded by Fetch, UserContacts by expand=contact.
	Contacts     []ogContact `json:"contacts"`
	UserContacts []ogContact `json:"userContacts"`
	Rules        []ogRule    `json:"notificationRules"`
}

type ogTeam struct {
	ID      word   `json:"id"`
	Name    string `json:"name"`
	Members []struct {
		User ogRef  `json:"user"`
		Role string `json:"role"`
	} `json:"members"`
}

type ogRestriction struct {
	Type         string     `json:"type"`
	Restriction  *ogClock   `json:"restriction"`
	Restrictions []*ogClock `json:"restrictions"`
}

type ogClock struct {
	StartDay  string `json:"startDay"`
	EndDay    string `json:"endDay"`
	StartHour int    `json:"startHour"`
	StartMin  int    `json:"startMin"`
	EndHour   int    `json:"endHour"`
	EndMin    int    `json:"endMin"`
}

type ogRotation struct {
	ID           word           `json:"id"`
	Name         string         `json:"name"`
	Enabled      *bool          `json:"enabled"`
	Start        string         `json:"startDate"`
	End          string         `json:"endDate"`
	Type         string         `json:"type"`
	Length       int64          `json:"length"`
	Participants []ogRef        `json:"participants"`
	Restriction  *ogRestriction `json:"timeRestriction"`
}

type ogOverride struct {
	Alias     word    `json:"alias"`
	Schedule  ogRef   `json:"schedule"`
	Parent    ogRef   `json:"_parent"`
	User      ogRef   `json:"user"`
	Start     string  `json:"startDate"`
	End       string  `json:"endDate"`
	Rotations []ogRef `json:"rotations"`
}

type ogSchedule struct {
	ID        word         `json:"id"`
	Name      string       `json:"name"`
	TimeZone  string       `json:"timezone"`
	Enabled   *bool        `json:"enabled"`
	Team      ogRef        `json:"ownerTeam"`
	Rotations []ogRotation `json:"rotations"`
	Overrides []ogOverride `json:"overrides"`
}

type ogEscalation struct {
	ID    word   `json:"id"`
	Name  string `json:"name"`
	Team  ogRef  `json:"ownerTeam"`
	Rules []struct {
		Condition  string `json:"condition"`
		NotifyType string `json:"notifyType"`
		Delay      ogTime `json:"delay"`
		Recipient  ogRef  `json:"recipient"`
	} `json:"rules"`
	Repeat *struct {
		Wait  int64 `json:"waitInterval"`
		Count int64 `json:"count"`
		Reset bool  `json:"resetRecipientStates"`
		Close bool  `json:"closeAlertAfterAll"`
	} `json:"repeat"`
}

type ogService struct {
	ID     word   `json:"id"`
	Name   string `json:"name"`
	TeamID word   `json:"teamId"`
}

// ogData is what an export of Opsgenie refers to by id, or by name.
type ogData struct {
	members   map[string]map[string][]string
	teamNames map[string]string
	schedules map[string]string
	// first are those whom an escalation asks first.
	first map[string][]string
}

func off(enabled *bool) bool { return enabled != nil && !*enabled }

func (b *builder) opsgenie(e *Export) {
	x := &ogData{members: map[string]map[string][]string{}, teamNames: map[string]string{}, schedules: map[string]string{}, first: map[string][]string{}}
	contacts, rules := all[ogContact](e, "contacts"), all[ogRule](e, "notification_rules")
	for _, u := range all[ogUser](e, "users") {
		mine := func(r ogRef) bool { return r.ID != "" && r.ID == u.ID || r.Username != "" && r.Username == u.Username }
		u.Contacts = slices.Concat(u.Contacts, u.UserContacts)
		contacts = slices.DeleteFunc(contacts, func(c ogContact) bool {
			if mine(c.User) {
				u.Contacts = append(u.Contacts, c)
			}
			return mine(c.User)
		})
		rules = slices.DeleteFunc(rules, func(r ogRule) bool {
			if mine(r.User) {
				u.Rules = append(u.Rules, r)
			}
			return mine(r.User)
		})
		b.user(u.user())
		// People are also named by their address.
		if id, ok := b.people[string(u.ID)]; ok && u.Username != "" {
			b.people[u.Username] = id
		}
	}
	for _, c := range contacts {
		b.thing("contact_method", string(c.To)).lost("of_lost", "name", clean(c.User.name()))
	}
	for _, r := range rules {
		b.thing("rule", r.Name).lost("of_lost", "name", clean(r.User.name()))
	}
	for _, t := range all[ogTeam](e, "teams") {
		id := string(t.ID)
		x.teamNames[t.Name], x.members[id] = id, map[string][]string{}
		var everybody []string
		for _, m := range t.Members {
			who := b.ogPerson(m.User)
			everybody = append(everybody, who)
			x.members[id][strings.ToLower(m.Role)] = append(x.members[id][strings.ToLower(m.Role)], who)
		}
		x.members[id]["all"] = everybody
		b.team(id, t.Name, everybody, "")
	}
	escalations := all[ogEscalation](e, "escalations")
	for _, p := range escalations {
		var low time.Duration = -1
		for _, r := range p.Rules {
			if r.Recipient.Type == "user" && (low < 0 || r.Delay.duration() < low) {
				low = r.Delay.duration()
				x.first[string(p.ID)] = []string{b.ogPerson(r.Recipient)}
			}
		}
	}
	loose := all[ogOverride](e, "overrides")
	for _, s := range all[ogSchedule](e, "schedules") {
		x.schedules[s.Name] = string(s.ID)
		loose = slices.DeleteFunc(loose, func(o ogOverride) bool {
			of := cmp.Or(o.Schedule, o.Parent)
			mine := of.ID != "" && of.ID == s.ID || of.ID == "" && of.Name != "" && of.Name == s.Name
			if mine {
				s.Overrides = append(s.Overrides, o)
			}
			return mine
		})
		b.ogSchedule(x, s)
	}
	for _, o := range loose {
		of := cmp.Or(o.Schedule, o.Parent).name()
		b.thing("override", of+" "+o.Start).lost("of_lost", "name", clean(of))
	}
	byTeam := map[string][]string{}
	for _, p := range escalations {
		b.ogPolicy(x, p)
		if p.Team.ID != "" {
			byTeam[string(p.Team.ID)] = append(byTeam[string(p.Team.ID)], string(p.ID))
		}
	}
	for _, s := range all[ogService](e, "services") {
		t := b.thing("service", cmp.Or(s.Name, string(s.ID)))
		policy := ""
		switch of := byTeam[string(s.TeamID)]; {
		case len(of) == 1:
			policy = of[0]
			t.differs("service.team_policy")
		default:
			t.differs("service.routing", "count", len(of))
		}
		b.service(t, string(s.ID), s.Name, policy, nil)
	}
}

// ogPerson is how b.people knows a user.
func (b *builder) ogPerson(r ogRef) string {
	if _, ok := b.people[string(r.ID)]; ok || r.Username == "" && r.Name == "" {
		return string(r.ID)
	}
	return cmp.Or(r.Username, r.Name)
}

func (p ogUser) user() user {
	u := user{
		id: string(p.ID), name: p.FullName, email: p.Username, zone: p.TimeZone, language: p.Locale,
		role: cmp.Or(p.Role.Name, string(p.Role.ID)),
	}
	u.above = slices.Contains([]string{"admin", "owner", "account owner"}, strings.ToLower(u.role))
	key := func(kind string, to word) string { return strings.ToLower(kind) + " " + strings.ToLower(string(to)) }
	for _, c := range p.Contacts {
		kind := strings.ToLower(cmp.Or(c.Method, c.ContactMethod))
		m := method{id: key(kind, c.To), to: string(c.To)}
		switch kind {
		case "email":
			m.kind = "email"
		case "sms", "voice":
			m.kind, m.to = kind, phone("", m.to)
		case "mobile", "push", "mobile_app":
			m.kind, m.to, m.why = "push", "", "method.push"
		default:
			m.kind, m.to, m.why = kind, "", "method.kind"
		}
		if m.why == "" && (off(c.Enabled) || off(c.Status.Enabled)) {
			m.why = "method.disabled"
		}
		u.methods = append(u.methods, m)
	}
	slices.SortStableFunc(p.Rules, func(x, y ogRule) int { return cmp.Compare(x.Order, y.Order) })
	taken := false
	for _, r := range p.Rules {
		why := ""
		switch all := strings.ToLower(r.Criteria.Type); {
		case r.Action != "create-alert":
			why = "rule.event"
		case off(r.Enabled):
			why = "rule.disabled"
		case all != "" && all != "match-all" || len(r.Restriction) > 0 && string(r.Restriction) != "null":
			why = "rule.condition"
		case taken:
			why = "rule.second"
		default:
			taken = true
		}
		name := cmp.Or(r.Name, string(r.ID))
		if why != "" {
			u.rules = append(u.rules, rule{name: name, why: why})
			continue
		}
		for i, s := range r.Steps {
			one := rule{name: name + " " + strconv.Itoa(i+1), after: s.SendAfter.duration(), method: key(s.Contact.Method, s.Contact.To)}
			if off(s.Enabled) {
				one.why = "rule.disabled"
			}
			u.rules = append(u.rules, one)
		}
		if r.Repeat != nil && r.Repeat.Enabled {
			u.rules = append(u.rules, rule{name: name + " repeat", why: "rule.repeat"})
		}
	}
	return u
}

func (b *builder) ogSchedule(x *ogData, s ogSchedule) {
	t := b.thing("schedule", cmp.Or(s.Name, string(s.ID)))
	// All rotations of a schedule are on duty at once.
	d := &duty{id: string(s.ID), name: s.Name, loc: location(s.TimeZone, b.zone), concurrent: true}
	if !validZone(s.TimeZone) {
		t.differs("schedule.zone", "zone", clean(s.TimeZone), "used", d.loc.String())
	}
	if off(s.Enabled) {
		t.lost("schedule.disabled")
		return
	}
	for _, r := range s.Rotations {
		b.ogRotation(x, d, t.from, r)
	}
	for _, o := range s.Overrides {
		ot := b.thing("override", t.from+" "+o.Start)
		if len(o.Rotations) > 0 && len(s.Rotations) > 1 {
			ot.differs("override.rotations")
		}
		d.overrides = append(d.overrides, override{t: ot, person: b.people[b.ogPerson(o.User)], from: at(o.Start), to: at(o.End)})
	}
	b.schedule(t, d)
}

func (b *builder) ogRotation(x *ogData, d *duty, name string, r ogRotation) {
	t := b.thing("rotation", name+" / "+cmp.Or(r.Name, string(r.ID)))
	if off(r.Enabled) {
		t.lost("rotation.disabled")
		return
	}
	out := &layer{name: r.Name, first: at(r.Start), until: end(t, r.End), week: wholeWeek}
	length := min(max(r.Length, 1), maxTurn/7)
	switch r.Type {
	case "hourly":
		out.turn = turn{n: int(length)}
	case "weekly":
		out.turn = turn{n: int(length) * 7, days: true}
	case "daily":
		out.turn = turn{n: int(length), days: true}
	default:
		out.turn = turn{n: int(length), days: true}
		t.differs("rotation.type", "type", clean(r.Type))
	}
	for _, p := range r.Participants {
		var ids []string
		switch p.Type {
		case "none":
			out.groups = append(out.groups, nil)
			continue
		case "team":
			ids = x.members[cmp.Or(string(p.ID), x.teamNames[p.Name])]["all"]
			t.differs("rotation.team", "name", clean(cmp.Or(p.Name, string(p.ID))))
		case "escalation":
			ids = x.first[string(p.ID)]
			t.differs("rotation.escalation", "name", clean(cmp.Or(p.Name, string(p.ID))))
		default:
			ids = []string{b.ogPerson(p)}
		}
		g, missing := b.group(ids)
		if missing > 0 {
			t.differs("people.missing", "count", missing)
		}
		out.groups = append(out.groups, g)
	}
	if r.Restriction != nil {
		out.week = r.Restriction.week()
	}
	b.layer(d, t, out)
}

func (r *ogRestriction) week() *week {
	var spans []span
	for _, c := range append(slices.Clone(r.Restrictions), r.Restriction) {
		if c == nil {
			continue
		}
		clamp := func(h, m int) int { return min(max(h, 0), 24)*60 + min(max(m, 0), 59) }
		from, to := clamp(c.StartHour, c.StartMin), clamp(c.EndHour, c.EndMin)
		if r.Type == "weekday-and-time-of-day" || c.StartDay != "" {
			from += dayOf(c.StartDay) * dayMinutes
			to += dayOf(cmp.Or(c.EndDay, c.StartDay)) * dayMinutes
			if to <= from {
				to += weekMinutes
			}
			spans = append(spans, span{from, to - from})
			continue
		}
		if to <= from {
			to += dayMinutes
		}
		for day := range 7 {
			spans = append(spans, span{day*dayMinutes + from, to - from})
		}
	}
	if spans == nil {
		return wholeWeek
	}
	return weekOf(spans)
}

// dayOf reads a weekday by its first letters; Monday for one that is none.
func dayOf(s string) int {
	s = strings.ToLower(s)
	return max(slices.IndexFunc(weekdays, func(d string) bool { return strings.HasPrefix(s, d) || len(s) == 2 && strings.HasPrefix(d, s) }), 0)
}

func (b *builder) ogPolicy(x *ogData, p ogEscalation) {
	t := b.thing("policy", cmp.Or(p.Name, string(p.ID)))
	l := ladder{id: string(p.ID), name: p.Name, rounds: 1}
	for i, r := range p.Rules {
		// Delays count from the alert, not from the rule before.
		st := &step{t: b.thing("step", t.from+" "+strconv.Itoa(i+1)), after: r.Delay.duration()}
		if r.Condition == "if-not-closed" {
			st.t.differs("step.not_closed")
		}
		b.ogRecipient(x, st, r.Recipient, r.NotifyType)
		l.steps = append(l.steps, st)
	}
	if p.Repeat != nil && p.Repeat.Count > 0 {
		l.rounds, l.gap = min(p.Repeat.Count, 1000)+1, minutes(p.Repeat.Wait)
		if p.Repeat.Reset || p.Repeat.Close {
			t.differs("policy.repeat")
		}
	}
	b.policy(t, l)
}

func (b *builder) ogRecipient(x *ogData, st *step, r ogRef, notify string) {
	name := clean(r.name())
	switch r.Type {
	case "user":
		st.target(b.personTargets(st.t, b.ogPerson(r))...)
	case "schedule":
		found := b.scheduleTargets(cmp.Or(string(r.ID), x.schedules[r.Name]))
		if len(found) == 0 {
			st.t.differs("step.schedule", "name", name)
		}
		if notify != "" && notify != "default" {
			st.t.differs("step.notify", "type", clean(notify))
		}
		st.target(found...)
	case "team":
		id := cmp.Or(string(r.ID), x.teamNames[r.Name])
		switch notify {
		case "admins", "users":
			st.target(b.personTargets(st.t, x.members[id][strings.TrimSuffix(notify, "s")]...)...)
		default:
			if team := b.teams[id]; team != "" {
				st.target("team:" + team)
			}
			if notify == "random" {
				st.roundRobin = true
				st.t.differs("step.random")
			} else if notify != "all" {
				st.t.differs("step.team", "name", name)
			}
		}
	default:
		st.t.differs("step.target", "kind", clean(r.Type))
	}
}

func (s *session) opsgenie() error {
	for _, r := range []struct{ name, path string }{
		{"users", "/v2/users?limit=100"},
		{"teams", "/v2/teams"},
		{"schedules", "/v2/schedules?expand=rotation"},
		{"escalations", "/v2/escalations"},
		{"services", "/v1/services?limit=100"},
	} {
		list, err := s.ogList(r.path)
		if err != nil {
			return err
		}
		if err := s.add(r.name, list); err != nil {
			return err
		}
	}
	if err := s.embed("users", "contacts", func(id string) (any, error) { return s.ogList("/v2/users/" + id + "/contacts") }); err != nil {
		return err
	}
	if err := s.embed("users", "notificationRules", s.ogRules); err != nil {
		return err
	}
	if err := s.embed("schedules", "overrides", func(id string) (any, error) { return s.ogList("/v2/schedules/" + id + "/overrides") }); err != nil {
		return err
	}
	// The list of teams is without their members.
	return s.embed("teams", "members", func(id string) (any, error) {
		var one struct {
			Data struct {
				Members []json.RawMessage `json:"members"`
			} `json:"data"`
		}
		err := s.get(s.under("", "/v2/teams/"+id), &one)
		return slices.Concat([]json.RawMessage{}, one.Data.Members), err
	})
}

// ogRules reads the rules of a user; the list is without their steps.
func (s *session) ogRules(user string) (any, error) {
	list, err := s.ogList("/v2/users/" + user + "/notification-rules")
	if err != nil {
		return nil, err
	}
	for i, raw := range list {
		var r ogRule
		if json.Unmarshal(raw, &r) != nil || r.Action != "create-alert" || len(r.Steps) > 0 || r.ID == "" {
			continue
		}
		var one struct {
			Data json.RawMessage `json:"data"`
		}
		if err := s.get(s.under("", "/v2/users/"+user+"/notification-rules/"+url.PathEscape(string(r.ID))), &one); err != nil {
			return nil, err
		}
		if _, ok := object(one.Data); ok {
			list[i] = one.Data
		}
	}
	return list, nil
}

func (s *session) ogList(path string) ([]json.RawMessage, error) {
	out := []json.RawMessage{}
	for address := s.under("", path); address != ""; {
		var page struct {
			Data   []json.RawMessage `json:"data"`
			Paging struct {
				Next string `json:"next"`
			} `json:"paging"`
		}
		if err := s.get(address, &page); err != nil {
			return nil, err
		}
		if out = append(out, page.Data...); len(out) > maxObjects || page.Paging.Next == "" {
			break
		}
		var err error
		if address, err = s.next(page.Paging.Next); err != nil {
			return nil, err
		}
	}
	return out, nil
}
