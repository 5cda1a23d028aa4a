package alert

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const (
	queueSize = 4096
	batchSize = 256
	// linger is how long the writer waits for requests that are being read; where
	// commits are slow, a quarter of one, within maxLinger.
	linger    = 300 * time.Microsecond
	maxLinger = time.Millisecond
	// maxWrites is how often a batch is tried that meets alerts which others open.
	maxWrites = 16
)

type request struct {
	signals []Signal
	out     []Outcome
	err     error
	done    chan struct{}
}

func busy(err error) error {
	return &kit.Error{Code: kit.CodeBusy, Key: "alert.error.busy", Reason: "queue_full", RetryAfter: 1, Err: err}
}

// Ingest folds signals into alerts and returns once that is durable; the
// outcomes stand in the order of the signals. On any error nothing of it is
// kept: the sender must send again. Inside a transaction it becomes part of it.
func (s *Service) Ingest(ctx context.Context, signals []Signal) ([]Outcome, error) {
	if len(signals) == 0 {
		return nil, nil
	}
	if len(signals) > MaxSignals {
		return nil, kit.Errorf(kit.CodeTooLarge, "alert.error.too_many_signals", "max", MaxSignals)
	}
	for i := range signals {
		if err := check(&signals[i]); err != nil {
			return nil, err
		}
		s.foresee(&signals[i])
	}
	if s.db.InTx(ctx) {
		r := &request{signals: signals}
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return s.fold(ctx, tx, []*request{r})
		})
		return r.out, err
	}
	r := &request{signals: signals, done: make(chan struct{})}
	s.life.RLock()
	if !s.running {
		s.life.RUnlock()
		return nil, busy(errors.New("the writer does not run"))
	}
	select {
	case s.queue <- r:
		s.life.RUnlock()
	default:
		s.life.RUnlock()
		s.refused.Add(1)
		return nil, busy(errors.New("queue full"))
	}
	// The answer is awaited even when the sender has gone: the writer owns the
	// request until then, and it is bounded.
	<-r.done
	return r.out, r.err
}

// check brings a signal into its limits and refuses what cannot be one.
func check(sig *Signal) error {
	sig.DedupKey, sig.Title = clean(sig.DedupKey), cut(clean(sig.Title), MaxTitle)
	sig.Service, sig.Link = clean(sig.Service), cut(clean(sig.Link), 2048)
	var f kit.Fields
	if sig.Source == "" {
		f.Add("source", "error.required")
	}
	if sig.DedupKey == "" {
		f.Add("dedup_key", "error.required")
	}
	if utf8.RuneCountInString(sig.DedupKey) > MaxDedupKey {
		f.Add("dedup_key", "error.too_long", "max", MaxDedupKey)
	}
	switch sig.Action {
	case Trigger:
		if sig.Title == "" {
			sig.Title = sig.DedupKey
		}
		if !sig.Severity.Valid() {
			sig.Severity = Error
		}
	case Update:
		if sig.Severity != "" && !sig.Severity.Valid() {
			f.Add("severity", "alert.error.severity")
		}
	case Resolve, Acknowledge:
	default:
		f.Add("action", "error.invalid")
	}
	if len(sig.Labels) > MaxLabels {
		f.Add("labels", "alert.error.too_many_labels", "max", MaxLabels)
	}
	sig.Labels, sig.Annotations = cleanMap(sig.Labels), cleanMap(sig.Annotations)
	// Encoded here, by the many callers, and not by the one writer.
	sig.labels, sig.annotations = jsonMap(sig.Labels), jsonMap(sig.Annotations)
	return f.Err()
}

// foresee makes ready what opening an alert takes, unless the key was seen lately and
// is likely to be open already.
func (s *Service) foresee(sig *Signal) {
	if sig.Action != Trigger || s.seen.has(sig) {
		return
	}
	d := s.routes.Load().decide(sig, s.cache.of(sig.Source).Kind, s.log)
	l := live{Alert: Alert{Source: sig.Source, Service: sig.Service, DedupKey: sig.DedupKey, Title: sig.Title, Severity: sig.Severity, Labels: sig.Labels, Link: sig.Link}}
	if body, err := ledger.Encode(l.opened(d)); err == nil {
		sig.decision, sig.opened = &d, body
	}
}

// seen remembers keys that were told lately, as well as a fixed table can: a wrong
// answer costs a little time and nothing else.
type seen struct {
	seed  maphash.Seed
	slots [4096]atomic.Uint64
}

func (k *seen) slot(sig *Signal) (*atomic.Uint64, uint64) {
	h := maphash.Comparable(k.seed, key{sig.Source, sig.DedupKey})
	return &k.slots[h%uint64(len(k.slots))], h
}

