package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

// SlackInteractions is where Slack sends the buttons that were pressed: the Request URL
// of the app's interactivity.
const SlackInteractions = "/channel/slack/interactions"

const slackURL = "https://slack.com/api/"

// The ids of the two buttons.
const (
	slackAccept = "tocsin_accept"
	slackRefuse = "tocsin_refuse"
)

// SlackApp is the app of the organisation (channels.slack). The zero SlackApp is none.
type SlackApp struct {
	// APIURL is where the interface is; empty means Slack's own.
	APIURL string
	// Token is the bot token (scope chat:write), SigningSecret signs what Slack sends.
	Token, SigningSecret string
}

// SlackApps gives the app as it is set now.
type SlackApps func(ctx context.Context) (SlackApp, error)

func (a SlackApp) client(c *http.Client) *slack.Client {
	at := a.APIURL
	if at == "" {
		at = slackURL
	}
	return slack.New(a.Token, slack.OptionAPIURL(strings.TrimRight(at, "/")+"/"), slack.OptionHTTPClient(c))
}

// Slack sends a direct message to a member, with buttons that answer it.
type Slack struct {
	client *http.Client
	app    SlackApps
}

// NewSlack sends through the app of the organisation.
func NewSlack(client *http.Client, app SlackApps) *Slack { return &Slack{client, app} }

var _ notify.Sender = (*Slack)(nil)

var _ notify.Provided = (*Slack)(nil)

// Provided implements notify.Provided.
func (s *Slack) Provided(ctx context.Context) bool {
	a, err := s.app(ctx)
	return err == nil && a.Token != ""
}

// gone are the words of Slack for a member who cannot be written to any more.
var gone = []string{"account_inactive", "user_not_found", "user_disabled", "users_not_found"}

// passing are those of a trouble that may be over at the next try.
var passing = []string{"internal_error", "fatal_error", "request_timeout", "service_unavailable", "ratelimited", "rate_limited", "message_limit_exceeded"}

// Send implements notify.Sender. Slack knows no key of idempotency: a message in doubt
// may arrive twice.
func (s *Slack) Send(ctx context.Context, m notify.Message) (notify.Result, error) {
	a, err := s.app(ctx)
	if err != nil {
		return notify.Result{}, temporary("channel.error.secret_unread", err)
	}
	if a.Token == "" {
		return notify.Result{}, permanent("channel.error.no_gateway", nil, "kind", "slack")
	}
	ctx, whole := traced(ctx)
	room, at, err := a.client(s.client).PostMessageContext(ctx, m.To,
		slack.MsgOptionText(m.Subject, true), slack.MsgOptionBlocks(slackBlocks(m, a.SigningSecret != "")...), slack.MsgOptionDisableLinkUnfurl())
	if err != nil {
		return notify.Result{}, slackFailure(a, err, whole())
	}
	return notify.Result{ProviderID: room + " " + at}, nil
}

func slackFailure(a SlackApp, err error, whole bool) error {
	host := "slack.com"
	if u, bad := url.Parse(a.APIURL); bad == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		e := temporary("channel.error.status", nil, "host", host, "status", "429 Too Many Requests")
		e.RetryAfter = within(limited.RetryAfter, time.Hour)
		return e
	}
	if status, ok := errors.AsType[slack.StatusCodeError](err); ok {
		if status.Code < 500 && status.Code != http.StatusRequestTimeout {
			return permanent("channel.error.status", nil, "host", host, "status", bounded(status.Status))
		}
		return temporary("channel.error.status", nil, "host", host, "status", bounded(status.Status))
	}
	if said, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		if slices.Contains(passing, said.Err) {
			return temporary("channel.error.gateway_refused", nil, "host", host, "detail", bounded(said.Err))
		}
		e := permanent("channel.error.gateway_refused", nil, "host", host, "detail", bounded(said.Err))
		e.Gone = slices.Contains(gone, said.Err)
		return e
	}
	return unreachable(host, err, whole)
}

