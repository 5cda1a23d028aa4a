package incident

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

var incidentRoles = []kit.Role{kit.RoleCommander, kit.RolePrimary, kit.RoleSecondary, kit.RoleCommunications}

func validRole(r kit.Role) error {
	if !slices.Contains(incidentRoles, r) {
		return kit.InvalidField("role", "incident.error.role", "value", string(r))
	}
	return nil
}

func (s *Service) validPerson(ctx context.Context, path, person string) error {
	ok, err := s.people.Active(ctx, person)
	if err != nil {
		return err
	}
	if !ok {
		return kit.InvalidField(path, "incident.error.person", "value", person)
	}
	return nil
}

// AssignRole gives a role to a person. Primary and secondary are never the same.
func (s *Service) AssignRole(ctx context.Context, ref string, role kit.Role, person string) (*Incident, error) {
	return s.command(ctx, ref, "incident.role", 0, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		if err := i.mustBeOpen(); err != nil {
			return nil, err
		}
		if err := validRole(role); err != nil {
			return nil, err
		}
		if err := s.validPerson(ctx, "person", person); err != nil {
			return nil, err
		}
		return s.give(ctx, tx, i, role, person, "rule", "")
	})
}

// give moves a role and says so; it is nothing where the person holds it already.
func (s *Service) give(ctx context.Context, tx *db.Tx, i *Incident, role kit.Role, person, how, reason string) ([]fact, error) {
	from := i.Roles[role]
	if from == person {
		return nil, nil
	}
	if role == kit.RolePrimary && i.Roles[kit.RoleSecondary] == person || role == kit.RoleSecondary && i.Roles[kit.RolePrimary] == person {
		return nil, kit.InvalidField("person", "incident.error.primary_secondary")
	}
	if err := s.setRole(ctx, tx, i.ID, role, person); err != nil {
		return nil, err
	}
	i.Roles[role] = person
	return []fact{RoleAssigned{Role: string(role), Person: person, From: from, How: how, Reason: reason}}, nil
}

// Take takes a role with a reason, when its holder cannot be reached.
func (s *Service) Take(ctx context.Context, ref string, role kit.Role, reason string) (*Incident, error) {
	return s.command(ctx, ref, "incident.take", 0, func(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
		if err := i.mustBeOpen(); err != nil {
			return nil, err
		}
		if err := validRole(role); err != nil {
			return nil, err
		}
		a := kit.ActorFrom(ctx)
		if !a.IsPerson() {
			return nil, kit.Invalid("incident.error.token_no_role")
		}
		reason, err := text.Line("reason", reason, 500)
		if err != nil {
			return nil, err
		}
		return s.give(ctx, tx, i, role, a.ID, "taken", reason)
	})
}

// Handover is an offer of a role.
type Handover struct {
	bun.BaseModel `bun:"table:handover" json:"-"`

	ID        string   `bun:"id,pk" json:"id"`
	Incident  string   `bun:"incident" json:"incident"`
	Role      kit.Role `bun:"role" json:"role"`
	From      string   `bun:"giver" json:"from"`
	To        string   `bun:"taker" json:"to"`
	Briefing  string   `bun:"briefing" json:"briefing"`
	State     string   `bun:"state" json:"state"`
	CreatedAt int64    `bun:"created_at" json:"-"`
}

// Offer offers a role; it stays with the giver until the offer is accepted.
func (s *Service) Offer(ctx context.Context, ref string, role kit.Role, to, briefing string) (Handover, error) {
	var h Handover
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, tx)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, "incident.handover", held(ctx, i)...); err != nil {
			return err
		}
		if err := i.mustBeOpen(); err != nil {
			return err
		}
		if err := validRole(role); err != nil {
			return err
		}
		if err := s.validPerson(ctx, "to", to); err != nil {
			return err
		}
		if i.Roles[role] == to {
			return kit.InvalidField("to", "incident.error.holds_already")
		}
		briefing, err := text.Clean("briefing", briefing, text.MaxNote, true)
		if err != nil {
			return err
		}
		h = Handover{ID: kit.NewIDAt(tx.Now()), Incident: i.ID, Role: role, From: i.Roles[role], To: to, Briefing: briefing, State: "offered", CreatedAt: kit.Micros(tx.Now())}
		// A newer offer of the same role stands in place of an older one.
		var old []Handover
		if err := tx.NewSelect().Model(&old).Where("incident = ? AND role = ? AND state = 'offered'", i.ID, role).Scan(ctx); err != nil {
			return db.MapError(err)
		}
		for _, o := range old {
			if err := s.endHandover(ctx, tx, i, &o, "withdrawn", HandoverWithdrawn{Role: string(o.Role), From: o.From, To: o.To}); err != nil {
				return err
			}
		}
		if _, err := tx.NewInsert().Model(&h).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		if err := s.name(ctx, tx, i.ID, to, "hand-over"); err != nil {
			return err
		}
		return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "handover", ID: h.ID}, Incident: i.ID, Body: HandoverOffered{Role: string(role), From: h.From, To: to, Briefing: briefing}})
	})
	return h, err
}

