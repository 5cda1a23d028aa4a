package bench_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkBinary builds the program as the Makefile does and measures its size, the
// time from its start to the first 200 of /readyz on a folder that is new and on one
// that is there, and its memory after ten idle seconds.
func BenchmarkBinary(b *testing.B) {
	path := filepath.Join(b.TempDir(), "tocsin")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "tocsin/cmd/tocsin").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	const starts = 5
	for b.Loop() {
		report(b, "binary-MB", float64(info.Size())/1e6, 60)
		var fresh, existing []time.Duration
		data := b.TempDir()
		for i := range starts {
			cmd, took := launch(b, path, filepath.Join(data, strconv.Itoa(i)))
			end(b, cmd)
			fresh = append(fresh, took)
		}
		for range starts {
			cmd, took := launch(b, path, filepath.Join(data, "0"))
			end(b, cmd)
			existing = append(existing, took)
		}
		report(b, "start-fresh-ms", ms(quantile(fresh, 0.5)), 150)
		report(b, "start-existing-ms", ms(quantile(existing, 0.5)), 150)
		stay, _ := launch(b, path, filepath.Join(data, "0"))
		time.Sleep(10 * time.Second)
		report(b, "idle-rss-MB", resident(b, stay.Process.Pid, "VmRSS"), 45)
		b.ReportMetric(resident(b, stay.Process.Pid, "RssAnon"), "idle-heap-MB")
		end(b, stay)
	}
}

// launch starts the program and returns when it is ready.
func launch(b *testing.B, path, data string) (*exec.Cmd, time.Duration) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	var log bytes.Buffer
	cmd := exec.Command(path, "serve", "--data", data, "--listen", addr)
	cmd.Stdout, cmd.Stderr = &log, &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	for {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return cmd, time.Since(begin)
			}
		}
		if time.Since(begin) > 20*time.Second {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			b.Fatalf("not ready:\n%s", log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func end(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}

// resident is the memory that a process holds, in megabytes: all of it (VmRSS), which
// counts the pages of the program's own file too, or what is its own (RssAnon).
func resident(b *testing.B, pid int, name string) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("no /proc on this machine")
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1000
		}
	}
	b.Fatalf("no %s", name)
	return 0
}
