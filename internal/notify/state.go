// Package notify brings pages and notices to people by their contact methods
// and takes their answers.
package notify

import "time"

// State is where a delivery stands (model.md 5.2).
type State string

// The states of a delivery.
const (
	Pending   State = "pending"
	Sending   State = "sending"
	Sent      State = "sent"
	Confirmed State = "confirmed"
	Failed    State = "failed"
	InDoubt   State = "in_doubt"
)

// retries are the instants of the attempts since the first one.
var retries = []time.Duration{0, 5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute, 5 * time.Minute}

// RetryAt gives the instant of the next attempt after `made` attempts, the first
// of which was at `first`; false when no further try is due.
func RetryAt(first time.Time, made int) (time.Time, bool) {
	if made < 0 || made >= len(retries) {
		return time.Time{}, false
	}
	return first.Add(retries[made]), true
}

// Urgent tells whether doubt is resolved by another method at once: sev1, sev2
// and not assessed (empty).
func Urgent(severity string) bool { return severity != "sev3" && severity != "sev4" }
