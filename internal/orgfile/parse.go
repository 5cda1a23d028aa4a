package orgfile

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// Known are ids that exist without being in the file; a file applied without prune
// may name them. The keys are person, team, schedule, policy, service, channel.
type Known map[string][]string

// Parse reads an organisation file. What is wrong with its content is one error of
// code invalid whose fields name path and line of each fault (argument line); a
// text that is not YAML is malformed.
func Parse(data []byte, known ...Known) (*File, error) {
	root, errs, err := read(data)
	if err != nil {
		return nil, err
	}
	c := checker{reader: reader{errs: errs}, ids: map[string]map[string]bool{}}
	for _, p := range oncall.BuiltIn() {
		c.define("policy", p.ID)
	}
	for _, k := range known {
		for kind, ids := range k {
			for _, id := range ids {
				c.define(kind, id)
			}
		}
	}
	var b bytes.Buffer
	c.value(&b, root, fileSpec)
	c.references()
	if root.shape == mapping {
		c.together(root)
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(x, y kit.Field) int { return lineArg(x) - lineArg(y) })
		return nil, c.errs[:min(len(c.errs), maxError)].Err()
	}
	f := &File{Kept: map[string]json.RawMessage{}}
	if err := json.Unmarshal(b.Bytes(), f); err != nil {
		return nil, kit.Internal(err)
	}
	for _, name := range keptSections {
		if n := root.fields[name]; n != nil && n.shape != null {
			var raw bytes.Buffer
			n.raw(&raw)
			f.Kept[name] = raw.Bytes()
		}
	}
	return f, nil
}

func lineArg(f kit.Field) int { n, _ := f.Args["line"].(int); return n }

type reference struct {
	n    *node
	kind string
}

type checker struct {
	reader
	ids  map[string]map[string]bool
	refs []reference
}

func (c *checker) define(kind, id string) {
	if c.ids[kind] == nil {
		c.ids[kind] = map[string]bool{}
	}
	c.ids[kind][id] = true
}

func (c *checker) wrong(n *node, key string, pairs ...any) { c.fail(n.path, n.line, key, pairs...) }

// value checks n and writes it as the JSON that File is read from.
func (c *checker) value(b *bytes.Buffer, n *node, s *spec) {
	if s.kind == "any" {
		n.raw(b)
		return
	}
	want := map[string]shape{"object": mapping, "dict": mapping, "limits": mapping, "list": list, "boolean": boolean, "integer": number}
	if w, ok := want[s.kind]; ok && n.shape != w {
		c.wrong(n, "orgfile.error.shape."+s.kind)
		b.WriteString("null")
		return
	}
	switch s.kind {
	case "object":
		c.object(b, n, s)
	case "dict":
		b.WriteByte('{')
		for i, k := range n.keys {
			comma(b, i)
			quote(b, k)
			b.WriteByte(':')
			c.value(b, n.fields[k], s.item)
		}
		b.WriteByte('}')
	case "limits":
		c.limits(b, n)
	case "list":
		c.list(b, n, s)
	case "boolean":
		b.WriteString(n.text)
	case "integer":
		v, err := strconv.Atoi(n.text)
		if err != nil || v < s.min || v > s.max {
			c.wrong(n, "orgfile.error.integer", "min", s.min, "max", s.max)
		}
		b.WriteString(strconv.Itoa(v))
	case "words":
		c.words(b, n)
	default:
		c.text(b, n, s)
	}
}

