package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/kit"
)

// webhook is the body of a message to a webhook (the public contract).
type webhook struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

type webhookPage struct {
	Incident       string            `json:"incident"`
	Ref            string            `json:"ref"`
	Severity       *string           `json:"severity"`
	Title          string            `json:"title"`
	Service        string            `json:"service"`
	Person         string            `json:"person"`
	Step           int               `json:"step"`
	Attempt        int               `json:"attempt"`
	Alerts         []Alert           `json:"alerts"`
	AckURL         string            `json:"ack_url"`
	IdempotencyKey string            `json:"idempotency_key"`
	Exercise       bool              `json:"exercise,omitempty"`
	Incidents      []webhookIncident `json:"incidents,omitempty"`
}

// webhookIncident is one of several incidents that a message stands for.
type webhookIncident struct {
	Incident string  `json:"incident"`
	Ref      string  `json:"ref"`
	Severity *string `json:"severity"`
	Title    string  `json:"title"`
	Service  string  `json:"service"`
	AckURL   string  `json:"ack_url"`
}

type webhookNotice struct {
	Template       string `json:"template"`
	Incident       string `json:"incident,omitempty"`
	Ref            string `json:"ref,omitempty"`
	Subject        string `json:"subject"`
	Text           string `json:"text"`
	URL            string `json:"url,omitempty"`
	Person         string `json:"person"`
	IdempotencyKey string `json:"idempotency_key"`
}

// letter is what the text and the HTML part of a message both say.
type letter struct {
	Lang, Subject  string
	Lines          []string
	Listed         []string
	Button, Link   string
	Footer, Second string
	// Brief is its Link aside; Asks tells that a reply may also say no.
	Brief Brief
	Asks  bool
	Topic string
}

var letterHTML = template.Must(template.New("mail").Parse(`<!doctype html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body style="font-family:system-ui,sans-serif;font-size:16px;line-height:1.5;color:#1a1a1a;background:#ffffff;max-width:40em">
{{range .Lines}}<p style="margin:0 0 8px;white-space:pre-line">{{.}}</p>
{{end}}{{if .Link}}<p style="margin:16px 0"><a href="{{.Link}}" style="background:#1a1a1a;color:#ffffff;padding:12px 20px;text-decoration:none;border-radius:6px;display:inline-block">{{.Button}}</a></p>
{{end}}{{if .Listed}}<ul>
{{range .Listed}}<li>{{.}}</li>
{{end}}</ul>
{{end}}{{if .Footer}}<p style="color:#555555">{{.Footer}}</p>
{{end}}</body></html>
`))

func (m *letter) text() string {
	var b strings.Builder
	for _, l := range m.Lines {
		b.WriteString(l + "\n")
	}
	if m.Link != "" {
		b.WriteString("\n" + m.Second + "\n")
	}
	if len(m.Listed) > 0 {
		b.WriteString("\n")
		for _, l := range m.Listed {
			b.WriteString("- " + l + "\n")
		}
	}
	if m.Footer != "" {
		b.WriteString("\n" + m.Footer + "\n")
	}
	return b.String()
}

// more is what the letter says beyond what its brief begins with.
func (m *letter) more() string {
	lines := m.Lines
	if len(lines) > 0 && lines[0] == m.Brief.What {
		lines = lines[1:]
	}
	lines = slices.Clone(lines)
	for _, l := range m.Listed {
		lines = append(lines, "- "+l)
	}
	return strings.Join(lines, "\n")
}

func (m *letter) html() (string, error) {
	var b bytes.Buffer
	err := letterHTML.Execute(&b, m)
	return b.String(), err
}

func (s *Service) t(lang, key string, pairs ...any) string {
	args := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[pairs[i].(string)] = pairs[i+1]
	}
	return s.p.Words.T(lang, key, args)
}

func (s *Service) base() string {
	if s.p.BaseURL == nil {
		return ""
	}
	return strings.TrimRight(s.p.BaseURL(), "/")
}

func (s *Service) link(kind, id string) string { return s.base() + "/a/" + s.token(kind, id) }

func (s *Service) host() string {
	u, err := url.Parse(s.base())
	if err != nil || u.Hostname() == "" {
		return "tocsin.invalid"
	}
	return u.Hostname()
}

func (s *Service) severity(lang, sev string) string {
	if sev == "" || sev == "none" {
		return s.t(lang, "message.severity.none")
	}
	return strings.ToUpper(sev)
}

func nullable(sev string) *string {
	if sev == "" {
		return nil
	}
	return &sev
}

func stamp(t time.Time) string {
	return t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
}

