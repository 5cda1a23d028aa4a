package due

import (
	"context"
	"time"

	"tocsin/internal/kit"
)

const (
	// faultPause is how long a loop waits before it tries again what a failing
	// database refused.
	faultPause = time.Second
	// faultQuiet is how long a cause that was logged is not logged again.
	faultQuiet = time.Minute
)

// fault logs that rows cannot be worked on, once a minute for each cause.
func (w *Worker) fault(ctx context.Context, what, kind string, err error) {
	if ctx.Err() != nil {
		return
	}
	cause := what + " " + string(kit.CodeOf(err)) + " " + err.Error()
	now := time.Now()
	w.faultMu.Lock()
	last, ok := w.faults[cause]
	quiet := ok && now.Sub(last) < faultQuiet
	if !quiet {
		for c, at := range w.faults {
			if now.Sub(at) >= faultQuiet {
				delete(w.faults, c)
			}
		}
		w.faults[cause] = now
	}
	w.faultMu.Unlock()
	if !quiet {
		w.d.Log().Error(what, "kind", kind, "error", err)
	}
}
