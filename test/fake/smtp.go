package fake

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	netmail "net/mail"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Stage is a step of the SMTP conversation at which the server can fail.
type Stage string

// The stages.
const (
	AtMail Stage = "mail"
	AtRcpt Stage = "rcpt"
	AtData Stage = "data"
)

// Trouble is what the server does with one message.
type Trouble struct {
	// At is where; empty means AtRcpt, and AtData for Lost.
	At Stage
	// Code is the reply, such as 451 or 550.
	Code int
	Text string
	// Hangs never replies. Lost takes the message and closes without a reply.
	Hangs, Lost bool
}

// Email is a message that the server took.
type Email struct {
	At   time.Time
	From string
	To   []string
	// Raw is the message as it came.
	Raw    []byte
	Header netmail.Header
	// Subject, Text and HTML are decoded.
	Subject string
	Text    string
	HTML    string
}

// SMTPOptions say how the server is to be reached.
type SMTPOptions struct {
	// TLS is none (also when empty), starttls or implicit.
	TLS string
	// User and Password are required of the client when User is set.
	User, Password string
}

// SMTP is a mail server on loopback that keeps what it takes.
type SMTP struct {
	Host string
	Port int
	// Roots holds the authority of its certificate.
	Roots *x509.CertPool

	options SMTPOptions
	server  *smtp.Server
	end     chan struct{}

	mu      sync.Mutex
	next    []Trouble
	always  *Trouble
	emails  []Email
	tries   int
	changed chan struct{}
}

// NewSMTP starts a server that takes everything. It ends with the test.
func NewSMTP(t testing.TB, options SMTPOptions) *SMTP {
	t.Helper()
	s := &SMTP{options: options, end: make(chan struct{}), changed: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Host, s.Port = "127.0.0.1", l.Addr().(*net.TCPAddr).Port
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{s: s, conn: c, known: options.User == ""}, nil
	}))
	s.server.Domain = "fake.example"
	s.server.AllowInsecureAuth = options.TLS == "" || options.TLS == "none"
	s.server.MaxMessageBytes = 10 << 20
	s.server.EnableSMTPUTF8 = true
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	if !s.server.AllowInsecureAuth {
		cert, roots := certificate(t)
		s.Roots = roots
		cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		if options.TLS == "implicit" {
			l = tls.NewListener(l, cfg)
		} else {
			s.server.TLSConfig = cfg
		}
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.server.Serve(l)
	}()
	t.Cleanup(func() {
		close(s.end)
		_ = s.server.Close()
		// Close may come before Serve knows its listener.
		_ = l.Close()
		<-served
	})
	return s
}

// Refuse answers the next messages with a trouble, one each.
func (s *SMTP) Refuse(next ...Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, next...)
}

// Always sets the trouble of every message from now on; nil takes all again.
func (s *SMTP) Always(t *Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always, s.next = t, nil
}

// Emails lists the messages taken, oldest first.
func (s *SMTP) Emails() []Email {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.emails)
}

// Tries counts the messages begun, taken or not.
func (s *SMTP) Tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// Wait waits until want is content with the messages taken and gives them; it fails
// the test after the time within.
func (s *SMTP) Wait(t testing.TB, within time.Duration, want func([]Email) bool) []Email {
	t.Helper()
	limit := time.After(within)
	for {
		s.mu.Lock()
		got, changed := slices.Clone(s.emails), s.changed
		s.mu.Unlock()
		if want(got) {
			return got
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("after %s the mail server has %d messages, not what was waited for", within, len(got))
		}
	}
}

// WaitN waits for n messages.
func (s *SMTP) WaitN(t testing.TB, within time.Duration, n int) []Email {
	t.Helper()
	return s.Wait(t, within, func(e []Email) bool { return len(e) >= n })
}

func (s *SMTP) begin() *Trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if len(s.next) > 0 {
		t := s.next[0]
		s.next = s.next[1:]
		return &t
	}
	return s.always
}

func (s *SMTP) keep(e Email) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emails = append(s.emails, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

type session struct {
	s       *SMTP
	conn    *smtp.Conn
	known   bool
	trouble *Trouble
	email   Email
}

var _ smtp.AuthSession = (*session)(nil)

// AuthMechanisms implements smtp.AuthSession.
func (c *session) AuthMechanisms() []string {
	if c.s.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth implements smtp.AuthSession.
func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != c.s.options.User || password != c.s.options.Password {
			return smtp.ErrAuthFailed
		}
		c.known = true
		return nil
	}), nil
}

// Reset implements smtp.Session.
func (c *session) Reset() { c.trouble, c.email = nil, Email{} }

// Logout implements smtp.Session.
func (c *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	if !c.known {
		return smtp.ErrAuthRequired
	}
	c.trouble = c.s.begin()
	c.email = Email{From: from}
	return c.at(AtMail)
}

// Rcpt implements smtp.Session.
func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := c.at(AtRcpt); err != nil {
		return err
	}
	c.email.To = append(c.email.To, to)
	return nil
}

// Data implements smtp.Session.
func (c *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := c.at(AtData); err != nil {
		return err
	}
	e := c.email
	e.At, e.Raw = time.Now(), raw
	if err := e.parse(); err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	c.s.keep(e)
	if c.trouble != nil && c.trouble.Lost {
		_ = c.conn.Conn().Close()
	}
	return nil
}

// at fails when the message's trouble is here.
func (c *session) at(stage Stage) error {
	t := c.trouble
	if t == nil || t.Lost || stage != t.At && (stage != AtRcpt || t.At != "") {
		return nil
	}
	if t.Hangs {
		<-c.s.end
		return errors.New("the server ends")
	}
	text := t.Text
	if text == "" {
		text = "refused by the test"
	}
	return &smtp.SMTPError{Code: t.Code, EnhancedCode: smtp.EnhancedCode{t.Code / 100, 0, 0}, Message: text}
}

func (e *Email) parse() error {
	plain, err := netmail.ReadMessage(bytes.NewReader(e.Raw))
	if err != nil {
		return err
	}
	e.Header = plain.Header
	r, err := mail.CreateReader(bytes.NewReader(e.Raw))
	if err != nil {
		return err
	}
	if e.Subject, err = r.Header.Subject(); err != nil {
		return err
	}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h, ok := part.Header.(*mail.InlineHeader)
		if !ok {
			continue
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return err
		}
		switch kind, _, _ := h.ContentType(); kind {
		case "text/plain":
			e.Text = string(body)
		case "text/html":
			e.HTML = string(body)
		}
	}
}

// certificate makes a certificate of its own for loopback.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
