package notify

import "time"

// Limit is how much one method of one person bears (model.md 5.2).
type Limit struct {
	// Burst messages leave at once, at least Gap apart; then one each Refill.
	Burst  int64
	Gap    time.Duration
	Refill time.Duration
}

// LimitOf gives the limit of a kind of method.
func LimitOf(kind string) Limit {
	switch kind {
	case "push", "email":
		return Limit{Burst: 5, Refill: 10 * time.Second}
	case "sms", "voice":
		return Limit{Burst: 3, Refill: time.Minute}
	}
	return Limit{Burst: 30, Gap: 200 * time.Millisecond, Refill: time.Second}
}

// Bucket is what is left of a limit. The zero Bucket is full.
type Bucket struct {
	// Milli are the thousandths of tokens left at Filled.
	Milli  int64
	Filled time.Time
	// Last is when the latest message leaves or left.
	Last time.Time
}

// fill brings the bucket to an instant.
func (b Bucket) fill(l Limit, now time.Time) Bucket {
	full := l.Burst * 1000
	if b.Filled.IsZero() {
		b.Milli, b.Filled = full, now
		return b
	}
	passed := now.Sub(b.Filled)
	if passed < 0 {
		// The clock was put back: what the bucket holds counts from now on, or
		// messages would wait until the clock is where it was.
		b.Filled = now
		if b.Last.After(now.Add(time.Duration(l.Burst) * l.Gap)) {
			b.Last = time.Time{}
		}
		return b
	}
	if passed == 0 {
		return b
	}
	gain := int64(passed) * 1000 / int64(l.Refill)
	if b.Milli+gain >= full {
		b.Milli, b.Filled = full, now
		return b
	}
	// What is less than a thousandth stays in Filled, or frequent looks would
	// never gain anything.
	b.Milli += gain
	b.Filled = b.Filled.Add(time.Duration(gain * int64(l.Refill) / 1000))
	return b
}

// Take asks to send a message now. With ok it may leave at the instant given,
// which is now or the end of the gap after the last one; else the next token is
// there at that instant, and what waits until then leaves as one digest.
func (b Bucket) Take(l Limit, now time.Time) (after Bucket, at time.Time, ok bool) {
	b = b.fill(l, now)
	if b.Milli < 1000 {
		missing := 1000 - b.Milli
		wait := time.Duration((missing*int64(l.Refill) + 999) / 1000)
		at = b.Filled.Add(wait)
		if !at.After(now) {
			at = now.Add(time.Millisecond)
		}
		return b, at, false
	}
	at = now
	if earliest := b.Last.Add(l.Gap); !b.Last.IsZero() && earliest.After(now) {
		at = earliest
	}
	b.Milli -= 1000
	b.Last = at
	return b, at, true
}
