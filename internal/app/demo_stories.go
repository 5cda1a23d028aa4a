package app

import (
	"context"
	"fmt"
	"time"

	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

// story is a closed incident of the sample: what its people put in. Times in the
// past are what they tell; what the product measures is measured now.
type story struct {
	by       string
	declared incident.Declaration
	answers  incident.Answers
	notes    []storyNote
	// contained and recovered are the exit answers of the two phases.
	contained, recovered map[string]any
	restored             time.Time
	impact               incident.RecordedImpact
	// author writes the review, approver approves it.
	author, approver string
	review           incident.ReviewContent
	actions          []incident.ActionInput
	// done is the proof of the first action; empty leaves it open.
	done string
}

type storyNote struct {
	by, text string
	at       time.Time
}

const storyTime = "2006-01-02T15:04"

func demoStories(now time.Time) []story {
	now = now.UTC().Truncate(time.Minute)
	first, second := now.Add(-26*time.Hour), now.Add(-5*time.Hour)
	at := func(from time.Time, minutes int) time.Time { return from.Add(time.Duration(minutes) * time.Minute) }
	day := func(n int) string { return now.AddDate(0, 0, n).Format(time.DateOnly) }
	till := func(t time.Time) *time.Time { return &t }
	n := func(v int64) *int64 { return &v }
	return []story{
		{
			by: "paul",
			declared: incident.Declaration{
				Title: "Merchant API answers 503: no database connection left", Impact: incident.ImpactDegraded,
				Services: []string{"api", "database"}, Severity: incident.Sev2, OccurredAt: first,
			},
			answers: incident.Answers{Who: "some", What: "main", Data: "no", Trend: "stable", Change: "unknown"},
			notes: []storyNote{
				{"paul", "A third of the requests answer 503. The pool of the API has 0 of 80 connections free.", at(first, 6)},
				{"denis", "The nightly export holds 62 connections since 02:00, each with an open transaction.", at(first, 19)},
				{"denis", "Export stopped, its sessions ended. 503 down to zero.", at(first, 24)},
				{"lina", "Two merchants had written; both were answered by e-mail.", at(first, 41)},
			},
			contained: map[string]any{"stopped": "yes", "checked_by": "denis", "checked_at": at(first, 26).Format(storyTime), "actions": "Export stopped, its database sessions ended."},
			recovered: map[string]any{"normal": "yes", "checked_by": "lina", "checked_at": at(first, 47).Format(storyTime), "eradicated": "yes", "criteria": "No 503 for 20 minutes, pool above 40 free."},
			restored:  at(first, 47),
			impact:    incident.RecordedImpact{Services: []string{"api"}, From: till(first), To: till(at(first, 24)), Customers: n(31), Requests: n(4180), Text: "One request in three failed; merchants' tills retried most of them."},
			author:    "denis", approver: demoPerson,
			review: incident.ReviewContent{
				Summary: kit.Text{
					EN: "The nightly export kept its transactions open and used up the connections of the database. The merchant API failed one request in three for 24 minutes. Stopping the export ended it. Written down afterwards from our notes.",
					FR: "L’export de nuit a gardé ses transactions ouvertes et épuisé les connexions de la base. L’API des commerçants a refusé une requête sur trois pendant 24 minutes. L’arrêt de l’export y a mis fin. Rédigé après coup d’après nos notes.",
				},
				Factors: []incident.Factor{
					{Text: "The export opens one transaction per merchant and closes them all at the end.", Kind: "root", Category: "technology"},
					{Text: "Nothing limits how many connections one job may take.", Kind: "barrier", Category: "technology"},
					{Text: "No alert looks at free connections; a merchant's e-mail was the first sign.", Kind: "contributing", Category: "process"},
				},
				WentWell:  "Primary and secondary were both there within minutes, and one person kept the notes.",
				Surprised: "The export had been slow for a week and nobody owned that graph.",
				Impact:    "31 merchants, about 4,200 failed requests, no payment lost.",
				Risks:     []incident.RiskLink{{Effect: "no_change", Reason: "The risk of a full database is known; its measures are the actions below."}},
			},
			actions: []incident.ActionInput{
				{Type: "corrective", Text: "Limit the export to ten connections of its own", Owner: "denis", Due: day(5), Method: "The next four exports never hold more than ten connections."},
				{Type: "preventive", Text: "Alert when fewer than 20 connections are free for two minutes", Owner: "ana", Due: day(12), Method: "A drill fills the pool and the page arrives."},
			},
			done: "Limit set in the role of the export, seen on last night's run: at most 9 connections.",
		},
		{
			by: "lina",
			declared: incident.Declaration{
				Title: "Receipts by e-mail arrive two hours late", Impact: incident.ImpactDegraded,
				Services: []string{"mailer"}, Severity: incident.Sev3, OccurredAt: second,
			},
			answers: incident.Answers{Who: "some", What: "slower", Data: "no", Trend: "stable", Change: "none"},
			notes: []storyNote{
				{"lina", "Three shops ask where their receipts are. None is lost, they come late.", at(second, 8)},
				{"ines", "The relay slows us down since the monthly statements went out over the same address.", at(second, 30)},
				{"ines", "Statements paused; receipts first. The queue empties.", at(second, 44)},
			},
			contained: map[string]any{"stopped": "yes", "checked_by": "ines", "checked_at": at(second, 46).Format(storyTime), "actions": "Monthly statements paused."},
			recovered: map[string]any{"normal": "yes", "checked_by": "lina", "checked_at": at(second, 95).Format(storyTime), "eradicated": "no", "criteria": "Receipts arrive within one minute."},
			restored:  at(second, 95),
			impact:    incident.RecordedImpact{Services: []string{"mailer"}, From: till(second), To: till(at(second, 95)), Text: "Receipts up to two hours late; none lost."},
			author:    "lina", approver: "denis",
			review: incident.ReviewContent{
				Summary: kit.Text{
					EN: "Monthly statements and receipts share one sending address. The relay slowed both down, and receipts came up to two hours late.",
					FR: "Les relevés mensuels et les reçus partent de la même adresse. Le relais a ralenti les deux et les reçus sont arrivés avec jusqu’à deux heures de retard.",
				},
				Factors: []incident.Factor{
					{Text: "One sending address for what is urgent and for what is not.", Kind: "root", Category: "technology"},
					{Text: "The date of the statements was moved without telling the people on call.", Kind: "contributing", Category: "process"},
				},
				WentWell:  "Support told us within minutes and knew what to answer.",
				Surprised: "The relay tells of the limit in its answers; nobody reads them.",
				Impact:    "About 900 receipts late, none lost.",
			},
			actions: []incident.ActionInput{
				{Type: "corrective", Text: "Send statements from an address of their own", Owner: "ines", Due: day(20), Method: "Receipts stay under one minute during the next monthly run."},
			},
		},
	}
}

// tellStory takes an incident from its declaration to its closing, as its people.
func (a *App) tellStory(ctx context.Context, s story) error {
	people := map[string]context.Context{}
	as := func(id string) (context.Context, error) {
		if people[id] != nil {
			return people[id], nil
		}
		c, err := a.as(ctx, id)
		people[id] = c
		return c, err
	}
	by, err := as(s.by)
	if err != nil {
		return err
	}
	i, err := a.Incident.Declare(by, s.declared)
	if err != nil {
		return err
	}
	holder, err := a.paged(ctx, i.ID)
	if err != nil {
		return err
	}
	lead, err := as(holder)
	if err != nil {
		return err
	}
	if err := a.Notify.AnswerIncident(lead, i.ID, true); err != nil {
		return err
	}
	if err := a.await(ctx, "the answer", func() (bool, error) {
		now, err := a.Incident.Get(ctx, i.ID)
		return err == nil && !now.AcknowledgedAt.IsZero(), err
	}); err != nil {
		return err
	}
	for _, n := range s.notes {
		who, err := as(n.by)
		if err != nil {
			return err
		}
		if _, err := a.Incident.Note(who, i.ID, n.text, n.at, ""); err != nil {
			return err
		}
	}
	if err := a.passPhases(lead, i.ID, s); err != nil {
		return err
	}
	author, err := as(s.author)
	if err != nil {
		return err
	}
	approver, err := as(s.approver)
	if err != nil {
		return err
	}
	return a.learn(author, approver, i.ID, s)
}

func (a *App) passPhases(ctx context.Context, id string, s story) error {
	if _, err := a.Incident.Assess(ctx, id, s.answers, s.declared.Services, incident.Unassessed, ""); err != nil {
		return fmt.Errorf("assess: %w", err)
	}
	exit := map[string]any{"who": s.answers.Who, "what": s.answers.What, "data": s.answers.Data, "trend": s.answers.Trend, "change": s.answers.Change}
	for _, step := range []struct {
		to      incident.Phase
		answers map[string]any
	}{{incident.Containment, exit}, {incident.Recovery, s.contained}} {
		if _, err := a.Incident.Phase(ctx, id, step.to, step.answers, ""); err != nil {
			return fmt.Errorf("%s: %w", step.to, err)
		}
	}
	if _, err := a.Incident.Change(ctx, id, incident.Edit{RestoredAt: &s.restored}, 0); err != nil {
		return fmt.Errorf("restored: %w", err)
	}
	if _, err := a.Incident.RecordImpact(ctx, id, s.impact); err != nil {
		return fmt.Errorf("impact: %w", err)
	}
	if _, err := a.Incident.Phase(ctx, id, incident.InReview, s.recovered, ""); err != nil {
		return fmt.Errorf("review: %w", err)
	}
	return nil
}

func (a *App) learn(author, approver context.Context, id string, s story) error {
	first := ""
	for _, in := range s.actions {
		act, err := a.Incident.AddAction(author, id, in)
		if err != nil {
			return fmt.Errorf("action: %w", err)
		}
		if first == "" {
			first = act.Ref()
		}
	}
	if _, err := a.Incident.SaveReview(author, id, s.review); err != nil {
		return fmt.Errorf("review: %w", err)
	}
	if _, err := a.Incident.SubmitReview(author, id); err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	if _, err := a.Incident.ApproveReview(approver, id); err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	if _, err := a.Incident.Phase(approver, id, incident.PhaseClosed, nil, ""); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if s.done == "" || first == "" {
		return nil
	}
	_, err := a.Incident.FinishAction(author, first, s.done)
	return err
}
