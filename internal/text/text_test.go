package text_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/kit"
	"tocsin/internal/text"
)

func TestClean(t *testing.T) {
	cases := []struct {
		name, in, want string
		multiline, bad bool
	}{
		{name: "composed", in: "e\u0301te\u0301", want: "été"},
		{name: "control characters go", in: "a\x00b\x1b[31m", want: "ab[31m"},
		{name: "lines join", in: "a\r\nb\tc", want: "a b c"},
		{name: "lines stay", in: " a\r\nb\tc\n", want: "a\nb\tc", multiline: true},
		{name: "not UTF-8", in: "a\xff", bad: true},
		{name: "too long", in: strings.Repeat("é", 21), bad: true},
		{name: "just fits", in: strings.Repeat("é", 20), want: strings.Repeat("é", 20)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := text.Clean("f", c.in, 20, c.multiline)
			if (err != nil) != c.bad || got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
			if c.bad && kit.CodeOf(err) != kit.CodeInvalid {
				t.Errorf("code %s", kit.CodeOf(err))
			}
		})
	}
}

func TestCleanIsStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		multiline := rapid.Bool().Draw(rt, "multiline")
		once, err := text.Clean("f", rapid.String().Draw(rt, "s"), 1000, multiline)
		if err != nil {
			return
		}
		if twice, err := text.Clean("f", once, 1000, multiline); err != nil || twice != once {
			rt.Fatalf("%q became %q, %v", once, twice, err)
		}
	})
}

func TestFold(t *testing.T) {
	if got := text.Fold("Paiement Échoué À L’Œuvre"); got != "paiement echoue a l’œuvre" {
		t.Error(got)
	}
}
