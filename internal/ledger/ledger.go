package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// leafVersion is the first byte of what a leaf commits to.
const leafVersion = 1

var factory = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// Ledger is the list of facts of a database.
type Ledger struct {
	d *db.DB

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	runners  map[*runner]struct{}
	tail     tail
	keyMu    sync.Mutex
	secret   []byte
}

// Option changes how a ledger is made.
type Option func(*Ledger)

// WithSecretKey encrypts the checkpoint key at rest with a key of 32 bytes.
func WithSecretKey(key []byte) Option { return func(l *Ledger) { l.secret = key } }

// New makes the ledger of a database: from now on every transaction writes its
// facts as the last act before its commit.
func New(d *db.DB, opts ...Option) *Ledger {
	l := &Ledger{d: d, watchers: map[chan struct{}]struct{}{}, runners: map[*runner]struct{}{}}
	for _, o := range opts {
		o(l)
	}
	d.BeforeCommit(l.flush)
	return l
}

// DB is the database of the ledger.
func (l *Ledger) DB() *db.DB { return l.d }

// envelope is what a leaf commits to, besides the digest of the body.
type envelope struct {
	id         [16]byte
	happenedAt int64
	recordedAt int64
	actor      string
	typ        string
	subject    string
	incident   string
}

// stored is the text of fact_body, the exact bytes that the digest covers: with
// it goes everything that erasure must take.
type stored struct {
	V    int             `json:"v"`
	Via  kit.Via         `json:"via,omitempty"`
	Name string          `json:"actor_name,omitempty"`
	Ref  string          `json:"ref,omitempty"`
	Body json.RawMessage `json:"body"`
}

// with encodes what is stored around a body that is encoded already, which a plain
// encoding would read through once more.
func (s stored) with(body []byte) (string, error) {
	s.Body = json.RawMessage("0")
	around, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return string(around[:len(around)-len("0}")]) + string(body) + "}", nil
}

type pending struct {
	envelope
	salt   [16]byte
	text   string
	digest [32]byte
	leaf   []byte
}

type pendingKey struct{}

func appendEntries(ctx context.Context, tx *db.Tx, entries []Entry) error {
	list, _ := tx.Value(pendingKey{}).(*[]pending)
	if list == nil {
		list = &[]pending{}
		tx.SetValue(pendingKey{}, list)
	}
	*list = slices.Grow(*list, len(entries))
	// One draw of random bytes for all: each is a call of the operating system.
	salts := make([]byte, 16*len(entries))
	_, _ = rand.Read(salts)
	from := kit.ActorFrom(ctx)
	for i := range entries {
		p, err := prepare(from, tx.Now(), &entries[i], [16]byte(salts[16*i:]))
		if err != nil {
			return err
		}
		*list = append(*list, p)
	}
	return nil
}

func prepare(actor kit.Actor, now time.Time, e *Entry, salt [16]byte) (pending, error) {
	if e.Actor != nil {
		actor = *e.Actor
	}
	if actor.Kind == "" {
		return pending{}, kit.Internal(fmt.Errorf("fact %s without an actor", e.Body.FactType()))
	}
	happened := e.HappenedAt
	if happened.IsZero() {
		happened = now
	}
	ready, ok := e.Body.(encoded)
	raw := ready.raw
	if !ok {
		var err error
		if raw, err = json.Marshal(e.Body); err != nil {
			return pending{}, kit.Internal(fmt.Errorf("fact %s: %w", e.Body.FactType(), err))
		}
	}
	text, err := (stored{V: max(e.V, 1), Via: actor.Via, Name: actor.Name, Ref: e.Subject.Ref}).with(raw)
	if err != nil {
		return pending{}, kit.Internal(err)
	}
	id, err := kit.ParseID(kit.NewID())
	if err != nil {
		return pending{}, kit.Internal(err)
	}
	p := pending{
		envelope: envelope{
			id: id, happenedAt: kit.Micros(happened), recordedAt: kit.Micros(now),
			actor: string(actor.Kind) + ":" + actor.ID, typ: e.Body.FactType(),
			subject: e.Subject.Kind + ":" + e.Subject.ID, incident: e.Incident,
		},
		text: text, salt: salt,
	}
	p.digest = digest(p.salt[:], p.text)
	p.leaf = leafHash(p.envelope, p.digest[:])
	return p, nil
}

