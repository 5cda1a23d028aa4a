package identity

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

// The due rows of what ends by itself; their keys are the session's digest and the
// token's id.
const (
	dueSession = "session-end"
	dueToken   = "token-end"
)

// Tasks are the due rows of the module.
func (s *Service) Tasks() []due.Task {
	return []due.Task{
		{Kind: dueSession, Lane: due.Slow, Run: s.sessionDue},
		{Kind: dueToken, Lane: due.Slow, Run: s.tokenDue},
	}
}

// watchSession ends a session when nobody has used it for its idle time, or when it is
// as old as a session may be.
func (s *Service) watchSession(ctx context.Context, tx *db.Tx, hash string, opened, seen time.Time) error {
	idle, most, err := s.sessionLimits(ctx)
	if err != nil {
		return err
	}
	at := seen.Add(idle)
	if last := opened.Add(most); last.Before(at) {
		at = last
	}
	return due.At(ctx, tx, dueSession, hash, at, struct{}{})
}

func (s *Service) sessionDue(ctx context.Context, tx *db.Tx, row due.Row) error {
	var person string
	var opened, seen int64
	err := tx.QueryRow(ctx, `SELECT person, opened_at, seen_at FROM session WHERE hash=$1`, row.Key).Scan(&person, &opened, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return db.MapError(err)
	}
	idle, most, err := s.sessionLimits(ctx)
	if err != nil {
		return err
	}
	reason := ""
	switch now := tx.Now(); {
	case now.Sub(kit.FromMicros(opened)) >= most:
		reason = "too_old"
	case now.Sub(kit.FromMicros(seen)) >= idle:
		reason = "idle"
	default:
		return s.watchSession(ctx, tx, row.Key, kit.FromMicros(opened), kit.FromMicros(seen))
	}
	if err := exec(ctx, tx, `DELETE FROM session WHERE hash=$1`, row.Key); err != nil {
		return err
	}
	return fact(kit.WithActor(ctx, kit.System(kit.ViaDue)), tx, "person", person, SessionFact{Op: "ended", Method: "expired", Reason: reason})
}

// endSessions ends every session of a person.
func endSessions(ctx context.Context, tx *db.Tx, person, reason string) error {
	rows, err := tx.Query(ctx, `DELETE FROM session WHERE person=$1 RETURNING hash`, person)
	if err != nil {
		return db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	var ended []string
	for rows.Next() {
		var h string
		if err := rows.Scan(&h); err != nil {
			return db.MapError(err)
		}
		ended = append(ended, h)
	}
	if err := rows.Err(); err != nil {
		return db.MapError(err)
	}
	_ = rows.Close()
	for _, h := range ended {
		if err := due.Cancel(ctx, tx, dueSession, h); err != nil {
			return err
		}
		if err := fact(ctx, tx, "person", person, SessionFact{Op: "ended", Method: "by_rule", Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) tokenDue(ctx context.Context, tx *db.Tx, row due.Row) error {
	t, err := scanToken(tx.QueryRow(ctx, `SELECT `+tokenColumns+` FROM api_token t WHERE t.id=$1`, row.Key))
	if errors.Is(err, sql.ErrNoRows) || err == nil && !t.Revoked.IsZero() {
		return nil
	}
	if err != nil {
		return db.MapError(err)
	}
	return fact(kit.WithActor(ctx, kit.System(kit.ViaDue)), tx, "token", t.ID,
		TokenFact{Op: "expired", Name: t.Name, Access: string(t.Access), Scopes: t.Scopes, Expires: t.Expires.Format(time.RFC3339)})
}
