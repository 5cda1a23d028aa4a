package kit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"sync"
	"time"
)

var (
	idMu   sync.Mutex
	idLast uint64
)

// NewID makes an internal id: a UUID of version 7 (RFC 9562, 5.7) in text form.
// Ids made by one process grow strictly, so that they sort by their making.
func NewID() string { return NewIDAt(time.Now()) }

// NewIDAt is NewID with the instant given.
func NewIDAt(t time.Time) string {
	// 48 bits of milliseconds and 12 bits of sub-millisecond fraction make one
	// number that must grow.
	us := uint64(t.UnixMicro())
	stamp := us/1000<<12 | (us%1000)<<2
	idMu.Lock()
	if stamp <= idLast {
		stamp = idLast + 1
	}
	idLast = stamp
	idMu.Unlock()
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], stamp>>12<<16|0x7000|stamp&0xfff)
	_, _ = rand.Read(b[8:])
	b[8] = b[8]&0x3f | 0x80
	return formatID(b)
}

// ShiftID gives the least id that is made a time after another, or before it when the time
// is negative: a bound for what was made about then. An id of another form is given back.
func ShiftID(id string, by time.Duration) string {
	b, err := ParseID(id)
	if err != nil {
		return id
	}
	ms := int64(binary.BigEndian.Uint64(b[:8])>>16) + by.Milliseconds()
	var out [16]byte
	binary.BigEndian.PutUint64(out[:8], uint64(max(ms, 0))<<16)
	return formatID(out)
}

func formatID(b [16]byte) string {
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	s[8] = '-'
	hex.Encode(s[9:13], b[4:6])
	s[13] = '-'
	hex.Encode(s[14:18], b[6:8])
	s[18] = '-'
	hex.Encode(s[19:23], b[8:10])
	s[23] = '-'
	hex.Encode(s[24:36], b[10:16])
	return string(s[:])
}

// ParseID gives the 16 bytes of an id in text form.
func ParseID(s string) ([16]byte, error) {
	var b [16]byte
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return b, fmt.Errorf("not an id: %q", s)
	}
	raw, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36])
	if err != nil {
		return b, fmt.Errorf("not an id: %q", s)
	}
	copy(b[:], raw)
	return b, nil
}

// FormatID is the text form of 16 bytes.
func FormatID(b [16]byte) string { return formatID(b) }

// Secret makes n random bytes in base64url without padding.
func Secret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

var slug = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// IsSlug tells whether s may be a chosen id.
func IsSlug(s string) bool { return slug.MatchString(s) }
