package incident

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// Factor is one thing that made the incident possible.
type Factor struct {
	Text string `json:"text"`
	// Kind: trigger, root, contributing, barrier, luck.
	Kind string `json:"kind"`
	// Category: people, process, technology, environment, data, third_party.
	Category string   `json:"category"`
	Evidence []string `json:"evidence,omitempty"`
}

// RiskLink ties the review to the risk register; Ref is empty for "no change".
type RiskLink struct {
	Ref    string `json:"ref,omitempty"`
	Effect string `json:"effect"`
	Reason string `json:"reason,omitempty"`
}

// ReviewContent is what people write in a review.
type ReviewContent struct {
	Summary        kit.Text   `json:"summary"`
	Factors        []Factor   `json:"factors"`
	WentWell       string     `json:"went_well"`
	Surprised      string     `json:"surprised"`
	NoActionReason string     `json:"no_action_reason"`
	Risks          []RiskLink `json:"risks"`
	PublicSummary  kit.Text   `json:"public_summary"`
	Impact         string     `json:"impact"`
	Authors        []string   `json:"authors"`
	Approver       string     `json:"approver,omitempty"`
	ApprovedAt     *time.Time `json:"approved_at,omitempty"`
	// Exceptions are what approval listed without refusing.
	Exceptions []string `json:"exceptions,omitempty"`
}

// Review is one version of the post-incident review.
type Review struct {
	Incident string    `json:"incident"`
	Version  int64     `json:"version"`
	State    string    `json:"state"`
	Due      time.Time `json:"due"`
	ReviewContent
	// Actions are agreed in the review or during the incident.
	Actions []Action `json:"actions"`
}

// The states of a review.
const (
	ReviewDraft      = "draft"
	ReviewInReview   = "in_review"
	ReviewIsApproved = "approved"
	ReviewSuperseded = "superseded"
)

type reviewRow struct {
	bun.BaseModel `bun:"table:review,alias:rv"`

	Incident string `bun:"incident,pk"`
	Version  int64  `bun:"version,pk"`
	State    string `bun:"state"`
	DueAt    int64  `bun:"due_at"`
	Content  string `bun:"content"`
}

func (r *reviewRow) review() (Review, error) {
	out := Review{Incident: r.Incident, Version: r.Version, State: r.State, Due: kit.FromMicros(r.DueAt)}
	if err := json.Unmarshal([]byte(r.Content), &out.ReviewContent); err != nil {
		return out, kit.Internal(err)
	}
	return out, nil
}

// current reads the newest version; ok is false when there is none.
func (s *Service) current(ctx context.Context, incident string) (Review, bool, error) {
	var rows []reviewRow
	if err := s.d.Read(ctx).NewSelect().Model(&rows).Where("incident = ?", incident).OrderExpr("version DESC").Limit(1).Scan(ctx); err != nil {
		return Review{}, false, db.MapError(err)
	}
	if len(rows) == 0 {
		return Review{}, false, nil
	}
	r, err := rows[0].review()
	return r, true, err
}

func (s *Service) approvedVersion(ctx context.Context, incident string) (int64, error) {
	r, ok, err := s.current(ctx, incident)
	if err != nil || !ok || r.State != ReviewIsApproved {
		return 0, err
	}
	return r.Version, nil
}

func (s *Service) putReview(ctx context.Context, tx *db.Tx, r Review) error {
	row := &reviewRow{Incident: r.Incident, Version: r.Version, State: r.State, DueAt: kit.Micros(r.Due), Content: pack(r.ReviewContent)}
	_, err := tx.NewInsert().Model(row).On("CONFLICT (incident, version) DO UPDATE").
		Set("state = EXCLUDED.state, content = EXCLUDED.content, due_at = EXCLUDED.due_at").Exec(ctx)
	return db.MapError(err)
}

