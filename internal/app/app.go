package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"

	"tocsin/internal/alert"
	"tocsin/internal/api"
	"tocsin/internal/change"
	"tocsin/internal/channel"
	"tocsin/internal/cli"
	"tocsin/internal/continuity"
	"tocsin/internal/db"
	"tocsin/internal/dossier"
	"tocsin/internal/due"
	"tocsin/internal/finding"
	"tocsin/internal/history"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/ingest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
	"tocsin/internal/oncall"
	"tocsin/internal/report"
	"tocsin/internal/web"
)

// App is the whole server as a value.
type App struct {
	cfg      Config
	db       *db.DB
	ledger   *ledger.Ledger
	worker   *due.Worker
	listener net.Listener
	mail     net.Listener
	release  func()
	// client is the one way out for requests, out are the senders by kind of method.
	client *http.Client
	out    map[string]notify.Sender
	push   *pushKeys

	Identity   *identity.Service
	Continuity *continuity.Service
	Change     *change.Service
	Alert      *alert.Service
	Finding    *finding.Service
	Report     *report.Service
	History    *history.Service
	Incident   *incident.Service
	Oncall     *oncall.Service
	Notify     *notify.Service
	// Mailbox holds the messages of a demo; nil otherwise.
	Mailbox *channel.Mailbox

	dossiers *dossier.Builder
}

// Open opens the database and joins the modules, without serving: the command
// line uses it for what needs a moment only, beside a running server.
func Open(ctx context.Context, cfg Config) (*App, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	key, err := cfg.secretKey()
	if err != nil {
		return nil, err
	}
	d, err := db.Open(ctx, db.Options{URL: cfg.Database, Dir: cfg.Data, NoMigrate: cfg.NoMigrate, Clock: cfg.Clock, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, db: d, push: &pushKeys{db: d, secret: key}}
	var opts []ledger.Option
	if key != nil {
		opts = append(opts, ledger.WithSecretKey(key))
	}
	a.ledger = ledger.New(d, opts...)
	if cfg.Node == "" {
		b := make([]byte, 4)
		_, _ = rand.Read(b)
		cfg.Node = hex.EncodeToString(b)
	}
	a.worker = due.NewWorker(d, due.WithOwner(cfg.Node), due.WithClockBack(clockBack))
	tokens, err := a.tokenKey(ctx, key)
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	a.wire(tokens)
	return a, nil
}

// New opens the installation for serving: it takes the folder of a SQLite
// installation for itself and listens.
func New(ctx context.Context, cfg Config) (*App, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	release := func() {}
	if !db.IsPostgres(cfg.Database) {
		var err error
		if release, err = lockFolder(cfg.Data); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		release()
		return nil, err
	}
	var mail net.Listener
	if cfg.SMTPListen != "" {
		if mail, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.SMTPListen); err != nil {
			_ = l.Close()
			release()
			return nil, fmt.Errorf("mail: %w", err)
		}
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = "http://" + l.Addr().String()
	}
	a, err := Open(ctx, cfg)
	if err != nil {
		_ = l.Close()
		if mail != nil {
			_ = mail.Close()
		}
		release()
		return nil, err
	}
	a.listener, a.mail, a.release = l, mail, release
	return a, nil
}

// wire makes the modules and gives each what it asks of the others.
func (a *App) wire(tokens []byte) {
	a.client = channel.NewClient(a.cfg.OutboundAllow)
	a.out = a.senders()
	a.Identity = identity.New(a.db, identity.Options{InUse: func(ctx context.Context, person string) (string, error) {
		if duty, err := a.Oncall.InDuty(ctx, person); err != nil || duty != "" {
			return duty, err
		}
		return "", nil
	}, Loosens: loosensLevels})
	a.Continuity = continuity.New(a.db, a.Identity)
	a.Change = change.New(a.db, a.Identity)
	a.Alert = alert.New(a.db, a.Identity, alert.WithNeeds(a.Continuity.HardNeeds), alert.WithProbes(channel.NewProber(a.cfg.OutboundAllow), a.probeTitle))
	p := ports{a}
	a.Finding = finding.New(a.db, a.Identity, p)
	a.Report = report.New(a.db, a.Identity, p, tokens)
	a.History = history.New(a.db, a.Identity)
	a.Notify = notify.New(a.db, notify.Ports{
		Rights: a.Identity, People: recipients{p}, Words: words{}, Parameters: p, Incidents: recipients{p}, Senders: a.out, MailReplies: a.mailReplies,
		BaseURL: func() string { return a.cfg.BaseURL }, Key: tokens,
	})
	a.Oncall = oncall.New(a.ledger, oncall.Ports{Rights: a.Identity, People: dutyPeople{p}, Reach: reach{a}, Appointments: appointed{a}, Services: p, Parameters: p, Asker: asker{a}})
	a.Incident = incident.New(a.ledger, a.Identity, a.Oncall, p, p, p)
	a.dossiers = dossier.New(a.Incident, a.ledger, a.names)
	a.worker.Register(a.Alert.Tasks()...)
	a.worker.Register(a.Finding.Tasks()...)
	a.worker.Register(a.History.Tasks()...)
	a.worker.Register(a.Oncall.Tasks()...)
	a.worker.Register(a.Notify.Tasks()...)
	a.worker.Register(a.Identity.Tasks()...)
	a.worker.Register(a.keeping()...)
	a.worker.Register(a.auditTask())
	a.worker.Register(a.testAlarm()...)
	a.worker.Register(incident.Tasks(func(ctx context.Context, id string) error {
		_, _, err := a.bringToLevel(ctx, id)
		return err
	})...)
}

