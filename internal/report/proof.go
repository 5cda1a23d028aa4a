package report

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/kit"
)

// Known is a trouble that the public may know of: what service, and since when.
type Known struct {
	Service kit.Text
	Since   time.Time
}

// What a form must keep to.
const (
	// ProofBits is how many zero bits the digest of challenge and proof begins with.
	ProofBits = 14
	// formAge is how long a form may lie open.
	formAge = 24 * time.Hour
	// fastest is how fast a person can fill it in.
	fastest = 2 * time.Second
)

// Challenge is a word for one form: when it was made, and a mark that it was made here.
func (s *Service) Challenge() string {
	at := strconv.FormatInt(kit.Micros(s.db.Now()), 36) + "." + rand.Text()[:12]
	return at + "." + digest(s.key, "challenge", at)
}

// Judged is what a form that came back tells of its sender.
type Judged struct {
	// Held is why it may be no person, or empty.
	Held   string
	Proven bool
}

// Judge looks at a form that came back: hidden is the field that people do not see,
// proof the word that a script has found so that SHA-256 of "challenge.proof" begins
// with ProofBits zero bits. A challenge that is not of this installation, or too old,
// is told as stale: the form must be shown again.
func (s *Service) Judge(challenge, proof, hidden string) (Judged, error) {
	at, mark, ok := cutLast(challenge)
	if !ok || !hmac.Equal([]byte(mark), []byte(digest(s.key, "challenge", at))) {
		return Judged{}, kit.Invalid("report.error.form_old")
	}
	stamp, _, _ := strings.Cut(at, ".")
	made, err := strconv.ParseInt(stamp, 36, 64)
	age := s.db.Now().Sub(kit.FromMicros(made))
	if err != nil || age > formAge || age < -time.Minute {
		return Judged{}, kit.Invalid("report.error.form_old")
	}
	j := Judged{Proven: len(proof) <= 32 && proof != "" && zeroBits(challenge+"."+proof) >= ProofBits}
	switch {
	case hidden != "":
		j.Held = HeldHidden
	case age < fastest:
		j.Held = HeldFast
	}
	return j, nil
}

func cutLast(s string) (before, after string, ok bool) {
	n := strings.LastIndexByte(s, '.')
	if n < 0 || len(s) > 200 {
		return "", "", false
	}
	return s[:n], s[n+1:], true
}

func zeroBits(s string) int {
	n := 0
	for _, b := range sha256.Sum256([]byte(s)) {
		if b != 0 {
			return n + bits.LeadingZeros8(b)
		}
		n += 8
	}
	return n
}
