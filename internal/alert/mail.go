package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

const (
	// mailRemembered is how long the messages of a mail thread are known by their ids.
	mailRemembered = 30 * 24 * time.Hour
	// maxReferences is how many of the messages that one refers to are looked up, the
	// latest first.
	maxReferences = 30
)

// Thread says where a message stands in its mail thread (RFC 5322, 3.6.4).
type Thread struct {
	// ID is the Message-ID; empty when there is none.
	ID string
	// References are those of the messages before it, the oldest first.
	References []string
}

// IngestMail folds the signal of one message of mail into its alert, durable when it
// returns. A message that answers one which is known belongs to the same alert,
// whatever its own key says. again tells that this very message was taken before: then
// it does nothing.
func (s *Service) IngestMail(ctx context.Context, sig Signal, th Thread) (out Outcome, again bool, err error) {
	own := clean(sig.DedupKey)
	err = s.retried(ctx, func(ctx context.Context, tx *db.Tx) error {
		out, again, sig.DedupKey = Outcome{}, false, own
		now := tx.Now()
		if th.ID != "" {
			key, err := mailKey(ctx, tx, sig.Source, []string{th.ID})
			if again = key != ""; err != nil || again {
				return err
			}
		}
		switch key, err := mailKey(ctx, tx, sig.Source, th.References); {
		case err != nil:
			return err
		case key != "":
			sig.DedupKey = key
		}
		l, err := s.Ingest(ctx, []Signal{sig})
		if err != nil {
			return err
		}
		out = l[0]
		if th.ID == "" {
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM alert_mail WHERE source = $1 AND at < $2`, sig.Source, kit.Micros(now.Add(-mailRemembered))); err != nil {
			return db.MapError(err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO alert_mail (source, message, dedup_key, at) VALUES ($1, $2, $3, $4)`, sig.Source, mailDigest(th.ID), sig.DedupKey, kit.Micros(now))
		return db.MapError(err)
	})
	return out, again, err
}

func mailDigest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// mailKey is the key of the alert that the latest known of some messages belongs to.
func mailKey(ctx context.Context, tx *db.Tx, source string, ids []string) (string, error) {
	if len(ids) == 0 {
		return "", nil
	}
	digests := make([]string, 0, maxReferences)
	for _, id := range ids[max(0, len(ids)-maxReferences):] {
		digests = append(digests, mailDigest(id))
	}
	var keys []string
	err := tx.NewSelect().Table("alert_mail").Column("dedup_key").Where("source = ? AND message IN (?)", source, bun.List(digests)).OrderExpr("at DESC").Limit(1).Scan(ctx, &keys)
	if err != nil || len(keys) == 0 {
		return "", db.MapError(err)
	}
	return keys[0], nil
}
