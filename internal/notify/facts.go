package notify

// PageOpened says that a person is asked to take an incident.
type PageOpened struct {
	Person  string `json:"person"`
	Ladder  string `json:"ladder"`
	Step    int    `json:"step"`
	Attempt int    `json:"attempt"`
	Bundle  string `json:"bundle"`
	Alerts  int    `json:"alerts"`
}

// FactType implements ledger.Body.
func (PageOpened) FactType() string { return "page.opened" }

// PageEnd is what the four ends of a page have in common.
type PageEnd struct {
	Person string `json:"person"`
	Ladder string `json:"ladder"`
	Step   int    `json:"step"`
	Round  int    `json:"round"`
	// Method is how the person answered; empty when nobody did.
	Method string `json:"method,omitempty"`
	// AfterS is the time since the page was opened, in seconds.
	AfterS int64 `json:"after_s"`
	// Informs is set when the answer says that somebody knows and no more.
	Informs bool `json:"informs,omitempty"`
}

// PageAcknowledged says that the person has it.
type PageAcknowledged struct{ PageEnd }

// FactType implements ledger.Body.
func (PageAcknowledged) FactType() string { return "page.acknowledged" }

// PageRefused says that the person cannot take it.
type PageRefused struct{ PageEnd }

// FactType implements ledger.Body.
func (PageRefused) FactType() string { return "page.refused" }

// PageUnanswered says that the page ended without an answer.
type PageUnanswered struct{ PageEnd }

// FactType implements ledger.Body.
func (PageUnanswered) FactType() string { return "page.unanswered" }

// PageWithdrawn says that the page is no longer needed.
type PageWithdrawn struct {
	PageEnd
	Reason string `json:"reason"`
}

// FactType implements ledger.Body.
func (PageWithdrawn) FactType() string { return "page.withdrawn" }

// PageChecked is the answer of a holder to "Still on it?".
type PageChecked struct {
	Person string `json:"person"`
	// Answer is here or not_here.
	Answer string `json:"answer"`
}

// FactType implements ledger.Body.
func (PageChecked) FactType() string { return "page.checked" }

// Delivered is the body of every change of a delivery.
type Delivered struct {
	// Message is page, notice, update or notification; MessageID is its id.
	Message        string `json:"message"`
	MessageID      string `json:"message_id"`
	Recipient      string `json:"recipient"`
	Method         string `json:"method"`
	Attempt        int    `json:"attempt"`
	ProviderID     string `json:"provider_id,omitempty"`
	Error          string `json:"error,omitempty"`
	IdempotencyKey string `json:"idempotency_key"`
	// AllFailed is set on delivery.failed when no method of the person is left.
	AllFailed bool `json:"all_failed,omitempty"`
	// Ladder, Step and Round are those of the page when AllFailed is set; a message
	// for several pages gives one fact for each.
	Ladder string `json:"ladder,omitempty"`
	Step   int    `json:"step,omitempty"`
	Round  int    `json:"round,omitempty"`
}

// DeliverySent says that the provider took it.
type DeliverySent struct{ Delivered }

// FactType implements ledger.Body.
func (DeliverySent) FactType() string { return "delivery.sent" }

// DeliveryConfirmed says that it arrived, or was answered.
type DeliveryConfirmed struct{ Delivered }

// FactType implements ledger.Body.
func (DeliveryConfirmed) FactType() string { return "delivery.confirmed" }

// DeliveryFailed says that no further try will be made.
type DeliveryFailed struct{ Delivered }

// FactType implements ledger.Body.
func (DeliveryFailed) FactType() string { return "delivery.failed" }

// DeliveryInDoubt says that the lease ended while sending, or that the answer of the
// provider was lost: the message may have arrived, and the next try may repeat it.
type DeliveryInDoubt struct{ Delivered }

// FactType implements ledger.Body.
func (DeliveryInDoubt) FactType() string { return "delivery.in_doubt" }

// MethodFact is the body of what happens to a contact method.
type MethodFact struct {
	Method string `json:"method"`
	Kind   string `json:"kind"`
	To     string `json:"to,omitempty"`
	Result string `json:"result,omitempty"`
}

// MethodAdded says that a person has a new way to be reached.
type MethodAdded struct{ MethodFact }

// FactType implements ledger.Body.
func (MethodAdded) FactType() string { return "method.added" }

// MethodChanged says that a way to reach a person is another, or is disabled.
type MethodChanged struct{ MethodFact }

// FactType implements ledger.Body.
func (MethodChanged) FactType() string { return "method.changed" }

// HabitsChanged says that the personal rule or the quiet hours of a person are others.
type HabitsChanged struct {
	// Path is notify or quiet_hours, From and To their JSON, empty where there are none.
	Path string `json:"path"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// FactType implements ledger.Body.
func (HabitsChanged) FactType() string { return "method.changed" }

// MethodRemoved says that a way to reach a person is gone.
type MethodRemoved struct{ MethodFact }

// FactType implements ledger.Body.
func (MethodRemoved) FactType() string { return "method.removed" }

// MethodTested says that a test was sent, or failed.
type MethodTested struct{ MethodFact }

// FactType implements ledger.Body.
func (MethodTested) FactType() string { return "method.tested" }

// MethodVerified says that a test was answered.
type MethodVerified struct{ MethodFact }

// FactType implements ledger.Body.
func (MethodVerified) FactType() string { return "method.verified" }

// NoticeQueued says that people are told something that needs no answer.
type NoticeQueued struct {
	Template string   `json:"template"`
	People   []string `json:"people"`
}

// FactType implements ledger.Body.
func (NoticeQueued) FactType() string { return "notice.queued" }

// NoticeSeen says that a person pressed Seen.
type NoticeSeen struct {
	Template string `json:"template"`
	Person   string `json:"person"`
}

// FactType implements ledger.Body.
func (NoticeSeen) FactType() string { return "notice.seen" }

// NoticeUnseen says that nobody pressed Seen within the time that a notice gives.
type NoticeUnseen struct {
	Template string   `json:"template"`
	People   []string `json:"people"`
	AfterS   int64    `json:"after_s"`
}

// FactType implements ledger.Body.
func (NoticeUnseen) FactType() string { return "notice.unseen" }
