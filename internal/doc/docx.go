package doc

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/fumiama/go-docx"
)

// DOCX writes the report as a Word document. The same report has the same bytes.
func (r *Report) DOCX() ([]byte, error) {
	d := docx.New().WithDefaultTheme()
	d.AddParagraph().Style("Title").AddText(strip(r.Title))
	if r.Subtitle != "" {
		d.AddParagraph().Style("Subtitle").AddText(strip(r.Subtitle))
	}
	docxPairs(d, r.Meta)
	for _, b := range r.Blocks {
		docxBlock(d, b)
	}
	if r.Footer != "" {
		d.AddParagraph().Style("Foot").AddText(strip(r.Footer))
	}
	d.Document.Body.Items = append(d.Document.Body.Items, &docx.SectPr{
		PgSz:  &docx.PgSz{W: 11906, H: 16838},
		PgMar: &docx.PgMar{Top: 1021, Bottom: 1021, Left: 1021, Right: 1021, Header: 567, Footer: 567},
	})
	var raw bytes.Buffer
	if _, err := d.WriteTo(&raw); err != nil {
		return nil, fmt.Errorf("docx: %w", err)
	}
	return r.repack(raw.Bytes())
}

// repack writes the parts in one order and with one date, and puts in the styles
// and the properties of the document.
func (r *Report) repack(raw []byte) ([]byte, error) {
	in, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, fmt.Errorf("docx: %w", err)
	}
	parts := map[string][]byte{}
	for _, f := range in.File {
		rc, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("docx: %w", err)
		}
		parts[f.Name], err = io.ReadAll(rc)
		_ = rc.Close()
		if err != nil {
			return nil, fmt.Errorf("docx: %w", err)
		}
	}
	at := r.At.UTC()
	if at.Year() < 1980 {
		at = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	var title bytes.Buffer
	_ = xml.EscapeText(&title, []byte(strip(r.Title)))
	stamp := at.Format(time.RFC3339)
	parts["docProps/core.xml"] = []byte(xml.Header + `<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><dc:title>` +
		title.String() + `</dc:title><dc:creator>Tocsin</dc:creator><dc:language>` + lang(r.Language) + `</dc:language><dcterms:created xsi:type="dcterms:W3CDTF">` + stamp + `</dcterms:created><dcterms:modified xsi:type="dcterms:W3CDTF">` + stamp + `</dcterms:modified></cp:coreProperties>`)
	parts["docProps/app.xml"] = []byte(xml.Header + `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties"><Application>Tocsin</Application></Properties>`)
	parts["word/styles.xml"] = []byte(styles(lang(r.Language)))
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	// The list of content types comes first, as readers expect.
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i] == "[Content_Types].xml", names[j] == "[Content_Types].xml"
		if a != b {
			return a
		}
		return names[i] < names[j]
	})
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at})
		if err != nil {
			return nil, fmt.Errorf("docx: %w", err)
		}
		if _, err := w.Write(parts[name]); err != nil {
			return nil, fmt.Errorf("docx: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("docx: %w", err)
	}
	return out.Bytes(), nil
}

func lang(l string) string {
	if l == "fr" {
		return "fr-FR"
	}
	return "en-GB"
}

