package bench_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// line is a note as the timeline has it.
type line struct {
	Text string `json:"text"`
}

func (line) FactType() string { return "incident.noted" }

// BenchmarkPages is the time of the pages that people open at night, signed in, in a
// database of 10,000 incidents and a million facts (a tenth of both unless the long
// form is asked for), one incident with 10,000 lines.
func BenchmarkPages(b *testing.B) {
	eachDatabase(b, func(b *testing.B, cfg app.Config) {
		incidents, facts := 1_000, 100_000
		if long() {
			incidents, facts = 10_000, 1_000_000
		}
		h := open(b, cfg, "service")
		ctx := kit.WithActor(b.Context(), kit.Actor{Kind: kit.ActorPerson, ID: "ana", Name: "Ana Lopez", Access: kit.AccessAdmin, Via: kit.ViaWeb})
		long, err := h.app.Incident.Declare(ctx, incident.Declaration{Title: "The long one", Severity: incident.Sev4, Exercise: true})
		if err != nil {
			b.Fatal(err)
		}
		write := func(fn func(ctx context.Context, tx *db.Tx) error) {
			if err := h.app.DB().Write(ctx, fn); err != nil {
				b.Fatal(err)
			}
		}
		lines := func(of string, n int) {
			for n > 0 {
				group := make([]ledger.Entry, min(n, 500))
				for i := range group {
					group[i] = ledger.Entry{Subject: ledger.Subject{Kind: "incident", ID: of}, Incident: of, Body: line{fmt.Sprintf("line %d of many, as long as people write them", n-i)}}
				}
				write(func(ctx context.Context, tx *db.Tx) error { return ledger.Append(ctx, tx, group...) })
				n -= len(group)
			}
		}
		for done := 0; done < incidents; {
			write(func(ctx context.Context, _ *db.Tx) error {
				for range 100 {
					if _, err := h.app.Incident.Declare(ctx, incident.Declaration{Title: fmt.Sprintf("Incident %d", done), Severity: incident.Sev4, Exercise: true}); err != nil {
						return err
					}
					done++
				}
				return nil
			})
		}
		lines(long.ID, 10_000)
		other := kit.NewID()
		lines(other, facts-10_000)
		client := signIn(b, h)
		for b.Loop() {
			for name, path := range map[string]string{"incident": "/incidents/" + long.Ref(), "now": "/", "incidents": "/incidents"} {
				var took []time.Duration
				for range 40 {
					start := time.Now()
					resp, err := client.Get(h.app.BaseURL() + path)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if err != nil || resp.StatusCode != http.StatusOK || n < 2000 {
						b.Fatalf("%s: %s, %d bytes, %v", path, resp.Status, n, err)
					}
					took = append(took, time.Since(start))
				}
				report(b, name+"-p95-ms", ms(quantile(took, 0.95)), 150)
			}
		}
	})
}

// signIn gives a client that holds a session of Ana's.
func signIn(b *testing.B, h *house) *http.Client {
	b.Helper()
	token, err := h.app.Identity.OpenSession(app.AsSystem(b.Context()), "ana", "password")
	if err != nil {
		b.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	login, err := http.NewRequest("GET", h.app.BaseURL()+"/", nil)
	if err != nil {
		b.Fatal(err)
	}
	jar.SetCookies(login.URL, []*http.Cookie{{Name: "tocsin_session", Value: token}})
	return client
}
