package mail

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlText gives the words of a page, a line for each block.
func htmlText(page string) string {
	z := html.NewTokenizer(strings.NewReader(page))
	z.SetMaxBuf(maxText)
	var b strings.Builder
	hidden := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return lines(b.String())
		case html.TextToken:
			if hidden == 0 {
				b.WriteString(strings.Join(strings.FieldsFunc(string(z.Text()), breaks), " "))
			}
		case html.StartTagToken:
			name, _ := z.TagName()
			switch a := atom.Lookup(name); {
			case unseen(a):
				hidden++
			case block(a):
				b.WriteByte('\n')
			}
		case html.SelfClosingTagToken:
			if name, _ := z.TagName(); block(atom.Lookup(name)) {
				b.WriteByte('\n')
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			switch a := atom.Lookup(name); {
			case unseen(a):
				hidden = max(0, hidden-1)
			case block(a):
				b.WriteByte('\n')
			}
		}
	}
}

func breaks(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }

func unseen(a atom.Atom) bool {
	return a == atom.Style || a == atom.Script || a == atom.Title || a == atom.Template || a == atom.Noscript
}

func block(a atom.Atom) bool {
	switch a {
	case atom.Br, atom.P, atom.Div, atom.Tr, atom.Li, atom.Ul, atom.Ol, atom.H1, atom.H2, atom.H3, atom.H4, atom.Table, atom.Blockquote, atom.Pre, atom.Hr, atom.Section, atom.Article:
		return true
	}
	return false
}

// lines drops what is empty in a text: spaces at the ends, more than one blank line.
func lines(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		l = strings.Join(strings.FieldsFunc(l, unicode.IsSpace), " ")
		if l == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, l)
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

// quoteStart is the line with which programs begin what a person answers to.
var quoteStart = regexp.MustCompile(`(?i)^\s*(on\b.{5,200}\bwrote\s*:|le\b.{5,200}a\s+écrit\s*:|am\b.{5,200}schrieb.{0,80}:|-{2,}\s*(original message|message d['’]origine|message original|forwarded message|message transféré)\s*-{2,}|_{20,})\s*$`)

// Own is what the author of a text wrote themselves: without what is quoted below it,
// the lines that begin with ">" and the signature. Where nothing would be left, it is
// the whole text.
func Own(text string) string {
	var out []string
	all := strings.Split(text, "\n")
	for n, l := range all {
		head := l
		if n+1 < len(all) {
			// Long introductions of a quote are folded over two lines.
			head = strings.TrimSpace(l) + " " + strings.TrimSpace(all[n+1])
		}
		if len(l) < 400 && (quoteStart.MatchString(l) || quoteFolded(l) && len(head) < 400 && quoteStart.MatchString(head)) || strings.TrimRight(l, "\r\t") == "-- " {
			break
		}
		if strings.HasPrefix(strings.TrimSpace(l), ">") {
			continue
		}
		out = append(out, strings.TrimRight(l, " \t\r"))
	}
	own := strings.TrimSpace(strings.Join(out, "\n"))
	if own == "" {
		return strings.TrimSpace(text)
	}
	return own
}

func quoteFolded(l string) bool {
	l = strings.ToLower(strings.TrimSpace(l))
	return strings.HasPrefix(l, "on ") || strings.HasPrefix(l, "le ") || strings.HasPrefix(l, "am ")
}

// Subject is what the subject of an alert's message says.
type Subject struct {
	// Title is the subject without the words that tell the state.
	Title string
	// State is the word of the state, in lower case; empty when none is told.
	State string
	// Severity is the word of the severity, in lower case; empty when none is told.
	Severity string
}

// Key is what the messages about one thing have in common.
func (s Subject) Key() string { return strings.ToLower(s.Title) }

var (
	replied  = regexp.MustCompile(`(?i)^(re|fwd?|aw|wg|tr|rép|ref)\s*(\[\d+\])?\s*:\s*`)
	bracket  = regexp.MustCompile(`^\[([^\[\]]{1,60})\]\s*[:–-]?\s*`)
	leading  = regexp.MustCompile(`(?i)^([\p{L}][\p{L} ]{0,20}?)(?:\s+in\s+[\dhms ]{1,20})?\s*:\s+`)
	nagios   = regexp.MustCompile(`(?i)^\**\s*(problem|recovery|acknowledgement|flappingstart|flappingstop)\s+((?:host|service)\s+alert\s*:\s*.+?)\s*\**$`)
	standing = regexp.MustCompile(`(?i)\s+is\s+(critical|warning|unknown|ok|up|down|unreachable)\s*\**$`)
	notWord  = regexp.MustCompile(`[^\p{L}\p{N} ]+`)
)

