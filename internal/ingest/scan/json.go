package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// stream reads JSON piece by piece: no more than one element of a list is held.
type stream struct{ d *json.Decoder }

func (in *input) json() stream { return stream{json.NewDecoder(in.r)} }

// object calls f for each member of the object that comes next; f takes the
// value. null is an object without members.
func (s stream) object(f func(key string) error) error {
	t, err := s.d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return errShape
	}
	for s.d.More() {
		t, err := s.d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if err := f(key); err != nil {
			return err
		}
	}
	_, err = s.d.Token()
	return err
}

// array calls f for each element of the array that comes next, f takes it, and
// tells whether there was an array: null is none.
func (s stream) array(f func() error) (bool, error) {
	t, err := s.d.Token()
	if err != nil || t == nil {
		return false, err
	}
	if t != json.Delim('[') {
		return false, errShape
	}
	for s.d.More() {
		if err := f(); err != nil {
			return true, err
		}
	}
	_, err = s.d.Token()
	return true, err
}

// into decodes the value that comes next.
func (s stream) into(v any) error {
	err := s.d.Decode(v)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return errShape
	}
	return err
}

// skip passes over the value that comes next without holding it.
func (s stream) skip() error {
	for depth := 0; ; {
		t, err := s.d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth <= 0 {
			return nil
		}
	}
}

// end says that nothing but space follows.
func (s stream) end() error {
	if _, err := s.d.Token(); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	return errShape
}

// each calls f for each element of a list of T.
func each[T any](s stream, f func(T) error) (bool, error) {
	return s.array(func() error {
		var v T
		if err := s.into(&v); err != nil {
			return err
		}
		return f(v)
	})
}

// words is a text or a list of texts.
type words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(b []byte) error {
	*w = nil
	if len(b) > 0 && b[0] == '[' {
		var list []plain
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for _, p := range list {
			if p != "" {
				*w = append(*w, string(p))
			}
		}
		return nil
	}
	var p plain
	if err := p.UnmarshalJSON(b); err != nil {
		return err
	}
	if p != "" {
		*w = words{string(p)}
	}
	return nil
}

// plain is a text, or a number or truth value as text; anything else is empty.
type plain string

// UnmarshalJSON implements json.Unmarshaler.
func (p *plain) UnmarshalJSON(b []byte) error {
	*p = ""
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || bytes.Equal(b, []byte("null")):
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*p = plain(s)
	default:
		*p = plain(b)
	}
	return nil
}

func (p plain) int() int {
	n, err := strconv.Atoi(strings.TrimSpace(string(p)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// filled tells whether a raw value holds something: not null, empty or false.
func filled(b json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(b), nil)) {
	case "", "null", "[]", "{}", `""`, "false":
		return false
	}
	return true
}
