package story_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/PagerDuty/go-pagerduty"

	"tocsin/test/fake"
)

// TestPagerDutyClient drives the built program with PagerDuty's own client.
func TestPagerDutyClient(t *testing.T) {
	t.Parallel()
	pages := fake.NewWebhook(t)
	data := t.TempDir()
	if _, stderr, code := run(t, "apply", "--data", data, "-f", file(t, "company.yaml", fmt.Sprintf(company, pages.URL))); code != 0 {
		t.Fatalf("apply: %d %s", code, stderr)
	}
	srv := serve(t, freeAddr(t), "--data", data)
	token, stderr, code := run(t, "token", "create", "--data", data, "--name", "story", "--role", "admin")
	if code != 0 {
		t.Fatalf("token: %d %s", code, stderr)
	}
	h := &remote{t: t, base: "http://" + srv.addr, token: strings.TrimSpace(token)}
	ctx := context.Background()
	const key = "0123456789abcdef0123456789abcdef"
	client := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(h.base))
	send := func(action, dedup string) (*pagerduty.V2EventResponse, error) {
		e := &pagerduty.V2Event{RoutingKey: key, Action: action, DedupKey: dedup}
		if action == "trigger" {
			e.Payload = &pagerduty.V2Payload{Summary: "disk", Source: "db-1", Severity: "critical", Details: map[string]string{"free": "1 %"}}
		}
		return client.ManageEventWithContext(ctx, e)
	}
	made, err := send("trigger", "")
	if err != nil || made.DedupKey == "" {
		t.Fatalf("trigger: %+v, %v", made, err)
	}
	h.eventually("the page", func() bool { return len(named(t, pages, made.DedupKey)) == 0 })
	state := func() (state string, count int) {
		var list struct {
			Items []struct {
				State string
				Count int
			}
		}
		h.must(http.StatusOK, "GET", "/api/v1/alerts?source=pd", nil, &list)
		return list.Items[0].State, len(list.Items)
	}
	for _, step := range []struct{ action, state string }{
		{"trigger", "open"},
		{"acknowledge", "acknowledged"},
		{"trigger", "acknowledged"},
		{"resolve", "resolved"},
		{"acknowledge", "resolved"},
		{"resolve", "resolved"},
	} {
		if _, err := send(step.action, made.DedupKey); err != nil {
			t.Fatalf("%s: %v", step.action, err)
		}
		if s, n := state(); s != step.state || n != 1 {
			t.Errorf("after %s: %s of %d alerts, want %s of one", step.action, s, n, step.state)
		}
	}
	if _, err := client.CreateChangeEventWithContext(ctx, pagerduty.ChangeEvent{
		RoutingKey: key, Payload: pagerduty.ChangeEventPayload{Summary: "payments 4.2", Source: "ci", Timestamp: "2026-11-23T09:00:00Z"},
	}); err != nil {
		t.Errorf("change event: %v", err)
	}
	var changes struct{ Total int }
	if h.must(http.StatusOK, "GET", "/api/v1/changes", nil, &changes); changes.Total != 1 {
		t.Errorf("%d changes", changes.Total)
	}

	refused := func(name string, e *pagerduty.V2Event) {
		t.Helper()
		_, err := client.ManageEventWithContext(ctx, e)
		var ee pagerduty.APIError
		if !errors.As(err, &ee) || ee.StatusCode != http.StatusBadRequest || ee.Temporary() {
			t.Errorf("%s: %v", name, err)
		}
	}
	fine := &pagerduty.V2Payload{Summary: "disk", Source: "db-1", Severity: "critical"}
	refused("wrong key", &pagerduty.V2Event{RoutingKey: strings.Repeat("f", 32), Action: "trigger", Payload: fine})
	refused("short key", &pagerduty.V2Event{RoutingKey: "short", Action: "trigger", Payload: fine})
	refused("no payload", &pagerduty.V2Event{RoutingKey: key, Action: "trigger"})
	big := *fine
	big.Details = strings.Repeat("x", 512<<10)
	if _, err := client.ManageEventWithContext(ctx, &pagerduty.V2Event{RoutingKey: key, Action: "trigger", DedupKey: "big", Payload: &big}); err == nil {
		t.Error("an event over 512 KB is taken")
	}
	if _, n := state(); n != 1 {
		t.Errorf("what was refused made an alert: %d", n)
	}
	srv.stop()
}
