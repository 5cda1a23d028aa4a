package notify

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// Answer takes or refuses a page, and with it all that its bundle stands for. The
// page is answered by its own person, with a token of theirs or by the system; a
// token that may acknowledge the incident may also accept it for them.
// Pressing twice changes nothing; a page that another person has answers
// kit.Conflict "taken" with the name.
func (s *Service) Answer(ctx context.Context, pageID string, accept bool) error {
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
		if err := s.owns(ctx, ps[0], accept); err != nil {
			return err
		}
		return s.answer(ctx, tx, ps[0].Bundle, ps[0].Person.ID, accept, method(kit.ActorFrom(ctx).Via))
	})
}

// owns refuses an answer to a page of somebody else. Whoever may not see its incident
// does not learn that there is a page.
func (s *Service) owns(ctx context.Context, p Page, accept bool) error {
	a := kit.ActorFrom(ctx)
	if a.IsSystem() || a.IsPerson() && a.ID == p.Person.ID {
		return nil
	}
	if p.Confidential {
		if a.Kind != kit.ActorToken || s.p.Incidents == nil {
			return kit.NotFound("page", p.ID)
		}
		// A token without the scope sees none of it, not even for who was paged.
		sees, err := s.p.Incidents.Sees(ctx, []string{p.Incident})
		if err != nil {
			return err
		}
		if !sees[p.Incident] {
			return kit.NotFound("page", p.ID)
		}
	}
	if a.Me() == p.Person.ID {
		return nil
	}
	if a.Kind == kit.ActorToken && accept {
		return s.p.Rights.Require(ctx, "incident.acknowledge")
	}
	return kit.Forbidden("page.answer", s.name(ctx, p.Person.ID))
}

// method is how an answer came, as facts and pages say it.
func method(v kit.Via) string { return string(v) }

// AnswerByToken is Answer for the holder of the token of a message, who acts as
// the person it was sent to. For a question accept is yes. For a notice it notes
// that it was seen, for a test that the method works; accept is then without meaning.
func (s *Service) AnswerByToken(ctx context.Context, token string, accept bool, via kit.Via) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		h, err := s.holder(ctx, token)
		if err != nil {
			return err
		}
		ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorPerson, ID: h.person.ID, Name: h.person.Name, Via: via, Language: h.person.Language})
		switch h.kind {
		case "notice":
			return s.seen(ctx, tx, h.id, h.person.ID)
		case "question":
			return s.answerQuestion(ctx, tx, h.id, h.person.ID, accept)
		case "test":
			return s.verified(ctx, tx, h.person.ID, h.id)
		}
		return s.answer(ctx, tx, h.id, h.person.ID, accept, method(via))
	})
}

// AnswerDelivery is AnswerByToken for whoever answers a message by its own way: the key
// pressed in a call. The edge has made sure that the provider says so.
func (s *Service) AnswerDelivery(ctx context.Context, delivery string, accept bool, via kit.Via) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err := s.delivery(ctx, delivery)
		if err != nil {
			return err
		}
		return s.answerDelivery(ctx, tx, &d, accept, via)
	})
}

func (s *Service) answerDelivery(ctx context.Context, tx *db.Tx, d *row, accept bool, via kit.Via) error {
	if d.Person == "" {
		return kit.NotFound("page", d.ID)
	}
	if err := s.confirm(ctx, tx, d); err != nil {
		return err
	}
	ctx = kit.WithActor(ctx, kit.Actor{Kind: kit.ActorPerson, ID: d.Person, Name: d.Name, Via: via, Language: d.Language})
	switch d.Message {
	case "page":
		return s.answer(ctx, tx, d.Bundle, d.Person, accept, method(via))
	case "test":
		return s.verified(ctx, tx, d.Person, d.Method)
	}
	n, err := s.notice(ctx, d.MessageID)
	switch {
	case err != nil:
		return err
	case n.question:
		return s.answerQuestion(ctx, tx, d.MessageID, d.Person, accept)
	}
	return s.seen(ctx, tx, d.MessageID, d.Person)
}

// Replied is what a reply from an address came to.
type Replied struct {
	// Language of the person who replied; empty when nobody was written to there.
	Language string
	// Ref and Page say what was answered; Page is false for a notice or a test.
	Ref  string
	Page bool
}

