package oncall

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// States of a swap. A swap that nobody answered before its shift ended has lapsed.
const (
	SwapAsked     = "asked"
	SwapAccepted  = "accepted"
	SwapRefused   = "refused"
	SwapWithdrawn = "withdrawn"
	SwapLapsed    = "lapsed"
)

// maxAsked is how many requests of one person may wait: each of them tells people.
const maxAsked = 20

// Span is a time, From inclusive, To exclusive.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Swap is somebody who asks to be stood in for on their own shift: by one person, in
// exchange for a shift of theirs or as a favour, or by whoever says yes first.
type Swap struct {
	ID       string
	Schedule string
	Span
	// Asker gives the shift away. With is who is asked; empty means everyone of the
	// schedule.
	Asker, With Person
	// Return is the shift that the asker takes over from With; nil is none.
	Return *Span
	State  string
	Asked  time.Time
	// AnsweredBy took the shift or refused it.
	AnsweredBy Person
	Answered   time.Time
}

// AskSwap is what is asked of another person.
type AskSwap struct {
	Schedule string
	Span
	// With is who is asked; empty means everyone of the schedule.
	With   string
	Return *Span
}

// SwapAsk is the body of swap.asked. From gives the shift away, To is asked; empty
// means everyone of the schedule.
type SwapAsk struct {
	Swap   string `json:"swap"`
	Shift  Span   `json:"shift"`
	From   string `json:"from"`
	To     string `json:"to,omitempty"`
	Return *Span  `json:"return,omitempty"`
	// Asked are those who are told.
	Asked []string `json:"asked,omitempty"`
}

// FactType implements ledger.Body.
func (SwapAsk) FactType() string { return "swap.asked" }

// SwapAccept is the body of swap.accepted: To takes the shift of From.
type SwapAccept SwapAsk

// FactType implements ledger.Body.
func (SwapAccept) FactType() string { return "swap.accepted" }

// SwapRefuse is the body of swap.refused.
type SwapRefuse SwapAsk

// FactType implements ledger.Body.
func (SwapRefuse) FactType() string { return "swap.refused" }

// SwapWithdraw is the body of swap.withdrawn: who asked needs it no more.
type SwapWithdraw SwapAsk

// FactType implements ledger.Body.
func (SwapWithdraw) FactType() string { return "swap.withdrawn" }

type swapRow struct {
	bun.BaseModel `bun:"table:oncall_swap,alias:w"`
	ID            string `bun:"id,pk"`
	ScheduleID    string `bun:"schedule_id"`
	FromAt        int64  `bun:"from_at"`
	ToAt          int64  `bun:"to_at"`
	Asker         string `bun:"asker"`
	WithPerson    string `bun:"with_person"`
	ReturnFrom    int64  `bun:"return_from"`
	ReturnTo      int64  `bun:"return_to"`
	State         string `bun:"state"`
	AskedAt       int64  `bun:"asked_at"`
	AnsweredBy    string `bun:"answered_by"`
	AnsweredAt    int64  `bun:"answered_at"`
}

func (r *swapRow) span() Span { return Span{kit.FromMicros(r.FromAt), kit.FromMicros(r.ToAt)} }

func (r *swapRow) back() *Span {
	if r.ReturnTo == 0 {
		return nil
	}
	return &Span{kit.FromMicros(r.ReturnFrom), kit.FromMicros(r.ReturnTo)}
}

func (r *swapRow) fact(to string) SwapAsk {
	return SwapAsk{Swap: r.ID, Shift: r.span(), From: r.Asker, To: to, Return: r.back()}
}

// state is that of an instant: what nobody answered in time has lapsed, and so has an
// exchange whose other shift is over.
func (r *swapRow) state(now time.Time) string {
	end := r.ToAt
	if r.ReturnTo > 0 {
		end = min(end, r.ReturnTo)
	}
	if r.State == SwapAsked && kit.Micros(now) >= end {
		return SwapLapsed
	}
	return r.State
}

