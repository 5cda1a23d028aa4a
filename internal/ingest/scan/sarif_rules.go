package scan

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// settle puts rules to results, and says what the run proves.
func (run *sarifRun) settle(out *collector) error {
	d := run.driver
	out.tool(cmp.Or(out.report.Tool.Name, d.Name), cmp.Or(out.report.Tool.Version, d.Version, d.Semantic))
	// The last part of the id is of the run alone (3.17.3).
	target := ""
	if i := strings.LastIndexByte(run.automation, '/'); i > 0 {
		target = run.automation[:i]
	}
	target = strings.TrimSpace(run.repository + " " + target)
	out.scope(Scope{Tool: d.Name, Target: target})
	success := len(run.invocations) > 0
	for _, i := range run.invocations {
		out.clock(i.Start, i.End)
		ok := i.Successful == nil || *i.Successful
		failing := func(n sarifNotification) bool { return n.failing(d) }
		if !ok || slices.ContainsFunc(i.Execution, failing) || slices.ContainsFunc(i.Configuration, failing) {
			out.unknown("scan.reason.failed")
		}
		success = success && i.Successful != nil && ok
		if dir := path(i.Directory.URI, ""); dir != "" {
			run.roots = append(run.roots, dir)
		}
	}
	if !run.listed && !(success && toolName(d.Name) == "staticcheck") {
		out.unknown("scan.reason.no_results")
	}
	byID := map[string]*sarifRule{}
	for _, c := range append([]sarifComponent{d}, run.extensions...) {
		for i := range c.Rules {
			byID[c.Rules[i].ID] = &c.Rules[i]
		}
	}
	out.grow(len(run.results))
	for i, p := range run.results {
		rule := run.rule(p, byID)
		f, m := run.complete(p, rule)
		f.Tool, f.Target = d.Name, target
		if err := out.add(f, m); err != nil {
			return err
		}
		run.results[i] = nil
	}
	return nil
}

func (run *sarifRun) rule(p *sarifPending, byID map[string]*sarifRule) *sarifRule {
	rules := run.driver.Rules
	if p.extension >= 0 && int(p.extension) < len(run.extensions) {
		rules = run.extensions[p.extension].Rules
	}
	if p.index >= 0 && int(p.index) < len(rules) {
		if r := &rules[p.index]; p.rule == "" || r.ID == p.rule || strings.HasPrefix(p.rule, r.ID+"/") {
			return r
		}
	}
	if r := byID[p.rule]; r != nil {
		return r
	}
	// A hierarchical id names a special case of a rule (3.52.4).
	id, _, _ := strings.Cut(p.rule, "/")
	if r := byID[id]; r != nil {
		return r
	}
	return &sarifRule{}
}

// settle reads the ids that a rule names.
func (r *sarifRule) settle() {
	if r.settled {
		return
	}
	r.settled = true
	r.cve = few(cves(append([]string{r.ID, r.Name}, append(r.Properties.Tags, r.Deprecated...)...)...))
	r.cwe = few(append(references(r.Relations), cwes(append(r.Properties.Tags, r.Properties.CWE...)...)...))
}

var osvMessage = regexp.MustCompile(`^Package '([^']+)@([^@']*)' is vulnerable to `)

// complete makes a finding of a result and its rule, and its identity.
func (run *sarifRun) complete(p *sarifPending, rule *sarifRule) (Finding, mark) {
	rule.settle()
	tool := toolName(run.driver.Name)
	// A rule is optional (3.27.5).
	f := Finding{
		Rule: cmp.Or(p.rule, rule.ID, rule.Name, "none"), Location: p.location, Line: int(p.line), Score: p.score, URL: rule.URL,
		CVE: rule.cve, CWE: rule.cwe, Suppressed: p.muted, Baseline: p.baseline,
	}
	if f.Rule == rule.ID {
		f.Rule = rule.ID
	} else if ids := cves(f.Rule); len(ids) > 0 {
		f.CVE = append(ids, f.CVE...)
	}
	if len(p.cwe) > 0 {
		f.CWE = append(p.cwe, f.CWE...)
	}
	if f.Location == "" && p.artifact >= 0 && int(p.artifact) < len(run.artifacts) {
		f.Location = run.artifacts[p.artifact]
	}
	f.Location = path(f.Location, "")
	for _, root := range run.roots {
		f.Location = path(f.Location, root)
	}
	message := cmp.Or(p.message, fill(rule.Messages[p.messageID].Text, p.arguments))
	message = withoutSecret(tool, f.Rule, message)
	f.Title = cmp.Or(rule.Short.Text, firstLine(message), rule.Full.Text, rule.Name)
	f.Description = cmp.Or(message, rule.Full.Text)
	if f.Score == 0 {
		f.Score = number(string(rule.Properties.Severity))
	}
	f.Severity = p.severity(tool, rule, f.Score)
	matched := cmp.Or(withoutSecretCode(f.Rule, p.matched), phrase(message))
	switch {
	case tool == "gitleaks":
		matched = ""
	case tool == "govulncheck":
		// The message tells how near the call is, which may change.
		matched = ""
	case osvMessage.MatchString(message):
		m := osvMessage.FindStringSubmatch(message)
		f.Package, f.Version, matched = m[1], m[2], m[1]
	}
	m := mark{parts: []string{f.Location, p.function, matched}, line: int(p.line), col: int(p.column)}
	switch {
	case p.prints != "":
		m.parts = []string{p.prints}
	case p.partials != "":
		// They are told apart by file, since the same line may stand in two.
		m.parts = []string{f.Location, p.partials}
	}
	return f, m
}

// severity is that of the score, else of the word.
func (p *sarifPending) severity(tool string, rule *sarifRule, score float64) Severity {
	if score > 0 {
		return byScore(score)
	}
	if tool == "gitleaks" && p.level == "" {
		return High
	}
	word := cmp.Or(p.level, rule.Default.Level, "warning")
	for _, tag := range rule.Properties.Tags {
		// gosec and Trivy put their own word beside "security"; it is finer than the level.
		if _, ok := severities[strings.ToLower(tag)]; ok && strings.ToUpper(tag) == tag {
			word = tag
		}
	}
	return severity(word, 0)
}

// fill puts arguments into a message (3.11.5).
func fill(s string, args []string) string {
	var pairs []string
	for i, a := range args[:min(len(args), maxList)] {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", cut(a, maxWord, false))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}
