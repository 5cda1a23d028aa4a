// Package ingest is the edge by which other people's tools tell signals in their
// own protocols: the Alertmanager v2 API, its webhook, and the PagerDuty Events
// API. A sender gets its success only after the signal is durable.
package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/finding"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// Alerts is what the edge needs of package alert.
type Alerts interface {
	SourceByKey(ctx context.Context, key string) (src alert.Source, ok bool, err error)
	Ingest(ctx context.Context, signals []alert.Signal) ([]alert.Outcome, error)
	InFlight(n int)
	LogPayload(source string, p func() alert.Payload)
	LiveOf(ctx context.Context, source string) ([]alert.Alert, error)
	LiveOfKey(ctx context.Context, source, key string) (alert.Alert, error)
	OfSource(ctx context.Context, source, id string) (alert.Alert, error)
	SilenceOf(ctx context.Context, source, by string, x alert.Silence) (alert.Silence, error)
	SilencesOf(ctx context.Context, source string) ([]alert.Silence, error)
	UnsilenceOf(ctx context.Context, source, id string) error
	Heartbeat(ctx context.Context, source string, b alert.Beat, title string) error
}

// Changes is what the edge needs of package change.
type Changes interface {
	Record(ctx context.Context, c change.Change) (change.Change, error)
}

// Scans is what the edge needs of package finding.
type Scans interface {
	Receive(ctx context.Context, src finding.Source, report finding.Report, sha256 string) (finding.Received, error)
}

// Options change how the edge works; the zero value is right for production.
type Options struct {
	// Clock is the time; nil means the machine's.
	Clock kit.Clock
	Log   *slog.Logger
	// Rate is how many requests a second one source may send for long, and Burst
	// how many at once; 0 means 1,000 and 5,000.
	Rate  float64
	Burst int
	// Words gives a text of the catalogues in the organisation's language; nil is English.
	Words func(ctx context.Context, key string, args map[string]any) string
	// Answers takes the replies to pages by mail; nil takes none.
	Answers MailAnswers
	// Version is told to clients that ask for the status.
	Version string
}

// Limits of what is read.
const (
	maxBody  = 1 << 20
	maxEvent = 512 << 10
	maxDepth = 64
	// maxChunk is how many signals of one request share a transaction.
	maxChunk = 2000
)

type handler struct {
	alerts  Alerts
	changes Changes
	scans   Scans
	clock   kit.Clock
	log     *slog.Logger
	rate    rate.Limit
	burst   int
	version string
	started time.Time
	words   func(ctx context.Context, key string, args map[string]any) string

	limits  sync.Map // source id → *rate.Limiter
	results ogResults
}

func newHandler(alerts Alerts, changes Changes, scans Scans, o Options) *handler {
	h := &handler{alerts: alerts, changes: changes, scans: scans, clock: o.Clock, log: o.Log, rate: rate.Limit(o.Rate), burst: o.Burst, version: o.Version, words: o.Words}
	if h.words == nil {
		h.words = func(_ context.Context, key string, args map[string]any) string { return i18n.T("en", key, args) }
	}
	if h.clock == nil {
		h.clock = kit.SystemClock{}
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.rate == 0 {
		h.rate = 1000
	}
	if h.burst == 0 {
		h.burst = 5000
	}
	h.started = h.clock.Now()
	return h
}

// Handler serves the protocols under /in/{key}/… and /v2/….
func Handler(alerts Alerts, changes Changes, scans Scans, o Options) http.Handler {
	h := newHandler(alerts, changes, scans, o)
	m := http.NewServeMux()
	const am = "/in/{key}/alertmanager"
	m.HandleFunc("POST "+am+"/api/v2/alerts", h.amPost)
	m.HandleFunc("POST "+am+"/api/v2/alerts/{$}", h.amPost)
	m.HandleFunc("GET "+am+"/api/v2/alerts", h.amList)
	h.silenceRoutes(m, am)
	m.HandleFunc("GET "+am+"/api/v2/status", h.amStatus)
	m.HandleFunc("GET "+am+"/-/healthy", h.amOK)
	m.HandleFunc("GET "+am+"/-/ready", h.amOK)
	m.HandleFunc("POST "+am+"/webhook", h.amWebhook)
	m.HandleFunc("POST "+am+"/webhook/{$}", h.amWebhook)
	m.HandleFunc("POST /v2/enqueue", h.pdEvent)
	m.HandleFunc("POST /v2/change/enqueue", h.pdChange)
	h.opsgenieRoutes(m)
	m.HandleFunc("POST /in/{key}/cloudevents", h.cloudEvents)
	m.HandleFunc("OPTIONS /in/{key}/cloudevents", h.cloudEventsAsk)
	m.HandleFunc("POST /in/{key}/grafana", h.grafana)
	m.HandleFunc("POST /in/{key}/github", h.github)
	m.HandleFunc("POST /in/{key}/gitlab", h.gitlab)
	m.HandleFunc("POST /in/{key}/json", h.json)
	m.HandleFunc("POST /in/{key}/scan", h.scan)
	h.heartbeatRoutes(m)
	return m
}

var errTooLarge = errors.New("body too large")

// read takes the body within its limit.
func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	var buf []byte
	var err error
	if n := r.ContentLength; n >= 0 {
		buf = make([]byte, n)
		_, err = io.ReadFull(body, buf)
	} else {
		buf, err = io.ReadAll(body)
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return nil, errTooLarge
	}
	return buf, err
}

