package notify

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// The answers to a question.
const (
	AnswerHere    = "here"
	AnswerNotHere = "not_here"
	AnswerClosed  = "closed"
)

// Still is the answer to "Still on it?" of the person who has the incident of a page.
func (s *Service) Still(ctx context.Context, pageID string, here bool) error {
	if err := s.p.Rights.Require(ctx, "page.answer"); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		ps, err := s.pages(ctx, `id = ?`, pageID)
		if err != nil {
			return err
		}
		if len(ps) == 0 {
			return kit.NotFound("page", pageID)
		}
		p := ps[0]
		// What the holder says of themselves nobody says for them.
		if err := s.owns(ctx, p, false); err != nil {
			return err
		}
		return s.still(ctx, tx, p, here)
	})
}

func (s *Service) still(ctx context.Context, tx *db.Tx, p Page, here bool) error {
	if p.State != PageIsAcknowledged || p.Informs {
		return kit.Conflict("not_holder", "notify.error.not_holder")
	}
	if other, err := s.tookSince(ctx, p.Incident, p.Person.ID, p.AnsweredAt); err != nil || other != nil {
		if err != nil {
			return err
		}
		return s.taken(ctx, other.Person.ID)
	}
	return s.checked(ctx, tx, p.Incident, p.Person.ID, here)
}

// GiveBack is for the holder of the token of a page that they have accepted: they
// have it no more, and the next person is paged. Twice changes nothing. It conflicts
// when they do not have it, when somebody else took it since, and when it is over.
func (s *Service) GiveBack(ctx context.Context, token string, via kit.Via) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		h, err := s.holder(ctx, token)
		if err != nil {
			return err
		}
		ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorPerson, ID: h.person.ID, Name: h.person.Name, Via: via, Language: h.person.Language})
		// Two presses at the same instant meet at this lock.
		ps, err := s.pages(ctx, `bundle = ? AND state = 'acknowledged' AND incident <> '' ORDER BY ended_at DESC, id DESC`+s.forUpdate(), h.id)
		switch {
		case err != nil:
			return err
		case h.kind != "page" || len(ps) == 0:
			return kit.Conflict("not_holder", "notify.error.not_holder")
		case ps[0].EndedReason == PageReturned:
			return nil
		case ps[0].EndedReason != "":
			return kit.Conflict("ended", "notify.error.ended")
		}
		// One answer took all incidents of the bundle, so all are given back.
		had := map[string]bool{}
		for _, p := range ps {
			if had[p.Incident] || p.EndedReason != "" {
				continue
			}
			had[p.Incident] = true
			if err := s.still(ctx, tx, p, false); err != nil {
				return err
			}
		}
		return nil
	})
}

// AnswerQuestion is Still for the person whom a question was put to.
func (s *Service) AnswerQuestion(ctx context.Context, question string, here bool) error {
	if err := s.p.Rights.Require(ctx, "page.answer"); err != nil {
		return err
	}
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return s.answerQuestion(ctx, tx, question, kit.ActorFrom(ctx).Me(), here)
	})
}

// Questions lists what a person was asked and has not answered, the latest first.
func (s *Service) Questions(ctx context.Context, person string) ([]NoticeView, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT n.id, n.template, n.incident, n.ref, n.created_at FROM notice n JOIN notice_person p ON p.notice = n.id
		WHERE p.person = ? AND n.question AND p.answer = '' ORDER BY n.id DESC LIMIT 20`, person)
	return collect(rows, err, scanNotice)
}

// answerQuestion is Still for the holder of the token of a question.
func (s *Service) answerQuestion(ctx context.Context, tx *db.Tx, notice, person string, here bool) error {
	n, err := s.notice(ctx, notice)
	if err != nil {
		return err
	}
	var answer string
	err = tx.QueryRow(ctx, `SELECT answer FROM notice_person WHERE notice = $1 AND person = $2`, notice, person).Scan(&answer)
	switch {
	case err != nil:
		return db.NoRows(err, "notice", notice)
	case answer == AnswerClosed:
		return kit.Conflict("ended", "notify.error.ended")
	case answer == word(here):
		return nil
	}
	if other, err := s.tookSince(ctx, n.incident, person, n.created); err != nil || other != nil {
		if err != nil {
			return err
		}
		return s.taken(ctx, other.Person.ID)
	}
	return s.checked(ctx, tx, n.incident, person, here)
}

func word(here bool) string {
	if here {
		return AnswerHere
	}
	return AnswerNotHere
}

// tookSince gives the page by which another person took an incident after an instant.
func (s *Service) tookSince(ctx context.Context, incident, person string, at time.Time) (*Page, error) {
	ps, err := s.pages(ctx, `incident = ? AND person <> ? AND state = 'acknowledged' AND NOT informs AND ended_at > ? ORDER BY ended_at DESC LIMIT 1`,
		incident, person, kit.Micros(at))
	if err != nil || len(ps) == 0 {
		return nil, err
	}
	return &ps[0], nil
}

// checked records the answer of a holder, and that their open questions have it.
func (s *Service) checked(ctx context.Context, tx *db.Tx, incident, person string, here bool) error {
	open, err := s.questions(ctx, incident, person)
	if err != nil {
		return err
	}
	for _, n := range open {
		if err := exec(ctx, tx, `UPDATE notice_person SET answer = $1, seen_at = $2 WHERE notice = $3 AND person = $4 AND answer <> 'closed'`,
			word(here), kit.Micros(tx.Now()), n, person); err != nil {
			return err
		}
		if err := s.endNotice(ctx, tx, n, person); err != nil {
			return err
		}
		sent, err := s.deliveries(ctx, `message = 'notice' AND message_id = ? AND person = ? AND state IN ('sent', 'in_doubt') ORDER BY sent_at DESC LIMIT 2`, n, person)
		if err != nil {
			return err
		}
		if len(sent) == 1 {
			if err := s.confirm(ctx, tx, &sent[0]); err != nil {
				return err
			}
		}
	}
	returned := PageReturned
	if here {
		returned = ""
	}
	if err := exec(ctx, tx, `UPDATE page SET reason = $1 WHERE incident = $2 AND person = $3 AND state = 'acknowledged' AND NOT informs AND reason IN ('', $4)`,
		returned, incident, person, PageReturned); err != nil {
		return err
	}
	subject := ledger.Subject{Kind: "person", ID: person}
	has, err := s.pages(ctx, `incident = ? AND person = ? AND state = 'acknowledged' AND NOT informs ORDER BY ended_at DESC LIMIT 1`, incident, person)
	if err != nil {
		return err
	}
	if len(has) > 0 {
		subject = ledger.Subject{Kind: "page", ID: has[0].ID}
	}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: subject, Incident: incident, Body: PageChecked{Person: person, Answer: word(here)}})
}

// questions gives what a person is asked about an incident and may still answer, or
// answer otherwise.
func (s *Service) questions(ctx context.Context, incident, person string) ([]string, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT n.id FROM notice n JOIN notice_person p ON p.notice = n.id
		WHERE n.incident = ? AND n.question AND p.person = ? AND p.answer <> 'closed' ORDER BY n.id`, incident, person)
	return collect(rows, err, func(r scanner) (id string, err error) { err = r.Scan(&id); return id, err })
}

