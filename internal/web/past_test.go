package web_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tocsin/internal/identity"
	"tocsin/internal/kit"
)

// upload sends a file by the form of the settings.
func (h *house) upload(name, content, source string) (*http.Response, string) {
	h.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	h.ok(w.WriteField("source", source))
	if name != "" {
		f, err := w.CreateFormFile("file", name)
		h.ok(err)
		_, err = io.WriteString(f, content)
		h.ok(err)
	}
	h.ok(w.Close())
	r, err := http.NewRequest(http.MethodPost, h.server.URL+"/settings/import", &b)
	h.ok(err)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Accept-Language", h.lang)
	res, err := h.client.Do(r)
	h.ok(err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	h.ok(err)
	return res, string(body)
}

const register = "No;What;Day;Priority;Team\n1;Payments down;04/05/2021;high;Blue\n2;Mail lost;06/07/2021;huge;Red\n"

func TestImport(t *testing.T) {
	h := open(t)
	h.signIn()
	contains(t, h.get("/past-incidents"), "No past incident here.", `href="/settings/import"`)
	for name, c := range map[string]struct{ file, content, source, shows string }{
		"no file":        {"", "", "old", `href="#f-file"`},
		"no source":      {"a.csv", register, "", `href="#f-source"`},
		"nothing":        {"a.csv", "", "old", `href="#f-file"`},
		"a wrong record": {"a.json", `{"incident_id":"1","security_incident":"Confirmed"}`, "old", "Line 1: timeline.incident.year – "},
		"no JSON":        {"a.json", `{"incident_id"`, "old", `href="#f-file"`},
	} {
		res, body := h.upload(c.file, c.content, c.source)
		if res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
		contains(t, body, c.shows)
	}
	res, body := h.upload("register.csv", register, "old")
	at := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", res.StatusCode, problem(body))
	}
	contains(t, h.get(at), "Nothing can be kept as it is read now:", "Happened – This is needed.", `value="Priority" selected`, "register.csv")
	send := func(pairs ...string) (int, string) {
		form := url.Values{"mapped": {"1"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		res, body := h.do(http.MethodPost, at, form)
		if res.StatusCode == http.StatusSeeOther {
			return res.StatusCode, res.Header.Get("Location")
		}
		return res.StatusCode, body
	}
	status, body := send("do", "import", "map.id", "No", "map.title", "What", "map.occurred", "Day", "map.severity", "Priority")
	if status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong line: %d", status)
	}
	contains(t, body, "Line 3: Severity – ", "huge", "4 May 2021")
	status, body = send("do", "look", "map.id", "No", "map.title", "What", "map.occurred", "Day", "date_order", "mdy")
	if status != http.StatusOK {
		t.Errorf("%d", status)
	}
	contains(t, body, "An import would bring: 2 new, 0 kept already", "5 April 2021", `value="mdy" checked`)
	if status, to := send("do", "import", "map.id", "No", "map.title", "What", "map.occurred", "Day"); status != http.StatusSeeOther || to != at {
		t.Fatalf("%d %s", status, to)
	}
	contains(t, h.get(at), "2 new, 0 kept already, 0 replaced, 0 in conflict", `href="/past-incidents?source=old"`)
	contains(t, h.get("/settings/import"), "register.csv", "2 new")
	contains(t, h.get("/past-incidents?q=payments&year=2021&source=old"), "PAST-1 · Payments down", "4 May 2021", "Confirmed")
	contains(t, h.get("/past-incidents/past-1"), "Payments down", "Blue", "Team", "1 in old")
	contains(t, h.get("/search?q=payments+down"), `href="/past-incidents/PAST-1"`)
	contains(t, h.get("/export/incidents/csv"), "as csv")
	if res, _ := h.do("GET", "/past-incidents/PAST-9", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("none such: %d", res.StatusCode)
	}
	h.lang = "fr"
	contains(t, h.get("/past-incidents/PAST-1"), "4 mai 2021", "Survenu", "Confirmé")
}

// Who may not change the settings may neither upload nor export, and sees no link to it.
func TestImportNeedsTheRight(t *testing.T) {
	h := open(t)
	h.ok(h.identity.AddPerson(h.ana(), identity.Person{ID: "paul", Name: "Paul", Email: "paul@example.com", Access: kit.AccessResponder}))
	h.ok(h.identity.SetPassword(h.ana(), "paul", password))
	h.post("/login", "email", "paul@example.com", "password", password)
	if res, _ := h.upload("a.csv", register, "old"); res.StatusCode != http.StatusForbidden {
		t.Errorf("upload: %d", res.StatusCode)
	}
	if res, _ := h.do("GET", "/settings/import", nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("page: %d", res.StatusCode)
	}
	if body := h.get("/past-incidents"); strings.Contains(body, "/settings/import") || strings.Contains(body, "/export/") {
		t.Error("the page offers what its reader may not do")
	}
}
