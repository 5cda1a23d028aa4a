package ledger_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"tocsin/internal/ledger"
)

// FuzzOpenCheckpoint holds that only what the key signed opens, and only where it is
// a checkpoint.
func FuzzOpenCheckpoint(f *testing.F) {
	private, public, err := note.GenerateKey(rand.Reader, "tocsin.example")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		f.Fatal(err)
	}
	root := bytes.Repeat([]byte{7}, sha256.Size)
	f.Add(fmt.Sprintf("tocsin.example\n42\n%s\n", base64.StdEncoding.EncodeToString(root)), public)
	f.Add("tocsin.example\n-1\n\n", public)
	f.Add("tocsin.example\n99999999999999999999\nAAAA\n", public)
	f.Add("", "a+00000000+AAAA")
	f.Fuzz(func(t *testing.T, text, key string) {
		if _, _, err := ledger.OpenCheckpoint(text, key); err == nil {
			t.Fatalf("opens without a signature: %q", text)
		}
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			return
		}
		size, got, err := ledger.OpenCheckpoint(string(signed), public)
		if err == nil && (size < 0 || len(got) != sha256.Size) {
			t.Fatalf("%q: size %d, root of %d bytes", text, size, len(got))
		}
	})
}