func (s *Service) endHandover(ctx context.Context, tx *db.Tx, i *Incident, h *Handover, state string, f fact) error {
	h.State = state
	if _, err := tx.NewUpdate().Model(h).Column("state").WherePK().Exec(ctx); err != nil {
		return db.MapError(err)
	}
	return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "handover", ID: h.ID}, Incident: i.ID, Body: f})
}

// AnswerHandover accepts or refuses an offer; only the person it was made to may.
func (s *Service) AnswerHandover(ctx context.Context, ref, id string, accept bool) (*Incident, error) {
	return s.settleHandover(ctx, ref, id, func(ctx context.Context, tx *db.Tx, i *Incident, h *Handover) error {
		if a := kit.ActorFrom(ctx); !a.IsPerson() || a.ID != h.To {
			return kit.Forbidden("incident.handover", h.To)
		}
		if !accept {
			return s.endHandover(ctx, tx, i, h, "refused", HandoverRefused{Role: string(h.Role), From: h.From, To: h.To})
		}
		if err := s.endHandover(ctx, tx, i, h, "accepted", HandoverAccepted{Role: string(h.Role), From: h.From, To: h.To}); err != nil {
			return err
		}
		facts, err := s.give(ctx, tx, i, h.Role, h.To, "hand_over", "")
		if err != nil || len(facts) == 0 {
			return err
		}
		if err := s.save(ctx, tx, i); err != nil {
			return err
		}
		return s.append(ctx, tx, i, facts...)
	})
}

// WithdrawHandover takes an offer back.
func (s *Service) WithdrawHandover(ctx context.Context, ref, id string) (*Incident, error) {
	return s.settleHandover(ctx, ref, id, func(ctx context.Context, tx *db.Tx, i *Incident, h *Handover) error {
		if err := s.rights.Require(ctx, "incident.handover", held(ctx, i)...); err != nil {
			return err
		}
		return s.endHandover(ctx, tx, i, h, "withdrawn", HandoverWithdrawn{Role: string(h.Role), From: h.From, To: h.To})
	})
}

func (s *Service) settleHandover(ctx context.Context, ref, id string, fn func(context.Context, *db.Tx, *Incident, *Handover) error) (*Incident, error) {
	var out *Incident
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, tx)
		if err != nil {
			return err
		}
		out = i
		var h Handover
		if err := tx.NewSelect().Model(&h).Where("id = ? AND incident = ?", id, i.ID).Scan(ctx); err != nil {
			return db.NoRows(err, "handover", id)
		}
		if h.State != "offered" {
			return kit.Conflict("settled", "incident.error.handover_settled", "state", h.State)
		}
		return fn(ctx, tx, i, &h)
	})
	return out, err
}

// Handovers lists the offers of an incident that wait for an answer.
func (s *Service) Handovers(ctx context.Context, incident string) ([]Handover, error) {
	var out []Handover
	err := s.d.Read(ctx).NewSelect().Model(&out).Where("incident = ? AND state = 'offered'", incident).OrderExpr("id").Scan(ctx)
	return out, db.MapError(err)
}

// OfferedTo lists the offers that wait for a person.
func (s *Service) OfferedTo(ctx context.Context, person string) ([]Handover, error) {
	var out []Handover
	err := s.d.Read(ctx).NewSelect().Model(&out).Where("taker = ? AND state = 'offered'", person).OrderExpr("id").Scan(ctx)
	return out, db.MapError(err)
}
