package web

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/holiday"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// loadWeeks is how many weeks back the page of load looks.
const loadWeeks = 8

func (s *server) loadPage(q *req) error {
	if s.Load == nil {
		return kit.NotFound("page", "")
	}
	l, err := s.Load(q.ctx, q.now.AddDate(0, 0, -7*loadWeeks), q.now)
	if err != nil {
		return err
	}
	return q.show("oncall", q.t("web.load.title"), loadView(l))
}

// dots draws a small number as dots, a larger one as a dot and the number.
func dots(n int) string {
	if n <= 5 {
		return strings.Repeat("●", n)
	}
	return "●×" + strconv.Itoa(n)
}

// daysOf is a time as days, to the half.
func daysOf(ctx context.Context, d time.Duration) string {
	half := int((d + 6*time.Hour) / (12 * time.Hour))
	n := strconv.Itoa(half / 2)
	if half%2 == 1 {
		n += map[string]string{"fr": ",5", "en": ".5"}[of(ctx).lang]
	}
	return n
}

// calendarDay is one day of the calendar of a schedule.
type calendarDay struct {
	at      time.Time
	holiday string
	today   bool
	past    bool
	turns   []turn
}

// turn is who comes on duty in a day; From is zero for who has it when the day begins.
type turn struct {
	from   time.Time
	person oncall.Person
	mine   bool
}

// weeksOf lays intervals out as weeks of days in a zone, from the Monday before from.
func weeksOf(slots []oncall.Slot, from, now time.Time, weeks int, zone *time.Location, days holiday.Calendar, me string) [][]calendarDay {
	y, m, d := from.In(zone).Date()
	monday := time.Date(y, m, d-(int(time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Weekday())+6)%7, 0, 0, 0, 0, time.UTC)
	ny, nm, nd := now.In(zone).Date()
	out := make([][]calendarDay, weeks)
	for w := range out {
		for n := range 7 {
			date := monday.AddDate(0, 0, 7*w+n)
			begin := time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, zone)
			end := time.Date(date.Year(), date.Month(), date.Day()+1, 0, 0, 0, 0, zone)
			x := calendarDay{at: begin, holiday: days.On(date.Date()), past: !end.After(now)}
			x.today = date.Year() == ny && date.Month() == nm && date.Day() == nd
			for _, sl := range slots {
				if !sl.From.Before(end) || !begin.Before(sl.To) {
					continue
				}
				t := turn{person: sl.Person, mine: sl.Person.ID != "" && sl.Person.ID == me}
				if sl.From.After(begin) {
					t.from = sl.From
				}
				x.turns = append(x.turns, t)
			}
			out[w] = append(out[w], x)
		}
	}
	return out
}
