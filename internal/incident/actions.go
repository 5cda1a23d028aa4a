package incident

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Action is agreed work with owner and date (ACT-n).
type Action struct {
	bun.BaseModel `bun:"table:action,alias:a" json:"-"`

	ID      string `bun:"id,pk" json:"id"`
	Number  int64  `bun:"number" json:"-"`
	Version int64  `bun:"version" json:"version"`
	// Type: correction, corrective, preventive, containment.
	Type  string `bun:"type" json:"type"`
	Text  string `bun:"text" json:"text"`
	Owner string `bun:"owner" json:"owner"`
	// Due is a date, 2026-12-04; it means the end of that day.
	Due string `bun:"due" json:"due"`
	// State: open, done, effective, not_effective, cancelled.
	State string `bun:"state" json:"state"`
	// Origin is the reference it comes from, INC-42.
	Origin   string `bun:"origin" json:"origin"`
	Incident string `bun:"incident" json:"-"`
	// Method says how we will know that it worked; CheckOn when.
	Method    string `bun:"method" json:"method"`
	CheckOn   string `bun:"check_on" json:"check_on,omitempty"`
	Evidence  string `bun:"evidence" json:"evidence,omitempty"`
	Result    string `bun:"result" json:"result,omitempty"`
	Reason    string `bun:"reason" json:"reason,omitempty"`
	CreatedAt int64  `bun:"created_at" json:"-"`
	DoneAt    int64  `bun:"done_at" json:"-"`
	DoneBy    string `bun:"done_by" json:"-"`
}

// Ref is the reference shown to people.
func (a Action) Ref() string { return "ACT-" + strconv.FormatInt(a.Number, 10) }

// ActionInput is a new action.
type ActionInput struct {
	Type, Text, Owner, Due, Method string
}

var actionTypes = []string{"correction", "corrective", "preventive", "containment"}

func checkDate(path, s string) error {
	if s == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return kit.InvalidField(path, "error.date", "value", s)
	}
	return nil
}

// AddAction adds an action to an incident, open or ended.
func (s *Service) AddAction(ctx context.Context, ref string, in ActionInput) (Action, error) {
	var out Action
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, nil)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "action.write", held(ctx, i)...); err != nil {
			return err
		}
		out, err = s.createAction(ctx, tx, i, in)
		return err
	})
	return out, err
}

func (s *Service) createAction(ctx context.Context, tx *db.Tx, i *Incident, in ActionInput) (Action, error) {
	if in.Type == "" {
		in.Type = "corrective"
	}
	if !slices.Contains(actionTypes, in.Type) {
		return Action{}, kit.InvalidField("type", "incident.error.action_type", "value", in.Type)
	}
	body, err := text.Line("text", in.Text, 500)
	if err != nil {
		return Action{}, err
	}
	method, err := text.Clean("method", in.Method, 500, false)
	if err != nil {
		return Action{}, err
	}
	if err := checkDate("due", in.Due); err != nil {
		return Action{}, err
	}
	if in.Owner != "" {
		if err := s.validPerson(ctx, "owner", in.Owner); err != nil {
			return Action{}, err
		}
	}
	n, err := tx.NextNumber(ctx, "ACT")
	if err != nil {
		return Action{}, err
	}
	a := Action{
		ID: kit.NewIDAt(tx.Now()), Number: n, Version: 1, Type: in.Type, Text: body, Owner: in.Owner, Due: in.Due, State: "open",
		Origin: i.Ref(), Incident: i.ID, Method: method, CreatedAt: kit.Micros(tx.Now()),
	}
	if _, err := tx.NewInsert().Model(&a).Exec(ctx); err != nil {
		return Action{}, db.MapError(err)
	}
	return a, actionFact(ctx, tx, &a, ActionCreated{Type: a.Type, Text: a.Text, Owner: a.Owner, Due: a.Due, Origin: a.Origin, Method: a.Method})
}

func actionFact(ctx context.Context, tx *db.Tx, a *Action, f fact) error {
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "action", ID: a.ID, Ref: a.Ref()}, Incident: a.Incident, Body: f})
}

func (s *Service) actionCommand(ctx context.Context, ref string, fn func(ctx context.Context, tx *db.Tx, a *Action) (fact, error)) (Action, error) {
	var a Action
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		q := tx.NewSelect().Model(&a)
		if n, ok := ParseRef("ACT", ref); ok {
			q = q.Where("a.number = ?", n)
		} else {
			q = q.Where("a.id = ?", ref)
		}
		if err := tx.ForUpdate(q).Scan(ctx); err != nil {
			return db.NoRows(err, "action", ref)
		}
		i, err := s.load(ctx, a.Incident, nil)
		if err != nil {
			return kit.NotFound("action", ref)
		}
		if err := s.rights.Require(ctx, "action.write", held(ctx, i)...); err != nil {
			return err
		}
		f, err := fn(ctx, tx, &a)
		if err != nil || f == nil {
			return err
		}
		a.Version++
		if _, err := tx.NewUpdate().Model(&a).WherePK().Exec(ctx); err != nil {
			return db.MapError(err)
		}
		return actionFact(ctx, tx, &a, f)
	})
	return a, err
}

// ActionEdit is what to change of an action; nil leaves a field.
type ActionEdit struct {
	Type, Text, Owner, Due, Method, CheckOn, State *string
	Reason                                         string
}

