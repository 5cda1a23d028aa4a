package notify

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// Notice tells people something that asks for no answer within minutes, by e-mail
// first; reactions call it within their transaction. It gives the id of the notice.
func (s *Service) Notice(ctx context.Context, n Notice) (string, error) {
	if err := s.p.Rights.Require(ctx, "page.someone"); err != nil {
		return "", err
	}
	if len(n.People)+len(n.Addresses) == 0 {
		return "", nil
	}
	args, err := encodeArgs(n.Args)
	if err != nil {
		return "", err
	}
	slices.Sort(n.People)
	n.People = slices.Compact(n.People)
	people := map[string]Person{}
	if len(n.People) > 0 {
		if people, err = s.known(ctx, n.People...); err != nil {
			return "", err
		}
	}
	id := kit.NewID()
	return id, s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := tx.Now()
		if err := exec(ctx, tx, `INSERT INTO notice (id, template, incident, ref, severity, confidential, args, created_at, question, unseen_after)
			VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)`,
			id, n.Template, n.Incident, n.Ref, n.Severity, n.Confidential, args, kit.Micros(now), n.Question, n.UnseenAfter.Microseconds()); err != nil {
			return err
		}
		if n.UnseenAfter > 0 {
			if err := due.At(ctx, tx, dueUnseen, id, s.leaseTime(now.Add(n.UnseenAfter)), struct{}{}); err != nil {
				return err
			}
		}
		var rules map[string][]Rule
		if n.Question {
			if err := s.replaceQuestion(ctx, tx, id, n); err != nil {
				return err
			}
			var err error
			if rules, err = s.storedRules(ctx, keys(people)); err != nil {
				return err
			}
		}
		methods, err := s.methodsOf(ctx, people)
		if err != nil {
			return err
		}
		quiet := map[string]QuietHours{}
		if NoticeWaits(n.Severity, n.Urgent) && len(people) > 0 {
			if quiet, err = s.storedQuiet(ctx, keys(people)); err != nil {
				return err
			}
		}
		start := now
		if n.At.After(start) {
			start = n.At
		}
		for _, pid := range keys(people) {
			p := people[pid]
			if err := exec(ctx, tx, `INSERT INTO notice_person (notice, person, token_hash, seen_at) VALUES ($1,$2,$3,0)`, id, pid, hash(s.token("notice", id+"|"+pid))); err != nil {
				return err
			}
			at := start
			if until, ok := quiet[pid].Until(start, zone(p.Timezone)); ok {
				at = until
			}
			d := &row{
				ID: kit.NewID(), Message: "notice", MessageID: id, Incident: n.Incident, Ref: n.Ref, RecipientKind: "person", Person: pid, Name: p.Name,
				Language: p.Language, Zone: p.Timezone, State: Pending, Created: now, Due: at,
			}
			if n.Question {
				if plan := PlanOf(methods[pid], rules[pid], n.Severity); len(plan) > 0 {
					if err := s.ask(ctx, tx, d, plan, at); err != nil {
						return err
					}
					continue
				}
			}
			m, ok := forNotice(methods[pid])
			if !ok {
				d.Method, d.Kind, d.State, d.Error = "none", "none", Failed, "notify.error.no_method"
				if err := insertDelivery(ctx, tx, d); err != nil {
					return err
				}
				if err := ledger.Append(ctx, tx, deliveryFact(d, DeliveryFailed{delivered(d)})); err != nil {
					return err
				}
				continue
			}
			d.Method, d.Kind, d.To = m.ID, m.Kind, m.To
			if err := insertDelivery(ctx, tx, d); err != nil {
				return err
			}
			if err := s.put(ctx, tx, d, at); err != nil {
				return err
			}
		}
		told := keys(people)
		for _, a := range n.Addresses {
			d := &row{
				ID: kit.NewID(), Message: "notice", MessageID: id, Incident: n.Incident, Ref: n.Ref, RecipientKind: "contact", Name: a.Name,
				Language: a.Language, Zone: a.Timezone, Method: a.Kind, Kind: a.Kind, To: a.To, State: Pending, Created: now, Due: start,
			}
			if err := insertDelivery(ctx, tx, d); err != nil {
				return err
			}
			if err := s.put(ctx, tx, d, start); err != nil {
				return err
			}
		}
		return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "notice", ID: id}, Incident: n.Incident, Body: NoticeQueued{Template: n.Template, People: told}})
	})
}

// forNotice chooses the method of a notice: e-mail, else the first that works.
func forNotice(ms []Method) (Method, bool) {
	var first *Method
	for i := range ms {
		if ms[i].Disabled != "" {
			continue
		}
		if ms[i].Kind == "email" {
			return ms[i], true
		}
		if first == nil {
			first = &ms[i]
		}
	}
	if first == nil {
		return Method{}, false
	}
	return *first, true
}

