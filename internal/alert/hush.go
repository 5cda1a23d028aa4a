package alert

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/alert/quiet"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// KindQuiet is the due kind by which what holds alerts back begins and ends.
const KindQuiet = "alert-quiet"

// hush is what the hot path knows of all that holds alerts back. Another node's
// silence is known after at most three seconds; flaps and storms are counted by
// each node for itself.
type hush struct {
	set atomic.Pointer[quietSet]

	mu sync.Mutex
	// causes holds the open alerts that tell of the failure of a needed service.
	causes map[string]map[string]bool
	// turn counts the changes of causes, so that a reading that overlapped with one
	// is not kept.
	turn   int64
	flaps  quiet.Flaps
	storms quiet.Storms
}

type quietSet struct {
	quiet.Set
	needed map[string]bool
}

// isCause tells whether an alert says that its service has failed, and somebody was
// told: what nobody was told of must not keep others quiet.
func (a *Alert) isCause() bool {
	return (a.State == StateOpen || a.State == StateAcknowledged) && a.Then == ThenIncident && (a.Severity == Critical || a.Severity == Error)
}

// noise is hush for one transaction.
type noise struct {
	h   *hush
	set *quietSet
	now time.Time
	// opened holds the causes of this transaction.
	opened map[string]string
	ended  []string
}

func (h *hush) begin(now time.Time) *noise { return &noise{h: h, set: h.set.Load(), now: now} }

// order is in what order the signals of a request are taken: a cause before what
// suffers of it. Signals of one service stay in theirs.
func (n *noise) order(signals []Signal) []int {
	out := make([]int, len(signals))
	for i := range out {
		out[i] = i
	}
	if len(signals) > 1 && n.set != nil && len(n.set.Needs) > 0 {
		first := make(map[string]int, len(signals))
		for i := range signals {
			if _, ok := first[signals[i].DedupKey]; !ok {
				first[signals[i].DedupKey] = n.set.Needs.Depth(signals[i].Service)
			}
		}
		slices.SortStableFunc(out, func(a, b int) int { return first[signals[a].DedupKey] - first[signals[b].DedupKey] })
	}
	return out
}

func (n *noise) down(service string) string {
	if id := n.opened[service]; id != "" {
		return id
	}
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	first := ""
	for id := range n.h.causes[service] {
		if first == "" || id < first {
			first = id
		}
	}
	return first
}

// hold says whether an alert that is about to open is held back, and by what.
func (n *noise) hold(d Decision, sig *Signal) Decision {
	if d.Then == ThenSuppress {
		return d
	}
	down := n.down
	if d.Then != ThenIncident {
		down = nil
	}
	if n.set != nil {
		if r, ok := n.set.Of(sig.subject(), n.now, down); ok {
			d.held, d.revised = r, true
			return d
		}
	}
	if d.Then != ThenIncident {
		return d
	}
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	if n.h.flaps.Flapping(flapKey(sig.Source, sig.DedupKey), n.now) {
		d.held, d.revised = quiet.Reason{Kind: quiet.Flapping}, true
		return d
	}
	if g := n.h.storms.Group(d.Route, d.GroupKey, n.now); g != d.GroupKey {
		d.GroupKey, d.revised = g, true
	}
	return d
}

func flapKey(source, key string) string { return source + "\x00" + key }

func (sig *Signal) subject() *quiet.Subject {
	return &quiet.Subject{Source: sig.Source, Service: sig.Service, Title: sig.Title, Severity: string(sig.Severity), Labels: sig.Labels}
}

// saw takes note of an alert as one signal left it.
func (n *noise) saw(l *live) {
	if l.State == StateResolved {
		n.ended = append(n.ended, flapKey(l.Source, l.DedupKey))
	}
	if n.set != nil && n.set.needed[l.Service] && l.isCause() {
		if n.opened == nil {
			n.opened = map[string]string{}
		}
		if n.opened[l.Service] == "" {
			n.opened[l.Service] = l.ID
		}
	}
}

