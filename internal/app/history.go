package app

import (
	"context"
	"encoding/csv"
	"io"
	"strings"

	"tocsin/internal/history"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

// ExportIncidents writes every incident that the actor may see, those of before and
// those of this installation, but no exercise: as VERIS, one JSON document a line, or as
// CSV for a spreadsheet. An import reads both back.
func (a *App) ExportIncidents(ctx context.Context, format string, w io.Writer) error {
	if err := a.Identity.Require(ctx, "export.make"); err != nil {
		return err
	}
	var write func(r history.Record, source string) error
	var table *csv.Writer
	switch format {
	case history.FormatVERIS:
		write = func(r history.Record, source string) error {
			if r.Document == nil {
				var err error
				if r.Document, err = r.WriteVERIS(source); err != nil {
					return err
				}
			}
			_, err := w.Write(append(r.Document, '\n'))
			return err
		}
	case history.FormatCSV:
		// The mark at the beginning tells spreadsheets that this is UTF-8.
		if _, err := io.WriteString(w, "\ufeff"); err != nil {
			return err
		}
		table = csv.NewWriter(w)
		if err := table.Write(history.Columns); err != nil {
			return err
		}
		write = func(r history.Record, _ string) error { return table.Write(r.Row()) }
	default:
		return kit.InvalidField("format", "error.bad_value", "value", format)
	}
	return a.db.Snapshot(ctx, func(ctx context.Context) error {
		for p := (kit.Page{Limit: kit.MaxLimit}); ; {
			l, err := a.History.List(ctx, history.Filter{}, p)
			if err != nil {
				return err
			}
			for _, x := range l.Items {
				if err := write(x.Record, x.Source); err != nil {
					return err
				}
			}
			if p.Cursor = l.Next; p.Cursor == "" {
				break
			}
		}
		for p := (kit.Page{Limit: kit.MaxLimit}); ; {
			l, err := a.Incident.List(ctx, incident.Filter{}, p)
			if err != nil {
				return err
			}
			for _, i := range l.Items {
				if i.Status == incident.StatusMerged {
					continue
				}
				r, err := a.pastRecord(ctx, i)
				if err != nil {
					return err
				}
				if err := write(r, "tocsin"); err != nil {
					return err
				}
			}
			if p.Cursor = l.Next; p.Cursor == "" {
				break
			}
		}
		if table != nil {
			table.Flush()
			return table.Error()
		}
		return nil
	})
}

// foundBy says by whom an incident was found, by how it was declared.
var foundBy = map[string]history.Class{
	"route": {Name: "internal", Varieties: []string{"Infrastructure monitoring"}}, "finding": {Name: "internal", Varieties: []string{"IT review"}},
	"report": {Name: "external", Varieties: []string{"Customer"}}, "vendor": {Name: "partner"}, "person": {Name: "internal", Varieties: []string{"Reported by employee"}},
	"plan": {Name: "internal"},
}

// pastRecord says an incident of this installation in the words of VERIS. Nothing is
// claimed that nobody said: the actor is unknown, and so is the action.
func (a *App) pastRecord(ctx context.Context, i *incident.Incident) (history.Record, error) {
	r := history.Record{
		External: i.Ref(), Title: i.Title, Summary: i.Summary, Verdict: history.Suspected, Severity: string(i.Severity), Kind: string(i.Kind), Services: i.Services,
		Occurred: history.PartialAt(i.OccurredAt), Detected: history.PartialAt(i.DetectedAt), Contained: history.PartialAt(i.ContainedAt),
		Recovered: history.PartialAt(i.RecoveredAt), Discovery: foundBy[i.How],
	}
	if r.Occurred == "" {
		if r.Occurred = r.Detected; r.Occurred == "" {
			r.Occurred = history.PartialAt(i.DeclaredAt)
		}
	}
	switch {
	case i.Status == incident.StatusCancelled:
		r.Verdict = history.FalsePositive
	case !i.AssessedAt.IsZero():
		r.Verdict = history.Confirmed
	}
	if i.Kind == "availability" || i.Impact == incident.ImpactOutage || i.Impact == incident.ImpactDegraded {
		r.Attributes = append(r.Attributes, history.Class{Name: "availability"})
	}
	if i.PersonalData == "yes" || i.PersonalData == "possibly" {
		r.Attributes = append(r.Attributes, history.Class{Name: "confidentiality"})
	}
	if i.Answers != nil {
		r.Records = i.Answers.People
	}
	review, err := a.Incident.Review(ctx, i.Ref())
	if err != nil && kit.CodeOf(err) != kit.CodeNotFound {
		return r, err
	}
	var causes []string
	for _, f := range review.Factors {
		if f.Kind == "root" {
			causes = append(causes, f.Text)
		}
	}
	r.Cause = strings.Join(causes, "\n")
	return r, nil
}
