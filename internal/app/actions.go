package app

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"tocsin/internal/cli"
	"tocsin/internal/db"
	"tocsin/internal/dossier"
	"tocsin/internal/history"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Actions is what the command line does on the machine itself.
type Actions struct{}

var _ cli.Actions = Actions{}

func configOf(p cli.Place) Config {
	return Config{Data: p.Data, Database: p.Database, SecretKeyFile: p.SecretKeyFile, Log: slog.New(slog.DiscardHandler)}
}

// Serve runs the server until the context ends.
func (Actions) Serve(ctx context.Context, o cli.Serve, out io.Writer) error {
	cfg := configOf(o.Place)
	cfg.Listen, cfg.SMTPListen, cfg.BaseURL, cfg.OutboundAllow, cfg.SignOfLife, cfg.SelfTest, cfg.NoMigrate = o.Listen, o.SMTPListen, o.BaseURL, o.OutboundAllow, o.SignOfLife, o.SelfTest, !o.Migrate
	cfg.Checkpoints, cfg.Node = o.Checkpoints, o.Node
	cfg.Log = logger(o.LogFormat)
	a, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	place := a.db.Path()
	if db.IsPostgres(cfg.Database) {
		place = "PostgreSQL"
	}
	_, _ = fmt.Fprintf(out, "Tocsin %s\n  open  %s\n  data  %s\n", cli.Version, a.BaseURL(), place)
	if a.MailAddr() != "" {
		_, _ = fmt.Fprintf(out, "  mail  %s\n", a.MailAddr())
	}
	if fresh, err := a.Identity.NeedsSetUp(AsSystem(ctx)); err == nil && fresh {
		_, _ = fmt.Fprintf(out, "  first run: %s/setup\n", a.BaseURL())
	}
	return a.Run(ctx)
}

func logger(format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// moment opens an installation for a moment, beside a running server.
func moment(ctx context.Context, p cli.Place, fn func(ctx context.Context, a *App) error) error {
	if !db.IsPostgres(p.Database) {
		if _, err := os.Stat(filepath.Join(p.Data, "tocsin.db")); err != nil {
			return kit.NotFound("installation", p.Data)
		}
	}
	a, err := Open(ctx, configOf(p))
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	return fn(AsSystem(ctx), a)
}

// CreateToken makes an API token and gives its secret, once.
func (Actions) CreateToken(ctx context.Context, o cli.Token) (secret string, err error) {
	err = moment(ctx, o.Place, func(ctx context.Context, a *App) error {
		secret, _, err = a.Identity.CreateToken(ctx, identity.NewToken{Name: o.Name, Access: kit.Access(o.Role), Scopes: o.Scope, Expires: o.Life, Owner: o.For})
		return err
	})
	return secret, err
}

// Apply brings the installation to an organisation file; it makes a new SQLite
// installation where there is none.
func (Actions) Apply(ctx context.Context, o cli.Apply, file []byte) ([]kit.Change, error) {
	a, err := Open(ctx, configOf(o.Place))
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }()
	return a.Apply(kit.WithActor(ctx, kit.System(kit.ViaApply)), file, kit.ApplyOptions{DryRun: o.DryRun, Prune: o.Prune, Reason: o.Reason})
}

// Export writes the organisation file of an installation.
func (Actions) Export(ctx context.Context, p cli.Place) (file []byte, err error) {
	err = moment(ctx, p, func(ctx context.Context, a *App) error {
		file, err = a.Export(ctx)
		return err
	})
	return file, err
}

// ExportIncidents writes all incidents of an installation in a format.
func (Actions) ExportIncidents(ctx context.Context, p cli.Place, format string, w io.Writer) error {
	return moment(ctx, p, func(ctx context.Context, a *App) error { return a.ExportIncidents(ctx, format, w) })
}

// Import brings past incidents into an installation.
func (Actions) Import(ctx context.Context, o cli.Import, name string, file []byte) (out cli.Imported, err error) {
	err = moment(ctx, o.Place, func(ctx context.Context, a *App) error {
		var i history.Import
		h := history.Options{Format: o.From, Source: o.As, Order: o.DateOrder, Replace: o.Replace}
		if len(o.Map) > 0 {
			h.Mapping = o.Map
		}
		if o.DryRun {
			i, _, err = a.History.Check(ctx, file, h)
		} else {
			i, err = a.History.Run(ctx, name, file, h)
		}
		out = cli.Imported{
			ID: i.ID, State: i.State, From: i.Format, Source: i.Source, Name: i.Name, Digest: i.Digest, Created: i.Created, Skipped: i.Skipped, Replaced: i.Replaced,
			Conflicts: i.Conflicts, Named: i.Named,
		}
		return err
	})
	return out, err
}

