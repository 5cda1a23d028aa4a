package transfer

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/orgfile"
	"tocsin/internal/text"
)

// Limits of definitions, as oncall has them.
const (
	maxRotations = 50
	maxPeople    = 200
	maxOverrides = 1000
	maxSteps     = 50
	maxTargets   = 50
	maxRounds    = 9
	maxLayers    = 60
	maxLanes     = 10
	maxName      = 200
)

// maxFile and maxItems are what an organisation file may hold, less some room for edits.
const (
	maxFile  = 4<<20 - 64<<10
	maxItems = 20_000
)

// builder makes the file and the report. The maps go from the ids of the product to those
// here.
type builder struct {
	file   *orgfile.File
	report Report
	now    time.Time
	zone   *time.Location

	people, teams, policies map[string]string
	// schedules have several here where there several people are on duty at once.
	schedules map[string][]string
	// taken are the ids given to things of the export, by kind.
	taken map[string]map[string]bool
	// kept are what the existing file has, by kind and id.
	kept map[string]map[string]bool
	// onDuty are the people of schedules and policies; fresh those who were not there.
	onDuty map[string]bool
	fresh  map[string]int
	names  map[string]string
	// mails and ids find people of the file, next the number of the next id of a base.
	mails, ids, next map[string]int
	// left is how many bytes the file may still take.
	left int
}

func newBuilder(product string, existing *orgfile.File, now time.Time) *builder {
	b := &builder{
		report: Report{Product: product}, now: now, zone: time.UTC,
		people: map[string]string{}, teams: map[string]string{}, policies: map[string]string{}, schedules: map[string][]string{},
		taken: map[string]map[string]bool{}, kept: map[string]map[string]bool{},
		onDuty: map[string]bool{}, fresh: map[string]int{}, names: map[string]string{},
		mails: map[string]int{}, ids: map[string]int{}, next: map[string]int{},
	}
	f := orgfile.File{APIVersion: orgfile.Version}
	if existing != nil {
		f = *existing
		b.zone = existing.Zone(time.UTC)
	}
	f.APIVersion = orgfile.Version
	f.People, f.Teams, f.Schedules = slices.Clone(f.People), slices.Clone(f.Teams), slices.Clone(f.Schedules)
	f.Policies, f.Services = slices.Clone(f.Policies), slices.Clone(f.Services)
	b.file = &f
	keep := func(kind, id string) {
		if b.kept[kind] == nil {
			b.kept[kind] = map[string]bool{}
		}
		b.kept[kind][id] = true
	}
	b.left = maxFile - size(&f)
	for i, x := range f.People {
		keep("user", x.ID)
		b.names[x.ID], b.mails[strings.ToLower(x.Email)], b.ids[x.ID] = x.Name, i, i
	}
	for _, x := range f.Teams {
		keep("team", x.ID)
	}
	for _, x := range f.Schedules {
		keep("schedule", x.ID)
	}
	for _, x := range f.Policies {
		keep("policy", x.ID)
	}
	for _, x := range f.Services {
		keep("service", x.ID)
	}
	return b
}

// size is how long a file is when it is written.
func size(f *orgfile.File) int {
	raw, err := orgfile.Export(f)
	if err != nil {
		return 0
	}
	return len(raw)
}

// takes tells whether the file takes n bytes more in a list of so many, and counts them.
func (b *builder) takes(items, n int) bool {
	if n > b.left || items >= maxItems {
		return false
	}
	b.left -= n
	return true
}

func (b *builder) finish() (*orgfile.File, Report) {
	for id, i := range b.fresh {
		p := &b.file.People[b.ids[id]]
		p.Access = kit.AccessViewer
		if b.onDuty[id] {
			p.Access = kit.AccessResponder
		}
		b.report.Lines[i].Args["access"] = string(p.Access)
	}
	return b.file, b.report
}

// thing is one thing of the export whose lines are being written.
type thing struct {
	b              *builder
	kind, from, to string
	lines          []Line
}

func (b *builder) thing(kind, from string) *thing {
	if from = clean(from); from == "" {
		from = "?"
	}
	return &thing{b: b, kind: kind, from: from}
}

