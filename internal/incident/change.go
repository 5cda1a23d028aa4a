package incident

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Edit is what to change of an incident; nil leaves a field.
type Edit struct {
	Title, Summary *string
	Services       *[]string
	Kind           *Kind
	OccurredAt     *time.Time
	EradicatedAt   *time.Time
	RestoredAt     *time.Time
	Reason         string
}

// Change edits an incident. expect is the version the editor saw; 0 expects none.
func (s *Service) Change(ctx context.Context, ref string, e Edit, expect Stale) (*Incident, error) {
	return s.command(ctx, ref, "incident.change", expect, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		if err := i.mustBeOpen(); err != nil {
			return nil, err
		}
		var out []fact
		if e.Title != nil {
			title, err := text.Line("title", *e.Title, text.MaxTitle)
			if err != nil {
				return nil, err
			}
			if title != i.Title {
				out = append(out, Renamed{Field: "title", From: i.Title, To: title})
				i.Title = title
			}
		}
		if e.Summary != nil {
			summary, err := text.Clean("summary", *e.Summary, text.MaxNote, true)
			if err != nil {
				return nil, err
			}
			if summary != i.Summary {
				out = append(out, Renamed{Field: "summary", From: i.Summary, To: summary})
				i.Summary = summary
			}
		}
		if e.Services != nil {
			if to := clean(*e.Services); !slices.Equal(to, i.Services) {
				out = append(out, ScopeChanged{From: i.Services, To: to, Reason: e.Reason})
				i.Services = to
			}
		}
		if e.Kind != nil && *e.Kind != i.Kind {
			if !e.Kind.Valid() {
				return nil, kit.InvalidField("kind", "incident.error.kind", "value", string(*e.Kind))
			}
			out = append(out, KindChanged{From: i.Kind, To: *e.Kind, Reason: e.Reason})
			i.Kind = *e.Kind
			if i.Kind == KindSecurity && Sev2.Worse(i.Severity) {
				over, after, err := s.levels(ctx)
				if err != nil {
					return nil, err
				}
				out = append(out, i.setSeverity(Sev2, i.SeveritySource, "", over, after)...)
			}
		}
		for _, m := range []struct {
			field string
			to    *time.Time
			at    *time.Time
		}{{"occurred_at", e.OccurredAt, &i.OccurredAt}, {"eradicated_at", e.EradicatedAt, &i.EradicatedAt}, {"restored_at", e.RestoredAt, &i.RestoredAt}} {
			if m.to == nil || m.to.Equal(*m.at) {
				continue
			}
			if m.to.After(tx.Now().Add(time.Minute)) {
				return nil, kit.InvalidField(m.field, "incident.error.future")
			}
			to := kit.Truncate(*m.to)
			switch {
			case !m.at.IsZero():
				from := *m.at
				out = append(out, TimeCorrected{Field: m.field, From: &from, To: &to, Reason: e.Reason})
			case m.field == "eradicated_at":
				out = append(out, Eradicated{At: to})
			case m.field == "restored_at":
				out = append(out, Restored{At: to, Services: i.Services})
			default:
				out = append(out, TimeCorrected{Field: m.field, To: &to, Reason: e.Reason})
			}
			*m.at = to
		}
		return out, nil
	})
}

// SetConfidential narrows the incident to those who need to know, or widens it.
func (s *Service) SetConfidential(ctx context.Context, ref string, on bool, reason string) (*Incident, error) {
	return s.command(ctx, ref, "incident.confidential", 0, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		reason, err := text.Line("reason", reason, 500)
		if err != nil {
			return nil, err
		}
		if i.Confidential == on {
			return nil, nil
		}
		// Whoever hides it must not lose it.
		if a := kit.ActorFrom(ctx); a.IsPerson() {
			if err := s.name(ctx, tx, i.ID, a.ID, "confidential"); err != nil {
				return nil, err
			}
		}
		i.Confidential = on
		return []fact{ConfidentialityChanged{From: !on, To: on, Reason: reason}}, nil
	})
}

// RecordedImpact is what people counted; every number may be missing.
type RecordedImpact struct {
	Services  []string   `json:"services,omitempty"`
	From      *time.Time `json:"from"`
	To        *time.Time `json:"to"`
	Customers *int64     `json:"customers"`
	Requests  *int64     `json:"requests"`
	Records   *int64     `json:"records"`
	DataLostS *int64     `json:"data_lost_s"`
	Text      string     `json:"text"`
}

// RecordImpact records what people counted.
func (s *Service) RecordImpact(ctx context.Context, ref string, in RecordedImpact) (*Incident, error) {
	var out *Incident
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "incident.change", held(ctx, i)...); err != nil {
			return err
		}
		if in.Text, err = text.Clean("text", in.Text, text.MaxNote, true); err != nil {
			return err
		}
		var bad kit.Fields
		for path, n := range map[string]*int64{"customers": in.Customers, "requests": in.Requests, "records": in.Records, "data_lost_s": in.DataLostS} {
			if n != nil && *n < 0 {
				bad.Add(path, "incident.error.negative")
			}
		}
		if in.From != nil && in.To != nil && in.To.Before(*in.From) {
			bad.Add("to", "incident.error.order")
		}
		if err := bad.Err(); err != nil {
			return err
		}
		out = i
		return s.append(ctx, tx, i, ImpactRecorded{Impact: in})
	})
	return out, err
}

type starRow struct {
	bun.BaseModel `bun:"table:starred_line"`

	Incident string `bun:"incident,pk"`
	Line     int64  `bun:"line,pk"`
}

// Star marks or unmarks a line of the timeline as a key moment.
func (s *Service) Star(ctx context.Context, ref string, line int64, on bool) error {
	return s.line(ctx, ref, line, func(ctx context.Context, tx *db.Tx, i *Incident) (fact, error) {
		var err error
		if on {
			_, err = tx.NewInsert().Model(&starRow{Incident: i.ID, Line: line}).On("CONFLICT DO NOTHING").Exec(ctx)
		} else {
			_, err = tx.NewDelete().Model((*starRow)(nil)).Where("incident = ? AND line = ?", i.ID, line).Exec(ctx)
		}
		return LineStarred{Line: line, Starred: on}, db.MapError(err)
	})
}

// CorrectLine says what a line should have said; the line itself stays.
func (s *Service) CorrectLine(ctx context.Context, ref string, line int64, body string) error {
	return s.line(ctx, ref, line, func(_ context.Context, _ *db.Tx, _ *Incident) (fact, error) {
		body, err := text.Clean("text", body, text.MaxNote, true)
		if err == nil && body == "" {
			err = kit.InvalidField("text", "error.required")
		}
		return LineCorrected{Line: line, Text: body}, err
	})
}

func (s *Service) line(ctx context.Context, ref string, line int64, fn func(context.Context, *db.Tx, *Incident) (fact, error)) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "incident.note", held(ctx, i)...); err != nil {
			return err
		}
		at, err := s.l.Fact(ctx, line)
		if err != nil {
			return err
		}
		if at.Incident != i.ID {
			return kit.NotFound("line", strconv.FormatInt(line, 10))
		}
		f, err := fn(ctx, tx, i)
		if err != nil {
			return err
		}
		return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "incident", ID: i.ID, Ref: i.Ref()}, Incident: i.ID, Body: f})
	})
}

// Starred lists the lines that people starred.
func (s *Service) Starred(ctx context.Context, incident string) (map[int64]bool, error) {
	var rows []starRow
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("incident = ?", incident).Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	out := make(map[int64]bool, len(rows))
	for _, r := range rows {
		out[r.Line] = true
	}
	return out, nil
}