// draftReview makes the pre-filled draft on entering the review, due P.review
// after recovery.
func (s *Service) draftReview(ctx context.Context, tx *db.Tx, i *Incident) ([]fact, error) {
	old, ok, err := s.current(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	due, err := s.reviewDue(ctx, i)
	if err != nil {
		return nil, err
	}
	if ok && (old.State == ReviewDraft || old.State == ReviewInReview) {
		old.Due = due
		return nil, s.putReview(ctx, tx, old)
	}
	r := Review{Incident: i.ID, Version: 1, State: ReviewDraft, Due: due}
	if ok {
		r.Version, r.ReviewContent = old.Version+1, old.ReviewContent
		r.Approver, r.ApprovedAt, r.Exceptions = "", nil, nil
	}
	if r.Factors == nil {
		r.Factors = []Factor{}
	}
	if r.Risks == nil {
		r.Risks = []RiskLink{}
	}
	if r.Authors == nil {
		r.Authors = []string{}
	}
	// Work left open becomes proposed actions, for people to keep or drop.
	if !ok {
		tasks, err := s.Tasks(ctx, i.ID)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if t.State != "open" {
				continue
			}
			if _, err := s.createAction(ctx, tx, i, ActionInput{Type: "corrective", Text: t.Text, Owner: t.Owner}); err != nil {
				return nil, err
			}
		}
	}
	if err := s.putReview(ctx, tx, r); err != nil {
		return nil, err
	}
	return []fact{ReviewCreated{Version: r.Version, Due: due}}, nil
}

// reviewDue is the end of the last day, in the organisation's zone.
func (s *Service) reviewDue(ctx context.Context, i *Incident) (time.Time, error) {
	limit, err := s.settings.Limit(ctx, ReviewDays(i.LevelFacts()))
	if err != nil {
		return time.Time{}, err
	}
	zone, err := s.settings.Zone(ctx)
	if err != nil {
		return time.Time{}, err
	}
	from := i.RecoveredAt
	if from.IsZero() {
		from = s.d.Now()
	}
	y, m, d := from.In(zone).Date()
	return time.Date(y, m, d+int(limit/(24*time.Hour)), 23, 59, 59, 0, zone).UTC(), nil
}

// reviewBackToDraft follows an incident that leaves the review backwards: what is
// written stays, as a draft; an approved version stays as it was, and a new one
// goes on from it.
func (s *Service) reviewBackToDraft(ctx context.Context, tx *db.Tx, incident, reason string) ([]fact, error) {
	r, ok, err := s.current(ctx, incident)
	if err != nil || !ok {
		return nil, err
	}
	switch r.State {
	case ReviewInReview:
		r.State = ReviewDraft
	case ReviewIsApproved:
		if r, err = s.nextVersion(ctx, tx, r); err != nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	return []fact{ReviewReopened{Version: r.Version, Reason: reason}}, s.putReview(ctx, tx, r)
}

// nextVersion ends an approved version and gives the draft that goes on from it.
func (s *Service) nextVersion(ctx context.Context, tx *db.Tx, r Review) (Review, error) {
	old := r
	old.State = ReviewSuperseded
	r.Version, r.State, r.Approver, r.ApprovedAt, r.Exceptions = r.Version+1, ReviewDraft, "", nil, nil
	return r, s.putReview(ctx, tx, old)
}

// Review gives the newest version of an incident's review.
func (s *Service) Review(ctx context.Context, ref string) (Review, error) {
	i, err := s.Get(ctx, ref)
	if err != nil {
		return Review{}, err
	}
	r, ok, err := s.current(ctx, i.ID)
	if err != nil {
		return Review{}, err
	}
	if !ok {
		return Review{}, kit.NotFound("review", ref)
	}
	r.Actions, err = s.ActionsOf(ctx, i.ID)
	return r, err
}

// reviewCommand loads incident and review under lock and saves what fn changed.
func (s *Service) reviewCommand(ctx context.Context, ref string, use kit.Use, fn func(ctx context.Context, tx *db.Tx, i *Incident, r *Review) ([]fact, error)) (Review, error) {
	var out Review
	err := s.d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		i, err := s.load(ctx, ref, tx)
		if err != nil {
			return err
		}
		if err := s.rights.Require(ctx, use, held(ctx, i)...); err != nil {
			return err
		}
		r, ok, err := s.current(ctx, i.ID)
		if err != nil {
			return err
		}
		if !ok {
			return kit.NotFound("review", ref)
		}
		if r.Actions, err = s.ActionsOf(ctx, i.ID); err != nil {
			return err
		}
		facts, err := fn(ctx, tx, i, &r)
		if err != nil {
			return err
		}
		if err := s.putReview(ctx, tx, r); err != nil {
			return err
		}
		out = r
		entries := make([]ledger.Entry, len(facts))
		for n, f := range facts {
			entries[n] = ledger.Entry{Subject: ledger.Subject{Kind: "review", ID: i.ID, Ref: i.Ref()}, Incident: i.ID, Body: f}
		}
		return ledger.Append(ctx, tx, entries...)
	})
	return out, err
}

