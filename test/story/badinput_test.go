package story_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// operation is one call of the description of the API.
type operation struct {
	method, path string
	// json is whether it takes a JSON object, need its required fields, wrong a body
	// in which each field has another type than it should.
	json  bool
	need  []string
	wrong string
	// public says that it needs no token.
	public bool
}

// operations reads the description that the server gives of itself.
func (h *house) operations() (out []operation) {
	type schema struct {
		Ref        string            `json:"$ref"`
		Type       any               `json:"type"`
		Required   []string          `json:"required"`
		Properties map[string]schema `json:"properties"`
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Security    []map[string][]string
			RequestBody struct {
				Content map[string]struct {
					Schema schema `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if status := h.call(http.MethodGet, "/api/v1/openapi.json", nil, &doc); status != http.StatusOK {
		h.t.Fatalf("description: %d", status)
	}
	resolve := func(s schema) schema {
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
			return doc.Components.Schemas[name]
		}
		return s
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[path] {
			o := operation{method: strings.ToUpper(method), path: path}
			for _, need := range op.Security {
				o.public = o.public || len(need) == 0
			}
			if c, ok := op.RequestBody.Content["application/json"]; ok && len(op.RequestBody.Content) == 1 {
				s := resolve(c.Schema)
				o.json, o.need = true, s.Required
				wrong := map[string]any{}
				for name, p := range s.Properties {
					if name == "$schema" {
						continue
					}
					if resolve(p).Type == "object" {
						wrong[name] = 7
					} else {
						wrong[name] = map[string]any{"not": "this"}
					}
				}
				raw, _ := json.Marshal(wrong)
				o.wrong = string(raw)
			}
			out = append(out, o)
		}
	}
	return out
}

// Whatever is wrong with a call, it is answered by a problem with the right code, and
// nothing is written.
func TestBadCallsWriteNothing(t *testing.T) {
	h := open(t, app.Config{Data: t.TempDir()})
	ctx := app.AsSystem(context.Background())
	if _, err := h.app.Incident.Get(ctx, "INC-1"); kit.CodeOf(err) != kit.CodeNotFound {
		t.Fatal(err)
	}
	expired, made, err := h.app.Identity.CreateToken(ctx, identity.NewToken{Name: "old", Access: kit.AccessAdmin})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.app.Identity.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	short, _, err := h.app.Identity.CreateToken(ctx, identity.NewToken{Name: "short", Access: kit.AccessAdmin, Expires: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h.eventually("the end of the short token", func() bool {
		_, err := h.app.Identity.Authenticate(ctx, short)
		return err != nil
	})
	h.eventually("its fact", func() bool {
		f, err := h.app.Ledger().Facts(ctx, ledger.Filter{Types: []string{"token.expired"}})
		return err == nil && len(f) == 1
	})
	narrow, _, err := h.app.Identity.CreateToken(ctx, identity.NewToken{Name: "narrow", Access: kit.AccessViewer, Scopes: []string{"risks:read"}})
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := h.app.Ledger().Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func(o operation, token, kind, body string) (int, string) {
		t.Helper()
		path := pathParameter.ReplaceAllString(o.path, "none")
		req, err := http.NewRequest(o.method, h.base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		res, err := http.DefaultClient.Do(req.WithContext(ctx))
		if err != nil {
			t.Fatalf("%s %s: %v", o.method, path, err)
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode < 400 {
			return res.StatusCode, ""
		}
		raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Type, Title string
			Status      int
		}
		if err := json.Unmarshal(raw, &p); err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || p.Status != res.StatusCode || p.Title == "" {
			t.Errorf("%s %s with %.40q: %d is no problem: %.200s", o.method, path, body, res.StatusCode, raw)
		}
		return res.StatusCode, strings.TrimPrefix(p.Type, "/problems/")
	}
	public := []string{"/api/v1/openapi.json", "/api/v1/schema/organisation.json"}
	// What any token may ask: who it is itself.
	own := []string{"GET /api/v1/me"}
	bodies, calls := 0, 0
	for _, o := range h.operations() {
		is := func(what string, status int, code string, want int, wantCode string) {
			t.Helper()
			calls++
			if status != want || code != wantCode {
				t.Errorf("%s %s, %s: %d %s, want %d %s", o.method, o.path, what, status, code, want, wantCode)
			}
		}
		if !o.public && !slices.Contains(public, o.path) {
			for what, token := range map[string]string{"without a token": "", "an unknown token": "toc_" + strings.Repeat("x", 43), "a revoked token": expired, "an expired token": short} {
				status, code := send(o, token, "application/json", "{}")
				is(what, status, code, 401, "unauthenticated")
			}
			// A token of another scope reads nothing but what is its own, and changes nothing.
			status, code := send(o, narrow, "application/json", "{}")
			if status != 403 && status != 404 && status != 422 && !slices.Contains(own, o.method+" "+o.path) {
				t.Errorf("%s %s, by a token of another scope: %d %s", o.method, o.path, status, code)
			}
		}
		if !o.json {
			continue
		}
		bodies++
		status, code := send(o, h.token, "application/json", `{"`)
		is("half a body", status, code, 400, "malformed")
		status, code = send(o, h.token, "text/plain", `{}`)
		is("a body of another kind", status, code, 415, "unsupported")
		status, code = send(o, h.token, "application/json", `["x"]`)
		is("a list", status, code, 422, "invalid")
		status, code = send(o, h.token, "application/json", `{"zz_unknown":1}`)
		is("a field that is unknown", status, code, 422, "invalid")
		status, code = send(o, h.token, "application/json", `{"zz":"`+strings.Repeat("x", 3<<20)+`"}`)
		if o.path == "/api/v1/imports" {
			// It takes whole files.
			is("three megabytes of a field that is unknown", status, code, 422, "invalid")
		} else {
			is("three megabytes", status, code, 413, "too_large")
		}
		if o.wrong != "{}" {
			status, code = send(o, h.token, "application/json", o.wrong)
			is("fields of other types", status, code, 422, "invalid")
		}
		if len(o.need) > 0 {
			status, code = send(o, h.token, "application/json", `{}`)
			is("without what is needed", status, code, 422, "invalid")
		}
		if status, _ = send(o, h.token, "application/json", string(bytes.Repeat([]byte("["), 20000))); status != 400 && status != 422 {
			t.Errorf("%s %s, a deep body: %d", o.method, o.path, status)
		}
	}
	if bodies < 30 || calls < 400 {
		t.Errorf("only %d bodies and %d calls were tried", bodies, calls)
	}
	after, _, err := h.app.Ledger().Head(ctx)
	if err != nil || after != before {
		t.Errorf("%d facts became %d: %v", before, after, err)
	}
}
