package identity

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

const tokenTTL = 3 * time.Second

var areas = []string{"incidents", "alerts", "oncall", "comms", "regulatory", "changes", "continuity", "risks", "compliance", "settings", "ledger"}

// CreateToken makes a token and gives its secret, which is shown this once.
func (s *Service) CreateToken(ctx context.Context, n NewToken) (string, Token, error) {
	if err := s.Require(ctx, "token.own"); err != nil {
		return "", Token{}, err
	}
	a := kit.ActorFrom(ctx)
	if n.Expires == 0 {
		n.Expires = 90 * 24 * time.Hour
	}
	creator, parent, err := s.maker(ctx, a)
	if err != nil {
		return "", Token{}, err
	}
	var f kit.Fields
	if n.Owner != "" {
		owner, err := s.Person(ctx, n.Owner)
		switch {
		case err != nil && kit.CodeOf(err) != kit.CodeNotFound:
			return "", Token{}, err
		case err != nil || !a.IsSystem() || owner.Suspended:
			f.Add("owner", "identity.error.value")
		case above(n.Access, owner.Access):
			f.Add("access", "identity.error.above")
		}
		creator = n.Owner
	}
	if strings.TrimSpace(n.Name) == "" || len(n.Name) > 200 {
		f.Add("name", "identity.error.value")
	}
	if !slices.Contains(kit.Accesses, n.Access) {
		f.Add("access", "identity.error.value")
	}
	if n.Expires < 0 || n.Expires > 366*24*time.Hour {
		f.Add("expires", "identity.error.value")
	}
	for _, sc := range n.Scopes {
		area, how, _ := strings.Cut(sc, ":")
		if !slices.Contains(areas, area) || how != "read" && how != "write" && sc != "incidents:confidential" {
			f.Add("scopes", "identity.error.value")
		}
		if sc == "incidents:confidential" && !a.IsSystem() && a.Access != kit.AccessAdmin {
			f.Add("scopes", "identity.error.above")
		}
		if len(a.Scopes) > 0 && !scoped(a.Scopes, sc) {
			f.Add("scopes", "identity.error.above")
		}
	}
	if len(a.Scopes) > 0 && len(n.Scopes) == 0 {
		f.Add("scopes", "identity.error.above")
	}
	if !a.IsSystem() && above(n.Access, a.Access) {
		f.Add("access", "identity.error.above")
	}
	if err := f.Err(); err != nil {
		return "", Token{}, err
	}
	secret := "toc_" + kit.Secret(32)
	now := s.d.Now()
	t := Token{ID: kit.NewID(), Name: n.Name, Creator: creator, Access: n.Access, Scopes: n.Scopes, Created: now, Expires: now.Add(n.Expires)}
	if parent.ID != "" && t.Expires.After(parent.Expires) {
		t.Expires = parent.Expires
	}
	scopes, _ := json.Marshal(n.Scopes)
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := exec(ctx, tx, `INSERT INTO api_token (id, name, hash, access, scopes, creator, created_at, expires_at, revoked_at, parent) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,0,$9)`,
			t.ID, t.Name, digest(secret), string(t.Access), string(scopes), t.Creator, kit.Micros(now), kit.Micros(t.Expires), parent.ID); err != nil {
			return err
		}
		if err := due.At(ctx, tx, dueToken, t.ID, t.Expires, struct{}{}); err != nil {
			return err
		}
		return fact(ctx, tx, "token", t.ID, TokenFact{Op: "created", Name: t.Name, Access: string(t.Access), Scopes: t.Scopes, Expires: t.Expires.Format(time.RFC3339)})
	})
	return secret, t, err
}

// maker gives who answers for a token that the actor makes: the person, or for a
// token the person behind it, and the first token of such a line.
func (s *Service) maker(ctx context.Context, a kit.Actor) (string, Token, error) {
	if a.Kind != kit.ActorToken {
		return a.ID, Token{}, nil
	}
	var root string
	t, err := scanToken(s.d.Read(ctx).QueryRowContext(ctx, `SELECT `+tokenColumns+`, t.parent FROM api_token t WHERE t.id = ?`, a.ID), &root)
	if err != nil {
		return "", Token{}, db.NoRows(err, "token", a.ID)
	}
	if root != "" {
		t.ID = root
	}
	return t.Creator, t, nil
}

const tokenColumns = `t.id, t.name, t.access, t.scopes, t.creator, t.created_at, t.expires_at, t.revoked_at`

