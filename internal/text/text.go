// Package text brings what people type into the one form that is stored.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"tocsin/internal/kit"
)

// Limits of free text, in characters.
const (
	MaxTitle = 200
	MaxNote  = 20_000
)

// Clean gives a text as it is stored: UTF-8 in normal form C, line ends as "\n",
// without control characters (newline and tab stay where multiline is set),
// trimmed. A text that is not UTF-8 or longer than limit characters is an error about the
// field path.
func Clean(path, s string, limit int, multiline bool) (string, error) {
	if !utf8.ValidString(s) {
		return "", kit.InvalidField(path, "error.bad_text")
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = norm.NFC.String(s)
	s = strings.Map(func(r rune) rune {
		switch {
		case multiline && (r == '\n' || r == '\t'):
			return r
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n > limit {
		return "", kit.InvalidField(path, "error.too_long", "limit", limit, "length", n)
	}
	return s, nil
}

// Line cleans a text of one line that must not be empty.
func Line(path, s string, limit int) (string, error) {
	s, err := Clean(path, s, limit, false)
	if err == nil && s == "" {
		err = kit.InvalidField(path, "error.required")
	}
	return s, err
}

// Fold brings a text to the form in which it is searched: lower case, without
// accents.
func Fold(s string) string {
	t := transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	out, _, err := transform.String(t, s)
	if err != nil {
		out = s
	}
	return strings.ToLower(out)
}

// Words splits a folded text into its words.
func Words(s string) []string {
	return strings.FieldsFunc(Fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