// render makes the message from the rows as they are when it leaves.
func (s *Service) render(ctx context.Context, d *row) (Message, error) {
	m := Message{ID: d.ID, To: d.To, MessageID: "<" + d.ID + "@" + s.host() + ">"}
	if d.Incident != "" {
		m.References = "<incident." + d.Incident + "@" + s.host() + ">"
	}
	var body *letter
	var hook webhook
	var err error
	switch d.Message {
	case "page":
		body, hook, err = s.renderPage(ctx, d)
	case "test":
		body, hook = s.renderTest(d)
	default:
		body, hook, err = s.renderNotice(ctx, d)
	}
	if err != nil {
		return Message{}, err
	}
	if d.Kind == "email" && d.Person != "" && s.p.MailReplies != nil {
		if m.ReplyTo = s.p.MailReplies(); m.ReplyTo != "" && body.Brief.Reply != "" {
			hint := s.t(d.Language, "message.mail."+replyKind(body))
			body.Footer = strings.TrimSpace(hint + "\n" + body.Footer)
		}
	}
	m.Subject, m.Text, m.Language, m.Brief, m.Topic = body.Subject, body.text(), d.Language, body.Brief, body.Topic
	m.Brief.More = body.more()
	if m.Brief.What == "" {
		m.Brief.What = body.Subject
	}
	m.Brief.Link, m.Button, m.Page = body.Link, body.Button, d.Message == "page"
	if m.HTML, err = body.html(); err != nil {
		return Message{}, kit.Internal(err)
	}
	hook.Timestamp = stamp(d.First)
	if m.Body, err = json.Marshal(hook); err != nil {
		return Message{}, kit.Internal(err)
	}
	return m, nil
}

// line is one thing that a message names.
type line struct {
	bundle, page string
	Alert
}

