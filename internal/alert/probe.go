package alert

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/alert/probe"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// KindProbe is the due kind that runs a probe.
const KindProbe = "probe"

// Asker asks what a probe asks; it never fails otherwise than by what it says is wrong.
type Asker interface {
	Ask(ctx context.Context, c probe.Check) probe.Result
}

// ProbeTitle says in the organisation's language what an aspect of a probe's failing is.
type ProbeTitle func(ctx context.Context, source string, aspect probe.Aspect) string

// WithProbes lets sources of kind probe ask; where it is not given, they do not run.
func WithProbes(a Asker, title ProbeTitle) Option {
	return func(s *Service) { s.asker, s.probeTitle = a, title }
}

// ProbeFailed is the body of probe.failed. Check is answer or certificate.
type ProbeFailed struct {
	Check      probe.Aspect `json:"check"`
	Service    string       `json:"service,omitempty"`
	Since      time.Time    `json:"since"`
	LastGoodAt time.Time    `json:"last_good_at,omitzero"`
	Why        string       `json:"why"`
}

// FactType implements ledger.Body.
func (ProbeFailed) FactType() string { return "probe.failed" }

// ProbeRecovered is the body of probe.recovered.
type ProbeRecovered struct {
	Check      probe.Aspect `json:"check"`
	Service    string       `json:"service,omitempty"`
	Since      time.Time    `json:"since"`
	LastGoodAt time.Time    `json:"last_good_at"`
}

// FactType implements ledger.Body.
func (ProbeRecovered) FactType() string { return "probe.recovered" }

type probeRow struct {
	bun.BaseModel `bun:"table:probe"`
	Source        string       `bun:"source,pk"`
	Aspect        probe.Aspect `bun:"aspect,pk"`
	State         probe.State  `bun:"state"`
	Bad           int          `bun:"bad"`
	Since         int64        `bun:"since"`
	LastGoodAt    int64        `bun:"last_good_at"`
	At            int64        `bun:"at"`
	Why           string       `bun:"why"`
	TookUS        int64        `bun:"took_us"`
}

func (r *probeRow) status() probe.Status {
	return probe.Status{
		Aspect: r.Aspect, State: r.State, Bad: r.Bad, Since: kit.FromMicros(r.Since), LastGoodAt: kit.FromMicros(r.LastGoodAt), At: kit.FromMicros(r.At),
		Why: r.Why, Took: time.Duration(r.TookUS) * time.Microsecond,
	}
}

// Check is what a source of kind probe asks; ok is false for other kinds.
func (s *Source) Check() (c probe.Check, ok bool) {
	if s.Kind != "probe" {
		return c, false
	}
	c, f := probe.Parse("", s.Probe, s.Every)
	return c, len(f) == 0
}

// planProbe lets a probe run at once after it was made or changed; another source runs
// none. What was found by another check counts no more.
func (s *Service) planProbe(ctx context.Context, tx *db.Tx, row sourceRow) error {
	src := row.source()
	rows, err := probeRows(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.State == probe.Failed {
			if err := s.tellProbe(ctx, tx, src, r.status(), probe.Recovered); err != nil {
				return err
			}
		}
	}
	if _, err := tx.NewDelete().Model((*probeRow)(nil)).Where("source = ?", row.ID).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	if _, ok := src.Check(); !ok {
		return due.Cancel(ctx, tx, KindProbe, row.ID)
	}
	return due.At(ctx, tx, KindProbe, row.ID, tx.Now(), struct{}{})
}

// resumeProbe lets a probe run that has no row to run by: one that was told to a server
// which could not ask yet.
func (s *Service) resumeProbe(ctx context.Context, tx *db.Tx, row sourceRow) error {
	src := row.source()
	if _, ok := src.Check(); !ok {
		return nil
	}
	rows, err := probeRows(ctx, tx, row.ID)
	if err != nil || len(rows) > 0 {
		return err
	}
	return due.At(ctx, tx, KindProbe, row.ID, tx.Now(), struct{}{})
}

func probeRows(ctx context.Context, tx *db.Tx, source string) (rows []probeRow, err error) {
	err = tx.NewSelect().Model(&rows).Where("source = ?", source).OrderExpr("aspect").Scan(ctx)
	return rows, db.MapError(err)
}

// askProbe runs a probe outside of any transaction.
func (s *Service) askProbe(ctx context.Context, d due.Row) func(context.Context, *db.Tx) error {
	row, err := s.sourceRow(ctx, d.Key)
	if err != nil {
		return func(context.Context, *db.Tx) error {
			if kit.CodeOf(err) == kit.CodeNotFound {
				return nil
			}
			return err
		}
	}
	src := row.source()
	c, ok := src.Check()
	if !ok || s.asker == nil {
		return func(context.Context, *db.Tx) error { return nil }
	}
	res := s.asker.Ask(ctx, c)
	return func(ctx context.Context, tx *db.Tx) error { return s.judgeProbe(ctx, tx, row, c, res) }
}

