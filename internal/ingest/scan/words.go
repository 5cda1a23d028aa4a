package scan

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"
)

var severities = map[string]Severity{
	"critical": Critical, "crit": Critical, "fatal": Critical, "blocker": Critical, "urgent": Critical, "serious": Critical,
	"high": High, "error": High, "important": High, "major": High, "alarm": High,
	"medium": Medium, "moderate": Medium, "warning": Medium, "warn": Medium, "minor": Medium, "average": Medium,
	"low": Low, "note": Low, "negligible": Low, "inventory": Low, "experiment": Low,
	"info": Info, "information": Info, "informational": Info, "none": Info, "log": Info, "debug": Info, "ok": Info, "trivial": Info,
}

// severity reads a scanner's word, else its score. What tells neither is high:
// it stays inside P.vuln_sev until a person has looked.
func severity(word string, score float64) Severity {
	if s, ok := severities[strings.ToLower(strings.TrimSpace(word))]; ok {
		return s
	}
	return byScore(score)
}

// byScore is the qualitative scale of CVSS 3.1 section 5.
func byScore(score float64) Severity {
	switch {
	case score >= 9:
		return Critical
	case score >= 7:
		return High
	case score >= 4:
		return Medium
	case score > 0:
		return Low
	}
	return High
}

// number reads a score of 0 to 10; anything else is 0.
func number(s string) float64 {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0
	}
	return score(n)
}

func score(n float64) float64 {
	if n > 0 && n <= 10 {
		return n
	}
	return 0
}

// vector gives the score of a CVSS vector of any version, 0 when it is none.
func vector(s string) float64 {
	switch {
	case len(s) > 500:
	case strings.HasPrefix(s, "CVSS:4.0/"):
		if v, err := gocvss40.ParseVector(s); err == nil {
			return v.Score()
		}
	case strings.HasPrefix(s, "CVSS:3.1/"):
		if v, err := gocvss31.ParseVector(s); err == nil {
			return v.BaseScore()
		}
	case strings.HasPrefix(s, "CVSS:3.0/"):
		if v, err := gocvss30.ParseVector(s); err == nil {
			return v.BaseScore()
		}
	case strings.HasPrefix(s, "AV:"):
		if v, err := gocvss20.ParseVector(s); err == nil {
			return v.BaseScore()
		}
	}
	return 0
}

var (
	cvePattern = regexp.MustCompile(`(?i)\bCVE-(\d{4})-(\d{4,19})\b`)
	cwePattern = regexp.MustCompile(`(?i)\bCWE[-/:_ ]{0,2}0*(\d{1,5})\b`)
	digits     = regexp.MustCompile(`^0*(\d{1,5})$`)
)

// cves gives the CVE ids that stand in the texts.
func cves(texts ...string) (out []string) {
	for _, s := range texts {
		for _, m := range cvePattern.FindAllStringSubmatch(s, maxList) {
			out = append(out, "CVE-"+m[1]+"-"+m[2])
		}
	}
	return out
}

// cwes gives the CWE ids that stand in the texts; a text that is a number alone
// is one too. CWE-0 and -1, which some tools write for none, are none.
func cwes(texts ...string) (out []string) {
	for _, s := range texts {
		for _, m := range cwePattern.FindAllStringSubmatch(s, maxList) {
			if m[1] != "0" && m[1] != "1" {
				out = append(out, "CWE-"+m[1])
			}
		}
		if m := digits.FindStringSubmatch(s); m != nil && m[1] != "0" && m[1] != "1" {
			out = append(out, "CWE-"+m[1])
		}
	}
	return out
}

// toolName is the name of a scanner as it stands in identities: lower case, no
// version.
func toolName(s string) string {
	f := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == ' ' || r == '/' || r == '\t' })
	out := f[:0]
	for _, w := range f {
		if w = strings.TrimPrefix(w, "v"); w != "" && (w[0] < '0' || w[0] > '9') {
			out = append(out, w)
		}
	}
	if len(out) == 0 {
		return strings.ToLower(s)
	}
	return strings.Join(out, " ")
}

