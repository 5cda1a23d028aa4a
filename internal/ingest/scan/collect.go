package scan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/text"
)

// collector gathers what a reader reads and settles identity and verdict.
type collector struct {
	hint   Hint
	report Report
	bases  []base
	whole  bool
	broken bool
}

// base is what a finding is told by, before repeats are numbered.
type base struct {
	id   [16]byte
	line int
	col  int
}

// mark is the identity of a finding apart from tool, target and rule.
type mark struct {
	// parts tell the finding from others of its rule.
	parts []string
	// line and col order repeats; they are no part of the identity.
	line, col int
}

func at(parts ...string) mark { return mark{parts: parts} }

// add takes a finding; tool, target and limits are settled here. A finding without
// a rule is not of the format that it was read as.
func (c *collector) add(f Finding, m mark) error {
	if len(c.report.Findings) >= MaxFindings {
		return tooMany()
	}
	f.Tool = cmp.Or(f.Tool, c.report.Tool.Name)
	f.Tool, f.Target = cut(f.Tool, maxWord, false), cut(f.Target, maxPlace, false)
	if f.Rule = cut(f.Rule, maxWord, false); f.Rule == "" {
		return errShape
	}
	f.Location = cut(f.Location, maxPlace, false)
	f.Description = cut(f.Description, maxDescription, true)
	f.Description = withoutTokens(f.Description)
	f.Title = cut(cmp.Or(strings.TrimSpace(f.Title), firstLine(f.Description), f.Rule), maxTitle, false)
	f.Title, f.Location = withoutTokens(f.Title), withoutTokens(f.Location)
	f.Package, f.Version, f.FixedIn = cut(f.Package, maxWord, false), cut(f.Version, maxWord, false), cut(f.FixedIn, maxWord, false)
	f.URL = link(f.URL)
	f.CVE, f.CWE = few(f.CVE), few(f.CWE)
	if f.Severity == "" {
		f.Severity = severity("", f.Score)
	}
	if f.Line < 0 {
		f.Line = 0
	}
	if s := f.Suppressed; s != nil {
		f.Suppressed = &Suppression{How: s.How, Reason: cut(s.Reason, maxTitle, false), By: cut(s.By, maxWord, false)}
	}
	h := sha256.New()
	for _, p := range append([]string{toolName(f.Tool), f.Rule}, m.parts...) {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	b := base{line: m.line, col: m.col}
	copy(b.id[:], h.Sum(nil))
	c.report.Findings, c.bases = append(c.report.Findings, f), append(c.bases, b)
	return nil
}

func few(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.Clip(list[:min(len(list), maxList)])
}

// tool names the scanner of the findings to come.
func (c *collector) tool(name, version string) {
	c.report.Tool = Tool{Name: cut(name, maxWord, false), Version: cut(strings.TrimPrefix(version, "v"), maxWord, false)}
}

// about names what was scanned, without a claim to speak about it in full.
func (c *collector) about(name string) {
	c.report.Target = cmp.Or(c.report.Target, cut(name, maxPlace, false))
}

// target says what the report speaks about in full.
func (c *collector) target(name string) { c.scope(Scope{Target: name}) }

func (c *collector) scope(s Scope) {
	s.Tool, s.Target = cmp.Or(cut(s.Tool, maxWord, false), c.report.Tool.Name), cut(s.Target, maxPlace, false)
	if len(c.report.Scopes) < MaxFindings && (len(c.report.Scopes) == 0 || c.report.Scopes[len(c.report.Scopes)-1] != s) {
		c.report.Scopes = append(c.report.Scopes, s)
	}
	c.report.Target = cmp.Or(c.report.Target, s.Target)
}

// proved says that the report is whole: what it does not name is not there.
func (c *collector) proved() { c.whole = true }

// unknown says that the report proves nothing; the first reason stays.
func (c *collector) unknown(key string, pairs ...any) {
	if !c.broken {
		c.broken, c.report.Reason = true, reason(key, pairs)
	}
}

// partial says why findings may be missing. Without any, the report is unknown.
func (c *collector) partial(key string, pairs ...any) {
	if c.report.Reason.Key == "" {
		c.report.Partial, c.report.Reason = true, reason(key, pairs)
	}
}

func reason(key string, pairs []any) Reason {
	r := Reason{Key: key}
	for i := 0; i+1 < len(pairs); i += 2 {
		if r.Args == nil {
			r.Args = map[string]any{}
		}
		if s, ok := pairs[i+1].(string); ok {
			pairs[i+1] = cut(s, maxTitle, false)
		}
		r.Args[pairs[i].(string)] = pairs[i+1]
	}
	return r
}

// finish numbers repeats, and gives the verdict.
func (c *collector) finish() Report {
	r := &c.report
	// The caller's name stands for a target that the format does not tell. One that is
	// told late, and is the only one, is that of every finding.
	target := cut(c.hint.Target, maxPlace, false)
	r.Target = cmp.Or(r.Target, target)
	if len(r.Scopes) == 0 {
		r.Scopes = []Scope{{Tool: r.Tool.Name}}
	}
	if len(r.Scopes) == 1 {
		target = r.Target
	}
	for i := range r.Scopes {
		r.Scopes[i].Tool = toolName(r.Scopes[i].Tool)
		r.Scopes[i].Target = cmp.Or(r.Scopes[i].Target, target)
	}
	for i := range r.Findings {
		r.Findings[i].Target = cmp.Or(r.Findings[i].Target, target)
		r.Findings[i].Tool = toolName(r.Findings[i].Tool)
	}
	c.identify()
	if !c.whole {
		c.partial("scan.reason.no_proof")
	}
	open := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Suppressed == nil })
	switch {
	case c.broken, !open && r.Partial:
		r.Verdict = Unknown
	case open:
		r.Verdict = Findings
	default:
		r.Verdict = Clean
	}
	r.Partial = r.Partial && r.Verdict == Findings
	if r.FinishedAt.IsZero() {
		r.FinishedAt = r.StartedAt
	}
	return *r
}