// digest commits to a body; the salt keeps a short body from being guessed once
// it is erased.
func digest(salt []byte, text string) [32]byte {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(text))
	return [32]byte(h.Sum(nil))
}

func leafHash(e envelope, digest []byte) []byte {
	b := make([]byte, 0, 256)
	b = append(b, leafVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e.happenedAt))
	b = binary.BigEndian.AppendUint64(b, uint64(e.recordedAt))
	for _, s := range []string{string(e.id[:]), e.actor, e.typ, e.subject, e.incident, string(digest)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return rfc6962.DefaultHasher.HashLeaf(b)
}

type head struct {
	size uint64
	rng  *compact.Range
	root []byte
}

func parseHead(size int64, packed, root []byte) (head, error) {
	if len(packed)%sha256.Size != 0 {
		return head{}, fmt.Errorf("ledger head: compact range of %d bytes", len(packed))
	}
	var hashes [][]byte
	for i := 0; i < len(packed); i += sha256.Size {
		hashes = append(hashes, packed[i:i+sha256.Size])
	}
	r, err := factory.NewRange(0, uint64(size), hashes)
	if err != nil {
		return head{}, fmt.Errorf("ledger head: %w", err)
	}
	return head{size: uint64(size), rng: r, root: root}, nil
}

// flush writes the facts of a transaction. The head is locked here, last, so that
// the lock is held for the commit alone and no deadlock can pass through it.
func (l *Ledger) flush(ctx context.Context, tx *db.Tx) error {
	list, _ := tx.Value(pendingKey{}).(*[]pending)
	if list == nil || len(*list) == 0 {
		return nil
	}
	facts := *list
	// On PostgreSQL the lock is taken on the way to the head, within a function that
	// reads the head with a snapshot of its own: one plain statement that did both
	// would read with a snapshot older than the lock, and fork the tree.
	readHead := `SELECT size, compact, root FROM ledger_head WHERE one = 1`
	if l.d.Dialect() == db.PostgreSQL {
		readHead = `SELECT size, compact, root FROM ledger_lock()`
	}
	var size int64
	var packed, root []byte
	if err := tx.QueryRow(ctx, readHead).Scan(&size, &packed, &root); err != nil {
		return fmt.Errorf("ledger head: %w", err)
	}
	h, err := parseHead(size, packed, root)
	if err != nil {
		return err
	}
	type node struct {
		level uint
		idx   uint64
		hash  []byte
	}
	var nodes []node
	keep := func(id compact.NodeID, hash []byte) {
		if keepsNode(id) {
			nodes = append(nodes, node{id.Level, id.Index, hash})
		}
	}
	for i := range facts {
		if err := h.rng.Append(facts[i].leaf, keep); err != nil {
			return fmt.Errorf("ledger tree: %w", err)
		}
	}
	newRoot, err := h.rng.GetRootHash(nil)
	if err != nil {
		return fmt.Errorf("ledger tree: %w", err)
	}
	for _, n := range nodes {
		if _, err := tx.Exec(ctx, `INSERT INTO ledger_node (level, idx, hash) VALUES ($1, $2, $3)`, int64(n.level), int64(n.idx), n.hash); err != nil {
			return fmt.Errorf("write block: %w", err)
		}
	}
	next := newHead{size + int64(len(facts)), bytes.Join(h.rng.Hashes(), nil), newRoot}
	if err := write(ctx, tx, size+1, facts, next); err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	tx.AfterCommit(l.wake)
	return nil
}

// chunk is how many facts one statement writes on SQLite. The parameters are bare
// question marks: the driver looks a name up for each of the others, which costs
// the square of their number.
const chunk = 8