func (s *Service) lines(ctx context.Context, delivery string) ([]line, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT a.bundle, a.page, a.dedup_key, a.title FROM delivery_part p
		JOIN page_alert a ON a.bundle = p.bundle AND a.n > p.from_n AND a.n <= p.to_n WHERE p.delivery = ? ORDER BY a.bundle, a.n`, delivery)
	return collect(rows, err, func(r scanner) (l line, err error) {
		err = r.Scan(&l.bundle, &l.page, &l.DedupKey, &l.Title)
		return l, err
	})
}

// head gives the pages of a message, the gravest first; those that ended go last.
func (s *Service) head(ctx context.Context, d *row, lines []line) ([]Page, error) {
	ids := map[string]bool{d.MessageID: true}
	for _, l := range lines {
		ids[l.page] = true
	}
	ps, err := s.pages(ctx, `id IN (?) ORDER BY id`, bun.List(keys(ids)))
	slices.SortStableFunc(ps, func(a, b Page) int {
		ra, rb := rank(a.Severity), rank(b.Severity)
		if a.State != PageIsOpen {
			ra += 10
		}
		if b.State != PageIsOpen {
			rb += 10
		}
		return ra - rb
	})
	if err == nil && len(ps) == 0 {
		err = internal("delivery %s has no page", d.ID)
	}
	return ps, err
}

func (s *Service) renderPage(ctx context.Context, d *row) (*letter, webhook, error) {
	lines, err := s.lines(ctx, d.ID)
	if err != nil {
		return nil, webhook{}, err
	}
	ps, err := s.head(ctx, d, lines)
	if err != nil {
		return nil, webhook{}, err
	}
	p := ps[0]
	secret := map[string]bool{}
	var incidents []Page
	for _, x := range ps {
		secret[x.ID] = x.Confidential
		if !slices.ContainsFunc(incidents, func(o Page) bool { return o.Incident == x.Incident }) {
			incidents = append(incidents, x)
		}
	}
	alerts := []Alert{}
	for _, l := range lines {
		if l.DedupKey != "" && !secret[l.page] {
			alerts = append(alerts, l.Alert)
		}
	}
	data := webhookPage{
		Incident: p.Incident, Ref: p.Ref, Severity: nullable(p.Severity), Title: p.Title, Service: p.Service, Person: d.Person, Step: p.Step, Attempt: p.Round,
		Alerts: alerts, AckURL: s.link("page", p.Bundle), IdempotencyKey: d.ID, Exercise: p.Exercise,
	}
	if p.Confidential {
		data.Title, data.Service = s.t(d.Language, "message.confidential"), ""
	}
	if len(incidents) > 1 {
		for _, x := range incidents {
			w := webhookIncident{Incident: x.Incident, Ref: x.Ref, Severity: nullable(x.Severity), Title: x.Title, Service: x.Service, AckURL: s.link("page", x.Bundle)}
			if x.Confidential {
				w.Title, w.Service = s.t(d.Language, "message.confidential"), ""
			}
			data.Incidents = append(data.Incidents, w)
		}
	}
	m, err := s.pageMail(ctx, d, p, incidents, alerts)
	// What names several bundles must not be replaced by a message about one of them.
	if err == nil && !slices.ContainsFunc(ps, func(x Page) bool { return x.Bundle != p.Bundle }) {
		m.Topic = p.Bundle
	}
	return m, webhook{Type: "page", Data: data}, err
}

func (s *Service) pageMail(ctx context.Context, d *row, p Page, incidents []Page, alerts []Alert) (*letter, error) {
	lang, now := d.Language, s.d.Now()
	at := func(t time.Time) string { return s.p.Words.Time(lang, t, zone(d.Zone), now) }
	sev := s.severity(lang, p.Severity)
	m := &letter{Lang: lang, Link: s.link("page", p.Bundle), Button: s.t(lang, "message.page.button")}
	m.Second = s.t(lang, "message.page.link", "url", m.Link)
	service := p.ServiceName.In(lang)
	if service == "" {
		service = p.Service
	}
	what := p.Title
	switch {
	case p.Confidential:
		what = ""
	case len(incidents) > 1 && len(alerts) > 0 && service != "":
		what = s.t(lang, "message.page.many", "service", service, "Count", len(alerts))
	case service != "":
		what = s.t(lang, "message.page.what", "service", service, "title", p.Title)
	}
	if what == "" {
		m.Subject = s.t(lang, "message.page.subject_confidential", "severity", sev, "ref", p.Ref)
		m.Lines = append(m.Lines, s.t(lang, "message.confidential"))
	} else {
		m.Subject = s.t(lang, "message.page.subject", "severity", sev, "ref", p.Ref, "what", what)
		m.Lines = append(m.Lines, what)
	}
	if p.Exercise {
		m.Subject = s.t(lang, "message.exercise", "text", m.Subject)
		m.Lines = append([]string{s.t(lang, "message.exercise_line")}, m.Lines...)
	}
	if p.Text != "" && !p.Confidential {
		m.Lines = append(m.Lines, p.Text)
	}
	if p.Informs {
		m.Lines = append(m.Lines, s.t(lang, "message.page.informs"))
	}
	if x := p.Silent; x != nil {
		m.Lines = append(m.Lines, s.t(lang, "message.page."+x.Reason, "name", s.name(ctx, x.Person), "at", at(x.TookAt), "since", at(x.Since)))
	}
	second := s.t(lang, "message.page.since", "ref", p.Ref, "severity", sev, "since", at(p.Since))
	if p.Since.IsZero() {
		second = s.t(lang, "message.page.level", "ref", p.Ref, "severity", sev)
	}
	switch p.Duty {
	case "":
	case "primary", "secondary":
		second += " " + s.t(lang, "message.page.duty."+p.Duty)
	default:
		second += " " + s.t(lang, "message.page.duty.other")
	}
	m.Lines = append(m.Lines, second)
	if p.NextPerson.ID != "" && p.NextAt.After(now) {
		m.Lines = append(m.Lines, s.t(lang, "message.page.next", "name", s.name(ctx, p.NextPerson.ID), "at", at(p.NextAt)))
	}
	m.Asks = true
	m.Brief = Brief{
		Head: sev + " " + p.Ref, What: what, Reply: s.t(lang, "message.page.reply"), Keys: s.t(lang, "message.page.keys"),
		Accept: s.t(lang, "message.page.accept"), Refuse: s.t(lang, "message.page.refuse"),
	}
	if p.Informs {
		m.Brief.Accept = s.t(lang, "message.page.know")
	}
	if p.Since.IsZero() {
		m.Brief.Spoken = s.t(lang, "message.page.spoken", "severity", s.t(lang, "message.spoken."+spoken(p.Severity)), "what", m.Lines[0])
	} else {
		m.Brief.Spoken = s.t(lang, "message.page.spoken_since", "severity", s.t(lang, "message.spoken."+spoken(p.Severity)), "what", m.Lines[0], "since", at(p.Since))
	}
	if p.Exercise {
		m.Brief.Head = s.t(lang, "message.exercise", "text", m.Brief.Head)
	}
	if len(incidents) > 1 {
		for _, x := range incidents {
			title := x.Title
			if x.Confidential {
				title = s.t(lang, "message.confidential")
			}
			entry := s.t(lang, "message.page.also", "severity", s.severity(lang, x.Severity), "ref", x.Ref, "title", title)
			if x.Bundle != p.Bundle {
				entry += " " + s.link("page", x.Bundle)
			}
			m.Listed = append(m.Listed, entry)
		}
	}
	if len(alerts) > 1 || len(alerts) == 1 && alerts[0].Title != p.Title {
		for _, a := range alerts {
			m.Listed = append(m.Listed, a.Title)
		}
	}
	return m, nil
}

// replyKind says which words a reply by e-mail may have.
func replyKind(m *letter) string {
	if m.Asks {
		return "ask"
	}
	return "confirm"
}

// spoken is the word of a severity in the texts of calls.
func spoken(severity string) string {
	if severity == "" || severity == "none" {
		return "none"
	}
	return severity
}

func (s *Service) renderTest(d *row) (*letter, webhook) {
	lang := d.Language
	m := &letter{
		Lang: lang, Subject: s.t(lang, "message.test.subject"), Lines: []string{s.t(lang, "message.test.text", "method", d.Method)},
		Link: s.link("test", d.ID), Button: s.t(lang, "message.test.button"),
	}
	m.Second = s.t(lang, "message.page.link", "url", m.Link)
	m.Brief = Brief{What: m.Subject, Accept: m.Button, Reply: s.t(lang, "message.confirm.reply"), Spoken: m.Lines[0], Keys: s.t(lang, "message.confirm.keys")}
	return m, webhook{Type: "test", Data: map[string]any{"person": d.Person, "method": d.Method, "ack_url": m.Link, "idempotency_key": d.ID}}
}
