package app

import (
	"path/filepath"
	"testing"

	"tocsin/internal/cli"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
)

// A backup becomes an installation again in either database, moves to the other, and
// never goes over one that is there.
func TestRestoreAndMigrate(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) cli.Place { return cli.Place{Data: filepath.Join(dir, name), Database: "sqlite"} }
	shared := cli.Place{Data: dir, Database: dbtest.PostgresURL(t)}
	var do Actions
	file := []byte("apiVersion: tocsin/v1\norganisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR}\npeople: [{id: ana, name: Ana, email: ana@example.com, access: admin}]\n")
	if _, err := do.Apply(t.Context(), cli.Apply{Place: at("one")}, file); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup.db")
	kept, err := do.Backup(t.Context(), at("one"), backup)
	if err != nil || len(kept.Problems) > 0 || kept.Facts == 0 {
		t.Fatalf("backup: %+v, %v", kept, err)
	}
	same := func(what string, v cli.Verification, err error) {
		t.Helper()
		if err != nil || len(v.Problems) > 0 || v.Root != kept.Root {
			t.Fatalf("%s: %+v, %v", what, v, err)
		}
	}
	v, err := do.Restore(t.Context(), backup, at("two"))
	same("restore into a folder", v, err)
	v, err = do.Restore(t.Context(), backup, shared)
	same("restore into PostgreSQL", v, err)
	v, err = do.MigrateData(t.Context(), shared, at("three"))
	same("move back", v, err)
	for _, full := range []cli.Place{at("two"), shared} {
		if _, err := do.Restore(t.Context(), backup, full); kit.CodeOf(err) != kit.CodeConflict {
			t.Errorf("restore over %s: %v", full.Database, err)
		}
	}
}
