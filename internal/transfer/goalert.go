package transfer

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
)

type gaDest struct {
	Type string            `json:"type"`
	Args map[string]string `json:"args"`
}

type gaUser struct {
	ID      word   `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Role    string `json:"role"`
	Methods []struct {
		ID       word    `json:"id"`
		Name     string  `json:"name"`
		Type     string  `json:"type"`
		Value    string  `json:"value"`
		Dest     *gaDest `json:"dest"`
		Disabled bool    `json:"disabled"`
		Pending  bool    `json:"pending"`
	} `json:"contactMethods"`
	Rules []struct {
		Delay  int64 `json:"delayMinutes"`
		Method word  `json:"contactMethodID"`
	} `json:"notificationRules"`
}

type gaRef struct {
	ID   word   `json:"id"`
	Type string `json:"type"`
	Name string `json:"name"`
}

type gaRotation struct {
	ID      word     `json:"id"`
	Name    string   `json:"name"`
	Zone    string   `json:"timeZone"`
	Start   string   `json:"start"`
	Type    string   `json:"type"`
	Length  int64    `json:"shiftLength"`
	Active  int      `json:"activeUserIndex"`
	Users   []word   `json:"userIDs"`
	Handoff []string `json:"nextHandoffTimes"`
}

type gaSchedule struct {
	ID      word   `json:"id"`
	Name    string `json:"name"`
	Zone    string `json:"timeZone"`
	Targets []struct {
		Target gaRef `json:"target"`
		Rules  []struct {
			Start string `json:"start"`
			End   string `json:"end"`
			// Days begin with Sunday.
			Days []bool `json:"weekdayFilter"`
		} `json:"rules"`
	} `json:"targets"`
	Temporary []struct {
		Shifts []gaShift `json:"shifts"`
	} `json:"temporarySchedules"`
	Overrides []gaOverride `json:"overrides"`
}

type gaShift struct {
	User  word   `json:"userID"`
	Start string `json:"start"`
	End   string `json:"end"`
}

type gaOverride struct {
	ID     word   `json:"id"`
	Start  string `json:"start"`
	End    string `json:"end"`
	Add    word   `json:"addUserID"`
	Remove word   `json:"removeUserID"`
	Target gaRef  `json:"target"`
}

type gaPolicy struct {
	ID     word   `json:"id"`
	Name   string `json:"name"`
	Repeat int64  `json:"repeat"`
	Steps  []struct {
		Number  int      `json:"stepNumber"`
		Delay   int64    `json:"delayMinutes"`
		Targets []gaRef  `json:"targets"`
		Actions []gaDest `json:"actions"`
	} `json:"steps"`
}

type gaService struct {
	ID       word   `json:"id"`
	Name     string `json:"name"`
	PolicyID word   `json:"escalationPolicyID"`
	Policy   gaRef  `json:"escalationPolicy"`
	Labels   []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"labels"`
	Heartbeats []gaRef `json:"heartbeatMonitors"`
	Keys       []gaRef `json:"integrationKeys"`
}

func (b *builder) goAlert(e *Export) {
	for _, u := range all[gaUser](e, "users") {
		b.user(u.user())
	}
	rotations := map[string]gaRotation{}
	used := map[string]bool{}
	for _, r := range all[gaRotation](e, "rotations") {
		rotations[string(r.ID)] = r
	}
	loose := all[gaOverride](e, "userOverrides")
	known := map[word]bool{}
	for _, s := range all[gaSchedule](e, "schedules") {
		known[s.ID] = true
		for _, o := range loose {
			if o.Target.ID != "" && o.Target.ID == s.ID {
				s.Overrides = append(s.Overrides, o)
			}
		}
		b.gaSchedule(s, rotations, used)
	}
	for _, o := range loose {
		if !known[o.Target.ID] {
			b.thing("override", cmp.Or(o.Target.Name, string(o.Target.ID))+" "+o.Start).lost("of_lost", "name", clean(cmp.Or(o.Target.Name, string(o.Target.ID))))
		}
	}
	for _, p := range all[gaPolicy](e, "escalationPolicies") {
		b.gaPolicy(p, rotations, used)
	}
	for _, r := range all[gaRotation](e, "rotations") {
		if !used[string(r.ID)] {
			b.thing("rotation", cmp.Or(r.Name, string(r.ID))).lost("rotation.unused")
		}
	}
	for _, s := range all[gaService](e, "services") {
		b.gaService(s)
	}
}

