package orgfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"tocsin/internal/kit"
)

// Limits of a file, against one made to exhaust the parser.
const (
	maxSize  = 4 << 20
	maxDepth = 64
	maxError = 100
)

type shape int

const (
	null shape = iota
	text
	number
	boolean
	mapping
	list
)

// node is a value of the file with the place where it stands.
type node struct {
	shape  shape
	line   int
	path   string
	text   string
	keys   []string
	fields map[string]*node
	items  []*node
}

func malformed(line int, err error) error {
	return &kit.Error{Code: kit.CodeMalformed, Key: "orgfile.error.syntax", Args: map[string]any{"line": line}, Err: err}
}

func read(data []byte) (root *node, fields kit.Fields, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = malformed(1, fmt.Errorf("parser: %v", r))
		}
	}()
	if len(data) > maxSize {
		return nil, nil, kit.Errorf(kit.CodeTooLarge, "error.too_large")
	}
	if line := tooDeep(data); line > 0 {
		return nil, nil, malformed(line, errors.New("nested too deeply"))
	}
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line := 1
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			line = ye.GetToken().Position.Line
		}
		return nil, nil, malformed(line, err)
	}
	var body ast.Node
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			return nil, nil, malformed(lineOf(d.Body), errors.New("more than one document"))
		}
		body = d.Body
	}
	if body == nil {
		return nil, nil, malformed(1, errors.New("empty file"))
	}
	r := reader{}
	return r.node(body, ""), r.errs, nil
}

// tooDeep gives the line where nesting exceeds what any file needs. The parser
// recurses, so this is looked at before it runs.
func tooDeep(data []byte) int {
	depth, dashes, line := 0, 0, 0
	for _, t := range lexer.Tokenize(string(data)) {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			dashes++
		}
		if depth > maxDepth || dashes > maxDepth || t.Position.Column > 4096 && t.Type == token.SequenceEntryType {
			return max(line, 1)
		}
	}
	return 0
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

type reader struct{ errs kit.Fields }

func (r *reader) fail(path string, line int, key string, pairs ...any) {
	r.errs.Add(path, key, append([]any{"line", line, "path", path}, pairs...)...)
}

func (r *reader) node(n ast.Node, path string) *node {
	out := &node{line: lineOf(n), path: path}
	switch v := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		out.shape, out.text = text, v.Value
	case *ast.LiteralNode:
		out.shape, out.text = text, v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		out.shape, out.text = number, n.GetToken().Value
	case *ast.BoolNode:
		out.shape, out.text = boolean, fmt.Sprint(v.Value)
	case *ast.MappingNode:
		r.mapping(out, v.Values)
	case *ast.MappingValueNode:
		r.mapping(out, []*ast.MappingValueNode{v})
	case *ast.SequenceNode:
		out.shape = list
		for i, item := range v.Values {
			out.items = append(out.items, r.node(item, path+index(i)))
		}
	default:
		// Anchors, aliases, tags, merge keys: one value, one place.
		r.fail(path, out.line, "orgfile.error.plain")
	}
	return out
}

func (r *reader) mapping(out *node, values []*ast.MappingValueNode) {
	out.shape, out.fields = mapping, map[string]*node{}
	for _, kv := range values {
		line := lineOf(kv.Key)
		var key string
		switch k := kv.Key.(type) {
		case *ast.StringNode:
			key = k.Value
		case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
			key = k.GetToken().Value
		default:
			r.fail(out.path, line, "orgfile.error.plain")
			continue
		}
		path := join(out.path, key)
		if _, ok := out.fields[key]; ok {
			r.fail(path, line, "orgfile.error.twice", "name", key)
			continue
		}
		child := r.node(kv.Value, path)
		child.line = line
		out.keys = append(out.keys, key)
		out.fields[key] = child
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// raw is the value as JSON, as it stands.
func (n *node) raw(b *bytes.Buffer) {
	switch n.shape {
	case null:
		b.WriteString("null")
	case boolean:
		b.WriteString(n.text)
	case number:
		if json.Valid([]byte(n.text)) {
			b.WriteString(n.text)
		} else {
			quote(b, n.text)
		}
	case text:
		quote(b, n.text)
	case mapping:
		b.WriteByte('{')
		for i, k := range n.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			quote(b, k)
			b.WriteByte(':')
			n.fields[k].raw(b)
		}
		b.WriteByte('}')
	case list:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.raw(b)
		}
		b.WriteByte(']')
	}
}

func quote(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	b.Truncate(b.Len() - 1)
}
