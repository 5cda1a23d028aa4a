package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"

	"tocsin/internal/alert"
	"tocsin/internal/i18n"
	"tocsin/internal/ingest/mail"
	"tocsin/internal/kit"
	"tocsin/internal/report"
	"tocsin/internal/text"
)

// Reports is what the edge of mail needs of package report.
type Reports interface {
	Receive(ctx context.Context, in report.Incoming) (r report.Report, follow string, err error)
}

// MailAlerts is what the edge of mail needs of package alert.
type MailAlerts interface {
	Alerts
	IngestMail(ctx context.Context, sig alert.Signal, th alert.Thread) (out alert.Outcome, again bool, err error)
}

// MailAnswers is what the edge of mail needs of package notify.
type MailAnswers interface {
	AnswerMail(ctx context.Context, references []string, from string, accept bool) error
}

// ReplyBox is the part before the @ to which people answer what they were sent.
const ReplyBox = "reply"

// Limits of the mail that is taken.
const (
	maxMail        = 10 << 20
	maxRecipients  = 50
	maxConnections = 100
	// maxHops is how many servers a message may have come through (RFC 5321, 6.3).
	maxHops = 50
	// maxUnknown is how many addresses that do not exist a connection may try.
	maxUnknown = 5
	// aDay is how far off the clock of a sender may be for its time to be taken.
	aDay = 24 * time.Hour
)

// The parts before the @ that are no keys of sources: reports of problems, and of
// weaknesses of security.
var reportBoxes = map[string]report.Kind{"report": report.Problem, "security": report.Vulnerability}

// MailServer takes mail: alerts to {key}@…, reports to report@… and security@….
type MailServer struct {
	h       *handler
	alerts  MailAlerts
	reports Reports
	answers MailAnswers
	server  *smtp.Server
	// own is the address that the product sends from: an alert of its own message would
	// be a loop. It may be nil.
	own func(ctx context.Context) string
}

// NewMailServer makes the server; domain is what it calls itself. own gives the address
// that the product sends from.
func NewMailServer(alerts MailAlerts, reports Reports, domain string, own func(ctx context.Context) string, o Options) *MailServer {
	if o.Rate == 0 {
		o.Rate, o.Burst = 20, 1000
	}
	s := &MailServer{h: newHandler(alerts, nil, nil, o), alerts: alerts, reports: reports, answers: o.Answers, own: own}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{s: s}, nil }))
	s.server.Domain = domain
	s.server.MaxMessageBytes, s.server.MaxRecipients = maxMail, maxRecipients
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	s.server.EnableSMTPUTF8 = true
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

// Serve takes mail until Close.
func (s *MailServer) Serve(l net.Listener) error {
	err := s.server.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// Close takes no further mail, and waits for what is being taken until the context ends.
func (s *MailServer) Close(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		return s.server.Close()
	}
	return nil
}

// mailbox is where a message goes: a source by its key, or reports.
type mailbox struct {
	key  string
	src  alert.Source
	kind report.Kind
	// reply tells the box for answers.
	reply bool
}

type mailSession struct {
	s       *MailServer
	from    string
	to      []mailbox
	unknown int
}

