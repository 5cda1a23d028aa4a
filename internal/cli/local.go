package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"tocsin/internal/cli/client"
	"tocsin/internal/kit"
)

type tokenCmd struct {
	Create Token `cmd:""`
}

type exportCmd struct {
	Place
	Config    bool   `xor:"what" required:"" help:"The organisation file."`
	Incidents string `xor:"what" required:"" enum:"veris,csv" help:"All incidents, those of before too: veris or csv." placeholder:"FORMAT"`
}

type loginLinkCmd struct {
	Place
	Person  string `arg:"" help:"Id of the person."`
	BaseURL string `name:"base-url" env:"TOCSIN_BASE_URL" default:"http://127.0.0.1:8080"`
}

type verifyCmd struct {
	Place
	File string `arg:"" optional:"" help:"A backup or a record; the installation when not given."`
}

type backupCmd struct {
	Place
	To string `help:"File to write." placeholder:"PATH"`
}

type restoreCmd struct {
	File string `arg:"" help:"The backup."`
	Into string `required:"" help:"A new data folder, or postgres://… of an empty database." placeholder:"DIR"`
}

type migrateCmd struct {
	From string `required:"" help:"Folder or postgres://…."`
	To   string `required:"" help:"Folder or postgres://…, empty."`
}

// local does the verbs that work on the machine itself; ok is false for another.
func (r *run) local(ctx context.Context, command string) (ok bool, err error) {
	g, do := r.g, r.do
	switch command {
	case "serve":
		return true, do.Serve(ctx, g.Serve, r.out)
	case "demo":
		return true, do.Demo(ctx, g.Demo, r.out)
	case "token create":
		life, err := days(g.Token.Create.Expires)
		if err != nil {
			return true, err
		}
		g.Token.Create.Life = life
		secret, err := do.CreateToken(ctx, g.Token.Create)
		if err == nil {
			_, err = fmt.Fprintln(r.out, secret)
		}
		return true, err
	case "apply":
		return true, r.apply(ctx)
	case "import", "import <file>":
		if r.transfers() {
			return true, r.transfer(ctx)
		}
		return true, r.imports(ctx)
	case "export":
		if format := g.Export.Incidents; format != "" {
			return true, r.exportIncidents(ctx, format)
		}
		var file []byte
		if r.remote() {
			file, err = r.exportRemote(ctx)
		} else {
			file, err = do.Export(ctx, g.Export.Place)
		}
		if err == nil {
			_, err = r.out.Write(file)
		}
		return true, err
	case "verify", "verify <file>":
		v, err := do.Verify(ctx, g.Verify.Place, g.Verify.File)
		return true, verified(v, err, g.JSON, r.out)
	case "backup":
		to := g.Backup.To
		if to == "" {
			to = "tocsin-" + time.Now().UTC().Format("20060102-150405") + ".db"
		}
		v, err := do.Backup(ctx, g.Backup.Place, to)
		if err == nil {
			r.say("cli.backup.written", "path", to)
		}
		return true, verified(v, err, g.JSON, r.out)
	case "restore <file>":
		v, err := do.Restore(ctx, g.Restore.File, placeOf(g.Restore.Into))
		return true, verified(v, err, g.JSON, r.out)
	case "login-link <person>":
		link, err := do.LoginLink(ctx, g.LoginLink.Place, g.LoginLink.Person, g.LoginLink.BaseURL)
		if err == nil {
			_, err = fmt.Fprintln(r.out, link)
		}
		return true, err
	case "migrate-data":
		v, err := do.MigrateData(ctx, placeOf(g.MigrateData.From), placeOf(g.MigrateData.To))
		return true, verified(v, err, g.JSON, r.out)
	case "witness":
		if g.Witness.URL != "" {
			g.Server = g.Witness.URL
		}
		api, err := r.client()
		if err != nil {
			return true, err
		}
		return true, do.Witness(ctx, g.Witness, api, r.lang, r.out)
	case "version":
		_, err := fmt.Fprintln(r.out, "tocsin", Version)
		return true, err
	}
	return false, nil
}

// maxFile is how long an organisation file may be, in bytes.
const maxFile = 8 << 20

// remote tells whether apply and export speak to a server: when one is named, and
// no installation on this machine is.
func (r *run) remote() bool {
	return r.g.Server != "" && !slices.Contains(r.given, "data") && !slices.Contains(r.given, "database")
}

func (r *run) apply(ctx context.Context) error {
	g := r.g
	g.Apply.DryRun = g.DryRun
	in := r.s.In
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
	changes, err := r.bring(ctx, g.Apply, file)
	if err != nil {
		return err
	}
	return r.changed(changes)
}

// bring applies an organisation file, here or on a server.
func (r *run) bring(ctx context.Context, o Apply, file []byte) ([]kit.Change, error) {
	if r.remote() {
		return r.applyRemote(ctx, o, file)
	}
	return r.do.Apply(ctx, o, file)
}

// changed says what was applied.
func (r *run) changed(changes []kit.Change) error {
	g := r.g
	if g.JSON {
		return r.asJSON(changes)
	}
	count := map[string]int{}
	for _, c := range changes {
		count[c.Op]++
		switch {
		case g.Plain:
			r.row(c.Op, c.Section, c.ID, c.Detail)
		case c.Op != "keep" || c.Detail != "":
			_, _ = fmt.Fprintf(r.out, "%-7s %s %s  %s\n", c.Op, c.Section, c.ID, c.Detail)
		}
	}
	done := "cli.apply.applied"
	if g.DryRun {
		done = "cli.apply.dry"
	}
	r.say("cli.apply.counts", "create", count["create"], "change", count["change"], "remove", count["remove"], "keep", count["keep"], "done", r.t(done))
	return nil
}

func (r *run) applyRemote(ctx context.Context, o Apply, file []byte) ([]kit.Change, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	if o.DryRun {
		q.Set("dry_run", "true")
	}
	if o.Prune {
		q.Set("prune", "true")
	}
	if o.Reason != "" {
		q.Set("reason", o.Reason)
	}
	raw, err := c.Do(ctx, http.MethodPost, "/apply?"+q.Encode(), "application/yaml", file, "")
	if err != nil {
		return nil, err
	}
	var l client.Items[kit.Change]
	err = json.Unmarshal(raw, &l)
	return l.Items, err
}

func (r *run) exportRemote(ctx context.Context) ([]byte, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, http.MethodGet, "/export/config", "", nil, "")
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