// deep tells whether JSON nests deeper than the limit, without decoding it.
func deep(b []byte, limit int) bool {
	depth, quoted, escaped := 0, false, false
	for _, c := range b {
		switch {
		case escaped:
			escaped = false
		case quoted:
			if c == '\\' {
				escaped = true
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// allowed takes a token of the source's bucket, or tells after how many seconds
// to come back.
func (h *handler) allowed(source string) (int, bool) {
	v, ok := h.limits.Load(source)
	if !ok {
		v, _ = h.limits.LoadOrStore(source, rate.NewLimiter(h.rate, h.burst))
	}
	now := time.Now()
	r := v.(*rate.Limiter).ReserveN(now, 1)
	if d := r.DelayFrom(now); d > 0 {
		r.CancelAt(now)
		return max(1, int(math.Ceil(d.Seconds()))), false
	}
	return 0, true
}

// ingest hands signals to the writer and waits until they are durable. The
// sender's going away does not undo what it already sent.
func (h *handler) ingest(r *http.Request, signals []alert.Signal) error {
	_, err := h.store(r, signals)
	return err
}

// store is ingest for a protocol that tells its sender what became of each signal.
func (h *handler) store(r *http.Request, signals []alert.Signal) ([]alert.Outcome, error) {
	ctx := context.WithoutCancel(r.Context())
	var all []alert.Outcome
	for len(signals) > 0 {
		n := min(len(signals), maxChunk)
		out, err := h.alerts.Ingest(ctx, signals[:n])
		if err != nil {
			return all, err
		}
		signals = signals[n:]
		if all == nil {
			all = out
			continue
		}
		all = append(all, out...)
	}
	return all, nil
}

// refusal is the status of signals that were not stored, and after how many
// seconds to send them again.
func refusal(err error) (status, wait int) {
	e := kit.AsError(err)
	switch {
	case e.Reason == "queue_full":
		return http.StatusTooManyRequests, max(1, e.RetryAfter)
	case e.Code == kit.CodeBusy:
		return http.StatusServiceUnavailable, max(1, e.RetryAfter)
	case e.Code == kit.CodeInvalid:
		return http.StatusUnprocessableEntity, 0
	case e.Code == kit.CodeNotFound:
		return http.StatusNotFound, 0
	case e.Code == kit.CodeTooLarge:
		return http.StatusRequestEntityTooLarge, 0
	}
	return http.StatusInternalServerError, 0
}

// keep logs what came in and how it was read; the key is taken out of it.
func (h *handler) keep(src alert.Source, key, path string, status int, body []byte, signals []alert.Signal, problems ...string) {
	at := h.clock.Now()
	h.alerts.LogPayload(src.ID, func() alert.Payload {
		p := alert.Payload{At: at, Path: path, Status: status, Read: problems}
		p.Body, p.Again = string(body[:min(len(body), logged)]), len(body) < logged && replayable(path)
		if key != "" {
			p.Body = strings.ReplaceAll(p.Body, key, "…")
		}
		for i := range signals {
			if i == 5 {
				p.Read = append(p.Read, fmt.Sprintf("+%d", len(signals)-i))
				break
			}
			s := &signals[i]
			p.Read = append(p.Read, string(s.Action)+" "+s.DedupKey+": "+s.Title+" ("+string(s.Severity)+")")
		}
		return p
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encode(w, v)
}

// encode writes the body of an answer; a sender that has gone needs none.
func encode(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }

func retryAfter(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, seconds)))
}
