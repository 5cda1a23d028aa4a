package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"tocsin/internal/alert"
	"tocsin/internal/kit"
)

// maxResults is how many results of requests are remembered for clients that ask
// after them; each is stored long before its client can ask.
const maxResults = 4096

type ogResult struct {
	Success       bool   `json:"success"`
	Action        string `json:"action"`
	ProcessedAt   string `json:"processedAt"`
	IntegrationID string `json:"integrationId"`
	IsSuccess     bool   `json:"isSuccess"`
	Status        string `json:"status"`
	AlertID       string `json:"alertId"`
	Alias         string `json:"alias"`
	source        string
}

// ogResults remembers the newest results by request id.
type ogResults struct {
	mu   sync.Mutex
	byID map[string]ogResult
	ring [maxResults]string
	next int
}

func (o *ogResults) put(id string, r ogResult) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byID == nil {
		o.byID = map[string]ogResult{}
	}
	delete(o.byID, o.ring[o.next])
	o.byID[id], o.ring[o.next] = r, id
	o.next = (o.next + 1) % maxResults
}

func (o *ogResults) get(id string) (ogResult, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.byID[id]
	return r, ok
}

// ogReply answers in the shape that every call of the API has.
func ogReply(w http.ResponseWriter, status int, id string, began time.Time, body map[string]any) {
	body["took"] = float64(time.Since(began).Microseconds()) / 1e6
	body["requestId"] = id
	reply(w, status, body)
}

func ogRefuse(w http.ResponseWriter, status int, began time.Time, message string, bad map[string]string) {
	body := map[string]any{"message": message}
	if len(bad) > 0 {
		body["errors"] = bad
	}
	ogReply(w, status, kit.NewID(), began, body)
}

func (h *handler) opsgenieRoutes(m *http.ServeMux) {
	routes := map[string]http.HandlerFunc{
		"POST /v2/alerts": h.ogCreate, "GET /v2/alerts": h.ogList, "GET /v2/alerts/{id}": h.ogGet, "GET /v2/alerts/requests/{id}": h.ogRequest,
		"DELETE /v2/alerts/{id}": h.ogDo,
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		routes[method+" /v2/alerts/{id}/{do}"] = h.ogDo
	}
	for pattern, fn := range routes {
		m.HandleFunc(pattern, fn)
		// The makers' own client for Node ends every path with a slash.
		m.HandleFunc(pattern+"/{$}", fn)
	}
}

// ogSource finds the source by the key of the header and takes a token of its rate.
func (h *handler) ogSource(w http.ResponseWriter, r *http.Request, began time.Time) (src alert.Source, key string, ok bool) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key = strings.TrimSpace(key)
	if strings.EqualFold(scheme, "GenieKey") {
		var err error
		if src, ok, err = h.alerts.SourceByKey(r.Context(), key); err != nil {
			status, wait := refusal(err)
			if wait > 0 {
				retryAfter(w, wait)
			}
			ogRefuse(w, status, began, "The key cannot be looked up now. Please try again later.", nil)
			return src, key, false
		}
	}
	if !ok {
		ogRefuse(w, http.StatusUnauthorized, began, "Could not authenticate: the header Authorization must be GenieKey followed by the key of a source.", nil)
		return src, key, false
	}
	if wait, fine := h.allowed(src.ID); !fine {
		retryAfter(w, wait)
		ogRefuse(w, http.StatusTooManyRequests, began, "You are making too many requests! Please try again later.", nil)
		return src, key, false
	}
	return src, key, true
}

// ogBody reads the body into v; an empty one, which actions may have, leaves it as
// it is.
func ogBody(w http.ResponseWriter, r *http.Request, began time.Time, v any) ([]byte, bool) {
	body, err := read(w, r, maxBody)
	switch {
	case err == errTooLarge:
		ogRefuse(w, http.StatusRequestEntityTooLarge, began, "The body is larger than 1 MiB.", nil)
		return nil, false
	case err == nil && len(body) > 0:
		err = decode(body, v)
	}
	if err != nil {
		ogRefuse(w, http.StatusBadRequest, began, "Could not parse request body: "+err.Error(), nil)
		return body, false
	}
	return body, true
}

func (h *handler) ogCreate(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	h.alerts.InFlight(1)
	leave := sync.OnceFunc(func() { h.alerts.InFlight(-1) })
	defer leave()
	src, key, ok := h.ogSource(w, r, began)
	if !ok {
		return
	}
	var a ogAlert
	body, ok := ogBody(w, r, began, &a)
	if !ok {
		return
	}
	const path = "v2/alerts"
	sig, bad := a.signal(src, h.clock.Now())
	if len(bad) > 0 {
		ogRefuse(w, http.StatusUnprocessableEntity, began, "Request body is not processable. Please check the errors.", bad)
		h.keep(src, key, path, http.StatusUnprocessableEntity, body, nil, fmt.Sprint(bad))
		return
	}
	h.ogStore(w, r, src, key, path, "Create", began, body, sig, leave)
}

// ogStore makes one signal durable and answers.
func (h *handler) ogStore(w http.ResponseWriter, r *http.Request, src alert.Source, key, path, action string, began time.Time, body []byte, sig alert.Signal, leave func()) {
	out, err := h.store(r, []alert.Signal{sig})
	leave()
	if err != nil {
		status, wait := refusal(err)
		if wait > 0 {
			retryAfter(w, wait)
		}
		if status == http.StatusInternalServerError {
			h.log.Error("alert not stored", "source", src.ID, "error", err)
		}
		ogRefuse(w, status, began, "The request was not stored; send it again.", nil)
		h.keep(src, key, path, status, body, []alert.Signal{sig}, string(kit.CodeOf(err)))
		return
	}
	id := kit.NewID()
	res := ogResult{
		Success: true, Action: action, ProcessedAt: h.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), IntegrationID: src.ID,
		IsSuccess: true, Status: "Request was processed", AlertID: out[0].Alert, Alias: sig.DedupKey, source: src.ID,
	}
	read := []string{}
	if out[0].Dropped {
		res.Success, res.IsSuccess, res.Status = false, false, "Alert does not exist"
		read = append(read, "no open alert of this alias")
	}
	h.results.put(id, res)
	ogReply(w, http.StatusAccepted, id, began, map[string]any{"result": "Request will be processed"})
	h.keep(src, key, path, http.StatusAccepted, body, []alert.Signal{sig}, read...)
}

