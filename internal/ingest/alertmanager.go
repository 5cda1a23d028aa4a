package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tocsin/internal/alert"
)

// resolveTimeout is after how long an alert without an end resolves, the default
// of Alertmanager.
const resolveTimeout = 5 * time.Minute

type wireTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *wireTime) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	t.Time, err = parseTime(s)
	return err
}

type amAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     wireTime          `json:"startsAt"`
	EndsAt       wireTime          `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	// Of the webhook only:
	Status      string `json:"status"`
	Fingerprint string `json:"fingerprint"`
}

// amError is a refusal with the status and the body that Alertmanager gives.
type amError struct {
	status int
	body   any
}

func (e *amError) Error() string { return fmt.Sprint(e.status, " ", e.body) }

type amMessage struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func amParseError(err error) *amError {
	return &amError{400, amMessage{400, fmt.Sprintf("parsing alerts body from \"\" failed, because %v", err)}}
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// parseAlerts reads the body of POST /api/v2/alerts. The good alerts are given
// even when an error is given too: Alertmanager stores them and answers 400.
// anyName accepts label names in UTF-8, which newer senders use.
func parseAlerts(body []byte, src alert.Source, now time.Time, anyName bool) ([]alert.Signal, *amError) {
	if len(strings.TrimSpace(string(body[:min(len(body), 64)]))) == 0 && len(body) <= 64 {
		return nil, &amError{422, amMessage{602, "alerts in body is required"}}
	}
	if deep(body, maxDepth) {
		return nil, amParseError(errors.New("too deep"))
	}
	var list []amAlert
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, amParseError(err)
	}
	for i := range list {
		if list[i].Labels == nil {
			return nil, &amError{422, amMessage{602, fmt.Sprintf("%d.labels in body is required", i)}}
		}
	}
	out := make([]alert.Signal, 0, len(list))
	var bad []string
	for i := range list {
		s, err := list[i].signal(src, now, anyName)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		out = append(out, s)
	}
	if len(bad) > 0 {
		return out, &amError{400, strings.Join(bad, "; ")}
	}
	return out, nil
}

// identity cleans the labels and computes what all alerts have in common.
func (a *amAlert) identity(src alert.Source, anyName bool) (alert.Signal, error) {
	for k, v := range a.Labels {
		if v == "" {
			delete(a.Labels, k)
		}
	}
	if len(a.Labels) == 0 {
		return alert.Signal{}, errors.New("at least one label pair required")
	}
	for k := range a.Labels {
		if k == "" || !anyName && !labelName.MatchString(k) {
			return alert.Signal{}, fmt.Errorf("invalid label set: invalid name %q", k)
		}
	}
	if len(a.Labels) > alert.MaxLabels {
		return alert.Signal{}, fmt.Errorf("invalid label set: more than %d labels", alert.MaxLabels)
	}
	return alert.Signal{
		Source: src.ID, DedupKey: fingerprint(a.Labels), Action: alert.Trigger, Title: title(a.Labels, a.Annotations),
		Severity: severity(src, a.Labels["severity"]), Service: service(src, a.Labels), Labels: a.Labels,
		Annotations: a.Annotations, Link: a.GeneratorURL,
	}, nil
}

func (a *amAlert) signal(src alert.Source, now time.Time, anyName bool) (alert.Signal, error) {
	s, err := a.identity(src, anyName)
	if err != nil {
		return s, err
	}
	s.StartsAt, s.EndsAt, s.Received = a.StartsAt.Time, a.EndsAt.Time, now
	if s.StartsAt.IsZero() {
		if s.StartsAt = now; !s.EndsAt.IsZero() {
			s.StartsAt = s.EndsAt
		}
	}
	if s.EndsAt.IsZero() {
		// Ends that nobody told fall on whole seconds, so that many share one.
		s.EndsAt, s.EndsByTimeout = now.Add(resolveTimeout+time.Second-1).Truncate(time.Second), true
		// An alert that is to begin later ends no sooner than that.
		if s.EndsAt.Before(s.StartsAt) {
			s.EndsAt = s.StartsAt.Add(resolveTimeout)
		}
	}
	if s.EndsAt.Before(s.StartsAt) {
		return s, errors.New("start time must be before end time")
	}
	if !s.EndsAt.After(now) {
		s.Action = alert.Resolve
	}
	return s, nil
}

var sentFingerprint = regexp.MustCompile(`^[0-9A-Za-z]{8,64}$`)

// parseWebhook reads what Alertmanager's webhook receiver posts. Fields that are
// not known are ignored: newer versions add some.
func parseWebhook(body []byte, src alert.Source, now time.Time) ([]alert.Signal, *amError) {
	if deep(body, maxDepth) {
		return nil, amParseError(errors.New("too deep"))
	}
	var m struct {
		Alerts *[]amAlert `json:"alerts"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, amParseError(err)
	}
	if m.Alerts == nil {
		return nil, &amError{422, amMessage{602, "alerts in body is required"}}
	}
	out := make([]alert.Signal, 0, len(*m.Alerts))
	var bad []string
	for i := range *m.Alerts {
		a := &(*m.Alerts)[i]
		s, err := a.identity(src, true)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		// The sent fingerprint makes one alert of what comes by both ways.
		if sentFingerprint.MatchString(a.Fingerprint) {
			s.DedupKey = a.Fingerprint
		}
		s.StartsAt, s.Received = a.StartsAt.Time, now
		switch {
		case a.Status == "resolved":
			s.Action = alert.Resolve
			s.EndsAt = a.EndsAt.Time
		case a.EndsAt.After(now):
			s.EndsAt = a.EndsAt.Time
		}
		out = append(out, s)
	}
	if len(bad) > 0 {
		return out, &amError{400, strings.Join(bad, "; ")}
	}
	return out, nil
}
