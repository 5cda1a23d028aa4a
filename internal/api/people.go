package api

import (
	"context"
	"net/http"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

type leaveView struct {
	From stamp `json:"from"`
	To   stamp `json:"to"`
}

type personView struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Email     string      `json:"email"`
	Language  string      `json:"language,omitempty"`
	Timezone  string      `json:"timezone,omitempty"`
	Access    string      `json:"access" enum:"admin,manager,responder,communications,viewer"`
	Slack     string      `json:"slack,omitempty"`
	Suspended bool        `json:"suspended"`
	Leave     []leaveView `json:"leave"`
	Version   int64       `json:"version"`
}

func (p personView) etag() string     { return etag(p.Version) }
func (p personView) location() string { return prefix + "/people/" + p.ID }

func viewPerson(p identity.Person) personView {
	v := personView{
		ID: p.ID, Name: p.Name, Email: p.Email, Language: p.Language, Timezone: p.Timezone, Access: string(p.Access), Slack: p.Slack,
		Suspended: p.Suspended, Leave: []leaveView{}, Version: p.Version,
	}
	for _, l := range p.Leave {
		v.Leave = append(v.Leave, leaveView{From: at(l.From), To: at(l.To)})
	}
	return v
}

type leaveIn struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

type personIn struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Email    string    `json:"email"`
	Language string    `json:"language,omitempty" enum:"fr,en"`
	Timezone string    `json:"timezone,omitempty"`
	Access   string    `json:"access,omitempty" enum:"admin,manager,responder,communications,viewer" doc:"viewer when not given"`
	Slack    string    `json:"slack,omitempty"`
	Leave    []leaveIn `json:"leave,omitempty"`
}

type personEditIn struct {
	Name      *string    `json:"name,omitempty"`
	Email     *string    `json:"email,omitempty"`
	Language  *string    `json:"language,omitempty" enum:"fr,en"`
	Timezone  *string    `json:"timezone,omitempty"`
	Access    *string    `json:"access,omitempty" enum:"admin,manager,responder,communications,viewer"`
	Slack     *string    `json:"slack,omitempty"`
	Suspended *bool      `json:"suspended,omitempty"`
	Leave     *[]leaveIn `json:"leave,omitempty"`
}

func leaves(in []leaveIn) []identity.Leave {
	out := make([]identity.Leave, 0, len(in))
	for _, l := range in {
		out = append(out, identity.Leave{From: kit.Truncate(l.From), To: kit.Truncate(l.To)})
	}
	return out
}

type tokenView struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Creator   string   `json:"creator"`
	Access    string   `json:"access"`
	Scopes    []string `json:"scopes"`
	CreatedAt stamp    `json:"created_at"`
	ExpiresAt stamp    `json:"expires_at"`
	RevokedAt stamp    `json:"revoked_at"`
	Token     string   `json:"token,omitempty" doc:"Shown this once"`
}

func viewToken(t identity.Token) tokenView {
	return tokenView{
		ID: t.ID, Name: t.Name, Creator: t.Creator, Access: string(t.Access), Scopes: some(t.Scopes), CreatedAt: at(t.Created),
		ExpiresAt: at(t.Expires), RevokedAt: at(t.Revoked),
	}
}

type meView struct {
	Kind         string            `json:"kind" enum:"person,token"`
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Access       string            `json:"access"`
	Appointments []string          `json:"appointments"`
	Scopes       []string          `json:"scopes" doc:"Of a token; empty means all of its level"`
	Owner        *string           `json:"owner" nullable:"true" doc:"The person whom a token belongs to"`
	Person       maybe[personView] `json:"person"`
}

