package finding

import (
	"context"
	"fmt"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Source is who sent a report.
type Source struct {
	ID      string
	Service string
}

// Received is what became of a report.
type Received struct {
	Format  string
	Verdict Verdict
	// Reason says why the verdict is unknown or the report partial.
	Reason Reason
	// Findings counts those that the report names, without what its tool passes over.
	Findings int
	New      int
	Reopened int
	Fixed    int
	// Unknown counts known findings that the report neither names nor proves gone.
	Unknown int
	// Again says that the report is the last one once more: nothing was changed.
	Again bool
}

// Receive brings the findings of a source to what a report shows, in one
// transaction; sha256 is that of its body, in hexadecimal. The same body again, with
// no other report of its tool and target between, changes nothing.
func (s *Service) Receive(ctx context.Context, src Source, report Report, sha256 string) (Received, error) {
	// The key of the source was checked at the edge.
	if a := kit.ActorFrom(ctx); a.Kind != kit.ActorSource && !a.IsSystem() {
		if err := s.rights.Require(ctx, "finding.decide"); err != nil {
			return Received{}, err
		}
	}
	limits, err := s.settings.Limits(ctx)
	if err != nil {
		return Received{}, err
	}
	var out Received
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := lockSource(ctx, tx, src.ID); err != nil {
			return err
		}
		out = Received{Format: report.Format, Verdict: report.Verdict, Reason: report.Reason}
		for i := range report.Findings {
			if report.Findings[i].Suppressed == nil {
				out.Findings++
			}
		}
		last, err := lastScan(ctx, tx, src.ID, report)
		if err != nil {
			return err
		}
		if last != nil && last.SHA256 == sha256 {
			out.Again, out.Unknown = true, last.NotProved
			return again(ctx, tx, last)
		}
		known, err := knownOf(ctx, tx, src.ID)
		if err != nil {
			return err
		}
		r := &receiving{src: src, limits: limits, known: known, out: &out}
		if err := r.change(ctx, tx, report); err != nil {
			return err
		}
		id := kit.NewID()
		if err := insertScan(ctx, tx, &scanRow{
			ID: id, Source: src.ID, SHA256: sha256, Format: report.Format, Tool: report.Tool.Name, Target: report.Target, Verdict: report.Verdict,
			Why: report.Reason.Key, At: kit.Micros(tx.Now()), LastAt: kit.Micros(tx.Now()), Findings: out.Findings, Opened: out.New,
			Reopened: out.Reopened, Fixed: out.Fixed, NotProved: out.Unknown,
		}); err != nil {
			return err
		}
		received := ledger.Entry{Subject: ledger.Subject{Kind: "scan", ID: id}, Body: ScanReceived{
			Source: src.ID, Format: report.Format, Tool: report.Tool.Name, Target: report.Target, Verdict: report.Verdict, Why: report.Reason.Key,
			Findings: out.Findings, New: out.New, Reopened: out.Reopened, Fixed: out.Fixed, Unknown: out.Unknown, SHA256: sha256,
		}}
		return ledger.Append(ctx, tx, append([]ledger.Entry{received}, r.facts...)...)
	})
	return out, err
}

// receiving is one report on its way into the database.
type receiving struct {
	src    Source
	limits Limits
	known  map[string]*row
	out    *Received
	facts  []ledger.Entry
}

func (r *receiving) change(ctx context.Context, tx *db.Tx, report Report) error {
	previous := make([]Known, 0, len(r.known))
	for _, k := range r.known {
		previous = append(previous, Known{Key: k.Key, Tool: k.Tool, Target: k.Target, Location: k.Location, State: k.State, SeenAt: kit.FromMicros(k.SeenAt)})
	}
	c := Compare(previous, report, tx.Now())
	at := kit.Micros(c.At)
	r.out.New, r.out.Reopened, r.out.Fixed, r.out.Unknown = len(c.New), len(c.Reopened), len(c.Fixed), len(c.Unknown)

	var fresh, there []*row
	var number int64
	if len(c.New) > 0 {
		var err error
		if number, err = tx.NextNumbers(ctx, "FND", len(c.New)); err != nil {
			return err
		}
	}
	for i := range c.New {
		f := &row{ID: kit.NewID(), Number: number + int64(i), Ref: fmt.Sprintf("FND-%d", number+int64(i)), Source: r.src.ID, Key: c.New[i].Key}
		f.State, f.OpenedAt, f.SeenAt = StateOpen, kit.Micros(tx.Now()), at
		r.fill(f, &c.New[i])
		fresh = append(fresh, f)
		r.facts = append(r.facts, ledger.Entry{Subject: subject(f), Body: Opened{f.about()}})
	}
	for i := range c.Reopened {
		f := r.known[c.Reopened[i].Key]
		f.State, f.OpenedAt, f.SeenAt, f.FixedAt, f.ExpiresAt = StateOpen, kit.Micros(tx.Now()), at, nil, nil
		r.fill(f, &c.Reopened[i])
		there = append(there, f)
		r.facts = append(r.facts, ledger.Entry{Subject: subject(f), Body: Reopened{About: f.about(), Why: "seen"}})
	}
	var seen []string
	for i := range c.Still {
		f := r.known[c.Still[i].Key]
		was := f.words()
		// A report that was finished earlier than the last one says no newer words.
		if f.SeenAt > at {
			continue
		}
		f.SeenAt = at
		r.fill(f, &c.Still[i])
		if f.words() == was {
			seen = append(seen, f.ID)
		} else {
			there = append(there, f)
		}
	}
	// What is passed over by its tool is there: it is not fixed, and was seen.
	for i := range c.Suppressed {
		if f := r.known[c.Suppressed[i].Key]; f != nil && f.State != StateFixed && f.SeenAt <= at {
			seen = append(seen, f.ID)
		}
	}
	var gone, expiring []string
	for _, key := range c.Fixed {
		f := r.known[key]
		gone = append(gone, f.ID)
		if f.State == StateAccepted {
			expiring = append(expiring, f.ID)
		}
		r.facts = append(r.facts, ledger.Entry{Subject: subject(f), Body: Fixed{f.about()}})
	}
	if err := insert(ctx, tx, fresh); err != nil {
		return err
	}
	if err := replace(ctx, tx, there); err != nil {
		return err
	}
	if err := setSeen(ctx, tx, seen, at); err != nil {
		return err
	}
	if err := setFixed(ctx, tx, gone, tx.Now()); err != nil {
		return err
	}
	return due.Cancel(ctx, tx, KindExpiry, expiring...)
}

// fill takes what a report says of a finding.
func (r *receiving) fill(f *row, x *Result) {
	f.Service = r.src.Service
	f.Tool, f.Target, f.Rule, f.Title, f.Severity, f.Score = x.Tool, x.Target, x.Rule, x.Title, x.Severity, x.Score
	f.Location, f.Line, f.Package, f.Version, f.FixedIn = x.Location, x.Line, x.Package, x.Version, x.FixedIn
	f.CVE, f.CWE, f.URL, f.Description, f.Secret = list(x.CVE), list(x.CWE), x.URL, x.Description, leaks(x)
	f.Search = f.searched()
	triage, fix := Due(x.Severity, kit.FromMicros(f.OpenedAt), r.limits)
	f.TriageAt, f.FixAt = micros(triage), micros(fix)
}

func subject(r *row) ledger.Subject { return ledger.Subject{Kind: "finding", ID: r.ID, Ref: r.Ref} }

func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := kit.Micros(t)
	return &n
}
