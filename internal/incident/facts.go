package incident

import "time"

// The facts that this module publishes.
type (
	// Declared opens an incident. It carries what the escalation needs, so that paging asks nobody.
	Declared struct {
		Title        string   `json:"title"`
		How          string   `json:"how"`
		Impact       Impact   `json:"impact"`
		Kind         Kind     `json:"kind"`
		Severity     Severity `json:"severity"`
		Services     []string `json:"services"`
		Exercise     bool     `json:"exercise"`
		Confidential bool     `json:"confidential"`
		Alerts       []string `json:"alerts"`
		AlertTitle   string   `json:"alert_title,omitempty"`
		Policy       string   `json:"policy,omitempty"`
		OnlyPerson   string   `json:"only_person,omitempty"`
		Previous     string   `json:"previous,omitempty"`
	}
	// Renamed is a new title or summary.
	Renamed struct {
		Field string `json:"field"`
		From  string `json:"from"`
		To    string `json:"to"`
	}
	// ScopeChanged is a new list of services.
	ScopeChanged struct {
		From   []string `json:"from"`
		To     []string `json:"to"`
		Reason string   `json:"reason,omitempty"`
	}
	// KindChanged is a new kind.
	KindChanged struct {
		From   Kind   `json:"from"`
		To     Kind   `json:"to"`
		Reason string `json:"reason,omitempty"`
	}
	// ConfidentialityChanged narrows or widens who sees the incident.
	ConfidentialityChanged struct {
		From   bool   `json:"from"`
		To     bool   `json:"to"`
		Reason string `json:"reason"`
	}
	// TimeCorrected corrects a milestone; the earlier value stays here.
	TimeCorrected struct {
		Field  string     `json:"field"`
		From   *time.Time `json:"from"`
		To     *time.Time `json:"to"`
		Reason string     `json:"reason,omitempty"`
	}
	// Acknowledged is the first answer of a person.
	Acknowledged struct {
		By      string `json:"by"`
		AfterS  int64  `json:"after_s"`
		Implied bool   `json:"implied"`
	}
	// Assessed is one assessment, with what it came to.
	Assessed struct {
		Answers      Answers      `json:"answers"`
		Services     []string     `json:"services"`
		Computed     Severity     `json:"computed"`
		DecidedBy    Line         `json:"decided_by_line"`
		PersonalData PersonalData `json:"personal_data"`
		Level        []string     `json:"level"`
	}
	// SeverityChanged names what the new response level adds and withdraws.
	SeverityChanged struct {
		From      Severity       `json:"from"`
		To        Severity       `json:"to"`
		Source    SeveritySource `json:"source"`
		Reason    string         `json:"reason,omitempty"`
		Added     []string       `json:"added"`
		Withdrawn []string       `json:"withdrawn"`
	}
	// PhaseChanged is a move through the five phases.
	PhaseChanged struct {
		From       Phase          `json:"from"`
		To         Phase          `json:"to"`
		Answers    map[string]any `json:"answers,omitempty"`
		Unanswered []string       `json:"unanswered,omitempty"`
		Skipped    []Phase        `json:"skipped,omitempty"`
		Back       bool           `json:"back,omitempty"`
		Reason     string         `json:"reason,omitempty"`
	}
	// RoleAssigned fills a role; how is rule, hand_over or taken.
	RoleAssigned struct {
		Role   string `json:"role"`
		Person string `json:"person"`
		From   string `json:"from_person,omitempty"`
		How    string `json:"how"`
		Reason string `json:"reason,omitempty"`
	}
	// Noted is a line that a person wrote.
	Noted struct {
		Text   string `json:"text"`
		Origin string `json:"origin,omitempty"`
		Link   string `json:"link,omitempty"`
	}
	// LineStarred marks or unmarks a key moment.
	LineStarred struct {
		Line    int64 `json:"line"`
		Starred bool  `json:"starred"`
	}
	// LineCorrected says what a line should have said; the line itself stays.
	LineCorrected struct {
		Line int64  `json:"line"`
		Text string `json:"text"`
	}
	// TaskCreated is work inside the incident.
	TaskCreated struct {
		Text  string     `json:"text"`
		Owner string     `json:"owner,omitempty"`
		Due   *time.Time `json:"due,omitempty"`
	}
	// TaskAssigned is a new owner, or a new date.
	TaskAssigned struct {
		Text  string     `json:"text"`
		From  string     `json:"from,omitempty"`
		Owner string     `json:"owner"`
		Due   *time.Time `json:"due,omitempty"`
	}
	// TaskDone ends a task.
	TaskDone struct {
		Text string `json:"text"`
	}
	// TaskDropped ends a task that is not needed.
	TaskDropped struct {
		Text   string `json:"text"`
		Reason string `json:"reason"`
	}
	// HandoverOffered offers a role; the giver keeps it until it is accepted.
	HandoverOffered struct {
		Role     string `json:"role"`
		From     string `json:"from"`
		To       string `json:"to"`
		Briefing string `json:"briefing"`
	}
	// HandoverAccepted moves the role.
	HandoverAccepted struct {
		Role string `json:"role"`
		From string `json:"from"`
		To   string `json:"to"`
	}
	// HandoverRefused leaves it.
	HandoverRefused struct {
		Role string `json:"role"`
		From string `json:"from"`
		To   string `json:"to"`
	}
	// HandoverWithdrawn takes the offer back.
	HandoverWithdrawn struct {
		Role string `json:"role"`
		From string `json:"from"`
		To   string `json:"to"`
	}
	// ImpactRecorded is what people counted; every number may be missing.
	ImpactRecorded struct {
		Impact RecordedImpact `json:"impact"`
	}
	// Restored says that service is back at its minimum level.
	Restored struct {
		At       time.Time `json:"at"`
		Services []string  `json:"services"`
	}
	// Eradicated says that the cause is removed.
	Eradicated struct {
		At time.Time `json:"at"`
	}
	// Cancelled says that it was not an incident.
	Cancelled struct {
		Reason string `json:"reason"`
		Phase  Phase  `json:"phase"`
	}
	// Merged is written on both incidents: Into on the one that ends, From on the one that goes on.
	Merged struct {
		Into string `json:"into,omitempty"`
		From string `json:"from,omitempty"`
	}
	// Reopened takes up an ended incident again.
	Reopened struct {
		Reason string `json:"reason"`
		From   Status `json:"from"`
		Phase  Phase  `json:"phase"`
	}
	// Closed is the end.
	Closed struct {
		ReviewVersion int64 `json:"review_version"`
	}
	// ReviewCreated is the pre-filled draft, or a later version.
	ReviewCreated struct {
		Version int64     `json:"version"`
		Due     time.Time `json:"due"`
	}
	// ReviewChanged names the sections that changed.
	ReviewChanged struct {
		Version  int64    `json:"version"`
		Sections []string `json:"sections"`
	}
	// ReviewSubmitted asks for approval.
	ReviewSubmitted struct {
		Version int64 `json:"version"`
	}
	// ReviewApproved carries what approval let pass without refusing.
	ReviewApproved struct {
		Version    int64    `json:"version"`
		Approver   string   `json:"approver"`
		SoleAuthor bool     `json:"sole_author"`
		Factors    int      `json:"factors"`
		Actions    []string `json:"actions"`
		Exceptions []string `json:"exceptions"`
	}
	// ReviewReopened makes a new version.
	ReviewReopened struct {
		Version int64  `json:"version"`
		Reason  string `json:"reason"`
	}
	// ActionCreated is agreed work.
	ActionCreated struct {
		Type   string `json:"type"`
		Text   string `json:"text"`
		Owner  string `json:"owner"`
		Due    string `json:"due"`
		Origin string `json:"origin"`
		Method string `json:"method,omitempty"`
	}
	// ActionChanged lists what changed.
	ActionChanged struct {
		Changes []FieldChange `json:"changes"`
		Reason  string        `json:"reason,omitempty"`
	}
	// ActionDone names the proof.
	ActionDone struct {
		Evidence string `json:"evidence"`
	}
	// ActionChecked is the effectiveness check.
	ActionChecked struct {
		Result string `json:"result"`
		Text   string `json:"text"`
	}
	// ActionCancelled ends an action that is not needed.
	ActionCancelled struct {
		Reason string `json:"reason"`
	}
)

