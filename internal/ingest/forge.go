package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/change"
	"tocsin/internal/kit"
)

// told is what a message of a forge comes to: changes, signals, or a word on why it
// comes to nothing.
type told struct {
	signals []alert.Signal
	changes []change.Change
	note    string
}

type ghRepository struct {
	Name          string `json:"name"`
	FullName      string `json:"full_name"`
	DefaultBranch string `json:"default_branch"`
}

type ghSeverity struct {
	Severity string `json:"severity"`
}

type ghEvent struct {
	Action     string       `json:"action"`
	Repository ghRepository `json:"repository"`
	Deployment struct {
		ID          int64  `json:"id"`
		SHA         string `json:"sha"`
		Ref         string `json:"ref"`
		Task        string `json:"task"`
		Environment string `json:"environment"`
		Description string `json:"description"`
		CreatedAt   string `json:"created_at"`
	} `json:"deployment"`
	Status struct {
		State     string `json:"state"`
		TargetURL string `json:"target_url"`
	} `json:"deployment_status"`
	Run struct {
		Name       string `json:"name"`
		WorkflowID int64  `json:"workflow_id"`
		HeadBranch string `json:"head_branch"`
		Status     string `json:"status"`
		Conclusion string `json:"conclusion"`
		HTMLURL    string `json:"html_url"`
		RunNumber  int64  `json:"run_number"`
		UpdatedAt  string `json:"updated_at"`
	} `json:"workflow_run"`
	Release struct {
		ID          int64  `json:"id"`
		TagName     string `json:"tag_name"`
		Name        string `json:"name"`
		HTMLURL     string `json:"html_url"`
		Draft       bool   `json:"draft"`
		PublishedAt string `json:"published_at"`
	} `json:"release"`
	Alert struct {
		Number   int64  `json:"number"`
		ID       int64  `json:"id"`
		HTMLURL  string `json:"html_url"`
		Severity string `json:"severity"`
		Package  string `json:"affected_package_name"`
		External string `json:"external_identifier"`
		Rule     struct {
			ghSeverity
			ID          string `json:"id"`
			Description string `json:"description"`
			Level       string `json:"security_severity_level"`
		} `json:"rule"`
		Advisory struct {
			ghSeverity
			GHSA    string `json:"ghsa_id"`
			CVE     string `json:"cve_id"`
			Summary string `json:"summary"`
		} `json:"security_advisory"`
		SecretType string `json:"secret_type_display_name"`
	} `json:"alert"`
}

// github reads a webhook of GitHub: deployments, their statuses and releases are
// changes; a workflow that fails on the default branch, and what GitHub's own scans
// find, are alerts.
func readGitHub(event string, body []byte, src alert.Source, now time.Time) (told, error) {
	var e ghEvent
	if err := decode(body, &e); err != nil {
		return told{}, err
	}
	repo := e.Repository.FullName
	switch event {
	case "":
		return told{}, fmt.Errorf("the header X-GitHub-Event is missing")
	case "deployment", "deployment_status":
		if repo == "" || e.Deployment.ID == 0 {
			return told{}, fmt.Errorf("a %s without its repository or deployment", event)
		}
		return told{changes: []change.Change{e.deployment(src, now)}}, nil
	case "release":
		if e.Action != "published" || e.Release.Draft {
			return told{note: "release " + e.Action + ": only a published one is a change"}, nil
		}
		c := change.Change{
			Source: src.ID, Key: fmt.Sprintf("%s/release/%d", repo, e.Release.ID), Service: service(src, map[string]string{"service": e.Repository.Name}),
			Summary: short("Release " + e.Release.TagName + " of " + repo), VersionTo: short(e.Release.TagName), URL: httpURL(e.Release.HTMLURL), Pipeline: short(repo),
			At: instantOr(e.Release.PublishedAt, now),
		}
		return told{changes: []change.Change{c}}, nil
	case "workflow_run":
		return e.workflow(src, now), nil
	case "code_scanning_alert", "dependabot_alert", "secret_scanning_alert", "repository_vulnerability_alert":
		return e.scan(event, src, now), nil
	}
	return told{note: event + ": taken, it tells of no change and no alarm"}, nil
}

func (e *ghEvent) deployment(src alert.Source, now time.Time) change.Change {
	d := &e.Deployment
	summary := d.Description
	if summary == "" {
		summary = fmt.Sprintf("%s %s to %s", d.Task, d.Ref, d.Environment)
	}
	state := e.Status.State
	if state == "" {
		state = "created"
	}
	return change.Change{
		Source: src.ID, Key: cutKey(fmt.Sprintf("%s/deployment/%d", e.Repository.FullName, d.ID)), Service: service(src, map[string]string{"service": e.Repository.Name}),
		Summary: short(summary), VersionTo: short(d.SHA), At: instantOr(d.CreatedAt, now), Pipeline: short(e.Repository.FullName), URL: httpURL(e.Status.TargetURL),
		State: changeState(state),
	}
}

