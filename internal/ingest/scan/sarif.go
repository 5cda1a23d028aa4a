package scan

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sarif is SARIF 2.1.0 (OASIS). Results are read one at a time; what the rules
// say is put to them at the end of a run, since they may come later.
//
// Clean needs at least one run, and of every run: a list of results, which the
// standard (3.14.23) leaves out when the tool did not look; every invocation
// successful; no notification of level error. Staticcheck leaves an empty list
// out, so that its success stands for it. A run that failed makes the whole
// report unknown.
//
// Identity: fingerprints; else the file and the partialFingerprints that are
// prints; else rule, file, function, and the matched text or else the message.
type sarif struct{}

func (sarif) name() string { return "sarif" }

func (sarif) sniff(h head) bool {
	return h.has("runs") && (h.has("version") || h.has("$schema") || h.has("runs[].tool") || h.has("runs[].results"))
}

type sarifText struct {
	Text      string   `json:"text"`
	ID        string   `json:"id"`
	Arguments []string `json:"arguments"`
}

type sarifProperties struct {
	Severity plain `json:"security-severity"`
	Tags     words `json:"tags"`
	CWE      words `json:"cwe"`
	Problem  plain `json:"problem.severity"`
	Issue    plain `json:"issue_severity"`
}

type sarifReference struct {
	ID        string `json:"id"`
	Component struct {
		Name string `json:"name"`
	} `json:"toolComponent"`
	Target *sarifReference `json:"target"`
}

type sarifRule struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
	Short      sarifText            `json:"shortDescription"`
	Full       sarifText            `json:"fullDescription"`
	Messages   map[string]sarifText `json:"messageStrings"`
	URL        string               `json:"helpUri"`
	Relations  []sarifReference     `json:"relationships"`
	Properties sarifProperties      `json:"properties"`
	Deprecated []string             `json:"deprecatedIds"`
}

type sarifComponent struct {
	Name     string      `json:"name"`
	Version  string      `json:"version"`
	Semantic string      `json:"semanticVersion"`
	Rules    []sarifRule `json:"rules"`
}

type sarifNotification struct {
	Level string `json:"level"`
}

type sarifInvocation struct {
	Successful    *bool               `json:"executionSuccessful"`
	Execution     []sarifNotification `json:"toolExecutionNotifications"`
	Configuration []sarifNotification `json:"toolConfigurationNotifications"`
	Start         string              `json:"startTimeUtc"`
	End           string              `json:"endTimeUtc"`
	Directory     struct {
		URI string `json:"uri"`
	} `json:"workingDirectory"`
}

type sarifRegion struct {
	Line    int       `json:"startLine"`
	Column  int       `json:"startColumn"`
	Char    int       `json:"charOffset"`
	Byte    int       `json:"byteOffset"`
	Snippet sarifText `json:"snippet"`
}

type sarifResult struct {
	RuleID string `json:"ruleId"`
	Index  *int   `json:"ruleIndex"`
	Rule   struct {
		ID        string `json:"id"`
		Index     *int   `json:"index"`
		Component struct {
			Index *int `json:"index"`
		} `json:"toolComponent"`
	} `json:"rule"`
	Kind      string    `json:"kind"`
	Level     string    `json:"level"`
	Message   sarifText `json:"message"`
	Locations []struct {
		Physical struct {
			Artifact struct {
				URI   string `json:"uri"`
				Index *int   `json:"index"`
			} `json:"artifactLocation"`
			Region sarifRegion `json:"region"`
		} `json:"physicalLocation"`
		Logical []struct {
			Full string `json:"fullyQualifiedName"`
			Name string `json:"name"`
		} `json:"logicalLocations"`
	} `json:"locations"`
	Prints       map[string]plain `json:"fingerprints"`
	Partials     map[string]plain `json:"partialFingerprints"`
	Suppressions []struct {
		Kind          string `json:"kind"`
		State         string `json:"status"`
		OldState      string `json:"state"`
		Justification string `json:"justification"`
	} `json:"suppressions"`
	Baseline   string           `json:"baselineState"`
	Taxa       []sarifReference `json:"taxa"`
	Properties sarifProperties  `json:"properties"`
}

// sarifPending is a result until its run has ended.
type sarifPending struct {
	f         Finding
	m         mark
	index     int
	extension int
	artifact  int
	level     string
	message   sarifText
	snippet   string
	prints    string
	partials  string
}

type sarifRun struct {
	driver      sarifComponent
	extensions  []sarifComponent
	results     []sarifPending
	listed      bool
	invocations []sarifInvocation
	automation  string
	roots       []string
	artifacts   []string
}

