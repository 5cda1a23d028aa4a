// Package identity keeps people, teams, appointments, the organisation and its
// parameters, sign-in, API tokens and the table of rights.
package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"sync"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/holiday"
	"tocsin/internal/kit"
)

// Leave is a time in which a person is away, From inclusive, To exclusive.
type Leave struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Person is somebody with an account. ID is a slug and never changes.
type Person struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	Language  string     `json:"language,omitempty"`
	Timezone  string     `json:"timezone,omitempty"`
	Access    kit.Access `json:"access"`
	Slack     string     `json:"slack,omitempty"`
	Suspended bool       `json:"suspended,omitempty"`
	Leave     []Leave    `json:"leave,omitempty"`
	Version   int64      `json:"-"`
}

// Team is a named list of people.
type Team struct {
	ID      string   `json:"id"`
	Name    string   `json:"name,omitempty"`
	Members []string `json:"members"`
}

// Calendar is the public holidays of the country with the organisation's own days.
func (o Organisation) Calendar() holiday.Calendar {
	own := make(map[string]string, len(o.Holidays))
	for _, h := range o.Holidays {
		own[h.Date] = cmp.Or(h.Name, h.Date)
	}
	return holiday.New(o.Country, own)
}

// Holiday is a day off besides the country's, Date as 2026-11-23.
type Holiday struct {
	Date string `json:"date"`
	Name string `json:"name,omitempty"`
}

// Contact is whom to reach when all else fails.
type Contact struct {
	Name  string `json:"name"`
	Phone string `json:"phone,omitempty"`
	Email string `json:"email,omitempty"`
}

// Organisation is whose installation this is.
type Organisation struct {
	Name       string    `json:"name"`
	Country    string    `json:"country"`
	Timezone   string    `json:"timezone"`
	Languages  []string  `json:"languages,omitempty"`
	Holidays   []Holiday `json:"holidays,omitempty"`
	LastResort *Contact  `json:"last_resort,omitempty"`
	Currency   string    `json:"currency,omitempty"`
	Version    int64     `json:"-"`
}

// Settings are the parts of the organisation file that identity keeps. A nil
// section is not touched.
type Settings struct {
	Organisation *Organisation
	People       []Person
	Teams        []Team
	Roles        map[kit.Role][]string
	Parameters   map[string]string
	// Reason goes with what is loosened.
	Reason string
	// Levels is what differs from the default response levels.
	Levels json.RawMessage
	// Kept are sections whose module is not in this build, whole.
	Kept map[string]json.RawMessage
}

// Token is an API token without its secret.
type Token struct {
	ID, Name, Creator         string
	Access                    kit.Access
	Scopes                    []string
	Created, Expires, Revoked time.Time
}

// NewToken asks for a token; Expires zero means 90 days.
type NewToken struct {
	Name    string
	Access  kit.Access
	Scopes  []string
	Expires time.Duration
	// Owner makes it the token of a person, not above their level. Only the system
	// names one, on the machine itself; a token that a person makes is their own.
	Owner string
}

// SetUp is the first run: the organisation and its first admin.
type SetUp struct {
	Organisation, Country, Timezone string
	Languages                       []string
	Name, Email, Password           string
}

// Filter narrows People.
type Filter struct {
	Access kit.Access
	Active bool
}

// Options join the service to what it may not import.
type Options struct {
	// InUse tells why a person cannot be retired now ("on duty", "commander of
	// INC-42"), empty when they can. Nil asks nobody.
	InUse func(ctx context.Context, person string) (string, error)
	// Loosens tells whether going from one set of response levels to another
	// loosens any. Nil counts every change as loosening.
	Loosens func(from, to json.RawMessage) bool
}

// Service is the use cases of identity.
type Service struct {
	d     *db.DB
	o     Options
	mu    sync.Mutex
	cache map[string]cached
}

type cached struct {
	token Token
	// access is the creator's present level, empty when no person made the token;
	// suspended tells that the creator's account is closed.
	access    kit.Access
	suspended bool
	at        time.Time
}

// New makes the service.
func New(d *db.DB, o Options) *Service { return &Service{d: d, o: o, cache: map[string]cached{}} }

// forget drops what is remembered of tokens once the transaction is durable.
func (s *Service) forget(tx *db.Tx) {
	tx.AfterCommit(func() {
		s.mu.Lock()
		clear(s.cache)
		s.mu.Unlock()
	})
}
