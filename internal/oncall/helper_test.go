package oncall

import (
	"errors"
	"testing"

	"tocsin/internal/kit"
)

func wantField(t *testing.T, err error, path string) {
	t.Helper()
	var e *kit.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 || e.Fields[0].Path != path {
		t.Errorf("error %v, want field %s", err, path)
	}
}
