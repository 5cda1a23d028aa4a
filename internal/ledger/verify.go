package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Problem is one thing that verification found.
type Problem struct {
	// Kind is changed, removed, inserted, body_removed, head, block or rewritten.
	Kind string `json:"kind"`
	// Seq is the fact, or the first of the stretch; To the last of the stretch.
	Seq int64 `json:"seq"`
	To  int64 `json:"to,omitempty"`
	// Text says it in English.
	Text string `json:"text"`
}

// Report is the result of a verification.
type Report struct {
	Facts    int64     `json:"facts"`
	Erased   int64     `json:"erased"`
	Root     []byte    `json:"root"`
	Problems []Problem `json:"problems"`
}

// OK tells whether nothing was found.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// maxProblems bounds a report: a shifted ledger is wrong in every line.
const maxProblems = 20

func (r *Report) add(kind string, seq, to int64, format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{Kind: kind, Seq: seq, To: to, Text: fmt.Sprintf(format, args...)})
	}
}

// VerifyOptions say against what to verify besides the ledger itself.
type VerifyOptions struct {
	// Checkpoints are signed notes kept outside; each is checked with PublicKey,
	// else with the ledger's own key.
	Checkpoints []string
	PublicKey   string
}

// Verify recomputes every digest, leaf and block of the ledger, compares the root
// with the head and with the checkpoints given, and names what does not fit: a
// fact that was changed, removed or inserted; where the tree was recomputed as
// well, the stretch between the last checkpoint that fits and the first that does
// not.
func (l *Ledger) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	if o.PublicKey == "" && len(o.Checkpoints) > 0 {
		key, err := l.PublicKey(ctx)
		if err != nil {
			return Report{}, err
		}
		o.PublicKey = key
	}
	var rep Report
	// One view of the database: facts that are written meanwhile are not part of it.
	err := l.d.Snapshot(ctx, func(ctx context.Context) (err error) {
		rep, err = l.verify(ctx, o)
		return err
	})
	return rep, err
}