// stateWords are those that tell the state, with the severity of those that tell one.
var stateWords = map[string]Subject{
	"firing": {State: "firing"}, "alerting": {State: "firing"}, "alarm": {State: "firing"}, "problem": {State: "firing"}, "triggered": {State: "firing"},
	"down": {State: "firing", Severity: "critical"}, "unreachable": {State: "firing", Severity: "critical"}, "failed": {State: "firing"}, "failure": {State: "firing"},
	"no data": {State: "firing"}, "nodata": {State: "firing"}, "unknown": {State: "firing"}, "alert": {State: "firing"},
	"critical": {State: "firing", Severity: "critical"}, "error": {State: "firing", Severity: "error"}, "warning": {State: "firing", Severity: "warning"},
	"info": {Severity: "info"}, "resolved": {State: "resolved"}, "resolve": {State: "resolved"}, "ok": {State: "resolved"}, "recovery": {State: "resolved"}, "recovered": {State: "resolved"},
	"up": {State: "resolved"}, "closed": {State: "resolved"}, "fixed": {State: "resolved"}, "normal": {State: "resolved"}, "cleared": {State: "resolved"},
	"résolu": {State: "resolved"}, "rétabli": {State: "resolved"}, "panne": {State: "firing"}, "alerte": {State: "firing"}, "critique": {State: "firing", Severity: "critical"},
	"acknowledged": {State: "acknowledged"}, "acknowledgement": {State: "acknowledged"},
}

// word reads one word of a state: without a count ("FIRING:2") and signs.
func word(s string) (Subject, bool) {
	s, _, _ = strings.Cut(s, ":")
	w, ok := stateWords[strings.ToLower(strings.TrimSpace(notWord.ReplaceAllString(s, " ")))]
	return w, ok
}

func (s *Subject) take(w Subject) {
	if w.State != "" && s.State == "" {
		s.State = w.State
	}
	if w.Severity != "" && s.Severity == "" {
		s.Severity = w.Severity
	}
}

// ReadSubject takes the words of the state out of a subject, as Alertmanager, Grafana,
// Zabbix, Nagios, CloudWatch and people write them.
func ReadSubject(subject string) Subject {
	var s Subject
	rest, kept := strings.Join(strings.Fields(subject), " "), ""
	if m := nagios.FindStringSubmatch(rest); m != nil {
		if w, ok := word(m[1]); ok {
			s.take(w)
		}
		rest = m[2]
		if m := standing.FindStringSubmatch(rest); m != nil {
			w, _ := word(m[1])
			s.take(Subject{Severity: w.Severity})
			rest = strings.TrimSuffix(rest, m[0])
		}
	}
	for {
		if m := replied.FindString(rest); m != "" {
			rest = rest[len(m):]
			continue
		}
		if m := bracket.FindStringSubmatch(rest); m != nil {
			if w, ok := word(m[1]); ok {
				s.take(w)
			} else {
				kept += m[0]
			}
			rest = rest[len(m[0]):]
			continue
		}
		if m := leading.FindStringSubmatch(rest); m != nil {
			if w, ok := word(m[1]); ok {
				s.take(w)
				rest = rest[len(m[0]):]
				continue
			}
		}
		break
	}
	s.Title = strings.TrimSpace(kept + rest)
	if s.Title == "" {
		s.Title = strings.TrimSpace(subject)
	}
	return s
}

// frenchWords are short words that French has and English has not.
var frenchWords = map[string]bool{
	"le": true, "la": true, "les": true, "des": true, "du": true, "une": true, "est": true, "et": true, "pas": true, "je": true, "vous": true, "nous": true,
	"bonjour": true, "merci": true, "ne": true, "pour": true, "avec": true, "plus": true, "depuis": true, "sur": true, "dans": true, "mon": true, "notre": true, "ça": true,
}

// Language guesses fr or en by the words of a text.
func Language(text string) string {
	fr, all := 0, 0
	for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if frenchWords[w] {
			fr++
		}
		if all++; all == 300 {
			break
		}
	}
	if fr*8 >= all && fr > 0 {
		return "fr"
	}
	return "en"
}