func (s *server) peopleCalls() {
	get(s, "/me", "people", "Who calls", s.me)
	get(s, "/people", "people", "Everybody with an account", func(ctx context.Context, in *struct {
		Access string `query:"access" enum:"admin,manager,responder,communications,viewer"`
		Active bool   `query:"active" doc:"Without the suspended"`
	},
	) (list[personView], error) {
		l, err := s.Identity.SeePeople(ctx, identity.Filter{Access: kit.Access(in.Access), Active: in.Active})
		return all(l, viewPerson), err
	})
	get(s, "/people/{id}", "people", "One person", func(ctx context.Context, in *IDIn) (personView, error) {
		p, err := s.Identity.SeePerson(ctx, in.ID)
		return viewPerson(p), err
	})
	call(s, http.MethodPost, "/people", "people", "Add a person", http.StatusCreated, func(ctx context.Context, in *struct{ Body personIn }) (personView, error) {
		b := in.Body
		if b.Access == "" {
			b.Access = string(kit.AccessViewer)
		}
		err := s.Identity.AddPerson(ctx, identity.Person{
			ID: b.ID, Name: b.Name, Email: b.Email, Language: b.Language, Timezone: b.Timezone, Access: kit.Access(b.Access), Slack: b.Slack,
			Leave: leaves(b.Leave),
		})
		if err != nil {
			return personView{}, err
		}
		p, err := s.Identity.Person(ctx, b.ID)
		return viewPerson(p), err
	})
	call(s, http.MethodPatch, "/people/{id}", "people", "Change a person; suspended: true closes the account", http.StatusOK, s.changePerson)
	get(s, "/tokens", "people", "Own API tokens; for an admin those of everybody", func(ctx context.Context, _ *none) (list[tokenView], error) {
		l, err := s.Identity.Tokens(ctx)
		return all(l, viewToken), err
	})
	call(s, http.MethodPost, "/tokens", "people", "Make an API token; its secret is shown this once", http.StatusCreated, func(ctx context.Context, in *struct {
		Body struct {
			Name     string   `json:"name"`
			Role     string   `json:"role" enum:"admin,manager,responder,communications,viewer" doc:"The access level, not above one's own"`
			Scopes   []string `json:"scopes,omitempty" doc:"incidents:write, alerts:read …; none means all of the level"`
			ExpiresS int64    `json:"expires_s,omitempty" minimum:"60" doc:"90 days when not given, at most 366"`
		}
	},
	) (tokenView, error) {
		b := in.Body
		secret, t, err := s.Identity.CreateToken(ctx, identity.NewToken{
			Name: b.Name, Access: kit.Access(b.Role), Scopes: b.Scopes, Expires: time.Duration(min(b.ExpiresS, 1<<32)) * time.Second,
		})
		v := viewToken(t)
		v.Token = secret
		return v, err
	})
	drop(s, http.MethodDelete, "/tokens/{id}", "people", "End a token", func(ctx context.Context, in *IDIn) error {
		return s.Identity.RevokeToken(ctx, in.ID)
	})
}

func (s *server) me(ctx context.Context, _ *none) (meView, error) {
	a := kit.ActorFrom(ctx)
	v := meView{Kind: string(a.Kind), ID: a.ID, Name: a.Name, Access: string(a.Access), Appointments: []string{}, Scopes: some(a.Scopes), Owner: word(a.Owner)}
	for _, r := range a.Appointments {
		v.Appointments = append(v.Appointments, string(r))
	}
	if a.IsPerson() {
		p, err := s.Identity.Person(ctx, a.ID)
		if err != nil {
			return v, err
		}
		pv := viewPerson(p)
		v.Person.v = &pv
	}
	return v, nil
}

func (s *server) changePerson(ctx context.Context, in *struct {
	IDIn
	IfMatch string `header:"If-Match"`
	Body    personEditIn
},
) (personView, error) {
	want, err := expect(in.IfMatch)
	if err != nil {
		return personView{}, err
	}
	p, err := s.Identity.SeePerson(ctx, in.ID)
	if err != nil {
		return personView{}, err
	}
	if want != 0 && want != p.Version {
		return personView{}, kit.Errorf(kit.CodeStale, "error.stale")
	}
	b := in.Body
	for _, f := range []struct{ from, to *string }{
		{b.Name, &p.Name},
		{b.Email, &p.Email},
		{b.Language, &p.Language},
		{b.Timezone, &p.Timezone},
		{b.Slack, &p.Slack},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if b.Access != nil {
		p.Access = kit.Access(*b.Access)
	}
	if b.Suspended != nil {
		p.Suspended = *b.Suspended
	}
	if b.Leave != nil {
		p.Leave = leaves(*b.Leave)
	}
	if err := s.Identity.ChangePerson(ctx, p); err != nil {
		return personView{}, err
	}
	p, err = s.Identity.Person(ctx, in.ID)
	return viewPerson(p), err
}