// noticeElsewhere tries the next method of the person after one that failed.
func (s *Service) noticeElsewhere(ctx context.Context, tx *db.Tx, d *row) error {
	if d.Person == "" {
		return nil
	}
	people, err := s.known(ctx, d.Person)
	if err != nil {
		return err
	}
	methods, err := s.methodsOf(ctx, people)
	if err != nil {
		return err
	}
	tried, err := s.deliveries(ctx, `message = 'notice' AND message_id = ? AND person = ?`, d.MessageID, d.Person)
	if err != nil {
		return err
	}
	for _, m := range methods[d.Person] {
		if m.Disabled != "" || slices.ContainsFunc(tried, func(o row) bool { return o.Method == m.ID }) {
			continue
		}
		n := *d
		n.ID, n.Method, n.Kind, n.To, n.State, n.Attempt, n.Error = kit.NewID(), m.ID, m.Kind, m.To, Pending, 0, ""
		n.Created, n.Due, n.First, n.ProviderID = tx.Now(), tx.Now(), time.Time{}, ""
		if err := insertDelivery(ctx, tx, &n); err != nil {
			return err
		}
		return s.put(ctx, tx, &n, n.Due)
	}
	return nil
}

// Seen notes that the actor has seen a notice.
func (s *Service) Seen(ctx context.Context, notice string) error {
	return s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return s.seen(ctx, tx, notice, kit.ActorFrom(ctx).ID)
	})
}

func (s *Service) seen(ctx context.Context, tx *db.Tx, notice, person string) error {
	n, err := changed(ctx, tx, `UPDATE notice_person SET seen_at = $1 WHERE notice = $2 AND person = $3 AND seen_at = 0`, kit.Micros(tx.Now()), notice, person)
	if err != nil {
		return err
	}
	if n == 0 {
		var one int
		err := s.d.Read(ctx).QueryRowContext(ctx, `SELECT 1 FROM notice_person WHERE notice = ? AND person = ?`, notice, person).Scan(&one)
		return db.NoRows(err, "notice", notice)
	}
	stored, err := s.notice(ctx, notice)
	if err != nil {
		return err
	}
	if err := due.Cancel(ctx, tx, dueUnseen, notice); err != nil {
		return err
	}
	if err := ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "notice", ID: notice}, Incident: stored.incident, Body: NoticeSeen{Template: stored.template, Person: person},
	}); err != nil {
		return err
	}
	ds, err := s.deliveries(ctx, `message = 'notice' AND message_id = ? AND person = ? AND state IN ('sent', 'in_doubt') ORDER BY sent_at DESC LIMIT 1`, notice, person)
	if err != nil || len(ds) == 0 {
		return err
	}
	return s.confirm(ctx, tx, &ds[0])
}

// Notices lists the notices of an incident, the latest 200, with who has seen them.
func (s *Service) Notices(ctx context.Context, incident string) ([]NoticeView, error) {
	if err := s.p.Rights.Require(ctx, "incident.see"); err != nil {
		return nil, err
	}
	rows, err := s.d.Read(ctx).QueryContext(ctx, `SELECT id, template, incident, ref, created_at FROM notice WHERE incident = ? ORDER BY id DESC LIMIT 200`, incident)
	list, err := collect(rows, err, scanNotice)
	if err != nil || len(list) == 0 {
		return list, err
	}
	ids := make([]string, len(list))
	at := map[string]int{}
	for i := range list {
		ids[i], at[list[i].ID] = list[i].ID, i
	}
	seen, err := s.d.Read(ctx).QueryContext(ctx, `SELECT notice, person, seen_at FROM notice_person WHERE notice IN (?)`, bun.List(ids))
	_, err = collect(seen, err, func(r scanner) (struct{}, error) {
		var n, p string
		var t int64
		err := r.Scan(&n, &p, &t)
		if err == nil {
			list[at[n]].Seen[p] = kit.FromMicros(t)
		}
		return struct{}{}, err
	})
	return list, err
}

func scanNotice(r scanner) (v NoticeView, err error) {
	var at int64
	err = r.Scan(&v.ID, &v.Template, &v.Incident, &v.Ref, &at)
	v.At, v.Seen = kit.FromMicros(at), map[string]time.Time{}
	return v, err
}

type storedNotice struct {
	template, incident, ref, severity, args string
	confidential, question                  bool
	created                                 time.Time
	unseenAfter                             time.Duration
}

func (s *Service) notice(ctx context.Context, id string) (n storedNotice, err error) {
	var created, after int64
	err = s.d.Read(ctx).QueryRowContext(ctx, `SELECT template, incident, ref, severity, confidential, args, question, created_at, unseen_after FROM notice WHERE id = ?`, id).
		Scan(&n.template, &n.incident, &n.ref, &n.severity, &n.confidential, &n.args, &n.question, &created, &after)
	n.created, n.unseenAfter = kit.FromMicros(created), time.Duration(after)*time.Microsecond
	return n, db.NoRows(err, "notice", id)
}

