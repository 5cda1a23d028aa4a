// Package cli is the command line: it reads words and flags, calls what the
// program can do, and writes results on stdout, messages on stderr.
package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"tocsin/internal/i18n"
)

// Version is set by the linker.
var Version = "dev"

// Streams is where words come from and go to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal tells that a person sits at In and Err, who can be asked.
	Terminal bool
	// Color tells that Out shows colours.
	Color bool
}

type grammar struct {
	Server    string `help:"The server that is asked." env:"TOCSIN_SERVER" placeholder:"URL"`
	TokenFile string `name:"token-file" help:"File with the API token." env:"TOCSIN_TOKEN_FILE" placeholder:"FILE"`
	JSON      bool   `help:"Answer as JSON."`
	Plain     bool   `help:"Answer as lines of fields with tabs between them."`
	Output    string `short:"o" help:"Write the answer to a file; - is standard output." placeholder:"FILE"`
	Quiet     bool   `short:"q" help:"No messages, only the answer."`
	Verbose   bool   `short:"v" help:"Tell each call to the server."`
	NoColor   bool   `name:"no-color" help:"No colours."`
	NoInput   bool   `name:"no-input" help:"Never ask."`
	Yes       bool   `help:"Confirm what would be asked."`
	DryRun    bool   `name:"dry-run" short:"n" help:"Only tell what would be done."`

	Declare     declareCmd    `cmd:""`
	Ack         ackCmd        `cmd:""`
	Pass        ackCmd        `cmd:""`
	Note        noteCmd       `cmd:""`
	Assess      assessCmd     `cmd:""`
	Phase       phaseCmd      `cmd:""`
	Handover    handoverCmd   `cmd:""`
	Status      statusCmd     `cmd:""`
	Oncall      oncallCmd     `cmd:""`
	Page        pageCmd       `cmd:""`
	Whoami      struct{}      `cmd:""`
	Doctor      struct{}      `cmd:""`
	Sync        syncCmd       `cmd:""`
	Login       struct{}      `cmd:""`
	Serve       Serve         `cmd:""`
	Demo        Demo          `cmd:""`
	Apply       Apply         `cmd:""`
	Export      exportCmd     `cmd:""`
	Import      Import        `cmd:""`
	Token       tokenCmd      `cmd:""`
	LoginLink   loginLinkCmd  `cmd:"" name:"login-link"`
	Witness     Witness       `cmd:""`
	Verify      verifyCmd     `cmd:""`
	Backup      backupCmd     `cmd:""`
	Restore     restoreCmd    `cmd:""`
	MigrateData migrateCmd    `cmd:"" name:"migrate-data"`
	Completion  completionCmd `cmd:""`
	Version     struct{}      `cmd:""`
}

// Run reads the words, does what they say and gives the exit code. It asks
// questions when a person sits at standard input.
func Run(ctx context.Context, args []string, do Actions, stdout, stderr io.Writer) int {
	s := Streams{In: os.Stdin, Out: stdout, Err: stderr}
	s.Terminal = term.IsTerminal(int(os.Stdin.Fd())) && isTerminal(stderr)
	s.Color = isTerminal(stdout)
	return RunWith(ctx, args, do, s)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// RunWith is Run on given streams.
func RunWith(ctx context.Context, args []string, do Actions, s Streams) int {
	var g grammar
	lang := language()
	exit := -1
	k, err := kong.New(&g, kong.Name("tocsin"), kong.Description(i18n.T(lang, "cli.about", nil)), kong.Writers(s.Out, s.Err),
		kong.Exit(func(code int) { exit = code }), kong.Help(help(lang)), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		_, _ = fmt.Fprintln(s.Err, "tocsin:", err)
		return ExitFailed
	}
	speak(k.Model, lang)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if verb := args[0]; !strings.HasPrefix(verb, "-") {
		if near, ok := nearest(lang, verb, k.Model); !ok {
			_, _ = fmt.Fprintln(s.Err, "tocsin: "+i18n.T(lang, "cli.error.no_verb", map[string]any{"verb": verb})+near)
			return ExitUsage
		}
	}
	kctx, err := k.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		verb := args[0]
		if strings.HasPrefix(verb, "-") {
			verb = ""
		}
		_, _ = fmt.Fprintf(s.Err, "tocsin: %v\n%s\n", err, i18n.T(lang, "cli.try", map[string]any{"command": strings.Join(strings.Fields("tocsin "+verb+" --help"), " ")}))
		return ExitUsage
	}
	r := &run{g: &g, s: s, lang: lang, do: do, out: s.Out}
	r.color = s.Color && !g.NoColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	r.ask = s.Terminal && !g.NoInput
	for _, p := range kctx.Path {
		if p.Flag != nil {
			r.given = append(r.given, p.Flag.Name)
		}
	}
	var file bytes.Buffer
	if g.Output != "" && g.Output != "-" {
		r.out, r.color = &file, false
	}
	err = r.verb(ctx, kctx.Command())
	if file.Len() > 0 {
		if e := os.WriteFile(g.Output, file.Bytes(), 0o600); err == nil && e != nil {
			err = e
		}
	}
	return report(err, lang, s.Err)
}

// language is that of the messages, by the environment.
func language() string {
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if s := os.Getenv(v); s != "" {
			if strings.HasPrefix(s, "fr") {
				return "fr"
			}
			break
		}
	}
	return "en"
}
