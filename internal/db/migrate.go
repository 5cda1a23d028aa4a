package db

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

func (d *DB) migrate(ctx context.Context, refuse bool) error {
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	// Each module numbers its migrations in a range of its own, so that a newer one
	// may have a smaller number than one that has run.
	opts := []goose.ProviderOption{goose.WithSlog(d.log), goose.WithVerbose(false), goose.WithAllowOutofOrder(true)}
	if d.dialect == PostgreSQL {
		dialect, folder = goose.DialectPostgres, "migrations/postgres"
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	sub, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, d.write.DB, sub, opts...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("schema version: %w", MapError(err))
	}
	if current > target {
		return fmt.Errorf("the database has schema %d, newer than this program's %d: start a newer tocsin", current, target)
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return fmt.Errorf("migrations: %w", MapError(err))
	}
	if !pending {
		return nil
	}
	if refuse {
		return fmt.Errorf("the database has schema %d and lacks migrations up to %d that this program needs: start without --migrate=false to bring it up to date", current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		var pe *goose.PartialError
		if errors.As(err, &pe) {
			return fmt.Errorf("migration %s failed: %w", pe.Failed.Source.Path, pe.Err)
		}
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}