// Addr is the address that is listened on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// MailAddr is the address on which mail is taken; empty when none is.
func (a *App) MailAddr() string {
	if a.mail == nil {
		return ""
	}
	return a.mail.Addr().String()
}

// BaseURL is how people reach the product.
func (a *App) BaseURL() string { return a.cfg.BaseURL }

// Ledger is the ledger of the installation.
func (a *App) Ledger() *ledger.Ledger { return a.ledger }

// DB is the database of the installation.
func (a *App) DB() *db.DB { return a.db }

// Idle waits until nothing is due that has not been done: for tests that move time.
func (a *App) Idle(ctx context.Context) error { return a.worker.Idle(ctx) }

// Close closes the database and lets go of the folder.
func (a *App) Close() error {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	if a.mail != nil {
		_ = a.mail.Close()
	}
	err := a.db.Close()
	if a.release != nil {
		a.release()
	}
	return err
}

// Handler is everything that is served.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", a.metrics())
	in := ingest.Handler(a.Alert, a.Change, a.Finding, ingest.Options{Words: a.words, Clock: a.cfg.Clock, Log: a.cfg.Log, Version: cli.Version})
	mux.Handle("/in/", in)
	mux.Handle("/v2/", in)
	mux.Handle("/api/", api.New(api.Deps{
		Ledger: a.ledger, Identity: a.Identity, Incident: a.Incident, Alert: a.Alert, Change: a.Change, Finding: a.Finding, Reports: a.Report, History: a.History, ExportIncidents: a.ExportIncidents, Triage: a.TriageReport, Replay: a.replay, Oncall: a.Oncall, Notify: a.Notify, Services: a.Continuity,
		Session: a.session, Apply: a.Apply, Export: a.Export, Report: a.dossiers.Report, Sheet: a.Sheet, Doctor: a.Doctor, Readiness: a.Readiness, Load: a.Load, SelfTested: a.SelfTested, Log: a.cfg.Log, BaseURL: a.cfg.BaseURL, Version: cli.Version,
	}))
	mux.Handle("/channel/twilio/", channel.NewTwilio(a.Notify, a.smsGateway, a.voiceGateway, a.BaseURL, a.cfg.Log))
	mux.Handle(channel.SlackInteractions, channel.NewSlackButtons(a.Notify, a.slackApp, a.client, a.cfg.Log))
	a.mountPractice(mux)
	mux.Handle("/", web.New(web.Deps{
		Identity: a.Identity, Incident: a.Incident, Alert: a.Alert, Change: a.Change, Ledger: a.ledger, Oncall: a.Oncall, Notify: a.Notify,
		Finding: a.Finding, Report: a.Report, History: a.History, ExportIncidents: a.ExportIncidents, Triage: a.TriageReport, Replay: a.replay, Known: a.KnownTroubles, Service: a.Continuity, Dossier: a.dossiers, Ready: a.ready, Doctor: a.Doctor, Readiness: a.Readiness, Load: a.Load, PushKey: a.PushKey, Rehearse: a.Rehearse, Clock: a.cfg.Clock, Log: a.cfg.Log, BaseURL: a.cfg.BaseURL, Version: cli.Version,
	}))
	return mux
}

// session gives who holds the session cookie of a request.
func (a *App) session(r *http.Request) (kit.Actor, error) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return kit.Actor{}, nil
	}
	actor, _, err := a.Identity.Session(r.Context(), c.Value)
	if kit.CodeOf(err) == kit.CodeUnauthenticated {
		return kit.Actor{}, nil
	}
	return actor, err
}

// names gives the names of people by id, for timelines and records.
func (a *App) names(ctx context.Context) (func(kind, id string) string, error) {
	all, err := a.Identity.Names(ctx)
	if err != nil {
		return nil, err
	}
	return func(kind, id string) string {
		if kind == "person" {
			return all[id]
		}
		return ""
	}, nil
}

// AsSystem acts as the product itself, for the command line on the machine.
func AsSystem(ctx context.Context) context.Context {
	return kit.WithActor(ctx, kit.System(kit.ViaCLI))
}
