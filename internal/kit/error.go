package kit

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the machine-readable class of an error. Edges map it to an HTTP
// status, an exit code of the command line or a form error, each in one table.
type Code string

// The error codes of the public contract.
const (
	CodeInvalid              Code = "invalid"
	CodeMalformed            Code = "malformed"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeForbidden            Code = "forbidden"
	CodeNotFound             Code = "not_found"
	CodeConflict             Code = "conflict"
	CodeStale                Code = "stale"
	CodePreconditionRequired Code = "precondition_required"
	CodeTooLarge             Code = "too_large"
	CodeUnsupported          Code = "unsupported"
	CodeBusy                 Code = "busy"
	CodeInternal             Code = "internal"
)

// Field is what is wrong with one field of the input. Path is written as the
// sender wrote it ("schedules[0].rotations[1].people"), Key names the message
// in the catalogues, Args fill it.
type Field struct {
	Path string
	Key  string
	Args map[string]any
}

// Error is the only error type that leaves a module. Key names a message of the
// catalogues that is safe to show to anybody; Err is for the log alone.
type Error struct {
	Code   Code
	Key    string
	Args   map[string]any
	Fields []Field
	// Reason is a stable word for programs, such as "review_not_approved".
	Reason string
	// RetryAfter, in seconds, goes with CodeBusy.
	RetryAfter int
	Err        error
}

// Error describes the error for the log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	if len(e.Args) > 0 {
		fmt.Fprintf(&b, " %v", e.Args)
	}
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Path, f.Key)
		if len(f.Args) > 0 {
			fmt.Fprintf(&b, " %v", f.Args)
		}
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a code with the message key and its arguments, given
// as pairs of name and value.
func Errorf(code Code, key string, pairs ...any) *Error {
	return &Error{Code: code, Key: key, Args: argsOf(pairs)}
}

// Invalid is an error about the input as a whole.
func Invalid(key string, pairs ...any) *Error { return Errorf(CodeInvalid, key, pairs...) }

// InvalidField is an error about one field of the input.
func InvalidField(path, key string, pairs ...any) *Error {
	return &Error{Code: CodeInvalid, Key: "error.invalid", Fields: []Field{{Path: path, Key: key, Args: argsOf(pairs)}}}
}

// NotFound says that there is no such thing, or that the actor may not know of it.
func NotFound(kind, id string) *Error {
	return Errorf(CodeNotFound, "error.not_found", "kind", kind, "id", id)
}

// Forbidden says that the right for a use case is missing and who has it.
func Forbidden(use string, who string) *Error {
	return Errorf(CodeForbidden, "error.forbidden", "use", use, "who", who)
}

// Conflict says that the present state forbids the command; reason is a stable word.
func Conflict(reason, key string, pairs ...any) *Error {
	e := Errorf(CodeConflict, key, pairs...)
	e.Reason = reason
	return e
}

// Internal hides a cause behind a neutral message.
func Internal(err error) *Error {
	return &Error{Code: CodeInternal, Key: "error.internal", Err: err}
}

// CodeOf gives the code of an error; an error that is not of this package is internal.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// AsError gives the error as an *Error, wrapping a foreign one as internal.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}

// Fields collects what is wrong with an input, so that one answer names all of it.
type Fields []Field

// Add notes one more wrong field.
func (f *Fields) Add(path, key string, pairs ...any) {
	*f = append(*f, Field{Path: path, Key: key, Args: argsOf(pairs)})
}

// Err is nil when nothing is wrong.
func (f Fields) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Key: "error.invalid", Fields: f}
}

func argsOf(pairs []any) map[string]any {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}
