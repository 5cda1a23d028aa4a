package identity_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/due"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

const password = "correct horse battery"

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

type bundle struct {
	*testing.T
	s     *identity.Service
	d     *db.DB
	l     *ledger.Ledger
	clock *dbtest.Clock
	seen  int
}

// each runs the test on both databases, set up with ana as the admin.
func each(t *testing.T, fn func(b *bundle)) {
	t.Helper()
	clock := dbtest.NewClock(start)
	dbtest.Each(t, clock, func(t *testing.T, d *db.DB) {
		clock.Set(start)
		b := &bundle{T: t, d: d, l: ledger.New(d), s: identity.New(d, identity.Options{}), clock: clock}
		_, err := b.s.SetUp(context.Background(), identity.SetUp{
			Organisation: "Exemple SAS", Country: "FR", Timezone: "Europe/Paris", Languages: []string{"fr", "en"},
			Name: "Ana Lopez", Email: "Ana@example.com", Password: password,
		})
		b.ok(err)
		b.facts("settings.applied", "person.added", "person.changed")
		fn(b)
	})
}

func (b *bundle) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) code(err error, want kit.Code) {
	b.Helper()
	if kit.CodeOf(err) != want {
		b.Fatalf("error %v, want code %q", err, want)
	}
}

// facts tells exactly which facts were appended since the last call.
func (b *bundle) facts(want ...string) []ledger.Fact {
	b.Helper()
	all, err := b.l.Facts(context.Background(), ledger.Filter{})
	b.ok(err)
	fresh := all[b.seen:]
	b.seen = len(all)
	var got []string
	for _, f := range fresh {
		got = append(got, f.Type)
	}
	if !slices.Equal(got, want) {
		b.Fatalf("facts %v, want %v", got, want)
	}
	return fresh
}

func as(id string, access kit.Access, roles ...kit.Role) context.Context {
	return kit.WithActor(context.Background(), kit.Actor{Kind: kit.ActorPerson, ID: id, Name: id, Via: kit.ViaWeb, Access: access, Appointments: roles})
}

var admin = as("ana", kit.AccessAdmin)

func (b *bundle) add(id string, access kit.Access) identity.Person {
	b.Helper()
	b.ok(b.s.AddPerson(admin, identity.Person{ID: id, Name: "Name of " + id, Email: id + "@example.com", Access: access}))
	b.facts("person.added")
	p, err := b.s.Person(admin, id)
	b.ok(err)
	return p
}

func TestSetUp(t *testing.T) {
	each(t, func(b *bundle) {
		need, err := b.s.NeedsSetUp(admin)
		b.ok(err)
		if need {
			b.Error("still asks to be set up")
		}
		o, err := b.s.Organisation(admin)
		b.ok(err)
		if o.Name != "Exemple SAS" || o.Currency != "EUR" || !slices.Equal(o.Languages, []string{"fr", "en"}) {
			b.Errorf("organisation %+v", o)
		}
		_, err = b.s.SetUp(context.Background(), identity.SetUp{Organisation: "Other", Country: "FR", Timezone: "UTC", Name: "Eve", Email: "eve@example.com", Password: password})
		b.code(err, kit.CodeConflict)
		b.facts()
	})
}

func TestSetUpHappensOnce(t *testing.T) {
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		ledger.New(d)
		s := identity.New(d, identity.Options{})
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i, name := range []string{"a", "b", "c", "d"} {
			wg.Go(func() {
				_, errs[i] = s.SetUp(context.Background(), identity.SetUp{Organisation: "X", Country: "FR", Timezone: "UTC", Name: name, Email: name + "@example.com", Password: password})
			})
		}
		wg.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
			} else if kit.CodeOf(err) != kit.CodeConflict {
				t.Errorf("set-up: %v", err)
			}
		}
		if done != 1 {
			t.Errorf("%d set-ups succeeded", done)
		}
	})
}

