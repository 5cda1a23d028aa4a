package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

// LinkLifetime is how long a login link can be used.
const LinkLifetime = 15 * time.Minute

const (
	argonTime, argonMemory, argonLanes = 2, 19 * 1024, 1
	freeAccount, freeAddress           = 3, 20
)

// hashing bounds how many passwords are worked on at once: each takes 19 MiB.
var hashing = make(chan struct{}, 4)

func argon(pw, salt []byte, t, m uint32, p uint8, n uint32) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey(pw, salt, t, m, p, n)
}

func hashPassword(pw string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	k := argon([]byte(pw), salt, argonTime, argonMemory, argonLanes, 32)
	e := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", argonMemory, argonTime, argonLanes, e(salt), e(k))
}

func checkPassword(hash, pw string) bool {
	parts := strings.Split(hash, "$")
	var m, t uint32
	var p uint8
	if len(parts) != 6 {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || t == 0 || p == 0 {
		return false
	}
	salt, e1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, e2 := base64.RawStdEncoding.DecodeString(parts[5])
	if e1 != nil || e2 != nil || len(want) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(want, argon([]byte(pw), salt, t, m, p, uint32(len(want)))) == 1
}

// nobody is compared for unknown people, so that they take the same time.
var nobody = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", argonMemory, argonTime, argonLanes)

func delay(failures, free int64) time.Duration {
	if failures <= free {
		return 0
	}
	return min(time.Second<<min(failures-free, 12), 15*time.Minute)
}

// reserve counts a try before the password is looked at, so that parallel
// guesses are throttled too.
func reserve(ctx context.Context, tx *db.Tx, id string, free int64) error {
	var n, next, last int64
	err := tx.QueryRow(ctx, `INSERT INTO sign_in_attempt (id, failures, next_at, last_at) VALUES ($1, 0, 0, 0)
		ON CONFLICT (id) DO UPDATE SET id = excluded.id RETURNING failures, next_at, last_at`, id).Scan(&n, &next, &last)
	if err != nil {
		return db.MapError(err)
	}
	now := tx.Now()
	if wait := kit.FromMicros(next).Sub(now); wait > 0 {
		e := kit.Errorf(kit.CodeBusy, "identity.error.too_many_tries")
		e.RetryAfter = int(wait/time.Second) + 1
		return e
	}
	if now.Sub(kit.FromMicros(last)) > 24*time.Hour {
		n = 0
	}
	n++
	return exec(ctx, tx, `UPDATE sign_in_attempt SET failures=$2, next_at=$3, last_at=$4 WHERE id=$1`, id, n, kit.Micros(now.Add(delay(n, free))), kit.Micros(now))
}

// addressOf is what tries are counted by: the address without its port, of IPv6
// the network of 64 bits that one customer has.
func addressOf(remote string) string {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		remote = ap.Addr().String()
	}
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// SignIn opens a session for an address and password. Tries are throttled per
// account and per remote address: a busy error tells when to come back.
func (s *Service) SignIn(ctx context.Context, email, password, remote string) (string, Person, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	account, address := "p:"+digest(email), "a:"+addressOf(remote)
	if err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := reserve(ctx, tx, account, freeAccount); err != nil {
			return err
		}
		return reserve(ctx, tx, address, freeAddress)
	}); err != nil {
		return "", Person{}, err
	}
	p, err := s.person(ctx, "email", email)
	if err != nil && kit.CodeOf(err) != kit.CodeNotFound {
		return "", Person{}, err
	}
	hash := nobody
	if err == nil {
		var h string
		err := s.d.Read(ctx).QueryRowContext(ctx, `SELECT hash FROM credential WHERE person = ?`, p.ID).Scan(&h)
		if err == nil {
			hash = h
		} else if !errors.Is(err, sql.ErrNoRows) {
			return "", Person{}, db.MapError(err)
		}
	}
	ok := len(password) <= 1024 && checkPassword(hash, password) && p.ID != "" && !p.Suspended
	var token string
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if !ok {
			id := p.ID
			if id == "" {
				id = "unknown"
			}
			return fact(ctx, tx, "person", id, SessionFact{Op: "refused", Method: "password", Reason: "wrong"})
		}
		if err := exec(ctx, tx, `DELETE FROM sign_in_attempt WHERE id=$1`, account); err != nil {
			return err
		}
		if err := exec(ctx, tx, `UPDATE sign_in_attempt SET failures = failures - 1 WHERE id=$1 AND failures > 0`, address); err != nil {
			return err
		}
		token, err = s.OpenSession(ctx, p.ID, "password")
		return err
	})
	if err == nil && !ok {
		err = kit.Errorf(kit.CodeUnauthenticated, "identity.error.sign_in")
	}
	if err != nil {
		return "", Person{}, err
	}
	return token, p, nil
}

