package browser_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/quiet"
	"tocsin/internal/app"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/internal/report"
	"tocsin/test/fake"
)

const (
	email    = "camille@example.com"
	password = "correct horse battery"
	longName = "Marie-Gwenaëlle de La Rochefoucauld-Montgermont"
)

// company pages camille at once by a webhook that answers; the e-mails of paul have
// no relay, so that each of them is a failed delivery.
const company = `
apiVersion: tocsin/v1
organisation: {name: Compagnie générale de maintenance et d’exploitation, timezone: Europe/Paris, country: FR, languages: [fr, en]}
people:
  - {id: camille, name: Camille Roy, email: camille@example.com, access: admin, contact_methods: [{id: hook, kind: webhook, to: "%[1]s/camille"}]}
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: manager, language: en, contact_methods: [{id: hook, kind: webhook, to: "%[1]s/ana"}]}
  - {id: paul, name: "%[2]s", email: paul@example.com, access: responder, contact_methods: [{id: mail, kind: email, to: paul@example.com}]}
schedules:
  - {id: primary, name: {fr: Astreinte principale, en: Primary on-call}, duty: primary, rotations: [{people: [camille], start: "2026-01-05T09:00", shift: 1w}]}
  - {id: secondary, name: {fr: Astreinte secondaire, en: Secondary on-call}, duty: secondary, rotations: [{people: [paul, ana], start: "2026-01-05T09:00", shift: 1w}]}
roles: {commander: [ana], communications: [camille], management: [camille]}
policies:
  - id: default
    steps:
      - {after: 0s, page: ["schedule:primary", "person:paul"]}
      - {after: 5m, page: ["schedule:secondary"]}
    repeat: 2
services:
  - {id: payments, name: {fr: Paiement par carte et prélèvements automatiques, en: Card payments and direct debits}, owner: ana, tier: critical, policy: default, public: true}
  - {id: database, name: {fr: Base de données, en: Database}, owner: paul, policy: default}
sources:
  - {id: prometheus, kind: alertmanager, service: payments, key: "k-prometheus"}
  - {id: uptime, kind: json, key: "k-uptime", map: {dedup_key: body.check.id, title: body.check.name}}
  - {id: shop-window, kind: probe, every: 1h, probe: {tcp: "192.168.255.1:443", confirm: 20}}
routes:
  - {when: 'true', then: record}
`

// title has 140 characters.
var title = "Les paiements échouent avec l’erreur 500 pour une partie des commerçants de la région parisienne depuis la mise en production de ce matin" + " x"

