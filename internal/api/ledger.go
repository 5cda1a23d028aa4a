package api

import (
	"context"
	"encoding/json"
	"strconv"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type subjectView struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Ref  string `json:"ref,omitempty"`
}

type factView struct {
	Seq        int64           `json:"seq"`
	ID         string          `json:"id"`
	Type       *string         `json:"type" nullable:"true" doc:"null, with the body, where need-to-know withholds it"`
	V          int             `json:"v"`
	HappenedAt stamp           `json:"happened_at"`
	RecordedAt stamp           `json:"recorded_at"`
	Actor      actorView       `json:"actor"`
	Via        string          `json:"via"`
	Subject    subjectView     `json:"subject"`
	Incident   *string         `json:"incident" nullable:"true"`
	Withheld   bool            `json:"withheld,omitempty"`
	Erased     bool            `json:"erased,omitempty"`
	Body       json.RawMessage `json:"body"`
}

// viewFact shows a fact; of an incident that the actor may not know of, only that
// there is one.
func viewFact(f ledger.Fact, seen bool) factView {
	v := factView{Seq: f.Seq, ID: f.ID, V: f.V, RecordedAt: at(f.RecordedAt), HappenedAt: at(f.HappenedAt), Body: json.RawMessage("null")}
	if !seen {
		v.Withheld = true
		v.Subject.Kind = "withheld"
		v.Actor.Kind = string(f.Actor.Kind)
		return v
	}
	v.Type, v.Via, v.Incident, v.Erased = word(f.Type), string(f.Via), word(f.Incident), f.Erased
	v.Actor = actorView{Kind: string(f.Actor.Kind), ID: f.Actor.ID, Name: f.Actor.Name}
	v.Subject = subjectView{Kind: f.Subject.Kind, ID: f.Subject.ID, Ref: f.Subject.Ref}
	if len(f.Body) > 0 {
		v.Body = f.Body
	}
	return v
}

