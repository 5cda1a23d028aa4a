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
