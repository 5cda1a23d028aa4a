package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"os"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/channel"
	"tocsin/internal/i18n"
	"tocsin/internal/ingest"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
	"tocsin/internal/orgfile"
)

// senders are the ways out that this build has, by kind of contact method. A demo
// keeps everything in its own viewer.
func (a *App) senders() map[string]notify.Sender {
	if a.cfg.Demo {
		a.Mailbox = channel.NewMailbox(a.cfg.Clock)
		return map[string]notify.Sender{"email": a.Mailbox, "webhook": a.Mailbox}
	}
	out := channel.Chats(a.client, a.cfg.Clock)
	maps.Copy(out, map[string]notify.Sender{
		"push":    channel.NewPush(a.client, a.cfg.Clock, a.push.get, a.pushSubject),
		"email":   channel.NewEmail(a.cfg.Clock, a.relay),
		"webhook": channel.NewWebhook(a.client, a.cfg.Clock, nil),
		"sms":     channel.NewSMS(a.client, a.cfg.Clock, a.smsGateway, a.BaseURL),
		"slack":   channel.NewSlack(a.client, a.slackApp),
		"voice":   channel.NewVoice(a.client, a.cfg.Clock, a.voiceGateway, a.BaseURL),
	})
	return out
}

// replay sends one of the last messages of a source through its protocol again, and gives
// how it was read now.
func (a *App) replay(ctx context.Context, source, payload string) (alert.Payload, error) {
	src, p, err := a.Alert.Payload(ctx, source, payload)
	if err != nil {
		return alert.Payload{}, err
	}
	return ingest.NewReplay(a.Alert, a.Change, a.Finding, ingest.Options{Words: a.words, Clock: a.cfg.Clock, Log: a.cfg.Log})(ctx, src, p)
}