type house struct {
	*testing.T
	app   *app.App
	pages *fake.Webhook
	stop  func()
	// staged is the id of a file that waits to be imported.
	staged string
	// follow is the word by which the first report is followed.
	follow string
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, pages: fake.NewWebhook(t)}
	a, err := app.New(t.Context(), app.Config{
		Data: t.TempDir(), Listen: "127.0.0.1:0", OutboundAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	h.ok(err)
	h.app = a
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	ended := false
	h.stop = func() {
		if ended {
			return
		}
		ended = true
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(h.stop)
	h.eventually("ready", func() bool {
		res, err := http.Get(a.BaseURL() + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return h
}

// staffed is a company without incidents, whose camille and ana can sign in.
func staffed(t *testing.T) *house {
	t.Helper()
	h := open(t)
	ctx := app.AsSystem(t.Context())
	_, err := h.app.Apply(ctx, fmt.Appendf(nil, company, h.pages.URL, longName), kit.ApplyOptions{})
	h.ok(err)
	h.ok(h.app.Identity.SetPassword(ctx, "camille", password))
	h.ok(h.app.Identity.SetPassword(ctx, "ana", password))
	return h
}

// furnished is a company in a bad week: an open SEV1 with a long title, two further
// open incidents, closed ones with approved reviews, an alert and a failed delivery.
func furnished(t *testing.T) *house {
	t.Helper()
	h := staffed(t)
	ctx := app.AsSystem(t.Context())
	h.closed("Reçus envoyés avec deux heures de retard")
	h.closed("Merchant API answers 503")
	_, err := h.app.Incident.Declare(h.as("camille", kit.AccessAdmin), incident.Declaration{Title: "Base de données lente", Impact: incident.ImpactDegraded, Services: []string{"database"}})
	h.ok(err)
	_, err = h.app.Incident.Declare(h.as("ana", kit.AccessManager), incident.Declaration{Title: "Login page slow", Impact: incident.ImpactDegraded, Severity: incident.Sev3})
	h.ok(err)
	_, err = h.app.Incident.Declare(h.as("ana", kit.AccessManager), incident.Declaration{Title: title, Impact: incident.ImpactOutage, DataOrSecurity: true, Severity: incident.Sev1, Services: []string{"payments"}})
	h.ok(err)
	h.alert()
	_, err = h.app.History.Run(ctx, "old.csv", []byte("id,title,date,severity,action,asset,cause\n7,Mail to the wrong customer,14/03/2021,sev3,error: Misdelivery,M - Documents,Two customers of one name\n8,Phishing of the accountant,2022-11,sev2,social: Phishing,P - Finance,\n"), history.Options{Source: "old-tracker"})
	h.ok(err)
	i, err := h.app.History.Stage(ctx, "register.csv", []byte("N°;Objet;Date;Gravité;Équipe\n1;Panne du paiement;04/05/2021;critique;Bleue\n2;Serveur saturé;06/07/2021;faible;Rouge\n"), "register")
	h.ok(err)
	h.staged = i.ID
	_, err = h.app.Finding.Receive(ctx, finding.Source{ID: "scans", Service: "payments"}, finding.Report{
		Format: "sarif", Tool: finding.Tool{Name: "scanner"}, Verdict: finding.Findings, Target: "github.com/example/shop", Scopes: []finding.Scope{{Target: "github.com/example/shop"}},
		StartedAt: time.Now(), FinishedAt: time.Now(),
		Findings: []finding.Result{{
			Key: "1", Tool: "scanner", Target: "github.com/example/shop", Rule: "go/sql-injection", Title: "A query is built from what a customer typed", Severity: finding.High,
			Location: "internal/checkout/basket/persistence/repository_implementation.go", Line: 1204, CWE: []string{"CWE-89"}, Description: "The text reaches the database as it is.",
		}},
	}, "00")
	h.ok(err)
	for _, in := range []report.Incoming{
		{Text: "Je ne peux plus payer : la page tourne sans fin, puis « erreur 502 ». J’ai essayé avec deux cartes.\nMerci.", Service: "payments", Contact: "cliente.au.nom.tres.long@boutique-de-la-cliente.example", Language: "fr", Sender: "a"},
		{Text: "The password reset link can be used twice.", Kind: report.Vulnerability, Contact: "finder@example.com", Sender: "b"},
		{Text: "Cheap pills", Held: report.HeldHidden, Sender: "c"},
	} {
		in.Channel = report.ByForm
		_, word, err := h.app.Report.Receive(kit.WithActor(h.Context(), report.Reporter(kit.ViaWeb)), in)
		h.ok(err)
		if h.follow == "" {
			h.follow = word
		}
	}
	_, err = h.app.Alert.Silence(ctx, alert.Silence{
		Silence: quiet.Silence{Matchers: []quiet.Matcher{{Name: "alertname", Value: "CertificateExpiresSoonOnTheOldLoadBalancer", IsEqual: true}}, Until: time.Now().Add(time.Hour)}, Reason: "Remplacé demain",
	})
	h.ok(err)
	_, err = h.app.Alert.PlanMaintenance(ctx, alert.Maintenance{Window: quiet.Window{Services: []string{"database"}, From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour)}, Reason: "Mise à jour"})
	h.ok(err)
	h.eventually("an open page to camille", func() bool { return h.token() != "" })
	h.eventually("a failed delivery", func() bool {
		all, err := h.app.Notify.Failed(ctx)
		h.ok(err)
		return len(all) > 0
	})
	return h
}

// closed leads an incident through the five phases.
func (h *house) closed(name string) {
	h.Helper()
	ctx, other := h.as("camille", kit.AccessAdmin), h.as("ana", kit.AccessManager)
	i, err := h.app.Incident.Declare(ctx, incident.Declaration{Title: name, Impact: incident.ImpactDegraded, Services: []string{"payments"}, Severity: incident.Sev3})
	h.ok(err)
	_, err = h.app.Incident.Acknowledge(ctx, i.ID)
	h.ok(err)
	_, err = h.app.Incident.Note(ctx, i.ID, "Trois boutiques demandent où sont leurs reçus.", time.Time{}, "")
	h.ok(err)
	_, err = h.app.Incident.Assess(ctx, i.ID, incident.Answers{Who: "some", What: "slower", Data: "no", Trend: "stable", Change: "none"}, []string{"payments"}, incident.Unassessed, "")
	h.ok(err)
	now := time.Now().UTC().Format("2006-01-02T15:04")
	for _, s := range []struct {
		to incident.Phase
		a  map[string]any
	}{
		{incident.Containment, map[string]any{"who": "some", "what": "slower", "data": "no", "trend": "stable", "change": "none"}},
		{incident.Recovery, map[string]any{"stopped": "yes", "checked_by": "camille", "checked_at": now, "actions": "Relevés suspendus."}},
	} {
		_, err = h.app.Incident.Phase(ctx, i.ID, s.to, s.a, "")
		h.ok(err)
	}
	at := time.Now()
	_, err = h.app.Incident.Change(ctx, i.ID, incident.Edit{RestoredAt: &at}, 0)
	h.ok(err)
	_, err = h.app.Incident.RecordImpact(ctx, i.ID, incident.RecordedImpact{Services: []string{"payments"}, From: &i.DeclaredAt, To: &at, Text: "Reçus en retard, aucun perdu."})
	h.ok(err)
	_, err = h.app.Incident.Phase(ctx, i.ID, incident.InReview, map[string]any{"normal": "yes", "checked_by": "ana", "checked_at": now, "eradicated": "no", "criteria": "Reçus en moins d’une minute."}, "")
	h.ok(err)
	_, err = h.app.Incident.AddAction(ctx, i.ID, incident.ActionInput{Type: "corrective", Text: "Envoyer les relevés depuis leur propre adresse", Owner: "paul", Due: time.Now().AddDate(0, 0, 20).Format(time.DateOnly), Method: "Reçus sous une minute."})
	h.ok(err)
	_, err = h.app.Incident.SaveReview(ctx, i.ID, incident.ReviewContent{
		Summary:  kit.Text{EN: "One address for both.", FR: "Une seule adresse pour les deux."},
		Factors:  []incident.Factor{{Text: "Une seule adresse d’envoi.", Kind: "root", Category: "technology"}},
		WentWell: "Le support a prévenu en quelques minutes.", Surprised: "Personne ne lit les réponses du relais.", Impact: "900 reçus en retard.",
	})
	h.ok(err)
	_, err = h.app.Incident.SubmitReview(ctx, i.ID)
	h.ok(err)
	_, err = h.app.Incident.ApproveReview(other, i.ID)
	h.ok(err)
	_, err = h.app.Incident.Phase(other, i.ID, incident.PhaseClosed, nil, "")
	h.ok(err)
}

func (h *house) alert() {
	h.Helper()
	now := time.Now().UTC()
	body := fmt.Sprintf(`[{"labels":{"alertname":"DiskAlmostFull","instance":"db-primary-0.internal.example:9100","severity":"critical"},"annotations":{"summary":"Disk of the database 92 %% full"},"startsAt":%q,"endsAt":%q}]`,
		now.Add(-time.Minute).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
	res, err := http.Post(h.app.BaseURL()+"/in/k-prometheus/alertmanager/api/v2/alerts", "application/json", strings.NewReader(body))
	h.ok(err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		h.Fatalf("alert: %d", res.StatusCode)
	}
}

var ackLink = regexp.MustCompile(`/a/([A-Za-z0-9_.~-]+)`)

// token is that of the newest page to camille that is open; empty when there is none.
func (h *house) token() string {
	h.Helper()
	ctx := app.AsSystem(h.Context())
	for _, r := range h.pages.Requests() {
		m := ackLink.FindSubmatch(r.Body)
		if m == nil || !strings.HasSuffix(r.Path, "/camille") {
			continue
		}
		v, err := h.app.Notify.PageByToken(ctx, string(m[1]))
		if err == nil && v.Page.State == notify.PageIsOpen {
			return string(m[1])
		}
	}
	return ""
}

func (h *house) as(id string, access kit.Access) context.Context {
	return kit.WithActor(h.Context(), kit.Actor{Kind: kit.ActorPerson, ID: id, Name: id, Via: kit.ViaWeb, Access: access, Appointments: []kit.Role{kit.RoleCommander}})
}

func (h *house) loginLink() string {
	h.Helper()
	token, err := h.app.Identity.LoginLink(app.AsSystem(h.Context()), "camille")
	h.ok(err)
	return token
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) eventually(what string, ok func() bool) {
	h.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	h.Fatalf("never came: %s", what)
}
