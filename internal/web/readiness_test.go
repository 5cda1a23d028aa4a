package web_test

import (
	"net/http"
	"strings"
	"testing"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

func TestReadiness(t *testing.T) {
	h := open(t)
	h.signIn()
	contains(t, h.get("/on-call/readiness"), "Would the right person wake up?", "Ana Lopez", "primary, commander", "now", "E-mail: proven", "SMS: never proven", "Webhook: not tested for long", "Phone call: disabled by the provider", "Paul Durand")
	h.lang = "fr"
	contains(t, h.get("/on-call/readiness"), "La bonne personne serait-elle réveillée", "jamais prouvé")
	h.lang = "en"
	h.ok(h.identity.AddPerson(h.ana(), identity.Person{ID: "vera", Name: "Vera", Email: "vera@example.com", Access: kit.AccessViewer}))
	h.ok(h.identity.SetPassword(h.ana(), "vera", password))
	h.post("/login", "email", "vera@example.com", "password", password)
	if res, _ := h.do("GET", "/on-call/readiness", nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer: %d", res.StatusCode)
	}
	if strings.Contains(h.get("/on-call"), "/on-call/readiness") {
		t.Error("the tab is offered to whom may not open it")
	}
}