// ogKey finds the alias of the alert that the address names.
func (h *handler) ogKey(r *http.Request, src alert.Source) (string, bool) {
	id := r.PathValue("id")
	switch r.URL.Query().Get("identifierType") {
	case "alias":
		return id, id != ""
	case "", "id":
		a, err := h.alerts.OfSource(r.Context(), src.ID, id)
		return a.DedupKey, err == nil
	}
	return "", false
}

func (h *handler) ogDo(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	h.alerts.InFlight(1)
	leave := sync.OnceFunc(func() { h.alerts.InFlight(-1) })
	defer leave()
	src, key, ok := h.ogSource(w, r, began)
	if !ok {
		return
	}
	call := r.Method + " " + r.PathValue("do")
	action, known := ogCalls[call]
	if !known {
		ogRefuse(w, http.StatusNotFound, began, "There is no such call.", nil)
		return
	}
	var c ogChange
	body, ok := ogBody(w, r, began, &c)
	if !ok {
		return
	}
	path := strings.TrimRight("v2/alerts/…/"+r.PathValue("do"), "/…")
	alias, ok := h.ogKey(r, src)
	if !ok {
		ogRefuse(w, http.StatusNotFound, began, "Alert with id ["+r.PathValue("id")+"] does not exist.", nil)
		h.keep(src, key, path, http.StatusNotFound, body, nil, "no alert of this id")
		return
	}
	sig, bad := c.signal(src, call, alias, h.clock.Now())
	if len(bad) > 0 {
		ogRefuse(w, http.StatusUnprocessableEntity, began, "Request body is not processable. Please check the errors.", bad)
		h.keep(src, key, path, http.StatusUnprocessableEntity, body, nil, fmt.Sprint(bad))
		return
	}
	if action == "" {
		ogReply(w, http.StatusAccepted, kit.NewID(), began, map[string]any{"result": "Request will be processed"})
		h.keep(src, key, path, http.StatusAccepted, body, nil, "taken, changes nothing: "+call)
		return
	}
	h.ogStore(w, r, src, key, path, strings.TrimSpace(call), began, body, sig, leave)
}

func (h *handler) ogRequest(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	src, _, ok := h.ogSource(w, r, began)
	if !ok {
		return
	}
	res, ok := h.results.get(r.PathValue("id"))
	if !ok || res.source != src.ID {
		ogRefuse(w, http.StatusNotFound, began, "Request not found. It might not be processed, yet.", nil)
		return
	}
	ogReply(w, http.StatusOK, r.PathValue("id"), began, map[string]any{"data": res})
}

func (h *handler) ogGet(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	src, _, ok := h.ogSource(w, r, began)
	if !ok {
		return
	}
	var a alert.Alert
	err := error(kit.NotFound("alert", ""))
	switch r.URL.Query().Get("identifierType") {
	case "alias":
		a, err = h.alerts.LiveOfKey(r.Context(), src.ID, r.PathValue("id"))
	case "", "id":
		a, err = h.alerts.OfSource(r.Context(), src.ID, r.PathValue("id"))
	}
	if err != nil {
		ogRefuse(w, http.StatusNotFound, began, "Alert with id ["+r.PathValue("id")+"] does not exist.", nil)
		return
	}
	ogReply(w, http.StatusOK, kit.NewID(), began, map[string]any{"data": ogView(&a)})
}

// ogList gives the live alerts of the source, newest first, at most 100.
func (h *handler) ogList(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	src, _, ok := h.ogSource(w, r, began)
	if !ok {
		return
	}
	live, err := h.alerts.LiveOf(r.Context(), src.ID)
	if err != nil {
		h.log.Error("alerts not listed", "source", src.ID, "error", err)
		ogRefuse(w, http.StatusInternalServerError, began, "Not available.", nil)
		return
	}
	list := []any{}
	for n := range live[:min(len(live), 100)] {
		list = append(list, ogView(&live[n]))
	}
	ogReply(w, http.StatusOK, kit.NewID(), began, map[string]any{"data": list})
}

func ogView(a *alert.Alert) map[string]any {
	status := "open"
	if a.State == alert.StateResolved {
		status = "closed"
	}
	tags := []string{}
	if t := a.Labels["tags"]; t != "" {
		tags = strings.Split(t, ",")
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	return map[string]any{
		"id": a.ID, "tinyId": a.ID, "alias": a.DedupKey, "message": a.Title, "status": status, "acknowledged": a.State == alert.StateAcknowledged,
		"isSeen": !a.AcknowledgedAt.IsZero(), "tags": tags, "snoozed": false, "count": a.Count, "lastOccurredAt": stamp(a.LastAt),
		"createdAt": stamp(a.FirstAt), "updatedAt": stamp(a.LastAt), "source": a.Source, "entity": a.Labels["entity"],
		"priority":    map[alert.Severity]string{alert.Critical: "P1", alert.Error: "P2", alert.Warning: "P3", alert.Info: "P5"}[a.Severity],
		"description": a.Annotations["description"], "details": a.Labels,
	}
}
