package kit_test

import (
	"slices"
	"testing"

	"tocsin/internal/kit"
)

func FuzzParseCursor(f *testing.F) {
	f.Add(kit.Cursor("2026-11-23", "42"), 2)
	f.Add(kit.Cursor(""), 1)
	f.Add("!", 0)
	f.Fuzz(func(t *testing.T, s string, n int) {
		parts, err := kit.ParseCursor(s, n)
		if err != nil {
			if c := kit.CodeOf(err); c != kit.CodeInvalid {
				t.Fatalf("%q: %s", s, c)
			}
			return
		}
		again, err := kit.ParseCursor(kit.Cursor(parts...), n)
		if err != nil || !slices.Equal(parts, again) {
			t.Fatalf("%q: %q became %q, %v", s, parts, again, err)
		}
	})
}