// end makes known what the touched alerts came to, and has what they held back
// looked at again.
func (n *noise) end(ctx context.Context, tx *db.Tx, touched []*live) error {
	var causes []*live
	again := false
	for _, l := range touched {
		if n.set != nil && n.set.needed[l.Service] {
			causes = append(causes, l)
			again = again || !l.isCause()
		}
		if l.fresh && l.Held().Kind == quiet.Flapping {
			if err := due.At(ctx, tx, KindQuiet, "flapping:"+l.ID, n.now.Add(quiet.FlapWindow), quietDue{}); err != nil {
				return err
			}
		}
	}
	if again {
		// All that ends within a second is looked at once.
		at := n.now.Truncate(time.Second).Add(time.Second)
		if err := due.At(ctx, tx, KindQuiet, "sweep:"+at.Format(time.RFC3339), at, quietDue{}); err != nil {
			return err
		}
	}
	if len(causes) == 0 && len(n.ended) == 0 {
		return nil
	}
	tx.AfterCommit(func() {
		n.h.mu.Lock()
		defer n.h.mu.Unlock()
		for _, k := range n.ended {
			n.h.flaps.Ended(k, n.now)
		}
		for _, l := range causes {
			n.h.turn++
			if !l.isCause() {
				delete(n.h.causes[l.Service], l.ID)
				continue
			}
			if n.h.causes[l.Service] == nil {
				if n.h.causes == nil {
					n.h.causes = map[string]map[string]bool{}
				}
				n.h.causes[l.Service] = map[string]bool{}
			}
			n.h.causes[l.Service][l.ID] = true
		}
	})
	return nil
}

// readQuiet reads all that holds alerts back at or after an instant.
func (s *Service) readQuiet(ctx context.Context, now time.Time) (*quietSet, error) {
	set := &quietSet{}
	silences, err := s.silenceRows(ctx, now)
	if err != nil {
		return nil, err
	}
	for i := range silences {
		x, err := silences[i].silence()
		if err != nil {
			return nil, err
		}
		set.Silences = append(set.Silences, x.Silence)
	}
	windows, err := s.windowRows(ctx, now)
	if err != nil {
		return nil, err
	}
	for i := range windows {
		w := windows[i].window()
		set.Windows = append(set.Windows, w.Window)
	}
	if s.needs == nil {
		return set, nil
	}
	direct, err := s.needs(ctx)
	if err != nil {
		return nil, err
	}
	set.Needs = quiet.Close(direct)
	set.needed = set.Needs.Needed()
	return set, nil
}

// readCauses gives the open alerts that tell of the failure of needed services.
func (s *Service) readCauses(ctx context.Context, set *quietSet) (map[string]map[string]bool, error) {
	out := map[string]map[string]bool{}
	if len(set.needed) == 0 {
		return out, nil
	}
	var rows []struct {
		ID      string `bun:"id"`
		Service string `bun:"service"`
	}
	err := s.db.Read(ctx).NewSelect().Table("alert").Column("id", "service").
		Where("state IN (?)", bun.List([]State{StateOpen, StateAcknowledged})).Where("then_do = ?", ThenIncident).
		Where("severity IN (?)", bun.List([]Severity{Critical, Error})).Scan(ctx, &rows)
	for _, r := range rows {
		if !set.needed[r.Service] {
			continue
		}
		if out[r.Service] == nil {
			out[r.Service] = map[string]bool{}
		}
		out[r.Service][r.ID] = true
	}
	return out, db.MapError(err)
}

func (s *Service) reloadQuiet(ctx context.Context) error {
	s.quiet.mu.Lock()
	turn := s.quiet.turn
	s.quiet.mu.Unlock()
	set, err := s.readQuiet(ctx, s.db.Now())
	if err != nil {
		return err
	}
	causes, err := s.readCauses(ctx, set)
	if err != nil {
		return err
	}
	s.quiet.set.Store(set)
	s.quiet.mu.Lock()
	defer s.quiet.mu.Unlock()
	s.quiet.flaps.Forget(s.db.Now())
	if s.quiet.turn == turn {
		s.quiet.causes = causes
	}
	return nil
}

// quietDue is the body of a due row: what begins or ends, nothing for a mere look.
type quietDue struct {
	Silence     string `json:"silence,omitempty"`
	Maintenance string `json:"maintenance,omitempty"`
}

