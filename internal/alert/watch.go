package alert

import (
	"context"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// KindSilent is the due kind that looks whether a source was heard in time.
const KindSilent = "source-silent"

// defaultGrace is how late a heartbeat may be when its source does not say.
const defaultGrace = time.Minute

// Beat is one sign of a heartbeat.
type Beat string

// The signs: a run went well, began, or failed.
const (
	BeatOK    Beat = ""
	BeatStart Beat = "start"
	BeatFail  Beat = "fail"
)

// heartbeatKey is the key of the alert by which a heartbeat tells of a failed run.
const heartbeatKey = "heartbeat"

// GraceOrDefault is how late a heartbeat may be.
func (s *Source) GraceOrDefault() time.Duration {
	if s.Grace > 0 {
		return s.Grace
	}
	return defaultGrace
}

// Interval is after how long without a sign the source counts as silent; 0 is never.
func (s *Source) Interval() time.Duration {
	if s.Kind == "heartbeat" {
		return s.Every + s.GraceOrDefault()
	}
	return s.SilentAfter
}

// watched is what decides whether a source is late.
type watched struct {
	interval, grace time.Duration
	// heard is the last sign, else the creation; run is when a run began that has not
	// ended, zero when none goes on.
	heard, run time.Time
	// listening is since when somebody was there to hear.
	listening time.Time
}

// deadline is when the source is silent unless it is heard: a run that began must end
// within its grace, and what could not be heard is not held against it. Zero is never.
func (w watched) deadline() time.Time {
	if w.interval <= 0 {
		return time.Time{}
	}
	from, within := w.heard, w.interval
	if !w.run.IsZero() {
		from, within = w.run, w.grace
	}
	if w.listening.After(from) {
		from = w.listening
	}
	return from.Add(within)
}

func (s *Service) watched(row sourceRow) watched {
	src := row.source()
	w := watched{interval: src.Interval(), grace: src.GraceOrDefault(), heard: src.LastHeardAt, run: kit.FromMicros(row.RunSince), listening: s.listening()}
	if at := s.rings.lastHeard(row.ID); at.After(w.heard) {
		w.heard = at
	}
	if w.heard.IsZero() {
		w.heard = src.CreatedAt
	}
	return w
}

// listening is since when this process takes signals; the zero time before.
func (s *Service) listening() time.Time { return kit.FromMicros(s.since.Load()) }

// watch puts the due row that looks at a source, or takes it away.
func (s *Service) watch(ctx context.Context, tx *db.Tx, row sourceRow) error {
	at := s.watched(row).deadline()
	if at.IsZero() {
		return due.Cancel(ctx, tx, KindSilent, row.ID)
	}
	return due.At(ctx, tx, KindSilent, row.ID, at, struct{}{})
}

// watchAll looks out for every source from now on: while nobody listened, none could
// be heard.
func (s *Service) watchAll(ctx context.Context) error {
	ctx = kit.WithActor(ctx, kit.System(kit.ViaDue))
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := s.sourceRows(ctx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := s.resumeProbe(ctx, tx, r); err != nil {
				return err
			}
			if s.watched(r).interval > 0 && r.SilentSince == 0 {
				if err := s.watch(ctx, tx, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func lockSource(ctx context.Context, tx *db.Tx, id string) (sourceRow, error) {
	var row sourceRow
	err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("id = ?", id)).Scan(ctx)
	return row, db.NoRows(err, "source", id)
}

// runSilent finds a source silent, or waits for it longer.
func (s *Service) runSilent(ctx context.Context, tx *db.Tx, d due.Row) error {
	row, err := lockSource(ctx, tx, d.Key)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	w := s.watched(row)
	switch at := w.deadline(); {
	case at.IsZero() || row.SilentSince != 0:
		return nil
	case at.After(tx.Now()):
		return due.At(ctx, tx, KindSilent, row.ID, at, struct{}{})
	}
	if err := setSilent(ctx, tx, row.ID, tx.Now()); err != nil {
		return err
	}
	body := SourceSilent{Service: row.Service, Unfinished: !w.run.IsZero(), LastHeardAt: row.source().LastHeardAt, GapS: int64(tx.Now().Sub(w.heard) / time.Second)}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "source", ID: row.ID}, Body: body})
}

func setSilent(ctx context.Context, tx *db.Tx, id string, at time.Time) error {
	_, err := tx.NewUpdate().Table("source").Set("silent_since = ?", kit.Micros(at)).Where("id = ?", id).Exec(ctx)
	return db.MapError(err)
}

// heardAgain ends the silence of a source that was silent, and looks out for the next.
func (s *Service) heardAgain(ctx context.Context, tx *db.Tx, row sourceRow) error {
	if row.SilentSince == 0 {
		return nil
	}
	if err := setSilent(ctx, tx, row.ID, time.Time{}); err != nil {
		return err
	}
	if err := s.watch(ctx, tx, row); err != nil {
		return err
	}
	gap := tx.Now().Sub(kit.FromMicros(row.SilentSince))
	a := *sourceActor(row.ID)
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "source", ID: row.ID}, Actor: &a, Body: SourceHeard{Service: row.Service, SilentS: int64(gap / time.Second)}})
}

// Heartbeat takes a sign of a source of kind heartbeat; it is durable when it returns.
// title is what the alert of a failed run says.
func (s *Service) Heartbeat(ctx context.Context, source string, b Beat, title string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		row, err := lockSource(ctx, tx, source)
		if err != nil {
			return err
		}
		if row.Kind != "heartbeat" {
			return kit.NotFound("heartbeat", source)
		}
		now := tx.Now()
		row.LastHeardAt, row.RunSince = kit.Micros(now), 0
		if b == BeatStart {
			row.RunSince = row.LastHeardAt
		}
		if _, err := tx.NewUpdate().Model(&row).Column("last_heard_at", "run_since").WherePK().Exec(ctx); err != nil {
			return db.MapError(err)
		}
		tx.AfterCommit(func() { s.rings.heard([]string{source}, now) })
		if row.SilentSince == 0 {
			if err := s.watch(ctx, tx, row); err != nil {
				return err
			}
		}
		if b == BeatStart {
			// A run that begins says nothing yet of how it ends.
			return nil
		}
		sig := Signal{Source: source, DedupKey: heartbeatKey, Action: Resolve, Received: now}
		if b == BeatFail {
			sig.Action, sig.Title, sig.Severity, sig.Service = Trigger, title, Error, row.Service
			sig.Labels = map[string]string{"alertname": "HeartbeatFailed", "source": source}
		}
		if _, err := s.Ingest(ctx, []Signal{sig}); err != nil {
			return err
		}
		return s.heardAgain(ctx, tx, row)
	})
}