func TestSignIn(t *testing.T) {
	each(t, func(b *bundle) {
		token, p, err := b.s.SignIn(context.Background(), " ANA@example.com ", password, "192.0.2.1:4000")
		b.ok(err)
		opened := b.facts("session.opened")[0]
		if p.ID != "ana" || opened.Actor.ID != "ana" || opened.Subject.ID != "ana" {
			b.Errorf("signed in as %q, fact %+v", p.ID, opened)
		}
		b.ok(b.s.SetAppointments(admin, kit.RoleManagement, []string{"ana"}))
		b.ok(b.s.SetAppointments(admin, kit.RoleCommander, []string{"ana"}))
		b.facts("settings.applied", "settings.applied")
		a, _, err := b.s.Session(context.Background(), token)
		b.ok(err)
		if a.Kind != kit.ActorPerson || a.ID != "ana" || a.Access != kit.AccessAdmin || !a.Appointed(kit.RoleManagement) || !a.Appointed(kit.RoleCommander) {
			b.Errorf("actor %+v", a)
		}
		b.ok(b.s.EndSession(context.Background(), token))
		b.facts("session.ended")
		b.ok(b.s.EndSession(context.Background(), token))
		b.facts()
		_, _, err = b.s.Session(context.Background(), token)
		b.code(err, kit.CodeUnauthenticated)
		_, _, err = b.s.SignIn(context.Background(), "ana@example.com", "wrong", "192.0.2.1")
		b.code(err, kit.CodeUnauthenticated)
		_, _, err = b.s.SignIn(context.Background(), "nobody@example.com", password, "192.0.2.1")
		b.code(err, kit.CodeUnauthenticated)
		refused := b.facts("session.refused", "session.refused")
		if refused[0].Subject.ID != "ana" || refused[1].Subject.ID != "unknown" {
			b.Errorf("refusals about %q and %q", refused[0].Subject.ID, refused[1].Subject.ID)
		}
	})
}

func busy(err error) int {
	var e *kit.Error
	if errors.As(err, &e) && e.Code == kit.CodeBusy {
		return e.RetryAfter
	}
	return 0
}

func TestAccountIsThrottled(t *testing.T) {
	each(t, func(b *bundle) {
		try := func(pw string) error {
			_, _, err := b.s.SignIn(context.Background(), "ana@example.com", pw, "192.0.2.1")
			return err
		}
		for range 4 {
			b.code(try("wrong"), kit.CodeUnauthenticated)
		}
		if n := busy(try(password)); n != 2 && n != 3 {
			b.Fatalf("the right password right after four wrong ones: retry after %d s", n)
		}
		b.clock.Advance(2 * time.Second)
		b.code(try("wrong"), kit.CodeUnauthenticated)
		b.clock.Advance(2 * time.Second)
		if busy(try(password)) == 0 {
			b.Fatal("the wait does not grow")
		}
		b.clock.Advance(2 * time.Second)
		b.ok(try(password))
		b.code(try("wrong"), kit.CodeUnauthenticated)
		b.ok(try(password))
	})
}