// ChangeAction edits an action; its date moves only before it has passed, with a
// reason; state cancelled needs a reason too.
func (s *Service) ChangeAction(ctx context.Context, ref string, e ActionEdit) (Action, error) {
	return s.actionCommand(ctx, ref, func(ctx context.Context, tx *db.Tx, a *Action) (fact, error) {
		if a.State != "open" {
			return nil, kit.Conflict("ended", "incident.error.action_ended", "state", a.State)
		}
		reason, err := text.Clean("reason", e.Reason, 500, false)
		if err != nil {
			return nil, err
		}
		if e.State != nil && *e.State != a.State {
			if *e.State != "cancelled" {
				return nil, kit.InvalidField("state", "incident.error.action_state", "value", *e.State)
			}
			if reason == "" {
				return nil, kit.InvalidField("reason", "error.required")
			}
			a.State, a.Reason = "cancelled", reason
			return ActionCancelled{Reason: reason}, nil
		}
		var changes []FieldChange
		set := func(path string, to *string, at *string) {
			if to != nil && *to != *at {
				changes = append(changes, FieldChange{Path: path, From: *at, To: *to})
				*at = *to
			}
		}
		if e.Text != nil {
			t, err := text.Line("text", *e.Text, 500)
			if err != nil {
				return nil, err
			}
			set("text", &t, &a.Text)
		}
		if e.Type != nil && !slices.Contains(actionTypes, *e.Type) {
			return nil, kit.InvalidField("type", "incident.error.action_type", "value", *e.Type)
		}
		set("type", e.Type, &a.Type)
		if e.Owner != nil && *e.Owner != "" && *e.Owner != a.Owner {
			if err := s.validPerson(ctx, "owner", *e.Owner); err != nil {
				return nil, err
			}
		}
		set("owner", e.Owner, &a.Owner)
		if e.Due != nil && *e.Due != a.Due {
			if err := checkDate("due", *e.Due); err != nil {
				return nil, err
			}
			zone, err := s.settings.Zone(ctx)
			if err != nil {
				return nil, err
			}
			if a.Due != "" && tx.Now().In(zone).Format(time.DateOnly) > a.Due {
				return nil, kit.Conflict("overdue", "incident.error.action_overdue", "due", a.Due)
			}
			if a.Due != "" && reason == "" {
				return nil, kit.InvalidField("reason", "error.required")
			}
		}
		set("due", e.Due, &a.Due)
		set("method", e.Method, &a.Method)
		if e.CheckOn != nil {
			if err := checkDate("check_on", *e.CheckOn); err != nil {
				return nil, err
			}
		}
		set("check_on", e.CheckOn, &a.CheckOn)
		if len(changes) == 0 {
			return nil, nil
		}
		return ActionChanged{Changes: changes, Reason: reason}, nil
	})
}

// FinishAction records that an action is done, with its proof.
func (s *Service) FinishAction(ctx context.Context, ref, evidence string) (Action, error) {
	return s.actionCommand(ctx, ref, func(ctx context.Context, tx *db.Tx, a *Action) (fact, error) {
		if a.State != "open" {
			return nil, kit.Conflict("ended", "incident.error.action_ended", "state", a.State)
		}
		evidence, err := text.Clean("text", evidence, 2000, true)
		if err != nil {
			return nil, err
		}
		if evidence == "" {
			return nil, kit.InvalidField("text", "incident.error.action_evidence")
		}
		zone, err := s.settings.Zone(ctx)
		if err != nil {
			return nil, err
		}
		wait, err := s.settings.Limit(ctx, "P.effect")
		if err != nil {
			return nil, err
		}
		a.State, a.Evidence, a.DoneAt, a.DoneBy = "done", evidence, kit.Micros(tx.Now()), kit.ActorFrom(ctx).ID
		if a.CheckOn == "" {
			a.CheckOn = tx.Now().In(zone).Add(wait).Format(time.DateOnly)
		}
		return ActionDone{Evidence: evidence}, nil
	})
}

// CheckAction records whether a done action works; another person than the one
// who did it says so.
func (s *Service) CheckAction(ctx context.Context, ref, result, body string) (Action, error) {
	return s.actionCommand(ctx, ref, func(ctx context.Context, _ *db.Tx, a *Action) (fact, error) {
		if a.State != "done" {
			return nil, kit.Conflict("not_done", "incident.error.action_not_done", "state", a.State)
		}
		if result != "effective" && result != "not_effective" {
			return nil, kit.InvalidField("result", "incident.error.action_result", "value", result)
		}
		if by := kit.ActorFrom(ctx); !by.IsPerson() || by.ID == a.DoneBy {
			return nil, kit.Conflict("same_person", "incident.error.action_same_person")
		}
		body, err := text.Clean("text", body, 2000, true)
		if err != nil {
			return nil, err
		}
		a.State, a.Result = result, body
		return ActionChecked{Result: result, Text: body}, nil
	})
}

// ActionsOf lists the actions of an incident that the caller has loaded.
func (s *Service) ActionsOf(ctx context.Context, incident string) ([]Action, error) {
	var out []Action
	err := s.d.Read(ctx).NewSelect().Model(&out).Where("incident = ?", incident).OrderExpr("number").Scan(ctx)
	return out, db.MapError(err)
}
