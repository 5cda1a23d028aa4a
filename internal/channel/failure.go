// Package channel brings messages to people by the providers outside: webhooks and
// e-mail, each a notify.Sender.
package channel

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// failure reads as an English sentence in the log and in facts, and unwraps to the
// *kit.Error that the pages show in the reader's language.
type failure struct{ e *kit.Error }

// Error implements error.
func (f failure) Error() string { return i18n.T("en", f.e.Key, f.e.Args) }

// Unwrap gives the *kit.Error.
func (f failure) Unwrap() error { return f.e }

func permanent(key string, cause error, pairs ...any) *notify.SendError {
	return failed(kit.CodeInvalid, true, key, cause, pairs...)
}

func temporary(key string, cause error, pairs ...any) *notify.SendError {
	return failed(kit.CodeBusy, false, key, cause, pairs...)
}

func failed(code kit.Code, permanent bool, key string, cause error, pairs ...any) *notify.SendError {
	e := kit.Errorf(code, key, pairs...)
	e.Err = cause
	return &notify.SendError{Permanent: permanent, Err: failure{e}}
}

// bounded makes a provider's words fit for a fact: one line, at most 200 characters.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}

// reason says in a few words why a connection failed. The address that was asked for
// may hold a secret and is left out.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		return bounded(d.Err)
	}
	if s, ok := errors.AsType[syscall.Errno](err); ok {
		return s.Error()
	}
	return bounded(err.Error())
}

// isTimeout tells whether time ran out, by whichever of the clocks involved.
func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &n) && n.Timeout()
}

// within bounds what a provider asks us to wait.
func within(d, limit time.Duration) time.Duration { return max(0, min(d, limit)) }

// traced gives a context for requests, and what tells whether the last of them was
// written whole: without an answer, nobody knows then whether it was taken.
func traced(ctx context.Context) (context.Context, func() bool) {
	var whole atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { whole.Store(false) },
		WroteRequest: func(i httptrace.WroteRequestInfo) { whole.Store(i.Err == nil) },
	}), whole.Load
}
