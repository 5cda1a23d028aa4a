package channel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// emailTimeout bounds one e-mail from dialling to the relay's last word. It stays
// under the lease of a due row.
const emailTimeout = 20 * time.Second

// quitTime bounds the parting words.
const quitTime = time.Second

// The ways to secure the connection to a relay.
const (
	// TLSStart begins in the clear and requires STARTTLS; the default.
	TLSStart = "starttls"
	// TLSImplicit is TLS from the first byte.
	TLSImplicit = "implicit"
	// TLSNone is for a relay on this machine only.
	TLSNone = "none"
)

// Relay is the SMTP server that takes the e-mails (channels.smtp of the
// organisation file). The zero Relay is none.
type Relay struct {
	Host string
	// Port is 587 for starttls, 465 for implicit and 25 for none when 0.
	Port int
	// TLS is starttls (also when empty), implicit or none.
	TLS  string
	User string
	// Password goes with User.
	Password string
	// From is an address, with a name or without.
	From string
	// Roots are the authorities that the relay's certificate is checked against; nil
	// means those of the machine.
	Roots *x509.CertPool
}

// Check says what is wrong with the relay's settings as a *kit.Error, naming the
// fields below path ("channels.smtp"). A relay without a host is none and correct.
func (r Relay) Check(path string) error {
	if r.Host == "" {
		return nil
	}
	var f kit.Fields
	if e := r.usable(); e != nil {
		k := kit.AsError(e.Err)
		f.Add(path, k.Key, "host", r.Host, "detail", k.Args["detail"])
	}
	return f.Err()
}

func (r Relay) usable() *notify.SendError {
	switch r.TLS {
	case "", TLSStart, TLSImplicit:
	case TLSNone:
		if a, err := netip.ParseAddr(r.Host); r.Host != "localhost" && (err != nil || !a.Unmap().IsLoopback()) {
			return permanent("channel.error.relay_insecure", nil, "host", r.Host)
		}
	default:
		return permanent("channel.error.relay_settings", nil, "detail", fmt.Sprintf("tls %q", bounded(r.TLS)))
	}
	if r.Port < 0 || r.Port > 65535 {
		return permanent("channel.error.relay_settings", nil, "detail", "port "+strconv.Itoa(r.Port))
	}
	if _, err := mail.ParseAddress(r.From); err != nil {
		return permanent("channel.error.relay_settings", nil, "detail", fmt.Sprintf("from %q", bounded(r.From)))
	}
	return nil
}

func (r Relay) port() int {
	switch {
	case r.Port != 0:
		return r.Port
	case r.TLS == TLSImplicit:
		return 465
	case r.TLS == TLSNone:
		return 25
	}
	return 587
}

// Relays gives the relay that is set at present.
type Relays func(ctx context.Context) (Relay, error)

// Email sends messages as e-mails by a relay.
type Email struct {
	clock kit.Clock
	relay Relays
	helo  string
}

// NewEmail makes the sender.
func NewEmail(clock kit.Clock, relay Relays) *Email {
	helo, err := os.Hostname()
	if err != nil || helo == "" {
		helo = "localhost"
	}
	return &Email{clock: clock, relay: relay, helo: helo}
}

var _ notify.Sender = (*Email)(nil)

// Send implements notify.Sender. ProviderID is what the relay said when it took the
// message. No relay, wrong settings, a refused sign-in, an unusable certificate and
// an answer of 5xx are permanent; 4xx and a broken connection are not.
func (s *Email) Send(ctx context.Context, m notify.Message) (notify.Result, error) {
	r, err := s.relay(ctx)
	if err != nil {
		return notify.Result{}, temporary("channel.error.relay_unread", err)
	}
	if r.Host == "" {
		return notify.Result{}, permanent("channel.error.no_relay", nil)
	}
	if e := r.usable(); e != nil {
		return notify.Result{}, e
	}
	msg, err := compose(m, r.From, s.clock.Now())
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_email", err)
	}
	ctx, cancel := context.WithTimeout(ctx, emailTimeout)
	defer cancel()
	id, err := s.deliver(ctx, r, msg)
	if err != nil {
		e := refusal(r.Host, err)
		if _, ok := errors.AsType[unanswered](err); ok {
			e.Doubt = !e.Permanent
		}
		return notify.Result{}, e
	}
	return notify.Result{ProviderID: id}, nil
}

// compose makes the e-mail: a text part, and an HTML part where there is one.
func compose(m notify.Message, from string, at time.Time) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(m.To)
	if err != nil {
		return nil, err
	}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(sender)
	msg.ToMailAddress(to)
	msg.Subject(header(m.Subject))
	msg.SetDateWithValue(at)
	if id := messageID(m, sender.Address); id != "" {
		msg.SetGenHeader(gomail.HeaderMessageID, id)
	}
	if refs := strings.Fields(m.References); len(refs) > 0 {
		for i, r := range refs {
			refs[i] = angled(r)
		}
		msg.SetGenHeader(gomail.HeaderReferences, strings.Join(refs, " "))
		msg.SetGenHeader(gomail.HeaderInReplyTo, refs[len(refs)-1])
	}
	if m.ReplyTo != "" {
		if err := msg.ReplyTo(m.ReplyTo); err != nil {
			return nil, err
		}
	}
	// RFC 3834: what a person must not answer by a machine.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

