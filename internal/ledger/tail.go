package ledger

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// tailSize is how many facts the tail keeps.
const tailSize = 1024

// tail keeps the newest facts that the consumers of this process read, in ledger
// order without gaps: all of them want the same ones at the same moment, and so each
// is read from the database once.
type tail struct {
	mu    sync.Mutex
	facts []Fact
	// read is how often the ledger had grown, as far as is known, when its end was read.
	read int64
	// grown counts what may have made the ledger longer: commits here, notices of
	// commits elsewhere, and the sweep that stands behind both.
	grown atomic.Int64
}

// next gives the facts after a number, at most n, in ledger order. They are shared:
// nobody may change them.
func (l *Ledger) next(ctx context.Context, after int64, n int) ([]Fact, error) {
	t := &l.tail
	t.mu.Lock()
	first, last := int64(0), int64(0)
	if len(t.facts) > 0 {
		first, last = t.facts[0].Seq, t.facts[len(t.facts)-1].Seq
	}
	if after < last {
		if after < first-1 {
			// Far behind: reading on alone does not push out what the others want.
			t.mu.Unlock()
			return l.Facts(ctx, Filter{After: after, Limit: n})
		}
		defer t.mu.Unlock()
		from := int(after - first + 1)
		return slices.Clone(t.facts[from:min(len(t.facts), from+n)]), nil
	}
	defer t.mu.Unlock()
	grown := t.grown.Load()
	if after == last && t.read == grown {
		return nil, nil
	}
	fresh, err := l.Facts(ctx, Filter{After: after, Limit: n})
	if err != nil {
		return nil, err
	}
	if len(fresh) < n {
		t.read = grown
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	if after > last {
		t.facts = nil
	}
	t.facts = append(t.facts, fresh...)
	if over := len(t.facts) - tailSize; over > 0 {
		t.facts = slices.Clone(t.facts[over:])
	}
	return slices.Clone(fresh), nil
}

// drop forgets what the tail holds: a body in it was erased.
func (t *tail) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.facts = nil
}
