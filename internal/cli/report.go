package cli

import (
	"errors"
	"fmt"
	"io"

	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

var (
	errUnverified = errors.New("verification failed")
	// errPartly ends a verb that did some of what was asked and said so.
	errPartly = errors.New("partly done")
	// errFailed ends a verb that has said what is wrong.
	errFailed = errors.New("failed")
)

// report writes the error in the user's language and gives its exit code.
func report(err error, lang string, stderr io.Writer) int {
	if err == nil {
		return ExitOK
	}
	switch {
	case errors.Is(err, errUnverified):
		return ExitUnverified
	case errors.Is(err, errPartly):
		return ExitPartly
	case errors.Is(err, errFailed):
		return ExitFailed
	}
	var ke *kit.Error
	if !errors.As(err, &ke) {
		_, _ = fmt.Fprintln(stderr, "tocsin:", err)
		return ExitFailed
	}
	message, fields := i18n.Error(lang, err)
	_, _ = fmt.Fprintln(stderr, "tocsin:", message)
	for n, f := range fields {
		line := ""
		if n < len(ke.Fields) {
			if at, ok := ke.Fields[n].Args["line"]; ok {
				line = i18n.T(lang, "cli.error.line", map[string]any{"line": at}) + " "
			}
		}
		_, _ = fmt.Fprintf(stderr, "  %s%s: %s\n", line, f.Path, f.Message)
	}
	if ke.Code == kit.CodeInternal && ke.Err != nil {
		_, _ = fmt.Fprintln(stderr, "  "+ke.Err.Error())
	}
	return Code(ke.Code)
}

// Code is the exit code of an error code.
func Code(c kit.Code) int {
	switch c {
	case kit.CodeInvalid, kit.CodeMalformed:
		return ExitUsage
	case kit.CodeNotFound:
		return ExitNotFound
	case kit.CodeUnauthenticated, kit.CodeForbidden:
		return ExitNotAllowed
	case kit.CodeConflict, kit.CodeStale:
		return ExitConflict
	case kit.CodeBusy:
		return ExitUnreachable
	}
	return ExitFailed
}

// message is an error in one line, for a list of results.
func (r *run) message(err error) string {
	text, fields := i18n.Error(r.lang, err)
	for _, f := range fields {
		text += " " + f.Path + ": " + f.Message
	}
	return text
}