// SaveReview writes the content of a draft. A change after the approval makes a
// new version.
func (s *Service) SaveReview(ctx context.Context, ref string, c ReviewContent) (Review, error) {
	return s.reviewCommand(ctx, ref, "review.write", func(ctx context.Context, tx *db.Tx, i *Incident, r *Review) ([]fact, error) {
		if err := checkReview(&c); err != nil {
			return nil, err
		}
		var out []fact
		if r.State == ReviewIsApproved || r.State == ReviewSuperseded {
			r.State = ReviewSuperseded
			if err := s.putReview(ctx, tx, *r); err != nil {
				return nil, err
			}
			r.Version, r.State = r.Version+1, ReviewDraft
			out = append(out, ReviewCreated{Version: r.Version, Due: r.Due})
		}
		c.Authors = r.Authors
		if a := kit.ActorFrom(ctx); a.IsPerson() && !slices.Contains(c.Authors, a.ID) {
			c.Authors = append(slices.Clone(c.Authors), a.ID)
		}
		sections := changedSections(r.ReviewContent, c)
		if len(sections) == 0 {
			return out, nil
		}
		r.ReviewContent = c
		return append(out, ReviewChanged{Version: r.Version, Sections: sections}), nil
	})
}

func changedSections(a, b ReviewContent) []string {
	var out []string
	for _, s := range []struct {
		name string
		a, b any
	}{
		{"summary", a.Summary, b.Summary},
		{"factors", a.Factors, b.Factors},
		{"went_well", a.WentWell, b.WentWell},
		{"surprised", a.Surprised, b.Surprised},
		{"no_action_reason", a.NoActionReason, b.NoActionReason},
		{"risks", a.Risks, b.Risks},
		{"public_summary", a.PublicSummary, b.PublicSummary},
		{"impact", a.Impact, b.Impact},
	} {
		if pack(s.a) != pack(s.b) {
			out = append(out, s.name)
		}
	}
	return out
}

var (
	factorKinds = []string{"trigger", "root", "contributing", "barrier", "luck"}
	categories  = []string{"people", "process", "technology", "environment", "data", "third_party"}
)

func checkReview(c *ReviewContent) error {
	var bad kit.Fields
	fix := func(path string, v *string) {
		t, err := text.Clean(path, *v, text.MaxNote, true)
		if err != nil {
			bad = append(bad, kit.AsError(err).Fields...)
		}
		*v = t
	}
	fix("summary.fr", &c.Summary.FR)
	fix("summary.en", &c.Summary.EN)
	fix("went_well", &c.WentWell)
	fix("surprised", &c.Surprised)
	fix("no_action_reason", &c.NoActionReason)
	fix("public_summary.fr", &c.PublicSummary.FR)
	fix("public_summary.en", &c.PublicSummary.EN)
	fix("impact", &c.Impact)
	kept := []Factor{}
	for _, f := range c.Factors {
		fix("factors.text", &f.Text)
		if f.Text == "" {
			continue
		}
		if f.Kind == "" {
			f.Kind = "contributing"
		}
		if f.Category == "" {
			f.Category = "technology"
		}
		if !slices.Contains(factorKinds, f.Kind) {
			bad.Add("factors.kind", "incident.error.factor_kind", "value", f.Kind)
		}
		if !slices.Contains(categories, f.Category) {
			bad.Add("factors.category", "incident.error.factor_category", "value", f.Category)
		}
		kept = append(kept, f)
	}
	if len(kept) > 50 {
		bad.Add("factors", "error.too_many", "limit", 50)
	}
	c.Factors = kept
	if c.Risks == nil {
		c.Risks = []RiskLink{}
	}
	for n := range c.Risks {
		if !slices.Contains([]string{"created", "rescored", "no_change"}, c.Risks[n].Effect) {
			bad.Add("risks.effect", "incident.error.risk_effect", "value", c.Risks[n].Effect)
		}
		fix("risks.reason", &c.Risks[n].Reason)
	}
	return bad.Err()
}