func (sarif) read(in *input, out *collector) error {
	s := in.json()
	version, runs := "", 0
	err := s.object(func(key string) error {
		switch key {
		case "version":
			return s.into((*plain)(&version))
		case "runs":
			_, err := s.array(func() error {
				runs++
				return readRun(s, out)
			})
			return err
		}
		return s.skip()
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
		return err
	case version != "" && version != "2.1.0":
		out.unknown("scan.reason.version", "version", version)
	case version == "":
		out.unknown("scan.reason.shape")
	case runs == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return nil
}

func readRun(s stream, out *collector) error {
	var run sarifRun
	taken := len(out.report.Findings)
	err := s.object(func(key string) (err error) {
		switch key {
		case "tool":
			var tool struct {
				Driver     sarifComponent   `json:"driver"`
				Extensions []sarifComponent `json:"extensions"`
			}
			err = s.into(&tool)
			run.driver, run.extensions = tool.Driver, tool.Extensions
		case "invocations":
			err = s.into(&run.invocations)
		case "automationDetails":
			var a struct {
				ID string `json:"id"`
			}
			err = s.into(&a)
			run.automation = a.ID
		case "originalUriBaseIds":
			var bases map[string]struct {
				URI string `json:"uri"`
			}
			err = s.into(&bases)
			for _, name := range slices.Sorted(maps.Keys(bases)) {
				run.roots = append(run.roots, path(bases[name].URI, ""))
			}
		case "artifacts":
			_, err = each(s, func(a struct {
				Location struct {
					URI string `json:"uri"`
				} `json:"location"`
			},
			) error {
				run.artifacts = append(run.artifacts, cut(a.Location.URI, maxPlace, false))
				return nil
			})
		case "results":
			run.listed, err = each(s, func(r sarifResult) error {
				if taken+len(run.results) >= MaxFindings {
					return tooMany()
				}
				if p, ok := r.pending(); ok {
					run.results = append(run.results, p)
				}
				return nil
			})
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	return run.settle(out)
}

// pending reads what a result says by itself; false when it is no finding.
func (r *sarifResult) pending() (sarifPending, bool) {
	switch {
	case r.Kind == "pass", r.Kind == "notApplicable", r.Baseline == "absent":
		return sarifPending{}, false
	}
	p := sarifPending{index: -1, extension: -1, artifact: -1, level: r.Level, message: r.Message}
	if r.Kind == "informational" {
		p.level = "none"
	}
	p.message.Text = cut(p.message.Text, maxDescription, true)
	f := &p.f
	f.Rule = cmp.Or(r.RuleID, r.Rule.ID)
	for _, i := range []*int{r.Rule.Index, r.Index} {
		if i != nil {
			p.index = *i
		}
	}
	if i := r.Rule.Component.Index; i != nil {
		p.extension = *i
	}
	f.Score = number(string(r.Properties.Severity))
	f.CWE = append(references(r.Taxa), cwes(append(r.Properties.Tags, r.Properties.CWE...)...)...)
	if f.Baseline = r.Baseline; f.Baseline == "existing" {
		f.Baseline = "unchanged"
	}
	if !slices.Contains([]string{"", "new", "unchanged", "updated"}, f.Baseline) {
		f.Baseline = ""
	}
	for _, s := range r.Suppressions {
		if s.State = cmp.Or(s.State, s.OldState); s.State == "rejected" || s.State == "underReview" {
			f.Suppressed = nil
			break
		}
		how := "external"
		if s.Kind == "inSource" {
			how = "in_source"
		}
		f.Suppressed = &Suppression{How: how, Reason: s.Justification}
	}
	var function string
	if len(r.Locations) > 0 {
		l := r.Locations[0]
		f.Location, f.Line = l.Physical.Artifact.URI, l.Physical.Region.Line
		if i := l.Physical.Artifact.Index; i != nil {
			p.artifact = *i
		}
		g := l.Physical.Region
		p.m.line, p.m.col = g.Line, max(g.Column, g.Char, g.Byte)
		p.snippet = code(g.Snippet.Text)
		if len(l.Logical) > 0 {
			function = cmp.Or(l.Logical[0].Full, l.Logical[0].Name)
		}
	}
	p.m.parts = []string{"", function, ""}
	p.prints, p.partials = prints(r.Prints, nil), prints(nil, r.Partials)
	return p, true
}

// printName tells partial prints from other things that tools put there:
// gitleaks puts the commit and its author.
var printName = regexp.MustCompile(`(?i)hash|print|/v\d+$`)

func prints(full, partial map[string]plain) string {
	var out []string
	for k, v := range full {
		if v != "" {
			out = append(out, k+"="+string(v))
		}
	}
	for k, v := range partial {
		// The hash of the whole file changes with every line of it.
		if v != "" && printName.MatchString(k) && !strings.Contains(strings.ToLower(k), "file") {
			out = append(out, k+"="+string(v))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func references(list []sarifReference) (out []string) {
	for _, r := range list {
		if r.Target != nil {
			r = *r.Target
		}
		if strings.EqualFold(r.Component.Name, "cwe") {
			out = append(out, cwes(r.ID)...)
		} else {
			out = append(out, cwes("x "+r.ID)...)
		}
	}
	return out
}

// settle puts rules to results, and says what the run proves.
func (run *sarifRun) settle(out *collector) error {
	d := run.driver
	out.tool(cmp.Or(out.report.Tool.Name, d.Name), cmp.Or(out.report.Tool.Version, d.Version, d.Semantic))
	// The last part of the id is of the run alone (3.17.3).
	target := ""
	if i := strings.LastIndexByte(run.automation, '/'); i > 0 {
		target = run.automation[:i]
	}
	out.scope(Scope{Tool: d.Name, Target: target})
	success := len(run.invocations) > 0
	for _, i := range run.invocations {
		out.clock(i.Start, i.End)
		ok := i.Successful == nil || *i.Successful
		failing := func(n sarifNotification) bool { return n.Level == "error" }
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
	for i := range run.results {
		p := &run.results[i]
		rule := run.rule(p, byID)
		run.complete(p, rule)
		p.f.Tool, p.f.Target = d.Name, target
		if err := out.add(p.f, p.m); err != nil {
			return err
		}
		run.results[i] = sarifPending{}
	}
	return nil
}

func (run *sarifRun) rule(p *sarifPending, byID map[string]*sarifRule) *sarifRule {
	rules := run.driver.Rules
	if p.extension >= 0 && p.extension < len(run.extensions) {
		rules = run.extensions[p.extension].Rules
	}
	if p.index >= 0 && p.index < len(rules) {
		if r := &rules[p.index]; p.f.Rule == "" || r.ID == p.f.Rule || strings.HasPrefix(p.f.Rule, r.ID+"/") {
			p.f.Rule = cmp.Or(p.f.Rule, r.ID)
			return r
		}
	}
	if r := byID[p.f.Rule]; r != nil {
		return r
	}
	// A hierarchical id names a special case of a rule (3.52.4).
	id, _, _ := strings.Cut(p.f.Rule, "/")
	if r := byID[id]; r != nil {
		return r
	}
	return &sarifRule{}
}

var osvMessage = regexp.MustCompile(`^Package '([^']+)@([^@']*)' is vulnerable to `)

// complete fills a finding from its rule, and makes its identity.
func (run *sarifRun) complete(p *sarifPending, rule *sarifRule) {
	f := &p.f
	tool := toolName(run.driver.Name)
	if f.Location == "" && p.artifact >= 0 && p.artifact < len(run.artifacts) {
		f.Location = run.artifacts[p.artifact]
	}
	f.Location = path(f.Location, "")
	for _, root := range run.roots {
		f.Location = path(f.Location, root)
	}
	message := p.message.Text
	if message == "" {
		message = fill(rule.Messages[p.message.ID].Text, p.message.Arguments)
	}
	message = withoutSecret(tool, f.Rule, message)
	// A rule is optional (3.27.5).
	f.Rule = cmp.Or(f.Rule, rule.Name, "none")
	f.Title = cmp.Or(rule.Short.Text, firstLine(message), rule.Full.Text, rule.Name)
	f.Description = cmp.Or(message, rule.Full.Text)
	f.URL = rule.URL
	f.CVE = cves(append([]string{f.Rule, rule.ID, rule.Name}, append(rule.Properties.Tags, rule.Deprecated...)...)...)
	f.CWE = append(f.CWE, append(references(rule.Relations), cwes(append(rule.Properties.Tags, rule.Properties.CWE...)...)...)...)
	if f.Score == 0 {
		f.Score = number(string(rule.Properties.Severity))
	}
	word := cmp.Or(p.level, rule.Default.Level, "warning")
	for _, tag := range rule.Properties.Tags {
		// gosec and Trivy put their own word beside "security"; it is finer than the level.
		if _, ok := severities[strings.ToLower(tag)]; ok && strings.ToUpper(tag) == tag {
			word = tag
		}
	}
	switch {
	case f.Score > 0:
		f.Severity = byScore(f.Score)
	case tool == "gitleaks" && p.level == "":
		f.Severity = High
	default:
		f.Severity = severity(word, 0)
	}
	text := cmp.Or(p.snippet, phrase(message))
	switch {
	case tool == "gitleaks":
		text = ""
	case tool == "govulncheck":
		// The message tells how near the call is, which may change.
		text = ""
	case osvMessage.MatchString(message):
		m := osvMessage.FindStringSubmatch(message)
		f.Package, f.Version, text = m[1], m[2], m[1]
	}
	p.m.parts[0], p.m.parts[2] = f.Location, text
	switch {
	case p.prints != "":
		p.m.parts = []string{p.prints}
	case p.partials != "":
		// They are told apart by file, since the same line may stand in two.
		p.m.parts = []string{f.Location, p.partials}
	}
}

// fill puts arguments into a message (3.11.5).
func fill(s string, args []string) string {
	var pairs []string
	for i, a := range args[:min(len(args), maxList)] {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", cut(a, maxWord, false))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}