// has tells whether the key was told lately, and remembers it.
func (k *seen) has(sig *Signal) bool {
	slot, h := k.slot(sig)
	return slot.Swap(h) == h
}

// clean removes what one of the databases cannot keep as text.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

func cleanMap(m map[string]string) map[string]string {
	dirty := false
	for k, v := range m {
		if clean(k) != k || clean(v) != v {
			dirty = true
			break
		}
	}
	if !dirty {
		return m
	}
	n := make(map[string]string, len(m))
	for k, v := range m {
		n[clean(k)] = clean(v)
	}
	return n
}

func cut(s string, runes int) string {
	if len(s) <= runes {
		return s
	}
	r := []rune(s)
	if len(r) <= runes {
		return s
	}
	return string(r[:runes])
}

// writers is how many batches are written at once. On PostgreSQL two: while one waits
// for the lock of the ledger and its commit, the other reads and writes its alerts.
func (s *Service) writers() int {
	if s.db.Dialect() == db.PostgreSQL {
		return 2
	}
	return 1
}

func (s *Service) writer(stop chan struct{}) {
	defer s.done.Done()
	ctx := kit.WithActor(context.Background(), kit.System(kit.ViaIngest))
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	batch := make([]*request, 0, batchSize)
	wait, answered := linger, 0
	for {
		batch = batch[:0]
		// Senders that were just answered are likely to come again at once.
		expected := answered + len(s.queue)
		select {
		case r := <-s.queue:
			batch = append(batch, r)
		case <-stop:
			for {
				select {
				case r := <-s.queue:
					s.commit(ctx, []*request{r})
				default:
					return
				}
			}
		}
		batch = s.drain(batch, timer, expected, wait)
		start := time.Now()
		s.commit(ctx, batch)
		wait = min(max(time.Since(start)/4, linger), maxLinger)
		answered = len(batch)
	}
}

// drain takes what has queued and waits a moment for requests that are being read
// or expected; a lone sender never waits. Half of them is enough, so that one half is
// read and answered while the other is written.
func (s *Service) drain(batch []*request, timer *time.Timer, expected int, wait time.Duration) []*request {
	n := len(batch[0].signals)
	waiting := false
	for n < batchSize {
		select {
		case r := <-s.queue:
			batch = append(batch, r)
			n += len(r.signals)
			continue
		default:
		}
		if 2*len(batch) >= max(expected, int(s.inFlight.Load())) {
			break
		}
		if !waiting {
			waiting = true
			timer.Reset(wait)
		}
		select {
		case r := <-s.queue:
			batch = append(batch, r)
			n += len(r.signals)
			continue
		case <-timer.C:
			return batch
		}
	}
	if waiting {
		timer.Stop()
	}
	return batch
}

// commit writes a batch in one transaction and answers it. When it fails for a
// cause in its contents, each request is tried alone, so that one cannot take
// the others with it.
func (s *Service) commit(ctx context.Context, batch []*request) {
	kit.CrashPoint("signal.taken")
	err := s.write(ctx, batch)
	kit.CrashPoint("signal.kept")
	code := kit.CodeOf(err)
	if err != nil && code != kit.CodeBusy && len(batch) > 1 {
		for _, r := range batch {
			r.err = s.write(ctx, []*request{r})
			s.answer(r)
		}
		return
	}
	for _, r := range batch {
		r.err = err
		s.answer(r)
	}
}

func (s *Service) answer(r *request) {
	if r.err != nil {
		r.out = nil
		s.refused.Add(1)
		s.log.Warn("signals not kept", "error", r.err)
	} else {
		s.taken.Add(1)
	}
	close(r.done)
}

func (s *Service) write(ctx context.Context, batch []*request) error {
	return s.retried(ctx, func(ctx context.Context, tx *db.Tx) error { return s.fold(ctx, tx, batch) })
}

// retried tries again when another writer, or node, opened an alert of the same key
// meanwhile. Each try finds what the other committed, and may meet another key; the
// pause lets the two step out of each other's time.
func (s *Service) retried(ctx context.Context, fn func(ctx context.Context, tx *db.Tx) error) (err error) {
	for n := range maxWrites {
		if n > 1 {
			time.Sleep(rand.N(time.Duration(n) * time.Millisecond))
		}
		if err = s.db.Write(ctx, fn); !db.IsUnique(err) {
			return err
		}
	}
	return busy(err)
}

type key struct{ source, dedup string }

