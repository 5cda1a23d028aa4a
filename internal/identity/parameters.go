package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// ParameterKind says what a parameter measures.
type ParameterKind string

// The kinds of parameter. Days are calendar days to the end of the last one in
// the organisation's zone; working days follow its holidays.
const (
	KindTime        ParameterKind = "time"
	KindDays        ParameterKind = "days"
	KindWorkingDays ParameterKind = "working_days"
	KindCount       ParameterKind = "count"
	KindPercent     ParameterKind = "percent"
	KindSeverity    ParameterKind = "severity"
)

// ParameterDef is one working limit: its name, default (model.md 11.1,
// controls.md 2) and in which direction it loosens.
type ParameterDef struct {
	Name    string
	Kind    ParameterKind
	Default string
	// Unit is what a bare number counts: s, m, h or d; empty for counts and percents.
	Unit string
	// Less is set where a smaller value is the looser one.
	Less bool
	// Most bounds the value; empty means a year for times, ten for days.
	Most string
}

var parameterDefs = []ParameterDef{
	{Name: "P.plan_review", Kind: KindDays, Default: "365d"},
	{Name: "P.triage.paged", Kind: KindTime, Default: "15m", Unit: "m"},
	{Name: "P.triage.other", Kind: KindTime, Default: "4h", Unit: "m"},
	{Name: "P.assess", Kind: KindTime, Default: "30m", Unit: "m"},
	{Name: "P.ack.sev1", Kind: KindTime, Default: "5m", Unit: "m"},
	{Name: "P.ack.sev2", Kind: KindTime, Default: "15m", Unit: "m"},
	{Name: "P.ack.sev3", Kind: KindTime, Default: "1h", Unit: "m"},
	{Name: "P.mgmt", Kind: KindTime, Default: "30m", Unit: "m"},
	{Name: "P.review.high", Kind: KindDays, Default: "10d"},
	{Name: "P.review.low", Kind: KindDays, Default: "20d"},
	{Name: "P.effect", Kind: KindDays, Default: "30d"},
	{Name: "P.exercise", Kind: KindDays, Default: "365d"},
	{Name: "P.training", Kind: KindDays, Default: "365d"},
	{Name: "P.channel", Kind: KindDays, Default: "90d"},
	{Name: "P.silence", Kind: KindTime, Default: "10m", Unit: "m"},
	{Name: "P.vuln_sev", Kind: KindSeverity, Default: "high"},
	{Name: "P.vuln_triage", Kind: KindDays, Default: "5d"},
	{Name: "P.vuln_fix.critical", Kind: KindDays, Default: "7d"},
	{Name: "P.vuln_fix.high", Kind: KindDays, Default: "30d"},
	{Name: "P.advisory", Kind: KindDays, Default: "5d"},
	{Name: "P.contact", Kind: KindDays, Default: "180d"},
	{Name: "P.calltree", Kind: KindDays, Default: "365d"},
	{Name: "P.reach", Kind: KindPercent, Default: "90", Less: true},
	{Name: "P.emergency_change", Kind: KindWorkingDays, Default: "3d"},
	{Name: "P.restore", Kind: KindDays, Default: "90d"},
	{Name: "P.failover", Kind: KindDays, Default: "180d"},
	{Name: "P.bia", Kind: KindDays, Default: "365d"},
	{Name: "P.capacity", Kind: KindDays, Default: "90d"},
	{Name: "P.supplier", Kind: KindDays, Default: "365d"},
	{Name: "P.supplier_contact", Kind: KindTime, Default: "1h", Unit: "m"},
	{Name: "P.mgmt_review", Kind: KindDays, Default: "365d"},
	{Name: "P.access", Kind: KindDays, Default: "90d"},
	{Name: "P.checkpoint", Kind: KindTime, Default: "24h", Unit: "h"},
	{Name: "P.clock", Kind: KindTime, Default: "2s", Unit: "s"},
	{Name: "P.fail_owner", Kind: KindDays, Default: "5d"},
	{Name: "P.backdate", Kind: KindTime, Default: "24h", Unit: "h"},
	{Name: "P.first_notice.sev1", Kind: KindTime, Default: "1h", Unit: "m"},
	{Name: "P.first_notice.sev2", Kind: KindTime, Default: "2h", Unit: "m"},
	{Name: "P.update.sev1", Kind: KindTime, Default: "2h", Unit: "m"},
	{Name: "P.update.sev2", Kind: KindTime, Default: "4h", Unit: "m"},
	{Name: "P.update.other", Kind: KindTime, Default: "24h", Unit: "h"},
	{Name: "P.breach_decision", Kind: KindTime, Default: "24h", Unit: "h"},
	{Name: "P.change_window", Kind: KindTime, Default: "24h", Unit: "h", Less: true},
	{Name: "P.still", Kind: KindTime, Default: "20m", Unit: "m"},
	{Name: "P.resume", Kind: KindTime, Default: "5m", Unit: "m"},
	{Name: "P.stale", Kind: KindTime, Default: "24h", Unit: "h", Less: true},
	{Name: "P.storm", Kind: KindTime, Default: "2m", Unit: "m"},
	{Name: "P.hold", Kind: KindTime, Default: "30s", Unit: "s", Less: true},
	{Name: "P.report_alarm.count", Kind: KindCount, Default: "3"},
	{Name: "P.report_alarm.window", Kind: KindTime, Default: "10m", Unit: "m", Less: true},
	{Name: "P.pack", Kind: KindDays, Default: "30d"},
	{Name: "P.provenance", Kind: KindDays, Default: "365d"},
	{Name: "P.mgmt_seen", Kind: KindTime, Default: "15m", Unit: "m"},
	{Name: "P.page_audit", Kind: KindTime, Default: "1m", Unit: "s"},
	{Name: "P.session.idle", Kind: KindTime, Default: "24h", Unit: "h", Most: "720h"},
	{Name: "P.session.most", Kind: KindDays, Default: "30d", Most: "365d"},
	{Name: "P.auditor", Kind: KindDays, Default: "14d", Most: "90d"},
}