// FieldChange is one line of a changed definition.
type FieldChange struct {
	Path string `json:"path"`
	From string `json:"from"`
	To   string `json:"to"`
}

// FactType implements ledger.Body.
func (Declared) FactType() string { return "incident.declared" }

// FactType implements ledger.Body.
func (Renamed) FactType() string { return "incident.renamed" }

// FactType implements ledger.Body.
func (ScopeChanged) FactType() string { return "incident.scope_changed" }

// FactType implements ledger.Body.
func (KindChanged) FactType() string { return "incident.kind_changed" }

// FactType implements ledger.Body.
func (ConfidentialityChanged) FactType() string { return "incident.confidentiality_changed" }

// FactType implements ledger.Body.
func (TimeCorrected) FactType() string { return "incident.time_corrected" }

// FactType implements ledger.Body.
func (Acknowledged) FactType() string { return "incident.acknowledged" }

// FactType implements ledger.Body.
func (Assessed) FactType() string { return "incident.assessed" }

// FactType implements ledger.Body.
func (SeverityChanged) FactType() string { return "incident.severity_changed" }

// FactType implements ledger.Body.
func (PhaseChanged) FactType() string { return "incident.phase_changed" }

// FactType implements ledger.Body.
func (RoleAssigned) FactType() string { return "incident.role_assigned" }

