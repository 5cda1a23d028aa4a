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

// tokens are secrets that can be told by their shape.
var tokens = regexp.MustCompile(`\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{16,}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_.-]{10,})|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*`)

// hints are quick to look for and stand in every token.
var hints = []string{"AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk_live_", "eyJ", "PRIVATE KEY"}

// withoutTokens takes such secrets out of a text, whatever scanner quoted them.
func withoutTokens(s string) string {
	for _, h := range hints {
		if strings.Contains(s, h) {
			return tokens.ReplaceAllString(s, "[secret]")
		}
	}
	return s
}

// withoutSecretCode leaves code out of identities when the rule found a secret in
// it: a short hash would give the secret away.
func withoutSecretCode(rule, code string) string {
	if quoting.MatchString(rule) {
		return ""
	}
	return code
}
