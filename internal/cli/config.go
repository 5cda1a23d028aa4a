package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/term"

	"tocsin/internal/cli/client"
	"tocsin/internal/kit"
)

// otherwise is the server that is asked when none is named.
const otherwise = "http://127.0.0.1:8080"

// projectFile is looked for in the folder and those above it.
const projectFile = ".tocsin.yaml"

// config is a file of settings. A project file may name the server alone.
type config struct {
	Server    string `yaml:"server,omitempty"`
	TokenFile string `yaml:"token_file,omitempty"`
}

func xdg(variable, fallback string) string {
	dir := os.Getenv(variable)
	if !filepath.IsAbs(dir) {
		home, _ := os.UserHomeDir()
		dir = filepath.Join(home, fallback)
	}
	return filepath.Join(dir, "tocsin")
}

func configDir() string { return xdg("XDG_CONFIG_HOME", ".config") }
func stateDir() string  { return xdg("XDG_STATE_HOME", ".local/state") }

func readConfig(path string) (c config, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return config{}, nil
	}
	if err := yaml.UnmarshalWithOptions(raw, &c, yaml.Strict()); err != nil {
		return c, kit.Invalid("cli.error.config", "path", path, "problem", err.Error())
	}
	if c.TokenFile != "" && !filepath.IsAbs(c.TokenFile) {
		c.TokenFile = filepath.Join(filepath.Dir(path), c.TokenFile)
	}
	return c, nil
}

// project finds the settings of the project that the work folder is in.
func project() (config, error) {
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(dir, projectFile)
		if _, e := os.Stat(path); e == nil {
			return readConfig(path)
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return config{}, nil
}

// storedToken is where the token for a server is kept after tocsin login.
func storedToken(server string) string {
	sum := sha256.Sum256([]byte(strings.TrimRight(server, "/")))
	return filepath.Join(configDir(), "tokens", hex.EncodeToString(sum[:8]))
}

// target is the server and the token by flags, environment, project, user and
// system, in this order. A project is not trusted with a token: it may only choose
// among the servers that were signed in to.
func (r *run) target() (server, token string, err error) {
	user, err := readConfig(filepath.Join(configDir(), "config.yaml"))
	if err != nil {
		return "", "", err
	}
	system := config{}
	dirs := os.Getenv("XDG_CONFIG_DIRS")
	if dirs == "" {
		dirs = "/etc/xdg"
	}
	for _, dir := range filepath.SplitList(dirs) {
		if system, err = readConfig(filepath.Join(dir, "tocsin", "config.yaml")); err != nil {
			return "", "", err
		}
		if system != (config{}) {
			break
		}
	}
	server = strings.TrimRight(r.g.Server, "/")
	if server == "" {
		p, err := project()
		if err != nil {
			return "", "", err
		}
		if p.TokenFile != "" {
			return "", "", kit.Invalid("cli.error.project_token", "path", projectFile)
		}
		server = strings.TrimRight(p.Server, "/")
		if server != "" && server != strings.TrimRight(user.Server, "/") && server != strings.TrimRight(system.Server, "/") {
			if _, err := os.Stat(storedToken(server)); err != nil {
				return "", "", kit.Errorf(kit.CodeForbidden, "cli.error.project_server", "server", server)
			}
		}
	}
	for _, s := range []string{user.Server, system.Server, otherwise} {
		if server == "" {
			server = strings.TrimRight(s, "/")
		}
	}
	files := []string{r.g.TokenFile}
	if r.g.TokenFile == "" {
		if t := strings.TrimSpace(os.Getenv("TOCSIN_TOKEN")); t != "" {
			return server, t, nil
		}
		files = []string{storedToken(server)}
		for _, c := range []config{user, system} {
			if c.Server == "" || strings.TrimRight(c.Server, "/") == server {
				files = append(files, c.TokenFile)
			}
		}
	}
	for _, f := range files {
		if f == "" {
			continue
		}
		raw, err := os.ReadFile(f)
		if err == nil {
			return server, strings.TrimSpace(string(raw)), nil
		}
		if f != storedToken(server) {
			return "", "", kit.NotFound("file", f)
		}
	}
	return server, "", nil
}

func (r *run) client() (*client.Client, error) {
	if r.api != nil {
		return r.api, nil
	}
	server, token, err := r.target()
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, kit.Errorf(kit.CodeUnauthenticated, "cli.error.no_token", "server", server)
	}
	r.api, err = r.dial(server, token)
	return r.api, err
}

func (r *run) dial(server, token string) (*client.Client, error) {
	c, err := client.New(server, token)
	if err != nil {
		return nil, err
	}
	c.Agent = "tocsin/" + Version
	if r.g.Verbose {
		c.Trace = func(line string) { _, _ = fmt.Fprintln(r.s.Err, line) }
	}
	return c, nil
}

// login keeps a token for a server, after asking the server about it.
func (r *run) login(ctx context.Context) error {
	server, token, err := r.target()
	if err != nil && r.g.Server == "" {
		return err
	}
	if r.g.TokenFile == "" {
		if token, err = r.readToken(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	c, err := r.dial(server, token)
	if err != nil {
		return err
	}
	var me client.Me
	raw, err := c.Get(ctx, "/me", &me)
	if err != nil {
		return err
	}
	if err := writeFile(storedToken(server), []byte(token+"\n")); err != nil {
		return err
	}
	conf, err := yaml.Marshal(config{Server: server})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(configDir(), "config.yaml"), conf); err != nil {
		return err
	}
	return r.answer(raw, []string{server, me.Kind, me.ID, me.Name, me.Access}, func() {
		r.tell("cli.login.done", "server", server, "name", me.Name, "access", r.t("core.access."+me.Access))
		if me.Person() == "" {
			r.say("cli.login.nobody")
		}
	})
}

// maxToken is how long a token may be, in bytes.
const maxToken = 4096

func (r *run) readToken() (string, error) {
	var raw []byte
	var err error
	f, isFile := r.s.In.(*os.File)
	switch {
	case r.ask && isFile:
		_, _ = fmt.Fprint(r.s.Err, r.t("cli.login.ask")+" ")
		raw, err = term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(r.s.Err)
	default:
		raw, err = io.ReadAll(io.LimitReader(r.s.In, maxToken))
	}
	token := strings.TrimSpace(string(raw))
	if err != nil || token == "" || strings.ContainsAny(token, "\r\n") {
		return "", kit.Invalid("cli.error.token")
	}
	return token, nil
}

// writeFile writes a file that only its owner reads, whole or not at all.
func writeFile(path string, body []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
