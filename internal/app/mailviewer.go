package app

import (
	"context"
	"html/template"
	"net/http"
	"regexp"
	"strings"

	"tocsin/internal/channel"
	"tocsin/internal/i18n"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/web"
)

// viewerPolicy lets a page of the viewer load the two style sheets, send its form
// and nothing else.
const viewerPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// sessionCookie is the cookie by which the pages know who is signed in.
const sessionCookie = "tocsin_session"

// mountPractice adds the viewer of a demo's messages.
func (a *App) mountPractice(mux *http.ServeMux) {
	if !a.cfg.Demo {
		return
	}
	mux.HandleFunc("GET /demo/mail", a.mailList)
	mux.HandleFunc("GET /demo/mail/{id}", a.mailPage)
}

// Rehearse declares a practice incident, marked as such, that pages the acting
// person alone.
func (a *App) Rehearse(ctx context.Context) (*incident.Incident, error) {
	actor := kit.ActorFrom(ctx)
	if !actor.IsPerson() {
		return nil, kit.Forbidden("incident.declare", "")
	}
	lang := actor.Language
	if lang == "" {
		lang = "en"
	}
	return a.Incident.Declare(ctx, incident.Declaration{
		Title: i18n.T(lang, "demo.rehearsal.title", nil), Impact: incident.ImpactDegraded, Severity: incident.Sev2, Exercise: true, OnlyPerson: actor.ID,
	})
}

func language(r *http.Request) string {
	if c, err := r.Cookie("tocsin_lang"); err == nil && (c.Value == "fr" || c.Value == "en") {
		return c.Value
	}
	return i18n.Match(r.Header.Get("Accept-Language"))
}

var viewer = template.Must(template.New("viewer").Parse(`{{define "head"}}<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<link rel="stylesheet" href="{{.Tokens}}">
<link rel="stylesheet" href="{{.Style}}">
</head>
<body>
<main class="stack">
{{end}}
{{define "list"}}{{template "head" .}}<header class="pagehead"><h1>{{.Title}}</h1><p>{{.Intro}}</p></header>
<div class="row">
<form method="post" action="/rehearse"><button class="primary">{{.RehearseLabel}}</button></form>
<a href="/">{{.Back}}</a>
<a href="/demo/mail">{{.Again}}</a>
</div>
<p class="small muted">{{.RehearseHint}}</p>
{{if .Mails}}<ul class="lines">
{{range .Mails}}<li><span><a href="/demo/mail/{{.ID}}">{{.Subject}}</a><br><span class="small muted">{{.To}}</span></span> <time class="small" datetime="{{.Machine}}">{{.At}}</time></li>
{{end}}</ul>{{else}}<p>{{.Empty}}</p>{{end}}
</main>
</body>
</html>
{{end}}
{{define "mail"}}{{template "head" .}}<p class="small"><a href="/demo/mail">{{.Back}}</a></p>
<header class="pagehead"><h1>{{.Title}}</h1><p class="muted">{{.To}} · <time datetime="{{.Machine}}">{{.At}}</time></p></header>
<pre>{{range .Parts}}{{if .URL}}<a href="{{.URL}}">{{.Text}}</a>{{else}}{{.Text}}{{end}}{{end}}</pre>
</main>
</body>
</html>
{{end}}
{{define "gone"}}{{template "head" .}}<p>{{.Empty}}</p>
<p><a href="/demo/mail">{{.Back}}</a></p>
</main>
</body>
</html>
{{end}}`))

type viewerPage struct {
	Lang, Title, Intro, RehearseLabel, RehearseHint, Back, Again, Empty string
	Mails                                                               []viewerMail
	viewerMail
	Parts []viewerPart
}

// Tokens and Style are the addresses of the style sheets.
func (viewerPage) Tokens() string { return web.Static("tokens.css") }

// Style is the address of the pages' style sheet.
func (viewerPage) Style() string { return web.Static("app.css") }

type viewerMail struct{ ID, Subject, To, At, Machine string }

// viewerPart is a piece of a text: a link where URL is set.
type viewerPart struct{ Text, URL string }

var webAddress = regexp.MustCompile(`https?://[^\s<>"']+`)

// parts cuts a text into plain pieces and links to the web.
func parts(s string) []viewerPart {
	var out []viewerPart
	for s != "" {
		at := webAddress.FindStringIndex(s)
		if at == nil {
			return append(out, viewerPart{Text: s})
		}
		if at[0] > 0 {
			out = append(out, viewerPart{Text: s[:at[0]]})
		}
		// What closes a sentence is not the address's.
		link := strings.TrimRight(s[at[0]:at[1]], ".,;:!?)]»\u00a0\u202f")
		out = append(out, viewerPart{Text: link, URL: link})
		s = s[at[0]+len(link):]
	}
	return out
}

func (a *App) mailOf(ctx context.Context, lang string, m channel.Mail) viewerMail {
	zone, err := ports{a}.Zone(ctx)
	if err != nil {
		zone = nil
	}
	if zone == nil {
		zone = i18n.Zone("UTC")
	}
	return viewerMail{ID: m.ID, Subject: m.Subject, To: m.To, At: i18n.DateTime(lang, m.At, zone), Machine: m.At.UTC().Format("2006-01-02T15:04:05Z")}
}

func (a *App) mailList(w http.ResponseWriter, r *http.Request) {
	lang, ctx := language(r), AsSystem(r.Context())
	p := viewerPage{Lang: lang}
	for _, t := range []struct {
		to  *string
		key string
	}{
		{&p.Title, "demo.mail.title"},
		{&p.Intro, "demo.mail.intro"},
		{&p.RehearseLabel, "demo.rehearsal.button"},
		{&p.RehearseHint, "demo.rehearsal.hint"},
		{&p.Back, "demo.mail.product"},
		{&p.Again, "demo.mail.again"},
		{&p.Empty, "demo.mail.empty"},
	} {
		*t.to = i18n.T(lang, t.key, nil)
	}
	for _, m := range a.Mailbox.Messages() {
		p.Mails = append(p.Mails, a.mailOf(ctx, lang, m))
	}
	a.show(w, http.StatusOK, "list", p)
}

func (a *App) mailPage(w http.ResponseWriter, r *http.Request) {
	lang := language(r)
	p := viewerPage{Lang: lang, Back: i18n.T(lang, "demo.mail.all", nil)}
	m, err := a.Mailbox.Message(r.PathValue("id"))
	if err != nil {
		p.Empty = i18n.T(lang, "demo.mail.gone", nil)
		p.Title = p.Empty
		a.show(w, http.StatusNotFound, "gone", p)
		return
	}
	p.Title, p.viewerMail, p.Parts = m.Subject, a.mailOf(AsSystem(r.Context()), lang, m), parts(m.Text)
	a.show(w, http.StatusOK, "mail", p)
}

func (a *App) show(w http.ResponseWriter, status int, name string, p viewerPage) {
	var b strings.Builder
	if err := viewer.ExecuteTemplate(&b, name, p); err != nil {
		a.cfg.Log.Error("mail viewer", "err", err)
		http.Error(w, "500", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", viewerPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String()))
}
