package doc

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzMarkdown holds that no note can bring a script, a handler or an address that
// acts into a page.
func FuzzMarkdown(f *testing.F) {
	for _, s := range []string{
		"# Title\n\n*a* **b** `c`\n\n- one\n- two\n", "[x](javascript:alert(1))", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
		"![a](data:text/html,x)", "> quote\n> more", "```\ncode\n```", strings.Repeat("[", 300), strings.Repeat("> ", 300) + "x", "| a | b |\n|---|---|\n| c | d |",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		html := MarkdownHTML(s)
		if utf8.ValidString(s) && !utf8.ValidString(html) {
			t.Fatalf("%q: invalid UTF-8", s)
		}
		// What stands between < and > is markup; text has its < escaped.
		for rest := html; ; {
			_, after, ok := strings.Cut(rest, "<")
			if !ok {
				break
			}
			tag, next, _ := strings.Cut(after, ">")
			rest = next
			low := strings.ToLower(tag)
			for _, bad := range []string{"script", "iframe", "object", "embed", "style", "form", "img", "svg"} {
				if strings.HasPrefix(strings.TrimPrefix(low, "/"), bad) {
					t.Fatalf("%q: <%s>", s, tag)
				}
			}
			if strings.Contains(low, `href="javascript:`) || strings.Contains(low, `href="data:`) || strings.Contains(low, ` on`) && !strings.Contains(low, "href=") {
				t.Fatalf("%q: <%s>", s, tag)
			}
		}
		_ = MarkdownText(s)
	})
}
