//go:build !race

// The race detector uses memory of its own, so that its limit is not ours.

package scan

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// bigSARIF writes a SARIF report of about size bytes, results before rules, as a
// tool would stream it.
func bigSARIF(w io.Writer, size int) (results int) {
	b := bufio.NewWriterSize(w, 1<<16)
	defer b.Flush()
	written, _ := fmt.Fprint(b, `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"results":[`)
	flow := strings.Repeat(`{"location":{"physicalLocation":{"artifactLocation":{"uri":"src/flow.go"},"region":{"startLine":7}}}},`, 4)
	for written < size-4_000 {
		sep := ","
		if results == 0 {
			sep = ""
		}
		n, _ := fmt.Fprintf(b, `%s{"ruleId":"R%d","ruleIndex":%d,"level":"warning","message":{"text":"The value of parameter p%d reaches a query without a check in handler %d."},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"src/pkg%d/file%d.go"},"region":{"startLine":%d,"startColumn":3,"snippet":{"text":"db.Query(p%d)"}}}}],"codeFlows":[{"threadFlows":[{"locations":[%s]}]}]}`,
			sep, results%40, results%40, results, results, results%97, results, results%900+1, results, strings.TrimSuffix(flow, ","))
		written += n
		results++
	}
	fmt.Fprint(b, `],"tool":{"driver":{"name":"Big","version":"1","rules":[`)
	for i := range 40 {
		if i > 0 {
			fmt.Fprint(b, ",")
		}
		fmt.Fprintf(b, `{"id":"R%d","shortDescription":{"text":"Rule %d"},"properties":{"tags":["security","external/cwe/cwe-%03d"]}}`, i, i, i+20)
	}
	fmt.Fprint(b, `]}}}]}`)
	return results
}

// readBig reads a report of 30 MB as it comes from a pipe, and gives the most
// memory that was in use beyond what was before.
func readBig(t testing.TB) (r Report, results int, peak uint64) {
	t.Helper()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
			}
		}
	}()
	pr, pw := io.Pipe()
	told := make(chan int, 1)
	go func() {
		told <- bigSARIF(pw, 30<<20)
		pw.Close()
	}()
	r, err := Read(pr, Hint{})
	if err != nil {
		t.Fatal(err)
	}
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	close(stop)
	<-stopped
	return r, <-told, max(most.Load(), after.HeapAlloc) - before.HeapAlloc
}

// TestBigReport holds the reader to less memory than twice the report.
func TestBigReport(t *testing.T) {
	if testing.Short() {
		t.Skip("30 MB")
	}
	r, results, peak := readBig(t)
	if r.Verdict != Findings || len(r.Findings) != results || r.Partial {
		t.Fatalf("%s, %d of %d findings", r.Verdict, len(r.Findings), results)
	}
	t.Logf("%d findings, %.1f MiB", results, float64(peak)/(1<<20))
	if peak > 64<<20 {
		t.Errorf("%.1f MiB in use", float64(peak)/(1<<20))
	}
	for _, f := range r.Findings {
		if len(f.CWE) != 1 || !strings.HasPrefix(f.Title, "Rule ") {
			t.Fatalf("a rule that came after its results is lost: %+v", f)
		}
	}
}

func BenchmarkSARIF(b *testing.B) {
	b.SetBytes(30 << 20)
	var most uint64
	for b.Loop() {
		_, _, peak := readBig(b)
		most = max(most, peak)
	}
	b.ReportMetric(float64(most)/(1<<20), "peak-MiB")
}
