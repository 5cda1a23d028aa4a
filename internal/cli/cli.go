// Package cli is the command line: it reads words and flags, calls what the
// program can do, and writes results on stdout, messages on stderr.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

// Exit codes of the public contract.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitNotAllowed  = 4
	ExitConflict    = 5
	ExitUnreachable = 6
	ExitUnverified  = 7
	ExitPartly      = 8
)

// Place is where an installation is.
type Place struct {
	Data          string `help:"Data folder." env:"TOCSIN_DATA" default:"tocsin-data" placeholder:"DIR"`
	Database      string `help:"sqlite, or postgres://… for PostgreSQL." env:"TOCSIN_DATABASE" default:"sqlite" placeholder:"URL"`
	SecretKeyFile string `name:"secret-key-file" help:"File with 32 bytes in base64 that encrypt secrets at rest." env:"TOCSIN_SECRET_KEY_FILE" placeholder:"FILE"`
}

// Serve is the flags of tocsin serve.
type Serve struct {
	Place
	Listen        string         `help:"Address to listen on." env:"TOCSIN_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDR"`
	BaseURL       string         `name:"base-url" help:"How people reach this server, as https://tocsin.example.com." env:"TOCSIN_BASE_URL" placeholder:"URL"`
	OutboundAllow []netip.Prefix `name:"outbound-allow" help:"Private networks that outgoing requests may reach." env:"TOCSIN_OUTBOUND_ALLOW" placeholder:"CIDR,…"`
	Checkpoints   string         `help:"Folder for the signed checkpoints of the journal, best on another machine; checkpoints in the data folder when not given." env:"TOCSIN_CHECKPOINTS" placeholder:"DIR"`
	LogFormat     string         `name:"log-format" enum:"text,json" default:"text" help:"text or json." env:"TOCSIN_LOG_FORMAT"`
	Migrate       bool           `help:"Bring an old schema up to date." default:"true" negatable:""`
}

// Demo is the flags of tocsin demo.
type Demo struct {
	Listen string `help:"Address to listen on." env:"TOCSIN_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDR"`
	Data   string `help:"Data folder; a temporary one when not given." placeholder:"DIR"`
}

// Token is the flags of tocsin token create.
type Token struct {
	Place
	Name    string        `required:"" help:"What the token is for."`
	Role    string        `required:"" help:"Access level: viewer, communications, responder, manager or admin." placeholder:"ROLE"`
	Scope   []string      `help:"Scopes that narrow it, as incidents:write." placeholder:"S,…"`
	Expires string        `default:"90d" help:"How long it is good for; at most 366d."`
	Life    time.Duration `kong:"-"`
}

// Apply is the flags of tocsin apply.
type Apply struct {
	Place
	File   string `short:"f" required:"" help:"The organisation file; - for standard input." placeholder:"FILE"`
	DryRun bool   `name:"dry-run" help:"Only tell what would be done."`
	Prune  bool   `help:"Retire what is not in the file."`
}

// Verification is what tocsin verify found.
type Verification struct {
	What     string   `json:"what"`
	Facts    int64    `json:"facts"`
	Erased   int64    `json:"erased"`
	Root     string   `json:"root"`
	Problems []string `json:"problems"`
}

// Actions is what the program can do on the machine itself.
type Actions interface {
	Serve(ctx context.Context, o Serve, out io.Writer) error
	Demo(ctx context.Context, o Demo, out io.Writer) error
	CreateToken(ctx context.Context, o Token) (secret string, err error)
	// Apply brings the installation to an organisation file.
	Apply(ctx context.Context, o Apply, file []byte) ([]kit.Change, error)
	// Export writes the organisation file of an installation.
	Export(ctx context.Context, p Place) ([]byte, error)
	// Verify checks the installation, or the file when it is not empty.
	Verify(ctx context.Context, p Place, file string) (Verification, error)
	Backup(ctx context.Context, p Place, to string) (Verification, error)
	Restore(ctx context.Context, file string, p Place) (Verification, error)
	LoginLink(ctx context.Context, p Place, person, base string) (string, error)
	MigrateData(ctx context.Context, from, to Place) (Verification, error)
}

// Version is set by the linker.
var Version = "dev"

