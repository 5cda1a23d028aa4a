package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
)

func TestIncident(t *testing.T) {
	each(t, func(_ *testing.T, b *bundle) {
		b.run(
			call{
				as: "responder", method: "POST", path: "/incidents", body: `{"title":"Payments fail","services":["payments"]}`, status: 201,
				has:   []string{`"ref":"INC-1"`, `"severity":null`, `"phase":"detection"`, `"declared_at":"2026-11-23T09:00:00.123Z"`, `"occurred_at":null`, `"web":"https://tocsin.example/incidents/INC-1"`},
				facts: []string{"incident.declared"},
			},
			call{
				as: "viewer", method: "POST", path: "/incidents", body: `{"title":"Slow","impact":"degraded","exercise":true}`, status: 201,
				has: []string{`"severity":"sev3"`, `"severity_source":"declared"`}, facts: []string{"incident.declared", "incident.severity_changed"},
			},
			call{as: "viewer", method: "GET", path: "/incidents/inc-1", status: 200, has: []string{`"title":"Payments fail"`}},
			call{as: "viewer", method: "GET", path: "/incidents", status: 200, has: []string{`"total":1`, `"total_is_minimum":false`, `"next_cursor":null`}},
			call{as: "viewer", method: "GET", path: "/incidents?exercises=true&limit=1", status: 200, has: []string{`"total":2`, `"ref":"INC-2"`}, hasNot: []string{`"next_cursor":null`}},
			call{as: "viewer", method: "GET", path: "/incidents?severity=sev1", status: 200, has: []string{`"items":[]`}},
			call{as: "viewer", method: "GET", path: "/incidents?limit=501", status: 422, code: "invalid", has: []string{`"path":"limit"`}},
			call{as: "viewer", method: "GET", path: "/incidents?cursor=xx", status: 422, code: "invalid"},
			call{as: "viewer", method: "GET", path: "/incidents/INC-99", status: 404, code: "not_found"},
			call{as: "viewer", method: "POST", path: "/incidents/1/acknowledge", status: 403, code: "forbidden", has: []string{"Ana Lopez"}},
			call{
				as: "responder", method: "POST", path: "/incidents/1/acknowledge", status: 200, has: []string{`"phase":"assessment"`},
				facts: []string{"incident.acknowledged", "incident.phase_changed"},
			},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/acknowledge", body: "{}", status: 200},
			call{as: "responder", method: "GET", path: "/incidents/INC-1/brief", status: 200, has: []string{`"who":"Not yet known."`, `"decisions":[]`}},
			call{
				as: "responder", method: "POST", path: "/incidents/INC-1/assess?preview=true", body: `{"answers":{"who":"most","what":"main"}}`, status: 200,
				has: []string{`"preview":{"severity":"sev1"`, `"severity":null`, `"key":"ladder"`},
			},
			call{
				as: "responder", method: "POST", path: "/incidents/INC-1/assess", body: `{"answers":{"who":"some","what":"main","data":"no","trend":"stable","change":"none"}}`,
				status: 200, has: []string{`"severity":"sev2"`, `"severity_source":"assessed"`, `"decided_by_line":"service"`},
				facts: []string{"incident.assessed", "incident.severity_changed"},
			},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/assess", body: `{"answers":{"who":"everyone"}}`, status: 422, code: "invalid", has: []string{`"path":"answers.who"`}},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/phase", body: `{"to":"containment"}`, status: 200, facts: []string{"incident.phase_changed"}},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/phase", body: `{"to":"nowhere"}`, status: 422, code: "invalid"},
			call{as: "viewer", method: "POST", path: "/incidents/INC-1/notes", body: `{"text":"Saw it","happened_at":"2026-11-23T09:30:00+01:00"}`, status: 200, facts: []string{"incident.noted"}},
			call{as: "viewer", method: "POST", path: "/incidents/INC-1/notes", body: `{"text":""}`, status: 422, code: "invalid", has: []string{`"path":"text"`}},
			call{
				as: "responder", method: "POST", path: "/incidents/INC-1/roles", body: `{"role":"commander","person":"paul"}`, status: 200,
				has: []string{`"commander":"paul"`}, facts: []string{"incident.role_assigned"},
			},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/tasks", body: `{"text":"Restart","owner":"paul"}`, status: 200, facts: []string{"task.created"}},
			call{as: "viewer", method: "GET", path: "/incidents/INC-1/tasks", status: 200, has: []string{`"text":"Restart"`, `"due":null`}},
			call{as: "responder", method: "GET", path: "/incidents/INC-1/brief?lang=fr", status: 200, has: []string{`"what":"Payments fail"`, `"who":"Certains clients"`, `"doing":"Confinement"`, `"tasks":["Restart"]`, `"commander":{"kind":"person","id":"paul","name":"Paul Roy"}`, `"decisions":[]`}},
			call{as: "viewer", method: "GET", path: "/incidents/INC-1/brief?lang=de", status: 422, code: "invalid"},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/impact", body: `{"customers":12,"from":null}`, status: 200, facts: []string{"impact.recorded"}},
			call{as: "responder", method: "POST", path: "/incidents/INC-1/cancel", status: 422, code: "invalid", has: []string{`"path":"reason"`}},
			call{as: "responder", method: "POST", path: "/incidents/INC-2/merge", body: `{"into":"INC-2"}`, status: 422, code: "invalid"},
			call{as: "responder", method: "POST", path: "/incidents/INC-2/cancel", body: `{"reason":"practice over"}`, status: 200, has: []string{`"status":"cancelled"`}, facts: []string{"incident.cancelled"}},
			call{as: "responder", method: "POST", path: "/incidents/INC-2/phase", body: `{"to":"recovery","reason":"x"}`, status: 409, code: "conflict"},
			call{as: "responder", method: "POST", path: "/incidents/INC-2/reopen", body: `{"reason":"not over"}`, status: 200, has: []string{`"status":"open"`}, facts: []string{"incident.reopened"}},
			call{as: "responder", method: "GET", path: "/incidents/INC-1/report?format=md&lang=fr", status: 200, has: []string{"INC-1 md internal fr"}},
		)
		r := b.do(call{as: "viewer", method: "GET", path: "/incidents/INC-1/tasks"})
		id := r.json["items"].([]any)[0].(map[string]any)["id"].(string)
		b.run(
			call{name: "drop without reason", as: "responder", method: "PATCH", path: "/incidents/INC-1/tasks/" + id, body: `{"state":"dropped"}`, status: 422, code: "invalid"},
			call{name: "task done", as: "responder", method: "PATCH", path: "/incidents/INC-1/tasks/" + id, body: `{"state":"done"}`, status: 200, has: []string{`"state":"done"`}, facts: []string{"task.done"}},
		)
	})
}

