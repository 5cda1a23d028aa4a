package app

import (
	"context"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// selfTestStale is how old the last test alarm may be that came back.
const selfTestStale = 24 * time.Hour

// selfTestSubject is what the facts of test alarms are about, by which they are found.
var selfTestSubject = ledger.Subject{Kind: "selftest", ID: "alarm"}

// SelfTestPassed is the body of selftest.passed: a test alarm went the whole way and came
// back. Path says which way, as witness; DurationMS is how long it took.
type SelfTestPassed struct {
	Path       string `json:"path"`
	DurationMS int64  `json:"duration_ms"`
	// Answered is set when somebody answered it; else the provider took the message.
	Answered bool `json:"answered,omitempty"`
}

// FactType implements ledger.Body.
func (SelfTestPassed) FactType() string { return "selftest.passed" }

// SelfTestFailed is the body of selftest.failed: it did not come back in time.
type SelfTestFailed struct {
	Path       string `json:"path"`
	DurationMS int64  `json:"duration_ms"`
	Reason     string `json:"reason,omitempty"`
}

// FactType implements ledger.Body.
func (SelfTestFailed) FactType() string { return "selftest.failed" }

// SelfTested records how a test alarm went that somebody outside raised and waited for.
// Who may wake people may tell.
func (a *App) SelfTested(ctx context.Context, passed bool, path string, took time.Duration, reason string) error {
	if err := a.Identity.Require(ctx, "page.someone"); err != nil {
		return err
	}
	path, err := text.Line("path", path, 100)
	if err != nil {
		return err
	}
	if reason, err = text.Clean("reason", reason, 1000, true); err != nil {
		return err
	}
	if took < 0 || took > 24*time.Hour {
		return kit.InvalidField("duration_ms", "error.bad_value", "value", took.Milliseconds())
	}
	var body ledger.Body = SelfTestPassed{Path: path, DurationMS: took.Milliseconds()}
	if !passed {
		body = SelfTestFailed{Path: path, DurationMS: took.Milliseconds(), Reason: reason}
	}
	return a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return ledger.Append(ctx, tx, ledger.Entry{Subject: selfTestSubject, Body: body})
	})
}

// checkSelfTest looks whether a test alarm came back lately.
func (a *App) checkSelfTest(ctx context.Context) ([]kit.Finding, error) {
	l, err := a.ledger.Facts(ctx, ledger.Filter{SubjectKind: selfTestSubject.Kind, SubjectID: selfTestSubject.ID, Newest: true, Limit: 1})
	switch {
	case err != nil:
		return nil, err
	case len(l) == 0:
		return noted("selftest", kit.FindingWarn, "selftest.none"), nil
	case l[0].Type == "selftest.failed":
		return noted("selftest", kit.FindingFail, "selftest.failed", "at", l[0].RecordedAt), nil
	case a.db.Now().Sub(l[0].RecordedAt) > selfTestStale:
		return noted("selftest", kit.FindingFail, "selftest.old", "at", l[0].RecordedAt), nil
	}
	return noted("selftest", kit.FindingOK, "selftest.ok", "at", l[0].RecordedAt), nil
}
