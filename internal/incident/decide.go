package incident

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/internal/kit"
)

// fact is any body of facts.go.
type fact interface{ FactType() string }

// Exit questions: the keys that may be answered on leaving a phase.
var exitKeys = map[Phase][]string{
	Detection:   {"real", "holder"},
	Assessment:  {"who", "what", "data", "trend", "change", "services", "told"},
	Containment: {"stopped", "checked_by", "checked_at", "actions"},
	Recovery:    {"normal", "checked_by", "checked_at", "eradicated", "criteria", "data_lost_s"},
	InReview:    {},
}

// ExitKeys lists the exit questions of a phase.
func ExitKeys(p Phase) []string { return slices.Clone(exitKeys[p]) }

func (i *Incident) mustBeOpen() error {
	if !i.Open() {
		return kit.Conflict("not_open", "incident.error.not_open", "ref", i.Ref(), "status", string(i.Status))
	}
	return nil
}

// acknowledge is the first answer of a person. Once acknowledged it is nothing.
func (i *Incident) acknowledge(now time.Time, by string, implied bool) ([]fact, error) {
	if err := i.mustBeOpen(); err != nil {
		return nil, err
	}
	var out []fact
	if i.AcknowledgedAt.IsZero() {
		i.AcknowledgedAt, i.AcknowledgedBy = now, by
		out = append(out, Acknowledged{By: by, AfterS: int64(now.Sub(i.DeclaredAt) / time.Second), Implied: implied})
	}
	if i.Phase == Detection && !implied {
		i.Phase = Assessment
		out = append(out, PhaseChanged{From: Detection, To: Assessment})
	}
	return out, nil
}

// assess records the answers and computes the severity; an override stands until
// the next assessment.
func (i *Incident) assess(now time.Time, by string, a Answers, override Severity, reason string, over Overrides, after time.Duration) ([]fact, error) {
	if err := i.mustBeOpen(); err != nil {
		return nil, err
	}
	a, err := a.Normal()
	if err != nil {
		return nil, err
	}
	if !override.Valid() {
		return nil, kit.InvalidField("severity", "incident.error.severity", "value", string(override))
	}
	result := Assess(a)
	if override != Unassessed && override != result.Severity && strings.TrimSpace(reason) == "" {
		return nil, kit.InvalidField("reason", "incident.error.override_reason")
	}
	out, err := i.acknowledge(now, by, true)
	if err != nil {
		return nil, err
	}
	before := Level(i.LevelFacts(), over, after)
	from := i.Severity
	i.Answers, i.Computed, i.DecidedBy, i.PersonalData = &a, result.Severity, result.DecidedBy, result.PersonalData
	if i.AssessedAt.IsZero() {
		i.AssessedAt = now
	}
	to, source := result.Severity, SourceAssessed
	if override != Unassessed && override != result.Severity {
		to, source = override, SourceOverride
	}
	if i.Kind == KindSecurity {
		to = worst(to, Sev2)
	}
	i.Severity, i.SeveritySource = to, source
	level := Level(i.LevelFacts(), over, after)
	done := Assessed{Answers: a, Services: i.Services, Computed: result.Severity, DecidedBy: result.DecidedBy, PersonalData: result.PersonalData, Level: dutyNames(level)}
	out = append(out, done)
	if to != from {
		added, withdrawn := Difference(before, level)
		out = append(out, SeverityChanged{From: from, To: to, Source: source, Reason: reason, Added: dutyNames(added), Withdrawn: dutyNames(withdrawn)})
	}
	if i.Phase == Detection {
		i.Phase = Assessment
		out = append(out, PhaseChanged{From: Detection, To: Assessment})
	}
	return out, nil
}

func dutyNames(ds []Duty) []string {
	out := make([]string, len(ds))
	for n, d := range ds {
		out[n] = d.Name()
	}
	return out
}