func TestReviewAndActions(t *testing.T) {
	each(t, func(_ *testing.T, b *bundle) {
		b.run(
			call{as: "manager", method: "POST", path: "/incidents", body: `{"title":"Payments fail","severity":"sev3"}`, status: 201, facts: []string{"incident.declared", "incident.severity_changed"}},
			call{as: "manager", method: "POST", path: "/incidents/1/phase", body: `{"to":"review"}`, status: 422, code: "invalid", has: []string{`"path":"reason"`}},
			call{
				as: "manager", method: "POST", path: "/incidents/1/phase", body: `{"to":"review","reason":"short"}`, status: 200, has: []string{`"phase":"review"`},
				facts: []string{"incident.acknowledged", "incident.phase_changed", "review.created"},
			},
			call{as: "manager", method: "POST", path: "/incidents/1/phase", body: `{"to":"closed"}`, status: 409, code: "conflict", has: []string{`"reason":"review_not_approved"`}},
			call{as: "viewer", method: "GET", path: "/incidents/1/review", status: 200, has: []string{`"state":"draft"`, `"incident":"INC-1"`}},
			call{as: "viewer", method: "PUT", path: "/incidents/1/review", body: `{"went_well":"All"}`, status: 403, code: "forbidden"},
			call{
				as: "manager", method: "PUT", path: "/incidents/1/review", body: `{"summary":{"en":"It broke"},"factors":[{"text":"Disk full","kind":"root","category":"technology"}],"went_well":"Fast"}`,
				status: 200, has: []string{`"Disk full"`}, facts: []string{"review.changed"},
			},
			call{as: "manager", method: "POST", path: "/incidents/1/review/approve", status: 422, code: "invalid"},
			call{
				as: "manager", method: "POST", path: "/actions", body: `{"incident":"INC-1","text":"Watch the disk","owner":"paul","due":"2026-12-04"}`, status: 201,
				has: []string{`"ref":"ACT-1"`, `"type":"corrective"`, `"origin":{"kind":"incident","ref":"INC-1"}`}, facts: []string{"action.created"},
			},
			call{as: "manager", method: "POST", path: "/incidents/1/review/submit", status: 200, has: []string{`"state":"in_review"`}, facts: []string{"review.submitted"}},
			call{as: "viewer", method: "GET", path: "/reviews?state=in_review", status: 200, has: []string{`"total":1`, `"title":"Payments fail"`}},
			call{as: "manager", method: "POST", path: "/incidents/1/review/approve", status: 200, has: []string{`"state":"approved"`}, facts: []string{"review.approved"}},
			call{as: "manager", method: "POST", path: "/incidents/1/phase", body: `{"to":"closed"}`, status: 200, has: []string{`"status":"closed"`, `"closed_at":"2026-`}, facts: []string{"incident.phase_changed", "incident.closed"}},
			call{as: "responder", method: "POST", path: "/incidents/1/reopen", body: `{"reason":"again"}`, status: 403, code: "forbidden"},
			call{as: "viewer", method: "GET", path: "/actions?state=open&owner=paul", status: 200, has: []string{`"ACT-1"`}},
			call{as: "manager", method: "POST", path: "/actions/ACT-1/done", body: `{}`, status: 422, code: "invalid"},
			call{as: "manager", method: "POST", path: "/actions/act-1/done", body: `{"text":"Graph in place"}`, status: 200, has: []string{`"state":"done"`}, facts: []string{"action.done"}},
		)
	})
}

