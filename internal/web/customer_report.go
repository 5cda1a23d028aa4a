package web

import (
	"context"

	"tocsin/internal/report"
)

// decisionsFor are the decisions that are offered about a report as it stands.
func decisionsFor(r oneReport) []string {
	switch {
	case r.State == report.StateDeclared || !r.ToldAt.IsZero():
		return []string{"answer"}
	case r.State != report.StateNew && len(r.open) > 0:
		return []string{"answer", "attach", "close"}
	case r.State != report.StateNew:
		return []string{"answer", "close"}
	case len(r.open) == 0:
		return []string{"declare", "answer", "close"}
	}
	return reportDecisions
}

func firstDecision(r oneReport) string {
	if r.State == report.StateNew && len(r.open) > 0 && r.Kind == report.Problem {
		return "attach"
	}
	return decisionsFor(r)[0]
}

func answerHint(ctx context.Context, r oneReport) string {
	if r.Contact == "" {
		return t(ctx, "web.report.answer.page")
	}
	return t(ctx, "web.report.answer.mail", "language", t(ctx, "web.report.language."+r.Language))
}