// runQuiet begins and ends what is due, and looks at the alerts anew.
func (s *Service) runQuiet(ctx context.Context, tx *db.Tx, row due.Row) error {
	var body quietDue
	if err := json.Unmarshal(row.Body, &body); err != nil {
		return kit.Internal(err)
	}
	if body.Silence != "" {
		if err := s.silenceDue(ctx, tx, body.Silence); err != nil {
			return err
		}
	}
	if body.Maintenance != "" {
		if err := s.windowDue(ctx, tx, body.Maintenance); err != nil {
			return err
		}
	}
	return s.sweep(ctx, tx)
}

// sweep holds back the open alerts that are meant by a silence or window, and
// releases those that nothing holds back any more.
func (s *Service) sweep(ctx context.Context, tx *db.Tx) error {
	now := tx.Now()
	set, err := s.readQuiet(ctx, now)
	if err != nil {
		return err
	}
	causes, err := s.readCauses(ctx, set)
	if err != nil {
		return err
	}
	down := func(service string) string {
		first := ""
		for id := range causes[service] {
			if first == "" || id < first {
				first = id
			}
		}
		return first
	}
	q := `SELECT ` + columns + ` FROM alert WHERE state IN ('open', 'acknowledged', 'suppressed') AND then_do <> 'suppress' ORDER BY source, dedup_key`
	if tx.DB().Dialect() == db.PostgreSQL {
		q += ` FOR UPDATE`
	}
	all := map[key]*live{}
	rows, err := tx.Query(ctx, q)
	if err := scanInto(rows, err, all); err != nil {
		return err
	}
	list := make([]*live, 0, len(all))
	for _, l := range all {
		list = append(list, l)
	}
	// A cause is released before what suffers of it, else by age.
	slices.SortFunc(list, func(a, b *live) int {
		if d := set.Needs.Depth(a.Service) - set.Needs.Depth(b.Service); d != 0 {
			return d
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	routes := s.routes.Load()
	system := kit.System(kit.ViaDue)
	var changed []*live
	var entries []ledger.Entry
	for _, l := range list {
		var facts []ledger.Body
		held := l.Held()
		if _, err := l.decoded(); err != nil {
			return kit.Internal(err)
		}
		sub := l.subject()
		if l.State != StateSuppressed {
			r, ok := set.Of(sub, now, nil)
			if !ok {
				continue
			}
			if l.isCause() {
				delete(causes[l.Service], l.ID)
			}
			facts = append(facts, l.hold(r))
		} else {
			by := down
			if held.Kind != quiet.Dependency {
				// What came before its cause was known is no symptom by hindsight.
				by = nil
			}
			r, ok := set.Of(sub, now, by)
			switch {
			case ok && r == held:
				continue
			case ok:
				facts = append(facts, l.hold(r))
			case held.Kind == quiet.Flapping && now.Before(l.FirstAt.Add(quiet.FlapWindow)):
				continue
			default:
				sig := &Signal{Source: l.Source, DedupKey: l.DedupKey, Title: l.Title, Severity: l.Severity, Service: l.Service, Labels: l.Labels, Annotations: l.Annotations, Link: l.Link}
				facts = l.release(routes.decide(sig, s.cache.of(l.Source).Kind, s.log))
				if l.isCause() && set.needed[l.Service] {
					if causes[l.Service] == nil {
						causes[l.Service] = map[string]bool{}
					}
					causes[l.Service][l.ID] = true
				}
			}
		}
		changed = append(changed, l)
		for _, f := range facts {
			entries = append(entries, ledger.Entry{Subject: ledger.Subject{Kind: "alert", ID: l.ID}, Incident: l.Incident, Actor: &system, Body: f})
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := save(ctx, tx, changed); err != nil {
		return err
	}
	if err := s.quiet.begin(now).end(ctx, tx, changed); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, entries...)
}

func (l *live) subject() *quiet.Subject {
	return &quiet.Subject{Source: l.Source, Service: l.Service, Title: l.Title, Severity: string(l.Severity), Labels: l.Labels}
}

// Dependents gives the services that cannot be without one, as far as this node knows.
func (s *Service) Dependents(service string) []string {
	set := s.quiet.set.Load()
	if set == nil || !set.needed[service] {
		return nil
	}
	return set.Needs.Dependents(service)
}

// NeedsChanged makes a committed change of what services need known to this node.
func (s *Service) NeedsChanged(tx *db.Tx) { s.refresh(tx) }
