package api

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/internal/kit"
)

// stamp is an instant as the contract writes it: RFC 3339, UTC, milliseconds;
// null when it was not reached.
type stamp struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(millis(s.Time))
}

// Schema implements huma.SchemaProvider.
func (stamp) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

func millis(t time.Time) string {
	return t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
}

func at(t time.Time) stamp { return stamp{t} }

func atMicros(n int64) stamp { return stamp{kit.FromMicros(n)} }

// word is null when it is empty.
func word[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	v := string(s)
	return &v
}

// some is the list itself, never null.
func some[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Paged is the input of every list.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" doc:"How many at most; 50 when not given"`
	Cursor string `query:"cursor" doc:"The next_cursor of an earlier answer"`
}

func (p Paged) page() kit.Page { return kit.Page{Limit: p.Limit, Cursor: p.Cursor} }

// list is the answer of every list.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor" nullable:"true"`
	Total      int     `json:"total"`
	// TotalIsMinimum is set above 10,000.
	TotalIsMinimum bool `json:"total_is_minimum"`
}

// listOf turns a module's list into an answer.
func listOf[T, V any](l kit.List[T], view func(T) V) list[V] {
	o := list[V]{Items: make([]V, 0, len(l.Items)), NextCursor: word(l.Next), Total: l.Total, TotalIsMinimum: l.TotalIsMinimum}
	for _, v := range l.Items {
		o.Items = append(o.Items, view(v))
	}
	return o
}

// all is a list that has one page.
func all[T, V any](items []T, view func(T) V) list[V] {
	return listOf(kit.List[T]{Items: items, Total: len(items)}, view)
}

// person is somebody by id and name.
type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// maybe is an object or null.
type maybe[T any] struct{ v *T }

// MarshalJSON implements json.Marshaler.
func (m maybe[T]) MarshalJSON() ([]byte, error) { return json.Marshal(m.v) }

// Schema implements huma.SchemaProvider.
func (maybe[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}