func (e *ghEvent) workflow(src alert.Source, now time.Time) told {
	r := &e.Run
	if e.Action != "completed" || r.Conclusion == "" {
		return told{note: "workflow_run " + e.Action + ": not finished"}
	}
	if r.HeadBranch != e.Repository.DefaultBranch {
		return told{note: "workflow_run on " + r.HeadBranch + ": only the default branch alarms"}
	}
	s := alert.Signal{
		Source: src.ID, DedupKey: fmt.Sprintf("%s/workflow/%d", e.Repository.FullName, r.WorkflowID), Title: fmt.Sprintf("%s: workflow %s %s on %s", e.Repository.FullName, r.Name, r.Conclusion, r.HeadBranch),
		Severity: severity(src, "warning"), Link: httpURL(r.HTMLURL), StartsAt: instantOr(r.UpdatedAt, now), Received: now,
		Labels: map[string]string{"alertname": "WorkflowFailed", "repository": e.Repository.FullName, "workflow": r.Name, "branch": r.HeadBranch, "conclusion": r.Conclusion},
	}
	switch r.Conclusion {
	case "failure", "timed_out", "startup_failure":
		s.Action = alert.Trigger
	case "success":
		s.Action = alert.Resolve
	default:
		return told{note: "workflow_run " + r.Conclusion + ": says neither failed nor repaired"}
	}
	s.Service = service(src, map[string]string{"service": e.Repository.Name})
	return told{signals: []alert.Signal{s}}
}

func (e *ghEvent) scan(event string, src alert.Source, now time.Time) told {
	a := &e.Alert
	n := a.Number
	if n == 0 {
		n = a.ID
	}
	kind := strings.TrimSuffix(event, "_alert")
	words := []string{a.Advisory.Severity, a.Rule.Level, a.Rule.Severity, a.Severity}
	title := a.Advisory.Summary
	for _, t := range []string{a.Rule.Description, strings.TrimSpace(a.Package + " " + a.External), a.SecretType} {
		if title == "" {
			title = t
		}
	}
	if kind == "secret_scanning" {
		words = []string{"critical"}
	}
	word := ""
	for _, w := range words {
		if word == "" {
			word = w
		}
	}
	if word == "moderate" {
		word = "medium"
	}
	s := alert.Signal{
		Source: src.ID, DedupKey: fmt.Sprintf("%s/%s/%d", e.Repository.FullName, kind, n), Title: strings.TrimSpace(e.Repository.FullName + ": " + title),
		Severity: severity(src, word), Link: httpURL(a.HTMLURL), StartsAt: now, Received: now, Service: service(src, map[string]string{"service": e.Repository.Name}),
		Labels: map[string]string{"alertname": "Security", "kind": kind, "repository": e.Repository.FullName},
	}
	for k, v := range map[string]string{"cve": a.Advisory.CVE + a.External, "ghsa": a.Advisory.GHSA, "rule": a.Rule.ID, "package": a.Package} {
		if v != "" {
			s.Labels[k] = v
		}
	}
	switch e.Action {
	case "created", "create", "reopened", "reopened_by_user", "reintroduced", "auto_reopened", "publicly_leaked":
		s.Action = alert.Trigger
	case "fixed", "resolve", "resolved", "dismissed", "dismiss", "closed_by_user", "auto_dismissed":
		s.Action = alert.Resolve
	default:
		return told{note: event + " " + e.Action + ": changes nothing"}
	}
	return told{signals: []alert.Signal{s}}
}

type glEvent struct {
	Kind    string `json:"object_kind"`
	Project struct {
		Path          string `json:"path_with_namespace"`
		Name          string `json:"name"`
		DefaultBranch string `json:"default_branch"`
	} `json:"project"`
	DeploymentID int64  `json:"deployment_id"`
	Environment  string `json:"environment"`
	Status       string `json:"status"`
	ChangedAt    string `json:"status_changed_at"`
	DeployURL    string `json:"deployable_url"`
	ShortSHA     string `json:"short_sha"`
	Ref          string `json:"ref"`
	Tag          string `json:"tag"`
	Action       string `json:"action"`
	URL          string `json:"url"`
	ID           int64  `json:"id"`
	Attributes   struct {
		ID     int64  `json:"id"`
		Ref    string `json:"ref"`
		Status string `json:"status"`
		URL    string `json:"url"`
	} `json:"object_attributes"`
}