// checkouts are where build machines put the sources: the rest of a path is the
// same on the next machine.
var checkouts = regexp.MustCompile(`^(/home/runner/work/[^/]+/[^/]+|/github/workspace|/builds/[^/]+/[^/]+|/__w/[^/]+/[^/]+|/home/vsts/work/\d+/s|[A-Za-z]:/a/[^/]+/[^/]+|/bitbucket/pipelines/agent/build|/var/lib/jenkins/workspace/[^/]+|/workspace|/codebuild/output/src\d+/src/[^/]+)/`)

// path brings a file's place to one form: slashes, no scheme, below the checkout
// or below root where either is known.
func path(s, root string) string {
	if rest, ok := strings.CutPrefix(s, "file://"); ok {
		s = "/" + strings.TrimLeft(strings.TrimPrefix(rest, "localhost"), "/")
		if len(s) > 2 && s[2] == ':' {
			s = s[1:]
		}
	}
	if u, err := url.PathUnescape(s); err == nil && strings.Contains(s, "%") {
		s = u
	}
	s = strings.ReplaceAll(s, `\`, "/")
	if root = strings.TrimSuffix(root, "/"); root != "" {
		s = strings.TrimPrefix(s, root+"/")
	}
	if m := checkouts.FindString(s); m != "" {
		s = s[len(m):]
	}
	for strings.HasPrefix(s, "./") {
		s = s[2:]
	}
	return s
}

// web brings a URL to one form without secrets: scheme and host in lower case, no
// user, no fragment, names of the query in order and no values.
func web(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Host == "" || u.Scheme == "" {
		s, _, _ = strings.Cut(s, "?")
		if i := strings.LastIndexByte(s, '@'); i >= 0 {
			s = s[i+1:]
		}
		return s
	}
	u.Scheme, u.Host, u.User, u.Fragment, u.RawFragment = strings.ToLower(u.Scheme), strings.ToLower(u.Host), nil, "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	var names []string
	for name := range u.Query() {
		names = append(names, url.QueryEscape(name))
	}
	slices.Sort(names)
	u.RawQuery = strings.Join(names, "&")
	return u.String()
}

// link is an address to show: https or http, else none.
func link(s string) string {
	s = strings.TrimSpace(s)
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(s) > maxPlace {
		return ""
	}
	if clean := u.String(); clean != s {
		return clean
	}
	return s
}

func firstLink(list []string) string {
	for _, s := range list {
		if l := link(s); l != "" {
			return l
		}
	}
	return ""
}

// image is a container image without tag, digest and the system that was seen in
// it, so that the next build of it is the same target.
func image(s string) string {
	if strings.Contains(s, `\`) {
		return path(s, "")
	}
	s, _, _ = strings.Cut(s, " (")
	s, _, _ = strings.Cut(s, "@sha256:")
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') && i > 0 {
		s = s[:i]
	}
	return s
}

// purl reads a package URL into name and version. The name keeps type and
// namespace, as in "npm/lodash".
func purl(s string) (name, version string) {
	s, ok := strings.CutPrefix(s, "pkg:")
	if !ok {
		return "", ""
	}
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	name = s
	if i := strings.LastIndexByte(s, '@'); i > strings.LastIndexByte(s, '/') {
		name, version = s[:i], s[i+1:]
	}
	if n, err := url.PathUnescape(name); err == nil {
		name = n
	}
	if v, err := url.PathUnescape(version); err == nil {
		version = v
	}
	return name, version
}

var (
	numbers = regexp.MustCompile(`\d+`)
	spaces  = regexp.MustCompile(`\s+`)
)

// phrase is a message as it stands in identities: without the numbers (lines,
// counts, versions) that change from run to run.
func phrase(s string) string {
	if len(s) > 2_000 {
		s = s[:2_000]
	}
	return spaces.ReplaceAllString(numbers.ReplaceAllString(strings.ToLower(strings.TrimSpace(s)), "#"), " ")
}

// code is a line of code as it stands in identities: indentation and width of
// spaces do not matter.
func code(s string) string {
	if len(s) > 4_000 {
		s = s[:4_000]
	}
	return strings.TrimSpace(spaces.ReplaceAllString(s, " "))
}

// lastWord is the "3.0.4" of "Wapiti 3.0.4".
func lastWord(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[len(f)-1]
	}
	return ""
}
