package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"tocsin/internal/i18n"
)

// examples are shown first in the help of a verb; "" are those of the whole.
var examples = map[string]string{
	"":             "tocsin declare \"Payments fail\" --service payments\ntocsin ack\ntocsin status INC-42",
	"declare":      "tocsin declare \"Payments fail with error 500\" --service payments --impact outage\ntocsin declare \"Mailbox opened by a stranger\" --data --confidential",
	"ack":          "tocsin ack\ntocsin ack INC-42",
	"pass":         "tocsin pass\ntocsin pass INC-42",
	"note":         "tocsin note INC-42 \"Failover started\" --at 03:20\ndmesg | tail | tocsin note INC-42 -",
	"assess":       "tocsin assess INC-42\ntocsin assess INC-42 --who most --what main --data no --trend stable --change none",
	"phase":        "tocsin phase INC-42 containment\ntocsin phase INC-42 recovery --answer stopped=yes --answer checked_by=paul",
	"handover":     "tocsin handover INC-42 --to paul\ntocsin handover INC-42 --to paul --role communications",
	"status":       "tocsin status\ntocsin status INC-42 --json",
	"oncall":       "tocsin oncall\ntocsin oncall --at \"2026-12-24 22:00\"",
	"page":         "tocsin page payments \"Card payments are refused\"\ntocsin page ana \"Please join the call\"",
	"whoami":       "tocsin whoami",
	"doctor":       "tocsin doctor\ntocsin doctor --plain",
	"sync":         "tocsin sync --dry-run\ntocsin sync",
	"login":        "tocsin login --server https://tocsin.example.com < token.txt\ntocsin login --server https://tocsin.example.com --token-file token.txt",
	"serve":        "tocsin serve --base-url https://tocsin.example.com",
	"demo":         "tocsin demo",
	"apply":        "tocsin apply -f company.yaml --dry-run\ntocsin apply -f company.yaml --server https://tocsin.example.com",
	"import":       "tocsin import incidents.csv --as old-tracker --dry-run\ntocsin import --from opsgenie --url https://api.opsgenie.com --key-file key --save opsgenie.json --dry-run\ntocsin import --from opsgenie opsgenie.json",
	"witness":      "tocsin witness --url https://tocsin.example.com --token-file token --person witness --shout-url https://elsewhere.example/hook",
	"export":       "tocsin export --config -o company.yaml",
	"token create": "tocsin token create --name laptop --role responder --for ana",
	"verify":       "tocsin verify\ntocsin verify INC-42.zip",
	"backup":       "tocsin backup --to tocsin.db",
	"restore":      "tocsin restore tocsin.db --into ./again",
	"login-link":   "tocsin login-link ana",
	"migrate-data": "tocsin migrate-data --from ./tocsin-data --to postgres://localhost/tocsin",
	"completion":   "source <(tocsin completion bash)\ntocsin completion fish > ~/.config/fish/completions/tocsin.fish",
	"version":      "tocsin version",
}

// help prints the examples, then the words and flags.
func help(lang string) kong.HelpPrinter {
	return func(o kong.HelpOptions, ctx *kong.Context) error {
		verb := ""
		if n := ctx.Selected(); n != nil {
			verb = strings.TrimPrefix(n.Path(), "tocsin ")
			verb, _, _ = strings.Cut(verb, " <")
			verb, _, _ = strings.Cut(verb, " [")
		}
		if e := examples[verb]; e != "" {
			if _, err := fmt.Fprintf(ctx.Stdout, "%s\n  %s\n\n", i18n.T(lang, "cli.examples", nil), strings.ReplaceAll(e, "\n", "\n  ")); err != nil {
				return err
			}
		}
		return kong.DefaultHelpPrinter(o, ctx)
	}
}

// speak gives the verbs their help in the language of the user.
func speak(m *kong.Application, lang string) {
	var walk func(n *kong.Node, key string)
	walk = func(n *kong.Node, key string) {
		for _, c := range n.Children {
			if c.Type != kong.CommandNode {
				continue
			}
			k := key + "." + c.Name
			if i18n.Has(k) {
				c.Help = i18n.T(lang, k, nil)
			}
			walk(c, k)
		}
	}
	walk(m.Node, "cli.verb")
}
