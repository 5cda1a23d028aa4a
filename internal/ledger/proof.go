package ledger

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Origin is the first line of every checkpoint and the name of its key.
const Origin = "tocsin/ledger"

// Checkpoint is a signed statement of the ledger's size and root, as a note of
// C2SP tlog-checkpoint: origin, size, root in base64, and an Ed25519 signature.
func (l *Ledger) Checkpoint(ctx context.Context) (string, error) {
	signer, err := l.signer(ctx)
	if err != nil {
		return "", err
	}
	size, root, err := l.Head(ctx)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", Origin, size, base64.StdEncoding.EncodeToString(root))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return "", kit.Internal(err)
	}
	return string(signed), nil
}

// OpenCheckpoint checks the signature of a checkpoint and gives what it states.
func OpenCheckpoint(text, publicKey string) (size int64, root []byte, err error) {
	v, err := note.NewVerifier(publicKey)
	if err != nil {
		return 0, nil, fmt.Errorf("public key: %w", err)
	}
	n, err := note.Open([]byte(text), note.VerifierList(v))
	if err != nil {
		return 0, nil, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != Origin {
		return 0, nil, errors.New("checkpoint: not of this ledger's kind")
	}
	size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return 0, nil, errors.New("checkpoint: bad size")
	}
	root, err = base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return 0, nil, errors.New("checkpoint: bad root")
	}
	return size, root, nil
}

// PublicKey is what verifies the checkpoints, in the form of sumdb/note.
func (l *Ledger) PublicKey(ctx context.Context) (string, error) {
	if _, err := l.signer(ctx); err != nil {
		return "", err
	}
	var public string
	err := l.d.Read(ctx).QueryRowContext(ctx, `SELECT public FROM ledger_key WHERE one = 1`).Scan(&public)
	return public, db.MapError(err)
}

