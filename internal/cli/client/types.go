package client

import "time"

// Incident is what the command line reads of an incident.
type Incident struct {
	Ref            string     `json:"ref"`
	Title          string     `json:"title"`
	Status         string     `json:"status"`
	Phase          string     `json:"phase"`
	Severity       *string    `json:"severity"`
	Services       []string   `json:"services"`
	Exercise       bool       `json:"exercise"`
	AcknowledgedBy *string    `json:"acknowledged_by"`
	DeclaredAt     *time.Time `json:"declared_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	ExitQuestions  []string   `json:"exit_questions"`
	Roles          struct {
		Commander *string `json:"commander"`
		Primary   *string `json:"primary"`
	} `json:"roles"`
	Links struct {
		Web string `json:"web"`
	} `json:"links"`
	Preview *Preview `json:"preview"`
}

// Preview is what an assessment would come to.
type Preview struct {
	Severity  *string `json:"severity"`
	DecidedBy *string `json:"decided_by_line"`
	Added     []Act   `json:"added"`
	Withdrawn []Act   `json:"withdrawn"`
}

// Act is something that a level asks for.
type Act struct {
	Key    string `json:"key"`
	Act    string `json:"act"`
	AfterS int64  `json:"after_s"`
}

// Person is somebody by id and name.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Page is a call to somebody.
type Page struct {
	ID         string     `json:"id"`
	Incident   *string    `json:"incident"`
	Person     Person     `json:"person"`
	State      string     `json:"state"`
	Title      string     `json:"title"`
	Text       string     `json:"text"`
	AnsweredAt *time.Time `json:"answered_at"`
	Next       *struct {
		Person Person `json:"person"`
	} `json:"next"`
}

// Duty is who is on duty by one schedule.
type Duty struct {
	Role     string     `json:"role"`
	Schedule string     `json:"schedule"`
	Person   *Person    `json:"person"`
	To       *time.Time `json:"to"`
	Next     *struct {
		Person Person     `json:"person"`
		From   *time.Time `json:"from"`
	} `json:"next"`
	Reachable bool `json:"reachable"`
}

// Me is who calls.
type Me struct {
	Kind   string   `json:"kind"`
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Access string   `json:"access"`
	Scopes []string `json:"scopes"`
	Owner  *string  `json:"owner"`
}

// Person is the person who is meant by me; empty for a token of nobody.
func (m Me) Person() string {
	if m.Kind == "person" {
		return m.ID
	}
	if m.Owner != nil {
		return *m.Owner
	}
	return ""
}

// Finding is what one check of the doctor came to.
type Finding struct {
	Check string            `json:"check"`
	State string            `json:"state"`
	Text  map[string]string `json:"text"`
	Fix   map[string]string `json:"fix"`
}

// Change is one line of what an organisation file does.
type Change struct {
	Section string `json:"section"`
	ID      string `json:"id"`
	Op      string `json:"op"`
	Detail  string `json:"detail"`
}

// Items is an answer that lists things.
type Items[T any] struct {
	Items []T `json:"items"`
	Total int `json:"total"`
}
