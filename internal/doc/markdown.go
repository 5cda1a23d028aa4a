package doc

import (
	"strconv"
	"strings"
)

// Markdown writes the report as CommonMark with tables.
func (r *Report) Markdown() []byte {
	var b strings.Builder
	b.WriteString("# " + escape(r.Title) + "\n\n")
	if r.Subtitle != "" {
		b.WriteString(escape(r.Subtitle) + "\n\n")
	}
	writePairs(&b, r.Meta)
	for _, bl := range r.Blocks {
		writeBlock(&b, bl)
	}
	if r.Footer != "" {
		b.WriteString("---\n\n" + escape(r.Footer) + "\n")
	}
	return []byte(b.String())
}

func writeBlock(b *strings.Builder, bl Block) {
	switch x := bl.(type) {
	case Heading:
		b.WriteString(strings.Repeat("#", min(max(x.Level, 1), 3)+1) + " " + oneLine(x.Text) + "\n\n")
	case Paragraph:
		b.WriteString(strings.ReplaceAll(escape(x.Text), "\n", "  \n") + "\n\n")
	case Markdown:
		// What people wrote stays as they wrote it, except that it can carry no HTML
		// and stands apart from the report's own parts.
		for line := range strings.Lines(strings.ReplaceAll(x.Source, "<", "&lt;")) {
			b.WriteString("> " + strings.TrimRight(line, "\n") + "\n")
		}
		b.WriteString("\n")
	case List:
		for i, item := range x.Items {
			mark := "- "
			if x.Ordered {
				mark = strconv.Itoa(i+1) + ". "
			}
			b.WriteString(mark + strings.ReplaceAll(escape(item), "\n", "\n  ") + "\n")
		}
		b.WriteString("\n")
	case Pairs:
		writePairs(b, x.Rows)
	case Table:
		writeRow(b, x.Columns, len(x.Columns))
		b.WriteString("|" + strings.Repeat(" --- |", len(x.Columns)) + "\n")
		for _, row := range x.Rows {
			writeRow(b, row, len(x.Columns))
		}
		b.WriteString("\n")
	case code:
		b.WriteString("```\n" + x.text + "\n```\n\n")
	case quote:
		b.WriteString("> " + strings.ReplaceAll(escape(x.text), "\n", "\n> ") + "\n\n")
	}
}

func writePairs(b *strings.Builder, rows []Pair) {
	for _, p := range rows {
		b.WriteString("- **" + oneLine(p.Label) + "** – " + oneLine(p.Value) + "\n")
	}
	if len(rows) > 0 {
		b.WriteString("\n")
	}
}

func writeRow(b *strings.Builder, row []string, n int) {
	b.WriteString("|")
	for i := range n {
		b.WriteString(" " + strings.ReplaceAll(escape(cell(row, i)), "\n", "<br>") + " |")
	}
	b.WriteString("\n")
}

func oneLine(s string) string { return strings.ReplaceAll(escape(s), "\n", " ") }

// escape keeps plain text plain: nothing in it may become markup.
func escape(s string) string {
	var b strings.Builder
	start := true
	for _, c := range s {
		switch c {
		case '\\', '`', '*', '_', '[', ']', '<', '>', '|', '~':
			b.WriteByte('\\')
		case '&':
			b.WriteString("&amp;")
			continue
		case '#', '+', '-', '=':
			if start {
				b.WriteByte('\\')
			}
		case '.', ')':
			if start {
				b.WriteByte('\\')
			}
		}
		b.WriteRune(c)
		start = c == '\n' || start && (c == ' ' || c >= '0' && c <= '9')
	}
	return b.String()
}
