package channel

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio signs with it.
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/text"
)

// callbacks is where a provider reports to.
const callbacks = "/channel/twilio/"

// maxCallback bounds what a provider reports, in bytes.
const maxCallback = 64 << 10

// Answers is what the reports of a provider change.
type Answers interface {
	Confirmed(ctx context.Context, delivery string) error
	Undelivered(ctx context.Context, delivery string, why error) error
	AnswerDelivery(ctx context.Context, delivery string, accept bool, via kit.Via) error
	AnswerReply(ctx context.Context, kind, address string, accept bool, via kit.Via) (notify.Replied, error)
	DeliveryByID(ctx context.Context, delivery string) (notify.Delivery, string, error)
}

// Twilio takes the reports of the provider: what became of a message, a reply, a key
// that was pressed. Each is signed with the auth token; one that is not is refused. They
// come late, twice and out of order, and change nothing that was answered since.
type Twilio struct {
	answers    Answers
	sms, voice Gateways
	base       func() string
	log        *slog.Logger
}

// NewTwilio makes the handler of /channel/twilio/.
func NewTwilio(answers Answers, sms, voice Gateways, base func() string, log *slog.Logger) http.Handler {
	t := &Twilio{answers, sms, voice, base, log}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+callbacks+"sms/status", t.signed(sms, t.smsStatus))
	mux.HandleFunc("POST "+callbacks+"sms/reply", t.signed(sms, t.reply))
	mux.HandleFunc("POST "+callbacks+"voice/status", t.signed(voice, t.callStatus))
	mux.HandleFunc("POST "+callbacks+"voice/key", t.signed(voice, t.key))
	return mux
}

// TwilioSignature is the X-Twilio-Signature of a request: the HMAC-SHA1 of its URL and
// its form, with the auth token as key.
func TwilioSignature(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(address))
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range form[name] {
			mac.Write([]byte(name + v))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (t *Twilio) signed(gateway Gateways, h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxCallback)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "the form cannot be read", http.StatusBadRequest)
			return
		}
		g, err := gateway(r.Context())
		if err != nil {
			http.Error(w, "the token cannot be read here; send again", http.StatusServiceUnavailable)
			return
		}
		want := TwilioSignature(g.Token, t.base()+r.URL.RequestURI(), r.PostForm)
		if g.Kind != KindTwilio || g.Token == "" || !hmac.Equal([]byte(want), []byte(r.Header.Get("X-Twilio-Signature"))) {
			http.Error(w, "not signed with the token of this installation", http.StatusForbidden)
			return
		}
		ctx := kit.WithActor(r.Context(), kit.System(kit.ViaSMS))
		if err := h(w, r.WithContext(ctx)); err != nil {
			switch kit.CodeOf(err) {
			case kit.CodeNotFound:
				http.Error(w, "no such message", http.StatusNotFound)
			case kit.CodeBusy:
				http.Error(w, "send again", http.StatusServiceUnavailable)
			default:
				t.log.ErrorContext(ctx, "a report of the provider was not kept", "path", r.URL.Path, "error", err)
				http.Error(w, "it was not kept", http.StatusInternalServerError)
			}
		}
	}
}

// ok answers with what the provider is to do; nothing where it is empty.
func ok(w http.ResponseWriter, body string) error {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, err := w.Write([]byte("<Response>" + body + "</Response>"))
	return err
}

// reported keeps what the provider says became of a delivery.
func (t *Twilio) reported(w http.ResponseWriter, r *http.Request, arrived, failed []string) error {
	id, status := r.URL.Query().Get("d"), cmp.Or(r.PostFormValue("MessageStatus"), r.PostFormValue("CallStatus"))
	var err error
	switch {
	case slices.Contains(arrived, status):
		err = t.answers.Confirmed(r.Context(), id)
	case slices.Contains(failed, status):
		why := bounded(strings.TrimSpace(status + " " + r.PostFormValue("ErrorCode")))
		err = t.answers.Undelivered(r.Context(), id, permanent("channel.error.not_delivered", nil, "status", why).Err)
	}
	if err != nil {
		return err
	}
	return ok(w, "")
}

func (t *Twilio) smsStatus(w http.ResponseWriter, r *http.Request) error {
	return t.reported(w, r, []string{"delivered", "read"}, []string{"undelivered", "failed"})
}

// A call that was taken says nothing of who took it: a key confirms it, the end does not.
func (t *Twilio) callStatus(w http.ResponseWriter, r *http.Request) error {
	return t.reported(w, r, nil, []string{"busy", "no-answer", "failed", "canceled"})
}

// Replies that are understood.
var (
	yes = []string{"1", "ok", "oui", "yes", "y", "o"}
	no  = []string{"2", "no", "non", "n"}
)

// reply answers by SMS what somebody was last sent.
func (t *Twilio) reply(w http.ResponseWriter, r *http.Request) error {
	say := func(_, text string) error { return ok(w, "<Message>"+escaped(text)+"</Message>") }
	word := strings.Trim(text.Fold(strings.TrimSpace(r.PostFormValue("Body"))), " .!")
	accept := slices.Contains(yes, word)
	if !accept && !slices.Contains(no, word) {
		// Nobody knows in which language to answer a word that is none of these.
		return say("", i18n.T("en", "message.answered.unknown", nil)+" / "+i18n.T("fr", "message.answered.unknown", nil))
	}
	done, err := t.answers.AnswerReply(r.Context(), "sms", r.PostFormValue("From"), accept, kit.ViaSMS)
	return answered(err, done, accept, say)
}

// answered says to whoever answered what came of it.
func answered(err error, done notify.Replied, accept bool, say func(lang, text string) error) error {
	lang := cmp.Or(done.Language, "en")
	var known *kit.Error
	switch {
	case err == nil && done.Page && accept:
		return say(lang, i18n.T(lang, "message.answered.page", map[string]any{"ref": done.Ref}))
	case err == nil && done.Page:
		return say(lang, i18n.T(lang, "message.answered.passed", map[string]any{"ref": done.Ref}))
	case err == nil:
		return say(lang, i18n.T(lang, "message.answered.noted", nil))
	case errors.As(err, &known) && known.Code == kit.CodeNotFound:
		return say(lang, i18n.T(lang, "message.answered.nothing", nil))
	case errors.As(err, &known) && known.Code == kit.CodeConflict:
		// Somebody else has it, or it is over: that is an answer too.
		words, _ := i18n.Error(lang, err)
		return say(lang, words)
	}
	return err
}

// key answers by the key that was pressed in a call.
func (t *Twilio) key(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("d")
	d, lang, err := t.answers.DeliveryByID(r.Context(), id)
	if err != nil {
		return err
	}
	voice := "en-GB"
	if lang == "fr" {
		voice = "fr-FR"
	}
	say := func(_, text string) error { return ok(w, `<Say language="`+voice+`">`+escaped(text)+`</Say>`) }
	pressed := r.PostFormValue("Digits")
	if pressed != "1" && pressed != "2" {
		return say(lang, i18n.T(lang, "message.answered.again", nil))
	}
	err = t.answers.AnswerDelivery(r.Context(), id, pressed == "1", kit.ViaVoice)
	return answered(err, notify.Replied{Language: lang, Ref: d.Ref, Page: d.Message == "page"}, pressed == "1", say)
}