// AnswerReply answers for the person at an address what they were last sent there: an
// open page before all else. Nothing is answered where nothing was sent within P.stale.
func (s *Service) AnswerReply(ctx context.Context, kind, address string, accept bool, via kit.Via) (Replied, error) {
	var out Replied
	return out, s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = Replied{}
		since := tx.Now().Add(-s.param(ctx, "P.stale", 24*time.Hour))
		ds, err := s.deliveries(ctx, `kind = ? AND addr = ? AND person <> '' AND state IN ('sent', 'confirmed', 'in_doubt') AND sent_at >= ?
			ORDER BY CASE WHEN message = 'page' AND EXISTS (SELECT 1 FROM page p WHERE p.bundle = delivery.bundle AND p.state = 'open') THEN 0 ELSE 1 END, sent_at DESC, id DESC LIMIT 1`,
			kind, address, kit.Micros(since))
		if err != nil {
			return err
		}
		if len(ds) == 0 {
			return kit.NotFound("page", "")
		}
		out = Replied{Language: ds[0].Language, Ref: ds[0].Ref, Page: ds[0].Message == "page"}
		return s.answerDelivery(ctx, tx, &ds[0], accept, via)
	})
}

// AnswerMail answers by e-mail the message that a reply refers to, by the Message-IDs
// without their angles, the oldest first. Whoever has such an id was sent it; the reply
// must come from the address it was sent to besides.
func (s *Service) AnswerMail(ctx context.Context, references []string, from string, accept bool) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, ref := range slices.Backward(references) {
			id, _, _ := strings.Cut(ref, "@")
			d, err := s.delivery(ctx, id)
			if kit.CodeOf(err) == kit.CodeNotFound {
				continue
			}
			if err != nil {
				return err
			}
			if d.Kind == "email" && strings.EqualFold(d.To, from) {
				return s.answerDelivery(ctx, tx, &d, accept, kit.ViaEmail)
			}
		}
		return kit.NotFound("page", "")
	})
}

// AnswerIncident answers the page that the actor has for an incident; not found
// when they were not paged for it.
func (s *Service) AnswerIncident(ctx context.Context, incident string, accept bool) error {
	if err := s.p.Rights.Require(ctx, "page.answer"); err != nil {
		return err
	}
	a := kit.ActorFrom(ctx)
	me := a.Me()
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		ps, err := s.pages(ctx, `incident = ? AND person = ? ORDER BY informs, CASE state WHEN 'open' THEN 0 ELSE 1 END, id DESC LIMIT 1`, incident, me)
		if err != nil {
			return err
		}
		if len(ps) == 0 {
			return kit.NotFound("page", incident)
		}
		return s.answer(ctx, tx, ps[0].Bundle, me, accept, method(a.Via))
	})
}

// answer ends the open pages of a bundle, and those that the person has for the
// same incidents.
func (s *Service) answer(ctx context.Context, tx *db.Tx, bundleID, person string, accept bool, how string) error {
	mine, err := s.pages(ctx, `bundle = ? ORDER BY id`, bundleID)
	if err != nil {
		return err
	}
	if len(mine) == 0 {
		return kit.NotFound("page", bundleID)
	}
	incidents, ladders := map[string]bool{}, map[string]bool{}
	for _, p := range mine {
		incidents[p.Incident], ladders[p.Ladder] = true, true
	}
	// Two people who press at the same instant meet at this lock.
	all, err := s.pages(ctx, `(incident <> '' AND incident IN (?) OR incident = '' AND ladder IN (?)) ORDER BY id`+s.forUpdate(), bun.List(keys(incidents)), bun.List(keys(ladders)))
	if err != nil {
		return err
	}
	if mine[0].Informs {
		// To know of an incident is not to take it.
		all = slices.DeleteFunc(all, func(p Page) bool { return !p.Informs })
	}
	var open []Page
	var holder Page
	done := ""
	for _, p := range all {
		switch {
		case p.Person.ID == person && p.State == PageIsOpen:
			open = append(open, p)
		case p.Bundle == bundleID && (p.State == PageIsAcknowledged || p.State == PageIsRefused):
			done = p.State
		case p.Bundle == bundleID && p.State == PageIsWithdrawn && p.EndedBy != "":
			holder = p
		}
	}
	if len(open) == 0 {
		switch {
		case accept && done == PageIsAcknowledged, !accept && done == PageIsRefused:
			return nil
		case holder.EndedBy == person && accept:
			return nil
		case holder.EndedBy != "" && accept:
			return s.taken(ctx, holder.EndedBy)
		}
		return kit.Conflict("ended", "notify.error.ended")
	}
	if accept {
		free := slices.DeleteFunc(slices.Clone(open), func(p Page) bool { return takenBy(all, p) != nil })
		if len(free) == 0 {
			return s.taken(ctx, takenBy(all, open[0]).Person.ID)
		}
		open = free
	}
	state := PageIsRefused
	if accept {
		state = PageIsAcknowledged
	}
	if err := s.end(ctx, tx, open, state, ending{method: how, by: person}); err != nil {
		return err
	}
	kit.CrashPoint("page.answering")
	return s.confirmAnswered(ctx, tx, bundleID, how)
}