type grammar struct {
	JSON bool `help:"Answer as JSON."`

	Serve Serve `cmd:"" help:"Run the server."`
	Demo  Demo  `cmd:"" help:"Run a sample company to look around in."`
	Token struct {
		Create Token `cmd:"" help:"Make an API token; prints it alone on stdout."`
	} `cmd:"" help:"API tokens."`
	Apply  Apply `cmd:"" help:"Bring the installation to an organisation file, all or nothing."`
	Export struct {
		Place
		Config bool `required:"" help:"The organisation file."`
	} `cmd:"" help:"Write the organisation file."`
	Verify struct {
		Place
		File string `arg:"" optional:"" help:"A backup or a record; the installation when not given."`
	} `cmd:"" help:"Check the ledger, a backup or a record, offline."`
	Backup struct {
		Place
		To string `help:"File to write." placeholder:"PATH"`
	} `cmd:"" help:"Copy the installation into one file, while it runs, and verify the copy."`
	Restore struct {
		File string `arg:"" help:"The backup."`
		Into string `required:"" help:"A new data folder, or postgres://… of an empty database." placeholder:"DIR"`
	} `cmd:"" help:"Make an installation from a backup."`
	LoginLink struct {
		Place
		Person  string `arg:"" help:"Id of the person."`
		BaseURL string `name:"base-url" env:"TOCSIN_BASE_URL" default:"http://127.0.0.1:8080"`
	} `cmd:"" name:"login-link" help:"Print a link that signs a person in once, within 15 minutes."`
	MigrateData struct {
		From string `required:"" help:"Folder or postgres://…."`
		To   string `required:"" help:"Folder or postgres://…, empty."`
	} `cmd:"" name:"migrate-data" help:"Move an installation to another database and prove the ledger equal."`
	Version struct{} `cmd:"" help:"Print the version."`
}

// Run reads the words, does what they say and gives the exit code.
func Run(ctx context.Context, args []string, do Actions, stdout, stderr io.Writer) int {
	var g grammar
	exit := -1
	k, err := kong.New(&g, kong.Name("tocsin"), kong.Description("Incident response and business continuity in one binary."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }), kong.UsageOnError())
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "tocsin:", err)
		return ExitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if verb := args[0]; !strings.HasPrefix(verb, "-") {
		if near, ok := nearest(verb, k.Model); !ok {
			_, _ = fmt.Fprintf(stderr, "tocsin: no verb %q.%s\n", verb, near)
			return ExitUsage
		}
	}
	kctx, err := k.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "tocsin: %v\nTry: tocsin %s --help\n", err, args[0])
		return ExitUsage
	}
	err = run(ctx, kctx.Command(), &g, do, stdout, stderr)
	return report(err, stderr)
}

var errUnverified = errors.New("verification failed")

func run(ctx context.Context, command string, g *grammar, do Actions, stdout, stderr io.Writer) error {
	switch command {
	case "serve":
		return do.Serve(ctx, g.Serve, stdout)
	case "demo":
		return do.Demo(ctx, g.Demo, stdout)
	case "token create":
		life, err := days(g.Token.Create.Expires)
		if err != nil {
			return err
		}
		g.Token.Create.Life = life
		secret, err := do.CreateToken(ctx, g.Token.Create)
		if err == nil {
			_, err = fmt.Fprintln(stdout, secret)
		}
		return err
	case "apply":
		return apply(ctx, g, do, stdout, stderr)
	case "export":
		file, err := do.Export(ctx, g.Export.Place)
		if err == nil {
			_, err = stdout.Write(file)
		}
		return err
	case "verify", "verify <file>":
		v, err := do.Verify(ctx, g.Verify.Place, g.Verify.File)
		return verified(v, err, g.JSON, stdout)
	case "backup":
		to := g.Backup.To
		if to == "" {
			to = "tocsin-" + time.Now().UTC().Format("20060102-150405") + ".db"
		}
		v, err := do.Backup(ctx, g.Backup.Place, to)
		if err == nil {
			_, _ = fmt.Fprintf(stderr, "written to %s\n", to)
		}
		return verified(v, err, g.JSON, stdout)
	case "restore <file>":
		v, err := do.Restore(ctx, g.Restore.File, placeOf(g.Restore.Into))
		return verified(v, err, g.JSON, stdout)
	case "login-link <person>":
		link, err := do.LoginLink(ctx, g.LoginLink.Place, g.LoginLink.Person, g.LoginLink.BaseURL)
		if err == nil {
			_, err = fmt.Fprintln(stdout, link)
		}
		return err
	case "migrate-data":
		v, err := do.MigrateData(ctx, placeOf(g.MigrateData.From), placeOf(g.MigrateData.To))
		return verified(v, err, g.JSON, stdout)
	case "version":
		_, err := fmt.Fprintln(stdout, "tocsin", Version)
		return err
	}
	return fmt.Errorf("command %q is not handled", command)
}

// maxFile is how long an organisation file may be, in bytes.
const maxFile = 1 << 20