func TestTimeline(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.run(
			call{as: "responder", method: "POST", path: "/incidents", body: `{"title":"A"}`, status: 201, facts: []string{"incident.declared"}},
			call{as: "responder", method: "POST", path: "/incidents/1/notes", body: `{"text":"first"}`, status: 200, facts: []string{"incident.noted"}},
			call{as: "responder", method: "POST", path: "/incidents/1/notes", body: `{"text":"second"}`, status: 200, facts: []string{"incident.noted"}},
		)
		r := b.do(call{as: "viewer", method: "GET", path: "/incidents/1/timeline?limit=2"})
		items := r.json["items"].([]any)
		if len(items) != 2 || r.json["total"].(float64) != 3 || r.json["next_cursor"] == nil {
			t.Fatalf("first page: %s", r.body)
		}
		first := items[0].(map[string]any)
		if first["type"] != "incident.declared" || first["starred"] != true || first["text"].(map[string]any)["en"] == "" || first["actor"].(map[string]any)["kind"] != "token" {
			t.Errorf("first line: %v", first)
		}
		r = b.do(call{as: "viewer", method: "GET", path: "/incidents/1/timeline?limit=2&cursor=" + r.json["next_cursor"].(string)})
		if items = r.json["items"].([]any); len(items) != 1 || r.json["next_cursor"] != nil {
			t.Fatalf("second page: %s", r.body)
		}
		seq := jsonNumber(items[0].(map[string]any)["seq"])
		b.run(
			call{as: "viewer", method: "GET", path: "/incidents/1/timeline?order=newest&limit=1", status: 200, has: []string{"second"}, hasNot: []string{"first"}},
			call{as: "viewer", method: "GET", path: "/incidents/1/timeline?kind=note", status: 200, has: []string{"first", "second"}, hasNot: []string{"incident.declared"}},
			call{name: "star", as: "responder", method: "POST", path: "/incidents/1/timeline/" + seq + "/star", status: 200, has: []string{`"starred":true`}, facts: []string{"incident.line_starred"}},
			call{as: "viewer", method: "GET", path: "/incidents/1/timeline?starred=true", status: 200, has: []string{"second"}, hasNot: []string{"first"}},
			call{name: "unstar", as: "responder", method: "POST", path: "/incidents/1/timeline/" + seq + "/star", body: `{"on":false}`, status: 200, has: []string{`"starred":false`}, facts: []string{"incident.line_starred"}},
			call{name: "correct", as: "responder", method: "POST", path: "/incidents/1/timeline/" + seq + "/correct", body: `{"text":"third"}`, status: 200, has: []string{`"corrected":"third"`}, facts: []string{"incident.line_corrected"}},
			call{name: "star elsewhere", as: "responder", method: "POST", path: "/incidents/1/timeline/1/star", status: 404, code: "not_found"},
		)
	})
}