func (p gaUser) user() user {
	u := user{id: string(p.ID), name: p.Name, email: p.Email, role: p.Role, above: p.Role == "admin"}
	names := map[word]string{}
	for _, m := range p.Methods {
		kind, to := m.Type, m.Value
		if m.Dest != nil && m.Dest.Type != "" {
			kind = m.Dest.Type
			for _, arg := range []string{"phone_number", "email_address", "webhook_url", "slack_user_id"} {
				to = cmp.Or(m.Dest.Args[arg], to)
			}
		}
		out := method{id: string(m.ID), name: m.Name, to: to}
		switch kind {
		case "SMS", "builtin-twilio-sms":
			out.kind, out.to = "sms", phone("", to)
		case "VOICE", "builtin-twilio-voice":
			out.kind, out.to = "voice", phone("", to)
		case "EMAIL", "builtin-smtp-email":
			out.kind = "email"
		case "WEBHOOK", "builtin-webhook":
			out.kind = "webhook"
		case "SLACK", "SLACK_DM", "builtin-slack-dm":
			out.kind, u.slack = "slack", cmp.Or(u.slack, to)
		default:
			out.kind, out.why = kind, "method.kind"
		}
		if out.why == "" && (m.Disabled || m.Pending) {
			out.why = "method.disabled"
		}
		names[m.ID] = m.Name
		u.methods = append(u.methods, out)
	}
	for _, r := range p.Rules {
		u.rules = append(u.rules, rule{
			name: strings.TrimSpace(strconv.FormatInt(r.Delay, 10) + " min " + names[r.Method]), after: minutes(r.Delay), method: string(r.Method),
		})
	}
	return u
}

func (b *builder) gaSchedule(s gaSchedule, rotations map[string]gaRotation, used map[string]bool) {
	t := b.thing("schedule", cmp.Or(s.Name, string(s.ID)))
	// All targets of a schedule are on duty at once.
	d := &duty{id: string(s.ID), name: s.Name, loc: location(s.Zone, b.zone), concurrent: true}
	if !validZone(s.Zone) {
		t.differs("schedule.zone", "zone", clean(s.Zone), "used", d.loc.String())
	}
	for _, target := range s.Targets {
		rt := b.thing("rotation", t.from+" / "+cmp.Or(target.Target.Name, string(target.Target.ID)))
		var l *layer
		switch target.Target.Type {
		case "user":
			g, missing := b.group([]string{string(target.Target.ID)})
			if missing > 0 {
				rt.differs("people.missing", "count", missing)
			}
			// Anybody alone needs no date to be counted from.
			l = &layer{groups: [][]string{g}, first: time.Date(2024, 1, 1, 0, 0, 0, 0, d.loc), turn: turn{n: 7, days: true}}
		case "rotation":
			r, ok := rotations[string(target.Target.ID)]
			if !ok {
				rt.lost("rotation.unknown")
				continue
			}
			used[string(target.Target.ID)] = true
			l = b.gaRotation(rt, d, r)
		default:
			rt.lost("step.target", "kind", clean(target.Target.Type))
			continue
		}
		var spans []span
		for _, r := range target.Rules {
			from, ok := clockOf(r.Start)
			to, ok2 := clockOf(r.End)
			if !ok || !ok2 {
				rt.differs("rotation.seconds")
			}
			length := mod(to-from, dayMinutes)
			if length == 0 {
				length = dayMinutes
			}
			for day := range 7 {
				if sunday := (day + 1) % 7; len(r.Days) == 0 || sunday < len(r.Days) && r.Days[sunday] {
					spans = append(spans, span{day*dayMinutes + from, length})
				}
			}
		}
		l.week = weekOf(spans)
		b.layer(d, rt, l)
	}
	b.gaOverrides(d, t.from, s)
	b.schedule(t, d)
}

