package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// healthz answers as long as the process lives.
func (a *App) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready tells why the product cannot work now, or nil: the database answers and the
// worker of due rows has turned within 5 s. Migrations are done before anything is
// served.
func (a *App) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := a.db.Ping(ctx); err != nil {
		return errors.New("the database does not answer")
	}
	if a.db.Refused() != nil && kit.CodeOf(a.tryWriting(ctx)) == kit.CodeBusy {
		return errors.New("the disk is full: nothing can be written")
	}
	if time.Since(a.worker.Turned()) > 5*time.Second {
		return errors.New("the worker of due rows has not turned for more than 5 s")
	}
	return nil
}

// tryWriting writes and removes a row of some pages, to see whether a disk that
// was full has room again.
func (a *App) tryWriting(ctx context.Context) error {
	return a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		const kind, key = "probe", "room"
		if err := due.At(ctx, tx, kind, key, tx.Now().Add(time.Hour), strings.Repeat("room ", 4<<10)); err != nil {
			return err
		}
		return due.Cancel(ctx, tx, kind, key)
	})
}

func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := a.ready(r.Context()); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// metrics are for loopback, or a token that may see the journal.
func (a *App) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_ledger_facts", Help: "Facts on the ledger."}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n, _, err := a.ledger.Head(ctx)
		if err != nil {
			return -1
		}
		return float64(n)
	}))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_due_worker_age_seconds", Help: "Time since the worker of due rows turned."}, func() float64 {
		return time.Since(a.worker.Turned()).Seconds()
	}))
	reg.MustRegister(failures{a.ledger})
	h := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		ip := net.ParseIP(host)
		if ip == nil || !ip.IsLoopback() || r.Header.Get("X-Forwarded-For") != "" {
			if _, err := a.Identity.Authenticate(r.Context(), bearer(r)); err != nil {
				http.Error(w, "metrics are for loopback or a token", http.StatusUnauthorized)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// failures counts reactions that were passed over.
type failures struct{ l *ledger.Ledger }

var reactionsFailed = prometheus.NewDesc("tocsin_reactions_failed_total", "Reactions that failed three times and were passed over, by consumer.", []string{"consumer"}, nil)

// Describe implements prometheus.Collector.
func (failures) Describe(ch chan<- *prometheus.Desc) { ch <- reactionsFailed }

// Collect implements prometheus.Collector.
func (f failures) Collect(ch chan<- prometheus.Metric) {
	for name, n := range f.l.Failures() {
		ch <- prometheus.MustNewConstMetric(reactionsFailed, prometheus.CounterValue, float64(n), name)
	}
}

func bearer(r *http.Request) string {
	const prefix = "Bearer "
	if h := r.Header.Get("Authorization"); len(h) > len(prefix) && h[:len(prefix)] == prefix {
		return h[len(prefix):]
	}
	return ""
}

// Run serves until the context ends, then finishes what is in flight.
func (a *App) Run(ctx context.Context) error {
	err := a.keep(ctx)
	if err == nil {
		err = a.Alert.Start(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			// Stopped while it started: that is no failure.
			return nil
		}
		return err
	}
	defer a.Alert.Stop()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	failed := make(chan error, 4)
	done := make(chan struct{}, 2)
	go func() {
		if err := a.worker.Run(work); err != nil {
			failed <- fmt.Errorf("due rows: %w", err)
		}
		done <- struct{}{}
	}()
	go func() {
		if err := a.ledger.Run(work, a.reactions()...); err != nil {
			failed <- fmt.Errorf("reactions: %w", err)
		}
		done <- struct{}{}
	}()
	srv := &http.Server{
		Handler: a.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return work },
	}
	go func() {
		if err := srv.Serve(a.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve: %w", err)
		}
	}()
	post := a.mailServer()
	if post != nil {
		go func() {
			if err := post.Serve(a.mail); err != nil {
				failed <- fmt.Errorf("mail: %w", err)
			}
		}()
	}
	// What starting took is given back to the machine: an idle server collects no garbage.
	defer time.AfterFunc(2*time.Second, debug.FreeOSMemory).Stop()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	// Live streams never end by themselves: they are cut when the time is up.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if srv.Shutdown(end) != nil {
		_ = srv.Close()
	}
	if post != nil {
		_ = post.Close(end)
	}
	stopWork()
	for range 2 {
		select {
		case <-done:
		case <-time.After(7 * time.Second):
		}
	}
	return err
}