// Ask asks somebody to take a shift that the actor holds from its beginning, or from
// now, to its end. Nothing changes before somebody says yes.
func (s *Service) Ask(ctx context.Context, in AskSwap) (Swap, error) {
	in.Span = Span{kit.Truncate(in.From), kit.Truncate(in.To)}
	me := personOf(ctx)
	var row swapRow
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.p.Rights.Require(ctx, "swap.own"); err != nil {
			return err
		}
		if me == "" {
			return kit.Conflict("no_person", "oncall.error.swap_person")
		}
		var head scheduleRow
		if err := tx.ForUpdate(tx.NewSelect().Model(&head).Where("s.id = ? AND s.retired_at = 0", in.Schedule)).Scan(ctx); err != nil {
			return db.NoRows(err, "schedule", in.Schedule)
		}
		row = swapRow{ID: kit.NewID(), ScheduleID: in.Schedule, FromAt: kit.Micros(in.From), ToAt: kit.Micros(in.To), Asker: me, WithPerson: in.With, State: SwapAsked, AskedAt: kit.Micros(tx.Now())}
		var bad kit.Fields
		checkSpan("to", in.Span, tx.Now(), &bad)
		if in.With == me {
			bad.Add("with", "oncall.error.swap_self")
		}
		if in.With != "" {
			if err := s.checkPeople(ctx, map[string]string{"with": in.With}, &bad); err != nil {
				return err
			}
		}
		if in.Return != nil {
			row.ReturnFrom, row.ReturnTo = kit.Micros(kit.Truncate(in.Return.From)), kit.Micros(kit.Truncate(in.Return.To))
			checkSpan("return.to", *row.back(), tx.Now(), &bad)
			if in.With == "" {
				bad.Add("with", "error.required")
			}
		}
		if err := bad.Err(); err != nil {
			return err
		}
		if err := s.stillHeld(ctx, &row, in.With, tx.Now()); err != nil {
			return err
		}
		open, err := tx.NewSelect().Model((*swapRow)(nil)).Where("w.asker = ? AND w.state = ? AND w.to_at > ?", me, SwapAsked, kit.Micros(tx.Now())).Count(ctx)
		if err != nil {
			return db.MapError(err)
		}
		if open >= maxAsked {
			return kit.Conflict("too_many", "oncall.error.swap_many", "max", maxAsked)
		}
		asked, err := s.asked(ctx, &row, tx.Now())
		if err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		b := row.fact(in.With)
		b.Asked = asked
		return defined(ctx, tx, "schedule", in.Schedule, b)
	})
	if err != nil {
		return Swap{}, err
	}
	return s.swap(ctx, &row)
}

// personOf is the person who acts, or whose token does; empty when nobody does.
func personOf(ctx context.Context) string {
	a := kit.ActorFrom(ctx)
	if a.IsPerson() || a.Kind == kit.ActorToken && a.Owner != "" {
		return a.Me()
	}
	return ""
}

func checkSpan(path string, sp Span, now time.Time, bad *kit.Fields) {
	switch {
	case !sp.From.Before(sp.To):
		bad.Add(path, "oncall.error.override_empty")
	case !now.Before(sp.To):
		bad.Add(path, "oncall.error.override_past")
	case sp.To.Sub(sp.From) > maxRange:
		bad.Add(path, "oncall.error.range", "days", int(maxRange/(24*time.Hour)))
	}
}

// stillHeld checks that the shift is the asker's, and the one in return the taker's.
func (s *Service) stillHeld(ctx context.Context, r *swapRow, taker string, now time.Time) error {
	moved := kit.Conflict("shift_moved", "oncall.error.swap_moved")
	sp := r.span()
	if err := s.holds(ctx, r.ScheduleID, r.Asker, later(sp.From, now), sp.To, moved); err != nil {
		return err
	}
	if back := r.back(); back != nil {
		return s.holds(ctx, r.ScheduleID, taker, later(back.From, now), back.To, moved)
	}
	return nil
}

// asked are those who may say yes: who is asked, else the others of the schedule.
func (s *Service) asked(ctx context.Context, r *swapRow, now time.Time) ([]string, error) {
	if r.WithPerson != "" {
		return []string{r.WithPerson}, nil
	}
	ro, err := s.rosterAt(ctx, now)
	if err != nil {
		return nil, err
	}
	var ids []string
	if sc := ro.find(r.ScheduleID); sc != nil {
		ids = sc.everyone(now)
	}
	states, _, err := ro.states(ctx, ids, now)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool {
		st, ok := states[id]
		return id == r.Asker || !ok || st.Suspended
	})
	if len(ids) == 0 {
		return nil, kit.InvalidField("with", "oncall.error.swap_nobody")
	}
	return ids, nil
}

// Accept takes the shift; the asker takes the one in return. Both are overrides from
// then on. Accepting twice is one acceptance.
func (s *Service) Accept(ctx context.Context, id string) (Swap, error) {
	return s.answerSwap(ctx, id, func(ctx context.Context, tx *db.Tx, r *swapRow, me string) error {
		if err := s.stillHeld(ctx, r, me, tx.Now()); err != nil {
			return err
		}
		var bad kit.Fields
		if err := s.checkPeople(ctx, map[string]string{"with": me, "asker": r.Asker}, &bad); err != nil {
			return err
		}
		if err := bad.Err(); err != nil {
			return err
		}
		r.State = SwapAccepted
		if err := s.standIn(ctx, tx, r.ScheduleID, me, r.span()); err != nil {
			return err
		}
		if back := r.back(); back != nil {
			if err := s.standIn(ctx, tx, r.ScheduleID, r.Asker, *back); err != nil {
				return err
			}
		}
		return defined(ctx, tx, "schedule", r.ScheduleID, SwapAccept(r.fact(me)))
	})
}

// Refuse says no; of a request to everyone nobody can refuse for the others.
func (s *Service) Refuse(ctx context.Context, id string) (Swap, error) {
	return s.answerSwap(ctx, id, func(ctx context.Context, tx *db.Tx, r *swapRow, me string) error {
		if r.WithPerson == "" {
			return kit.Conflict("asked_of_all", "oncall.error.swap_all")
		}
		r.State = SwapRefused
		return defined(ctx, tx, "schedule", r.ScheduleID, SwapRefuse(r.fact(me)))
	})
}

