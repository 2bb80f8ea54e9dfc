package renderconfig_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pgtest"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/pooler/pgcat/config"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/renderconfig"
)

// odd has what breaks quoting in TOML, in YAML or in both, and a character outside of the first plane.
const odd = "s3cret \"'\\ #: {{x}} ${Y} \u0085\u2028\ufeff\x7f\tü🐘 "

func put(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// run is the command line, as a shell would give it.
func run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	app := &cli.App{Name: "failover", Writer: &b, ErrWriter: &b, Commands: []*cli.Command{renderconfig.Command()}, ExitErrHandler: func(*cli.Context, error) {}}
	err := app.RunContext(t.Context(), append([]string{"failover", "render-config"}, args...))
	if err == nil {
		return b.String(), 0
	}
	b.WriteString(err.Error())
	if exit, ok := err.(cli.ExitCoder); ok { //nolint:errorlint // as cli gives it
		return b.String(), exit.ExitCode()
	}
	return b.String(), 3
}

func clean(t *testing.T, toml string) {
	t.Helper()
	for _, f := range lint.Lint([]byte(toml), lint.Options{Outage: 10 * time.Second}) {
		assert.Equal(t, lint.Info, f.Severity, "%s: %s\n%s", f.Rule, f.Message, toml)
	}
}

func TestWhatIsRenderedIsWhatWasAskedFor(t *testing.T) {
	user, password, admin := put(t, "app\n"), put(t, odd), put(t, odd)
	out, code := run(t, "-e", "db-a.example.com:5433", "-e", "db-b.example.com", "--database", "shop.eu", "--username-file", user,
		"--password-file", password, "--admin-password-file", admin, "--pool-size", "7", "--connect-timeout", "2s", "--autoreload", "0s", "--min-pool-size", "0")
	require.Zero(t, code, out)
	clean(t, out)
	c, err := config.Parse([]byte(out))
	require.NoError(t, err)
	assert.Equal(t, odd, c.General.AdminPassword)
	assert.Equal(t, 2000, c.General.ConnectTimeout)
	assert.Zero(t, c.General.Autoreload)
	assert.Equal(t, []config.Pool{{Name: "shop.eu", PoolMode: "transaction", DefaultShard: "random_healthy", LoadBalancingMode: "random",
		Users: []config.User{{Username: "app", Password: odd, PoolSize: 7}},
		Shards: []config.Shard{
			{Index: 0, Database: "shop.eu", Servers: []config.Server{{Host: "db-a.example.com", Port: 5433, Role: "primary"}}},
			{Index: 1, Database: "shop.eu", Servers: []config.Server{{Host: "db-b.example.com", Port: 5432, Role: "primary"}}},
		}}}, c.Pools)
}

func TestTheSecretHoldsTheSame(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret.yaml")
	values := put(t, "{endpoints: [a, b, c], database: app, poolSize: 9, connectTimeout: 4s}")
	args := []string{"--values", values, "--username-file", put(t, "app"), "--password-file", put(t, odd), "--output", "secret", "-n", "shop", "--out", file, "--pool-size", "8"}
	out, code := run(t, args...)
	require.Zero(t, code, out)
	assert.Empty(t, out)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds passwords")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var secret corev1.Secret
	require.NoError(t, yaml.UnmarshalStrict(text, &secret))
	assert.Equal(t, metav1.ObjectMeta{Name: "argo-pgcat-config", Namespace: "shop", Labels: map[string]string{"app": "pgcat", "app.kubernetes.io/part-of": "pgcat-failover"}}, secret.ObjectMeta)
	assert.Equal(t, odd, secret.StringData["password"])
	toml := secret.StringData["pgcat.toml"]
	clean(t, toml)
	assert.Contains(t, toml, "# The failover:", "comments stay")
	c, err := config.Parse([]byte(toml))
	require.NoError(t, err)
	assert.Equal(t, odd, c.Pools[0].Users[0].Password)
	assert.Equal(t, 8, c.Pools[0].Users[0].PoolSize, "a flag goes over the values")
	assert.Equal(t, 4000, c.General.ConnectTimeout)
	assert.GreaterOrEqual(t, len(c.General.AdminPassword), 20, "a random one")
}

func TestASecretIsRenderedAgainWithItsOwnCredentials(t *testing.T) {
	cluster := &kube.Cluster{Namespace: "n", Client: fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n"},
		Data: map[string][]byte{"username": []byte("u"), "password": []byte("p"), "pgcat.toml": []byte("[general]\nadmin_password = \"old\"\n")}})}
	cfg := renderconfig.Defaults()
	cfg.Endpoints, cfg.Database = []string{"a:1"}, "app"
	var out, warnings bytes.Buffer
	deps := renderconfig.Deps{Out: &out, Err: &warnings, Cluster: cluster}
	require.NoError(t, renderconfig.Run(t.Context(), cfg, renderconfig.Source{Secret: "s"}, renderconfig.Target{}, deps))
	assert.Empty(t, warnings.String())
	c, err := config.Parse(out.Bytes())
	require.NoError(t, err)
	assert.Equal(t, "old", c.General.AdminPassword)
	assert.Equal(t, "shard_0", c.Pools[0].DefaultShard, "with one endpoint there is nothing to choose")
	require.ErrorContains(t, renderconfig.Run(t.Context(), cfg, renderconfig.Source{Secret: "x"}, renderconfig.Target{}, deps), "read Secret n/x: it is not there")
}

