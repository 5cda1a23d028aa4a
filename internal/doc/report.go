// Package doc writes a neutral report as PDF, DOCX, Markdown and HTML. It knows
// nothing of incidents: whoever has something to report puts it into blocks.
package doc

import "time"

// Report is a document before it has a format.
type Report struct {
	// Language is fr or en; readers with a voice need it.
	Language string
	Title    string
	Subtitle string
	// Meta are the few facts under the title.
	Meta []Pair
	// Footer stands at the foot of every page.
	Footer string
	// At is the date of the document. The same report of the same instant has the
	// same bytes.
	At     time.Time
	Blocks []Block
}

// Pair is a label and its value.
type Pair struct{ Label, Value string }

// Block is a part of a report: Heading, Paragraph, Markdown, List, Pairs, Table.
type Block interface{ block() }

// Heading begins a part; Level is 1 to 3.
type Heading struct {
	Level int
	Text  string
}

// Paragraph is plain text; its line breaks are kept.
type Paragraph struct{ Text string }

// Markdown is what people wrote, in the subset that MarkdownHTML keeps.
type Markdown struct{ Source string }

// List is a list of plain texts.
type List struct {
	Items   []string
	Ordered bool
}

// Pairs is a list of labels and values.
type Pairs struct{ Rows []Pair }

// Table has a head and rows of plain text.
type Table struct {
	Columns []string
	// Widths are shares of the width, as many as columns; nil makes them equal.
	Widths []float64
	Rows   [][]string
}

// code is preformatted text; only people's Markdown has it.
type code struct{ text string }

// quote is a quotation; only people's Markdown has it.
type quote struct{ text string }

func (Heading) block()   {}
func (Paragraph) block() {}
func (Markdown) block()  {}
func (List) block()      {}
func (Pairs) block()     {}
func (Table) block()     {}
func (code) block()      {}
func (quote) block()     {}

// shares gives the widths of a table's columns, which add up to 1.
func (t *Table) shares() []float64 {
	out := make([]float64, len(t.Columns))
	sum := 0.0
	for i := range out {
		out[i] = 1
		if len(t.Widths) == len(out) && t.Widths[i] > 0 {
			out[i] = t.Widths[i]
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// cell gives a cell of a row, empty where the row is too short.
func cell(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}