func (t *thing) say(v Verdict, key string, pairs ...any) {
	l := Line{Kind: t.kind, From: t.from, Verdict: v, Key: "transfer." + key}
	for i := 0; i+1 < len(pairs); i += 2 {
		if l.Args == nil {
			l.Args = map[string]any{}
		}
		l.Args[pairs[i].(string)] = pairs[i+1]
	}
	if !slices.ContainsFunc(t.lines, func(o Line) bool { return o.Key == l.Key && maps.Equal(o.Args, l.Args) }) {
		t.lines = append(t.lines, l)
	}
}

// differs notes in what the thing is not the same here.
func (t *thing) differs(key string, pairs ...any) { t.say(Approximate, key, pairs...) }

// lost ends a thing that does not come over.
func (t *thing) lost(key string, pairs ...any) {
	t.lines, t.to = nil, ""
	t.say(None, key, pairs...)
	t.done()
}

// done ends a thing that is here as to: exactly when nothing differs.
func (t *thing) done() {
	if len(t.lines) == 0 {
		t.say(Exact, "exact")
	}
	switch t.lines[0].Verdict {
	case Exact:
		t.b.report.Exact++
	case Approximate:
		t.b.report.Approximate++
	case None:
		t.b.report.None++
	}
	for i := range t.lines {
		t.lines[i].To = t.to
	}
	t.b.report.Lines = append(t.b.report.Lines, t.lines...)
}

// clean brings a text to what a line of the file may hold; empty when nothing is left.
func clean(s string) string {
	s, err := text.Clean("", strings.ToValidUTF8(s, ""), 4*len(s)+1, false)
	if err != nil {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) && r != ' ' {
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > maxName {
		s = string([]rune(s)[:maxName])
	}
	return strings.TrimSpace(s)
}

// slug makes an id of a name; empty when no letter or digit is in it.
func slug(name string) string {
	var out []byte
	for _, r := range text.Fold(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			out = append(out, byte(r))
		case len(out) > 0 && out[len(out)-1] != '-':
			out = append(out, '-')
		}
		if len(out) == 56 {
			break
		}
	}
	return strings.Trim(string(out), "-")
}

// id gives a thing of the export an id of its own, made of the first name that makes one.
// free says which ids must not be taken besides.
func (b *builder) id(kind string, free func(id string) bool, names ...string) string {
	base := kind
	for _, n := range names {
		if s := slug(n); s != "" {
			base = s
			break
		}
	}
	if b.taken[kind] == nil {
		b.taken[kind] = map[string]bool{}
	}
	id := base
	for b.taken[kind][id] || !free(id) {
		n := max(b.next[kind+base], 2)
		b.next[kind+base] = n + 1
		id = base + "-" + strconv.Itoa(n)
	}
	b.taken[kind][id] = true
	return id
}

// put keeps what a thing there is here; one without an id is named by nobody.
func put(m map[string]string, there, here string) {
	if there != "" {
		m[there] = here
	}
}

func anyID(string) bool { return true }

// user is somebody as the products have them.
type user struct {
	id, name, email, zone, language, slack string
	// role is the word there; above tells that it may do more than answer.
	role    string
	above   bool
	methods []method
	rules   []rule
}

// method is an address. id is how rules name it.
type method struct {
	id, name, kind, to string
	// why is the key of why it does not come over.
	why string
}

// rule is when a method is used. urgent and calm tell for what; both is for everything.
type rule struct {
	name         string
	after        time.Duration
	method       string
	urgent, calm bool
	why          string
}

// size is how long somebody at most becomes in the file.
func (u user) size() int {
	n := 400 + 2*(min(len(u.name), 4*maxName)+len(u.email)+len(u.zone)+min(len(u.slack), 4*maxName)) + 120*len(u.rules)
	for _, m := range u.methods {
		n += 120 + 2*min(len(m.to), 4*maxName)
	}
	return n
}

func validMail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && clean(s) == s
}

func validZone(s string) bool {
	if s == "" || s == "Local" {
		return false
	}
	_, err := time.LoadLocation(s)
	return err == nil
}

func location(name string, otherwise *time.Location) *time.Location {
	if !validZone(name) {
		return otherwise
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return otherwise
	}
	return l
}