var (
	factOne, bodyOne   = insertText(1)
	factMany, bodyMany = insertText(chunk)
)

func insertText(n int) (fact, body string) {
	rows := func(columns int) string {
		row := "(" + strings.Repeat(", ?", columns)[2:] + ")"
		return strings.Repeat(", "+row, n)[2:]
	}
	return `INSERT INTO fact (seq, id, happened_at, recorded_at, actor, type, subject, incident, digest, leaf) VALUES ` + rows(10),
		`INSERT INTO fact_body (seq, salt, body) VALUES ` + rows(3)
}

// newHead is the head after a transaction.
type newHead struct {
	size          int64
	compact, root []byte
}

// write writes facts, the first with the number seq, and the head after them.
func write(ctx context.Context, tx *db.Tx, seq int64, facts []pending, next newHead) error {
	if tx.DB().Dialect() == db.PostgreSQL {
		return writePostgres(ctx, tx, seq, facts, next)
	}
	for len(facts) > 0 {
		n, factText, bodyText := 1, factOne, bodyOne
		if len(facts) >= chunk {
			n, factText, bodyText = chunk, factMany, bodyMany
		}
		fa := make([]any, 0, n*10)
		ba := make([]any, 0, n*3)
		for i := range n {
			p := &facts[i]
			fa = append(fa, seq, p.id[:], p.happenedAt, p.recordedAt, p.actor, p.typ, p.subject, sql.NullString{String: p.incident, Valid: p.incident != ""}, p.digest[:], p.leaf)
			ba = append(ba, seq, p.salt[:], p.text)
			seq++
		}
		if _, err := tx.Exec(ctx, factText, fa...); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, bodyText, ba...); err != nil {
			return err
		}
		facts = facts[n:]
	}
	_, err := tx.Exec(ctx, `UPDATE ledger_head SET size = $1, compact = $2, root = $3 WHERE one = 1`, next.size, next.compact, next.root)
	return err
}

// writePostgres does it in one statement: each is a round trip while the lock is held.
func writePostgres(ctx context.Context, tx *db.Tx, seq int64, facts []pending, next newHead) error {
	n := len(facts)
	seqs := make([]int64, n)
	ids, digests, leaves, salts := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	happened, recorded := make([]int64, n), make([]int64, n)
	actors, types, subjects, incidents, texts := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range facts {
		p := &facts[i]
		seqs[i] = seq + int64(i)
		ids[i], digests[i], leaves[i], salts[i] = p.id[:], p.digest[:], p.leaf, p.salt[:]
		happened[i], recorded[i] = p.happenedAt, p.recordedAt
		actors[i], types[i], subjects[i], incidents[i], texts[i] = p.actor, p.typ, p.subject, p.incident, p.text
	}
	_, err := tx.Exec(ctx, `WITH f AS (
		INSERT INTO fact (seq, id, happened_at, recorded_at, actor, type, subject, incident, digest, leaf)
		SELECT a, b, c, d, e, f, g, nullif(h, ''), i, j
		FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::bytea[]) AS u(a, b, c, d, e, f, g, h, i, j)
	), b AS (
		INSERT INTO fact_body (seq, salt, body) SELECT * FROM unnest($1::bigint[], $11::bytea[], $12::text[])
	) UPDATE ledger_head SET size = $13, compact = $14, root = $15 WHERE one = 1`,
		seqs, ids, happened, recorded, actors, types, subjects, incidents, digests, leaves, salts, texts, next.size, next.compact, next.root)
	return err
}

// wake tells consumers and watchers of this process that the ledger grew.
func (l *Ledger) wake() {
	l.tail.grown.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch := range l.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	for r := range l.runners {
		r.wake()
	}
}

// Watch gives a channel that is signalled after each commit that wrote facts, on
// any node. Stop ends it.
func (l *Ledger) Watch() (ch <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	l.mu.Lock()
	l.watchers[c] = struct{}{}
	l.mu.Unlock()
	return c, func() {
		l.mu.Lock()
		delete(l.watchers, c)
		l.mu.Unlock()
	}
}