func TestAddressIsThrottled(t *testing.T) {
	each(t, func(b *bundle) {
		try := func(email, pw, remote string) error {
			_, _, err := b.s.SignIn(context.Background(), email, pw, remote)
			return err
		}
		for i := range 20 {
			b.code(try(string(rune('a'+i))+"@example.net", "wrong", "[2001:db8::1]:99"), kit.CodeUnauthenticated)
		}
		// A success in between gives back its own try and no more.
		b.ok(try("ana@example.com", password, "2001:db8::2"))
		b.clock.Advance(3 * time.Second)
		b.code(try("y@example.net", "wrong", "2001:db8::3"), kit.CodeUnauthenticated)
		if busy(try("z@example.net", "wrong", "2001:db8::4")) == 0 {
			b.Fatal("the address is not throttled after a success")
		}
		b.code(try("z@example.net", "wrong", "2001:db8:0:1::4"), kit.CodeUnauthenticated)
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(b *bundle) {
		open := func() string {
			token, err := b.s.OpenSession(context.Background(), "ana", "demo")
			b.ok(err)
			return token
		}
		alive := func(token string) bool {
			_, _, err := b.s.Session(context.Background(), token)
			return err == nil
		}
		token := open()
		b.clock.Advance(24*time.Hour - time.Second)
		if !alive(token) {
			b.Fatal("ended before P.session")
		}
		b.clock.Advance(24 * time.Hour)
		if alive(token) {
			b.Fatal("outlived a day without activity")
		}
		token = open()
		for range 30 {
			b.clock.Advance(23 * time.Hour)
			if !alive(token) {
				b.Fatal("ended although active")
			}
		}
		b.clock.Advance(23 * time.Hour)
		b.clock.Advance(7 * time.Hour)
		if alive(token) {
			b.Fatal("outlived 30 days")
		}
		b.ok(b.s.ChangeParameters(admin, map[string]string{"P.session.idle": "1h"}, "shared screens"))
		token = open()
		b.clock.Advance(time.Hour)
		if alive(token) {
			b.Fatal("P.session is not used")
		}
		token = open()
		b.ok(b.s.SetPassword(admin, "ana", "another long password"))
		if alive(token) {
			b.Fatal("a new password left the session open")
		}
		b.code(b.s.SetPassword(admin, "ana", "short"), kit.CodeInvalid)
		b.code(b.s.SetPassword(as("bob", kit.AccessManager), "ana", password), kit.CodeForbidden)
	})
}

func TestLoginLink(t *testing.T) {
	each(t, func(b *bundle) {
		b.add("bob", kit.AccessResponder)
		link, err := b.s.LoginLink(admin, "bob")
		b.ok(err)
		token, err := b.s.UseLoginLink(context.Background(), link)
		b.ok(err)
		if _, p, err := b.s.Session(context.Background(), token); err != nil || p.ID != "bob" {
			b.Errorf("link gave %v, %v", p.ID, err)
		}
		b.facts("session.opened")
		_, err = b.s.UseLoginLink(context.Background(), link)
		b.code(err, kit.CodeUnauthenticated)
		link, err = b.s.LoginLink(admin, "bob")
		b.ok(err)
		b.clock.Advance(15 * time.Minute)
		_, err = b.s.UseLoginLink(context.Background(), link)
		b.code(err, kit.CodeUnauthenticated)
		_, err = b.s.LoginLink(as("bob", kit.AccessManager), "ana")
		b.code(err, kit.CodeForbidden)
		b.facts()
	})
}

func TestTokens(t *testing.T) {
	each(t, func(b *bundle) {
		bob := as("bob", kit.AccessManager)
		p := b.add("bob", kit.AccessManager)
		secret, token, err := b.s.CreateToken(bob, identity.NewToken{Name: "ci", Access: kit.AccessResponder, Scopes: []string{"incidents:write"}})
		b.ok(err)
		b.facts("token.created")
		a, err := b.s.Authenticate(context.Background(), secret)
		b.ok(err)
		if a.Kind != kit.ActorToken || a.ID != token.ID || a.Access != kit.AccessResponder || !slices.Equal(a.Scopes, []string{"incidents:write"}) {
			b.Errorf("actor %+v", a)
		}
		b.ok(identity.Allow(a, "incident.phase"))
		b.ok(identity.Allow(a, "incident.see"))
		b.code(identity.Allow(a, "alert.see"), kit.CodeForbidden)
		if got := token.Expires.Sub(start); got != 90*24*time.Hour {
			b.Errorf("lives %v", got)
		}
		for name, n := range map[string]identity.NewToken{
			"above":        {Name: "x", Access: kit.AccessAdmin},
			"too long":     {Name: "x", Access: kit.AccessViewer, Expires: 367 * 24 * time.Hour},
			"scope":        {Name: "x", Access: kit.AccessViewer, Scopes: []string{"incidents:delete"}},
			"confidential": {Name: "x", Access: kit.AccessViewer, Scopes: []string{"incidents:confidential"}},
			"no name":      {Access: kit.AccessViewer},
		} {
			if _, _, err := b.s.CreateToken(bob, n); kit.CodeOf(err) != kit.CodeInvalid {
				b.Errorf("%s: %v", name, err)
			}
		}
		b.code(b.s.RevokeToken(as("eve", kit.AccessManager), token.ID), kit.CodeNotFound)
		b.ok(b.s.RevokeToken(bob, token.ID))
		b.facts("token.revoked")
		_, err = b.s.Authenticate(context.Background(), secret)
		b.code(err, kit.CodeUnauthenticated)

		secret, token, err = b.s.CreateToken(bob, identity.NewToken{Name: "all", Access: kit.AccessManager, Scopes: []string{}, Expires: time.Hour})
		b.ok(err)
		parent, err := b.s.Authenticate(context.Background(), secret)
		b.ok(err)
		b.ok(identity.Allow(parent, "route.edit"))
		child, made, err := b.s.CreateToken(kit.WithActor(context.Background(), parent), identity.NewToken{Name: "child", Access: kit.AccessViewer})
		b.ok(err)
		if made.Creator != "bob" || !made.Expires.Equal(token.Expires) {
			b.Errorf("child %+v", made)
		}
		// Who made the token loses a level, then the account.
		p.Access = kit.AccessResponder
		b.ok(b.s.ChangePerson(admin, p))
		if a, err := b.s.Authenticate(context.Background(), secret); err != nil || a.Access != kit.AccessResponder {
			b.Errorf("after the demotion: %v, %v", a.Access, err)
		}
		b.ok(b.s.Suspend(admin, "bob"))
		for _, secret := range []string{secret, child} {
			_, err = b.s.Authenticate(context.Background(), secret)
			b.code(err, kit.CodeUnauthenticated)
		}
		system, _, err := b.s.CreateToken(kit.WithActor(context.Background(), kit.System(kit.ViaCLI)), identity.NewToken{Name: "cli", Access: kit.AccessAdmin, Expires: time.Hour})
		b.ok(err)
		_, err = b.s.Authenticate(context.Background(), system)
		b.ok(err)
		b.clock.Advance(time.Hour)
		_, err = b.s.Authenticate(context.Background(), system)
		b.code(err, kit.CodeUnauthenticated)
		if mine, err := b.s.Tokens(bob); err != nil || len(mine) != 3 {
			b.Errorf("%d tokens of bob, %v", len(mine), err)
		}
		if all, err := b.s.Tokens(admin); err != nil || len(all) != 4 {
			b.Errorf("%d tokens of all, %v", len(all), err)
		}
	})
}

func TestPeople(t *testing.T) {
	each(t, func(b *bundle) {
		p := b.add("bob", kit.AccessResponder)
		b.code(b.s.AddPerson(admin, identity.Person{ID: "bob", Name: "B", Email: "b2@example.com"}), kit.CodeConflict)
		b.code(b.s.AddPerson(admin, identity.Person{ID: "B ob", Name: " ", Email: "b", Access: "god", Language: "de", Timezone: "Mars"}), kit.CodeInvalid)
		b.code(b.s.AddPerson(as("bob", kit.AccessManager), identity.Person{ID: "x", Name: "X", Email: "x@example.com"}), kit.CodeForbidden)
		p.Name, p.Language = "Bob", "fr"
		b.ok(b.s.ChangePerson(admin, p))
		var body identity.PersonFact
		b.ok(b.facts("person.changed")[0].Decode(&body))
		if !slices.Equal(body.Changes, []string{"name", "language"}) {
			b.Errorf("changes %v", body.Changes)
		}
		b.code(b.s.ChangePerson(admin, p), kit.CodeStale)
		p, err := b.s.PersonByEmail(admin, "BOB@example.com")
		b.ok(err)
		b.ok(b.s.ChangePerson(admin, p))
		b.facts()
		_, err = b.s.Person(admin, "eve")
		b.code(err, kit.CodeNotFound)
		_, err = b.s.SeePeople(context.Background(), identity.Filter{})
		b.code(err, kit.CodeForbidden)
		_, err = b.s.SeePerson(as("bob", kit.AccessViewer), "ana")
		b.ok(err)
		_, err = b.s.SeeOrganisation(as("bob", kit.AccessResponder))
		b.code(err, kit.CodeForbidden)
		var e *kit.Error
		if !errors.As(err, &e) || e.Args["who"] != "Ana Lopez" {
			b.Errorf("forbidden names %v", e.Args)
		}
		b.code(b.s.Suspend(admin, "ana"), kit.CodeConflict)
		token, err := b.s.OpenSession(context.Background(), "bob", "demo")
		b.ok(err)
		b.ok(b.s.Suspend(admin, "bob"))
		b.facts("session.opened", "session.ended", "person.suspended")
		_, _, err = b.s.Session(context.Background(), token)
		b.code(err, kit.CodeUnauthenticated)
		_, err = b.s.OpenSession(context.Background(), "bob", "demo")
		b.code(err, kit.CodeUnauthenticated)
	})
}

func TestOneAdminStays(t *testing.T) {
	each(t, func(b *bundle) {
		b.add("bob", kit.AccessAdmin)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, id := range []string{"ana", "bob"} {
			wg.Go(func() { errs[i] = b.s.Suspend(admin, id) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			b.Fatalf("suspending both admins: %v, %v", errs[0], errs[1])
		}
		b.facts("person.suspended")
	})
}

func TestAppointments(t *testing.T) {
	each(t, func(b *bundle) {
		for _, id := range []string{"bob", "cho", "dan"} {
			b.add(id, kit.AccessResponder)
		}
		who := func(role kit.Role) []string {
			all, err := b.s.Appointed(admin, role)
			b.ok(err)
			var ids []string
			for _, p := range all {
				ids = append(ids, p.ID)
			}
			return ids
		}
		want := func(role kit.Role, ids ...string) {
			b.Helper()
			if got := who(role); !slices.Equal(got, ids) {
				b.Fatalf("%s: %v, want %v", role, got, ids)
			}
		}
		want(kit.RoleManagement, "ana")
		b.ok(b.s.SetAppointments(admin, kit.RoleCommander, []string{"cho", "bob"}))
		var body identity.SettingsApplied
		b.ok(b.facts("settings.applied")[0].Decode(&body))
		if !slices.Equal(body.Changed, []string{"roles.commander"}) {
			b.Errorf("body %+v", body)
		}
		b.ok(b.s.SetAppointments(admin, kit.RoleCommander, []string{"cho", "bob"}))
		b.facts()
		want(kit.RoleCommander, "cho", "bob")
		want(kit.RoleCommunications, "cho", "bob")
		b.code(b.s.SetAppointments(admin, kit.RoleCommander, []string{"cho", "nobody", "cho"}), kit.CodeInvalid)
		b.code(b.s.SetAppointments(admin, kit.RolePrimary, []string{"cho"}), kit.CodeInvalid)
		cho, err := b.s.Person(admin, "cho")
		b.ok(err)
		cho.Leave = []identity.Leave{{From: start, To: start.Add(time.Hour)}}
		b.ok(b.s.ChangePerson(admin, cho))
		want(kit.RoleCommander, "bob")
		b.clock.Advance(time.Hour)
		want(kit.RoleCommander, "cho", "bob")
		b.ok(b.s.Suspend(admin, "cho"))
		want(kit.RoleCommander, "bob")
		b.code(b.s.SetAppointments(admin, kit.RoleManagement, []string{"cho"}), kit.CodeInvalid)
	})
}

func TestOrganisationKeepsTheLaterChange(t *testing.T) {
	each(t, func(b *bundle) {
		o, err := b.s.SeeOrganisation(admin)
		b.ok(err)
		o.Name = "Exemple SA"
		b.ok(b.s.ChangeOrganisation(admin, o))
		b.facts("settings.applied")
		b.code(b.s.ChangeOrganisation(admin, o), kit.CodeStale)
		b.code(b.s.ChangeOrganisation(as("bob", kit.AccessResponder), o), kit.CodeForbidden)
		o.Version, o.Holidays = 0, []identity.Holiday{{Date: "2026-02-30"}}
		b.code(b.s.ChangeOrganisation(admin, o), kit.CodeInvalid)
	})
}

// TestEndsOfSessionsAndTokens holds that what ends by itself, or by what somebody
// else does, is a fact.
func TestEndsOfSessionsAndTokens(t *testing.T) {
	each(t, func(b *bundle) {
		ctx := kit.WithActor(context.Background(), kit.System(kit.ViaCLI))
		w := due.NewWorker(b.d)
		w.Register(b.s.Tasks()...)
		run, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- w.Run(run) }()
		defer func() { stop(); b.ok(<-done) }()
		reasons := func() (out []string) {
			facts, err := b.l.Facts(ctx, ledger.Filter{Types: []string{"session.ended", "token.expired"}})
			b.ok(err)
			for _, f := range facts {
				var x struct{ Method, Reason, Name string }
				b.ok(f.Decode(&x))
				out = append(out, f.Type+" "+x.Method+x.Name+" "+x.Reason)
			}
			return out
		}
		forward := func(d time.Duration) {
			b.Helper()
			b.clock.Advance(d)
			b.ok(w.Idle(ctx))
		}
		p, err := b.s.People(ctx, identity.Filter{})
		b.ok(err)
		ana := p[0].ID
		token, err := b.s.OpenSession(ctx, ana, "link")
		b.ok(err)
		forward(20 * time.Hour)
		_, _, err = b.s.Session(ctx, token)
		b.ok(err)
		forward(20 * time.Hour)
		if got := reasons(); len(got) != 0 {
			b.Fatalf("ended too early: %v", got)
		}
		forward(5 * time.Hour)
		_, err = b.s.OpenSession(ctx, ana, "link")
		b.ok(err)
		b.ok(b.s.SetPassword(ctx, ana, password+" again"))
		_, _, err = b.s.CreateToken(ctx, identity.NewToken{Name: "short", Access: kit.AccessViewer, Expires: time.Hour})
		b.ok(err)
		_, gone, err := b.s.CreateToken(ctx, identity.NewToken{Name: "revoked", Access: kit.AccessViewer, Expires: time.Hour})
		b.ok(err)
		b.ok(b.s.RevokeToken(ctx, gone.ID))
		forward(2 * time.Hour)
		want := []string{"session.ended expired idle", "session.ended by_rule password_changed", "token.expired short "}
		if got := reasons(); !slices.Equal(got, want) {
			b.Errorf("got %q, want %q", got, want)
		}
	})
}

// A token that belongs to a person is made by the system alone, speaks for that person,
// never has more rights than they have, and ends with their account.
func TestTokensOfAnOwner(t *testing.T) {
	each(t, func(b *bundle) {
		system := kit.WithActor(context.Background(), kit.System(kit.ViaCLI))
		bob := b.add("bob", kit.AccessResponder)
		b.add("gone", kit.AccessResponder)
		b.ok(b.s.Suspend(admin, "gone"))
		for name, c := range map[string]struct {
			ctx  context.Context
			with identity.NewToken
		}{
			"of nobody":         {system, identity.NewToken{Name: "x", Access: kit.AccessViewer, Owner: "nobody"}},
			"of a suspended":    {system, identity.NewToken{Name: "x", Access: kit.AccessViewer, Owner: "gone"}},
			"above its owner":   {system, identity.NewToken{Name: "x", Access: kit.AccessManager, Owner: "bob"}},
			"made by an admin":  {admin, identity.NewToken{Name: "x", Access: kit.AccessViewer, Owner: "bob"}},
			"made by the owner": {as("bob", kit.AccessResponder), identity.NewToken{Name: "x", Access: kit.AccessViewer, Owner: "bob"}},
		} {
			if _, _, err := b.s.CreateToken(c.ctx, c.with); kit.CodeOf(err) != kit.CodeInvalid {
				b.Errorf("%s: %v", name, err)
			}
		}
		secret, token, err := b.s.CreateToken(system, identity.NewToken{Name: "phone", Access: kit.AccessResponder, Owner: "bob"})
		b.ok(err)
		a, err := b.s.Authenticate(context.Background(), secret)
		b.ok(err)
		if token.Creator != "bob" || a.Owner != "bob" || a.Me() != "bob" || a.IsPerson() || a.ID != token.ID {
			b.Errorf("actor %+v", a)
		}
		bob.Access = kit.AccessViewer
		b.ok(b.s.ChangePerson(admin, bob))
		if a, err := b.s.Authenticate(context.Background(), secret); err != nil || a.Access != kit.AccessViewer {
			b.Errorf("after the demotion: %v, %v", a.Access, err)
		}
		b.ok(b.s.Suspend(admin, "bob"))
		_, err = b.s.Authenticate(context.Background(), secret)
		b.code(err, kit.CodeUnauthenticated)
	})
}