var defsByName = func() map[string]ParameterDef {
	m := map[string]ParameterDef{}
	for _, d := range parameterDefs {
		m[d.Name] = d
	}
	return m
}()

// ParameterDefs lists every parameter in the order of its documentation.
func ParameterDefs() []ParameterDef { return slices.Clone(parameterDefs) }

// Parameters are the values that differ from the defaults, by name, as written by
// ParseParameter.
type Parameters map[string]string

// Text is the value of a parameter, its default when it was not changed; empty
// for a name that does not exist.
func (p Parameters) Text(name string) string {
	if v, ok := p[name]; ok {
		return v
	}
	return defsByName[name].Default
}

// Duration is the value of a time, or of days counted as 24 hours each; 0 for
// other kinds.
func (p Parameters) Duration(name string) time.Duration {
	d, _ := length(p.Text(name), "")
	return d
}

// Number is the value of days, working days, a count or a percentage.
func (p Parameters) Number(name string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(p.Text(name), "d"))
	return n
}

var (
	lengthPart = regexp.MustCompile(`^\s*([0-9]{1,7})\s*([a-z]*)`)
	lengthUnit = map[string]time.Duration{
		"s": time.Second, "sec": time.Second, "m": time.Minute, "min": time.Minute,
		"h": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	vulnerabilities = []string{"low", "medium", "high", "critical"}
)

func length(s, unit string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	var sum time.Duration
	for first := true; s != ""; first = false {
		m := lengthPart.FindStringSubmatch(s)
		if m == nil {
			return 0, false
		}
		s = s[len(m[0]):]
		if m[2] == "" && first && s == "" {
			m[2] = unit
		}
		u, ok := lengthUnit[m[2]]
		if !ok {
			return 0, false
		}
		n, _ := strconv.Atoi(m[1])
		if sum += time.Duration(n) * u; sum > 3660*24*time.Hour {
			return 0, false
		}
	}
	return sum, sum > 0
}

// ParseParameter brings a value into the form that is kept: 30m, 24h, 20d, 3, 90,
// high. A bare number counts in the parameter's own unit.
func ParseParameter(name, value string) (string, error) {
	d, ok := defsByName[name]
	if !ok {
		return "", kit.InvalidField("parameters."+name, "identity.error.parameter", "name", name)
	}
	bad := kit.InvalidField("parameters."+name, "identity.error.parameter_value", "name", name, "default", d.Default)
	value = strings.ToLower(strings.TrimSpace(value))
	switch d.Kind {
	case KindSeverity:
		if slices.Contains(vulnerabilities, value) {
			return value, nil
		}
		return "", bad
	case KindCount, KindPercent:
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(value, "%")))
		if err != nil || n < 1 || n > 1000 || d.Kind == KindPercent && n > 100 {
			return "", bad
		}
		return strconv.Itoa(n), nil
	}
	unit, most := d.Unit, 366*24*time.Hour
	if d.Kind != KindTime {
		unit, most = "d", 3660*24*time.Hour
		value = strings.TrimSpace(strings.TrimSuffix(value, "working days"))
	}
	if d.Most != "" {
		most, _ = length(d.Most, "")
	}
	v, ok := length(value, unit)
	if !ok || v > most || d.Kind != KindTime && v%(24*time.Hour) != 0 {
		return "", bad
	}
	if d.Kind != KindTime {
		return fmt.Sprintf("%dd", v/(24*time.Hour)), nil
	}
	return writeTime(v), nil
}