func TestAlertsAndSources(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		r := b.do(call{as: "manager", method: "POST", path: "/sources/prometheus/test"})
		if r.status != 200 {
			t.Fatal(r.body)
		}
		id := r.json["alert"].(string)
		b.run(
			call{as: "viewer", method: "GET", path: "/alerts?source=prometheus", status: 200, has: []string{id, `"state":"open"`, `"incident":null`, `"labels":{`}},
			call{as: "viewer", method: "GET", path: "/alerts?state=resolved", status: 200, has: []string{`"items":[]`}},
			call{name: "resolve by viewer", as: "viewer", method: "POST", path: "/alerts/" + id + "/resolve", status: 403, code: "forbidden"},
			call{
				name: "declare", as: "responder", method: "POST", path: "/alerts/" + id + "/declare", body: `{"severity":null}`, status: 201,
				has: []string{`"ref":"INC-1"`, `"services":["payments"]`}, facts: []string{"incident.declared", "alert.attached"},
			},
			call{name: "named", as: "viewer", method: "GET", path: "/alerts/" + id, status: 200, has: []string{`"incident":"INC-1"`}},
			call{name: "of the incident", as: "viewer", method: "GET", path: "/alerts?incident=INC-1", status: 200, has: []string{id}},
			call{name: "detach", as: "responder", method: "POST", path: "/alerts/" + id + "/detach", status: 200, has: []string{`"incident":null`}, facts: []string{"alert.detached"}},
			call{name: "attach", as: "responder", method: "POST", path: "/alerts/" + id + "/attach", body: `{"incident":"1"}`, status: 200, has: []string{`"incident":"INC-1"`}, facts: []string{"alert.attached"}},
			call{name: "attach to nothing", as: "responder", method: "POST", path: "/alerts/" + id + "/attach", body: `{"incident":"77"}`, status: 404, code: "not_found"},
			call{as: "viewer", method: "GET", path: "/alerts/nothing", status: 404, code: "not_found"},
			call{as: "viewer", method: "POST", path: "/sources", body: `{"id":"pd","kind":"pagerduty"}`, status: 403, code: "forbidden"},
			call{as: "manager", method: "POST", path: "/sources", body: `{"id":"pd","kind":"pagerduty"}`, status: 201, has: []string{`"key":"`}, facts: []string{"source.created"}},
			call{as: "manager", method: "POST", path: "/sources/pd/rotate-key", status: 200, has: []string{`"key":"`}, facts: []string{"source.key_rotated"}},
			call{as: "manager", method: "POST", path: "/sources", body: `{"id":"site","kind":"probe","every_s":60,"probe":{"tcp":"shop.example:443"}}`, status: 201, has: []string{`"silent_since":null`}, facts: []string{"source.created"}},
			call{as: "manager", method: "POST", path: "/sources", body: `{"id":"site2","kind":"probe","every_s":60,"probe":{"tcp":"shop"}}`, status: 422, code: "invalid", has: []string{"probe.tcp"}},
			call{as: "viewer", method: "GET", path: "/sources", status: 200, has: []string{`"id":"pd"`}, hasNot: []string{`"key"`}},
			call{as: "manager", method: "DELETE", path: "/sources/pd", status: 204, facts: []string{"source.removed"}},
			call{as: "manager", method: "POST", path: "/routes/test", status: 422, code: "invalid", body: `{"routes":[{"when":"alert.severity ==","then":"record"}],"alert":{"title":"x"}}`},
			call{
				as: "manager", method: "POST", path: "/routes/test", body: `{"routes":[{"id":"all","when":"alert.severity == \"info\"","then":"record"}],"alert":{"title":"x","severity":"info"}}`,
				header: map[string]string{"Idempotency-Key": "try"}, status: 200, has: []string{`"route":"all"`, `"then":"record"`},
			},
			call{as: "viewer", method: "GET", path: "/routes", status: 200, hasNot: []string{`"all"`}},
			call{as: "viewer", method: "POST", path: "/routes/test", body: `{"alert":{"title":"x"}}`, status: 200, has: []string{`"then":"incident"`}},
		)
	})
}

