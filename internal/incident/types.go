// Package incident runs the five phases: what an incident is, how bad, who holds
// it, what was done, and what was learned.
package incident

import (
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/kit"
)

// Status of an incident.
type Status string

// The statuses. Open includes the review.
const (
	StatusOpen      Status = "open"
	StatusClosed    Status = "closed"
	StatusCancelled Status = "cancelled"
	StatusMerged    Status = "merged"
)

// Phase of an incident.
type Phase string

// The phases, in order; closed stands behind the last.
const (
	Detection   Phase = "detection"
	Assessment  Phase = "assessment"
	Containment Phase = "containment"
	Recovery    Phase = "recovery"
	InReview    Phase = "review"
	PhaseClosed Phase = "closed"
)

// Phases lists the five phases in order.
var Phases = []Phase{Detection, Assessment, Containment, Recovery, InReview}

// Number is 1 to 5, 6 for closed, 0 for a word that is no phase.
func (p Phase) Number() int {
	for n, q := range Phases {
		if p == q {
			return n + 1
		}
	}
	if p == PhaseClosed {
		return 6
	}
	return 0
}

// Incident is an incident as it stands. Instants are UTC, zero when not reached.
type Incident struct {
	ID             string
	Number         int64
	Version        int64
	Title          string
	Summary        string
	Status         Status
	Phase          Phase
	Severity       Severity
	SeveritySource SeveritySource
	// Computed is what the last assessment came to, shown beside an override.
	Computed     Severity
	DecidedBy    Line
	Kind         Kind
	PersonalData PersonalData
	Impact       Impact
	Services     []string
	Exercise     bool
	Confidential bool
	// How it was declared: person, route, report, vendor, plan, finding.
	How        string
	DeclaredBy string
	// OnlyPerson is set on a practice that pages one person alone.
	OnlyPerson  string
	Policy      string
	Route       string
	GroupKey    string
	Window      time.Duration
	OpenAlerts  int64
	LastAlertAt time.Time
	MergedInto  string
	// Previous is the incident whose alert fired again after its window.
	Previous string
	// RefiredAt is set while an alert that came back proposes reopening.
	RefiredAt time.Time
	// Answers of the last assessment; nil before it.
	Answers *Answers
	// Exits are the answers to the exit questions, by the phase that was left.
	Exits map[Phase]map[string]any
	Roles map[kit.Role]string

	OccurredAt     time.Time
	DetectedAt     time.Time
	DeclaredAt     time.Time
	AcknowledgedAt time.Time
	AcknowledgedBy string
	AssessedAt     time.Time
	ContainedAt    time.Time
	EradicatedAt   time.Time
	RestoredAt     time.Time
	RecoveredAt    time.Time
	ReviewedAt     time.Time
	ClosedAt       time.Time
}

// Ref is the reference shown to people.
func (i *Incident) Ref() string { return "INC-" + strconv.FormatInt(i.Number, 10) }

// Open tells whether the incident runs, the review included.
func (i *Incident) Open() bool { return i.Status == StatusOpen }

// Active tells whether the incident is open and not yet in review.
func (i *Incident) Active() bool { return i.Open() && i.Phase != InReview }

// ProposesRestored tells whether all alerts are resolved and nobody said yet that
// service is back.
func (i *Incident) ProposesRestored() bool {
	return i.Active() && i.OpenAlerts == 0 && !i.LastAlertAt.IsZero() && i.RestoredAt.IsZero()
}

// ProposesReopening tells whether an alert came back soon after recovery.
func (i *Incident) ProposesReopening() bool { return !i.RefiredAt.IsZero() }

// LevelFacts is what the response level depends on.
func (i *Incident) LevelFacts() Facts {
	f := Facts{Severity: i.Severity, Kind: i.Kind, PersonalData: i.PersonalData, Exercise: i.Exercise}
	if i.Answers != nil {
		f.Assessed, f.DataAnswer = true, i.Answers.Data
		f.CustomersAffected = i.Answers.Who == "some" || i.Answers.Who == "most"
	} else {
		f.CustomersAffected = i.Impact == ImpactOutage || i.Impact == ImpactDegraded
	}
	return f
}

// ParseRef reads INC-42, inc-42 or 42; ok is false for anything else, such as an
// internal id.
func ParseRef(prefix, s string) (n int64, ok bool) {
	s = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), prefix+"-")
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0
}

// row is the stored form of an incident.
type row struct {
	bun.BaseModel `bun:"table:incident,alias:i"`

	ID             string         `bun:"id,pk"`
	Number         int64          `bun:"number"`
	Version        int64          `bun:"version"`
	Title          string         `bun:"title"`
	Summary        string         `bun:"summary"`
	Status         Status         `bun:"status"`
	Phase          Phase          `bun:"phase"`
	Severity       Severity       `bun:"severity"`
	SeveritySource SeveritySource `bun:"severity_source"`
	Computed       Severity       `bun:"computed"`
	DecidedBy      Line           `bun:"decided_by"`
	Kind           Kind           `bun:"kind"`
	PersonalData   PersonalData   `bun:"personal_data"`
	Impact         Impact         `bun:"impact"`
	Services       string         `bun:"services"`
	Exercise       bool           `bun:"exercise"`
	Confidential   bool           `bun:"confidential"`
	How            string         `bun:"how"`
	DeclaredBy     string         `bun:"declared_by"`
	OnlyPerson     string         `bun:"only_person"`
	Policy         string         `bun:"policy"`
	Route          string         `bun:"route"`
	GroupKey       string         `bun:"group_key"`
	WindowUS       int64          `bun:"window_us"`
	OpenAlerts     int64          `bun:"open_alerts"`
	LastAlertAt    int64          `bun:"last_alert_at"`
	MergedInto     string         `bun:"merged_into"`
	Previous       string         `bun:"previous"`
	RefiredAt      int64          `bun:"refired_at"`
	Answers        string         `bun:"answers"`
	Exits          string         `bun:"exits"`
	OccurredAt     int64          `bun:"occurred_at"`
	DetectedAt     int64          `bun:"detected_at"`
	DeclaredAt     int64          `bun:"declared_at"`
	AcknowledgedAt int64          `bun:"acknowledged_at"`
	AcknowledgedBy string         `bun:"acknowledged_by"`
	AssessedAt     int64          `bun:"assessed_at"`
	ContainedAt    int64          `bun:"contained_at"`
	EradicatedAt   int64          `bun:"eradicated_at"`
	RestoredAt     int64          `bun:"restored_at"`
	RecoveredAt    int64          `bun:"recovered_at"`
	ReviewedAt     int64          `bun:"reviewed_at"`
	ClosedAt       int64          `bun:"closed_at"`
	Search         string         `bun:"search"`
}
