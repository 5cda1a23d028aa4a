// Package orgfile reads and writes the organisation file (YAML, tocsin/v1): what
// an installation is, in one text. Parse finds every error of a file at once, each
// with its line and path; Export writes the same file back; Schema describes it.
package orgfile

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// Version is the only apiVersion.
const Version = "tocsin/v1"

// File is an organisation file. A section that the file does not have is nil.
type File struct {
	APIVersion   string                 `json:"apiVersion"`
	Organisation *identity.Organisation `json:"organisation,omitempty"`
	People       []Person               `json:"people,omitempty"`
	Teams        []identity.Team        `json:"teams,omitempty"`
	Schedules    []oncall.Schedule      `json:"schedules,omitempty"`
	Roles        map[kit.Role][]string  `json:"roles,omitempty"`
	Policies     []oncall.Policy        `json:"policies,omitempty"`
	// Levels is what differs from the default response levels: severity, row, value.
	Levels      map[string]map[string]string `json:"levels,omitempty"`
	Services    []Service                    `json:"services,omitempty"`
	Sources     []Source                     `json:"sources,omitempty"`
	Routes      []Route                      `json:"routes,omitempty"`
	Silences    []Silence                    `json:"silences,omitempty"`
	Maintenance []Maintenance                `json:"maintenance,omitempty"`
	// Parameters are P.* by name; parts of one are joined by a dot (P.ack.sev1).
	Parameters map[string]string `json:"parameters,omitempty"`
	Channels   *Channels         `json:"channels,omitempty"`
	// Kept are the sections whose module is not in this build, whole, by name.
	Kept map[string]json.RawMessage `json:"-"`
}

// Person is somebody with an account and how to reach them.
type Person struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Email      string      `json:"email"`
	Language   string      `json:"language,omitempty"`
	Timezone   string      `json:"timezone,omitempty"`
	Access     kit.Access  `json:"access,omitempty"`
	Slack      string      `json:"slack,omitempty"`
	Methods    []Method    `json:"contact_methods,omitempty"`
	Notify     []Rule      `json:"notify,omitempty"`
	QuietHours *QuietHours `json:"quiet_hours,omitempty"`
	Leave      []Leave     `json:"leave,omitempty"`
	Suspended  bool        `json:"suspended,omitempty"`
}

// Method is an address of one kind.
type Method struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	To   string `json:"to"`
}

// Rule says when a method is used after a page was opened.
type Rule struct {
	After      oncall.Duration `json:"after"`
	Method     string          `json:"method"`
	Severities []string        `json:"severities,omitempty"`
}

// QuietHours are local times, 22:00 to 07:00.
type QuietHours struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Timezone string `json:"timezone,omitempty"`
}

// Leave is a time away, as a date, a local date-time or an instant; a date at the
// end means the end of that day.
type Leave struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// ContactMethods are the person's methods, by default their address.
func (p Person) ContactMethods() []Method {
	if len(p.Methods) > 0 {
		return p.Methods
	}
	return []Method{{ID: "mail", Kind: "email", To: p.Email}}
}

// Rules are the person's rules for pages, by default each method in its order, two
// minutes apart.
func (p Person) Rules() []Rule {
	if len(p.Notify) > 0 {
		return p.Notify
	}
	var out []Rule
	for i, m := range p.ContactMethods() {
		out = append(out, Rule{After: oncall.Duration(time.Duration(i) * 2 * time.Minute), Method: m.ID})
	}
	return out
}

