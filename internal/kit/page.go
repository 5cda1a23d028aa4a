package kit

import (
	"encoding/base64"
	"strings"
)

// Limits of a list.
const (
	DefaultLimit = 50
	MaxLimit     = 500
	// MaxTotal is how far a list counts; above it the total is a minimum.
	MaxTotal = 10_000
)

// Page asks for a part of a list.
type Page struct {
	// Limit is how many items at most; 0 means DefaultLimit.
	Limit int
	// Cursor is what an earlier answer gave as Next; empty means from the start.
	Cursor string
}

// Size is the limit within its bounds.
func (p Page) Size() int {
	switch {
	case p.Limit <= 0:
		return DefaultLimit
	case p.Limit > MaxLimit:
		return MaxLimit
	default:
		return p.Limit
	}
}

// List is a part of a list.
type List[T any] struct {
	Items []T
	// Next continues the list; empty at its end.
	Next string
	// Total is exact up to MaxTotal; above, it is MaxTotal and TotalIsMinimum is set.
	Total          int
	TotalIsMinimum bool
}

// Cursor packs the sort key of the last item.
func Cursor(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\x00")))
}

// ParseCursor unpacks a cursor of n parts.
func ParseCursor(s string, n int) ([]string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, Invalid("error.bad_cursor")
	}
	parts := strings.Split(string(raw), "\x00")
	if len(parts) != n {
		return nil, Invalid("error.bad_cursor")
	}
	return parts, nil
}
