package app

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"tocsin/internal/channel"
	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// pushKeys keep the key pair of push messages. It is in the database, so that devices
// stay subscribed after a restore and a move to PostgreSQL, and sealed where there is a
// secret key.
type pushKeys struct {
	db     *db.DB
	secret []byte

	mu   sync.Mutex
	kept *channel.VAPID
}

// get gives the key pair, which is made when it is first asked for. It is not for inside
// a transaction: what is given must be stored for good.
func (k *pushKeys) get(ctx context.Context) (channel.VAPID, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept != nil {
		return *k.kept, nil
	}
	const find = `SELECT value FROM instance_secret WHERE name = 'push'`
	var raw []byte
	err := k.db.Read(ctx).QueryRowContext(ctx, find).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		var fresh []byte
		if fresh, err = k.make(); err != nil {
			return channel.VAPID{}, kit.Internal(err)
		}
		err = k.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			// Another node may make it at the same time: whoever stores it wins.
			if _, err := tx.Exec(ctx, `INSERT INTO instance_secret (name, value) VALUES ('push', $1) ON CONFLICT (name) DO NOTHING`, fresh); err != nil {
				return err
			}
			return tx.QueryRow(ctx, find).Scan(&raw)
		})
	}
	if err != nil {
		return channel.VAPID{}, db.MapError(err)
	}
	v, err := k.open(raw)
	if err != nil {
		return channel.VAPID{}, kit.Internal(fmt.Errorf("key of push messages: %w", err))
	}
	k.kept = &v
	return v, nil
}

// plainKey is the size of a private key; a sealed one is longer.
const plainKey = 32

func (k *pushKeys) make() ([]byte, error) {
	v, err := channel.NewVAPID()
	if err != nil {
		return nil, err
	}
	raw, err := v.Bytes()
	if err != nil || k.secret == nil {
		return raw, err
	}
	c, err := k.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, c.NonceSize())
	_, _ = rand.Read(nonce)
	return c.Seal(nonce, nonce, raw, nil), nil
}

func (k *pushKeys) open(raw []byte) (channel.VAPID, error) {
	if len(raw) == plainKey {
		return channel.ParseVAPID(raw)
	}
	if k.secret == nil {
		return channel.VAPID{}, errors.New("the secret key is missing (TOCSIN_SECRET_KEY_FILE)")
	}
	c, err := k.aead()
	if err != nil {
		return channel.VAPID{}, err
	}
	if len(raw) < c.NonceSize() {
		return channel.VAPID{}, errors.New("it is cut off")
	}
	plain, err := c.Open(nil, raw[:c.NonceSize()], raw[c.NonceSize():], nil)
	if err != nil {
		return channel.VAPID{}, err
	}
	return channel.ParseVAPID(plain)
}

func (k *pushKeys) aead() (cipher.AEAD, error) {
	m := hmac.New(sha256.New, k.secret)
	_, _ = m.Write([]byte("key of push messages"))
	b, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// pushSubject is who push services may ask about what this installation sends.
func (a *App) pushSubject(ctx context.Context) string {
	var set struct{ Subject string }
	if c, err := a.channels(ctx); err == nil && c.Push != nil {
		_ = json.Unmarshal(c.Push, &set)
	}
	return channel.PushSubject(set.Subject, a.cfg.BaseURL)
}

// PushKey is the public key that browsers subscribe with to push messages.
func (a *App) PushKey(ctx context.Context) (string, error) {
	v, err := a.push.get(ctx)
	if err != nil {
		return "", err
	}
	return v.PublicKey(), nil
}
