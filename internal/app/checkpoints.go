package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// The due rows of the ledger's keeping.
const (
	dueCheckpoint = "checkpoint"
	dueSent       = "checkpoint-file"
	dueVerify     = "ledger-verify"
	// everyHour and everyDay are the keys of the rows that come back.
	everyHour = "hourly"
	everyDay  = "daily"
)

// ledgerSubject is what the facts of the ledger's keeping are about.
var ledgerSubject = ledger.Subject{Kind: "ledger", ID: "journal"}

// keeping are the due rows that keep the ledger provable: a checkpoint is signed each
// hour and when an incident is closed, and leaves the database as a file; once a day
// the ledger is verified.
func (a *App) keeping() []due.Task {
	return []due.Task{
		{Kind: dueCheckpoint, Lane: due.Slow, Run: a.signCheckpoint},
		{Kind: dueSent, Lane: due.Slow, Senders: 1, Send: a.writeCheckpoint},
		{Kind: dueVerify, Lane: due.Slow, Senders: 1, Lease: time.Hour, Send: a.verifyLedger},
	}
}

// keep puts the rows that come back, where they are not there yet.
func (a *App) keep(ctx context.Context) error {
	rows, err := a.worker.Pending(ctx, dueCheckpoint, dueVerify, duePageAudit, dueTestAlarm)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, r := range rows {
		there[r.Kind] = true
	}
	return a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := a.db.LeaseNow()
		if !there[dueCheckpoint] {
			if err := due.At(ctx, tx, dueCheckpoint, everyHour, now.Add(time.Hour), struct{}{}); err != nil {
				return err
			}
		}
		if !there[dueVerify] {
			if err := due.At(ctx, tx, dueVerify, everyDay, now.Add(24*time.Hour), struct{}{}); err != nil {
				return err
			}
		}
		if !there[duePageAudit] {
			if err := due.At(ctx, tx, duePageAudit, everyMinute, now.Add(auditedEvery), struct{}{}); err != nil {
				return err
			}
		}
		if !there[dueTestAlarm] {
			if err := a.awaitTest(ctx, tx); err != nil {
				return err
			}
		}
		// Turns may have become empty while nobody looked.
		return a.Oncall.LookAtCoverage(ctx)
	})
}

// A closed incident gets a checkpoint at once: what was decided in it can be proven
// from then on.
func (a *App) incidentClosed(ctx context.Context, f ledger.Fact, _ incident.Closed) error {
	return a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return due.At(ctx, tx, dueCheckpoint, f.Incident, a.db.LeaseNow(), struct{}{})
	})
}

func asKeeper(ctx context.Context) context.Context {
	return kit.WithActor(ctx, kit.System(kit.ViaDue))
}

// signCheckpoint signs the ledger as it is, unless nothing but the last checkpoint has
// been written since.
func (a *App) signCheckpoint(ctx context.Context, tx *db.Tx, row due.Row) error {
	ctx = asKeeper(ctx)
	if row.Key == everyHour {
		if err := due.At(ctx, tx, dueCheckpoint, everyHour, a.db.LeaseNow().Add(time.Hour), struct{}{}); err != nil {
			return err
		}
	}
	size, _, err := a.ledger.Head(ctx)
	if err != nil {
		return err
	}
	last, err := a.ledger.Facts(ctx, ledger.Filter{SubjectKind: ledgerSubject.Kind, SubjectID: ledgerSubject.ID, Newest: true, Limit: 2})
	if err != nil {
		return err
	}
	if len(last) == 2 && last[0].Seq == size && last[0].Type == "checkpoint.sent" && last[1].Seq == size-1 && last[1].Type == "checkpoint.signed" {
		return nil
	}
	text, err := a.ledger.Checkpoint(ctx)
	if err != nil {
		return err
	}
	key, err := a.ledger.PublicKey(ctx)
	if err != nil {
		return err
	}
	size, root, err := ledger.OpenCheckpoint(text, key)
	if err != nil {
		return kit.Internal(err)
	}
	// A later checkpoint stands for the ones before it: there is one row.
	if err := due.At(ctx, tx, dueSent, "file", a.db.LeaseNow(), outgoing{Size: size, Text: text}); err != nil {
		return err
	}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledgerSubject, Body: ledger.CheckpointSigned{Size: size, Root: hex.EncodeToString(root)}})
}

// outgoing is a checkpoint on its way out.
type outgoing struct {
	Size int64  `json:"size"`
	Text string `json:"text"`
}

// writeCheckpoint brings a checkpoint out of the database, to the folder of
// checkpoints. A folder that cannot be written is tried again.
func (a *App) writeCheckpoint(_ context.Context, row due.Row) func(context.Context, *db.Tx) error {
	var out outgoing
	err := json.Unmarshal(row.Body, &out)
	if err == nil {
		err = writeWhole(filepath.Join(a.cfg.Checkpoints, fmt.Sprintf("checkpoint-%d.txt", out.Size)), out.Text)
	}
	return func(ctx context.Context, tx *db.Tx) error {
		if err != nil {
			a.cfg.Log.Error("checkpoint cannot be written", "folder", a.cfg.Checkpoints, "err", err)
			return due.At(ctx, tx, dueSent, row.Key, a.db.LeaseNow().Add(10*time.Minute), out)
		}
		return ledger.Append(asKeeper(ctx), tx, ledger.Entry{Subject: ledgerSubject, Body: ledger.CheckpointSent{Size: out.Size, Where: "file"}})
	}
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// verifyLedger looks at every fact. It runs beside the work, without a transaction.
func (a *App) verifyLedger(ctx context.Context, _ due.Row) func(context.Context, *db.Tx) error {
	rep, err := a.ledger.Verify(ctx, ledger.VerifyOptions{})
	return func(ctx context.Context, tx *db.Tx) error {
		ctx = asKeeper(ctx)
		wait := 24 * time.Hour
		if err != nil {
			a.cfg.Log.Error("the ledger cannot be verified", "err", err)
			wait = time.Hour
		}
		if err := due.At(ctx, tx, dueVerify, everyDay, a.db.LeaseNow().Add(wait), struct{}{}); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
		found := ledger.Verified{ToSeq: rep.Facts, Result: "ok", Problems: len(rep.Problems)}
		if !rep.OK() {
			found.Result = "problems"
			a.cfg.Log.Error("the ledger does not verify", "problems", len(rep.Problems), "first", rep.Problems[0].Text)
		}
		return ledger.Append(ctx, tx, ledger.Entry{Subject: ledgerSubject, Body: found})
	}
}

// BackupFinished is the body of backup_self.finished.
type BackupFinished struct {
	// PathKind is file.
	PathKind string `json:"path_kind"`
	// Size is in bytes.
	Size     int64 `json:"size"`
	Verified bool  `json:"verified"`
}

// FactType implements ledger.Body.
func (BackupFinished) FactType() string { return "backup_self.finished" }

// backedUp records a backup of the installation.
func (a *App) backedUp(ctx context.Context, file string, verified bool) error {
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	return a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return ledger.Append(ctx, tx, ledger.Entry{
			Subject: ledger.Subject{Kind: "backup_self", ID: "installation"}, Body: BackupFinished{PathKind: "file", Size: st.Size(), Verified: verified},
		})
	})
}