// styles is the style sheet of the document: its headings are real headings, so
// that readers can move by them.
func styles(lang string) string {
	var b strings.Builder
	b.WriteString(xml.Header + `<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:cs="Calibri"/><w:sz w:val="21"/><w:szCs w:val="21"/><w:lang w:val="` + lang + `"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing w:after="120"/></w:pPr></w:pPrDefault></w:docDefaults>`)
	b.WriteString(`<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/><w:qFormat/></w:style>`)
	para := func(id, name, ppr, rpr string) {
		b.WriteString(`<w:style w:type="paragraph" w:styleId="` + id + `"><w:name w:val="` + name + `"/><w:basedOn w:val="Normal"/><w:next w:val="Normal"/><w:qFormat/><w:pPr>` + ppr + `</w:pPr><w:rPr>` + rpr + `</w:rPr></w:style>`)
	}
	para("Title", "Title", `<w:spacing w:after="80"/>`, `<w:b/><w:sz w:val="40"/>`)
	para("Subtitle", "Subtitle", `<w:spacing w:after="200"/>`, `<w:color w:val="444444"/><w:sz w:val="24"/>`)
	for i, size := range []int{28, 24, 21} {
		n := strconv.Itoa(i + 1)
		para("Heading"+n, "heading "+n, `<w:keepNext/><w:spacing w:before="240" w:after="80"/><w:outlineLvl w:val="`+strconv.Itoa(i)+`"/>`, `<w:b/><w:sz w:val="`+strconv.Itoa(size)+`"/>`)
	}
	para("ListItem", "List Item", `<w:spacing w:after="40"/><w:ind w:left="360" w:hanging="240"/>`, "")
	para("Quote", "Quote", `<w:ind w:left="360"/>`, `<w:color w:val="444444"/>`)
	para("Code", "Code", `<w:ind w:left="240"/>`, `<w:rFonts w:ascii="Consolas" w:hAnsi="Consolas" w:cs="Consolas"/><w:sz w:val="19"/>`)
	para("Cell", "Cell", `<w:spacing w:after="20"/>`, `<w:sz w:val="19"/>`)
	para("CellHead", "Cell Head", `<w:keepNext/><w:spacing w:after="20"/>`, `<w:b/><w:sz w:val="19"/>`)
	para("Foot", "Foot", `<w:spacing w:before="360"/>`, `<w:color w:val="444444"/><w:sz w:val="17"/>`)
	b.WriteString(`</w:styles>`)
	return b.String()
}

// strip takes out what XML cannot carry.
func strip(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 && c != '\n' && c != '\t' || c == 0xfffe || c == 0xffff {
			return -1
		}
		return c
	}, s)
}

func docxBlock(d *docx.Docx, b Block) {
	switch x := b.(type) {
	case Heading:
		d.AddParagraph().Style("Heading" + strconv.Itoa(min(max(x.Level, 1), 3))).AddText(strip(x.Text))
	case Paragraph:
		d.AddParagraph().AddText(strip(x.Text))
	case Markdown:
		for _, part := range blocks(x.Source) {
			docxBlock(d, part)
		}
	case List:
		for i, item := range x.Items {
			mark := "• "
			if x.Ordered {
				mark = strconv.Itoa(i+1) + ". "
			}
			d.AddParagraph().Style("ListItem").AddText(mark + strip(item))
		}
	case Pairs:
		docxPairs(d, x.Rows)
	case Table:
		docxTable(d, &x)
	case code:
		d.AddParagraph().Style("Code").AddText(strip(x.text))
	case quote:
		d.AddParagraph().Style("Quote").AddText(strip(x.text))
	}
}

// docxWidth is the width between the margins, in twentieths of a point.
const docxWidth = 11906 - 2*1021

func docxTable(d *docx.Docx, t *Table) {
	widths := make([]int64, len(t.Columns))
	for i, s := range t.shares() {
		widths[i] = int64(s * docxWidth)
	}
	grey := &docx.APITableBorderColors{Top: "BBBBBB", Bottom: "BBBBBB", Left: "BBBBBB", Right: "BBBBBB", InsideH: "BBBBBB", InsideV: "BBBBBB"}
	tbl := d.AddTableTwips(make([]int64, len(t.Rows)+1), widths, docxWidth, grey)
	for i, c := range t.Columns {
		tbl.TableRows[0].TableCells[i].AddParagraph().Style("CellHead").AddText(strip(c))
	}
	for n, row := range t.Rows {
		for i := range t.Columns {
			tbl.TableRows[n+1].TableCells[i].AddParagraph().Style("Cell").AddText(strip(cell(row, i)))
		}
	}
	d.AddParagraph()
}

func docxPairs(d *docx.Docx, rows []Pair) {
	if len(rows) == 0 {
		return
	}
	grey := &docx.APITableBorderColors{Top: "DDDDDD", Bottom: "DDDDDD", Left: "FFFFFF", Right: "FFFFFF", InsideH: "DDDDDD", InsideV: "FFFFFF"}
	tbl := d.AddTableTwips(make([]int64, len(rows)), []int64{docxWidth * 3 / 10, docxWidth * 7 / 10}, docxWidth, grey)
	for n, p := range rows {
		tbl.TableRows[n].TableCells[0].AddParagraph().Style("CellHead").AddText(strip(p.Label))
		tbl.TableRows[n].TableCells[1].AddParagraph().Style("Cell").AddText(strip(p.Value))
	}
	d.AddParagraph()
}
