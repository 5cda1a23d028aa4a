package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/kit"
)

// Limits of an export, against one made to exhaust the program.
const (
	maxBytes   = 32 << 20
	maxDepth   = 32
	maxObjects = 20_000
	maxErrors  = 100
)

// shapes are the resources that are read, by product and name, each with what one of its
// objects is decoded into.
var shapes = map[string]map[string]func() any{
	PagerDuty: {
		"users": of[pdUser], "teams": of[pdTeam], "schedules": of[pdSchedule],
		"escalation_policies": of[pdPolicy], "services": of[pdService],
	},
	Opsgenie: {
		"users": of[ogUser], "contacts": of[ogContact], "notification_rules": of[ogRule], "teams": of[ogTeam],
		"schedules": of[ogSchedule], "overrides": of[ogOverride], "escalations": of[ogEscalation], "services": of[ogService],
	},
	OnCall: {
		"users": of[ocUser], "personal_notification_rules": of[ocRule], "teams": of[ocTeam], "user_groups": of[ocGroup],
		"schedules": of[ocSchedule], "on_call_shifts": of[ocShift], "escalation_chains": of[ocChain],
		"escalation_policies": of[ocPolicy], "integrations": of[ocIntegration], "routes": of[ocRoute],
	},
	GoAlert: {
		"users": of[gaUser], "rotations": of[gaRotation], "schedules": of[gaSchedule], "userOverrides": of[gaOverride],
		"escalationPolicies": of[gaPolicy], "services": of[gaService],
	},
}

func of[T any]() any { return new(T) }

// all decodes the objects of a resource. Parse has checked them.
func all[T any](e *Export, name string) []T {
	var out []T
	for _, raw := range e.Resources[name] {
		var v T
		if json.Unmarshal(raw, &v) == nil {
			out = append(out, v)
		}
	}
	return out
}

// word is a text that some versions of an API write as a number.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*w = word(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return &json.UnmarshalTypeError{Value: string(b[:min(len(b), 20)])}
	}
	*w = word(n)
	return nil
}

// Parse reads a saved export: an object with a list for each resource, as the API gives it
// or as its list answers are ("data", "results" or "nodes" within). An empty product is
// found out from the content.
func Parse(product string, r io.Reader) (*Export, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, kit.Internal(err)
	}
	if len(data) > maxBytes {
		return nil, kit.Errorf(kit.CodeTooLarge, "error.too_large")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := shallow(data); err != nil {
		return nil, err
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, kit.InvalidField("file", "transfer.error.object")
	}
	if inner, ok := object(doc["data"]); ok {
		doc = inner
	}
	e := &Export{Resources: map[string][]json.RawMessage{}}
	var bad kit.Fields
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		if name == "product" {
			_ = json.Unmarshal(doc[name], &e.Product)
			continue
		}
		if list, ok := listOf(doc[name]); ok {
			if len(list) > maxObjects {
				bad.Add(name, "transfer.error.many", "max", maxObjects)
				continue
			}
			e.Resources[name] = list
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if product != "" {
		e.Product = product
	}
	if e.Product == "" {
		e.Product = detect(e)
	}
	if e.Product == "" {
		return nil, kit.InvalidField("product", "transfer.error.detect", "products", strings.Join(Products, ", "))
	}
	if !slices.Contains(Products, e.Product) {
		return nil, kit.InvalidField("product", "transfer.error.product", "value", e.Product, "products", strings.Join(Products, ", "))
	}
	return e, check(e)
}

// shallow refuses what is no JSON and what is nested deeper than any export is.
func shallow(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	depth := 0
	for n := 0; ; n++ {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && n > 0 && depth == 0 {
			return nil
		}
		if err != nil {
			line := 1 + bytes.Count(data[:min(int(d.InputOffset()), len(data))], []byte("\n"))
			return &kit.Error{Code: kit.CodeMalformed, Key: "transfer.error.json", Args: map[string]any{"line": line}, Err: err}
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return kit.InvalidField("file", "transfer.error.deep", "max", maxDepth)
		}
	}
}

func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	return m, json.Unmarshal(raw, &m) == nil && m != nil
}

// listOf gives the objects of a list, or of the list within an answer of an API.
func listOf(raw json.RawMessage) ([]json.RawMessage, bool) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && list != nil {
		return list, true
	}
	if m, ok := object(raw); ok {
		for _, name := range []string{"data", "results", "nodes"} {
			if json.Unmarshal(m[name], &list) == nil && list != nil {
				return list, true
			}
		}
	}
	return nil, false
}

// detect finds the product out by resources and fields that no other one has.
func detect(e *Export) string {
	has := func(resource string, fields ...string) bool {
		for _, raw := range e.Resources[resource] {
			if m, ok := object(raw); ok {
				for _, f := range fields {
					if _, ok := m[f]; ok {
						return true
					}
				}
			}
		}
		return false
	}
	_, chains := e.Resources["escalation_chains"]
	_, shifts := e.Resources["on_call_shifts"]
	_, escalations := e.Resources["escalations"]
	_, policies := e.Resources["escalationPolicies"]
	switch {
	case chains, shifts, has("escalation_policies", "escalation_chain_id"):
		return OnCall
	case escalations, has("schedules", "rotations"), has("users", "fullName"):
		return Opsgenie
	case policies, has("schedules", "targets", "temporarySchedules"), has("rotations", "shiftLength"), has("users", "contactMethods", "notificationRules"):
		return GoAlert
	case has("escalation_policies", "escalation_rules"), has("schedules", "schedule_layers"), has("services", "escalation_policy"),
		has("users", "contact_methods", "html_url", "time_zone"):
		return PagerDuty
	}
	return ""
}

// check names every object that is not of the shape its API gives it.
func check(e *Export) error {
	var bad kit.Fields
	read := 0
	for _, name := range slices.Sorted(maps.Keys(shapes[e.Product])) {
		read += len(e.Resources[name])
		for i, raw := range e.Resources[name] {
			if len(bad) == maxErrors {
				return bad.Err()
			}
			path := name + "[" + strconv.Itoa(i) + "]"
			if _, ok := object(raw); !ok {
				bad.Add(path, "transfer.error.object")
				continue
			}
			err := json.Unmarshal(raw, shapes[e.Product][name]())
			var wrong *json.UnmarshalTypeError
			switch {
			case errors.As(err, &wrong):
				if wrong.Field != "" {
					path += "." + wrong.Field
				}
				bad.Add(path, "transfer.error.field", "value", wrong.Value)
			case err != nil:
				bad.Add(path, "transfer.error.object")
			}
		}
	}
	if len(bad) == 0 && read == 0 {
		return kit.InvalidField("file", "transfer.error.empty")
	}
	return bad.Err()
}