func (b *builder) gaOverrides(d *duty, name string, s gaSchedule) {
	for _, o := range s.Overrides {
		out := override{t: b.thing("override", name+" "+o.Start), person: b.people[string(o.Add)], from: at(o.Start), to: at(o.End)}
		switch {
		case o.Add == "":
			out.t.lost("override.remove")
			continue
		case o.Remove == "":
			out.besides = true
		case b.people[string(o.Remove)] == "":
			out.t.lost("override.person")
			continue
		default:
			out.instead = b.people[string(o.Remove)]
		}
		d.overrides = append(d.overrides, out)
	}
	for _, tmp := range s.Temporary {
		var ends []time.Time
		shifts := slices.Clone(tmp.Shifts)
		slices.SortStableFunc(shifts, func(x, y gaShift) int { return at(x.Start).Compare(at(y.Start)) })
		var rows [][]override
		for _, sh := range shifts {
			o := override{t: b.thing("override", name+" "+sh.Start), person: b.people[string(sh.User)], from: at(sh.Start), to: at(sh.End)}
			o.t.differs("override.temporary")
			row := slices.IndexFunc(ends, func(e time.Time) bool { return !e.After(o.from) })
			if row < 0 {
				row = len(ends)
				ends, rows = append(ends, o.to), append(rows, nil)
			}
			o.row, ends[row] = row, o.to
			rows[row] = append(rows[row], o)
		}
		// The first row stands for everybody, so that it comes before the others.
		d.overrides = append(d.overrides, slices.Concat(rows...)...)
	}
}

// gaRotation makes a layer. Who is on duty is not counted from the start of the rotation,
// which gives only the time of handover, but is its active user until the next handover.
func (b *builder) gaRotation(t *thing, d *duty, r gaRotation) *layer {
	l := &layer{name: r.Name, week: wholeWeek}
	n := int(min(max(r.Length, 1), maxTurn/30))
	switch r.Type {
	case "hourly":
		l.turn = turn{n: n}
	case "daily":
		l.turn = turn{n: n, days: true}
	case "monthly":
		l.turn = turn{n: 30 * n, days: true}
		t.differs("rotation.monthly", "shift", l.turn.String())
	default:
		l.turn = turn{n: 7 * n, days: true}
	}
	missing := 0
	for _, u := range r.Users {
		g, m := b.group([]string{string(u)})
		missing += m
		l.groups = append(l.groups, g)
	}
	if missing > 0 {
		t.differs("people.missing", "count", missing)
	}
	loc := location(r.Zone, d.loc)
	if loc.String() != d.loc.String() {
		t.differs("rotation.zone", "zone", loc.String())
	}
	start := at(r.Start)
	if start.IsZero() || len(l.groups) == 0 {
		return l
	}
	if len(r.Handoff) > 0 && !at(r.Handoff[0]).IsZero() {
		l.first = l.turn.plus(at(r.Handoff[0]), -1, loc)
	} else {
		l.first = l.turn.plus(start, l.turn.number(start, b.now, loc), loc)
		t.differs("rotation.handoff")
	}
	k := mod(r.Active, len(l.groups))
	l.groups = append(slices.Clone(l.groups[k:]), l.groups[:k]...)
	return l
}

func (b *builder) gaPolicy(p gaPolicy, rotations map[string]gaRotation, used map[string]bool) {
	t := b.thing("policy", cmp.Or(p.Name, string(p.ID)))
	l := ladder{id: string(p.ID), name: p.Name, rounds: min(max(p.Repeat, 0), 1000) + 1}
	steps := slices.Clone(p.Steps)
	var after time.Duration
	for i, s := range steps {
		st := &step{t: b.thing("step", t.from+" "+strconv.Itoa(i+1)), after: min(after, 30*24*time.Hour)}
		targets := s.Targets
		if len(s.Actions) > 0 {
			targets = nil
			for _, a := range s.Actions {
				kind := strings.TrimPrefix(a.Type, "builtin-")
				targets = append(targets, gaRef{ID: word(a.Args[kind+"_id"]), Type: kind})
			}
		}
		for _, target := range targets {
			id := string(target.ID)
			switch target.Type {
			case "user":
				st.target(b.personTargets(st.t, id)...)
			case "schedule":
				found := b.scheduleTargets(id)
				if len(found) == 0 {
					st.t.differs("step.schedule", "name", clean(cmp.Or(target.Name, id)))
				}
				st.target(found...)
			case "rotation":
				st.target(b.gaRotationTarget(st, id, rotations, used)...)
			default:
				st.t.differs("step.target", "kind", clean(target.Type))
			}
		}
		l.steps = append(l.steps, st)
		l.gap = minutes(s.Delay)
		after += l.gap
	}
	b.policy(t, l)
}

