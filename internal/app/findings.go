package app

import (
	"context"

	"tocsin/internal/alert"
	"tocsin/internal/finding"
	"tocsin/internal/ledger"
)

// A leaked secret and a critical finding are an alert at once; what becomes of it the
// routes say. Every other finding waits in its list.
func (a *App) findingOpened(ctx context.Context, f ledger.Fact, b finding.Opened) error {
	return a.tellFinding(ctx, f, b.About)
}

func (a *App) findingReopened(ctx context.Context, f ledger.Fact, b finding.Reopened) error {
	return a.tellFinding(ctx, f, b.About)
}

func (a *App) tellFinding(ctx context.Context, f ledger.Fact, b finding.About) error {
	if b.Severity != finding.Critical && !b.Secret {
		return nil
	}
	labels := map[string]string{"finding": f.Subject.Ref, "rule": b.Rule, "tool": b.Tool, "finding_severity": string(b.Severity)}
	if b.Location != "" {
		labels["location"] = b.Location
	}
	if b.Secret {
		labels["secret"] = "true"
	}
	_, err := a.Alert.Ingest(ctx, []alert.Signal{{
		Source: b.Source, DedupKey: f.Subject.Ref, Action: alert.Trigger, Title: f.Subject.Ref + " " + b.Title, Severity: alert.Critical,
		Service: b.Service, Labels: labels, StartsAt: f.HappenedAt, Received: f.RecordedAt,
	}})
	return err
}

func (a *App) findingFixed(ctx context.Context, f ledger.Fact, b finding.Fixed) error {
	return a.endFinding(ctx, f, b.Source)
}

// A finding that is accepted, mitigated or none has been looked at: its alert is over.
func (a *App) findingDecided(ctx context.Context, f ledger.Fact, b finding.Decided) error {
	if b.Decision == finding.Fix {
		return nil
	}
	x, err := a.Finding.Get(ctx, f.Subject.ID)
	if err != nil {
		return err
	}
	return a.endFinding(ctx, f, x.Source)
}

func (a *App) endFinding(ctx context.Context, f ledger.Fact, source string) error {
	_, err := a.Alert.Ingest(ctx, []alert.Signal{{Source: source, DedupKey: f.Subject.Ref, Action: alert.Resolve, Received: f.RecordedAt}})
	return err
}