func smtpRefusal(code int, enhanced smtp.EnhancedCode, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

var errMailLater = smtpRefusal(451, smtp.EnhancedCode{4, 3, 0}, "The message cannot be kept now. Send it again later.")

// Reset implements smtp.Session.
func (m *mailSession) Reset() { m.from, m.to = "", nil }

// Logout implements smtp.Session.
func (m *mailSession) Logout() error { return nil }

// Mail implements smtp.Session.
func (m *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	m.Reset()
	m.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if m.unknown >= maxUnknown {
		return smtpRefusal(421, smtp.EnhancedCode{4, 7, 0}, "Too many addresses that do not exist.")
	}
	local, _, _ := strings.Cut(to, "@")
	box, err := m.s.find(context.Background(), local)
	switch {
	case err != nil:
		return errMailLater
	case box == nil:
		m.unknown++
		return smtpRefusal(550, smtp.EnhancedCode{5, 1, 1}, "No such address.")
	}
	if box.key != "" {
		if _, ok := m.s.h.allowed(box.src.ID); !ok {
			return smtpRefusal(451, smtp.EnhancedCode{4, 7, 1}, "Too many messages to this address. Send it again later.")
		}
	}
	m.to = append(m.to, *box)
	return nil
}

// find gives the box of the part of an address before the @; nil when there is none.
// Servers on the way may write it in lower case.
func (s *MailServer) find(ctx context.Context, local string) (*mailbox, error) {
	lower := strings.ToLower(local)
	if kind, ok := reportBoxes[lower]; ok && s.reports != nil {
		return &mailbox{kind: kind}, nil
	}
	if lower == ReplyBox && s.answers != nil {
		return &mailbox{reply: true}, nil
	}
	keys := []string{local}
	if lower != local {
		keys = append(keys, lower)
	}
	for _, key := range keys {
		src, ok, err := s.h.alerts.SourceByKey(ctx, key)
		if err != nil {
			return nil, err
		}
		if ok {
			return &mailbox{key: key, src: src}, nil
		}
	}
	return nil, nil
}

// Data implements smtp.Session: what it answers well is durable. A message for several
// is taken for all or sent again, which is known by its id.
func (m *mailSession) Data(r io.Reader) error {
	ctx := context.Background()
	first := &head{}
	in := io.TeeReader(r, first)
	msg, err := mail.Read(in, m.from)
	if _, rest := io.Copy(io.Discard, in); rest != nil {
		return rest
	}
	unread := unreadable(err)
	if err == nil && (msg.Hops > maxHops || m.s.own != nil && msg.Automatic != mail.ByPerson && msg.From != "" && msg.From == strings.ToLower(m.s.own(ctx))) {
		unread = smtpRefusal(554, smtp.EnhancedCode{5, 4, 6}, "The message goes in a circle.")
	}
	var failed error
	for _, box := range m.to {
		switch err := m.s.deliver(ctx, box, first.b, msg, unread); {
		case err == nil:
		case failed == nil, temporary(err):
			failed = err
		}
	}
	return failed
}

// unreadable is the refusal of a message that cannot be read; nil for none.
func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return smtpRefusal(554, smtp.EnhancedCode{5, 6, 0}, "The message cannot be read: "+err.Error())
}

func temporary(err error) bool {
	var e *smtp.SMTPError
	return errors.As(err, &e) && e.Temporary()
}

func (s *MailServer) deliver(ctx context.Context, box mailbox, raw []byte, msg mail.Message, unread error) error {
	if box.reply {
		if unread != nil {
			return asSMTP(unread)
		}
		return s.answer(ctx, msg)
	}
	if box.key == "" {
		if unread != nil {
			return asSMTP(unread)
		}
		return asSMTP(s.report(ctx, box.kind, msg))
	}
	var signals []alert.Signal
	var notes []string
	err := unread
	if err == nil {
		signals, notes, err = s.alert(ctx, box.src, msg)
	}
	status, answer := 250, asSMTP(err)
	if e := (*smtp.SMTPError)(nil); errors.As(answer, &e) {
		status, notes = e.Code, append(notes, e.Message)
		if status == errMailLater.(*smtp.SMTPError).Code {
			s.h.log.Error("message not stored", "source", box.src.ID, "error", err)
		}
	}
	s.h.keep(box.src, box.key, "email", status, raw, signals, notes...)
	return answer
}

// asSMTP is the refusal of a message that was not kept; nil for none.
func asSMTP(err error) error {
	var e *smtp.SMTPError
	if err == nil || errors.As(err, &e) {
		return err
	}
	switch kit.CodeOf(err) {
	case kit.CodeInvalid, kit.CodeTooLarge, kit.CodeConflict:
		text, fields := i18n.Error("en", err)
		for _, f := range fields {
			text += " " + f.Path + ": " + f.Message
		}
		return smtpRefusal(554, smtp.EnhancedCode{5, 6, 0}, text)
	}
	return errMailLater
}

// The first words of a reply that are understood, without accents and in lower case.
var (
	mailYes = []string{"ok", "1", "oui", "yes", "o", "y"}
	mailNo  = []string{"no", "non", "2", "n"}
)

