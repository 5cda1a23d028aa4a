//go:build !crashpoints

package kit

// CrashPoint names a place at which a test ends the process as a power cut would. It does
// nothing unless the program was built with the tag crashpoints.
func CrashPoint(string) {}