// move goes to another phase: forward by one with the exit answers, forward by
// more or back with a reason. approved says whether the review is approved.
func (i *Incident) move(now time.Time, by string, to Phase, answers map[string]any, reason string, approved int64) ([]fact, error) {
	if to.Number() == 0 {
		return nil, kit.InvalidField("to", "incident.error.phase", "value", string(to))
	}
	if to == i.Phase && (i.Open() || i.Status == StatusClosed) {
		return nil, nil
	}
	if err := i.mustBeOpen(); err != nil {
		return nil, err
	}
	reason = strings.TrimSpace(reason)
	if to == PhaseClosed {
		return i.close(now, approved)
	}
	from := i.Phase
	if to.Number() < from.Number() {
		if reason == "" {
			return nil, kit.InvalidField("reason", "incident.error.back_reason")
		}
		i.Phase = to
		i.clearAfter(to)
		return []fact{PhaseChanged{From: from, To: to, Back: true, Reason: reason}}, nil
	}
	var skipped []Phase
	for n := from.Number() + 1; n < to.Number(); n++ {
		skipped = append(skipped, Phases[n-1])
	}
	if len(skipped) > 0 && reason == "" {
		return nil, kit.InvalidField("reason", "incident.error.skip_reason")
	}
	answers, unanswered, err := exitAnswers(from, answers)
	if err != nil {
		return nil, err
	}
	// From detection, the move itself is the answer that somebody has it.
	out, err := i.acknowledge(now, by, true)
	if err != nil {
		return nil, err
	}
	if len(answers) > 0 {
		i.Exits = maps.Clone(i.Exits)
		if i.Exits == nil {
			i.Exits = map[Phase]map[string]any{}
		}
		i.Exits[from] = answers
	}
	for n := from.Number(); n < to.Number(); n++ {
		switch Phases[n-1] {
		case Containment:
			if i.ContainedAt.IsZero() {
				i.ContainedAt = now
			}
		case Recovery:
			if i.RestoredAt.IsZero() {
				i.RestoredAt = now
			}
			i.RecoveredAt = now
		}
	}
	i.Phase = to
	return append(out, PhaseChanged{From: from, To: to, Answers: answers, Unanswered: unanswered, Skipped: skipped, Reason: reason}), nil
}

func exitAnswers(p Phase, answers map[string]any) (given map[string]any, unanswered []string, err error) {
	var bad kit.Fields
	for k := range answers {
		if !slices.Contains(exitKeys[p], k) {
			bad.Add("answers."+k, "incident.error.exit_key", "phase", string(p))
		}
	}
	for _, k := range exitKeys[p] {
		v, ok := answers[k]
		if s, text := v.(string); !ok || v == nil || text && (strings.TrimSpace(s) == "" || s == "unknown") {
			unanswered = append(unanswered, k)
			if !ok || v == nil {
				continue
			}
		}
		if s, text := v.(string); text && len(s) > 2000 {
			bad.Add("answers."+k, "error.too_long", "limit", 2000, "length", len(s))
		}
		if given == nil {
			given = map[string]any{}
		}
		given[k] = v
	}
	return given, unanswered, bad.Err()
}

func (i *Incident) close(now time.Time, approved int64) ([]fact, error) {
	if i.Phase != InReview || approved == 0 {
		return nil, kit.Conflict("review_not_approved", "incident.error.review_not_approved", "ref", i.Ref())
	}
	i.Status, i.Phase, i.ClosedAt, i.RefiredAt = StatusClosed, PhaseClosed, now, time.Time{}
	return []fact{PhaseChanged{From: InReview, To: PhaseClosed}, Closed{ReviewVersion: approved}}, nil
}

// clearAfter forgets the milestones that going back to a phase undoes; the facts
// keep them.
func (i *Incident) clearAfter(p Phase) {
	if p.Number() <= Containment.Number() {
		i.ContainedAt = time.Time{}
		i.EradicatedAt = time.Time{}
	}
	if p.Number() <= Recovery.Number() {
		i.RestoredAt, i.RecoveredAt = time.Time{}, time.Time{}
	}
	if p.Number() <= Assessment.Number() {
		i.AssessedAt = time.Time{}
	}
	i.ReviewedAt, i.ClosedAt = time.Time{}, time.Time{}
}

