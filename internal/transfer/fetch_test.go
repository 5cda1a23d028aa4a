package transfer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/internal/kit"
	"tocsin/internal/transfer"
)

// pages serves lists in pages of two, after one answer that asks to wait.
type pages struct {
	t      *testing.T
	mu     sync.Mutex
	waited bool
	auth   string
	seen   map[string]bool
}

func (p *pages) enter(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := r.Header.Get("Authorization"); got != p.auth {
		p.t.Errorf("%s: Authorization %q", r.URL, got)
	}
	if !p.waited {
		p.waited = true
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return false
	}
	p.seen[r.URL.Path] = true
	return true
}

func cut(list []json.RawMessage, offset int) (page []json.RawMessage, more bool) {
	end := min(offset+2, len(list))
	return list[min(offset, end):end], end < len(list)
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func member(t *testing.T, raw json.RawMessage, name string) json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m[name]
}

func strip(t *testing.T, list []json.RawMessage, names ...string) []json.RawMessage {
	t.Helper()
	var out []json.RawMessage
	for _, raw := range list {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			delete(m, n)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func find(t *testing.T, list []json.RawMessage, id string) json.RawMessage {
	t.Helper()
	for _, raw := range list {
		var s string
		if json.Unmarshal(member(t, raw, "id"), &s) == nil && s == id {
			return raw
		}
	}
	t.Fatalf("no %s", id)
	return nil
}

func (p *pages) pagerDuty(e *transfer.Export) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.enter(w, r) {
			return
		}
		if got := r.Header.Get("Accept"); got != "application/vnd.pagerduty+json;version=2" {
			p.t.Errorf("Accept %q", got)
		}
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		list := e.Resources[parts[0]]
		switch {
		case len(parts) == 3:
			if r.URL.Query().Get("since") == "" || r.URL.Query().Get("until") == "" {
				p.t.Errorf("overrides without a time: %s", r.URL)
			}
			answer(w, map[string]any{"overrides": member(p.t, find(p.t, list, parts[1]), "overrides")})
		case len(parts) == 2:
			answer(w, map[string]any{"schedule": strip(p.t, []json.RawMessage{find(p.t, list, parts[1])}, "overrides")[0]})
		default:
			offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
			page, more := cut(strip(p.t, list, "schedule_layers", "overrides"), offset)
			answer(w, map[string]any{parts[0]: page, "limit": 2, "offset": offset, "more": more, "total": nil})
		}
	}
}

func (p *pages) opsgenie(e *transfer.Export) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.enter(w, r) {
			return
		}
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")[1:]
		list := e.Resources[parts[0]]
		var sub []json.RawMessage
		if len(parts) > 2 {
			raw := find(p.t, list, parts[1])
			name := map[string]string{"contacts": "contacts", "notification-rules": "notificationRules", "overrides": "overrides"}[parts[2]]
			_ = json.Unmarshal(member(p.t, raw, name), &sub)
		}
		switch len(parts) {
		case 4:
			answer(w, map[string]any{"data": find(p.t, sub, parts[3])})
			return
		case 3:
			list = sub
			if parts[2] == "notification-rules" {
				list = strip(p.t, sub, "steps")
			}
		case 2:
			answer(w, map[string]any{"data": find(p.t, list, parts[1])})
			return
		default:
			list = strip(p.t, list, "contacts", "notificationRules", "members", "overrides")
		}
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		page, more := cut(list, offset)
		out := map[string]any{"data": page, "took": 0.1}
		if more {
			next := *r.URL
			next.Scheme, next.Host = "http", r.Host
			q := next.Query()
			q.Set("offset", strconv.Itoa(offset+2))
			next.RawQuery = q.Encode()
			out["paging"] = map[string]string{"next": next.String()}
		}
		answer(w, out)
	}
}

func (p *pages) onCall(e *transfer.Export) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.enter(w, r) {
			return
		}
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/oncall/api/v1"), "/")
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		page, more := cut(e.Resources[name], 2*max(n-1, 0))
		out := map[string]any{"count": len(e.Resources[name]), "next": nil, "previous": nil, "results": page}
		if more {
			// As behind a proxy, with another scheme.
			out["next"] = fmt.Sprintf("https://%s%s?page=%d", r.Host, r.URL.Path, max(n, 1)+1)
		}
		answer(w, out)
	}
}

func (p *pages) goAlert(e *transfer.Export) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.enter(w, r) {
			return
		}
		var in struct {
			Query     string
			Variables struct{ After string }
		}
		if r.URL.Path != "/api/graphql" || r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&in) != nil {
			p.t.Errorf("%s %s", r.Method, r.URL)
		}
		_, name, _ := strings.Cut(in.Query, "list: ")
		name, _, _ = strings.Cut(name, "(")
		offset, _ := strconv.Atoi(in.Variables.After)
		page, more := cut(e.Resources[name], offset)
		if page == nil {
			page = []json.RawMessage{}
		}
		answer(w, map[string]any{"data": map[string]any{"list": map[string]any{
			"nodes": page, "pageInfo": map[string]any{"hasNextPage": more, "endCursor": strconv.Itoa(offset + 2)},
		}}})
	}
}

