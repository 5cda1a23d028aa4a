package story_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
)

func sharedFile(t *testing.T, parts ...string) []byte {
	t.Helper()
	root := os.Getenv("TOCSIN_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{root}, parts...)...))
	if err != nil {
		dbtest.Skip(t, "%v", err)
	}
	return b
}

// byID reads a document of VERIS a line.
func byID(t *testing.T, lines []byte) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, line := range bytes.Split(bytes.TrimSpace(lines), []byte("\n")) {
		var o map[string]any
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out[o["incident_id"].(string)] = o
	}
	return out
}

// TestPastIncidents: a company brings its past with it. All of the public sample comes
// in by one command, is found, pages nobody, and goes out again as it was, with the
// incidents of this installation; another installation takes both files.
func TestPastIncidents(t *testing.T) {
	file := sharedFile(t, "testdata", "real", "vcdb", "vcdb-400.veris.jsonl")
	eachDatabase(t, func(t *testing.T, h *house) {
		type result struct {
			ID                         string
			State                      string
			Created, Skipped, Conflict int
		}
		send := func(h *house, source string, file []byte, dry bool) (out result) {
			t.Helper()
			if status := h.call(http.MethodPost, "/api/v1/imports", map[string]any{"source": source, "file": file, "dry_run": dry}, &out); status != http.StatusCreated {
				t.Fatalf("import: %d", status)
			}
			return out
		}
		var list struct {
			Total int
			Items []struct{ Ref, Title, Kind string }
		}
		if got := send(h, "vcdb", file, true); got.Created != 400 || got.ID != "" {
			t.Fatalf("dry run: %+v", got)
		}
		if h.call(http.MethodGet, "/api/v1/past-incidents", nil, &list); list.Total != 0 {
			t.Fatalf("a dry run kept %d", list.Total)
		}
		got := send(h, "vcdb", file, false)
		if got.Created != 400 || got.State != "finished" {
			t.Fatalf("%+v", got)
		}
		if h.call(http.MethodGet, "/api/v1/imports/"+got.ID, nil, &got); got.Created != 400 {
			t.Errorf("the import afterwards: %+v", got)
		}
		if got := send(h, "vcdb", file, false); got.Created != 0 || got.Skipped != 400 {
			t.Errorf("again: %+v", got)
		}
		if h.call(http.MethodGet, "/api/v1/past-incidents?q=medical+laptop&limit=500", nil, &list); list.Total == 0 {
			if h.call(http.MethodGet, "/api/v1/past-incidents?q=laptop", nil, &list); list.Total == 0 {
				t.Error("nothing is found")
			}
		}
		if h.call(http.MethodGet, "/api/v1/search?q=laptop", nil, &list); list.Total == 0 || list.Items[0].Kind != "past_incident" {
			t.Errorf("search: %+v", list)
		}
		h.alert("Down", "db-1", true)
		h.page("ana")
		if h.call(http.MethodGet, "/api/v1/incidents", nil, &list); list.Total != 1 {
			t.Errorf("%d incidents of this installation", list.Total)
		}
		export := func(h *house, format string) []byte {
			t.Helper()
			req, err := http.NewRequest(http.MethodGet, h.base+"/api/v1/export/incidents?format="+format, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+h.token)
			res, body := roundTrip(t, req)
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", res.StatusCode, body)
			}
			return []byte(body)
		}
		veris, csv := export(h, "veris"), export(h, "csv")
		out, want := byID(t, veris), byID(t, file)
		if len(out) != 401 || out["INC-1"] == nil {
			t.Fatalf("%d documents", len(out))
		}
		for id, o := range want {
			if !reflect.DeepEqual(out[id], o) {
				t.Errorf("%s went out changed", id)
			}
		}
		if !bytes.HasPrefix(csv, []byte("\xef\xbb\xbfid,title,")) || !strings.Contains(string(csv), "INC-1,") {
			t.Errorf("csv: %.80q", csv)
		}
		other := open(t, app.Config{Data: t.TempDir()})
		if got := send(other, "from-veris", veris, false); got.Created != 401 {
			t.Errorf("veris into another: %+v", got)
		}
		if got := send(other, "from-csv", csv, false); got.Created != 401 {
			t.Errorf("csv into another: %+v", got)
		}
	})
}