func apply(ctx context.Context, g *grammar, do Actions, stdout, stderr io.Writer) error {
	in := io.Reader(os.Stdin)
	if g.Apply.File != "-" {
		f, err := os.Open(g.Apply.File)
		if err != nil {
			return kit.NotFound("file", g.Apply.File)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	file, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return err
	}
	changes, err := do.Apply(ctx, g.Apply, file)
	if err != nil {
		return err
	}
	if g.JSON {
		raw, err := json.MarshalIndent(changes, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(stdout, string(raw))
		}
		return err
	}
	count := map[string]int{}
	for _, c := range changes {
		count[c.Op]++
		if c.Op != "keep" || c.Detail != "" {
			_, _ = fmt.Fprintf(stdout, "%-7s %s %s  %s\n", c.Op, c.Section, c.ID, c.Detail)
		}
	}
	done := "applied"
	if g.Apply.DryRun {
		done = "nothing written"
	}
	_, _ = fmt.Fprintf(stderr, "%d to create, %d to change, %d to remove, %d as they are: %s\n", count["create"], count["change"], count["remove"], count["keep"], done)
	return nil
}

// placeOf reads a folder or a database URL.
func placeOf(s string) Place {
	if strings.Contains(s, "://") {
		return Place{Data: os.TempDir(), Database: s}
	}
	return Place{Data: s, Database: "sqlite"}
}

func days(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(n + "h")
		if err == nil && d > 0 {
			return d * 24, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, kit.InvalidField("expires", "error.bad_value", "value", s)
}

func verified(v Verification, err error, asJSON bool, out io.Writer) error {
	if err != nil {
		return err
	}
	if asJSON {
		raw, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out, string(raw))
	} else {
		state := "tree intact"
		if len(v.Problems) > 0 {
			state = "BROKEN"
		}
		_, _ = fmt.Fprintf(out, "%-10s%d entries, %d erased, %s, root %s\n", v.What, v.Facts, v.Erased, state, short(v.Root))
		for _, p := range v.Problems {
			_, _ = fmt.Fprintln(out, "  "+p)
		}
		if len(v.Problems) == 0 {
			_, _ = fmt.Fprintln(out, "OK")
		}
	}
	if len(v.Problems) > 0 {
		return errUnverified
	}
	return nil
}

func short(root string) string {
	if len(root) > 12 {
		return root[:4] + "…" + root[len(root)-4:]
	}
	return root
}

// report writes the error in the user's language and gives its exit code.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, errUnverified) {
		return ExitUnverified
	}
	var ke *kit.Error
	if !errors.As(err, &ke) {
		_, _ = fmt.Fprintln(stderr, "tocsin:", err)
		return ExitFailed
	}
	lang := "en"
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if s := os.Getenv(v); s != "" {
			if strings.HasPrefix(s, "fr") {
				lang = "fr"
			}
			break
		}
	}
	message, fields := i18n.Error(lang, err)
	_, _ = fmt.Fprintln(stderr, "tocsin:", message)
	for n, f := range fields {
		line := ""
		if n < len(ke.Fields) {
			if at, ok := ke.Fields[n].Args["line"]; ok {
				line = fmt.Sprintf("line %v: ", at)
			}
		}
		_, _ = fmt.Fprintf(stderr, "  %s%s: %s\n", line, f.Path, f.Message)
	}
	if ke.Code == kit.CodeInternal && ke.Err != nil {
		_, _ = fmt.Fprintln(stderr, "  "+ke.Err.Error())
	}
	return Code(ke.Code)
}

// Code is the exit code of an error code.
func Code(c kit.Code) int {
	switch c {
	case kit.CodeInvalid, kit.CodeMalformed:
		return ExitUsage
	case kit.CodeNotFound:
		return ExitNotFound
	case kit.CodeUnauthenticated, kit.CodeForbidden:
		return ExitNotAllowed
	case kit.CodeConflict, kit.CodeStale:
		return ExitConflict
	case kit.CodeBusy:
		return ExitUnreachable
	}
	return ExitFailed
}

// nearest tells whether a verb exists, else which one may be meant.
func nearest(verb string, m *kong.Application) (hint string, ok bool) {
	best, distance := "", 4
	for _, n := range m.Children {
		if n.Name == verb {
			return "", true
		}
		if d := edits(verb, n.Name); d < distance {
			best, distance = n.Name, d
		}
	}
	if best == "" {
		return " Try: tocsin --help", false
	}
	return fmt.Sprintf(" Did you mean %q?", best), false
}

// edits is the optimal string alignment distance: letters changed, added, removed
// or swapped with their neighbour.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
