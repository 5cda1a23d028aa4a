package cli

import (
	"context"
	"io"
	"net/netip"
	"time"

	"tocsin/internal/cli/client"
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
	SMTPListen    string         `name:"smtp-listen" help:"Address to take mail on: alerts to the key of a source, reports to report@ and security@; none when not given." env:"TOCSIN_SMTP_LISTEN" placeholder:"ADDR"`
	BaseURL       string         `name:"base-url" help:"How people reach this server, as https://tocsin.example.com." env:"TOCSIN_BASE_URL" placeholder:"URL"`
	OutboundAllow []netip.Prefix `name:"outbound-allow" help:"Private networks that outgoing requests may reach." env:"TOCSIN_OUTBOUND_ALLOW" placeholder:"CIDR,…"`
	Checkpoints   string         `help:"Folder for the signed checkpoints of the journal, best on another machine; checkpoints in the data folder when not given." env:"TOCSIN_CHECKPOINTS" placeholder:"DIR"`
	SignOfLife    string         `name:"sign-of-life" help:"URL that hears each minute that pages leave in time, as the ping of a dead-man switch; none when not given." env:"TOCSIN_SIGN_OF_LIFE" placeholder:"URL"`
	SelfTest      string         `name:"self-test" help:"Person for whom a test alarm is raised each day at 10:00, by the same way as any page." env:"TOCSIN_SELF_TEST" placeholder:"PERSON"`
	LogFormat     string         `name:"log-format" enum:"text,json" default:"text" help:"text or json." env:"TOCSIN_LOG_FORMAT"`
	Node          string         `help:"Name of this process among several on one database; random when not given." env:"TOCSIN_NODE" placeholder:"NAME"`
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
	For     string        `help:"Id of the person whom the token belongs to, who may then answer their own pages with it." placeholder:"PERSON"`
	Life    time.Duration `kong:"-"`
}

// Apply is the flags of tocsin apply.
type Apply struct {
	Place
	File   string `short:"f" required:"" help:"The organisation file; - for standard input." placeholder:"FILE"`
	DryRun bool   `kong:"-"`
	Prune  bool   `help:"Retire what is not in the file."`
	Reason string `help:"Why the file loosens a limit or a response level." placeholder:"TEXT"`
}

// Verification is what tocsin verify found.
type Verification struct {
	What     string   `json:"what"`
	Facts    int64    `json:"facts"`
	Erased   int64    `json:"erased"`
	Root     string   `json:"root"`
	Problems []string `json:"problems"`
}

// Witness is the flags of tocsin witness.
type Witness struct {
	URL        string        `name:"url" help:"The server that is watched." placeholder:"URL"`
	Person     string        `required:"" help:"Id of the person who stands for the witness: a webhook of theirs leads to --listen." placeholder:"PERSON"`
	Listen     string        `help:"Address to take the page on." default:"127.0.0.1:9477" placeholder:"ADDR"`
	Every      time.Duration `help:"How often a test alarm is raised." default:"5m"`
	Within     time.Duration `help:"How long it may take to come back." default:"60s"`
	Once       bool          `help:"Raise one test alarm and end with 0 or 1."`
	ShoutURL   string        `name:"shout-url" help:"URL that is told by POST when it does not come back." env:"TOCSIN_SHOUT_URL" placeholder:"URL"`
	ShoutTo    []string      `name:"shout-to" help:"Addresses that are told by e-mail." placeholder:"ADDRESS,…"`
	ShoutFrom  string        `name:"shout-from" help:"Address that the e-mail comes from." placeholder:"ADDRESS"`
	SMTP       string        `help:"Mail relay of the witness itself." placeholder:"HOST:PORT"`
	SMTPTLS    string        `name:"smtp-tls" help:"starttls, implicit or none." default:"starttls" enum:"starttls,implicit,none"`
	SMTPUser   string        `name:"smtp-user" placeholder:"USER"`
	SMTPFile   string        `name:"smtp-password-file" help:"File with the password of the relay." placeholder:"FILE"`
	SignOfLife string        `name:"sign-of-life" help:"URL that hears of each test alarm that came back, as a heartbeat of the server that is watched." placeholder:"URL"`
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
	// ExportIncidents writes all incidents of an installation.
	ExportIncidents(ctx context.Context, p Place, format string, w io.Writer) error
	// Import brings past incidents into an installation.
	Import(ctx context.Context, o Import, name string, file []byte) (Imported, error)
	// Witness raises test alarms until the context ends, and shouts when one does not come
	// back. With Once it gives an error then.
	Witness(ctx context.Context, o Witness, api *client.Client, lang string, out io.Writer) error
	// Verify checks the installation, or the file when it is not empty.
	Verify(ctx context.Context, p Place, file string) (Verification, error)
	Backup(ctx context.Context, p Place, to string) (Verification, error)
	Restore(ctx context.Context, file string, p Place) (Verification, error)
	LoginLink(ctx context.Context, p Place, person, base string) (string, error)
	MigrateData(ctx context.Context, from, to Place) (Verification, error)
}
