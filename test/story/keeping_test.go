package story_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/ledger"
)

// TestCheckpointsLeave: each hour in which something happened the ledger is signed, the
// checkpoint lies in a folder outside of the database and fits the ledger, and once a
// day the ledger is verified.
func TestCheckpointsLeave(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "elsewhere")
	run := func(t *testing.T, cfg app.Config) {
		clock := dbtest.NewClock(time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC))
		cfg.Data, cfg.Clock, cfg.Checkpoints = t.TempDir(), clock, filepath.Join(folder, filepath.Base(t.Name()))
		h := timed{open(t, cfg), clock}
		h.pages.SetClock(clock.Now)
		files := func() []string {
			list, err := filepath.Glob(filepath.Join(cfg.Checkpoints, "checkpoint-*.txt"))
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		h.forward(time.Hour)
		h.eventually("a checkpoint leaves", func() bool { return count(h.types(""), "checkpoint.sent") == 1 })
		// An hour in which nothing happened needs no other.
		h.forward(time.Hour)
		if list := files(); len(list) != 1 {
			t.Fatalf("%v", list)
		}
		h.declare("sev4")
		h.forward(time.Hour)
		h.eventually("another checkpoint", func() bool { return count(h.types(""), "checkpoint.sent") == 2 })
		var texts []string
		for _, f := range files() {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(raw))
		}
		rep, err := h.app.Ledger().Verify(t.Context(), ledger.VerifyOptions{Checkpoints: texts})
		if err != nil || !rep.OK() || len(texts) != 2 {
			t.Fatalf("%d checkpoints, %+v, %v", len(texts), rep, err)
		}
		h.forward(22 * time.Hour)
		var v ledger.Verified
		h.eventually("verified", func() bool { return count(h.types(""), "ledger.verified") == 1 })
		if h.last("ledger.verified", &v); v.Result != "ok" || v.ToSeq == 0 {
			t.Errorf("%+v", v)
		}
		resp, err := http.Get(h.app.BaseURL() + "/readyz")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%v %v", resp, err)
		}
		_ = resp.Body.Close()
	}
	t.Run("sqlite", func(t *testing.T) { run(t, app.Config{}) })
	t.Run("postgres", func(t *testing.T) { run(t, app.Config{Database: dbtest.PostgresURL(t)}) })
}
