package app

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"tocsin/internal/cli"
	"tocsin/internal/db/dbtest"
)

// The key of push messages is made once: devices stay subscribed after a restart, a
// restore, and a move to the other database. With a secret key it does not lie open.
func TestPushKey(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		dir := t.TempDir()
		secret := ""
		if sealed {
			key := make([]byte, 32)
			_, _ = rand.Read(key)
			secret = filepath.Join(dir, "secret")
			if err := os.WriteFile(secret, []byte(base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ask := func(at cli.Place, secret string) (public string, stored []byte, err error) {
			t.Helper()
			a, err := Open(t.Context(), Config{Data: at.Data, Database: at.Database, SecretKeyFile: secret})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = a.Close() }()
			public, err = a.PushKey(t.Context())
			if err := a.db.Read(t.Context()).QueryRowContext(t.Context(), `SELECT value FROM instance_secret WHERE name = 'push'`).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			return public, stored, err
		}
		one, shared := cli.Place{Data: filepath.Join(dir, "one"), Database: "sqlite"}, cli.Place{Data: dir, Database: dbtest.PostgresURL(t)}
		first, stored, err := ask(one, secret)
		if err != nil || len(first) != 87 || (len(stored) == 32) == sealed {
			t.Fatalf("sealed %v: %q, %d bytes stored, %v", sealed, first, len(stored), err)
		}
		var do Actions
		if _, err := do.MigrateData(t.Context(), one, shared); err != nil {
			t.Fatal(err)
		}
		for _, at := range []cli.Place{one, shared} {
			if again, _, err := ask(at, secret); err != nil || again != first {
				t.Errorf("sealed %v, %s: %q, then %q, %v", sealed, at.Database, first, again, err)
			}
		}
		if sealed {
			if _, _, err := ask(one, ""); err == nil {
				t.Error("it is read without the secret key")
			}
		}
	}
}
