package orgfile

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// spec says what a value may be. One description serves the reader and the schema.
type spec struct {
	// kind is the JSON type: object, list, dict, string, boolean, integer, or
	// words (a string or {fr, en}), limits (parameters), any.
	kind   string
	fields []field
	item   *spec
	enum   []string
	// min and max bound an integer or the length of a list.
	min, max int
	// pattern goes into the schema; valid decides, and key names the message.
	pattern string
	valid   func(string) bool
	key     string
	// ref is the kind of thing that a string names, ids the kind that the objects
	// of a list define.
	ref, ids string
}

type field struct {
	name string
	need bool
	spec *spec
}

func req(name string, s *spec) field { return field{name, true, s} }
func opt(name string, s *spec) field { return field{name, false, s} }

func object(fields ...field) *spec          { return &spec{kind: "object", fields: fields} }
func listOf(item *spec) *spec               { return &spec{kind: "list", item: item, max: 20_000} }
func some(item *spec) *spec                 { return &spec{kind: "list", item: item, min: 1, max: 20_000} }
func dict(item *spec) *spec                 { return &spec{kind: "dict", item: item} }
func oneOf(words ...string) *spec           { return &spec{kind: "string", enum: words} }
func ref(kind string) *spec                 { return &spec{kind: "string", ref: kind} }
func integer(least, most int) *spec         { return &spec{kind: "integer", min: least, max: most} }
func defines(kind string, item *spec) *spec { s := listOf(item); s.ids = kind; return s }

func short(most int) *spec {
	return &spec{kind: "string", min: 1, max: most, key: "orgfile.error.text", valid: func(s string) bool {
		return strings.TrimSpace(s) != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most
	}}
}

func pattern(p, key string, valid func(string) bool) *spec {
	re := regexp.MustCompile(p)
	return &spec{kind: "string", pattern: p, key: key, valid: func(s string) bool {
		return re.MatchString(s) && (valid == nil || valid(s))
	}}
}