// takenBy gives the page by which somebody accepted what a page asks for after it was
// opened: the page of somebody whom a silent holder made the ladder call is not
// taken by that holder.
func takenBy(all []Page, p Page) *Page {
	for i := range all {
		o := &all[i]
		same := o.Incident == p.Incident && (p.Incident != "" || o.Ladder == p.Ladder) && o.Informs == p.Informs
		if same && o.Person.ID != p.Person.ID && o.State == PageIsAcknowledged && o.EndedReason != PageReturned && !o.AnsweredAt.Before(p.OpenedAt) {
			return o
		}
	}
	return nil
}

func (s *Service) taken(ctx context.Context, by string) error {
	return kit.Conflict("taken", "notify.error.taken", "name", s.name(ctx, by))
}

// confirmAnswered marks the message by which the person answered: that of the kind
// of the way in; by a link, the only one there is.
func (s *Service) confirmAnswered(ctx context.Context, tx *db.Tx, bundleID, how string) error {
	ds, err := s.deliveries(ctx, `bundle = ? AND state IN ('sent', 'in_doubt') ORDER BY sent_at DESC, id DESC`, bundleID)
	if err != nil {
		return err
	}
	methods := map[string]bool{}
	for i := range ds {
		if ds[i].Kind == how {
			return s.confirm(ctx, tx, &ds[i])
		}
		methods[ds[i].Method] = true
	}
	if len(methods) == 1 && how == string(kit.ViaWeb) {
		return s.confirm(ctx, tx, &ds[0])
	}
	return nil
}

// Acknowledged notes that somebody has an incident by other means: their own open
// pages for it are acknowledged, those of the others withdrawn.
func (s *Service) Acknowledged(ctx context.Context, incident, person string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		open, err := s.pages(ctx, `incident = ? AND state = 'open' AND NOT informs ORDER BY id`, incident)
		if err != nil || len(open) == 0 {
			return err
		}
		var own, others []Page
		for _, p := range open {
			if p.Person.ID == person {
				own = append(own, p)
			} else {
				others = append(others, p)
			}
		}
		if err := s.end(ctx, tx, own, PageIsAcknowledged, ending{method: method(kit.ActorFrom(ctx).Via), by: person}); err != nil {
			return err
		}
		return s.end(ctx, tx, others, PageIsWithdrawn, ending{by: person, reason: "answered"})
	})
}

// Withdraw ends the open pages that ask somebody to take an incident, but for those
// of one person, who has taken it. What was not sent yet is not sent any more.
func (s *Service) Withdraw(ctx context.Context, incident, exceptPerson, reason string) error {
	return s.withdraw(ctx, ending{by: exceptPerson, reason: reason}, `incident = ? AND incident <> '' AND NOT informs AND person <> ?`, incident, exceptPerson)
}

// WithdrawLadder is Withdraw for the pages of one ladder, whatever they ask for.
func (s *Service) WithdrawLadder(ctx context.Context, ladder, exceptPerson, reason string) error {
	return s.withdraw(ctx, ending{by: exceptPerson, reason: reason}, `ladder = ? AND person <> ?`, ladder, exceptPerson)
}

// WithdrawInforming ends the open pages that were to make an incident known.
func (s *Service) WithdrawInforming(ctx context.Context, incident, by string) error {
	return s.withdraw(ctx, ending{by: by, reason: "seen"}, `incident = ? AND informs`, incident)
}

// Over ends all that an incident which is over asks of anybody: pages, questions,
// and notices that have not left.
func (s *Service) Over(ctx context.Context, incident, reason string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.withdraw(ctx, ending{reason: reason}, `incident = ? AND incident <> ''`, incident); err != nil {
			return err
		}
		if err := exec(ctx, tx, `UPDATE page SET reason = $1 WHERE incident = $2 AND incident <> '' AND state = 'acknowledged'`, reason, incident); err != nil {
			return err
		}
		notices, err := s.noticesOf(ctx, incident)
		if err != nil {
			return err
		}
		for _, n := range notices {
			if err := s.endNotice(ctx, tx, n, ""); err != nil {
				return err
			}
		}
		return exec(ctx, tx, `UPDATE notice_person SET answer = 'closed' WHERE answer = '' AND notice IN (SELECT id FROM notice WHERE incident = $1 AND question)`, incident)
	})
}

