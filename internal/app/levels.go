package app

import (
	"context"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
)

// dueLevel is the due row of a duty whose time has not come: management, when an
// incident was not assessed within P.assess.
const dueLevel = "level-duty"

// levelReached tells people what the response level asks for, once each: a duty
// that was done is not done again when the level is reached anew.
func (a *App) levelReached(ctx context.Context, f ledger.Fact, _ struct{}) error {
	i, err := a.Incident.Get(ctx, f.Incident)
	if err != nil {
		return err
	}
	if !i.Active() {
		return nil
	}
	over, err := ports{a}.Levels(ctx)
	if err != nil {
		return err
	}
	wait, err := a.Identity.Parameter(ctx, "P.assess")
	if err != nil {
		return err
	}
	for _, d := range incident.Level(i.LevelFacts(), over, wait) {
		if err := a.fulfil(ctx, i, d); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) fulfil(ctx context.Context, i *incident.Incident, d incident.Duty) error {
	if d.Key == "ladder" && d.Act == incident.ActPage {
		return nil // the escalation itself does it
	}
	return a.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		key := i.ID + "/" + d.Name()
		if at := i.DeclaredAt.Add(d.After); d.After > 0 && at.After(tx.Now()) {
			return due.At(ctx, tx, dueLevel, key, at, i.ID)
		}
		if err := due.Cancel(ctx, tx, dueLevel, key); err != nil {
			return err
		}
		res, err := tx.Exec(ctx, `INSERT INTO level_duty (incident, duty, done_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, i.ID, d.Name(), kit.Micros(tx.Now()))
		if err != nil {
			return db.MapError(err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return a.tell(ctx, i, d, tx.Now())
	})
}

// tell pages or informs the people of a role.
func (a *App) tell(ctx context.Context, i *incident.Incident, d incident.Duty, now time.Time) error {
	people, err := ports{a}.Appointed(ctx, d.Role, now)
	if err != nil {
		return err
	}
	switch d.Role {
	case kit.RolePrimary:
		people = nil
		if p := i.Roles[kit.RolePrimary]; p != "" {
			people = []string{p}
		}
	case kit.RoleCommander, kit.RoleCommunications:
		if p := i.Roles[d.Role]; p != "" {
			people = []string{p}
		}
	}
	if len(people) == 0 {
		return nil
	}
	if d.Act == incident.ActPage {
		_, err := a.Oncall.PageSomeone(ctx, start(i, "level"), "person:"+people[0])
		return err
	}
	names, err := a.Identity.Names(ctx)
	if err != nil {
		return err
	}
	template := string(d.Role)
	if d.Role == kit.RolePrimary {
		template = "low"
	}
	_, err = a.Notify.Notice(ctx, notify.Notice{
		Template: template, People: people, Incident: i.ID, Ref: i.Ref(), Severity: string(i.Severity), Urgent: d.Key == "management", Confidential: i.Confidential,
		Args: map[string]any{"title": i.Title, "commander": names[i.Roles[kit.RoleCommander]], "affected": affected(i), "doing": doing(i), "need": nothingNow},
	})
	return err
}

var (
	notKnown   = kit.Text{FR: "pas encore connu", EN: "not yet known"}
	nothingNow = kit.Text{FR: "Rien pour l’instant", EN: "Nothing now"}
)

// affected says who is affected, in words for a message.
func affected(i *incident.Incident) kit.Text {
	if i.Answers == nil {
		return notKnown
	}
	switch i.Answers.Who {
	case "nobody":
		return kit.Text{FR: "personne à l’extérieur", EN: "nobody outside"}
	case "some":
		return kit.Text{FR: "certains clients", EN: "some customers"}
	case "most":
		return kit.Text{FR: "la plupart des clients", EN: "most customers"}
	}
	return notKnown
}

// doing says in which phase the work is.
func doing(i *incident.Incident) kit.Text {
	switch i.Phase {
	case incident.Detection:
		return kit.Text{FR: "détection", EN: "detection"}
	case incident.Assessment:
		return kit.Text{FR: "évaluation", EN: "assessment"}
	case incident.Containment:
		return kit.Text{FR: "confinement", EN: "containment"}
	}
	return kit.Text{FR: "récupération", EN: "recovery"}
}

// levelTask fulfils a duty whose time has come.
func (a *App) levelTask() due.Task {
	return due.Task{Kind: dueLevel, Lane: due.Normal, Run: func(ctx context.Context, _ *db.Tx, row due.Row) error {
		ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorRule, ID: "levels", Name: "Tocsin", Via: kit.ViaDue})
		return a.levelReached(ctx, ledger.Fact{Incident: incidentOf(row.Key)}, struct{}{})
	}}
}

// incidentOf reads the incident from the key of a duty's row.
func incidentOf(key string) string {
	for n := range key {
		if key[n] == '/' {
			return key[:n]
		}
	}
	return key
}
