package dossier

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzVerifyZip holds that what nobody sealed is never found to be whole, whatever
// its files say.
func FuzzVerifyZip(f *testing.F) {
	pack := func(t testing.TB, manifest, facts, checkpoint, key []byte) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, e := range []struct {
			name string
			text []byte
		}{{manifestName, manifest}, {factsName, facts}, {checkpointName, checkpoint}, {keyName, key}} {
			w, err := z.Create(e.name)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(e.text)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	f.Add([]byte(`{}`), []byte("{}\n"), []byte("x\n1\nAAAA\n"), []byte("k"), false)
	f.Add([]byte(`{"facts":[1],"size":1}`), []byte(`{"seq":1}`), []byte(""), []byte(""), false)
	f.Add([]byte("PK\x03\x04"), []byte("x"), []byte(""), []byte(""), true)
	f.Fuzz(func(t *testing.T, manifest, facts, checkpoint, key []byte, raw bool) {
		body := manifest
		if !raw {
			body = pack(t, manifest, facts, checkpoint, key)
		}
		path := filepath.Join(t.TempDir(), "record.zip")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if rep, err := VerifyZip(path); err == nil && rep.OK() {
			t.Fatalf("found whole: %+v", rep)
		}
	})
}
