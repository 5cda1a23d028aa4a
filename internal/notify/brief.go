package notify

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Brief is a message for a small screen and for the ear.
type Brief struct {
	// Head is what comes first and is never cut, What may be shortened.
	Head, What string
	// More is what a screen has room for besides.
	More string
	// Accept and Refuse are what the two answers are called on a button; Refuse is empty
	// where there is nothing to refuse, both where nothing is asked.
	Accept, Refuse string
	// Reply says how to answer by a reply; it is left out where nobody reads replies.
	Reply string
	// Link is where it is answered; empty where there is none.
	Link string
	// Spoken is what a call says, Keys what keys it offers; empty where a call makes no
	// sense.
	Spoken, Keys string
}

// segment is how many septets a single SMS holds (3GPP TS 23.038).
const segment = 160

// gsm is the default alphabet of GSM, extended the characters that take two septets.
const (
	gsm      = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extended = "^{}\\[~]|€"
)

var plain = strings.NewReplacer(
	"’", "'", "‘", "'", "“", "\"", "”", "\"", "« ", "\"", " »", "\"", "«", "\"", "»", "\"", "–", "-", "—", "-", "…", "...", "œ", "oe", "Œ", "OE", "æ", "ae",
	"\u00a0", " ", "\u202f", " ", "\u2009", " ", "•", "-", "·", "-", "→", ">", "`", "'",
)

// GSM7 brings a text into the alphabet of a single SMS: accents that it has not are
// taken off, what has no likeness is a question mark.
func GSM7(s string) string {
	var b strings.Builder
	for _, r := range plain.Replace(norm.NFC.String(s)) {
		if strings.ContainsRune(gsm, r) || strings.ContainsRune(extended, r) {
			b.WriteRune(r)
			continue
		}
		base := []rune(norm.NFD.String(string(r)))[0]
		switch {
		case base != r && strings.ContainsRune(gsm, base):
			b.WriteRune(base)
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.Is(unicode.Mn, r) || unicode.IsControl(r):
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// Septets is how much of an SMS a text of its alphabet takes.
func Septets(s string) int {
	n := 0
	for _, r := range s {
		n++
		if strings.ContainsRune(extended, r) {
			n++
		}
	}
	return n
}

// SMS writes the message as one SMS of a single segment; only what happened is
// shortened. A link that does not fit beside the head takes a second segment rather
// than being cut.
func (m Brief) SMS(replies bool) string {
	head, tail := GSM7(m.Head), ""
	if replies && m.Reply != "" {
		tail += " " + GSM7(m.Reply)
	}
	if m.Link != "" {
		tail += " " + m.Link
	}
	what := strings.Join(strings.Fields(GSM7(m.What)), " ")
	if head != "" && what != "" {
		head += " "
	}
	room := segment - Septets(head) - Septets(tail)
	if Septets(what) > room {
		const dots = "..."
		runes := []rune(what)
		for len(runes) > 0 && Septets(string(runes))+len(dots) > room {
			runes = runes[:len(runes)-1]
		}
		what = ""
		if len(runes) > 0 {
			what = strings.TrimRight(string(runes), " ,;:.") + dots
		}
	}
	return strings.TrimSpace(strings.TrimSpace(head+what) + tail)
}
