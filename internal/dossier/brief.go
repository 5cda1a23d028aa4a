package dossier

import (
	"tocsin/internal/i18n"
	"tocsin/internal/incident"
)

// Decision says what an incident asks of its reader.
func Decision(lang string, d incident.Decision) string {
	args := map[string]any{"duration": d.Since}
	if d.Role != "" {
		args["role"] = i18n.T(lang, "web.role."+string(d.Role), nil)
	}
	return i18n.T(lang, "web.brief.decide."+d.Key, args)
}
