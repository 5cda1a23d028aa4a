package doc

import (
	"html"
	"strconv"
	"strings"
)

const style = `@page{size:A4;margin:20mm 18mm}
*{box-sizing:border-box}
body{font:11pt/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1a1a1a;background:#fff;max-width:180mm;margin:0 auto;padding:8mm 4mm}
h1{font-size:20pt;line-height:1.2;margin:0 0 2mm}
h2{font-size:14pt;margin:8mm 0 2mm;border-bottom:1px solid #888;padding-bottom:1mm;break-after:avoid}
h3{font-size:12pt;margin:6mm 0 2mm;break-after:avoid}
h4,h5,h6{font-size:11pt;margin:4mm 0 1mm;break-after:avoid}
.sub{color:#444;margin:0 0 4mm}
dl{display:grid;grid-template-columns:max-content 1fr;gap:1mm 5mm;margin:0 0 4mm}
dt{color:#444}dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:0 0 4mm;font-size:9.5pt}
th,td{text-align:left;vertical-align:top;padding:1mm 2mm;border-bottom:1px solid #ccc;overflow-wrap:anywhere}
th{border-bottom:1px solid #555}
thead{display:table-header-group}tr{break-inside:avoid}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:2mm}
p{overflow-wrap:anywhere}
.people{border-left:3px solid #ccc;padding-left:4mm}
footer{margin-top:10mm;color:#444;font-size:9pt;border-top:1px solid #888;padding-top:2mm}
@media print{body{padding:0;max-width:none}}
`

// HTML writes the report as one page without scripts or anything from elsewhere,
// set for A4.
func (r *Report) HTML() []byte {
	var b strings.Builder
	e := html.EscapeString
	b.WriteString("<!doctype html>\n<html lang=\"" + e(r.Language) + "\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" + e(r.Title) + "</title>\n<style>\n" + style + "</style>\n</head>\n<body>\n<main>\n")
	b.WriteString("<h1>" + e(r.Title) + "</h1>\n")
	if r.Subtitle != "" {
		b.WriteString("<p class=\"sub\">" + broken(r.Subtitle) + "</p>\n")
	}
	htmlPairs(&b, r.Meta)
	for _, bl := range r.Blocks {
		htmlBlock(&b, bl)
	}
	b.WriteString("</main>\n")
	if r.Footer != "" {
		b.WriteString("<footer>" + broken(r.Footer) + "</footer>\n")
	}
	b.WriteString("</body>\n</html>\n")
	return []byte(b.String())
}

func broken(s string) string { return strings.ReplaceAll(html.EscapeString(s), "\n", "<br>") }

func htmlPairs(b *strings.Builder, rows []Pair) {
	if len(rows) == 0 {
		return
	}
	b.WriteString("<dl>\n")
	for _, p := range rows {
		b.WriteString("<dt>" + html.EscapeString(p.Label) + "</dt><dd>" + broken(p.Value) + "</dd>\n")
	}
	b.WriteString("</dl>\n")
}

func htmlBlock(b *strings.Builder, bl Block) {
	switch x := bl.(type) {
	case Heading:
		n := strconv.Itoa(min(max(x.Level, 1), 3) + 1)
		b.WriteString("<h" + n + ">" + html.EscapeString(x.Text) + "</h" + n + ">\n")
	case Paragraph:
		b.WriteString("<p>" + broken(x.Text) + "</p>\n")
	case Markdown:
		b.WriteString("<div class=\"people\">\n" + MarkdownHTML(x.Source) + "</div>\n")
	case List:
		tag := "ul"
		if x.Ordered {
			tag = "ol"
		}
		b.WriteString("<" + tag + ">\n")
		for _, item := range x.Items {
			b.WriteString("<li>" + broken(item) + "</li>\n")
		}
		b.WriteString("</" + tag + ">\n")
	case Pairs:
		htmlPairs(b, x.Rows)
	case Table:
		b.WriteString("<table>\n<thead><tr>")
		for _, c := range x.Columns {
			b.WriteString("<th scope=\"col\">" + html.EscapeString(c) + "</th>")
		}
		b.WriteString("</tr></thead>\n<tbody>\n")
		for _, row := range x.Rows {
			b.WriteString("<tr>")
			for i := range x.Columns {
				b.WriteString("<td>" + broken(cell(row, i)) + "</td>")
			}
			b.WriteString("</tr>\n")
		}
		b.WriteString("</tbody>\n</table>\n")
	case code:
		b.WriteString("<pre>" + html.EscapeString(x.text) + "</pre>\n")
	case quote:
		b.WriteString("<blockquote>" + broken(x.text) + "</blockquote>\n")
	}
}