func (l *Ledger) verify(ctx context.Context, o VerifyOptions) (Report, error) {
	var rep Report
	type mark struct {
		size int64
		root []byte
	}
	var marks []mark
	for i, text := range o.Checkpoints {
		size, root, err := OpenCheckpoint(text, o.PublicKey)
		if err != nil {
			rep.add("checkpoint", 0, 0, "checkpoint %d: %v", i+1, err)
			continue
		}
		marks = append(marks, mark{size, root})
	}
	sort.Slice(marks, func(i, j int) bool { return marks[i].size < marks[j].size })

	blocks, err := l.nodes(ctx)
	if err != nil {
		return rep, err
	}
	var headSize int64
	var headRange, headRoot []byte
	if err := l.d.Read(ctx).QueryRowContext(ctx, `SELECT size, compact, root FROM ledger_head WHERE one = 1`).Scan(&headSize, &headRange, &headRoot); err != nil {
		return rep, db.MapError(err)
	}

	tree := factory.NewEmptyRange(0)
	missing := map[int64]bool{}
	buried := map[int64]bool{}
	var good int64
	bad := int64(-1)
	var lastGood int64
	next := 0
	visit := func(id compact.NodeID, hash []byte) {
		if !keepsNode(id) {
			return
		}
		stored, ok := blocks[id]
		delete(blocks, id)
		first, last := stretch(id)
		switch {
		case !ok:
			rep.add("block", first, last, "the stored hash of facts %d to %d is missing", first, last)
		case equal(stored, hash):
		case id.Level == 8:
			rep.add("block", first, last, "facts %d to %d do not have the hash stored for them: one of them was rewritten with its leaf", first, last)
		default:
			rep.add("block", first, last, "the blocks of facts %d to %d do not have the hash stored for them at level %d", first, last, id.Level)
		}
	}
	check := func(c *checked) error {
		if c.seq > headSize {
			rep.add("inserted", c.seq, 0, "fact %d was inserted: the ledger ends at %d", c.seq, headSize)
			return nil
		}
		for want := good + 1; want < c.seq && len(rep.Problems) < maxProblems; want++ {
			rep.add("removed", want, 0, "fact %d was removed", want)
		}
		good = c.seq
		rep.Facts++
		if c.problem != "" {
			rep.add("changed", c.seq, 0, "fact %d was changed: %s", c.seq, c.problem)
		}
		if c.noBody {
			missing[c.seq] = true
		}
		if c.buries > 0 {
			buried[c.buries] = true
		}
		if uint64(c.seq) != tree.End()+1 {
			return nil
		}
		if err := tree.Append(c.leaf, visit); err != nil {
			return err
		}
		for next < len(marks) && marks[next].size == c.seq {
			root, err := tree.GetRootHash(nil)
			if err != nil {
				return err
			}
			if equal(root, marks[next].root) {
				if bad < 0 {
					lastGood = marks[next].size
				}
			} else if bad < 0 {
				bad = marks[next].size
			}
			next++
		}
		return nil
	}
	if err := l.scan(ctx, check); err != nil {
		return rep, err
	}
	for want := good + 1; want <= headSize && len(rep.Problems) < maxProblems; want++ {
		rep.add("removed", want, 0, "fact %d was removed", want)
	}
	if tree.End() == uint64(headSize) {
		root := emptyRoot
		if headSize > 0 {
			if root, err = tree.GetRootHash(nil); err != nil {
				return rep, kit.Internal(err)
			}
		}
		rep.Root = root
		if !equal(root, headRoot) && len(rep.Problems) == 0 {
			rep.add("head", headSize, 0, "the facts do not have the root that the head states: a fact after %d was rewritten with its leaf, or the head was changed", int64(tree.End())/256*256)
		}
	}
	if tree.End() == uint64(headSize) {
		for id := range blocks {
			first, last := stretch(id)
			rep.add("block", first, last, "a hash is stored at level %d for facts %d to %d, which are no block of this ledger", id.Level, first, last)
		}
	}
	if packed := bytes.Join(tree.Hashes(), nil); tree.End() == uint64(headSize) && !equal(packed, headRange) && len(rep.Problems) == 0 {
		rep.add("head", headSize, 0, "the head does not carry the range of the tree")
	}
	for seq := range missing {
		rep.Erased++
		if !buried[seq] {
			rep.add("body_removed", seq, 0, "the body of fact %d was removed without a record of its erasure", seq)
		}
	}
	if bad >= 0 {
		rep.add("rewritten", lastGood+1, bad, "a fact between %d and %d was rewritten: the checkpoint at %d fits, the one at %d does not", lastGood+1, bad, lastGood, bad)
	}
	for ; next < len(marks); next++ {
		if marks[next].size > headSize {
			rep.add("removed", headSize+1, marks[next].size, "facts %d to %d were removed: a checkpoint states %d facts", headSize+1, marks[next].size, marks[next].size)
		}
	}
	slices.SortStableFunc(rep.Problems, func(a, b Problem) int { return int(a.Seq - b.Seq) })
	return rep, nil
}

// emptyRoot is the root of the empty tree: SHA-256 of nothing.
var emptyRoot = []byte{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}

// checked is a fact after its own digest and leaf were recomputed.
type checked struct {
	seq     int64
	leaf    []byte
	problem string
	noBody  bool
	buries  int64
}

func checkRow(r *row) checked {
	c := checked{seq: r.Seq}
	if len(r.ID) != 16 {
		c.problem, c.leaf = "its id is not 16 bytes long", r.Leaf
		return c
	}
	if r.Body.Valid {
		if sum := digest(r.Salt, r.Body.String); !equal(sum[:], r.Digest) {
			c.problem = "its body does not have its digest"
		}
	} else {
		c.noBody = true
	}
	c.leaf = leafHash(envelope{
		id: [16]byte(r.ID), happenedAt: r.HappenedAt, recordedAt: r.RecordedAt,
		actor: r.Actor, typ: r.Type, subject: r.Subject, incident: r.Incident.String,
	}, r.Digest)
	if c.problem == "" && !equal(c.leaf, r.Leaf) {
		c.problem = "its columns do not have its leaf"
	}
	if r.Type == (BodyErased{}).FactType() {
		if id, ok := strings.CutPrefix(r.Subject, "fact:"); ok {
			if n, err := strconv.ParseInt(id, 10, 64); err == nil && n < r.Seq {
				c.buries = n
			}
		}
	}
	return c
}

