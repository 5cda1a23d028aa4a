package orgfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"tocsin/internal/kit"
)

// Export writes the file in the order of its documentation. Parse of the result
// gives the same file.
func Export(f *File) ([]byte, error) {
	out := *f
	out.APIVersion = Version
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, kit.Internal(err)
	}
	var b bytes.Buffer
	if err := emit(&b, raw); err != nil {
		return nil, kit.Internal(err)
	}
	for _, name := range sortedKeys(f.Kept) {
		if !slices.Contains(keptSections, name) {
			return nil, kit.Internal(errors.New("no such section: " + name))
		}
		section := append(append([]byte(`{"`+name+`":`), f.Kept[name]...), '}')
		if err := emit(&b, section); err != nil {
			return nil, kit.Internal(err)
		}
	}
	return b.Bytes(), nil
}

// emit writes the members of a JSON object as YAML.
func emit(b *bytes.Buffer, raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decode(d)
	if err != nil {
		return err
	}
	block(b, v, 0)
	return nil
}

type pair struct {
	key   string
	value any
}

type ordered []pair

// decode reads one JSON value, keeping the order of members.
func decode(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m := ordered{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			m = append(m, pair{k.(string), v})
		}
		_, err = d.Token()
		return m, err
	case json.Delim('['):
		l := []any{}
		for d.More() {
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err = d.Token()
		return l, err
	}
	return t, nil
}

// block writes a map or list over several lines, indented by n spaces.
func block(b *bytes.Buffer, v any, n int) {
	pad := strings.Repeat(" ", n)
	switch v := v.(type) {
	case ordered:
		for _, p := range v {
			b.WriteString(pad)
			b.WriteString(scalar(p.key))
			b.WriteByte(':')
			inside(b, p.value, n+2)
		}
	case []any:
		for _, item := range v {
			b.WriteString(pad)
			b.WriteByte('-')
			if m, ok := item.(ordered); ok && len(m) > 0 {
				// The first member stands beside the dash.
				var sub bytes.Buffer
				block(&sub, m, n+2)
				b.WriteByte(' ')
				b.Write(sub.Bytes()[n+2:])
				continue
			}
			inside(b, item, n+2)
		}
	}
}

func inside(b *bytes.Buffer, v any, n int) {
	switch x := v.(type) {
	case ordered:
		if len(x) > 0 {
			b.WriteByte('\n')
			block(b, x, n)
			return
		}
	case []any:
		if len(x) > 0 && !plain(x) {
			b.WriteByte('\n')
			block(b, x, n)
			return
		}
	}
	b.WriteByte(' ')
	flow(b, v)
	b.WriteByte('\n')
}

func plain(l []any) bool {
	return len(l) <= 20 && !slices.ContainsFunc(l, func(v any) bool {
		switch v.(type) {
		case ordered, []any:
			return true
		}
		return false
	})
}

// flow writes a value on one line.
func flow(w io.StringWriter, v any) {
	put := func(s string) { _, _ = w.WriteString(s) }
	switch v := v.(type) {
	case nil:
		put("null")
	case bool:
		if v {
			put("true")
		} else {
			put("false")
		}
	case json.Number:
		put(v.String())
	case string:
		put(scalar(v))
	case ordered:
		put("{}")
	case []any:
		put("[")
		for i, item := range v {
			if i > 0 {
				put(", ")
			}
			flow(w, item)
		}
		put("]")
	}
}

var (
	bare     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./@+-]*( [A-Za-z0-9_./@+-]+)*$`)
	reserved = regexp.MustCompile(`^(?i:true|false|null|yes|no|on|off|y|n)$`)
)

// scalar writes a text without quotes where no reader can take it for something
// else, else in double quotes, whose JSON form is also YAML.
func scalar(s string) string {
	if bare.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	quote(&b, s)
	return b.String()
}
