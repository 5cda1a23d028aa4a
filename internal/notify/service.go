package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Service is the use cases of paging and telling.
type Service struct {
	d *db.DB
	p Ports
}

// New makes the service. A key of fewer than 16 bytes is a mistake of the program
// and panics.
func New(d *db.DB, p Ports) *Service {
	if len(p.Key) < 16 {
		panic("notify: the key for tokens is too short")
	}
	return &Service{d: d, p: p}
}

// Sends tells whether this installation has a way out for a kind of method: a sender,
// and where that needs a provider, one that is set.
func (s *Service) Sends(ctx context.Context, kind string) bool {
	sender := s.p.Senders[kind]
	if p, ok := sender.(Provided); ok {
		return p.Provided(ctx)
	}
	return sender != nil
}

// The kinds of due rows.
const (
	dueDelivery = "delivery"
	dueNotice   = "notice-delivery"
	duePageEnd  = "page-end"
	dueUnseen   = "notice-unseen"
)

// Tasks are the due rows that this package does.
func (s *Service) Tasks() []due.Task {
	return []due.Task{
		{Kind: dueDelivery, Lane: due.Paging, Senders: 16, Claimed: s.claimed, Send: s.send},
		{Kind: dueNotice, Lane: due.Normal, Senders: 4, Claimed: s.claimed, Send: s.send},
		{Kind: duePageEnd, Lane: due.Normal, Run: s.endStale},
		{Kind: dueUnseen, Lane: due.Normal, Run: s.unseen},
	}
}

// token makes the secret of a subject; it is derived, so that the database holds
// nothing but its hash.
func (s *Service) token(kind, id string) string {
	m := hmac.New(sha256.New, s.p.Key)
	_, _ = m.Write([]byte(kind + "|" + id))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:24])
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (s *Service) param(ctx context.Context, name string, otherwise time.Duration) time.Duration {
	if s.p.Parameters == nil {
		return otherwise
	}
	v, err := s.p.Parameters.Duration(ctx, name)
	if err != nil || v <= 0 {
		return otherwise
	}
	return v
}

// leaseTime brings an instant of the product's clock to that of the due rows.
func (s *Service) leaseTime(t time.Time) time.Time {
	return t.Add(s.d.LeaseNow().Sub(s.d.Now()))
}

func (s *Service) known(ctx context.Context, ids ...string) (map[string]Person, error) {
	return s.p.People.Known(ctx, ids)
}

func (s *Service) name(ctx context.Context, id string) string {
	if id == "" {
		return ""
	}
	m, err := s.known(ctx, id)
	if err != nil || m[id].Name == "" {
		return id
	}
	return m[id].Name
}

func pageFact(p *Page, body ledger.Body) ledger.Entry {
	return ledger.Entry{Subject: ledger.Subject{Kind: "page", ID: p.ID}, Incident: p.Incident, Body: body}
}

// mayActFor lets somebody act on their own things and others on those of another
// by a further right.
func (s *Service) mayActFor(ctx context.Context, person string, own, other kit.Use) error {
	a := kit.ActorFrom(ctx)
	if a.IsPerson() && a.ID == person {
		return s.p.Rights.Require(ctx, own)
	}
	return s.p.Rights.Require(ctx, other)
}
