package identity

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const personColumns = `p.id, p.name, p.email, p.language, p.timezone, p.access, p.slack, p.suspended, p.leave_json, p.version`

type scanner interface{ Scan(dest ...any) error }

func scanPerson(r scanner, more ...any) (Person, error) {
	var p Person
	var leave string
	err := r.Scan(append([]any{&p.ID, &p.Name, &p.Email, &p.Language, &p.Timezone, &p.Access, &p.Slack, &p.Suspended, &leave, &p.Version}, more...)...)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(leave), &p.Leave)
}

func (s *Service) person(ctx context.Context, column, value string) (Person, error) {
	type key struct{ column, value string }
	return db.Memo(ctx, s.d, key{column, value}, func() (Person, error) {
		p, err := scanPerson(s.d.Read(ctx).QueryRowContext(ctx, `SELECT `+personColumns+` FROM person p WHERE p.`+column+` = ?`, value))
		return p, db.NoRows(err, "person", value)
	})
}

func savePerson(ctx context.Context, tx *db.Tx, p Person, fresh bool) error {
	leave, _ := json.Marshal(p.Leave)
	var err error
	if fresh {
		_, err = tx.Exec(ctx, `INSERT INTO person (id, name, email, language, timezone, access, slack, suspended, leave_json, version) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,1)`,
			p.ID, p.Name, p.Email, p.Language, p.Timezone, string(p.Access), p.Slack, p.Suspended, string(leave))
	} else {
		_, err = tx.Exec(ctx, `UPDATE person SET name=$2, email=$3, language=$4, timezone=$5, access=$6, slack=$7, suspended=$8, leave_json=$9, version=version+1 WHERE id=$1`,
			p.ID, p.Name, p.Email, p.Language, p.Timezone, string(p.Access), p.Slack, p.Suspended, string(leave))
	}
	return db.MapError(err)
}

func exec(ctx context.Context, tx *db.Tx, query string, args ...any) error {
	_, err := tx.Exec(ctx, query, args...)
	return db.MapError(err)
}

func digest(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

func fact(ctx context.Context, tx *db.Tx, kind, id string, b ledger.Body) error {
	e := ledger.Entry{Subject: ledger.Subject{Kind: kind, ID: id}, Body: b}
	if kit.ActorFrom(ctx).Kind == "" {
		a := kit.System(kit.ViaWeb)
		e.Actor = &a
	}
	return ledger.Append(ctx, tx, e)
}

type row struct {
	settings, parameters, levels, kept string
	version                            int64
}

func (s *Service) row(ctx context.Context) (row, error) {
	type key struct{}
	return db.Memo(ctx, s.d, key{}, func() (row, error) {
		r := row{settings: "{}", parameters: "{}", levels: "{}", kept: "{}"}
		err := s.d.Read(ctx).QueryRowContext(ctx, `SELECT settings, parameters, levels, kept, version FROM organisation WHERE id = 1`).
			Scan(&r.settings, &r.parameters, &r.levels, &r.kept, &r.version)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return r, db.MapError(err)
	})
}

func saveRow(ctx context.Context, tx *db.Tx, r row) error {
	return exec(ctx, tx, `INSERT INTO organisation (id, version, settings, parameters, levels, kept) VALUES (1, 1, $1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET version = organisation.version + 1, settings = excluded.settings, parameters = excluded.parameters, levels = excluded.levels, kept = excluded.kept`,
		r.settings, r.parameters, r.levels, r.kept)
}
