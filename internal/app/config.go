// Package app joins the modules: it opens the house, says in reactions.go which
// fact makes which module do what, and serves the edges. Nothing else imports
// modules together.
package app

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"tocsin/internal/kit"
)

// Config says how to run.
type Config struct {
	// Data is the folder of the installation.
	Data string
	// Database is "sqlite" or postgres://….
	Database string
	// Listen is the address to serve; port 0 chooses one.
	Listen string
	// SMTPListen is the address to take mail on; empty takes none.
	SMTPListen string
	// BaseURL is how people reach the product, without a slash at the end; empty
	// means http:// and the address listened on.
	BaseURL string
	// OutboundAllow are the private networks that outgoing requests may reach.
	OutboundAllow []netip.Prefix
	// SecretKeyFile holds 32 bytes in base64 that encrypt secrets at rest.
	SecretKeyFile string
	// Checkpoints is the folder that signed checkpoints of the ledger are written to;
	// empty means checkpoints in the data folder.
	Checkpoints string
	// SignOfLife is the URL that hears each minute that pages leave in time; empty is none.
	SignOfLife string
	// SelfTest is the person for whom a test alarm is raised each day; empty is nobody.
	SelfTest string
	// NoMigrate refuses an old schema.
	NoMigrate bool
	// Demo keeps messages in the local viewer instead of sending them.
	Demo bool
	// Node names this process among several on one database.
	Node string
	// Clock is the time; nil means the machine's.
	Clock kit.Clock
	// Log is where trouble is told; nil means slog.Default.
	Log *slog.Logger
}

func (c *Config) fill() error {
	if c.Data == "" {
		c.Data = "tocsin-data"
	}
	if c.Checkpoints == "" {
		c.Checkpoints = filepath.Join(c.Data, "checkpoints")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.Clock == nil {
		c.Clock = kit.SystemClock{}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	if c.BaseURL != "" {
		u, err := url.Parse(c.BaseURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("base URL %q: want http://… or https://…", c.BaseURL)
		}
	}
	if c.SignOfLife != "" {
		u, err := url.Parse(c.SignOfLife)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("sign of life: want http://… or https://…")
		}
	}
	return nil
}

// secretKey reads the key that encrypts secrets at rest; nil when none is set.
func (c *Config) secretKey() ([]byte, error) {
	if c.SecretKeyFile == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(c.SecretKeyFile)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("secret key %s: want 32 bytes in base64", c.SecretKeyFile)
	}
	return key, nil
}
