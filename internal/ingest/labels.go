package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/kit"
)

// words are the common severities of senders; a source's own map goes first.
var words = map[string]alert.Severity{
	"critical": alert.Critical, "crit": alert.Critical, "page": alert.Critical, "fatal": alert.Critical,
	"emergency": alert.Critical, "alert": alert.Critical, "disaster": alert.Critical, "p1": alert.Critical,
	"error": alert.Error, "err": alert.Error, "major": alert.Error, "high": alert.Error, "p2": alert.Error,
	"warning": alert.Warning, "warn": alert.Warning, "minor": alert.Warning, "medium": alert.Warning, "average": alert.Warning, "p3": alert.Warning,
	"info": alert.Info, "information": alert.Info, "informational": alert.Info, "notice": alert.Info,
	"low": alert.Info, "none": alert.Info, "debug": alert.Info, "p4": alert.Info, "p5": alert.Info,
}

// severity reads the sender's word; one that is missing or not known is an error,
// so that it is not taken lightly.
func severity(src alert.Source, word string) alert.Severity {
	if s, ok := src.SeverityMap[word]; ok {
		return s
	}
	if s, ok := words[strings.ToLower(strings.TrimSpace(word))]; ok {
		return s
	}
	return alert.Error
}

// service is the source's own, else the one that a label names.
func service(src alert.Source, labels map[string]string) string {
	if src.Service != "" {
		return src.Service
	}
	if s := strings.ToLower(labels["service"]); kit.IsSlug(s) {
		return s
	}
	return ""
}

// fingerprint is the identity of a label set as Prometheus and Alertmanager
// compute it: FNV-1a of 64 bits over the sorted names and values.
func fingerprint(labels map[string]string) string {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	add := func(s string) {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
		h = (h ^ 0xff) * prime
	}
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		add(n)
		add(labels[n])
	}
	return fmt.Sprintf("%016x", h)
}

// title says in one line what fires.
func title(labels, annotations map[string]string) string {
	for _, k := range []string{"summary", "title", "message"} {
		if s := strings.TrimSpace(annotations[k]); s != "" {
			return s
		}
	}
	name := labels["alertname"]
	if name == "" {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(labels)) {
			parts = append(parts, k+"="+labels[k])
		}
		return strings.Join(parts, " ")
	}
	if i := labels["instance"]; i != "" {
		return name + " " + i
	}
	return name
}

// layouts are the instants that senders write: RFC 3339, offsets without a
// colon, and none at all, which means UTC.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04Z07:00", "2006-01-02",
}

func parseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	for _, l := range layouts {
		t, err := time.Parse(l, s)
		if err != nil {
			continue
		}
		// Both databases keep microseconds since 1970; the zero instant of Go,
		// which means "none" on the wire, and absurd years are none.
		if t.Year() < 1970 || t.Year() > 9999 {
			return time.Time{}, nil
		}
		return kit.Truncate(t), nil
	}
	return time.Time{}, fmt.Errorf("%q is not an instant", s)
}