func (b *builder) user(u user) {
	email := strings.TrimSpace(u.email)
	name := cmp.Or(clean(u.name), clean(email), clean(u.id))
	t := b.thing("user", cmp.Or(clean(email), name))
	i, known := b.mails[strings.ToLower(email)]
	fresh := !known
	why := ""
	if !validMail(email) {
		why = "user.no_address"
	} else if fresh && !b.takes(len(b.file.People), u.size()) {
		why = "full"
	}
	if why != "" {
		t.lost(why)
		for _, m := range u.methods {
			b.thing("contact_method", name+" "+cmp.Or(m.name, m.to, m.kind)).lost("of_lost", "name", name)
		}
		for _, r := range u.rules {
			b.thing("rule", name+" "+r.name).lost("of_lost", "name", name)
		}
		return
	}
	if fresh {
		local, _, _ := strings.Cut(email, "@")
		id := b.id("user", func(id string) bool { return !b.kept["user"][id] }, local, name)
		p := orgfile.Person{ID: id, Name: name, Email: email}
		if u.zone != "" && validZone(u.zone) && u.zone != b.zone.String() {
			p.Timezone = u.zone
		} else if u.zone != "" && !validZone(u.zone) {
			t.differs("user.zone", "zone", clean(u.zone))
		}
		switch lang, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(u.language, "-", "_")), "_"); lang {
		case "", "fr", "en":
			p.Language = lang
		default:
			t.differs("user.language", "language", clean(u.language))
		}
		p.Slack = clean(u.slack)
		i = len(b.file.People)
		b.file.People = append(b.file.People, p)
		b.mails[strings.ToLower(email)], b.ids[id] = i, i
	}
	p := &b.file.People[i]
	t.to = p.ID
	b.names[p.ID] = p.Name
	put(b.people, u.id, p.ID)
	_, twice := b.fresh[p.ID]
	switch {
	case !fresh && !twice:
		t.say(Exact, "user.known", "access", string(cmp.Or(p.Access, kit.AccessViewer)))
	case twice:
		t.differs("user.twice", "id", p.ID)
	case u.above:
		t.differs("user.role", "role", clean(u.role), "access", "")
		b.fresh[p.ID] = len(b.report.Lines) + len(t.lines) - 1
	default:
		v := Exact
		if len(t.lines) > 0 {
			v = Approximate
		}
		t.say(v, "user.made", "access", "")
		b.fresh[p.ID] = len(b.report.Lines) + len(t.lines) - 1
	}
	t.done()
	b.methods(p, u)
}

func (b *builder) methods(p *orgfile.Person, u user) {
	have := slices.Clone(p.ContactMethods())
	before := len(have)
	if len(p.Methods) == 0 && !b.kept["user"][p.ID] && len(u.methods) > 0 {
		have, before = nil, 0
	}
	byID := map[string]string{}
	for _, m := range u.methods {
		t := b.thing("contact_method", p.Name+" "+cmp.Or(m.name, m.to, m.kind))
		to := clean(m.to)
		if m.why == "" && to == "" {
			m.why = "method.empty"
		}
		if m.why != "" {
			t.lost(m.why, "kind", clean(m.kind))
			continue
		}
		i := slices.IndexFunc(have, func(h orgfile.Method) bool { return h.Kind == m.kind && strings.EqualFold(h.To, to) })
		if i < 0 && b.kept["user"][p.ID] && !b.takes(0, 120+2*len(to)) {
			t.lost("full")
			continue
		}
		if i < 0 {
			base := map[string]string{"email": "mail", "webhook": "hook", "slack": "chat"}[m.kind]
			base = cmp.Or(base, m.kind)
			id := base
			for n := 2; slices.ContainsFunc(have, func(h orgfile.Method) bool { return h.ID == id }); n++ {
				id = base + "-" + strconv.Itoa(n)
			}
			have = append(have, orgfile.Method{ID: id, Kind: m.kind, To: to})
			i = len(have) - 1
		}
		byID[m.id], t.to = have[i].ID, have[i].ID
		t.done()
	}
	if len(have) > before {
		p.Methods = have
	}
	b.rules(p, u.rules, byID)
}

// urgentOnly and calmOnly are what urgency is here, where it decides.
var (
	urgentOnly = []string{"sev1", "sev2"}
	calmOnly   = []string{"sev3", "sev4"}
)