// grow makes room for n more findings.
func (c *collector) grow(n int) {
	c.report.Findings, c.bases = slices.Grow(c.report.Findings, n), slices.Grow(c.bases, n)
}

// digest stands for a text in identities.
func digest(s string) string {
	if s == "" {
		return ""
	}
	h := sha256.Sum256([]byte(s))
	return string(h[:12])
}

// byIdentity sorts findings together with what they are told by.
type byIdentity collector

func (c *byIdentity) Len() int { return len(c.bases) }

func (c *byIdentity) Swap(i, j int) {
	all := c.report.Findings
	all[i], all[j] = all[j], all[i]
	c.bases[i], c.bases[j] = c.bases[j], c.bases[i]
}

func (c *byIdentity) Less(i, j int) bool {
	f, g, a, b := &c.report.Findings[i], &c.report.Findings[j], &c.bases[i], &c.bases[j]
	return cmp.Or(strings.Compare(f.Target, g.Target), bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.line, b.line), cmp.Compare(a.col, b.col),
		grave(f, g), strings.Compare(f.Location, g.Location), strings.Compare(f.Version, g.Version),
		strings.Compare(f.Title, g.Title), strings.Compare(f.Description, g.Description)) < 0
}

// identify gives each finding its key, and merges what is told twice. The result
// does not depend on the order in which the report tells.
func (c *collector) identify() {
	sort.Sort((*byIdentity)(c))
	all := c.report.Findings
	out, repeat := 0, 0
	var last base
	lastTarget := ""
	for i := range all {
		b := c.bases[i]
		switch {
		case i == 0 || b.id != last.id || all[i].Target != lastTarget:
			repeat = 0
		case b == last:
			continue
		default:
			repeat++
		}
		last, lastTarget = b, all[i].Target
		h := sha256.Sum256(append([]byte(all[i].Target+"\x00"+strconv.Itoa(repeat)+"\x00"), b.id[:]...))
		all[out] = all[i]
		all[out].Key = hex.EncodeToString(h[:16])
		out++
	}
	clear(all[out:])
	c.report.Findings, c.bases = all[:out], nil
}

// grave puts the finding that stands for its twins first.
func grave(a, b *Finding) int {
	muted := func(f *Finding) int {
		if f.Suppressed != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(muted(a)-muted(b), b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(b.Score, a.Score))
}

// clock notes when the scan began and ended, where that can be read.
func (c *collector) clock(started, finished string) {
	if t := instant(started); !t.IsZero() {
		c.report.StartedAt = t
	}
	if t := instant(finished); !t.IsZero() {
		c.report.FinishedAt = t
	}
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05", "2006-01-02T15:04:05Z0700",
	time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05", "Mon Jan _2 15:04:05 2006", "2006:01:02 15:04:05", "2006-01-02",
}

// instant reads the times that scanners write; one that cannot be read, or is
// absurd, is none. Without a zone it is UTC.
func instant(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil && t.Year() > 1990 && t.Year() < 9999 {
			return kit.Truncate(t)
		}
	}
	return time.Time{}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

func clean(s string, multiline bool) string {
	s, err := text.Clean("", s, len(s)*4+4, multiline)
	if err != nil {
		return ""
	}
	return s
}
