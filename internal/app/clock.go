package app

import (
	"context"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/ledger"
)

// ClockChecked is the body of clock_check.finished.
type ClockChecked struct {
	// OffsetMS is how far the clock is from what it is compared with, in milliseconds;
	// negative when it is behind.
	OffsetMS int64 `json:"offset_ms"`
	// Reference is what it is compared with: previous is the same clock a moment before.
	Reference string `json:"reference"`
}

// FactType implements ledger.Body.
func (ClockChecked) FactType() string { return "clock_check.finished" }

// clockBack records that the clock was put back while the program ran.
func clockBack(ctx context.Context, tx *db.Tx, before, after time.Time) error {
	return ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "clock_check", ID: "installation"},
		Body:    ClockChecked{OffsetMS: after.Sub(before).Milliseconds(), Reference: "previous"},
	})
}
