package app

import (
	"cmp"
	"context"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/probe"
	"tocsin/internal/i18n"
	"tocsin/internal/incident"
	"tocsin/internal/ledger"
)

// words gives a text of the catalogues in the organisation's first language.
func (a *App) words(ctx context.Context, key string, args map[string]any) string {
	lang := "en"
	if o, err := a.Identity.Organisation(ctx); err == nil && len(o.Languages) > 0 {
		lang = o.Languages[0]
	}
	return i18n.T(lang, key, args)
}

// probeTitle is what the alert of a probe says, in the organisation's first language.
func (a *App) probeTitle(ctx context.Context, source string, aspect probe.Aspect) string {
	return a.words(ctx, "alert.probe."+string(aspect), map[string]any{"source": source})
}

func silenceKey(source string) string { return "source.silent:" + source }

// A source that was not heard in time is an alarm of its own (DET-01).
func (a *App) sourceSilent(ctx context.Context, f ledger.Fact, b alert.SourceSilent) error {
	key := "alert.source.silent"
	switch {
	case b.Unfinished:
		key = "alert.source.unfinished"
	case b.LastHeardAt.IsZero():
		key = "alert.source.never"
	}
	_, err := a.Alert.Ingest(ctx, []alert.Signal{{
		Source: alert.BuiltIn, DedupKey: silenceKey(f.Subject.ID), Action: alert.Trigger, Severity: alert.Error, Service: b.Service,
		Title:  a.words(ctx, key, map[string]any{"source": f.Subject.ID, "duration": time.Duration(b.GapS) * time.Second}),
		Labels: map[string]string{"alertname": "SourceSilent", "source": f.Subject.ID}, StartsAt: f.HappenedAt, Received: f.RecordedAt,
	}})
	return err
}

func (a *App) sourceHeard(ctx context.Context, f ledger.Fact, _ alert.SourceHeard) error {
	_, err := a.Alert.Ingest(ctx, []alert.Signal{{Source: alert.BuiltIn, DedupKey: silenceKey(f.Subject.ID), Action: alert.Resolve, Received: f.RecordedAt}})
	return err
}

// symptoms gives the incidents that an alert about to declare one may be the cause of
// and whose pages go to the same people.
func (a *App) symptoms(ctx context.Context, b alert.Opened, window time.Duration) ([]string, error) {
	if b.Severity != alert.Critical && b.Severity != alert.Error {
		return nil, nil
	}
	list, err := a.Incident.Suffering(ctx, a.Alert.Dependents(b.Service), false, window)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	mine, err := a.Oncall.PolicyFor(ctx, b.Policy, []string{b.Service})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range list {
		theirs, err := a.Oncall.PolicyFor(ctx, i.Policy, i.Services)
		if err != nil {
			return nil, err
		}
		if theirs == mine && string(i.Kind) == cmp.Or(b.Kind, string(incident.KindAvailability)) {
			out = append(out, i.ID)
		}
	}
	return out, nil
}
