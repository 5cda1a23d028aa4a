package incident

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Task is work inside a running incident.
type Task struct {
	bun.BaseModel `bun:"table:task" json:"-"`

	ID       string `bun:"id,pk" json:"id"`
	Incident string `bun:"incident" json:"incident"`
	Text     string `bun:"text" json:"text"`
	Owner    string `bun:"owner" json:"owner,omitempty"`
	DueAt    int64  `bun:"due_at" json:"-"`
	// State is open, done or dropped.
	State     string `bun:"state" json:"state"`
	Reason    string `bun:"reason" json:"reason,omitempty"`
	CreatedAt int64  `bun:"created_at" json:"-"`
}

// Due is when the task should be done; zero when not said.
func (t Task) Due() time.Time { return kit.FromMicros(t.DueAt) }

// AddTask adds a task.
func (s *Service) AddTask(ctx context.Context, ref, body, owner string, due time.Time) (Task, error) {
	var t Task
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "incident.task", held(ctx, i)...); err != nil {
			return err
		}
		if err := i.mustBeOpen(); err != nil {
			return err
		}
		body, err := text.Line("text", body, 500)
		if err != nil {
			return err
		}
		if owner != "" {
			if err := s.validPerson(ctx, "owner", owner); err != nil {
				return err
			}
		}
		t = Task{ID: kit.NewIDAt(tx.Now()), Incident: i.ID, Text: body, Owner: owner, DueAt: kit.Micros(due), State: "open", CreatedAt: kit.Micros(tx.Now())}
		if _, err := tx.NewInsert().Model(&t).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		f := TaskCreated{Text: body, Owner: owner}
		if !due.IsZero() {
			f.Due = &due
		}
		return taskFact(ctx, tx, &t, f)
	})
	return t, err
}

func taskFact(ctx context.Context, tx *db.Tx, t *Task, f fact) error {
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "task", ID: t.ID}, Incident: t.Incident, Body: f})
}

// TaskChange is what to change of a task; nil leaves a field.
type TaskChange struct {
	State, Owner *string
	Due          *time.Time
	Reason       string
}

// ChangeTask assigns, ends or drops a task.
func (s *Service) ChangeTask(ctx context.Context, ref, id string, c TaskChange) (Task, error) {
	var t Task
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "incident.task", held(ctx, i)...); err != nil {
			return err
		}
		if err := i.mustBeOpen(); err != nil {
			return err
		}
		if err := tx.ForUpdate(tx.NewSelect().Model(&t).Where("id = ? AND incident = ?", id, i.ID)).Scan(ctx); err != nil {
			return db.NoRows(err, "task", id)
		}
		var facts []fact
		assigned := TaskAssigned{Text: t.Text, From: t.Owner, Owner: t.Owner}
		if c.Owner != nil && *c.Owner != t.Owner {
			if *c.Owner != "" {
				if err := s.validPerson(ctx, "owner", *c.Owner); err != nil {
					return err
				}
			}
			assigned.Owner, t.Owner = *c.Owner, *c.Owner
		}
		if c.Due != nil && kit.Micros(*c.Due) != t.DueAt {
			assigned.Due, t.DueAt = c.Due, kit.Micros(*c.Due)
		}
		if assigned.Owner != assigned.From || assigned.Due != nil {
			facts = append(facts, assigned)
		}
		if c.State != nil && *c.State != t.State {
			if t.State != "open" {
				return kit.Conflict("ended", "incident.error.task_ended", "state", t.State)
			}
			switch *c.State {
			case "done":
				facts = append(facts, TaskDone{Text: t.Text})
			case "dropped":
				reason := strings.TrimSpace(c.Reason)
				if reason == "" {
					return kit.InvalidField("reason", "error.required")
				}
				t.Reason = reason
				facts = append(facts, TaskDropped{Text: t.Text, Reason: reason})
			default:
				return kit.InvalidField("state", "incident.error.task_state", "value", *c.State)
			}
			t.State = *c.State
		}
		if _, err := tx.NewUpdate().Model(&t).WherePK().Exec(ctx); err != nil {
			return db.MapError(err)
		}
		for _, f := range facts {
			if err := taskFact(ctx, tx, &t, f); err != nil {
				return err
			}
		}
		return nil
	})
	return t, err
}

// Tasks lists the tasks of an incident that the caller has loaded, open ones first.
func (s *Service) Tasks(ctx context.Context, incident string) ([]Task, error) {
	var out []Task
	err := s.d.Read(ctx).NewSelect().Model(&out).Where("incident = ?", incident).OrderExpr("CASE state WHEN 'open' THEN 0 ELSE 1 END, id").Scan(ctx)
	return out, db.MapError(err)
}