func TestRest(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.run(
			call{
				as: "responder", method: "POST", path: "/changes", body: `{"service":"payments","version_to":"1.4","at":"2026-11-23T08:50:00+00:00"}`, status: 201,
				has: []string{`"ref":"CHG-1"`, `"summary":"payments 1.4"`, `"at":"2026-11-23T08:50:00.000Z"`}, facts: []string{"change.recorded"},
			},
			call{as: "responder", method: "POST", path: "/changes", status: 422, code: "invalid", has: []string{`"path":"summary"`}},
			call{as: "viewer", method: "GET", path: "/changes?service=payments", status: 200, has: []string{`"total":1`}},
			call{as: "viewer", method: "GET", path: "/changes/chg-1", status: 200},
			call{as: "viewer", method: "GET", path: "/me", status: 200, has: []string{`"kind":"token"`, `"access":"viewer"`, `"person":null`}},
			call{as: "viewer", method: "GET", path: "/people", status: 200, has: []string{`"id":"paul"`, `"total":3`}},
			call{as: "manager", method: "POST", path: "/people", body: `{"id":"lina","name":"Lina","email":"lina@example.com"}`, status: 403, code: "forbidden"},
			call{as: "admin", method: "POST", path: "/people", body: `{"id":"lina","name":"Lina","email":"lina@example.com"}`, status: 201, has: []string{`"access":"viewer"`}, facts: []string{"person.added"}},
			call{as: "admin", method: "POST", path: "/people", body: `{"id":"lina","name":"Lina","email":"other@example.com"}`, status: 409, code: "conflict"},
			call{as: "admin", method: "PATCH", path: "/people/lina", body: `{"access":"responder"}`, header: map[string]string{"If-Match": `"99"`}, status: 412, code: "stale"},
			call{as: "admin", method: "PATCH", path: "/people/lina", body: `{"access":"responder"}`, status: 200, has: []string{`"access":"responder"`}, facts: []string{"person.changed"}},
			call{as: "admin", method: "GET", path: "/tokens", status: 200, has: []string{`"name":"narrow"`}, hasNot: []string{`"token"`}},
			call{as: "manager", method: "GET", path: "/parameters", status: 200, has: []string{`"name":"P.still"`}},
			call{as: "viewer", method: "GET", path: "/parameters", status: 403, code: "forbidden"},
			call{as: "admin", method: "PUT", path: "/parameters/P.nothing", body: `{"value":"5m"}`, status: 404, code: "not_found"},
			call{
				as: "admin", method: "POST", path: "/apply?dry_run=true", body: "apiVersion: tocsin/v1\n", header: map[string]string{"Content-Type": "application/yaml"}, status: 200,
				has: []string{"22 bytes, dry true", `"dry_run":true`},
			},
			call{as: "admin", method: "GET", path: "/export/config", status: 200, has: []string{"apiVersion: tocsin/v1"}},
			call{as: "viewer", method: "GET", path: "/schema/organisation.json", status: 200, has: []string{"draft/2020-12"}},
			call{as: "viewer", method: "GET", path: "/services", status: 200, has: []string{`"items":[]`}},
			call{as: "viewer", method: "GET", path: "/search?q=paul", status: 200, has: []string{`"kind":"person"`, `"id":"paul"`}},
			call{as: "viewer", method: "GET", path: "/search?q=chg-1", status: 200, has: []string{`"kind":"change"`}},
			call{as: "viewer", method: "GET", path: "/search", status: 422, code: "invalid", has: []string{`"path":"q"`}},
			call{as: "viewer", method: "GET", path: "/ledger/facts", status: 403, code: "forbidden"},
			call{as: "manager", method: "GET", path: "/ledger/checkpoint", status: 200, has: []string{"tocsin/ledger", `"root":"`}},
			call{as: "manager", method: "GET", path: "/ledger/facts?after=1&limit=2", status: 200, has: []string{`"seq":2`, `"seq":3`}, hasNot: []string{`"seq":1,`, `"seq":4`}},
			call{as: "manager", method: "GET", path: "/ledger/proof/2", status: 200, has: []string{`"sealed":{"seq":2`}},
			call{as: "manager", method: "GET", path: "/ledger/proof/9999", status: 404, code: "not_found"},
			call{as: "manager", method: "GET", path: "/ledger/consistency?from=2", status: 200, has: []string{`"from":2`}},
			call{as: "manager", method: "GET", path: "/ledger/consistency?from=2&to=9999", status: 422, code: "invalid"},
			call{as: "manager", method: "POST", path: "/ledger/facts/2/erase", body: `{"reason":"x"}`, status: 403, code: "forbidden"},
			call{as: "admin", method: "POST", path: "/ledger/facts/2/erase", body: `{"reason":"wrong person"}`, header: map[string]string{"Idempotency-Key": "e"}, status: 200, has: []string{`"erased":true`, `"body":null`}, facts: []string{"body.erased"}},
		)
		r := b.do(call{as: "viewer", method: "POST", path: "/tokens", body: `{"name":"mine","role":"viewer"}`})
		if r.status != 201 && r.status != 403 {
			t.Errorf("token: %d %s", r.status, r.body)
		}
	})
}

