package notify

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSMS(t *testing.T) {
	link := "https://tocsin.example.com/a/abcdefghijklmnopqrstuvwxyz012345"
	for name, c := range map[string]struct {
		m       Brief
		replies bool
		want    string
	}{
		"short":                {Brief{Head: "SEV2 INC-42", What: "Payments: high error rate", Reply: "Reply 1 to take, 2 to pass.", Link: "https://t.ex/a/x"}, true, "SEV2 INC-42 Payments: high error rate Reply 1 to take, 2 to pass. https://t.ex/a/x"},
		"nobody reads replies": {Brief{Head: "SEV2 INC-42", What: "Down", Reply: "Reply 1.", Link: "https://t.ex/a/x"}, false, "SEV2 INC-42 Down https://t.ex/a/x"},
		"French":               {Brief{Head: "SEV2 INC-42", What: "Paiement : l’œuvre à reprendre, « gêne » élevée – ça s’arrête…"}, false, "SEV2 INC-42 Paiement : l'oeuvre à reprendre, \"gene\" élevée - ca s'arrete..."},
		"cut":                  {Brief{Head: "SEV1 INC-1", What: strings.Repeat("words and ", 30), Reply: "Reply 1 to take, 2 to pass.", Link: link}, true, "SEV1 INC-1 words and words and words and words and words and words... Reply 1 to take, 2 to pass. " + link},
		"no letters":           {Brief{Head: "SEV1 INC-1", What: "数据库 🔥", Link: "https://t.ex/a/x"}, false, "SEV1 INC-1 ??? ? https://t.ex/a/x"},
		"link too long":        {Brief{Head: "SEV1 INC-1", What: "Down", Link: "https://" + strings.Repeat("x", 170)}, false, "SEV1 INC-1 https://" + strings.Repeat("x", 170)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.m.SMS(c.replies); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestSMSIsOneSegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Brief{Head: "SEV2 INC-42", What: rapid.String().Draw(t, "what"), Reply: "Répondez 1 je prends, 2 je passe.", Link: "https://tocsin.example.com/a/abcdefghijklmnopqrstuvwxyz012345"}
		got := m.SMS(rapid.Bool().Draw(t, "replies"))
		if n := Septets(got); n > segment {
			t.Fatalf("%d septets: %q", n, got)
		}
		for _, r := range got {
			if !strings.ContainsRune(gsm, r) && !strings.ContainsRune(extended, r) {
				t.Fatalf("%q is not in the alphabet", r)
			}
		}
		if !strings.HasSuffix(got, m.Link) || !strings.HasPrefix(got, m.Head) {
			t.Fatalf("cut: %q", got)
		}
	})
}
