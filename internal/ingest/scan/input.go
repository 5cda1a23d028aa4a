package scan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"tocsin/internal/kit"
)

const headBytes = 64 << 10

type bodyKind int

const (
	emptyBody bodyKind = iota
	jsonBody
	xmlBody
	textBody
)

// head is the beginning of a body, enough to tell its format.
type head struct {
	kind bodyKind
	text []byte
	// paths of a JSON body are its members in the head, as "runs[].tool", with the
	// values of the plain ones.
	paths map[string]string
	// root is the first element of an XML body and its attributes, and space its
	// namespace.
	root, space string
	attrs       map[string]string
}

func (h head) has(paths ...string) bool {
	for _, p := range paths {
		if _, ok := h.paths[p]; !ok {
			return false
		}
	}
	return true
}

func (h head) member(path ...string) bool { return h.has(strings.Join(path, ".")) }

// input is a body as UTF-8, bounded.
type input struct {
	head  head
	r     io.Reader
	limit *limitReader
}

// open looks at the beginning of a body, and brings it to UTF-8.
func open(r io.Reader) (*input, error) {
	limit := &limitReader{r: r, left: MaxBytes}
	raw := bufio.NewReaderSize(limit, 16)
	mark, err := raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	in := &input{limit: limit}
	var plain io.Reader = raw
	switch {
	case bytes.HasPrefix(mark, []byte{0xEF, 0xBB, 0xBF}):
		_, _ = raw.Discard(3)
	case bytes.HasPrefix(mark, []byte{0xFF, 0xFE}), bytes.HasPrefix(mark, []byte{0xFE, 0xFF}):
		plain = transform.NewReader(raw, unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM).NewDecoder())
	}
	b := bufio.NewReaderSize(plain, headBytes)
	text, err := b.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.IndexByte(text[:min(len(text), 512)], 0) >= 0 || bytes.HasPrefix(text, []byte{0x1F, 0x8B}) || bytes.HasPrefix(text, []byte("PK\x03\x04")) {
		return nil, kit.Errorf(kit.CodeUnsupported, "scan.error.binary")
	}
	in.head = look(bytes.Clone(text))
	in.r = b
	switch in.head.kind {
	case jsonBody:
		in.r = transform.NewReader(&plainReader{r: b}, encoding.UTF8Validator)
	case textBody:
		in.r = transform.NewReader(&lineReader{r: b}, encoding.UTF8Validator)
	}
	return in, nil
}

func look(text []byte) head {
	h := head{text: text}
	body := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(body) == 0 && len(text) < headBytes:
	case len(body) > 0 && (body[0] == '{' || body[0] == '['):
		h.kind, h.paths = jsonBody, map[string]string{}
		outline(json.NewDecoder(bytes.NewReader(body)), "", h.paths, 0)
	case len(body) > 0 && body[0] == '<':
		h.kind = xmlBody
		d := newXML(bytes.NewReader(body))
		for h.root == "" {
			t, err := d.Token()
			if err != nil {
				break
			}
			if e, ok := t.(xml.StartElement); ok {
				h.root, h.space, h.attrs = e.Name.Local, e.Name.Space, map[string]string{}
				for _, a := range e.Attr {
					h.attrs[a.Name.Local] = a.Value
				}
			}
		}
	default:
		h.kind = textBody
	}
	return h
}

// outline notes the members of the value that comes next; false ends it, at the
// end of the head or of what is worth knowing.
func outline(d *json.Decoder, path string, paths map[string]string, depth int) bool {
	t, err := d.Token()
	if err != nil || len(paths) > 2_000 || depth > MaxDepth {
		return false
	}
	switch v := t.(type) {
	case json.Delim:
		for n := 0; d.More(); n++ {
			sub := path + "[]"
			if v == '{' {
				k, err := d.Token()
				if err != nil {
					return false
				}
				sub, _ = k.(string)
				if path != "" {
					sub = path + "." + sub
				}
			}
			if depth < 5 && len(sub) < 200 {
				if _, ok := paths[sub]; !ok {
					paths[sub] = ""
				}
			}
			if !outline(d, sub, paths, depth+1) {
				return false
			}
		}
		_, err = d.Token()
		return err == nil
	case string:
		if depth < 4 && len(v) < 200 && paths[path] == "" {
			paths[path] = v
		}
	}
	return true
}