func writeTime(v time.Duration) string {
	var b strings.Builder
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := v / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			v %= u.size
		}
	}
	return b.String()
}

// Loosens tells whether going from one kept value to another loosens the limit.
func Loosens(name, from, to string) bool {
	d := defsByName[name]
	rank := func(v string) int64 {
		switch d.Kind {
		case KindSeverity:
			return int64(slices.Index(vulnerabilities, v))
		case KindCount, KindPercent:
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
		l, _ := length(v, "")
		return int64(l)
	}
	if d.Less {
		return rank(to) < rank(from)
	}
	return rank(to) > rank(from)
}

// Parameters gives all parameters. It asks for no right: for other modules.
func (s *Service) Parameters(ctx context.Context) (Parameters, error) {
	p := Parameters{}
	r, err := s.row(ctx)
	if err == nil {
		err = db.MapError(json.Unmarshal([]byte(r.parameters), &p))
	}
	return p, err
}

// Parameter gives one limit as a length of time, days as 24 hours each. It asks
// for no right: for other modules.
func (s *Service) Parameter(ctx context.Context, name string) (time.Duration, error) {
	if _, ok := defsByName[name]; !ok {
		return 0, kit.Internal(fmt.Errorf("unknown parameter %q", name))
	}
	p, err := s.Parameters(ctx)
	return p.Duration(name), err
}

// ChangeParameters changes limits, each with a reason; what is not named stays.
// Loosening one needs settings.loosen.
func (s *Service) ChangeParameters(ctx context.Context, values map[string]string, reason string) error {
	if err := s.Require(ctx, "settings.edit"); err != nil {
		return err
	}
	if strings.TrimSpace(reason) == "" {
		return kit.InvalidField("reason", "identity.error.reason")
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := s.setParameters(ctx, tx, values, reason, false)
		return err
	})
}

func (s *Service) setParameters(ctx context.Context, tx *db.Tx, values map[string]string, reason string, prune bool) ([]kit.Change, error) {
	want := map[string]string{}
	var bad kit.Fields
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v, err := ParseParameter(name, values[name])
		if err != nil {
			bad = append(bad, kit.AsError(err).Fields...)
			continue
		}
		want[name] = v
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	r, err := s.lockRow(ctx, tx)
	if err != nil {
		return nil, err
	}
	have := Parameters{}
	if err := json.Unmarshal([]byte(r.parameters), &have); err != nil {
		return nil, db.MapError(err)
	}
	if prune {
		for name := range have {
			if _, ok := want[name]; !ok {
				want[name] = defsByName[name].Default
			}
		}
	}
	var changes []kit.Change
	for _, name := range slices.Sorted(maps.Keys(want)) {
		from, to := have.Text(name), want[name]
		if from == to {
			continue
		}
		loose := Loosens(name, from, to)
		if loose {
			if err := s.Require(ctx, "settings.loosen"); err != nil {
				return nil, err
			}
			if strings.TrimSpace(reason) == "" {
				return nil, kit.InvalidField("parameters."+name, "identity.error.reason")
			}
		}
		if have[name] = to; to == defsByName[name].Default {
			delete(have, name)
		}
		changes = append(changes, kit.Change{Section: "parameters", ID: name, Op: "change", Detail: from + " → " + to})
		if err := fact(ctx, tx, "parameter", name, ParameterChanged{From: from, To: to, Loosened: loose, Reason: reason}); err != nil {
			return nil, err
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	b, _ := json.Marshal(have)
	r.parameters = string(b)
	return changes, saveRow(ctx, tx, r)
}