// TestFetch reads every sample page by page and converts it to the same file.
func TestFetch(t *testing.T) {
	for _, c := range []struct{ product, auth, base string }{
		{transfer.PagerDuty, "Token token=secret", ""},
		{transfer.Opsgenie, "GenieKey secret", ""},
		{transfer.OnCall, "secret", "/oncall/api/v1/"},
		{transfer.GoAlert, "Bearer secret", ""},
	} {
		t.Run(c.product, func(t *testing.T) {
			e := sample(t, c.product)
			if c.product == transfer.Opsgenie {
				// Their API has these within users and schedules only.
				delete(e.Resources, "contacts")
				delete(e.Resources, "overrides")
			}
			p := &pages{t: t, auth: c.auth, seen: map[string]bool{}}
			server := httptest.NewServer(map[string]func(*transfer.Export) http.HandlerFunc{
				transfer.PagerDuty: p.pagerDuty, transfer.Opsgenie: p.opsgenie, transfer.OnCall: p.onCall, transfer.GoAlert: p.goAlert,
			}[c.product](e))
			defer server.Close()
			got, err := transfer.Fetch(t.Context(), server.Client(), c.product, server.URL+c.base, "secret")
			if err != nil {
				t.Fatal(err)
			}
			if !p.waited {
				t.Error("nothing had to wait")
			}
			one, _ := transfer.Convert(e, nil, now)
			two, _ := transfer.Convert(got, nil, now)
			if diff := cmp.Diff(written(t, one), written(t, two)); diff != "" {
				t.Errorf("(-saved +fetched):\n%s", diff)
			}
			saved, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			again, err := transfer.Parse("", strings.NewReader(string(saved)))
			if err != nil || again.Product != c.product {
				t.Fatalf("%v %+v", err, again)
			}
			three, _ := transfer.Convert(again, nil, now)
			if diff := cmp.Diff(written(t, two), written(t, three)); diff != "" {
				t.Errorf("(-fetched +saved again):\n%s", diff)
			}
		})
	}
}

// TestFetchRefused holds what ends a reading, and that the token goes nowhere else.
func TestFetchRefused(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger is asked, with %q", r.Header.Get("Authorization"))
	}))
	defer stranger.Close()
	away, err := url.Parse(stranger.URL)
	if err != nil {
		t.Fatal(err)
	}
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		product string
		handler http.HandlerFunc
		want    string
	}{
		"elsewhere":      {transfer.OnCall, say(200, `{"results":[],"next":"`+stranger.URL+`/x"}`), "transfer.error.elsewhere"},
		"elsewhere too":  {transfer.Opsgenie, say(200, `{"data":[{}],"paging":{"next":"//`+away.Host+`/v2/users"}}`), "transfer.error.elsewhere"},
		"refused":        {transfer.PagerDuty, say(401, `{}`), "transfer.error.refused"},
		"forbidden":      {transfer.GoAlert, say(403, ``), "transfer.error.refused"},
		"broken":         {transfer.PagerDuty, say(500, ``), "transfer.error.answer"},
		"no json":        {transfer.PagerDuty, say(200, `<html>`), "transfer.error.json"},
		"another shape":  {transfer.Opsgenie, say(200, `{"data":{}}`), "transfer.error.shape"},
		"graphql":        {transfer.GoAlert, say(200, `{"errors":[{"message":"no such field"}]}`), "transfer.error.graphql"},
		"busy for ever":  {transfer.OnCall, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "0"); w.WriteHeader(429) }, "transfer.error.answer"},
		"without an end": {transfer.OnCall, say(200, `{"results":[],"next":"/api/v1/users/?page=2"}`), "transfer.error.pages"},
		"empty":          {transfer.OnCall, say(200, `{"results":[],"next":null}`), "transfer.error.empty"},
	} {
		server := httptest.NewServer(c.handler)
		_, err := transfer.Fetch(t.Context(), server.Client(), c.product, server.URL, "secret")
		server.Close()
		if got := key(err); got != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the token is in %v", name, err)
		}
	}
	for _, base := range []string{"", "api.example.com", "ftp://api.example.com", "https://", "https://user@api.example.com", "://"} {
		if _, err := transfer.Fetch(t.Context(), http.DefaultClient, transfer.OnCall, base, "secret"); key(err) != "transfer.error.url" {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := transfer.Fetch(t.Context(), http.DefaultClient, transfer.OnCall, stranger.URL, " "); key(err) != "transfer.error.token" {
		t.Errorf("no token: %v", err)
	}
	if _, err := transfer.Fetch(t.Context(), http.DefaultClient, "victorops", stranger.URL, "x"); key(err) != "transfer.error.product" {
		t.Errorf("no product: %v", err)
	}
}

func key(err error) string {
	var e *kit.Error
	if !errors.As(err, &e) {
		return ""
	}
	if len(e.Fields) > 0 {
		return e.Fields[0].Key
	}
	return e.Key
}