func TestBadInputIsRefusedAndNothingWritten(t *testing.T) {
	user, password := put(t, "app"), put(t, "s3cret")
	good := []string{"-e", "a:1", "-d", "app", "--username-file", user, "--password-file", password}
	for _, tc := range []struct {
		story string
		args  []string
		says  string
	}{
		{"no credentials", []string{"-e", "a:1", "-d", "app"}, "want --username-file and --password-file, or --from-secret"},
		{"no endpoint", []string{"-d", "app", "--username-file", user, "--password-file", password}, "at least one endpoint"},
		{"no database", []string{"-e", "a:1", "--username-file", user, "--password-file", password}, "want --database"},
		{"an endpoint that is none", append([]string{"-e", "a:x"}, good...), `endpoint "a:x"`},
		{"a URL", append([]string{"-e", "postgres://a"}, good...), "want host:port"},
		{"an empty password", append(good, "--password-file", put(t, "\n")), "is empty"},
		{"two lines", append(good, "--password-file", put(t, "s3cret\nb")), "not one line"},
		{"a file that is not there", append(good, "--admin-password-file", "/nowhere"), "no such file"},
		{"a password as an argument", append(good, "s3cret-argument"), "come by flags"},
		{"values with a slip", append(good, "--values", put(t, "poolsize: 3\ndatabse: x")), "databse"},
		{"what PgCat refuses", append(good, "--metrics-port", "40000"), "wrong-type"},
		{"what PgCat panics on", append(good, "--connect-timeout", "0s"), "zero-panics"},
		{"a mode that is none", append(good, "--pool-mode", "statement"), "unknown-value"},
		{"an output that is none", append(good, "--output", "json"), "toml or secret"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			out, code := run(t, tc.args...)
			assert.Equal(t, 2, code, out)
			assert.Contains(t, out, tc.says)
			assert.NotContains(t, out, "[general]")
		})
	}
}

func TestWhatCostsClientsInAFailoverIsWarnedOf(t *testing.T) {
	out, code := run(t, "-e", "a:1", "-e", "b:1", "-d", "app", "--username-file", put(t, "u"), "--password-file", put(t, "p"), "--default-shard", "shard_0")
	assert.Zero(t, code)
	assert.Contains(t, out, "warning: pool app sends everything to shard_0: it never fails over [default-shard-fixed]")
}

// The real PgCat takes the file, logs in the client with an odd password, and goes over to the endpoint that is up.
func TestARealPgCatServesWithIt(t *testing.T) {
	for _, bin := range []string{"pgcat", "pgcat-head"} {
		t.Run(bin, func(t *testing.T) {
			if _, err := exec.LookPath(bin); err != nil {
				t.Skipf("skipped: no %s on PATH", bin)
			}
			pg, err := pgtest.Start()
			if errors.Is(err, pgtest.ErrNoPostgres) {
				t.Skip("skipped: ", err)
			}
			require.NoError(t, err)
			t.Cleanup(pg.Stop)
			// The odd password is between the client and PgCat; the server is not to mind it.
			hba, err := pg.Ask("postgres", "SHOW hba_file")
			require.NoError(t, err)
			require.NoError(t, pg.Exec("postgres", "COPY (SELECT 'host all all all trust') TO '"+hba+"'"))
			require.NoError(t, pg.Exec("postgres", "SELECT pg_reload_conf()"))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			addr := l.Addr().String()
			require.NoError(t, l.Close())
			_, port, _ := strings.Cut(addr, ":")
			file := filepath.Join(t.TempDir(), "pgcat.toml")
			out, code := run(t, "-e", pg.Address(), "-e", "127.0.0.2:1", "-d", "postgres", "--username-file", put(t, "postgres"), "--password-file", put(t, odd),
				"--port", port, "--connect-timeout", "500ms", "--out", file)
			require.Zero(t, code, out)
			cmd := exec.Command(bin, file)
			require.NoError(t, cmd.Start())
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			login := pgcat.Login{Addr: addr, Database: "postgres", User: "postgres", Password: odd}
			require.Eventually(t, func() bool {
				answer, err := login.Ask(t.Context(), -1, "SELECT 1")
				return err == nil && answer == "1"
			}, 20*time.Second, 100*time.Millisecond)
			login.Password = "other"
			_, err = login.Ask(t.Context(), -1, "SELECT 1")
			require.Error(t, err, "only this password")
		})
	}
}