// FactType implements ledger.Body.
func (Noted) FactType() string { return "incident.noted" }

// FactType implements ledger.Body.
func (LineStarred) FactType() string { return "incident.line_starred" }

// FactType implements ledger.Body.
func (LineCorrected) FactType() string { return "incident.line_corrected" }

// FactType implements ledger.Body.
func (TaskCreated) FactType() string { return "task.created" }

// FactType implements ledger.Body.
func (TaskAssigned) FactType() string { return "task.assigned" }

// FactType implements ledger.Body.
func (TaskDone) FactType() string { return "task.done" }

// FactType implements ledger.Body.
func (TaskDropped) FactType() string { return "task.dropped" }

// FactType implements ledger.Body.
func (HandoverOffered) FactType() string { return "handover.offered" }

// FactType implements ledger.Body.
func (HandoverAccepted) FactType() string { return "handover.accepted" }

// FactType implements ledger.Body.
func (HandoverRefused) FactType() string { return "handover.refused" }

// FactType implements ledger.Body.
func (HandoverWithdrawn) FactType() string { return "handover.withdrawn" }

// FactType implements ledger.Body.
func (ImpactRecorded) FactType() string { return "impact.recorded" }

// FactType implements ledger.Body.
func (Restored) FactType() string { return "incident.restored" }

// FactType implements ledger.Body.
func (Eradicated) FactType() string { return "incident.eradicated" }

// FactType implements ledger.Body.
func (Cancelled) FactType() string { return "incident.cancelled" }

// FactType implements ledger.Body.
func (Merged) FactType() string { return "incident.merged" }

// FactType implements ledger.Body.
func (Reopened) FactType() string { return "incident.reopened" }

// FactType implements ledger.Body.
func (Closed) FactType() string { return "incident.closed" }

// FactType implements ledger.Body.
func (ReviewCreated) FactType() string { return "review.created" }

// FactType implements ledger.Body.
func (ReviewChanged) FactType() string { return "review.changed" }

// FactType implements ledger.Body.
func (ReviewSubmitted) FactType() string { return "review.submitted" }

// FactType implements ledger.Body.
func (ReviewApproved) FactType() string { return "review.approved" }

// FactType implements ledger.Body.
func (ReviewReopened) FactType() string { return "review.reopened" }

// FactType implements ledger.Body.
func (ActionCreated) FactType() string { return "action.created" }

// FactType implements ledger.Body.
func (ActionChanged) FactType() string { return "action.changed" }

// FactType implements ledger.Body.
func (ActionDone) FactType() string { return "action.done" }

// FactType implements ledger.Body.
func (ActionChecked) FactType() string { return "action.checked" }

// FactType implements ledger.Body.
func (ActionCancelled) FactType() string { return "action.cancelled" }
