package scan

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"tocsin/internal/finding"
)

func TestPortsOfAnotherScanAreNotFixed(t *testing.T) {
	body := load(t, filepath.Join("testdata", "own", "nmap-scripts.xml"))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	first := finding.Compare(nil, read(t, body, Hint{}), now)
	var states []finding.Known
	for _, f := range first.New {
		states = append(states, finding.Known{Key: f.Key, Tool: f.Tool, Target: f.Target, Location: f.Location, State: "open", SeenAt: first.At})
	}
	clean := load(t, filepath.Join("testdata", "own", "nmap-clean.xml"))
	if c := finding.Compare(states, read(t, clean, Hint{}), now); len(c.Fixed) != 4 {
		t.Errorf("the same ports: %+v", c)
	}
	narrow := bytes.ReplaceAll(clean, []byte("22,80-90"), []byte("22,443"))
	if c := finding.Compare(states, read(t, narrow, Hint{}), now); len(c.Fixed) != 1 || len(c.Unknown) != 3 {
		t.Errorf("other ports: %+v", c)
	}
}
