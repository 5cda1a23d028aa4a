package alert

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tocsin/internal/alert/probe"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

// KindTimeout is the due kind that resolves an alert whose end has come.
const KindTimeout = "alert-timeout"

// Service is the module.
type Service struct {
	db     *db.DB
	rights Rights
	needs  Needs
	// asker and probeTitle are nil where no probe runs.
	asker      Asker
	probeTitle ProbeTitle
	log        *slog.Logger

	queue    chan *request
	inFlight atomic.Int64
	taken    atomic.Int64
	refused  atomic.Int64

	// since is when this process began to take signals, in microseconds.
	since   atomic.Int64
	life    sync.RWMutex
	running bool
	stop    chan struct{}
	done    sync.WaitGroup

	cache  sourceCache
	routes atomic.Pointer[routeSet]
	rings  rings
	quiet  hush
	seen   seen
}

// New makes the module.
func New(d *db.DB, rights Rights, options ...Option) *Service {
	s := &Service{db: d, rights: rights, log: d.Log(), queue: make(chan *request, queueSize)}
	s.cache.byKey = map[[32]byte]Source{}
	s.cache.asks = rate.NewLimiter(askRate, askBurst)
	s.rings.m = map[string]*ring{}
	s.seen.seed = maphash.MakeSeed()
	for _, o := range options {
		o(s)
	}
	return s
}

// Option changes the module.
type Option func(*Service)

// WithNeeds tells which services each service cannot be without. Where it is not
// given, no alert is taken for a symptom of another.
func WithNeeds(n Needs) Option { return func(s *Service) { s.needs = n } }

// Start loads sources and routes and starts the writer. It must be called before
// Ingest.
func (s *Service) Start(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.running {
		return nil
	}
	if err := s.reload(ctx); err != nil {
		return err
	}
	s.since.Store(kit.Micros(s.db.Now()))
	if err := s.watchAll(ctx); err != nil {
		return err
	}
	s.stop = make(chan struct{})
	s.running = true
	s.done.Add(s.writers() + 1)
	for range s.writers() {
		go s.writer(s.stop)
	}
	go s.keeper(s.stop)
	return nil
}

// Stop takes no further signals, writes those that wait, and returns when all are
// answered.
func (s *Service) Stop() {
	s.life.Lock()
	if !s.running {
		s.life.Unlock()
		return
	}
	s.running = false
	close(s.stop)
	s.life.Unlock()
	s.done.Wait()
}

// InFlight tells the writer that n more (or, negative, fewer) requests are being
// read, so that it knows for whom a short wait is worth it.
func (s *Service) InFlight(n int) { s.inFlight.Add(int64(n)) }

// Tasks gives the due kinds of the module.
func (s *Service) Tasks() []due.Task {
	return []due.Task{
		{Kind: KindTimeout, Lane: due.Normal, Run: s.runTimeout},
		{Kind: KindQuiet, Lane: due.Normal, Run: s.runQuiet},
		{Kind: KindSilent, Lane: due.Normal, Run: s.runSilent},
		{Kind: KindProbe, Lane: due.Slow, Lease: 2 * probe.MaxTimeout, Senders: 16, Send: s.askProbe},
	}
}

// keeper keeps the caches fresh and writes payload log and last-heard instants
// behind the hot path.
func (s *Service) keeper(stop chan struct{}) {
	defer s.done.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	ctx := kit.WithActor(context.Background(), kit.System(kit.ViaIngest))
	for n := 1; ; n++ {
		select {
		case <-stop:
			s.flushRings(ctx)
			return
		case <-tick.C:
			s.flushRings(ctx)
			if n%3 == 0 {
				if err := s.reload(ctx); err != nil {
					s.log.Warn("sources not reloaded", "error", err)
				}
			}
		}
	}
}
