package web

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/alert/probe"
	"tocsin/internal/kit"
	"tocsin/internal/oncall"
)

// sourceDef reads the form of a new source.
func (q *req) sourceDef() (alert.SourceDef, error) {
	d := alert.SourceDef{ID: q.form("id"), Kind: q.form("kind"), Service: q.form("service")}
	var f kit.Fields
	for name, to := range map[string]*time.Duration{"every": &d.Every, "grace": &d.Grace, "silent_after": &d.SilentAfter} {
		text := strings.TrimSpace(q.form(name))
		if text == "" {
			continue
		}
		v, err := oncall.ParseDuration(text)
		if *to = time.Duration(v); err != nil {
			f.Add(name, "web.source.duration")
		}
	}
	for _, name := range alert.MapFields {
		if text := strings.TrimSpace(q.form("map." + name)); text != "" {
			if d.Map == nil {
				d.Map = map[string]string{}
			}
			d.Map[name] = text
		}
	}
	if d.Kind == "probe" {
		d.Probe = q.probe(&f)
	}
	return d, f.Err()
}

// probeKinds are what a probe can ask by.
var probeKinds = []string{"url", "tcp", "dns", "icmp"}

// probeTone is how the state of a probe looks.
var probeTone = map[probe.State]string{probe.Good: "ok", probe.Suspect: "warn", probe.Failed: "bad", probe.Unknown: "info"}

// probe reads what a probe asks, as the organisation file says it.
func (q *req) probe(f *kit.Fields) json.RawMessage {
	p := map[string]any{}
	by := firstOf(q.form("probe.ask"), probeKinds[0])
	if target := strings.TrimSpace(q.form("probe.target")); target == "" {
		f.Add("probe.target", "error.required")
	} else {
		p[by] = target
	}
	if text := strings.TrimSpace(q.form("probe.expect")); text != "" {
		p["expect"] = text
	}
	if text := strings.TrimSpace(q.form("probe.confirm")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			f.Add("probe.confirm", "error.bad_value", "value", text)
		}
		p["confirm"] = n
	}
	raw, err := json.Marshal(p)
	if err != nil {
		f.Add("probe.target", "error.invalid")
	}
	return raw
}

// probeFields gives what is wrong with a probe the names of the form.
func probeFields(err error) error {
	for _, kind := range append(probeKinds, "") {
		err = renamed(err, strings.TrimSuffix("probe."+kind, "."), "probe.target")
	}
	return err
}

func (s *server) addSource(q *req) error {
	def, err := q.sourceDef()
	var key string
	if err == nil {
		key, err = s.Alert.CreateSource(q.ctx, def)
		err = probeFields(err)
	}
	if err != nil {
		body, get := s.sourcesShown(q)
		if get != nil {
			return err
		}
		return q.settingsAgain(err, "integrations", body)
	}
	return s.sourceShown(q, def.ID, key)
}

// sourceURL is what a sender of the kind is pointed to.
func sourceURL(ctx context.Context, kind, key string) string {
	base := of(ctx).s.BaseURL
	switch kind {
	case "alertmanager":
		return base + "/in/" + key + "/alertmanager"
	case "pagerduty":
		return base + "/v2/enqueue"
	case "opsgenie":
		return base
	case "email":
		return key + "@" + mailHost(base)
	}
	return base + "/in/" + key + "/" + kind
}

// mailHost is the part after the @, where mail for the product goes.
func mailHost(base string) string {
	if u, err := url.Parse(base); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "localhost"
}

// sourceHow names what is said of how a sender of the kind is set up.
func sourceHow(kind string) string {
	switch kind {
	case "pagerduty", "alertmanager", "opsgenie", "heartbeat", "email":
		return kind
	}
	return "other"
}
