//go:build crashpoints

package kit

import (
	"os"
	"syscall"
)

// CrashPoint ends the process as a power cut would at the place that TOCSIN_CRASH_AT
// names.
func CrashPoint(name string) {
	if os.Getenv("TOCSIN_CRASH_AT") == name {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
