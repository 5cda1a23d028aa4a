package incident

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
)

// dueLevel is the due row of a duty whose time has not come: management, when an
// incident was not assessed within P.assess. Its body is the incident's id.
const dueLevel = "level-duty"

// Told is a duty of the response level that was done.
type Told struct {
	// Duty is its name: row and act.
	Duty string
	// People were told, by the notice or the escalation of the id Message.
	People  []string
	Message string
	At      time.Time
}

// Paged tells whether it was done by a page and not by a notice.
func (t Told) Paged() bool { return strings.HasSuffix(t.Duty, ":"+string(ActPage)) }

// Reached is what a response level asks for at an instant.
type Reached struct {
	// Do is due and was not done.
	Do []Duty
	// Undo was done, and the level does not ask for it any more.
	Undo []Told
	// Told is all that was done, Undo included.
	Told []Told
}

type dutyRow struct {
	bun.BaseModel `bun:"table:level_duty"`

	Incident string `bun:"incident,pk"`
	Duty     string `bun:"duty,pk"`
	DoneAt   int64  `bun:"done_at"`
	People   string `bun:"people"`
	Message  string `bun:"message"`
}

// Told lists what the response level of an incident has had done. It asks for no
// right: for reactions.
func (s *Service) Told(ctx context.Context, incident string) ([]Told, error) {
	var rows []dutyRow
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("incident = ?", incident).Order("done_at", "duty").Scan(ctx); err != nil {
		return nil, db.MapError(err)
	}
	out := make([]Told, len(rows))
	for n, r := range rows {
		out[n] = Told{Duty: r.Duty, Message: r.Message, At: kit.FromMicros(r.DoneAt)}
		if err := json.Unmarshal([]byte(r.People), &out[n].People); err != nil {
			return nil, kit.Internal(err)
		}
	}
	return out, nil
}

// Reached compares what the response level of an incident asks for with what was
// done. What is asked for later gets a due row, what is not asked for any more loses
// its row. An incident that is not active asks for nothing and undoes nothing. It
// asks for no right: for reactions.
func (s *Service) Reached(ctx context.Context, incident string) (out Reached, err error) {
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = Reached{}
		i, err := s.find(ctx, incident, tx)
		if err != nil {
			return err
		}
		if out.Told, err = s.Told(ctx, i.ID); err != nil || !i.Active() {
			return err
		}
		over, after, err := s.levels(ctx)
		if err != nil {
			return err
		}
		level := slices.DeleteFunc(Level(i.LevelFacts(), over, after), func(d Duty) bool {
			return d.Key == "ladder" && d.Act == ActPage // the escalation itself does it
		})
		for _, t := range out.Told {
			if !slices.ContainsFunc(level, func(d Duty) bool { return d.Name() == t.Duty }) {
				out.Undo = append(out.Undo, t)
			}
		}
		var rows []string
		for _, key := range []string{"ladder", "commander", "communications", "management"} {
			for _, act := range []Act{ActPage, ActNotice, ActMail} {
				rows = append(rows, i.ID+"/"+Duty{Key: key, Act: act}.Name())
			}
		}
		if err := due.Cancel(ctx, tx, dueLevel, rows...); err != nil {
			return err
		}
		for _, d := range level {
			if slices.ContainsFunc(out.Told, func(t Told) bool { return t.Duty == d.Name() }) {
				continue
			}
			if at := i.DeclaredAt.Add(d.After); d.After > 0 && at.After(tx.Now()) {
				if err := due.At(ctx, tx, dueLevel, i.ID+"/"+d.Name(), at, i.ID); err != nil {
					return err
				}
				continue
			}
			out.Do = append(out.Do, d)
		}
		return nil
	})
	return out, err
}

// Fulfil does a duty, once: act runs in the same transaction and says whom it told
// and by what. A duty that found nobody to tell is not done. It asks for no right:
// for reactions.
func (s *Service) Fulfil(ctx context.Context, incident string, d Duty, act func(ctx context.Context) (people []string, message string, err error)) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		res, err := tx.NewInsert().Model(&dutyRow{Incident: incident, Duty: d.Name(), DoneAt: kit.Micros(tx.Now()), People: "[]"}).On("CONFLICT DO NOTHING").Exec(ctx)
		if err != nil {
			return db.MapError(err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		people, message, err := act(ctx)
		if err != nil {
			return err
		}
		if len(people) == 0 {
			return s.Undone(ctx, incident, d.Name())
		}
		_, err = tx.Exec(ctx, `UPDATE level_duty SET people = $1, message = $2 WHERE incident = $3 AND duty = $4`, pack(people), message, incident, d.Name())
		return db.MapError(err)
	})
}

// Undone forgets a duty that was taken back before it reached anybody, so that a
// level which asks for it again has it done again.
func (s *Service) Undone(ctx context.Context, incident, duty string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM level_duty WHERE incident = $1 AND duty = $2`, incident, duty)
		return db.MapError(err)
	})
}

// Tasks are the due rows of the module. reached is called for an incident when the
// time of a duty has come.
func Tasks(reached func(ctx context.Context, incident string) error) []due.Task {
	return []due.Task{{Kind: dueLevel, Lane: due.Normal, Run: func(ctx context.Context, _ *db.Tx, row due.Row) error {
		var incident string
		if err := json.Unmarshal(row.Body, &incident); err != nil {
			return kit.Internal(err)
		}
		ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorRule, ID: "levels", Name: "Tocsin", Via: kit.ViaDue})
		return reached(ctx, incident)
	}}}
}
