package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/channel"
	"tocsin/internal/cli"
	"tocsin/internal/cli/client"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

const (
	// shoutAgain is how often the witness shouts while the alarm does not come back.
	shoutAgain = 15 * time.Minute
	// maxWitnessed bounds what is read of a page.
	maxWitnessed = 1 << 20
)

// witness stands on another machine, with nothing of the installation but a token: it
// raises a real page of somebody, takes it by their webhook, answers it, and shouts by
// its own ways when it does not come.
type witness struct {
	o       cli.Witness
	api     *client.Client
	lang    string
	out     io.Writer
	client  *http.Client
	relay   channel.Relay
	pages   chan witnessed
	failing bool
	shouted time.Time
}

// witnessed is a page that came.
type witnessed struct {
	Title  string `json:"title"`
	AckURL string `json:"ack_url"`
}

// Witness raises test alarms until the context ends.
func (Actions) Witness(ctx context.Context, o cli.Witness, api *client.Client, lang string, out io.Writer) error {
	// The operator of the witness says where it goes: there is no user to be guarded
	// against.
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	w := &witness{o: o, api: api, lang: lang, out: out, client: channel.NewClient(everywhere), pages: make(chan witnessed, 16)}
	if o.Every < time.Second || o.Within < time.Second {
		return kit.InvalidField("every", "error.bad_value", "value", o.Every.String())
	}
	if !o.Once && o.ShoutURL == "" && len(o.ShoutTo) == 0 {
		return kit.InvalidField("shout-url", "error.required")
	}
	var err error
	if w.relay, err = w.ownRelay(); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(w.take), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	w.say("cli.witness.listens", "addr", l.Addr().String())
	for {
		took, err := w.test(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.told(ctx, took, err)
		if o.Once {
			if err != nil {
				return kit.Errorf(kit.CodeBusy, "cli.error.witness", "reason", w.reason(err))
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(o.Every-took, time.Second)):
		}
	}
}

func (w *witness) t(key string, pairs ...any) string {
	args := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[pairs[i].(string)] = pairs[i+1]
	}
	return i18n.T(w.lang, key, args)
}

func (w *witness) say(key string, pairs ...any) { _, _ = fmt.Fprintln(w.out, w.t(key, pairs...)) }

func (w *witness) ownRelay() (channel.Relay, error) {
	if len(w.o.ShoutTo) == 0 {
		return channel.Relay{}, nil
	}
	host, port, err := net.SplitHostPort(w.o.SMTP)
	if err != nil {
		return channel.Relay{}, kit.InvalidField("smtp", "error.bad_value", "value", w.o.SMTP)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return channel.Relay{}, kit.InvalidField("smtp", "error.bad_value", "value", w.o.SMTP)
	}
	r := channel.Relay{Host: host, Port: n, TLS: w.o.SMTPTLS, User: w.o.SMTPUser, From: w.o.ShoutFrom}
	if w.o.SMTPFile != "" {
		secret, err := os.ReadFile(w.o.SMTPFile)
		if err != nil {
			return r, kit.NotFound("file", w.o.SMTPFile)
		}
		r.Password = strings.TrimSpace(string(secret))
	}
	return r, r.Check("smtp")
}

// take is the webhook of the person who stands for the witness.
func (w *witness) take(res http.ResponseWriter, r *http.Request) {
	var m struct {
		Type string
		Data witnessed
	}
	if r.Method != http.MethodPost || json.NewDecoder(http.MaxBytesReader(res, r.Body, maxWitnessed)).Decode(&m) != nil {
		http.Error(res, "a page by POST is expected", http.StatusBadRequest)
		return
	}
	res.WriteHeader(http.StatusNoContent)
	if m.Type == "page" || m.Type == "test" {
		select {
		case w.pages <- m.Data:
		default:
		}
	}
}

// errLate says that no page came in time.
var errLate = errors.New("late")

// test raises one test alarm and waits for it.
func (w *witness) test(ctx context.Context) (time.Duration, error) {
	for len(w.pages) > 0 {
		<-w.pages
	}
	nonce := kit.Secret(12)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.o.Within)
	defer cancel()
	var ladder struct{ ID string }
	if _, err := w.api.Post(ctx, "/pages", map[string]any{"to": []string{"person:" + w.o.Person}, "text": w.t("message.witness.title", "nonce", nonce)}, "", &ladder); err != nil {
		if ctx.Err() != nil {
			err = errLate
		}
		return time.Since(began), err
	}
	for {
		select {
		case <-ctx.Done():
			w.callOff(context.WithoutCancel(ctx), ladder.ID)
			return time.Since(began), errLate
		case p := <-w.pages:
			if !strings.Contains(p.Title, nonce) {
				continue
			}
			return time.Since(began), w.answer(ctx, p.AckURL)
		}
	}
}

