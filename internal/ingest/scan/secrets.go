package scan

import (
	"regexp"
	"strings"
)

// quoting names the rules whose message quotes the secret that they found.
var quoting = regexp.MustCompile(`(?i)^b10[5-7]$|hard-?coded|secret|password|credential|token`)

// withoutSecret cuts the quoted part from the message of a rule about secrets.
// Bandit writes "Possible hardcoded password: 'hunter2'".
func withoutSecret(tool, rule, message string) string {
	if !quoting.MatchString(rule) && tool != "bandit" {
		return message
	}
	if i := strings.Index(message, ": '"); i >= 0 {
		return message[:i]
	}
	if i := strings.Index(message, `: "`); i >= 0 {
		return message[:i]
	}
	return message
}

// withoutSecretCode leaves code out of identities when the rule found a secret in
// it: a short hash would give the secret away.
func withoutSecretCode(rule, code string) string {
	if quoting.MatchString(rule) {
		return ""
	}
	return code
}
