// Package dossier puts the whole record of an incident into documents, and into an
// archive that can be verified without the product and its database.
package dossier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/doc"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/timeline"
)

// Level says for whom a dossier is, and so what it leaves out.
type Level string

// The levels. Customer and regulator leave out the names of people, notes, tasks,
// hand-overs and reasons; customer leaves out the inside of the review as well.
const (
	Internal  Level = "internal"
	Customer  Level = "customer"
	Regulator Level = "regulator"
)

// Names gives the naming of people, services and other objects for a request.
type Names = func(ctx context.Context) (func(kind, id string) string, error)

// Builder makes dossiers.
type Builder struct {
	incidents *incident.Service
	l         *ledger.Ledger
	names     Names
}

// New makes a builder.
func New(incidents *incident.Service, l *ledger.Ledger, names func(ctx context.Context) (func(kind, id string) string, error)) *Builder {
	return &Builder{incidents: incidents, l: l, names: names}
}

// Dossier is the record of an incident at an instant, for a level and in a
// language.
type Dossier struct {
	Ref      string
	Level    Level
	Language string
	// At is when it was made, Size how many facts the ledger had.
	At   time.Time
	Size int64
	// Lines are the timeline, oldest first, as far as the level shows it.
	Lines []timeline.Line

	// facts are all facts of the incident, whatever the level shows.
	facts    []int64
	incident *incident.Incident
	review   *incident.Review
	actions  []incident.Action
	tasks    []incident.Task
	impact   *incident.RecordedImpact
	name     func(kind, id string) string
	// hidden takes the names of people out of a text; nil inside.
	hidden func(string) string
}

// Build reads the record of an incident that the actor may see.
func (b *Builder) Build(ctx context.Context, ref string, level Level, lang string) (Dossier, error) {
	switch level {
	case "":
		level = Internal
	case Internal, Customer, Regulator:
	default:
		return Dossier{}, kit.InvalidField("level", "dossier.error.level")
	}
	switch lang {
	case "":
		lang = "en"
	case "en", "fr":
	default:
		return Dossier{}, kit.InvalidField("lang", "error.bad_value")
	}
	i, err := b.incidents.Get(ctx, ref)
	if err != nil {
		return Dossier{}, err
	}
	d := Dossier{Ref: i.Ref(), Level: level, Language: lang, At: b.l.DB().Now(), incident: i}
	if d.name, err = b.names(ctx); err != nil {
		return Dossier{}, err
	}
	if d.Size, _, err = b.l.Head(ctx); err != nil {
		return Dossier{}, err
	}
	facts, err := b.facts(ctx, i.ID)
	if err != nil {
		return Dossier{}, err
	}
	r, err := b.incidents.Review(ctx, i.ID)
	switch {
	case err == nil:
		d.review = &r
	case kit.CodeOf(err) != kit.CodeNotFound:
		return Dossier{}, err
	}
	if d.actions, err = b.incidents.ActionsOf(ctx, i.ID); err != nil {
		return Dossier{}, err
	}
	if d.tasks, err = b.incidents.Tasks(ctx, i.ID); err != nil {
		return Dossier{}, err
	}
	d.read(facts)
	return d, nil
}

// facts reads all facts of an incident, page by page.
func (b *Builder) facts(ctx context.Context, id string) ([]ledger.Fact, error) {
	var all []ledger.Fact
	for after := int64(0); ; {
		part, err := b.l.Facts(ctx, ledger.Filter{Incident: id, After: after, Limit: kit.MaxLimit})
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if len(part) < kit.MaxLimit {
			return all, nil
		}
		after = part[len(part)-1].Seq
	}
}

// read takes from the facts what the level shows.
func (d *Dossier) read(facts []ledger.Fact) {
	for n := range facts {
		d.facts = append(d.facts, facts[n].Seq)
		if f := &facts[n]; f.Type == (incident.ImpactRecorded{}).FactType() && !f.Erased {
			var body incident.ImpactRecorded
			if f.Decode(&body) == nil {
				d.impact = &body.Impact
			}
		}
	}
	if d.Level == Internal {
		d.Lines = timeline.Lines(facts, d.name)
		return
	}
	d.redact(facts)
}

// HTML gives the dossier as one page, set for A4.
func (d *Dossier) HTML() []byte { return d.report().HTML() }

// Markdown gives the dossier as Markdown.
func (d *Dossier) Markdown() []byte { return d.report().Markdown() }

// PDF gives the dossier as PDF.
func (d *Dossier) PDF() ([]byte, error) { return d.report().PDF() }

// DOCX gives the dossier as a Word document.
func (d *Dossier) DOCX() ([]byte, error) { return d.report().DOCX() }

// JSON gives the dossier for programs.
func (d *Dossier) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(d.data(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("dossier: %w", err)
	}
	return append(raw, '\n'), nil
}

// kinds are the formats and their media types.
var kinds = map[string]string{
	"html": "text/html; charset=utf-8",
	"md":   "text/markdown; charset=utf-8",
	"pdf":  "application/pdf",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"json": "application/json",
	"zip":  "application/zip",
}

func (d *Dossier) format(format string) ([]byte, error) {
	switch format {
	case "html":
		return d.HTML(), nil
	case "md":
		return d.Markdown(), nil
	case "pdf":
		return d.PDF()
	case "docx":
		return d.DOCX()
	case "json":
		return d.JSON()
	}
	return nil, kit.InvalidField("format", "dossier.error.format")
}

// Report makes a dossier in a format (html, md, pdf, docx, json, zip), records
// that it was exported, and gives the name of the file, its media type and its
// content. Looking at the page (html) records nothing.
func (b *Builder) Report(ctx context.Context, ref, format, level, lang string) (name, kind string, body []byte, err error) {
	if format == "" {
		format = "html"
	}
	kind, ok := kinds[format]
	if !ok {
		return "", "", nil, kit.InvalidField("format", "dossier.error.format")
	}
	d, err := b.Build(ctx, ref, Level(level), lang)
	if err != nil {
		return "", "", nil, err
	}
	name = fmt.Sprintf("%s-%s-%s.%s", d.Ref, d.Level, d.Language, format)
	if format == "zip" {
		body, err = b.archive(ctx, &d)
		return name, kind, body, err
	}
	if body, err = d.format(format); err != nil {
		return "", "", nil, err
	}
	if format == "html" {
		return name, kind, body, nil
	}
	err = b.l.DB().Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return ledger.Append(ctx, tx, d.entry(Exported{Format: format, Level: d.Level, Language: d.Language, SHA256: sum(body)}))
	})
	return name, kind, body, err
}

func (d *Dossier) entry(body ledger.Body) ledger.Entry {
	return ledger.Entry{Subject: ledger.Subject{Kind: "incident", ID: d.incident.ID, Ref: d.Ref}, Incident: d.incident.ID, Body: body}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// report puts the dossier into blocks.
func (d *Dossier) report() *doc.Report { return (&writer{d: d, lang: d.Language}).report() }