// Service is something the organisation runs.
type Service struct {
	ID         string            `json:"id"`
	Name       kit.Text          `json:"name,omitzero"`
	Owner      string            `json:"owner,omitempty"`
	Tier       string            `json:"tier,omitempty"`
	Policy     string            `json:"policy,omitempty"`
	Public     bool              `json:"public,omitempty"`
	Data       []string          `json:"data,omitempty"`
	Objectives *Objectives       `json:"objectives,omitempty"`
	Recovery   *Recovery         `json:"recovery,omitempty"`
	Needs      []Need            `json:"needs,omitempty"`
	Redundancy *Redundancy       `json:"redundancy,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Runbook    string            `json:"runbook,omitempty"`
}

// Objectives are the declared continuity targets; nil is unknown.
type Objectives struct {
	MTPD *oncall.Duration `json:"mtpd,omitempty"`
	RTO  *oncall.Duration `json:"rto,omitempty"`
	RPO  *oncall.Duration `json:"rpo,omitempty"`
	MBCO string           `json:"mbco,omitempty"`
}

// Recovery is the declared time to recover.
type Recovery struct {
	Own  *oncall.Duration `json:"own,omitempty"`
	WRT  *oncall.Duration `json:"wrt,omitempty"`
	Team string           `json:"team,omitempty"`
}

// Need is a dependency: on one service, or on Any of several.
type Need struct {
	Service string           `json:"service,omitempty"`
	Kind    string           `json:"kind,omitempty"`
	For     *oncall.Duration `json:"for,omitempty"`
	Any     int              `json:"any,omitempty"`
	Of      []string         `json:"of,omitempty"`
}

// Redundancy is how many there are, and how many are needed.
type Redundancy struct {
	Have     int              `json:"have,omitempty"`
	Need     int              `json:"need,omitempty"`
	Spread   []string         `json:"spread,omitempty"`
	Failover *oncall.Duration `json:"failover,omitempty"`
	Mode     string           `json:"mode,omitempty"`
	Beta     string           `json:"beta,omitempty"`
}

// Source is a sender of signals.
type Source struct {
	ID          string            `json:"id"`
	Kind        string            `json:"kind"`
	Service     string            `json:"service,omitempty"`
	Key         string            `json:"key,omitempty"`
	SecretFile  string            `json:"secret_file,omitempty"`
	SilentAfter *oncall.Duration  `json:"silent_after,omitempty"`
	Every       *oncall.Duration  `json:"every,omitempty"`
	Grace       *oncall.Duration  `json:"grace,omitempty"`
	Probe       json.RawMessage   `json:"probe,omitempty"`
	Map         map[string]string `json:"map,omitempty"`
	SeverityMap map[string]string `json:"severity_map,omitempty"`
}

// Route says what becomes of a new alert; the first that matches decides.
type Route struct {
	ID       string           `json:"id,omitempty"`
	When     string           `json:"when,omitempty"`
	Then     string           `json:"then"`
	Severity string           `json:"severity,omitempty"`
	Kind     string           `json:"kind,omitempty"`
	Policy   string           `json:"policy,omitempty"`
	Group    []string         `json:"group,omitempty"`
	Window   *oncall.Duration `json:"window,omitempty"`
	Reason   string           `json:"reason,omitempty"`
}

// Silence holds the alerts back that its matchers mean, each written as Alertmanager
// does: alertname="Down", instance=~"db.*". From and To are dates, local date-times in
// the organisation's zone or instants; no From is from now on, a date as the end means
// the end of that day.
type Silence struct {
	Matchers []string `json:"matchers"`
	From     string   `json:"from,omitempty"`
	To       string   `json:"to"`
	Reason   string   `json:"reason"`
}

// Maintenance is planned work on services, with times as those of Silence.
type Maintenance struct {
	Services []string `json:"services"`
	From     string   `json:"from,omitempty"`
	To       string   `json:"to"`
	Reason   string   `json:"reason"`
	Public   bool     `json:"public,omitempty"`
}

// Instant reads a time of the file in the zone loc; a date as an end is the end of
// that day. The zero time for an empty text, and for one that Parse refuses.
func Instant(s string, loc *time.Location, end bool) time.Time {
	t, _ := instant(s, loc, end)
	return t
}

// Channels are the ways out.
type Channels struct {
	Slack    *Slack           `json:"slack,omitempty"`
	SMTP     *SMTP            `json:"smtp,omitempty"`
	SMS      *Gateway         `json:"sms,omitempty"`
	Voice    *Gateway         `json:"voice,omitempty"`
	Push     json.RawMessage  `json:"push,omitempty"`
	Webhooks []Webhook        `json:"webhooks,omitempty"`
	List     []ChannelAddress `json:"list,omitempty"`
}

// Slack is the connection to a workspace; secrets stand in files.
type Slack struct {
	Incidents         string `json:"incidents,omitempty"`
	APIURL            string `json:"api_url,omitempty"`
	TokenFile         string `json:"token_file,omitempty"`
	SigningSecretFile string `json:"signing_secret_file,omitempty"`
	AppTokenFile      string `json:"app_token_file,omitempty"`
	Mode              string `json:"mode,omitempty"`
}

// SMTP is the mail relay. TLS is starttls, implicit or none.
type SMTP struct {
	Host         string `json:"host"`
	Port         int    `json:"port,omitempty"`
	From         string `json:"from"`
	TLS          string `json:"tls,omitempty"`
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"password_file,omitempty"`
}

// Gateway brings SMS or calls to phones; Kind is twilio or template. The secret stands in
// a file.
type Gateway struct {
	Kind      string `json:"kind"`
	Account   string `json:"account,omitempty"`
	From      string `json:"from,omitempty"`
	TokenFile string `json:"token_file,omitempty"`
	APIURL    string `json:"api_url,omitempty"`
	URL       string `json:"url,omitempty"`
}

// Webhook receives facts.
type Webhook struct {
	ID         string   `json:"id"`
	URL        string   `json:"url"`
	Facts      []string `json:"facts,omitempty"`
	SecretFile string   `json:"secret_file,omitempty"`
	Level      string   `json:"level,omitempty"`
}

