package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"tocsin/internal/cli/client"
	"tocsin/internal/kit"
)

// remembered is how long after a first try the server surely knows its
// Idempotency-Key: it keeps one for 24 hours.
const remembered = 23 * time.Hour

// entry is something that could not be sent yet: one line of the queue.
type entry struct {
	Key    string          `json:"key"`
	Verb   string          `json:"verb"`
	Server string          `json:"server"`
	Ref    string          `json:"ref,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	At     time.Time       `json:"happened_at"`
	// TriedAt is when it was first sent without an answer; By says with which token,
	// as keys are those of a token.
	TriedAt time.Time `json:"tried_at,omitzero"`
	By      string    `json:"by,omitempty"`
}

func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

func queuePath() string { return filepath.Join(stateDir(), "queue.jsonl") }

// locked runs fn while no other process has the named lock; wait is false to give
// up at once.
func locked(name string, wait bool, fn func() error) error {
	if err := os.MkdirAll(stateDir(), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(stateDir(), name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return kit.Conflict("syncing", "cli.error.syncing")
		}
		return err
	}
	return fn()
}

func readQueue() ([]entry, error) {
	raw, err := os.ReadFile(queuePath())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []entry
	for n, line := range bytes.Split(raw, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, kit.Invalid("cli.error.config", "path", queuePath(), "problem", fmt.Sprintf("line %d: %v", n+1, err))
		}
		out = append(out, e)
	}
	return out, nil
}

// changeQueue rewrites the queue, whole or not at all.
func changeQueue(fn func([]entry) []entry) error {
	return locked("queue.lock", true, func() error {
		l, err := readQueue()
		if err != nil {
			return err
		}
		var b bytes.Buffer
		for _, e := range fn(l) {
			line, err := json.Marshal(e)
			if err != nil {
				return err
			}
			b.Write(append(line, '\n'))
		}
		return writeFile(queuePath(), b.Bytes())
	})
}

// keep puts an entry into the queue after a call that got no answer, tells whom to
// call by phone, and gives the error back.
func (r *run) keep(cause error, e entry) error {
	if !client.IsUnreachable(cause) {
		return cause
	}
	e.Server = r.api.Base
	if !client.NeverSent(cause) {
		e.TriedAt, e.By = time.Now().UTC(), fingerprint(r.api.Token)
	}
	if err := changeQueue(func(l []entry) []entry { return append(l, e) }); err != nil {
		r.say("cli.queue.lost", "problem", err.Error())
	} else {
		r.say("cli.queue.kept")
	}
	r.showSheet()
	return cause
}

type syncCmd struct {
	Drop []string `help:"Forget an entry that cannot be sent, by its key." placeholder:"KEY"`
}

type sent struct {
	Key    string `json:"key"`
	Verb   string `json:"verb"`
	Ref    string `json:"ref"`
	Result string `json:"result"`
	Text   string `json:"text,omitempty"`
}

// sync sends what was kept, the oldest first. What fails stays.
func (r *run) sync(ctx context.Context) error {
	return locked("sync.lock", false, func() error { return r.syncLocked(ctx) })
}

func (r *run) syncLocked(ctx context.Context) error {
	if drop := r.g.Sync.Drop; len(drop) > 0 && !r.g.DryRun {
		if err := changeQueue(func(l []entry) []entry {
			return slices.DeleteFunc(l, func(e entry) bool { return slices.Contains(drop, e.Key) })
		}); err != nil {
			return err
		}
	}
	l, err := readQueue()
	if err != nil {
		return err
	}
	out := []sent{}
	failed := 0
	var gone error
	for _, e := range l {
		if e.Server != r.api.Base {
			continue
		}
		s := sent{Key: e.Key, Verb: e.Verb, Ref: e.Ref, Result: "sent"}
		switch {
		case r.g.DryRun:
			s.Result = "waiting"
		case gone != nil:
			s.Result, s.Text = "failed", r.message(gone)
		default:
			ref, err := r.send(ctx, e)
			if ref != "" {
				s.Ref = ref
			}
			if client.IsUnreachable(err) || errors.Is(err, context.Canceled) {
				gone = err
			}
			if err != nil {
				s.Result, s.Text = "failed", r.message(err)
			}
		}
		if s.Result == "failed" {
			failed++
		}
		out = append(out, s)
	}
	if r.g.JSON {
		err = r.asJSON(map[string]any{"items": out, "total": len(out)})
	} else {
		for _, s := range out {
			if r.g.Plain {
				r.row(s.Key, s.Verb, s.Ref, s.Result, s.Text)
				continue
			}
			r.tell("cli.sync."+s.Result, "verb", s.Verb, "ref", s.Ref, "key", s.Key, "text", s.Text)
		}
		if len(out) == 0 && !r.g.Plain {
			r.tell("cli.sync.none")
		}
	}
	switch {
	case err != nil:
		return err
	case failed > 0 && failed == len(out) && gone != nil:
		return gone
	case failed > 0:
		return errPartly
	}
	return nil
}

// send sends one entry under its own key and takes it off the queue. A crash in
// between sends it again, and the server knows the key.
func (r *run) send(ctx context.Context, e entry) (string, error) {
	by := fingerprint(r.api.Token)
	if !e.TriedAt.IsZero() && (e.By != by || time.Since(e.TriedAt) > remembered) {
		return "", kit.Conflict("doubtful", "cli.error.doubtful", "key", e.Key)
	}
	first := e.TriedAt.IsZero()
	if first {
		e.TriedAt, e.By = time.Now().UTC(), by
		if err := mark(e); err != nil {
			return "", err
		}
	}
	ref := e.Ref
	var err error
	switch e.Verb {
	case "declare":
		var i client.Incident
		_, err = r.api.Post(ctx, "/incidents", e.Body, e.Key, &i)
		ref = i.Ref
	case "note":
		_, err = r.api.Post(ctx, "/incidents/"+esc(e.Ref)+"/notes", e.Body, e.Key, nil)
	case "ack":
		var a answered
		if a, err = r.answerPage(ctx, e.Ref, true, e.Key); err == nil {
			ref = a.Ref
		}
	default:
		err = kit.InvalidField("verb", "error.bad_value", "value", e.Verb)
	}
	if err != nil {
		if first && client.NeverSent(err) {
			e.TriedAt, e.By = time.Time{}, ""
			return ref, errors.Join(err, mark(e))
		}
		return ref, err
	}
	return ref, changeQueue(func(l []entry) []entry {
		return slices.DeleteFunc(l, func(x entry) bool { return x.Key == e.Key })
	})
}

// mark writes an entry anew in its place.
func mark(e entry) error {
	return changeQueue(func(l []entry) []entry {
		for n := range l {
			if l[n].Key == e.Key {
				l[n] = e
			}
		}
		return l
	})
}