// cancel says that it is not an incident.
func (i *Incident) cancel(reason string) ([]fact, error) {
	if err := i.mustBeOpen(); err != nil {
		return nil, err
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return nil, kit.InvalidField("reason", "error.required")
	}
	phase := i.Phase
	i.Status, i.RefiredAt = StatusCancelled, time.Time{}
	return []fact{Cancelled{Reason: reason, Phase: phase}}, nil
}

// merge ends this incident in another open one, which takes the earliest
// detection and the highest severity of both.
func (i *Incident) merge(into *Incident, over Overrides, after time.Duration) (here, there []fact, err error) {
	if err := i.mustBeOpen(); err != nil {
		return nil, nil, err
	}
	if into.ID == i.ID {
		return nil, nil, kit.InvalidField("into", "incident.error.merge_self")
	}
	if err := into.mustBeOpen(); err != nil {
		return nil, nil, err
	}
	if i.Exercise != into.Exercise {
		return nil, nil, kit.InvalidField("into", "incident.error.merge_exercise")
	}
	i.Status, i.MergedInto, i.RefiredAt = StatusMerged, into.ID, time.Time{}
	there = []fact{Merged{From: i.ID}}
	if into.DetectedAt.IsZero() || !i.DetectedAt.IsZero() && i.DetectedAt.Before(into.DetectedAt) {
		into.DetectedAt = i.DetectedAt
	}
	if !i.OccurredAt.IsZero() && (into.OccurredAt.IsZero() || i.OccurredAt.Before(into.OccurredAt)) {
		into.OccurredAt = i.OccurredAt
	}
	for _, s := range i.Services {
		if !slices.Contains(into.Services, s) {
			into.Services = append(slices.Clone(into.Services), s)
		}
	}
	if i.LastAlertAt.After(into.LastAlertAt) {
		into.LastAlertAt = i.LastAlertAt
	}
	into.OpenAlerts += i.OpenAlerts
	i.OpenAlerts = 0
	if to := worst(into.Severity, i.Severity); to != into.Severity {
		before := Level(into.LevelFacts(), over, after)
		from := into.Severity
		into.Severity, into.SeveritySource = to, i.SeveritySource
		added, withdrawn := Difference(before, Level(into.LevelFacts(), over, after))
		there = append(there, SeverityChanged{From: from, To: to, Source: i.SeveritySource, Added: dutyNames(added), Withdrawn: dutyNames(withdrawn)})
	}
	return []fact{Merged{Into: into.ID}}, there, nil
}

// reopen takes an ended incident up again: in recovery when it was closed, else
// in the phase it was left in. An open one whose alert came back goes from review
// to recovery.
func (i *Incident) reopen(reason string) ([]fact, error) {
	from := i.Status
	back := from == StatusClosed || from == StatusOpen && i.Phase == InReview && i.ProposesReopening()
	if from == StatusOpen && !back {
		return nil, kit.Conflict("open", "incident.error.already_open", "ref", i.Ref())
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return nil, kit.InvalidField("reason", "error.required")
	}
	if back {
		i.Phase = Recovery
		i.clearAfter(Recovery)
	}
	i.Status, i.MergedInto, i.RefiredAt = StatusOpen, "", time.Time{}
	return []fact{Reopened{Reason: reason, From: from, Phase: i.Phase}}, nil
}

// setSeverity is an override by a person with a reason.
func (i *Incident) setSeverity(to Severity, source SeveritySource, reason string, over Overrides, after time.Duration) []fact {
	if to == i.Severity {
		return nil
	}
	before := Level(i.LevelFacts(), over, after)
	from := i.Severity
	i.Severity, i.SeveritySource = to, source
	added, withdrawn := Difference(before, Level(i.LevelFacts(), over, after))
	return []fact{SeverityChanged{From: from, To: to, Source: source, Reason: reason, Added: dutyNames(added), Withdrawn: dutyNames(withdrawn)}}
}
