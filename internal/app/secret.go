package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tocsin/internal/db"
)

// tokenKey is what acknowledge tokens are made with: from the secret key file where
// there is one; else from a file in the data folder of a SQLite installation, or,
// for nodes that share a PostgreSQL database and nothing else, from that database.
func (a *App) tokenKey(ctx context.Context, secret []byte) ([]byte, error) {
	if secret != nil {
		m := hmac.New(sha256.New, secret)
		_, _ = m.Write([]byte("acknowledge tokens"))
		return m.Sum(nil), nil
	}
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh)
	if a.db.Dialect() == db.SQLite {
		path := filepath.Join(a.cfg.Data, "token.key")
		// Another process may make it at the same time: whoever creates it wins.
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		switch {
		case err == nil:
			_, err = f.WriteString(hex.EncodeToString(fresh) + "\n")
			return fresh, errors.Join(err, f.Sync(), f.Close())
		case !errors.Is(err, os.ErrExist):
			return nil, fmt.Errorf("token key: %w", err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("token key: %w", err)
		}
		if len(raw) < 64 {
			return nil, fmt.Errorf("token key %s: want 64 hexadecimal digits", path)
		}
		return hex.DecodeString(string(raw[:64]))
	}
	var key []byte
	err := a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO instance_secret (name, value) VALUES ('acknowledge', $1) ON CONFLICT (name) DO NOTHING`, fresh); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT value FROM instance_secret WHERE name = 'acknowledge'`).Scan(&key)
	})
	return key, err
}