var (
	flag     = &spec{kind: "boolean"}
	anything = &spec{kind: "any"}
	words    = &spec{kind: "words"}
	limits   = &spec{kind: "limits"}
	slug     = pattern(`^[a-z0-9][a-z0-9-]{0,62}$`, "orgfile.error.slug", nil)
	line     = short(200)
	long     = short(20_000)
	country  = pattern(`^[A-Z]{2}$`, "orgfile.error.country", nil)
	currency = pattern(`^[A-Z]{3}$`, "orgfile.error.currency", nil)
	duration = pattern(`^([0-9]{1,9}[smhdw])+$`, "orgfile.error.duration", func(s string) bool {
		_, err := oncall.ParseDuration(s)
		return err == nil
	})
	localTime = pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?$`, "orgfile.error.local_time", isInstant)
	until     = pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$`, "orgfile.error.local_time", isInstant)
	moment    = pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?$`, "orgfile.error.moment", isInstant)
	date      = pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, "orgfile.error.date", isInstant)
	clock     = pattern(`^([01][0-9]|2[0-3]):[0-5][0-9]$`, "orgfile.error.clock", nil)
	hours     = pattern(`^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, "orgfile.error.hours", nil)
	shift     = pattern(`^[1-9][0-9]{0,3}[hdw]$`, "orgfile.error.shift", nil)
	ratio     = pattern(`^(0|1|0?\.[0-9]+|1\.0+|[0-9]{1,3}(\.[0-9]+)? ?%)$`, "orgfile.error.ratio", func(s string) bool {
		n, ok := strings.CutSuffix(s, "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		return err == nil && (v <= 1 || ok && v <= 100)
	})
	zone = &spec{kind: "string", key: "orgfile.error.zone", valid: func(s string) bool {
		_, err := time.LoadLocation(s)
		return err == nil && s != "" && s != "Local"
	}}
	email = &spec{kind: "string", key: "orgfile.error.email", valid: func(s string) bool {
		a, err := mail.ParseAddress(s)
		return err == nil && a.Address == s
	}}
	sender = &spec{kind: "string", key: "orgfile.error.email", valid: func(s string) bool {
		_, err := mail.ParseAddress(s)
		return err == nil
	}}
	link = &spec{kind: "string", key: "orgfile.error.url", valid: func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	}}
	matcher = &spec{kind: "string", key: "orgfile.error.matcher", valid: func(s string) bool {
		m, err := quiet.ParseMatcher(s)
		return err == nil && m.Name != "" && utf8.ValidString(s) && len(s) <= 1000
	}}
	// target is checked with the references.
	target   = &spec{kind: "string", ref: "target", pattern: `^(schedule|role|person|team|channel):.+$`}
	severity = oneOf("sev1", "sev2", "sev3", "sev4")
	days     = listOf(oneOf("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
)

func isInstant(s string) bool { _, ok := instant(s, time.UTC, false); return ok }

// methodKinds are the kinds of contact method (model.md 5.2).
var methodKinds = []string{"webhook", "email", "sms", "voice", "slack", "push", "telegram", "teams", "discord", "mattermost", "ntfy", "gotify", "pushover", "matrix"}

// incidentKinds are the kinds of incident.
var incidentKinds = []string{"availability", "security", "data", "vendor"}

// levelRows are the rows of the table of response levels.
var levelRows = []string{"ladder", "acknowledged", "channel", "commander", "communications", "management", "own_channel", "first_update", "updates", "still", "review"}

var fileSpec = object(
	req("apiVersion", oneOf(Version)),
	opt("organisation", object(
		req("name", line), req("timezone", zone), req("country", country),
		opt("languages", some(oneOf("fr", "en"))),
		opt("holidays", listOf(object(req("date", date), opt("name", line)))),
		opt("last_resort", object(opt("name", line), opt("phone", line), opt("email", email))),
		opt("currency", currency),
	)),
	opt("people", defines("person", object(
		req("id", slug), req("name", line), req("email", email),
		opt("language", oneOf("fr", "en")), opt("timezone", zone),
		opt("access", oneOf(accesses()...)), opt("slack", line),
		opt("contact_methods", defines("", object(req("id", slug), req("kind", oneOf(methodKinds...)), req("to", short(2000))))),
		opt("notify", listOf(object(req("after", duration), req("method", slug), opt("severities", listOf(severity))))),
		opt("quiet_hours", object(req("from", clock), req("to", clock), opt("timezone", zone))),
		opt("leave", listOf(object(req("from", moment), req("to", moment)))),
		opt("suspended", flag),
	))),
	opt("teams", defines("team", object(req("id", slug), opt("name", line), req("members", some(ref("person")))))),
	opt("schedules", defines("schedule", object(
		req("id", slug), opt("name", words), opt("duty", oneOf("primary", "secondary", "other")), opt("timezone", zone),
		opt("rotations", listOf(object(
			req("people", some(ref("person"))), req("start", localTime), req("shift", shift), opt("until", until),
			opt("days", days), opt("hours", listOf(hours)), opt("layer", integer(1, 1000)),
		))),
		opt("overrides", listOf(object(req("person", ref("person")), req("from", localTime), req("to", localTime)))),
	))),
	opt("roles", object(
		opt("commander", listOf(ref("person"))), opt("communications", listOf(ref("person"))), opt("management", listOf(ref("person"))),
	)),
	opt("policies", defines("policy", object(
		req("id", slug),
		opt("steps", listOf(object(req("after", duration), req("page", some(target)), opt("when", long), opt("round_robin", flag)))),
		opt("repeat", integer(1, 9)), opt("round_gap", duration),
		opt("service_hours", object(opt("days", days), opt("hours", listOf(hours)), opt("timezone", zone))),
	))),
	opt("levels", object(opt("sev1", levels()), opt("sev2", levels()), opt("sev3", levels()), opt("sev4", levels()))),
	opt("services", defines("service", object(
		req("id", slug), opt("name", words), opt("owner", ref("person")), opt("tier", oneOf("critical", "important", "normal")),
		opt("policy", ref("policy")), opt("public", flag),
		opt("data", listOf(oneOf("personal", "customer", "credentials", "financial", "health", "internal"))),
		opt("objectives", object(opt("mtpd", duration), opt("rto", duration), opt("rpo", duration), opt("mbco", line))),
		opt("recovery", object(opt("own", duration), opt("wrt", duration), opt("team", ref("team")))),
		opt("needs", listOf(object(
			opt("service", ref("service")), opt("kind", oneOf("hard", "degraded", "buffered")), opt("for", duration),
			opt("any", integer(1, 1000)), opt("of", some(ref("service"))),
		))),
		opt("redundancy", object(
			opt("have", integer(1, 100_000)), opt("need", integer(1, 100_000)), opt("spread", listOf(line)),
			opt("failover", duration), opt("mode", oneOf("active", "passive")), opt("beta", ratio),
		)),
		opt("attributes", dict(line)), opt("runbook", long),
	))),
	opt("sources", defines("source", object(
		req("id", slug), req("kind", oneOf(alert.SourceKinds...)), opt("service", ref("service")),
		opt("key", pattern(`^[A-Za-z0-9_.~-]{4,200}$`, "orgfile.error.key", nil)), opt("secret_file", short(4096)),
		opt("silent_after", duration), opt("every", duration), opt("grace", duration), opt("probe", anything),
		opt("map", dict(long)), opt("severity_map", dict(oneOf("critical", "error", "warning", "info"))),
	))),
	opt("routes", defines("route", object(
		opt("id", slug), opt("when", long), req("then", oneOf("incident", "record", "suppress")),
		opt("severity", severity), opt("kind", oneOf(incidentKinds...)), opt("policy", ref("policy")),
		opt("group", listOf(line)), opt("window", duration), opt("reason", line),
	))),
	opt("parameters", limits),
	opt("channels", object(
		opt("slack", object(
			opt("incidents", line), opt("api_url", link), opt("token_file", short(4096)), opt("signing_secret_file", short(4096)),
			opt("app_token_file", short(4096)), opt("mode", oneOf("http", "socket")),
		)),
		opt("smtp", object(
			req("host", line), opt("port", integer(1, 65535)), req("from", sender), opt("tls", oneOf("starttls", "implicit", "none")),
			opt("user", line), opt("password_file", short(4096)),
		)),
		opt("sms", gateway(KindTwilio, KindTemplate)), opt("voice", gateway(KindTwilio)), opt("push", anything),
		opt("webhooks", defines("", object(
			req("id", slug), req("url", link), opt("facts", listOf(line)), opt("secret_file", short(4096)), opt("level", oneOf("internal", "public")),
		))),
		opt("list", defines("channel", object(req("id", slug), req("kind", line), opt("url_file", short(4096))))),
	)),
	opt("silences", listOf(object(
		req("matchers", some(matcher)), opt("from", moment), req("to", moment), req("reason", short(1000)),
	))),
	opt("maintenance", listOf(object(
		req("services", some(ref("service"))), opt("from", moment), req("to", moment), req("reason", short(1000)), opt("public", flag),
	))),
	opt("vendors", listOf(anything)), opt("backups", listOf(anything)),
	opt("status_page", dict(anything)), opt("regimes", dict(anything)),
	opt("plans", listOf(anything)), opt("retention", listOf(anything)), opt("contacts", listOf(anything)),
)

// The kinds of gateway for SMS and calls.
const (
	KindTwilio   = "twilio"
	KindTemplate = "template"
)

func gateway(kinds ...string) *spec {
	return object(
		req("kind", oneOf(kinds...)), opt("account", line), opt("from", line), opt("token_file", short(4096)), opt("api_url", link), opt("url", short(2048)),
	)
}

func levels() *spec {
	var fs []field
	for _, row := range levelRows {
		fs = append(fs, opt(row, pattern(`^(page|notice|mail|none|([0-9]{1,9}[smhdw])+)$`, "orgfile.error.level", nil)))
	}
	return object(fs...)
}

func accesses() []string {
	var out []string
	for _, a := range kit.Accesses {
		out = append(out, string(a))
	}
	return out
}

// Schema is the JSON Schema (draft 2020-12) of the organisation file, as Go values
// for encoding/json. What needs the whole file, such as references, is not in it.
func Schema() map[string]any {
	s := fileSpec.schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = "/api/v1/schema/organisation.json"
	s["title"] = "Tocsin organisation file"
	return s
}

func (s *spec) schema() map[string]any {
	m := map[string]any{}
	switch s.kind {
	case "object":
		props, need := map[string]any{}, []string{}
		for _, f := range s.fields {
			props[f.name] = f.spec.schema()
			if f.need {
				need = append(need, f.name)
			}
		}
		m["type"], m["properties"], m["additionalProperties"] = "object", props, false
		if len(need) > 0 {
			m["required"] = need
		}
	case "list":
		m["type"], m["items"] = "array", s.item.schema()
		if s.min > 0 {
			m["minItems"] = s.min
		}
	case "dict":
		m["type"], m["additionalProperties"] = "object", s.item.schema()
	case "words":
		one := map[string]any{"type": "string", "minLength": 1}
		m["anyOf"] = []any{one, map[string]any{
			"type": "object", "properties": map[string]any{"fr": one, "en": one}, "additionalProperties": false, "minProperties": 1,
		}}
	case "limits":
		value := map[string]any{"type": []string{"string", "number"}}
		props := map[string]any{}
		for _, d := range identity.ParameterDefs() {
			props[d.Name] = value
			if name, _, ok := cutPart(d.Name); ok {
				props[name] = map[string]any{"type": "object", "additionalProperties": value}
			}
		}
		m["type"], m["properties"], m["additionalProperties"] = "object", props, false
	case "integer":
		m["type"], m["minimum"], m["maximum"] = "integer", s.min, s.max
	case "boolean":
		m["type"] = "boolean"
	case "string":
		m["type"] = []string{"string", "number"}
		if len(s.enum) > 0 {
			m["type"], m["enum"] = "string", slices.Clone(s.enum)
		}
		if s.pattern != "" {
			m["pattern"] = s.pattern
		}
		if s.max > 0 {
			m["maxLength"] = s.max
		}
	}
	return m
}

// cutPart splits P.ack.sev1 into P.ack and sev1.
func cutPart(name string) (whole, part string, ok bool) {
	rest := strings.TrimPrefix(name, "P.")
	whole, part, ok = strings.Cut(rest, ".")
	return "P." + whole, part, ok
}