// gaRotationTarget makes a schedule of a rotation that a step pages without one.
func (b *builder) gaRotationTarget(st *step, id string, rotations map[string]gaRotation, used map[string]bool) []string {
	const own = "rotation "
	r, ok := rotations[id]
	if !ok {
		st.t.differs("step.schedule", "name", clean(id))
		return nil
	}
	if _, done := b.schedules[own+id]; !done {
		used[id] = true
		t := b.thing("schedule", cmp.Or(r.Name, id))
		t.differs("schedule.rotation")
		rt := b.thing("rotation", cmp.Or(r.Name, id))
		d := &duty{id: own + id, name: r.Name, loc: location(r.Zone, b.zone)}
		b.layer(d, rt, b.gaRotation(rt, d, r))
		b.schedule(t, d)
	}
	return b.scheduleTargets(own + id)
}

var attributeKey = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,100}$`)

func (b *builder) gaService(s gaService) {
	t := b.thing("service", cmp.Or(s.Name, string(s.ID)))
	var attributes map[string]string
	for _, l := range s.Labels {
		v := clean(l.Value)
		if !attributeKey.MatchString(l.Key) || v == "" {
			t.differs("service.label", "name", clean(l.Key))
			continue
		}
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes[l.Key] = v
	}
	if len(s.Heartbeats) > 0 {
		t.differs("service.heartbeats", "count", len(s.Heartbeats))
	}
	if len(s.Keys) > 0 {
		t.differs("service.integrations", "count", len(s.Keys))
	}
	b.service(t, string(s.ID), s.Name, string(cmp.Or(s.PolicyID, s.Policy.ID)), attributes)
}

// gaQueries read one page each; $after is the cursor.
var gaQueries = []struct{ resource, fields string }{
	{"users", `id name email role contactMethods { id name type value disabled pending } notificationRules { id delayMinutes contactMethodID }`},
	{"rotations", `id name description timeZone start type shiftLength activeUserIndex userIDs nextHandoffTimes(num: 1)`},
	{"schedules", `id name description timeZone targets { target { id type name } rules { start end weekdayFilter } }
		temporarySchedules { start end shifts { userID start end } }`},
	{"userOverrides", `id start end addUserID removeUserID target { id type name }`},
	{"escalationPolicies", `id name description repeat steps { id stepNumber delayMinutes targets { id type name } }`},
	{"services", `id name description escalationPolicyID labels { key value } heartbeatMonitors { id name } integrationKeys { id type name }`},
}

func (s *session) goAlert() error {
	for _, q := range gaQueries {
		query := "query($after: String) { list: " + q.resource + "(input: {first: 50, after: $after}) { nodes { " + q.fields + " } pageInfo { hasNextPage endCursor } } }"
		for after := ""; ; {
			body, err := json.Marshal(map[string]any{"query": query, "variables": map[string]any{"after": after}})
			if err != nil {
				return kit.Internal(err)
			}
			var page struct {
				Data struct {
					List struct {
						Nodes []json.RawMessage `json:"nodes"`
						Info  struct {
							More   bool   `json:"hasNextPage"`
							Cursor string `json:"endCursor"`
						} `json:"pageInfo"`
					} `json:"list"`
				} `json:"data"`
				Errors []struct {
					Message string `json:"message"`
				} `json:"errors"`
			}
			if err := s.ask(http.MethodPost, s.under("/api/graphql", ""), body, &page); err != nil {
				return err
			}
			if len(page.Errors) > 0 {
				return kit.InvalidField("url", "transfer.error.graphql", "message", clean(page.Errors[0].Message))
			}
			if err := s.add(q.resource, page.Data.List.Nodes); err != nil {
				return err
			}
			if !page.Data.List.Info.More || page.Data.List.Info.Cursor == after {
				break
			}
			after = page.Data.List.Info.Cursor
		}
	}
	return nil
}
