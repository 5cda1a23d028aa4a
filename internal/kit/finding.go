package kit

import "time"

// The states of a finding.
const (
	FindingOK   = "ok"
	FindingWarn = "warn"
	FindingFail = "fail"
)

// Finding is what one check of the installation came to. Key names its text in the
// catalogues, Key + ".fix" what mends it; Args fill both.
type Finding struct {
	Check string
	State string
	Key   string
	Args  map[string]any
}

// Readiness is whether the right people would be woken: what is in the way, and who is
// reached how.
type Readiness struct {
	Findings []Finding
	People   []ReadyPerson
}

// ReadyPerson is somebody who may be woken in the coming 30 days, or stands in a role.
type ReadyPerson struct {
	ID, Name string
	// Next is when their next duty begins; zero for a role alone. Duties are the
	// schedules and roles that name them.
	Next   time.Time
	Duties []string
	Roles  []string
	Ways   []ReadyWay
}

// ReadyWay is a contact method without its address.
type ReadyWay struct {
	Kind string
	// VerifiedAt is when a test was answered last, TestedAt when one was sent.
	VerifiedAt, TestedAt time.Time
	Stale, Disabled      bool
}

// Works tells whether a way was proven and is in use.
func (w ReadyWay) Works() bool { return !w.Disabled && !w.VerifiedAt.IsZero() && !w.Stale }

// Sheet is who is on duty and how they are reached, for the day on which the
// product itself cannot be.
type Sheet struct {
	MadeAt time.Time     `json:"made_at"`
	Duty   []SheetDuty   `json:"duty"`
	Roles  []SheetRole   `json:"roles"`
	People []SheetPerson `json:"people"`
}

// SheetDuty is one turn of a schedule.
type SheetDuty struct {
	Schedule string    `json:"schedule"`
	Person   string    `json:"person"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
}

// SheetRole is a standing role with its people in order of succession.
type SheetRole struct {
	Role   string   `json:"role"`
	People []string `json:"people"`
}

// SheetPerson is somebody and how they are reached.
type SheetPerson struct {
	ID    string       `json:"id"`
	Name  string       `json:"name"`
	Reach []SheetReach `json:"reach"`
}

// SheetReach is a way to somebody: voice, sms or email.
type SheetReach struct {
	Kind string `json:"kind"`
	To   string `json:"to"`
}