// slackBlocks writes the message as Block Kit: what it is, what there is to say, the
// buttons. Where nothing that Slack sends can be checked, the only button is a link.
func slackBlocks(m notify.Message, answers bool) []slack.Block {
	plain := func(text string, n int) *slack.TextBlockObject {
		return slack.NewTextBlockObject(slack.PlainTextType, cut(text, n), false, false)
	}
	head := strings.TrimSpace(m.Brief.Head + " " + m.Brief.What)
	if head == "" {
		head = m.Subject
	}
	out := []slack.Block{slack.NewHeaderBlock(plain(head, 150))}
	if m.Brief.More != "" {
		out = append(out, slack.NewSectionBlock(plain(m.Brief.More, 2900), nil, nil))
	}
	var buttons []slack.BlockElement
	if answers && m.Brief.Accept != "" {
		b := slack.NewButtonBlockElement(slackAccept, m.ID, plain(m.Brief.Accept, 75))
		b.Style = slack.StylePrimary
		buttons = append(buttons, b)
		if m.Brief.Refuse != "" {
			buttons = append(buttons, slack.NewButtonBlockElement(slackRefuse, m.ID, plain(m.Brief.Refuse, 75)))
		}
	}
	if m.Brief.Link != "" {
		b := slack.NewButtonBlockElement("tocsin_open", "open", plain(i18n.T(m.Language, "message.slack.open", nil), 75))
		b.URL = m.Brief.Link
		buttons = append(buttons, b)
	}
	if len(buttons) > 0 {
		out = append(out, slack.NewActionBlock("tocsin", buttons...))
	}
	return out
}

// SlackButtons takes the buttons that members press.
type SlackButtons struct {
	answers Answers
	app     SlackApps
	client  *http.Client
	log     *slog.Logger
}

// NewSlackButtons makes the handler of SlackInteractions. A request is taken only with
// the signature of the app, at most five minutes old; a button answers only for the
// member to whom it was sent.
func NewSlackButtons(answers Answers, app SlackApps, client *http.Client, log *slog.Logger) http.Handler {
	return &SlackButtons{answers, app, client, log}
}

// ServeHTTP implements http.Handler.
func (s *SlackButtons) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Slack posts here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	a, err := s.app(r.Context())
	if err != nil {
		http.Error(w, "the signing secret cannot be read here; send again", http.StatusServiceUnavailable)
		return
	}
	if !slackSigned(a, r.Header, body) {
		http.Error(w, "not signed with the secret of this installation", http.StatusForbidden)
		return
	}
	form, err := url.ParseQuery(string(body))
	var in slack.InteractionCallback
	if err == nil {
		err = json.NewDecoder(bytes.NewReader([]byte(form.Get("payload")))).Decode(&in)
	}
	if err != nil {
		http.Error(w, "the payload cannot be read", http.StatusBadRequest)
		return
	}
	ctx := kit.WithActor(r.Context(), kit.System(kit.ViaSlack))
	for _, act := range in.ActionCallback.BlockActions {
		if act.ActionID != slackAccept && act.ActionID != slackRefuse {
			continue
		}
		said, err := s.press(ctx, in.User.ID, act.Value, act.ActionID == slackAccept)
		if err != nil {
			s.log.ErrorContext(ctx, "a button of Slack was not taken", "error", err)
			http.Error(w, "it was not kept", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
		// Slack waits three seconds; what is said after comes by another way.
		_ = http.NewResponseController(w).Flush()
		s.say(ctx, in.ResponseURL, said)
		return
	}
}

func slackSigned(a SlackApp, h http.Header, body []byte) bool {
	if a.SigningSecret == "" {
		return false
	}
	v, err := slack.NewSecretsVerifier(h, a.SigningSecret)
	if err != nil {
		return false
	}
	_, err = v.Write(body)
	return err == nil && v.Ensure() == nil
}

// press answers a delivery and gives what to say to who pressed.
func (s *SlackButtons) press(ctx context.Context, member, delivery string, accept bool) (string, error) {
	d, lang, err := s.answers.DeliveryByID(ctx, delivery)
	if kit.CodeOf(err) == kit.CodeNotFound || err == nil && (d.Kind != "slack" || d.To != member) {
		return i18n.T("en", "message.answered.nothing", nil), nil
	}
	if err != nil {
		return "", err
	}
	var said string
	err = s.answers.AnswerDelivery(ctx, delivery, accept, kit.ViaSlack)
	err = answered(err, notify.Replied{Language: lang, Ref: d.Ref, Page: d.Message == "page"}, accept, func(_, text string) error {
		said = text
		return nil
	})
	return said, err
}

// say puts the outcome in the place of the buttons. It is a courtesy: what was answered
// is kept, whether or not Slack shows it.
func (s *SlackButtons) say(ctx context.Context, at, text string) {
	if at == "" || text == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := slack.PostWebhookCustomHTTPContext(ctx, at, s.client, &slack.WebhookMessage{Text: text, ReplaceOriginal: true})
	if err != nil {
		s.log.WarnContext(ctx, "the outcome of a button could not be shown in Slack", "error", reason(err))
	}
}
