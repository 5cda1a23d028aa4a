package app

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/cli"
	"tocsin/internal/identity"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
)

//go:embed demo.yaml
var demoFile []byte

const (
	demoPerson = "camille"
	demoKey    = "demo-prometheus"
	// demoWait bounds how long one step of the sample waits for the house to react.
	demoWait = 15 * time.Second
)

// Demo serves a sample company until the context ends. Its messages stay in a
// viewer on this machine. Without a data folder everything is forgotten at the end.
func (Actions) Demo(ctx context.Context, o cli.Demo, out io.Writer) (err error) {
	data := o.Data
	if data == "" {
		if data, err = os.MkdirTemp("", "tocsin-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	}
	a, err := New(ctx, Config{Data: data, Listen: o.Listen, Demo: true, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	return a.runDemo(ctx, data, o.Data == "", out)
}

// runDemo serves while it loads, so that the sample goes the way of every incident.
func (a *App) runDemo(ctx context.Context, data string, temporary bool, out io.Writer) error {
	if err := a.loadCompany(AsSystem(ctx)); err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(run) }()
	load, cancel := context.WithCancel(AsSystem(ctx))
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- a.loadIncidents(load) }()
	select {
	case err := <-ended:
		cancel()
		<-loaded
		return err
	case err := <-loaded:
		if err == nil {
			err = a.welcome(AsSystem(ctx), data, temporary, out)
		}
		if err != nil {
			stop()
			runErr := <-ended
			if ctx.Err() != nil {
				return runErr
			}
			return errors.Join(err, runErr)
		}
	}
	return <-ended
}

func (a *App) welcome(ctx context.Context, data string, temporary bool, out io.Writer) error {
	token, err := a.Identity.LoginLink(ctx, demoPerson)
	if err != nil {
		return err
	}
	kept := data
	if temporary {
		kept += " (removed at the end)"
	}
	base := a.BaseURL()
	_, err = fmt.Fprintf(out, `Tocsin %s, demo
  open     %[2]s
  sign in  %[2]s/login/%[3]s
           as Camille Aubry; works once, within 15 minutes
  mail     %[2]s/demo/mail
           all messages stay there; Rehearse an incident is there too
  data     %[4]s

Send an alert:
  curl -H 'Content-Type: application/json' %[2]s/in/%[5]s/alertmanager/api/v2/alerts \
    -d '[{"labels":{"alertname":"MailQueueGrows","service":"mailer","severity":"critical"},"annotations":{"summary":"4,100 mails wait to be sent"}}]'

Ctrl-C ends it.
`, cli.Version, base, token, kept, demoKey)
	return err
}

// loadCompany applies the sample to an empty installation, and refuses one that is
// somebody's: a demo keeps back every message.
func (a *App) loadCompany(ctx context.Context) error {
	fresh, err := a.Identity.NeedsSetUp(ctx)
	if err != nil {
		return err
	}
	if fresh {
		_, err := a.Apply(ctx, demoFile, kit.ApplyOptions{})
		return err
	}
	_, err = a.Identity.Person(ctx, demoPerson)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return fmt.Errorf("the folder %s holds an installation that is not the demo: use another folder, or tocsin serve", a.cfg.Data)
	}
	return err
}

// loadIncidents tells the stories of the sample where there is no incident yet.
func (a *App) loadIncidents(ctx context.Context) error {
	list, err := a.Incident.List(ctx, incident.Filter{Exercises: true}, kit.Page{Limit: 1})
	if err != nil || len(list.Items) > 0 {
		return err
	}
	// The reactions run, and before them the writer of alerts.
	if err := a.await(ctx, "the start", func() (bool, error) { return len(a.ledger.Offsets()) == len(a.reactions()), nil }); err != nil {
		return err
	}
	for _, s := range demoStories(a.db.Now()) {
		if err := a.tellStory(ctx, s); err != nil {
			return fmt.Errorf("demo: %s: %w", s.declared.Title, err)
		}
	}
	if err := a.openAlarm(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// await waits until ok, looking after each commit.
func (a *App) await(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	commits, stop := a.ledger.Watch()
	defer stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-commits:
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// as acts as a person of the sample.
func (a *App) as(ctx context.Context, id string) (context.Context, error) {
	p, err := a.Identity.Person(ctx, id)
	if err != nil {
		return nil, err
	}
	roles, err := a.Identity.Appointments(ctx)
	if err != nil {
		return nil, err
	}
	actor := actorOf(p, kit.ViaImport)
	for role, people := range roles {
		for _, who := range people {
			if who == id {
				actor.Appointments = append(actor.Appointments, role)
			}
		}
	}
	return kit.WithActor(ctx, actor), nil
}

func actorOf(p identity.Person, via kit.Via) kit.Actor {
	return kit.Actor{Kind: kit.ActorPerson, ID: p.ID, Name: p.Name, Via: via, Access: p.Access, Language: p.Language}
}

// paged waits for the page of an incident and gives who has it.
func (a *App) paged(ctx context.Context, id string) (person string, err error) {
	err = a.await(ctx, "a page", func() (bool, error) {
		pages, err := a.Notify.Pages(ctx, notify.Filter{Incident: id, State: notify.PageIsOpen, Page: kit.Page{Limit: 1}})
		if err != nil || len(pages.Items) == 0 {
			return false, err
		}
		person = pages.Items[0].Person.ID
		return true, nil
	})
	return person, err
}

// openAlarm lets the sample's monitoring find something, and waits until somebody
// is paged for it.
func (a *App) openAlarm(ctx context.Context) error {
	now := a.db.Now()
	out, err := a.Alert.Ingest(kit.WithActor(ctx, kit.Actor{Kind: kit.ActorSource, ID: "prometheus", Name: "prometheus", Via: kit.ViaImport}), []alert.Signal{{
		Source: "prometheus", DedupKey: "demo-payment-errors", Action: alert.Trigger, Title: "Payments: 7 % refused with an internal error", Severity: "critical", Service: "payments",
		Labels:      map[string]string{"alertname": "PaymentErrors", "service": "payments", "severity": "critical", "region": "paris"},
		Annotations: map[string]string{"summary": "Payments: 7 % refused with an internal error", "description": "Above 2 % for five minutes."},
		StartsAt:    now.Add(-5 * time.Minute),
	}})
	if err != nil {
		return err
	}
	id := ""
	if err := a.await(ctx, "the incident", func() (bool, error) {
		x, err := a.Alert.Get(ctx, out[0].Alert)
		id = x.Incident
		return id != "", err
	}); err != nil {
		return err
	}
	_, err = a.paged(ctx, id)
	return err
}
