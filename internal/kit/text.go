package kit

// Text is a text in both languages; one may be missing.
type Text struct {
	FR string `json:"fr,omitempty" yaml:"fr,omitempty"`
	EN string `json:"en,omitempty" yaml:"en,omitempty"`
}

// In gives the text in a language, else in the other one.
func (t Text) In(lang string) string {
	if lang == "fr" && t.FR != "" || t.EN == "" {
		return t.FR
	}
	return t.EN
}

// Both is a text that is the same in both languages.
func Both(s string) Text { return Text{FR: s, EN: s} }

// IsZero tells whether there is no text.
func (t Text) IsZero() bool { return t.FR == "" && t.EN == "" }
