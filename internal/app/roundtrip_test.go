package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tocsin/internal/db/dbtest"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
	"tocsin/internal/orgfile"
)

// drawn makes organisation files that use every section, by a seed.
type drawn struct{ *rand.Rand }

func pick[T any](d drawn, of ...T) T { return of[d.IntN(len(of))] }

func (d drawn) maybe() bool { return d.IntN(2) == 0 }

// some gives one or more different values, in an order of its own.
func some[T any](d drawn, of ...T) []T {
	d.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	return of[:1+d.IntN(len(of))]
}

func (d drawn) duration() *oncall.Duration {
	v := oncall.Duration(time.Duration(1+d.IntN(59)) * time.Minute)
	return &v
}

func (d drawn) words() kit.Text {
	return kit.Text{FR: pick(d, "Boutique", "Base : « clients »", "yes", "8:30"), EN: pick(d, "Shop", "no", "0x10", "a # b")}
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

func (d drawn) file(now time.Time) *orgfile.File {
	people, schedules, policies := ids("p", 2+d.IntN(4)), ids("s", 1+d.IntN(3)), ids("e", 1+d.IntN(2))
	services, teams, rooms := ids("v", 4), ids("t", 1+d.IntN(2)), ids("r", 1)
	f := &orgfile.File{
		Organisation: &identity.Organisation{
			Name: pick(d, "Exemple SAS", "L’été: “36”", "- x"), Timezone: pick(d, "Europe/Paris", "America/St_Johns", "UTC"), Country: pick(d, "FR", "CA"),
			Languages: some(d, "fr", "en"), Currency: pick(d, "EUR", "CHF"),
			Holidays: []identity.Holiday{{Date: "2026-12-24", Name: pick(d, "", "Veille")}}, LastResort: &identity.Contact{Name: "Garde", Phone: "+33100000000"},
		},
		Roles: map[kit.Role][]string{kit.RoleCommander: some(d, people...), kit.RoleManagement: some(d, people...)},
		Levels: map[string]map[string]string{
			pick(d, "sev1", "sev2"): {"management": "page"},
		},
		Parameters: map[string]string{"P.still": pick(d, "10m", "15m"), "P.ack.sev1": pick(d, "2m", "4m")},
		Channels: &orgfile.Channels{
			SMTP: &orgfile.SMTP{Host: "127.0.0.1", Port: 1 + d.IntN(65535), From: "Tocsin <tocsin@example.com>", TLS: "none"},
			List: []orgfile.ChannelAddress{{ID: rooms[0], Kind: "slack"}},
		},
		Kept: map[string]json.RawMessage{"vendors": json.RawMessage(`[{"id":"psp","name":"PSP","notice":"24h"}]`)},
	}
	for i, id := range people {
		p := orgfile.Person{
			ID: id, Name: pick(d, "Ana Lopez", "Zoë d’Ys", "null"), Email: id + "@example.com", Language: pick(d, "fr", "en"),
			Access: pick(d, kit.Accesses...), Methods: []orgfile.Method{{ID: "mail", Kind: "email", To: id + "@example.com"}, {ID: "hook", Kind: "webhook", To: "https://hooks.example.com/" + id}},
			Notify: []orgfile.Rule{{Method: "hook"}, {After: *d.duration(), Method: "mail", Severities: some(d, "sev1", "sev2", "sev3")}},
		}
		if i == 0 {
			p.Access = kit.AccessAdmin
		}
		if d.maybe() {
			p.QuietHours = &orgfile.QuietHours{From: "22:00", To: "07:00"}
		}
		if d.maybe() {
			p.Leave = []orgfile.Leave{{From: "2026-12-24", To: "2026-12-31"}}
		}
		f.People = append(f.People, p)
	}
	for _, id := range teams {
		f.Teams = append(f.Teams, identity.Team{ID: id, Name: pick(d, "", "Ops"), Members: some(d, people...)})
	}
	for _, id := range schedules {
		s := oncall.Schedule{ID: id, Name: d.words(), Duty: pick(d, "primary", "secondary", "other"), Timezone: pick(d, "", "Asia/Kathmandu")}
		for range 1 + d.IntN(2) {
			s.Rotations = append(s.Rotations, oncall.Rotation{
				People: some(d, people...), Start: "2026-01-05T09:00", Shift: pick(d, "12h", "1d", "1w"), Until: pick(d, "", "2027-06-30"),
				Days: pick(d, nil, some(d, "mon", "tue", "sat")), Hours: pick(d, nil, []string{"09:00-18:00"}),
			})
		}
		if d.maybe() {
			s.Overrides = []oncall.LocalOverride{{Person: people[0], From: "2026-12-24T09:00", To: "2026-12-26T09:00"}}
		}
		f.Schedules = append(f.Schedules, s)
	}
	for _, id := range policies {
		p := oncall.Policy{ID: id, Repeat: 1 + d.IntN(9), RoundGap: d.duration()}
		p.Steps = append(p.Steps, oncall.Step{Page: []string{"schedule:" + pick(d, schedules...)}})
		p.Steps = append(p.Steps, oncall.Step{
			After: *d.duration(), Page: []string{"team:" + pick(d, teams...), "role:commander", "channel:" + rooms[0]},
			When: pick(d, "", `incident.severity != "sev4"`), RoundRobin: d.maybe(),
		})
		if d.maybe() {
			p.ServiceHours = &oncall.ServiceHours{Days: []string{"mon", "fri"}, Hours: []string{"08:00-18:00"}, Timezone: "Europe/Paris"}
		}
		f.Policies = append(f.Policies, p)
	}
	for i, id := range services {
		s := orgfile.Service{
			ID: id, Name: d.words(), Owner: pick(d, append(people, "")...), Tier: pick(d, "critical", "important", "normal"), Policy: pick(d, append(policies, "")...),
			Public: d.maybe(), Data: pick(d, nil, some(d, "personal", "financial")), Runbook: pick(d, "", "# Restart\n1. Look\n"),
			Attributes: pick(d, nil, map[string]string{"region": "eu-west", "provider": "no"}),
		}
		if d.maybe() {
			s.Objectives = &orgfile.Objectives{RTO: d.duration(), MBCO: "50 %"}
			s.Redundancy = &orgfile.Redundancy{Have: 3, Need: 2, Spread: []string{"region"}, Failover: d.duration(), Beta: "0.05"}
		}
		if i > 0 {
			s.Needs = []orgfile.Need{{Service: services[i-1], Kind: pick(d, "hard", "degraded")}}
		}
		f.Services = append(f.Services, s)
	}
	f.Sources = []orgfile.Source{
		{ID: "prometheus", Kind: "alertmanager", Service: pick(d, services...), SilentAfter: d.duration(), SeverityMap: map[string]string{"page": "critical"}},
		{ID: "any", Kind: "json", Map: map[string]string{"dedup_key": "body.id", "title": "body.title"}},
		{ID: "cron", Kind: "heartbeat", Every: d.duration(), Grace: d.duration()},
	}
	f.Routes = []orgfile.Route{
		{When: `alert.severity == "info"`, Then: "record"},
		{When: `alert.labels["env"] != "prod"`, Then: "suppress", Reason: "not production"},
		{ID: "rest", Then: "incident", Severity: pick(d, "", "sev3"), Kind: pick(d, "availability", "security"), Policy: pick(d, policies...), Group: []string{"service", "alertname"}, Window: d.duration()},
	}
	at := func(h int) string {
		return now.Add(time.Duration(h) * time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	for range d.IntN(3) {
		f.Silences = append(f.Silences, orgfile.Silence{
			Matchers: []string{`alertname="Down` + fmt.Sprint(d.IntN(9)) + `"`, pick(d, `instance=~"db.*"`, `job!="x \" y"`)},
			From:     at(d.IntN(48) - 24), To: at(30 + d.IntN(50)), Reason: pick(d, "deploy", "yes: really"),
		})
	}
	for range d.IntN(3) {
		f.Maintenance = append(f.Maintenance, orgfile.Maintenance{Services: some(d, services...), From: at(d.IntN(48) - 24), To: at(30 + d.IntN(50)), Reason: "move", Public: d.maybe()})
	}
	return f
}

// Whatever file is applied: what is exported then says the same, and applied again it
// changes nothing.
func TestAppliedFileIsTheExportedOne(t *testing.T) {
	for name, n := range map[string]int{"sqlite": 24, "postgres": 8} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Data: t.TempDir(), Database: "sqlite"}
			if name == "postgres" {
				cfg.Database = dbtest.PostgresURL(t)
			}
			a, err := Open(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = a.Close() }()
			ctx := AsSystem(t.Context())
			for seed := range n {
				f := drawn{rand.New(rand.NewPCG(uint64(seed), 7))}.file(time.Now())
				in, err := orgfile.Export(f)
				if err != nil {
					t.Fatal(err)
				}
				trial, err := a.Apply(ctx, in, kit.ApplyOptions{DryRun: true, Prune: true, Reason: "drawn"})
				if err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, fieldsOf(err), in)
				}
				done, err := a.Apply(ctx, in, kit.ApplyOptions{Prune: true, Reason: "drawn"})
				if err != nil || len(done) != len(trial) {
					t.Fatalf("seed %d: %v; the trial said %d changes, there were %d", seed, fieldsOf(err), len(trial), len(done))
				}
				for _, again := range [][]byte{in, export(t, a, ctx)} {
					changes, err := a.Apply(ctx, again, kit.ApplyOptions{Prune: true})
					if err != nil {
						t.Fatalf("seed %d: %v\n%s", seed, fieldsOf(err), again)
					}
					for _, c := range changes {
						if c.Op != "keep" {
							t.Errorf("seed %d: applied again: %+v\n%s", seed, c, again)
						}
					}
				}
			}
		})
	}
}