// messageID gives the header of a message; one that brings none gets its delivery id
// at the sender's domain, so that a second try has the same.
func messageID(m notify.Message, sender string) string {
	if m.MessageID != "" {
		return angled(m.MessageID)
	}
	if m.ID == "" {
		return ""
	}
	_, domain, _ := strings.Cut(sender, "@")
	return angled(m.ID + "@" + domain)
}

func angled(id string) string { return "<" + strings.Trim(header(id), "<>") + ">" }

// header brings a text into one line.
func header(s string) string { return strings.Join(strings.Fields(s), " ") }

// deliver does the whole conversation. It speaks the steps itself, since it matters
// for a second try which of them failed: after the message was taken, nothing that
// happens is an error.
func (s *Email) deliver(ctx context.Context, r Relay, msg *gomail.Msg) (string, error) {
	from, err := msg.GetSender(false)
	if err != nil {
		return "", err
	}
	rcpts, err := msg.GetRecipients()
	if err != nil {
		return "", err
	}
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := r.dial(ctx, network, address)
		conn = c
		return c, err
	}
	c, err := gomail.NewClient(r.Host, append(r.options(), gomail.WithHELO(s.helo), gomail.WithDialContextFunc(dial))...)
	if err != nil {
		return "", err
	}
	session, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return "", err
	}
	// The library's deadlines do not know of a context that ends early.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	id, err := converse(session, from, rcpts, msg)
	if err == nil {
		// The message is taken: a relay that is slow to part is not waited for.
		_ = conn.SetDeadline(time.Now().Add(quitTime))
		_ = session.Quit()
	}
	return id, err
}

// options are what the library needs to know of a relay. Implicit TLS is made by
// dial; the library's policy then finds the connection encrypted.
func (r Relay) options() []gomail.Option {
	policy := gomail.TLSMandatory
	if r.TLS == TLSImplicit {
		policy = gomail.TLSOpportunistic
	} else if r.TLS == TLSNone {
		policy = gomail.NoTLS
	}
	o := []gomail.Option{
		gomail.WithPort(r.port()), gomail.WithTLSPolicy(policy),
		gomail.WithTLSConfig(r.tls()), gomail.WithTimeout(emailTimeout),
	}
	switch {
	case r.User == "":
	case r.TLS == TLSNone:
		o = append(o, gomail.WithUsername(r.User), gomail.WithPassword(r.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthCramMD5, gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc))
	default:
		o = append(o, gomail.WithUsername(r.User), gomail.WithPassword(r.Password), gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover))
	}
	return o
}

func (r Relay) tls() *tls.Config {
	return &tls.Config{ServerName: r.Host, RootCAs: r.Roots, MinVersion: tls.VersionTLS12}
}

func (r Relay) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if r.TLS == TLSImplicit {
		return (&tls.Dialer{Config: r.tls()}).DialContext(ctx, network, address)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil || r.TLS != TLSNone {
		return c, err
	}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = c.Close()
		return nil, errors.New("the relay's name does not lead to this machine")
	}
	return c, nil
}

// converse hands the message over and gives what the relay said to it.
func converse(c *smtp.Client, from string, rcpts []string, msg *gomail.Msg) (string, error) {
	if err := c.Mail(from); err != nil {
		return "", err
	}
	for _, to := range rcpts {
		if err := c.Rcpt(to); err != nil {
			return "", err
		}
	}
	w, err := c.Data()
	if err != nil {
		return "", err
	}
	if _, err := msg.WriteTo(w); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		if _, answered := errors.AsType[*textproto.Error](err); answered {
			return "", err
		}
		return "", unanswered{err}
	}
	if d, ok := w.(*smtp.DataCloser); ok {
		return bounded(d.ServerResponse()), nil
	}
	return "", nil
}

// unanswered is the error of a message that was handed over to its last byte without a
// word of the relay: it may be on its way.
type unanswered struct{ error }

// Unwrap gives the cause.
func (u unanswered) Unwrap() error { return u.error }

// refusal gives the error of a failed conversation.
func refusal(host string, err error) *notify.SendError {
	reply, answered := errors.AsType[*textproto.Error](err)
	signIn := strings.Contains(err.Error(), "SMTP AUTH")
	switch {
	case answered && signIn && reply.Code >= 500:
		return permanent("channel.error.relay_auth", nil, "host", host, "detail", said(reply))
	case answered && reply.Code >= 500:
		return permanent("channel.error.smtp", nil, "host", host, "reply", said(reply))
	case answered:
		return temporary("channel.error.smtp", nil, "host", host, "reply", said(reply))
	}
	if c, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return permanent("channel.error.tls", c, "host", host, "detail", bounded(c.Err.Error()))
	}
	var plain tls.RecordHeaderError
	var network *net.OpError
	switch {
	case errors.As(err, &plain):
		return permanent("channel.error.tls", err, "host", host, "detail", bounded(plain.Msg))
	case isTimeout(err):
		return temporary("channel.error.timeout", nil, "host", host)
	case errors.Is(err, io.EOF), errors.As(err, &network):
		return temporary("channel.error.unreachable", nil, "host", host, "detail", reason(err))
	case signIn, errors.Is(err, gomail.ErrNoSupportedAuthDiscovered):
		return permanent("channel.error.relay_auth", nil, "host", host, "detail", bounded(err.Error()))
	case strings.Contains(err.Error(), "STARTTLS"):
		return permanent("channel.error.tls", nil, "host", host, "detail", bounded(err.Error()))
	}
	return temporary("channel.error.unreachable", nil, "host", host, "detail", reason(err))
}

func said(e *textproto.Error) string { return bounded(strconv.Itoa(e.Code) + " " + e.Msg) }
