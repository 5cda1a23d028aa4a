package alert

import (
	"fmt"
	"time"

	"tocsin/internal/alert/quiet"
)

// Opened is the body of alert.opened. It carries what the route decided, so that
// whoever reacts needs no look-up.
type Opened struct {
	Source   string            `json:"source"`
	Service  string            `json:"service,omitempty"`
	DedupKey string            `json:"dedup_key"`
	Title    string            `json:"title"`
	Severity Severity          `json:"severity"`
	Labels   map[string]string `json:"labels,omitempty"`
	Link     string            `json:"link,omitempty"`
	// Route is the id of the rule that matched.
	Route string `json:"route"`
	Then  Then   `json:"then"`
	// IncidentSeverity is sev1 to sev4, or empty for not assessed.
	IncidentSeverity string `json:"incident_severity,omitempty"`
	Kind             string `json:"kind,omitempty"`
	Policy           string `json:"policy,omitempty"`
	GroupKey         string `json:"group_key"`
	// WindowS is the grouping window in seconds.
	WindowS int64 `json:"window_s"`
}

// FactType implements ledger.Body.
func (Opened) FactType() string { return "alert.opened" }

// SeverityChanged is the body of alert.severity_changed.
type SeverityChanged struct {
	From Severity `json:"from"`
	To   Severity `json:"to"`
}

// FactType implements ledger.Body.
func (SeverityChanged) FactType() string { return "alert.severity_changed" }

// Acknowledged is the body of alert.acknowledged. By is person or sender.
type Acknowledged struct {
	By string `json:"by"`
}

// FactType implements ledger.Body.
func (Acknowledged) FactType() string { return "alert.acknowledged" }

// Resolved is the body of alert.resolved.
type Resolved struct {
	// How is sent, timeout or by_hand.
	How       string `json:"how"`
	Count     int64  `json:"count"`
	DurationS int64  `json:"duration_s"`
}

// FactType implements ledger.Body.
func (Resolved) FactType() string { return "alert.resolved" }

// Suppressed is the body of alert.suppressed.
type Suppressed struct {
	// Reason is route, silence, maintenance, dependency or flapping; Rule names which.
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
	// Text is what the route says about it.
	Text string `json:"text,omitempty"`
}

// FactType implements ledger.Body.
func (Suppressed) FactType() string { return "alert.suppressed" }

// Unsuppressed is the body of alert.unsuppressed.
type Unsuppressed struct {
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
}

// FactType implements ledger.Body.
func (Unsuppressed) FactType() string { return "alert.unsuppressed" }

// Attached is the body of alert.attached.
type Attached struct {
	Incident string `json:"incident"`
	ByRule   bool   `json:"by_rule"`
}

// FactType implements ledger.Body.
func (Attached) FactType() string { return "alert.attached" }

// Detached is the body of alert.detached.
type Detached struct {
	Incident string `json:"incident"`
}

// FactType implements ledger.Body.
func (Detached) FactType() string { return "alert.detached" }

// FieldChange is one changed field of a definition.
type FieldChange struct {
	Path string `json:"path"`
	From string `json:"from"`
	To   string `json:"to"`
}

// SourceFact is the body of source.created, .changed, .key_rotated and .removed.
// It never carries a key.
type SourceFact struct {
	Op      string        `json:"-"`
	Kind    string        `json:"kind"`
	Service string        `json:"service,omitempty"`
	Changes []FieldChange `json:"changes,omitempty"`
}

// FactType implements ledger.Body.
func (f SourceFact) FactType() string { return fmt.Sprintf("source.%s", f.Op) }

// SourceSilent is the body of source.silent. Unfinished is set where a run began and
// did not end in time.
type SourceSilent struct {
	Service     string    `json:"service,omitempty"`
	Unfinished  bool      `json:"unfinished,omitempty"`
	LastHeardAt time.Time `json:"last_heard_at,omitzero"`
	GapS        int64     `json:"gap_s"`
}

// FactType implements ledger.Body.
func (SourceSilent) FactType() string { return "source.silent" }

// SourceHeard is the body of source.heard: the first sign after a silence.
type SourceHeard struct {
	Service string `json:"service,omitempty"`
	SilentS int64  `json:"silent_s"`
}

// FactType implements ledger.Body.
func (SourceHeard) FactType() string { return "source.heard" }

// RoutesChanged is the body of route.changed.
type RoutesChanged struct {
	Version int64         `json:"version"`
	Changes []FieldChange `json:"changes"`
}

// FactType implements ledger.Body.
func (RoutesChanged) FactType() string { return "route.changed" }

// SilenceCreated is the body of silence.created.
type SilenceCreated struct {
	Matchers []quiet.Matcher `json:"matchers"`
	From     time.Time       `json:"from"`
	Until    time.Time       `json:"until"`
	Reason   string          `json:"reason"`
	// Source is the source that made it, whose alerts alone it touches.
	Source string `json:"source,omitempty"`
}

// FactType implements ledger.Body.
func (SilenceCreated) FactType() string { return "silence.created" }

// SilenceEnded is the body of silence.ended. How is due or by_hand.
type SilenceEnded struct {
	How string `json:"how"`
}

// FactType implements ledger.Body.
func (SilenceEnded) FactType() string { return "silence.ended" }

// MaintenanceFact is the body of maintenance.planned, .started and .ended.
type MaintenanceFact struct {
	Op       string    `json:"-"`
	Services []string  `json:"services"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Reason   string    `json:"reason"`
	Public   bool      `json:"public"`
}

// FactType implements ledger.Body.
func (f MaintenanceFact) FactType() string { return fmt.Sprintf("maintenance.%s", f.Op) }