// signer reads the key of the checkpoints, making it on first use.
func (l *Ledger) signer(ctx context.Context) (note.Signer, error) {
	l.keyMu.Lock()
	defer l.keyMu.Unlock()
	for range 2 {
		var private []byte
		var sealed bool
		err := l.d.Read(ctx).QueryRowContext(ctx, `SELECT private, sealed FROM ledger_key WHERE one = 1`).Scan(&private, &sealed)
		if err == nil {
			if sealed {
				if private, err = open(l.secret, private); err != nil {
					return nil, kit.Internal(fmt.Errorf("checkpoint key: %w", err))
				}
			}
			s, err := note.NewSigner(string(private))
			if err != nil {
				return nil, kit.Internal(fmt.Errorf("checkpoint key: %w", err))
			}
			return s, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return nil, db.MapError(err)
		}
		skey, vkey, err := note.GenerateKey(rand.Reader, Origin)
		if err != nil {
			return nil, kit.Internal(err)
		}
		private = []byte(skey)
		if sealed = l.secret != nil; sealed {
			if private, err = seal(l.secret, private); err != nil {
				return nil, kit.Internal(err)
			}
		}
		err = l.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO ledger_key (one, public, private, sealed) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING`, vkey, private, sealed)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return nil, kit.Internal(errors.New("checkpoint key: not stored"))
}

func aead(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, errors.New("the secret key is missing or not 32 bytes long (TOCSIN_SECRET_KEY_FILE)")
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func seal(key, plain []byte) ([]byte, error) {
	c, err := aead(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, c.NonceSize())
	_, _ = rand.Read(nonce)
	return c.Seal(nonce, nonce, plain, nil), nil
}

func open(key, sealed []byte) ([]byte, error) {
	c, err := aead(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < c.NonceSize() {
		return nil, errors.New("sealed text is too short")
	}
	return c.Open(nil, sealed[:c.NonceSize()], sealed[c.NonceSize():], nil)
}

// Inclusion proves that the fact seq is in the tree of the first size facts
// (RFC 6962, 2.1.1).
func (l *Ledger) Inclusion(ctx context.Context, seq, size int64) ([][]byte, error) {
	if err := l.bounds(ctx, seq, size); err != nil {
		return nil, err
	}
	n, err := proof.Inclusion(uint64(seq-1), uint64(size))
	if err != nil {
		return nil, kit.Invalid("ledger.error.range", "seq", seq, "size", size)
	}
	return l.hashes(ctx, n, size)
}

// Consistency proves that the tree of size facts continues that of from facts
// (RFC 6962, 2.1.2).
func (l *Ledger) Consistency(ctx context.Context, from, size int64) ([][]byte, error) {
	if err := l.bounds(ctx, from, size); err != nil {
		return nil, err
	}
	n, err := proof.Consistency(uint64(from), uint64(size))
	if err != nil {
		return nil, kit.Invalid("ledger.error.range", "seq", from, "size", size)
	}
	return l.hashes(ctx, n, size)
}

func (l *Ledger) bounds(ctx context.Context, seq, size int64) error {
	now, _, err := l.Head(ctx)
	if err != nil {
		return err
	}
	if seq < 1 || seq > size || size > now {
		return kit.Invalid("ledger.error.range", "seq", seq, "size", size)
	}
	return nil
}

func (l *Ledger) hashes(ctx context.Context, n proof.Nodes, size int64) ([][]byte, error) {
	out := make([][]byte, len(n.IDs))
	for i, id := range n.IDs {
		h, err := l.node(ctx, id)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return n.Rehash(out, rfc6962.DefaultHasher.HashChildren)
}

// node gives the hash of a complete subtree, from at most 256 stored hashes of
// the stored level below it.
func (l *Ledger) node(ctx context.Context, id compact.NodeID) ([]byte, error) {
	base := id.Level / 8 * 8
	if base > 24 {
		base = 24
	}
	first := id.Index << (id.Level - base)
	count := uint64(1) << (id.Level - base)
	var rows []struct {
		Hash []byte `bun:"hash"`
	}
	q := l.d.Read(ctx).NewSelect()
	if base == 0 {
		q = q.TableExpr("fact").ColumnExpr("leaf AS hash").Where("seq > ? AND seq <= ?", int64(first), int64(first+count)).OrderExpr("seq")
	} else {
		q = q.TableExpr("ledger_node").ColumnExpr("hash").Where("level = ? AND idx >= ? AND idx < ?", int64(base), int64(first), int64(first+count)).OrderExpr("idx")
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, db.MapError(err)
	}
	if uint64(len(rows)) != count {
		return nil, kit.Internal(fmt.Errorf("ledger: %d hashes of %d at level %d from %d", len(rows), count, base, first))
	}
	r := factory.NewEmptyRange(0)
	for i := range rows {
		if err := r.Append(rows[i].Hash, nil); err != nil {
			return nil, kit.Internal(err)
		}
	}
	return r.GetRootHash(nil)
}

// Sealed is a fact with all that its leaf was made of: it can be verified without
// the database.
type Sealed struct {
	Seq        int64  `json:"seq"`
	ID         string `json:"id"`
	HappenedAt int64  `json:"happened_at_us"`
	RecordedAt int64  `json:"recorded_at_us"`
	Actor      string `json:"actor"`
	Type       string `json:"type"`
	Subject    string `json:"subject"`
	Incident   string `json:"incident,omitempty"`
	// Salt and Digest are in base64; Salt and Text are absent once erased.
	Digest []byte `json:"digest"`
	Salt   []byte `json:"salt,omitempty"`
	Text   string `json:"text,omitempty"`
	// Proof is the inclusion proof in the tree of Size facts.
	Size  int64    `json:"size"`
	Proof [][]byte `json:"proof"`
}

// Sealed gives the facts of a filter with their proofs in the tree of size facts.
func (l *Ledger) Sealed(ctx context.Context, f Filter, size int64) ([]Sealed, error) {
	rows, err := l.raw(ctx, f)
	if err != nil {
		return nil, err
	}
	out := make([]Sealed, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		if r.Seq > size {
			continue
		}
		path, err := l.Inclusion(ctx, r.Seq, size)
		if err != nil {
			return nil, err
		}
		out = append(out, Sealed{
			Seq: r.Seq, ID: kit.FormatID([16]byte(r.ID)), HappenedAt: r.HappenedAt, RecordedAt: r.RecordedAt,
			Actor: r.Actor, Type: r.Type, Subject: r.Subject, Incident: r.Incident.String,
			Digest: r.Digest, Salt: r.Salt, Text: r.Body.String, Size: size, Proof: path,
		})
	}
	return out, nil
}

// VerifySealed recomputes the leaf of a sealed fact and checks its proof against
// a root. It needs no database.
func VerifySealed(s Sealed, root []byte) error {
	leaf, err := s.Leaf()
	if err != nil {
		return err
	}
	d := s.Digest
	if s.Salt != nil {
		sum := digest(s.Salt, s.Text)
		if !equal(sum[:], d) {
			return fmt.Errorf("fact %d: the body was changed", s.Seq)
		}
	} else if s.Text != "" {
		return fmt.Errorf("fact %d: a body without its salt", s.Seq)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(s.Seq-1), uint64(s.Size), leaf, s.Proof, root); err != nil {
		return fmt.Errorf("fact %d: %w", s.Seq, err)
	}
	return nil
}

// Leaf gives the leaf hash of the fact, which commits to the digest of the body and
// not to the body: with it and the proof, the fact is proved without its text.
func (s *Sealed) Leaf() ([]byte, error) {
	id, err := kit.ParseID(s.ID)
	if err != nil {
		return nil, err
	}
	return leafHash(envelope{id: id, happenedAt: s.HappenedAt, recordedAt: s.RecordedAt, actor: s.Actor, typ: s.Type, subject: s.Subject, incident: s.Incident}, s.Digest), nil
}

// Fact gives the sealed fact in the ordinary form.
func (s Sealed) Fact() (Fact, error) {
	id, err := kit.ParseID(s.ID)
	if err != nil {
		return Fact{}, err
	}
	r := row{
		Seq: s.Seq, ID: id[:], HappenedAt: s.HappenedAt, RecordedAt: s.RecordedAt, Actor: s.Actor, Type: s.Type, Subject: s.Subject,
		Incident: sql.NullString{String: s.Incident, Valid: s.Incident != ""}, Body: sql.NullString{String: s.Text, Valid: s.Salt != nil},
	}
	return r.fact()
}

func equal(a, b []byte) bool { return string(a) == string(b) }
