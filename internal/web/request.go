package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"tocsin/internal/history"
	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

const (
	sessionCookie = "tocsin_session"
	flashCookie   = "tocsin_flash"
	langCookie    = "tocsin_lang"
	themeCookie   = "tocsin_theme"
	keysCookie    = "tocsin_keys"
	maxForm       = 256 << 10
)

// req is one request with all that a page needs to know of its reader.
type req struct {
	s      *server
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	id     string
	lang   string
	theme  string
	keys   string
	actor  kit.Actor
	person identity.Person
	org    identity.Organisation
	zone   *time.Location
	now    time.Time
	flash  string
	// title and section are set by the layout's caller.
	title, section string
	// failed is the error shown in the summary of a form that is rendered again.
	failed error
	status int
}

type reqKey struct{}

func of(ctx context.Context) *req {
	v, _ := ctx.Value(reqKey{}).(*req)
	if v == nil {
		return &req{lang: "en", zone: time.UTC, r: &http.Request{URL: &url.URL{}}}
	}
	return v
}

// t gives the text of a key in the reader's language; pairs are names and values.
func t(ctx context.Context, key string, pairs ...any) string { return of(ctx).t(key, pairs...) }

func (q *req) t(key string, pairs ...any) string {
	var args map[string]any
	if len(pairs) > 1 {
		args = make(map[string]any, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			args[pairs[i].(string)] = pairs[i+1]
		}
	}
	return i18n.T(q.lang, key, args)
}

// may tells whether the reader has the right, so that what they may not do is absent.
func may(ctx context.Context, use kit.Use, held ...kit.Role) bool {
	return identity.Allow(of(ctx).actor, use, held...) == nil
}

func (q *req) signedIn() bool { return q.actor.ID != "" }

func (q *req) cookie(name string) string {
	c, err := q.r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (q *req) secure() bool {
	return q.r.TLS != nil || strings.HasPrefix(q.s.BaseURL, "https://")
}

func (q *req) setCookie(name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: q.secure(), SameSite: http.SameSiteLaxMode}
	if age > 0 {
		c.MaxAge = int(age / time.Second)
	} else if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(q.w, c)
}

func (s *server) request(w http.ResponseWriter, r *http.Request) *req {
	id := make([]byte, 8)
	_, _ = rand.Read(id)
	q := &req{s: s, w: w, r: r, id: hex.EncodeToString(id), now: s.Clock.Now(), zone: time.UTC, status: http.StatusOK}
	w.Header().Set("X-Request-Id", q.id)
	q.ctx = context.WithValue(r.Context(), reqKey{}, q)
	if q.lang = q.cookie(langCookie); q.lang != "fr" && q.lang != "en" {
		q.lang = i18n.Match(r.Header.Get("Accept-Language"))
	}
	if q.theme = q.cookie(themeCookie); q.theme != "light" && q.theme != "dark" {
		q.theme = ""
	}
	q.keys = q.cookie(keysCookie)
	if f, err := url.QueryUnescape(q.cookie(flashCookie)); err == nil {
		q.flash = f
	}
	return q
}

// identify finds who reads by the session; nobody is no error here.
func (q *req) identify() error {
	token := q.cookie(sessionCookie)
	if token != "" {
		actor, person, err := q.s.Identity.Session(q.ctx, token)
		switch {
		case err == nil:
			q.actor, q.person = actor, person
			if c := q.cookie(langCookie); c != "fr" && c != "en" && (person.Language == "fr" || person.Language == "en") {
				q.lang = person.Language
			}
			q.ctx = kit.WithActor(q.ctx, actor)
		case kit.CodeOf(err) != kit.CodeUnauthenticated:
			return err
		}
	}
	org, err := q.s.Identity.Organisation(kit.WithActor(q.ctx, kit.System(kit.ViaWeb)))
	if err == nil {
		q.org = org
		q.zone = i18n.Zone(org.Timezone)
	}
	if q.person.Timezone != "" {
		q.zone = i18n.Zone(q.person.Timezone)
	}
	return nil
}

// open wraps a page that needs no sign-in.
func (s *server) open(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := s.request(w, r)
		err := q.identify()
		if err == nil {
			err = q.decode()
		}
		if err == nil {
			err = h(q)
		}
		if err != nil {
			q.fail(err)
		}
	}
}