// Gone ends the open pages of a person who works here no more, and gives them: somebody
// else is to be called.
func (s *Service) Gone(ctx context.Context, person string) ([]Page, error) {
	var open []Page
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var err error
		if open, err = s.pages(ctx, `person = ? AND state = 'open' ORDER BY id`, person); err != nil {
			return err
		}
		return s.end(ctx, tx, open, PageIsWithdrawn, ending{reason: "suspended"})
	})
	return open, err
}

func (s *Service) withdraw(ctx context.Context, e ending, where string, args ...any) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		open, err := s.pages(ctx, where+` AND state = 'open' ORDER BY id`, args...)
		if err != nil || len(open) == 0 {
			return err
		}
		return s.end(ctx, tx, open, PageIsWithdrawn, e)
	})
}

// holder is who a token speaks for: id is a bundle, a notice or a method.
type holder struct {
	kind, id string
	person   Person
}

func (s *Service) holder(ctx context.Context, token string) (holder, error) {
	h := hash(token)
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT 'page', id, person FROM bundle WHERE token_hash = ?
		UNION ALL SELECT CASE WHEN n.question THEN 'question' ELSE 'notice' END, p.notice, p.person FROM notice_person p JOIN notice n ON n.id = p.notice WHERE p.token_hash = ?
		UNION ALL SELECT 'test', id, person FROM contact_method WHERE test_hash = ? AND test_hash <> ''`, h, h, h)
	found, err := collect(rows, err, func(r scanner) (x holder, err error) {
		err = r.Scan(&x.kind, &x.id, &x.person.ID)
		return x, err
	})
	if err != nil {
		return holder{}, err
	}
	if len(found) != 1 {
		return holder{}, kit.Errorf(kit.CodeNotFound, "notify.error.no_token")
	}
	people, err := s.known(ctx, found[0].person.ID)
	if err != nil {
		return holder{}, err
	}
	if p, ok := people[found[0].person.ID]; ok {
		found[0].person = p
	}
	return found[0], nil
}

// PageByToken shows the holder of a token what it stands for; it changes nothing.
func (s *Service) PageByToken(ctx context.Context, token string) (View, error) {
	h, err := s.holder(ctx, token)
	if err != nil {
		return View{}, err
	}
	v := View{Kind: h.kind, Person: h.person}
	switch h.kind {
	case "notice", "question":
		return s.noticeView(ctx, v, h.id)
	case "test":
		ms, err := s.storedMethods(ctx, []string{h.person.ID})
		for _, m := range ms[h.person.ID] {
			if m.ID == h.id {
				v.Seen = m.VerifiedAt
			}
		}
		return v, err
	}
	ps, err := s.pages(ctx, `bundle = ? ORDER BY id`, h.id)
	if err != nil || len(ps) == 0 {
		return v, err
	}
	slices.SortStableFunc(ps, func(a, b Page) int {
		if oa, ob := a.State == PageIsOpen, b.State == PageIsOpen; oa != ob {
			if oa {
				return -1
			}
			return 1
		}
		return rank(a.Severity) - rank(b.Severity)
	})
	v.Page, v.Pages = ps[0], len(ps)
	others, err := s.pages(ctx, `incident = ? AND person <> ? AND state = 'acknowledged' ORDER BY ended_at`, v.Page.Incident, h.person.ID)
	if err != nil {
		return v, err
	}
	if by := takenBy(others, v.Page); by != nil {
		v.TakenBy.ID, v.TakenAt = by.Person.ID, by.AnsweredAt
	} else if gaveBack := func(o Page) bool { return o.Person.ID == v.Page.EndedBy && o.EndedReason == PageReturned }; v.Page.State == PageIsWithdrawn && v.Page.EndedBy != "" && !slices.ContainsFunc(others, gaveBack) {
		v.TakenBy.ID, v.TakenAt = v.Page.EndedBy, v.Page.AnsweredAt
	}
	names, err := s.known(ctx, v.Page.NextPerson.ID, v.TakenBy.ID, h.person.ID)
	if err != nil {
		return v, err
	}
	v.Page.Person.Name = names[h.person.ID].Name
	v.Page.NextPerson.Name = names[v.Page.NextPerson.ID].Name
	v.TakenBy.Name = names[v.TakenBy.ID].Name
	for _, p := range ps {
		v.AlertCount += p.Alerts
	}
	if v.Page.Confidential {
		v.Page.Title, v.Page.Service, v.Page.ServiceName, v.Page.Text = "", "", kit.Text{}, ""
		return v, nil
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT dedup_key, title FROM page_alert WHERE bundle = ? AND dedup_key <> '' ORDER BY n LIMIT 20`, h.id)
	v.Alerts, err = collect(rows, err, func(r scanner) (a Alert, err error) { err = r.Scan(&a.DedupKey, &a.Title); return a, err })
	return v, err
}
