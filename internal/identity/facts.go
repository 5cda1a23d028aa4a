package identity

// PersonFact is the body of person.added, .changed, .suspended and .removed.
type PersonFact struct {
	Op      string   `json:"-"`
	Access  string   `json:"access"`
	Changes []string `json:"changes,omitempty"`
}

// FactType implements ledger.Body.
func (f PersonFact) FactType() string { return "person." + f.Op }

// SessionFact is the body of session.opened, .refused and .ended.
type SessionFact struct {
	Op     string `json:"-"`
	Method string `json:"method"`
	Reason string `json:"reason,omitempty"`
}

// FactType implements ledger.Body.
func (f SessionFact) FactType() string { return "session." + f.Op }

// TokenFact is the body of token.created, .revoked and .expired.
type TokenFact struct {
	Op      string   `json:"-"`
	Name    string   `json:"name"`
	Access  string   `json:"access"`
	Scopes  []string `json:"scopes,omitempty"`
	Expires string   `json:"expires"`
}

// FactType implements ledger.Body.
func (f TokenFact) FactType() string { return "token." + f.Op }

// SettingsApplied is the body of settings.applied.
type SettingsApplied struct {
	Digest  string   `json:"digest"`
	Created []string `json:"created,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// FactType implements ledger.Body.
func (SettingsApplied) FactType() string { return "settings.applied" }

// ParameterChanged is the body of parameter.changed.
type ParameterChanged struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Loosened bool   `json:"loosened"`
	Reason   string `json:"reason,omitempty"`
}

// FactType implements ledger.Body.
func (ParameterChanged) FactType() string { return "parameter.changed" }