// TestNeedToKnow holds a confidential incident apart everywhere it might show.
func TestNeedToKnow(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.run(
			call{as: "secret", method: "POST", path: "/incidents", body: `{"title":"Theft","confidential":true}`, status: 201, facts: []string{"incident.declared"}},
			call{as: "secret", method: "GET", path: "/incidents/1", status: 200},
			call{as: "admin", method: "GET", path: "/incidents/1", status: 404, code: "not_found"},
			call{as: "admin", method: "POST", path: "/incidents/1/notes", body: `{"text":"x"}`, status: 404, code: "not_found"},
			call{as: "admin", method: "GET", path: "/incidents", status: 200, has: []string{`"total":0`}},
			call{as: "admin", method: "GET", path: "/incidents/1/timeline", status: 404, code: "not_found"},
			call{as: "admin", method: "GET", path: "/search?q=theft", status: 200, has: []string{`"items":[]`}},
			call{as: "admin", method: "GET", path: "/ledger/facts?order=newest&limit=1", status: 200, has: []string{`"withheld":true`, `"type":null`}, hasNot: []string{"Theft", "incident.declared", "INC-1"}},
			call{as: "admin", method: "GET", path: "/ledger/facts?types=incident.declared", status: 200, has: []string{`"items":[]`}, hasNot: []string{`"total":1`}},
			call{as: "secret", method: "GET", path: "/ledger/facts?order=newest&limit=1", status: 200, has: []string{"Theft"}},
		)
		proof := b.do(call{as: "admin", method: "GET", path: "/ledger/proof/" + jsonNumber(float64(b.head()))})
		if proof.status != 200 || strings.Contains(proof.body, "Theft") || proof.json["sealed"] != nil {
			t.Errorf("proof: %s", proof.body)
		}
	})
}

func TestWhoMayEnter(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		b.run(
			call{name: "no token", method: "GET", path: "/incidents", status: 401, code: "unauthenticated"},
			call{name: "foreign token", as: "toc_" + strings.Repeat("A", 43), method: "GET", path: "/incidents", status: 401, code: "unauthenticated"},
			call{name: "other scheme", method: "GET", path: "/incidents", header: map[string]string{"Authorization": "Basic eDp5"}, status: 401, code: "unauthenticated"},
			call{name: "narrow token", as: "narrow", method: "GET", path: "/incidents", status: 403, code: "forbidden"},
			call{name: "narrow token, its own", as: "narrow", method: "GET", path: "/alerts", status: 200},
			call{name: "no such call", as: "admin", method: "GET", path: "/nothing", status: 404, code: "not_found"},
			call{name: "other method", as: "admin", method: "DELETE", path: "/incidents", status: 405, code: "not_found"},
			call{name: "short token", as: "short", method: "GET", path: "/me", status: 200},
		)
		b.clock.Advance(2 * time.Hour)
		b.run(call{name: "expired token", as: "short", method: "GET", path: "/me", status: 401, code: "unauthenticated"})
		cookie := map[string]string{"Cookie": "session=yes"}
		b.run(call{name: "cookie of nobody", method: "GET", path: "/me", header: cookie, status: 401, code: "unauthenticated"})
		b.session = kit.Actor{Kind: kit.ActorPerson, ID: "paul", Name: "Paul Roy", Access: kit.AccessResponder}
		b.run(
			call{name: "cookie", method: "GET", path: "/me", header: cookie, status: 200, has: []string{`"kind":"person"`, `"email":"paul@example.com"`}},
			call{
				name: "cookie from elsewhere", method: "POST", path: "/incidents", body: `{"title":"x"}`, status: 403, code: "forbidden",
				header: map[string]string{"Cookie": "session=yes", "Sec-Fetch-Site": "cross-site"},
			},
			call{
				name: "cookie from here", method: "POST", path: "/incidents", body: `{"title":"x"}`, status: 201,
				header: map[string]string{"Cookie": "session=yes", "Sec-Fetch-Site": "same-origin"}, facts: []string{"incident.declared"},
			},
		)
		if r := b.do(call{method: "GET", path: "/incidents"}); r.header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	})
}

