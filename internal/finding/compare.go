package finding

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Known is a finding as it is known.
type Known struct {
	Key      string
	Tool     string
	Target   string
	Location string
	State    State
	// SeenAt is when the last report that named it was finished.
	SeenAt time.Time
}

// Changes is what a report changes.
type Changes struct {
	// At is when the report was finished, at the latest now.
	At time.Time
	// New were not known, Reopened were fixed and are there again, Still are known and
	// there; a decision on them stays.
	New, Reopened, Still []Result
	// Suppressed are there and passed over by their tool. They are neither opened nor
	// fixed.
	Suppressed []Result
	// Fixed and Unknown are keys of known findings that the report does not name: it
	// proves that the first are gone and proves nothing about the second.
	Fixed, Unknown []string
}

// Compare says what a report changes in the known findings of its source. An
// unknown report changes nothing. A known finding that is not named is fixed only
// when the report is whole and speaks about its tool, target and port. A report
// that was finished before a finding was last seen says nothing about that one.
func Compare(previous []Known, report Report, now time.Time) Changes {
	c := Changes{At: report.FinishedAt}
	if c.At.IsZero() || c.At.After(now) {
		c.At = now
	}
	known := make(map[string]Known, len(previous))
	for _, s := range previous {
		known[s.Key] = s
	}
	named := make(map[string]bool, len(report.Findings))
	if report.Verdict != Unknown {
		for _, f := range report.Findings {
			named[f.Key] = true
			s, ok := known[f.Key]
			switch {
			case f.Suppressed != nil:
				c.Suppressed = append(c.Suppressed, f)
			case !ok:
				c.New = append(c.New, f)
			case s.State == StateFixed && !s.SeenAt.After(c.At):
				c.Reopened = append(c.Reopened, f)
			case s.State != StateFixed:
				c.Still = append(c.Still, f)
			}
		}
	}
	whole := report.Verdict != Unknown && !report.Partial
	index := map[string][]Scope{}
	for _, s := range report.Scopes {
		k := s.Tool + "\x00" + s.Target
		index[k] = append(index[k], s)
	}
	for _, s := range previous {
		if named[s.Key] || s.State == StateFixed {
			continue
		}
		scopes := index[s.Tool+"\x00"+s.Target]
		switch {
		case len(scopes) == 0:
		case whole && !s.SeenAt.After(c.At) && slices.ContainsFunc(scopes, func(x Scope) bool { return x.covers(s.Location) }):
			c.Fixed = append(c.Fixed, s.Key)
		default:
			c.Unknown = append(c.Unknown, s.Key)
		}
	}
	return c
}

// covers tells whether the port of a place, as in "10.0.0.1:443/tcp", was looked
// at.
func (s Scope) covers(location string) bool {
	if s.Ports == "" {
		return true
	}
	place, protocol, ok := strings.Cut(location[strings.LastIndexByte(location, ':')+1:], "/")
	port, err := strconv.Atoi(place)
	if !ok || err != nil {
		return true
	}
	for _, r := range strings.Split(s.Ports, ",") {
		p, numbers, _ := strings.Cut(r, "/")
		from, to, both := strings.Cut(numbers, "-")
		a, err1 := strconv.Atoi(from)
		b := a
		var err2 error
		if both {
			b, err2 = strconv.Atoi(to)
		}
		if p == protocol && err1 == nil && err2 == nil && a <= port && port <= b {
			return true
		}
	}
	return false
}

// Limits are P.vuln_sev, P.vuln_triage and P.vuln_fix of controls.md section 2.
type Limits struct {
	// Severity is the least that has dates.
	Severity Severity
	// Triage is the days until a decision; 0 is none.
	Triage int
	// Fix is the days until a finding is fixed, accepted or mitigated, by severity; a
	// severity without days has no such date.
	Fix map[Severity]int
	// Zone is that of the organisation.
	Zone *time.Location
}

// Due gives the instants by which a finding that was opened at an instant must
// have a decision, and be fixed, accepted or mitigated: the end of the last day,
// in the organisation's zone. The zero time is no date.
func Due(s Severity, opened time.Time, l Limits) (triage, fix time.Time) {
	if s.Rank() < l.Severity.Rank() {
		return time.Time{}, time.Time{}
	}
	end := func(days int) time.Time {
		if days <= 0 {
			return time.Time{}
		}
		zone := l.Zone
		if zone == nil {
			zone = time.UTC
		}
		y, m, d := opened.In(zone).Date()
		return time.Date(y, m, d+days+1, 0, 0, 0, 0, zone).UTC()
	}
	return end(l.Triage), end(l.Fix[s])
}
