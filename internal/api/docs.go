package api

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tocsin API</title>
<style>
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1rem}
h2{margin-top:2rem}
code{font-family:ui-monospace,monospace}
details{border-top:1px solid #8886;padding:.4rem 0}
summary{cursor:pointer}
summary b{display:inline-block;min-width:4rem}
table{border-collapse:collapse;margin:.5rem 0 .5rem 1rem}
th,td{text-align:left;vertical-align:top;padding:.1rem 1rem .1rem 0}
</style></head><body>
<h1>Tocsin API {{.Version}}</h1>
<p>{{.Description}}</p>
<p><code>Authorization: Bearer TOKEN</code> · <a href="/api/v1/openapi.json">openapi.json</a></p>
{{range .Groups}}<h2>{{.Tag}}</h2>
{{range .Calls}}<details><summary><b>{{.Method}}</b> <code>{{.Path}}</code> — {{.Summary}}</summary>
{{if .Params}}<table><tr><th>Name</th><th>In</th><th>Meaning</th></tr>{{range .Params}}<tr><td><code>{{.Name}}</code></td><td>{{.In}}</td><td>{{.Doc}}</td></tr>{{end}}</table>{{end}}
{{if .Body}}<table><tr><th>Field</th><th>Type</th><th>Meaning</th></tr>{{range .Body}}<tr><td><code>{{.Name}}</code>{{if .Needed}} *{{end}}</td><td>{{.Type}}</td><td>{{.Doc}}</td></tr>{{end}}</table>{{end}}
</details>{{end}}{{end}}
</body></html>
`))

type docField struct {
	Name, In, Type, Doc string
	Needed              bool
}

type docCall struct {
	Method, Path, Summary string
	Params, Body          []docField
}

type docGroup struct {
	Tag   string
	Calls []docCall
}

// docs serves the description of the calls that exist in this build, as JSON and
// as one page without a script.
func (s *server) docs() {
	api := s.api.OpenAPI()
	raw, err := json.MarshalIndent(api, "", "  ")
	if err != nil {
		panic(err)
	}
	var page bytes.Buffer
	if err := docsPage.Execute(&page, map[string]any{"Version": api.Info.Version, "Description": api.Info.Description, "Groups": groups(api)}); err != nil {
		panic(err)
	}
	serve := func(kind string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			_, _ = w.Write(body)
		}
	}
	s.mux.HandleFunc("GET "+prefix+"/openapi.json", serve("application/json", raw))
	s.mux.HandleFunc("GET /api/docs", serve("text/html; charset=utf-8", page.Bytes()))
}

func groups(api *huma.OpenAPI) []docGroup {
	var out []docGroup
	for _, path := range sortedPaths(api) {
		item := api.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			c := docCall{Method: op.Method, Path: path, Summary: op.Summary}
			for _, p := range op.Parameters {
				c.Params = append(c.Params, docField{Name: p.Name, In: p.In, Doc: p.Description + enumOf(p.Schema)})
			}
			if op.RequestBody != nil {
				if m := op.RequestBody.Content["application/json"]; m != nil && m.Schema != nil {
					c.Body = fields(api, m.Schema)
				}
			}
			n := slices.IndexFunc(out, func(g docGroup) bool { return g.Tag == op.Tags[0] })
			if n < 0 {
				out = append(out, docGroup{Tag: op.Tags[0]})
				n = len(out) - 1
			}
			out[n].Calls = append(out[n].Calls, c)
		}
	}
	return out
}

func sortedPaths(api *huma.OpenAPI) []string {
	paths := make([]string, 0, len(api.Paths))
	for p := range api.Paths {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths
}

func fields(api *huma.OpenAPI, s *huma.Schema) []docField {
	if s.Ref != "" {
		s = api.Components.Schemas.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return nil
	}
	names := make([]string, 0, len(s.Properties))
	for n := range s.Properties {
		names = append(names, n)
	}
	sort.Strings(names)
	var out []docField
	for _, n := range names {
		p := s.Properties[n]
		kind := p.Type
		if p.Ref != "" {
			kind = p.Ref[strings.LastIndex(p.Ref, "/")+1:]
		}
		out = append(out, docField{Name: n, Type: kind, Doc: p.Description + enumOf(p), Needed: slices.Contains(s.Required, n)})
	}
	return out
}

func enumOf(s *huma.Schema) string {
	if s == nil || len(s.Enum) == 0 {
		return ""
	}
	words := make([]string, 0, len(s.Enum))
	for _, v := range s.Enum {
		if w, ok := v.(string); ok {
			words = append(words, w)
		}
	}
	return " (" + strings.Join(words, " · ") + ")"
}
