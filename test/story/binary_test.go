package story_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tocsin/internal/db/dbtest"
)

var built struct {
	once sync.Once
	path string
	out  []byte
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// binary builds the program, once for all stories.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "tocsin-story-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "tocsin")
		built.out, built.err = exec.Command("go", "build", "-o", built.path, "tocsin/cmd/tocsin").CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("build: %v\n%s", built.err, built.out)
	}
	return built.path
}

// run runs a verb of the program to its end and gives what it wrote and its exit code.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil {
		var exit *exec.ExitError
		if !errors.As(e, &exit) {
			t.Fatal(e)
		}
		code = exit.ExitCode()
	}
	return out.String(), err.String(), code
}

// program finds a program of another maker; where it is not installed the test is
// skipped, or fails when nothing may be.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		dbtest.Skip(t, "%s is not installed", name)
	}
	return path
}

// output is what a process wrote, safe to read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start starts a process that ends with the test.
func start(t *testing.T, name string, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	return startWith(t, nil, name, args...)
}

// startWith is start with more in the environment.
func startWith(t *testing.T, env []string, name string, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	log := &output{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(name), tail(log.String(), 4000))
		}
	})
	return cmd, log
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// server is the built program, serving.
type server struct {
	t    *testing.T
	addr string
	cmd  *exec.Cmd
	log  *output
}

// serve starts the built program and waits until it is ready. Pages may go to
// loopback.
func serve(t *testing.T, addr string, args ...string) *server {
	t.Helper()
	s := &server{t: t, addr: addr}
	s.cmd, s.log = start(t, binary(t), append([]string{"serve", "--listen", addr, "--base-url", "http://" + addr, "--outbound-allow", "127.0.0.0/8"}, args...)...)
	(&remote{t: t, base: "http://" + addr}).ready()
	return s
}

// kill ends the process as a power cut would.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.cmd.Wait()
}

// stop asks the process to end, which it must do cleanly within 10 s.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("ending: %v: %s", err, tail(s.log.String(), 4000))
	}
}

// freeAddr is an address of loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// remote is a server as its users reach it.
type remote struct {
	t           *testing.T
	base, token string
}

// ready waits until the server says that it is.
func (h *remote) ready() {
	h.t.Helper()
	h.eventually("ready", func() bool {
		r, err := http.Get(h.base + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// eventually waits for a condition, for at most 30 seconds.
func (h *remote) eventually(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	h.t.Fatalf("never came: %s", what)
}

// call asks the REST interface, decodes the answer into out and gives its status.
func (h *remote) call(method, path string, in, out any) int {
	h.t.Helper()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			h.t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, h.base+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return h.do(req, out)
}

func (h *remote) do(req *http.Request, out any) int {
	h.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if out != nil && len(raw) > 0 {
		if err := json.Unmarshal(raw, out); err != nil {
			h.t.Fatalf("%s %s: %d: %s", req.Method, req.URL.Path, resp.StatusCode, raw)
		}
	}
	return resp.StatusCode
}

// must is call with the status that is wanted.
func (h *remote) must(status int, method, path string, in, out any) {
	h.t.Helper()
	var raw json.RawMessage
	if got := h.call(method, path, in, &raw); got != status {
		h.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, raw)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			h.t.Fatalf("%s %s: %v: %s", method, path, err, raw)
		}
	}
}

// file is a small file of a test.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.TrimLeft(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
