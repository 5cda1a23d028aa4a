package cli

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tocsin/internal/kit"
)

// Import is the flags of tocsin import: past incidents, or the on-call of another product.
type Import struct {
	Place
	File      string            `arg:"" optional:"" help:"The file; - for standard input."`
	From      string            `help:"What it is: past incidents as veris or csv (found out when not given), or the on-call of pagerduty, opsgenie, oncall or goalert." placeholder:"FORMAT"`
	URL       string            `name:"url" help:"For the on-call of a product: its API, read instead of a file." placeholder:"URL"`
	KeyFile   string            `name:"key-file" help:"File with the API key or token of that product; - for standard input." placeholder:"FILE"`
	Save      string            `help:"Keep what was read from --url as a file that can be imported again." placeholder:"FILE"`
	As        string            `help:"What the incidents come from, as an id; the name of the file when not given. The same record under the same name is never taken twice." placeholder:"SOURCE"`
	Map       map[string]string `help:"For csv: which column is what, as title=Objet;occurred=Date." placeholder:"FIELD=HEAD;…"`
	DateOrder string            `name:"date-order" help:"For csv: dmy or mdy; found out when not given." placeholder:"ORDER"`
	Replace   bool              `help:"Take the record of the file where another one is kept under its id."`
	DryRun    bool              `kong:"-"`
}

// maxImport is how long a file of past incidents may be, in bytes.
const maxImport = 32 << 20

// Imported is what an import did, or would do.
type Imported struct {
	ID        string   `json:"id,omitempty"`
	State     string   `json:"state"`
	From      string   `json:"from"`
	Source    string   `json:"source"`
	Name      string   `json:"name"`
	Digest    string   `json:"digest"`
	Created   int      `json:"created"`
	Skipped   int      `json:"skipped"`
	Replaced  int      `json:"replaced"`
	Conflicts int      `json:"conflicts"`
	Named     []string `json:"named"`
}

// nameOf makes an id of the name of a file: VCDB-400.veris.jsonl is vcdb-400.
func nameOf(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0:
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String()[:min(b.Len(), 63)], "-")
}

// imports brings past incidents in.
func (r *run) imports(ctx context.Context) error {
	o := r.g.Import
	o.DryRun = r.g.DryRun
	if o.File == "" {
		return kit.InvalidField("file", "error.required")
	}
	in, name := r.s.In, ""
	if o.File != "-" {
		f, err := os.Open(o.File)
		if err != nil {
			return kit.NotFound("file", o.File)
		}
		defer func() { _ = f.Close() }()
		in, name = f, filepath.Base(o.File)
		if o.As == "" {
			o.As = nameOf(o.File)
		}
	}
	file, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err != nil {
		return err
	}
	if len(file) > maxImport {
		return kit.Errorf(kit.CodeTooLarge, "error.too_large")
	}
	var done Imported
	if r.remote() {
		done, err = r.importRemote(ctx, o, name, file)
	} else {
		done, err = r.do.Import(ctx, o, name, file)
	}
	if err != nil {
		return err
	}
	if r.g.JSON {
		err = r.asJSON(done)
	} else {
		word := "cli.import.done"
		if o.DryRun {
			word = "cli.import.would"
		}
		if r.g.Plain {
			r.row(done.Source, strconv.Itoa(done.Created), strconv.Itoa(done.Skipped), strconv.Itoa(done.Replaced), strconv.Itoa(done.Conflicts))
		} else {
			r.tell(word, "source", done.Source, "created", done.Created, "skipped", done.Skipped, "replaced", done.Replaced, "conflicts", done.Conflicts)
		}
		for _, id := range done.Named {
			r.say("cli.import.conflict", "id", id)
		}
		if done.Conflicts > 0 {
			r.say("cli.import.replace")
		}
	}
	if err == nil && done.Conflicts > 0 {
		return errPartly
	}
	return err
}

func (r *run) importRemote(ctx context.Context, o Import, name string, file []byte) (out Imported, err error) {
	c, err := r.client()
	if err != nil {
		return out, err
	}
	_, err = c.Patient().Post(ctx, "/imports", map[string]any{
		"from": o.From, "source": o.As, "name": name, "file": file, "mapping": o.Map, "date_order": o.DateOrder, "replace": o.Replace, "dry_run": o.DryRun,
	}, "", &out)
	return out, err
}

// exportIncidents writes all incidents in a format.
func (r *run) exportIncidents(ctx context.Context, format string) error {
	if !r.remote() {
		return r.do.ExportIncidents(ctx, r.g.Export.Place, format, r.out)
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	body, err := c.Patient().Do(ctx, http.MethodGet, "/export/incidents?format="+format, "", nil, "")
	if err == nil {
		_, err = r.out.Write(body)
	}
	return err
}