func fieldsOf(err error) any {
	if e := kit.AsError(err); err != nil && len(e.Fields) > 0 {
		return fmt.Sprint(e.Fields)
	}
	return err
}

func export(t *testing.T, a *App, ctx context.Context) []byte {
	t.Helper()
	out, err := a.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Silences and maintenance of the file are there, end when they leave it, and are not
// made anew once somebody has ended them by hand.
func TestApplyQuiet(t *testing.T) {
	a, err := Open(context.Background(), Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	ctx := AsSystem(t.Context())
	const head = `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR}
people: [{id: ana, name: Ana, email: ana@example.com, access: admin}]
services: [{id: shop}]
`
	day := func(n int) string { return time.Now().AddDate(0, 0, n).Format("2006-01-02") }
	quiet := head + `silences:
  - {matchers: ['alertname="Down"', 'instance=~"db.*"'], to: "` + day(3) + `", reason: deploy}
  - {matchers: [job=old], to: "2020-01-01", reason: long over}
maintenance:
  - {services: [shop], from: "` + day(1) + `T09:00", to: "` + day(1) + `T11:00", reason: move, public: true}
`
	apply := func(file string, prune bool) string {
		t.Helper()
		changes, err := a.Apply(ctx, []byte(file), kit.ApplyOptions{Prune: prune})
		if err != nil {
			t.Fatal(fieldsOf(err))
		}
		var out []string
		for _, c := range changes {
			if c.Section == "silences" || c.Section == "maintenance" {
				out = append(out, strings.TrimSpace(c.Op+" "+c.ID+" "+c.Detail))
			}
		}
		return strings.Join(out, "; ")
	}
	const down = `alertname="Down", instance=~"db.*"`
	if got, want := apply(quiet, false), `create `+down+`; keep job="old" over; create shop`; got != want {
		t.Fatalf("first: %s, want %s", got, want)
	}
	if got, want := apply(quiet, true), `keep `+down+`; keep job="old" over; keep shop`; got != want {
		t.Fatalf("again: %s, want %s", got, want)
	}
	silences, err := a.Alert.Silences(ctx)
	if err != nil || len(silences) != 1 {
		t.Fatalf("%+v, %v", silences, err)
	}
	if err := a.Alert.Unsilence(ctx, silences[0].ID); err != nil {
		t.Fatal(err)
	}
	if got, want := apply(quiet, true), `keep `+down+`; keep job="old" over; keep shop`; got != want {
		t.Fatalf("ended by hand: %s, want %s", got, want)
	}
	if got, want := apply(head+"silences: []\nmaintenance: []\n", true), `remove shop`; got != want {
		t.Fatalf("left the file: %s, want %s", got, want)
	}
	_, err = a.Apply(ctx, []byte(head+"silences: [{matchers: ['nonsense', 'a=~\"(\"'], to: \"2030-01-01\", reason: x}]\n"), kit.ApplyOptions{})
	if e := kit.AsError(err); err == nil || len(e.Fields) != 2 || e.Fields[0].Path != "silences[0].matchers[0]" {
		t.Errorf("bad matchers: %v", fieldsOf(err))
	}
	_, err = a.Apply(ctx, []byte(head+"silences: [{matchers: ['a=~\".*\"'], to: \"2030-01-01\", reason: x}]\n"), kit.ApplyOptions{})
	if e := kit.AsError(err); err == nil || len(e.Fields) != 1 || e.Fields[0].Path != "silences[0].matchers" {
		t.Errorf("a silence of everything: %v", fieldsOf(err))
	}
}