func TestBadInput(t *testing.T) {
	each(t, func(_ *testing.T, b *bundle) {
		type m = map[string]string
		post := func(name, body string, status int, code string, header m) call {
			return call{name: name, as: "admin", method: "POST", path: "/incidents", body: body, status: status, code: code, header: header}
		}
		b.run(
			post("unknown field", `{"title":"x","colour":"red"}`, 422, "invalid", nil),
			post("no title", `{}`, 422, "invalid", nil),
			post("no body", ``, 422, "invalid", nil),
			post("wrong type", `{"title":7}`, 422, "invalid", nil),
			post("title is a list", `{"title":["x"]}`, 422, "invalid", nil),
			post("title too long", `{"title":"`+strings.Repeat("x", 201)+`"}`, 422, "invalid", nil),
			post("bad severity", `{"title":"x","severity":"sev9"}`, 422, "invalid", nil),
			post("bad time", `{"title":"x","occurred_at":"yesterday"}`, 422, "invalid", nil),
			post("future", `{"title":"x","occurred_at":"2027-01-01T00:00:00Z"}`, 422, "invalid", nil),
			post("not JSON", `{"title":`, 400, "malformed", nil),
			post("two values", `{"title":"x"}{}`, 400, "malformed", nil),
			post("not UTF-8", "{\"title\":\"\xff\"}", 400, "malformed", nil),
			post("array", `[]`, 422, "invalid", nil),
			post("form", `title=x`, 415, "unsupported", m{"Content-Type": "application/x-www-form-urlencoded"}),
			post("yaml", `title: x`, 415, "unsupported", m{"Content-Type": "application/yaml"}),
			post("charset", `{"title":"x"}`, 415, "unsupported", m{"Content-Type": "application/json; charset=latin1"}),
			post("too large", `{"title":"`+strings.Repeat("x", 1<<20)+`"}`, 413, "too_large", nil),
			post("key too long", `{"title":"x"}`, 422, "invalid", m{"Idempotency-Key": strings.Repeat("k", 256)}),
			call{
				name: "fine", as: "admin", method: "POST", path: "/incidents", body: `{"title":"Éteint","occurred_at":"2026-11-23T09:30:00+01:00","severity":null}`,
				header: m{"Content-Type": "application/json; charset=UTF-8"}, status: 201, has: []string{`"occurred_at":"2026-11-23T08:30:00.000Z"`, "Éteint"}, facts: []string{"incident.declared"},
			},
			call{name: "bad seq", as: "admin", method: "GET", path: "/ledger/proof/x", status: 422, code: "invalid"},
		)
	})
}

func TestVersions(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		r := b.do(call{as: "responder", method: "POST", path: "/incidents", body: `{"title":"A"}`})
		tag := r.header.Get("ETag")
		if tag == "" || r.header.Get("Location") != "/api/v1/incidents/INC-1" {
			t.Fatalf("headers: %v", r.header)
		}
		match := map[string]string{"If-Match": tag}
		b.run(
			call{name: "right version", as: "responder", method: "PATCH", path: "/incidents/1", body: `{"title":"B"}`, header: match, status: 200, has: []string{`"title":"B"`}, facts: []string{"incident.renamed"}},
			call{name: "old version", as: "responder", method: "PATCH", path: "/incidents/1", body: `{"title":"C"}`, header: match, status: 412, code: "stale"},
			call{name: "old version of a command", as: "responder", method: "POST", path: "/incidents/1/acknowledge", header: match, status: 412, code: "stale"},
			call{name: "no version", as: "responder", method: "PATCH", path: "/incidents/1", body: `{"summary":"C"}`, header: map[string]string{"If-Match": "x"}, status: 412, code: "stale"},
			call{name: "any version", as: "responder", method: "PATCH", path: "/incidents/1", body: `{"summary":"C"}`, header: map[string]string{"If-Match": "*"}, status: 200, facts: []string{"incident.renamed"}},
		)
		now := b.do(call{as: "responder", method: "GET", path: "/incidents/1"})
		b.run(call{
			name: "command at the version", as: "responder", method: "POST", path: "/incidents/1/acknowledge", status: 200,
			header: map[string]string{"If-Match": now.header.Get("ETag")}, facts: []string{"incident.acknowledged", "incident.phase_changed"},
		})
	})
}

