package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/cli/client"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// run is one command.
type run struct {
	g     *grammar
	s     Streams
	do    Actions
	lang  string
	out   io.Writer
	color bool
	// ask tells that a person can be asked.
	ask bool
	// given are the flags of the command line itself.
	given []string

	in     *bufio.Reader
	api    *client.Client
	people map[string]string
}

// verb does one.
func (r *run) verb(ctx context.Context, command string) error {
	if ok, err := r.local(ctx, command); ok {
		return err
	}
	name, _, _ := strings.Cut(command, " ")
	if name == "completion" {
		return r.completion()
	}
	if name == "login" {
		return r.login(ctx)
	}
	if _, err := r.client(); err != nil {
		return err
	}
	do, ok := map[string]func(context.Context) error{
		"declare": r.declare, "ack": r.ack, "pass": r.pass, "note": r.note, "assess": r.assess, "phase": r.phase, "handover": r.handover,
		"status": r.status, "oncall": r.oncall, "page": r.page, "whoami": r.whoami, "doctor": r.doctor, "sync": r.sync,
	}[name]
	if !ok {
		return fmt.Errorf("command %q is not handled", command)
	}
	err := do(ctx)
	if err == nil {
		r.keepSheet(ctx)
	}
	return err
}

func pairs(l []any) map[string]any {
	m := map[string]any{}
	for n := 0; n+1 < len(l); n += 2 {
		m[l[n].(string)] = l[n+1]
	}
	return m
}

// t is a text in the language of the user.
func (r *run) t(key string, args ...any) string { return i18n.T(r.lang, key, pairs(args)) }

// say writes a message.
func (r *run) say(key string, args ...any) {
	if !r.g.Quiet {
		_, _ = fmt.Fprintln(r.s.Err, r.t(key, args...))
	}
}

// tell writes a line of the answer for people.
func (r *run) tell(key string, args ...any) { _, _ = fmt.Fprintln(r.out, r.t(key, args...)) }

// row writes a line of the answer for programs.
func (r *run) row(fields ...string) {
	for n := range fields {
		fields[n] = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(fields[n])
	}
	_, _ = fmt.Fprintln(r.out, strings.Join(fields, "\t"))
}

func (r *run) asJSON(v any) error {
	if raw, ok := v.(json.RawMessage); ok {
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
	}
	e := json.NewEncoder(r.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// answer writes what a verb came to: the answer of the server as it is, one line of
// fields, or words.
func (r *run) answer(raw json.RawMessage, plain []string, words func()) error {
	switch {
	case r.g.JSON:
		return r.asJSON(raw)
	case r.g.Plain:
		r.row(plain...)
	default:
		words()
	}
	return nil
}

// input reads a line from the person at the terminal.
func (r *run) input(prompt string) (string, error) {
	_, _ = fmt.Fprint(r.s.Err, prompt+" ")
	if r.in == nil {
		r.in = bufio.NewReader(r.s.In)
	}
	s, err := r.in.ReadString('\n')
	if err == io.EOF && s != "" {
		err = nil
	}
	if err != nil {
		return "", kit.Invalid("cli.error.no_answer")
	}
	return strings.TrimSpace(s), nil
}

// choose puts a question with numbered answers; an empty line is the last.
func (r *run) choose(question string, labels []string) (int, error) {
	_, _ = fmt.Fprintln(r.s.Err, question)
	for n, l := range labels {
		_, _ = fmt.Fprintf(r.s.Err, "  %d  %s\n", n+1, l)
	}
	for {
		s, err := r.input(">")
		if err != nil {
			return 0, err
		}
		if s == "" {
			return len(labels) - 1, nil
		}
		if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(labels) {
			return n - 1, nil
		}
		_, _ = fmt.Fprintln(r.s.Err, r.t("cli.choose", "n", len(labels)))
	}
}

// confirm asks for a yes; --yes gives it.
func (r *run) confirm(question string) (bool, error) {
	if r.g.Yes || !r.ask {
		return true, nil
	}
	s, err := r.input(question + " " + r.t("cli.yes_no"))
	if err != nil {
		return false, err
	}
	switch strings.ToLower(s) {
	case "y", "yes", "o", "oui":
		return true, nil
	}
	return false, nil
}

// at writes an instant in the zone of the machine.
func (r *run) at(t time.Time) string { return i18n.Time(r.lang, t, time.Local, time.Now()) }

// severity writes a level.
func (r *run) severity(s *string) string {
	if s == nil || *s == "" {
		return r.t("core.severity.none")
	}
	up := strings.ToUpper(*s)
	if r.color && (up == "SEV1" || up == "SEV2") {
		return "\x1b[1;31m" + up + "\x1b[0m"
	}
	return up
}

// name is that of a person by id; the id where the server does not say.
func (r *run) name(ctx context.Context, id string) string {
	if r.people == nil {
		r.people = map[string]string{}
		var l client.Items[client.Person]
		if _, err := r.api.Get(ctx, "/people", &l); err == nil {
			for _, p := range l.Items {
				r.people[p.ID] = p.Name
			}
		}
	}
	if n := r.people[id]; n != "" {
		return n
	}
	return id
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// parseTime reads an instant: RFC 3339, or a date and time, or a time of today, in
// the zone of the machine.
func parseTime(field, s string) (time.Time, error) {
	now := time.Now()
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", s, time.Local); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, time.Local), nil
	}
	return time.Time{}, kit.InvalidField(field, "error.bad_value", "value", s)
}