// limitReader refuses what is over the limit and remembers a failing sender.
type limitReader struct {
	r    io.Reader
	left int64
	err  error
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		l.err = kit.Errorf(kit.CodeTooLarge, "scan.error.too_large", "max", MaxBytes>>20)
		return 0, l.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// plainReader refuses JSON that is nested too deeply or made of too many pieces,
// before anything decodes it, and leaves out repeated space: the decoder of the
// standard library looks at a run of space again with each read.
type plainReader struct {
	r               io.Reader
	depth           int
	pieces, commas  int
	quoted, escaped bool
	space           bool
}

func (d *plainReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	kept := p[:0]
	for _, c := range p[:n] {
		space := false
		switch {
		case d.escaped:
			d.escaped = false
		case d.quoted:
			d.escaped = c == '\\'
			d.quoted = c != '"'
		case c == '"':
			d.quoted = true
		case c == '{' || c == '[':
			d.depth++
			d.pieces++
			if d.depth > MaxDepth {
				return 0, tooDeep()
			}
			if d.pieces > maxPieces {
				return 0, tooManyPieces()
			}
		case c == ',':
			if d.commas++; d.commas > maxCommas {
				return 0, tooManyPieces()
			}
		case c == '}' || c == ']':
			d.depth--
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if space = true; d.space {
				continue
			}
		}
		d.space = space
		kept = append(kept, c)
	}
	return len(kept), err
}

// lineReader refuses text whose lines are too long to be of a report.
type lineReader struct {
	r      io.Reader
	length int
}

func (l *lineReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if i := bytes.LastIndexByte(p[:n], '\n'); i >= 0 {
		l.length = n - i - 1
	} else {
		l.length += n
	}
	if l.length > maxLine {
		return 0, errShape
	}
	return n, err
}

func tooManyPieces() error { return kit.Errorf(kit.CodeTooLarge, "scan.error.too_many_pieces") }

func tooDeep() error { return kit.Errorf(kit.CodeMalformed, "scan.error.too_deep", "max", MaxDepth) }

// xmlTokens refuses entities and deep nesting.
type xmlTokens struct {
	d             *xml.Decoder
	depth, pieces int
}

// Token implements xml.TokenReader.
func (x *xmlTokens) Token() (xml.Token, error) {
	t, err := x.d.RawToken()
	switch v := t.(type) {
	case xml.StartElement:
		x.depth++
		x.pieces++
		if x.depth > MaxDepth {
			return nil, tooDeep()
		}
		if x.pieces > maxPieces || len(v.Attr) > maxAttributes {
			return nil, tooManyPieces()
		}
	case xml.EndElement:
		x.depth--
	case xml.Directive:
		if bytes.Contains(v, []byte("<!ENTITY")) {
			return nil, kit.Errorf(kit.CodeMalformed, "scan.error.entities")
		}
	}
	return t, err
}

func newXML(r io.Reader) *xml.Decoder {
	d := xml.NewDecoder(r)
	d.CharsetReader = func(name string, r io.Reader) (io.Reader, error) {
		switch strings.ToLower(name) {
		case "utf-8", "utf8", "us-ascii", "ascii":
			return r, nil
		case "utf-16", "utf-16le", "utf-16be":
			// Told by its byte-order mark, and UTF-8 by now.
			return r, nil
		case "iso-8859-1", "latin1", "latin-1":
			return charmap.ISO8859_1.NewDecoder().Reader(r), nil
		case "iso-8859-15":
			return charmap.ISO8859_15.NewDecoder().Reader(r), nil
		case "windows-1252", "cp1252":
			return charmap.Windows1252.NewDecoder().Reader(r), nil
		}
		return nil, kit.Errorf(kit.CodeUnsupported, "scan.error.charset", "charset", cut(name, 40, false))
	}
	return xml.NewTokenDecoder(&xmlTokens{d: d})
}

// failed sorts the error of a reader: a refusal and an error of the sender are
// given back, everything else makes the report unknown.
func (c *collector) failed(in *input, err error) error {
	var refused *kit.Error
	var syntax *xml.SyntaxError
	switch {
	case in.limit.err != nil:
		return in.limit.err
	case err == nil:
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, encoding.ErrInvalidUTF8), errors.As(err, &syntax) && strings.Contains(syntax.Msg, "invalid UTF-8"):
		return kit.Errorf(kit.CodeMalformed, "scan.error.utf8")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &syntax) && strings.Contains(syntax.Msg, "unexpected EOF"):
		c.unknown("scan.reason.truncated")
	case errors.Is(err, errShape):
		c.unknown("scan.reason.shape")
	default:
		c.unknown("scan.reason.malformed")
	}
	return nil
}

// errShape says that a body is well formed but not what its format is.
var errShape = errors.New("not of the shape of this format")

// lines calls f for each line of a text body; a last line without an end is
// whole only when the body is.
func (in *input) lines(f func(line string) error) error {
	s := bufio.NewScanner(in.r)
	s.Buffer(nil, 2*maxLine)
	for s.Scan() {
		if err := f(s.Text()); err != nil {
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return errShape
	}
	return s.Err()
}

// cut brings a text of a scanner to what is kept: valid, without control
// characters, of at most n characters.
func cut(s string, n int, multiline bool) string {
	// Most of a long text is thrown away; it is cut before it is walked.
	if len(s) > 8*n {
		s = s[:8*n]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
	}
	if s = clean(s, multiline); utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:n-1])) + "…"
}