// words gives subject and text of a notice for one reader.
func (s *Service) words(n storedNotice, lang, tz string) (subject, body string, err error) {
	sev := s.severity(lang, n.severity)
	if n.confidential {
		return s.t(lang, "message.notice.confidential.subject", "ref", n.ref, "severity", sev), s.t(lang, "message.notice.confidential.text", "ref", n.ref), nil
	}
	args, err := s.decodeArgs(n.args, lang, tz)
	if err != nil {
		return "", "", err
	}
	if _, ok := args["ref"]; !ok {
		args["ref"] = n.ref
	}
	if _, ok := args["severity"]; !ok {
		args["severity"] = sev
	}
	key := "message.notice." + n.template
	return s.p.Words.T(lang, key+".subject", args), s.p.Words.T(lang, key+".text", args), nil
}

func (s *Service) renderNotice(ctx context.Context, d *row) (*letter, webhook, error) {
	n, err := s.notice(ctx, d.MessageID)
	if err != nil {
		return nil, webhook{}, err
	}
	lang := d.Language
	kind := "notice"
	if n.question {
		kind = "question"
	}
	m := &letter{Lang: lang, Button: s.t(lang, "message."+kind+".button")}
	var body string
	if m.Subject, body, err = s.words(n, lang, d.Zone); err != nil {
		return nil, webhook{}, err
	}
	m.Lines = []string{body}
	if d.Person != "" {
		m.Link = s.link("notice", d.MessageID+"|"+d.Person)
		m.Second = s.t(lang, "message."+kind+".link", "url", m.Link)
	}
	if d.Person != "" {
		m.Brief = Brief{What: m.Subject, Accept: m.Button, Reply: s.t(lang, "message.confirm.reply"), Spoken: m.Subject + ". " + body, Keys: s.t(lang, "message.confirm.keys")}
		if n.question {
			m.Asks = true
			m.Brief.Reply, m.Brief.Keys = s.t(lang, "message.question.reply"), s.t(lang, "message.question.keys")
			m.Brief.Accept, m.Brief.Refuse = s.t(lang, "message.question.accept"), s.t(lang, "message.question.refuse")
		}
	} else {
		m.Brief.Spoken = m.Subject + ". " + body
	}
	if n.ref != "" && d.Person != "" {
		m.Footer = s.t(lang, "message.notice.open", "url", s.base()+"/incidents/"+n.ref)
	}
	return m, webhook{Type: "notice", Data: webhookNotice{
		Template: n.template, Incident: n.incident, Ref: n.ref, Subject: m.Subject, Text: body, URL: m.Link, Person: d.Person, IdempotencyKey: d.ID,
	}}, nil
}

func (s *Service) noticeView(ctx context.Context, v View, id string) (View, error) {
	n, err := s.notice(ctx, id)
	if err != nil {
		return v, err
	}
	if v.Subject, v.Text, err = s.words(n, v.Person.Language, v.Person.Timezone); err != nil {
		return v, err
	}
	v.Page.Ref, v.Page.Severity, v.Page.Incident = n.ref, n.severity, n.incident
	var seen int64
	err = s.d.Read(ctx).QueryRowContext(ctx, `SELECT seen_at, answer FROM notice_person WHERE notice = ? AND person = ?`, id, v.Person.ID).Scan(&seen, &v.Answer)
	v.Seen = kit.FromMicros(seen)
	if err != nil || !n.question {
		return v, db.MapError(err)
	}
	other, err := s.tookSince(ctx, n.incident, v.Person.ID, n.created)
	if other != nil {
		v.TakenBy, v.TakenAt = Named{ID: other.Person.ID, Name: s.name(ctx, other.Person.ID)}, other.AnsweredAt
	}
	return v, err
}

// arg keeps the kind of an argument over the database.
type arg struct {
	Time int64     `json:"t,omitempty"`
	Text *kit.Text `json:"x,omitempty"`
	Any  any       `json:"v,omitempty"`
}

func encodeArgs(args map[string]any) (string, error) {
	out := make(map[string]arg, len(args))
	for k, v := range args {
		switch x := v.(type) {
		case time.Time:
			out[k] = arg{Time: kit.Micros(x)}
		case kit.Text:
			out[k] = arg{Text: &x}
		default:
			out[k] = arg{Any: v}
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return "", kit.Internal(err)
	}
	return string(raw), nil
}

func (s *Service) decodeArgs(raw, lang, tz string) (map[string]any, error) {
	var in map[string]arg
	if err := json.Unmarshal([]byte(raw), &in); err != nil {
		return nil, kit.Internal(err)
	}
	out := make(map[string]any, len(in))
	for k, a := range in {
		switch {
		case a.Time != 0:
			out[k] = s.p.Words.Time(lang, kit.FromMicros(a.Time), zone(tz), s.d.Now())
		case a.Text != nil:
			out[k] = a.Text.In(lang)
		default:
			out[k] = a.Any
			if f, ok := a.Any.(float64); ok && f == float64(int64(f)) {
				out[k] = int64(f)
			}
		}
		if out[k] == nil {
			out[k] = ""
		}
	}
	return out, nil
}
