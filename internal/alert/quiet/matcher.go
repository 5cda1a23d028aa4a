package quiet

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Matcher asks about one label. Beside the labels of an alert it knows the names
// alertname, service, source and severity. The zero IsEqual negates.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`

	re *regexp.Regexp
}

// Compile makes the matcher ready; the error is that of its regular expression,
// which is anchored at both ends.
func (m *Matcher) Compile() (err error) {
	if m.IsRegex {
		m.re, err = regexp.Compile("^(?:" + m.Value + ")$")
	}
	return err
}

// Matches tells whether a value fits. A regular expression that was not compiled
// fits nothing.
func (m *Matcher) Matches(v string) bool {
	if !m.IsRegex {
		return (m.Value == v) == m.IsEqual
	}
	return m.re != nil && m.re.MatchString(v) == m.IsEqual
}

// String is the matcher as Alertmanager writes it.
func (m Matcher) String() string {
	op := map[[2]bool]string{{false, true}: "=", {false, false}: "!=", {true, true}: "=~", {true, false}: "!~"}[[2]bool{m.IsRegex, m.IsEqual}]
	return m.Name + op + `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(m.Value) + `"`
}

var matcherForm = regexp.MustCompile(`^\s*([^=!~\s]+)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)

// ParseMatcher reads a matcher as Alertmanager writes it, quotes and braces being
// optional, and makes it ready.
func ParseMatcher(s string) (Matcher, error) {
	p := matcherForm.FindStringSubmatch(strings.Trim(strings.TrimSpace(s), "{}"))
	if p == nil {
		return Matcher{}, fmt.Errorf("bad matcher format: %s", s)
	}
	m := Matcher{Name: strings.Trim(p[1], `"`), Value: p[3], IsEqual: p[2][0] == '=', IsRegex: strings.HasSuffix(p[2], "~")}
	if strings.HasPrefix(m.Value, `"`) {
		v, err := strconv.Unquote(m.Value)
		if err != nil {
			return m, fmt.Errorf("bad matcher format: %s", s)
		}
		m.Value = v
	}
	if m.Compile() != nil {
		return m, fmt.Errorf("bad matcher format: %s", s)
	}
	return m, nil
}