// page wraps a page for signed-in people; others go to the sign-in page and come back.
func (s *server) page(h handler) http.HandlerFunc {
	return s.open(func(q *req) error {
		if q.signedIn() {
			return h(q)
		}
		back := q.r.URL.RequestURI()
		if q.r.Method != http.MethodGet {
			back = strings.TrimSuffix(q.r.URL.Path, "/")
		}
		return q.redirect("/login?next=" + url.QueryEscape(back))
	})
}

func (q *req) decode() error {
	if q.r.Method != http.MethodPost {
		return nil
	}
	limit, parse := int64(maxForm), q.r.ParseForm
	if q.r.URL.Path == importPath && q.signedIn() {
		limit, parse = history.MaxFile+maxForm, func() error { return q.r.ParseMultipartForm(maxForm) }
	}
	q.r.Body = http.MaxBytesReader(q.w, q.r.Body, limit)
	if err := parse(); err != nil {
		return &kit.Error{Code: kit.CodeTooLarge, Key: "error.too_large", Err: err}
	}
	return nil
}

func (q *req) form(name string) string { return strings.TrimSpace(q.r.FormValue(name)) }
func (q *req) query(name string) string {
	return strings.TrimSpace(q.r.URL.Query().Get(name))
}
func (q *req) checked(name string) bool { return q.r.FormValue(name) != "" }

// when reads a local date and time of the reader's zone; empty is the zero time.
func (q *req) when(name string) (time.Time, error) {
	v := q.form(name)
	if v == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, v, q.zone); err == nil {
			return at.UTC(), nil
		}
	}
	if at, err := time.Parse(time.RFC3339, v); err == nil {
		return at.UTC(), nil
	}
	return time.Time{}, kit.InvalidField(name, "error.bad_time")
}

// done redirects after a change, with a word about it on the next page.
func (q *req) done(to, flash string) error {
	if flash != "" {
		q.setCookie(flashCookie, url.QueryEscape(flash), time.Minute)
	}
	return q.redirect(to)
}

func (q *req) redirect(to string) error {
	http.Redirect(q.w, q.r, to, http.StatusSeeOther)
	return nil
}

// local keeps a path of this site and refuses another's.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\n\r\t") || u.Host != "" || u.Scheme != "" {
		return "/"
	}
	return to
}

func (q *req) remote() string {
	host, _, err := net.SplitHostPort(q.r.RemoteAddr)
	if err != nil {
		return q.r.RemoteAddr
	}
	return host
}

// show renders a page in the layout.
func (q *req) show(section, title string, body templ.Component) error {
	q.section, q.title = section, title
	return q.render(shell(body))
}

func (q *req) render(c templ.Component) error {
	var b bytes.Buffer
	if err := c.Render(q.ctx, &b); err != nil {
		return kit.Internal(err)
	}
	if q.flash != "" {
		q.setCookie(flashCookie, "", 0)
	}
	q.write("text/html; charset=utf-8", b.Bytes())
	return nil
}

var writers = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); return w }}

func (q *req) write(kind string, body []byte) {
	h := q.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding, Accept-Language, Cookie")
	if len(body) > 1024 && strings.Contains(q.r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		q.w.WriteHeader(q.status)
		z := writers.Get().(*gzip.Writer)
		z.Reset(q.w)
		_, _ = z.Write(body)
		_ = z.Close()
		writers.Put(z)
		return
	}
	q.w.WriteHeader(q.status)
	_, _ = q.w.Write(body)
}

// again renders a form again with what was wrong; what was typed is kept by it.
func (q *req) again(err error, section, title string, body templ.Component) error {
	e := kit.AsError(err)
	if e.Code != kit.CodeInvalid && e.Code != kit.CodeConflict && e.Code != kit.CodeStale && e.Code != kit.CodeBusy && e.Code != kit.CodeUnauthenticated {
		return err
	}
	q.failed, q.status = err, statusFor(e)
	if e.RetryAfter > 0 {
		q.w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	q.section, q.title = section, q.t("web.error.prefix")+" "+title
	return q.render(shell(body))
}