// LoginLink makes a link that signs a person in once.
func (Actions) LoginLink(ctx context.Context, p cli.Place, person, base string) (link string, err error) {
	err = moment(ctx, p, func(ctx context.Context, a *App) error {
		token, err := a.Identity.LoginLink(ctx, person)
		link = strings.TrimRight(base, "/") + "/login/" + token
		return err
	})
	return link, err
}

// isZip tells a record from a backup by its first bytes.
func isZip(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 2)
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == "PK"
}

func check(ctx context.Context, what string, d *db.DB) (cli.Verification, error) {
	rep, err := ledger.New(d).Verify(ctx, ledger.VerifyOptions{})
	v := cli.Verification{What: what, Facts: rep.Facts, Erased: rep.Erased, Root: hex.EncodeToString(rep.Root), Problems: []string{}}
	for _, p := range rep.Problems {
		v.Problems = append(v.Problems, p.Text)
	}
	return v, err
}

// Verify checks an installation, or a backup file, without changing it.
func (Actions) Verify(ctx context.Context, p cli.Place, file string) (v cli.Verification, err error) {
	if file != "" {
		return verifyFile(ctx, file)
	}
	if db.IsPostgres(p.Database) {
		err = moment(ctx, p, func(ctx context.Context, a *App) error {
			v, err = check(ctx, "journal", a.db)
			return err
		})
		return v, err
	}
	d, err := db.OpenFile(ctx, filepath.Join(p.Data, "tocsin.db"))
	if err != nil {
		return v, err
	}
	defer func() { _ = d.Close() }()
	return check(ctx, "journal", d)
}

func verifyFile(ctx context.Context, file string) (cli.Verification, error) {
	if isZip(file) {
		rep, err := dossier.VerifyZip(file)
		v := cli.Verification{What: "record", Facts: int64(rep.Facts), Erased: int64(rep.Erased), Problems: []string{}}
		for _, p := range rep.Problems {
			v.Problems = append(v.Problems, p.File+": "+p.Text)
		}
		return v, err
	}
	d, err := db.OpenFile(ctx, file)
	if err != nil {
		return cli.Verification{}, err
	}
	defer func() { _ = d.Close() }()
	return check(ctx, "backup", d)
}

// Backup copies the installation into one file and verifies the copy by opening it.
func (Actions) Backup(ctx context.Context, p cli.Place, to string) (v cli.Verification, err error) {
	err = moment(ctx, p, func(ctx context.Context, a *App) error {
		if err := a.db.Backup(ctx, to); err != nil {
			return err
		}
		if v, err = verifyFile(ctx, to); err != nil {
			return err
		}
		return a.backedUp(ctx, to, len(v.Problems) == 0)
	})
	return v, err
}

// Restore makes a new installation from a backup; it refuses one that is there.
func (Actions) Restore(ctx context.Context, file string, p cli.Place) (cli.Verification, error) {
	from, err := db.OpenFile(ctx, file)
	if err != nil {
		return cli.Verification{}, err
	}
	defer func() { _ = from.Close() }()
	v, err := check(ctx, "backup", from)
	if err != nil || len(v.Problems) > 0 {
		return v, err
	}
	return copyInto(ctx, from, p)
}

func copyInto(ctx context.Context, from *db.DB, p cli.Place) (cli.Verification, error) {
	if !db.IsPostgres(p.Database) {
		if _, err := os.Stat(filepath.Join(p.Data, "tocsin.db")); err == nil {
			return cli.Verification{}, kit.Conflict("exists", "error.file_exists", "path", filepath.Join(p.Data, "tocsin.db"))
		}
	}
	a, err := Open(ctx, configOf(p))
	if err != nil {
		return cli.Verification{}, err
	}
	defer func() { _ = a.Close() }()
	if err := db.CopyInto(ctx, from, a.db); err != nil {
		return cli.Verification{}, err
	}
	return check(ctx, "restored", a.db)
}

// MigrateData moves an installation to another database and proves that the
// ledgers are equal.
func (Actions) MigrateData(ctx context.Context, from, to cli.Place) (v cli.Verification, err error) {
	err = moment(ctx, from, func(ctx context.Context, a *App) error {
		before, err := check(ctx, "journal", a.db)
		if err != nil || len(before.Problems) > 0 {
			v = before
			return err
		}
		if v, err = copyInto(ctx, a.db, to); err != nil {
			return err
		}
		if v.Root != before.Root {
			v.Problems = append(v.Problems, fmt.Sprintf("the ledger moved while it was copied: root %s became %s", before.Root, v.Root))
		}
		return nil
	})
	return v, err
}