func (b *builder) rules(p *orgfile.Person, in []rule, byID map[string]string) {
	type ready struct {
		orgfile.Rule
		urgent, calm bool
		t            *thing
	}
	var list []ready
	for _, r := range in {
		t := b.thing("rule", p.Name+" "+r.name)
		id, ok := byID[r.method]
		switch {
		case r.why != "":
			t.lost(r.why)
			continue
		case !ok:
			t.lost("rule.method")
			continue
		}
		after := min(max(r.after, 0), 30*24*time.Hour)
		i := slices.IndexFunc(list, func(o ready) bool { return o.Method == id && o.After.String() == durationOf(after).String() })
		if i < 0 {
			list = append(list, ready{orgfile.Rule{After: durationOf(after), Method: id}, r.urgent, r.calm, t})
			continue
		}
		list[i].urgent, list[i].calm = list[i].urgent || r.urgent, list[i].calm || r.calm
		t.to = id
		t.done()
	}
	slices.SortStableFunc(list, func(x, y ready) int { return cmp.Compare(x.After, y.After) })
	urgent := slices.ContainsFunc(list, func(r ready) bool { return r.urgent })
	calm := slices.ContainsFunc(list, func(r ready) bool { return r.calm })
	var out []orgfile.Rule
	for i := range list {
		r := &list[i]
		if urgent && calm && r.urgent != r.calm {
			r.Severities = calmOnly
			if r.urgent {
				r.Severities = urgentOnly
			}
			r.t.differs("rule.urgency", "severities", strings.Join(r.Severities, ", "))
		}
		out = append(out, r.Rule)
	}
	written := len(p.Notify) > 0
	same := slices.EqualFunc(p.Notify, out, func(x, y orgfile.Rule) bool {
		return x.After == y.After && x.Method == y.Method && slices.Equal(x.Severities, y.Severities)
	})
	for _, r := range list {
		r.t.to = r.Method
		if written && !same {
			r.t.to, r.t.lines = "", nil
			r.t.differs("rule.kept")
		}
		r.t.done()
	}
	if !written {
		p.Notify = out
	}
}

// team makes a team of those members who came over.
func (b *builder) team(id, name string, members []string, why string) {
	t := b.thing("team", cmp.Or(clean(name), id))
	if why != "" {
		t.lost(why)
		return
	}
	var known []string
	missing := 0
	for _, m := range members {
		if p, ok := b.people[m]; !ok {
			missing++
		} else if !slices.Contains(known, p) {
			known = append(known, p)
		}
	}
	if len(known) == 0 {
		t.lost("team.empty")
		return
	}
	if missing > 0 {
		t.differs("people.missing", "count", missing)
	}
	team := identity.Team{ID: b.id("team", anyID, name, id), Name: clean(name), Members: known}
	if !b.kept["team"][team.ID] && !b.takes(len(b.file.Teams), size(&orgfile.File{Teams: []identity.Team{team}})) {
		t.lost("full")
		return
	}
	put(b.teams, id, team.ID)
	t.to = team.ID
	i := slices.IndexFunc(b.file.Teams, func(o identity.Team) bool { return o.ID == team.ID })
	switch {
	case i < 0:
		b.file.Teams = append(b.file.Teams, team)
	case !same(b.file.Teams[i], team):
		t.lines = nil
		t.differs("kept", "id", team.ID)
	}
	t.done()
}

// same compares what two things are in the file.
func same(x, y any) bool {
	a, err := json.Marshal(x)
	c, err2 := json.Marshal(y)
	return err == nil && err2 == nil && string(a) == string(c)
}

// service makes a service. policy is the id of the policy there, empty for none.
func (b *builder) service(t *thing, id, name, policy string, attributes map[string]string) {
	s := orgfile.Service{ID: b.id("service", anyID, name, id), Name: kit.Both(clean(name)), Attributes: attributes}
	if !b.kept["service"][s.ID] && !b.takes(len(b.file.Services), size(&orgfile.File{Services: []orgfile.Service{s}})+len(policy)+80) {
		t.lost("full")
		return
	}
	t.to = s.ID
	if policy != "" {
		if s.Policy = b.policies[policy]; s.Policy == "" {
			t.differs("service.policy")
		}
	}
	i := slices.IndexFunc(b.file.Services, func(o orgfile.Service) bool { return o.ID == s.ID })
	switch {
	case i < 0:
		b.file.Services = append(b.file.Services, s)
	case !same(b.file.Services[i], s):
		t.lines = nil
		t.differs("kept", "id", s.ID)
	}
	t.done()
}

// unread reports the resources of which nothing is taken.
func (b *builder) unread(e *Export) {
	for _, name := range slices.Sorted(maps.Keys(e.Resources)) {
		if _, ok := shapes[e.Product][name]; !ok && len(e.Resources[name]) > 0 {
			b.thing("resource", name).lost("resource", "count", len(e.Resources[name]))
		}
	}
}