// ChannelAddress is what channel:ID stands for.
type ChannelAddress struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	URLFile string `json:"url_file,omitempty"`
}

// keptSections are the sections whose module is not in this build.
var keptSections = []string{"vendors", "backups", "status_page", "regimes", "plans", "retention", "contacts"}

// Zone is the zone of the organisation that the file names, else another.
func (f *File) Zone(otherwise *time.Location) *time.Location {
	if f.Organisation == nil {
		return otherwise
	}
	return location(f.Organisation.Timezone, otherwise)
}

// Settings is the part that identity keeps; zone is the organisation's. Channels are
// kept there too, under their own name, until a module has them.
func (f *File) Settings(zone *time.Location) (identity.Settings, error) {
	in := identity.Settings{Organisation: f.Organisation, Teams: f.Teams, Roles: f.Roles, Parameters: f.Parameters}
	for _, p := range f.People {
		out := identity.Person{
			ID: p.ID, Name: p.Name, Email: p.Email, Language: p.Language, Timezone: p.Timezone,
			Access: p.Access, Slack: p.Slack, Suspended: p.Suspended,
		}
		for _, l := range p.Leave {
			loc := location(p.Timezone, zone)
			from, _ := instant(l.From, loc, false)
			to, _ := instant(l.To, loc, true)
			out.Leave = append(out.Leave, identity.Leave{From: from, To: to})
		}
		in.People = append(in.People, out)
	}
	if f.Levels != nil {
		b, err := json.Marshal(f.Levels)
		if err != nil {
			return in, kit.Internal(err)
		}
		in.Levels = b
	}
	in.Kept = maps.Clone(f.Kept)
	if in.Kept == nil {
		in.Kept = map[string]json.RawMessage{}
	}
	if f.Channels != nil {
		b, err := json.Marshal(f.Channels)
		if err != nil {
			return in, kit.Internal(err)
		}
		in.Kept["channels"] = b
	}
	return in, nil
}

// Fill puts into the file what identity keeps. The methods and rules of people,
// and the other sections, come from their modules.
func (f *File) Fill(in identity.Settings) error {
	f.APIVersion = Version
	f.Organisation, f.Teams, f.Roles, f.Parameters = in.Organisation, in.Teams, in.Roles, in.Parameters
	f.People = nil
	for _, p := range in.People {
		out := Person{
			ID: p.ID, Name: p.Name, Email: p.Email, Language: p.Language, Timezone: p.Timezone,
			Access: p.Access, Slack: p.Slack, Suspended: p.Suspended,
		}
		for _, l := range p.Leave {
			out.Leave = append(out.Leave, Leave{From: l.From.UTC().Format(time.RFC3339), To: l.To.UTC().Format(time.RFC3339)})
		}
		f.People = append(f.People, out)
	}
	f.Levels = nil
	if len(in.Levels) > 0 && string(in.Levels) != "{}" {
		if err := json.Unmarshal(in.Levels, &f.Levels); err != nil {
			return kit.Internal(err)
		}
	}
	f.Kept, f.Channels = map[string]json.RawMessage{}, nil
	for name, raw := range in.Kept {
		if slices.Contains(keptSections, name) {
			f.Kept[name] = raw
		}
		if name != "channels" {
			continue
		}
		if err := json.Unmarshal(raw, &f.Channels); err != nil {
			return kit.Internal(err)
		}
	}
	return nil
}

// PeopleIDs are the ids of everybody in the file, for retiring the others.
func (f *File) PeopleIDs() []string {
	var ids []string
	for _, p := range f.People {
		ids = append(ids, p.ID)
	}
	return ids
}

func location(name string, otherwise *time.Location) *time.Location {
	if l, err := time.LoadLocation(name); err == nil && name != "" {
		return l
	}
	return otherwise
}

// instant reads a date, a local date-time or an RFC 3339 instant. A date as an end
// is the end of that day.
func instant(s string, loc *time.Location, end bool) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return local(t, loc), true
		}
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, false
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return local(t, loc), true
}

// local gives the instant of a wall clock: in a gap the first one after it, in a
// repeated hour the first one.
func local(wall time.Time, loc *time.Location) time.Time {
	_, before := time.Unix(wall.Unix()-86400, 0).In(loc).Zone()
	_, after := time.Unix(wall.Unix()+86400, 0).In(loc).Zone()
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := time.Unix(wall.Unix()-int64(offset), 0)
		if _, got := t.In(loc).Zone(); got == offset {
			return t.UTC()
		}
	}
	// The gap ends where the later offset begins.
	lo, hi := wall.Unix()-86400*2, wall.Unix()+86400*2
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if _, got := time.Unix(mid, 0).In(loc).Zone(); got == after {
			hi = mid
		} else {
			lo = mid
		}
	}
	return time.Unix(hi, 0).UTC()
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