func comma(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

func (c *checker) object(b *bytes.Buffer, n *node, s *spec) {
	b.WriteByte('{')
	written := 0
	for _, k := range n.keys {
		i := slices.IndexFunc(s.fields, func(f field) bool { return f.name == k })
		if i < 0 {
			c.wrong(n.fields[k], "orgfile.error.unknown", "name", k)
			continue
		}
		if n.fields[k].shape == null && !s.fields[i].need {
			continue // `runbook:` with nothing behind it is not set.
		}
		comma(b, written)
		written++
		quote(b, k)
		b.WriteByte(':')
		c.value(b, n.fields[k], s.fields[i].spec)
	}
	b.WriteByte('}')
	for _, f := range s.fields {
		if f.need && n.fields[f.name] == nil {
			c.fail(join(n.path, f.name), n.line, "orgfile.error.required", "name", f.name)
		}
	}
}

func (c *checker) list(b *bytes.Buffer, n *node, s *spec) {
	if len(n.items) < s.min {
		c.wrong(n, "orgfile.error.empty")
	}
	if len(n.items) > s.max {
		c.wrong(n, "orgfile.error.many", "max", s.max)
	}
	seen := map[string]bool{}
	b.WriteByte('[')
	for i, item := range n.items {
		comma(b, i)
		c.value(b, item, s.item)
		if id := item.fields["id"]; id != nil && s.item.kind == "object" {
			if seen[id.text] {
				c.wrong(id, "orgfile.error.twice", "name", id.text)
			}
			seen[id.text] = true
			if s.ids != "" {
				c.define(s.ids, id.text)
			}
		}
	}
	b.WriteByte(']')
}

func (c *checker) words(b *bytes.Buffer, n *node) {
	switch n.shape {
	case text, number:
		b.WriteString(`{"fr":`)
		c.text(b, n, line)
		b.WriteString(`,"en":`)
		quote(b, n.text)
		b.WriteByte('}')
	case mapping:
		c.object(b, n, object(opt("fr", line), opt("en", line)))
		if len(n.keys) == 0 {
			c.wrong(n, "orgfile.error.empty")
		}
	default:
		c.wrong(n, "orgfile.error.shape.words")
		b.WriteString("null")
	}
}

func (c *checker) text(b *bytes.Buffer, n *node, s *spec) {
	if n.shape != text && n.shape != number {
		c.wrong(n, "orgfile.error.shape.string")
		b.WriteString("null")
		return
	}
	switch {
	case len(s.enum) > 0:
		if !slices.Contains(s.enum, n.text) {
			c.wrong(n, "orgfile.error.one_of", "value", n.text, "words", strings.Join(s.enum, ", "))
		}
	case s.ref != "":
		c.refs = append(c.refs, reference{n, s.ref})
	case s.valid != nil && !s.valid(n.text):
		c.wrong(n, s.key, "value", n.text, "max", s.max)
	}
	quote(b, n.text)
}

func (c *checker) limits(b *bytes.Buffer, n *node) {
	written := 0
	one := func(name string, v *node) {
		if v.shape != text && v.shape != number {
			c.wrong(v, "orgfile.error.shape.string")
			return
		}
		value, err := identity.ParseParameter(name, v.text)
		if err != nil {
			f := kit.AsError(err).Fields[0]
			c.wrong(v, f.Key, "name", name, "default", f.Args["default"])
			return
		}
		comma(b, written)
		written++
		quote(b, name)
		b.WriteByte(':')
		quote(b, value)
	}
	b.WriteByte('{')
	for _, k := range n.keys {
		v := n.fields[k]
		if v.shape != mapping {
			one(k, v)
			continue
		}
		for _, part := range v.keys {
			if n.fields[k+"."+part] != nil {
				c.wrong(v.fields[part], "orgfile.error.twice", "name", k+"."+part)
				continue
			}
			one(k+"."+part, v.fields[part])
		}
	}
	b.WriteByte('}')
}

// targetRoles are the roles that a step may page; owner is the owner of what the
// ladder is about, as the built-in policy clocks has it.
var targetRoles = []string{"commander", "communications", "management", "primary", "secondary", "owner"}

func (c *checker) references() {
	for _, r := range c.refs {
		kind, id := r.kind, r.n.text
		if kind == "target" {
			var ok bool
			kind, id, ok = strings.Cut(id, ":")
			if !ok || !slices.Contains([]string{"schedule", "role", "person", "team", "channel"}, kind) {
				c.wrong(r.n, "orgfile.error.target", "value", r.n.text)
				continue
			}
			if kind == "role" {
				if !slices.Contains(targetRoles, id) {
					c.wrong(r.n, "orgfile.error.one_of", "value", id, "words", strings.Join(targetRoles, ", "))
				}
				continue
			}
		}
		if !c.ids[kind][id] {
			c.wrong(r.n, "orgfile.error.reference."+kind, "id", id)
		}
	}
}

// each calls fn for every object of a list of the file.
func each(n *node, name string, fn func(item *node)) {
	if l := n.fields[name]; l != nil {
		for _, item := range l.items {
			if item.shape == mapping {
				fn(item)
			}
		}
	}
}

// together checks what no single value can tell.
func (c *checker) together(root *node) {
	emails := map[string]bool{}
	each(root, "people", func(p *node) {
		if e := p.fields["email"]; e != nil {
			folded := strings.ToLower(e.text)
			if emails[folded] {
				c.wrong(e, "orgfile.error.twice", "name", e.text)
			}
			emails[folded] = true
		}
		methods := map[string]bool{"mail": p.fields["contact_methods"] == nil}
		each(p, "contact_methods", func(m *node) {
			if id := m.fields["id"]; id != nil {
				methods[id.text] = true
			}
		})
		each(p, "notify", func(r *node) {
			if m := r.fields["method"]; m != nil && !methods[m.text] {
				c.wrong(m, "orgfile.error.reference.method", "id", m.text)
			}
		})
		each(p, "leave", func(l *node) { c.order(l) })
	})
	each(root, "schedules", func(s *node) {
		each(s, "overrides", func(o *node) { c.order(o) })
	})
	for _, name := range []string{"silences", "maintenance"} {
		each(root, name, func(q *node) { c.order(q) })
	}
	each(root, "services", func(s *node) {
		each(s, "needs", func(need *node) {
			one, of, k := need.fields["service"], need.fields["of"], need.fields["any"]
			if (one == nil) == (of == nil) || (of == nil) != (k == nil) {
				c.wrong(need, "orgfile.error.need")
				return
			}
			if n, err := strconv.Atoi(textOf(k)); of != nil && err == nil && n > len(of.items) {
				c.wrong(k, "orgfile.error.integer", "min", 1, "max", len(of.items))
			}
		})
	})
	keys := map[string]bool{}
	each(root, "sources", func(s *node) {
		if kind := textOf(s.fields["kind"]); kind == "heartbeat" && s.fields["every"] == nil {
			c.fail(join(s.path, "every"), s.line, "orgfile.error.required", "name", "every")
		} else if m := s.fields["map"]; kind == "json" && (m == nil || m.fields["dedup_key"] == nil || m.fields["title"] == nil) {
			c.fail(join(s.path, "map"), s.line, "orgfile.error.map")
		}
		if k := s.fields["key"]; k != nil {
			if keys[k.text] {
				c.wrong(k, "orgfile.error.key_twice")
			}
			keys[k.text] = true
		}
	})
	if l := root.fields["routes"]; l != nil {
		for i, r := range l.items {
			if r.shape == mapping && r.fields["when"] == nil && i < len(l.items)-1 {
				c.fail(join(r.path, "when"), r.line, "orgfile.error.required", "name", "when")
			}
		}
	}
	if ch := root.fields["channels"]; ch != nil {
		if s := ch.fields["smtp"]; s != nil && textOf(s.fields["tls"]) == "none" && s.fields["host"] != nil && !loopback(s.fields["host"].text) {
			c.wrong(s.fields["tls"], "orgfile.error.plain_smtp")
		}
	}
}

func (c *checker) order(n *node) {
	from, ok := instant(textOf(n.fields["from"]), time.UTC, false)
	to, ok2 := instant(textOf(n.fields["to"]), time.UTC, true)
	if ok && ok2 && !from.Before(to) {
		c.wrong(n.fields["to"], "orgfile.error.order")
	}
}

func textOf(n *node) string {
	if n == nil {
		return ""
	}
	return n.text
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