// SubmitReview asks for the approval.
func (s *Service) SubmitReview(ctx context.Context, ref string) (Review, error) {
	return s.reviewCommand(ctx, ref, "review.write", func(_ context.Context, _ *db.Tx, _ *Incident, r *Review) ([]fact, error) {
		if r.State != ReviewDraft {
			return nil, kit.Conflict("not_draft", "incident.error.review_state", "state", r.State)
		}
		r.State = ReviewInReview
		return []fact{ReviewSubmitted{Version: r.Version}}, nil
	})
}

// approvable refuses a review without a factor, with an action that lacks owner
// or date, or with neither action nor reason; what is only listed is returned.
func approvable(i *Incident, r *Review, approver string) (exceptions []string, err error) {
	var bad kit.Fields
	if len(r.Factors) == 0 {
		bad.Add("factors", "incident.error.no_factor")
	}
	live := 0
	for _, a := range r.Actions {
		if a.State == "cancelled" {
			continue
		}
		live++
		if a.Owner == "" {
			bad.Add("actions."+a.Ref()+".owner", "incident.error.action_owner", "ref", a.Ref())
		}
		if a.Due == "" {
			bad.Add("actions."+a.Ref()+".due", "incident.error.action_due", "ref", a.Ref())
		}
		if a.Method == "" && !slices.Contains(exceptions, "no_effectiveness_method") {
			exceptions = append(exceptions, "no_effectiveness_method")
		}
	}
	if live == 0 && strings.TrimSpace(r.NoActionReason) == "" {
		bad.Add("no_action_reason", "incident.error.no_action")
	}
	if ReviewDays(i.LevelFacts()) == "P.review.high" && len(r.Risks) == 0 {
		exceptions = append(exceptions, "no_risk_link")
	}
	if len(r.Authors) == 1 && r.Authors[0] == approver {
		exceptions = append(exceptions, "sole_author")
	}
	return exceptions, bad.Err()
}

// ApproveReview approves the review, which lets the incident be closed.
func (s *Service) ApproveReview(ctx context.Context, ref string) (Review, error) {
	return s.reviewCommand(ctx, ref, "review.approve", func(ctx context.Context, tx *db.Tx, i *Incident, r *Review) ([]fact, error) {
		a := kit.ActorFrom(ctx)
		if r.State == ReviewIsApproved {
			return nil, nil
		}
		if i.Phase != InReview {
			return nil, kit.Conflict("not_in_review", "incident.error.not_in_review", "ref", i.Ref())
		}
		exceptions, err := approvable(i, r, a.ID)
		if err != nil {
			return nil, err
		}
		now := tx.Now()
		r.State, r.Approver, r.ApprovedAt, r.Exceptions = ReviewIsApproved, a.ID, &now, exceptions
		i.ReviewedAt = now
		if err := s.save(ctx, tx, i); err != nil {
			return nil, err
		}
		refs := []string{}
		for _, x := range r.Actions {
			refs = append(refs, x.Ref())
		}
		return []fact{ReviewApproved{Version: r.Version, Approver: a.ID, SoleAuthor: slices.Contains(exceptions, "sole_author"), Factors: len(r.Factors), Actions: refs, Exceptions: exceptions}}, nil
	})
}

// ReopenReview makes a new version of an approved review.
func (s *Service) ReopenReview(ctx context.Context, ref, reason string) (Review, error) {
	return s.reviewCommand(ctx, ref, "review.write", func(ctx context.Context, tx *db.Tx, _ *Incident, r *Review) ([]fact, error) {
		reason, err := text.Line("reason", reason, 500)
		if err != nil {
			return nil, err
		}
		if r.State != ReviewIsApproved {
			return nil, kit.Conflict("not_approved", "incident.error.review_state", "state", r.State)
		}
		if *r, err = s.nextVersion(ctx, tx, *r); err != nil {
			return nil, err
		}
		return []fact{ReviewReopened{Version: r.Version, Reason: reason}}, nil
	})
}