func scanToken(r scanner, more ...any) (Token, error) {
	var t Token
	var scopes string
	var c, e, v int64
	if err := r.Scan(append([]any{&t.ID, &t.Name, &t.Access, &scopes, &t.Creator, &c, &e, &v}, more...)...); err != nil {
		return t, err
	}
	t.Created, t.Expires, t.Revoked = kit.FromMicros(c), kit.FromMicros(e), kit.FromMicros(v)
	return t, json.Unmarshal([]byte(scopes), &t.Scopes)
}

// Tokens lists the actor's tokens, for an admin those of everybody.
func (s *Service) Tokens(ctx context.Context) ([]Token, error) {
	if err := s.Require(ctx, "token.own"); err != nil {
		return nil, err
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT `+tokenColumns+` FROM api_token t WHERE ? OR t.creator = ? ORDER BY t.id DESC LIMIT 500`,
		s.Require(ctx, "token.edit") == nil, kit.ActorFrom(ctx).ID)
	if err != nil {
		return nil, db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var out []Token
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, db.MapError(err)
		}
		out = append(out, t)
	}
	return out, db.MapError(rows.Err())
}

// RevokeToken ends a token; other nodes follow within 3 seconds.
func (s *Service) RevokeToken(ctx context.Context, id string) error {
	if err := s.Require(ctx, "token.own"); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		t, err := scanToken(tx.QueryRow(ctx, `SELECT `+tokenColumns+` FROM api_token t WHERE t.id=$1`, id))
		if err != nil {
			return db.NoRows(err, "token", id)
		}
		if t.Creator != kit.ActorFrom(ctx).ID && s.Require(ctx, "token.edit") != nil {
			return kit.NotFound("token", id)
		}
		if !t.Revoked.IsZero() {
			return nil
		}
		if err := exec(ctx, tx, `UPDATE api_token SET revoked_at=$2 WHERE (id=$1 OR parent=$1) AND revoked_at=0`, id, kit.Micros(tx.Now())); err != nil {
			return err
		}
		s.forget(tx)
		return fact(ctx, tx, "token", id, TokenFact{Op: "revoked", Name: t.Name, Access: string(t.Access), Scopes: t.Scopes, Expires: t.Expires.Format(time.RFC3339)})
	})
}

// Authenticate gives the actor of a bearer token.
func (s *Service) Authenticate(ctx context.Context, bearer string) (kit.Actor, error) {
	bad := kit.Errorf(kit.CodeUnauthenticated, "identity.error.token")
	if len(bearer) != 47 || !strings.HasPrefix(bearer, "toc_") {
		return kit.Actor{}, bad
	}
	h, now := digest(bearer), s.d.Now()
	s.mu.Lock()
	c, ok := s.cache[h]
	s.mu.Unlock()
	if age := now.Sub(c.at); !ok || age < 0 || age >= tokenTTL {
		c = cached{at: now}
		var err error
		c.token, err = scanToken(s.d.Read(ctx).QueryRowContext(ctx, `SELECT `+tokenColumns+`, COALESCE(p.access, ''), COALESCE(p.suspended, FALSE)
			FROM api_token t LEFT JOIN person p ON p.id = t.creator WHERE t.hash = ?`, h), &c.access, &c.suspended)
		if err = db.NoRows(err, "token", ""); kit.CodeOf(err) == kit.CodeNotFound {
			return kit.Actor{}, bad
		} else if err != nil {
			return kit.Actor{}, err
		}
		s.mu.Lock()
		if len(s.cache) >= 1000 {
			clear(s.cache)
		}
		s.cache[h] = c
		s.mu.Unlock()
	}
	t := c.token
	if !t.Revoked.IsZero() || !now.Before(t.Expires) || c.suspended {
		return kit.Actor{}, bad
	}
	// Who made the token may have fewer rights by now.
	if c.access != "" && above(t.Access, c.access) {
		t.Access = c.access
	}
	a := kit.Actor{Kind: kit.ActorToken, ID: t.ID, Name: t.Name, Via: kit.ViaAPI, Access: t.Access, Scopes: t.Scopes}
	if c.access != "" {
		a.Owner = t.Creator
	}
	return a, nil
}

// above tells whether a level has a right that another lacks. Communications is
// not above responder in rank, but has rights of its own.
func above(a, b kit.Access) bool {
	if a == kit.AccessCommunications && b == kit.AccessResponder {
		return true
	}
	return slices.Index(kit.Accesses, a) > slices.Index(kit.Accesses, b)
}
