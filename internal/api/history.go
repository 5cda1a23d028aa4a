package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/internal/history"
	"tocsin/internal/kit"
)

const importPath = prefix + "/imports"

type importView struct {
	ID        string   `json:"id,omitempty" doc:"Empty for a dry run, which is not kept"`
	State     string   `json:"state" enum:"waiting,finished"`
	From      string   `json:"from" enum:"veris,csv"`
	Source    string   `json:"source"`
	Name      string   `json:"name"`
	Digest    string   `json:"digest" doc:"SHA-256 of the file"`
	Created   int      `json:"created"`
	Skipped   int      `json:"skipped" doc:"Kept already, word for word"`
	Replaced  int      `json:"replaced"`
	Conflicts int      `json:"conflicts" doc:"Another record is kept under the id; it stays"`
	Named     []string `json:"named" doc:"The ids of the first conflicts"`
	At        stamp    `json:"at"`
}

func viewImport(i history.Import) importView {
	return importView{
		ID: i.ID, State: i.State, From: i.Format, Source: i.Source, Name: i.Name, Digest: i.Digest, Created: i.Created, Skipped: i.Skipped, Replaced: i.Replaced,
		Conflicts: i.Conflicts, Named: some(i.Named), At: at(i.FinishedAt),
	}
}

type pastView struct {
	Ref        string          `json:"ref"`
	ID         string          `json:"id"`
	Source     string          `json:"source"`
	External   string          `json:"external_id" doc:"Its id where it comes from"`
	Title      string          `json:"title"`
	Summary    string          `json:"summary"`
	Verdict    string          `json:"verdict" enum:"confirmed,suspected,near_miss,false_positive"`
	Occurred   string          `json:"occurred" doc:"As far as it is known: 2019, 2019-03, 2019-03-15 or 2019-03-15T14:30"`
	Detected   *string         `json:"detected" nullable:"true"`
	Contained  *string         `json:"contained" nullable:"true"`
	Recovered  *string         `json:"recovered" nullable:"true"`
	Severity   *string         `json:"severity" nullable:"true"`
	Kind       *string         `json:"kind" nullable:"true"`
	Services   []string        `json:"services"`
	Actors     []string        `json:"actors"`
	Actions    []string        `json:"actions"`
	Attributes []string        `json:"attributes"`
	Assets     []string        `json:"assets"`
	Discovery  string          `json:"discovery"`
	Cause      string          `json:"cause"`
	Document   json.RawMessage `json:"document" doc:"The record in VERIS, as it was imported"`
	ImportedAt stamp           `json:"imported_at"`
}

func viewPast(p history.Past) pastView {
	classes := func(l []history.Class) []string {
		out := make([]string, len(l))
		for n, c := range l {
			out[n] = c.String()
		}
		return out
	}
	return pastView{
		Ref: p.Ref, ID: p.ID, Source: p.Source, External: p.External, Title: p.Title, Summary: p.Summary, Verdict: string(p.Verdict), Occurred: string(p.Occurred),
		Detected: word(string(p.Detected)), Contained: word(string(p.Contained)), Recovered: word(string(p.Recovered)), Severity: word(p.Severity), Kind: word(p.Kind),
		Services: some(p.Services), Actors: classes(p.Actors), Actions: classes(p.Actions), Attributes: classes(p.Attributes), Assets: some(p.Assets),
		Discovery: p.Discovery.String(), Cause: p.Cause, Document: p.Document, ImportedAt: at(p.ImportedAt),
	}
}

func (s *server) historyCalls() {
	if s.History == nil {
		return
	}
	call(s, http.MethodPost, "/imports", "incidents", "Bring past incidents in, all lines or none; they page nobody and start no clock", http.StatusCreated, func(ctx context.Context, in *struct {
		Body struct {
			From      string            `json:"from,omitempty" doc:"veris or csv; found out when empty"`
			Source    string            `json:"source" doc:"What they come from, as an id of small letters, digits and hyphens"`
			Name      string            `json:"name,omitempty" doc:"Name of the file"`
			File      []byte            `json:"file" doc:"The file in base64, at most 32 MiB"`
			Mapping   map[string]string `json:"mapping,omitempty" doc:"For csv: a field (title, occurred, …) to the head of its column; proposed by the heads when empty"`
			DateOrder string            `json:"date_order,omitempty" doc:"dmy or mdy; found out when empty"`
			Replace   bool              `json:"replace,omitempty" doc:"Take the record of the file where another one is kept under its id"`
			DryRun    bool              `json:"dry_run,omitempty" doc:"Only tell what would be done"`
		}
	},
	) (importView, error) {
		b := in.Body
		o := history.Options{Format: b.From, Source: b.Source, Order: b.DateOrder, Replace: b.Replace}
		if len(b.Mapping) > 0 {
			o.Mapping = b.Mapping
		}
		if b.DryRun {
			i, _, err := s.History.Check(ctx, b.File, o)
			return viewImport(i), err
		}
		i, err := s.History.Run(ctx, b.Name, b.File, o)
		return viewImport(i), err
	}, func(op *huma.Operation) { op.MaxBodyBytes = maxImport })
	get(s, "/imports/{id}", "incidents", "One import", func(ctx context.Context, in *struct {
		ID string `path:"id"`
	},
	) (importView, error) {
		i, _, err := s.History.Staged(ctx, in.ID)
		return viewImport(i), err
	})
	get(s, "/past-incidents", "incidents", "Incidents from before this installation, the last that happened first", func(ctx context.Context, in *struct {
		Paged
		Source  string `query:"source"`
		Action  string `query:"action" doc:"A class of VERIS: malware, hacking, social, misuse, physical, error, environmental, unknown"`
		Verdict string `query:"verdict" enum:"confirmed,suspected,near_miss,false_positive"`
		Year    string `query:"year"`
		Q       string `query:"q"`
	},
	) (list[pastView], error) {
		l, err := s.History.List(ctx, history.Filter{Q: in.Q, Source: in.Source, Action: in.Action, Verdict: history.Verdict(in.Verdict), Year: in.Year}, in.page())
		return listOf(l, viewPast), err
	})
	get(s, "/past-incidents/{ref}", "incidents", "One incident from before this installation", func(ctx context.Context, in *struct {
		Ref string `path:"ref"`
	},
	) (pastView, error) {
		p, err := s.History.Get(ctx, in.Ref)
		return viewPast(p), err
	})
	if s.ExportIncidents == nil {
		return
	}
	raw(s, "/export/incidents", "incidents", "All incidents, those of before too: VERIS (a document a line) or CSV", func(ctx context.Context, in *struct {
		Format string `query:"format" enum:"veris,csv" default:"veris"`
	},
	) (file, error) {
		var b bytes.Buffer
		err := s.ExportIncidents(ctx, in.Format, &b)
		f := file{kind: "application/x-ndjson", name: "incidents.veris.jsonl", body: b.Bytes()}
		if in.Format == history.FormatCSV {
			f.kind, f.name = "text/csv; charset=utf-8", "incidents.csv"
		}
		return f, err
	})
}

func (s *server) findPast(ctx context.Context, q string) ([]foundView, error) {
	if s.History == nil {
		return nil, nil
	}
	l, err := s.History.List(ctx, history.Filter{Q: q}, kit.Page{Limit: perKind})
	var out []foundView
	for _, p := range l.Items {
		out = append(out, foundView{Kind: "past_incident", ID: p.ID, Ref: p.Ref, Title: p.Title, State: string(p.Verdict), URL: prefix + "/past-incidents/" + p.Ref})
	}
	return out, err
}