// mailDomain is the part after the @ of the addresses at which mail is taken.
func (a *App) mailDomain() string {
	if u, err := url.Parse(a.cfg.BaseURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "localhost"
}

// mailReplies is the address at which answers by mail are read; empty when none are.
func (a *App) mailReplies() string {
	if a.cfg.SMTPListen == "" || a.cfg.Demo {
		return ""
	}
	return ingest.ReplyBox + "@" + a.mailDomain()
}

// mailServer takes mail where an address for it was given; else nil.
func (a *App) mailServer() *ingest.MailServer {
	if a.mail == nil {
		return nil
	}
	domain := a.mailDomain()
	own := func(ctx context.Context) string {
		r, err := a.relay(AsSystem(ctx))
		if err != nil {
			return ""
		}
		from, err := mail.ParseAddress(r.From)
		if err != nil {
			return ""
		}
		return from.Address
	}
	return ingest.NewMailServer(a.Alert, a.Report, domain, own, ingest.Options{Words: a.words, Clock: a.cfg.Clock, Log: a.cfg.Log, Answers: a.Notify})
}

// channels are the ways out that the organisation file sets.
func (a *App) channels(ctx context.Context) (c orgfile.Channels, err error) {
	kept, err := a.Identity.Kept(ctx)
	if err != nil {
		return c, err
	}
	raw, ok := kept["channels"]
	if !ok {
		return c, nil
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, kit.Internal(err)
	}
	return c, nil
}

func (a *App) smsGateway(ctx context.Context) (channel.Gateway, error) {
	c, err := a.channels(ctx)
	if err != nil || c.SMS == nil {
		return channel.Gateway{}, err
	}
	return gatewayOf(c.SMS)
}

func (a *App) voiceGateway(ctx context.Context) (channel.Gateway, error) {
	c, err := a.channels(ctx)
	if err != nil || c.Voice == nil {
		return channel.Gateway{}, err
	}
	return gatewayOf(c.Voice)
}

// slackApp is the app of Slack that the organisation file sets.
func (a *App) slackApp(ctx context.Context) (channel.SlackApp, error) {
	c, err := a.channels(ctx)
	if err != nil || c.Slack == nil {
		return channel.SlackApp{}, err
	}
	out := channel.SlackApp{APIURL: c.Slack.APIURL}
	for path, to := range map[string]*string{c.Slack.TokenFile: &out.Token, c.Slack.SigningSecretFile: &out.SigningSecret} {
		if path == "" {
			continue
		}
		secret, err := os.ReadFile(path)
		if err != nil {
			return channel.SlackApp{}, kit.Internal(fmt.Errorf("secret of Slack: %w", err))
		}
		*to = strings.TrimSpace(string(secret))
	}
	return out, nil
}

func gatewayOf(g *orgfile.Gateway) (channel.Gateway, error) {
	out := channel.Gateway{Kind: g.Kind, Account: g.Account, From: g.From, APIURL: g.APIURL, URL: g.URL}
	if g.TokenFile != "" {
		token, err := os.ReadFile(g.TokenFile)
		if err != nil {
			return out, kit.Internal(fmt.Errorf("token of the gateway: %w", err))
		}
		out.Token = strings.TrimSpace(string(token))
	}
	return out, nil
}

// checkGateways says what is missing in the gateways of an organisation file.
func checkGateways(c *orgfile.Channels) error {
	if c == nil {
		return nil
	}
	var f kit.Fields
	for path, g := range map[string]*orgfile.Gateway{"channels.sms": c.SMS, "channels.voice": c.Voice} {
		if g == nil {
			continue
		}
		// The file with the token may not be readable where the file is applied.
		err := channel.Gateway{Kind: g.Kind, Account: g.Account, From: g.From, APIURL: g.APIURL, URL: g.URL, Token: g.TokenFile}.Check(path, path == "channels.voice")
		if err != nil {
			f = append(f, kit.AsError(err).Fields...)
		}
	}
	return f.Err()
}

// relay is the mail relay of the organisation file.
func (a *App) relay(ctx context.Context) (channel.Relay, error) {
	c, err := a.channels(ctx)
	if err != nil || c.SMTP == nil {
		return channel.Relay{}, err
	}
	r := channel.Relay{Host: c.SMTP.Host, Port: c.SMTP.Port, TLS: c.SMTP.TLS, User: c.SMTP.User, From: c.SMTP.From}
	if c.SMTP.PasswordFile != "" {
		secret, err := os.ReadFile(c.SMTP.PasswordFile)
		if err != nil {
			return r, kit.Internal(fmt.Errorf("mail password: %w", err))
		}
		r.Password = strings.TrimSpace(string(secret))
	}
	return r, nil
}

// words gives notify the texts of the product.
type words struct{}

var _ notify.Words = words{}

// T implements notify.Words.
func (words) T(lang, key string, args map[string]any) string { return i18n.T(lang, key, args) }

// Time implements notify.Words.
func (words) Time(lang string, t time.Time, zone *time.Location, now time.Time) string {
	return i18n.Time(lang, t, zone, now)
}

// recipients is what notify asks about people and incidents.
type recipients struct{ ports }

var (
	_ notify.People     = recipients{}
	_ notify.Incidents  = recipients{}
	_ notify.Parameters = recipients{}
)

// Known gives those of the people who exist, with the organisation's language and
// zone where they have none.
func (p recipients) Known(ctx context.Context, ids []string) (map[string]notify.Person, error) {
	zone, err := p.zoneName(ctx)
	if err != nil {
		return nil, err
	}
	lang := "en"
	if o, err := p.a.Identity.Organisation(ctx); err == nil && len(o.Languages) > 0 {
		lang = o.Languages[0]
	}
	out := make(map[string]notify.Person, len(ids))
	for _, id := range ids {
		who, err := p.a.Identity.Person(ctx, id)
		if kit.CodeOf(err) == kit.CodeNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		n := notify.Person{ID: who.ID, Name: who.Name, Email: who.Email, Language: who.Language, Timezone: who.Timezone, Suspended: who.Suspended}
		if n.Language == "" {
			n.Language = lang
		}
		if n.Timezone == "" {
			n.Timezone = zone
		}
		out[id] = n
	}
	return out, nil
}

// Sees tells which of the incidents the actor may know of.
func (p recipients) Sees(ctx context.Context, incidents []string) (map[string]bool, error) {
	return p.a.Incident.Visible(ctx, incidents)
}

// reach is what on-call asks about contact methods.
type reach struct{ a *App }

var _ oncall.Reach = reach{}

// Reachable gives those of the people who have a method that can be used.
func (r reach) Reachable(ctx context.Context, people []string) (map[string]bool, error) {
	return r.a.Notify.ReachableAll(ctx, people)
}

// Methods gives in which order and when a person is tried.
func (r reach) Methods(ctx context.Context, person, severity string) ([]oncall.Method, error) {
	plan, err := r.a.Notify.Plan(ctx, person, severity)
	out := make([]oncall.Method, 0, len(plan))
	for _, p := range plan {
		out = append(out, oncall.Method{Method: p.Method.Kind, After: oncall.Duration(p.After)})
	}
	return out, err
}
