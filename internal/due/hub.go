package due

import (
	"sync"
	"time"

	"tocsin/internal/db"
)

// hubs join the transactions that put rows to the workers of the same database in
// this process.
var hubs = struct {
	sync.Mutex
	workers map[*db.DB][]*Worker
}{workers: map[*db.DB][]*Worker{}}

func join(w *Worker) (leave func()) {
	hubs.Lock()
	defer hubs.Unlock()
	hubs.workers[w.d] = append(hubs.workers[w.d], w)
	return func() {
		hubs.Lock()
		defer hubs.Unlock()
		var rest []*Worker
		for _, o := range hubs.workers[w.d] {
			if o != w {
				rest = append(rest, o)
			}
		}
		if rest == nil {
			delete(hubs.workers, w.d)
			return
		}
		hubs.workers[w.d] = rest
	}
}

type wakeKey struct{}

// wakeAfter wakes the loop of the kind once the transaction is durable.
func wakeAfter(tx *db.Tx, kind string, at time.Time) {
	m, _ := tx.Value(wakeKey{}).(map[string]time.Time)
	if m == nil {
		m = map[string]time.Time{}
		tx.SetValue(wakeKey{}, m)
		d := tx.DB()
		tx.AfterCommit(func() {
			hubs.Lock()
			ws := hubs.workers[d]
			hubs.Unlock()
			for _, w := range ws {
				for k, at := range m {
					w.wakeKind(k, at)
				}
			}
		})
	}
	if old, ok := m[kind]; !ok || at.Before(old) {
		m[kind] = at
	}
}
