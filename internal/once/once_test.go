package once_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/once"
)

func TestOnce(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		ctx, ran := context.Background(), 0
		do := func(fail error) (*once.Answer, error) {
			return once.Do(ctx, d, "key", "sum", func(context.Context) (once.Answer, error) {
				ran++
				return once.Answer{Status: 201, Headers: "{}", Body: "made"}, fail
			})
		}
		broken := kit.Conflict("broken", "error.exists")
		if _, err := do(broken); !errors.Is(err, broken) {
			t.Fatalf("%v", err)
		}
		if first, err := do(nil); err != nil || first != nil {
			t.Fatalf("after an error: %+v, %v", first, err)
		}
		if first, err := do(nil); err != nil || first == nil || first.Status != 201 || first.Body != "made" || first.Digest != "sum" || ran != 2 {
			t.Fatalf("again: %+v, %v, ran %d times", first, err, ran)
		}
		clock.Advance(25 * time.Hour)
		if first, err := do(nil); err != nil || first != nil || ran != 3 {
			t.Fatalf("a day later: %+v, %v", first, err)
		}
	})
}

func TestClaim(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		claim := func(ctx context.Context) *once.Answer {
			t.Helper()
			first, err := once.Claim(ctx, d, "form", "")
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			return first
		}
		if claim(ctx) != nil {
			t.Fatal("a new key was used before")
		}
		// The second one waits for the first.
		got := make(chan *once.Answer)
		go func() {
			first, _ := once.Claim(ctx, d, "form", "")
			got <- first
		}()
		if err := once.Keep(ctx, d, "form", once.Answer{Status: 303, Headers: "/there"}); err != nil {
			t.Fatal(err)
		}
		if first := <-got; first == nil || first.Headers != "/there" {
			t.Fatalf("%+v", first)
		}
		// Whoever never came back leaves a key that says so, until it is dropped.
		if err := once.Drop(ctx, d, "form"); err != nil {
			t.Fatal(err)
		}
		if claim(ctx) != nil {
			t.Fatal("a dropped key was used before")
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if first := claim(short); first == nil || first.Status != 0 {
			t.Fatalf("%+v", first)
		}
	})
}