// scan reads every fact in order and hands it, recomputed, to check. Reading and
// hashing run side by side.
func (l *Ledger) scan(ctx context.Context, check func(*checked) error) error {
	rows, err := l.d.Read(ctx).QueryContext(ctx, `SELECT f.seq, f.id, f.happened_at, f.recorded_at, f.actor, f.type, f.subject, f.incident, f.digest, f.leaf, b.salt, b.body
		FROM fact AS f LEFT JOIN fact_body AS b ON b.seq = f.seq ORDER BY f.seq`)
	if err != nil {
		return db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan []checked, 4)
	failed := make(chan error, 1)
	go func() {
		defer close(batches)
		part := make([]checked, 0, batch)
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.Seq, &r.ID, &r.HappenedAt, &r.RecordedAt, &r.Actor, &r.Type, &r.Subject, &r.Incident, &r.Digest, &r.Leaf, &r.Salt, &r.Body); err != nil {
				failed <- err
				return
			}
			part = append(part, checkRow(&r))
			if len(part) == batch {
				select {
				case batches <- part:
				case <-ctx.Done():
					return
				}
				part = make([]checked, 0, batch)
			}
		}
		if err := rows.Err(); err != nil {
			failed <- err
			return
		}
		select {
		case batches <- part:
		case <-ctx.Done():
		}
	}()
	for part := range batches {
		for i := range part {
			if err := check(&part[i]); err != nil {
				return kit.Internal(err)
			}
		}
	}
	select {
	case err := <-failed:
		return db.MapError(err)
	default:
		return ctx.Err()
	}
}

// nodes gives every stored hash of the tree.
func (l *Ledger) nodes(ctx context.Context) (map[compact.NodeID][]byte, error) {
	var rows []struct {
		Level int64  `bun:"level"`
		Idx   int64  `bun:"idx"`
		Hash  []byte `bun:"hash"`
	}
	err := l.d.Read(ctx).NewSelect().TableExpr("ledger_node").ColumnExpr("level, idx, hash").Scan(ctx, &rows)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, db.MapError(err)
	}
	out := make(map[compact.NodeID][]byte, len(rows))
	for i := range rows {
		out[compact.NewNodeID(uint(rows[i].Level), uint64(rows[i].Idx))] = rows[i].Hash
	}
	return out, nil
}

// keepsNode tells whether the hash of a complete subtree is stored: one row for
// every 256 facts, for every 256 of those, and once more.
func keepsNode(id compact.NodeID) bool { return id.Level > 0 && id.Level <= 24 && id.Level%8 == 0 }

// stretch is the first and the last fact under a node.
func stretch(id compact.NodeID) (first, last int64) {
	return int64(id.Index<<id.Level) + 1, int64((id.Index + 1) << id.Level)
}

// BodyErased is the tombstone of a fact's body.
type BodyErased struct {
	Seq      int64  `json:"seq"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	Approver string `json:"approver"`
}

// FactType implements Body.
func (BodyErased) FactType() string { return "body.erased" }

// Erase removes the body and the salt of a fact and leaves a tombstone; the tree
// still verifies. On SQLite the text leaves the file at once (secure_delete, and
// the write-ahead log is truncated); on PostgreSQL it lives until the next
// vacuum, and on both in backups made before.
func (l *Ledger) Erase(ctx context.Context, seq int64, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return kit.InvalidField("reason", "error.required")
	}
	f, err := l.Fact(ctx, seq)
	if err != nil {
		return err
	}
	if f.Erased {
		return kit.Conflict("erased", "ledger.error.erased", "seq", seq)
	}
	if f.Type == (BodyErased{}).FactType() {
		return kit.Conflict("tombstone", "ledger.error.tombstone", "seq", seq)
	}
	err = l.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM fact_body WHERE seq = $1`, seq)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return kit.Conflict("erased", "ledger.error.erased", "seq", seq)
		}
		tx.AfterCommit(l.tail.drop)
		return Append(ctx, tx, Entry{
			Subject: Subject{Kind: "fact", ID: strconv.FormatInt(seq, 10)}, Incident: f.Incident,
			Body: BodyErased{Seq: seq, Type: f.Type, Reason: reason, Approver: kit.ActorFrom(ctx).ID},
		})
	})
	if err != nil {
		return err
	}
	return l.d.Checkpoint(ctx)
}
