package doc

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/internal/db/dbtest"
)

func sample() *Report {
	rows := make([][]string, 0, 120)
	for i := range 120 {
		rows = append(rows, []string{fmt.Sprintf("23 nov. 2026, 03:%02d", i%60), "Ana Duval", fmt.Sprintf("Ligne %d, l’astreinte a répondu\u202f: « c’est réparé »", i)})
	}
	return &Report{
		Language: "fr", Title: "INC-42 Paiement en panne", Subtitle: "Dossier interne", At: time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC), Footer: "Établi par Tocsin",
		Meta: []Pair{{"Gravité", "SEV1 Critique"}, {"Services", "API\nPaiement"}},
		Blocks: []Block{
			Heading{1, "Résumé"},
			Paragraph{"Tout va bien.\n<script>alert(1)</script> 📌 fin"},
			Markdown{"# Titre\n\nUn **mot** [ici](https://example.org/x) <img src=x onerror=alert(1)>\nseconde ligne\n\n- un\n- deux\n\n```\ncode <b>\n```\n\n> cité"},
			List{Items: []string{"premier", "second"}, Ordered: true},
			Pairs{[]Pair{{"a", "b"}}},
			Heading{2, "Chronologie"},
			Table{Columns: []string{"Quand", "Qui", "Quoi"}, Widths: []float64{2, 2, 5}, Rows: rows},
			Table{Columns: []string{"a", "b"}, Rows: [][]string{{strings.Repeat("x", 4000), "court"}, {"seul"}}},
		},
	}
}

func TestSameBytes(t *testing.T) {
	for name, write := range map[string]func(*Report) ([]byte, error){
		"pdf": (*Report).PDF, "docx": (*Report).DOCX,
	} {
		a, err := write(sample())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := write(sample())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: the same report has other bytes", name)
		}
		r := sample()
		r.Title += "!"
		if c, _ := write(r); bytes.Equal(a, c) {
			t.Errorf("%s: another report has the same bytes", name)
		}
	}
}

func TestPDFText(t *testing.T) {
	raw, err := sample().PDF()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(raw, []byte("%PDF-")) {
		t.Fatal("not a PDF")
	}
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		dbtest.Skip(t, "pdftotext is not installed")
	}
	path := filepath.Join(t.TempDir(), "r.pdf")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-layout", path, "-").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text := string(out)
	for _, want := range []string{"INC-42 Paiement en panne", "SEV1 Critique", "<script>alert(1)</script> □ fin", "ici (https://example.org/x)", "code <b>", "1.", "premier", "« c’est réparé »", "Établi par Tocsin"} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the PDF: %q", want)
		}
	}
	for i := range 120 {
		if !strings.Contains(text, fmt.Sprintf("Ligne %d,", i)) {
			t.Errorf("row %d is missing", i)
		}
	}
	if n := strings.Count(strings.ReplaceAll(text, "\n", ""), "x"); n < 4000 {
		t.Errorf("a long word lost characters: %d of 4000", n)
	}
	pages := strings.Count(text, "\f")
	if !strings.Contains(strings.ReplaceAll(text, " ", ""), fmt.Sprintf("1/%d", pages)) {
		t.Errorf("no number of %d pages", pages)
	}
	if n := strings.Count(text, "Quand"); n < 2 {
		t.Errorf("the head of the table is on %d pages", n)
	}
}

func TestDOCX(t *testing.T) {
	raw, err := sample().DOCX()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if z.File[0].Name != "[Content_Types].xml" {
		t.Errorf("first part %s", z.File[0].Name)
	}
	parts := map[string]string{}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		parts[f.Name] = string(b)
		if !strings.HasSuffix(f.Name, ".xml") && !strings.HasSuffix(f.Name, ".rels") {
			continue
		}
		dec := xml.NewDecoder(bytes.NewReader(b))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", f.Name, err)
				break
			}
		}
	}
	body := parts["word/document.xml"]
	for _, want := range []string{"INC-42 Paiement en panne", "&lt;script&gt;", "Ligne 119,", `w:val="Heading1"`, "Heading2", "court"} {
		if !strings.Contains(body, want) {
			t.Errorf("not in the document: %q", want)
		}
	}
	if !strings.Contains(parts["word/styles.xml"], `w:val="fr-FR"`) || !strings.Contains(parts["docProps/core.xml"], "2026-11-23T04:00:00Z") {
		t.Error("language or date is missing")
	}
}