// known tells for each fact whether the actor may know of what it is about.
func (s *server) known(ctx context.Context, facts []ledger.Fact) (func(f ledger.Fact) bool, error) {
	in := func(f ledger.Fact) string {
		if f.Incident == "" && f.Subject.Kind == "incident" {
			return f.Subject.ID
		}
		return f.Incident
	}
	var ids []string
	once := map[string]bool{}
	for _, f := range facts {
		if id := in(f); id != "" && !once[id] {
			once[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return func(ledger.Fact) bool { return true }, nil
	}
	if s.Incident == nil {
		return func(f ledger.Fact) bool { return in(f) == "" }, nil
	}
	seen, err := s.Incident.Visible(ctx, ids)
	return func(f ledger.Fact) bool { id := in(f); return id == "" || seen[id] }, err
}

type checkpointView struct {
	Size       int64  `json:"size"`
	Root       []byte `json:"root" doc:"Base64"`
	PublicKey  string `json:"public_key"`
	Checkpoint string `json:"checkpoint" doc:"A signed note (C2SP tlog-checkpoint)"`
}

type proofView struct {
	Seq    int64                `json:"seq"`
	Size   int64                `json:"size"`
	Proof  [][]byte             `json:"proof" doc:"Base64, RFC 6962 2.1.1"`
	Sealed maybe[ledger.Sealed] `json:"sealed" doc:"All that the leaf was made of; null where need-to-know withholds it"`
}

type consistencyView struct {
	From  int64    `json:"from"`
	To    int64    `json:"to"`
	Proof [][]byte `json:"proof" doc:"Base64, RFC 6962 2.1.2"`
}

func (s *server) ledgerCalls() {
	get(s, "/ledger/checkpoint", "ledger", "The signed size and root of the journal", func(ctx context.Context, _ *none) (checkpointView, error) {
		if err := s.Identity.Require(ctx, "journal.see"); err != nil {
			return checkpointView{}, err
		}
		note, err := s.Ledger.Checkpoint(ctx)
		if err != nil {
			return checkpointView{}, err
		}
		key, err := s.Ledger.PublicKey(ctx)
		if err != nil {
			return checkpointView{}, err
		}
		size, root, err := ledger.OpenCheckpoint(note, key)
		return checkpointView{Size: size, Root: root, PublicKey: key, Checkpoint: note}, err
	})
	get(s, "/ledger/facts", "ledger", "The journal, in its order", s.facts)
	get(s, "/ledger/proof/{seq}", "ledger", "Proof that a fact is in the journal", s.proof)
	get(s, "/ledger/consistency", "ledger", "Proof that the journal only grew", func(ctx context.Context, in *struct {
		From int64 `query:"from" minimum:"0"`
		To   int64 `query:"to" minimum:"0" doc:"The present size when not given"`
	},
	) (consistencyView, error) {
		if err := s.Identity.Require(ctx, "journal.see"); err != nil {
			return consistencyView{}, err
		}
		size, _, err := s.Ledger.Head(ctx)
		if err != nil {
			return consistencyView{}, err
		}
		if in.To == 0 {
			in.To = size
		}
		if in.To > size || in.From > in.To {
			return consistencyView{}, kit.InvalidField("to", "api.error.size", "size", size)
		}
		p, err := s.Ledger.Consistency(ctx, in.From, in.To)
		return consistencyView{From: in.From, To: in.To, Proof: some(p)}, err
	})
	post(s, "/ledger/facts/{seq}/erase", "ledger", "Remove the body of a fact; the journal still verifies", func(ctx context.Context, in *struct {
		Seq  int64 `path:"seq" minimum:"1"`
		Body reasonIn
	},
	) (factView, error) {
		if err := s.Identity.Require(ctx, "ledger.erase"); err != nil {
			return factView{}, err
		}
		f, err := s.Ledger.Fact(ctx, in.Seq)
		if err != nil {
			return factView{}, err
		}
		seen, err := s.known(ctx, []ledger.Fact{f})
		if err != nil {
			return factView{}, err
		}
		if err := s.Ledger.Erase(ctx, in.Seq, in.Body.Reason); err != nil {
			return factView{}, err
		}
		after, err := s.Ledger.Fact(ctx, in.Seq)
		return viewFact(after, seen(f)), err
	})
}

func (s *server) facts(ctx context.Context, in *struct {
	Paged
	After    int64    `query:"after" minimum:"0" doc:"Facts after this number"`
	Types    []string `query:"types" doc:"incident.declared, page.* …"`
	Incident string   `query:"incident"`
	Order    string   `query:"order" enum:"oldest,newest"`
},
) (list[factView], error) {
	var out list[factView]
	if err := s.Identity.Require(ctx, "journal.see"); err != nil {
		return out, err
	}
	base := ledger.Filter{After: in.After, Types: in.Types, Newest: in.Order == "newest"}
	if in.Incident != "" {
		if s.Incident == nil {
			return out, kit.NotFound("incident", in.Incident)
		}
		i, err := s.Incident.Get(ctx, in.Incident)
		if err != nil {
			return out, err
		}
		base.Incident = i.ID
	}
	f := base
	if in.Cursor != "" {
		parts, err := kit.ParseCursor(in.Cursor, 1)
		if err != nil {
			return out, err
		}
		n, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil {
			return out, kit.Invalid("error.bad_cursor")
		}
		if f.Newest {
			f.Before = n
		} else {
			f.After = n
		}
	}
	size := in.page().Size()
	f.Limit = size + 1
	facts, err := s.Ledger.Facts(ctx, f)
	if err != nil {
		return out, err
	}
	if len(facts) > size {
		facts = facts[:size]
		next := kit.Cursor(strconv.FormatInt(facts[size-1].Seq, 10))
		out.NextCursor = &next
	}
	seen, err := s.known(ctx, facts)
	if err != nil {
		return out, err
	}
	out.Items = make([]factView, 0, len(facts))
	for _, x := range facts {
		ok := seen(x)
		// A filter by type would tell what is withheld.
		if !ok && len(in.Types) > 0 {
			continue
		}
		out.Items = append(out.Items, viewFact(x, ok))
	}
	if len(in.Types) > 0 {
		// A count by type would tell it too.
		out.Total, out.TotalIsMinimum = len(out.Items), out.NextCursor != nil || in.Cursor != ""
		return out, nil
	}
	n, err := s.Ledger.Count(ctx, base)
	if n > kit.MaxTotal {
		n, out.TotalIsMinimum = kit.MaxTotal, true
	}
	out.Total = n
	return out, err
}

func (s *server) proof(ctx context.Context, in *struct {
	Seq  int64 `path:"seq" minimum:"1"`
	Size int64 `query:"size" minimum:"0" doc:"The size of the tree; the present one when not given"`
},
) (proofView, error) {
	var v proofView
	if err := s.Identity.Require(ctx, "journal.see"); err != nil {
		return v, err
	}
	f, err := s.Ledger.Fact(ctx, in.Seq)
	if err != nil {
		return v, err
	}
	size, _, err := s.Ledger.Head(ctx)
	if err != nil {
		return v, err
	}
	if in.Size == 0 {
		in.Size = size
	}
	if in.Size > size || in.Seq > in.Size {
		return v, kit.InvalidField("size", "api.error.size", "size", size)
	}
	v.Seq, v.Size = in.Seq, in.Size
	p, err := s.Ledger.Inclusion(ctx, in.Seq, in.Size)
	if err != nil {
		return v, err
	}
	v.Proof = some(p)
	seen, err := s.known(ctx, []ledger.Fact{f})
	if err != nil || !seen(f) {
		return v, err
	}
	l, err := s.Ledger.Sealed(ctx, ledger.Filter{After: in.Seq - 1, Before: in.Seq + 1}, in.Size)
	if err == nil && len(l) == 1 {
		v.Sealed.v = &l[0]
	}
	return v, err
}
