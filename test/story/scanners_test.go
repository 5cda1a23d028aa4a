package story_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/internal/app"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
)

const scanSources = `
apiVersion: tocsin/v1
sources:
  - {id: ports, kind: scan, key: "k-ports"}
  - {id: lint, kind: scan, key: "k-lint"}
  - {id: code, kind: scan, key: "k-code"}
  - {id: secrets, kind: scan, service: payments, key: "k-secrets"}
`

// eslintConfig asks for two rules; with one file that breaks both.
const eslintConfig = `export default [{ rules: { "no-eval": "error", "no-unused-vars": "warn" } }];`

// The scanners that are made from their modules where they are not installed.
const (
	gosecModule    = "github.com/securego/gosec/v2/cmd/gosec@v2.30.0"
	gitleaksModule = "github.com/zricethezav/gitleaks/v8@v8.30.1"
)

// made gives a program, which is built from its module where it is not installed.
func made(t *testing.T, name, module string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if !dbtest.Required() {
		dbtest.Skip(t, "%s is not installed", name)
	}
	bin := t.TempDir()
	c := exec.CommandContext(t.Context(), "go", "install", module)
	c.Dir, c.Env = bin, append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", module, err, out)
	}
	return filepath.Join(bin, name)
}

// weak is a program with a hash that is no good any more; its token is written in two
// parts here, so that it is none.
const weak = `package main

import (
	"crypto/md5"
	"fmt"
	"os"
)

func main() { fmt.Printf("%x", md5.Sum([]byte(os.Args[1]))) }
`

// TestRealScanners runs the scanners themselves: nmap over a port that is opened and then
// closed, ESLint with Microsoft's SARIF formatter and gosec over a file that is then
// mended, gitleaks over a file with a token. A first report finds, the same again finds
// nothing new, the last one says what is fixed; the token wakes somebody at once.
func TestRealScanners(t *testing.T) {
	nmap, npm, node := program(t, "nmap"), program(t, "npm"), program(t, "node")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	run := func(dir string, fine func(code int) bool, name string, args ...string) []byte {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		var problems bytes.Buffer
		c.Dir, c.Stderr = dir, &problems
		out, err := c.Output()
		if code := c.ProcessState.ExitCode(); err != nil && !fine(code) {
			t.Fatalf("%s: %v\n%s%s", name, err, out, problems.Bytes())
		}
		return out
	}
	never := func(int) bool { return false }
	ports := func() []byte { return run("", never, nmap, "-Pn", "-sT", "-oX", "-", "-p", port, "127.0.0.1") }
	opened := ports()
	_ = l.Close()
	closed := ports()

	dir := t.TempDir()
	run(dir, never, npm, "install", "--prefix", dir, "--no-audit", "--no-fund", "--silent", "eslint@9.39.1", "@microsoft/eslint-formatter-sarif@3.1.0")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("eslint.config.mjs", eslintConfig)
	lint := func() []byte {
		// 1 says that there are errors.
		return run(dir, func(code int) bool { return code == 1 }, node, "node_modules/eslint/bin/eslint.js", "-f", "@microsoft/eslint-formatter-sarif", "a.js")
	}
	write("a.js", "const unused = 1;\neval(\"1\");\n")
	broken := lint()
	write("a.js", "export const used = 1;\n")
	mended := lint()

	gosec, gitleaks := made(t, "gosec", gosecModule), made(t, "gitleaks", gitleaksModule)
	dir = t.TempDir()
	write("go.mod", "module shop\n\ngo 1.22\n")
	code := func() []byte {
		return run(dir, func(code int) bool { return code == 1 }, gosec, "-fmt", "json", "./...")
	}
	write("main.go", weak)
	unsafe := code()
	write("main.go", "package main\n\nfunc main() {}\n")
	safe := code()
	write("settings.txt", "slack = xoxb-"+"263594206564-2343594206574-FGqddMF8t08v8N7Oq4i57vs1\n")
	leaked := run(dir, func(code int) bool { return code == 1 }, gitleaks, "dir", "--no-banner", "--report-format", "json", "--report-path", "-", ".")

	eachDatabase(t, func(t *testing.T, h *house) {
		if _, err := h.app.Apply(app.AsSystem(t.Context()), []byte(scanSources), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		type counts struct {
			Format                         string
			Findings, New, Fixed, Reopened int
		}
		send := func(key string, report []byte) (got counts) {
			t.Helper()
			res, err := http.Post(h.base+"/in/"+key+"/scan?target=here", "application/octet-stream", bytes.NewReader(report))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			raw, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusAccepted {
				t.Fatalf("%d %s, %v", res.StatusCode, raw, err)
			}
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			return got
		}
		for _, c := range []struct {
			key    string
			report []byte
			want   counts
		}{
			{"k-ports", opened, counts{"nmap", 1, 1, 0, 0}},
			{"k-ports", opened, counts{"nmap", 1, 0, 0, 0}},
			{"k-ports", closed, counts{"nmap", 0, 0, 1, 0}},
			{"k-ports", opened, counts{"nmap", 1, 0, 0, 1}},
			{"k-lint", broken, counts{"sarif", 2, 2, 0, 0}},
			{"k-lint", broken, counts{"sarif", 2, 0, 0, 0}},
			{"k-lint", mended, counts{"sarif", 0, 0, 2, 0}},
			{"k-code", unsafe, counts{"gosec", 2, 2, 0, 0}},
			{"k-code", unsafe, counts{"gosec", 2, 0, 0, 0}},
			{"k-code", safe, counts{"gosec", 0, 0, 2, 0}},
			{"k-secrets", leaked, counts{"gitleaks", 1, 1, 0, 0}},
			{"k-secrets", leaked, counts{"gitleaks", 1, 0, 0, 0}},
		} {
			if got := send(c.key, c.report); got != c.want {
				t.Errorf("%s: %+v, want %+v", c.key, got, c.want)
			}
		}
		if p := h.page("ana"); len(p.Data.Alerts) != 1 || !strings.Contains(p.Data.Alerts[0].Title, "Slack") {
			t.Errorf("the page tells of %+v", p.Data.Alerts)
		}
	})
}
