package kit

import "time"

// Load is how on-call lay on people in a span of time.
type Load struct {
	From, To time.Time
	People   []PersonLoad
}

// PersonLoad is the part of one person.
type PersonLoad struct {
	ID, Name string
	// Duty is the time on duty, Weekend and Holiday are the parts on Saturdays and Sundays
	// and on public holidays, Nights those of which the person had half or more.
	Duty, Weekend, Holiday time.Duration
	Nights                 int
	// Calls are how often the person was paged (what shares an answer is one call),
	// NightCalls those from 22:00 to 07:00 by their clock, and Interrupted the nights with
	// at least one.
	Calls, NightCalls, Interrupted int
	// Needed are the calls that were answered and whose incident was no false alarm.
	Needed int
	// Weeks are the calls by week, the oldest first; each begins seven days after the other.
	Weeks []WeekLoad
}

// WeekLoad is the calls of one week.
type WeekLoad struct {
	From              time.Time
	Calls, NightCalls int
}
