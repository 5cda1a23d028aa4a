package ingest

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"tocsin/internal/alert"
	"tocsin/internal/ingest/mail"
	"tocsin/internal/kit"
)

// replayable tells whether a message of a protocol can be read again by its body alone:
// where headers say half of it, which are not kept, it cannot.
func replayable(path string) bool {
	switch path {
	case "email", "json", "grafana", "gitlab", "cloudevents", "scan", "v2/enqueue", "v2/change/enqueue", "v2/alerts":
		return true
	}
	return strings.HasPrefix(path, "alertmanager/")
}

// Replay sends messages that sources sent before through their protocols again, and gives
// how each was read now.
type Replay func(ctx context.Context, src alert.Source, p alert.Payload) (alert.Payload, error)

// NewReplay makes it.
func NewReplay(alerts MailAlerts, changes Changes, scans Scans, o Options) Replay {
	return func(ctx context.Context, src alert.Source, p alert.Payload) (alert.Payload, error) {
		if !p.Again {
			return alert.Payload{}, kit.Conflict("replay", "alert.error.replay")
		}
		// The sender proved itself when it came; its signature is not kept.
		src.Secret, src.SecretFile = "", ""
		again := &replaying{MailAlerts: alerts, src: src, by: kit.ActorFrom(ctx).Me()}
		if p.Path == "email" {
			s := &MailServer{h: newHandler(again, nil, nil, o), alerts: again}
			msg, err := mail.Read(strings.NewReader(p.Body), "replay")
			// The same message is known by its id: that is no reason here.
			msg.ID = ""
			_ = s.deliver(ctx, mailbox{key: replayKey, src: src}, []byte(p.Body), msg, unreadable(err))
			return again.read, nil
		}
		path := "/" + p.Path
		if !strings.HasPrefix(p.Path, "v2/") {
			path = "/in/" + replayKey + path
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(p.Body))
		if err != nil {
			return alert.Payload{}, kit.Internal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if p.Path == "cloudevents" {
			r.Header.Set("Content-Type", "application/cloudevents+json")
			if strings.HasPrefix(strings.TrimSpace(p.Body), "[") {
				r.Header.Set("Content-Type", "application/cloudevents-batch+json")
			}
		}
		r.Header.Set("Authorization", "GenieKey "+replayKey)
		w := &answer{header: http.Header{}}
		Handler(again, changes, scans, o).ServeHTTP(w, r)
		if again.read.Status == 0 {
			// It was refused before it was read.
			again.read.Status, again.read.Read = w.status, []string{w.body.String()}
		}
		return again.read, nil
	}
}

// replayKey stands for the key of the source, which nobody knows any more.
const replayKey = "replay"

// replaying answers every key with the source of the message.
type replaying struct {
	MailAlerts
	src  alert.Source
	by   string
	read alert.Payload
}

// SourceByKey implements Alerts.
func (r *replaying) SourceByKey(context.Context, string) (alert.Source, bool, error) {
	return r.src, true, nil
}

// LogPayload implements Alerts: the message stands with its source once more.
func (r *replaying) LogPayload(source string, p func() alert.Payload) {
	r.read = p()
	r.read.Read = append(r.read.Read, "sent again by "+r.by)
	kept := r.read
	r.MailAlerts.LogPayload(source, func() alert.Payload { return kept })
}

// answer keeps what a handler answers.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
