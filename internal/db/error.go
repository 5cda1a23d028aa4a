package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"tocsin/internal/kit"
)

// MapError turns a driver's error into the one error type: a violated unique key
// is a conflict, a full disk, a lost or an overloaded database is busy. Errors
// that are already of that type, sql.ErrNoRows and context errors pass unchanged.
func MapError(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var ke *kit.Error
	if errors.As(err, &ke) {
		return err
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return &kit.Error{Code: kit.CodeConflict, Key: "error.exists", Reason: "exists", Err: err}
		}
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return &kit.Error{Code: kit.CodeBusy, Key: "error.disk_full", Reason: "disk_full", RetryAfter: 30, Err: err}
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return &kit.Error{Code: kit.CodeBusy, Key: "error.database_busy", Reason: "database_busy", RetryAfter: 1, Err: err}
		case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return &kit.Error{Code: kit.CodeBusy, Key: "error.database_gone", Reason: "database_gone", RetryAfter: 5, Err: err}
		}
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch {
		case pe.Code == "23505":
			return &kit.Error{Code: kit.CodeConflict, Key: "error.exists", Reason: "exists", Err: err}
		case pe.Code == "53100":
			return &kit.Error{Code: kit.CodeBusy, Key: "error.disk_full", Reason: "disk_full", RetryAfter: 30, Err: err}
		case strings.HasPrefix(pe.Code, "53"), pe.Code == "40001", pe.Code == "40P01", pe.Code == "55P03":
			return &kit.Error{Code: kit.CodeBusy, Key: "error.database_busy", Reason: "database_busy", RetryAfter: 1, Err: err}
		case strings.HasPrefix(pe.Code, "57P"), strings.HasPrefix(pe.Code, "08"), pe.Code == "25006":
			return &kit.Error{Code: kit.CodeBusy, Key: "error.database_gone", Reason: "database_gone", RetryAfter: 5, Err: err}
		}
	}
	var ce *pgconn.ConnectError
	var ne net.Error
	if errors.As(err, &ce) || errors.As(err, &ne) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "conn closed") {
		return &kit.Error{Code: kit.CodeBusy, Key: "error.database_gone", Reason: "database_gone", RetryAfter: 5, Err: err}
	}
	return kit.Internal(err)
}

// IsUnique tells whether the error is a violated unique key.
func IsUnique(err error) bool {
	var e *kit.Error
	return errors.As(MapError(err), &e) && e.Reason == "exists"
}

// ended tells whether the server had ended the connection before it was used.
func ended(err error) bool {
	var pe *pgconn.PgError
	var ce *pgconn.ConnectError
	switch {
	case err == nil || errors.As(err, &ce):
		return false
	case errors.As(err, &pe):
		return pe.Code == "57P01"
	}
	return pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func retryable(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01")
}
