package cli_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"tocsin/internal/cli"
	"tocsin/internal/cli/client"
	"tocsin/internal/kit"
)

type recorder struct {
	token cli.Token
	err   error
	v     cli.Verification
}

func (r *recorder) Serve(context.Context, cli.Serve, io.Writer) error { return r.err }
func (r *recorder) Demo(context.Context, cli.Demo, io.Writer) error   { return r.err }
func (r *recorder) CreateToken(_ context.Context, t cli.Token) (string, error) {
	r.token = t
	return "toc_secret", r.err
}

func (r *recorder) Apply(context.Context, cli.Apply, []byte) ([]kit.Change, error) {
	return []kit.Change{{Section: "people", ID: "ana", Op: "create"}, {Section: "people", ID: "paul", Op: "keep"}}, r.err
}

func (r *recorder) Export(context.Context, cli.Place) ([]byte, error) {
	return []byte("apiVersion: tocsin/v1\n"), r.err
}

func (r *recorder) ExportIncidents(_ context.Context, _ cli.Place, format string, w io.Writer) error {
	_, _ = io.WriteString(w, "incidents as "+format)
	return r.err
}

func (r *recorder) Import(_ context.Context, o cli.Import, name string, file []byte) (cli.Imported, error) {
	return cli.Imported{Source: o.As, Created: len(file), Conflicts: len(o.Map)}, r.err
}

func (r *recorder) Witness(context.Context, cli.Witness, *client.Client, string, io.Writer) error {
	return r.err
}

func (r *recorder) Verify(context.Context, cli.Place, string) (cli.Verification, error) {
	return r.v, r.err
}

func (r *recorder) Backup(context.Context, cli.Place, string) (cli.Verification, error) {
	return r.v, r.err
}

func (r *recorder) Restore(context.Context, string, cli.Place) (cli.Verification, error) {
	return r.v, r.err
}

func (r *recorder) LoginLink(context.Context, cli.Place, string, string) (string, error) {
	return "http://127.0.0.1:8080/login/x", r.err
}

func (r *recorder) MigrateData(context.Context, cli.Place, cli.Place) (cli.Verification, error) {
	return r.v, r.err
}

func TestExitCodesAndOutput(t *testing.T) {
	t.Setenv("LANG", "en_GB.UTF-8")
	t.Setenv("LC_ALL", "")
	broken := cli.Verification{What: "journal", Facts: 3, Problems: []string{"fact 2 was changed: its body does not have its digest"}}
	cases := []struct {
		name        string
		args        string
		r           recorder
		code        int
		stdout, err string
	}{
		{"no verb", "", recorder{}, 0, "Incident response", ""},
		{"typo", "verfiy", recorder{}, 2, "", `Did you mean "verify"?`},
		{"nonsense", "xyzzyxyzzy", recorder{}, 2, "", "no verb"},
		{"unknown flag", "verify --fast", recorder{}, 2, "", "unknown flag"},
		{"token", "token create --name ci --role responder --scope incidents:write,alerts:read --expires 30d", recorder{}, 0, "toc_secret\n", ""},
		{"token without name", "token create --role admin", recorder{}, 2, "", "--name"},
		{"token with a bad life", "token create --name x --role admin --expires soon", recorder{}, 2, "", "expires"},
		{"apply", "apply -f cli_test.go", recorder{}, 0, "create  people ana", "1 to create, 0 to change, 0 to remove, 1 as they are: applied"},
		{"apply what is not there", "apply -f none.yaml", recorder{}, 3, "", "tocsin:"},
		{"apply a bad file", "apply -f cli_test.go", recorder{err: kit.InvalidField("people[0].id", "error.required", "line", 4)}, 2, "", "line 4: people[0].id"},
		{"export all incidents", "export --incidents csv", recorder{}, 0, "incidents as csv", ""},
		{"export of nothing", "export", recorder{}, 2, "", "missing flags"},
		{"export of two things", "export --config --incidents csv", recorder{}, 2, "", "--incidents"},
		{"import", "import testdata/Old_Tracker.csv", recorder{}, 0, "old-tracker: 20 created", ""},
		{"import with conflicts", "import testdata/Old_Tracker.csv --as mine --map title=a", recorder{}, 8, "mine: 20 created", "--replace"},
		{"import of nothing", "import nowhere.csv", recorder{}, 3, "", "nowhere.csv"},
		{"export", "export --config", recorder{}, 0, "apiVersion", ""},
		{"verify", "verify", recorder{v: cli.Verification{What: "journal", Facts: 12, Root: "7f3c000000a1"}}, 0, "12 entries", ""},
		{"verify broken", "verify", recorder{v: broken}, 7, "fact 2 was changed", ""},
		{"not allowed", "backup", recorder{err: kit.Forbidden("backup.make", "admin")}, 4, "", "tocsin:"},
		{"not found", "verify copy.db", recorder{err: kit.NotFound("file", "copy.db")}, 3, "", "tocsin:"},
		{"conflict", "backup --to here.db", recorder{err: kit.Conflict("exists", "error.file_exists", "path", "here.db")}, 5, "", "already exists"},
		{"version", "version", recorder{}, 0, "tocsin ", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out, err bytes.Buffer
			code := cli.Run(context.Background(), strings.Fields(c.args), &c.r, &out, &err)
			if code != c.code || !strings.Contains(out.String(), c.stdout) || !strings.Contains(err.String(), c.err) {
				t.Errorf("code %d, want %d\nstdout: %s\nstderr: %s", code, c.code, out.String(), err.String())
			}
			if c.name == "token" && (c.r.token.Life != 30*24*time.Hour || len(c.r.token.Scope) != 2 || out.String() != c.stdout) {
				t.Errorf("token %+v", c.r.token)
			}
		})
	}
}