// OpenSession opens a session for somebody whose identity the caller has proven,
// and gives its token, stored as SHA-256 only.
func (s *Service) OpenSession(ctx context.Context, person, method string) (string, error) {
	token := kit.Secret(32)
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		p, err := s.person(ctx, "id", person)
		if err != nil {
			return err
		}
		if p.Suspended {
			return kit.Errorf(kit.CodeUnauthenticated, "identity.error.session")
		}
		if kit.ActorFrom(ctx).Kind == "" {
			ctx = kit.WithActor(ctx, actorOf(p, nil))
		}
		if err := s.tidy(ctx, tx); err != nil {
			return err
		}
		now := kit.Micros(tx.Now())
		if err := exec(ctx, tx, `INSERT INTO session (hash, person, opened_at, seen_at) VALUES ($1,$2,$3,$3)`, digest(token), person, now); err != nil {
			return err
		}
		if err := s.watchSession(ctx, tx, digest(token), tx.Now(), tx.Now()); err != nil {
			return err
		}
		return fact(ctx, tx, "person", person, SessionFact{Op: "opened", Method: method})
	})
	return token, err
}

func actorOf(p Person, roles []kit.Role) kit.Actor {
	return kit.Actor{Kind: kit.ActorPerson, ID: p.ID, Name: p.Name, Via: kit.ViaWeb, Access: p.Access, Appointments: roles, Language: p.Language}
}

// tidy deletes what has run out.
func (s *Service) tidy(ctx context.Context, tx *db.Tx) error {
	now := tx.Now()
	if err := exec(ctx, tx, `DELETE FROM login_link WHERE expires_at <= $1`, kit.Micros(now)); err != nil {
		return err
	}
	return exec(ctx, tx, `DELETE FROM sign_in_attempt WHERE last_at < $1`, kit.Micros(now.Add(-24*time.Hour)))
}

func (s *Service) sessionLimits(ctx context.Context) (idle, most time.Duration, err error) {
	p, err := s.Parameters(ctx)
	return p.Duration("P.session.idle"), p.Duration("P.session.most"), err
}