func (s *Service) judgeProbe(ctx context.Context, tx *db.Tx, asked sourceRow, c probe.Check, res probe.Result) error {
	row, err := lockSource(ctx, tx, asked.ID)
	switch {
	case kit.CodeOf(err) == kit.CodeNotFound:
		return nil
	case err != nil:
		return err
	case row.Settings != asked.Settings || row.Kind != asked.Kind:
		// It asks something else by now.
		return s.planProbe(ctx, tx, row)
	}
	src, now := row.source(), tx.Now()
	aspects := map[probe.Aspect]string{probe.Answer: res.Why}
	if !res.CertEnds.IsZero() {
		aspects[probe.Certificate] = ""
		if left := res.CertEnds.Sub(now); left < probe.CertificateNotice {
			aspects[probe.Certificate] = "the certificate ends on " + res.CertEnds.UTC().Format(time.DateOnly)
		}
	}
	known, err := probeRows(ctx, tx, src.ID)
	if err != nil {
		return err
	}
	answer := probe.Good
	for _, aspect := range []probe.Aspect{probe.Answer, probe.Certificate} {
		why, seen := aspects[aspect]
		if !seen {
			continue
		}
		was := probe.Status{Aspect: aspect, State: probe.Unknown}
		for _, r := range known {
			if r.Aspect == aspect {
				was = r.status()
			}
		}
		confirm := c.Confirm
		if aspect == probe.Certificate {
			// A date does not come and go.
			confirm = 1
		}
		st, change := probe.Judge(was, why, res.Took, confirm, now)
		if aspect == probe.Answer {
			answer = st.State
		}
		if change == probe.Recovered {
			st.Since = was.Since
		}
		if change != probe.NoChange {
			if err := s.tellProbe(ctx, tx, src, st, change); err != nil {
				return err
			}
		}
		r := probeRow{
			Source: src.ID, Aspect: aspect, State: st.State, Bad: st.Bad, Since: kit.Micros(st.Since), LastGoodAt: kit.Micros(st.LastGoodAt), At: kit.Micros(st.At),
			Why: clean(cut(st.Why, 500)), TookUS: st.Took.Microseconds(),
		}
		if _, err := tx.NewInsert().Model(&r).On("CONFLICT (source, aspect) DO UPDATE").Set("state = EXCLUDED.state, bad = EXCLUDED.bad, since = EXCLUDED.since").
			Set("last_good_at = EXCLUDED.last_good_at, at = EXCLUDED.at, why = EXCLUDED.why, took_us = EXCLUDED.took_us").Exec(ctx); err != nil {
			return db.MapError(err)
		}
	}
	tx.AfterCommit(func() { s.rings.heard([]string{src.ID}, now) })
	return due.At(ctx, tx, KindProbe, src.ID, probe.Next(answer, src.Every, now), struct{}{})
}

// tellProbe records that a probe failed or recovered, and raises or ends its alert.
func (s *Service) tellProbe(ctx context.Context, tx *db.Tx, src Source, st probe.Status, change probe.Change) error {
	sig := Signal{Source: src.ID, DedupKey: "probe:" + string(st.Aspect), Action: Resolve, Received: tx.Now()}
	var body ledger.Body = ProbeRecovered{Check: st.Aspect, Service: src.Service, Since: st.Since, LastGoodAt: st.LastGoodAt}
	if change == probe.HasFailed {
		body = ProbeFailed{Check: st.Aspect, Service: src.Service, Since: st.Since, LastGoodAt: st.LastGoodAt, Why: st.Why}
		c, _ := src.Check()
		sig.Action, sig.Title, sig.Service, sig.Severity, sig.StartsAt = Trigger, s.probeTitle(ctx, src.ID, st.Aspect), src.Service, Critical, st.Since
		if st.Aspect == probe.Certificate {
			sig.Severity = Warning
		}
		if own, ok := src.SeverityMap[string(st.Aspect)]; ok {
			sig.Severity = own
		}
		sig.Labels = map[string]string{"alertname": "ProbeFailed", "source": src.ID, "check": c.Kind(), "severity": string(sig.Severity)}
		sig.Annotations = map[string]string{"description": fmt.Sprintf("%s: %s", c.Target(), st.Why)}
		if c.URL != "" {
			sig.Link = c.URL
		}
	}
	a := *sourceActor(src.ID)
	if err := ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "source", ID: src.ID}, Actor: &a, Body: body}); err != nil {
		return err
	}
	_, err := s.Ingest(ctx, []Signal{sig})
	return err
}

// Probes gives what is known of the aspects of a probe.
func (s *Service) Probes(ctx context.Context, source string) ([]probe.Status, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	var rows []probeRow
	if err := s.db.Read(ctx).NewSelect().Model(&rows).Where("source = ?", source).OrderExpr("aspect").Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	out := make([]probe.Status, len(rows))
	for i := range rows {
		out[i] = rows[i].status()
	}
	return out, nil
}
