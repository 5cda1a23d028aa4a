package story_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/app"
	"tocsin/internal/kit"
)

// clientPackages are what the makers of other tools publish for their users.
var clientPackages = []string{"@pagerduty/pdjs@2.2.4", "opsgenie-sdk@0.5.1", "cloudevents@8.0.3", "@octokit/webhooks-examples@7.6.1"}

const clientSources = `
apiVersion: tocsin/v1
sources:
  - {id: pdjs, kind: pagerduty, key: "ffeeddccbbaa99887766554433221100"}
  - {id: og, kind: opsgenie, key: "k-opsgenie"}
  - {id: events, kind: cloudevents, key: "k-events"}
  - {id: forge, kind: github, key: "k-forge", secret_file: %q}
`

// TestForeignClients lets the libraries that other makers give their users send to the
// server as if it were theirs: pages and changes, alerts with their states, events in both
// modes, and every example of a forge's webhooks with its signature.
func TestForeignClients(t *testing.T) {
	node := program(t, "node")
	modules := t.TempDir()
	install := exec.CommandContext(t.Context(), program(t, "npm"), append([]string{"install", "--prefix", modules, "--no-audit", "--no-fund", "--silent"}, clientPackages...)...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	eachDatabase(t, func(t *testing.T, h *house) {
		ctx := app.AsSystem(t.Context())
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("it-is-secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf(clientSources, secret)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		// One of them speaks TLS only.
		to, err := url.Parse(h.base)
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(to))
		t.Cleanup(front.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		run := exec.CommandContext(t.Context(), node, "testdata/clients.mjs")
		run.Env = append(os.Environ(), "MODULES="+modules, "BASE="+h.base, "TLS_HOST="+front.Listener.Addr().String(), "NODE_EXTRA_CA_CERTS="+ca,
			"ROUTING_KEY=ffeeddccbbaa99887766554433221100", "SECRET=it-is-secret")
		var problems bytes.Buffer
		run.Stderr = &problems
		raw, err := run.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, problems.String())
		}
		var told struct {
			PDJS        []int
			Opsgenie    []string
			CloudEvents []string
			Octokit     map[string]int
			Forged      int
		}
		if err := json.Unmarshal(raw, &told); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if want := []int{202, 202, 202, 202, 202, 400}; !reflect.DeepEqual(told.PDJS, want) {
			t.Errorf("pdjs was answered %v, want %v", told.PDJS, want)
		}
		for _, s := range told.Opsgenie {
			if s != "Request will be processed" {
				t.Errorf("opsgenie-sdk was answered %q", s)
			}
		}
		if len(told.Octokit) != 1 || told.Octokit["202"] < 300 || told.Forged != http.StatusUnauthorized {
			t.Errorf("the forge was answered %v, a forged signature %d", told.Octokit, told.Forged)
		}
		states := func(source string) map[string]alert.State {
			t.Helper()
			l, err := h.app.Alert.List(ctx, alert.Filter{Source: source}, kit.Page{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]alert.State{}
			for _, a := range l.Items {
				out[a.Title] = a.State
			}
			return out
		}
		for source, want := range map[string]map[string]alert.State{
			"pdjs": {"Queue is full": alert.StateAcknowledged, "Queue is slow": alert.StateResolved},
			"og":   {"Backup is late": alert.StateAcknowledged, "Disk is full": alert.StateResolved},
		} {
			if got := states(source); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", source, got, want)
			}
		}
		if got := states("events"); len(got) != 2 {
			t.Errorf("events: %v", got)
		}
		if got := states("forge"); len(got) == 0 {
			t.Error("no example of the forge tells of a failure")
		}
		var changes struct {
			Items []struct{ Summary string }
		}
		h.must(http.StatusOK, http.MethodGet, "/api/v1/changes", nil, &changes)
		found := false
		for _, c := range changes.Items {
			found = found || strings.Contains(c.Summary, "Deployed 42")
		}
		if !found {
			t.Errorf("the change is not among %d", len(changes.Items))
		}
	})
}
