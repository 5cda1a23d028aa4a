package channel

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// The kinds of gateway for SMS and calls.
const (
	// KindTwilio is the REST interface of Twilio (2010-04-01), which others speak too.
	KindTwilio = "twilio"
	// KindTemplate is any gateway that is asked by one URL; for SMS alone.
	KindTemplate = "template"
)

const twilioURL = "https://api.twilio.com"

// Gateway brings SMS or calls to phones (channels.sms and channels.voice of the
// organisation file). The zero Gateway is none.
type Gateway struct {
	// Kind is twilio or template.
	Kind string
	// Account is the account's id, Token its auth token, From the number or the id of
	// what sends. For twilio.
	Account, Token, From string
	// APIURL is where the interface is; empty means Twilio's own.
	APIURL string
	// URL of a template has {to}, {text} and {token}, which are put in escaped.
	URL string
}

// Check says what is missing as a *kit.Error, naming the fields below path
// ("channels.sms").
func (g Gateway) Check(path string, voice bool) error {
	var f kit.Fields
	need := func(name, v string) {
		if v == "" {
			f.Add(path+"."+name, "error.required")
		}
	}
	switch g.Kind {
	case KindTwilio:
		need("account", g.Account)
		need("from", g.From)
		need("token_file", g.Token)
	case KindTemplate:
		need("url", g.URL)
		switch {
		case voice:
			f.Add(path+".kind", "error.bad_value", "value", g.Kind)
		case g.URL != "" && (!strings.Contains(g.URL, "{to}") || !strings.Contains(g.URL, "{text}")):
			f.Add(path+".url", "channel.error.template")
		}
	default:
		f.Add(path+".kind", "error.bad_value", "value", g.Kind)
	}
	return f.Err()
}

// Gateways gives the gateway as it is set now.
type Gateways func(ctx context.Context) (Gateway, error)

// Phone sends SMS, or with Voice makes calls.
type Phone struct {
	client  *http.Client
	clock   kit.Clock
	gateway Gateways
	base    func() string
	voice   bool
}

// NewSMS sends SMS; base is how the provider reaches this product, for its reports.
func NewSMS(client *http.Client, clock kit.Clock, gateway Gateways, base func() string) *Phone {
	return &Phone{client: client, clock: clock, gateway: gateway, base: base}
}

// NewVoice makes calls in which a key answers.
func NewVoice(client *http.Client, clock kit.Clock, gateway Gateways, base func() string) *Phone {
	return &Phone{client: client, clock: clock, gateway: gateway, base: base, voice: true}
}

var _ notify.Sender = (*Phone)(nil)

var _ notify.Provided = (*Phone)(nil)

// Provided implements notify.Provided.
func (p *Phone) Provided(ctx context.Context) bool {
	g, err := p.gateway(ctx)
	return err == nil && g.Check("", p.voice) == nil
}

// Send implements notify.Sender. What the provider refuses for good, such as a number
// that does not exist, is permanent; 429 and 5xx may be tried again. Twilio knows no
// key of idempotency: a message in doubt may arrive twice.
func (p *Phone) Send(ctx context.Context, m notify.Message) (notify.Result, error) {
	g, err := p.gateway(ctx)
	if err != nil {
		return notify.Result{}, temporary("channel.error.secret_unread", err)
	}
	kind := "sms"
	if p.voice {
		kind = "voice"
	}
	if g.Kind == "" || g.Check("channels."+kind, p.voice) != nil {
		return notify.Result{}, permanent("channel.error.no_gateway", nil, "kind", kind)
	}
	if g.Kind == KindTemplate {
		return p.template(ctx, g, m)
	}
	form := url.Values{"To": {m.To}, "From": {g.From}}
	path := "Messages.json"
	status := p.base() + callbacks + kind + "/status?d=" + url.QueryEscape(m.ID)
	if p.voice {
		path = "Calls.json"
		form.Set("Twiml", twiml(m, p.base()+callbacks+"voice/key?d="+url.QueryEscape(m.ID)))
		form.Set("StatusCallbackEvent", "completed")
		form.Set("Timeout", "40")
	} else {
		form.Set("Body", m.Brief.SMS(true))
	}
	if strings.HasPrefix(p.base(), "https://") || g.APIURL != "" {
		form.Set("StatusCallback", status)
	}
	at := strings.TrimRight(g.APIURL, "/")
	if at == "" {
		at = twilioURL
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/2010-04-01/Accounts/"+url.PathEscape(g.Account)+"/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return notify.Result{}, permanent("channel.error.bad_url", nil)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(g.Account, g.Token)
	return p.ask(req)
}

func (p *Phone) template(ctx context.Context, g Gateway, m notify.Message) (notify.Result, error) {
	at := strings.NewReplacer("{to}", url.QueryEscape(m.To), "{text}", url.QueryEscape(m.Brief.SMS(false)), "{token}", url.QueryEscape(g.Token)).Replace(g.URL)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, http.NoBody)
	if err != nil || req.URL.Hostname() == "" {
		return notify.Result{}, permanent("channel.error.bad_url", nil)
	}
	return p.ask(req)
}

// ask sends a request and reads what the provider says of it.
func (p *Phone) ask(req *http.Request) (notify.Result, error) {
	req.Header.Set("User-Agent", "Tocsin")
	host := req.URL.Hostname()
	ctx, whole := traced(req.Context())
	resp, err := p.client.Do(req.WithContext(ctx))
	if err != nil {
		return notify.Result{}, unreachable(host, err, whole())
	}
	var said struct {
		SID     string `json:"sid"`
		Message string `json:"message"`
		Code    int    `json:"code"`
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said)
	drain(resp.Body)
	if err := judge(host, resp, p.clock.Now()); err != nil {
		if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests && said.Message != "" {
			return notify.Result{}, permanent("channel.error.gateway_refused", nil, "host", host, "detail", bounded(said.Message))
		}
		return notify.Result{}, err
	}
	return notify.Result{ProviderID: bounded(said.SID)}, nil
}

// twiml is what a call says: the message twice, then it waits ten seconds for a key.
func twiml(m notify.Message, key string) string {
	lang := "en-GB"
	if m.Language == "fr" {
		lang = "fr-FR"
	}
	say := func(s string) string { return `<Say language="` + lang + `">` + escaped(s) + `</Say>` }
	text := m.Brief.Spoken
	if text == "" {
		text = m.Subject
	}
	if m.Brief.Keys == "" {
		return `<Response>` + say(text) + `<Pause length="1"/>` + say(text) + `</Response>`
	}
	all := say(text) + say(m.Brief.Keys)
	return `<Response><Gather numDigits="1" timeout="10" action="` + escaped(key) + `">` + all + `<Pause length="1"/>` + all + `</Gather></Response>`
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(spokenOnly(s)))
	return b.String()
}

// spokenOnly keeps a call short: Twilio takes 4,000 characters in all.
func spokenOnly(s string) string {
	if r := []rune(s); len(r) > 600 {
		return string(r[:600])
	}
	return s
}
