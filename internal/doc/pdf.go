package doc

import (
	"bytes"
	_ "embed" // the fonts
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
)

//go:embed font/DejaVuSans.ttf
var fontRegular []byte

//go:embed font/DejaVuSans-Bold.ttf
var fontBold []byte

// Measures of the page, in millimetres.
const (
	marginX = 18
	marginY = 18
	foot    = 16
)

type page struct {
	*fpdf.Fpdf
	width float64
	size  float64
}

// PDF writes the report as A4 pages. The same report has the same bytes.
func (r *Report) PDF() ([]byte, error) {
	p := &page{Fpdf: fpdf.New("P", "mm", "A4", "")}
	at := r.At
	if at.IsZero() {
		at = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	p.SetCatalogSort(true)
	p.SetCreationDate(at.UTC())
	p.SetModificationDate(at.UTC())
	p.SetProducer("Tocsin", true)
	p.SetTitle(r.Title, true)
	p.SetLang(r.Language)
	p.SetMargins(marginX, marginY, marginX)
	p.SetAutoPageBreak(false, foot)
	p.SetCellMargin(0)
	p.AddUTF8FontFromBytes("sans", "", bytes.Clone(fontRegular))
	p.AddUTF8FontFromBytes("sans", "B", bytes.Clone(fontBold))
	w, _ := p.GetPageSize()
	p.width = w - 2*marginX
	p.AliasNbPages("{pages}")
	p.SetFooterFunc(func() {
		_, h := p.GetPageSize()
		size, style := p.size, p.GetFontStyle()
		p.font("", 8)
		p.SetTextColor(70, 70, 70)
		p.SetXY(marginX, h-foot+4)
		p.CellFormat(p.width-14, 4, first(p.wrap(clean(r.Footer), p.width-16)), "", 0, "L", false, 0, "")
		p.CellFormat(14, 4, strconv.Itoa(p.PageNo())+" / {pages}", "", 0, "L", false, 0, "")
		p.SetTextColor(0, 0, 0)
		p.font(style, size)
	})
	p.font("", 10)
	p.AddPage()
	p.text("B", 18, 0, r.Title)
	if r.Subtitle != "" {
		p.Ln(1)
		p.text("", 11, 0, r.Subtitle)
	}
	p.Ln(3)
	p.pairs(r.Meta)
	for _, b := range r.Blocks {
		p.block(b)
	}
	var out bytes.Buffer
	if err := p.Output(&out); err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	return out.Bytes(), nil
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func (p *page) font(style string, size float64) {
	p.size = size
	p.SetFont("sans", style, size)
}

// height of a line at the present size, in millimetres.
func (p *page) height() float64 { return p.size * 0.3528 * 1.4 }

// room breaks the page when less than h is left.
func (p *page) room(h float64) bool {
	_, all := p.GetPageSize()
	if p.GetY()+h <= all-foot {
		return false
	}
	p.AddPage()
	return true
}

func (p *page) text(style string, size, indent float64, s string) {
	p.font(style, size)
	h := p.height()
	for _, l := range p.wrap(clean(s), p.width-indent) {
		p.room(h)
		p.SetX(marginX + indent)
		p.CellFormat(p.width-indent, h, l, "", 1, "L", false, 0, "")
	}
}

func (p *page) block(b Block) {
	switch x := b.(type) {
	case Heading:
		size := []float64{14, 12, 10.5}[min(max(x.Level, 1), 3)-1]
		p.Ln(size / 4)
		p.font("B", size)
		// A heading is not left alone at the foot of a page.
		p.room(p.height() + 14)
		p.text("B", size, 0, x.Text)
		p.Ln(1)
	case Paragraph:
		p.text("", 10, 0, x.Text)
		p.Ln(2)
	case Markdown:
		for _, part := range blocks(x.Source) {
			p.block(part)
		}
	case List:
		for i, item := range x.Items {
			mark := "•"
			if x.Ordered {
				mark = strconv.Itoa(i+1) + "."
			}
			p.font("", 10)
			p.room(p.height())
			y := p.GetY()
			p.Text(marginX, y+p.height()*0.72, mark)
			p.text("", 10, 7, item)
		}
		p.Ln(2)
	case Pairs:
		p.pairs(x.Rows)
	case Table:
		p.table(&x)
	case code:
		p.text("", 9, 4, x.text)
		p.Ln(2)
	case quote:
		p.text("", 10, 6, x.text)
		p.Ln(2)
	}
}

func (p *page) pairs(rows []Pair) {
	if len(rows) == 0 {
		return
	}
	t := Table{Columns: []string{"", ""}, Widths: []float64{3, 7}}
	for _, r := range rows {
		t.Rows = append(t.Rows, []string{r.Label, r.Value})
	}
	p.rows(&t, 10, nil)
	p.Ln(2)
}

func (p *page) table(t *Table) {
	head := func() {
		p.font("B", 9)
		p.row(t, t.Columns, "B", 9, nil)
	}
	p.font("B", 9)
	p.room(3 * p.height())
	head()
	p.rows(t, 9, head)
	p.Ln(3)
}

func (p *page) rows(t *Table, size float64, head func()) {
	for _, row := range t.Rows {
		p.row(t, row, "", size, head)
	}
}

// row writes a row; what does not fit goes on, under the head, on the next page.
func (p *page) row(t *Table, row []string, style string, size float64, head func()) {
	p.font(style, size)
	h := p.height()
	shares := t.shares()
	cells, most := make([][]string, len(shares)), 1
	for i, share := range shares {
		cells[i] = p.wrap(clean(cell(row, i)), share*p.width-3)
		most = max(most, len(cells[i]))
	}
	again := func() {
		if head != nil {
			head()
		}
		p.font(style, size)
	}
	// A short row is kept together.
	if most <= 8 && p.room(float64(most)*h+1.5) {
		again()
	}
	for n := range most {
		if p.room(h) {
			again()
		}
		x, y := float64(marginX), p.GetY()
		for i, share := range shares {
			if n < len(cells[i]) {
				p.SetXY(x, y)
				p.CellFormat(share*p.width-3, h, cells[i][n], "", 0, "L", false, 0, "")
			}
			x += share * p.width
		}
		p.SetXY(marginX, y+h)
	}
	p.SetDrawColor(190, 190, 190)
	y := p.GetY() + 0.5
	p.Line(marginX, y, marginX+p.width, y)
	p.SetXY(marginX, y+0.7)
}

// clean leaves what the font can show: no control characters, and a box for what
// lies outside its plane.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return c
		case c == '\t' || c == '\u2028' || c == '\u2029':
			return ' '
		case c == '\ufe0f' || c == '\u200d' || unicode.IsControl(c):
			return -1
		case c > 0xffff:
			return '□'
		}
		return c
	}, s)
}

// wrap breaks a text into lines that fit, at spaces, and within a word that is
// longer than a line.
func (p *page) wrap(s string, width float64) []string {
	var out []string
	space := p.GetStringWidth(" ")
	for para := range strings.SplitSeq(s, "\n") {
		line, used := "", 0.0
		for word := range strings.SplitSeq(para, " ") {
			w := p.GetStringWidth(word)
			if line != "" && used+space+w <= width {
				line, used = line+" "+word, used+space+w
				continue
			}
			if line != "" {
				out = append(out, line)
			}
			for w > width {
				head := p.fit(word, width)
				out = append(out, head)
				word = word[len(head):]
				w = p.GetStringWidth(word)
			}
			line, used = word, w
		}
		out = append(out, line)
	}
	return out
}

// fit gives the longest beginning of a word that fits, at least one character.
func (p *page) fit(word string, width float64) string {
	used, end := 0.0, 0
	for i, c := range word {
		w := p.GetStringWidth(string(c))
		if used+w > width && i > 0 {
			return word[:i]
		}
		used += w
		end = i + len(string(c))
	}
	return word[:end]
}
