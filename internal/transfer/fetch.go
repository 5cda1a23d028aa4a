package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
)

// Limits of a reading, against an API that never ends.
const (
	maxPages = 2000
	maxTries = 4
	maxWait  = time.Minute
)

// Fetch reads a product's API page by page. baseURL is where it answers, such as
// https://api.pagerduty.com; the token goes nowhere else. The client should not follow
// redirects.
func Fetch(ctx context.Context, client Doer, product, baseURL, token string) (*Export, error) {
	base, err := url.Parse(strings.TrimRight(strings.TrimSpace(baseURL), "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil {
		return nil, kit.InvalidField("url", "transfer.error.url", "value", baseURL)
	}
	if token = strings.TrimSpace(token); token == "" {
		return nil, kit.InvalidField("token", "transfer.error.token")
	}
	s := &session{ctx: ctx, client: client, base: base, left: maxBytes, header: http.Header{}, out: &Export{Product: product, Resources: map[string][]json.RawMessage{}}}
	s.header.Set("Accept", "application/json")
	switch product {
	case PagerDuty:
		s.header.Set("Authorization", "Token token="+token)
		s.header.Set("Accept", "application/vnd.pagerduty+json;version=2")
		err = s.pagerDuty()
	case Opsgenie:
		s.header.Set("Authorization", "GenieKey "+token)
		err = s.opsgenie()
	case OnCall:
		s.header.Set("Authorization", token)
		err = s.onCall()
	case GoAlert:
		s.header.Set("Authorization", "Bearer "+token)
		err = s.goAlert()
	default:
		return nil, kit.InvalidField("product", "transfer.error.product", "value", product, "products", strings.Join(Products, ", "))
	}
	if err != nil {
		return nil, err
	}
	return s.out, check(s.out)
}

type session struct {
	ctx    context.Context
	client Doer
	base   *url.URL
	header http.Header
	// left is how many bytes may still come.
	left  int64
	pages int
	out   *Export
}

// under is the address of a path of the API. A prefix that the base has already is not
// doubled.
func (s *session) under(prefix, path string) string {
	return strings.TrimSuffix(s.base.String(), prefix) + prefix + path
}

// next gives the address that an answer names for its next page. It must be on the same
// host, and gets the scheme of the base: behind a proxy many write http.
func (s *session) next(link string) (string, error) {
	u, err := s.base.Parse(link)
	if err != nil || !strings.EqualFold(u.Host, s.base.Host) {
		return "", kit.InvalidField("url", "transfer.error.elsewhere", "host", s.base.Host)
	}
	u.Scheme, u.User = s.base.Scheme, nil
	return u.String(), nil
}

// get reads one answer into out.
func (s *session) get(address string, out any) error {
	return s.ask(http.MethodGet, address, nil, out)
}

func (s *session) ask(method, address string, body []byte, out any) error {
	if s.pages++; s.pages > maxPages {
		return kit.InvalidField("url", "transfer.error.pages", "max", maxPages)
	}
	for try := 1; ; try++ {
		req, err := http.NewRequestWithContext(s.ctx, method, address, bytes.NewReader(body))
		if err != nil {
			return kit.InvalidField("url", "transfer.error.url", "value", s.base.String())
		}
		req.Header = s.header.Clone()
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := s.client.Do(req)
		if err != nil {
			e := kit.InvalidField("url", "transfer.error.unreachable", "host", s.base.Host)
			e.Err = err
			return e
		}
		if resp.StatusCode == http.StatusTooManyRequests && try < maxTries {
			_ = resp.Body.Close()
			if err := s.wait(resp.Header.Get("Retry-After"), try); err != nil {
				return err
			}
			continue
		}
		return s.read(resp, out)
	}
}

func (s *session) wait(after string, try int) error {
	d := time.Duration(try) * time.Second
	if n, err := strconv.Atoi(after); err == nil && n >= 0 {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(after); err == nil {
		d = max(time.Until(t), 0)
	}
	timer := time.NewTimer(min(d, maxWait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return kit.Internal(s.ctx.Err())
	}
}

func (s *session) read(resp *http.Response, out any) error {
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return kit.InvalidField("token", "transfer.error.refused", "host", s.base.Host)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		e := kit.InvalidField("url", "transfer.error.answer", "host", s.base.Host, "status", resp.StatusCode)
		e.Err = errors.New(resp.Request.URL.Path)
		return e
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, s.left+1))
	if err != nil {
		e := kit.InvalidField("url", "transfer.error.unreachable", "host", s.base.Host)
		e.Err = err
		return e
	}
	if s.left -= int64(len(data)); s.left < 0 {
		return kit.Errorf(kit.CodeTooLarge, "error.too_large")
	}
	if err := shallow(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		e := kit.InvalidField("url", "transfer.error.shape", "host", s.base.Host)
		e.Err = err
		return e
	}
	return nil
}

// add puts objects into the export.
func (s *session) add(resource string, list []json.RawMessage) error {
	if len(s.out.Resources[resource])+len(list) > maxObjects {
		return kit.InvalidField("url", "transfer.error.many", "max", maxObjects)
	}
	s.out.Resources[resource] = append(s.out.Resources[resource], list...)
	return nil
}

// idOf is the id of an object; empty when it has none.
func idOf(raw json.RawMessage) string {
	var v struct {
		ID word `json:"id"`
	}
	_ = json.Unmarshal(raw, &v)
	return string(v.ID)
}

// with adds a member to an object.
func with(raw json.RawMessage, name string, value any) (json.RawMessage, error) {
	m, ok := object(raw)
	if !ok {
		return nil, kit.InvalidField("url", "transfer.error.object")
	}
	v, err := json.Marshal(value)
	if err != nil {
		return nil, kit.Internal(err)
	}
	m[name] = v
	out, err := json.Marshal(m)
	return out, err
}

// embed adds to every object of a resource what fn gives for its id.
func (s *session) embed(resource, name string, fn func(id string) (any, error)) error {
	list := s.out.Resources[resource]
	for i, raw := range list {
		id := idOf(raw)
		if id == "" {
			continue
		}
		v, err := fn(url.PathEscape(id))
		if err != nil {
			return err
		}
		if list[i], err = with(raw, name, v); err != nil {
			return err
		}
	}
	return nil
}
