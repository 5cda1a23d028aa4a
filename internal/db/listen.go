package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Listen calls a handler for each notification on its channel (the keys), and
// every handler once after each connection, since what was said meanwhile is
// lost. It keeps one connection of its own beside the pools, which must be direct:
// a proxy that pools transactions cannot carry it. It returns when the context
// ends, and at once on SQLite.
func (d *DB) Listen(ctx context.Context, channels map[string]func(payload string)) error {
	if d.dialect != PostgreSQL {
		return nil
	}
	for ctx.Err() == nil {
		if err := d.listenOnce(ctx, channels); err != nil && ctx.Err() == nil {
			d.log.Warn("listener lost its connection; rows are swept each second until it is back", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

func (d *DB) listenOnce(ctx context.Context, channels map[string]func(string)) error {
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for name := range channels {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
			return err
		}
	}
	for _, handle := range channels {
		handle("")
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if handle, ok := channels[n.Channel]; ok {
			handle(n.Payload)
		}
	}
}