// replaceQuestion ends what the people were asked about the incident before.
func (s *Service) replaceQuestion(ctx context.Context, tx *db.Tx, id string, n Notice) error {
	if len(n.People) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE notice_person SET answer = 'closed' WHERE person IN (?) AND answer <> 'closed'
		AND notice IN (SELECT id FROM notice WHERE incident = ? AND question AND id <> ?)`, bun.List(n.People), n.Incident, id)
	return db.MapError(err)
}

// ask puts a delivery for each method of a person, as a page would.
func (s *Service) ask(ctx context.Context, tx *db.Tx, d *row, plan []Planned, at time.Time) error {
	for _, m := range plan {
		x := *d
		x.ID, x.Method, x.Kind, x.To, x.Due = kit.NewID(), m.Method.ID, m.Method.Kind, m.Method.To, at.Add(m.After)
		if err := insertDelivery(ctx, tx, &x); err != nil {
			return err
		}
		if err := s.put(ctx, tx, &x, x.Due); err != nil {
			return err
		}
	}
	return nil
}

// noticesOf gives the notices of an incident.
func (s *Service) noticesOf(ctx context.Context, incident string) ([]string, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT id FROM notice WHERE incident = ? AND incident <> '' ORDER BY id`, incident)
	return collect(rows, err, func(r scanner) (id string, err error) { err = r.Scan(&id); return id, err })
}

// CancelNotice takes back what of a notice has not left, and asks no more whether it
// was seen. left tells whether somebody was told already, or is being told.
func (s *Service) CancelNotice(ctx context.Context, id string) (left bool, err error) {
	err = s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.endNotice(ctx, tx, id, ""); err != nil {
			return err
		}
		ds, err := s.deliveries(ctx, `message = 'notice' AND message_id = ? AND state <> 'failed' LIMIT 1`, id)
		left = len(ds) > 0
		return err
	})
	return left, err
}

// Asked gives all who were ever asked to take an incident.
func (s *Service) Asked(ctx context.Context, incident string) ([]string, error) {
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT DISTINCT person FROM page WHERE incident = ? ORDER BY person`, incident)
	return collect(rows, err, func(r scanner) (id string, err error) { err = r.Scan(&id); return id, err })
}

// endNotice removes the deliveries of a notice that never began, all or those to one
// person.
func (s *Service) endNotice(ctx context.Context, tx *db.Tx, id, person string) error {
	waiting, err := s.deliveries(ctx, `message = 'notice' AND message_id = ? AND (person = ? OR ? = '') AND state = 'pending' AND attempt = 0`, id, person, person)
	if err != nil {
		return err
	}
	for _, d := range waiting {
		if err := due.Cancel(ctx, tx, dueNotice, d.ID); err != nil {
			return err
		}
		if err := exec(ctx, tx, `DELETE FROM delivery WHERE id = $1`, d.ID); err != nil {
			return err
		}
	}
	return due.Cancel(ctx, tx, dueUnseen, id)
}

// unseen tells that nobody has seen a notice in its time.
func (s *Service) unseen(ctx context.Context, tx *db.Tx, r due.Row) error {
	n, err := s.notice(ctx, r.Key)
	if kit.CodeOf(err) == kit.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	type one struct {
		person string
		seen   int64
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT person, seen_at FROM notice_person WHERE notice = ? ORDER BY person`, r.Key)
	list, err := collect(rows, err, func(r scanner) (x one, err error) { err = r.Scan(&x.person, &x.seen); return x, err })
	if err != nil {
		return err
	}
	people := make([]string, 0, len(list))
	for _, x := range list {
		if x.seen > 0 {
			return nil
		}
		people = append(people, x.person)
	}
	return ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "notice", ID: r.Key}, Incident: n.incident,
		Body: NoticeUnseen{Template: n.template, People: people, AfterS: int64(n.unseenAfter / time.Second)},
	})
}