// answer presses the button of the page: the way back is part of the way.
func (w *witness) answer(ctx context.Context, link string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, link, strings.NewReader(url.Values{"answer": {"accept"}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the page came, its answer was refused: %s", resp.Status)
	}
	return nil
}

// callOff answers by the interface what did not come, so that nothing goes on paging the
// witness. What cannot be done ends by itself.
func (w *witness) callOff(ctx context.Context, ladder string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var l client.Items[struct{ ID string }]
	if _, err := w.api.Get(ctx, "/pages?state=open&ladder="+url.QueryEscape(ladder), &l); err != nil {
		return
	}
	for _, p := range l.Items {
		_, _ = w.api.Post(ctx, "/pages/"+url.PathEscape(p.ID)+"/acknowledge", nil, "", nil)
	}
}

func (w *witness) reason(err error) string {
	if errors.Is(err, errLate) {
		return w.t("cli.witness.late", "within", w.o.Within)
	}
	var known *kit.Error
	if errors.As(err, &known) {
		words, _ := i18n.Error(w.lang, err)
		return words
	}
	return err.Error()
}

// told says how a test went: to whoever reads, to the server, and out loud when it
// failed or works again.
func (w *witness) told(ctx context.Context, took time.Duration, failure error) {
	now := time.Now()
	clock := now.Format(time.DateTime)
	if failure == nil {
		w.say("cli.witness.passed", "time", clock, "took", took.Round(time.Millisecond).String())
		if w.failing {
			w.shout(ctx, w.t("message.witness.back_subject"), w.t("message.witness.back_text", "server", w.api.Base, "at", clock), "passed")
		}
		w.failing, w.shouted = false, time.Time{}
		w.signOfLife(ctx)
	} else {
		reason := w.reason(failure)
		w.say("cli.witness.failed", "time", clock, "reason", reason)
		if w.shouted.IsZero() || now.Sub(w.shouted) >= shoutAgain {
			n := w.shout(ctx, w.t("message.witness.subject"), w.t("message.witness.text", "server", w.api.Base, "at", clock, "reason", reason), "failed")
			w.say("cli.witness.shouted", "count", n)
			w.shouted = now
		}
		w.failing = true
	}
	send, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body := map[string]any{"passed": failure == nil, "path": "witness", "duration_ms": took.Milliseconds()}
	if failure != nil {
		body["reason"] = w.reason(failure)
	}
	if _, err := w.api.Post(send, "/self-tests", body, "", nil); err != nil && failure == nil {
		_, _ = fmt.Fprintln(w.out, "          "+w.reason(err))
	}
}

// shout tells by the witness's own ways, and gives how many took it.
func (w *witness) shout(ctx context.Context, subject, text, result string) int {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	n := 0
	note := func(err error) {
		if err != nil {
			_, _ = fmt.Fprintln(w.out, "          "+err.Error())
			return
		}
		n++
	}
	id := kit.NewID()
	if w.o.ShoutURL != "" {
		body, err := json.Marshal(map[string]any{"type": "witness." + result, "timestamp": time.Now().UTC().Format(time.RFC3339), "data": map[string]any{"server": w.api.Base, "subject": subject, "text": text}})
		if err == nil {
			_, err = channel.NewWebhook(w.client, kit.SystemClock{}, nil).Send(ctx, notify.Message{ID: id, To: w.o.ShoutURL, Body: body})
		}
		note(err)
	}
	mail := channel.NewEmail(kit.SystemClock{}, func(context.Context) (channel.Relay, error) { return w.relay, nil })
	for i, to := range w.o.ShoutTo {
		_, err := mail.Send(ctx, notify.Message{ID: id + "-" + strconv.Itoa(i), To: to, Subject: subject, Text: text + "\n"})
		note(err)
	}
	return n
}

func (w *witness) signOfLife(ctx context.Context) {
	if w.o.SignOfLife == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.SignOfLife, bytes.NewReader(nil))
	if err == nil {
		var resp *http.Response
		if resp, err = w.client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	if err != nil {
		_, _ = fmt.Fprintln(w.out, "          "+strings.ReplaceAll(err.Error(), w.o.SignOfLife, "…"))
	}
}