// readGitLab reads a webhook of GitLab: deployments and releases are changes, a
// pipeline that fails on the default branch is an alert.
func readGitLab(body []byte, src alert.Source, now time.Time) (told, error) {
	var kind struct {
		Kind string `json:"object_kind"`
	}
	if err := decode(body, &kind); err != nil {
		return told{}, err
	}
	switch kind.Kind {
	case "":
		return told{}, fmt.Errorf("object_kind is missing")
	case "deployment", "pipeline", "release":
	default:
		return told{note: kind.Kind + ": taken, it tells of no change and no alarm"}, nil
	}
	var e glEvent
	if err := decode(body, &e); err != nil {
		return told{}, err
	}
	p := e.Project.Path
	svc := service(src, map[string]string{"service": e.Project.Name})
	switch e.Kind {
	case "deployment":
		return told{changes: []change.Change{{
			Source: src.ID, Key: cutKey(fmt.Sprintf("%s/deployment/%d", p, e.DeploymentID)), Service: svc, Summary: short(fmt.Sprintf("Deploy %s to %s", e.Ref, e.Environment)),
			VersionTo: short(e.ShortSHA), At: instantOr(e.ChangedAt, now), Pipeline: short(p), URL: httpURL(e.DeployURL), State: changeState(e.Status),
		}}}, nil
	case "release":
		if e.Action != "create" {
			return told{note: "release " + e.Action + ": only a new one is a change"}, nil
		}
		return told{changes: []change.Change{{
			Source: src.ID, Key: cutKey(fmt.Sprintf("%s/release/%d", p, e.ID)), Service: svc, Summary: short("Release " + e.Tag + " of " + p), VersionTo: short(e.Tag), Pipeline: short(p), URL: httpURL(e.URL), At: now,
		}}}, nil
	}
	a := &e.Attributes
	if a.Ref != e.Project.DefaultBranch {
		return told{note: "pipeline on " + a.Ref + ": only the default branch alarms"}, nil
	}
	s := alert.Signal{
		Source: src.ID, DedupKey: p + "/pipeline/" + a.Ref, Title: fmt.Sprintf("%s: pipeline %s on %s", p, a.Status, a.Ref), Severity: severity(src, "warning"),
		Link: httpURL(a.URL), StartsAt: now, Received: now, Service: svc, Labels: map[string]string{"alertname": "PipelineFailed", "repository": p, "branch": a.Ref, "pipeline": strconv.FormatInt(a.ID, 10)},
	}
	switch a.Status {
	case "failed":
		s.Action = alert.Trigger
	case "success":
		s.Action = alert.Resolve
	default:
		return told{note: "pipeline " + a.Status + ": not finished"}, nil
	}
	return told{signals: []alert.Signal{s}}, nil
}

// httpURL is an address that may be shown as a link, else nothing.
func httpURL(s string) string {
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(s) <= 2048 {
		return s
	}
	return ""
}

func instantOr(s string, or time.Time) time.Time {
	if t, err := parseTime(s); err == nil && !t.IsZero() {
		return t
	}
	return or
}

// signed checks the sender's proof where the source names a secret. A source that
// names one whose file cannot be read takes nothing.
func (h *handler) signed(m message, proof func(secret string) bool, header string) bool {
	if m.src.SecretFile == "" {
		return true
	}
	if m.src.Secret == "" {
		h.refuse(m, http.StatusServiceUnavailable, kit.CodeBusy, "The secret of this source cannot be read here. Send again.")
		return false
	}
	if !proof(m.src.Secret) {
		h.refuse(m, http.StatusUnauthorized, kit.CodeUnauthenticated, "The header "+header+" is missing or does not fit the secret of this source.")
		return false
	}
	return true
}

// formBody is the JSON of a webhook that was set up to send a form.
func formBody(r *http.Request, body []byte) []byte {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return body
	}
	v, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return []byte(v.Get("payload"))
}

func (h *handler) github(w http.ResponseWriter, r *http.Request) {
	m, ok := h.take(w, r, "github", maxBody, "application/json", "application/x-www-form-urlencoded")
	if !ok || !h.signed(m, func(secret string) bool {
		sent, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(m.body)
		return err == nil && hmac.Equal(sent, mac.Sum(nil))
	}, "X-Hub-Signature-256") {
		return
	}
	t, err := readGitHub(r.Header.Get("X-GitHub-Event"), formBody(r, m.body), m.src, h.clock.Now())
	h.tell(m, t, err)
}

func (h *handler) gitlab(w http.ResponseWriter, r *http.Request) {
	m, ok := h.take(w, r, "gitlab", maxBody, "application/json")
	if !ok || !h.signed(m, func(secret string) bool {
		return subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Gitlab-Token")), []byte(secret)) == 1
	}, "X-Gitlab-Token") {
		return
	}
	t, err := readGitLab(m.body, m.src, h.clock.Now())
	h.tell(m, t, err)
}

func (h *handler) tell(m message, t told, err error) {
	if err != nil {
		h.malformed(m, err)
		return
	}
	var notes []string
	if t.note != "" {
		notes = append(notes, t.note)
	}
	h.accept(m, t.signals, t.changes, notes...)
}
