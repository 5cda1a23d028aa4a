package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tocsin/internal/finding"
	"tocsin/internal/i18n"
	"tocsin/internal/ingest/scan"
	"tocsin/internal/kit"
)

// logged is how much of a message its source shows: whoever reads it needs no more than
// the beginning, and a report of 32 MiB is not kept in memory for it.
const logged = 16 << 10

// head keeps the beginning of what is read.
type head struct{ b []byte }

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), logged-len(h.b))]...)
	return len(p), nil
}

// scan takes the report of a scanner, read as it comes in.
func (h *handler) scan(w http.ResponseWriter, r *http.Request) {
	m := message{w: w, r: r, key: r.PathValue("key"), path: "scan"}
	var ok bool
	if m.src, ok = h.known(w, r); !ok {
		return
	}
	if wait, fine := h.allowed(m.src.ID); !fine {
		retryAfter(w, wait)
		problem(w, http.StatusTooManyRequests, kit.CodeBusy, "Too many requests of this source.")
		return
	}
	if r.ContentLength > scan.MaxBytes {
		problem(w, http.StatusRequestEntityTooLarge, kit.CodeTooLarge, "The body is too large.")
		return
	}
	sum, first := sha256.New(), &head{}
	body := io.TeeReader(http.MaxBytesReader(w, r.Body, scan.MaxBytes+1), io.MultiWriter(sum, first))
	q := r.URL.Query()
	report, err := scan.Read(body, scan.Hint{Format: q.Get("format"), Target: q.Get("target")})
	if err == nil {
		// What stands after the end of a report belongs to its sum.
		_, err = io.Copy(io.Discard, body)
	}
	m.body = first.b
	var known *kit.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		h.refuse(m, http.StatusRequestEntityTooLarge, kit.CodeTooLarge, "The body is too large.")
		return
	case errors.As(err, &known):
		status := http.StatusBadRequest
		switch known.Code {
		case kit.CodeTooLarge:
			status = http.StatusRequestEntityTooLarge
		case kit.CodeUnsupported:
			status = http.StatusUnsupportedMediaType
		}
		h.refuse(m, status, known.Code, i18n.T("en", known.Key, known.Args))
		return
	case err != nil:
		problem(w, http.StatusBadRequest, kit.CodeMalformed, "The body cannot be read.")
		return
	}
	ctx := kit.WithActor(context.WithoutCancel(r.Context()), kit.Actor{Kind: kit.ActorSource, ID: m.src.ID, Name: m.src.ID, Via: kit.ViaIngest})
	out, err := h.scans.Receive(ctx, finding.Source{ID: m.src.ID, Service: m.src.Service}, report, hex.EncodeToString(sum.Sum(nil)))
	if err != nil {
		status, wait := refusal(err)
		if wait > 0 {
			retryAfter(w, wait)
		}
		detail, _ := i18n.Error("en", err)
		if status == http.StatusInternalServerError {
			h.log.Error("report not stored", "source", m.src.ID, "error", err)
		}
		h.refuse(m, status, kit.CodeOf(err), detail)
		return
	}
	reply(w, http.StatusAccepted, map[string]any{
		"format": out.Format, "findings": out.Findings, "new": out.New, "reopened": out.Reopened, "fixed": out.Fixed, "unknown": out.Unknown,
	})
	notes := []string{fmt.Sprintf("%s %s: findings %d, new %d, reopened %d, fixed %d, unknown %d", out.Format, out.Verdict, out.Findings, out.New, out.Reopened, out.Fixed, out.Unknown)}
	if out.Reason.Key != "" {
		notes = append(notes, i18n.T("en", out.Reason.Key, out.Reason.Args))
	}
	h.keep(m.src, m.key, m.path, http.StatusAccepted, m.body, nil, notes...)
}
