package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
	"tocsin/internal/orgfile"
	"tocsin/internal/transfer"
)

// Transferred is what coming over from another product did, or would do.
type Transferred struct {
	Report  transfer.Report `json:"report"`
	Changes []kit.Change    `json:"changes"`
}

// transfers tells whether what is imported is the on-call of another product.
func (r *run) transfers() bool { return slices.Contains(transfer.Products, r.g.Import.From) }

// transfer brings people, schedules, policies and services over from another product. It
// is an organisation file on top of what is there: applying it twice changes nothing.
func (r *run) transfer(ctx context.Context) error {
	e, err := r.readElsewhere(ctx)
	if err != nil {
		return err
	}
	if to := r.g.Import.Save; to != "" {
		raw, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			return kit.Internal(err)
		}
		if err := os.WriteFile(to, raw, 0o600); err != nil {
			return err
		}
	}
	var own []byte
	if r.remote() {
		own, err = r.exportRemote(ctx)
	} else {
		own, err = r.do.Export(ctx, r.g.Import.Place)
	}
	if err != nil {
		return err
	}
	existing, err := orgfile.Parse(own)
	if err != nil {
		return err
	}
	all, report := transfer.Convert(e, existing, time.Now())
	file, err := orgfile.Export(&orgfile.File{People: all.People, Teams: all.Teams, Schedules: all.Schedules, Policies: all.Policies, Services: all.Services})
	if err != nil {
		return err
	}
	changes, err := r.bring(ctx, Apply{Place: r.g.Import.Place, DryRun: r.g.DryRun}, file)
	if err != nil {
		return err
	}
	if r.g.JSON {
		return r.asJSON(Transferred{report, changes})
	}
	for _, l := range report.Lines {
		said := i18n.T(r.lang, l.Key, l.Args)
		if r.g.Plain {
			r.row(string(l.Verdict), l.Kind, l.From, l.To, said)
			continue
		}
		name := l.From
		if l.To != "" && l.To != l.From {
			name += " → " + l.To
		}
		_, _ = fmt.Fprintf(r.out, "%-15s %s %s\n%16s%s\n", r.t("cli.transfer.verdict."+string(l.Verdict)), r.t("cli.transfer.kind."+l.Kind), name, "", said)
	}
	r.say("cli.transfer.counts", "exact", report.Exact, "approximate", report.Approximate, "none", report.None)
	return r.changed(changes)
}

// readElsewhere reads the export of a file, or the product itself.
func (r *run) readElsewhere(ctx context.Context) (*transfer.Export, error) {
	o := r.g.Import
	if o.URL == "" {
		if o.File == "" {
			return nil, kit.InvalidField("file", "cli.transfer.from")
		}
		in := r.s.In
		if o.File != "-" {
			f, err := os.Open(o.File)
			if err != nil {
				return nil, kit.NotFound("file", o.File)
			}
			defer func() { _ = f.Close() }()
			in = f
		}
		return transfer.Parse(o.From, in)
	}
	if o.File != "" {
		return nil, kit.InvalidField("file", "cli.transfer.both")
	}
	if o.KeyFile == "" {
		return nil, kit.InvalidField("key-file", "error.required")
	}
	var token []byte
	var err error
	if o.KeyFile == "-" {
		token, err = io.ReadAll(io.LimitReader(r.s.In, 4<<10))
	} else {
		token, err = os.ReadFile(o.KeyFile)
	}
	if err != nil {
		return nil, kit.NotFound("file", o.KeyFile)
	}
	// A redirect could carry the token to another host.
	client := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return transfer.Fetch(ctx, client, o.From, o.URL, strings.TrimSpace(string(token)))
}
