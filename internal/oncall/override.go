package oncall

import (
	"context"
	"fmt"
	"time"

	ics "github.com/arran4/golang-ical"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Overrides gives the overrides of a schedule made by hand that end after an
// instant, in the order in which they were made, the removed ones left out.
func (s *Service) Overrides(ctx context.Context, id string, after time.Time) ([]Override, error) {
	if err := s.p.Rights.Require(ctx, "schedule.see"); err != nil {
		return nil, err
	}
	rows, err := s.overridesAfter(ctx, id, after, false)
	if err != nil {
		return nil, err
	}
	out := make([]Override, len(rows[id]))
	for i := range rows[id] {
		out[i] = rows[id][i].override()
	}
	return out, nil
}

// AddOverride puts a person on duty for a time that has not ended, at most 400
// days. Whoever may not edit schedules may give away the shifts they hold themselves.
func (s *Service) AddOverride(ctx context.Context, schedule, person string, from, to time.Time) (Override, error) {
	from, to = kit.Truncate(from), kit.Truncate(to)
	actor := kit.ActorFrom(ctx)
	row := overrideRow{ID: kit.NewID(), ScheduleID: schedule, Person: person, FromAt: kit.Micros(from), ToAt: kit.Micros(to), MadeBy: actor.ID}
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		mayEdit := s.p.Rights.Require(ctx, "schedule.edit")
		if mayEdit != nil {
			if err := s.p.Rights.Require(ctx, "override.own"); err != nil {
				return err
			}
		}
		var head scheduleRow
		if err := tx.ForUpdate(tx.NewSelect().Model(&head).Where("s.id = ? AND s.retired_at = 0", schedule)).Scan(ctx); err != nil {
			return db.NoRows(err, "schedule", schedule)
		}
		var bad kit.Fields
		switch {
		case !from.Before(to):
			bad.Add("to", "oncall.error.override_empty")
		case !tx.Now().Before(to):
			bad.Add("to", "oncall.error.override_past")
		case to.Sub(from) > maxRange:
			bad.Add("to", "oncall.error.range", "days", int(maxRange/(24*time.Hour)))
		}
		if err := s.checkPeople(ctx, map[string]string{"person": person}, &bad); err != nil {
			return err
		}
		if err := bad.Err(); err != nil {
			return err
		}
		if mayEdit != nil {
			if !actor.IsPerson() {
				return mayEdit
			}
			if err := s.holds(ctx, schedule, actor.ID, later(from, tx.Now()), to, mayEdit); err != nil {
				return err
			}
		}
		row.ValidFrom = kit.Micros(tx.Now())
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		return overridden(ctx, tx, schedule, OverrideCreated{Override: row.ID, Person: person, From: from, To: to})
	})
	return row.override(), err
}

// holds answers denied unless the person has every moment of the time.
func (s *Service) holds(ctx context.Context, schedule, person string, from, to time.Time, denied error) error {
	list, err := s.intervals(ctx, schedule, from, to)
	if err != nil {
		return err
	}
	for _, iv := range list {
		if iv.Person != person {
			return denied
		}
	}
	return nil
}

func overridden(ctx context.Context, tx *db.Tx, schedule string, b ledger.Body) error {
	return defined(ctx, tx, "schedule", schedule, b)
}

// RemoveOverride ends an override now; what it was before stays in the calendar.
// Whoever may not edit schedules may remove those they made.
func (s *Service) RemoveOverride(ctx context.Context, id string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		mayEdit := s.p.Rights.Require(ctx, "schedule.edit")
		if mayEdit != nil {
			if err := s.p.Rights.Require(ctx, "override.own"); err != nil {
				return err
			}
		}
		var row overrideRow
		if err := tx.ForUpdate(tx.NewSelect().Model(&row).Where("o.id = ? AND o.removed_at = 0", id)).Scan(ctx); err != nil {
			return db.NoRows(err, "override", id)
		}
		if a := kit.ActorFrom(ctx); mayEdit != nil && (!a.IsPerson() || row.MadeBy != a.ID) {
			return mayEdit
		}
		if _, err := tx.NewUpdate().Model((*overrideRow)(nil)).Set("removed_at = ?", kit.Micros(tx.Now())).Where("id = ?", id).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		o := row.override()
		return overridden(ctx, tx, row.ScheduleID, OverrideRemoved{Override: id, Person: o.Person, From: o.From, To: o.To})
	})
}

// ICS gives a schedule as an iCalendar file (RFC 5545), from a week ago to half a
// year ahead. A person limits it to their shifts.
func (s *Service) ICS(ctx context.Context, id, person string) ([]byte, error) {
	sc, err := s.Schedule(ctx, id)
	if err != nil {
		return nil, err
	}
	now := s.d.Now()
	slots, err := s.Intervals(ctx, id, now.Add(-past), now.AddDate(0, 0, 183))
	if err != nil {
		return nil, err
	}
	name := sc.Name.In(kit.ActorFrom(ctx).Language)
	if name == "" {
		name = sc.ID
	}
	cal := ics.NewCalendarFor("Tocsin")
	cal.SetProductId("-//Tocsin//On-call//EN")
	cal.SetXWRCalName(name)
	for _, sl := range slots {
		// The calendar begins earlier than it shows, so that an event keeps its identity from day to day.
		if sl.Person.ID == "" || sl.To.Before(now.AddDate(0, 0, -7)) || person != "" && sl.Person.ID != person {
			continue
		}
		ev := cal.AddEvent(fmt.Sprintf("%s-%d-%s@tocsin", id, sl.From.Unix(), sl.Person.ID))
		ev.SetDtStampTime(now)
		ev.SetStartAt(sl.From)
		ev.SetEndAt(sl.To)
		ev.SetSummary(sl.Person.Name + " – " + name)
	}
	return []byte(cal.Serialize(ics.WithNewLineWindows)), nil
}