// fold applies the signals of a batch in their order and writes each touched
// alert once.
func (s *Service) fold(ctx context.Context, tx *db.Tx, batch []*request) error {
	keys := make([]key, 0, len(batch))
	cur := make(map[key]*live, len(batch))
	for _, r := range batch {
		for i := range r.signals {
			k := key{r.signals[i].Source, r.signals[i].DedupKey}
			if _, ok := cur[k]; !ok {
				cur[k] = nil
				keys = append(keys, k)
			}
		}
	}
	// Nodes that lock the same rows must do so in the same order.
	slices.SortFunc(keys, func(a, b key) int {
		if c := strings.Compare(a.source, b.source); c != 0 {
			return c
		}
		return strings.Compare(a.dedup, b.dedup)
	})
	if err := load(ctx, tx, keys, cur); err != nil {
		return err
	}
	now := tx.Now()
	var touched []*live
	seen := make(map[*live]bool, len(keys))
	actors := map[string]*kit.Actor{}
	var entries []ledger.Entry
	routes := s.routes.Load()
	noise := s.quiet.begin(now)
	route := func(sig *Signal) Decision {
		if sig.decision != nil {
			return noise.hold(*sig.decision, sig)
		}
		return noise.hold(routes.decide(sig, s.cache.of(sig.Source).Kind, s.log), sig)
	}
	for _, r := range batch {
		r.out = make([]Outcome, len(r.signals))
		for _, i := range noise.order(r.signals) {
			sig := &r.signals[i]
			k := key{sig.Source, sig.DedupKey}
			was := cur[k]
			l, facts := decide(was, sig, now, route)
			if l == nil {
				r.out[i] = Outcome{Dropped: true}
				continue
			}
			noise.saw(l)
			if !seen[l] {
				seen[l] = true
				touched = append(touched, l)
			}
			r.out[i] = Outcome{Alert: l.ID, State: l.State, New: was == nil}
			if cur[k] = l; l.State == StateResolved {
				cur[k] = nil
			}
			for _, f := range facts {
				a := actors[sig.Source]
				if a == nil {
					a = sourceActor(sig.Source)
					actors[sig.Source] = a
				}
				entries = append(entries, ledger.Entry{Subject: ledger.Subject{Kind: "alert", ID: l.ID}, Incident: l.Incident, Actor: a, Body: f})
			}
		}
	}
	if err := save(ctx, tx, touched); err != nil {
		return err
	}
	if err := await(ctx, tx, touched); err != nil {
		return err
	}
	heard := make([]string, 0, len(actors)+1)
	for _, k := range keys {
		if len(heard) == 0 || heard[len(heard)-1] != k.source {
			heard = append(heard, k.source)
		}
	}
	tx.AfterCommit(func() { s.rings.heard(heard, now) })
	if err := noise.end(ctx, tx, touched); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, entries...)
}

func sourceActor(id string) *kit.Actor {
	if id == BuiltIn {
		a := kit.System(kit.ViaIngest)
		return &a
	}
	return &kit.Actor{Kind: kit.ActorSource, ID: id, Name: id, Via: kit.ViaIngest}
}

// timeouts is the body of a due row: the alerts that end at its instant.
type timeouts struct {
	Alerts []string `json:"alerts"`
}

// await puts one due row for each instant at which alerts end. The rows are never
// moved or cancelled: one that comes for an alert that was refreshed waits for
// its new end.
func await(ctx context.Context, tx *db.Tx, list []*live) error {
	var ends []time.Time
	var at map[time.Time][]string
	for _, l := range list {
		if !l.due {
			continue
		}
		if at == nil {
			at = map[time.Time][]string{}
		}
		if at[l.EndsAt] == nil {
			ends = append(ends, l.EndsAt)
		}
		at[l.EndsAt] = append(at[l.EndsAt], l.ID)
	}
	for _, e := range ends {
		if err := due.At(ctx, tx, KindTimeout, kit.NewID(), e, timeouts{at[e]}); err != nil {
			return err
		}
	}
	return nil
}

// runTimeout resolves the alerts whose end has come without a refresh.
func (s *Service) runTimeout(ctx context.Context, tx *db.Tx, row due.Row) error {
	var body timeouts
	if err := json.Unmarshal(row.Body, &body); err != nil {
		return kit.Internal(err)
	}
	a := kit.System(kit.ViaDue)
	var ended, later []*live
	for _, id := range body.Alerts {
		l, err := s.lock(ctx, tx, id)
		if kit.CodeOf(err) == kit.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		switch {
		case l.State == StateResolved || l.EndsAt.IsZero():
		case l.EndsAt.After(tx.Now()):
			l.due = true
			later = append(later, l)
		default:
			f := l.resolve("timeout", tx.Now())
			ended = append(ended, l)
			if err := ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "alert", ID: l.ID}, Incident: l.Incident, Actor: &a, Body: f}); err != nil {
				return err
			}
		}
	}
	if err := save(ctx, tx, ended); err != nil {
		return err
	}
	if err := s.quiet.begin(tx.Now()).end(ctx, tx, ended); err != nil {
		return err
	}
	return await(ctx, tx, later)
}
