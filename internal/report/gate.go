package report

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tocsin/internal/kit"
)

// How many reports strangers may send: one sender, and all together.
const (
	senderBurst = 5
	senderEvery = time.Minute
	allBurst    = 200
	allEvery    = 500 * time.Millisecond
	maxSenders  = 50_000
)

// gate holds back floods of reports; each node counts for itself.
type gate struct {
	mu      sync.Mutex
	all     *rate.Limiter
	senders map[string]*rate.Limiter
}

func newGate() *gate {
	return &gate{all: rate.NewLimiter(rate.Every(allEvery), allBurst), senders: map[string]*rate.Limiter{}}
}

// pass is nil when a sender may send now, else busy with the time to wait.
func (g *gate) pass(sender string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.senders[sender]
	if l == nil {
		if len(g.senders) >= maxSenders {
			for k, l := range g.senders {
				if l.TokensAt(now) >= senderBurst {
					delete(g.senders, k)
				}
			}
		}
		l = rate.NewLimiter(rate.Every(senderEvery), senderBurst)
		if len(g.senders) < maxSenders {
			g.senders[sender] = l
		}
	}
	if !l.AllowN(now, 1) {
		return &kit.Error{Code: kit.CodeBusy, Key: "report.error.too_many", Reason: "sender", RetryAfter: int(senderEvery / time.Second)}
	}
	if !g.all.AllowN(now, 1) {
		return &kit.Error{Code: kit.CodeBusy, Key: "report.error.too_many", Reason: "all", RetryAfter: 10}
	}
	return nil
}
