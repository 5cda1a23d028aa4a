package ingest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/kit"
)

// parseGrafana reads what Grafana's webhook contact point posts: the alerts of its
// unified alerting, which have the shape of Alertmanager's webhook, or the single
// message of the dashboard alerts before it.
func parseGrafana(body []byte, src alert.Source, now time.Time) ([]alert.Signal, *amError) {
	var old struct {
		Alerts   json.RawMessage `json:"alerts"`
		RuleID   int64           `json:"ruleId"`
		RuleName string          `json:"ruleName"`
		RuleURL  string          `json:"ruleUrl"`
		State    string          `json:"state"`
		Title    string          `json:"title"`
		Message  string          `json:"message"`
		Tags     map[string]any  `json:"tags"`
	}
	if err := decode(body, &old); err != nil {
		return nil, amParseError(err)
	}
	if len(old.Alerts) > 0 || old.State == "" {
		return parseWebhook(body, src, now)
	}
	labels := map[string]string{"alertname": old.RuleName, "state": old.State}
	for k, v := range old.Tags {
		if s, ok := v.(string); ok && s != "" && len(labels) < alert.MaxLabels {
			labels[k] = s
		}
	}
	s := alert.Signal{
		Source: src.ID, DedupKey: "rule-" + strconv.FormatInt(old.RuleID, 10), Action: action(old.State), Title: strings.TrimSpace(old.Title), Link: old.RuleURL,
		Severity: severity(src, labels["severity"]), Labels: labels, Annotations: map[string]string{}, Received: now, StartsAt: now, Service: service(src, labels),
	}
	if s.Title == "" {
		s.Title = old.RuleName
	}
	if old.RuleID == 0 {
		s.DedupKey = old.RuleName
	}
	if s.DedupKey == "" {
		return nil, &amError{422, amMessage{602, "alerts, or ruleId or ruleName, in body is required"}}
	}
	if old.Message != "" {
		s.Annotations["description"] = old.Message
	}
	return []alert.Signal{s}, nil
}

func (h *handler) grafana(w http.ResponseWriter, r *http.Request) {
	h.alerts.InFlight(1)
	defer h.alerts.InFlight(-1)
	m, ok := h.take(w, r, "grafana", maxBody, "application/json")
	if !ok {
		return
	}
	signals, bad := parseGrafana(m.body, m.src, h.clock.Now())
	if bad != nil && len(signals) == 0 {
		h.refuse(m, bad.status, kit.CodeMalformed, bad.Error())
		return
	}
	var notes []string
	if bad != nil {
		notes = append(notes, bad.Error())
	}
	h.accept(m, signals, nil, notes...)
}
