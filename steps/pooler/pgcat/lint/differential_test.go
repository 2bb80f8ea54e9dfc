//go:build differential

package lint_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat/lint"
)

// The real PgCats, by their names on PATH; one that is not there is skipped.
var real = map[lint.Release]string{lint.V120: "pgcat", lint.Head: "pgcat-head"}

const started = 0

// start runs PgCat on a file until it exits, which gives its exit code, or has built its pools and lived on for a
// moment, which gives started.
func start(t *testing.T, release lint.Release, src string) int {
	t.Helper()
	bin, err := exec.LookPath(real[release])
	if err != nil {
		t.Skipf("skipped: no %s on PATH", real[release])
	}
	path := filepath.Join(t.TempDir(), "pgcat.toml")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(src, "6432", port(t))), 0o600))
	cmd := exec.Command(bin, "--no-color", path)
	log, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "Config autoreloader:") { // src/main.rs:166, after the pools
				late.Reset(300 * time.Millisecond)
			}
		}
	}()
	<-ended
	_ = cmd.Wait()
	if cmd.ProcessState.Exited() {
		return cmd.ProcessState.ExitCode()
	}
	return started
}

func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// What the rules say of PgCat's start is what PgCat does: the exit code of the worst finding, or none.
func TestRealPgCatStartsOrExitsAsTheRulesSay(t *testing.T) {
	for _, tc := range cases {
		for release := range real {
			if tc.opt.Release != lint.Either && tc.opt.Release != release {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%s", release, tc.rule, tc.story), func(t *testing.T) {
				src := tc.in.String()
				opt := tc.opt
				opt.Release = release
				want := []int{}
				for _, f := range lint.Lint([]byte(src), opt) {
					if f.Exit != 0 {
						want = append(want, f.Exit)
					}
					if f.Rule == "min-pool-size-validated" || f.Rule == "exporter-port-clash" { // no server is there in this test
						want = append(want, 78)
					}
				}
				if len(want) == 0 || tc.rule == "exporter-port-clash" { // which is chance
					want = append(want, started)
				}
				assert.Contains(t, want, start(t, release, src), src)
			})
		}
	}
}

func TestRealPgCatStartsWithOddForms(t *testing.T) {
	for story, f := range accepted {
		for release := range real {
			t.Run(fmt.Sprintf("%s/%s", release, story), func(t *testing.T) {
				assert.Equal(t, started, start(t, release, f.String()), f)
			})
		}
	}
}

func TestRealPgCatStartsWithItsOwnSamples(t *testing.T) {
	for dir, release := range map[string]lint.Release{"v1.2.0": lint.V120, "head": lint.Head} {
		for _, name := range []string{"pgcat.toml", "docker.toml"} {
			t.Run(dir+"/"+name, func(t *testing.T) {
				src, err := os.ReadFile(filepath.Join("testdata/samples", dir, name))
				require.NoError(t, err)
				// Its servers are not there: with min_pool_size it would not start, as the rule says.
				assert.Equal(t, started, start(t, release, strings.ReplaceAll(string(src), "min_pool_size", "# min_pool_size")))
			})
		}
	}
}

// Every key of the table is read by the releases it is said to be read by, and by no other: a value of the wrong type
// makes PgCat exit 78 where it reads the key, and nothing where it does not.
func TestRealPgCatReadsTheKeysOfTheTable(t *testing.T) {
	for _, k := range append(lint.Keys(), lint.Known{In: "[general]", Name: "zzz", Since: "never", Wrong: int64(1)},
		lint.Known{In: "[pools.<name>.shards.<n>]", Name: "connect_timeout", Since: "never", Wrong: "x"},
		lint.Known{In: "[pools.<name>]", Name: "pool_size", Since: "never", Wrong: "x"}) {
		for release := range real {
			t.Run(fmt.Sprintf("%s/%s/%s", release, k.In, k.Name), func(t *testing.T) {
				want := 78
				if k.Since == "never" || k.Since == lint.Head && release == lint.V120 {
					want = started
				}
				assert.Equal(t, want, start(t, release, with(t, k)))
			})
		}
	}
}

// with is a whole config with one value of a wrong type in it.
func with(t *testing.T, k lint.Known) string {
	t.Helper()
	type table = map[string]any
	sections := map[string]table{
		"[general]":                       {"host": "127.0.0.1", "port": 6432, "admin_username": "a", "admin_password": "b"},
		"[pools.<name>]":                  {"query_parser_enabled": true},
		"[pools.<name>.users.<n>]":        {"username": "u", "password": "p", "pool_size": 1},
		"[pools.<name>.shards.<n>]":       {"database": "app"},
		"an entry of servers":             {"host": "127.0.0.1", "port": 1, "role": "primary"},
		"an entry of mirrors":             {"host": "127.0.0.1", "port": 1, "mirroring_target_index": 0},
		"[plugins]":                       {},
		"[plugins.intercept]":             {"enabled": false},
		"[plugins.intercept.queries.<n>]": {"query": "q", "schema": [][]string{}, "result": [][]string{}},
		"[plugins.table_access]":          {"enabled": false, "tables": []string{}},
		"[plugins.query_logger]":          {"enabled": false},
		"[plugins.prewarmer]":             {"enabled": false, "queries": []string{}},
		"the top level":                   {},
	}
	put := func(in, key string, v any) {
		if _, taken := sections[in][key]; !taken {
			sections[in][key] = v
		}
	}
	require.Contains(t, sections, k.In)
	sections[k.In][k.Name] = k.Wrong
	put("[plugins.intercept]", "queries", table{"0": sections["[plugins.intercept.queries.<n>]"]})
	for _, p := range []string{"intercept", "table_access", "query_logger", "prewarmer"} {
		put("[plugins]", p, sections["[plugins."+p+"]"])
	}
	put("[pools.<name>.shards.<n>]", "servers", []table{sections["an entry of servers"]})
	put("[pools.<name>.shards.<n>]", "mirrors", []table{sections["an entry of mirrors"]})
	put("[pools.<name>]", "users", table{"0": sections["[pools.<name>.users.<n>]"]})
	put("[pools.<name>]", "shards", table{"0": sections["[pools.<name>.shards.<n>]"]})
	put("[pools.<name>]", "plugins", sections["[plugins]"])
	put("the top level", "general", sections["[general]"])
	put("the top level", "plugins", sections["[plugins]"])
	put("the top level", "pools", table{"app": sections["[pools.<name>]"]})
	out, err := toml.Marshal(sections["the top level"])
	require.NoError(t, err)
	return string(out)
}