// answer takes the reply of a person to a page. What cannot be done is refused, so that
// the sender's own server tells them; what a machine answered says nothing.
func (s *MailServer) answer(ctx context.Context, msg mail.Message) error {
	if msg.Automatic != mail.ByPerson {
		return nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(mail.Own(msg.Text)), "\n")
	word := ""
	if words := text.Words(line); len(words) > 0 {
		word = words[0]
	}
	accept := slices.Contains(mailYes, word)
	if !accept && !slices.Contains(mailNo, word) {
		return smtpRefusal(554, smtp.EnhancedCode{5, 6, 0}, "Begin your reply with OK or NO. / Commencez votre réponse par OK ou NON.")
	}
	err := s.answers.AnswerMail(kit.WithActor(ctx, kit.System(kit.ViaEmail)), msg.References, msg.From, accept)
	switch kit.CodeOf(err) {
	case "":
		return nil
	case kit.CodeNotFound:
		return smtpRefusal(550, smtp.EnhancedCode{5, 1, 1}, "Nothing that was sent to you waits for this answer. Use the link in the message.")
	case kit.CodeConflict:
		words, _ := i18n.Error("en", err)
		return smtpRefusal(554, smtp.EnhancedCode{5, 6, 0}, words)
	}
	return errMailLater
}

// alert folds a message into its alert.
func (s *MailServer) alert(ctx context.Context, src alert.Source, msg mail.Message) ([]alert.Signal, []string, error) {
	if msg.Automatic == mail.Replied {
		return nil, []string{"An automatic answer, or a notice that a message was not delivered: it says nothing of an alert."}, nil
	}
	now := s.h.clock.Now()
	sig := mailSignal(src, msg, now)
	ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorSource, ID: src.ID, Name: src.ID, Via: kit.ViaEmail})
	_, again, err := s.alerts.IngestMail(ctx, sig, alert.Thread{ID: msg.ID, References: msg.References})
	if again {
		return nil, []string{"The same message was taken before."}, nil
	}
	return []alert.Signal{sig}, nil, err
}

// mailSignal is what a message says of an alert.
func mailSignal(src alert.Source, msg mail.Message, now time.Time) alert.Signal {
	subject := mail.ReadSubject(msg.Subject)
	text := mail.Own(msg.Text)
	if subject.Title == "" {
		subject.Title, _, _ = strings.Cut(text, "\n")
	}
	sig := alert.Signal{
		Source: src.ID, Action: action(subject.State), Title: subject.Title, Severity: severity(src, subject.Severity), DedupKey: "subject:" + cutBytes(subject.Key(), 900),
		Labels: map[string]string{"alertname": subject.Title, "from": msg.From}, Annotations: map[string]string{}, StartsAt: now, Received: now,
	}
	if subject.Severity != "" {
		sig.Labels["severity"] = subject.Severity
	}
	if sig.Title == "" {
		sig.DedupKey, sig.Title = "message:"+msg.ID, msg.From
	}
	if d := now.Sub(msg.Date); d >= 0 && d < aDay {
		sig.StartsAt = kit.Truncate(msg.Date)
	}
	if text != "" {
		sig.Annotations["description"] = cutBytes(text, maxDetail)
	}
	sig.Service = service(src, sig.Labels)
	return sig
}

// report keeps what somebody wrote to the address for reports.
func (s *MailServer) report(ctx context.Context, kind report.Kind, msg mail.Message) error {
	text := mail.Own(msg.Text)
	if msg.Subject != "" && !strings.HasPrefix(text, msg.Subject) {
		text = strings.TrimSpace(msg.Subject + "\n\n" + text)
	}
	if len(msg.Attachments) > 0 {
		names := strings.Join(msg.Attachments, ", ")
		text += "\n\n[" + s.h.words(ctx, "report.mail.attachments", map[string]any{"names": cutBytes(names, 500)}) + "]"
	}
	in := report.Incoming{Channel: report.ByMail, Kind: kind, Text: shorten(text, report.MaxText), Contact: msg.From, Sender: msg.From, Language: msg.Language}
	if in.Language == "" {
		in.Language = mail.Language(text)
	}
	if msg.Automatic != mail.ByPerson {
		in.Held = report.HeldAutomatic
	}
	if msg.ID != "" {
		in.Once = cutBytes(fmt.Sprintf("mail|%s|%s", kind, msg.ID), 255)
	}
	_, _, err := s.reports.Receive(kit.WithActor(ctx, report.Reporter(kit.ViaEmail)), in)
	return err
}

// shorten cuts a text to so many characters.
func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