func TestIdempotency(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		key := map[string]string{"Idempotency-Key": "k1"}
		declare := call{name: "first", as: "responder", method: "POST", path: "/incidents", body: `{"title":"A"}`, header: key, status: 201, facts: []string{"incident.declared"}}
		first := b.do(declare)
		again := b.do(declare)
		if first.status != http.StatusCreated || again.status != http.StatusCreated || first.body != again.body || again.header.Get("ETag") != first.header.Get("ETag") ||
			again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("first %d %s\nagain %d %v %s", first.status, first.body, again.status, again.header, again.body)
		}
		b.run(
			call{name: "other body", as: "responder", method: "POST", path: "/incidents", body: `{"title":"B"}`, header: key, status: 422, code: "invalid"},
			call{name: "other path", as: "responder", method: "POST", path: "/incidents/1/notes", body: `{"title":"A"}`, header: key, status: 422, code: "invalid"},
			call{name: "other caller", as: "manager", method: "POST", path: "/incidents", body: `{"title":"B"}`, header: key, status: 201, facts: []string{"incident.declared"}},
			call{name: "failed", as: "responder", method: "POST", path: "/incidents/1/cancel", header: map[string]string{"Idempotency-Key": "k2"}, status: 422, code: "invalid"},
			call{name: "mended", as: "responder", method: "POST", path: "/incidents/1/cancel", body: `{"reason":"drill"}`, header: map[string]string{"Idempotency-Key": "k2"}, status: 200, facts: []string{"incident.cancelled"}},
			call{name: "secret", as: "manager", method: "POST", path: "/sources", body: `{"id":"pd","kind":"pagerduty"}`, header: key, status: 422, code: "invalid"},
			call{name: "secret, own key", as: "manager", method: "POST", path: "/sources", body: `{"id":"pd","kind":"pagerduty"}`, header: map[string]string{"Idempotency-Key": "k3"}, status: 201, facts: []string{"source.created"}},
			call{name: "secret again", as: "manager", method: "POST", path: "/sources", body: `{"id":"pd","kind":"pagerduty"}`, header: map[string]string{"Idempotency-Key": "k3"}, status: 409, code: "conflict", has: []string{"secret_shown"}},
		)
		b.clock.Advance(25 * time.Hour)
		b.run(declare)
		var kept int
		if err := b.d.Read(t.Context()).NewSelect().Table("idempotency").ColumnExpr("COUNT(*)").Scan(t.Context(), &kept); err != nil || kept != 1 {
			t.Errorf("%d answers kept (%v), want the last alone", kept, err)
		}
	})
}

// TestSameKeyAtOnce sends one request eight times at the same moment: there is one
// effect, and every answer is the first one or says to come back.
func TestSameKeyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		var wg sync.WaitGroup
		answers := make([]reply, 8)
		for n := range answers {
			wg.Go(func() {
				answers[n] = b.do(call{
					as: "responder", method: "POST", path: "/incidents", body: `{"title":"A"}`, header: map[string]string{"Idempotency-Key": "k"},
				})
			})
		}
		wg.Wait()
		for n, r := range answers {
			if r.status != http.StatusCreated && r.status != http.StatusServiceUnavailable {
				t.Errorf("answer %d: %d %s", n, r.status, r.body)
			}
		}
		if r := b.do(call{as: "viewer", method: "GET", path: "/incidents"}); r.json["total"] != 1.0 {
			t.Errorf("one request, %v incidents", r.json["total"])
		}
	})
}

// TestDatabaseGone answers 503 with Retry-After, and no detail of the fault.
func TestDatabaseGone(t *testing.T) {
	b := start(t, dbtest.OpenSQLite(t, nil), nil)
	if err := b.d.Close(); err != nil {
		t.Fatal(err)
	}
	r := b.do(call{as: "viewer", method: "GET", path: "/incidents"})
	if r.status < 500 || strings.Contains(r.body, "sql") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
