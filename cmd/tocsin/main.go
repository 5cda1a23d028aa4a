// Command tocsin runs a company's incident response and business continuity.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"tocsin/internal/app"
	"tocsin/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], app.Actions{}, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
