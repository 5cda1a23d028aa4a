package oncall_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// as is the context of one person.
func (b *bench) as(person string) context.Context {
	return kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: person, Name: person, Via: kit.ViaWeb})
}

func (b *bench) code(err error, want kit.Code, reason string) {
	b.t.Helper()
	if kit.CodeOf(err) != want || want == kit.CodeConflict && kit.AsError(err).Reason != reason {
		b.t.Fatalf("got %v, want %s %s", err, want, reason)
	}
}

func (b *bench) onDuty(at time.Time, want string) {
	b.t.Helper()
	x, err := b.s.At(b.ctx, "primary", at)
	b.must(err)
	if x.Person.ID != want {
		b.t.Fatalf("%s is on duty at %s, not %s", x.Person.ID, at, want)
	}
}

func TestSwap(t *testing.T) {
	each(t, func(b *bench) {
		_, err := b.s.SaveSchedule(b.ctx, oncall.Schedule{ID: "primary", Rotations: week("ana", "paul", "lina")})
		b.must(err)
		b.facts()
		turns, err := b.s.Intervals(b.ctx, "primary", monday, monday.AddDate(0, 0, 40))
		b.must(err)
		first, second := turns[1], turns[2]
		one, two := first.Person.ID, second.Person.ID
		shift, back := oncall.Span{From: first.From, To: first.To}, oncall.Span{From: second.From, To: second.To}

		for name, in := range map[string]oncall.AskSwap{
			"oneself":           {Schedule: "primary", Span: shift, With: one},
			"nobody known":      {Schedule: "primary", Span: shift, With: "zoe"},
			"the past":          {Schedule: "primary", Span: oncall.Span{From: monday.Add(-2 * time.Hour), To: monday.Add(-time.Hour)}, With: two},
			"backwards":         {Schedule: "primary", Span: oncall.Span{From: shift.To, To: shift.From}, With: two},
			"a return of whom?": {Schedule: "primary", Span: shift, Return: &back},
		} {
			if _, err := b.s.Ask(b.as(one), in); kit.CodeOf(err) != kit.CodeInvalid {
				b.t.Errorf("%s: %v", name, err)
			}
		}
		_, err = b.s.Ask(b.as(two), oncall.AskSwap{Schedule: "primary", Span: shift, With: one})
		b.code(err, kit.CodeConflict, "shift_moved")
		_, err = b.s.Ask(b.as(one), oncall.AskSwap{Schedule: "none", Span: shift, With: two})
		b.code(err, kit.CodeNotFound, "")
		b.want()

		x, err := b.s.Ask(b.as(one), oncall.AskSwap{Schedule: "primary", Span: shift, With: two, Return: &back})
		b.must(err)
		b.onDuty(shift.From, one)
		for _, other := range []string{one, "eve"} {
			_, err = b.s.Accept(b.as(other), x.ID)
			b.code(err, kit.CodeForbidden, "")
		}
		got, err := b.s.Accept(b.as(two), x.ID)
		b.must(err)
		if got.State != oncall.SwapAccepted || got.AnsweredBy.ID != two {
			b.t.Fatalf("%+v", got)
		}
		_, err = b.s.Accept(b.as(two), x.ID)
		b.must(err)
		b.want("swap.asked", "override.created", "override.created", "swap.accepted")
		b.onDuty(shift.From, two)
		b.onDuty(shift.To.Add(-time.Minute), two)
		b.onDuty(back.From, one)
		if err := b.s.WithdrawSwap(b.as(one), x.ID); !errors.As(err, new(*kit.Error)) || kit.AsError(err).Reason != "swap_over" {
			b.t.Fatal(err)
		}

		// What was given away cannot be given away again; who has it now may.
		_, err = b.s.Ask(b.as(one), oncall.AskSwap{Schedule: "primary", Span: shift})
		b.code(err, kit.CodeConflict, "shift_moved")
		cover, err := b.s.Ask(b.as(two), oncall.AskSwap{Schedule: "primary", Span: shift})
		b.must(err)
		_, err = b.s.Refuse(b.as("eve"), cover.ID)
		b.code(err, kit.CodeConflict, "asked_of_all")
		_, err = b.s.Accept(b.as("eve"), cover.ID)
		b.must(err)
		b.want("swap.asked", "override.created", "swap.accepted")
		b.onDuty(shift.From, "eve")
		_, err = b.s.Accept(b.as("bob"), cover.ID)
		b.code(err, kit.CodeConflict, "swap_over")

		// No, withdrawn, too late: the shift stays where it was.
		no, err := b.s.Ask(b.as("eve"), oncall.AskSwap{Schedule: "primary", Span: shift, With: "bob"})
		b.must(err)
		_, err = b.s.Refuse(b.as("bob"), no.ID)
		b.must(err)
		off, err := b.s.Ask(b.as("eve"), oncall.AskSwap{Schedule: "primary", Span: shift, With: "bob"})
		b.must(err)
		b.must(b.s.WithdrawSwap(b.as("eve"), off.ID))
		b.must(b.s.WithdrawSwap(b.as("eve"), off.ID))
		_, err = b.s.Accept(b.as("bob"), off.ID)
		b.code(err, kit.CodeConflict, "swap_over")
		late, err := b.s.Ask(b.as("eve"), oncall.AskSwap{Schedule: "primary", Span: shift, With: "bob"})
		b.must(err)
		b.want("swap.asked", "swap.refused", "swap.asked", "swap.withdrawn", "swap.asked")
		list, err := b.s.Swaps(b.ctx)
		b.must(err)
		if len(list) != 5 {
			b.t.Fatalf("%d swaps", len(list))
		}
		b.clock.Set(shift.To)
		_, err = b.s.Accept(b.as("bob"), late.ID)
		b.code(err, kit.CodeConflict, "swap_over")
		b.onDuty(shift.From, "eve")
	})
}

func TestSwapOfAShiftThatMoved(t *testing.T) {
	each(t, func(b *bench) {
		b.schedules()
		span := oncall.Span{From: monday.AddDate(0, 0, 1), To: monday.AddDate(0, 0, 2)}
		x, err := b.s.Ask(b.as("ana"), oncall.AskSwap{Schedule: "primary", Span: span, With: "lina"})
		b.must(err)
		_, err = b.s.AddOverride(b.ctx, "primary", "denis", span.From.Add(time.Hour), span.From.Add(2*time.Hour))
		b.must(err)
		_, err = b.s.Accept(b.as("lina"), x.ID)
		b.code(err, kit.CodeConflict, "shift_moved")
		b.onDuty(span.From.Add(90*time.Minute), "denis")
		b.onDuty(span.From, "ana")
		for range 19 {
			_, err = b.s.Ask(b.as("ana"), oncall.AskSwap{Schedule: "primary", Span: oncall.Span{From: span.To, To: span.To.Add(time.Hour)}, With: "lina"})
			b.must(err)
		}
		_, err = b.s.Ask(b.as("ana"), oncall.AskSwap{Schedule: "primary", Span: oncall.Span{From: span.To, To: span.To.Add(time.Hour)}, With: "lina"})
		b.code(err, kit.CodeConflict, "too_many")
		b.must(b.s.WithdrawSwap(b.as("ana"), x.ID))
		// Nobody else is on the schedule who could be asked.
		_, err = b.s.Ask(b.as("ana"), oncall.AskSwap{Schedule: "primary", Span: oncall.Span{From: span.To, To: span.To.Add(time.Hour)}})
		b.code(err, kit.CodeInvalid, "")
	})
}