func (s *Service) standIn(ctx context.Context, tx *db.Tx, schedule, person string, sp Span) error {
	row := overrideRow{
		ID: kit.NewID(), ScheduleID: schedule, Person: person, FromAt: kit.Micros(sp.From), ToAt: kit.Micros(sp.To),
		MadeBy: personOf(ctx), ValidFrom: kit.Micros(tx.Now()),
	}
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	return defined(ctx, tx, "schedule", schedule, OverrideCreated{Override: row.ID, Person: person, From: sp.From, To: sp.To})
}

func (s *Service) answerSwap(ctx context.Context, id string, do func(ctx context.Context, tx *db.Tx, r *swapRow, me string) error) (Swap, error) {
	me := personOf(ctx)
	var row swapRow
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.p.Rights.Require(ctx, "swap.own"); err != nil {
			return err
		}
		row = swapRow{}
		if err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("w.id = ?", id)).Scan(ctx); err != nil {
			return db.NoRows(err, "swap", id)
		}
		may := me != "" && me != row.Asker && (row.WithPerson == "" || row.WithPerson == me)
		if !may {
			return kit.Errorf(kit.CodeForbidden, "oncall.error.swap_not_asked")
		}
		if st := row.state(tx.Now()); st != SwapAsked {
			if row.AnsweredBy == me {
				return nil
			}
			return kit.Conflict("swap_over", "oncall.error.swap_over."+st)
		}
		if err := do(ctx, tx, &row, me); err != nil {
			return err
		}
		row.AnsweredBy, row.AnsweredAt = me, kit.Micros(tx.Now())
		return s.saveSwap(ctx, tx, &row)
	})
	if err != nil {
		return Swap{}, err
	}
	return s.swap(ctx, &row)
}

func (s *Service) saveSwap(ctx context.Context, tx *db.Tx, r *swapRow) error {
	_, err := tx.NewUpdate().Model(r).Column("state", "answered_by", "answered_at").WherePK().Exec(ctx)
	return db.MapError(err)
}

// WithdrawSwap takes back what nobody has answered.
func (s *Service) WithdrawSwap(ctx context.Context, id string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.p.Rights.Require(ctx, "swap.own"); err != nil {
			return err
		}
		var row swapRow
		if err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("w.id = ?", id)).Scan(ctx); err != nil {
			return db.NoRows(err, "swap", id)
		}
		if personOf(ctx) != row.Asker {
			return kit.Errorf(kit.CodeForbidden, "oncall.error.swap_not_asked")
		}
		switch st := row.state(tx.Now()); st {
		case SwapWithdrawn:
			return nil
		case SwapAsked:
		default:
			return kit.Conflict("swap_over", "oncall.error.swap_over."+st)
		}
		row.State, row.AnsweredAt = SwapWithdrawn, kit.Micros(tx.Now())
		if err := s.saveSwap(ctx, tx, &row); err != nil {
			return err
		}
		return defined(ctx, tx, "schedule", row.ScheduleID, SwapWithdraw(row.fact(row.WithPerson)))
	})
}

// Swaps gives those whose shift is not over, the next first.
func (s *Service) Swaps(ctx context.Context) ([]Swap, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	var rows []swapRow
	err := s.d.Read(ctx).NewSelect().Model(&rows).Where("w.to_at > ?", kit.Micros(s.d.Now())).Order("w.from_at", "w.id").Limit(500).Scan(ctx)
	if err != nil {
		return nil, db.MapError(err)
	}
	return s.swaps(ctx, rows)
}

func (s *Service) swap(ctx context.Context, r *swapRow) (Swap, error) {
	list, err := s.swaps(ctx, []swapRow{*r})
	if err != nil {
		return Swap{}, err
	}
	return list[0], nil
}

func (s *Service) swaps(ctx context.Context, rows []swapRow) ([]Swap, error) {
	now := s.d.Now()
	var ids []string
	for i := range rows {
		for _, id := range []string{rows[i].Asker, rows[i].WithPerson, rows[i].AnsweredBy} {
			if id != "" && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	states := map[string]PersonState{}
	if len(ids) > 0 {
		var err error
		if states, err = s.p.People.States(ctx, ids, now); err != nil {
			return nil, err
		}
	}
	person := func(id string) Person {
		if id == "" {
			return Person{}
		}
		return Person{ID: id, Name: nameOf(states, id)}
	}
	out := make([]Swap, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = Swap{
			ID: r.ID, Schedule: r.ScheduleID, Span: r.span(), Asker: person(r.Asker), With: person(r.WithPerson), Return: r.back(),
			State: r.state(now), Asked: kit.FromMicros(r.AskedAt), AnsweredBy: person(r.AnsweredBy), Answered: kit.FromMicros(r.AnsweredAt),
		}
	}
	return out, nil
}
