package channel

import (
	"context"
	"slices"
	"sync"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// Bounds of the mailbox.
const (
	mailboxCount = 500
	mailboxBytes = 16 << 20
	mailBytes    = 1 << 20
)

// Mail is an e-mail that stayed on this machine.
type Mail struct {
	ID         string
	To         string
	Subject    string
	Text       string
	HTML       string
	MessageID  string
	References string
	At         time.Time
}

func (m Mail) size() int {
	return len(m.ID) + len(m.To) + len(m.Subject) + len(m.Text) + len(m.HTML) + len(m.MessageID) + len(m.References)
}

// Mailbox keeps the latest e-mails in memory instead of sending them: the mail
// viewer of the demo. It may be used by many goroutines.
type Mailbox struct {
	clock kit.Clock

	mu    sync.RWMutex
	mails []Mail // oldest first
	bytes int
}

// NewMailbox makes an empty mailbox.
func NewMailbox(clock kit.Clock) *Mailbox { return &Mailbox{clock: clock} }

var _ notify.Sender = (*Mailbox)(nil)

// Send implements notify.Sender. A message that comes again with the same ID
// replaces the first one. The oldest are dropped above 500 messages or 16 MiB.
func (b *Mailbox) Send(_ context.Context, m notify.Message) (notify.Result, error) {
	mail := Mail{
		ID: m.ID, To: m.To, Subject: header(m.Subject), Text: m.Text, HTML: m.HTML,
		MessageID: m.MessageID, References: m.References, At: b.clock.Now(),
	}
	if mail.size() > mailBytes {
		return notify.Result{}, permanent("error.too_large", nil)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.mails, func(o Mail) bool { return o.ID == m.ID }); i >= 0 {
		b.drop(i)
	}
	b.mails = append(b.mails, mail)
	b.bytes += mail.size()
	for len(b.mails) > mailboxCount || b.bytes > mailboxBytes {
		b.drop(0)
	}
	return notify.Result{ProviderID: m.ID, Confirmed: true}, nil
}

func (b *Mailbox) drop(i int) {
	b.bytes -= b.mails[i].size()
	b.mails = slices.Delete(b.mails, i, i+1)
}

// Messages lists the e-mails, the latest first.
func (b *Mailbox) Messages() []Mail {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := slices.Clone(b.mails)
	slices.Reverse(list)
	return list
}

// Message gives one e-mail by the ID of its delivery; an unknown one is a *kit.Error
// of code not_found.
func (b *Mailbox) Message(id string) (Mail, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if i := slices.IndexFunc(b.mails, func(o Mail) bool { return o.ID == id }); i >= 0 {
		return b.mails[i], nil
	}
	return Mail{}, kit.NotFound("mail", id)
}
