package doc

import (
	"bufio"
	"bytes"
	"html"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	rendering "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
)

// people reads the Markdown that people write: line breaks are kept and bare
// addresses become links.
var people = goldmark.New(
	goldmark.WithExtensions(extension.Linkify, extension.Strikethrough),
	goldmark.WithRendererOptions(rendering.WithHardWraps()),
)

// allowed is the subset that is shown: no pictures, frames, styles or scripts, and
// links that tell nobody where the reader comes from.
var allowed = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "strong", "em", "del", "code", "pre", "ul", "ol", "li", "blockquote", "h3", "h4", "h5", "h6", "hr")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowRelativeURLs(false)
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	return p
}()

// MarkdownHTML gives people's Markdown as HTML that is safe to put into a page.
// Headings begin at h3, under those of the page.
func MarkdownHTML(source string) string {
	var b bytes.Buffer
	root := people.Parser().Parse(text.NewReader([]byte(source)))
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if h, ok := n.(*ast.Heading); ok && entering {
			h.Level = min(h.Level+2, 6)
		}
		return ast.WalkContinue, nil
	})
	if err := people.Renderer().Render(&b, []byte(source), root); err != nil {
		return "<p>" + html.EscapeString(source) + "</p>"
	}
	return allowed.Sanitize(b.String())
}

// MarkdownText gives people's Markdown as plain text.
func MarkdownText(source string) string {
	var parts []string
	for _, b := range blocks(source) {
		switch x := b.(type) {
		case Heading:
			parts = append(parts, x.Text)
		case Paragraph:
			parts = append(parts, x.Text)
		case List:
			for _, item := range x.Items {
				parts = append(parts, "• "+item)
			}
		case code:
			parts = append(parts, x.text)
		case quote:
			parts = append(parts, x.text)
		}
	}
	return strings.Join(parts, "\n")
}

// blocks reads Markdown into the blocks that every format can write; bold and
// italic are lost, the address of a link follows its text.
func blocks(source string) []Block {
	src := []byte(source)
	root := people.Parser().Parse(text.NewReader(src))
	var out []Block
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		out = append(out, blockOf(n, src))
	}
	return out
}

func blockOf(n ast.Node, src []byte) Block {
	switch x := n.(type) {
	case *ast.Heading:
		return Heading{Level: 3, Text: inline(n, src)}
	case *ast.List:
		l := List{Ordered: x.IsOrdered()}
		for item := n.FirstChild(); item != nil; item = item.NextSibling() {
			l.Items = append(l.Items, plain(item, src))
		}
		return l
	case *ast.FencedCodeBlock, *ast.CodeBlock, *ast.HTMLBlock:
		return code{strings.TrimRight(lines(n, src), "\n")}
	case *ast.Blockquote:
		return quote{plain(n, src)}
	case *ast.ThematicBreak:
		return Paragraph{"—"}
	}
	return Paragraph{inline(n, src)}
}

// plain gives all text under a node, block by block on lines of its own.
func plain(n ast.Node, src []byte) string {
	var parts []string
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c.(type) {
		case *ast.List, *ast.ListItem, *ast.Blockquote:
			parts = append(parts, plain(c, src))
		case *ast.FencedCodeBlock, *ast.CodeBlock, *ast.HTMLBlock:
			parts = append(parts, strings.TrimRight(lines(c, src), "\n"))
		default:
			parts = append(parts, inline(c, src))
		}
	}
	return strings.Join(parts, "\n")
}

func lines(n ast.Node, src []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		s := n.Lines().At(i)
		b.Write(s.Value(src))
	}
	return b.String()
}

func inline(n ast.Node, src []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch x := c.(type) {
		case *ast.Text:
			b.WriteString(unescape(n, x.Segment.Value(src)))
			if x.SoftLineBreak() || x.HardLineBreak() {
				b.WriteByte('\n')
			}
		case *ast.String:
			b.Write(x.Value)
		case *ast.AutoLink:
			b.Write(x.URL(src))
		case *ast.RawHTML:
			for i := range x.Segments.Len() {
				s := x.Segments.At(i)
				b.Write(s.Value(src))
			}
		case *ast.Link:
			t := inline(c, src)
			b.WriteString(t)
			if to := string(x.Destination); to != t {
				b.WriteString(" (" + to + ")")
			}
		default:
			b.WriteString(inline(c, src))
		}
	}
	return b.String()
}

// unescape gives the characters that a piece of Markdown stands for: backslashes
// and entities are resolved, except within code.
func unescape(parent ast.Node, piece []byte) string {
	if parent.Kind() == ast.KindCodeSpan {
		return string(piece)
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	rendering.DefaultWriter.Write(w, piece)
	_ = w.Flush()
	return html.UnescapeString(b.String())
}