func TestHTML(t *testing.T) {
	s := string(sample().HTML())
	for _, want := range []string{`<html lang="fr">`, "<h1>INC-42 Paiement en panne</h1>", "&lt;script&gt;", "<strong>mot</strong>", "<h3>Titre</h3>", `href="https://example.org/x"`, "size:A4", "Ligne 119"} {
		if !strings.Contains(s, want) {
			t.Errorf("not in the page: %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "<link", "url("} {
		if strings.Contains(s, bad) {
			t.Errorf("in the page: %q", bad)
		}
	}
}

func TestMarkdown(t *testing.T) {
	s := string(sample().Markdown())
	for _, want := range []string{"# INC-42 Paiement en panne\n", "## Résumé", `\<script\>`, "> Un **mot**", "&lt;img", "| Quand | Qui | Quoi |", "1. premier", "| seul |  |"} {
		if !strings.Contains(s, want) {
			t.Errorf("not in the Markdown: %q", want)
		}
	}
}

func TestMarkdownHTML(t *testing.T) {
	tests := []struct{ in, want string }{
		{"a\nb", "<p>a<br>\nb</p>\n"},
		{"# big", "<h3>big</h3>\n"},
		{"<script>x</script>", "\n"},
		{"[x](javascript:alert(1))", "<p>x</p>\n"},
		{"[x](//evil.example)", "<p>x</p>\n"},
		{"![p](https://example.org/p.png)", "<p></p>\n"},
		{"https://example.org", "<p><a href=\"https://example.org\" rel=\"nofollow noreferrer\">https://example.org</a></p>\n"},
	}
	for _, tt := range tests {
		if got := MarkdownHTML(tt.in); strings.TrimSpace(got) != strings.TrimSpace(tt.want) {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := MarkdownText("# a\n\n**b** &amp; c\n\n- d\n  - e"); got != "a\nb & c\n• d\ne" {
		t.Errorf("text: %q", got)
	}
}

// TestPlainStaysPlain holds that plain text written into Markdown comes out of it
// as the same text.
func TestPlainStaysPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-z0-9*_\[\]()<>|~#+.\\&;!`+"`"+`-]{1,30}( [a-z*_#.<&]{1,6}){0,3}`).Draw(t, "text")
		var b strings.Builder
		writeBlock(&b, Paragraph{s})
		if got := MarkdownText(b.String()); got != s {
			t.Fatalf("%q became %q through %q", s, got, b.String())
		}
	})
}

// TestAnyText holds that no text breaks a format.
func TestAnyText(t *testing.T) {
	r := &Report{Language: "en", Title: "x\x00\ufffe\U0010ffff\u202e مرحبا 漢字", Footer: strings.Repeat("w", 500)}
	for _, s := range []string{"", " ", "\n\n", "\x07\x1b[0m", "\xff\xfe", strings.Repeat("é", 10000), "a\tb"} {
		r.Blocks = append(r.Blocks, Paragraph{s}, Heading{9, s}, Heading{0, s}, List{Items: []string{s}}, Markdown{s}, Table{Columns: []string{s}, Rows: [][]string{{s, s}, {}}})
	}
	for name, write := range map[string]func(*Report) ([]byte, error){"pdf": (*Report).PDF, "docx": (*Report).DOCX} {
		if _, err := write(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _ = r.HTML(), r.Markdown()
	empty := &Report{}
	if _, err := empty.PDF(); err != nil {
		t.Error(err)
	}
	if _, err := empty.DOCX(); err != nil {
		t.Error(err)
	}
}
