// Package client speaks to a Tocsin server by its REST interface.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

const (
	// wait is how long one call may take.
	wait = 20 * time.Second
	// patience is how long a call may take that moves a whole file.
	patience = 10 * time.Minute
	// maxAnswer is how much of an answer is read.
	maxAnswer = 256 << 20
	prefix    = "/api/v1"
)

// Unreachable is the reason of an error that says that no server answered.
const Unreachable = "unreachable"

// Client calls one server with one token.
type Client struct {
	// Base is where the server is, as http://127.0.0.1:8080.
	Base  string
	Token string
	// Agent is the User-Agent.
	Agent string
	// Trace is told every call and its answer, when it is not nil.
	Trace func(line string)

	http *http.Client
}

// New gives a client. A base that is not an absolute http or https URL is
// kit.Invalid.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, kit.InvalidField("server", "error.bad_value", "value", base)
	}
	return &Client{Base: u.String(), Token: token, Agent: "tocsin", http: &http.Client{
		Timeout: wait,
		// A token goes where it was meant to go and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Patient gives a client that waits longer, for calls that move a whole file.
func (c *Client) Patient() *Client {
	p, h := *c, *c.http
	h.Timeout = patience
	p.http = &h
	return &p
}

// IsUnreachable tells whether an error says that no server answered: what was
// asked may or may not have been done.
func IsUnreachable(err error) bool {
	var e *kit.Error
	return errors.As(err, &e) && e.Reason == Unreachable
}

// NeverSent tells whether a call surely did not reach the server.
func NeverSent(err error) bool {
	var op *net.OpError
	return IsUnreachable(err) && errors.As(err, &op) && op.Op == "dial"
}

// Get reads a path below /api/v1 into out, unless it is nil, and gives the answer.
func (c *Client) Get(ctx context.Context, path string, out any) (json.RawMessage, error) {
	raw, err := c.Do(ctx, http.MethodGet, path, "", nil, "")
	if err == nil && out != nil {
		err = c.decode(raw, out)
	}
	return raw, err
}

// Post sends in as JSON with an Idempotency-Key, reads the answer into out, unless
// it is nil, and gives it.
func (c *Client) Post(ctx context.Context, path string, in any, key string, out any) (json.RawMessage, error) {
	body := []byte("{}")
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	raw, err := c.Do(ctx, http.MethodPost, path, "application/json", body, key)
	if err == nil && out != nil {
		err = c.decode(raw, out)
	}
	return raw, err
}

func (c *Client) decode(raw []byte, out any) error {
	if err := json.Unmarshal(raw, out); err != nil {
		return &kit.Error{Code: kit.CodeInternal, Key: "cli.error.not_tocsin", Args: map[string]any{"server": c.Base}, Err: err}
	}
	return nil
}

// Do makes one call. An answer that is a problem is its kit.Error; no answer is
// kit.CodeBusy with the reason Unreachable.
func (c *Client) Do(ctx context.Context, method, path, kind string, body []byte, key string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+prefix+path, bytes.NewReader(body))
	if err != nil {
		return nil, kit.InvalidField("server", "error.bad_value", "value", c.Base)
	}
	req.Header.Set("User-Agent", c.Agent)
	req.Header.Set("Accept", "application/json, application/problem+json, application/yaml")
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if method == http.MethodPost {
		if key == "" {
			key = kit.NewID()
		}
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.unreachable(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if c.Trace != nil {
		c.Trace(fmt.Sprintf("%s %s %d %s", method, req.URL.Path, res.StatusCode, res.Header.Get("X-Request-Id")))
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, c.unreachable(err)
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return raw, nil
	}
	if t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); t == "application/problem+json" {
		return nil, problem(raw)
	}
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// A proxy answers for a server that does not.
		return nil, c.unreachable(fmt.Errorf("status %d", res.StatusCode))
	}
	return nil, &kit.Error{
		Code: kit.CodeInternal, Key: "cli.error.not_tocsin", Args: map[string]any{"server": c.Base},
		Err: fmt.Errorf("status %d at %s", res.StatusCode, req.URL.Path),
	}
}

func (c *Client) unreachable(err error) error {
	return &kit.Error{Code: kit.CodeBusy, Reason: Unreachable, Key: "cli.error.unreachable", Args: map[string]any{"server": c.Base}, Err: err}
}

// problem puts a problem+json into the error that the server had. What this build
// has no words for keeps the server's.
func problem(raw []byte) error {
	var p struct {
		Type, Detail, Reason, Key string
		Args                      map[string]any
		RequestID                 string `json:"request_id"`
		Errors                    []struct {
			Path, Key, Message string
			Args               map[string]any
		}
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return kit.Internal(err)
	}
	e := &kit.Error{Code: kit.Code(strings.TrimPrefix(p.Type, "/problems/")), Reason: p.Reason, Key: p.Key, Args: p.Args}
	if !i18n.Has(e.Key) {
		e.Key, e.Args = "cli.error.told", map[string]any{"text": p.Detail}
	}
	for _, f := range p.Errors {
		if !i18n.Has(f.Key) {
			f.Key, f.Args = "cli.error.told", map[string]any{"text": f.Message}
		}
		e.Fields = append(e.Fields, kit.Field{Path: f.Path, Key: f.Key, Args: f.Args})
	}
	if e.Code == kit.CodeInternal {
		e.Err = errors.New("request " + p.RequestID)
	}
	return e
}