// Session gives who holds the token of a session; unauthenticated when it ended.
func (s *Service) Session(ctx context.Context, token string) (kit.Actor, Person, error) {
	out := kit.Errorf(kit.CodeUnauthenticated, "identity.error.session")
	h := digest(token)
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT `+personColumns+`, s.opened_at, s.seen_at, COALESCE(a.role, '')
		FROM session s JOIN person p ON p.id = s.person LEFT JOIN appointment a ON a.person = p.id WHERE s.hash = ?`, h)
	if err != nil {
		return kit.Actor{}, Person{}, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var p Person
	var opened, seen int64
	var roles []kit.Role
	for rows.Next() {
		var role kit.Role
		if p, err = scanPerson(rows, &opened, &seen, &role); err != nil {
			return kit.Actor{}, Person{}, db.MapError(err)
		}
		if role != "" {
			roles = append(roles, role)
		}
	}
	if err := rows.Err(); err != nil {
		return kit.Actor{}, Person{}, db.MapError(err)
	}
	_ = rows.Close()
	idle, most, err := s.sessionLimits(ctx)
	if err != nil {
		return kit.Actor{}, Person{}, err
	}
	now := s.d.Now()
	if p.ID == "" || p.Suspended || now.Sub(kit.FromMicros(seen)) >= idle || now.Sub(kit.FromMicros(opened)) >= most {
		return kit.Actor{}, Person{}, out
	}
	if now.Sub(kit.FromMicros(seen)) >= time.Minute {
		if err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return exec(ctx, tx, `UPDATE session SET seen_at=$2 WHERE hash=$1`, h, kit.Micros(now))
		}); err != nil {
			s.d.Log().Warn("session activity not kept", "err", err)
		}
	}
	return actorOf(p, roles), p, nil
}

// EndSession ends a session; nothing happens when there is none.
func (s *Service) EndSession(ctx context.Context, token string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var person string
		err := tx.QueryRow(ctx, `DELETE FROM session WHERE hash=$1 RETURNING person`, digest(token)).Scan(&person)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return db.MapError(err)
		}
		if err := due.Cancel(ctx, tx, dueSession, digest(token)); err != nil {
			return err
		}
		return fact(ctx, tx, "person", person, SessionFact{Op: "ended", Method: "sign_out"})
	})
}

// LoginLink makes a token that signs a person in once within 15 minutes.
func (s *Service) LoginLink(ctx context.Context, person string) (string, error) {
	if err := s.Require(ctx, "person.edit"); err != nil {
		return "", err
	}
	token := kit.Secret(32)
	return token, s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := s.person(ctx, "id", person); err != nil {
			return err
		}
		return exec(ctx, tx, `INSERT INTO login_link (hash, person, expires_at) VALUES ($1,$2,$3)`, digest(token), person, kit.Micros(tx.Now().Add(LinkLifetime)))
	})
}

// UseLoginLink opens a session by a link, which then is spent.
func (s *Service) UseLoginLink(ctx context.Context, link string) (string, error) {
	var token string
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var person string
		err := tx.QueryRow(ctx, `DELETE FROM login_link WHERE hash=$1 AND expires_at > $2 RETURNING person`, digest(link), kit.Micros(tx.Now())).Scan(&person)
		if errors.Is(err, sql.ErrNoRows) {
			return kit.Errorf(kit.CodeUnauthenticated, "identity.error.link")
		}
		if err != nil {
			return db.MapError(err)
		}
		p, err := s.person(ctx, "id", person)
		if err != nil {
			return err
		}
		if p.Suspended {
			return kit.Errorf(kit.CodeUnauthenticated, "identity.error.link")
		}
		token, err = s.OpenSession(ctx, person, "link")
		return err
	})
	return token, err
}

// SetPassword sets a person's password (12 to 1,024 bytes) and ends their sessions.
func (s *Service) SetPassword(ctx context.Context, person, password string) error {
	if a := kit.ActorFrom(ctx); !a.IsPerson() || a.ID != person {
		if err := s.Require(ctx, "person.edit"); err != nil {
			return err
		}
	}
	if err := checkNewPassword(password); err != nil {
		return err
	}
	hash := hashPassword(password)
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return s.storePassword(ctx, tx, person, hash)
	})
}

func checkNewPassword(password string) error {
	if utf8.RuneCountInString(password) < 12 || len(password) > 1024 {
		return kit.InvalidField("password", "identity.error.password")
	}
	return nil
}

func (s *Service) storePassword(ctx context.Context, tx *db.Tx, person, hash string) error {
	p, err := s.person(ctx, "id", person)
	if err != nil {
		return err
	}
	if err := exec(ctx, tx, `DELETE FROM login_link WHERE person=$1`, person); err != nil {
		return err
	}
	if err := exec(ctx, tx, `INSERT INTO credential (person, hash, changed_at) VALUES ($1,$2,$3) ON CONFLICT (person) DO UPDATE SET hash=excluded.hash, changed_at=excluded.changed_at`, person, hash, kit.Micros(tx.Now())); err != nil {
		return err
	}
	if err := endSessions(ctx, tx, person, "password_changed"); err != nil {
		return err
	}
	return fact(ctx, tx, "person", person, PersonFact{Op: "changed", Access: string(p.Access), Changes: []string{"password"}})
}
