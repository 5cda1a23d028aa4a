// Package mail reads messages of e-mail that people and monitoring systems send: the
// words of a person without what they quote, and what the subject says of an alert.
package mail

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // messages in any charset
	gomail "github.com/emersion/go-message/mail"
)

// Limits of what is read of a message.
const (
	maxParts  = 200
	maxDepth  = 8
	maxText   = 256 << 10
	maxHeader = 256 << 10
	// maxIDs is how many messages one may refer to.
	maxIDs = 100
	maxID  = 998
)

// Automatic is what made a message that no person wrote.
type Automatic string

// What makes such messages (RFC 3834, RFC 3464).
const (
	// ByPerson is a message that does not say to be automatic.
	ByPerson Automatic = ""
	// Generated was sent by a program of its own accord, as monitoring systems do.
	Generated Automatic = "generated"
	// Replied answers another message by itself: on holiday, received, not delivered.
	Replied Automatic = "replied"
	// Listed came to many by a list.
	Listed Automatic = "list"
)

// Message is a message as it was read.
type Message struct {
	// ID is the Message-ID without its angles, empty when there is none; References are
	// those that it answers, the oldest first.
	ID         string
	References []string
	// From is the address of the author, in lower case; empty when there is none.
	From    string
	Subject string
	// Text is what the author wrote: the text part, else the words of the HTML part.
	Text string
	// Date is when it was written, by the author's clock; zero when not told.
	Date time.Time
	// Language is the Content-Language, else empty.
	Language  string
	Automatic Automatic
	// Hops counts the servers that it came through.
	Hops int
	// Attachments are the names of the files with it, which are not read.
	Attachments []string
}

// Read reads a message as a stream, of which it keeps its words only. from is the sender
// of the envelope: that of a notice of delivery is empty. The error says in English what
// cannot be read.
func Read(r io.Reader, from string) (Message, error) {
	e, err := message.ReadWithOptions(r, &message.ReadOptions{MaxHeaderBytes: maxHeader})
	if unreadable(err) {
		return Message{}, fmt.Errorf("the header cannot be read: %w", err)
	}
	h := gomail.HeaderFromMap(e.Header.Map())
	m := Message{Language: language(h.Get("Content-Language")), Hops: len(h.Values("Received"))}
	m.Subject = decoded(h.Text("Subject"))
	m.ID, _ = h.MessageID()
	if len(m.ID) > maxID {
		m.ID = ""
	}
	for _, name := range []string{"References", "In-Reply-To"} {
		ids, _ := h.MsgIDList(name)
		for _, id := range ids[max(0, len(ids)-maxIDs):] {
			if len(id) <= maxID {
				m.References = append(m.References, id)
			}
		}
	}
	if list, err := h.AddressList("From"); err == nil && len(list) > 0 {
		m.From = strings.ToLower(list[0].Address)
	}
	if at, err := h.Date(); err == nil {
		m.Date = at.UTC()
	}
	m.Automatic = automatic(h, from)
	var p parts
	if err := p.walk(e, 0); err != nil {
		return Message{}, err
	}
	m.Attachments = p.files
	m.Text = p.plain.String()
	if strings.TrimSpace(m.Text) == "" {
		m.Text = htmlText(p.html.String())
	}
	m.Text = strings.TrimSpace(strings.ReplaceAll(m.Text, "\r\n", "\n"))
	return m, nil
}

// unreadable tells whether an error is one by which nothing could be read: a charset or
// an encoding that is not known leaves the bytes as they came.
func unreadable(err error) bool {
	return err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err)
}

func decoded(s string, _ error) string {
	return strings.TrimSpace(strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "\uFFFD"))
}

// parts collects the words of a message of several parts.
type parts struct {
	n           int
	plain, html strings.Builder
	files       []string
}

var errParts = errors.New("the message has too many parts, or parts within parts")

func (p *parts) walk(e *message.Entity, depth int) error {
	if p.n++; p.n > maxParts || depth > maxDepth {
		return errParts
	}
	if mr := e.MultipartReader(); mr != nil {
		for {
			part, err := mr.NextPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if unreadable(err) {
				// A message that was cut short says what came before the cut.
				if p.plain.Len()+p.html.Len() > 0 {
					return nil
				}
				return fmt.Errorf("a part cannot be read: %w", err)
			}
			if err := p.walk(part, depth+1); err != nil {
				return err
			}
		}
	}
	kind, _, err := e.Header.ContentType()
	if err != nil {
		kind = "text/plain"
	}
	disposition, args, _ := e.Header.ContentDisposition()
	if disposition == "attachment" || args["filename"] != "" || kind != "text/plain" && kind != "text/html" {
		if kind != "message/rfc822" && args["filename"] != "" {
			name, err := new(mime.WordDecoder).DecodeHeader(args["filename"])
			if err != nil {
				name = args["filename"]
			}
			p.files = append(p.files, decoded(name, nil))
		}
		return nil
	}
	to := &p.plain
	if kind == "text/html" {
		to = &p.html
	}
	if to.Len() > 0 {
		to.WriteString("\n")
	}
	body, err := io.ReadAll(io.LimitReader(e.Body, max(0, int64(maxText-to.Len()))))
	if err != nil && len(body) == 0 && p.plain.Len()+p.html.Len() == 0 {
		return fmt.Errorf("the text cannot be read: %w", err)
	}
	to.WriteString(strings.ToValidUTF8(string(body), "\uFFFD"))
	return nil
}

// automatic tells whether a program wrote a message, by the marks of RFC 3834 and those
// that were usual before it.
func automatic(h gomail.Header, from string) Automatic {
	kind, args, _ := h.ContentType()
	word := func(name string) string {
		w, _, _ := strings.Cut(h.Get(name), ";")
		w, _, _ = strings.Cut(strings.TrimSpace(w), " ")
		return strings.ToLower(w)
	}
	submitted, precedence := word("Auto-Submitted"), word("Precedence")
	switch {
	case from == "", kind == "multipart/report" && args["report-type"] != "", submitted == "auto-replied",
		precedence == "auto_reply", h.Has("X-Autoreply"), h.Has("X-Autorespond"), h.Has("X-Autoresponder"):
		return Replied
	case h.Has("List-Id"), precedence == "list":
		return Listed
	case submitted != "" && submitted != "no", precedence == "bulk", precedence == "junk":
		return Generated
	}
	return ByPerson
}

// language is fr or en by the first tag of a Content-Language, empty for others.
func language(tags string) string {
	t, _, _ := strings.Cut(tags, ",")
	t, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(t)), "-")
	if t == "fr" || t == "en" {
		return t
	}
	return ""
}
