package notify

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"

	"tocsin/internal/kit"
)

// maxAddress is the longest address, in bytes.
const maxAddress = 2048

// Kinds are the kinds of contact methods (model.md 5.2).
var Kinds = []string{
	"webhook", "email", "sms", "voice", "slack", "push", "telegram", "teams", "discord", "mattermost", "ntfy", "gotify", "pushover", "matrix",
}

var number = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

// member is the id of a member of a Slack workspace.
var member = regexp.MustCompile(`^[UW][A-Z0-9]{2,30}$`)

func checkMethod(f *kit.Fields, path string, m Method) {
	if !kit.IsSlug(m.ID) {
		f.Add(path+".id", "notify.error.bad_id")
	}
	if !slices.Contains(Kinds, m.Kind) {
		f.Add(path+".kind", "notify.error.bad_kind")
		return
	}
	if !goodAddress(m.Kind, m.To) {
		f.Add(path+".to", "notify.error.bad_address", "kind", m.Kind)
	}
}

// carried are what the address of a kind must have as parameters.
var carried = map[string][]string{"telegram": {"chat_id"}, "gotify": {"token"}, "pushover": {"token", "user"}, "matrix": {"access_token"}}

func goodAddress(kind, to string) bool {
	if to == "" || len(to) > maxAddress {
		return false
	}
	switch kind {
	case "push":
		_, err := ParseSubscription(to)
		return err == nil
	case "email":
		a, err := mail.ParseAddress(to)
		return err == nil && a.Address == to
	case "webhook", "telegram", "teams", "discord", "mattermost", "ntfy", "gotify", "pushover", "matrix":
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return false
		}
		q := u.Query()
		return !slices.ContainsFunc(carried[kind], func(name string) bool { return q.Get(name) == "" })
	case "sms", "voice":
		return number.MatchString(to)
	case "slack":
		return member.MatchString(to)
	}
	return true
}
